//! Tables of the pages: sessions of people, and checkouts under way. Nothing here is a fact of the books: a session ends,
//! a checkout is forgotten, and what was bought stands in `purchases`.

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
    // `hash` is the SHA-256 of what the cookie holds, so that whoever reads the table cannot be anybody. Instants are
    // real time, whatever the test clock says.
    "CREATE TABLE sessions (
        hash BYTEA NOT NULL PRIMARY KEY,
        user_id UUID NOT NULL REFERENCES users(id),
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL)",
    "CREATE INDEX sessions_by_user ON sessions (user_id)",
    "CREATE INDEX sessions_by_end ON sessions (expires_at)",
    // `user_id` is nil until a person takes a hosted checkout up. `draft` is JSON, and may be personal.
    "CREATE TABLE checkouts (
        id UUID NOT NULL PRIMARY KEY,
        user_id UUID NOT NULL,
        draft TEXT NOT NULL,
        success_url TEXT NOT NULL,
        cancel_url TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL)",
    "CREATE INDEX checkouts_by_end ON checkouts (expires_at)",
    // What is coming on a payer's bill is shown organization by organization.
    "DROP INDEX charges_by_payer",
    "CREATE INDEX charges_by_payer ON charges (subscription_id, organization_id)",
];
