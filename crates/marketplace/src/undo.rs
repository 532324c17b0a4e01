//! Undo: the latest purchase of its offers goes back whole, by entries and never by edits. What it found is kept with
//! it, so that quantities, running sums and switches are what they were; what it charged is taken back by charges of its
//! own, but for a day's price where nothing can show that it was not used. Pure, but for what is loaded.

use crate::book::{Book, EntitlementRow, OrganizationBook, Standing};
use crate::catalogue::Offer;
use crate::command::{Decision, NewCharge, State, Writes, event, keep};
use crate::decide::{Line, visible};
use crate::order::{Act, Caller, Command};
use crate::policy::Policy;
use crate::quote::{self, Undone};
use crate::refusal::{CannotUndo, Refusal, Scope};
use billing::{Payer, TaxRate};
use chrono::TimeDelta;
use kernel::{
    ChargeBasis, ChargeId, Currency, DayRule, Exact, IdSource, IdempotencyKey, LinkId, Money, MoneyError, Month,
    OfferId, OrganizationId, Permission, PurchaseId, Reversal, Role, SubscriptionId, SubscriptionRole, Timestamp,
    UserId, grants, parse_rfc3339, rfc3339,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use store::idempotency::Kept;
use store::proof::{ChargeProof, TransferProof};
use store::purchases::PurchaseRow;
use store::undo::UndoneRow;
use store::{Actor, StoreError, Tx};

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Until when what is bought at `now` can be undone: so many hours, but not across the month's turn.
#[must_use]
pub fn until(policy: &Policy, now: Timestamp) -> Timestamp {
    let hours = TimeDelta::try_hours(policy.undo_hours).unwrap_or_default();
    now.checked_add_signed(hours).unwrap_or(now).min(Month::of(now).next().start())
}

/// What of the lines' charges stays charged when they are undone, before tax.
///
/// # Errors
/// [`MoneyError::Overflow`] past the largest amount.
pub fn keeps(lines: &[Line], currency: Currency) -> Result<Money, MoneyError> {
    lines.iter().try_fold(Money::zero(currency), |sum, line| {
        let Some(basis) = line.basis.as_ref().filter(|basis| basis.amount > 0) else { return Ok(sum) };
        // Which charge it takes back does not count for the amount.
        let back =
            basis.reversed(reversal(basis, &line.offer, ChargeId::from_uuid(uuid::Uuid::nil()), line.after.month))?;
        sum.checked_add(line.now)?.checked_add(back.money())
    })
}

/// What a charge of an offer gives back: all, or all but the price of a day, as its rule counts days, and never more
/// than it was.
fn reversal(basis: &ChargeBasis, offer: &Offer, charge: ChargeId, month: Month) -> Reversal {
    let (kept, kept_of) = match basis.rule {
        DayRule::None => (1, i64::from(month.days())),
        DayRule::Seconds => (DAY.min(basis.days_left), basis.days_of),
        _ => (1.min(basis.days_left), basis.days_of),
    };
    let kept = if offer.definition.kind.keeps_a_day() { kept } else { 0 };
    Reversal { charge, charged: basis.amount, kept, kept_of }
}

/// What a purchase found, to go back to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Found {
    /// Until when it can be undone, as it said.
    until: String,
    /// The link that it made.
    link: Option<LinkId>,
    /// What it changed.
    lines: Vec<FoundLine>,
}

/// What a purchase found of an offer that it changed, and what it charged for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct FoundLine {
    offer: OfferId,
    charge: Option<ChargeId>,
    committed: i64,
    next: i64,
    accrued: Exact,
    charged: i64,
    installed: bool,
    metered: bool,
    cap: i64,
    /// Units used in the month by then.
    used: i64,
    /// The purchase that changed it before.
    purchase: Option<PurchaseId>,
}

impl Found {
    /// Of a purchase that can be undone until then, and makes a link.
    pub(crate) fn new(until: Timestamp, link: Option<LinkId>) -> Self {
        Self { until: rfc3339(until), link, lines: Vec::new() }
    }

