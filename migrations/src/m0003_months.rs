//! The month's turn: what is due is found by its month, and a month is charged once.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, &["CREATE INDEX entitlements_by_month ON entitlements (month, organization_id)"], &[])
            .await?;
        // A charge without purchase is the full month of what was renewed: one an organization, offer and month.
        let none = match manager.get_database_backend() {
            DatabaseBackend::Sqlite => "X'00000000000000000000000000000000'",
            _ => "'00000000-0000-0000-0000-000000000000'",
        };
        let once = format!(
            "CREATE UNIQUE INDEX charges_renewals ON charges (organization_id, offer_id, month) WHERE purchase_id = {none}"
        );
        manager.get_connection().execute_unprepared(&once).await?;
        Ok(())
    }
}
