//! Credit notes, refunds and granted credits: each row is what its event says, a credit note never above what is left of its
//! invoice, its tax the part of the invoice's that it gives back, its postings the mirror of the charges' and the invoice's,
//! its number without gap (R-9a, R-43, R-45, R-46).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kernel::{
    AllocationId, ChargeId, CreditId, CreditNoteId, Currency, EventId, InvoiceId, PaymentId, RefundId, SubscriptionId,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use store::Tx;
use store::credit_notes::{CreditNoteRow, CreditRow};
use store::invoices::InvoiceRow;
use store::payments::AllocationRow;
use store::proof::{self, CreditedProof, Fact, TransferProof};
use store::refunds::RefundRow;

use super::checker::{Number, to_minor};
use super::invoice::{TaxTold, gapless};
use super::told::read;
use super::{Difference, PAGE, Row, Seen, VerifyError};

/// `credit_note.issued`.
#[derive(Clone, Debug, Deserialize)]
struct Issued {
    credit_note: CreditNoteId,
    invoice: InvoiceId,
    subscription: SubscriptionId,
    number: String,
    issued_on: String,
    currency: Currency,
    country: String,
    net: i64,
    tax: i64,
    total: i64,
    taxes: Vec<TaxTold>,
    reduced: i64,
    credit: i64,
    document: String,
    lines: i64,
    lines_hash: String,
}

/// `invoice.reduced`.
#[derive(Clone, Debug, Deserialize)]
struct Reduced {
    allocation: AllocationId,
    subscription: SubscriptionId,
    invoice: InvoiceId,
    credit_note: CreditNoteId,
    amount: i64,
}

/// `refund.asked`.
#[derive(Clone, Debug, Deserialize)]
struct Asked {
    refund: RefundId,
    payment: PaymentId,
    credit_note: CreditNoteId,
    subscription: SubscriptionId,
    provider: String,
    amount: i64,
    currency: Currency,
}

/// `refund.paid` and `refund.declined`.
#[derive(Clone, Debug, Deserialize)]
struct Settled {
    refund: RefundId,
    subscription: SubscriptionId,
    amount: i64,
    #[serde(default)]
    reason: String,
}

/// `credit.granted`.
#[derive(Clone, Debug, Deserialize)]
struct Granted {
    credit: CreditId,
    subscription: SubscriptionId,
    amount: i64,
    currency: Currency,
}

enum Told {
    Issued(Issued),
    Reduced(Reduced),
    Asked(Asked),
    Paid(Settled),
    Declined(Settled),
    Granted(Granted),
}

impl Told {
    fn of(fact: &Fact) -> Result<Option<Self>, Difference> {
        Ok(Some(match fact.kind.as_str() {
            "credit_note.issued" => Self::Issued(read(fact)?),
            "invoice.reduced" => Self::Reduced(read(fact)?),
            "refund.asked" => Self::Asked(read(fact)?),
            "refund.paid" => Self::Paid(read(fact)?),
            "refund.declined" => Self::Declined(read(fact)?),
            "credit.granted" => Self::Granted(read(fact)?),
            _ => return Ok(None),
        }))
    }
}

/// What was added up on the way.
#[derive(Default)]
pub struct Credited {
    /// What payers have as credit by it, less what was paid back.
    pub credit: BTreeMap<SubscriptionId, i128>,
    /// Allocations that credit notes made.
    pub allocations: i64,
    notes: i64,
    lines: i64,
    refunds: i64,
    credits: i64,
    numbers: BTreeMap<String, Vec<i64>>,
    /// What was credited of each line so far.
    of_lines: HashMap<ChargeId, i64>,
    /// What was credited so far at each rate of an invoice.
    of_rates: HashMap<(InvoiceId, String), i64>,
    /// Refunds of which one event told so far; in one instant either may be first.
    half_told: BTreeSet<RefundId>,
    /// What credit notes took off what was open, less what allocations tell of.
    reduced: BTreeMap<CreditNoteId, i64>,
}

impl Credited {
    fn adds(&mut self, payer: SubscriptionId, amount: i64) {
        *self.credit.entry(payer).or_default() += i128::from(amount);
    }

    fn tells_of(&mut self, refund: RefundId) {
        if !self.half_told.remove(&refund) {
            self.half_told.insert(refund);
        }
    }
}

