//! Payments: what cards were asked for, what came in, to which invoices it went, and which invoices wait for a step of
//! dunning.

use crate::row::Row;
use crate::{Reads, StoreError, Tx};
use chrono::NaiveDate;
use kernel::{
    AllocationId, CreditNoteId, Currency, Id, InvoiceId, PaymentId, SubscriptionId, Timestamp, micros, parse_date,
};
use sea_orm::QueryResult;
use uuid::Uuid;

/// A payment as it is stored; what its words mean is `billing`'s to say.
#[derive(Clone, Debug)]
pub struct PaymentRow {
    /// Its id.
    pub id: PaymentId,
    /// Who pays.
    pub subscription: SubscriptionId,
    /// `transfer`, `simulated` or `stripe`.
    pub provider: String,
    /// `asked`, `received` or `declined`.
    pub state: String,
    /// The provider's token of the card; empty for a transfer.
    pub token: String,
    /// The transfer's at the bank, or the payment's at the provider; empty while unknown.
    pub reference: String,
    /// Why it was declined.
    pub reason: String,
    /// Where the payer can authenticate it; empty for nowhere.
    pub url: String,
    /// What a card was asked for; none for a transfer.
    pub invoice: Option<InvoiceId>,
    /// Which try of the invoice it is, from 0.
    pub attempt: i64,
    /// Minor units.
    pub amount: i64,
    /// Its currency.
    pub currency: Currency,
    /// The day it came in; none before.
    pub received_on: Option<NaiveDate>,
    /// When it was asked or recorded.
    pub asked_at: Timestamp,
    /// When its outcome was recorded; none before.
    pub settled_at: Option<Timestamp>,
    /// What of it was paid back, or a provider was asked to, minor units.
    pub refunded: i64,
}

const PAYMENT: &str = "SELECT id, subscription_id, provider, state, token, reference, reason, url, invoice_id, attempt, \
     amount, currency, received_on, asked_at, settled_at, refunded FROM payments";

/// A day that may be empty.
fn day(row: &QueryResult, column: &str) -> Result<Option<NaiveDate>, StoreError> {
    let text = row.text(column)?;
    let fault = |fault| StoreError::corrupt(format!("{column}: {fault}"));
    if text.is_empty() { Ok(None) } else { parse_date(&text).map(Some).map_err(fault) }
}

fn text(day: Option<NaiveDate>) -> String {
    day.map(|day| day.to_string()).unwrap_or_default()
}

pub(crate) fn payment(row: &QueryResult) -> Result<PaymentRow, StoreError> {
    let settled_at = row.int("settled_at")?;
    let invoice: InvoiceId = row.id("invoice_id")?;
    Ok(PaymentRow {
        id: row.id("id")?,
        subscription: row.id("subscription_id")?,
        provider: row.text("provider")?,
        state: row.text("state")?,
        token: row.text("token")?,
        reference: row.text("reference")?,
        reason: row.text("reason")?,
        url: row.text("url")?,
        invoice: Some(invoice).filter(|id| !id.uuid().is_nil()),
        attempt: row.int("attempt")?,
        amount: row.int("amount")?,
        currency: row.word("currency")?,
        received_on: day(row, "received_on")?,
        asked_at: row.instant("asked_at")?,
        settled_at: Some(settled_at).filter(|at| *at != 0).map(kernel::from_micros),
        refunded: row.int("refunded")?,
    })
}

/// Writes a payment.
///
/// # Errors
/// [`StoreError::Conflict`] where the payer's card is being asked already, or the transfer was recorded before; else as
/// [`StoreError`] says.
pub async fn insert(tx: &Tx, row: &PaymentRow) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO payments (id, subscription_id, provider, state, token, reference, reason, url, invoice_id, attempt, \
         amount, currency, received_on, asked_at, settled_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        vec![
            row.id.uuid().into(),
            row.subscription.uuid().into(),
            row.provider.as_str().into(),
            row.state.as_str().into(),
            row.token.as_str().into(),
            row.reference.as_str().into(),
            row.reason.as_str().into(),
            row.url.as_str().into(),
            row.invoice.map_or(Uuid::nil(), Id::uuid).into(),
            row.attempt.into(),
            row.amount.into(),
            row.currency.code().into(),
            text(row.received_on).into(),
            micros(row.asked_at).into(),
            row.settled_at.map_or(0, micros).into(),
        ],
    )
    .await?;
    Ok(())
}

/// Writes what came of a payment that was asked.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn settle(tx: &Tx, row: &PaymentRow) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE payments SET state = $2, reference = $3, reason = $4, url = $5, received_on = $6, settled_at = $7 \
         WHERE id = $1",
        vec![
            row.id.uuid().into(),
            row.state.as_str().into(),
            row.reference.as_str().into(),
            row.reason.as_str().into(),
            row.url.as_str().into(),
            text(row.received_on).into(),
            row.settled_at.map_or(0, micros).into(),
        ],
    )
    .await?;
    Ok(())
}

