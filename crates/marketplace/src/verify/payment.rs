//! Payments: each row is what was asked and what came of it, every cent that came in went to an invoice or is credit, and
//! what invoices have as paid is what went to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kernel::{AllocationId, ChargeId, Currency, EventId, InvoiceId, PaymentId, SubscriptionId};
use serde::Deserialize;
use store::Tx;
use store::payments::{AllocationRow, PaymentRow};
use store::proof::{self, Counts, Fact, TransferProof};

use super::credited::Credited;
use super::told::read;
use super::{Difference, PAGE, Row, Seen, VerifyError};

/// `payment.asked`.
#[derive(Clone, Debug, Deserialize)]
struct Asked {
    payment: PaymentId,
    subscription: SubscriptionId,
    provider: String,
    invoice: InvoiceId,
    attempt: i64,
    amount: i64,
    currency: Currency,
}

/// `payment.received`.
#[derive(Clone, Debug, Deserialize)]
struct Received {
    payment: PaymentId,
    subscription: SubscriptionId,
    provider: String,
    invoice: Option<InvoiceId>,
    amount: i64,
    currency: Currency,
    received_on: String,
    allocations: Vec<Part>,
    credit: i64,
}

/// What of a payment went to an invoice.
#[derive(Clone, Debug, Deserialize)]
struct Part {
    allocation: AllocationId,
    invoice: InvoiceId,
    amount: i64,
}

/// `payment.declined`.
#[derive(Clone, Debug, Deserialize)]
struct Declined {
    payment: PaymentId,
    reason: String,
}

/// `credit.used`.
#[derive(Clone, Debug, Deserialize)]
struct CreditUsed {
    allocation: AllocationId,
    subscription: SubscriptionId,
    invoice: InvoiceId,
    amount: i64,
    currency: Currency,
}

enum Told {
    Asked(Asked),
    Received(Received),
    Declined(Declined),
    CreditUsed(CreditUsed),
}

impl Told {
    fn of(fact: &Fact) -> Result<Option<Self>, Difference> {
        Ok(match fact.kind.as_str() {
            "payment.asked" => Some(Self::Asked(read(fact)?)),
            "payment.received" => Some(Self::Received(read(fact)?)),
            "payment.declined" => Some(Self::Declined(read(fact)?)),
            "credit.used" => Some(Self::CreditUsed(read(fact)?)),
            _ => None,
        })
    }

    fn payment(&self) -> Option<PaymentId> {
        match self {
            Self::Asked(told) => Some(told.payment),
            Self::Received(told) => Some(told.payment),
            Self::Declined(told) => Some(told.payment),
            Self::CreditUsed(_) => None,
        }
    }

    fn allocations(&self) -> Vec<AllocationId> {
        match self {
            Self::Received(told) => told.allocations.iter().map(|part| part.allocation).collect(),
            Self::CreditUsed(told) => vec![told.allocation],
            _ => Vec::new(),
        }
    }

    /// What its postings are of.
    fn fact(&self) -> Option<ChargeId> {
        match self {
            Self::Received(told) => Some(ChargeId::from_uuid(told.payment.uuid())),
            Self::CreditUsed(told) => Some(ChargeId::from_uuid(told.allocation.uuid())),
            _ => None,
        }
    }
}

/// What was added up on the way.
#[derive(Default)]
struct Sums {
    payments: i64,
    allocations: i64,
    credit: BTreeMap<SubscriptionId, i128>,
    /// Payments of which one event told so far: that they were asked, or what came of it. In one instant either may be first.
    half_told: BTreeSet<PaymentId>,
}

impl Sums {
    fn tells_of(&mut self, payment: PaymentId) {
        if !self.half_told.remove(&payment) {
            self.half_told.insert(payment);
        }
    }
}

