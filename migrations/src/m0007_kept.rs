//! What pages would otherwise read whole tables for: which parts of names there are, how many organizations of a payer will
//! be billed for how much, and which entitlements are of a month that has passed.
//!
//! On SQLite triggers keep it, with every write whoever makes it, so that there is no second place to keep in mind. On
//! PostgreSQL sums by counters would make a payer's purchases wait for each other and cost each one, so they stay sums; names
//! of organizations get an index of trigrams where the extension is to be had.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend};

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, BOTH, &[TRIGRAMS]).await?;
        if manager.get_database_backend() != DatabaseBackend::Sqlite {
            return Ok(());
        }
        let connection = manager.get_connection();
        crate::run(manager, TABLES, &[]).await?;
        for statement in RENEWALS {
            connection.execute_unprepared(statement).await?;
        }
        for (table, text) in [("organization", "slug || char(10) || {row}name"), ("subscription", "name")] {
            for statement in grams(table, text) {
                connection.execute_unprepared(&statement).await?;
            }
        }
        Ok(())
    }
}

const BOTH: &[&str] = &[
    "DROP INDEX entitlements_by_month",
    // What is neither paid nor to be renewed has no month to come to.
    "CREATE INDEX entitlements_by_month ON entitlements (month, organization_id) WHERE (next > 0 OR committed > 0)",
];

/// The extension is trusted: whoever may create in the database may create it. Where it is not installed or not allowed,
/// searches read all names.
const TRIGRAMS: &str = "DO $$ BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
        CREATE INDEX organizations_by_name ON organizations
            USING gin (lower(name) gin_trgm_ops, slug gin_trgm_ops);
    EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR undefined_file THEN
        RAISE NOTICE 'pg_trgm is not to be had: searches read all names';
    END $$";

const TABLES: &[&str] = &[
    "CREATE TABLE renewals (
        subscription_id UUID NOT NULL,
        offer_id UUID NOT NULL,
        next BIGINT NOT NULL,
        organizations BIGINT NOT NULL,
        PRIMARY KEY (subscription_id, offer_id, next))",
    "INSERT INTO renewals SELECT l.subscription_id, e.offer_id, e.next, COUNT(*) FROM links l
        JOIN entitlements e ON e.organization_id = l.organization_id
        WHERE l.ended_at IS NULL AND e.next > 0 GROUP BY l.subscription_id, e.offer_id, e.next",
];

