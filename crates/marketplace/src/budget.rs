//! Budgets: what a payer, or an organization billed to it, comes to in a month of service, and whether a purchase would
//! take it over what it may come to. Pure, as all decisions.

use crate::book::{Book, PayerBook, Standing, too_large};
use crate::catalogue::Offer;
use crate::decide::{Line, Payment, grows};
use crate::metered::{self, Count};
use crate::refusal::Refusal;
use chrono::NaiveDate;
use kernel::{Currency, Money, MoneyError, Month, OfferId, OrganizationId, Permission, Role, SubscriptionId, grants};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use store::budgets::{BudgetRow, Loaded, Scope};

/// The budgets of a batch, as its commands leave them.
#[derive(Clone, Debug, Default)]
pub struct Budgets {
    kept: HashMap<Scope, BudgetRow>,
    /// How many organizations of a payer renew how many units of what once they come to this month: by the month they are of.
    behind: HashMap<SubscriptionId, BTreeMap<(OfferId, i64, Month), i64>>,
}

impl Budgets {
    /// What was loaded.
    pub fn hold(&mut self, loaded: Loaded) {
        self.kept.extend(loaded.budgets);
        for (payer, offer, units, month, organizations) in loaded.behind {
            self.behind.entry(payer).or_default().insert((offer, units, month), organizations);
        }
    }

    /// A charge counts in its month of service.
    pub(crate) fn charge(&mut self, payer: SubscriptionId, organization: OrganizationId, month: Month, minor: i64) {
        for organization in [None, Some(organization)] {
            if let Some(kept) = self.kept.get_mut(&Scope { subscription: payer, organization }) {
                let sum = kept.charged.entry(month).or_insert(0);
                *sum = sum.saturating_add(minor);
            }
        }
    }

    /// An organization comes to the next month with so many units of an offer: it is behind in an earlier one no more.
    pub(crate) fn came(&mut self, payer: SubscriptionId, offer: OfferId, units: i64, from: Month) {
        let Some(behind) = self.behind.get_mut(&payer) else { return };
        let Some(count) = behind.get_mut(&(offer, units, from)) else { return };
        *count = count.saturating_sub(1);
        let next = behind.entry((offer, units, from.next())).or_insert(0);
        *next = next.saturating_add(1);
    }
}

/// A month of a budget: what it comes to as things stand, and with what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MonthOfBudget {
    /// Its first day.
    pub month: Month,
    /// What it comes to: of this month what is charged, what is used of metered offers, and what is still to be renewed; of
    /// the next one its renewal.
    pub used: Money,
    /// What it would come to.
    pub would_be: Money,
    /// What is left then; nothing where it would be over.
    pub left: Money,
}

/// A budget, and what of it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetView {
    /// Whose.
    pub subscription: SubscriptionId,
    /// The organization whose budget it is; none for that of the whole subscription.
    pub organization: Option<OrganizationId>,
    /// How much a month, before tax.
    pub budget: Money,
    /// The present month.
    pub this_month: MonthOfBudget,
    /// The one after it.
    pub next_month: MonthOfBudget,
}

impl BudgetView {
    /// From four fifths on the payer is warned. Of a budget of nothing anything is.
    #[must_use]
    pub fn warns(&self) -> bool {
        let (amount, used) = (self.budget.minor(), self.this_month.used.minor());
        used > 0 && used >= amount.saturating_sub(amount / 5)
    }

    /// Whether more is used this month than there is.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.this_month.used.minor() > self.budget.minor()
    }
}

/// A month that a purchase would take over a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose budget.
    pub scope: Scope,
    /// How much a month.
    pub budget: Money,
    /// What the month would come to.
    pub would_be: Money,
    /// Which month.
    pub month: Month,
}

/// What an order does to the budgets that it counts against.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weighed {
    /// Those that the caller may see.
    pub(crate) views: Vec<BudgetView>,
    /// The first month that it would take over one.
    pub(crate) exceeded: Option<Exceeded>,
}