/// Proves all payments by their events; how many there are.
///
/// # Errors
/// The first row that is not what the facts say.
pub async fn prove(
    tx: &Tx,
    counts: &Counts,
    seen: &mut Seen,
    Credited { credit, allocations, .. }: Credited,
) -> Result<i64, VerifyError> {
    let mut last = EventId::from_uuid(uuid::Uuid::nil());
    let mut sums = Sums { credit, allocations, ..Sums::default() };
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
        let mut found = Found::gather(tx, &told).await?;
        for (fact, told) in &told {
            found.proves(fact, told, &mut sums, seen)?;
        }
    }
    for (table, stored, proven) in
        [("payments", counts.payments, sums.payments), ("allocations", counts.allocations, sums.allocations)]
    {
        if stored != proven {
            let facts = format!("{proven}, as many as events tell of");
            return Err(Row(table, &"").differs(stored.to_string(), facts).into());
        }
    }
    if let Some(payment) = sums.half_told.first() {
        return Err(Row("payments", payment).differs("an outcome", "asked, for no event tells of one").into());
    }
    credits(tx, sums.credit).await?;
    if let Some((invoice, paid, went)) = proof::paid_difference(tx).await? {
        let facts = format!("paid {went}, which is what went to it");
        return Err(Row("invoices", &invoice).differs(format!("paid {paid}"), facts).into());
    }
    Ok(sums.payments)
}

/// What payers have as credit is what they paid too much or were credited, less what was used and paid back.
async fn credits(tx: &Tx, mut told: BTreeMap<SubscriptionId, i128>) -> Result<(), VerifyError> {
    for (payer, credit) in proof::credits(tx).await? {
        let sum = told.remove(&payer).unwrap_or_default();
        Row("subscriptions", &payer).same("credit", i128::from(credit), sum)?;
    }
    match told.into_iter().find(|(_, sum)| *sum != 0) {
        Some((payer, sum)) => Err(Row("subscriptions", &payer).differs("credit 0", format!("credit {sum}")).into()),
        None => Ok(()),
    }
}

/// The rows that a page's events name.
struct Found {
    payments: HashMap<PaymentId, PaymentRow>,
    allocations: HashMap<AllocationId, AllocationRow>,
    postings: HashMap<ChargeId, Vec<TransferProof>>,
}

impl Found {
    async fn gather(tx: &Tx, told: &[(&Fact, Told)]) -> Result<Self, VerifyError> {
        let ids: Vec<PaymentId> = told.iter().filter_map(|(_, told)| told.payment()).collect();
        let parts: Vec<AllocationId> = told.iter().flat_map(|(_, told)| told.allocations()).collect();
        let facts: Vec<ChargeId> = told.iter().filter_map(|(_, told)| told.fact()).collect();
        let mut found = Self { payments: HashMap::new(), allocations: HashMap::new(), postings: HashMap::new() };
        found.payments = proof::payments(tx, &ids).await?.into_iter().map(|row| (row.id, row)).collect();
        found.allocations = proof::allocations(tx, &parts).await?.into_iter().map(|row| (row.id, row)).collect();
        for posting in proof::transfers(tx, &facts).await? {
            found.postings.entry(posting.fact).or_default().push(posting);
        }
        Ok(found)
    }

    fn proves(&mut self, fact: &Fact, told: &Told, sums: &mut Sums, seen: &mut Seen) -> Result<(), Difference> {
        match told {
            Told::Asked(told) => self.was_asked(fact, told, sums),
            Told::Received(told) => self.was_received(fact, told, sums, seen),
            Told::Declined(told) => {
                let named = Row("payments", &told.payment);
                let row = self.payments.get(&told.payment).ok_or_else(|| named.missing(fact.id))?;
                // It may have come in after all, of which an event tells later.
                if row.state == "received" {
                    return Ok(());
                }
                sums.tells_of(told.payment);
                named.same("state", &*row.state, "declined")?;
                named.same("settled_at", row.settled_at.map_or(0, kernel::micros), fact.at)?;
                named.same("reason", &*row.reason, &*told.reason)
            }
            Told::CreditUsed(told) => self.was_used(fact, told, sums, seen),
        }
    }

    fn was_asked(&self, fact: &Fact, told: &Asked, sums: &mut Sums) -> Result<(), Difference> {
        let named = Row("payments", &told.payment);
        let row = self.payments.get(&told.payment).ok_or_else(|| named.missing(fact.id))?;
        sums.payments += 1;
        if row.state != "asked" {
            sums.tells_of(told.payment);
        }
        named.same("subscription_id", row.subscription, told.subscription)?;
        named.same("provider", &*row.provider, &*told.provider)?;
        named.same("invoice_id", row.invoice.unwrap_or(InvoiceId::from_uuid(uuid::Uuid::nil())), told.invoice)?;
        named.same("attempt", row.attempt, told.attempt)?;
        named.same("amount", row.amount, told.amount)?;
        named.same("currency", row.currency, told.currency)?;
        named.same("asked_at", kernel::micros(row.asked_at), fact.at)
    }

