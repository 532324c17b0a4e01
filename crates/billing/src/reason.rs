//! Why a subscription cannot pay, each with what to do about it.

use kernel::{Permission, granting_roles};
use serde::{Serialize, Serializer};

kernel::string_enum! {
    /// The codes that clients branch on.
    pub enum ReasonCode {
        /// The caller has no purchasing role on it.
        NotPermitted = "not_permitted",
        /// A free trial never pays.
        FreeTrial = "free_trial",
        /// Its kind never pays.
        UnsupportedKind = "unsupported_kind",
        /// Its spending limit is on.
        SpendingLimitOn = "spending_limit_on",
        /// A payment is overdue.
        PastDue = "past_due",
        /// It was disabled or deleted.
        Disabled = "disabled",
        /// The offer takes a card only.
        CardRequired = "card_required",
        /// The offer has no price in its currency.
        CurrencyMismatch = "currency_mismatch",
        /// It would take a month over a budget.
        BudgetExceeded = "budget_exceeded",
        /// The offer is not sold where the payer is.
        CountryNotServed = "country_not_served",
        /// Its agreement does not allow partner offers.
        MarketplaceDisabled = "marketplace_disabled",
        /// No subscription pays for the organization yet.
        BillingSetupRequired = "billing_setup_required",
        /// Another purchase of the offer waits for its payment.
        PurchaseInProgress = "purchase_in_progress",
    }
}

impl ReasonCode {
    const fn message(self) -> &'static str {
        match self {
            Self::NotPermitted => "You may not put charges on this subscription.",
            Self::FreeTrial => "A free trial subscription cannot pay.",
            Self::UnsupportedKind => "Subscriptions of this kind cannot pay here.",
            Self::SpendingLimitOn => "The spending limit of this subscription is on.",
            Self::PastDue => "A payment of this subscription is overdue.",
            Self::Disabled => "This subscription is disabled.",
            Self::CardRequired => "This offer can be paid by card only.",
            Self::CurrencyMismatch => "This offer has no price in the subscription's currency.",
            Self::BudgetExceeded => "This would take a month over its budget.",
            Self::CountryNotServed => "This offer is not sold in the subscription's country.",
            Self::MarketplaceDisabled => "The agreement of this subscription does not allow partner offers.",
            Self::BillingSetupRequired => "No subscription pays for this organization yet.",
            Self::PurchaseInProgress => "Another purchase of this organization waits for its payment.",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::NotPermitted => {
                "Ask an owner of the subscription for the role owner, contributor or billing manager."
            }
            Self::FreeTrial => "Choose another subscription or create a pay-as-you-go one.",
            Self::UnsupportedKind => "Choose another subscription or create a new one.",
            Self::SpendingLimitOn => "Turn the spending limit off for good, or choose another subscription.",
            Self::PastDue => "Pay what is open or replace the card, or choose another subscription.",
            Self::Disabled => "Have the subscription enabled again, or choose another one.",
            Self::CardRequired => "Add a card to the subscription, or choose one that pays by card.",
            Self::CurrencyMismatch => "Choose a subscription in a currency that the offer is priced in.",
            Self::BudgetExceeded => "Buy less, or ask an owner of the subscription to raise the budget.",
            Self::CountryNotServed => "Choose a subscription in a country where the offer is sold.",
            Self::MarketplaceDisabled => "Have the agreement's administrator allow the marketplace, or pay by card.",
            Self::BillingSetupRequired => {
                "Choose a subscription or create one in the same request, with the member billing."
            }
            Self::PurchaseInProgress => "Wait until it is paid or declined, and look again.",
        }
    }
}

/// A code, the sentence for people, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What clients branch on.
    pub code: ReasonCode,
    /// The permission that is missing, where that is the reason and it is not one on a subscription of choice.
    pub permission: Option<Permission>,
}

impl From<ReasonCode> for Reason {
    fn from(code: ReasonCode) -> Self {
        Self { code, permission: None }
    }
}

impl Reason {
    /// The caller lacks a permission.
    #[must_use]
    pub fn missing(permission: Permission) -> Self {
        Self { code: ReasonCode::NotPermitted, permission: Some(permission) }
    }

    /// The sentence for people.
    #[must_use]
    pub fn message(&self) -> String {
        self.permission.map_or_else(|| self.code.message().to_owned(), |p| format!("You may not {}.", p.what()))
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        self.permission.map_or_else(
            || self.code.remedy().to_owned(),
            |p| {
                let roles: Vec<String> = granting_roles(p).map(|role| role.as_str().replace(['.', '_'], " ")).collect();
                format!("Ask someone with the role {}.", roles.join(" or "))
            },
        )
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut out = serializer.serialize_struct("Reason", 3)?;
        out.serialize_field("code", self.code.as_str())?;
        out.serialize_field("message", &self.message())?;
        out.serialize_field("remedy", &self.remedy())?;
        out.end()
    }
}