/// Sums of a month before and what is added.
#[derive(Clone, Copy, Default)]
struct Sum {
    before: i128,
    added: i128,
}

/// Weighs the lines of an order against the budgets of who would pay and of the organization. What shrinks passes, whatever
/// else the month comes to.
pub(crate) fn weigh(
    book: &Book,
    organization: OrganizationId,
    payment: &Payment,
    (lines, standing): (&[Line], &Standing),
    month: Month,
) -> Result<Weighed, Refusal> {
    let joins = matches!(payment, Payment::WillLink(_));
    let payer = match payment {
        Payment::Linked(payer) | Payment::WillLink(payer) if payer.budgeted => payer.id,
        _ => return Ok(Weighed::default()),
    };
    let mut weighed = Weighed::default();
    for of in [None, Some(organization)] {
        let scope = Scope { subscription: payer, organization: of };
        if !sees(standing, of.is_some()) {
            continue;
        }
        let asked = Asked { organization, lines, joins };
        let Some(view) = view_of(book, scope, Some(&asked), month).map_err(too_large)? else { continue };
        weighed.exceeded = weighed.exceeded.or(exceeded(scope, &view, lines));
        weighed.views.push(view);
    }
    Ok(weighed)
}

/// Whether a caller may see what of a budget is used: of the payer's whoever sees its bill, of the organization's also its
/// owner and administrators.
fn sees(standing: &Standing, of_organization: bool) -> bool {
    let permission = if of_organization { Permission::OrganizationBillView } else { Permission::InvoiceView };
    standing.operator
        || standing.payer_role.is_some_and(|role| grants(Role::Subscription(role), permission))
        || standing.role.is_some_and(|role| grants(Role::Organization(role), permission))
}

/// The first month that is taken over the budget. Metered use is in no budget beforehand, so more of it is allowed while
/// something is left.
fn exceeded(scope: Scope, view: &BudgetView, lines: &[Line]) -> Option<Exceeded> {
    if !lines.iter().any(grows) {
        return None;
    }
    let meters = lines.iter().any(|line| line.after.metered && grows(line));
    let budget = view.budget;
    let over = |part: &MonthOfBudget, meters: bool| {
        let added = part.would_be.minor() > part.used.minor() && part.would_be.minor() > budget.minor();
        let used_up = meters && part.used.minor() >= budget.minor();
        (added || used_up).then_some(Exceeded { scope, budget, would_be: part.would_be, month: part.month })
    };
    over(&view.this_month, meters).or_else(|| over(&view.next_month, false))
}

struct Asked<'a> {
    organization: OrganizationId,
    lines: &'a [Line],
    /// The organization would be linked, so what it has is new to the payer.
    joins: bool,
}

/// A budget as it stands; none where there is none.
///
/// # Errors
/// [`MoneyError`] where something comes to more than can be billed.
pub fn view(book: &Book, scope: Scope, month: Month) -> Result<Option<BudgetView>, MoneyError> {
    view_of(book, scope, None, month)
}

fn view_of(
    book: &Book,
    scope: Scope,
    asked: Option<&Asked<'_>>,
    month: Month,
) -> Result<Option<BudgetView>, MoneyError> {
    let (Some(kept), Some(account)) = (book.budgets.kept.get(&scope), book.payers.get(&scope.subscription)) else {
        return Ok(None);
    };
    let currency = account.payer.currency;
    let mut this = Sum { before: kept.charged.get(&month).copied().unwrap_or(0).into(), added: 0 };
    let mut next = Sum::default();
    match scope.organization {
        None => of_payer(book, account, month, (&mut this, &mut next))?,
        Some(organization) => of_organization(book, organization, currency, month, (&mut this, &mut next))?,
    }
    if let Some(Asked { organization, lines, joins }) = asked {
        let first = month.next().first_day();
        for line in *lines {
            this.added += i128::from(line.now.minor());
            next.added += i128::from(line.renewal.minor());
            let before = priced(book, line.offer.id, line.before.next, currency, first)?;
            // Of an organization's own budget what it has counts already, whoever pays for it so far.
            next.added -= if *joins && scope.organization.is_none() { 0 } else { before };
        }
        if *joins && scope.organization.is_none() {
            next.added += kept_besides(book, *organization, lines, currency, first)?;
        }
    }
    let budget = Money::new(kept.amount, currency);
    let of = |month: Month, sum: Sum| {
        let would_be = sum.before + sum.added;
        MonthOfBudget {
            month,
            used: money(sum.before, currency),
            would_be: money(would_be, currency),
            left: money((i128::from(kept.amount) - would_be).max(0), currency),
        }
    };
    let Scope { subscription, organization } = scope;
    let (this_month, next_month) = (of(month, this), of(month.next(), next));
    Ok(Some(BudgetView { subscription, organization, budget, this_month, next_month }))
}

