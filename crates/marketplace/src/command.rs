//! Commands decided one after the other against the same book; each leaves what is to be written, and the book as it
//! is then.

use crate::book::{Book, PayerBook, Standing, nothing};
use crate::catalogue::{Collection, OfferKind};
use crate::decide::{self, Line, Payment, Priced};
use crate::order::{Act, Caller, Command, Order};
use crate::quote::{self, PurchaseView, QuoteView};
use crate::refusal::{Refusal, Scope};
use crate::resume::resume;
use crate::undo::{self, Found};
use billing::invoice::bill;
use billing::ledger::{Posting, Share, postings_of_charge};
use kernel::{
    ChargeId, Currency, Exact, IdSource, LinkId, Month, OfferId, OrganizationId, Permission, PurchaseId, Role,
    SubscriptionId, SubscriptionRole, Timestamp, grants,
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use store::subscriptions::SubscriptionRow;
use store::till::{Earlier, EntitlementRow};
use store::undo::UndoneRow;
use store::{Actor, NewEvent};

/// A charge to be written.
#[derive(Clone, Debug)]
pub struct NewCharge {
    /// Its id.
    pub id: ChargeId,
    /// The purchase that it is of; none for what was renewed, resumed or used.
    pub purchase: Option<PurchaseId>,
    /// Who pays.
    pub subscription: SubscriptionId,
    /// Tax rate of it.
    pub tax_rate: billing::TaxRate,
    /// The month on whose first day it is billed.
    pub bill: Month,
    /// The line that it is of.
    pub line: Line,
    /// The ledger's postings.
    pub postings: Vec<Posting>,
}

/// A purchase to be written.
#[derive(Clone, Debug)]
pub struct NewPurchase {
    /// Its id.
    pub id: PurchaseId,
    /// Who pays.
    pub subscription: SubscriptionId,
    /// The caller's key.
    pub key: String,
    /// Hash of the request.
    pub request_hash: [u8; 32],
    /// The answer, to the byte.
    pub answer: String,
    /// What it found and changed, JSON ([`crate::undo::Found`]).
    pub found: String,
}

/// What a command leaves to be written.
#[derive(Clone, Debug)]
pub struct Writes {
    /// Who did it; none where time did.
    pub caller: Option<Caller>,
    /// For whom.
    pub organization: OrganizationId,
    /// When.
    pub at: Timestamp,
    /// A payer that comes into being.
    pub created: Option<SubscriptionRow>,
    /// A link that comes into being, and to whom.
    pub link: Option<(LinkId, SubscriptionId)>,
    /// A purchase.
    pub purchase: Option<NewPurchase>,
    /// Charges.
    pub charges: Vec<NewCharge>,
    /// Months of metered use that are charged with it.
    pub closed: Vec<(OfferId, Month)>,
    /// A purchase that is undone.
    pub undone: Option<UndoneRow>,
    /// What happened.
    pub event: NewEvent,
}

/// What a command comes to.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It is done once this is written; the answer to give then.
    Write(Box<Writes>, String),
    /// It was done before: the same answer.
    Replay(String),
    /// There is nothing to do.
    Nothing,
    /// It needs facts about a link that this batch makes: decide it in the next.
    NextBatch,
}

/// Decides a command and brings the book up to date.
///
/// # Errors
/// [`Refusal`]; the book is as it was.
pub fn decide(
    book: &mut Book,
    command: &Command,
    standing: &Standing,
    now: Timestamp,
    ids: &mut IdSource,
) -> Result<Decision, Refusal> {
    if let Act::Purchase { key, request_hash, .. } = &command.act
        && let Some(earlier) = book.earlier.get(&(command.caller.user, key.as_str().to_owned()))
    {
        // The same answer for good, needing no more than authentication.
        let same = earlier.request_hash == request_hash;
        return if same { Ok(Decision::Replay(earlier.answer.clone())) } else { Err(Refusal::KeyReused) };
    }
    let organization = book.organizations.get(&command.organization());
    if organization.is_some_and(|o| o.linked_in_batch) {
        return Ok(Decision::NextBatch);
    }
    let now = organization.map_or(now, |o| now.max(o.last_fact));
    match &command.act {
        Act::Purchase { order, quote, key, request_hash } => {
            let priced = decide::price(book, order, standing, now)?;
            accept(book, order, quote.as_deref(), &priced, now)?;
            Ok(buy(book, command, (key.as_str(), *request_hash), priced, now, ids))
        }
        Act::SetUpBilling { organization, subscription } => {
            set_up(book, command, *organization, *subscription, standing, now, ids)
        }
        // Whoever comes first brings the organization to its month before anything else is decided.
        Act::Turn { .. } => Ok(Decision::Nothing),
        Act::Resume { organization } => Ok(resume(book, *organization, now, ids).unwrap_or(Decision::Nothing)),
        Act::Undo { organization, purchase, key, .. } => {
            undo::undo(book, command, (*organization, *purchase, key.as_ref()), standing, now, ids)
        }
        Act::Install { organization, offer, on } => install(book, command, (*organization, offer, *on), standing, now),
    }
}

