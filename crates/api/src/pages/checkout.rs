//! Checkout: organization, who pays, how much, and the review with the sum beside it always right. Each step is a form
//! that changes the draft and leads back to the page; nothing comes into being before the last one.

mod draft;
mod view;

use super::frame::see_other;
use super::visitor::{Fields, Form, Visitor, field};
use super::{payer_form::PayerForm, receipt};
use crate::extract::Query;
use crate::paying;
use crate::problem::{Problem, Slug};
use crate::routes::refusals::{About, failure, standing_in};
use crate::state::{State, field_problem, store_problem};
use actix_web::web::{Data, Path, ServiceConfig};
use actix_web::{HttpResponse, get, post};
pub use draft::{Checkout, Draft, new_row};
use kernel::{OrganizationId, Permission};
use marketplace::catalogue::OfferKind;
use marketplace::order::{Act, BillingRequest, Command, ItemRequest, Metered, Order, PurchaseRequest, request_hash};
use serde::Deserialize;
use view::{Situation, Step};

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(begin)
        .service(show)
        .service(choose_organization)
        .service(choose_payer)
        .service(choose_quantity)
        .service(buy)
        .service(give_up);
}

/// Begins a checkout for an offer, from its page or to change what an organization has.
#[post("/checkouts")]
async fn begin(state: Data<State>, form: Form<Fields>) -> Result<HttpResponse, Problem> {
    let Form(visitor, fields) = form;
    let organization = match field(&fields, "organization") {
        "" => None,
        named => Some(state.organization(named).await?),
    };
    let catalogue = state.catalogue().await?;
    let offer = match organization {
        Some(id) => {
            standing_in(&state, &visitor.installation(), id, Permission::OrganizationView).await?;
            crate::routes::organizations::offer(&state, id, field(&fields, "offer")).await?
        }
        None => catalogue.resolve(field(&fields, "offer")).cloned().ok_or_else(|| Problem::not_found("offer"))?,
    };
    let mut item = ItemRequest { offer: offer.slug.to_string(), quantity: None, from: None, metered: None };
    if offer.definition.kind == OfferKind::LoadTesting {
        let on = field(&fields, "on") != "no";
        item.metered = Some(Metered { on, cap: field(&fields, "cap").parse().ok().filter(|_| on) });
    } else {
        item.quantity = field(&fields, "quantity").parse().ok();
    }
    let counted = field(&fields, "counted") == "yes" && (item.quantity.is_some() || item.metered.is_some());
    let draft = Draft { organization, items: vec![item], billing: None, counted };
    let id = Checkout::begin(&state, visitor.id, &draft).await?;
    Ok(see_other(&format!("/checkout/{id}")))
}

/// What a checkout's page is asked to show.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowQuery {
    /// A step to go back to.
    step: Option<Step>,
    /// Part of a name, in the list of the step.
    #[serde(default)]
    q: String,
    /// `next` of the list before.
    after: Option<String>,
}

#[get("/checkout/{id}")]
async fn show(
    state: Data<State>,
    visitor: Visitor,
    id: Path<String>,
    query: Query<ShowQuery>,
) -> Result<HttpResponse, Problem> {
    let checkout = Checkout::find(&state, &visitor, &id).await?;
    let bought = store::purchases::by_key(&state.db, visitor.id, &checkout.key()?).await.map_err(store_problem)?;
    if let Some(purchase) = bought {
        return receipt::page(&state, &visitor, purchase, &checkout.success_url).await;
    }
    Situation::new(&state, &visitor, checkout, query.0).page().await
}

#[post("/checkout/{id}/organization")]
async fn choose_organization(
    state: Data<State>,
    id: Path<String>,
    form: Form<Fields>,
) -> Result<HttpResponse, Problem> {
    let Form(visitor, fields) = form;
    Checkout::find(&state, &visitor, &id).await?;
    let organization = state.organization(field(&fields, "organization")).await?;
    standing_in(&state, &visitor.installation(), organization, Permission::OrganizationView).await?;
    Checkout::change(&state, visitor.id, &id, |draft| {
        if draft.organization != Some(organization) {
            // Who pays is chosen for an organization, and quantities are totals of one.
            *draft = Draft { organization: Some(organization), items: draft.items.clone(), ..Draft::default() };
        }
    })
    .await?;
    Ok(see_other(&format!("/checkout/{id}")))
}

