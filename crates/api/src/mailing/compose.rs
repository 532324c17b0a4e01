//! What a mail says, and to whom: an event names its facts by ids, which are looked up here and put into words.
//!
//! A billing address gets what invoices hold, no more: nothing of who bought, and no card.

use super::letters::{
    Ahead, CreditNote, Declined, Invoice, Letter, Next, Overdue, Paid, Part, Receipt, Status, kept_lines, line,
};
use crate::pages::locale::{self, Locale};
use billing::dunning::Schedule;
use billing::invoice::Document;
use billing::payment::Provider;
use billing::{PaymentMethod, Profile, SubscriptionStatus};
use chrono::NaiveDate;
use kernel::{CreditNoteId, Currency, InvoiceId, Money, PaymentId, SubscriptionId, SubscriptionRole};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use store::invoices::{self, InvoiceRow};
use store::mails::News;
use store::subscriptions::{self, SubscriptionRow};
use store::{Db, StoreError, credit_notes, payments, refunds};

/// Owners that are written to where there is no billing address.
const OWNERS: usize = 10;
/// Refunds of a credit note that are added up.
const MOST_REFUNDS: i64 = 1_000;
/// Role holders that are looked at for owners.
const HOLDERS: i64 = 200;

/// What letters are made with.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Where facts are looked up.
    pub db: Db,
    /// When what is not paid is asked for again.
    pub schedule: Schedule,
    /// Who sells.
    pub seller: String,
    /// Where people reach the pages, without a slash at the end.
    pub url: String,
}

/// A payer, as its letters need it.
struct Payer {
    row: SubscriptionRow,
    profile: Profile,
}

impl Payer {
    fn money(&self, minor: i64) -> String {
        money(minor, self.row.currency)
    }

    fn by_card(&self) -> bool {
        self.row.payment_method == PaymentMethod::Card.as_str()
    }
}

#[derive(Deserialize)]
struct Issued {
    invoice: InvoiceId,
    subscription: SubscriptionId,
}

#[derive(Deserialize)]
struct Credited {
    credit_note: CreditNoteId,
    subscription: SubscriptionId,
}

#[derive(Deserialize)]
struct Received {
    payment: PaymentId,
    subscription: SubscriptionId,
    provider: Provider,
    amount: i64,
    received_on: NaiveDate,
    allocations: Vec<Allocated>,
    credit: i64,
}

#[derive(Deserialize)]
struct Allocated {
    invoice: InvoiceId,
    amount: i64,
}

#[derive(Deserialize)]
struct Refused {
    payment: PaymentId,
    subscription: SubscriptionId,
    invoice: InvoiceId,
    reason: String,
}

#[derive(Deserialize)]
struct Late {
    invoice: InvoiceId,
    subscription: SubscriptionId,
    step: i64,
    due_on: NaiveDate,
    open: i64,
    next_on: Option<NaiveDate>,
}

#[derive(Deserialize)]
struct Changed {
    subscription: SubscriptionId,
    from: SubscriptionStatus,
    to: SubscriptionStatus,
}

impl Desk {
    /// The letter that tells of an event and the addresses that it goes to; none where nobody is to be told, as of what is
    /// owed no more.
    ///
    /// # Errors
    /// The store's, and what of the facts cannot be read.
    pub async fn compose(&self, news: &News) -> Result<Option<(Letter, Vec<String>)>, StoreError> {
        match news.kind.as_str() {
            "invoice.issued" => self.issued(facts(news)?).await,
            "credit_note.issued" => self.credited(facts(news)?).await,
            "payment.received" => self.received(facts(news)?).await,
            "payment.declined" => self.declined(facts(news)?, news.at.date_naive()).await,
            "invoice.overdue" => self.overdue(facts(news)?).await,
            "subscription.status_changed" => self.changed(facts(news)?).await,
            _ => Ok(None),
        }
    }

