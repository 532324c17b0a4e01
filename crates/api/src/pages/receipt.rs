//! What was bought: the purchase as its answer keeps it.

use super::frame::{Frame, page as shown};
use super::sum::{Quoted, Sum, day_of, time_of};
use super::visitor::Visitor;
use crate::problem::Problem;
use crate::routes::purchases::{seen, seen_by};
use crate::state::{State, store_problem};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, ServiceConfig};
use actix_web::{HttpResponse, get};
use askama::Template;
use kernel::{Permission, PurchaseId, UserId, parse_rfc3339};
use store::purchases::PurchaseRow;
use store::subscriptions::SubscriptionRow;
use store::till::OrganizationRow;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(show);
}

/// A purchase as a visitor may see it.
pub struct Bought {
    /// Its row.
    pub row: PurchaseRow,
    /// What it says.
    pub quoted: Quoted,
    /// For whom.
    pub organization: OrganizationRow,
    /// Who bought.
    pub by: String,
    /// Who paid, where the visitor may know.
    pub payer: Option<SubscriptionRow>,
    /// Whether the visitor may undo it, as far as rights and time go.
    pub may_undo: bool,
}

impl Bought {
    /// The purchase of this id.
    ///
    /// # Errors
    /// `not-found` where there is none that the visitor may know of; the store's.
    pub async fn find(state: &State, visitor: &Visitor, id: &str) -> Result<Self, Problem> {
        let missing = || Problem::not_found("purchase");
        let id: PurchaseId = id.parse().map_err(|_| missing())?;
        let row = store::purchases::find_any(&state.db, id).await.map_err(store_problem)?.ok_or_else(missing)?;
        Self::of(state, visitor, row).await
    }

    async fn of(state: &State, visitor: &Visitor, row: PurchaseRow) -> Result<Self, Problem> {
        let installation = visitor.installation();
        let standing = seen(state, &installation, &row).await?;
        let answers = seen_by(state, &installation, std::slice::from_ref(&row)).await?;
        let quoted = Quoted::read(answers.first().map_or("", String::as_str))?;
        let found = store::subscriptions::find(&state.db, row.subscription, Some(visitor.id)).await;
        let found = found.map_err(store_problem)?;
        let role = found.as_ref().and_then(|(_, role)| *role);
        let in_time = parse_rfc3339(&quoted.undo_until).is_ok_and(|until| state.now() < until);
        let payer = found.filter(|(_, role)| installation.may_with(Permission::SubscriptionView, None, *role));
        Ok(Self {
            may_undo: in_time
                && quoted.undone.is_none()
                && installation.may_with(Permission::SubscriptionUse, None, role),
            by: name_of(state, row.actor).await?,
            payer: payer.map(|(row, _)| row),
            organization: standing.organization,
            quoted,
            row,
        })
    }

    /// The day that it was made.
    pub fn on(&self) -> String {
        day_of(&self.quoted.at)
    }
}

async fn name_of(state: &State, id: UserId) -> Result<String, Problem> {
    let person = store::people::by_id(&state.db, id).await.map_err(store_problem)?;
    Ok(person.map_or_else(|| "somebody who is no longer known".to_owned(), |one| one.name))
}

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    frame: Frame,
    title: &'static str,
    id: String,
    on: String,
    by: String,
    organization: (String, String),
    payer: Option<(String, String)>,
    created: bool,
    set_up: bool,
    sum: Sum,
    charges: Vec<String>,
    may_undo: bool,
    undone: Option<Undone>,
    state: String,
    invoice: Option<String>,
    reason: String,
    url: Option<String>,
    success_url: String,
}

/// What came of its undoing, in words.
struct Undone {
    /// `15 April 2018, 10:00 UTC, by Ada Palmer`
    words: String,
    /// What stays charged; empty for nothing.
    kept: String,
    billing_removed: bool,
}

#[get("/purchases/{id}")]
async fn show(state: Data<State>, visitor: Visitor, id: Path<String>) -> Result<HttpResponse, Problem> {
    let bought = Bought::find(&state, &visitor, &id).await?;
    receipt(&state, &visitor, bought, "").await
}

/// The receipt of a purchase; `success_url` is where the platform wants the visitor next, if it sent them here.
///
/// # Errors
/// `not-found` where the visitor may not know of it; the store's.
pub async fn page(
    state: &State,
    visitor: &Visitor,
    purchase: PurchaseRow,
    success_url: &str,
) -> Result<HttpResponse, Problem> {
    let bought = Bought::of(state, visitor, purchase).await?;
    receipt(state, visitor, bought, success_url).await
}

async fn receipt(state: &State, visitor: &Visitor, bought: Bought, success_url: &str) -> Result<HttpResponse, Problem> {
    let quoted = &bought.quoted;
    let lowered = quoted.lines.iter().all(|line| line.quantity.to < line.quantity.from);
    let title = match bought.row.state.as_str() {
        "pending" => "Waiting for the payment",
        "released" => "Not bought",
        "undone" => "Undone",
        _ if lowered => "Changed",
        _ => "Bought",
    };
    let undone = match &quoted.undone {
        None => None,
        Some(undone) => Some(Undone {
            words: format!("{}, by {}", time_of(&undone.at), name_of(state, undone.by).await?),
            kept: if undone.kept.is_zero() { String::new() } else { visitor.locale.money(undone.kept) },
            billing_removed: undone.billing_removed,
        }),
    };
    let template = ReceiptPage {
        frame: Frame::new(state, Some(visitor), "organizations", title),
        title,
        id: bought.row.id.to_string(),
        on: bought.on(),
        organization: (bought.organization.slug.to_string(), bought.organization.name),
        payer: bought.payer.map(|row| (row.id.to_string(), row.name)),
        created: quoted.subscription_created,
        set_up: quoted.billing_set_up && undone.is_none(),
        sum: Sum::of(quoted, &*state.catalogue().await?, visitor.locale),
        may_undo: bought.may_undo,
        undone,
        charges: bought.quoted.charges,
        by: bought.by,
        state: bought.quoted.state,
        invoice: bought.quoted.invoice,
        reason: bought.quoted.reason.replace('_', " "),
        url: bought.quoted.url,
        success_url: success_url.to_owned(),
    };
    shown(StatusCode::OK, &template)
}
