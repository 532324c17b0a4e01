//! Credit notes as people read them: line by line, each with the invoice's line and how it is worked out.

use crate::bill::{Bill, BilledOrganization, Corrects, Line, TaxLine, charged};
use crate::lines::nets;
use billing::invoice::TaxSum;
use chrono::NaiveDate;
use kernel::{ChargeId, CreditNoteId, Currency, InvoiceId, Money, Month, Step, SubscriptionId};
use serde::Serialize;
use store::credit_notes::{self, CreditNoteRow, NamedLine};
use store::{Reads, StoreError, invoices};

/// A line of a credit note.
#[derive(Clone, Debug, Serialize)]
pub struct CreditedLine {
    /// The place of the invoice's line on it, from 1.
    pub line: i64,
    /// Its charge.
    pub charge: ChargeId,
    /// For whom.
    pub organization: BilledOrganization,
    /// The offer's slug.
    pub offer: String,
    /// The offer's name.
    pub name: String,
    /// The month of the service.
    pub month: Month,
    /// What is credited before tax.
    pub amount: Money,
    /// Percent; empty for none.
    pub tax_rate: String,
    /// Its part of the tax.
    pub tax: Money,
    /// How it is worked out.
    pub why: Vec<Step>,
}

/// A credit note.
#[derive(Clone, Debug, Serialize)]
pub struct CreditNote {
    /// Its id.
    pub id: CreditNoteId,
    /// Its number.
    pub number: String,
    /// The invoice that it corrects.
    pub invoice: InvoiceId,
    /// The invoice's number.
    pub invoice_number: String,
    /// Whose.
    pub subscription: SubscriptionId,
    /// The day of issue.
    pub issued_on: NaiveDate,
    /// Why, in the operator's words.
    pub reason: String,
    /// In the order of the invoice; empty in lists.
    pub lines: Vec<CreditedLine>,
    /// By rate.
    pub taxes: Vec<TaxLine>,
    /// Before tax.
    pub net: Money,
    /// Tax.
    pub tax: Money,
    /// Both.
    pub total: Money,
    /// What of it was taken off what was open of the invoice.
    pub reduced: Money,
    /// What of it had been paid: it became the payer's credit, or was paid back.
    pub credited: Money,
}

impl CreditNote {
    /// A credit note with its lines.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn of(reads: &impl Reads, row: &CreditNoteRow) -> Result<Self, StoreError> {
        let mut note = Self::head(reads, row).await?;
        for line in credit_notes::lines(reads, row.id).await? {
            note.lines.push(named(line, &note.invoice_number)?);
        }
        Ok(note)
    }

    /// The same without its lines: for lists.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn head(reads: &impl Reads, row: &CreditNoteRow) -> Result<Self, StoreError> {
        let invoice = invoices::find(reads, row.invoice).await?;
        let taxes: Vec<TaxSum> = serde_json::from_str(&row.taxes).map_err(StoreError::corrupt)?;
        let money = |minor| Money::new(minor, row.currency);
        let taxes = taxes.into_iter().map(|sum| TaxLine { rate: sum.rate, net: money(sum.net), tax: money(sum.tax) });
        Ok(Self {
            id: row.id,
            number: row.number.clone(),
            invoice: row.invoice,
            invoice_number: invoice.map(|invoice| invoice.number).unwrap_or_default(),
            subscription: row.subscription,
            issued_on: row.issued_on,
            reason: row.reason.clone(),
            lines: Vec::new(),
            taxes: taxes.collect(),
            net: money(row.net),
            tax: money(row.tax),
            total: money(row.total),
            reduced: money(row.reduced),
            credited: money(row.total.saturating_sub(row.reduced)),
        })
    }
}

/// A credit note as documents take it: a bill of what is credited.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn as_bill(reads: &impl Reads, row: &CreditNoteRow) -> Result<Bill, StoreError> {
    let missing = || StoreError::corrupt(format!("{} is not there", row.invoice));
    let of = invoices::find(reads, row.invoice).await?.ok_or_else(missing)?;
    let note = CreditNote::head(reads, row).await?;
    let mut lines = Vec::new();
    for NamedLine { line, of_place, of: issued } in credit_notes::lines(reads, row.id).await? {
        let whole = issued.line.charge.amount;
        let mut shown = charged(issued.line, issued.offer_name)?;
        let place = (of_place, note.invoice_number.as_str());
        shown.why = steps(place, (whole, line.earlier, line.net), (&shown.tax_rate, line.tax), row.currency);
        (shown.amount, shown.tax) = (Money::new(line.net, row.currency), Money::new(line.tax, row.currency));
        lines.push(shown);
    }
    let sums = nets(lines.iter().map(|line| (line.organization.id, line.amount.minor())))?;
    for line in &mut lines {
        let net = sums.get(&line.organization.id).copied().unwrap_or_default();
        line.organization_net = Money::new(net, row.currency);
    }
    Ok(Bill {
        id: None,
        number: Some(note.number),
        issued_on: row.issued_on,
        due_on: row.issued_on,
        in_all: i64::try_from(lines.len()).map_err(StoreError::corrupt)?,
        lines,
        taxes: note.taxes,
        net: note.net,
        tax: note.tax,
        total: note.total,
        paid: Money::zero(row.currency),
        credited: Money::zero(row.currency),
        open: note.total,
        corrects: Some(Corrects { number: of.number.clone(), issued_on: of.issued_on, reason: note.reason }),
        ..Bill::head(&of)?
    })
}

fn named(named: NamedLine, invoice: &str) -> Result<CreditedLine, StoreError> {
    let NamedLine { line, of_place, of } = named;
    let currency = of.line.charge.currency;
    let whole = of.line.charge.amount;
    let of: Line = charged(of.line, of.offer_name)?;
    let why = steps((of_place, invoice), (whole, line.earlier, line.net), (&of.tax_rate, line.tax), currency);
    Ok(CreditedLine {
        line: of_place,
        charge: line.charge,
        organization: of.organization,
        offer: of.offer,
        name: of.name,
        month: of.month,
        amount: Money::new(line.net, currency),
        tax_rate: of.tax_rate,
        tax: Money::new(line.tax, currency),
        why,
    })
}

/// How a line is worked out: from the invoice's line to what is left of it, and its tax.
fn steps(
    (place, invoice): (i64, &str),
    (whole, earlier, net): (i64, i64, i64),
    (rate, tax): (&str, i64),
    currency: Currency,
) -> Vec<Step> {
    let money = |minor: i64| Money::new(minor, currency).amount_string();
    let step = |step: &str, detail: String, minor: i64| Step { step: step.to_owned(), detail, value: money(minor) };
    let mut steps = vec![step("invoiced", format!("line {place} of invoice {invoice}, before tax"), whole)];
    if earlier != 0 {
        steps.push(step("credited_before", "by earlier credit notes".to_owned(), earlier));
    }
    steps.push(step("credited", "by this one".to_owned(), net));
    let left = whole.saturating_sub(earlier).saturating_sub(net);
    steps.push(step("left", format!("{} − {} − {}", money(whole), money(earlier), money(net)), left));
    let detail = if rate.is_empty() {
        "none was taken".to_owned()
    } else {
        format!("its part of what is given back of the {rate} % taken on the sum of the invoice's lines")
    };
    steps.push(step("tax", detail, tax));
    steps
}
