//! Decisions, pure: what an order costs and needs, and whether it may be. No database, no clock, no randomness but
//! what is handed in.

use crate::book::{Book, OrganizationBook, PayerBook, Standing, nothing, too_large, usable, zero};
use crate::budget;
use crate::catalogue::{Collection, Offer, OfferKind, OfferState};
use crate::metered;
use crate::order::{Ask, BillingChoice, Order};
use crate::policy::Policy;
use crate::quote::{BillingOutcome, DatedTotals, FromTo, LineView, QuoteBody};
use crate::refusal::{Refusal, Scope};
use crate::undo;
use billing::new_subscription::NewSubscriptionFault;
use billing::{Need, NewSubscription, Payer, Reason, ReasonCode, TaxRate, Totals};
use kernel::{
    ChargeBasis, ChargeInputs, CountryCode, Currency, Exact, Money, MoneyError, Month, Permission, PurchaseId, Role,
    Step, SubscriptionId, SubscriptionRole, Timestamp, grants,
};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use store::till::EntitlementRow;

/// Who would pay.
#[derive(Clone, Debug)]
pub enum Payment {
    /// The linked subscription.
    Linked(Payer),
    /// An existing one, which would be linked.
    WillLink(Payer),
    /// One that would be created and linked.
    WillCreate(NewSubscription, Payer),
    /// Nobody yet.
    Missing,
}

impl Payment {
    fn payer(&self) -> Option<&Payer> {
        match self {
            Self::Linked(payer) | Self::WillLink(payer) | Self::WillCreate(_, payer) => Some(payer),
            Self::Missing => None,
        }
    }

    fn outcome(&self) -> BillingOutcome {
        match self {
            Self::Linked(_) => BillingOutcome::Linked,
            Self::WillLink(_) => BillingOutcome::WillLink,
            Self::WillCreate(..) => BillingOutcome::WillCreate,
            Self::Missing => BillingOutcome::SetupRequired,
        }
    }

    /// What of it a quote's seal binds.
    #[must_use]
    pub fn sealed(&self) -> String {
        match self {
            Self::Linked(payer) | Self::WillLink(payer) => payer.id.to_string(),
            Self::WillCreate(data, _) => serde_json::to_string(data).unwrap_or_default(),
            Self::Missing => String::new(),
        }
    }
}

/// One decided line.
#[derive(Clone, Debug)]
pub struct Line {
    /// The offer.
    pub offer: Arc<Offer>,
    /// What the organization had.
    pub before: EntitlementRow,
    /// What it has then.
    pub after: EntitlementRow,
    /// What this month's charge is computed from, where something is charged for.
    pub basis: Option<ChargeBasis>,
    /// This month's part.
    pub now: Money,
    /// A full month.
    pub renewal: Money,
}

/// An order, worked out.
#[derive(Clone, Debug)]
pub struct Priced {
    /// Who would pay.
    pub payment: Payment,
    /// Line by line.
    pub lines: Vec<Line>,
    /// Tax rate of what is charged now.
    pub rate: TaxRate,
    /// What it says to people.
    pub body: QuoteBody,
    /// Why it may not be; the first one is the refusal of a purchase.
    pub blockers: Vec<Refusal>,
    /// The items whose `from` is no longer what is next.
    pub changed_since: bool,
}