/// Proves all of it by its events.
///
/// # Errors
/// The first row that is not what the facts say.
pub async fn prove(tx: &Tx, seen: &mut Seen) -> Result<Credited, VerifyError> {
    let mut last = EventId::from_uuid(uuid::Uuid::nil());
    let mut sums = Credited::default();
    loop {
        let page = proof::facts_of_none(tx, last, PAGE).await?;
        let Some(end) = page.last() else { break };
        last = end.id;
        let mut told = Vec::new();
        for fact in &page {
            told.extend(Told::of(fact)?.map(|told| (fact, told)));
        }
        if told.is_empty() {
            continue;
        }
        let found = Found::gather(tx, &told).await?;
        for (fact, told) in &told {
            found.proves(fact, told, &mut sums, seen)?;
        }
    }
    let proven = [sums.notes, sums.lines, sums.refunds, sums.credits];
    for ((table, stored), proven) in proof::credited_counts(tx).await?.into_iter().zip(proven) {
        Row(table, &"").same("number of rows", stored, proven)?;
    }
    if let Some(refund) = sums.half_told.first() {
        return Err(Row("refunds", refund).differs("an outcome", "asked, for no event tells of one").into());
    }
    if let Some((note, left)) = sums.reduced.iter().find(|(_, left)| **left != 0) {
        return Err(Row("credit_notes", note).differs(format!("{left} more"), "what went to the invoice").into());
    }
    gapless(tx, std::mem::take(&mut sums.numbers), ("credit_note", "credit_notes")).await?;
    if let Some((invoice, [credited, reduced, total, took])) = proof::credited_difference(tx).await? {
        let stored = format!("credited {credited}, reduced {reduced}");
        let facts = format!("credited {total}, reduced {took}, which is what its credit notes come to");
        return Err(Row("invoices", &invoice).differs(stored, facts).into());
    }
    if let Some((payment, refunded, went)) = proof::refunded_difference(tx).await? {
        let facts = format!("refunded {went}, which is what was paid back of it");
        return Err(Row("payments", &payment).differs(format!("refunded {refunded}"), facts).into());
    }
    Ok(sums)
}

/// The rows that a page's events name.
#[derive(Default)]
struct Found {
    notes: HashMap<CreditNoteId, CreditNoteRow>,
    lines: HashMap<CreditNoteId, Vec<CreditedProof>>,
    invoices: HashMap<InvoiceId, InvoiceRow>,
    allocations: HashMap<AllocationId, AllocationRow>,
    refunds: HashMap<RefundId, RefundRow>,
    credits: HashMap<CreditId, CreditRow>,
    postings: HashMap<ChargeId, Vec<TransferProof>>,
    personal: HashMap<EventId, String>,
}

impl Found {
    async fn gather(tx: &Tx, told: &[(&Fact, Told)]) -> Result<Self, VerifyError> {
        let (mut notes, mut invoices, mut allocations) = (Vec::new(), BTreeSet::new(), Vec::new());
        let (mut refunds, mut credits, mut facts) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
        for (_, told) in told {
            match told {
                Told::Issued(told) => {
                    notes.push(told.credit_note);
                    invoices.insert(told.invoice);
                    facts.insert(ChargeId::from_uuid(told.credit_note.uuid()));
                }
                Told::Reduced(told) => allocations.push(told.allocation),
                Told::Asked(told) => _ = refunds.insert(told.refund),
                Told::Paid(told) | Told::Declined(told) => {
                    refunds.insert(told.refund);
                    facts.insert(ChargeId::from_uuid(told.refund.uuid()));
                }
                Told::Granted(told) => {
                    credits.push(told.credit);
                    facts.insert(ChargeId::from_uuid(told.credit.uuid()));
                }
            }
        }
        let mut found = Self::default();
        for line in proof::credit_note_lines(tx, &notes).await? {
            facts.insert(line.line.charge);
            found.lines.entry(line.line.note).or_default().push(line);
        }
        found.notes = proof::credit_notes(tx, &notes).await?.into_iter().map(|row| (row.id, row)).collect();
        let ids: Vec<_> = invoices.into_iter().collect();
        found.invoices = proof::invoices(tx, &ids).await?.0.into_iter().map(|row| (row.id, row)).collect();
        let rows = proof::allocations(tx, &allocations).await?;
        found.allocations = rows.into_iter().map(|row| (row.id, row)).collect();
        let ids: Vec<_> = refunds.into_iter().collect();
        found.refunds = proof::refunds(tx, &ids).await?.into_iter().map(|row| (row.id, row)).collect();
        found.credits = proof::granted(tx, &credits).await?.into_iter().map(|row| (row.id, row)).collect();
        let ids: Vec<_> = facts.into_iter().collect();
        for posting in proof::transfers(tx, &ids).await? {
            found.postings.entry(posting.fact).or_default().push(posting);
        }
        let events: Vec<_> = told.iter().map(|(fact, _)| fact.id).collect();
        found.personal = proof::personal_parts(tx, &events).await?;
        Ok(found)
    }