    async fn issued(&self, told: Issued) -> Result<Option<(Letter, Vec<String>)>, StoreError> {
        let (payer, row) = (self.payer(told.subscription).await?, self.invoice(told.invoice).await?);
        let document: Document = serde_json::from_str(&row.document).map_err(StoreError::corrupt)?;
        let (seller, billed, open) = (document.seller, document.payer, row.total.saturating_sub(row.paid));
        let letter = Invoice {
            seller: line(&seller.name),
            number: &row.number,
            payer: line(&billed.name),
            address: kept_lines(billed.profile.address.as_deref()),
            tax_id: line(billed.profile.tax_id.as_deref().unwrap_or_default()),
            reference: line(billed.profile.purchase_order.as_deref().unwrap_or_default()),
            issued_on: locale::date(row.issued_on),
            due_on: locale::date(row.due_on),
            net: payer.money(row.net),
            tax: payer.money(row.tax),
            total: payer.money(row.total),
            paid: (row.paid > 0).then(|| payer.money(row.paid)),
            open: payer.money(open),
            next: match open {
                ..=0 => Paid::Nothing,
                _ if payer.by_card() => Paid::Card,
                _ => Paid::Transfer,
            },
            link: format!("{}/invoices/{}", self.url, row.id),
        };
        let subject = match letter.next {
            Paid::Nothing => format!("Invoice {}: {}, nothing to pay", row.number, letter.total),
            Paid::Card | Paid::Transfer => format!("Invoice {}: {}, due {}", row.number, letter.open, letter.due_on),
        };
        self.addressed(&payer, subject, &letter).await
    }

    async fn credited(&self, told: Credited) -> Result<Option<(Letter, Vec<String>)>, StoreError> {
        let Some(row) = credit_notes::find(&self.db, told.credit_note).await? else { return Ok(None) };
        let (payer, invoice) = (self.payer(told.subscription).await?, self.invoice(row.invoice).await?);
        let refunds = refunds::of_note(&self.db, row.id, MOST_REFUNDS).await?;
        let refunds = refunds.iter().filter(|refund| refund.state != "declined");
        let refunded = refunds.fold(0_i64, |sum, refund| sum.saturating_add(refund.amount));
        let credit = row.total.saturating_sub(row.reduced).saturating_sub(refunded);
        let some = |minor: i64| (minor > 0).then(|| payer.money(minor));
        let letter = CreditNote {
            seller: line(&self.seller),
            number: &row.number,
            invoice: invoice.number,
            payer: line(&payer.row.name),
            reference: line(payer.profile.purchase_order.as_deref().unwrap_or_default()),
            issued_on: locale::date(row.issued_on),
            reason: line(&row.reason),
            net: payer.money(row.net),
            tax: payer.money(row.tax),
            total: payer.money(row.total),
            reduced: some(row.reduced),
            refunded: some(refunded),
            credit: some(credit),
            link: format!("{}/invoices/{}", self.url, row.invoice),
        };
        let subject = format!("Credit note {}: {} on invoice {}", row.number, letter.total, letter.invoice);
        self.addressed(&payer, subject, &letter).await
    }

    async fn received(&self, told: Received) -> Result<Option<(Letter, Vec<String>)>, StoreError> {
        let payer = self.payer(told.subscription).await?;
        let mut parts = Vec::with_capacity(told.allocations.len());
        for part in &told.allocations {
            let row = self.invoice(part.invoice).await?;
            let (amount, total) = (payer.money(part.amount), payer.money(row.total));
            parts.push(Part { number: row.number, amount, total });
        }
        let transfer = told.provider == Provider::Transfer;
        let bank = if transfer { payments::find(&self.db, told.payment).await?.map(|row| row.reference) } else { None };
        let amount = payer.money(told.amount);
        let letter = Receipt {
            seller: line(&self.seller),
            amount: &amount,
            payer: line(&payer.row.name),
            address: kept_lines(payer.profile.address.as_deref()),
            reference: line(payer.profile.purchase_order.as_deref().unwrap_or_default()),
            received_on: locale::date(told.received_on),
            how: if transfer { "transfer" } else { "card" },
            bank: line(&bank.unwrap_or_default()),
            parts,
            credit: (told.credit > 0).then(|| payer.money(told.credit)),
            link: self.payments(told.subscription),
        };
        self.addressed(&payer, format!("Receipt: {amount} received"), &letter).await
    }

    async fn declined(&self, told: Refused, on: NaiveDate) -> Result<Option<(Letter, Vec<String>)>, StoreError> {
        let (payer, row) = (self.payer(told.subscription).await?, self.invoice(told.invoice).await?);
        let Some(payment) = payments::find(&self.db, told.payment).await?.filter(|_| is_open(&row)) else {
            return Ok(None);
        };
        let taken = self.schedule.reached(row.due_on, on).min(self.schedule.tries());
        let letter = Declined {
            amount: payer.money(payment.amount),
            number: &row.number,
            seller: line(&self.seller),
            payer: line(&payer.row.name),
            reason: line(&told.reason.replace('_', " ")),
            next: match self.schedule.next_on(row.due_on, taken).map(locale::date) {
                None => Next::Nothing,
                Some(day) if taken < self.schedule.tries() => Next::Asked(day),
                Some(day) => Next::Ended(day),
            },
            link: self.payments(told.subscription),
        };
        self.addressed(&payer, format!("Your card was declined for invoice {}", row.number), &letter).await
    }

