//! Subscriptions: the list, a new one, and one with its organizations, its people and what is coming on its bill.

use super::budgets::BudgetCard;
use super::frame::{Frame, page, see_other};
use super::locale::{date, day};
use super::organizations::ListQuery;
use super::payer_form::{PayerForm, country_name};
use super::problems::Told;
use super::visitor::{Fields, Form, Visitor, field};
use super::wares::Tag;
use crate::extract::Query;
use crate::problem::Problem;
use crate::routes::paging;
use crate::routes::roles::{Seen, set_role, take_role};
use crate::routes::subscriptions::make;
use crate::routes::writes::{By, Once, write};
use crate::state::{State, store_problem};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, get, post};
use askama::Template;
use kernel::{Currency, Email, Money, Month, OrganizationId, Permission, SubscriptionRole, TextError};
use marketplace::catalogue::Catalogue;
use marketplace::metered::{self, Count};
use marketplace::question::Desk;
use serde::Deserialize;
use store::budgets::Scope;
use store::coming::ComingRow;
use store::subscriptions::SubscriptionRow;

/// Rows of a list.
const ROWS: i64 = 25;
/// Most role holders that are shown.
const HOLDERS: i64 = 200;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(list).service(new).service(create).service(show).service(give_role).service(drop_role);
}

struct Row {
    id: String,
    name: String,
    kind: String,
    status: Tag,
    currency: String,
    role: String,
}

#[derive(Template)]
#[template(path = "subscriptions.html")]
struct ListPage {
    frame: Frame,
    q: String,
    rows: Vec<Row>,
    more: String,
}

/// How a payer stands, as a tag.
pub fn status_tag(status: &str) -> Tag {
    let class = match status {
        "active" => "good",
        "warned" => "warn",
        _ => "bad",
    };
    Tag::new(class, status.replace('_', " "))
}

#[get("/subscriptions")]
async fn list(state: Data<State>, visitor: Visitor, query: Query<ListQuery>) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let q = paging::search(Some(query.q.clone()))?;
    let after = paging::after(query.after.as_deref())?;
    let most = ROWS.saturating_add(1);
    let rows = if visitor.installation().may(Permission::SubscriptionView) {
        store::subscriptions::every(&state.db, visitor.id, &q, after, most).await
    } else {
        store::subscriptions::visible(&state.db, Some(visitor.id), &q, after, most).await
    };
    let cursor = |(row, _): &(SubscriptionRow, Option<SubscriptionRole>)| row.id.to_string();
    let rows = paging::Page::of(rows.map_err(store_problem)?, ROWS, cursor, |(row, role)| Row {
        id: row.id.to_string(),
        kind: row.kind.replace('_', " "),
        status: status_tag(&row.status),
        currency: row.currency.to_string(),
        role: role.map_or_else(|| "operator".to_owned(), |role| role.as_str().replace('_', " ")),
        name: row.name,
    });
    let more = query.more("/subscriptions", rows.next);
    let frame = Frame::new(&state, Some(&visitor), "subscriptions", "Subscriptions");
    page(StatusCode::OK, &ListPage { frame, q: query.q, rows: rows.data, more })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewQuery {
    /// The organization whose billing it is for.
    #[serde(default)]
    organization: String,
}

#[derive(Template)]
#[template(path = "new_subscription.html")]
struct NewPage {
    frame: Frame,
    organization: String,
    once: String,
    payer: PayerForm,
}

#[get("/subscriptions/new")]
async fn new(state: Data<State>, visitor: Visitor, query: Query<NewQuery>) -> Result<HttpResponse, Problem> {
    let form = fresh(&state).await?;
    shown(&state, &visitor, query.0.organization, String::new(), form, StatusCode::OK)
}

async fn fresh(state: &State) -> Result<PayerForm, Problem> {
    let catalogue = state.catalogue().await?;
    Ok(PayerForm::new(state, &catalogue, &[], "", state.config.seller.country))
}

fn shown(
    state: &State,
    visitor: &Visitor,
    organization: String,
    once: String,
    payer: PayerForm,
    status: StatusCode,
) -> Result<HttpResponse, Problem> {
    // What the form is sent under, so that two presses of the button make one subscription.
    let once = if once.is_empty() { hex::encode(state.ids().bytes::<16>()) } else { once };
    let frame = Frame::new(state, Some(visitor), "subscriptions", "New subscription");
    page(status, &NewPage { frame, organization, once, payer })
}

