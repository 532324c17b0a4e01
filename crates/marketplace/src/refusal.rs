//! Why a question or a command cannot be answered with what was asked; each a fact that the caller can act on.

use crate::order::FieldFault;
use crate::quote::QuoteView;
use billing::Reason;
use kernel::{OrganizationId, Permission, PurchaseId, SubscriptionId};

/// What a refusal is about, for naming whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Rights in an organization.
    Organization(OrganizationId),
    /// Rights on a subscription.
    Subscription(SubscriptionId),
}

/// A refusal. Nothing was changed.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The token's person is not known here.
    UnknownCaller,
    /// It does not exist, or the caller may not know that it does.
    NotFound(&'static str),
    /// The caller lacks a permission.
    PermissionDenied {
        /// Which.
        missing: Permission,
        /// Where: its holders are those to ask.
        scope: Scope,
    },
    /// Nobody pays for the organization yet, and the request names nobody.
    BillingSetupRequired,
    /// Another subscription pays already.
    BillingAlreadySetUp(SubscriptionId),
    /// The subscription cannot pay for this.
    NotEligible(Vec<Reason>),
    /// The quantity is outside of what the offer allows.
    QuantityOutOfRange {
        /// The offer's slug.
        offer: String,
        /// Place of the item.
        item: usize,
        /// Least.
        minimum: i64,
        /// Most.
        maximum: i64,
    },
    /// Somebody changed the quantity since the buyer looked.
    QuantityChanged(Box<QuoteView>),
    /// What was quoted no longer holds.
    PriceChanged(Box<QuoteView>),
    /// The key was used for another request.
    KeyReused,
    /// A purchase that waits for its payment holds this.
    PurchaseInProgress(PurchaseId),
    /// The card was declined.
    PaymentDeclined {
        /// Why, in the provider's word.
        reason: String,
        /// Where the payer can authenticate it.
        url: Option<String>,
    },
    /// Fields that cannot be taken.
    Invalid(Vec<FieldFault>),
}

impl Refusal {
    /// One field that cannot be taken.
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldFault::new(pointer, detail)])
    }
}
