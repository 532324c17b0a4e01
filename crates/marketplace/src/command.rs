//! Commands decided one after the other against the same book; each leaves what is to be written, and the book as it
//! is then.

use crate::book::{Book, PayerBook, Standing, nothing};
use crate::catalogue::OfferKind;
use crate::decide::{self, Line, Payment, Priced};
use crate::order::{Act, Caller, Command, Order, Settling};
use crate::pending::{self, Collects};
use crate::quote::{self, PurchaseView, QuoteView};
use crate::refusal::{Refusal, Scope};
use crate::resume::resume;
use crate::undo::{self, Found};
use billing::invoice::bill;
use billing::ledger::{Posting, Share, postings_of_charge};
use billing::{Payer, TaxRate};
use kernel::{
    ChargeId, Currency, Exact, IdSource, LinkId, Month, Occasion, OfferId, OrganizationId, Permission, PurchaseId,
    Role, SubscriptionId, SubscriptionRole, Timestamp, grants,
};
use serde::{Deserialize, Serialize};
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
    /// What it is billed for: a month's first day, or its purchase, where that is paid at once.
    pub bill: Occasion,
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
    /// `completed`, or `pending` until it is paid.
    pub state: &'static str,
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
    /// What is to be written of a purchase that is paid at once.
    pub collects: Option<Collects>,
    /// What happened.
    pub event: NewEvent,
}

/// What a command comes to.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It is done once this is written; the answer to give then.
    Write(Box<Writes>, String),
    /// A purchase that waits for its payment once this is written.
    Pend(Box<Writes>, Settling, String),
    /// A purchase that will not be, once this is written.
    Release(Box<Writes>, Refusal),
    /// It waits for its payment still: how it stands.
    Pending(String),
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
        return match (same, earlier.pending) {
            (false, _) => Err(Refusal::KeyReused),
            (true, false) => Ok(Decision::Replay(earlier.answer.clone())),
            (true, true) => Ok(Decision::Pending(earlier.answer.clone())),
        };
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
            let key = (key.as_str(), *request_hash);
            if decide::collected(&priced.lines) {
                return Ok(pending::begin(book, command, key, &priced, now, ids));
            }
            Ok(buy(book, command, key, priced, now, ids))
        }
        Act::Settle { settling, outcome } => pending::settle(book, settling, outcome, now, ids),
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
    debug_assert!(!order.items.is_empty(), "an order has an item");
    Ok(())
}

/// An event of an organization, told by its caller; where the request came from stands apart, for it is personal.
pub(crate) fn event(
    caller: &Caller,
    organization: OrganizationId,
    kind: &'static str,
    at: Timestamp,
    public: &impl Serialize,
) -> NewEvent {
    let private = caller.address.as_ref().map(|address| serde_json::json!({ "address": address }).to_string());
    let public = serde_json::to_string(public).unwrap_or_default();
    NewEvent { kind, organization: Some(organization), actor: Actor::User(caller.user), at, public, private }
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
    /// When it was decided, where it was paid before it was completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<String>,
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
#[derive(Clone, Debug, Serialize, Deserialize)]
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

impl State {
    /// Its month.
    pub(crate) fn month(&self) -> Month {
        self.month
    }

    /// Whether the entitlement is still the one that this state was taken of. What nothing was paid of may be of an earlier
    /// month, since nothing turned it.
    pub(crate) fn is_of(&self, row: &EntitlementRow) -> bool {
        (self.version, self.committed, self.next) == (row.version, row.committed, row.next)
    }

    /// The entitlement of this state, not written yet: with the version that it follows.
    pub(crate) fn following(&self, before: &EntitlementRow) -> EntitlementRow {
        EntitlementRow {
            committed: self.committed,
            next: self.next,
            month: self.month,
            accrued: self.accrued.clone(),
            charged: self.charged,
            installed: self.installed,
            metered: self.metered,
            cap: self.cap,
            ..before.clone()
        }
    }
}

/// SHA-256 over a caller's key and the hash of its request.
pub(crate) fn request_told(key: &str, request_hash: &[u8]) -> String {
    hex::encode(Sha256::new().chain_update(key.as_bytes()).chain_update(request_hash).finalize())
}

fn buy(
    book: &mut Book,
    command: &Command,
    (key, request_hash): (&str, [u8; 32]),
    priced: Priced,
    now: Timestamp,
    ids: &mut IdSource,
) -> Decision {
    let id: PurchaseId = ids.next(now);
    let (created, payer) = match &priced.payment {
        Payment::Linked(payer) | Payment::WillLink(payer) => (None, payer.clone()),
        Payment::WillCreate(data, _) => {
            let subscription: SubscriptionId = ids.next(now);
            (Some(data.row(subscription, now)), data.payer(subscription))
        }
        // `accept` has refused it.
        Payment::Missing => return Decision::Nothing,
    };
    // What is bought within a month is billed on the next first.
    let bill = bill(Month::of(now).next(), payer.billed_through).into();
    let (subscription, caller) = (payer.id, command.caller.clone());
    let purchased = Purchased {
        id,
        caller: caller.clone(),
        organization: command.organization(),
        key: key.to_owned(),
        request_hash,
        payer,
        created,
        links: !matches!(priced.payment, Payment::Linked(_)),
        lines: priced.lines,
        rate: priced.rate,
        bill,
        decided_at: None,
    };
    let mut body = priced.body;
    body.subscription = Some(subscription);
    body.budgets.clear();
    let (mut writes, answer, found) = make(book, purchased, now, ids, |made| {
        let view = PurchaseView {
            id,
            at: now,
            expires_at: quote::expiry(now),
            body,
            state: "completed",
            subscription_created: made.created,
            billing_set_up: made.links,
            charges: made.charges.to_vec(),
            purchased_by: caller.user,
        };
        serde_json::to_string(&view).unwrap_or_default()
    });
    let (key, answered) = (key.to_owned(), answer.clone());
    writes.purchase =
        Some(NewPurchase { id, subscription, key, request_hash, state: "completed", answer: answered, found });
    Decision::Write(Box::new(writes), answer)
}

/// A purchase that is made now: at once, or because it was paid.
#[derive(Debug)]
pub(crate) struct Purchased {
    /// Its id.
    pub(crate) id: PurchaseId,
    /// Who bought.
    pub(crate) caller: Caller,
    /// For whom.
    pub(crate) organization: OrganizationId,
    /// The caller's key.
    pub(crate) key: String,
    /// Hash of the request.
    pub(crate) request_hash: [u8; 32],
    /// Who pays.
    pub(crate) payer: Payer,
    /// The payer, where it comes into being by it.
    pub(crate) created: Option<SubscriptionRow>,
    /// Whether billing is set up by it.
    pub(crate) links: bool,
    /// What is bought.
    pub(crate) lines: Vec<Line>,
    /// Tax rate of what is charged.
    pub(crate) rate: TaxRate,
    /// What its charges are billed for.
    pub(crate) bill: Occasion,
    /// When it was decided, where it was paid before it is made.
    pub(crate) decided_at: Option<Timestamp>,
}

/// What a purchase made, for its answer.
#[derive(Debug)]
pub(crate) struct Made<'a> {
    /// Whether a payer came into being.
    pub(crate) created: bool,
    /// Whether billing was set up.
    pub(crate) links: bool,
    /// The charges.
    pub(crate) charges: &'a [ChargeId],
}

