//! Budgets, and what is charged against each by month.
//!
//! `subscriptions.budgeted` says that a payer has any, its own or one of an organization's, so that purchases of all others
//! look no further. Of those that have their own, purchases hold its row one after the other.

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
    "ALTER TABLE subscriptions ADD COLUMN budgeted BOOLEAN NOT NULL DEFAULT FALSE",
    // `organization_id` is nil for the subscription's own. `since` is the first month that `budget_months` holds.
    "CREATE TABLE budgets (
        subscription_id UUID NOT NULL,
        organization_id UUID NOT NULL,
        amount BIGINT NOT NULL CHECK (amount >= 0),
        since TEXT NOT NULL,
        PRIMARY KEY (subscription_id, organization_id))",
    // `charged` is the sum of the charges for service in the month; `warned_at` 0 until the payer is warned in it.
    "CREATE TABLE budget_months (
        subscription_id UUID NOT NULL,
        organization_id UUID NOT NULL,
        month TEXT NOT NULL,
        charged BIGINT NOT NULL,
        warned_at BIGINT NOT NULL,
        PRIMARY KEY (subscription_id, organization_id, month))",
];

const POSTGRES: &[&str] = &[
    "ALTER TABLE budget_months SET (fillfactor = 60)",
    // As before, and after the payers, by id, the own budgets of those that have one: commands of its organizations come one
    // after the other, in whichever process. Who sets the first budget of a payer holds the payer, so nobody misses it.
    "CREATE OR REPLACE FUNCTION till_lock(organizations_ uuid[], chosen_ uuid[]) RETURNS void LANGUAGE plpgsql AS $$
     DECLARE
        budgeted_ uuid[];
     BEGIN
        PERFORM id FROM organizations WHERE id = ANY(organizations_) ORDER BY id FOR NO KEY UPDATE;
        SELECT array_agg(s.id) FILTER (WHERE s.budgeted) INTO budgeted_ FROM (
            SELECT subscription_id AS id FROM unnest(organizations_) o (id)
                CROSS JOIN LATERAL (SELECT subscription_id FROM links
                    WHERE organization_id = o.id AND ended_at IS NULL OFFSET 0) l
            UNION SELECT unnest(chosen_) ORDER BY id) p
            CROSS JOIN LATERAL (SELECT id, budgeted FROM subscriptions WHERE id = p.id FOR SHARE) s;
        IF budgeted_ IS NOT NULL THEN
            PERFORM 1 FROM budgets WHERE subscription_id = ANY(budgeted_)
                AND organization_id = '00000000-0000-0000-0000-000000000000'
                ORDER BY subscription_id FOR UPDATE;
        END IF;
     END $$",
];
