//! The lines of issued invoices: names, tax shares and places as they were on the day. What a line charges stands
//! in its charge, which never changes.

use crate::invoices::BillLine;
use crate::row::Row;
use crate::sheet::{Columns, Kind, Sheet, source};
use crate::till::each;
use crate::{Reads, StoreError, Tx};
use kernel::{ChargeId, InvoiceId, Month, OfferId, OrganizationId, SubscriptionId};
use sea_orm::Value;

/// Lines that one statement writes at most, so that what is sent stays small.
const SHEET: usize = 10_000;

/// A line of an issued invoice, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrozenLine {
    /// The invoice.
    pub invoice: InvoiceId,
    /// Its place on the invoice, from 1.
    pub place: i64,
    /// What it charges.
    pub charge: ChargeId,
    /// The organization's name in addresses.
    pub slug: String,
    /// The organization's name.
    pub name: String,
    /// The offer's name.
    pub offer_name: String,
    /// Its part of the tax, minor units.
    pub tax: i64,
    /// What all lines of its organization on this invoice come to before tax, minor units.
    pub organization_net: i64,
}

const LINES: Columns = &[
    ("invoice_id", Kind::Uuid),
    ("place", Kind::Int),
    ("charge_id", Kind::Uuid),
    ("slug", Kind::Text),
    ("name", Kind::Text),
    ("offer_name", Kind::Text),
    ("tax", Kind::Int),
    ("organization_net", Kind::Int),
];

/// Keeps lines, in as few statements as their number allows.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn insert(tx: &Tx, lines: &[FrozenLine]) -> Result<(), StoreError> {
    for some in lines.chunks(SHEET) {
        let mut sheet = Sheet::new(LINES);
        for line in some {
            sheet.push([
                line.invoice.uuid().into(),
                line.place.into(),
                line.charge.uuid().into(),
                line.slug.as_str().into(),
                line.name.as_str().into(),
                line.offer_name.as_str().into(),
                line.tax.into(),
                line.organization_net.into(),
            ]);
        }
        crate::sheet::insert(tx, "invoice_lines", LINES, sheet, "").await?;
    }
    Ok(())
}

/// A charge that waits for its bill, with the names that its line will have.
#[derive(Clone, Debug)]
pub struct WaitingLine {
    /// Which of the bills asked for, from 0.
    pub bill: usize,
    /// The charge.
    pub charge: ChargeId,
    /// For whom.
    pub organization: OrganizationId,
    /// The organization's name in addresses.
    pub slug: String,
    /// The organization's name.
    pub name: String,
    /// For what.
    pub offer: OfferId,
    /// Month of the service.
    pub month: Month,
    /// Whether it is a month in advance, and of no purchase.
    pub renewal: bool,
    /// Percent; empty for none.
    pub tax_rate: String,
    /// Minor units, before tax.
    pub amount: i64,
}

const BILLS: Columns = &[("payer", Kind::Uuid), ("bill", Kind::Text)];

/// The charges on bills, in no order.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn waiting(tx: &Tx, bills: &[(SubscriptionId, Month)]) -> Result<Vec<WaitingLine>, StoreError> {
    let mut sheet = Sheet::new(BILLS);
    for (payer, bill) in bills {
        sheet.push([payer.uuid().into(), bill.to_string().into()]);
    }
    let backend = tx.backend();
    let charges = each(
        backend,
        "id, purchase_id, organization_id, offer_id, month, tax_rate, amount",
        "charges",
        "c",
        "c.subscription_id = r.payer AND c.bill = r.bill",
    );
    let named = each(backend, "slug, name", "organizations", "o", "o.id = c.organization_id");
    let sql = format!(
        "SELECT r.n, c.id, c.purchase_id, c.organization_id, c.offer_id, c.month, c.tax_rate, c.amount, o.slug, o.name \
         FROM {} {charges} {named}",
        source(backend, BILLS, 1)
    );
    let rows = tx.query(&sql, sheet.into_values(backend)).await?;
    rows.iter()
        .map(|row| {
            let number = usize::try_from(row.int("n")?).map_err(StoreError::corrupt)?;
            Ok(WaitingLine {
                bill: number.saturating_sub(1),
                charge: row.id("id")?,
                organization: row.id("organization_id")?,
                slug: row.text("slug")?,
                name: row.text("name")?,
                offer: row.id("offer_id")?,
                month: row.word("month")?,
                renewal: row.id::<kernel::PurchaseId>("purchase_id")?.uuid().is_nil(),
                tax_rate: row.text("tax_rate")?,
                amount: row.int("amount")?,
            })
        })
        .collect()
}

