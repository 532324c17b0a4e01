//! Tables of the first purchase: people, payers, catalogue, what was bought, the books and the audit trail.
//!
//! Units: instants are microseconds since 1970 UTC, days and months `YYYY-MM-DD` (a month by its first day), money the
//! currency's minor units, JSON is text so that an answer is given again to the byte.

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
    "CREATE TABLE settings (
        key TEXT NOT NULL PRIMARY KEY,
        value TEXT NOT NULL)",
    "CREATE TABLE leases (
        name TEXT NOT NULL PRIMARY KEY,
        holder UUID NOT NULL,
        token BIGINT NOT NULL,
        until BIGINT NOT NULL)",
    // --- people and tenants
    "CREATE TABLE users (
        id UUID NOT NULL PRIMARY KEY,
        email TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        operator BOOLEAN NOT NULL,
        created_at BIGINT NOT NULL)",
    "CREATE TABLE service_keys (
        id UUID NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        hash BYTEA NOT NULL UNIQUE,
        created_at BIGINT NOT NULL)",
    "CREATE TABLE organizations (
        id UUID NOT NULL PRIMARY KEY,
        slug TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        country TEXT NOT NULL,
        created_at BIGINT NOT NULL)",
    "CREATE TABLE members (
        organization_id UUID NOT NULL REFERENCES organizations(id),
        user_id UUID NOT NULL REFERENCES users(id),
        role TEXT NOT NULL CHECK (role IN ('owner', 'administrator', 'member')),
        access TEXT NOT NULL CHECK (access IN ('basic', 'stakeholder')),
        PRIMARY KEY (organization_id, user_id))",
    "CREATE INDEX members_by_user ON members (user_id)",
    // --- payers
    "CREATE TABLE subscriptions (
        id UUID NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        status TEXT NOT NULL,
        country TEXT NOT NULL,
        currency TEXT NOT NULL,
        payment_method TEXT NOT NULL,
        payment_token TEXT NOT NULL,
        spending_limit BOOLEAN NOT NULL,
        marketplace_enabled BOOLEAN NOT NULL,
        profile TEXT NOT NULL,
        seed_key TEXT NOT NULL,
        created_by TEXT NOT NULL,
        created_at BIGINT NOT NULL)",
    "CREATE UNIQUE INDEX subscriptions_by_seed_key ON subscriptions (seed_key) WHERE seed_key <> ''",
    "CREATE TABLE subscription_roles (
        subscription_id UUID NOT NULL,
        user_id UUID NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('owner', 'contributor', 'billing_manager', 'reader')),
        PRIMARY KEY (subscription_id, user_id))",
    "CREATE INDEX subscription_roles_by_user ON subscription_roles (user_id)",
    // History is kept: a link that ended stays. At most one live link an organization.
    "CREATE TABLE links (
        id UUID NOT NULL PRIMARY KEY,
        organization_id UUID NOT NULL,
        subscription_id UUID NOT NULL,
        linked_by TEXT NOT NULL,
        linked_at BIGINT NOT NULL,
        ended_at BIGINT)",
    "CREATE UNIQUE INDEX links_live ON links (organization_id) WHERE ended_at IS NULL",
    "CREATE INDEX links_by_subscription ON links (subscription_id) WHERE ended_at IS NULL",
    // --- catalogue
    "CREATE TABLE publishers (
        slug TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        share TEXT NOT NULL)",
    "CREATE TABLE offers (
        id UUID NOT NULL PRIMARY KEY,
        slug TEXT NOT NULL UNIQUE,
        publisher TEXT NOT NULL REFERENCES publishers(slug),
        definition TEXT NOT NULL)",
    "CREATE TABLE prices (
        id UUID NOT NULL PRIMARY KEY,
        offer_id UUID NOT NULL REFERENCES offers(id),
        currency TEXT NOT NULL,
        version BIGINT NOT NULL,
        valid_from TEXT NOT NULL,
        spec TEXT NOT NULL,
        published_at BIGINT NOT NULL,
        UNIQUE (offer_id, currency, version))",
    // --- what was bought
    "CREATE TABLE entitlements (
        organization_id UUID NOT NULL,
        offer_id UUID NOT NULL,
        committed BIGINT NOT NULL CHECK (committed >= 0),
        next BIGINT NOT NULL CHECK (next >= 0),
        month TEXT NOT NULL,
        accrued TEXT NOT NULL,
        charged BIGINT NOT NULL CHECK (charged >= 0),
        installed BOOLEAN NOT NULL,
        metered BOOLEAN NOT NULL,
        cap BIGINT NOT NULL,
        version BIGINT NOT NULL,
        changed_at BIGINT NOT NULL,
        PRIMARY KEY (organization_id, offer_id))",
    "CREATE TABLE purchases (
        id UUID NOT NULL PRIMARY KEY,
        organization_id UUID NOT NULL,
        subscription_id UUID NOT NULL,
        actor_id UUID NOT NULL,
        key TEXT NOT NULL,
        request_hash BYTEA NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('completed', 'pending', 'undone')),
        answer TEXT NOT NULL,
        at BIGINT NOT NULL)",
    "CREATE UNIQUE INDEX purchases_by_key ON purchases (actor_id, key)",
    "CREATE INDEX purchases_by_organization ON purchases (organization_id, id)",
    // Stored answers of every other POST.
    "CREATE TABLE idempotency (
        caller TEXT NOT NULL,
        route TEXT NOT NULL,
        key TEXT NOT NULL,
        request_hash BYTEA NOT NULL,
        status BIGINT NOT NULL,
        answer TEXT NOT NULL,
        at BIGINT NOT NULL,
        PRIMARY KEY (caller, route, key))",
    // --- the books
    "CREATE TABLE charges (
        id UUID NOT NULL PRIMARY KEY,
        purchase_id UUID NOT NULL,
        subscription_id UUID NOT NULL,
        organization_id UUID NOT NULL,
        offer_id UUID NOT NULL,
        amount BIGINT NOT NULL CHECK (amount > 0),
        currency TEXT NOT NULL,
        month TEXT NOT NULL,
        tax_rate TEXT NOT NULL,
        basis TEXT NOT NULL,
        at BIGINT NOT NULL)",
    "CREATE INDEX charges_by_payer ON charges (subscription_id, month)",
    // One row a posting, debit and credit in it, so that it balances by construction; unique by its fact.
    "CREATE TABLE transfers (
        fact UUID NOT NULL,
        leg BIGINT NOT NULL,
        debit TEXT NOT NULL,
        credit TEXT NOT NULL,
        amount BIGINT NOT NULL CHECK (amount > 0),
        currency TEXT NOT NULL,
        at BIGINT NOT NULL,
        PRIMARY KEY (fact, leg),
        CHECK (debit <> credit))",
    "CREATE TABLE unbilled (
        subscription_id UUID NOT NULL,
        month TEXT NOT NULL,
        tax_rate TEXT NOT NULL,
        amount BIGINT NOT NULL,
        PRIMARY KEY (subscription_id, month, tax_rate))",
    // --- audit trail and outbox, the same rows
    // `origin` is the process whose till wrote it, which need not read it back; nil for all else.
    // `seq` is taken while the organizations are held, so that an organization's blocks are in its order.
    "CREATE TABLE blocks (
        seq BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
        id UUID NOT NULL UNIQUE,
        origin UUID NOT NULL,
        at BIGINT NOT NULL,
        events BIGINT NOT NULL,
        hash BYTEA NOT NULL,
        number BIGINT,
        chain BYTEA)",
    "CREATE UNIQUE INDEX blocks_by_number ON blocks (number) WHERE number IS NOT NULL",
    "CREATE INDEX blocks_unchained ON blocks (seq) WHERE number IS NULL",
    "CREATE TABLE checkpoints (
        number BIGINT NOT NULL PRIMARY KEY,
        chain BYTEA NOT NULL,
        at BIGINT NOT NULL,
        signature BYTEA NOT NULL)",
    "CREATE TABLE events (
        id UUID NOT NULL,
        block_id UUID NOT NULL,
        place BIGINT NOT NULL,
        kind TEXT NOT NULL,
        organization_id UUID,
        actor TEXT NOT NULL,
        at BIGINT NOT NULL,
        public TEXT NOT NULL,
        private TEXT,
        salt BYTEA,
        commitment BYTEA NOT NULL,
        PRIMARY KEY (block_id, place))",
    "CREATE INDEX events_by_organization ON events (organization_id, id)",
];

