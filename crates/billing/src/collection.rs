//! How what is owed comes in: transfers that were recorded, cards that are asked, credit that is used, and
//! what dunning makes of a payer that does not pay.
//!
//! Each function is one step inside a transaction of its caller. A provider is never called in one: [`begin`] records what it
//! will be asked, [`conclude`] what came of it.

use crate::dunning::Schedule;
use crate::payer::{PaymentMethod, SubscriptionStatus};
use crate::payment::{self, Demand, Outcome, PaymentState, Provider, allocate};
use chrono::NaiveDate;
use kernel::{AllocationId, Id, InvoiceId, Money, PaymentId, SubscriptionId, Timestamp};
use serde_json::{Value, json};
use store::payments::{self, AllocationRow, OpenInvoice, PaymentRow};
use store::subscriptions::{self, SubscriptionRow};
use store::{Actor, NewEvent, StoreError, Tx};
use uuid::Uuid;

/// Open invoices that one payment goes to at most; what is over stays as credit, and goes to further ones with the next.
const MOST: i64 = 1_000;

/// One transaction's work on what a payer owes: who does it, when, and the events that tell of it.
pub struct Desk<'a> {
    /// The transaction.
    pub tx: &'a Tx,
    /// When, in business time.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// Makes ids.
    pub new_id: &'a mut (dyn FnMut() -> Uuid + Send),
    /// What happened, for the caller to write in the same transaction.
    pub events: Vec<NewEvent>,
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("at", &self.at).field("events", &self.events.len()).finish_non_exhaustive()
    }
}

impl Desk<'_> {
    pub(crate) fn id<I: Id>(&mut self) -> I {
        I::from_uuid((self.new_id)())
    }

    pub(crate) fn tell(&mut self, kind: &'static str, public: &Value, private: Option<&Value>) {
        self.events.push(NewEvent {
            kind,
            organization: None,
            actor: self.actor,
            at: self.at,
            public: public.to_string(),
            private: private.map(ToString::to_string),
        });
    }
}

/// A transfer that came in, as the operator records it.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// How much.
    pub amount: Money,
    /// The day it came in.
    pub received_on: NaiveDate,
    /// Its reference at the bank, which is recorded once.
    pub reference: String,
}

/// Why a transfer is not recorded.
#[derive(Clone, Debug)]
pub enum TransferFault {
    /// The payer pays in another currency.
    Currency(kernel::Currency),
    /// It was recorded before.
    Recorded(Box<PaymentRow>),
    /// More than can be kept.
    TooMuch,
}

/// Records a transfer of a payer that is held: the oldest invoices are paid first, what is over stays as credit.
///
/// # Errors
/// The store's; inside, why it is not recorded.
pub async fn record(
    desk: &mut Desk<'_>,
    schedule: &Schedule,
    payer: &SubscriptionRow,
    transfer: &Transfer,
) -> Result<Result<PaymentRow, TransferFault>, StoreError> {
    if transfer.amount.currency() != payer.currency {
        return Ok(Err(TransferFault::Currency(payer.currency)));
    }
    if let Some(earlier) = payments::transfer(desk.tx, payer.id, &transfer.reference).await? {
        return Ok(Err(TransferFault::Recorded(Box::new(earlier))));
    }
    if payer.credit.checked_add(transfer.amount.minor()).is_none() {
        return Ok(Err(TransferFault::TooMuch));
    }
    let row = PaymentRow {
        id: desk.id(),
        subscription: payer.id,
        provider: Provider::Transfer.to_string(),
        state: PaymentState::Received.to_string(),
        token: String::new(),
        reference: transfer.reference.clone(),
        reason: String::new(),
        url: String::new(),
        invoice: None,
        attempt: 0,
        amount: transfer.amount.minor(),
        currency: payer.currency,
        received_on: Some(transfer.received_on),
        asked_at: desk.at,
        settled_at: Some(desk.at),
        refunded: 0,
    };
    payments::insert(desk.tx, &row).await?;
    receive(desk, schedule, payer, &row).await?;
    Ok(Ok(row))
}