/// One payment.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn find(reads: &impl Reads, id: PaymentId) -> Result<Option<PaymentRow>, StoreError> {
    let rows = reads.rows(&format!("{PAYMENT} WHERE id = $1"), vec![id.uuid().into()]).await?;
    rows.first().map(payment).transpose()
}

/// The transfer of a payer that has this reference at the bank.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn transfer(
    reads: &impl Reads,
    payer: SubscriptionId,
    reference: &str,
) -> Result<Option<PaymentRow>, StoreError> {
    let sql = format!("{PAYMENT} WHERE subscription_id = $1 AND reference = $2 AND provider = 'transfer'");
    let rows = reads.rows(&sql, vec![payer.uuid().into(), reference.into()]).await?;
    rows.first().map(payment).transpose()
}

/// A payer's payments, newest first, before one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn of_payer(
    reads: &impl Reads,
    payer: SubscriptionId,
    before: Option<PaymentId>,
    limit: i64,
) -> Result<Vec<PaymentRow>, StoreError> {
    let before = before.map_or(Uuid::max(), Id::uuid);
    let sql = format!("{PAYMENT} WHERE subscription_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    reads.rows(&sql, vec![payer.uuid().into(), before.into(), limit.into()]).await?.iter().map(payment).collect()
}

/// Payments whose outcome is not recorded, by id, after one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn asked(reads: &impl Reads, after: Option<PaymentId>, limit: i64) -> Result<Vec<PaymentRow>, StoreError> {
    let after = after.map_or(Uuid::nil(), Id::uuid);
    let sql = format!("{PAYMENT} WHERE state = 'asked' AND id > $1 ORDER BY id LIMIT $2");
    reads.rows(&sql, vec![after.into(), limit.into()]).await?.iter().map(payment).collect()
}

/// Whether a payer's card is being asked.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn is_asked(reads: &impl Reads, payer: SubscriptionId) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM payments WHERE subscription_id = $1 AND state = 'asked'";
    Ok(!reads.rows(sql, vec![payer.uuid().into()]).await?.is_empty())
}

/// How often a card was asked for an invoice.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn attempts(reads: &impl Reads, invoice: InvoiceId) -> Result<i64, StoreError> {
    let sql = "SELECT COUNT(*) AS attempts FROM payments WHERE invoice_id = $1 AND provider <> 'transfer'";
    let rows = reads.rows(sql, vec![invoice.uuid().into()]).await?;
    rows.first().map_or(Ok(0), |row| row.int("attempts"))
}

/// What went to an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocationRow {
    /// Its id.
    pub id: AllocationId,
    /// Who paid.
    pub subscription: SubscriptionId,
    /// What for.
    pub invoice: InvoiceId,
    /// Of which payment; none for credit and credit notes.
    pub payment: Option<PaymentId>,
    /// Of which credit note, if it is of one.
    pub note: Option<CreditNoteId>,
    /// Minor units.
    pub amount: i64,
    /// When.
    pub at: Timestamp,
}

/// Writes what goes to an invoice, which is paid by so much more; settled, it waits for nothing.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn allocate(tx: &Tx, row: &AllocationRow) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO allocations (id, subscription_id, invoice_id, payment_id, amount, at, credit_note_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        vec![
            row.id.uuid().into(),
            row.subscription.uuid().into(),
            row.invoice.uuid().into(),
            row.payment.map_or(Uuid::nil(), Id::uuid).into(),
            row.amount.into(),
            micros(row.at).into(),
            row.note.map_or(Uuid::nil(), Id::uuid).into(),
        ],
    )
    .await?;
    tx.execute(
        "UPDATE invoices SET paid = paid + $2, next_on = CASE WHEN paid + $2 >= total THEN '' ELSE next_on END \
         WHERE id = $1",
        vec![row.invoice.uuid().into(), row.amount.into()],
    )
    .await?;
    Ok(())
}

const ALLOCATION: &str =
    "SELECT id, subscription_id, invoice_id, payment_id, amount, at, credit_note_id FROM allocations";

pub(crate) fn allocation(row: &QueryResult) -> Result<AllocationRow, StoreError> {
    let payment: PaymentId = row.id("payment_id")?;
    Ok(AllocationRow {
        id: row.id("id")?,
        subscription: row.id("subscription_id")?,
        invoice: row.id("invoice_id")?,
        payment: Some(payment).filter(|id| !id.uuid().is_nil()),
        note: Some(row.id("credit_note_id")?).filter(|id: &CreditNoteId| !id.uuid().is_nil()),
        amount: row.int("amount")?,
        at: row.instant("at")?,
    })
}

