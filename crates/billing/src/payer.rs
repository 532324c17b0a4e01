//! A subscription as a payer, and whether it can pay for something.

use crate::reason::{Reason, ReasonCode};
use kernel::{CountryCode, Currency, Month, Permission, Role, SubscriptionId, SubscriptionRole, TextError, grants};
use store::subscriptions::SubscriptionRow;

kernel::string_enum! {
    /// Kinds of subscriptions.
    pub enum SubscriptionKind {
        /// Billed for what was bought.
        PayAsYouGo = "pay_as_you_go",
        /// Under an agreement with the company.
        EnterpriseAgreement = "enterprise_agreement",
        /// Resold by a partner.
        CloudSolutionProvider = "cloud_solution_provider",
        /// A subscriber's monthly benefit.
        SubscriberBenefit = "subscriber_benefit",
        /// For trying the platform.
        FreeTrial = "free_trial",
        /// Given, not paid.
        Sponsorship = "sponsorship",
    }
}

kernel::string_enum! {
    /// How a payer stands.
    pub enum SubscriptionStatus {
        /// Pays.
        Active = "active",
        /// A payment failed; still pays.
        Warned = "warned",
        /// A payment is overdue.
        PastDue = "past_due",
        /// Switched off.
        Disabled = "disabled",
        /// Gone.
        Deleted = "deleted",
    }
}

impl SubscriptionStatus {
    /// Whether a payer of this status is charged.
    #[must_use]
    pub const fn pays(self) -> bool {
        matches!(self, Self::Active | Self::Warned)
    }
}

kernel::string_enum! {
    /// How a payer pays.
    pub enum PaymentMethod {
        /// By transfer, on an invoice.
        Invoice = "invoice",
        /// By a card that the provider keeps.
        Card = "card",
    }
}

/// What decides whether a subscription can pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    /// Its id.
    pub id: SubscriptionId,
    /// Its kind.
    pub kind: SubscriptionKind,
    /// How it stands.
    pub status: SubscriptionStatus,
    /// Where it is.
    pub country: CountryCode,
    /// Its one currency.
    pub currency: Currency,
    /// How it pays.
    pub method: PaymentMethod,
    /// Whether the kind's spending limit is on.
    pub spending_limit: bool,
    /// Whether partner offers are allowed to it.
    pub marketplace_enabled: bool,
    /// The last month that it was billed for.
    pub billed_through: Option<Month>,
    /// Whether it has a budget, its own or one of an organization billed to it.
    pub budgeted: bool,
    /// Whether its VAT number is confirmed.
    pub tax_confirmed: bool,
}

impl TryFrom<&SubscriptionRow> for Payer {
    type Error = TextError;

    fn try_from(row: &SubscriptionRow) -> Result<Self, TextError> {
        Ok(Self {
            id: row.id,
            kind: row.kind.parse()?,
            status: row.status.parse()?,
            country: row.country,
            currency: row.currency,
            method: row.payment_method.parse()?,
            spending_limit: row.spending_limit,
            marketplace_enabled: row.marketplace_enabled,
            billed_through: row.billed_through,
            budgeted: row.budgeted,
            tax_confirmed: row.tax_confirmed,
        })
    }
}

/// What an offer asks of a payer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Need {
    /// Sold by a partner.
    pub partner: bool,
    /// Collected when bought.
    pub at_purchase: bool,
    /// It has a price, or needs none, in the payer's currency.
    pub priced: bool,
    /// It is sold in the payer's country.
    pub served: bool,
}