#[post("/checkout/{id}/billing")]
async fn choose_payer(state: Data<State>, id: Path<String>, form: Form<Fields>) -> Result<HttpResponse, Problem> {
    let Form(visitor, fields) = form;
    let checkout = Checkout::find(&state, &visitor, &id).await?;
    let choice = field(&fields, "choice").to_owned();
    let billing = if choice == "new" {
        let form = new_payer(&state, &checkout).await?;
        match form.read(&state, &fields) {
            Ok(data) => BillingRequest { subscription: None, new_subscription: Some(data) },
            Err(form) => {
                let query = ShowQuery { step: Some(Step::Billing), ..ShowQuery::default() };
                return Situation::new(&state, &visitor, checkout, query).typed(*form).page().await;
            }
        }
    } else {
        match choice.parse() {
            Ok(subscription) => BillingRequest { subscription: Some(subscription), new_subscription: None },
            Err(_) => {
                let query = ShowQuery { step: Some(Step::Billing), ..ShowQuery::default() };
                let none = Problem::invalid("/billing", "Choose who pays, or create a new subscription.");
                return Situation::new(&state, &visitor, checkout, query).refused(none).page().await;
            }
        }
    };
    Checkout::change(&state, visitor.id, &id, |draft| draft.billing = Some(billing.clone())).await?;
    Ok(see_other(&format!("/checkout/{id}")))
}

/// The form of a new subscription, with proposals for this checkout.
async fn new_payer(state: &State, checkout: &Checkout) -> Result<PayerForm, Problem> {
    let organization = match checkout.draft.organization {
        Some(id) => store::organizations::find(&state.db, id, None).await.map_err(store_problem)?,
        None => None,
    };
    let organization = organization.ok_or_else(|| Problem::not_found("organization"))?.organization;
    let catalogue = state.catalogue().await?;
    let offers: Vec<&str> = checkout.draft.items.iter().map(|item| item.offer.as_str()).collect();
    Ok(PayerForm::new(state, &catalogue, &offers, &organization.name, organization.country))
}

#[post("/checkout/{id}/quantity")]
async fn choose_quantity(state: Data<State>, id: Path<String>, form: Form<Fields>) -> Result<HttpResponse, Problem> {
    let Form(visitor, fields) = form;
    let checkout = Checkout::find(&state, &visitor, &id).await?;
    let mut items = checkout.draft.items.clone();
    let mut wrong = None;
    for (place, item) in items.iter_mut().enumerate() {
        if let Err(why) = count(item, place, &fields) {
            wrong = Some(Problem::invalid(format!("/items/{place}"), why));
        }
    }
    if let Some(problem) = wrong {
        let query = ShowQuery { step: Some(Step::Quantity), ..ShowQuery::default() };
        return Situation::new(&state, &visitor, checkout, query).refused(problem).page().await;
    }
    // The steppers and the script only want the sum; "Continue" chooses.
    let only_sum = !field(&fields, "update").is_empty() || !field(&fields, "nudge").is_empty();
    Checkout::change(&state, visitor.id, &id, |draft| {
        draft.items.clone_from(&items);
        // A sum that was asked for just before "Continue" may come after it, and takes nothing back.
        draft.counted |= !only_sum;
    })
    .await?;
    let back = if only_sum { "?step=quantity" } else { "" };
    Ok(see_other(&format!("/checkout/{id}{back}")))
}