    fn proves(&self, fact: &Fact, told: &Told, sums: &mut Credited, seen: &mut Seen) -> Result<(), Difference> {
        match told {
            Told::Issued(told) => self.was_issued(fact, told, sums, seen),
            Told::Reduced(told) => self.was_reduced(fact, told, sums),
            Told::Asked(told) => self.was_asked(fact, told, sums),
            Told::Paid(told) => self.was_settled(fact, told, "refunded", sums, seen),
            Told::Declined(told) => self.was_settled(fact, told, "declined", sums, seen),
            Told::Granted(told) => self.was_granted(fact, told, sums, seen),
        }
    }

    fn was_issued(&self, fact: &Fact, told: &Issued, sums: &mut Credited, seen: &mut Seen) -> Result<(), Difference> {
        let named = Row("credit_notes", &told.credit_note);
        let row = self.notes.get(&told.credit_note).ok_or_else(|| named.missing(fact.id))?;
        named.same("invoice_id", row.invoice, told.invoice)?;
        named.same("subscription_id", row.subscription, told.subscription)?;
        named.same("number", row.number.as_str(), told.number.as_str())?;
        named.same("issued_on", row.issued_on.to_string(), told.issued_on.as_str())?;
        named.same("currency", row.currency, told.currency)?;
        named.same("at", kernel::micros(row.at), fact.at)?;
        named.same("net", row.net, told.net)?;
        named.same("tax", row.tax, told.tax)?;
        named.same("total", row.total, told.total)?;
        named.same("reduced", row.reduced, told.reduced)?;
        named.same("SHA-256 of document", hex::encode(Sha256::digest(row.document.as_bytes())), &*told.document)?;
        self.says(fact, named, "reason", &row.reason)?;
        let stored: Option<Vec<TaxTold>> = serde_json::from_str(&row.taxes).ok();
        if stored.as_ref() != Some(&told.taxes) {
            return Err(named.differs(format!("taxes {}", row.taxes), format!("{:?}", told.taxes)));
        }
        named.same("reduced and credit", i128::from(told.reduced) + i128::from(told.credit), told.total.into())?;
        self.adds_up(named, told, sums)?;
        let (series, count) = told.number.rsplit_once('-').unwrap_or(("", ""));
        let count = count.parse().map_err(|_| Row("events", &fact.id).differs(told.number.clone(), "a number"))?;
        sums.numbers.entry(series.to_owned()).or_default().push(count);
        sums.notes += 1;
        sums.adds(told.subscription, told.credit);
        *sums.reduced.entry(told.credit_note).or_default() += told.reduced;
        *seen.credited.entry(told.currency).or_default() += i128::from(told.net);
        self.is_mirrored(fact, told, seen)
    }

