//! Bills as people read them: an invoice that was issued, and the next one as it stands, line by line with
//! how each amount is worked out. The upcoming one is worked out as the turn will do it, so that it comes to the same.

use crate::catalogue::Catalogue;
use crate::lines::{Order, nets};
use crate::metered::{self, Count};
use crate::turn::full_month;
use billing::Payer;
use billing::invoice::{Document, Seller, Sums};
use chrono::NaiveDate;
use kernel::{
    ChargeBasis, ChargeId, Currency, DayRule, InvoiceId, Money, Month, OrganizationId, PurchaseId, Step, SubscriptionId,
};
use serde::Serialize;
use store::invoices::{self, BillLine, InvoiceRow, RenewalLine};
use store::lines::{self, IssuedLine};
use store::payer_usage::{self, NamedUse};
use store::subscriptions::SubscriptionRow;
use store::{Reads, StoreError};

/// For whom a line is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BilledOrganization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name in addresses.
    pub slug: String,
    /// Its name.
    pub name: String,
}

/// Paid units, before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Units {
    /// Before.
    pub from: i64,
    /// After.
    pub to: i64,
}

/// A line of a bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// For whom.
    pub organization: BilledOrganization,
    /// The offer's slug.
    pub offer: String,
    /// The offer's name.
    pub name: String,
    /// `purchase`: what was bought within the month; `renewal`: the month in advance; `resumed`: what
    /// was suspended, for what was left of the month; `usage`: metered use of the month.
    pub kind: &'static str,
    /// The month of the service, by its first day.
    pub month: Month,
    /// Paid units.
    pub quantity: Units,
    /// Before tax.
    pub amount: Money,
    /// Percent; empty for none.
    pub tax_rate: String,
    /// Its part of the tax.
    pub tax: Money,
    /// The charge; none before it is one.
    pub charge: Option<ChargeId>,
    /// The purchase, where it is of one.
    pub purchase: Option<PurchaseId>,
    /// How it is worked out.
    pub why: Vec<Step>,
    /// What all lines of its organization on this bill come to before tax; the answer's reader can add them up.
    #[serde(skip)]
    pub organization_net: Money,
}

/// What a rate of tax applies to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaxLine {
    /// Percent; empty for none.
    pub rate: String,
    /// Sum of the lines.
    pub net: Money,
    /// Tax on it.
    pub tax: Money,
}

/// What a credit note corrects, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrects {
    /// The invoice's number.
    pub number: String,
    /// The day it was issued.
    pub issued_on: NaiveDate,
    /// Why, in words.
    pub reason: String,
}

/// A bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bill {
    /// Its id; none before it is issued.
    pub id: Option<InvoiceId>,
    /// Its number; none before it is issued.
    pub number: Option<String>,
    /// Who owes it.
    pub subscription: SubscriptionId,
    /// The month on whose first day it is for.
    pub month: Month,
    /// The day of issue.
    pub issued_on: NaiveDate,
    /// The day by which it is to be paid.
    pub due_on: NaiveDate,
    /// `upcoming`, `open` or `paid`.
    pub state: &'static str,
    /// Seller and payer, as they were on the day of issue.
    #[serde(flatten)]
    pub parties: Option<Document>,
    /// Organization by organization.
    pub lines: Vec<Line>,
    /// How many lines it has, where `lines` are a page of them.
    #[serde(skip)]
    pub in_all: i64,
    /// By rate.
    pub taxes: Vec<TaxLine>,
    /// Before tax.
    pub net: Money,
    /// Tax.
    pub tax: Money,
    /// Both.
    pub total: Money,
    /// What was paid of it, by money and credit.
    pub paid: Money,
    /// What its credit notes come to; what had been paid of it became credit.
    pub credited: Money,
    /// What is still to be paid.
    pub open: Money,
    /// What it corrects, where it is a credit note as documents show it.
    #[serde(skip)]
    pub corrects: Option<Corrects>,
}

fn corrupt(what: impl std::fmt::Display) -> StoreError {
    StoreError::corrupt(what)
}

