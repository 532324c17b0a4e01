//! The page of a checkout: which step is next, what each step offers, and the sum of it all as it stands now.

mod payers;

use super::{Checkout, ShowQuery};
use crate::pages::frame::{Frame, page};
use crate::pages::payer_form::PayerForm;
use crate::pages::problems::{Told, Why};
use crate::pages::sum::{Line, Quoted, Sum, differences, shown_values};
use crate::pages::visitor::Visitor;
use crate::pages::wares::{Tile, units};
use crate::problem::{Problem, Slug};
use crate::routes::paging;
use crate::routes::refusals::{About, refusal, standing_in, whom_to_ask};
use crate::state::{State, field_problem, store_problem};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use billing::Reason;
use kernel::{OfferId, OrganizationId, OrganizationRole, Permission, Role, SubscriptionId, SubscriptionRole, grants};
use marketplace::Scope;
use marketplace::catalogue::{Catalogue, Offer};
use marketplace::order::{ItemRequest, Order};
use marketplace::question::Desk;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use store::organizations::Standing;
use store::till::EntitlementRow;

use payers::PayerChoice;

/// Rows of a step's list.
const ROWS: i64 = 20;

/// A step of a checkout, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// For whom.
    Organization,
    /// Who pays.
    Billing,
    /// How much.
    Quantity,
    /// The last look.
    Review,
}

/// An organization to buy for.
struct OrganizationChoice {
    slug: String,
    name: String,
    how: String,
    why: Option<Why>,
    chosen: bool,
}

/// Who pays already.
struct Linked {
    id: SubscriptionId,
    words: String,
}

/// One offer's number.
struct ItemRow {
    place: usize,
    name: String,
    unit: String,
    has: String,
    from: i64,
    quantity: i64,
    minimum: i64,
    maximum: i64,
    range: String,
    metered: bool,
    on: bool,
    cap: String,
}

#[derive(Template)]
#[template(path = "checkout.html")]
struct CheckoutPage {
    frame: Frame,
    id: String,
    step: Step,
    tiles: Vec<Tile>,
    organization: Option<OrganizationChoice>,
    organizations: Vec<OrganizationChoice>,
    linked: Option<Linked>,
    payer_words: String,
    payers: Vec<PayerChoice>,
    more: String,
    q: String,
    payer: Option<PayerForm>,
    new_chosen: bool,
    items: Vec<ItemRow>,
    sum: Option<Sum>,
    shown: Vec<(String, String)>,
    quote: String,
    allowed: bool,
    reasons: Vec<Why>,
    ask: Vec<(String, String)>,
    button: &'static str,
    refused: Option<Told>,
    changed: Vec<String>,
    cancel_url: String,
}

/// What a page is made of.
pub struct Situation<'a> {
    state: &'a State,
    visitor: &'a Visitor,
    checkout: Checkout,
    query: ShowQuery,
    refused: Option<Problem>,
    shown: Vec<(String, String)>,
    typed: Option<PayerForm>,
}

/// The organization that is bought for, and what it has.
struct Buyer {
    standing: Standing,
    held: HashMap<OfferId, EntitlementRow>,
}

impl<'a> Situation<'a> {
    /// The page of a checkout.
    pub const fn new(state: &'a State, visitor: &'a Visitor, checkout: Checkout, query: ShowQuery) -> Self {
        Self { state, visitor, checkout, query, refused: None, shown: Vec::new(), typed: None }
    }

    /// The same with what was refused.
    pub fn refused(mut self, problem: Problem) -> Self {
        self.refused = Some(problem);
        self
    }

    /// The same with what the page showed before.
    pub fn shown(mut self, shown: Vec<(String, String)>) -> Self {
        self.shown = shown;
        self
    }

    /// The same with a new subscription's data that cannot be taken.
    pub fn typed(mut self, form: PayerForm) -> Self {
        self.typed = Some(form);
        self
    }

