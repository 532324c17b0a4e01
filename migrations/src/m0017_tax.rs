//! VAT numbers that were confirmed, and by what.

use sea_orm_migration::prelude::*;

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, TABLES, &[]).await
    }
}

const TABLES: &[&str] = &[
    // Whether the payer has a row in `tax_confirmations`; on a row that every purchase reads anyway.
    "ALTER TABLE subscriptions ADD COLUMN tax_confirmed BOOLEAN NOT NULL DEFAULT FALSE",
    // `tax_id` and `evidence` (a reference, such as the consultation number of VIES) are personal where the payer is a person.
    "CREATE TABLE tax_confirmations (
        subscription_id UUID NOT NULL PRIMARY KEY,
        tax_id TEXT NOT NULL,
        country TEXT NOT NULL,
        confirmed_by TEXT NOT NULL,
        confirmed_at BIGINT NOT NULL,
        evidence TEXT NOT NULL)",
];
