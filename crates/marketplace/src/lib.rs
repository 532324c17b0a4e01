//! What is bought: the catalogue, quotes, purchases, entitlements, and the till through which they change.
//!
//! Parse → decide → record: [`order`] holds what the wire said, [`decide`] and [`command`] are pure, [`record`] turns
//! what they left into rows, and [`till`] runs all three in one transaction for all that wait.

pub mod action;
pub mod bill;
pub mod book;
pub mod catalogue;
pub mod command;
pub mod credit_note;
pub mod decide;
pub mod explain;
pub mod invoicing;
pub mod lines;
pub mod metered;
pub mod order;
pub mod policy;
pub mod question;
pub mod queue;
pub mod quote;
pub mod record;
pub mod refusal;
pub mod resume;
pub mod seed;
pub mod shelf;
pub mod till;
pub mod turn;
pub mod upcoming;
pub mod usage;
pub mod verify;

pub use policy::Policy;
pub use refusal::{Refusal, Scope};
pub use shelf::Shelf;