/// What came in goes to the oldest invoices; what is over stays as credit. A payer that owes nothing that it was dunned for
/// is active again.
async fn receive(
    desk: &mut Desk<'_>,
    schedule: &Schedule,
    payer: &SubscriptionRow,
    row: &PaymentRow,
) -> Result<(), StoreError> {
    let open = payments::open(desk.tx, payer.id, MOST).await?;
    let sums: Vec<(InvoiceId, i64)> = open.iter().map(|invoice| (invoice.id, invoice.open)).collect();
    let (parts, rest) = allocate(row.amount, &sums);
    let mut told = Vec::with_capacity(parts.len());
    for (invoice, amount) in &parts {
        let part = new_part(desk, payer.id, *invoice, Some(row.id), *amount);
        payments::allocate(desk.tx, &part).await?;
        told.push(json!({"allocation": part.id, "invoice": invoice, "amount": amount}));
    }
    if rest > 0 {
        payments::add_credit(desk.tx, payer.id, rest).await?;
    }
    let provider = provider_of(row)?;
    let allocated = row.amount.saturating_sub(rest);
    let postings = payment::postings(payer.id, provider, allocated, rest);
    payments::post(desk.tx, row.id.uuid(), &postings, row.currency, desk.at).await?;
    let public = json!({
        "payment": row.id, "subscription": payer.id, "provider": provider, "invoice": row.invoice,
        "amount": row.amount, "currency": row.currency, "received_on": row.received_on, "allocations": told,
        "credit": rest,
    });
    desk.tell("payment.received", &public, Some(&json!({"reference": row.reference})));
    restore(desk, schedule, payer, &open, &parts).await
}

fn new_part(
    desk: &mut Desk<'_>,
    subscription: SubscriptionId,
    invoice: InvoiceId,
    payment: Option<PaymentId>,
    amount: i64,
) -> AllocationRow {
    AllocationRow { id: desk.id::<AllocationId>(), subscription, invoice, payment, note: None, amount, at: desk.at }
}

pub(crate) fn provider_of(row: &PaymentRow) -> Result<Provider, StoreError> {
    row.provider.parse().map_err(|fault| StoreError::corrupt(format!("provider of {}: {fault}", row.id)))
}

/// A payer whose dunned invoices were settled stands as those that are left make it.
pub(crate) async fn restore(
    desk: &mut Desk<'_>,
    schedule: &Schedule,
    payer: &SubscriptionRow,
    open: &[OpenInvoice],
    parts: &[(InvoiceId, i64)],
) -> Result<(), StoreError> {
    let settled = |invoice: &OpenInvoice| parts.contains(&(invoice.id, invoice.open));
    // Who stands badly for another reason than an invoice is not put right by paying one.
    if !open.iter().any(|invoice| invoice.step > 0 && settled(invoice)) {
        return Ok(());
    }
    let now = status_of(payer)?;
    let then = schedule.status(payments::worst_step(desk.tx, payer.id).await?);
    if then < now && now != SubscriptionStatus::Deleted {
        stand(desk, payer, now, then).await?;
    }
    Ok(())
}

fn status_of(payer: &SubscriptionRow) -> Result<SubscriptionStatus, StoreError> {
    payer.status.parse().map_err(|fault| StoreError::corrupt(format!("status of {}: {fault}", payer.id)))
}

async fn stand(
    desk: &mut Desk<'_>,
    payer: &SubscriptionRow,
    from: SubscriptionStatus,
    to: SubscriptionStatus,
) -> Result<(), StoreError> {
    payments::set_status(desk.tx, payer.id, to.as_str()).await?;
    desk.tell("subscription.status_changed", &json!({"subscription": payer.id, "from": from, "to": to}), None);
    Ok(())
}