impl Bill {
    /// An invoice that was issued, with its lines as they were on the day.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn issued(reads: &impl Reads, row: &InvoiceRow) -> Result<Self, StoreError> {
        let lines = lines::of_invoice(reads, row.id, 0, i64::MAX).await?;
        let lines = lines.into_iter().map(frozen).collect::<Result<Vec<_>, _>>()?;
        let in_all = i64::try_from(lines.len()).map_err(corrupt)?;
        Ok(Self { lines, in_all, ..Self::head(row)? })
    }

    /// The same with a page of its lines: at most `limit` after the first `after`, and from the first where there are no
    /// more; and how many stand before them.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn page(reads: &impl Reads, row: &InvoiceRow, after: i64, limit: i64) -> Result<(Self, i64), StoreError> {
        let in_all = lines::count(reads, row.id).await?;
        let after = if after < in_all { after } else { 0 };
        let lines = lines::of_invoice(reads, row.id, after, limit).await?;
        let lines = lines.into_iter().map(frozen).collect::<Result<Vec<_>, _>>()?;
        Ok((Self { lines, in_all, ..Self::head(row)? }, after))
    }

    /// The same without its lines: for lists.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub fn head(row: &InvoiceRow) -> Result<Self, StoreError> {
        let sums = Sums {
            taxes: serde_json::from_str(&row.taxes).map_err(corrupt)?,
            net: row.net,
            tax: row.tax,
            total: row.total,
        };
        let parties = serde_json::from_str(&row.document).map_err(corrupt)?;
        let money = |minor| Money::new(minor, row.currency);
        let open = row.total.saturating_sub(row.paid);
        Ok(Self {
            id: Some(row.id),
            number: Some(row.number.clone()),
            subscription: row.subscription,
            month: row.bill,
            issued_on: row.issued_on,
            due_on: row.due_on,
            state: if open > 0 { "open" } else { "paid" },
            parties: Some(parties),
            lines: Vec::new(),
            in_all: 0,
            taxes: tax_lines(&sums, row.currency),
            net: money(row.net),
            tax: money(row.tax),
            total: money(row.total),
            paid: money(row.paid.saturating_sub(row.reduced)),
            credited: money(row.credited),
            open: money(open),
            corrects: None,
        })
    }
}

/// What a payer's next invoice is worked out from.
#[derive(Debug)]
pub struct Upcoming<'a> {
    /// What is sold.
    pub catalogue: &'a Catalogue,
    /// Tax rates.
    pub taxes: &'a billing::TaxRates,
    /// Who sells.
    pub seller: &'a Seller,
    /// Days that a transfer may take.
    pub due_days: i64,
    /// The present month.
    pub month: Month,
}

impl Upcoming<'_> {
    /// A payer's next invoice as it stands: what was charged and waits for it, and what will be renewed for its month.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn of(&self, reads: &impl Reads, row: &SubscriptionRow) -> Result<Bill, StoreError> {
        let payer = Payer::try_from(row).map_err(corrupt)?;
        let mut bill = self.first(reads, &payer).await?;
        let mut lines = self.lines(reads, &payer, bill).await?;
        // A month that comes to nothing has no invoice.
        while lines.is_empty() && bill <= self.month {
            bill = bill.next();
            lines = self.lines(reads, &payer, bill).await?;
        }
        lines.sort_by(|one, other| order(one).cmp(&order(other)));
        let sums = Sums::of(lines.iter().map(|line| (line.tax_rate.clone(), line.amount.minor())), row.currency);
        let sums = sums.map_err(|_| corrupt("more than can be billed"))?;
        let in_all = i64::try_from(lines.len()).map_err(corrupt)?;
        self.bill(row, bill, (shared(lines, &sums, row.currency)?, in_all), &sums)
    }

    /// The bill with these lines of so many.
    pub(crate) fn bill(
        &self,
        row: &SubscriptionRow,
        bill: Month,
        (lines, in_all): (Vec<Line>, i64),
        sums: &Sums,
    ) -> Result<Bill, StoreError> {
        let money = |minor| Money::new(minor, row.currency);
        let days = if row.payment_method == "card" { 0 } else { self.due_days };
        let issued_on = bill.first_day();
        let profile = serde_json::from_str(&row.profile).map_err(corrupt)?;
        let to = billing::invoice::BilledTo { name: row.name.clone(), country: row.country, profile };
        Ok(Bill {
            id: None,
            number: None,
            subscription: row.id,
            month: bill,
            issued_on,
            due_on: issued_on.checked_add_signed(chrono::TimeDelta::days(days)).unwrap_or(issued_on),
            state: "upcoming",
            parties: Some(Document { seller: self.seller.clone(), payer: to }),
            lines,
            in_all,
            taxes: tax_lines(sums, row.currency),
            net: money(sums.net),
            tax: money(sums.tax),
            total: money(sums.total),
            paid: money(0),
            credited: money(0),
            open: money(sums.total),
            corrects: None,
        })
    }

    /// The first month that may still be billed: what waits, or what a month that has come will renew, else the next.
    pub(crate) async fn first(&self, reads: &impl Reads, payer: &Payer) -> Result<Month, StoreError> {
        let waiting = invoices::first_waiting(reads, payer.id).await?;
        let behind =
            if payer.status.pays() { invoices::first_behind(reads, payer.id, self.month).await? } else { None };
        // What was used is charged whether its payer can pay or not.
        let used = payer_usage::first(reads, payer.id, self.month).await?;
        let months = [waiting, behind.map(Month::next), used.map(Month::next), Some(self.month.next())];
        Ok(months.into_iter().flatten().min().unwrap_or(self.month))
    }

    async fn lines(&self, reads: &impl Reads, payer: &Payer, bill: Month) -> Result<Vec<Line>, StoreError> {
        let mut lines = Vec::new();
        for line in invoices::lines(reads, payer.id, bill).await? {
            lines.push(self.charged(line)?);
        }
        if payer.status.pays() {
            let renewals = invoices::renewals(reads, payer.id, bill).await?;
            lines.extend(renewals.into_iter().filter_map(|line| self.renewed(line, payer, bill)));
        }
        let used = payer_usage::before(reads, payer.id, bill).await?;
        lines.extend(used.into_iter().filter_map(|line| self.used(line, payer)));
        Ok(lines)
    }

    pub(crate) fn charged(&self, line: BillLine) -> Result<Line, StoreError> {
        let offer = self.catalogue.offer(line.charge.offer);
        let name = offer.map(|offer| offer.definition.name.to_string()).unwrap_or_default();
        charged(line, name)
    }

    /// Metered use so far, as the month's turn will charge it.
    pub(crate) fn used(&self, line: NamedUse, payer: &Payer) -> Option<Line> {
        let NamedUse { row, slug, name } = line;
        let offer = self.catalogue.offer(row.offer)?;
        let basis = metered::charge(offer, payer.currency, row.month, Count { used: row.used, late: row.late })?;
        (basis.amount != 0).then(|| Line {
            organization: BilledOrganization { id: row.organization, slug, name },
            offer: offer.slug.to_string(),
            name: offer.definition.name.to_string(),
            kind: "usage",
            month: row.month,
            quantity: Units { from: 0, to: basis.after },
            amount: basis.money(),
            tax_rate: self.taxes.on(payer.country, row.month.first_day()).as_str().to_owned(),
            tax: Money::zero(payer.currency),
            charge: None,
            purchase: None,
            why: basis.steps(),
            organization_net: Money::zero(payer.currency),
        })
    }

    pub(crate) fn renewed(&self, line: RenewalLine, payer: &Payer, month: Month) -> Option<Line> {
        let offer = self.catalogue.offer(line.offer)?;
        let basis = full_month(offer, payer.currency, month, line.units)?;
        (basis.amount != 0).then(|| Line {
            organization: BilledOrganization { id: line.organization, slug: line.slug, name: line.name },
            offer: offer.slug.to_string(),
            name: offer.definition.name.to_string(),
            kind: "renewal",
            month,
            quantity: Units { from: 0, to: line.units },
            amount: basis.money(),
            tax_rate: self.taxes.on(payer.country, month.first_day()).as_str().to_owned(),
            tax: Money::zero(payer.currency),
            charge: None,
            purchase: None,
            why: basis.steps(),
            organization_net: Money::zero(payer.currency),
        })
    }
}