    /// Its lines are of its invoice and leave no line below nothing, and its tax is the part of what the invoice took on each
    /// sum that what is credited of it by then has, less what was given back before.
    fn adds_up(&self, named: Row<'_>, told: &Issued, sums: &mut Credited) -> Result<(), Difference> {
        let missing = || named.differs(format!("invoice {}", told.invoice), "an invoice that is there");
        let invoice = self.invoices.get(&told.invoice).ok_or_else(missing)?;
        named.same("currency of the invoice", invoice.currency, told.currency)?;
        named.same("subscription of the invoice", invoice.subscription, told.subscription)?;
        let taxes: Vec<TaxTold> = serde_json::from_str(&invoice.taxes).unwrap_or_default();
        let lines = self.lines.get(&told.credit_note).map(Vec::as_slice).unwrap_or_default();
        let mut nets: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for (place, proof) in (1_i64..).zip(lines) {
            let (line, key) = (proof.line, format!("{}, line {place}", told.credit_note));
            let row = Row("credit_note_lines", &key);
            row.same("place", line.place, place)?;
            let (amount, rate) =
                proof.of.as_ref().ok_or_else(|| row.differs(line.charge.to_string(), "a line of its invoice"))?;
            let before = sums.of_lines.entry(line.charge).or_default();
            row.same("earlier", line.earlier, *before)?;
            *before = before.saturating_add(line.net);
            if before.abs() > amount.abs() {
                return Err(row.differs(format!("net {}", line.net), format!("at most what is left of {amount}")));
            }
            let sum = nets.entry(rate.as_str()).or_default();
            *sum = (sum.0.saturating_add(line.net), sum.1.saturating_add(line.tax));
        }
        named.same("number of lines", i64::try_from(lines.len()).unwrap_or(i64::MAX), told.lines)?;
        let kept: Vec<_> = lines.iter().map(|line| line.line).collect();
        named.same("hash of lines", billing::crediting::lines_hash(&kept), &*told.lines_hash)?;
        sums.lines += told.lines;
        named.same("number of rates", told.taxes.len(), nets.len())?;
        let (mut net, mut tax) = (0_i128, 0_i128);
        for sum in &told.taxes {
            let of = taxes.iter().find(|of| of.rate == sum.rate);
            let of = of.ok_or_else(|| named.differs(sum.rate.clone(), "a rate of the invoice"))?;
            let (lines_net, lines_tax) = nets.get(sum.rate.as_str()).copied().unwrap_or_default();
            named.same(&format!("net at {} %", sum.rate), sum.net, lines_net)?;
            named.same(&format!("tax at {} %", sum.rate), sum.tax, lines_tax)?;
            let so_far = sums.of_rates.entry((told.invoice, sum.rate.clone())).or_default();
            let before = part(of, *so_far);
            *so_far = so_far.saturating_add(sum.net);
            named.same(
                &format!("tax given back at {} %", sum.rate),
                i128::from(sum.tax),
                part(of, *so_far) - before,
            )?;
            net += i128::from(sum.net);
            tax += i128::from(sum.tax);
        }
        named.same("net", i128::from(told.net), net)?;
        named.same("tax", i128::from(told.tax), tax)?;
        named.same("total", i128::from(told.total), net + tax)
    }

    /// The ledger has the mirror of its lines' charges and of the invoice, and no other posting of it.
    fn is_mirrored(&self, fact: &Fact, told: &Issued, seen: &mut Seen) -> Result<(), Difference> {
        let payer = told.subscription;
        let (receivable, mut postings) = (format!("receivable/{payer}"), Vec::new());
        for proof in self.lines.get(&told.credit_note).into_iter().flatten() {
            let (whole, line) = (proof.of.as_ref().map_or(0, |(amount, _)| *amount), proof.line);
            let charged = self.postings.get(&line.charge).map(Vec::as_slice).unwrap_or_default();
            let mut parts: Vec<i64> = charged.iter().skip(1).map(|of| share(of.amount, line, whole)).collect();
            let first = line.net.abs().saturating_sub(parts.iter().sum());
            parts.insert(0, first);
            let swapped = charged.iter().zip(parts).map(|(of, part)| (of.credit.clone(), of.debit.clone(), part));
            postings.extend(swapped);
        }
        postings.push((format!("unbilled/{payer}"), receivable.clone(), told.net));
        postings.push((format!("tax/{}", told.country), receivable.clone(), told.tax));
        postings.push((receivable, format!("credit/{payer}"), told.credit));
        self.is_posted(fact, told.credit_note.uuid(), (postings, told.currency), seen)
    }

    fn was_reduced(&self, fact: &Fact, told: &Reduced, sums: &mut Credited) -> Result<(), Difference> {
        let named = Row("allocations", &told.allocation);
        let row = self.allocations.get(&told.allocation).ok_or_else(|| named.missing(fact.id))?;
        let expected = AllocationRow {
            id: told.allocation,
            subscription: told.subscription,
            invoice: told.invoice,
            payment: None,
            note: Some(told.credit_note),
            amount: told.amount,
            at: kernel::from_micros(fact.at),
        };
        if *row != expected {
            return Err(named.differs(format!("{row:?}"), format!("{expected:?}")));
        }
        sums.allocations += 1;
        *sums.reduced.entry(told.credit_note).or_default() -= told.amount;
        Ok(())
    }

    fn was_asked(&self, fact: &Fact, told: &Asked, sums: &mut Credited) -> Result<(), Difference> {
        let named = Row("refunds", &told.refund);
        let row = self.refunds.get(&told.refund).ok_or_else(|| named.missing(fact.id))?;
        sums.refunds += 1;
        if row.state != "asked" {
            sums.tells_of(told.refund);
        }
        named.same("payment_id", row.payment, told.payment)?;
        named.same("credit_note_id", row.note, told.credit_note)?;
        named.same("subscription_id", row.subscription, told.subscription)?;
        named.same("provider", &*row.provider, &*told.provider)?;
        named.same("amount", row.amount, told.amount)?;
        named.same("currency", row.currency, told.currency)?;
        named.same("asked_at", kernel::micros(row.asked_at), fact.at)?;
        sums.adds(told.subscription, told.amount.saturating_neg());
        Ok(())
    }