/// Works out an order for a caller. What the caller may not know of is refused; what merely keeps the purchase from
/// being made stands in `blockers`.
///
/// # Errors
/// [`Refusal`] where no answer can be worked out.
pub fn price(book: &Book, order: &Order, standing: &Standing, now: Timestamp) -> Result<Priced, Refusal> {
    let organization = visible(book, order.organization, standing)?;
    let mut blockers = Vec::new();
    let payment = choose_payer(book, order, organization, standing, &mut blockers)?;
    let currency = payment.payer().map_or(order.currency.unwrap_or(book.policy.platform_currency), |p| p.currency);
    let country = payment.payer().map_or(organization.row.country, |p| p.country);

    let today = now.date_naive();
    let month = Month::of(now);
    let next_first = month.next().first_day();
    let taxes = &book.policy.taxes;
    let rate_on = |day| payment.payer().map_or_else(|| taxes.on(country, day), |payer| taxes.of(payer, day));
    let (rate, next_rate) = (rate_on(today), rate_on(next_first));

    let mut lines = Vec::with_capacity(order.items.len());
    let mut seen = HashSet::new();
    let (mut needs, mut changed_since) = (Vec::new(), false);
    for (place, (named, ask)) in order.items.iter().enumerate() {
        let offer = find_offer(book, organization, named)?;
        if !seen.insert(offer.id) {
            let detail = format!("{} stands in this order twice; name it once, with the new total", offer.slug);
            return Err(Refusal::invalid(format!("/items/{place}/offer"), detail));
        }
        let before = match organization.entitlements.get(&offer.id) {
            Some(row) if row.month == month => row.clone(),
            // Increases add up within a month; a new month starts at nothing.
            Some(row) => EntitlementRow { month, accrued: Exact::zero(), charged: 0, ..row.clone() },
            None => nothing(order.organization, offer.id, month),
        };
        if let Ask::Quantity { from: Some(from), .. } = ask {
            changed_since |= *from != before.next;
        }
        let pays = payment.payer().is_none_or(|payer| payer.status.pays());
        let line = decide_line(offer, before, ask, place, (currency, pays), now)?;
        if grows(&line) || matches!(payment, Payment::WillLink(_) | Payment::WillCreate(..)) {
            needs.push(need(&book.policy, &line.offer, currency, country));
        }
        lines.push(line);
    }

    if let Some(payer) = payment.payer() {
        let role = match &payment {
            // A created subscription's owner is its creator.
            Payment::WillCreate(..) => Some(SubscriptionRole::Owner),
            // On a linked one the missing right is a refusal of its own, which names whom to ask.
            Payment::Linked(_) => Some(SubscriptionRole::Owner),
            _ => standing.payer_role,
        };
        let grows = lines.iter().any(grows);
        if grows || !matches!(payment, Payment::Linked(_)) {
            let reasons = payer.reasons(role, &needs);
            if !reasons.is_empty() {
                blockers.push(Refusal::NotEligible(reasons));
            }
        }
    }
    let weighed = budget::weigh(book, order.organization, &payment, (&lines, standing), month)?;
    blockers.extend(weighed.exceeded.map(Refusal::BudgetExceeded));
    if let Some(purchase) = holder(organization, &lines, &payment) {
        let place = blockers.iter().take_while(|one| matches!(one, Refusal::PermissionDenied { .. })).count();
        blockers.insert(place, Refusal::PurchaseInProgress(purchase));
    }
    let provisional = payment.payer().is_none();
    let rates = (rate.clone(), next_rate);
    let account = payment.payer().and_then(|payer| book.payers.get(&payer.id)).filter(|_| sees_bill(standing));
    let mut body = body(book, order, (&payment, account), &lines, rates, (country, provisional), now, &blockers)?;
    body.budgets = weighed.views;
    Ok(Priced { payment, lines, rate, body, blockers, changed_since })
}

/// The pending purchase that holds one of the offers, or is about to set up billing as this one would.
fn holder(organization: &OrganizationBook, lines: &[Line], payment: &Payment) -> Option<PurchaseId> {
    let offers = lines.iter().find_map(|line| organization.held.get(&line.offer.id));
    let links = || organization.held.values().find(|hold| hold.links && !matches!(payment, Payment::Linked(_)));
    offers.or_else(links).map(|hold| hold.purchase)
}

/// The organization, if the caller may know of it.
pub(crate) fn visible<'a>(
    book: &'a Book,
    id: kernel::OrganizationId,
    standing: &Standing,
) -> Result<&'a OrganizationBook, Refusal> {
    if !standing.known {
        return Err(Refusal::UnknownCaller);
    }
    let organization = book.organizations.get(&id).ok_or(Refusal::NotFound("organization"))?;
    let through_payer = organization.link.is_some() && organization.link == standing.payer;
    let seen = standing.operator
        || standing.role.is_some()
        || (through_payer
            && standing.payer_role.is_some_and(|role| grants(Role::Subscription(role), Permission::OrganizationView)));
    if seen { Ok(organization) } else { Err(Refusal::NotFound("organization")) }
}

pub(crate) fn may(standing: &Standing, permission: Permission) -> bool {
    standing.role.is_some_and(|role| grants(Role::Organization(role), permission))
}