/// Credit of a payer that is held goes to its open invoices, the oldest first.
///
/// # Errors
/// The store's.
pub async fn use_credit(desk: &mut Desk<'_>, schedule: &Schedule, payer: &SubscriptionRow) -> Result<(), StoreError> {
    let open = payments::open(desk.tx, payer.id, MOST).await?;
    let sums: Vec<(InvoiceId, i64)> = open.iter().map(|invoice| (invoice.id, invoice.open)).collect();
    let (parts, _) = allocate(payer.credit, &sums);
    for (invoice, amount) in &parts {
        let part = new_part(desk, payer.id, *invoice, None, *amount);
        payments::allocate(desk.tx, &part).await?;
        payments::add_credit(desk.tx, payer.id, amount.saturating_neg()).await?;
        let postings = payment::postings_of_credit(payer.id, *amount);
        payments::post(desk.tx, part.id.uuid(), &postings, payer.currency, desk.at).await?;
        let public = json!({
            "allocation": part.id, "subscription": payer.id, "invoice": invoice, "amount": amount,
            "currency": payer.currency,
        });
        desk.tell("credit.used", &public, None);
    }
    restore(desk, schedule, payer, &open, &parts).await
}

/// What is to be done about an invoice next.
#[derive(Clone, Debug)]
pub enum Next {
    /// Nothing more today.
    Nothing,
    /// The provider is to be asked.
    Ask(Demand),
}

/// Takes what is due about an invoice on `today`: a card is to be asked, or its next step of dunning taken.
///
/// # Errors
/// The store's.
pub async fn begin(
    desk: &mut Desk<'_>,
    schedule: &Schedule,
    invoice: &OpenInvoice,
    today: NaiveDate,
) -> Result<Next, StoreError> {
    let Some(payer) = held(desk.tx, invoice.subscription).await? else { return Ok(Next::Nothing) };
    let Some(invoice) = payments::open_one(desk.tx, invoice.id).await? else { return Ok(Next::Nothing) };
    if invoice.next_on.is_none_or(|day| day > today) {
        return Ok(Next::Nothing);
    }
    // What a card was asked before is found out first: money is never taken twice, and nobody dunned for what they may
    // have paid.
    if payments::is_asked(desk.tx, payer.id).await? {
        return Ok(Next::Nothing);
    }
    let reached = schedule.reached(invoice.due_on, today);
    let card = payer.payment_method == PaymentMethod::Card.as_str();
    // The last step asks no card; whoever replaced theirs after it is asked all the same.
    let disables = reached > schedule.tries() && invoice.step < reached;
    if !card || disables || status_of(&payer)? == SubscriptionStatus::Deleted {
        step(desk, schedule, &payer, &invoice, reached).await?;
        return Ok(Next::Nothing);
    }
    let Some(provider) = Provider::of_token(&payer.payment_token) else {
        step(desk, schedule, &payer, &invoice, reached).await?;
        return Ok(Next::Nothing);
    };
    let row = PaymentRow {
        id: desk.id(),
        subscription: payer.id,
        provider: provider.to_string(),
        state: PaymentState::Asked.to_string(),
        token: payer.payment_token.clone(),
        reference: String::new(),
        reason: String::new(),
        url: String::new(),
        invoice: Some(invoice.id),
        attempt: payments::attempts(desk.tx, invoice.id).await?,
        amount: invoice.open,
        currency: invoice.currency,
        received_on: None,
        asked_at: desk.at,
        settled_at: None,
        refunded: 0,
    };
    payments::insert(desk.tx, &row).await?;
    let public = json!({
        "payment": row.id, "subscription": payer.id, "provider": provider, "invoice": invoice.id,
        "attempt": row.attempt, "amount": row.amount, "currency": row.currency,
    });
    desk.tell("payment.asked", &public, None);
    Ok(Next::Ask(demand(&row)))
}

/// What a provider is asked for a payment.
#[must_use]
pub fn demand(row: &PaymentRow) -> Demand {
    Demand {
        payment: row.id,
        subscription: row.subscription,
        token: row.token.clone(),
        amount: Money::new(row.amount, row.currency),
        asked_at: row.asked_at,
    }
}

