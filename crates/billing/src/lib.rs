//! Who pays: subscriptions and whether they can pay, billing set-up, taxes, and the ledger's postings.
//!
//! Pure but for [`collection`], [`crediting`] and [`refunding`], which are what is written of payments, credit notes and
//! refunds in one transaction each; no clock is read here.

pub mod collection;
pub mod credit_note;
pub mod crediting;
pub mod dunning;
pub mod invoice;
pub mod ledger;
pub mod new_subscription;
pub mod payer;
pub mod payment;
pub mod reason;
pub mod refund;
pub mod refunding;
pub mod tax;

pub use ledger::{Posting, postings_of_charge};
pub use new_subscription::{NewSubscription, Payment, PaymentMethods, Profile};
pub use payer::{Need, Payer, PaymentMethod, SubscriptionKind, SubscriptionStatus};
pub use reason::{Reason, ReasonCode};
pub use tax::{TaxRate, TaxRates, Totals};