/// Whether the payer's whole bill is the caller's to see; else what others charge it stays out of the answer.
fn sees_bill(standing: &Standing) -> bool {
    let sees = |role| grants(Role::Subscription(role), Permission::InvoiceView);
    standing.operator || standing.payer_role.is_some_and(sees)
}

fn denied(missing: Permission, organization: &OrganizationBook) -> Refusal {
    Refusal::PermissionDenied { missing, scope: Scope::Organization(organization.row.id) }
}

/// Who pays.
fn choose_payer(
    book: &Book,
    order: &Order,
    organization: &OrganizationBook,
    standing: &Standing,
    blockers: &mut Vec<Refusal>,
) -> Result<Payment, Refusal> {
    if let Some(linked) = organization.link {
        if order.billing.is_some() && order.chosen() != Some(linked) {
            return Err(Refusal::BillingAlreadySetUp(linked));
        }
        let payer = book.payers.get(&linked).ok_or(Refusal::NotFound("subscription"))?;
        let role = standing.payer_role.filter(|_| standing.payer == Some(linked));
        if !role.is_some_and(|role| grants(Role::Subscription(role), Permission::SubscriptionUse)) {
            let scope = Scope::Subscription(linked);
            blockers.push(Refusal::PermissionDenied { missing: Permission::SubscriptionUse, scope });
        }
        return Ok(Payment::Linked(payer.payer.clone()));
    }
    if !may(standing, Permission::BillingSetUp) {
        blockers.push(denied(Permission::BillingSetUp, organization));
    }
    match &order.billing {
        None => {
            blockers.push(Refusal::BillingSetupRequired);
            Ok(Payment::Missing)
        }
        Some(BillingChoice::Existing(id)) => Ok(Payment::WillLink(chosen(book, *id, standing)?)),
        Some(BillingChoice::New(data)) => {
            if !may(standing, Permission::SubscriptionCreateInCheckout) {
                blockers.push(denied(Permission::SubscriptionCreateInCheckout, organization));
            }
            data.check(book.policy.methods).map_err(|fault| match fault {
                NewSubscriptionFault::Field(field, why) => {
                    Refusal::invalid(format!("/billing/new_subscription/{field}"), why)
                }
                NewSubscriptionFault::Declined(reason) => {
                    Refusal::PaymentDeclined { reason: reason.to_owned(), url: None }
                }
            })?;
            let payer = data.payer(SubscriptionId::from_uuid(uuid::Uuid::nil()));
            Ok(Payment::WillCreate(data.clone(), payer))
        }
    }
}

/// An existing subscription that the caller may know of.
pub(crate) fn chosen(book: &Book, id: SubscriptionId, standing: &Standing) -> Result<Payer, Refusal> {
    let payer = book.payers.get(&id).ok_or(Refusal::NotFound("subscription"))?;
    let seen = standing.operator || (standing.payer == Some(id) && standing.payer_role.is_some());
    if seen { Ok(payer.payer.clone()) } else { Err(Refusal::NotFound("subscription")) }
}

/// The offer, if it is to be seen: a hidden one only by who has it.
pub(crate) fn find_offer(book: &Book, organization: &OrganizationBook, named: &str) -> Result<Arc<Offer>, Refusal> {
    let offer = book.catalogue.resolve(named).ok_or(Refusal::NotFound("offer"))?;
    let held = organization.entitlements.get(&offer.id).is_some_and(|row| row.next > 0 || row.committed > 0);
    if offer.definition.state == OfferState::Hidden && !held {
        return Err(Refusal::NotFound("offer"));
    }
    Ok(Arc::clone(offer))
}

/// What an offer asks of a payer.
#[must_use]
pub fn need(policy: &Policy, offer: &Offer, currency: Currency, country: CountryCode) -> Need {
    let free = offer.is_free();
    Need {
        partner: !free && offer.definition.publisher.as_str() != policy.platform_publisher,
        at_purchase: !free && collects(offer),
        priced: free || offer.prices.contains_key(&currency),
        served: offer.serves(country),
    }
}

/// Whether an offer's part of the month is paid when it is bought. What is metered is billed afterwards.
fn collects(offer: &Offer) -> bool {
    offer.definition.collection == Collection::AtPurchase && offer.definition.kind != OfferKind::LoadTesting
}

/// Whether a purchase of these lines is paid at once: all of it where one line is, so that what the quote shows as `now` is
/// what the card is asked for.
pub(crate) fn collected(lines: &[Line]) -> bool {
    lines.iter().any(|line| collects(&line.offer) && !line.now.is_zero())
}