/// Takes one item's number over from the form.
fn count(item: &mut ItemRequest, place: usize, fields: &Fields) -> Result<(), &'static str> {
    if let Some(metered) = &mut item.metered {
        let on = field(fields, &format!("on-{place}")) != "no";
        let cap = match field(fields, &format!("cap-{place}")) {
            "" => None,
            text => Some(text.parse().map_err(|_| "Enter a whole number as the limit, or leave it empty.")?),
        };
        *metered = Metered { on, cap: cap.filter(|_| on) };
        return Ok(());
    }
    let text = field(fields, &format!("quantity-{place}"));
    let number: Option<i64> = text.parse().ok().filter(|number| *number >= 0);
    let number = number.ok_or("Enter a whole number, 0 or more.")?;
    let nudge = field(fields, "nudge").strip_prefix(&format!("{place}:")).and_then(|by| by.parse().ok()).unwrap_or(0);
    item.quantity = Some(number.saturating_add(nudge).max(0));
    Ok(())
}

/// The last step: what the page showed is bought, or what has changed since is shown.
#[post("/checkout/{id}/buy")]
async fn buy(state: Data<State>, id: Path<String>, form: Form<Fields>) -> Result<HttpResponse, Problem> {
    let Form(visitor, fields) = form;
    let checkout = Checkout::find(&state, &visitor, &id).await?;
    let here = format!("/checkout/{id}");
    let Some(organization) = checkout.draft.organization else { return Ok(see_other(&here)) };
    // A hosted checkout is now this person's, so that the platform can see what became of it.
    Checkout::change(&state, visitor.id, &id, |_| ()).await?;
    let request = request(&checkout, organization, &fields);
    let hash = request_hash(&request);
    let order = Order::parse(organization, request.items, request.billing, None).map_err(field_problem)?;
    let about = order.clone();
    let act = Act::Purchase { order: Box::new(order), quote: request.quote, key: checkout.key()?, request_hash: hash };
    let failed = match paying::buy(&state, Command { caller: visitor.buyer(), act }).await {
        Ok(_) => return Ok(see_other(&here)),
        Err(failed) => failed,
    };
    let problem = failure(&state, failed, &About::of(&about, visitor.id)).await;
    if problem.slug() == Slug::IdempotencyKeyReused {
        // It was bought before, by another tab or an earlier press of the button: the page shows the receipt.
        return Ok(see_other(&here));
    }
    let shown =
        fields.iter().filter_map(|(name, value)| Some((name.strip_prefix("shown-")?.to_owned(), value.clone())));
    let shown = shown.collect();
    let step = match problem.slug() {
        Slug::SubscriptionNotEligible | Slug::PaymentDeclined | Slug::BillingSetupRequired => Some(Step::Billing),
        Slug::QuantityOutOfRange => Some(Step::Quantity),
        _ => None,
    };
    let query = ShowQuery { step, ..ShowQuery::default() };
    Situation::new(&state, &visitor, checkout, query).refused(problem).shown(shown).page().await
}

/// What the page that the form stood on would buy: the payer it showed and the numbers it began from, not what has
/// become of them since.
fn request(checkout: &Checkout, organization: OrganizationId, fields: &Fields) -> PurchaseRequest {
    let mut items = checkout.draft.items.clone();
    for (place, item) in items.iter_mut().enumerate() {
        if item.metered.is_none() {
            item.quantity = field(fields, &format!("quantity-{place}")).parse().ok();
            item.from = field(fields, &format!("from-{place}")).parse().ok();
        }
    }
    let billing = match field(fields, "linked").parse() {
        Ok(subscription) => Some(BillingRequest { subscription: Some(subscription), new_subscription: None }),
        Err(_) => checkout.draft.billing.clone(),
    };
    let quote = Some(field(fields, "quote").to_owned()).filter(|quote| !quote.is_empty());
    PurchaseRequest { organization: organization.to_string(), items, billing, quote }
}

#[post("/checkout/{id}/cancel")]
async fn give_up(state: Data<State>, id: Path<String>, form: Form<Fields>) -> Result<HttpResponse, Problem> {
    let visitor = form.0;
    let checkout = Checkout::find(&state, &visitor, &id).await?;
    if !checkout.give_up(&state, visitor.id).await? {
        return Ok(see_other(&format!("/checkout/{id}")));
    }
    let to = match checkout.draft.organization {
        Some(organization) => format!("/organizations/{organization}"),
        None => "/marketplace".to_owned(),
    };
    Ok(see_other(&to))
}
