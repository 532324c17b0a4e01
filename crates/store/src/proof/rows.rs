//! Rows of what was bought, looked up by their ids.

use super::{looked_up, read_all};
use crate::invoices::InvoiceRow;
use crate::payments::{AllocationRow, PaymentRow};
use crate::row::Row;
use crate::{Reads, StoreError};
use kernel::{
    AllocationId, ChargeId, InvoiceId, LinkId, OfferId, OrganizationId, PaymentId, PriceId, PurchaseId, SubscriptionId,
    UserId,
};
use std::collections::HashMap;

/// A purchase with what else must be there for it.
#[derive(Clone, Debug)]
pub struct PurchaseProof {
    /// Its id.
    pub id: PurchaseId,
    /// For whom.
    pub organization: OrganizationId,
    /// Who pays.
    pub subscription: SubscriptionId,
    /// Who bought.
    pub actor: UserId,
    /// The caller's key.
    pub key: String,
    /// Hash of the request.
    pub request_hash: Vec<u8>,
    /// Its state.
    pub state: String,
    /// The answer, to the byte.
    pub answer: String,
    /// What it found, JSON; empty where that was not kept.
    pub found: String,
    /// What came of its undoing, JSON; empty while it stands.
    pub undone: String,
    /// When, microseconds since 1970.
    pub at: i64,
    /// The payer's currency; none where there is no such payer.
    pub currency: Option<String>,
    /// Who made the payer.
    pub payer_created_by: Option<String>,
    /// When it was made.
    pub payer_created_at: Option<i64>,
    /// Whether the organization was billed to that payer at that instant.
    pub linked: bool,
}

/// Purchases by their ids.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn purchases(reads: &impl Reads, ids: &[PurchaseId]) -> Result<Vec<PurchaseProof>, StoreError> {
    let rows = looked_up(reads, ids, |set| {
        format!(
            "SELECT p.id, p.organization_id, p.subscription_id, p.actor_id, p.key, p.request_hash, p.state, p.answer, \
             p.found, p.undone, p.at, s.currency, s.created_by, s.created_at, \
             CASE WHEN EXISTS (SELECT 1 FROM links l WHERE l.organization_id = p.organization_id \
                AND (l.ended_at IS NULL OR l.ended_at >= p.at) AND l.subscription_id = p.subscription_id) \
             THEN 1 ELSE 0 END AS linked \
             FROM {set} JOIN purchases p ON p.id = r.id LEFT JOIN subscriptions s ON s.id = p.subscription_id"
        )
    })
    .await?;
    read_all("purchases", &rows, |row| {
        let linked: i32 = row.try_get("", "linked").map_err(|e| StoreError::corrupt(format!("linked: {e}")))?;
        Ok(PurchaseProof {
            id: row.id("id")?,
            organization: row.id("organization_id")?,
            subscription: row.id("subscription_id")?,
            actor: row.id("actor_id")?,
            key: row.text("key")?,
            request_hash: row.bytes("request_hash")?,
            state: row.text("state")?,
            answer: row.text("answer")?,
            found: row.text("found")?,
            undone: row.text("undone")?,
            at: row.int("at")?,
            currency: row.maybe_text("currency")?,
            payer_created_by: row.maybe_text("created_by")?,
            payer_created_at: row.maybe_int("created_at")?,
            linked: linked == 1,
        })
    })
}

/// A charge.
#[derive(Clone, Debug)]
pub struct ChargeProof {
    /// Its id.
    pub id: ChargeId,
    /// The purchase that it is of.
    pub purchase: PurchaseId,
    /// Who pays.
    pub subscription: SubscriptionId,
    /// For whom.
    pub organization: OrganizationId,
    /// For what.
    pub offer: OfferId,
    /// Minor units.
    pub amount: i64,
    /// In which currency.
    pub currency: String,
    /// Month of the service.
    pub month: String,
    /// Percent; empty for none.
    pub tax_rate: String,
    /// What it was computed from, JSON.
    pub basis: String,
    /// The month on whose first day it is billed.
    pub bill: String,
    /// When, microseconds since 1970.
    pub at: i64,
}