    /// Keeps what was there before a line that changes it.
    pub(crate) fn keep(&mut self, book: &Book, before: &EntitlementRow, charge: Option<ChargeId>) {
        let used = book.organizations.get(&before.organization).map_or(0, |held| used(held, before));
        self.lines.push(FoundLine {
            offer: before.offer,
            charge,
            committed: before.committed,
            next: before.next,
            accrued: before.accrued.clone(),
            charged: before.charged,
            installed: before.installed,
            metered: before.metered,
            cap: before.cap,
            used,
            purchase: before.purchase,
        });
    }
}

fn used(held: &OrganizationBook, row: &EntitlementRow) -> i64 {
    held.used.get(&(row.offer, row.month)).map_or(0, |count| count.used)
}

/// A purchase that is to be undone, with what is stored of it.
#[derive(Clone, Debug)]
pub struct Undoing {
    row: PurchaseRow,
    found: Option<Found>,
    payer: Payer,
    /// What those who ask hold on its payer.
    roles: HashMap<UserId, SubscriptionRole>,
    charges: Vec<ChargeProof>,
    postings: Vec<TransferProof>,
    /// The link that it made is live.
    linked: bool,
}

/// Loads what the commands of a batch undo, once their organizations are held.
///
/// # Errors
/// As [`StoreError`] says; [`StoreError::Corrupt`] for a purchase that cannot be read.
pub(crate) async fn load(tx: &Tx, commands: &[&Command]) -> Result<HashMap<PurchaseId, Undoing>, StoreError> {
    let mut undoing: HashMap<PurchaseId, Undoing> = HashMap::new();
    for command in commands {
        let Some(id) = command.undoes() else { continue };
        let user = command.caller.user;
        if !undoing.contains_key(&id)
            && let Some(row) = store::purchases::find(tx, id).await?
        {
            undoing.insert(id, Undoing::load(tx, row).await?);
        }
        if let Some(undoing) = undoing.get_mut(&id)
            && let Some((_, Some(role))) = store::subscriptions::find(tx, undoing.payer.id, Some(user)).await?
        {
            undoing.roles.insert(user, role);
        }
    }
    Ok(undoing)
}

impl Undoing {
    async fn load(tx: &Tx, row: PurchaseRow) -> Result<Self, StoreError> {
        let corrupt = |what: String| StoreError::corrupt(format!("{}: {what}", row.id));
        let found: Option<Found> = match row.found.as_str() {
            "" => None,
            text => Some(serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))?),
        };
        let payer = store::subscriptions::find(tx, row.subscription, None).await?;
        let (payer, _) = payer.ok_or_else(|| corrupt("nobody pays for it".to_owned()))?;
        let payer = Payer::try_from(&payer).map_err(|error| corrupt(error.to_string()))?;
        let lines = found.iter().flat_map(|found| &found.lines);
        let charges: Vec<ChargeId> = lines.filter_map(|line| line.charge).collect();
        let link = store::proof::links(tx, found.as_ref().and_then(|found| found.link).as_slice()).await?;
        Ok(Self {
            linked: link.iter().any(|link| link.ended_at.is_none()),
            charges: store::proof::charges(tx, &charges).await?,
            postings: store::proof::transfers(tx, &charges).await?,
            roles: HashMap::new(),
            row,
            found,
            payer,
        })
    }

    /// Whether it may be undone as far as its charges go. What is invoiced or paid takes a credit note or a refund, which
    /// says so here.
    fn is_settled(&self) -> bool {
        let through = self.payer.billed_through.map(|month| month.to_string()).unwrap_or_default();
        // What was paid at once has an invoice of its own.
        self.charges.iter().any(|charge| charge.bill.parse::<Month>().is_err() || charge.bill <= through)
    }
}

/// `purchase.undone`: all that `purser verify` needs to prove the rows.
#[derive(Serialize)]
struct Told {
    purchase: PurchaseId,
    organization: OrganizationId,
    subscription: SubscriptionId,
    currency: Currency,
    /// The link that ends with it.
    link: Option<LinkId>,
    /// SHA-256 of what the purchase says of it from now on.
    undone: String,
    lines: Vec<ToldLine>,
}

