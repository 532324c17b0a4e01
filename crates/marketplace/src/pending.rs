//! Purchases that are paid when they are made. One command records what is to happen and holds the offers, then the
//! provider is asked, and a second command completes the purchase as it was decided, or releases it. Pure, as all
//! decisions.

use crate::book::{Book, EntitlementRow, Hold, nothing};
use crate::command::{Decision, Made, NewCharge, NewPurchase, Purchased, State, Writes, event, make, request_told};
use crate::decide::{Line, Payment, Priced};
use crate::order::{Caller, Command, Settling};
use crate::quote::{self, PurchaseView};
use crate::refusal::Refusal;
use billing::payment::Outcome;
use billing::{NewSubscription, Payer, TaxRate};
use kernel::{
    ChargeBasis, Currency, IdSource, InvoiceId, Money, Month, Occasion, OfferId, OrganizationId, PaymentId, PurchaseId,
    Timestamp, UserId, from_micros, micros,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::collections::{CollectionRow, HeldOffer};
use store::lines::WaitingLine;
use store::till::Earlier;
use store::{Actor, NewEvent, Reads, StoreError};

/// Why a purchase was released although it was paid: what it was decided on holds no more. The money is its payer's credit.
pub const TOO_LATE: &str = "too_late";

kernel::string_enum! {
    /// How a purchase stands that is paid at once.
    pub enum CollectionState {
        /// Nobody knows yet whether it is paid.
        Pending = "pending",
        /// It was paid.
        Completed = "completed",
        /// It will not be: nothing was changed.
        Released = "released",
    }
}

/// A purchase that is paid at once, as the commands that settle it see it.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Its row.
    pub row: CollectionRow,
    /// How it stands.
    pub state: CollectionState,
    /// What it does once it is paid, while it is pending.
    plan: Option<Plan>,
}

/// Who pays for a pending purchase.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Planned {
    /// The linked subscription.
    Linked,
    /// One that will be linked.
    WillLink,
    /// One that will be created and linked.
    WillCreate(Box<NewSubscription>),
}

/// What a purchase does once it is paid, as it was decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    decided_at: i64,
    caller: UserId,
    key: String,
    request_hash: String,
    payer: Planned,
    currency: Currency,
    tax_rate: String,
    invoice: InvoiceId,
    lines: Vec<PlannedLine>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct PlannedLine {
    offer: OfferId,
    before: State,
    after: State,
    basis: Option<ChargeBasis>,
    now: Money,
}

/// What is to be written of a purchase that is paid at once, beside what every purchase writes.
#[derive(Clone, Debug)]
pub enum Collects {
    /// It waits for its payment.
    Asked(Box<Asked>),
    /// It was paid.
    Paid(Box<Paid>),
    /// It will not be.
    Released(Box<Released>),
}

/// A purchase waits for its payment.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its row.
    pub row: CollectionRow,
    /// The token of its card, where the payer is to be created.
    pub token: Option<String>,
    /// What the card is asked for: with tax.
    pub amount: Money,
    /// What it holds.
    pub held: Vec<HeldOffer>,
}

/// A purchase was paid.
#[derive(Clone, Debug)]
pub struct Paid {
    /// Which.
    pub settling: Settling,
    /// The payment's at the provider.
    pub reference: String,
    /// The id that its invoice has.
    pub invoice: InvoiceId,
    /// What is billed.
    pub lines: Vec<WaitingLine>,
    /// What is shown of it.
    pub answer: String,
    /// What it found and changed, JSON ([`crate::undo::Found`]).
    pub found: String,
}

/// A purchase will not be.
#[derive(Clone, Debug)]
pub struct Released {
    /// Which.
    pub settling: Settling,
    /// Why.
    pub reason: String,
    /// Where the payer can authenticate the payment, should it still want to.
    pub url: Option<String>,
    /// Whether the provider declined; else the money came in, and is to be given to the payer.
    pub declined: bool,
    /// What is needed should money still come in for a payer that does not exist; empty where it does.
    pub plan: String,
    /// What is shown of it.
    pub answer: String,
}

/// Loads what a command settles; none where there is no such purchase.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn load(reads: &impl Reads, purchase: PurchaseId) -> Result<Option<(PurchaseId, Collection)>, StoreError> {
    let Some(row) = store::collections::find(reads, purchase).await? else { return Ok(None) };
    Ok(Some((purchase, Collection::read(row)?)))
}