/// An entitlement counts for the payer of its organization's live link.
const RENEWALS: &[&str] = &[
    "CREATE TRIGGER renewals_of_new AFTER INSERT ON entitlements WHEN NEW.next > 0 BEGIN
        INSERT INTO renewals SELECT subscription_id, NEW.offer_id, NEW.next, 1 FROM links
            WHERE organization_id = NEW.organization_id AND ended_at IS NULL
            ON CONFLICT DO UPDATE SET organizations = organizations + 1;
    END",
    "CREATE TRIGGER renewals_of_changed AFTER UPDATE OF next ON entitlements WHEN NEW.next <> OLD.next BEGIN
        UPDATE renewals SET organizations = organizations - 1 WHERE offer_id = OLD.offer_id AND next = OLD.next
            AND subscription_id = (SELECT subscription_id FROM links
                WHERE organization_id = OLD.organization_id AND ended_at IS NULL);
        DELETE FROM renewals WHERE offer_id = OLD.offer_id AND next = OLD.next AND organizations = 0
            AND subscription_id = (SELECT subscription_id FROM links
                WHERE organization_id = OLD.organization_id AND ended_at IS NULL);
        INSERT INTO renewals SELECT subscription_id, NEW.offer_id, NEW.next, 1 FROM links
            WHERE organization_id = NEW.organization_id AND ended_at IS NULL AND NEW.next > 0
            ON CONFLICT DO UPDATE SET organizations = organizations + 1;
    END",
    "CREATE TRIGGER renewals_of_removed AFTER DELETE ON entitlements WHEN OLD.next > 0 BEGIN
        UPDATE renewals SET organizations = organizations - 1 WHERE offer_id = OLD.offer_id AND next = OLD.next
            AND subscription_id = (SELECT subscription_id FROM links
                WHERE organization_id = OLD.organization_id AND ended_at IS NULL);
        DELETE FROM renewals WHERE offer_id = OLD.offer_id AND next = OLD.next AND organizations = 0
            AND subscription_id = (SELECT subscription_id FROM links
                WHERE organization_id = OLD.organization_id AND ended_at IS NULL);
    END",
    "CREATE TRIGGER renewals_of_linked AFTER INSERT ON links WHEN NEW.ended_at IS NULL BEGIN
        INSERT INTO renewals SELECT NEW.subscription_id, offer_id, next, 1 FROM entitlements
            WHERE organization_id = NEW.organization_id AND next > 0
            ON CONFLICT DO UPDATE SET organizations = organizations + 1;
    END",
    "CREATE TRIGGER renewals_of_relinked AFTER UPDATE ON links BEGIN
        UPDATE renewals SET organizations = organizations - 1
            WHERE OLD.ended_at IS NULL AND subscription_id = OLD.subscription_id AND (offer_id, next) IN
                (SELECT offer_id, next FROM entitlements WHERE organization_id = OLD.organization_id AND next > 0);
        DELETE FROM renewals WHERE subscription_id = OLD.subscription_id AND organizations = 0;
        INSERT INTO renewals SELECT NEW.subscription_id, offer_id, next, 1 FROM entitlements
            WHERE organization_id = NEW.organization_id AND next > 0 AND NEW.ended_at IS NULL
            ON CONFLICT DO UPDATE SET organizations = organizations + 1;
    END",
    "CREATE TRIGGER renewals_of_unlinked AFTER DELETE ON links WHEN OLD.ended_at IS NULL BEGIN
        UPDATE renewals SET organizations = organizations - 1
            WHERE subscription_id = OLD.subscription_id AND (offer_id, next) IN
                (SELECT offer_id, next FROM entitlements WHERE organization_id = OLD.organization_id AND next > 0);
        DELETE FROM renewals WHERE subscription_id = OLD.subscription_id AND organizations = 0;
    END",
];

/// The three signs that begin at each place of a row's name (`text`), fewer at its end, each once; small letters for ASCII's
/// capital ones, as `lower` has it.
fn grams(table: &str, text: &str) -> Vec<String> {
    let (new, plain) = (text.replace("{row}", "NEW."), text.replace("{row}", ""));
    let places = |text: &str| format!("json_each('[' || replace(hex(zeroblob(length({text}))), '00', '0,') || '0]')");
    let parts = |text: &str, id: &str| {
        format!(
            "SELECT DISTINCT substr(lower({text}), key + 1, 3), {id} FROM {} WHERE key < length({text})",
            places(text)
        )
    };
    let new = format!("NEW.{new}");
    let kept = format!("{table}_grams");
    vec![
        format!(
            "CREATE TABLE {kept} (gram TEXT NOT NULL, id BLOB NOT NULL, PRIMARY KEY (gram, id)) STRICT, WITHOUT ROWID"
        ),
        format!(
            "INSERT INTO {kept} SELECT DISTINCT substr(lower({plain}), j.key + 1, 3), o.id FROM {table}s o \
             JOIN {} j WHERE j.key < length({plain})",
            places(&plain)
        ),
        format!(
            "CREATE TRIGGER {kept}_new AFTER INSERT ON {table}s BEGIN INSERT INTO {kept} {}; END",
            parts(&new, "NEW.id")
        ),
        format!(
            "CREATE TRIGGER {kept}_changed AFTER UPDATE OF name ON {table}s WHEN NEW.name <> OLD.name BEGIN \
             DELETE FROM {kept} WHERE id = OLD.id AND gram IN (SELECT gram FROM ({}) x); INSERT INTO {kept} {}; END",
            parts(&new.replace("NEW.", "OLD."), "OLD.id").replacen("3), OLD.id", "3) AS gram", 1),
            parts(&new, "NEW.id")
        ),
        format!(
            "CREATE TRIGGER {kept}_gone AFTER DELETE ON {table}s BEGIN \
             DELETE FROM {kept} WHERE id = OLD.id AND gram IN (SELECT gram FROM ({}) x); END",
            parts(&new.replace("NEW.", "OLD."), "OLD.id").replacen("3), OLD.id", "3) AS gram", 1),
        ),
    ]
}
