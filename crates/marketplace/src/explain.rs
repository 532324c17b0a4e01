//! `purser explain`: how a charge comes to its amount, laid out so that a person can check it with pencil and paper
//! (R-25). The steps are those of the quote; they are written from what is stored with the charge.

use std::fmt::Write as _;

use crate::bill::Bill;
use crate::credit_note::CreditNote;
use kernel::{
    ChargeBasis, ChargeId, CreditNoteId, Currency, DayRule, InvoiceId, Model, Money, PriceSpec, Step, UnitPrice,
    rfc3339,
};
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

/// The derivation of an invoice: each line as its charge is explained, then the sums and the tax; none where there is no
/// such invoice.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn explain_invoice(reads: &impl Reads, id: InvoiceId) -> Result<Option<String>, StoreError> {
    let Some(row) = store::invoices::find(reads, id).await? else { return Ok(None) };
    let bill = Bill::issued(reads, &row).await?;
    let mut text = format!("Invoice {} ({id}): {} {}\n\n", row.number, bill.total, row.currency);
    let head = [
        ("subscription", row.subscription.to_string()),
        ("issued", row.issued_on.to_string()),
        ("to be paid by", row.due_on.to_string()),
        ("for the first of", row.bill.to_string()),
    ];
    for (name, value) in head {
        let _ = writeln!(text, "  {name:<16} {value}");
    }
    let mut organization = None;
    for line in &bill.lines {
        if organization != Some(line.organization.id) {
            organization = Some(line.organization.id);
            let _ = writeln!(text, "\n{} ({})", line.organization.name, line.organization.slug);
        }
        let charge = line.charge.map(|charge| charge.to_string()).unwrap_or_default();
        let _ = writeln!(text, "\n {}, {} of {}, {charge}: {}", line.offer, line.kind, line.month, line.amount);
        derivation(&mut text, &line.why);
    }
    text.push_str("\nTax, taken once on each sum, and shared over its lines\n");
    for tax in &bill.taxes {
        let rate = if tax.rate.is_empty() { "no rate".to_owned() } else { format!("{} %", tax.rate) };
        let _ = writeln!(text, "  {rate} of {} = {}", tax.net, tax.tax);
    }
    let _ = writeln!(text, "\nNet {} + tax {} = {} {}", bill.net, bill.tax, bill.total, row.currency);
    Ok(Some(text))
}

/// The derivation of a credit note: each line from the invoice's, the tax given back, and its postings; none where there is
/// no such credit note.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn explain_credit_note(reads: &impl Reads, id: CreditNoteId) -> Result<Option<String>, StoreError> {
    let Some(row) = store::credit_notes::find(reads, id).await? else { return Ok(None) };
    let note = CreditNote::of(reads, &row).await?;
    let postings = store::proof::transfers(reads, &[ChargeId::from_uuid(id.uuid())]).await?;
    let mut text = format!("Credit note {} ({id}): {} {}\n\n", note.number, note.total, row.currency);
    let head = [
        ("invoice", format!("{} ({})", note.invoice_number, note.invoice)),
        ("subscription", note.subscription.to_string()),
        ("issued", note.issued_on.to_string()),
        ("reason", note.reason.clone()),
    ];
    for (name, value) in head {
        let _ = writeln!(text, "  {name:<16} {value}");
    }
    for line in &note.lines {
        let (name, slug) = (&line.organization.name, &line.organization.slug);
        let _ = writeln!(text, "\n {}, {}, {name} ({slug}), {}: {}", line.offer, line.month, line.charge, line.amount);
        derivation(&mut text, &line.why);
    }
    text.push_str("\nTax, as the invoice took it on each sum: the part of all that is credited, less what was given back before\n");
    for tax in &note.taxes {
        let rate = if tax.rate.is_empty() { "no rate".to_owned() } else { format!("{} %", tax.rate) };
        let _ = writeln!(text, "  {rate} of {} = {}", tax.net, tax.tax);
    }
    let _ = writeln!(text, "\nNet {} + tax {} = {} {}", note.net, note.tax, note.total, row.currency);
    let _ = writeln!(text, "Off what was open {}, paid before {}", note.reduced, note.credited);
    text.push_str("\nIn the ledger\n");
    ledger(&mut text, &postings, row.currency);
    Ok(Some(text))
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
    let renewal = charge.purchase.uuid().is_nil();
    let mut text = format!("Charge {}: {amount} {}\n\n", charge.id, charge.currency);
    let head = [
        ("organization", organization.to_owned()),
        ("offer", format!("{} ({})", basis.offer, charge.offer)),
        ("paid units", format!("{} before, {} after", basis.before, basis.after)),
        ("subscription", payer.to_owned()),
        (
            "purchase",
            match (&basis.usage, renewal) {
                (Some(_), _) => "none: metered use of the month".to_owned(),
                (None, true) if basis.rule != DayRule::None => {
                    "none: what was suspended resumed for the rest of the month".to_owned()
                }
                (None, true) => "none: the month was renewed".to_owned(),
                (None, false) => charge.purchase.to_string(),
            },
        ),
        (if renewal { "charged" } else { "bought" }, rfc3339(charge.at)),
        ("for the month", format!("{first}, until {}", charge.month.next().first_day())),
    ];
    for (name, value) in head {
        let _ = writeln!(text, "  {name:<14} {value}");
    }
    let _ = writeln!(text, "\nPrice version {} in {}, {}", basis.price_version, basis.currency, basis.spec.model());
    tariff(&mut text, &basis.spec.spec());
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

