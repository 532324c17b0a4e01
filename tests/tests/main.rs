//! The real program, from outside: HTTP, command line and database, on SQLite and on PostgreSQL. Tests name the rules
//! (`R-n`) that they show.

mod at_purchase;
mod at_purchase_stripe;
mod backups;
mod bad_input;
mod browser;
mod budgets;
mod buyer;
mod catalogue;
mod credit_notes;
mod directory;
mod documents;
mod faults;
mod invoices;
mod issued;
mod journeys;
mod ledger;
mod mail;
mod months;
mod operations;
mod pages;
mod payers;
mod payments;
mod prices;
mod purchases;
mod quotes;
mod reading;
mod resume;
mod rights;
mod search;
mod stripe;
mod taxes;
mod undo;
mod usage;
mod verify;
mod walk;
