//! Who pays: subscriptions and whether they can pay, billing set-up, taxes, and the ledger's postings.
//!
//! Pure but for [`collection`], which is what is written of payments in one transaction each; no clock is read here.

pub mod collection;
pub mod dunning;
pub mod invoice;
pub mod ledger;
pub mod new_subscription;
pub mod payer;
pub mod payment;
pub mod reason;
pub mod tax;
pub mod vat;

pub use ledger::{Posting, postings_of_charge};
pub use new_subscription::{NewSubscription, Payment, PaymentMethods, Profile};
pub use payer::{Need, Payer, PaymentMethod, SubscriptionKind, SubscriptionStatus};
pub use reason::{Reason, ReasonCode};
pub use tax::{TaxRate, TaxRates, Totals};
