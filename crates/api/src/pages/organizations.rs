//! Organizations: the list, what one has, and what was bought for it.

use super::budgets::BudgetCard;
use super::frame::{Frame, page};
use super::locale::{Locale, date, day};
use super::sum::{Quoted, Sum};
use super::visitor::Visitor;
use super::wares::{Tag, kind_words, units};
use crate::extract::Query;
use crate::problem::Problem;
use crate::routes::paging::{self, PageQuery};
use crate::routes::refusals::standing_in;
use crate::state::{State, store_problem};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, ServiceConfig};
use actix_web::{HttpResponse, get};
use askama::Template;
use kernel::{Currency, Money, Month, OrganizationId, Permission, Role, SubscriptionId, grants};
use marketplace::book::usable;
use marketplace::catalogue::{Catalogue, Offer, OfferKind};
use marketplace::metered::Meter;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use store::budgets::Scope;
use store::organizations::Standing;
use store::purchases::PurchaseRow;
use store::till::EntitlementRow;
use store::usage::OpenRow;

/// Rows of a list.
const ROWS: i64 = 25;
/// Offers on an organization's page.
const OFFERS: usize = 25;
/// Purchases on an organization's page.
const LATEST: i64 = 5;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(list).service(show).service(purchases);
}

/// The query of a list that is searched.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Part of a name.
    #[serde(default)]
    pub q: String,
    /// `next` of the page before.
    pub after: Option<String>,
}

impl ListQuery {
    /// The address of the next page; empty on the last.
    pub fn more(&self, path: &str, next: Option<String>) -> String {
        let Some(next) = next else { return String::new() };
        let mut query = form_urlencoded::Serializer::new(String::new());
        if !self.q.is_empty() {
            query.append_pair("q", &self.q);
        }
        format!("{path}?{}", query.append_pair("after", &next).finish())
    }
}

struct Row {
    slug: String,
    name: String,
    role: String,
    billing: Tag,
}

#[derive(Template)]
#[template(path = "organizations.html")]
struct ListPage {
    frame: Frame,
    q: String,
    rows: Vec<Row>,
    more: String,
}

#[get("/organizations")]
async fn list(state: Data<State>, visitor: Visitor, query: Query<ListQuery>) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let q = paging::search(Some(query.q.clone()))?;
    let after = paging::after(query.after.as_deref())?;
    let all = visitor.installation().may(Permission::OrganizationView);
    let rows = store::organizations::visible(&state.db, Some(visitor.id), all, &q, after, ROWS.saturating_add(1)).await;
    let cursor = |row: &Standing| row.organization.id.to_string();
    let rows = paging::Page::of(rows.map_err(store_problem)?, ROWS, cursor, |row| Row {
        slug: row.organization.slug.to_string(),
        role: role_words(&row),
        billing: billing_tag(row.linked),
        name: row.organization.name,
    });
    let frame = Frame::new(&state, Some(&visitor), "organizations", "Organizations");
    let more = query.more("/organizations", rows.next);
    page(StatusCode::OK, &ListPage { frame, q: query.q, rows: rows.data, more })
}

fn billing_tag(linked: Option<SubscriptionId>) -> Tag {
    match linked {
        Some(_) => Tag::new("good", "Billing set up"),
        None => Tag::new("", "No billing yet"),
    }
}

fn role_words(standing: &Standing) -> String {
    match (standing.role, standing.payer_role) {
        (Some(role), _) => role.to_string(),
        (None, Some(role)) => format!("{} of its subscription", role.as_str().replace('_', " ")),
        (None, None) => "operator".to_owned(),
    }
}

/// What an organization has of an offer.
struct Has {
    slug: String,
    name: String,
    kind: &'static str,
    included: String,
    committed: String,
    usable: String,
    next: Option<String>,
    monthly: String,
    tags: Vec<Tag>,
    /// What the paid total will be.
    total: i64,
    paid: bool,
    meter: Option<Metered>,
}