impl Collection {
    /// Reads a row.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where its words are none that we write.
    pub fn read(row: CollectionRow) -> Result<Self, StoreError> {
        let corrupt =
            |what: &dyn std::fmt::Display| StoreError::corrupt(format!("collection of {}: {what}", row.purchase));
        let state: CollectionState = row.state.parse().map_err(|fault| corrupt(&fault))?;
        let plan = match state {
            CollectionState::Pending => Some(serde_json::from_str(&row.plan).map_err(|fault| corrupt(&fault))?),
            _ => None,
        };
        Ok(Self { row, state, plan })
    }
}

/// The data of the payer that a released purchase would have created, and who would own it; none where it exists, or nothing
/// is left of the plan.
#[must_use]
pub fn would_create(plan: &str) -> Option<(NewSubscription, UserId)> {
    let plan: Plan = serde_json::from_str(plan).ok()?;
    match plan.payer {
        Planned::WillCreate(data) => Some((*data, plan.caller)),
        _ => None,
    }
}

/// A priced purchase waits for its payment: its offers are held, and nothing else is changed.
pub(crate) fn begin(
    book: &mut Book,
    command: &Command,
    (key, request_hash): (&str, [u8; 32]),
    priced: &Priced,
    now: Timestamp,
    ids: &mut IdSource,
) -> Decision {
    let (purchase, payment): (PurchaseId, PaymentId) = (ids.next(now), ids.next(now));
    let (payer, subscription, token) = match &priced.payment {
        Payment::Linked(payer) => (Planned::Linked, payer.id, None),
        Payment::WillLink(payer) => (Planned::WillLink, payer.id, None),
        Payment::WillCreate(data, _) => {
            let token = data.payment.parts().1.to_owned();
            (Planned::WillCreate(Box::new(data.clone())), ids.next(now), Some(token))
        }
        // It has no payer, so it was refused.
        Payment::Missing => return Decision::Nothing,
    };
    let organization = command.organization();
    let settling = Settling { purchase, payment, organization, payer: subscription };
    let links = !matches!(payer, Planned::Linked);
    let amount = priced.body.now.total;
    let plan = Plan {
        decided_at: micros(now),
        caller: command.caller.user,
        key: key.to_owned(),
        request_hash: hex::encode(request_hash),
        payer,
        currency: amount.currency(),
        tax_rate: priced.rate.as_str().to_owned(),
        invoice: ids.next(now),
        lines: priced.lines.iter().map(planned).collect(),
    };
    let view = PurchaseView {
        id: purchase,
        at: now,
        expires_at: quote::expiry(now),
        body: priced.body.clone(),
        state: CollectionState::Pending.as_str(),
        subscription_created: false,
        billing_set_up: false,
        charges: Vec::new(),
        purchased_by: command.caller.user,
    };
    let answer = serde_json::to_string(&view).unwrap_or_default();
    let held: Vec<HeldOffer> = priced.lines.iter().map(|line| held(settling, line, links)).collect();
    let told = json!({
        "purchase": purchase, "organization": organization, "subscription": subscription, "payment": payment,
        "links": links, "amount": amount.minor(), "currency": amount.currency(),
        "answer": hex::encode(Sha256::digest(answer.as_bytes())), "request": request_told(key, &request_hash),
        "offers": held.iter().map(|one| json!({"offer": one.offer, "amount": one.amount,
            "renewal": one.renewal})).collect::<Vec<_>>(),
    });

    if let Some(organization) = book.organizations.get_mut(&organization) {
        organization.last_fact = organization.last_fact.max(now);
        organization.held.extend(held.iter().map(|one| (one.offer, Hold { purchase, links })));
    }
    let earlier = Earlier { request_hash: request_hash.to_vec(), answer: answer.clone(), pending: true };
    book.earlier.insert((command.caller.user, key.to_owned()), earlier);

    let row = CollectionRow {
        purchase,
        organization,
        subscription,
        payment,
        state: CollectionState::Pending.to_string(),
        reason: String::new(),
        plan: serde_json::to_string(&plan).unwrap_or_default(),
        answer: String::new(),
        at: now,
        settled_at: None,
    };
    let (key, state) = (key.to_owned(), CollectionState::Pending.as_str());
    let writes = Writes {
        caller: Some(command.caller.clone()),
        organization,
        at: now,
        created: None,
        link: None,
        purchase: Some(NewPurchase {
            id: purchase,
            subscription,
            key,
            request_hash,
            state,
            answer: answer.clone(),
            found: String::new(),
        }),
        charges: Vec::new(),
        closed: Vec::new(),
        undone: None,
        collects: Some(Collects::Asked(Box::new(Asked { row, token, amount, held }))),
        event: event(&command.caller, organization, "purchase.pending", now, &told),
    };
    Decision::Pend(Box::new(writes), settling, answer)
}