fn order(line: &Line) -> Order<'_> {
    (&line.organization.name, line.organization.id, &line.offer, line.month, matches!(line.kind, "renewal" | "resumed"))
}

pub(crate) fn charged(line: BillLine, name: String) -> Result<Line, StoreError> {
    let BillLine { charge, slug, name: organization } = line;
    let basis: ChargeBasis = serde_json::from_str(&charge.basis).map_err(corrupt)?;
    let renewal = charge.purchase.uuid().is_nil();
    Ok(Line {
        organization: BilledOrganization { id: charge.organization, slug, name: organization },
        offer: basis.offer.clone(),
        name,
        kind: match (&basis.usage, renewal) {
            (Some(_), _) => "usage",
            // Without proration the whole month is charged, and it reads as one.
            (None, true) if basis.rule != DayRule::None => "resumed",
            (None, true) => "renewal",
            (None, false) => "purchase",
        },
        month: charge.month,
        quantity: Units { from: basis.before, to: basis.after },
        amount: Money::new(charge.amount, charge.currency),
        tax_rate: charge.tax_rate,
        tax: Money::zero(charge.currency),
        charge: Some(charge.id),
        purchase: (!renewal).then_some(charge.purchase),
        why: basis.steps(),
        organization_net: Money::zero(charge.currency),
    })
}

/// A line as it was issued.
fn frozen(issued: IssuedLine) -> Result<Line, StoreError> {
    let currency = issued.line.charge.currency;
    let (tax, organization_net) = (Money::new(issued.tax, currency), Money::new(issued.organization_net, currency));
    Ok(Line { tax, organization_net, ..charged(issued.line, issued.offer_name)? })
}

/// The lines, in a bill's order, with their parts of the tax and their organizations' sums.
fn shared(mut lines: Vec<Line>, sums: &Sums, currency: Currency) -> Result<Vec<Line>, StoreError> {
    let weights: Vec<(String, i64)> = lines.iter().map(|line| (line.tax_rate.clone(), line.amount.minor())).collect();
    let nets = nets(lines.iter().map(|line| (line.organization.id, line.amount.minor())))?;
    for (line, tax) in lines.iter_mut().zip(sums.shared(&weights)) {
        line.tax = Money::new(tax, currency);
        line.organization_net = Money::new(nets.get(&line.organization.id).copied().unwrap_or_default(), currency);
    }
    Ok(lines)
}

fn tax_lines(sums: &Sums, currency: Currency) -> Vec<TaxLine> {
    let money = |minor| Money::new(minor, currency);
    sums.taxes.iter().map(|sum| TaxLine { rate: sum.rate.clone(), net: money(sum.net), tax: money(sum.tax) }).collect()
}
