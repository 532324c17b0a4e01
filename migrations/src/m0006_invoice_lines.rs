//! Lines of issued invoices are kept as they were on the day: names, order, shares of the tax.
//!
//! What was issued before gets its lines by the names of today, since those of the day are not known any more. The shares
//! are worked out here and not by the program's own function: a step does the same for good, whatever becomes of that.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::prelude::Uuid;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend, QueryResult, Statement, Value};
use std::collections::BTreeMap;

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, TABLE, &[]).await?;
        let connection = manager.get_connection();
        let backend = manager.get_database_backend();
        let mut last = Uuid::nil();
        loop {
            let sql = "SELECT id, subscription_id, bill FROM invoices WHERE id > $1 ORDER BY id LIMIT 100";
            let page = connection.query_all_raw(Statement::from_sql_and_values(backend, sql, [last.into()])).await?;
            let Some(end) = page.last() else { return Ok(()) };
            last = end.try_get("", "id")?;
            for invoice in &page {
                let (id, payer): (Uuid, Uuid) = (invoice.try_get("", "id")?, invoice.try_get("", "subscription_id")?);
                let bill: String = invoice.try_get("", "bill")?;
                let lines = lines(connection, backend, payer, bill).await?;
                write(connection, backend, id, &lines).await?;
            }
        }
    }
}

const TABLE: &[&str] = &["CREATE TABLE invoice_lines (
        invoice_id UUID NOT NULL,
        place BIGINT NOT NULL,
        charge_id UUID NOT NULL,
        slug TEXT NOT NULL,
        name TEXT NOT NULL,
        offer_name TEXT NOT NULL,
        tax BIGINT NOT NULL,
        organization_net BIGINT NOT NULL,
        PRIMARY KEY (invoice_id, place))"];

/// Rows of one statement; eight parameters each.
const ROWS: usize = 500;

struct Line {
    organization: Uuid,
    offer: String,
    month: String,
    renewal: bool,
    charge: Uuid,
    slug: String,
    name: String,
    offer_name: String,
    rate: String,
    amount: i64,
    tax: i64,
    net: i64,
}

/// The lines of a bill in its order, with their shares.
async fn lines(
    connection: &SchemaManagerConnection<'_>,
    backend: DatabaseBackend,
    payer: Uuid,
    bill: String,
) -> Result<Vec<Line>, DbErr> {
    let definition = if backend == DatabaseBackend::Postgres { "CAST(f.definition AS json)" } else { "f.definition" };
    let sql = format!(
        "SELECT c.id, c.purchase_id, c.organization_id, c.amount, c.month, c.tax_rate, o.slug, o.name, \
         f.slug AS offer, {definition}->>'name' AS offer_name FROM charges c \
         JOIN organizations o ON o.id = c.organization_id JOIN offers f ON f.id = c.offer_id \
         WHERE c.subscription_id = $1 AND c.bill = $2"
    );
    let statement = Statement::from_sql_and_values(backend, sql, [payer.into(), bill.into()]);
    let mut lines = connection.query_all_raw(statement).await?.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    lines.sort_by(|one, other| order(one).cmp(&order(other)));
    let mut nets: BTreeMap<Uuid, i64> = BTreeMap::new();
    for line in &lines {
        let net = nets.entry(line.organization).or_insert(0);
        *net = net.checked_add(line.amount).ok_or_else(|| DbErr::Custom("an invoice of too much".into()))?;
    }
    for line in &mut lines {
        line.net = nets.get(&line.organization).copied().unwrap_or(0);
    }
    share(&mut lines);
    Ok(lines)
}

fn line(row: &QueryResult) -> Result<Line, DbErr> {
    let purchase: Uuid = row.try_get("", "purchase_id")?;
    Ok(Line {
        organization: row.try_get("", "organization_id")?,
        offer: row.try_get("", "offer")?,
        month: row.try_get("", "month")?,
        renewal: purchase.is_nil(),
        charge: row.try_get("", "id")?,
        slug: row.try_get("", "slug")?,
        name: row.try_get("", "name")?,
        offer_name: row.try_get("", "offer_name")?,
        rate: row.try_get("", "tax_rate")?,
        amount: row.try_get("", "amount")?,
        tax: 0,
        net: 0,
    })
}

fn order(line: &Line) -> (&str, Uuid, &str, &str, bool, Uuid) {
    (&line.name, line.organization, &line.offer, &line.month, line.renewal, line.charge)
}

/// Tax is rounded once on the sum of a rate, half away from zero, and shared by largest remainder, the earlier of equals
/// first. Amounts are above zero.
fn share(lines: &mut [Line]) {
    let mut sums: BTreeMap<String, i128> = BTreeMap::new();
    for line in &*lines {
        *sums.entry(line.rate.clone()).or_insert(0) += i128::from(line.amount);
    }
    for (rate, net) in sums {
        let (percent, scale) = decimal(&rate);
        let whole = 100 * scale;
        let tax = (2 * net * percent + whole) / (2 * whole);
        let mut left = tax;
        let mut remainders = Vec::new();
        for (at, line) in lines.iter_mut().enumerate().filter(|(_, line)| line.rate == rate) {
            let product = tax * i128::from(line.amount);
            line.tax = <i64 as TryFrom<i128>>::try_from(product / net).unwrap_or(i64::MAX);
            left -= product / net;
            remainders.push((std::cmp::Reverse(product % net), at));
        }
        remainders.sort_unstable();
        for (_, at) in remainders.into_iter().take(usize::try_from(left).unwrap_or(0)) {
            if let Some(line) = lines.get_mut(at) {
                line.tax += 1;
            }
        }
    }
}

/// A rate as digits and what they are parts of: `7.25` is 725 of 100; none is 0 of 1.
fn decimal(rate: &str) -> (i128, i128) {
    let (whole, part) = rate.split_once('.').unwrap_or((rate, ""));
    let digits = format!("{whole}{part}").parse().unwrap_or(0);
    (digits, part.chars().fold(1, |scale, _| scale * 10))
}

async fn write(
    connection: &SchemaManagerConnection<'_>,
    backend: DatabaseBackend,
    invoice: Uuid,
    lines: &[Line],
) -> Result<(), DbErr> {
    let mut place = 0_i64;
    for some in lines.chunks(ROWS) {
        let mut sql = "INSERT INTO invoice_lines (invoice_id, place, charge_id, slug, name, offer_name, tax, \
             organization_net) VALUES "
            .to_owned();
        let mut values: Vec<Value> = Vec::with_capacity(some.len() * 8);
        for line in some {
            place += 1;
            let first = values.len() + 1;
            let comma = if first == 1 { "" } else { ", " };
            let cells = (first..first + 8).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ");
            let _ = write!(sql, "{comma}({cells})");
            values.extend([
                invoice.into(),
                place.into(),
                line.charge.into(),
                line.slug.as_str().into(),
                line.name.as_str().into(),
                line.offer_name.as_str().into(),
                line.tax.into(),
                Value::from(line.net),
            ]);
        }
        connection.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    }
    Ok(())
}
