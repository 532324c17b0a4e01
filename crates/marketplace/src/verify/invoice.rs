//! Invoices: each is what its charges come to, with its tax, its postings and a number that follows the one before
//!

use std::collections::{BTreeMap, HashMap};

use kernel::{ChargeId, Currency, EventId, InvoiceId, SubscriptionId};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use store::Tx;
use store::invoices::InvoiceRow;
use store::proof::{self, BilledProof, Counts, Fact, TransferProof};

use super::checker::{Number, number, to_minor};
use super::invoice_lines::{self, Billed};
use super::told::read;
use super::{Difference, PAGE, Row, Seen, VerifyError};

/// `invoice.issued`.
#[derive(Clone, Debug, Deserialize)]
struct Issued {
    invoice: InvoiceId,
    subscription: SubscriptionId,
    bill: String,
    number: String,
    issued_on: String,
    due_on: String,
    currency: Currency,
    country: String,
    net: i64,
    tax: i64,
    total: i64,
    taxes: Vec<TaxTold>,
    document: String,
    /// How many lines it was issued with, and the hash over them; none of what was issued before lines were kept, whose
    /// names cannot be proven.
    #[serde(default)]
    lines: Option<i64>,
    #[serde(default)]
    lines_hash: Option<String>,
}

/// What one rate applies to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TaxTold {
    /// Percent; empty for none.
    pub rate: String,
    /// Sum of the lines, minor units.
    pub net: i64,
    /// Tax on it, minor units.
    pub tax: i64,
}

/// Proves all invoices by their events; how many there are.
///
/// # Errors
/// The first row that is not what the facts say.
pub async fn prove(tx: &Tx, counts: &Counts, seen: &mut Seen) -> Result<i64, VerifyError> {
    let mut last = EventId::from_uuid(uuid::Uuid::nil());
    let mut numbers: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let (mut proven, mut lines) = (0, 0);
    loop {
        let page = proof::facts_of_none(tx, last, PAGE).await?;
        let Some(end) = page.last() else { break };
        last = end.id;
        let issued: Vec<(&Fact, Issued)> = page
            .iter()
            .filter(|fact| fact.kind == "invoice.issued")
            .map(|fact| Ok((fact, read(fact)?)))
            .collect::<Result<_, Difference>>()?;
        if issued.is_empty() {
            continue;
        }
        let ids: Vec<InvoiceId> = issued.iter().map(|(_, told)| told.invoice).collect();
        let mut found = Found::gather(tx, &ids).await?;
        for (fact, told) in issued {
            let charges = found.proves(fact, &told, seen)?;
            lines += invoice_lines::prove(tx, &bill(&told), charges).await?;
            let (series, count) = told.number.rsplit_once('-').unwrap_or(("", ""));
            let count = count.parse().map_err(|_| Row("events", &fact.id).differs(told.number.clone(), "a number"))?;
            numbers.entry(series.to_owned()).or_default().push(count);
            proven += 1;
        }
    }
    if counts.invoices != proven {
        let facts = format!("{proven}, as many as events tell of");
        return Err(Row("invoices", &"").differs(counts.invoices.to_string(), facts).into());
    }
    Row("invoice_lines", &"").same("number of lines", counts.invoice_lines, lines)?;
    gapless(tx, numbers, ("invoice", "invoices")).await?;
    Ok(proven)
}

/// What the lines of an invoice are proven by.
fn bill(told: &Issued) -> Billed<'_> {
    Billed {
        invoice: told.invoice,
        subscription: told.subscription,
        bill: &told.bill,
        taxes: told.taxes.iter().map(|tax| (tax.rate.as_str(), (tax.net, tax.tax))).collect(),
        lines: told.lines,
        hash: told.lines_hash.as_deref(),
    }
}