    fn was_settled(
        &self,
        fact: &Fact,
        told: &Settled,
        state: &str,
        sums: &mut Credited,
        seen: &mut Seen,
    ) -> Result<(), Difference> {
        let named = Row("refunds", &told.refund);
        let row = self.refunds.get(&told.refund).ok_or_else(|| named.missing(fact.id))?;
        sums.tells_of(told.refund);
        named.same("state", &*row.state, state)?;
        named.same("settled_at", row.settled_at.map_or(0, kernel::micros), fact.at)?;
        named.same("amount", row.amount, told.amount)?;
        named.same("reason", &*row.reason, &*told.reason)?;
        let mut postings = Vec::new();
        if state == "declined" {
            sums.adds(told.subscription, told.amount);
        } else {
            self.says(fact, named, "reference", &row.reference)?;
            let cash = format!("cash/{}", row.provider);
            postings.push((format!("credit/{}", told.subscription), cash, told.amount));
        }
        self.is_posted(fact, told.refund.uuid(), (postings, row.currency), seen)
    }

    fn was_granted(&self, fact: &Fact, told: &Granted, sums: &mut Credited, seen: &mut Seen) -> Result<(), Difference> {
        let named = Row("credits", &told.credit);
        let row = self.credits.get(&told.credit).ok_or_else(|| named.missing(fact.id))?;
        sums.credits += 1;
        named.same("subscription_id", row.subscription, told.subscription)?;
        named.same("amount", row.amount, told.amount)?;
        named.same("currency", row.currency, told.currency)?;
        named.same("at", kernel::micros(row.at), fact.at)?;
        self.says(fact, named, "reason", &row.reason)?;
        sums.adds(told.subscription, told.amount);
        let posting = ("goodwill".to_owned(), format!("credit/{}", told.subscription), told.amount);
        self.is_posted(fact, told.credit.uuid(), (vec![posting], told.currency), seen)
    }

    /// A personal text is what its event was committed to, unless that was erased.
    fn says(&self, fact: &Fact, named: Row<'_>, column: &str, stored: &str) -> Result<(), Difference> {
        let Some(parts) = self.personal.get(&fact.id) else { return Ok(()) };
        let parts: serde_json::Value = serde_json::from_str(parts).unwrap_or_default();
        named.same(column, stored, parts.get(column).and_then(serde_json::Value::as_str).unwrap_or_default())
    }

    /// The ledger has these postings of a fact, those of nothing left out, and no others.
    fn is_posted(
        &self,
        fact: &Fact,
        of: uuid::Uuid,
        (postings, currency): (Vec<(String, String, i64)>, Currency),
        seen: &mut Seen,
    ) -> Result<(), Difference> {
        let key = ChargeId::from_uuid(of);
        let stored = self.postings.get(&key).map(Vec::as_slice).unwrap_or_default();
        let expected: Vec<TransferProof> = (0..)
            .zip(postings.into_iter().filter(|(_, _, amount)| *amount > 0))
            .map(|(leg, (debit, credit, amount))| TransferProof {
                fact: key,
                leg,
                debit,
                credit,
                amount,
                currency: currency.code().to_owned(),
                at: fact.at,
            })
            .collect();
        seen.transfers += i64::try_from(stored.len()).unwrap_or(i64::MAX);
        if stored == expected {
            return Ok(());
        }
        Err(Row("transfers", &format!("of {of}")).differs(format!("{stored:?}"), format!("{expected:?}")))
    }
}

/// What `credited` of the sum that a rate applied to has of its tax.
fn part(of: &TaxTold, credited: i64) -> i128 {
    fraction(of.tax, credited, of.net)
}

/// What a line has of one of its charge's postings: by what was credited with it, less what was before it.
fn share(amount: i64, line: store::credit_notes::CreditNoteLine, whole: i64) -> i64 {
    let of = |credited: i64| fraction(amount, credited, whole);
    i64::try_from(of(line.earlier.saturating_add(line.net)) - of(line.earlier)).unwrap_or(i64::MAX)
}

/// `sum` × `part` / `whole`, rounded half away from zero.
fn fraction(sum: i64, part: i64, whole: i64) -> i128 {
    if whole == 0 {
        return 0;
    }
    let exact =
        Number::from_integer(sum.into()) * Number::from_integer(part.into()) / Number::from_integer(whole.into());
    to_minor(&exact, 0).unwrap_or_default()
}