fn planned(line: &Line) -> PlannedLine {
    PlannedLine {
        offer: line.offer.id,
        before: State::from(&line.before),
        after: State::from(&line.after),
        basis: line.basis.clone(),
        now: line.now,
    }
}

fn held(settling: Settling, line: &Line, links: bool) -> HeldOffer {
    HeldOffer {
        organization: settling.organization,
        offer: line.offer.id,
        purchase: settling.purchase,
        subscription: settling.payer,
        links,
        month: line.after.month,
        amount: line.now.minor(),
        renewal: line.renewal.minor(),
    }
}

/// Completes a pending purchase that was paid, or releases it; what was settled before is told again.
///
/// # Errors
/// [`Refusal`]: there is no such purchase, or it was released before.
pub(crate) fn settle(
    book: &mut Book,
    settling: &Settling,
    outcome: &Outcome,
    now: Timestamp,
    ids: &mut IdSource,
) -> Result<Decision, Refusal> {
    let collection = book.collections.get(&settling.purchase).cloned().ok_or(Refusal::NotFound("purchase"))?;
    let plan = match (collection.state, collection.plan) {
        (CollectionState::Pending, Some(plan)) => plan,
        (CollectionState::Completed, _) => return Ok(Decision::Replay(collection.row.answer)),
        _ => return Err(refused(&collection.row)),
    };
    match outcome {
        Outcome::Unknown => Ok(Decision::Pending(collection.row.answer)),
        Outcome::Declined { reason, url } => {
            Ok(release(book, (*settling, &collection.row, &plan), (reason, url.clone(), true), now))
        }
        Outcome::Received(reference) => match purchased(book, settling, &plan, now) {
            Some(purchased) => Ok(complete(book, (*settling, &collection.row, &plan), purchased, reference, now, ids)),
            None => Ok(release(book, (*settling, &collection.row, &plan), (TOO_LATE, None, false), now)),
        },
    }
}

/// The refusal that a released purchase is answered with.
fn refused(row: &CollectionRow) -> Refusal {
    let answer: Value = serde_json::from_str(&row.answer).unwrap_or_default();
    let url = answer.get("url").and_then(Value::as_str).map(str::to_owned);
    Refusal::PaymentDeclined { reason: row.reason.clone(), url }
}

/// The purchase as it was decided; none where that cannot be any more: the month is over, another pays by now, or what it
/// changes is not as it was.
fn purchased(book: &Book, settling: &Settling, plan: &Plan, now: Timestamp) -> Option<Purchased> {
    let decided_at = from_micros(plan.decided_at);
    let held = book.organizations.get(&settling.organization)?;
    let known = || book.payers.get(&settling.payer).map(|account| account.payer.clone());
    let (payer, created): (Payer, _) = match &plan.payer {
        Planned::Linked if held.link == Some(settling.payer) => (known()?, None),
        Planned::WillLink if held.link.is_none_or(|link| link == settling.payer) => (known()?, None),
        Planned::WillCreate(data) if held.link.is_none() => {
            (data.payer(settling.payer), Some(data.row(settling.payer, now)))
        }
        _ => return None,
    };
    if Month::of(now) != Month::of(decided_at) {
        return None;
    }
    let rows = &held.entitlements;
    let lines = plan.lines.iter().map(|line| as_decided(book, rows, settling.organization, line));
    let mut request_hash = [0; 32];
    hex::decode_to_slice(&plan.request_hash, &mut request_hash).ok()?;
    Some(Purchased {
        id: settling.purchase,
        caller: Caller { user: plan.caller, address: None },
        organization: settling.organization,
        key: plan.key.clone(),
        request_hash,
        payer,
        created,
        links: held.link.is_none(),
        lines: lines.collect::<Option<_>>()?,
        rate: TaxRate::stored(&plan.tax_rate),
        bill: Occasion::Purchase(settling.purchase),
        decided_at: Some(decided_at),
    })
}

/// A line as it was decided; none where what it changes is not as it was then.
fn as_decided(
    book: &Book,
    rows: &BTreeMap<OfferId, EntitlementRow>,
    organization: OrganizationId,
    line: &PlannedLine,
) -> Option<Line> {
    let offer = Arc::clone(book.catalogue.offer(line.offer)?);
    let found =
        rows.get(&line.offer).cloned().unwrap_or_else(|| nothing(organization, line.offer, line.before.month()));
    let before = line.before.following(&found);
    line.before.is_of(&found).then(|| Line {
        offer,
        after: line.after.following(&before),
        before,
        basis: line.basis.clone(),
        now: line.now,
        renewal: line.now,
    })
}