/// What went to an invoice, in the order in which it came; at most `limit`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn allocations_to(
    reads: &impl Reads,
    invoice: InvoiceId,
    limit: i64,
) -> Result<Vec<AllocationRow>, StoreError> {
    let sql = format!("{ALLOCATION} WHERE invoice_id = $1 ORDER BY at, id LIMIT $2");
    reads.rows(&sql, vec![invoice.uuid().into(), limit.into()]).await?.iter().map(allocation).collect()
}

/// Where a payment went; at most `limit`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn allocations_of(
    reads: &impl Reads,
    payment: PaymentId,
    limit: i64,
) -> Result<Vec<AllocationRow>, StoreError> {
    let sql = format!("{ALLOCATION} WHERE payment_id = $1 ORDER BY at, id LIMIT $2");
    reads.rows(&sql, vec![payment.uuid().into(), limit.into()]).await?.iter().map(allocation).collect()
}

/// Adds to a payer's credit, or takes from it.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn add_credit(tx: &Tx, payer: SubscriptionId, amount: i64) -> Result<(), StoreError> {
    let sql = "UPDATE subscriptions SET credit = credit + $2 WHERE id = $1";
    tx.execute(sql, vec![payer.uuid().into(), amount.into()]).await?;
    Ok(())
}

/// An invoice that is not paid, as dunning sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenInvoice {
    /// Its id.
    pub id: InvoiceId,
    /// Who owes it.
    pub subscription: SubscriptionId,
    /// The day by which it was to be paid.
    pub due_on: NaiveDate,
    /// Steps of dunning that were taken.
    pub step: i64,
    /// The day of the next; none where none is to come.
    pub next_on: Option<NaiveDate>,
    /// What is still to be paid, minor units.
    pub open: i64,
    /// Its currency.
    pub currency: Currency,
}

const OPEN: &str = "SELECT id, subscription_id, due_on, step, next_on, total - paid AS open, currency FROM invoices";

fn open_invoice(row: &QueryResult) -> Result<OpenInvoice, StoreError> {
    let due_on = day(row, "due_on")?.ok_or_else(|| StoreError::corrupt("due_on is empty"))?;
    Ok(OpenInvoice {
        id: row.id("id")?,
        subscription: row.id("subscription_id")?,
        due_on,
        step: row.int("step")?,
        next_on: day(row, "next_on")?,
        open: row.int("open")?,
        currency: row.word("currency")?,
    })
}

/// A payer's open invoices, the one that is due first before the others; at most `limit`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn open(reads: &impl Reads, payer: SubscriptionId, limit: i64) -> Result<Vec<OpenInvoice>, StoreError> {
    let sql = format!("{OPEN} WHERE subscription_id = $1 AND paid < total ORDER BY due_on, id LIMIT $2");
    reads.rows(&sql, vec![payer.uuid().into(), limit.into()]).await?.iter().map(open_invoice).collect()
}

/// The step that a payer's open invoices have come to at most.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn worst_step(reads: &impl Reads, payer: SubscriptionId) -> Result<i64, StoreError> {
    let sql = "SELECT COALESCE(MAX(step), 0) AS step FROM invoices WHERE subscription_id = $1 AND paid < total";
    let rows = reads.rows(sql, vec![payer.uuid().into()]).await?;
    rows.first().map_or(Ok(0), |row| row.int("step"))
}

/// One open invoice; none where it is paid.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn open_one(reads: &impl Reads, id: InvoiceId) -> Result<Option<OpenInvoice>, StoreError> {
    let rows = reads.rows(&format!("{OPEN} WHERE id = $1 AND paid < total"), vec![id.uuid().into()]).await?;
    rows.first().map(open_invoice).transpose()
}

/// Invoices for which something is to be done by `day`, the oldest first, after one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn due(
    reads: &impl Reads,
    day: NaiveDate,
    after: Option<(NaiveDate, InvoiceId)>,
    limit: i64,
) -> Result<Vec<OpenInvoice>, StoreError> {
    let (last, id) = after.map_or((String::new(), Uuid::nil()), |(day, id)| (day.to_string(), id.uuid()));
    let sql = format!(
        "{OPEN} WHERE next_on <> '' AND next_on <= $1 AND (next_on > $2 OR (next_on = $2 AND id > $3)) \
         ORDER BY next_on, id LIMIT $4"
    );
    let values = vec![day.to_string().into(), last.into(), id.into(), limit.into()];
    reads.rows(&sql, values).await?.iter().map(open_invoice).collect()
}

