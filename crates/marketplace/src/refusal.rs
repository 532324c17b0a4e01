//! Why a question or a command cannot be answered with what was asked; each a fact that the caller can act on.

use crate::budget::Exceeded;
use crate::order::FieldFault;
use crate::quote::QuoteView;
use billing::Reason;
use kernel::{OrganizationId, Permission, PurchaseId, SubscriptionId, Timestamp, rfc3339};

/// What a refusal is about, for naming whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Rights in an organization.
    Organization(OrganizationId),
    /// Rights on a subscription.
    Subscription(SubscriptionId),
}

/// What keeps a purchase from being undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CannotUndo {
    /// The time for it is over.
    TooLate {
        /// Until when it could be.
        until: Timestamp,
    },
    /// Another one changed the same offer after it, which is to be undone first.
    LaterPurchase {
        /// Which.
        purchase: PurchaseId,
        /// The offer's slug.
        offer: String,
    },
    /// What it left was changed by another act since: what was suspended resumed.
    Changed {
        /// The offer's slug.
        offer: String,
    },
    /// Some of what is new by it was used.
    Used {
        /// The offer's slug.
        offer: String,
    },
    /// A charge of it stands on an invoice.
    Invoiced,
    /// It was made before what undoing takes was kept.
    NotKept,
}

impl CannotUndo {
    /// What clients branch on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLate { .. } => "too_late",
            Self::LaterPurchase { .. } => "later_purchase",
            Self::Changed { .. } => "changed",
            Self::Used { .. } => "used",
            Self::Invoiced => "invoiced",
            Self::NotKept => "not_kept",
        }
    }

    /// The sentences for people: why not, and what to do instead.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::TooLate { until } => {
                format!(
                    "It could be undone until {}. Lower the quantity instead: it falls on the 1st.",
                    rfc3339(*until)
                )
            }
            Self::LaterPurchase { purchase, offer } => {
                format!("{purchase} changed {offer} after it. Undo that one first, or lower the quantity instead.")
            }
            Self::Changed { offer } => format!("{offer} resumed after it. Lower the quantity instead."),
            Self::Used { offer } => {
                format!("What is new of {offer} by it was used and is to be paid. Switch it off instead.")
            }
            Self::Invoiced => {
                "A charge of it stands on an invoice, which never changes. Lower the quantity instead.".to_owned()
            }
            Self::NotKept => "It was made before purchases could be undone. Lower the quantity instead.".to_owned(),
        }
    }
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
    /// It would take a month over a budget.
    BudgetExceeded(Exceeded),
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
    /// The purchase cannot be undone.
    CannotUndo(CannotUndo),
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
