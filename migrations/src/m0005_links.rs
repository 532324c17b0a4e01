//! A payer's organizations are listed in their order, a page of them without reading the others.

use sea_orm_migration::prelude::*;

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, INDEXES, &[]).await
    }
}

const INDEXES: &[&str] = &[
    "DROP INDEX links_by_subscription",
    "CREATE INDEX links_by_subscription ON links (subscription_id, organization_id) WHERE ended_at IS NULL",
];