    /// The page.
    ///
    /// # Errors
    /// What keeps it from being made at all.
    pub async fn page(self) -> Result<HttpResponse, Problem> {
        let catalogue = self.state.catalogue().await?;
        let buyer = self.buyer().await?;
        let linked = buyer.as_ref().and_then(|buyer| buyer.standing.linked);
        let items = self.items(&catalogue, buyer.as_ref());
        let (quoted, fault) = match &buyer {
            Some(buyer) => self.quoted(buyer.standing.organization.id, &items, linked).await?,
            None => (None, None),
        };
        let step = self.step(linked, fault.as_ref());
        let status = match &self.refused {
            Some(problem) => problem.status(),
            None if self.typed.is_some() => StatusCode::UNPROCESSABLE_ENTITY,
            None => StatusCode::OK,
        };
        let sum = quoted.as_ref().map(|quoted| Sum::of(quoted, &catalogue, self.visitor.locale));
        let picker = self.picker(step, buyer.as_ref(), &catalogue, &items).await?;
        let (organizations, organizations_more) = self.organizations(step).await?;
        let refused = self.refused.as_ref().or(fault.as_ref());
        let (ask, reasons) = self.obstacles(quoted.as_ref(), buyer.as_ref()).await?;
        let linked = match linked {
            Some(id) => Some(self.linked(id).await?),
            None => None,
        };
        let mut shown = sum.as_ref().map(shown_values).unwrap_or_default();
        if let Some(buyer) = buyer.as_ref().filter(|_| step == Step::Review) {
            let payer = linked.as_ref().map_or(&picker.chosen_words, |linked| &linked.words);
            shown.push(("Organization".to_owned(), buyer.standing.organization.name.clone()));
            shown.push(("Billed to".to_owned(), payer.clone()));
        }
        let template = CheckoutPage {
            frame: Frame::new(self.state, Some(self.visitor), "marketplace", "Check out"),
            id: self.checkout.id.to_string(),
            step,
            tiles: self.tiles(&catalogue, &items),
            organization: buyer.as_ref().map(|buyer| choice(&buyer.standing, true)),
            organizations,
            payer_words: picker.chosen_words,
            linked,
            payers: picker.payers,
            more: if step == Step::Organization { organizations_more } else { picker.more },
            q: self.query.q.clone(),
            payer: picker.form,
            new_chosen: picker.new_chosen,
            items: rows(&items, buyer.as_ref(), self.visitor),
            changed: differences(&self.shown, &shown),
            shown,
            sum,
            quote: quoted.as_ref().map(|quoted| quoted.id.clone()).unwrap_or_default(),
            allowed: quoted.as_ref().is_some_and(|quoted| quoted.allowed && !unchanged(quoted)),
            reasons,
            ask,
            button: quoted.as_ref().map_or("Buy now", button),
            refused: refused.map(Told::of),
            cancel_url: self.checkout.cancel_url.clone(),
        };
        page(status, &template)
    }

    async fn buyer(&self) -> Result<Option<Buyer>, Problem> {
        let Some(id) = self.checkout.draft.organization else { return Ok(None) };
        let standing = standing_in(self.state, &self.visitor.installation(), id, Permission::OrganizationView).await?;
        let held = store::entitlements::of_organization(&self.state.db, id).await.map_err(store_problem)?;
        Ok(Some(Buyer { standing, held: held.into_iter().map(|row| (row.offer, row)).collect() }))
    }

    /// What is wanted, with a number for what nobody chose yet: what the organization has, else the least.
    fn items(&self, catalogue: &Catalogue, buyer: Option<&Buyer>) -> Vec<(Arc<Offer>, ItemRequest)> {
        let drafted = self.checkout.draft.items.iter();
        let found = drafted.filter_map(|item| Some((catalogue.resolve(&item.offer)?.clone(), item.clone())));
        let mut items: Vec<_> = found.collect();
        for (offer, item) in items.iter_mut().filter(|(_, item)| item.metered.is_none()) {
            let next = next_of(buyer, offer.id);
            item.from = Some(next);
            let proposal = if next > 0 { next } else { offer.definition.minimum.max(1) };
            item.quantity = Some(item.quantity.unwrap_or(proposal));
        }
        items
    }

    /// The quote of what was chosen so far; or why there is none.
    async fn quoted(
        &self,
        organization: OrganizationId,
        items: &[(Arc<Offer>, ItemRequest)],
        linked: Option<SubscriptionId>,
    ) -> Result<(Option<Quoted>, Option<Problem>), Problem> {
        let billing = if linked.is_some() { None } else { self.checkout.draft.billing.clone() };
        let items = items.iter().map(|(_, item)| item.clone()).collect();
        let order = match Order::parse(organization, items, billing, None) {
            Ok(order) => order,
            Err(faults) => return Ok((None, Some(field_problem(faults)))),
        };
        let state = self.state;
        let desk = Desk { db: &state.db, shelf: &state.shelf, policy: &state.policy, clock: state.clock.as_ref() };
        match desk.quote(&order, &self.visitor.buyer()).await.map_err(store_problem)? {
            Ok(view) => Ok((Some(Quoted::of(&view)?), None)),
            Err(refused) => Ok((None, Some(refusal(state, refused, &About::of(&order, self.visitor.id)).await))),
        }
    }