const POSTGRES: &[&str] = &[
    // Counters are updated in place: room on the page keeps those updates off the indexes.
    "ALTER TABLE entitlements SET (fillfactor = 80)",
    "ALTER TABLE unbilled SET (fillfactor = 60)",
    "ALTER TABLE blocks SET (fillfactor = 80)",
    // An answer is some 1.5 KiB: keep it in its row, uncompressed, instead of compressing it on every purchase.
    "ALTER TABLE purchases ALTER COLUMN answer SET STORAGE MAIN",
    "ALTER TABLE purchases SET (toast_tuple_target = 8160)",
    "ALTER TABLE charges SET (toast_tuple_target = 8160)",
    "ALTER TABLE events SET (toast_tuple_target = 8160)",
    // The till's locks in one order and one round trip: organizations, then payers. Each statement of a function has a
    // fresh snapshot, so the second sees the links as they stand once the organizations are held.
    "CREATE FUNCTION till_lock(organizations_ uuid[], chosen_ uuid[]) RETURNS void LANGUAGE plpgsql AS $$
     BEGIN
        PERFORM id FROM organizations WHERE id = ANY(organizations_) ORDER BY id FOR NO KEY UPDATE;
        PERFORM s.id FROM (
            SELECT subscription_id AS id FROM unnest(organizations_) o (id)
                CROSS JOIN LATERAL (SELECT subscription_id FROM links
                    WHERE organization_id = o.id AND ended_at IS NULL OFFSET 0) l
            UNION SELECT unnest(chosen_) ORDER BY id) p
            CROSS JOIN LATERAL (SELECT id FROM subscriptions WHERE id = p.id FOR SHARE) s;
     END $$",
];
