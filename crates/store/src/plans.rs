//! What SQLite makes of the statements that run for every batch: none may read a whole table, whatever the planner was
//! told of tables that were small then. (`bench/run.py --only growth` sees to PostgreSQL.)

use crate::db::DbOptions;
use crate::row::Row;
use crate::{Db, StoreError, audit, coming, payer_usage, till, usage};
use migrations::{Migrator, MigratorTrait};
use sea_orm::DatabaseBackend::Sqlite;
use std::time::Duration;

async fn plan(db: &Db, statement: &str) -> Vec<String> {
    let rows = db.query(&format!("EXPLAIN QUERY PLAN {statement}"), vec![]).await.unwrap();
    rows.iter().map(|row| row.text("detail").unwrap()).collect()
}

async fn scans(db: &Db, statement: &str) -> Vec<String> {
    plan(db, statement)
        .await
        .into_iter()
        .filter(|line| line.starts_with("SCAN") && !line.starts_with("SCAN json_each"))
        .collect()
}

#[tokio::test]
async fn no_statement_of_a_batch_reads_a_whole_table() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/plans.db", folder.path().display());
    let db = Db::connect(&DbOptions { url, pool: 1, lanes: 1, patience: Duration::from_secs(5) }).await.unwrap();
    Migrator::up(db.schema_connection(), None).await.unwrap();
    for analyzed in [false, true] {
        if analyzed {
            db.write("analyze", async |tx| tx.execute("ANALYZE", vec![]).await.map(|_| ()))
                .await
                .unwrap_or_else(|e: StoreError| panic!("{e}"));
        }
        let (chain, stretch) = (audit::chain_statement(Sqlite), payer_usage::stretch_statement());
        let mut statements = vec![till::facts_statement(Sqlite), till::holdings_statement(Sqlite), &chain];
        statements.extend([payer_usage::FIRST, payer_usage::SUMS, &stretch]);
        statements.extend([usage::meters_statement(Sqlite), usage::known_statement(Sqlite)]);
        statements.extend(till::record_statement(Sqlite).split(";\n"));
        for statement in statements {
            // The payers of the batch, which a statement gathers itself.
            let mut scans = scans(&db, statement).await;
            scans.retain(|line| line != "SCAN p");
            assert!(scans.is_empty(), "analyzed: {analyzed}, {scans:?} in {statement}");
        }
        // What a payer's organizations used is found by the payer, and by no link.
        let statements = [payer_usage::FIRST, payer_usage::SUMS, &stretch, coming::ORGANIZATIONS];
        for statement in statements.into_iter().chain([till::holdings_statement(Sqlite)]) {
            let plan = plan(&db, statement).await;
            let found = plan.iter().filter(|line| line.contains("usage_months_by_payer (subscription_id=?")).count();
            assert_eq!(found, 1, "analyzed: {analyzed}, {plan:?} in {statement}");
        }
    }
}
