//! What a caller may do with an offer for an organization, and if not, why and what to do:
//! what a page shows beside an offer before anybody decides on a quantity.

use crate::catalogue::{Offer, OfferKind, OfferState};
use crate::decide::need;
use crate::policy::Policy;
use billing::{Payer, Reason};
use kernel::{OrganizationRole, Permission, Role, SubscriptionRole, grants};
use serde::Serialize;

/// An action, and whether the caller may take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Action {
    /// `buy`, `try`, `install` or `request`.
    pub action: &'static str,
    /// Whether nothing stands in its way.
    pub allowed: bool,
    /// What does, all of it.
    pub reasons: Vec<Obstacle>,
}

/// Why an action is not possible, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// What clients branch on: a code of R-11, or one of this module.
    pub code: &'static str,
    /// The sentence for people.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Obstacle {
    fn new(code: &'static str, message: &str, remedy: &str) -> Self {
        Self { code, message: message.to_owned(), remedy: remedy.to_owned() }
    }
}

impl From<Reason> for Obstacle {
    fn from(reason: Reason) -> Self {
        Self { code: reason.code.as_str(), message: reason.message(), remedy: reason.remedy() }
    }
}

/// Who asks, about what.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The offer.
    pub offer: &'a Offer,
    /// The caller's role in the organization.
    pub role: Option<OrganizationRole>,
    /// Who pays for the organization, with the caller's role on it; none before billing is set up.
    pub payer: Option<(&'a Payer, Option<SubscriptionRole>)>,
}

