//! Credit notes, what was paid back, and credits without an invoice.
//!
//! Of an invoice `credited` is what its credit notes come to, and `reduced` what of it they took off what was open. Of a
//! payment `refunded` is what was paid back of it, or a provider was asked to.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend};

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, TABLES, &[]).await?;
        // Nil where it came of no credit note.
        let (kind, nil) = match manager.get_database_backend() {
            DatabaseBackend::Sqlite => ("BLOB", "X'00000000000000000000000000000000'"),
            _ => ("UUID", "'00000000-0000-0000-0000-000000000000'"),
        };
        let column = format!("ALTER TABLE allocations ADD COLUMN credit_note_id {kind} NOT NULL DEFAULT {nil}");
        manager.get_connection().execute_unprepared(&column).await?;
        Ok(())
    }
}

const TABLES: &[&str] = &[
    "ALTER TABLE invoices ADD COLUMN credited BIGINT NOT NULL DEFAULT 0 CHECK (credited = 0 OR credited BETWEEN 1 AND total)",
    "ALTER TABLE invoices ADD COLUMN reduced BIGINT NOT NULL DEFAULT 0 CHECK (reduced BETWEEN 0 AND credited)",
    "ALTER TABLE payments ADD COLUMN refunded BIGINT NOT NULL DEFAULT 0 CHECK (refunded BETWEEN 0 AND amount)",
    // `reduced` is what it took off what was open; the rest became credit. `taxes` and `document` are as an invoice's.
    "CREATE TABLE credit_notes (
        id UUID NOT NULL PRIMARY KEY,
        invoice_id UUID NOT NULL,
        subscription_id UUID NOT NULL,
        number TEXT NOT NULL UNIQUE,
        issued_on TEXT NOT NULL,
        currency TEXT NOT NULL,
        net BIGINT NOT NULL,
        tax BIGINT NOT NULL,
        total BIGINT NOT NULL CHECK (total > 0 AND total = net + tax),
        reduced BIGINT NOT NULL CHECK (reduced BETWEEN 0 AND total),
        taxes TEXT NOT NULL,
        document TEXT NOT NULL,
        reason TEXT NOT NULL,
        at BIGINT NOT NULL)",
    "CREATE INDEX credit_notes_by_invoice ON credit_notes (invoice_id, id)",
    // `charge_id` names the invoice's line; `earlier` is what was credited of it before.
    "CREATE TABLE credit_note_lines (
        credit_note_id UUID NOT NULL,
        place BIGINT NOT NULL,
        charge_id UUID NOT NULL,
        net BIGINT NOT NULL CHECK (net <> 0),
        tax BIGINT NOT NULL,
        earlier BIGINT NOT NULL,
        PRIMARY KEY (credit_note_id, place))",
    // What was credited of a line before is one instant of it: two at once cannot both have it.
    "CREATE UNIQUE INDEX credit_note_lines_by_charge ON credit_note_lines (charge_id, earlier)",
    // `credit_note_id` says why; `reference` is the transfer's at the bank, or the refund's at the provider.
    "CREATE TABLE refunds (
        id UUID NOT NULL PRIMARY KEY,
        payment_id UUID NOT NULL,
        credit_note_id UUID NOT NULL,
        subscription_id UUID NOT NULL,
        provider TEXT NOT NULL CHECK (provider IN ('transfer', 'simulated', 'stripe')),
        state TEXT NOT NULL CHECK (state IN ('asked', 'refunded', 'declined')),
        reference TEXT NOT NULL,
        reason TEXT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount > 0),
        currency TEXT NOT NULL,
        asked_at BIGINT NOT NULL,
        settled_at BIGINT NOT NULL)",
    "CREATE INDEX refunds_by_payment ON refunds (payment_id, id)",
    "CREATE INDEX refunds_by_credit_note ON refunds (credit_note_id, id)",
    "CREATE INDEX refunds_asked ON refunds (id) WHERE state = 'asked'",
    // What operators granted without an invoice.
    "CREATE TABLE credits (
        id UUID NOT NULL PRIMARY KEY,
        subscription_id UUID NOT NULL,
        amount BIGINT NOT NULL CHECK (amount > 0),
        currency TEXT NOT NULL,
        reason TEXT NOT NULL,
        at BIGINT NOT NULL)",
    "CREATE INDEX credits_by_payer ON credits (subscription_id, id)",
    // What the simulated provider remembers of what it was asked to pay back.
    "CREATE TABLE simulated_refunds (
        refund_id UUID NOT NULL PRIMARY KEY,
        payment_id UUID NOT NULL,
        amount BIGINT NOT NULL,
        currency TEXT NOT NULL,
        paid BOOLEAN NOT NULL,
        reason TEXT NOT NULL)",
];