/// The whole price, not only the bands that the charge touches.
fn tariff(text: &mut String, spec: &PriceSpec) {
    let each = if spec.model == Model::Flat { "for all" } else { "each" };
    let price = |unit: Option<UnitPrice>, flat: Option<UnitPrice>| {
        let unit = unit.map(|unit| format!("{unit} {each}"));
        let flat = flat.map(|flat| format!("{flat} once"));
        [unit, flat].into_iter().flatten().collect::<Vec<_>>().join(" and ")
    };
    if let Some(size) = spec.size {
        let _ = writeln!(text, "  packages of {size} paid units: {}", price(spec.unit, spec.flat));
    } else if spec.bands.is_empty() {
        let _ = writeln!(text, "  any number of paid units: {}", price(spec.unit, spec.flat));
    }
    let mut from = 1;
    for band in &spec.bands {
        let to = band.up_to.map_or_else(|| "on".to_owned(), |to| format!("to {to}"));
        let _ = writeln!(text, "  paid units from {from} {to}: {}", price(band.unit, band.flat));
        from = band.up_to.unwrap_or(from).saturating_add(1);
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    /// R-25: all that the amount follows from is on the page, and so is where it went.
    #[test]
    fn a_charge_can_be_checked_by_hand() {
        let id = |last: u64| uuid::Uuid::from_u64_pair(0, last);
        let price = r#"{"model":"graduated","bands":[{"up_to":5,"unit":"6.00"},{"unit":"8.00","flat":"1.00"}]}"#;
        let inputs = kernel::ChargeInputs {
            offer: "ms.users".into(),
            currency: "USD".parse().unwrap(),
            price_version: 3,
            before: 2,
            after: 7,
            fraction: kernel::DayRule::DaysAfter.fraction(kernel::parse_rfc3339("2018-04-15T10:00:00Z").unwrap()),
            accrued_before: kernel::Exact::from_int(6),
            charged_before: 600,
        };
        let basis = ChargeBasis::compute(&serde_json::from_str(price).unwrap(), inputs).unwrap();
        let charge = ChargeRow {
            id: ChargeId::from_uuid(id(1)),
            purchase: kernel::PurchaseId::from_uuid(id(2)),
            subscription: kernel::SubscriptionId::from_uuid(id(3)),
            organization: kernel::OrganizationId::from_uuid(id(4)),
            offer: kernel::OfferId::from_uuid(id(5)),
            amount: basis.amount,
            currency: basis.currency,
            month: "2018-04-01".parse().unwrap(),
            tax_rate: "19".into(),
            basis: String::new(),
            at: kernel::parse_rfc3339("2018-04-15T10:00:00Z").unwrap(),
        };
        let posting = TransferProof {
            fact: charge.id,
            leg: 0,
            debit: "unbilled/sub_x".into(),
            credit: "deferred_revenue/off_y".into(),
            amount: basis.amount,
            currency: "USD".into(),
            at: 0,
        };
        let text = text(&charge, &basis, "fabrikam (Fabrikam Fiber)", "Production (sub_x), US", &[posting]);
        for expected in [
            "17.50 USD",
            "2 before, 7 after",
            "Price version 3 in USD, graduated",
            "paid units from 1 to 5: 6.00 each",
            "paid units from 6 on: 8.00 each and 1.00 once",
            "price before: 2 × 6.00 for paid units 1 to 2",
            "35 × 15/30",
            "exact sum of earlier increases, 6.00 of it charged",
            "19 %",
            "Dr unbilled/sub_x  Cr deferred_revenue/off_y  17.50 USD",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }
}