    /// The step that comes next, or the one that was asked for where it can be gone back to.
    fn step(&self, linked: Option<SubscriptionId>, fault: Option<&Problem>) -> Step {
        let draft = &self.checkout.draft;
        let due = if draft.organization.is_none() {
            Step::Organization
        } else if linked.is_none() && draft.billing.is_none() {
            Step::Billing
        } else if !draft.counted {
            Step::Quantity
        } else {
            Step::Review
        };
        let due = match fault.map(Problem::slug) {
            Some(Slug::QuantityOutOfRange) => due.min(Step::Quantity),
            Some(Slug::SubscriptionNotEligible | Slug::PaymentDeclined) if linked.is_none() => due.min(Step::Billing),
            _ => due,
        };
        match self.query.step {
            Some(Step::Billing) if linked.is_some() => due,
            Some(asked) => due.min(asked),
            None => due,
        }
    }

    fn tiles(&self, catalogue: &Catalogue, items: &[(Arc<Offer>, ItemRequest)]) -> Vec<Tile> {
        let (currency, today) = (self.state.policy.platform_currency, self.state.now().date_naive());
        items.iter().map(|(offer, _)| Tile::of(offer, catalogue, currency, today, self.visitor.locale)).collect()
    }

    /// The organizations that one may act for, others with the reason why not.
    async fn organizations(&self, step: Step) -> Result<(Vec<OrganizationChoice>, String), Problem> {
        if step != Step::Organization {
            return Ok((Vec::new(), String::new()));
        }
        let q = paging::search(Some(self.query.q.clone()))?;
        let after = paging::after(self.query.after.as_deref())?;
        let rows = store::organizations::visible(&self.state.db, Some(self.visitor.id), false, &q, after, ROWS + 1);
        let chosen = self.checkout.draft.organization;
        let cursor = |row: &Standing| row.organization.id.to_string();
        let view = |row: Standing| choice(&row, chosen == Some(row.organization.id));
        let page = paging::Page::of(rows.await.map_err(store_problem)?, ROWS, cursor, view);
        Ok((page.data, self.more(Step::Organization, page.next)))
    }

    fn more(&self, step: Step, next: Option<String>) -> String {
        let Some(next) = next else { return String::new() };
        let step = if step == Step::Organization { "organization" } else { "billing" };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("step", step).append_pair("q", &self.query.q).append_pair("after", &next);
        format!("/checkout/{}?{}", self.checkout.id, query.finish())
    }

    /// A subscription in a line; only that it exists where the visitor has no role on it.
    async fn linked(&self, id: SubscriptionId) -> Result<Linked, Problem> {
        let found = store::subscriptions::find(&self.state.db, id, Some(self.visitor.id)).await;
        let seen = |role: &Option<SubscriptionRole>| {
            self.visitor.installation().may_with(Permission::SubscriptionView, None, *role)
        };
        let words = match found.map_err(store_problem)?.filter(|(_, role)| seen(role)) {
            Some((row, _)) => format!("{} ({}, {})", row.name, row.kind.replace('_', " "), row.currency),
            None => "a subscription that you have no role on".to_owned(),
        };
        Ok(Linked { id, words })
    }

