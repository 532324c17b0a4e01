//! The real program, from outside: HTTP, command line and database, on SQLite and on PostgreSQL. Tests name the rules
//! (`R-n`) that they show.

mod backups;
mod bad_input;
mod browser;
mod buyer;
mod catalogue;
mod directory;
mod documents;
mod faults;
mod invoices;
mod issued;
mod journeys;
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
mod rights;
mod search;
mod simulate;
mod stripe;
mod usage;
mod verify;
mod walk;
