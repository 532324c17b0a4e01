//! What is suspended is found without reading what is not.

use sea_orm_migration::prelude::*;

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = "CREATE INDEX entitlements_suspended ON entitlements (organization_id) WHERE committed < next";
        crate::run(manager, &[index], &[]).await
    }
}