fn complete(
    book: &mut Book,
    (settling, row, plan): (Settling, &CollectionRow, &Plan),
    purchased: Purchased,
    reference: &str,
    now: Timestamp,
    ids: &mut IdSource,
) -> Decision {
    let (mut writes, answer, found) = make(book, purchased, now, ids, |Made { created, links, charges }| {
        let changes = [
            ("state", json!(CollectionState::Completed.as_str())),
            ("subscription", json!(settling.payer)),
            ("subscription_created", json!(created)),
            ("billing_set_up", json!(links)),
            ("charges", json!(charges)),
            ("invoice", json!(plan.invoice)),
        ];
        with(&row.answer, changes)
    });
    let lines = writes.charges.iter().filter_map(|charge| waiting(book, &settling, charge)).collect();
    let (reference, invoice) = (reference.to_owned(), plan.invoice);
    let paid = Paid { settling, reference, invoice, lines, answer: answer.clone(), found };
    writes.collects = Some(Collects::Paid(Box::new(paid)));
    let_go(book, &settling, (CollectionState::Completed, ""), &answer);
    Decision::Write(Box::new(writes), answer)
}

fn waiting(book: &Book, settling: &Settling, charge: &NewCharge) -> Option<WaitingLine> {
    let organization = &book.organizations.get(&settling.organization)?.row;
    Some(WaitingLine {
        bill: 0,
        charge: charge.id,
        organization: organization.id,
        slug: organization.slug.to_string(),
        name: organization.name.clone(),
        offer: charge.line.offer.id,
        month: charge.line.after.month,
        renewal: false,
        tax_rate: charge.tax_rate.as_str().to_owned(),
        amount: charge.line.now.minor(),
    })
}

fn release(
    book: &mut Book,
    (settling, row, plan): (Settling, &CollectionRow, &Plan),
    (reason, url, declined): (&str, Option<String>, bool),
    now: Timestamp,
) -> Decision {
    let changes =
        [("state", json!(CollectionState::Released.as_str())), ("reason", json!(reason)), ("url", json!(url))];
    let answer = with(&row.answer, changes);
    let told = json!({
        "purchase": settling.purchase, "organization": settling.organization, "payment": settling.payment, "reason": reason,
    });
    let kept = if matches!(plan.payer, Planned::WillCreate(_)) { row.plan.clone() } else { String::new() };
    let refusal = Refusal::PaymentDeclined { reason: reason.to_owned(), url: url.clone() };
    let_go(book, &settling, (CollectionState::Released, reason), &answer);
    book.earlier.remove(&(plan.caller, plan.key.clone()));
    if let Some(organization) = book.organizations.get_mut(&settling.organization) {
        organization.last_fact = organization.last_fact.max(now);
    }
    let released = Released { settling, reason: reason.to_owned(), url, declined, plan: kept, answer };
    let writes = Writes {
        caller: None,
        organization: settling.organization,
        at: now,
        created: None,
        link: None,
        purchase: None,
        charges: Vec::new(),
        closed: Vec::new(),
        undone: None,
        collects: Some(Collects::Released(Box::new(released))),
        event: NewEvent {
            kind: "purchase.released",
            organization: Some(settling.organization),
            actor: Actor::System,
            at: now,
            public: told.to_string(),
            private: None,
        },
    };
    Decision::Release(Box::new(writes), refusal)
}

/// A purchase is settled, and holds nothing any more.
fn let_go(book: &mut Book, settling: &Settling, (state, reason): (CollectionState, &str), answer: &str) {
    if let Some(organization) = book.organizations.get_mut(&settling.organization) {
        organization.held.retain(|_, hold| hold.purchase != settling.purchase);
    }
    if let Some(collection) = book.collections.get_mut(&settling.purchase) {
        (collection.state, collection.plan) = (state, None);
        reason.clone_into(&mut collection.row.reason);
        answer.clone_into(&mut collection.row.answer);
    }
}

/// An answer with some members as they are now.
fn with<const N: usize>(answer: &str, changes: [(&str, Value); N]) -> String {
    let mut answer: Value = serde_json::from_str(answer).unwrap_or_default();
    if let Some(members) = answer.as_object_mut() {
        members.extend(changes.map(|(name, value)| (name.to_owned(), value)));
    }
    answer.to_string()
}