pub(crate) fn grows(line: &Line) -> bool {
    // No cap is the highest.
    let most = |row: &EntitlementRow| if row.cap > 0 { row.cap } else { i64::MAX };
    let (before, after) = (&line.before, &line.after);
    after.next > before.next || after.metered && (!before.metered || most(after) > most(before))
}

/// One item.
fn decide_line(
    offer: Arc<Offer>,
    before: EntitlementRow,
    ask: &Ask,
    place: usize,
    (currency, pays): (Currency, bool),
    now: Timestamp,
) -> Result<Line, Refusal> {
    let metered_offer = offer.definition.kind == OfferKind::LoadTesting;
    if offer.definition.bring_your_own_license {
        let detail = "is billed by its publisher; install it instead of buying it here";
        return Err(Refusal::invalid(format!("/items/{place}/offer"), detail));
    }
    let mut after = before.clone();
    after.installed |= offer.definition.kind == OfferKind::Extension;
    match ask {
        Ask::Metered(_) if !metered_offer => {
            let detail = "is sold by quantity; name quantity instead of metered";
            return Err(Refusal::invalid(format!("/items/{place}/metered"), detail));
        }
        Ask::Quantity { .. } if metered_offer => {
            let detail = "is metered; switch it on with metered instead of a quantity";
            return Err(Refusal::invalid(format!("/items/{place}/quantity"), detail));
        }
        Ask::Metered(metered) => {
            let most = offer.definition.maximum;
            if metered.cap.is_some_and(|cap| cap < 1 || cap > most) {
                let slug = offer.slug.to_string();
                return Err(Refusal::QuantityOutOfRange { offer: slug, item: place, minimum: 1, maximum: most });
            }
            after.metered = metered.on;
            after.cap = metered.cap.filter(|_| metered.on).unwrap_or(0);
            return Ok(Line { offer, before, after, basis: None, now: zero(currency), renewal: zero(currency) });
        }
        Ask::Quantity { total, .. } => {
            check_range(&offer, &before, *total, place)?;
            after.next = *total;
        }
    }
    // What is suspended stays so, however much less of it is wanted; more of it is refused for the payer's sake.
    let suspended = !pays && after.next <= before.next;
    let mut basis = None;
    let mut charged_now = zero(currency);
    let mut renewal = zero(currency);
    if !offer.is_free() {
        let mismatch = || Refusal::NotEligible(vec![ReasonCode::CurrencyMismatch.into()]);
        let next_first = after.month.next().first_day();
        let at_renewal = offer.price_on(currency, next_first).ok_or_else(mismatch)?;
        renewal = Money::from_exact(&at_renewal.price.total(after.next), currency).map_err(too_large)?;
        if after.next > before.committed && !suspended {
            let units = (before.committed, after.next);
            let more = increase(&offer, &mut after, units, currency, now).map_err(too_large)?;
            let computed = more.ok_or_else(mismatch)?;
            charged_now = computed.money();
            basis = Some(computed);
        }
    }
    if !suspended {
        after.committed = after.committed.max(after.next);
    }
    Ok(Line { offer, before, after, basis, now: charged_now, renewal })
}

/// What more paid units, from so many to so many, cost for what is left of the month, at the version in force
/// on the day, added to what `row` was charged for; none where there is no price.
pub(crate) fn increase(
    offer: &Offer,
    row: &mut EntitlementRow,
    (from, to): (i64, i64),
    currency: Currency,
    now: Timestamp,
) -> Result<Option<ChargeBasis>, MoneyError> {
    let Some(version) = offer.price_on(currency, now.date_naive()) else { return Ok(None) };
    let inputs = ChargeInputs {
        offer: offer.slug.to_string(),
        currency,
        price_version: version.version,
        before: from,
        after: to,
        fraction: offer.definition.proration.fraction(now),
        accrued_before: row.accrued.clone(),
        charged_before: row.charged,
    };
    let computed = ChargeBasis::compute(&version.price, inputs)?;
    row.accrued = computed.accrued();
    row.charged = row.charged.checked_add(computed.amount).ok_or(MoneyError::Overflow)?;
    Ok(Some(computed))
}

