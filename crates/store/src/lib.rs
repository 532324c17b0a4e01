//! The only room that knows SQL: connections, transactions with retry, the till's statements, the audit trail.
//!
//! Rows come out as plain structs in the kernel's types; what a row means is decided in `billing` and `marketplace`.

pub mod audit;
pub mod catalogue;
pub mod checkouts;
pub mod coming;
pub mod credit_notes;
pub mod db;
pub mod entitlements;
pub mod idempotency;
pub mod invoices;
pub mod leases;
pub mod lines;
pub mod mails;
pub mod months;
pub mod organizations;
pub mod payer_usage;
pub mod payments;
pub mod people;
pub mod portable;
pub mod proof;
pub mod purchases;
pub mod refunds;
pub mod row;
mod search;
pub mod sessions;
pub mod settings;
pub mod sheet;
pub mod subscriptions;
pub mod till;
pub mod usage;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod plans;

pub use audit::{Actor, NewEvent};
pub use db::{AsStore, Db, DbOptions, Reads, StoreError, Tx};