#[post("/subscriptions")]
async fn create(state: Data<State>, request: HttpRequest, form: Form<Fields>) -> Result<HttpResponse, Problem> {
    let Form(visitor, fields) = form;
    visitor.installation().need(Permission::SubscriptionCreate)?;
    let organization = field(&fields, "organization").to_owned();
    let once = field(&fields, "once").to_owned();
    let data = match fresh(&state).await?.read(&state, &fields) {
        Ok(data) => data,
        Err(form) => {
            return shown(&state, &visitor, organization, once, *form, StatusCode::UNPROCESSABLE_ENTITY);
        }
    };
    let by = By::of(&visitor.caller(), &request);
    let keyed = Once::of(&visitor.caller(), "page: new subscription", &once, &data);
    let id = write(&state, "create-subscription", &by, async |tx, act| {
        if let Some(earlier) = keyed.earlier(tx).await? {
            return Ok(earlier);
        }
        let made = make(tx, act, visitor.id, &data).await?;
        let id = made.id.to_string();
        keyed.keep(tx, &id, act.at).await?;
        Ok(id)
    })
    .await?;
    let to = if organization.is_empty() {
        format!("/subscriptions/{id}")
    } else {
        let slug: String = form_urlencoded::byte_serialize(organization.as_bytes()).collect();
        format!("/organizations/{slug}/billing?chosen={id}")
    };
    Ok(see_other(&to))
}

struct Coming {
    slug: String,
    name: String,
    charged: String,
    used: String,
    monthly: String,
}

struct Holder {
    name: String,
    email: String,
    role: String,
}

