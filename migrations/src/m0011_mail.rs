//! Mail: what is to be sent of which event to whom, and what came of it.
//!
//! Instants are real time. What is written to a person is kept until it is settled, and no longer.

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
    // `reason` is the SMTP server's code, or a word of ours where it gave none; `settled_at` 0 while it waits.
    "CREATE TABLE mails (
        event_id UUID NOT NULL,
        recipient TEXT NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        body TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'sent', 'failed')),
        tries BIGINT NOT NULL,
        reason TEXT NOT NULL,
        queued_at BIGINT NOT NULL,
        next_at BIGINT NOT NULL,
        settled_at BIGINT NOT NULL,
        PRIMARY KEY (event_id, recipient))",
    "CREATE INDEX mails_waiting ON mails (next_at) WHERE state = 'waiting'",
    // The event before which all were looked at: number of its block, and place in it.
    "CREATE TABLE mail_cursor (
        name TEXT NOT NULL PRIMARY KEY,
        number BIGINT NOT NULL,
        place BIGINT NOT NULL)",
];