    fn was_received(
        &mut self,
        fact: &Fact,
        told: &Received,
        sums: &mut Sums,
        seen: &mut Seen,
    ) -> Result<(), Difference> {
        let named = Row("payments", &told.payment);
        let row = self.payments.get(&told.payment).cloned().ok_or_else(|| named.missing(fact.id))?;
        if told.provider == "transfer" {
            sums.payments += 1;
            named.same("asked_at", kernel::micros(row.asked_at), fact.at)?;
        } else {
            sums.tells_of(told.payment);
        }
        named.same("state", &*row.state, "received")?;
        named.same("subscription_id", row.subscription, told.subscription)?;
        named.same("provider", &*row.provider, &*told.provider)?;
        let nil = InvoiceId::from_uuid(uuid::Uuid::nil());
        named.same("invoice_id", row.invoice.unwrap_or(nil), told.invoice.unwrap_or(nil))?;
        named.same("amount", row.amount, told.amount)?;
        named.same("currency", row.currency, told.currency)?;
        let received_on = row.received_on.map(|day| day.to_string()).unwrap_or_default();
        named.same("received_on", &*received_on, &*told.received_on)?;
        named.same("settled_at", row.settled_at.map_or(0, kernel::micros), fact.at)?;
        let mut went = i128::from(told.credit);
        for part in &told.allocations {
            let expected = AllocationRow {
                id: part.allocation,
                subscription: told.subscription,
                invoice: part.invoice,
                payment: Some(told.payment),
                note: None,
                amount: part.amount,
                at: kernel::from_micros(fact.at),
            };
            self.went(fact, &expected, sums)?;
            went += i128::from(part.amount);
        }
        named.same("amount", i128::from(row.amount), went)?;
        *sums.credit.entry(told.subscription).or_default() += i128::from(told.credit);
        let (payer, cash) = (told.subscription, format!("cash/{}", told.provider));
        let credits =
            [(told.amount - told.credit, format!("receivable/{payer}")), (told.credit, format!("credit/{payer}"))];
        let postings = credits.into_iter().filter(|(amount, _)| *amount > 0);
        let postings = postings.map(|(amount, credit)| (cash.clone(), credit, amount)).collect();
        self.is_posted(fact, told.payment.uuid(), (postings, told.currency), seen)
    }

    fn was_used(&mut self, fact: &Fact, told: &CreditUsed, sums: &mut Sums, seen: &mut Seen) -> Result<(), Difference> {
        let expected = AllocationRow {
            id: told.allocation,
            subscription: told.subscription,
            invoice: told.invoice,
            payment: None,
            note: None,
            amount: told.amount,
            at: kernel::from_micros(fact.at),
        };
        self.went(fact, &expected, sums)?;
        *sums.credit.entry(told.subscription).or_default() -= i128::from(told.amount);
        let payer = told.subscription;
        let posting = (format!("credit/{payer}"), format!("receivable/{payer}"), told.amount);
        self.is_posted(fact, told.allocation.uuid(), (vec![posting], told.currency), seen)
    }

    fn went(&mut self, fact: &Fact, expected: &AllocationRow, sums: &mut Sums) -> Result<(), Difference> {
        let named = Row("allocations", &expected.id);
        let row = self.allocations.remove(&expected.id).ok_or_else(|| named.missing(fact.id))?;
        sums.allocations += 1;
        if row == *expected { Ok(()) } else { Err(named.differs(format!("{row:?}"), format!("{expected:?}"))) }
    }

    /// The ledger has the postings of a fact and no others.
    fn is_posted(
        &mut self,
        fact: &Fact,
        of: uuid::Uuid,
        (postings, currency): (Vec<(String, String, i64)>, Currency),
        seen: &mut Seen,
    ) -> Result<(), Difference> {
        let key = ChargeId::from_uuid(of);
        let stored = self.postings.remove(&key).unwrap_or_default();
        let expected: Vec<TransferProof> = (0..)
            .zip(postings)
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