/// Metered use of an offer.
struct Metered {
    on: bool,
    /// `1,200 of 5,000 used this month`
    words: String,
    /// The cap as a form sends it; empty for none.
    cap: String,
}

/// How billing stands, in words.
pub struct Billing {
    /// Who pays: id for a link where the visitor may look, and words.
    pub payer: Option<(String, String)>,
    /// Who set it up, and when.
    pub by: String,
}

/// A purchase in a list.
struct Bought {
    id: String,
    on: String,
    what: String,
    now: String,
    monthly: String,
    undone: bool,
}

#[derive(Template)]
#[template(path = "organization.html")]
struct OrganizationPage {
    frame: Frame,
    slug: String,
    name: String,
    country: String,
    role: String,
    done: &'static str,
    billing: Option<Billing>,
    may_set_up: bool,
    may_buy: bool,
    rows: Vec<Has>,
    more: String,
    next_on: String,
    total: String,
    purchases: Vec<Bought>,
    budget: Option<BudgetCard>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowQuery {
    /// What was just done.
    done: Option<String>,
    /// The last offer of the page before.
    after: Option<String>,
}

#[get("/organizations/{org}")]
async fn show(
    state: Data<State>,
    visitor: Visitor,
    named: Path<String>,
    query: Query<ShowQuery>,
) -> Result<HttpResponse, Problem> {
    let id = state.organization(&named).await?;
    let standing = standing_in(&state, &visitor.installation(), id, Permission::OrganizationView).await?;
    let held = held(&state, id).await?;
    let catalogue = state.catalogue().await?;
    let billing = billing(&state, &visitor, &standing).await?;
    let currency = match &billing {
        Some((_, currency)) => *currency,
        None => state.policy.platform_currency,
    };
    let month = Month::of(state.now());
    let used = store::usage::of_organization(&state.db, id).await.map_err(store_problem)?;
    let view = View { catalogue: &catalogue, held: &held, used: &used, month, currency, locale: visitor.locale };
    let (rows, next) = view.rows(query.0.after.as_deref());
    let latest = store::purchases::of_organization(&state.db, id, None, LATEST).await.map_err(store_problem)?;
    let slug = standing.organization.slug.to_string();
    let may = |permission| visitor.installation().may_in(permission, &standing);
    let template = OrganizationPage {
        frame: Frame::new(&state, Some(&visitor), "organizations", standing.organization.name.clone()),
        more: next.map_or_else(String::new, |next| format!("/organizations/{slug}?after={next}")),
        country: super::payer_form::country_name(standing.organization.country.as_str()).to_owned(),
        role: role_words(&standing),
        done: match query.0.done.as_deref() {
            Some("linked") => "Billing is set up.",
            _ => "",
        },
        may_set_up: may(Permission::BillingSetUp),
        may_buy: if standing.linked.is_some() {
            may(Permission::SubscriptionUse)
        } else {
            standing.role.is_some_and(|role| grants(Role::Organization(role), Permission::BillingSetUp))
        },
        billing: billing.map(|(billing, _)| billing),
        next_on: day(month.next().first_day()),
        total: view.total(),
        rows,
        purchases: bought(&latest, &catalogue, visitor.locale)?,
        budget: budget(&state, &visitor, &standing, currency).await?,
        name: standing.organization.name,
        slug,
    };
    page(StatusCode::OK, &template)
}

/// The organization's budget, for who may see its part of the bill, where there is one or the visitor may set it.
async fn budget(
    state: &State,
    visitor: &Visitor,
    standing: &Standing,
    currency: Currency,
) -> Result<Option<BudgetCard>, Problem> {
    let may = |permission| visitor.installation().may_in(permission, standing);
    let Some(subscription) = standing.linked.filter(|_| may(Permission::OrganizationBillView)) else { return Ok(None) };
    let scope = Scope { subscription, organization: Some(standing.organization.id) };
    let action = format!("/organizations/{}/budget", standing.organization.slug);
    let card = BudgetCard::of(state, visitor, scope, (action, currency, may(Permission::BudgetManage))).await?;
    Ok(Some(card).filter(BudgetCard::is_shown))
}

async fn held(state: &State, id: OrganizationId) -> Result<HashMap<kernel::OfferId, EntitlementRow>, Problem> {
    let rows = store::entitlements::of_organization(&state.db, id).await.map_err(store_problem)?;
    Ok(rows.into_iter().map(|row| (row.offer, row)).collect())
}

/// How billing of an organization stands, and in which currency.
///
/// # Errors
/// The store's.
pub async fn billing(
    state: &State,
    visitor: &Visitor,
    standing: &Standing,
) -> Result<Option<(Billing, Currency)>, Problem> {
    let link = store::subscriptions::link(&state.db, standing.organization.id).await.map_err(store_problem)?;
    let Some(link) = link else { return Ok(None) };
    let found = store::subscriptions::find(&state.db, link.subscription, Some(visitor.id)).await;
    let Some((row, role)) = found.map_err(store_problem)? else { return Ok(None) };
    let who = match link.linked_by.parse() {
        Ok(id) => store::people::by_id(&state.db, id).await.map_err(store_problem)?.map(|person| person.name),
        Err(_) => None,
    };
    let on = date(link.linked_at.date_naive());
    let by = who.map_or_else(|| format!("linked on {on}"), |name| format!("{name} linked it on {on}"));
    let seen = visitor.installation().may_with(Permission::SubscriptionView, None, role);
    let words = format!("{} ({}, {})", row.name, row.kind.replace('_', " "), row.currency);
    Ok(Some((Billing { payer: seen.then(|| (row.id.to_string(), words)), by }, row.currency)))
}

struct View<'a> {
    catalogue: &'a Catalogue,
    held: &'a HashMap<kernel::OfferId, EntitlementRow>,
    used: &'a [OpenRow],
    month: Month,
    currency: Currency,
    locale: Locale,
}

