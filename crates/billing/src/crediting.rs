//! Credit notes and granted credits, each one step inside a transaction of its caller that holds the payer (R-43, R-9a).

use crate::collection::{self, Desk};
use crate::credit_note::{self, Draft, OfCharges, Wanted};
use crate::dunning::Schedule;
use crate::invoice::{Document, TaxSum, number};
use crate::refund;
use crate::refunding;
use chrono::{Datelike, NaiveDate};
use kernel::{AllocationId, ChargeId, CreditNoteId, InvoiceId, Money, SubscriptionId};
use serde_json::json;
use sha2::{Digest, Sha256};
use store::credit_notes::{self, CreditNoteLine, CreditNoteRow, CreditRow};
use store::invoices::{self, InvoiceRow};
use store::payments::{self, AllocationRow};
use store::subscriptions::SubscriptionRow;
use store::{StoreError, proof};

/// Open invoices of a payer that are looked at.
const MOST: i64 = 1_000;

/// A credit note as an operator asks for it.
#[derive(Clone, Debug)]
pub struct Order {
    /// The lines, each with an amount before tax; none: all that is left.
    pub lines: Option<Vec<Wanted>>,
    /// Why, in words.
    pub reason: String,
    /// What was paid already is paid back; else it stays as credit.
    pub refund: bool,
    /// The transfer at the bank by which it was paid back, for what was paid by transfer.
    pub reference: Option<String>,
}

/// How credit notes are issued here.
#[derive(Clone, Debug)]
pub struct NoteTerms {
    /// What their numbers begin with: that of invoices with its own prefix.
    pub series: String,
    /// When what is not paid is asked for again.
    pub schedule: Schedule,
    /// The day of issue.
    pub issued_on: NaiveDate,
}

/// Why no credit note is issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteFault {
    /// What is asked for cannot be credited.
    Lines(credit_note::Fault),
    /// Part of it was paid by transfer, and no transfer back is named.
    Reference,
    /// The payer's credit would be more than can be kept.
    TooMuch,
}

/// Issues a credit note on an invoice whose payer is held.
///
/// # Errors
/// The store's; inside, why none is issued: then the transaction must not be committed.
pub async fn issue(
    desk: &mut Desk<'_>,
    terms: &NoteTerms,
    payer: &SubscriptionRow,
    invoice: InvoiceId,
    order: &Order,
) -> Result<Result<CreditNoteRow, NoteFault>, StoreError> {
    let gone = || StoreError::corrupt(format!("{invoice} is not there"));
    let invoice = invoices::find(desk.tx, invoice).await?.ok_or_else(gone)?;
    let draft = match draft(desk, &invoice, order.lines.as_deref()).await? {
        Ok(draft) => draft,
        Err(fault) => return Ok(Err(NoteFault::Lines(fault))),
    };
    let open = invoice.total.saturating_sub(invoice.paid).max(0);
    let reduced = open.min(draft.sums.total);
    let rest = draft.sums.total.saturating_sub(reduced);
    if payer.credit.checked_add(rest).is_none() {
        return Ok(Err(NoteFault::TooMuch));
    }
    let note = write(desk, terms, &invoice, (&draft, reduced), &order.reason).await?;
    reduce(desk, terms, payer, &note).await?;
    payments::add_credit(desk.tx, payer.id, rest).await?;
    if order.refund && rest > 0 {
        let paid_back = refunding::begin(desk, payer.id, &note, rest, order.reference.as_deref()).await?;
        if !paid_back {
            return Ok(Err(NoteFault::Reference));
        }
    }
    spend(desk, &terms.schedule, payer.id).await?;
    Ok(Ok(note))
}

/// What a credit note would come to; nothing is written.
///
/// # Errors
/// The store's; inside, why none can be issued.
pub async fn draft(
    desk: &Desk<'_>,
    invoice: &InvoiceRow,
    lines: Option<&[Wanted]>,
) -> Result<Result<Draft, credit_note::Fault>, StoreError> {
    let taxes: Vec<TaxSum> = serde_json::from_str(&invoice.taxes).map_err(StoreError::corrupt)?;
    let of = credit_notes::credited(desk.tx, invoice.id).await?;
    Ok(credit_note::decide(&of, &taxes, lines))
}

