//! What must hold after every step, whatever happened: the model's quantities and money are the product's, what is kept twice
//! agrees, and nobody's money was taken twice.

use super::market::Market;
use super::model::Model;
use crate::commands::Fault;
use crate::months;
use kernel::{InvoiceId, Month, SubscriptionId};
use marketplace::bill::Upcoming;
use marketplace::verify;
use std::collections::BTreeMap;
use store::invoices::InvoiceRow;
use store::{audit, census, invoices, subscriptions};

/// Something that must not be, in a sentence.
pub type Flaw = String;

/// Key of checkpoints, of which a simulation signs none.
const KEY: [u8; 32] = [7; 32];
/// All invoices of a simulation.
const ALL: i64 = 100_000;

/// What came of a look.
pub type Looked = Result<Result<(), Flaw>, Fault>;

macro_rules! must {
    ($holds:expr, $($sentence:tt)*) => {
        if !$holds {
            return Ok(Err(format!($($sentence)*)));
        }
    };
}
pub(super) use must;

/// What payers were told that their next bill comes to.
pub type Promises = BTreeMap<SubscriptionId, (Month, i64, i64, bool)>;

/// What payers are told now.
pub async fn promises(market: &Market) -> Result<Promises, Fault> {
    let (db, terms) = (&market.process.db, crate::app::terms(&market.config));
    let taxes = market.taxes()?;
    let catalogue = market.process.shelf.current();
    let upcoming = Upcoming {
        catalogue: &catalogue,
        taxes: &taxes,
        seller: &terms.seller,
        due_days: terms.due_days,
        month: Month::of(market.now()),
    };
    let mut told = Promises::new();
    for (row, _) in subscriptions::every(db, market.buyer, "", None, 1_000).await? {
        let bill = upcoming.of(db, &row).await?;
        let something = bill.taxes.iter().any(|line| !line.net.is_zero());
        told.insert(row.id, (bill.month, bill.net.minor(), bill.total.minor(), something));
    }
    Ok(told)
}

/// What was issued is what was told.
pub async fn kept(market: &Market, told: &Promises) -> Looked {
    let issued = invoices::after(&market.process.db, None, ALL).await?;
    let until = months::due_at(market.now());
    for (payer, (bill, net, total, something)) in told.iter().filter(|(_, told)| told.0 <= until) {
        let found = issued.iter().find(|row| row.subscription == *payer && row.bill == (*bill).into());
        let came = found.map(|row| (row.net, row.total));
        let named = market.named(*payer);
        must!(
            came == something.then_some((*net, *total)),
            "payer {named} was told that the bill of {bill} comes to {net} net and {total} in all, and it came to {came:?}"
        );
    }
    Ok(Ok(()))
}

/// All that must hold after a step.
pub async fn all(market: &Market) -> Looked {
    let issued = invoices::after(&market.process.db, None, ALL).await?;
    for found in [quantities(market).await?, bills(market, &issued).await?, money(market, &issued).await?] {
        if found.is_err() {
            return Ok(found);
        }
    }
    Ok(Ok(()))
}

/// Quantities are what was bought.
async fn quantities(market: &Market) -> Looked {
    let mut rows = 0;
    for row in census::holdings(&market.process.db).await? {
        let organization = market.organizations.iter().position(|id| *id == row.organization);
        let ware = market.offers.iter().position(|id| *id == row.offer);
        let (Some(organization), Some(ware)) = (organization, ware) else { continue };
        let model = market.model.organizations.get(organization).and_then(|found| found.held.get(&ware));
        let slug = super::wares::WARES.get(ware).map_or("", |ware| ware.slug);
        let stored = (row.units, row.month.first_day(), row.charged, row.metered);
        let expected =
            model.map(|held| ((held.committed, held.next), held.month, held.charged, (held.metered, held.cap)));
        must!(
            expected == Some(stored),
            "organization {organization} has {stored:?} of {slug} ((committed, next), month, charged for increases, \
             (metered, cap)), and should have {expected:?}"
        );
        rows += 1;
    }
    let all: usize = market.model.organizations.iter().map(|found| found.held.len()).sum();
    must!(rows == all, "{rows} entitlements are stored, and there should be {all}");
    Ok(Ok(()))
}

