//! Purchases that are paid when they are made: what waits for its payment, what it holds meanwhile, and what
//! became of it.

use crate::row::Row;
use crate::sheet::{Columns, Kind, Sheet, insert};
use crate::{Reads, StoreError, Tx};
use kernel::{Id, Month, OfferId, OrganizationId, PaymentId, PurchaseId, SubscriptionId, Timestamp, micros};
use sea_orm::QueryResult;

/// A purchase that was or is to be paid at once.
#[derive(Clone, Debug)]
pub struct CollectionRow {
    /// The purchase.
    pub purchase: PurchaseId,
    /// For whom.
    pub organization: OrganizationId,
    /// Who pays; where it is to be created, the id that it will have.
    pub subscription: SubscriptionId,
    /// What the provider is asked for.
    pub payment: PaymentId,
    /// `pending`, `completed` or `released`.
    pub state: String,
    /// Why it was released; empty otherwise.
    pub reason: String,
    /// What it does once it is paid, JSON; empty when that is not needed any more. Personal.
    pub plan: String,
    /// What is shown of it, JSON.
    pub answer: String,
    /// When it was decided.
    pub at: Timestamp,
    /// When it was completed or released; none while it is pending.
    pub settled_at: Option<Timestamp>,
}

/// An offer of an organization that a pending purchase holds, with what it would cost: budgets count it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldOffer {
    /// Whose.
    pub organization: OrganizationId,
    /// Which.
    pub offer: OfferId,
    /// By which purchase.
    pub purchase: PurchaseId,
    /// Who would pay.
    pub subscription: SubscriptionId,
    /// Whether the purchase sets up billing.
    pub links: bool,
    /// The month that `amount` is of.
    pub month: Month,
    /// What it would add to this month, minor units before tax.
    pub amount: i64,
    /// What a full month would then cost, minor units before tax.
    pub renewal: i64,
}

const HELD: Columns = &[
    ("organization_id", Kind::Uuid),
    ("offer_id", Kind::Uuid),
    ("purchase_id", Kind::Uuid),
    ("subscription_id", Kind::Uuid),
    ("links", Kind::Bool),
    ("month", Kind::Text),
    ("amount", Kind::Int),
    ("renewal", Kind::Int),
];

/// A purchase waits for its payment and holds its offers.
///
/// # Errors
/// [`StoreError::Conflict`] where one of the offers is held already; else as [`StoreError`] says.
pub async fn begin(tx: &Tx, row: &CollectionRow, held: &[HeldOffer]) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO collections (purchase_id, organization_id, subscription_id, payment_id, state, reason, plan, answer, \
         at, settled_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        vec![
            row.purchase.uuid().into(),
            row.organization.uuid().into(),
            row.subscription.uuid().into(),
            row.payment.uuid().into(),
            row.state.as_str().into(),
            row.reason.as_str().into(),
            row.plan.as_str().into(),
            "".into(),
            micros(row.at).into(),
            row.settled_at.map_or(0, micros).into(),
        ],
    )
    .await?;
    let mut sheet = Sheet::new(HELD);
    for offer in held {
        sheet.push([
            offer.organization.uuid().into(),
            offer.offer.uuid().into(),
            offer.purchase.uuid().into(),
            offer.subscription.uuid().into(),
            offer.links.into(),
            offer.month.to_string().into(),
            offer.amount.into(),
            offer.renewal.into(),
        ]);
    }
    insert(tx, "held_offers", HELD, sheet, "").await?;
    Ok(())
}

/// A pending purchase is paid: it is what `answer` shows, with what it found and changed, and holds nothing any more.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn complete(
    tx: &Tx,
    purchase: PurchaseId,
    (answer, found): (&str, &str),
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE purchases SET state = 'completed', answer = $2, found = $3 WHERE id = $1";
    tx.execute(sql, vec![purchase.uuid().into(), answer.into(), found.into()]).await?;
    settle(tx, purchase, ("completed", ""), ("", ""), at).await
}