/// The first day for which something is to be done about an invoice, after one.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn first_due(reads: &impl Reads, after: Option<NaiveDate>) -> Result<Option<NaiveDate>, StoreError> {
    let sql = "SELECT next_on FROM invoices WHERE next_on <> '' AND next_on > $1 ORDER BY next_on LIMIT 1";
    let rows = reads.rows(sql, vec![text(after).into()]).await?;
    rows.first().map_or(Ok(None), |row| day(row, "next_on"))
}

/// Writes how far the dunning of an invoice came.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn set_step(tx: &Tx, id: InvoiceId, step: i64, next_on: Option<NaiveDate>) -> Result<(), StoreError> {
    let sql = "UPDATE invoices SET step = $2, next_on = $3 WHERE id = $1";
    tx.execute(sql, vec![id.uuid().into(), step.into(), text(next_on).into()]).await?;
    Ok(())
}

/// All that a payer owes is asked for on `day`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn ask_all(tx: &Tx, payer: SubscriptionId, day: NaiveDate) -> Result<(), StoreError> {
    let sql = "UPDATE invoices SET next_on = $2 WHERE subscription_id = $1 AND paid < total";
    tx.execute(sql, vec![payer.uuid().into(), day.to_string().into()]).await?;
    Ok(())
}

/// Writes a payer's status.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn set_status(tx: &Tx, payer: SubscriptionId, status: &str) -> Result<(), StoreError> {
    let sql = "UPDATE subscriptions SET status = $2 WHERE id = $1";
    tx.execute(sql, vec![payer.uuid().into(), status.into()]).await?;
    Ok(())
}

/// Writes how a payer pays.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn set_method(tx: &Tx, payer: SubscriptionId, method: &str, token: &str) -> Result<(), StoreError> {
    let sql = "UPDATE subscriptions SET payment_method = $2, payment_token = $3 WHERE id = $1";
    tx.execute(sql, vec![payer.uuid().into(), method.into(), token.into()]).await?;
    Ok(())
}

/// A posting of a fact, debit and credit in it: its place, debit, credit, minor units.
pub type Posting = (i64, String, String, i64);

/// Writes the postings of a fact.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn post(
    tx: &Tx,
    fact: Uuid,
    postings: &[Posting],
    currency: Currency,
    at: Timestamp,
) -> Result<(), StoreError> {
    for (leg, debit, credit, amount) in postings {
        tx.execute(
            "INSERT INTO transfers (fact, leg, debit, credit, amount, currency, at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            vec![
                fact.into(),
                (*leg).into(),
                debit.as_str().into(),
                credit.as_str().into(),
                (*amount).into(),
                currency.code().into(),
                micros(at).into(),
            ],
        )
        .await?;
    }
    Ok(())
}

/// What the simulated provider remembers of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// Whether it took the money.
    pub taken: bool,
    /// Why not; empty where it did.
    pub reason: String,
}

/// What the simulated provider remembers of a payment; none where it never heard of it.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn simulated(reads: &impl Reads, payment: PaymentId) -> Result<Option<Simulated>, StoreError> {
    let sql = "SELECT taken, reason FROM simulated_payments WHERE payment_id = $1";
    let rows = reads.rows(sql, vec![payment.uuid().into()]).await?;
    rows.first().map(|row| Ok(Simulated { taken: row.flag("taken")?, reason: row.text("reason")? })).transpose()
}

/// Lets the simulated provider remember a payment.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn remember_simulated(
    tx: &Tx,
    payment: PaymentId,
    amount: kernel::Money,
    what: &Simulated,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO simulated_payments (payment_id, amount, currency, taken, reason) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (payment_id) DO UPDATE SET taken = excluded.taken, reason = excluded.reason",
        vec![
            payment.uuid().into(),
            amount.minor().into(),
            amount.currency().code().into(),
            what.taken.into(),
            what.reason.as_str().into(),
        ],
    )
    .await?;
    Ok(())
}

/// The id that a payer has at the card provider; none before it was asked for anything.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn customer(reads: &impl Reads, payer: SubscriptionId) -> Result<Option<String>, StoreError> {
    let sql = "SELECT customer FROM provider_customers WHERE subscription_id = $1";
    let rows = reads.rows(sql, vec![payer.uuid().into()]).await?;
    rows.first().map(|row| row.text("customer")).transpose()
}

/// Keeps the id that a payer has at the card provider; the one kept first stays, and is answered.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn keep_customer(tx: &Tx, payer: SubscriptionId, customer: &str) -> Result<String, StoreError> {
    let sql = "INSERT INTO provider_customers (subscription_id, customer) VALUES ($1, $2) \
         ON CONFLICT (subscription_id) DO UPDATE SET customer = provider_customers.customer RETURNING customer";
    let row = tx.query_one(sql, vec![payer.uuid().into(), customer.into()]).await?;
    row.map_or_else(|| Err(StoreError::corrupt("a customer that was not kept")), |row| row.text("customer"))
}