/// Charges by their ids.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn charges(reads: &impl Reads, ids: &[ChargeId]) -> Result<Vec<ChargeProof>, StoreError> {
    let rows = looked_up(reads, ids, |set| format!("SELECT c.* FROM {set} JOIN charges c ON c.id = r.id")).await?;
    read_all("charges", &rows, |row| {
        Ok(ChargeProof {
            id: row.id("id")?,
            purchase: row.id("purchase_id")?,
            subscription: row.id("subscription_id")?,
            organization: row.id("organization_id")?,
            offer: row.id("offer_id")?,
            amount: row.int("amount")?,
            currency: row.text("currency")?,
            month: row.text("month")?,
            tax_rate: row.text("tax_rate")?,
            basis: row.text("basis")?,
            bill: row.text("bill")?,
            at: row.int("at")?,
        })
    })
}

/// What the charges of an invoice's bill come to at one rate.
#[derive(Clone, Debug)]
pub struct BilledProof {
    /// The invoice.
    pub invoice: InvoiceId,
    /// Percent; empty for none.
    pub tax_rate: String,
    /// Minor units.
    pub net: i64,
    /// How many they are.
    pub charges: i64,
}

/// Invoices by their ids, and what their charges come to.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn invoices(
    reads: &impl Reads,
    ids: &[InvoiceId],
) -> Result<(Vec<InvoiceRow>, Vec<BilledProof>), StoreError> {
    let rows = looked_up(reads, ids, |set| format!("SELECT i.* FROM {set} JOIN invoices i ON i.id = r.id")).await?;
    let rows = read_all("invoices", &rows, crate::invoices::invoice)?;
    let sums = looked_up(reads, ids, |set| {
        format!(
            "SELECT i.id, c.tax_rate, CAST(SUM(c.amount) AS BIGINT) AS net, COUNT(*) AS charges FROM {set} JOIN invoices i ON i.id = r.id \
             JOIN charges c ON c.subscription_id = i.subscription_id AND c.bill = i.bill GROUP BY i.id, c.tax_rate"
        )
    })
    .await?;
    let sums = read_all("charges", &sums, |row| {
        let (invoice, tax_rate) = (row.id("id")?, row.text("tax_rate")?);
        Ok(BilledProof { invoice, tax_rate, net: row.int("net")?, charges: row.int("charges")? })
    })?;
    Ok((rows, sums))
}

/// The payments with these ids.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn payments(reads: &impl Reads, ids: &[PaymentId]) -> Result<Vec<PaymentRow>, StoreError> {
    let rows = looked_up(reads, ids, |set| format!("SELECT p.* FROM {set} JOIN payments p ON p.id = r.id")).await?;
    read_all("payments", &rows, crate::payments::payment)
}

/// What went to invoices, by ids.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn allocations(reads: &impl Reads, ids: &[AllocationId]) -> Result<Vec<AllocationRow>, StoreError> {
    let rows = looked_up(reads, ids, |set| format!("SELECT a.* FROM {set} JOIN allocations a ON a.id = r.id")).await?;
    read_all("allocations", &rows, crate::payments::allocation)
}

/// A line of an invoice with what its charge says, where there is one.
#[derive(Clone, Debug)]
pub struct LineProof {
    /// Its place.
    pub place: i64,
    /// Its charge.
    pub charge: ChargeId,
    /// The organization's name in addresses, its name, and the offer's.
    pub names: [String; 3],
    /// Its part of the tax, minor units.
    pub tax: i64,
    /// What all lines of its organization come to, minor units.
    pub organization_net: i64,
    /// What it charges; none where there is no such charge.
    pub charged: Option<LineCharge>,
}