/// A line of an issued invoice, with its charge.
#[derive(Clone, Debug)]
pub struct IssuedLine {
    /// The charge and the names as they were on the day.
    pub line: BillLine,
    /// The offer's name.
    pub offer_name: String,
    /// Its part of the tax, minor units.
    pub tax: i64,
    /// What all lines of its organization on this invoice come to before tax, minor units.
    pub organization_net: i64,
}

/// Lines of an invoice in their order, those after a place (0: from the first).
///
/// # Errors
/// As [`StoreError`] says.
pub async fn of_invoice(
    reads: &impl Reads,
    invoice: InvoiceId,
    after: i64,
    limit: i64,
) -> Result<Vec<IssuedLine>, StoreError> {
    let sql = "SELECT l.slug, l.name, l.offer_name, l.tax, l.organization_net, c.id, c.purchase_id, c.subscription_id, \
         c.organization_id, c.offer_id, c.amount, c.currency, c.month, c.tax_rate, c.basis, c.at \
         FROM invoice_lines l JOIN charges c ON c.id = l.charge_id \
         WHERE l.invoice_id = $1 AND l.place > $2 ORDER BY l.place LIMIT $3";
    let rows = reads.rows(sql, vec![invoice.uuid().into(), after.into(), limit.into()]).await?;
    rows.iter()
        .map(|row| {
            let charge = crate::purchases::charge(row)?;
            Ok(IssuedLine {
                line: BillLine { charge, slug: row.text("slug")?, name: row.text("name")? },
                offer_name: row.text("offer_name")?,
                tax: row.int("tax")?,
                organization_net: row.int("organization_net")?,
            })
        })
        .collect()
}

/// How many lines an invoice has.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn count(reads: &impl Reads, invoice: InvoiceId) -> Result<i64, StoreError> {
    // Places have no gaps, and the last is found without looking at the others.
    let sql = "SELECT place FROM invoice_lines WHERE invoice_id = $1 ORDER BY place DESC LIMIT 1";
    let rows = reads.rows(sql, vec![invoice.uuid().into()]).await?;
    rows.first().map_or(Ok(0), |row| row.int("place"))
}

const PAYERS: Columns = &[("payer", Kind::Uuid)];

/// How many lines wait to be billed to each of some payers by the first day of `month`; a payer stands once a bill.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn sizes(
    reads: &impl Reads,
    payers: &[SubscriptionId],
    month: Month,
) -> Result<Vec<(SubscriptionId, i64)>, StoreError> {
    let mut sheet = Sheet::new(PAYERS);
    for payer in payers {
        sheet.push([payer.uuid().into()]);
    }
    let backend = reads.backend();
    let mut values: Vec<Value> = sheet.into_values(backend);
    values.push(month.to_string().into());
    let sql = format!(
        "SELECT d.payer, (SELECT COUNT(*) FROM charges c WHERE c.subscription_id = d.payer AND c.bill = d.month) AS size \
         FROM (SELECT DISTINCT r.payer, u.month FROM {} JOIN unbilled u ON u.subscription_id = r.payer \
         WHERE u.month <= $2) d",
        source(backend, PAYERS, 1)
    );
    let rows = reads.rows(&sql, values).await?;
    rows.iter().map(|row| Ok((row.id("payer")?, row.int("size")?))).collect()
}