/// The quote that a priced order comes to.
#[must_use]
pub fn quote_view(book: &Book, priced: &Priced, now: Timestamp) -> QuoteView {
    let expires_at = quote::expiry(now);
    QuoteView {
        id: quote::seal(&book.policy.quote_key, expires_at, &priced.payment.sealed(), &priced.body),
        at: now,
        expires_at,
        body: priced.body.clone(),
    }
}

/// Whether a priced order may be bought.
fn accept(book: &Book, order: &Order, quote: Option<&str>, priced: &Priced, now: Timestamp) -> Result<(), Refusal> {
    if let Some(blocker) = priced.blockers.first() {
        return Err(blocker.clone());
    }
    if priced.changed_since {
        return Err(Refusal::QuantityChanged(Box::new(quote_view(book, priced, now))));
    }
    if let Some(named) = quote {
        let holds = quote::expires(named).is_some_and(|until| {
            now < until && quote::seal(&book.policy.quote_key, until, &priced.payment.sealed(), &priced.body) == named
        });
        if !holds {
            return Err(Refusal::PriceChanged(Box::new(quote_view(book, priced, now))));
        }
    }
    let at_purchase = |line: &Line| line.offer.definition.collection == Collection::AtPurchase && !line.now.is_zero();
    if let Some(place) = priced.lines.iter().position(at_purchase) {
        let detail = "is paid when it is bought, which this installation cannot collect yet";
        return Err(Refusal::invalid(format!("/items/{place}/offer"), detail));
    }
    debug_assert!(!order.items.is_empty(), "an order has an item");
    Ok(())
}

pub(crate) fn event(command: &Command, kind: &'static str, at: Timestamp, public: &impl Serialize) -> NewEvent {
    let private = command.caller.address.as_ref().map(|address| serde_json::json!({ "address": address }).to_string());
    let public = serde_json::to_string(public).unwrap_or_default();
    NewEvent {
        kind,
        organization: Some(command.organization()),
        actor: Actor::User(command.caller.user),
        at,
        public,
        private,
    }
}

/// A purchase as the audit trail keeps it: all that `purser verify` needs to prove its rows.
#[derive(Serialize)]
struct Completed {
    purchase: PurchaseId,
    organization: OrganizationId,
    subscription: SubscriptionId,
    subscription_created: bool,
    link: Option<LinkId>,
    currency: Currency,
    /// SHA-256 of the stored answer.
    answer: String,
    /// SHA-256 of key and request hash.
    request: String,
    /// SHA-256 of what it found.
    found: String,
    lines: Vec<CompletedLine>,
}

#[derive(Serialize)]
struct CompletedLine {
    offer: OfferId,
    charge: Option<ChargeId>,
    amount: String,
    before: Before,
    after: State,
}

#[derive(Serialize)]
struct Before {
    committed: i64,
    next: i64,
}

/// An entitlement's state as the audit trail keeps it.
#[derive(Serialize)]
pub(crate) struct State {
    committed: i64,
    next: i64,
    month: Month,
    accrued: Exact,
    charged: i64,
    installed: bool,
    metered: bool,
    cap: i64,
    version: i64,
}

impl From<&EntitlementRow> for State {
    fn from(row: &EntitlementRow) -> Self {
        Self {
            committed: row.committed,
            next: row.next,
            month: row.month,
            accrued: row.accrued.clone(),
            charged: row.charged,
            installed: row.installed,
            metered: row.metered,
            cap: row.cap,
            version: row.version,
        }
    }
}

