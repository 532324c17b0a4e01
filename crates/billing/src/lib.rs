//! Who pays: subscriptions and whether they can pay, billing set-up, taxes, and the ledger's postings.
//!
//! Pure: nothing here reads a database or a clock.

pub mod invoice;
pub mod ledger;
pub mod new_subscription;
pub mod payer;
pub mod reason;
pub mod tax;

pub use ledger::{Posting, postings_of_charge};
pub use new_subscription::{NewSubscription, Payment, PaymentMethods, Profile};
pub use payer::{Need, Payer, PaymentMethod, SubscriptionKind, SubscriptionStatus};
pub use reason::{Reason, ReasonCode};
pub use tax::{TaxRate, TaxRates, Totals};