    async fn overdue(&self, told: Late) -> Result<Option<(Letter, Vec<String>)>, StoreError> {
        let (payer, row) = (self.payer(told.subscription).await?, self.invoice(told.invoice).await?);
        if !is_open(&row) {
            return Ok(None);
        }
        let then = self.schedule.status(told.step.saturating_add(1));
        let letter = Overdue {
            number: &row.number,
            seller: line(&self.seller),
            payer: line(&payer.row.name),
            reference: line(payer.profile.purchase_order.as_deref().unwrap_or_default()),
            due_on: locale::date(told.due_on),
            open: payer.money(told.open),
            step: (told.step <= self.schedule.tries()).then_some(told.step),
            steps: self.schedule.tries(),
            next: match (told.next_on.map(locale::date), then) {
                (Some(day), SubscriptionStatus::Disabled) => Ahead::Disabled(day),
                (Some(day), SubscriptionStatus::PastDue) => Ahead::PastDue(day),
                (Some(day), _) => Ahead::Reminder(day),
                (None, _) => Ahead::Nothing,
            },
            card: payer.by_card(),
            link: self.payments(told.subscription),
        };
        let subject = format!("Overdue: invoice {}, {} open", row.number, letter.open);
        self.addressed(&payer, subject, &letter).await
    }

    async fn changed(&self, told: Changed) -> Result<Option<(Letter, Vec<String>)>, StoreError> {
        let payer = self.payer(told.subscription).await?;
        let letter = Status {
            status: told.to,
            payer: line(&payer.row.name),
            paused: !told.from.pays(),
            pays: told.to != SubscriptionStatus::Active,
            link: self.payments(told.subscription),
        };
        let name = &letter.payer;
        let subject = match told.to {
            SubscriptionStatus::Active => format!("{name} is active again"),
            SubscriptionStatus::Warned => format!("{name} has an overdue invoice"),
            SubscriptionStatus::PastDue => format!("{name} is past due"),
            SubscriptionStatus::Disabled => format!("{name} is disabled"),
            SubscriptionStatus::Deleted => format!("{name} is deleted"),
        };
        self.addressed(&payer, subject, &letter).await
    }

    /// The letter, to the billing address; where there is none, to those who own the subscription.
    async fn addressed(
        &self,
        payer: &Payer,
        subject: String,
        body: &impl askama::Template,
    ) -> Result<Option<(Letter, Vec<String>)>, StoreError> {
        let body = body.render().map_err(StoreError::corrupt)?;
        // A name may hold what readers of headers would decode (RFC 2047).
        let subject = subject.replace("=?", "= ?");
        let to = match &payer.profile.email {
            Some(address) => vec![address.to_string()],
            None => self.owners(payer.row.id).await?,
        };
        Ok(Some((Letter { subject, body }, to)))
    }

    async fn owners(&self, payer: SubscriptionId) -> Result<Vec<String>, StoreError> {
        let holders = subscriptions::holders(&self.db, payer, HOLDERS).await?;
        let owners = holders.into_iter().filter(|holder| holder.role == SubscriptionRole::Owner);
        Ok(owners.take(OWNERS).map(|owner| owner.email).collect())
    }

    async fn payer(&self, id: SubscriptionId) -> Result<Payer, StoreError> {
        let found = subscriptions::find(&self.db, id, None).await?;
        let (row, _) = found.ok_or_else(|| StoreError::corrupt(format!("{id} is not there")))?;
        let profile = serde_json::from_str(&row.profile).map_err(StoreError::corrupt)?;
        Ok(Payer { row, profile })
    }

    async fn invoice(&self, id: InvoiceId) -> Result<InvoiceRow, StoreError> {
        invoices::find(&self.db, id).await?.ok_or_else(|| StoreError::corrupt(format!("{id} is not there")))
    }

    /// The page where a payer's payments are, and its card is replaced.
    fn payments(&self, payer: SubscriptionId) -> String {
        format!("{}/subscriptions/{payer}/payments", self.url)
    }
}

fn facts<T: DeserializeOwned>(news: &News) -> Result<T, StoreError> {
    serde_json::from_str(&news.public).map_err(StoreError::corrupt)
}

/// What is paid meanwhile is asked of nobody.
fn is_open(row: &InvoiceRow) -> bool {
    row.paid < row.total
}

fn money(minor: i64, currency: Currency) -> String {
    Locale::default().money(Money::new(minor, currency))
}