fn buy(
    book: &mut Book,
    command: &Command,
    (key, request_hash): (&str, [u8; 32]),
    priced: Priced,
    now: Timestamp,
    ids: &mut IdSource,
) -> Decision {
    let organization = command.organization();
    let caller = command.caller.clone();
    let id: PurchaseId = ids.next(now);
    let (mut created, mut link) = (None, None);
    let (subscription, payer) = match &priced.payment {
        Payment::Linked(payer) => (payer.id, payer.clone()),
        Payment::WillLink(payer) => {
            link = Some((ids.next(now), payer.id));
            (payer.id, payer.clone())
        }
        Payment::WillCreate(data, _) => {
            let subscription: SubscriptionId = ids.next(now);
            created = Some(data.row(subscription, now));
            link = Some((ids.next(now), subscription));
            (subscription, data.payer(subscription))
        }
        // `accept` has refused it.
        Payment::Missing => return Decision::Nothing,
    };

    // What is bought within a month is billed on the next first.
    let bill = bill(Month::of(now).next(), payer.billed_through);
    let mut body = priced.body;
    body.subscription = Some(subscription);
    body.budgets.clear();
    let mut charges = Vec::new();
    let mut told = Vec::with_capacity(priced.lines.len());
    let mut rows = Vec::with_capacity(priced.lines.len());
    let mut found = Found::new(&body, link.map(|(link, _)| link));
    for mut line in priced.lines {
        if line.after != line.before {
            line.after.version = line.before.version.saturating_add(1);
            line.after.changed_at = now;
            line.after.purchase = Some(id);
            rows.push((line.before.next, line.after.clone()));
        }
        let charge: Option<ChargeId> = (!line.now.is_zero()).then(|| ids.next(now));
        if line.after != line.before {
            found.keep(book, &line.before, charge);
        }
        told.push(CompletedLine {
            offer: line.offer.id,
            charge,
            amount: line.now.amount_string(),
            before: Before { committed: line.before.committed, next: line.before.next },
            after: State::from(&line.after),
        });
        if let Some(charge) = charge {
            let share = partner_share(book, &line);
            let share = share.as_ref().map(|(publisher, part)| Share { publisher, part });
            let postings = postings_of_charge(charge, subscription, line.offer.id, line.now, share);
            let tax_rate = priced.rate.clone();
            let purchase = Some(id);
            charges.push(NewCharge { id: charge, purchase, subscription, tax_rate, bill, line, postings });
        }
    }

    let view = PurchaseView {
        id,
        at: now,
        expires_at: quote::expiry(now),
        body,
        state: "completed",
        subscription_created: created.is_some(),
        billing_set_up: link.is_some(),
        charges: charges.iter().map(|charge| charge.id).collect(),
        purchased_by: caller.user,
    };
    let answer = serde_json::to_string(&view).unwrap_or_default();
    let found = serde_json::to_string(&found).unwrap_or_default();
    let told = Completed {
        purchase: id,
        organization,
        subscription,
        subscription_created: created.is_some(),
        link: link.map(|(link, _)| link),
        currency: payer.currency,
        answer: hex::encode(Sha256::digest(answer.as_bytes())),
        request: hex::encode(Sha256::new().chain_update(key.as_bytes()).chain_update(request_hash).finalize()),
        found: hex::encode(Sha256::digest(found.as_bytes())),
        lines: told,
    };
    let event = event(command, "purchase.completed", now, &told);

    let earlier = Earlier { request_hash: request_hash.to_vec(), answer: answer.clone() };
    book.earlier.insert((caller.user, key.to_owned()), earlier);
    let account = book.payers.entry(subscription).or_insert_with(|| PayerBook::new(payer));
    for charge in &charges {
        let slot = account.unbilled.entry((charge.bill, priced.rate.clone())).or_insert(0);
        *slot = slot.saturating_add(charge.line.now.minor());
        book.budgets.charge(subscription, organization, charge.line.after.month, charge.line.now.minor());
    }
    let held = book.organizations.get(&organization).filter(|_| link.is_some());
    for row in held.into_iter().flat_map(|held| held.entitlements.values()) {
        // All that it has is new to who pays from now on.
        account.move_renewal(row.offer, 0, row.next);
    }
    for (next_before, row) in &rows {
        account.move_renewal(row.offer, *next_before, row.next);
    }
    keep(book, organization, link.map(|(_, subscription)| subscription), rows.into_iter().map(|(_, row)| row), now);

    let purchase = NewPurchase { id, subscription, key: key.to_owned(), request_hash, answer: answer.clone(), found };
    let (caller, purchase, closed, undone) = (Some(caller), Some(purchase), Vec::new(), None);
    let writes = Writes { caller, organization, at: now, created, link, purchase, charges, closed, undone, event };
    Decision::Write(Box::new(writes), answer)
}