/// What a line charges.
#[derive(Clone, Debug)]
pub struct LineCharge {
    /// Who pays.
    pub subscription: SubscriptionId,
    /// The month on whose first day it is billed.
    pub bill: String,
    /// For whom.
    pub organization: OrganizationId,
    /// Percent; empty for none.
    pub tax_rate: String,
    /// Minor units.
    pub amount: i64,
}

/// Lines of an invoice after a place, in order.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn invoice_lines(
    reads: &impl Reads,
    invoice: InvoiceId,
    after: i64,
    limit: i64,
) -> Result<Vec<LineProof>, StoreError> {
    let sql = "SELECT l.place, l.charge_id, l.slug, l.name, l.offer_name, l.tax, l.organization_net, \
         c.subscription_id, c.bill, c.organization_id, c.tax_rate, c.amount \
         FROM invoice_lines l LEFT JOIN charges c ON c.id = l.charge_id \
         WHERE l.invoice_id = $1 AND l.place > $2 ORDER BY l.place LIMIT $3";
    let rows = reads.rows(sql, vec![invoice.uuid().into(), after.into(), limit.into()]).await?;
    read_all("invoice_lines", &rows, |row| {
        let charged = match row.maybe_id("subscription_id")? {
            None => None,
            Some(subscription) => Some(LineCharge {
                subscription,
                bill: row.text("bill")?,
                organization: row.id("organization_id")?,
                tax_rate: row.text("tax_rate")?,
                amount: row.int("amount")?,
            }),
        };
        Ok(LineProof {
            place: row.int("place")?,
            charge: row.id("charge_id")?,
            names: [row.text("slug")?, row.text("name")?, row.text("offer_name")?],
            tax: row.int("tax")?,
            organization_net: row.int("organization_net")?,
            charged,
        })
    })
}

/// The counters of invoice numbers: name and last number.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn counters(reads: &impl Reads) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = reads.rows("SELECT name, last FROM counters ORDER BY name", vec![]).await?;
    rows.iter().map(|row| Ok((row.text("name")?, row.int("last")?))).collect()
}

/// A ledger posting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferProof {
    /// The fact that it is of.
    pub fact: ChargeId,
    /// Which of the fact's postings.
    pub leg: i64,
    /// Account debited.
    pub debit: String,
    /// Account credited.
    pub credit: String,
    /// Minor units.
    pub amount: i64,
    /// In which currency.
    pub currency: String,
    /// When, microseconds since 1970.
    pub at: i64,
}

/// All postings of facts, each fact's in order.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn transfers(reads: &impl Reads, facts: &[ChargeId]) -> Result<Vec<TransferProof>, StoreError> {
    let rows = looked_up(reads, facts, |set| {
        format!("SELECT t.* FROM {set} JOIN transfers t ON t.fact = r.id ORDER BY t.fact, t.leg")
    })
    .await?;
    read_all("transfers", &rows, |row| {
        Ok(TransferProof {
            fact: row.id("fact")?,
            leg: row.int("leg")?,
            debit: row.text("debit")?,
            credit: row.text("credit")?,
            amount: row.int("amount")?,
            currency: row.text("currency")?,
            at: row.int("at")?,
        })
    })
}

/// A billing link.
#[derive(Clone, Debug)]
pub struct LinkProof {
    /// Its id.
    pub id: LinkId,
    /// Whose.
    pub organization: OrganizationId,
    /// Who pays.
    pub subscription: SubscriptionId,
    /// Who made it.
    pub linked_by: String,
    /// When, microseconds since 1970.
    pub linked_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
}