impl Payer {
    /// All that keeps a holder of `role` from charging something with the needs `needs` to this payer; none means that
    /// it can pay.
    #[must_use]
    pub fn reasons(&self, role: Option<SubscriptionRole>, needs: &[Need]) -> Vec<Reason> {
        let mut codes = Vec::new();
        if !role.is_some_and(|role| grants(Role::Subscription(role), Permission::SubscriptionUse)) {
            codes.push(ReasonCode::NotPermitted);
        }
        match self.kind {
            SubscriptionKind::FreeTrial => codes.push(ReasonCode::FreeTrial),
            SubscriptionKind::Sponsorship => codes.push(ReasonCode::UnsupportedKind),
            SubscriptionKind::SubscriberBenefit if self.spending_limit => codes.push(ReasonCode::SpendingLimitOn),
            _ => {}
        }
        match self.status {
            SubscriptionStatus::Active | SubscriptionStatus::Warned => {}
            SubscriptionStatus::PastDue => codes.push(ReasonCode::PastDue),
            SubscriptionStatus::Disabled | SubscriptionStatus::Deleted => codes.push(ReasonCode::Disabled),
        }
        let card = self.method == PaymentMethod::Card;
        let agreement = self.kind == SubscriptionKind::EnterpriseAgreement;
        if !card && needs.iter().any(|need| need.at_purchase || (need.partner && !agreement)) {
            codes.push(ReasonCode::CardRequired);
        }
        if !card && agreement && !self.marketplace_enabled && needs.iter().any(|need| need.partner) {
            codes.push(ReasonCode::MarketplaceDisabled);
        }
        if needs.iter().any(|need| !need.priced) {
            codes.push(ReasonCode::CurrencyMismatch);
        }
        if needs.iter().any(|need| !need.served) {
            codes.push(ReasonCode::CountryNotServed);
        }
        codes.into_iter().map(Reason::from).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;
    use ReasonCode as Code;

    fn payer() -> Payer {
        Payer {
            id: kernel::Id::from_uuid(uuid_of(1)),
            kind: SubscriptionKind::PayAsYouGo,
            status: SubscriptionStatus::Active,
            country: "DE".parse().unwrap(),
            currency: "EUR".parse().unwrap(),
            method: PaymentMethod::Invoice,
            spending_limit: false,
            marketplace_enabled: false,
            billed_through: None,
            budgeted: false,
            tax_confirmed: false,
        }
    }

    fn uuid_of(n: u64) -> uuid::Uuid {
        uuid::Uuid::from_u64_pair(0, n)
    }

    const PLAIN: Need = Need { partner: false, at_purchase: false, priced: true, served: true };
    const PARTNER: Need = Need { partner: true, ..PLAIN };

    fn codes(payer: &Payer, role: Option<SubscriptionRole>, need: Need) -> Vec<Code> {
        payer.reasons(role, &[need]).into_iter().map(|r| r.code).collect()
    }

    /// each code, and that nothing else is named.
    #[test]
    fn each_code_has_its_cause() {
        let owner = Some(SubscriptionRole::Owner);
        let with = |change: &dyn Fn(&mut Payer)| {
            let mut p = payer();
            change(&mut p);
            p
        };
        let rows: Vec<(Payer, Option<SubscriptionRole>, Need, Vec<Code>)> = vec![
            (payer(), owner, PLAIN, vec![]),
            (payer(), Some(SubscriptionRole::Contributor), PLAIN, vec![]),
            (payer(), Some(SubscriptionRole::BillingManager), PLAIN, vec![]),
            (payer(), Some(SubscriptionRole::Reader), PLAIN, vec![Code::NotPermitted]),
            (payer(), None, PLAIN, vec![Code::NotPermitted]),
            (with(&|p| p.kind = SubscriptionKind::FreeTrial), owner, PLAIN, vec![Code::FreeTrial]),
            (with(&|p| p.kind = SubscriptionKind::Sponsorship), owner, PLAIN, vec![Code::UnsupportedKind]),
            (
                with(&|p| {
                    p.kind = SubscriptionKind::SubscriberBenefit;
                    p.spending_limit = true;
                }),
                owner,
                PLAIN,
                vec![Code::SpendingLimitOn],
            ),
            (with(&|p| p.kind = SubscriptionKind::SubscriberBenefit), owner, PLAIN, vec![]),
            (with(&|p| p.status = SubscriptionStatus::Warned), owner, PLAIN, vec![]),
            (with(&|p| p.status = SubscriptionStatus::PastDue), owner, PLAIN, vec![Code::PastDue]),
            (with(&|p| p.status = SubscriptionStatus::Disabled), owner, PLAIN, vec![Code::Disabled]),
            (with(&|p| p.status = SubscriptionStatus::Deleted), owner, PLAIN, vec![Code::Disabled]),
            (payer(), owner, PARTNER, vec![Code::CardRequired]),
            (with(&|p| p.method = PaymentMethod::Card), owner, PARTNER, vec![]),
            (
                with(&|p| p.kind = SubscriptionKind::EnterpriseAgreement),
                owner,
                PARTNER,
                vec![Code::MarketplaceDisabled],
            ),
            (
                with(&|p| {
                    p.kind = SubscriptionKind::EnterpriseAgreement;
                    p.marketplace_enabled = true;
                }),
                owner,
                PARTNER,
                vec![],
            ),
            (payer(), owner, Need { at_purchase: true, ..PLAIN }, vec![Code::CardRequired]),
            (payer(), owner, Need { priced: false, ..PLAIN }, vec![Code::CurrencyMismatch]),
            (payer(), owner, Need { served: false, ..PLAIN }, vec![Code::CountryNotServed]),
        ];
        for (payer, role, need, expected) in rows {
            assert_eq!(codes(&payer, role, need), expected, "{payer:?} {role:?} {need:?}");
        }
    }

    /// all reasons at once, not the first one.
    #[test]
    fn all_reasons_are_told() {
        let payer = Payer { kind: SubscriptionKind::FreeTrial, status: SubscriptionStatus::PastDue, ..payer() };
        assert_eq!(
            codes(&payer, None, PARTNER),
            vec![Code::NotPermitted, Code::FreeTrial, Code::PastDue, Code::CardRequired]
        );
    }
}