impl Situation<'_> {
    /// All actions: buy, try, install, request.
    #[must_use]
    pub fn actions(&self, policy: &Policy) -> Vec<Action> {
        let reasons = [
            ("buy", self.buy(policy)),
            ("try", self.trial()),
            ("install", self.install()),
            ("request", self.request()),
        ];
        reasons.map(|(action, reasons)| Action { action, allowed: reasons.is_empty(), reasons }).into()
    }

    fn may(&self, permission: Permission) -> bool {
        self.role.is_some_and(|role| grants(Role::Organization(role), permission))
            || self.payer.and_then(|(_, role)| role).is_some_and(|role| grants(Role::Subscription(role), permission))
    }

    /// what buying takes once billing is set up, and R-1: before; a manager can always create the payer that the
    /// other half of R-1 is about.
    fn right_to_buy(&self) -> Permission {
        if self.payer.is_some() { Permission::SubscriptionUse } else { Permission::BillingSetUp }
    }

    fn missing(&self, permission: Permission) -> Vec<Obstacle> {
        if self.may(permission) { Vec::new() } else { vec![Reason::missing(permission).into()] }
    }

    fn buy(&self, policy: &Policy) -> Vec<Obstacle> {
        let definition = &self.offer.definition;
        let mut reasons = self.missing(self.right_to_buy());
        if definition.state == OfferState::Retired {
            let remedy = "Choose another offer; what the organization has can be kept or reduced.";
            reasons.push(Obstacle::new("retired", "This offer is no longer sold.", remedy));
        }
        if definition.bring_your_own_license {
            let remedy = "Install it here, and buy the licence from its publisher.";
            reasons.push(Obstacle::new("bring_your_own_license", "This offer is billed by its publisher.", remedy));
        }
        if let Some((payer, _)) = self.payer {
            // The caller's own right was looked at above.
            let needs = [need(policy, self.offer, payer.currency, payer.country)];
            reasons.extend(payer.reasons(Some(SubscriptionRole::Owner), &needs).into_iter().map(Obstacle::from));
        }
        reasons
    }

    fn trial(&self) -> Vec<Obstacle> {
        let mut reasons = self.missing(Permission::TrialStart);
        reasons.push(if self.offer.definition.trial_days > 0 {
            Obstacle::new(
                "not_available",
                "Trials cannot be started here yet.",
                "Buy it, or ask the operator when they can.",
            )
        } else {
            Obstacle::new("no_trial", "This offer has no trial.", "Buy it; a small quantity can be cancelled any time.")
        });
        reasons
    }

    fn install(&self) -> Vec<Obstacle> {
        let mut reasons = self.missing(Permission::ExtensionInstall);
        if self.offer.definition.kind != OfferKind::Extension {
            reasons.push(Obstacle::new(
                "not_an_extension",
                "Only extensions are installed.",
                "Buy units of it instead.",
            ));
        }
        reasons
    }

    /// for members who may not buy.
    fn request(&self) -> Vec<Obstacle> {
        if self.may(self.right_to_buy()) {
            return vec![Obstacle::new("not_needed", "You may buy this yourself.", "Buy it.")];
        }
        let mut reasons = self.missing(Permission::RequestMake);
        let remedy = match self.payer {
            Some(_) => "Ask someone with a purchasing role on the organization's subscription in person.",
            None => "Ask an owner or administrator of the organization in person.",
        };
        reasons.push(Obstacle::new("not_available", "Requests cannot be made here yet.", remedy));
        reasons
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;
    use crate::catalogue::{Catalogue, Definition, file::parse};
    use billing::{PaymentMethod, PaymentMethods, SubscriptionKind, SubscriptionStatus, TaxRates};
    use kernel::{IdSource, SubscriptionId};

    fn offer(slug: &str, change: fn(&mut Definition)) -> Offer {
        let file = parse(include_str!("../../../config/catalog.toml")).unwrap();
        let at = kernel::parse_rfc3339("2018-04-15T10:00:00Z").unwrap();
        let catalogue = Catalogue::of_file(&file, at, &mut IdSource::seeded(3));
        let mut offer = catalogue.by_slug(slug).unwrap().as_ref().clone();
        change(&mut offer.definition);
        offer
    }

    fn policy() -> Policy {
        Policy {
            platform_publisher: "ms".into(),
            platform_currency: "USD".parse().unwrap(),
            taxes: TaxRates::default(),
            methods: PaymentMethods::default(),
            undo_hours: 24,
            terms: crate::invoicing::Terms {
                seller: billing::invoice::Seller {
                    name: "Platform".into(),
                    country: "DE".parse().unwrap(),
                    address: String::new(),
                    tax_id: String::new(),
                },
                series: "P".into(),
                due_days: 30,
                schedule: billing::dunning::Schedule::default(),
            },
            quote_key: [0; 32],
        }
    }

    fn payer(status: SubscriptionStatus) -> Payer {
        Payer {
            id: SubscriptionId::from_uuid(uuid::Uuid::nil()),
            kind: SubscriptionKind::PayAsYouGo,
            status,
            country: "US".parse().unwrap(),
            currency: "USD".parse().unwrap(),
            method: PaymentMethod::Invoice,
            spending_limit: false,
            marketplace_enabled: false,
            billed_through: None,
            budgeted: false,
            tax_confirmed: false,
        }
    }

    fn codes(situation: &Situation<'_>, action: &str) -> Vec<&'static str> {
        let actions = situation.actions(&policy());
        let found = actions.iter().find(|one| one.action == action).unwrap();
        assert_eq!(found.allowed, found.reasons.is_empty());
        assert!(found.reasons.iter().all(|r| r.message.ends_with('.') && r.remedy.ends_with('.')), "{found:?}");
        found.reasons.iter().map(|reason| reason.code).collect()
    }

    const FEED: &str = "ms.feed";
    const OWNER: Option<OrganizationRole> = Some(OrganizationRole::Owner);
    const MEMBER: Option<OrganizationRole> = Some(OrganizationRole::Member);
    const BUYER: Option<SubscriptionRole> = Some(SubscriptionRole::BillingManager);

    /// R-1 before billing is set up, R-2 afterwards.
    #[test]
    fn buying_takes_the_right_side() {
        let offer = offer(FEED, |_| ());
        let active = payer(SubscriptionStatus::Active);
        let late = payer(SubscriptionStatus::PastDue);
        for (role, payer, expected) in [
            (OWNER, None, vec![]),
            (MEMBER, None, vec!["not_permitted"]),
            (None, Some((&active, BUYER)), vec![]),
            (OWNER, Some((&active, None)), vec!["not_permitted"]),
            (OWNER, Some((&active, Some(SubscriptionRole::Reader))), vec!["not_permitted"]),
            (None, Some((&late, BUYER)), vec!["past_due"]),
            (MEMBER, Some((&late, None)), vec!["not_permitted", "past_due"]),
        ] {
            assert_eq!(codes(&Situation { offer: &offer, role, payer }, "buy"), expected, "{role:?} {payer:?}");
        }
    }

    #[test]
    fn what_the_offer_itself_rules_out() {
        let own = offer(FEED, |definition| {
            definition.bring_your_own_license = true;
            definition.state = OfferState::Retired;
            definition.trial_days = 30;
        });
        let situation = Situation { offer: &own, role: OWNER, payer: None };
        assert_eq!(codes(&situation, "buy"), ["retired", "bring_your_own_license"]);
        assert_eq!(codes(&situation, "try"), ["not_available"]);
        let users = offer("ms.vss-vstsuser", |_| ());
        let situation = Situation { offer: &users, role: MEMBER, payer: None };
        assert_eq!(codes(&situation, "try"), ["not_permitted", "no_trial"]);
        assert_eq!(codes(&situation, "install"), ["not_permitted", "not_an_extension"]);
    }

    /// managers install; members who may not buy would make a request.
    #[test]
    fn installing_and_requesting() {
        let offer = offer(FEED, |definition| definition.kind = OfferKind::Extension);
        let owner = Situation { offer: &offer, role: OWNER, payer: None };
        assert_eq!(codes(&owner, "install"), Vec::<&str>::new());
        assert_eq!(codes(&owner, "request"), ["not_needed"]);
        let member = Situation { offer: &offer, role: MEMBER, payer: None };
        assert_eq!(codes(&member, "request"), ["not_available"]);
        let nobody = Situation { offer: &offer, role: None, payer: None };
        assert_eq!(codes(&nobody, "request"), ["not_permitted", "not_available"]);
    }
}