impl View<'_> {
    /// What the organization has or may use, by offer, and where the next page begins.
    fn rows(&self, after: Option<&str>) -> (Vec<Has>, Option<String>) {
        let after = after.unwrap_or_default();
        let seen = |offer: &&Arc<Offer>| offer.slug.as_str() > after && self.is_there(offer);
        let mut offers: Vec<&Arc<Offer>> = self.catalogue.offers().filter(seen).take(OFFERS + 1).collect();
        let more = offers.len() > OFFERS;
        offers.truncate(OFFERS);
        let next = offers.last().filter(|_| more).map(|offer| offer.slug.to_string());
        (offers.into_iter().map(|offer| self.row(offer)).collect(), next)
    }

    fn is_there(&self, offer: &Offer) -> bool {
        let has = |row: &EntitlementRow| row.next > 0 || row.committed > 0 || row.installed || row.metered;
        self.held.get(&offer.id).is_some_and(has) || self.is_for_all(offer)
    }

    /// Whether every organization may use some; of an extension only those that have installed it.
    fn is_for_all(&self, offer: &Offer) -> bool {
        let definition = &offer.definition;
        definition.included > 0 && definition.kind != OfferKind::Extension && offer.is_in_list()
    }

    fn row(&self, offer: &Offer) -> Has {
        let none = marketplace::book::nothing(OrganizationId::from_uuid(uuid::Uuid::nil()), offer.id, self.month);
        let row = self.held.get(&offer.id).unwrap_or(&none);
        let meter =
            (offer.definition.kind == OfferKind::LoadTesting).then(|| Meter::of(offer, row, self.used, self.month));
        let number = |count: i64| self.locale.number(count);
        let first = day(self.month.next().first_day());
        let mut tags = Vec::new();
        if row.installed {
            tags.push(Tag::new("good", "Installed"));
        }
        tags.extend(meter.map(|meter| match meter {
            Meter { on: false, .. } => Tag::new("", "Off"),
            Meter { left: 0, .. } => Tag::new("warn", "At the cap"),
            _ => Tag::new("good", "On"),
        }));
        let next = (row.next != row.committed).then(|| {
            if row.next == 0 {
                format!("ends on {first}")
            } else {
                format!("{} → {} on {first}", number(row.committed), number(row.next))
            }
        });
        Has {
            slug: offer.slug.to_string(),
            name: offer.definition.name.to_string(),
            kind: kind_words(offer.definition.kind).0,
            included: number(offer.definition.included),
            committed: number(row.committed),
            usable: units(
                meter.map_or_else(|| usable(offer, row), |meter| meter.left),
                offer.definition.unit.as_str(),
                self.locale,
            ),
            next,
            monthly: self.renewal(offer, row).map(|money| self.locale.money(money)).unwrap_or_default(),
            tags,
            total: row.next,
            paid: row.next > 0 || row.committed > 0,
            meter: meter.map(|meter| self.meter(&meter, row)),
        }
    }

    fn meter(&self, meter: &Meter, row: &EntitlementRow) -> Metered {
        let used = self.locale.number(meter.used);
        let words = match meter.cap {
            Some(cap) => format!("{used} of {} used this month", self.locale.number(cap)),
            None if meter.on || meter.used > 0 => format!("{used} used this month, no cap"),
            None => String::new(),
        };
        let cap = if row.cap > 0 { row.cap.to_string() } else { String::new() };
        Metered { on: meter.on, words, cap }
    }

    /// A full month at next month's quantity.
    fn renewal(&self, offer: &Offer, row: &EntitlementRow) -> Option<Money> {
        let version = offer.price_on(self.currency, self.month.next().first_day())?;
        Money::from_exact(&version.price.total(row.next), self.currency).ok()
    }

    /// A full month of all that is renewed, before tax.
    fn total(&self) -> String {
        let amounts = self.held.values().filter_map(|row| self.renewal(self.catalogue.offer(row.offer)?, row));
        let sum = amounts.fold(Money::zero(self.currency), |sum, one| sum.checked_add(one).unwrap_or(sum));
        self.locale.money(sum)
    }
}