/// What is charged to whom, on which bill, at which rate of tax; and the tax on it.
async fn bills(market: &Market, issued: &[InvoiceRow]) -> Looked {
    let mut stored: BTreeMap<SubscriptionId, BTreeMap<(chrono::NaiveDate, String), i64>> = BTreeMap::new();
    for row in issued {
        let mut sum = (0, 0);
        for tax in serde_json::from_str::<Vec<serde_json::Value>>(&row.taxes)? {
            let number = |name: &str| tax.get(name).and_then(serde_json::Value::as_i64).unwrap_or(0);
            let rate = tax.get("rate").and_then(serde_json::Value::as_str).unwrap_or_default();
            let due = Model::tax(rate, number("net"));
            must!(due == number("tax"), "invoice {} takes {} of tax, {rate} % is {due}", row.number, number("tax"));
            sum = (sum.0 + number("net"), sum.1 + due);
            let bills = stored.entry(row.subscription).or_default();
            // Nothing in a simulation is paid at once, so each bill has its month.
            let Some(bill) = row.bill.month() else { continue };
            *bills.entry((bill.first_day(), rate.to_owned())).or_default() += number("net");
        }
        let sums = (row.net, row.tax, row.total);
        must!(sums == (sum.0, sum.1, sum.0 + sum.1), "invoice {} comes to {sums:?}, its rates to {sum:?}", row.number);
    }
    for (payer, bill, rate, amount) in census::unbilled(&market.process.db).await? {
        *stored.entry(payer).or_default().entry((bill.first_day(), rate)).or_default() += amount;
    }
    for (payer, model) in &market.model.payers {
        let mut found = stored.remove(payer).unwrap_or_default();
        found.retain(|_, amount| *amount != 0);
        let all = found.keys().chain(model.bills.keys());
        let differs = all.into_iter().find(|key| found.get(*key) != model.bills.get(*key));
        must!(
            differs.is_none(),
            "payer {} is charged {:?} on bill and rate {differs:?}, and should be charged {:?}",
            market.named(*payer),
            differs.and_then(|key| found.get(key)),
            differs.and_then(|key| model.bills.get(key))
        );
    }
    let twice = census::charged_twice(&market.process.db).await?;
    must!(twice == 0, "{twice} facts are charged twice");
    Ok(Ok(()))
}

/// Books balance, payments and credit are where they went, and the provider took what was received.
async fn money(market: &Market, issued: &[InvoiceRow]) -> Looked {
    let db = &market.process.db;
    let (balances, moved) = (census::balances(db).await?, census::money(db).await?);
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for ((_, currency), amount) in &balances {
        *sums.entry(currency.as_str()).or_default() += amount;
    }
    must!(sums.values().all(|sum| *sum == 0), "the books do not balance: {sums:?}");
    let (unbilled, taken) = (census::unbilled(db).await?, census::taken(db).await?);
    for (row, _) in subscriptions::every(db, market.buyer, "", None, 1_000).await? {
        let of = |account: String| balances.get(&(account, row.currency.code().to_owned())).copied().unwrap_or(0);
        let moved = moved.get(&row.id).copied().unwrap_or_default();
        let open: i64 = issued.iter().filter(|i| i.subscription == row.id).map(|i| i.total - i.paid).sum();
        let waits: i64 = unbilled.iter().filter(|(payer, ..)| *payer == row.id).map(|(.., amount)| amount).sum();
        let named = market.named(row.id);
        let billed: i64 = issued.iter().filter(|i| i.subscription == row.id).map(|i| i.total).sum();
        let taken = taken.get(&row.id).copied().unwrap_or(0);
        must!(taken <= billed, "the provider took {taken} of payer {named}, who was billed {billed}");
        must!(row.credit >= 0, "payer {named} has a credit of {}", row.credit);
        must!(
            moved.received == moved.from_payments + moved.from_credit + row.credit,
            "payer {named} paid {}, of which {} and {} of credit went to invoices, and {} is left",
            moved.received,
            moved.from_payments,
            moved.from_credit,
            row.credit
        );
        let kept = (
            of(format!("receivable/{}", row.id)),
            of(format!("unbilled/{}", row.id)),
            of(format!("credit/{}", row.id)),
        );
        must!(
            kept == (open, waits, -row.credit),
            "payer {named}: the ledger's receivable, unbilled and credit are {kept:?}, and should be {:?}",
            (open, waits, -row.credit)
        );
    }
    let allocated = census::allocated(db).await?;
    for row in issued {
        let of = |sums: &BTreeMap<InvoiceId, i64>| sums.get(&row.id).copied().unwrap_or(0);
        must!(
            row.paid == of(&allocated) && row.paid <= row.total,
            "invoice {} of {} is paid with {}, and {} went to it",
            row.number,
            row.total,
            row.paid,
            of(&allocated)
        );
    }
    let disputed = census::disputed(db).await?;
    must!(disputed.is_empty(), "provider and books differ: {disputed:?}");
    Ok(Ok(()))
}

/// The whole of `purser verify`, all events being in the chain.
pub async fn proven(market: &Market) -> Looked {
    let db = &market.process.db;
    loop {
        let (_, new) = db.write("audit-chain", async |tx| audit::chain(tx).await).await?;
        if new == 0 {
            break;
        }
    }
    match verify::verify(db, &KEY, "ms").await {
        Ok(_) => Ok(Ok(())),
        Err(verify::VerifyError::Difference(difference)) => Ok(Err(format!("verify: {difference}"))),
        Err(verify::VerifyError::Store(error)) => Err(error.into()),
    }
}

impl Market {
    /// A payer by its number in steps.
    pub fn named(&self, payer: SubscriptionId) -> String {
        let place = self.payers.iter().position(|known| *known == Some(payer));
        place.map_or_else(|| payer.to_string(), |place| place.to_string())
    }

    fn taxes(&self) -> Result<billing::TaxRates, Fault> {
        Ok(super::market::policy(&self.model, &self.config)?.taxes.clone())
    }
}