/// Numbers of a series and year are 1 to the last of the counter of their kind, each once.
pub async fn gapless(
    tx: &Tx,
    numbers: BTreeMap<String, Vec<i64>>,
    (kind, table): (&str, &'static str),
) -> Result<(), VerifyError> {
    let of_kind = |name: &str| name.split('/').next() == Some(kind);
    let counters = proof::counters(tx).await?.into_iter().filter(|(name, _)| of_kind(name));
    let mut counters: BTreeMap<String, i64> = counters.collect();
    for (series, mut counts) in numbers {
        counts.sort_unstable();
        if let Some((expected, count)) = (1..).zip(&counts).find(|(expected, count)| *expected != **count) {
            let name = format!("number {series}-{expected:06}");
            return Err(Row(table, &name).differs(format!("{series}-{count:06}"), "no gap and none twice").into());
        }
        let (begin, year) = series.rsplit_once('-').unwrap_or(("", &series));
        let name = format!("{kind}/{begin}/{year}");
        let last = counters.remove(&name).unwrap_or_default();
        Row("counters", &name).same("last", last, i64::try_from(counts.len()).unwrap_or(i64::MAX))?;
    }
    match counters.into_iter().next() {
        Some((name, last)) => Err(Row("counters", &name).differs(format!("last {last}"), "no such number").into()),
        None => Ok(()),
    }
}

/// The rows that a page's events name.
struct Found {
    rows: HashMap<InvoiceId, InvoiceRow>,
    sums: HashMap<InvoiceId, Vec<BilledProof>>,
    postings: HashMap<ChargeId, Vec<TransferProof>>,
}

impl Found {
    async fn gather(tx: &Tx, ids: &[InvoiceId]) -> Result<Self, VerifyError> {
        let (rows, billed) = proof::invoices(tx, ids).await?;
        let facts: Vec<ChargeId> = ids.iter().map(|id| ChargeId::from_uuid(id.uuid())).collect();
        let mut found = Self { rows: HashMap::new(), sums: HashMap::new(), postings: HashMap::new() };
        found.rows = rows.into_iter().map(|row| (row.id, row)).collect();
        for sum in billed {
            found.sums.entry(sum.invoice).or_default().push(sum);
        }
        for posting in proof::transfers(tx, &facts).await? {
            found.postings.entry(posting.fact).or_default().push(posting);
        }
        Ok(found)
    }

    /// Proves an invoice; how many charges are on it.
    fn proves(&mut self, fact: &Fact, told: &Issued, seen: &mut Seen) -> Result<i64, Difference> {
        let named = Row("invoices", &told.invoice);
        let row = self.rows.remove(&told.invoice).ok_or_else(|| named.missing(fact.id))?;
        named.same("subscription_id", row.subscription, told.subscription)?;
        named.same("bill", row.bill.to_string(), told.bill.as_str())?;
        named.same("number", row.number.as_str(), told.number.as_str())?;
        named.same("issued_on", row.issued_on.to_string(), told.issued_on.as_str())?;
        named.same("due_on", row.due_on.to_string(), told.due_on.as_str())?;
        named.same("currency", row.currency, told.currency)?;
        named.same("at", kernel::micros(row.at), fact.at)?;
        named.same("net", row.net, told.net)?;
        named.same("tax", row.tax, told.tax)?;
        named.same("total", row.total, told.total)?;
        named.same("SHA-256 of document", hex::encode(Sha256::digest(row.document.as_bytes())), &*told.document)?;
        let stored: Option<Vec<TaxTold>> = serde_json::from_str(&row.taxes).ok();
        if stored.as_ref() != Some(&told.taxes) {
            return Err(named.differs(format!("taxes {}", row.taxes), format!("{:?}", told.taxes)));
        }
        self.adds_up(named, told)?;
        self.is_posted(fact, told, seen)?;
        Ok(self.sums.get(&told.invoice).into_iter().flatten().map(|sum| sum.charges).sum())
    }

    /// The sums are those of the charges on this bill, and tax was taken once on each.
    fn adds_up(&self, named: Row<'_>, told: &Issued) -> Result<(), Difference> {
        let charged = self.sums.get(&told.invoice).map(Vec::as_slice).unwrap_or_default();
        let (mut net, mut tax) = (0_i128, 0_i128);
        for sum in charged {
            let line = told.taxes.iter().find(|line| line.rate == sum.tax_rate);
            let line = line.ok_or_else(|| named.differs("no sum", format!("charges at {} %", sum.tax_rate)))?;
            let what = format!("net at {} %", sum.tax_rate);
            named.same(&what, line.net, sum.net)?;
            let rate = if line.rate.is_empty() { "0" } else { line.rate.as_str() };
            let rate = number(rate).ok_or_else(|| named.differs(line.rate.clone(), "a rate"))?;
            let part = Number::from_integer(sum.net.into()) * rate / Number::from_integer(100.into());
            let expected = to_minor(&part, 0).unwrap_or_default();
            named.same(&format!("tax at {} %", sum.tax_rate), i128::from(line.tax), expected)?;
            net += i128::from(line.net);
            tax += expected;
        }
        named.same("number of rates", told.taxes.len(), charged.len())?;
        named.same("net", i128::from(told.net), net)?;
        named.same("tax", i128::from(told.tax), tax)?;
        named.same("total", i128::from(told.total), net + tax)
    }

    /// The ledger has its postings and no others.
    fn is_posted(&mut self, fact: &Fact, told: &Issued, seen: &mut Seen) -> Result<(), Difference> {
        let key = ChargeId::from_uuid(told.invoice.uuid());
        let postings = self.postings.remove(&key).unwrap_or_default();
        let payer = told.subscription;
        let credits = [(told.net, format!("unbilled/{payer}")), (told.tax, format!("tax/{}", told.country))];
        let credits = credits.into_iter().filter(|(amount, _)| *amount > 0);
        let expected: Vec<TransferProof> = (0..)
            .zip(credits)
            .map(|(leg, (amount, credit))| TransferProof {
                fact: key,
                leg,
                debit: format!("receivable/{payer}"),
                credit,
                amount,
                currency: told.currency.code().to_owned(),
                at: fact.at,
            })
            .collect();
        seen.transfers += i64::try_from(postings.len()).unwrap_or(i64::MAX);
        if postings == expected {
            return Ok(());
        }
        let name = format!("of invoice {}", told.invoice);
        Err(Row("transfers", &name).differs(format!("{postings:?}"), format!("{expected:?}")))
    }
}