fn bought(rows: &[PurchaseRow], catalogue: &Catalogue, locale: Locale) -> Result<Vec<Bought>, Problem> {
    let view = |row: &PurchaseRow| {
        let quoted = Quoted::read(&row.answer)?;
        let sum = Sum::of(&quoted, catalogue, locale);
        let what: Vec<String> = sum.lines.iter().map(|line| format!("{}: {}", line.name, line.change)).collect();
        Ok(Bought {
            id: row.id.to_string(),
            on: date(row.at.date_naive()),
            what: what.join("; "),
            now: sum.now,
            monthly: locale.money(quoted.renewal.totals.net),
            undone: !row.undone.is_empty(),
        })
    };
    rows.iter().map(view).collect()
}

#[derive(Template)]
#[template(path = "purchases.html")]
struct PurchasesPage {
    frame: Frame,
    slug: String,
    name: String,
    rows: Vec<Bought>,
    more: String,
    first: bool,
}

#[get("/organizations/{org}/purchases")]
async fn purchases(
    state: Data<State>,
    visitor: Visitor,
    named: Path<String>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let limit = paging::limit(query.0.limit.or(Some(ROWS)))?;
    let before = paging::after(query.0.after.as_deref())?;
    let id = state.organization(&named).await?;
    let standing = standing_in(&state, &visitor.installation(), id, Permission::OrganizationView).await?;
    let rows = store::purchases::of_organization(&state.db, id, before, limit.saturating_add(1)).await;
    let rows = paging::Page::of(rows.map_err(store_problem)?, limit, |row| row.id.to_string(), |row| row);
    let slug = standing.organization.slug.to_string();
    let more = ListQuery::default().more(&format!("/organizations/{slug}/purchases"), rows.next);
    let template = PurchasesPage {
        frame: Frame::new(&state, Some(&visitor), "organizations", "Purchases"),
        rows: bought(&rows.data, &*state.catalogue().await?, visitor.locale)?,
        name: standing.organization.name,
        slug,
        more,
        first: before.is_none(),
    };
    page(StatusCode::OK, &template)
}