fn check_range(offer: &Offer, before: &EntitlementRow, total: i64, place: usize) -> Result<(), Refusal> {
    if total == before.next || (total == 0 && before.next > 0) {
        return Ok(());
    }
    // What is no longer sold may only shrink.
    let retired = offer.definition.state == OfferState::Retired;
    let maximum = if retired { before.next } else { offer.definition.maximum };
    let minimum = offer.definition.minimum.min(maximum);
    if total < minimum || total > maximum {
        return Err(Refusal::QuantityOutOfRange { offer: offer.slug.to_string(), item: place, minimum, maximum });
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)]
fn body(
    book: &Book,
    order: &Order,
    (payment, account): (&Payment, Option<&PayerBook>),
    lines: &[Line],
    (rate, next_rate): (TaxRate, TaxRate),
    (country, provisional): (CountryCode, bool),
    now: Timestamp,
    blockers: &[Refusal],
) -> Result<QuoteBody, Refusal> {
    let currency = payment.payer().map_or(order.currency.unwrap_or(book.policy.platform_currency), |p| p.currency);
    let on = Month::of(now).next().first_day();
    // What would change it is said where it would.
    let reversible =
        payment.payer().is_some_and(|payer| !payer.tax_confirmed && book.policy.taxes.crosses(payer.country));
    let whose = match (provisional, reversible) {
        (true, _) => ", provisional until billing is set up",
        (_, true) => {
            ", for its VAT number is not confirmed; once an operator has confirmed it, the payer owes the tax itself"
        }
        _ => "",
    };
    let total = |part: fn(&Line) -> Money, rate: &TaxRate| {
        Totals::of(lines.iter().map(|line| (rate.clone(), part(line))), currency).map_err(too_large)
    };
    let at_purchase = collected(lines);
    Ok(QuoteBody {
        organization: order.organization,
        subscription: match payment {
            Payment::Linked(payer) | Payment::WillLink(payer) => Some(payer.id),
            _ => None,
        },
        billing: payment.outcome(),
        lines: lines.iter().map(|line| line_view(line, &rate, (country, whose), now)).collect(),
        now: total(|line| line.now, &rate)?,
        renewal: DatedTotals { on, totals: total(|line| line.renewal, &next_rate)? },
        next_invoice: DatedTotals {
            on,
            totals: next_invoice(book, account, lines, (&rate, &next_rate), currency, now)?,
        },
        collected: if at_purchase { "now" } else { "on_invoice" },
        // What is paid at once has an invoice, which only a credit note corrects.
        undo_until: if at_purchase { now } else { undo::until(&book.policy, now) },
        undo_keeps: undo::keeps(lines, currency).map_err(too_large)?,
        allowed: blockers.is_empty(),
        reasons: blockers.iter().flat_map(reasons).collect(),
        budgets: Vec::new(),
    })
}

fn reasons(blocker: &Refusal) -> Vec<Reason> {
    match blocker {
        Refusal::PermissionDenied { missing, .. } => vec![Reason::missing(*missing)],
        Refusal::BillingSetupRequired => vec![ReasonCode::BillingSetupRequired.into()],
        Refusal::NotEligible(reasons) => reasons.clone(),
        Refusal::BudgetExceeded(_) => vec![ReasonCode::BudgetExceeded.into()],
        Refusal::PurchaseInProgress(_) => vec![ReasonCode::PurchaseInProgress.into()],
        _ => Vec::new(),
    }
}

/// A payer's next invoice as it stands, without anything new.
pub(crate) fn coming(book: &Book, payer: SubscriptionId, now: Timestamp) -> Result<Option<DatedTotals>, Refusal> {
    let Some(account) = book.payers.get(&payer) else { return Ok(None) };
    let payer = &account.payer;
    let on = Month::of(now).next().first_day();
    let rate = |day| book.policy.taxes.of(payer, day);
    let (rates, currency) = ((rate(now.date_naive()), rate(on)), payer.currency);
    let totals = next_invoice(book, Some(account), &[], (&rates.0, &rates.1), currency, now)?;
    Ok(Some(DatedTotals { on, totals }))
}

