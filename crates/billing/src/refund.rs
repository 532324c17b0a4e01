//! What a refund is. Pure.

use crate::ledger;
use crate::payment::Provider;
use kernel::{Money, PaymentId, RefundId, SubscriptionId, Timestamp};
use store::payments::Posting;

kernel::string_enum! {
    /// How a refund stands.
    pub enum RefundState {
        /// The provider was or will be asked; what came of it is not known.
        Asked = "asked",
        /// The money was paid back.
        Refunded = "refunded",
        /// The provider refused; it is the payer's credit again.
        Declined = "declined",
    }
}

/// What a provider is asked to pay back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundDemand {
    /// The refund: the key under which the provider pays it once.
    pub refund: RefundId,
    /// Of which payment.
    pub payment: PaymentId,
    /// Who paid.
    pub subscription: SubscriptionId,
    /// The provider's token of the card that paid.
    pub token: String,
    /// The payment at the provider.
    pub reference: String,
    /// How much.
    pub amount: Money,
    /// When the demand was recorded.
    pub asked_at: Timestamp,
}

/// The posting of a refund: Dr credit, Cr cash of the provider.
#[must_use]
pub fn postings(payer: SubscriptionId, provider: Provider, amount: i64) -> Vec<Posting> {
    vec![(0, ledger::credit(payer), ledger::cash(provider), amount)]
}

/// The posting of a credit that was granted: Dr goodwill, Cr credit.
#[must_use]
pub fn postings_of_grant(payer: SubscriptionId, amount: i64) -> Vec<Posting> {
    vec![(0, ledger::GOODWILL.to_owned(), ledger::credit(payer), amount)]
}