/// Writes the note with its number, lines, postings and event.
async fn write(
    desk: &mut Desk<'_>,
    terms: &NoteTerms,
    invoice: &InvoiceRow,
    (draft, reduced): (&Draft, i64),
    reason: &str,
) -> Result<CreditNoteRow, StoreError> {
    let year = terms.issued_on.year();
    let place = invoices::next_numbers(desk.tx, &credit_note::counter(&terms.series, year), 1).await?;
    let document: Document = serde_json::from_str(&invoice.document).map_err(StoreError::corrupt)?;
    let note = CreditNoteRow {
        id: desk.id(),
        invoice: invoice.id,
        subscription: invoice.subscription,
        number: number(&terms.series, year, place),
        issued_on: terms.issued_on,
        currency: invoice.currency,
        net: draft.sums.net,
        tax: draft.sums.tax,
        total: draft.sums.total,
        reduced,
        taxes: serde_json::to_string(&draft.sums.taxes).map_err(StoreError::corrupt)?,
        document: invoice.document.clone(),
        reason: reason.to_owned(),
        at: desk.at,
    };
    let lines = frozen(note.id, draft);
    credit_notes::insert(desk.tx, &note, &lines).await?;
    let rest = note.total.saturating_sub(reduced);
    let country = document.payer.country;
    let charged = charged(desk, draft).await?;
    let postings = credit_note::postings(note.subscription, country, draft, rest, &charged);
    payments::post(desk.tx, note.id.uuid(), &postings, note.currency, desk.at).await?;
    let public = json!({
        "credit_note": note.id, "invoice": note.invoice, "subscription": note.subscription, "number": note.number,
        "issued_on": note.issued_on, "currency": note.currency, "country": country, "net": note.net, "tax": note.tax,
        "total": note.total, "taxes": draft.sums.taxes, "reduced": reduced, "credit": rest,
        "document": hex::encode(Sha256::digest(note.document.as_bytes())),
        "lines": lines.len(), "lines_hash": lines_hash(&lines),
    });
    desk.tell("credit_note.issued", &public, Some(&json!({"reason": note.reason})));
    Ok(note)
}

fn frozen(note: CreditNoteId, draft: &Draft) -> Vec<CreditNoteLine> {
    let line = |(place, line): (i64, &credit_note::DraftLine)| CreditNoteLine {
        note,
        place,
        charge: line.of.charge,
        net: line.net,
        tax: line.tax,
        earlier: line.of.credited,
    };
    (1..).zip(&draft.lines).map(line).collect()
}

/// The hash over a credit note's lines that its event holds.
#[must_use]
pub fn lines_hash(lines: &[CreditNoteLine]) -> String {
    let mut hash = Sha256::new();
    for line in lines {
        hash.update(json!([line.place, line.charge, line.net, line.tax, line.earlier]).to_string());
        hash.update("\n");
    }
    hex::encode(hash.finalize())
}

/// What the charges of a draft posted.
async fn charged(desk: &Desk<'_>, draft: &Draft) -> Result<OfCharges, StoreError> {
    let ids: Vec<ChargeId> = draft.lines.iter().map(|line| line.of.charge).collect();
    let mut of = OfCharges::new();
    for posting in proof::transfers(desk.tx, &ids).await? {
        of.entry(posting.fact).or_default().push((posting.debit, posting.credit, posting.amount));
    }
    Ok(of)
}

/// What was open of the invoice is open no more; a payer that was dunned for it is put right as by a payment.
async fn reduce(
    desk: &mut Desk<'_>,
    terms: &NoteTerms,
    payer: &SubscriptionRow,
    note: &CreditNoteRow,
) -> Result<(), StoreError> {
    if note.reduced == 0 {
        return Ok(());
    }
    let open = payments::open_one(desk.tx, note.invoice).await?;
    let part = AllocationRow {
        id: desk.id::<AllocationId>(),
        subscription: payer.id,
        invoice: note.invoice,
        payment: None,
        note: Some(note.id),
        amount: note.reduced,
        at: desk.at,
    };
    payments::allocate(desk.tx, &part).await?;
    let public = json!({
        "allocation": part.id, "subscription": payer.id, "invoice": note.invoice, "credit_note": note.id,
        "amount": note.reduced, "currency": note.currency,
    });
    desk.tell("invoice.reduced", &public, None);
    let open: Vec<_> = open.into_iter().collect();
    collection::restore(desk, &terms.schedule, payer, &open, &[(note.invoice, note.reduced)]).await
}

/// Credit that a payer has goes to what it owes, the oldest first: nobody is dunned who has credit.
///
/// # Errors
/// The store's.
pub async fn spend(desk: &mut Desk<'_>, schedule: &Schedule, payer: SubscriptionId) -> Result<(), StoreError> {
    // Read again: its credit and its status may have changed in this transaction.
    let Some(payer) = collection::held(desk.tx, payer).await? else { return Ok(()) };
    if payer.credit > 0 && !payments::open(desk.tx, payer.id, MOST).await?.is_empty() {
        collection::use_credit(desk, schedule, &payer).await?;
    }
    Ok(())
}

/// Grants a payer that is held a credit without an invoice (R-9a). None where it would be more than can be kept.
///
/// # Errors
/// The store's.
pub async fn grant(
    desk: &mut Desk<'_>,
    schedule: &Schedule,
    payer: &SubscriptionRow,
    (amount, reason): (Money, &str),
) -> Result<Option<CreditRow>, StoreError> {
    if payer.credit.checked_add(amount.minor()).is_none() {
        return Ok(None);
    }
    let row = CreditRow {
        id: desk.id(),
        subscription: payer.id,
        amount: amount.minor(),
        currency: amount.currency(),
        reason: reason.to_owned(),
        at: desk.at,
    };
    credit_notes::grant(desk.tx, &row).await?;
    let postings = refund::postings_of_grant(payer.id, row.amount);
    payments::post(desk.tx, row.id.uuid(), &postings, row.currency, desk.at).await?;
    let public = json!({
        "credit": row.id, "subscription": payer.id, "amount": row.amount, "currency": row.currency,
    });
    desk.tell("credit.granted", &public, Some(&json!({"reason": row.reason})));
    spend(desk, schedule, payer.id).await?;
    Ok(Some(row))
}