/// The payer's next invoice as it would then be: what was charged and is not billed, what is charged now, and the
/// coming month of every organization billed to it, if it can pay for one. Without an account: these lines
/// alone.
fn next_invoice(
    book: &Book,
    account: Option<&PayerBook>,
    lines: &[Line],
    (rate, next_rate): (&TaxRate, &TaxRate),
    currency: Currency,
    now: Timestamp,
) -> Result<Totals, Refusal> {
    let waiting = if collected(lines) { &[] } else { lines };
    let mut amounts: Vec<(TaxRate, Money)> = waiting.iter().map(|line| (rate.clone(), line.now)).collect();
    let mut renewals = account.map(|payer| payer.renewals.clone()).unwrap_or_default();
    if let Some(payer) = account {
        // What waits for this month's own bill is on the one before.
        let waits = payer.unbilled.iter().filter(|((bill, _), _)| *bill > Month::of(now));
        amounts.extend(waits.map(|((_, rate), minor)| (rate.clone(), Money::new(*minor, currency))));
        amounts.extend(metered::so_far(book, payer, Month::of(now)).map_err(too_large)?);
    }
    if account.is_some_and(|payer| !payer.payer.status.pays()) {
        return Totals::of(amounts, currency).map_err(too_large);
    }
    let mut change: BTreeMap<_, i64> = BTreeMap::new();
    for line in lines {
        *change.entry((line.offer.id, line.before.next)).or_default() -= 1;
        *change.entry((line.offer.id, line.after.next)).or_default() += 1;
    }
    for (key, by) in change {
        let count = renewals.entry(key).or_insert(0);
        *count = count.saturating_add(by);
    }
    let first = Month::of(now).next().first_day();
    for ((offer, units), organizations) in renewals {
        let Some(offer) = book.catalogue.offer(offer).filter(|_| units > 0 && organizations > 0) else { continue };
        let Some(version) = offer.price_on(currency, first) else { continue };
        let one = Money::from_exact(&version.price.total(units), currency).map_err(too_large)?;
        let all = one.minor().checked_mul(organizations).ok_or_else(|| too_large(MoneyError::Overflow))?;
        amounts.push((next_rate.clone(), Money::new(all, currency)));
    }
    Totals::of(amounts, currency).map_err(too_large)
}

/// A line as people see it, with how it is worked out.
fn line_view(line: &Line, rate: &TaxRate, (country, whose): (CountryCode, &str), now: Timestamp) -> LineView {
    let mut why = line.basis.as_ref().map(ChargeBasis::steps).unwrap_or_default();
    let day = now.date_naive();
    let first = line.after.month.next().first_day();
    let mut step = |step: &str, detail: String, value: String| {
        why.push(Step { step: step.to_owned(), detail, value });
    };
    if line.after.metered || line.before.metered {
        let cap = if line.after.cap > 0 { format!(", at most {} a month", line.after.cap) } else { String::new() };
        let word = if line.after.metered { "on" } else { "off" };
        step(
            "metered",
            format!("switched {word}{cap}; use above {} is billed afterwards", line.offer.definition.included),
            line.now.to_string(),
        );
    } else if line.basis.is_none() {
        let detail = if line.offer.is_free() {
            "free of charge".to_owned()
        } else {
            format!("nothing is charged this month: {} units are paid until {first}", line.before.committed)
        };
        step("no_charge", detail, line.now.to_string());
    }
    if line.offer.definition.first_paid_replaces_included {
        let (from, to) = (usable(&line.offer, &line.before), usable(&line.offer, &line.after));
        step("usable", "the first paid unit replaces the included one".into(), format!("{from}/{to}"));
    }
    if !line.offer.is_free() {
        step("renewal", format!("{} units for a full month, from {first}", line.after.next), line.renewal.to_string());
        let whose = format!("{country}{whose}");
        if rate.is_reverse() {
            let detail =
                format!("reverse charge in {whose}: the VAT number is confirmed, and the payer owes the tax itself");
            step("tax", detail, rate.as_str().to_owned());
        } else if rate.is_none() {
            step("tax", format!("no rate is configured for {whose} on {day}: none is charged"), "0".into());
        } else {
            let detail = format!("percent in {whose} on {day}, taken on the sum of the lines");
            step("tax", detail, rate.as_str().to_owned());
        }
    }
    LineView {
        offer: line.offer.slug.to_string(),
        quantity: FromTo { from: line.before.next, to: line.after.next },
        included: line.offer.definition.included,
        usable: FromTo { from: usable(&line.offer, &line.before), to: usable(&line.offer, &line.after) },
        now: line.now,
        renewal: line.renewal,
        why,
    }
}