/// Links by their ids.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn links(reads: &impl Reads, ids: &[LinkId]) -> Result<Vec<LinkProof>, StoreError> {
    let rows = looked_up(reads, ids, |set| format!("SELECT l.* FROM {set} JOIN links l ON l.id = r.id")).await?;
    read_all("links", &rows, |row| {
        Ok(LinkProof {
            id: row.id("id")?,
            organization: row.id("organization_id")?,
            subscription: row.id("subscription_id")?,
            linked_by: row.text("linked_by")?,
            linked_at: row.int("linked_at")?,
            ended_at: row.maybe_int("ended_at")?,
        })
    })
}

/// What an organization has of an offer.
#[derive(Clone, Debug)]
pub struct EntitlementProof {
    /// Whose.
    pub organization: OrganizationId,
    /// Of what.
    pub offer: OfferId,
    /// Paid units of the month.
    pub committed: i64,
    /// Paid units of the next month.
    pub next: i64,
    /// The month.
    pub month: String,
    /// Exact sum of the month's increases, a fraction.
    pub accrued: String,
    /// What of it was charged, minor units.
    pub charged: i64,
    /// Whether it is installed.
    pub installed: bool,
    /// Whether metered use is on.
    pub metered: bool,
    /// Most metered units.
    pub cap: i64,
    /// Rises with every change.
    pub version: i64,
    /// When it last changed, microseconds since 1970.
    pub changed_at: i64,
    /// The purchase that changed it last; nil for none.
    pub purchase: PurchaseId,
}

/// Entitlements after one, by organization and offer.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn entitlements_after(
    reads: &impl Reads,
    (organization, offer): (OrganizationId, OfferId),
    limit: i64,
) -> Result<Vec<EntitlementProof>, StoreError> {
    let rows = reads
        .rows(
            "SELECT * FROM entitlements WHERE (organization_id, offer_id) > ($1, $2) \
             ORDER BY organization_id, offer_id LIMIT $3",
            vec![organization.uuid().into(), offer.uuid().into(), limit.into()],
        )
        .await?;
    read_all("entitlements", &rows, |row| {
        Ok(EntitlementProof {
            organization: row.id("organization_id")?,
            offer: row.id("offer_id")?,
            committed: row.int("committed")?,
            next: row.int("next")?,
            month: row.text("month")?,
            accrued: row.text("accrued")?,
            charged: row.int("charged")?,
            installed: row.flag("installed")?,
            metered: row.flag("metered")?,
            cap: row.int("cap")?,
            version: row.int("version")?,
            changed_at: row.int("changed_at")?,
            purchase: row.id("purchase_id")?,
        })
    })
}

/// Currencies of payers, by their ids.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn currencies(
    reads: &impl Reads,
    ids: &[SubscriptionId],
) -> Result<HashMap<SubscriptionId, String>, StoreError> {
    let statement = |set: &str| format!("SELECT s.id, s.currency FROM {set} JOIN subscriptions s ON s.id = r.id");
    let rows = looked_up(reads, ids, statement).await?;
    rows.iter().map(|row| Ok((row.id("id")?, row.text("currency")?))).collect()
}

/// A price version.
#[derive(Clone, Debug)]
pub struct PriceProof {
    /// Its id.
    pub id: PriceId,
    /// Of which offer.
    pub offer: OfferId,
    /// In which currency.
    pub currency: String,
    /// Its number.
    pub version: i64,
    /// First day it is in force; empty for the beginning of time.
    pub valid_from: String,
    /// Model and bands, JSON.
    pub spec: String,
    /// When it was published, microseconds since 1970.
    pub published_at: i64,
}

/// All price versions.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn prices(reads: &impl Reads) -> Result<Vec<PriceProof>, StoreError> {
    let rows = reads.rows("SELECT * FROM prices ORDER BY id", vec![]).await?;
    read_all("prices", &rows, |row| {
        Ok(PriceProof {
            id: row.id("id")?,
            offer: row.id("offer_id")?,
            currency: row.text("currency")?,
            version: row.int("version")?,
            valid_from: row.text("valid_from")?,
            spec: row.text("spec")?,
            published_at: row.int("published_at")?,
        })
    })
}