#[derive(Template)]
#[template(path = "subscription.html")]
struct SubscriptionPage {
    frame: Frame,
    id: String,
    name: String,
    status: Tag,
    facts: Vec<(&'static str, String)>,
    next: String,
    next_on: String,
    rows: Vec<Coming>,
    more: String,
    holders: Vec<Holder>,
    may_manage: bool,
    roles: Vec<(&'static str, String, bool)>,
    refused: Option<Told>,
    typed: String,
    budget: Option<BudgetCard>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowQuery {
    after: Option<String>,
}

#[get("/subscriptions/{id}")]
async fn show(
    state: Data<State>,
    visitor: Visitor,
    id: Path<String>,
    query: Query<ShowQuery>,
) -> Result<HttpResponse, Problem> {
    subscription(&state, &visitor, &id, query.0, None, String::new()).await
}

async fn subscription(
    state: &State,
    visitor: &Visitor,
    id: &str,
    query: ShowQuery,
    refused: Option<Problem>,
    typed: String,
) -> Result<HttpResponse, Problem> {
    let seen = Seen::find(state, &visitor.caller(), id).await?;
    let may_manage = seen.installation.may_with(Permission::RolesManage, None, seen.role);
    let sees_bill = seen.installation.may_with(Permission::InvoiceView, None, seen.role);
    let may_budget = seen.installation.may_with(Permission::BudgetManage, None, seen.role);
    let row = seen.row;
    let after: Option<OrganizationId> = paging::after(query.after.as_deref())?;
    let coming =
        store::coming::of_payer(&state.db, row.id, Month::of(state.now()), after, ROWS.saturating_add(1)).await;
    let coming = paging::Page::of(coming.map_err(store_problem)?, ROWS, |row| row.organization.to_string(), |row| row);
    let catalogue = state.catalogue().await?;
    let first = Month::of(state.now()).next().first_day();
    let money = |minor: i64| visitor.locale.money(Money::new(minor, row.currency));
    let rows = coming.data.iter().map(|one| Coming {
        slug: one.slug.clone(),
        name: one.name.clone(),
        charged: money(one.charged),
        used: visitor.locale.money(used(one, &catalogue, row.currency)),
        monthly: visitor.locale.money(monthly(one, &catalogue, row.currency, first)),
    });
    let rows = rows.collect();
    let desk = Desk { db: &state.db, shelf: &state.shelf, policy: &state.policy, clock: state.clock.as_ref() };
    let next = if sees_bill { desk.next_invoice(row.id).await.map_err(store_problem)? } else { None };
    let budget = if sees_bill {
        let scope = Scope { subscription: row.id, organization: None };
        let form = (format!("/subscriptions/{}/budget", row.id), row.currency, may_budget);
        Some(BudgetCard::of(state, visitor, scope, form).await?).filter(BudgetCard::is_shown)
    } else {
        None
    };
    let holders = store::subscriptions::holders(&state.db, row.id, HOLDERS).await.map_err(store_problem)?;
    let status = refused.as_ref().map_or(StatusCode::OK, Problem::status);
    let template = SubscriptionPage {
        frame: Frame::new(state, Some(visitor), "subscriptions", row.name.clone()),
        status: status_tag(&row.status),
        facts: facts(&row),
        next: next.map(|next| visitor.locale.money(next.totals.total)).unwrap_or_default(),
        next_on: day(first),
        rows,
        more: ListQuery::default().more(&format!("/subscriptions/{}", row.id), coming.next),
        holders: holders
            .into_iter()
            .map(|one| Holder { name: one.name, email: one.email, role: one.role.as_str().replace('_', " ") })
            .collect(),
        may_manage,
        roles: SubscriptionRole::ALL.iter().map(role_choice).collect(),
        refused: refused.as_ref().map(Told::of),
        typed,
        budget,
        id: row.id.to_string(),
        name: row.name,
    };
    page(status, &template)
}

/// A role to give; the one that most are given stands first.
fn role_choice(role: &SubscriptionRole) -> (&'static str, String, bool) {
    (role.as_str(), role.as_str().replace('_', " "), *role == SubscriptionRole::BillingManager)
}

fn facts(row: &SubscriptionRow) -> Vec<(&'static str, String)> {
    let pays = if row.payment_method == "card" { "card" } else { "invoice" };
    vec![
        ("Kind", row.kind.replace('_', " ")),
        ("Currency", row.currency.to_string()),
        ("Country or region", country_name(row.country.as_str()).to_owned()),
        ("Pays by", pays.to_owned()),
        ("Since", date(row.created_at.date_naive())),
    ]
}

/// What an organization used of metered offers and is not billed yet, before tax.
fn used(row: &ComingRow, catalogue: &Catalogue, currency: Currency) -> Money {
    let amounts = row.used.iter().filter_map(|use_| {
        let count = Count { used: use_.used, late: use_.late };
        metered::charge(catalogue.offer(use_.offer)?, currency, use_.month, count).map(|basis| basis.money())
    });
    amounts.fold(Money::zero(currency), |sum, one| sum.checked_add(one).unwrap_or(sum))
}

/// A full month of all that an organization renews, before tax.
fn monthly(row: &ComingRow, catalogue: &Catalogue, currency: Currency, first: chrono::NaiveDate) -> Money {
    let amounts = row.renewals.iter().filter_map(|(offer, units)| {
        let version = catalogue.offer(*offer)?.price_on(currency, first)?;
        Money::from_exact(&version.price.total(*units), currency).ok()
    });
    amounts.fold(Money::zero(currency), |sum, one| sum.checked_add(one).unwrap_or(sum))
}

#[post("/subscriptions/{id}/roles")]
async fn give_role(
    state: Data<State>,
    request: HttpRequest,
    id: Path<String>,
    form: Form<Fields>,
) -> Result<HttpResponse, Problem> {
    let Form(visitor, fields) = form;
    let seen = Seen::find(&state, &visitor.caller(), &id).await?.need(&state, Permission::RolesManage).await?;
    let asked = field(&fields, "email").parse::<Email>().and_then(|email| {
        let role: SubscriptionRole = field(&fields, "role").parse().map_err(|_| TextError::new("Choose a role"))?;
        Ok((email, role))
    });
    let done = match asked {
        Err(fault) => Err(Problem::invalid("/email", fault.to_string())),
        Ok((email, role)) => {
            let by = By::of(&visitor.caller(), &request);
            write(&state, "put-role", &by, async |tx, act| set_role(tx, act, seen.row.id, &email, role).await)
                .await
                .map(|_| ())
        }
    };
    answered(&state, &visitor, &id, done, field(&fields, "email")).await
}

#[post("/subscriptions/{id}/roles/remove")]
async fn drop_role(
    state: Data<State>,
    request: HttpRequest,
    id: Path<String>,
    form: Form<Fields>,
) -> Result<HttpResponse, Problem> {
    let Form(visitor, fields) = form;
    let seen = Seen::find(&state, &visitor.caller(), &id).await?.need(&state, Permission::RolesManage).await?;
    let by = By::of(&visitor.caller(), &request);
    let done = match field(&fields, "email").parse::<Email>() {
        Err(_) => Err(Problem::not_found("role holder")),
        Ok(email) => {
            write(&state, "remove-role", &by, async |tx, act| take_role(tx, act, seen.row.id, &email).await).await
        }
    };
    answered(&state, &visitor, &id, done, "").await
}

/// The page again, with what was refused.
async fn answered(
    state: &State,
    visitor: &Visitor,
    id: &str,
    done: Result<(), Problem>,
    typed: &str,
) -> Result<HttpResponse, Problem> {
    match done {
        Ok(()) => Ok(see_other(&format!("/subscriptions/{id}#people"))),
        Err(problem) => subscription(state, visitor, id, ShowQuery::default(), Some(problem), typed.to_owned()).await,
    }
}