/// An amount; past the largest, that.
fn money(minor: i128, currency: Currency) -> Money {
    Money::new(i64::try_from(minor).unwrap_or(if minor < 0 { i64::MIN } else { i64::MAX }), currency)
}

/// All organizations billed to a payer: what they used, what they renew, and what those that have not come to the month yet
/// will be charged for it.
fn of_payer(
    book: &Book,
    account: &PayerBook,
    month: Month,
    (this, next): (&mut Sum, &mut Sum),
) -> Result<(), MoneyError> {
    let currency = account.payer.currency;
    for (_, amount) in metered::so_far(book, account, month)? {
        this.before += i128::from(amount.minor());
    }
    for ((offer, units), organizations) in &account.renewals {
        let one = priced(book, *offer, *units, currency, month.next().first_day())?;
        next.before += one * i128::from((*organizations).max(0));
    }
    for ((offer, units, of), organizations) in book.budgets.behind.get(&account.payer.id).into_iter().flatten() {
        if *of < month {
            this.before += priced(book, *offer, *units, currency, month.first_day())? * i128::from(*organizations);
        }
    }
    Ok(())
}

/// The same of one organization, which has come to its month.
fn of_organization(
    book: &Book,
    organization: OrganizationId,
    currency: Currency,
    month: Month,
    (this, next): (&mut Sum, &mut Sum),
) -> Result<(), MoneyError> {
    let Some(held) = book.organizations.get(&organization) else { return Ok(()) };
    for ((offer, _), Count { used, .. }) in held.used.iter().filter(|((_, counted), _)| *counted == month) {
        let offer = book.catalogue.offer(*offer);
        let count = Count { used: *used, late: 0 };
        let basis = offer.and_then(|offer| metered::charge(offer, currency, month, count));
        this.before += i128::from(basis.map_or(0, |basis| basis.amount));
    }
    next.before += kept_besides(book, organization, &[], currency, month.next().first_day())?;
    Ok(())
}

/// What an organization renews besides what `lines` name.
fn kept_besides(
    book: &Book,
    organization: OrganizationId,
    lines: &[Line],
    currency: Currency,
    day: NaiveDate,
) -> Result<i128, MoneyError> {
    let mut sum = 0;
    let held = book.organizations.get(&organization).into_iter().flat_map(|held| held.entitlements.values());
    for row in held.filter(|row| !lines.iter().any(|line| line.offer.id == row.offer)) {
        sum += priced(book, row.offer, row.next, currency, day)?;
    }
    Ok(sum)
}

/// A full month of so many units, at the price of a day; nothing without a price.
fn priced(book: &Book, offer: OfferId, units: i64, currency: Currency, day: NaiveDate) -> Result<i128, MoneyError> {
    let version = |offer: &Offer| offer.price_on(currency, day).map(|version| version.price.total(units));
    let Some(total) = book.catalogue.offer(offer).filter(|_| units > 0).and_then(|offer| version(offer)) else {
        return Ok(0);
    };
    Ok(Money::from_exact(&total, currency)?.minor().into())
}
