//! Purchases that are paid when they are made: what is pending until the provider has answered, which offers it
//! holds meanwhile, and the payment that it waits for.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let none = match manager.get_database_backend() {
            DatabaseBackend::Sqlite => "X'00000000000000000000000000000000'",
            _ => "'00000000-0000-0000-0000-000000000000'",
        };
        let payments = [
            format!("ALTER TABLE payments ADD COLUMN purchase_id UUID NOT NULL DEFAULT {none}"),
            "DROP INDEX payments_asked".to_owned(),
            "DROP INDEX payments_attempts".to_owned(),
            // For what it owes a card is asked once at a time, and once a try; for a purchase, once.
            format!(
                "CREATE UNIQUE INDEX payments_asked ON payments (subscription_id)
                    WHERE state = 'asked' AND purchase_id = {none}"
            ),
            format!(
                "CREATE UNIQUE INDEX payments_attempts ON payments (invoice_id, attempt)
                    WHERE provider <> 'transfer' AND purchase_id = {none}"
            ),
            format!("CREATE UNIQUE INDEX payments_of_purchases ON payments (purchase_id) WHERE purchase_id <> {none}"),
            "CREATE INDEX payments_unsettled ON payments (id) WHERE state = 'asked'".to_owned(),
        ];
        let payments: Vec<&str> = payments.iter().map(String::as_str).collect();
        crate::run(manager, &payments, &[]).await?;
        crate::run(manager, TABLES, &[]).await
    }
}

const TABLES: &[&str] = &[
    // `plan` is what the purchase does once it is paid, JSON; empty when nothing of it is needed any more. `answer` is
    // what is shown of a released one. `settled_at` is 0 while it is pending.
    "CREATE TABLE collections (
        purchase_id UUID NOT NULL PRIMARY KEY,
        organization_id UUID NOT NULL,
        subscription_id UUID NOT NULL,
        payment_id UUID NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('pending', 'completed', 'released')),
        reason TEXT NOT NULL,
        plan TEXT NOT NULL,
        answer TEXT NOT NULL,
        at BIGINT NOT NULL,
        settled_at BIGINT NOT NULL)",
    // An offer of an organization is held by one pending purchase at a time. `amount` and `renewal`, minor units before
    // tax, are what it would add to this month and to the next ones: budgets count them. `links` where it sets up billing.
    "CREATE TABLE held_offers (
        organization_id UUID NOT NULL,
        offer_id UUID NOT NULL,
        purchase_id UUID NOT NULL,
        subscription_id UUID NOT NULL,
        links BOOLEAN NOT NULL,
        month TEXT NOT NULL,
        amount BIGINT NOT NULL,
        renewal BIGINT NOT NULL,
        PRIMARY KEY (organization_id, offer_id))",
    "CREATE INDEX held_offers_by_purchase ON held_offers (purchase_id)",
    "CREATE INDEX held_offers_by_payer ON held_offers (subscription_id)",
];
