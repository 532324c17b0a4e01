//! Budgets on pages: how much of one is used, as a meter and in words, and the form that sets it.

use super::frame::{Frame, page, see_other};
use super::locale::{Locale, month_name};
use super::problems::Told;
use super::visitor::{Fields, Form, Visitor, field};
use super::wares::Tag;
use crate::problem::Problem;
use crate::routes::budgets::{Budget, BudgetMonth, keep, of_organization};
use crate::routes::roles::Seen;
use crate::routes::writes::By;
use crate::state::State;
use actix_web::web::{Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, post};
use askama::Template;
use kernel::{Currency, Money, Permission};
use store::budgets::Scope;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(of_payer).service(of_one);
}

/// How much of a budget a month uses.
#[derive(Clone, Debug)]
pub struct Gauge {
    /// The month.
    pub label: String,
    /// The same in words: `$35.00 of $70.00, $35.00 left`.
    pub words: String,
    /// Hundredths of the budget, at most all of it.
    pub percent: i64,
}

impl Gauge {
    /// So much of a budget.
    pub fn new(label: String, (used, budget, left): (Money, Money, Money), locale: Locale) -> Self {
        let (part, all) = (i128::from(used.minor()), i128::from(budget.minor()));
        let percent = if part >= all && part > 0 { 100 } else { (part * 100).checked_div(all).unwrap_or(0) };
        let rest = if part > all { "more than there is".to_owned() } else { format!("{} left", locale.money(left)) };
        let words = format!("{} of {}, {rest}", locale.money(used), locale.money(budget));
        Self { label, words, percent: i64::try_from(percent).unwrap_or(100).clamp(0, 100) }
    }
}

/// A budget as its card shows it.
#[derive(Clone, Debug)]
pub struct BudgetCard {
    /// Where its form goes.
    pub action: String,
    /// Whose it is, to follow "of".
    pub whose: &'static str,
    /// How it stands.
    pub tag: Option<Tag>,
    /// This month and the next; none where none is set.
    pub gauges: Vec<Gauge>,
    /// What the form begins with.
    pub typed: String,
    /// Its currency; empty where that is not known.
    pub currency: String,
    /// Whether the visitor may set it.
    pub may_set: bool,
}

impl BudgetCard {
    /// The card of a budget; `action` is its own address.
    ///
    /// # Errors
    /// The store's.
    pub async fn of(
        state: &State,
        visitor: &Visitor,
        scope: Scope,
        (action, currency, may_set): (String, Currency, bool),
    ) -> Result<Self, Problem> {
        let budget = Budget::of(state, scope).await?;
        let gauge = |part: &BudgetMonth, amount: Money| {
            Gauge::new(month_name(part.month).to_owned(), (part.used, amount, part.left), visitor.locale)
        };
        let months = [&budget.this_month, &budget.next_month].into_iter().flatten();
        Ok(Self {
            action,
            whose: if scope.organization.is_some() { "this organization" } else { "this subscription" },
            tag: match budget.state {
                "exceeded" => Some(Tag::new("bad", "Exceeded")),
                "warned" => Some(Tag::new("warn", "Nearly used")),
                "within" => Some(Tag::new("good", "Within")),
                _ => None,
            },
            gauges: budget.budget.map(|amount| months.map(|part| gauge(part, amount)).collect()).unwrap_or_default(),
            typed: budget.budget.map(Money::amount_string).unwrap_or_default(),
            currency: currency.to_string(),
            may_set,
        })
    }

    /// Whether there is anything to show.
    pub fn is_shown(&self) -> bool {
        self.may_set || !self.gauges.is_empty()
    }
}

#[derive(Template)]
#[template(path = "budget_page.html")]
struct BudgetPage {
    frame: Frame,
    back: String,
    refused: Told,
    budget: BudgetCard,
}

#[post("/subscriptions/{id}/budget")]
async fn of_payer(
    state: Data<State>,
    request: HttpRequest,
    id: Path<String>,
    form: Form<Fields>,
) -> Result<HttpResponse, Problem> {
    let Form(visitor, fields) = form;
    let seen = Seen::find(&state, &visitor.caller(), &id).await?.need(&state, Permission::BudgetManage).await?;
    let scope = Scope { subscription: seen.row.id, organization: None };
    let back = format!("/subscriptions/{}", seen.row.id);
    set(&state, (&visitor, &request), scope, (seen.row.currency, back), &fields).await
}

#[post("/organizations/{org}/budget")]
async fn of_one(
    state: Data<State>,
    request: HttpRequest,
    named: Path<String>,
    form: Form<Fields>,
) -> Result<HttpResponse, Problem> {
    let Form(visitor, fields) = form;
    let scope = of_organization(&state, &visitor.caller(), &named, Permission::BudgetManage).await?;
    let seen = Seen::find(&state, &visitor.caller(), &scope.subscription.to_string()).await?;
    let slug: String = form_urlencoded::byte_serialize(named.as_bytes()).collect();
    let back = format!("/organizations/{slug}");
    set(&state, (&visitor, &request), scope, (seen.row.currency, back), &fields).await
}

/// What the form asks for, and the page that it stands on again; what was refused with what was typed.
async fn set(
    state: &State,
    (visitor, request): (&Visitor, &HttpRequest),
    scope: Scope,
    (currency, back): (Currency, String),
    fields: &Fields,
) -> Result<HttpResponse, Problem> {
    let typed = field(fields, "amount");
    let amount = if field(fields, "remove").is_empty() {
        let amount = Money::parse_amount(&typed.trim().replace(',', "."), currency);
        amount.map(Some).map_err(|fault| Problem::invalid("/amount", format!("The amount {fault}.")))
    } else {
        Ok(None)
    };
    let done = match amount {
        Ok(amount) => keep(state, &By::of(&visitor.caller(), request), scope, amount).await,
        Err(problem) => Err(problem),
    };
    let Err(problem) = done else { return Ok(see_other(&format!("{back}#budget"))) };
    let mut budget = BudgetCard::of(state, visitor, scope, (format!("{back}/budget"), currency, true)).await?;
    typed.clone_into(&mut budget.typed);
    let frame = Frame::new(state, Some(visitor), "subscriptions", "Budget");
    page(problem.status(), &BudgetPage { frame, back, refused: Told::of(&problem), budget })
}
