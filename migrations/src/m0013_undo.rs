//! Undo: what a purchase found, so that it can be gone back to; which purchase of the month an entitlement was
//! changed by last; and charges below zero, which take others back.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend};

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, BOTH, POSTGRES).await?;
        let sqlite = manager.get_database_backend() == DatabaseBackend::Sqlite;
        if sqlite {
            crate::run(manager, SQLITE, &[]).await?;
        }
        let none =
            if sqlite { "X'00000000000000000000000000000000'" } else { "'00000000-0000-0000-0000-000000000000'" };
        let latest = format!("ALTER TABLE entitlements ADD COLUMN purchase_id UUID NOT NULL DEFAULT {none}");
        let connection = manager.get_connection();
        connection.execute_unprepared(&crate::dialect(manager.get_database_backend(), &latest)).await?;
        if sqlite {
            let once = format!(
                "CREATE UNIQUE INDEX charges_renewals ON charges (organization_id, offer_id, month) \
                 WHERE purchase_id = {none}"
            );
            connection.execute_unprepared(&once).await?;
        }
        Ok(())
    }
}

const BOTH: &[&str] = &[
    // Both are JSON; empty for what was bought before this step, which cannot be undone, and for what was not undone.
    "ALTER TABLE purchases ADD COLUMN found TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE purchases ADD COLUMN undone TEXT NOT NULL DEFAULT ''",
];

const POSTGRES: &[&str] = &[
    "ALTER TABLE charges DROP CONSTRAINT charges_amount_check",
    "ALTER TABLE charges ADD CONSTRAINT charges_amount_check CHECK (amount <> 0)",
];

/// SQLite keeps a table's checks with it for good: the table is made anew.
const SQLITE: &[&str] = &[
    "CREATE TABLE charges_anew (
        id UUID NOT NULL PRIMARY KEY,
        purchase_id UUID NOT NULL,
        subscription_id UUID NOT NULL,
        organization_id UUID NOT NULL,
        offer_id UUID NOT NULL,
        amount BIGINT NOT NULL CHECK (amount <> 0),
        currency TEXT NOT NULL,
        month TEXT NOT NULL,
        tax_rate TEXT NOT NULL,
        basis TEXT NOT NULL,
        at BIGINT NOT NULL,
        bill TEXT NOT NULL)",
    "INSERT INTO charges_anew (id, purchase_id, subscription_id, organization_id, offer_id, amount, currency, month,
        tax_rate, basis, at, bill)
        SELECT id, purchase_id, subscription_id, organization_id, offer_id, amount, currency, month, tax_rate, basis, at,
        bill FROM charges",
    "DROP TABLE charges",
    "ALTER TABLE charges_anew RENAME TO charges",
    "CREATE INDEX charges_by_bill ON charges (subscription_id, bill, organization_id)",
];
