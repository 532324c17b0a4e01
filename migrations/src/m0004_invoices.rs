//! Invoices: what a payer owes of a month, numbered without gaps.
//!
//! `bill` is the month on whose first day a charge is billed: the next month for what was bought within one, the month
//! itself for what was renewed for it. It is decided when the charge is, and never before what is billed already.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, BEFORE, &[]).await?;
        let (next, none) = match manager.get_database_backend() {
            DatabaseBackend::Sqlite => ("date(month, '+1 month')", "X'00000000000000000000000000000000'"),
            _ => {
                let next = "to_char(month::date + interval '1 month', 'YYYY-MM-DD')";
                (next, "'00000000-0000-0000-0000-000000000000'")
            }
        };
        let connection = manager.get_connection();
        let bill = format!("UPDATE charges SET bill = CASE WHEN purchase_id = {none} THEN month ELSE {next} END");
        connection.execute_unprepared(&bill).await?;
        crate::run(manager, AFTER, &[]).await
    }
}

const BEFORE: &[&str] = &[
    "ALTER TABLE charges ADD COLUMN bill TEXT NOT NULL DEFAULT ''",
    // The last month that the payer was billed for, by its first day; empty for none. Later charges go on later bills.
    "ALTER TABLE subscriptions ADD COLUMN billed_through TEXT NOT NULL DEFAULT ''",
];

const AFTER: &[&str] = &[
    "DROP INDEX charges_by_payer",
    "CREATE INDEX charges_by_bill ON charges (subscription_id, bill, organization_id)",
    // What waits for its bill is kept by the bill, and no longer by the month of the service.
    "DELETE FROM unbilled",
    "INSERT INTO unbilled (subscription_id, month, tax_rate, amount)
        SELECT subscription_id, bill, tax_rate, CAST(SUM(amount) AS BIGINT) FROM charges
        GROUP BY subscription_id, bill, tax_rate",
    "CREATE INDEX unbilled_by_month ON unbilled (month, subscription_id)",
    "CREATE TABLE counters (
        name TEXT NOT NULL PRIMARY KEY,
        last BIGINT NOT NULL CHECK (last >= 0))",
    // `taxes` and `document` are JSON: sums by rate, and seller and payer as they were on the day.
    "CREATE TABLE invoices (
        id UUID NOT NULL PRIMARY KEY,
        subscription_id UUID NOT NULL,
        bill TEXT NOT NULL,
        number TEXT NOT NULL UNIQUE,
        issued_on TEXT NOT NULL,
        due_on TEXT NOT NULL,
        currency TEXT NOT NULL,
        net BIGINT NOT NULL,
        tax BIGINT NOT NULL,
        total BIGINT NOT NULL,
        paid BIGINT NOT NULL,
        taxes TEXT NOT NULL,
        document TEXT NOT NULL,
        at BIGINT NOT NULL,
        UNIQUE (subscription_id, bill))",
];