#[derive(Serialize)]
struct ToldLine {
    offer: OfferId,
    /// The charge that is taken back.
    reverses: Option<ChargeId>,
    /// The one that takes it back; none where all of it stays charged.
    charge: Option<ChargeId>,
    amount: String,
    after: State,
}

/// Undoes a purchase; what was undone already gives the same answer.
pub(crate) fn undo(
    book: &mut Book,
    command: &Command,
    (organization, purchase, key): (OrganizationId, PurchaseId, Option<&IdempotencyKey>),
    standing: &Standing,
    now: Timestamp,
    ids: &mut IdSource,
) -> Result<Decision, Refusal> {
    let undoing = book.undoing.get(&purchase).filter(|undoing| undoing.row.organization == organization);
    let undoing = undoing.cloned().ok_or(Refusal::NotFound("purchase"))?;
    may(book, &undoing, command.caller.user, standing)?;
    if !undoing.row.undone.is_empty() {
        return Ok(Decision::Replay(quote::shown(&undoing.row.answer, &undoing.row.undone)));
    }
    let found = stands(book, &undoing, now)?;
    let lines = back(book, &undoing, &found, now)?;

    let mut charges = Vec::new();
    let mut told = Vec::with_capacity(lines.len());
    for (line, original) in lines.iter().zip(&found.lines) {
        let charge: Option<ChargeId> = (!line.now.is_zero()).then(|| ids.next(now));
        told.push(ToldLine {
            offer: line.offer.id,
            reverses: original.charge,
            charge,
            amount: line.now.amount_string(),
            after: State::from(&line.after),
        });
        charges.extend(charge.and_then(|id| undoing.reversing(id, line.clone())));
    }
    let unlinked =
        found.link.filter(|_| undoing.linked && is_unused(book, organization, undoing.row.subscription, &lines));
    let undone = undone(&undoing, command.caller.user, &charges, unlinked.is_some(), now)?;
    let answer = quote::shown(&undoing.row.answer, &undone);
    let told = Told {
        purchase,
        organization,
        subscription: undoing.row.subscription,
        currency: undoing.payer.currency,
        link: unlinked,
        undone: hex::encode(Sha256::digest(undone.as_bytes())),
        lines: told,
    };
    let event = event(&command.caller, organization, "purchase.undone", now, &told);
    book_back(book, organization, &undoing, &charges, unlinked.is_some());
    if let Some(undoing) = book.undoing.get_mut(&purchase) {
        undoing.row.undone.clone_from(&undone);
    }
    keep(book, organization, None, lines.into_iter().map(|line| line.after), now);
    let kept = key.map(|key| (route(&command.caller, purchase, key), kept(&answer)));
    let row = UndoneRow { purchase, undone, at: now, unlinked, kept };
    let (caller, created, link, purchase, closed) = (Some(command.caller.clone()), None, None, None, Vec::new());
    let (undone, collects) = (Some(row), None);
    let writes =
        Writes { caller, organization, at: now, created, link, purchase, charges, closed, undone, collects, event };
    Ok(Decision::Write(Box::new(writes), answer))
}

/// Who may: whoever may put charges on the subscription that it was charged to, linked still or not.
fn may(book: &Book, undoing: &Undoing, user: UserId, standing: &Standing) -> Result<(), Refusal> {
    let role = undoing.roles.get(&user).copied();
    let holds = |permission| role.is_some_and(|role| grants(Role::Subscription(role), permission));
    match visible(book, undoing.row.organization, standing) {
        Err(Refusal::NotFound(_)) if holds(Permission::OrganizationView) => {}
        Err(Refusal::NotFound(_)) => return Err(Refusal::NotFound("purchase")),
        other => {
            other?;
        }
    }
    if holds(Permission::SubscriptionUse) {
        return Ok(());
    }
    let scope = Scope::Subscription(undoing.row.subscription);
    Err(Refusal::PermissionDenied { missing: Permission::SubscriptionUse, scope })
}