/// A pending purchase will not be: its key is free again, and it holds nothing any more. What is left is what `answer` shows of
/// it and, where money may still come in for a payer that does not exist, its plan.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn release(
    tx: &Tx,
    purchase: PurchaseId,
    reason: &str,
    (plan, answer): (&str, &str),
    at: Timestamp,
) -> Result<(), StoreError> {
    tx.execute("DELETE FROM purchases WHERE id = $1 AND state = 'pending'", vec![purchase.uuid().into()]).await?;
    settle(tx, purchase, ("released", reason), (plan, answer), at).await
}

async fn settle(
    tx: &Tx,
    purchase: PurchaseId,
    (state, reason): (&str, &str),
    (plan, answer): (&str, &str),
    at: Timestamp,
) -> Result<(), StoreError> {
    tx.execute("DELETE FROM held_offers WHERE purchase_id = $1", vec![purchase.uuid().into()]).await?;
    let sql = "UPDATE collections SET state = $2, reason = $3, plan = $4, answer = $5, settled_at = $6 \
         WHERE purchase_id = $1 AND state = 'pending'";
    let values =
        vec![purchase.uuid().into(), state.into(), reason.into(), plan.into(), answer.into(), micros(at).into()];
    let settled = tx.execute(sql, values).await?;
    if settled == 1 { Ok(()) } else { Err(StoreError::Conflict("a purchase was settled by another".into())) }
}

/// Money that came in late was given to the payer: the plan is not needed any more.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn forget_plan(tx: &Tx, purchase: PurchaseId) -> Result<(), StoreError> {
    tx.execute("UPDATE collections SET plan = '' WHERE purchase_id = $1", vec![purchase.uuid().into()]).await?;
    Ok(())
}

/// What of a collection is read; its answer is the purchase's own while there is one.
const COLLECTION: &str = "SELECT c.purchase_id, c.organization_id, c.subscription_id, c.payment_id, c.state, c.reason, c.plan, \
     COALESCE(p.answer, c.answer) AS answer, c.at, c.settled_at FROM collections c \
     LEFT JOIN purchases p ON p.id = c.purchase_id";

fn collection(row: &QueryResult) -> Result<CollectionRow, StoreError> {
    let settled_at = row.int("settled_at")?;
    Ok(CollectionRow {
        purchase: row.id("purchase_id")?,
        organization: row.id("organization_id")?,
        subscription: row.id("subscription_id")?,
        payment: row.id("payment_id")?,
        state: row.text("state")?,
        reason: row.text("reason")?,
        plan: row.text("plan")?,
        answer: row.text("answer")?,
        at: row.instant("at")?,
        settled_at: Some(settled_at).filter(|at| *at != 0).map(kernel::from_micros),
    })
}

/// One purchase that was or is to be paid at once.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn find(reads: &impl Reads, purchase: PurchaseId) -> Result<Option<CollectionRow>, StoreError> {
    let rows = reads.rows(&format!("{COLLECTION} WHERE c.purchase_id = $1"), vec![purchase.uuid().into()]).await?;
    rows.first().map(collection).transpose()
}

/// All of them by id, after one: for proving the books.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn after(
    reads: &impl Reads,
    after: Option<PurchaseId>,
    limit: i64,
) -> Result<Vec<CollectionRow>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), Id::uuid);
    let sql = format!("{COLLECTION} WHERE c.purchase_id > $1 ORDER BY c.purchase_id LIMIT $2");
    reads.rows(&sql, vec![after.into(), limit.into()]).await?.iter().map(collection).collect()
}

/// All that pending purchases hold.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn held(reads: &impl Reads) -> Result<Vec<HeldOffer>, StoreError> {
    let sql = "SELECT organization_id, offer_id, purchase_id, subscription_id, links, month, amount, renewal \
         FROM held_offers ORDER BY organization_id, offer_id";
    let rows = reads.rows(sql, vec![]).await?;
    rows.iter()
        .map(|row| {
            Ok(HeldOffer {
                organization: row.id("organization_id")?,
                offer: row.id("offer_id")?,
                purchase: row.id("purchase_id")?,
                subscription: row.id("subscription_id")?,
                links: row.flag("links")?,
                month: row.word("month")?,
                amount: row.int("amount")?,
                renewal: row.int("renewal")?,
            })
        })
        .collect()
}