/// Holds a payer to the end of the transaction.
///
/// # Errors
/// The store's.
pub async fn held(tx: &Tx, payer: SubscriptionId) -> Result<Option<SubscriptionRow>, StoreError> {
    Ok(subscriptions::hold_all(tx, &[payer]).await?.into_iter().next())
}

/// Takes the step of dunning that an invoice has come to, and looks to the next.
async fn step(
    desk: &mut Desk<'_>,
    schedule: &Schedule,
    payer: &SubscriptionRow,
    invoice: &OpenInvoice,
    reached: i64,
) -> Result<(), StoreError> {
    let taken = reached.max(invoice.step);
    let next_on = schedule.next_on(invoice.due_on, taken);
    payments::set_step(desk.tx, invoice.id, taken, next_on).await?;
    if taken == invoice.step {
        return Ok(());
    }
    let public = json!({
        "invoice": invoice.id, "subscription": payer.id, "step": taken, "due_on": invoice.due_on,
        "open": invoice.open, "currency": invoice.currency, "next_on": next_on,
    });
    desk.tell("invoice.overdue", &public, None);
    let (now, then) = (status_of(payer)?, schedule.status(taken));
    if then > now {
        stand(desk, payer, now, then).await?;
    }
    Ok(())
}

/// Records what came of asking a provider; once, whoever tells it how often.
///
/// # Errors
/// The store's.
pub async fn conclude(
    desk: &mut Desk<'_>,
    schedule: &Schedule,
    payment: PaymentId,
    outcome: &Outcome,
    today: NaiveDate,
) -> Result<(), StoreError> {
    let Some(row) = payments::find(desk.tx, payment).await? else { return Ok(()) };
    let Some(payer) = held(desk.tx, row.subscription).await? else { return Ok(()) };
    // Read again now that nobody else can write it.
    let Some(mut row) = payments::find(desk.tx, payment).await? else { return Ok(()) };
    // Money that comes in after all, once the payer has authenticated it, is not lost sight of.
    let late = row.state == PaymentState::Declined.as_str() && matches!(outcome, Outcome::Received(_));
    if row.state != PaymentState::Asked.as_str() && !late {
        return Ok(());
    }
    row.settled_at = Some(desk.at);
    match outcome {
        Outcome::Unknown => Ok(()),
        Outcome::Received(reference) => {
            row.state = PaymentState::Received.to_string();
            row.reference.clone_from(reference);
            (row.reason, row.url) = (String::new(), String::new());
            row.received_on = Some(today);
            payments::settle(desk.tx, &row).await?;
            receive(desk, schedule, &payer, &row).await
        }
        Outcome::Declined { reason, url } => {
            row.state = PaymentState::Declined.to_string();
            row.reason.clone_from(reason);
            row.url = url.clone().unwrap_or_default();
            payments::settle(desk.tx, &row).await?;
            let public = json!({
                "payment": row.id, "subscription": payer.id, "invoice": row.invoice, "reason": reason,
            });
            desk.tell("payment.declined", &public, None);
            let Some(invoice) = row.invoice else { return Ok(()) };
            let Some(invoice) = payments::open_one(desk.tx, invoice).await? else { return Ok(()) };
            let reached = schedule.reached(invoice.due_on, today).min(schedule.tries());
            step(desk, schedule, &payer, &invoice, reached).await
        }
    }
}

/// How a payer that is held pays from now on. All that it owes is asked for at once.
///
/// # Errors
/// The store's.
pub async fn replace_method(
    desk: &mut Desk<'_>,
    payer: &SubscriptionRow,
    (method, token): (PaymentMethod, &str),
    today: NaiveDate,
) -> Result<(), StoreError> {
    payments::set_method(desk.tx, payer.id, method.as_str(), token).await?;
    if method == PaymentMethod::Card {
        payments::ask_all(desk.tx, payer.id, today).await?;
    }
    let public = json!({"subscription": payer.id, "from": payer.payment_method, "to": method});
    desk.tell("subscription.payment_method_changed", &public, None);
    Ok(())
}