/// What it found, if nothing keeps it from being undone.
fn stands(book: &Book, undoing: &Undoing, now: Timestamp) -> Result<Found, Refusal> {
    let refused = |why| Err(Refusal::CannotUndo(why));
    if undoing.row.state == "pending" {
        return Err(Refusal::PurchaseInProgress(undoing.row.id));
    }
    let Some(found) = &undoing.found else { return refused(CannotUndo::NotKept) };
    if undoing.is_settled() {
        return refused(CannotUndo::Invoiced);
    }
    let until = parse_rfc3339(&found.until).unwrap_or(undoing.row.at);
    if now >= until {
        return refused(CannotUndo::TooLate { until });
    }
    let held = book.organizations.get(&undoing.row.organization).ok_or(Refusal::NotFound("purchase"))?;
    // What waits for its payment builds on what is there now.
    if let Some(hold) = found.lines.iter().find_map(|line| held.held.get(&line.offer)) {
        return Err(Refusal::PurchaseInProgress(hold.purchase));
    }
    for line in &found.lines {
        let offer = || book.catalogue.offer(line.offer).map(|offer| offer.slug.to_string()).unwrap_or_default();
        let Some(row) = held.entitlements.get(&line.offer) else {
            return refused(CannotUndo::Changed { offer: offer() });
        };
        match row.purchase {
            Some(latest) if latest == undoing.row.id => {}
            Some(purchase) => return refused(CannotUndo::LaterPurchase { purchase, offer: offer() }),
            None => return refused(CannotUndo::Changed { offer: offer() }),
        }
        if row.metered && used(held, row) > free_before(line).max(line.used) {
            return refused(CannotUndo::Used { offer: offer() });
        }
    }
    Ok(found.clone())
}

/// Units that could be used in the month without the purchase: up to the cap of before, 0 for no cap.
fn free_before(line: &FoundLine) -> i64 {
    match (line.metered, line.cap) {
        (false, _) => 0,
        (true, 0) => i64::MAX,
        (true, cap) => cap,
    }
}

/// What each offer goes back to, and what of its charge.
fn back(book: &Book, undoing: &Undoing, found: &Found, now: Timestamp) -> Result<Vec<Line>, Refusal> {
    let missing = || Refusal::NotFound("purchase");
    let held = book.organizations.get(&undoing.row.organization).ok_or_else(missing)?;
    let mut lines = Vec::with_capacity(found.lines.len());
    for line in &found.lines {
        let offer = Arc::clone(book.catalogue.offer(line.offer).ok_or_else(missing)?);
        let before = held.entitlements.get(&line.offer).ok_or_else(missing)?.clone();
        let mut after = EntitlementRow {
            committed: line.committed,
            next: line.next,
            accrued: line.accrued.clone(),
            charged: line.charged,
            // Installed by it; what was installed or removed by itself since stays so.
            installed: before.installed && line.installed,
            metered: line.metered,
            cap: line.cap,
            purchase: line.purchase,
            version: before.version.saturating_add(1),
            changed_at: now,
            ..before.clone()
        };
        let mut basis = None;
        if let Some(charge) = undoing.charges.iter().find(|charge| Some(charge.id) == line.charge) {
            let original: ChargeBasis = serde_json::from_str(&charge.basis).map_err(|_| missing())?;
            let reversal = reversal(&original, &offer, charge.id, before.month);
            let reversed = original.reversed(reversal).map_err(crate::book::too_large)?;
            after.accrued = reversed.accrued();
            after.charged = line.charged.saturating_add(original.amount).saturating_add(reversed.amount);
            basis = Some(reversed);
        }
        let currency = undoing.payer.currency;
        let amount = basis.as_ref().map_or_else(|| Money::zero(currency), ChargeBasis::money);
        lines.push(Line { offer, before, after, basis, now: amount, renewal: Money::zero(currency) });
    }
    Ok(lines)
}

