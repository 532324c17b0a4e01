//! Payments: what was asked of cards and what came in, to which invoices it went, and what is kept as credit.
//!
//! Of an invoice `step` is how many steps of dunning were taken and `next_on` the day of the next; empty where none is to
//! come.

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
    "ALTER TABLE subscriptions ADD COLUMN credit BIGINT NOT NULL DEFAULT 0 CHECK (credit >= 0)",
    "ALTER TABLE invoices ADD COLUMN step BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE invoices ADD COLUMN next_on TEXT NOT NULL DEFAULT ''",
    // What is to be done about an older invoice is worked out again on the day that it is due.
    "UPDATE invoices SET next_on = due_on WHERE paid < total",
    "CREATE INDEX invoices_by_next ON invoices (next_on, id) WHERE next_on <> ''",
    "CREATE INDEX invoices_open ON invoices (subscription_id, due_on, id) WHERE paid < total",
    // `reference` is the transfer's at the bank, or the payment's at the provider; `invoice_id` what a card was asked for,
    // nil for a transfer; `settled_at` 0 while it is asked.
    "CREATE TABLE payments (
        id UUID NOT NULL PRIMARY KEY,
        subscription_id UUID NOT NULL,
        provider TEXT NOT NULL CHECK (provider IN ('transfer', 'simulated', 'stripe')),
        state TEXT NOT NULL CHECK (state IN ('asked', 'received', 'declined')),
        token TEXT NOT NULL,
        reference TEXT NOT NULL,
        reason TEXT NOT NULL,
        url TEXT NOT NULL,
        invoice_id UUID NOT NULL,
        attempt BIGINT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount > 0),
        currency TEXT NOT NULL,
        received_on TEXT NOT NULL,
        asked_at BIGINT NOT NULL,
        settled_at BIGINT NOT NULL)",
    "CREATE INDEX payments_by_payer ON payments (subscription_id, id)",
    // A card is asked once at a time, and once a try; a transfer comes in once.
    "CREATE UNIQUE INDEX payments_asked ON payments (subscription_id) WHERE state = 'asked'",
    "CREATE UNIQUE INDEX payments_attempts ON payments (invoice_id, attempt) WHERE provider <> 'transfer'",
    "CREATE UNIQUE INDEX payments_transfers ON payments (subscription_id, reference) WHERE provider = 'transfer'",
    // `payment_id` is nil where it came from credit.
    "CREATE TABLE allocations (
        id UUID NOT NULL PRIMARY KEY,
        subscription_id UUID NOT NULL,
        invoice_id UUID NOT NULL,
        payment_id UUID NOT NULL,
        amount BIGINT NOT NULL CHECK (amount > 0),
        at BIGINT NOT NULL)",
    "CREATE INDEX allocations_by_invoice ON allocations (invoice_id)",
    "CREATE INDEX allocations_by_payment ON allocations (payment_id)",
    // What the simulated provider remembers of what it was asked, as a provider elsewhere would.
    "CREATE TABLE simulated_payments (
        payment_id UUID NOT NULL PRIMARY KEY,
        amount BIGINT NOT NULL,
        currency TEXT NOT NULL,
        taken BOOLEAN NOT NULL,
        reason TEXT NOT NULL)",
    "CREATE TABLE provider_customers (
        subscription_id UUID NOT NULL PRIMARY KEY,
        customer TEXT NOT NULL)",
];
