//! `purser explain`: how a charge comes to its amount, laid out so that a person can check it with pencil and paper
//! . The steps are those of the quote; they are written from what is stored with the charge.

use std::fmt::Write as _;

use kernel::{ChargeBasis, ChargeId, Currency, Money, Step, rfc3339};
use store::proof::TransferProof;
use store::purchases::ChargeRow;
use store::{Reads, StoreError};

/// The derivation of a charge, as plain text; none where there is no such charge.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn explain(reads: &impl Reads, id: ChargeId) -> Result<Option<String>, StoreError> {
    let Some(charge) = store::purchases::charge_by_id(reads, id).await? else { return Ok(None) };
    let basis: ChargeBasis =
        serde_json::from_str(&charge.basis).map_err(|e| StoreError::corrupt(format!("basis of {id}: {e}")))?;
    let organization = store::organizations::find(reads, charge.organization, None).await?;
    let organization = organization.map_or_else(
        || charge.organization.to_string(),
        |found| format!("{} ({})", found.organization.slug, found.organization.name),
    );
    let payer = store::subscriptions::find(reads, charge.subscription, None).await?;
    let payer = payer.map_or_else(
        || charge.subscription.to_string(),
        |(row, _)| format!("{} ({}), {}", row.name, row.id, row.country),
    );
    let postings = store::proof::transfers(reads, &[id]).await?;
    Ok(Some(text(&charge, &basis, &organization, &payer, &postings)))
}

fn text(
    charge: &ChargeRow,
    basis: &ChargeBasis,
    organization: &str,
    payer: &str,
    postings: &[TransferProof],
) -> String {
    let amount = Money::new(charge.amount, charge.currency);
    let first = charge.month.first_day();
    let mut text = format!("Charge {}: {amount} {}\n\n", charge.id, charge.currency);
    let head = [
        ("organization", organization.to_owned()),
        ("offer", format!("{} ({})", basis.offer, charge.offer)),
        ("paid units", format!("{} before, {} after", basis.before, basis.after)),
        ("subscription", payer.to_owned()),
        ("purchase", charge.purchase.to_string()),
        ("bought", rfc3339(charge.at)),
        ("for the month", format!("{first}, until {}", charge.month.next().first_day())),
    ];
    for (name, value) in head {
        let _ = writeln!(text, "  {name:<14} {value}");
    }
    text.push_str("\nHow it is worked out\n");
    derivation(&mut text, &basis.steps());
    text.push_str("\nTax\n");
    if charge.tax_rate.is_empty() {
        let _ = writeln!(text, "  no rate was configured for the payer's country on that day: none is charged");
    } else {
        let _ = writeln!(
            text,
            "  {} %, taken on the sum of all lines of an invoice that have this rate, not on this one alone",
            charge.tax_rate
        );
    }
    text.push_str("\nIn the ledger\n");
    ledger(&mut text, postings, charge.currency);
    text
}

/// Numbered steps, their results in one column.
fn derivation(text: &mut String, steps: &[Step]) {
    let named = |step: &Step| format!("{}: {}", step.step.replace('_', " "), step.detail);
    let width = steps.iter().map(|step| named(step).chars().count()).max().unwrap_or(0);
    let values = steps.iter().map(|step| step.value.chars().count()).max().unwrap_or(0);
    for (number, step) in (1..).zip(steps) {
        let _ = writeln!(text, "  {number:>2}. {:<width$}  = {:>values$}", named(step), step.value);
    }
}

fn ledger(text: &mut String, postings: &[TransferProof], currency: Currency) {
    let amount = |posting: &TransferProof| Money::new(posting.amount, currency).to_string();
    let debits = postings.iter().map(|posting| posting.debit.len()).max().unwrap_or(0);
    let credits = postings.iter().map(|posting| posting.credit.len()).max().unwrap_or(0);
    let amounts = postings.iter().map(|posting| amount(posting).len()).max().unwrap_or(0);
    for posting in postings {
        let TransferProof { debit, credit, .. } = posting;
        let _ =
            writeln!(text, "  Dr {debit:<debits$}  Cr {credit:<credits$}  {:>amounts$} {currency}", amount(posting));
    }
}