impl Undoing {
    /// The charge that takes another back: for the same month, on the same bill, at the same rate of tax.
    fn reversing(&self, id: ChargeId, line: Line) -> Option<NewCharge> {
        let original = line.basis.as_ref().and_then(|basis| basis.reversal.as_ref()).map(|reversal| reversal.charge)?;
        let charge = self.charges.iter().find(|charge| charge.id == original)?;
        let postings = self.postings.iter().filter(|posting| posting.fact == original);
        let legs: Vec<_> = postings.map(|leg| (leg.debit.as_str(), leg.credit.as_str(), leg.amount)).collect();
        Some(NewCharge {
            id,
            purchase: Some(self.row.id),
            subscription: self.row.subscription,
            tax_rate: TaxRate::stored(&charge.tax_rate),
            bill: charge.bill.parse().ok()?,
            postings: billing::ledger::postings_back(id, line.now, &legs),
            line,
        })
    }
}

/// Whether nothing of the organization uses its link to the payer, once the lines are what they were: nothing is paid, renewed
/// or switched on, and no use waits to be charged.
fn is_unused(book: &Book, organization: OrganizationId, payer: SubscriptionId, lines: &[Line]) -> bool {
    let Some(held) = book.organizations.get(&organization).filter(|held| held.link == Some(payer)) else {
        return false;
    };
    let after = |row: &EntitlementRow| {
        let line = lines.iter().find(|line| line.after.offer == row.offer);
        let row = line.map_or(row, |line| &line.after);
        row.committed > 0 || row.next > 0 || row.metered
    };
    held.used.is_empty() && !held.entitlements.values().any(after)
}

/// What the purchase says of its undoing from now on, JSON.
fn undone(
    undoing: &Undoing,
    by: UserId,
    charges: &[NewCharge],
    billing_removed: bool,
    now: Timestamp,
) -> Result<String, Refusal> {
    let currency = undoing.payer.currency;
    let charged = undoing.charges.iter().map(|charge| charge.amount).try_fold(0_i64, i64::checked_add);
    let charged = charged.map(|minor| Money::new(minor, currency));
    let back = charges.iter().try_fold(Money::zero(currency), |sum, charge| sum.checked_add(charge.line.now));
    let kept = charged.zip(back.ok()).and_then(|(charged, back)| charged.checked_add(back).ok());
    let kept = kept.ok_or(MoneyError::Overflow).map_err(crate::book::too_large)?;
    let charges = charges.iter().map(|charge| charge.id).collect();
    let undone = Undone { at: now, by, kept, charges, billing_removed };
    Ok(serde_json::to_string(&undone).unwrap_or_default())
}

/// Brings the book up to date, but for what the organization has.
fn book_back(book: &mut Book, organization: OrganizationId, undoing: &Undoing, charges: &[NewCharge], unlinked: bool) {
    if let Some(account) = book.payers.get_mut(&undoing.row.subscription) {
        account.owe(charges);
    }
    let Some(held) = book.organizations.get_mut(&organization) else { return };
    if let Some(account) = held.link.and_then(|link| book.payers.get_mut(&link)) {
        for line in undoing.found.iter().flat_map(|found| &found.lines) {
            let next = held.entitlements.get(&line.offer).map_or(line.next, |row| row.next);
            account.move_renewal(line.offer, next, line.next);
        }
    }
    if unlinked {
        held.link = None;
        held.linked_in_batch = true;
    }
}

/// Caller, method and path, and key that the answer is kept under.
fn route(caller: &Caller, purchase: PurchaseId, key: &IdempotencyKey) -> [String; 3] {
    [Actor::User(caller.user).to_string(), path(purchase), key.as_str().to_owned()]
}

/// Method and path of the act.
#[must_use]
pub fn path(purchase: PurchaseId) -> String {
    format!("POST /v1/purchases/{purchase}/undo")
}

/// Hash of the request, which has no body.
#[must_use]
pub fn request_hash() -> [u8; 32] {
    crate::order::request_hash(&())
}

fn kept(answer: &str) -> Kept {
    Kept { request_hash: request_hash().to_vec(), status: 200, answer: answer.to_owned() }
}

/// The act, for a purchase as it was found.
#[must_use]
pub fn act(purchase: &PurchaseRow, key: Option<IdempotencyKey>) -> Act {
    Act::Undo { organization: purchase.organization, subscription: purchase.subscription, purchase: purchase.id, key }
}