    /// What keeps it from being bought, and whom to ask.
    async fn obstacles(
        &self,
        quoted: Option<&Quoted>,
        buyer: Option<&Buyer>,
    ) -> Result<(Vec<(String, String)>, Vec<Why>), Problem> {
        let (Some(quoted), Some(buyer)) = (quoted, buyer) else { return Ok((Vec::new(), Vec::new())) };
        // That nobody pays yet is what the second step is for.
        let reasons = quoted.reasons.iter().filter(|reason| reason.code != "billing_setup_required");
        let denied = quoted.reasons.iter().any(|reason| reason.code == "not_permitted");
        let ask = if denied {
            let scope = match buyer.standing.linked {
                Some(payer) => Scope::Subscription(payer),
                None => Scope::Organization(buyer.standing.organization.id),
            };
            whom_to_ask(self.state, scope).await?
        } else {
            Vec::new()
        };
        let mut why: Vec<_> =
            reasons.map(|one| Why { message: one.message.clone(), remedy: one.remedy.clone() }).collect();
        if unchanged(quoted) {
            let remedy = "Go back to the quantity and enter the total that there shall be.".to_owned();
            why.push(Why { message: "Nothing would change.".to_owned(), remedy });
        }
        Ok((ask.into_iter().map(|one| (one.name, one.role)).collect(), why))
    }
}

fn next_of(buyer: Option<&Buyer>, offer: OfferId) -> i64 {
    buyer.and_then(|buyer| buyer.held.get(&offer)).map_or(0, |row| row.next)
}

fn choice(standing: &Standing, chosen: bool) -> OrganizationChoice {
    let Standing { organization, role, payer_role, linked, .. } = standing;
    let (permission, may) = match linked {
        Some(_) => {
            let may = payer_role.is_some_and(|role| grants(Role::Subscription(role), Permission::SubscriptionUse));
            (Permission::SubscriptionUse, may)
        }
        None => {
            let may = role.is_some_and(|role| grants(Role::Organization(role), Permission::BillingSetUp));
            (Permission::BillingSetUp, may)
        }
    };
    let reason = Reason::missing(permission);
    let how = match (role, payer_role) {
        (Some(OrganizationRole::Owner), _) => "you are its owner".to_owned(),
        (Some(role), _) => format!("you are its {role}"),
        (None, Some(role)) => format!("you are {} of its subscription", role.as_str().replace('_', " ")),
        (None, None) => String::new(),
    };
    OrganizationChoice {
        slug: organization.slug.to_string(),
        name: organization.name.clone(),
        how,
        why: (!may).then(|| Why { message: reason.message(), remedy: reason.remedy() }),
        chosen,
    }
}

fn rows(items: &[(Arc<Offer>, ItemRequest)], buyer: Option<&Buyer>, visitor: &Visitor) -> Vec<ItemRow> {
    let row = |(place, (offer, item)): (usize, &(Arc<Offer>, ItemRequest))| {
        let definition = &offer.definition;
        let next = next_of(buyer, offer.id);
        let unit = definition.unit.as_str();
        let included = if definition.included > 0 {
            format!("{} included. ", units(definition.included, unit, visitor.locale))
        } else {
            String::new()
        };
        let paid = if next > 0 { format!("Paid so far: {}.", visitor.locale.number(next)) } else { String::new() };
        let metered = item.metered.as_ref();
        let minimum = if next > 0 { 0 } else { definition.minimum.max(1) };
        ItemRow {
            place,
            name: definition.name.to_string(),
            unit: unit.to_owned(),
            has: format!("{included}{paid}"),
            from: next,
            quantity: item.quantity.unwrap_or(0),
            minimum,
            maximum: definition.maximum,
            range: format!("From {} to {}.", visitor.locale.number(minimum), visitor.locale.number(definition.maximum)),
            metered: metered.is_some(),
            on: metered.is_some_and(|metered| metered.on),
            cap: metered.and_then(|metered| metered.cap).map(|cap| cap.to_string()).unwrap_or_default(),
        }
    };
    items.iter().enumerate().map(row).collect()
}

/// Whether what is wanted is there already.
fn unchanged(quoted: &Quoted) -> bool {
    let metered = |line: &Line| line.why.iter().any(|step| step.step == "metered");
    quoted.lines.iter().all(|line| line.quantity.from == line.quantity.to && !metered(line))
}

/// What the last button says.
fn button(quoted: &Quoted) -> &'static str {
    let metered = quoted.lines.iter().flat_map(|line| &line.why).find(|step| step.step == "metered");
    match metered {
        Some(step) if step.detail.starts_with("switched on") => return "Switch on",
        Some(_) => return "Switch off",
        None => {}
    }
    let lines = &quoted.lines;
    if lines.iter().all(|line| line.quantity.to == 0 && line.quantity.from > 0) {
        "Cancel the renewal"
    } else if lines.iter().all(|line| line.quantity.to < line.quantity.from) {
        "Reduce"
    } else {
        "Buy now"
    }
}
