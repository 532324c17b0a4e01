//! What was paid is paid back, each function one step inside a transaction of its caller that holds the payer.
//!
//! What is to be paid back leaves the payer's credit when it is recorded, so that no invoice uses it meanwhile; what a provider
//! refuses to pay back is credit again.

use crate::collection::{self, Desk};
use crate::credit_note::split;
use crate::crediting;
use crate::dunning::Schedule;
use crate::payment::{Outcome, Provider};
use crate::refund::{RefundDemand, RefundState, postings};
use kernel::{Money, RefundId, SubscriptionId};
use serde_json::json;
use store::credit_notes::CreditNoteRow;
use store::payments::{self, PaymentRow};
use store::refunds::{self, RefundRow};
use store::{StoreError, Tx};

/// Payments that went to an invoice and are looked at.
const MOST: i64 = 1_000;

/// Records what is to be paid back of what a credit note left over, the latest payment first: cards are asked after the
/// transaction, transfers were sent already under `reference`. What no payment brought in, but credit, stays credit.
/// False where a transfer is to be paid back and no reference is given; then the transaction must not be committed.
///
/// # Errors
/// The store's.
pub async fn begin(
    desk: &mut Desk<'_>,
    payer: SubscriptionId,
    note: &CreditNoteRow,
    rest: i64,
    reference: Option<&str>,
) -> Result<bool, StoreError> {
    let sources = refunds::sources(desk.tx, note.invoice, MOST).await?;
    let left: Vec<(usize, i64)> = sources.iter().map(|source| source.left).enumerate().collect();
    let (parts, _) = split(rest, &left);
    for (place, amount) in parts {
        let Some(source) = sources.get(place) else { continue };
        let provider = collection::provider_of(&source.payment)?;
        let reference = match (provider, reference) {
            (Provider::Transfer, None) => return Ok(false),
            (Provider::Transfer, Some(reference)) => reference,
            _ => "",
        };
        one(desk, payer, note, (&source.payment, provider), (amount, reference)).await?;
    }
    Ok(true)
}

async fn one(
    desk: &mut Desk<'_>,
    payer: SubscriptionId,
    note: &CreditNoteRow,
    (of, provider): (&PaymentRow, Provider),
    (amount, reference): (i64, &str),
) -> Result<(), StoreError> {
    let transfer = provider == Provider::Transfer;
    let row = RefundRow {
        id: desk.id(),
        payment: of.id,
        note: note.id,
        subscription: payer,
        provider: provider.to_string(),
        state: if transfer { RefundState::Refunded } else { RefundState::Asked }.to_string(),
        reference: reference.to_owned(),
        reason: String::new(),
        amount,
        currency: of.currency,
        asked_at: desk.at,
        settled_at: transfer.then_some(desk.at),
    };
    refunds::insert(desk.tx, &row).await?;
    payments::add_credit(desk.tx, payer, amount.saturating_neg()).await?;
    let public = json!({
        "refund": row.id, "payment": of.id, "credit_note": note.id, "subscription": payer, "provider": provider,
        "amount": amount, "currency": row.currency,
    });
    desk.tell("refund.asked", &public, None);
    if transfer { paid(desk, &row).await } else { Ok(()) }
}

/// Posts and tells that a refund was paid.
async fn paid(desk: &mut Desk<'_>, row: &RefundRow) -> Result<(), StoreError> {
    let provider: Provider =
        row.provider.parse().map_err(|fault| StoreError::corrupt(format!("provider of {}: {fault}", row.id)))?;
    let posted = postings(row.subscription, provider, row.amount);
    payments::post(desk.tx, row.id.uuid(), &posted, row.currency, desk.at).await?;
    let public = json!({
        "refund": row.id, "payment": row.payment, "subscription": row.subscription, "amount": row.amount,
        "currency": row.currency,
    });
    desk.tell("refund.paid", &public, Some(&json!({"reference": row.reference})));
    Ok(())
}

/// What a provider is asked for a refund.
///
/// # Errors
/// The store's.
pub async fn demand(reads: &impl store::Reads, row: &RefundRow) -> Result<Option<RefundDemand>, StoreError> {
    let of = payments::find(reads, row.payment).await?;
    Ok(of.map(|of| RefundDemand {
        refund: row.id,
        payment: row.payment,
        subscription: row.subscription,
        token: of.token,
        reference: of.reference,
        amount: Money::new(row.amount, row.currency),
        asked_at: row.asked_at,
    }))
}

/// Records what came of asking a provider; once, whoever tells it how often.
///
/// # Errors
/// The store's.
pub async fn conclude(
    desk: &mut Desk<'_>,
    schedule: &Schedule,
    refund: RefundId,
    outcome: &Outcome,
) -> Result<(), StoreError> {
    let Some(mut row) = asked(desk.tx, refund).await? else { return Ok(()) };
    row.settled_at = Some(desk.at);
    match outcome {
        Outcome::Unknown => Ok(()),
        Outcome::Received(reference) => {
            row.state = RefundState::Refunded.to_string();
            row.reference.clone_from(reference);
            refunds::settle(desk.tx, &row).await?;
            paid(desk, &row).await
        }
        Outcome::Declined { reason, .. } => {
            row.state = RefundState::Declined.to_string();
            row.reason.clone_from(reason);
            refunds::settle(desk.tx, &row).await?;
            payments::add_credit(desk.tx, row.subscription, row.amount).await?;
            let public = json!({
                "refund": row.id, "payment": row.payment, "subscription": row.subscription, "amount": row.amount,
                "currency": row.currency, "reason": reason,
            });
            desk.tell("refund.declined", &public, None);
            crediting::spend(desk, schedule, row.subscription).await
        }
    }
}

/// A refund whose outcome is not recorded, read when its payer was held.
async fn asked(tx: &Tx, refund: RefundId) -> Result<Option<RefundRow>, StoreError> {
    let Some(row) = refunds::find(tx, refund).await? else { return Ok(None) };
    if collection::held(tx, row.subscription).await?.is_none() {
        return Ok(None);
    }
    let row = refunds::find(tx, refund).await?;
    Ok(row.filter(|row| row.state == RefundState::Asked.as_str()))
}