/// Makes a purchase: link, quantities, charges, postings, its event and its answer; the purchase's own row is the caller's.
pub(crate) fn make(
    book: &mut Book,
    purchased: Purchased,
    now: Timestamp,
    ids: &mut IdSource,
    answer: impl FnOnce(Made<'_>) -> String,
) -> (Writes, String, String) {
    let Purchased { id, caller, organization, key, request_hash, payer, created, lines, rate, bill, .. } = purchased;
    let subscription = payer.id;
    let link: Option<(LinkId, SubscriptionId)> = purchased.links.then(|| (ids.next(now), subscription));
    let (mut charges, mut charged) = (Vec::new(), Vec::new());
    let mut told = Vec::with_capacity(lines.len());
    let mut rows = Vec::with_capacity(lines.len());
    let mut found = Found::new(undo::until(&book.policy, now), link.map(|(link, _)| link));
    for mut line in lines {
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
            let (purchase, tax_rate) = (Some(id), rate.clone());
            charged.push(charge);
            charges.push(NewCharge { id: charge, purchase, subscription, tax_rate, bill, line, postings });
        }
    }
    let answer = answer(Made { created: created.is_some(), links: link.is_some(), charges: &charged });
    let found = serde_json::to_string(&found).unwrap_or_default();
    let told = Completed {
        purchase: id,
        organization,
        subscription,
        subscription_created: created.is_some(),
        link: link.map(|(link, _)| link),
        currency: payer.currency,
        answer: hex::encode(Sha256::digest(answer.as_bytes())),
        request: request_told(&key, &request_hash),
        found: hex::encode(Sha256::digest(found.as_bytes())),
        decided_at: purchased.decided_at.map(kernel::rfc3339),
        lines: told,
    };
    let event = event(&caller, organization, "purchase.completed", now, &told);

    let earlier = Earlier { request_hash: request_hash.to_vec(), answer: answer.clone(), pending: false };
    book.earlier.insert((caller.user, key), earlier);
    let account = book.payers.entry(subscription).or_insert_with(|| PayerBook::new(payer));
    account.owe(&charges);
    for charge in &charges {
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

    let (caller, purchase, closed, undone, collects) = (Some(caller), None, Vec::new(), None, None);
    let writes =
        Writes { caller, organization, at: now, created, link, purchase, charges, closed, undone, collects, event };
    (writes, answer, found)
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
    if let Some(hold) = held.held.values().find(|hold| hold.links) {
        return Err(Refusal::PurchaseInProgress(hold.purchase));
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
        collects: None,
        event: event(&command.caller, organization, "billing.set_up", now, &told),
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
    if let Some(hold) = held.held.get(&offer.id) {
        return Err(Refusal::PurchaseInProgress(hold.purchase));
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
        collects: None,
        event: event(&command.caller, organization, kind, now, &told),
    };
    Ok(Decision::Write(Box::new(writes), String::new()))
}

/// What a holder of a role may do on a subscription.
#[must_use]
pub fn subscription_role_may(role: Option<SubscriptionRole>, permission: Permission) -> bool {
    role.is_some_and(|role| grants(Role::Subscription(role), permission))
}
