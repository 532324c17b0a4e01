//! Metered use: each usage event once for good, and what they add up to by organization, offer and month.
//!
//! Rows are written in the order of their batches; the index over their ids, which come in any order, holds little more than
//! them.

use sea_orm_migration::prelude::*;

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, TABLES, POSTGRES).await
    }
}

const TABLES: &[&str] = &[
    // `batch` is named by the event `usage.counted`, which holds the hash of its rows. `month` is the month that it was
    // counted in, by its first day: a later one than that of `at` where its own was billed already.
    "CREATE TABLE usage_events (
        batch UUID NOT NULL,
        place BIGINT NOT NULL,
        id TEXT NOT NULL,
        organization_id UUID NOT NULL,
        offer_id UUID NOT NULL,
        quantity BIGINT NOT NULL CHECK (quantity > 0),
        at BIGINT NOT NULL,
        month TEXT NOT NULL,
        PRIMARY KEY (batch, place))",
    "CREATE UNIQUE INDEX usage_events_by_id ON usage_events (id)",
    // `subscription_id` paid for the organization when it was counted, and is charged. `late` is the part of `used` that was
    // used in earlier months. `open` until the month's turn charged it.
    "CREATE TABLE usage_months (
        organization_id UUID NOT NULL,
        offer_id UUID NOT NULL,
        month TEXT NOT NULL,
        subscription_id UUID NOT NULL,
        used BIGINT NOT NULL CHECK (used > 0),
        late BIGINT NOT NULL CHECK (late BETWEEN 0 AND used),
        open BOOLEAN NOT NULL,
        PRIMARY KEY (organization_id, offer_id, month))",
    "CREATE INDEX usage_months_open ON usage_months (organization_id, month) WHERE open",
    // A payer's next bill, all at once or page by page. No column of it changes while a month is counted.
    "CREATE INDEX usage_months_by_payer ON usage_months (subscription_id, month, organization_id) WHERE open",
];

const POSTGRES: &[&str] = &["ALTER TABLE usage_months SET (fillfactor = 60)"];