/// The publisher of a partner's offer and its part of a sale.
pub(crate) fn partner_share(book: &Book, line: &Line) -> Option<(String, kernel::Exact)> {
    let publisher = &line.offer.definition.publisher;
    if publisher.as_str() == book.policy.platform_publisher {
        return None;
    }
    let share = book.catalogue.publisher(publisher.as_str())?.share.exact();
    Some((publisher.to_string(), share))
}

/// Brings the book up to date with what a command changed.
pub(crate) fn keep(
    book: &mut Book,
    organization: OrganizationId,
    linked: Option<SubscriptionId>,
    rows: impl Iterator<Item = EntitlementRow>,
    now: Timestamp,
) {
    let Some(held) = book.organizations.get_mut(&organization) else { return };
    held.last_fact = held.last_fact.max(now);
    if let Some(subscription) = linked {
        held.link = Some(subscription);
        held.linked_in_batch = true;
    }
    for row in rows {
        book.changed.insert((organization, row.offer));
        held.entitlements.insert(row.offer, row);
    }
}

/// Billing set up ahead of buying.
fn set_up(
    book: &mut Book,
    command: &Command,
    organization: OrganizationId,
    subscription: SubscriptionId,
    standing: &Standing,
    now: Timestamp,
    ids: &mut IdSource,
) -> Result<Decision, Refusal> {
    let held = decide::visible(book, organization, standing)?;
    if !decide::may(standing, Permission::BillingSetUp) {
        let scope = Scope::Organization(organization);
        return Err(Refusal::PermissionDenied { missing: Permission::BillingSetUp, scope });
    }
    if let Some(linked) = held.link.filter(|linked| *linked != subscription) {
        return Err(Refusal::BillingAlreadySetUp(linked));
    }
    let payer = decide::chosen(book, subscription, standing)?;
    let reasons = payer.reasons(standing.payer_role, &[]);
    if !reasons.is_empty() {
        return Err(Refusal::NotEligible(reasons));
    }
    if held.link.is_some() {
        return Ok(Decision::Nothing);
    }
    let link: LinkId = ids.next(now);
    let moved: Vec<_> = held.entitlements.values().map(|row| (row.offer, row.next)).collect();
    let told = serde_json::json!({ "link": link, "organization": organization, "subscription": subscription });
    if let Some(account) = book.payers.get_mut(&subscription) {
        for (offer, next) in moved {
            account.move_renewal(offer, 0, next);
        }
    }
    keep(book, organization, Some(subscription), std::iter::empty(), now);
    let writes = Writes {
        caller: Some(command.caller.clone()),
        organization,
        at: now,
        created: None,
        link: Some((link, subscription)),
        purchase: None,
        charges: Vec::new(),
        closed: Vec::new(),
        undone: None,
        event: event(command, "billing.set_up", now, &told),
    };
    Ok(Decision::Write(Box::new(writes), String::new()))
}

/// An extension installed or removed. What was bought stays paid.
fn install(
    book: &mut Book,
    command: &Command,
    (organization, named, on): (OrganizationId, &str, bool),
    standing: &Standing,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let held = decide::visible(book, organization, standing)?;
    let offer = decide::find_offer(book, held, named)?;
    if !decide::may(standing, Permission::ExtensionInstall) {
        let scope = Scope::Organization(organization);
        return Err(Refusal::PermissionDenied { missing: Permission::ExtensionInstall, scope });
    }
    if offer.definition.kind != OfferKind::Extension {
        return Err(Refusal::invalid("", "only extensions are installed"));
    }
    let before =
        held.entitlements.get(&offer.id).cloned().unwrap_or_else(|| nothing(organization, offer.id, Month::of(now)));
    if before.installed == on {
        return Ok(Decision::Nothing);
    }
    let version = before.version.saturating_add(1);
    let row = EntitlementRow { installed: on, version, changed_at: now, ..before };
    let told = serde_json::json!({ "organization": organization, "offer": offer.id, "after": State::from(&row) });
    let kind = if on { "extension.installed" } else { "extension.removed" };
    keep(book, organization, None, std::iter::once(row), now);
    let writes = Writes {
        caller: Some(command.caller.clone()),
        organization,
        at: now,
        created: None,
        link: None,
        purchase: None,
        charges: Vec::new(),
        closed: Vec::new(),
        undone: None,
        event: event(command, kind, now, &told),
    };
    Ok(Decision::Write(Box::new(writes), String::new()))
}

/// What a holder of a role may do on a subscription.
#[must_use]
pub fn subscription_role_may(role: Option<SubscriptionRole>, permission: Permission) -> bool {
    role.is_some_and(|role| grants(Role::Subscription(role), permission))
}
