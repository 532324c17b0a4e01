//! What decisions may look at, in memory: the facts of a batch, brought up to date by each decision in turn.

use crate::budget::Budgets;
use crate::catalogue::{Catalogue, Offer};
use crate::command::NewCharge;
use crate::metered::Count;
use crate::pending::Collection;
use crate::policy::Policy;
use crate::undo::Undoing;
use billing::{Payer, TaxRate};
use kernel::{
    Exact, Money, Month, OfferId, OrganizationId, PurchaseId, SubscriptionId, SubscriptionRole, Timestamp, UserId,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use store::StoreError;
use store::budgets::Scope;
pub(crate) use store::till::EntitlementRow;
use store::till::{Ask, Earlier, Facts, Holdings, OrganizationRow};

/// An organization as a decision sees it.
#[derive(Clone, Debug)]
pub struct OrganizationBook {
    /// The organization.
    pub row: OrganizationRow,
    /// The live billing link.
    pub link: Option<SubscriptionId>,
    /// The link was made or ended in this batch, so facts about who pays were not loaded for the other commands.
    pub linked_in_batch: bool,
    /// What it has.
    pub entitlements: BTreeMap<OfferId, EntitlementRow>,
    /// What it used of metered offers, by the month that it is counted in, of those that are not billed yet.
    pub used: BTreeMap<(OfferId, Month), Count>,
    /// Offers that pending purchases hold.
    pub held: BTreeMap<OfferId, Hold>,
    /// When something last happened to it: no later fact may stand before it.
    pub last_fact: Timestamp,
}

/// An offer is held by a purchase that waits for its payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Which.
    pub purchase: PurchaseId,
    /// Whether it sets up billing, which then nobody else does.
    pub links: bool,
}

/// A payer as a decision sees it.
#[derive(Clone, Debug)]
pub struct PayerBook {
    /// The payer.
    pub payer: Payer,
    /// How many organizations will be billed for how many units of what.
    pub renewals: BTreeMap<(OfferId, i64), i64>,
    /// What was charged and is on no invoice yet, by bill and tax rate.
    pub unbilled: BTreeMap<(Month, TaxRate), i64>,
    /// How many organizations used so many units of what in which month, of those that are not billed yet.
    pub used: BTreeMap<(OfferId, Month, i64), i64>,
}

impl PayerBook {
    /// A payer that nothing was charged to yet.
    #[must_use]
    pub fn new(payer: Payer) -> Self {
        Self { payer, renewals: BTreeMap::new(), unbilled: BTreeMap::new(), used: BTreeMap::new() }
    }

    /// One organization's use of a month is billed.
    pub fn close(&mut self, offer: OfferId, month: Month, used: i64) {
        if let Some(count) = self.used.get_mut(&(offer, month, used)) {
            *count = count.saturating_sub(1);
        }
    }

    /// What is charged waits for its bill; what is paid at once waits for none.
    pub fn owe(&mut self, charges: &[NewCharge]) {
        for charge in charges {
            let Some(month) = charge.bill.month() else { continue };
            let sum = self.unbilled.entry((month, charge.tax_rate.clone())).or_insert(0);
            *sum = sum.saturating_add(charge.line.now.minor());
        }
    }

    /// One organization's units for next month change.
    pub fn move_renewal(&mut self, offer: OfferId, from: i64, to: i64) {
        if from == to {
            return;
        }
        if from > 0 {
            let count = self.renewals.entry((offer, from)).or_insert(0);
            *count = count.saturating_sub(1);
        }
        if to > 0 {
            let count = self.renewals.entry((offer, to)).or_insert(0);
            *count = count.saturating_add(1);
        }
    }
}

/// What ties a caller to an organization and to its payer.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// The caller is known here.
    pub known: bool,
    /// The caller runs the installation.
    pub operator: bool,
    /// Role in the organization.
    pub role: Option<kernel::OrganizationRole>,
    /// Role on the linked, else the chosen subscription.
    pub payer_role: Option<SubscriptionRole>,
    /// The subscription that `payer_role` is on.
    pub payer: Option<SubscriptionId>,
}

/// The facts of a batch.
#[derive(Clone, Debug)]
pub struct Book {
    /// What is sold.
    pub catalogue: Arc<Catalogue>,
    /// What the operator configured.
    pub policy: Arc<Policy>,
    /// Organizations of the batch.
    pub organizations: HashMap<OrganizationId, OrganizationBook>,
    /// Payers of the batch.
    pub payers: HashMap<SubscriptionId, PayerBook>,
    /// Budgets of those that have any.
    pub budgets: Budgets,
    /// Answers given under a caller's key.
    pub earlier: HashMap<(UserId, String), Earlier>,
    /// Purchases that are to be undone.
    pub undoing: HashMap<PurchaseId, Undoing>,
    /// Purchases that are paid at once, those that commands of this batch settle.
    pub collections: HashMap<PurchaseId, Collection>,
    /// Entitlements that decisions of this batch changed.
    pub changed: HashSet<(OrganizationId, OfferId)>,
}

impl Book {
    /// Gathers what was loaded for `asks` at `now`; the standings are in their order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where a payer's words are none that we write.
    pub fn gather(
        catalogue: Arc<Catalogue>,
        policy: Arc<Policy>,
        asks: &[Ask],
        (facts, holdings): (Vec<Facts>, Holdings),
        now: Timestamp,
    ) -> Result<(Self, Vec<Standing>), StoreError> {
        let mut book = Self {
            catalogue,
            policy,
            organizations: HashMap::with_capacity(asks.len()),
            payers: HashMap::with_capacity(asks.len()),
            budgets: Budgets::default(),
            earlier: HashMap::new(),
            undoing: HashMap::new(),
            collections: HashMap::new(),
            changed: HashSet::new(),
        };
        let mut standings = Vec::with_capacity(asks.len());
        for (ask, facts) in asks.iter().zip(facts) {
            standings.push(Standing {
                known: facts.known,
                operator: facts.operator,
                role: facts.role,
                payer_role: facts.payer_role,
                payer: facts.payer.as_ref().map(|row| row.id),
            });
            if let Some(row) = facts.organization {
                book.organizations.entry(row.id).or_insert_with(|| OrganizationBook {
                    row,
                    link: facts.link.map(|(id, _)| id),
                    linked_in_batch: false,
                    entitlements: BTreeMap::new(),
                    used: BTreeMap::new(),
                    held: BTreeMap::new(),
                    // A link that was seeded in real time does not hold a test clock that starts before it.
                    last_fact: facts.link.map(|(_, at)| at).filter(|at| *at <= now).unwrap_or(Timestamp::UNIX_EPOCH),
                });
            }
            if let Some(row) = facts.payer {
                let payer = Payer::try_from(&row).map_err(|e| StoreError::corrupt(format!("{}: {e}", row.id)))?;
                book.payers.entry(row.id).or_insert_with(|| PayerBook::new(payer));
            }
            if let Some(earlier) = facts.earlier {
                book.earlier.insert((ask.actor, ask.key.clone()), earlier);
            }
        }
        book.hold(holdings);
        Ok((book, standings))
    }

    /// Whose budgets commands that buy count against: of payers that have any, their own and those of the organizations that
    /// are, or would be, billed to them; and the first and the last month of it. None for most batches.
    #[must_use]
    pub fn budgeted(&self, asks: &[Ask], now: Timestamp) -> Option<(Vec<Scope>, (Month, Month))> {
        let mut scopes = BTreeSet::new();
        let mut last = now;
        for ask in asks.iter().filter(|ask| ask.bill) {
            let held = self.organizations.get(&ask.organization);
            let Some(subscription) = held.and_then(|held| held.link).or(ask.chosen) else { continue };
            if self.payers.get(&subscription).is_some_and(|account| account.payer.budgeted) {
                scopes.insert(Scope { subscription, organization: None });
                scopes.insert(Scope { subscription, organization: Some(ask.organization) });
                last = last.max(held.map_or(now, |held| held.last_fact));
            }
        }
        (!scopes.is_empty()).then(|| (scopes.into_iter().collect(), (Month::of(now), Month::of(last))))
    }

    fn hold(&mut self, holdings: Holdings) {
        for row in holdings.entitlements {
            if let Some(organization) = self.organizations.get_mut(&row.organization) {
                organization.last_fact = organization.last_fact.max(row.changed_at);
                organization.entitlements.insert(row.offer, row);
            }
        }
        for row in holdings.renewals {
            if let Some(payer) = self.payers.get_mut(&row.subscription) {
                payer.renewals.insert((row.offer, row.next), row.organizations);
            }
        }
        for row in holdings.unbilled {
            if let Some(payer) = self.payers.get_mut(&row.subscription) {
                payer.unbilled.insert((row.bill, TaxRate::stored(&row.tax_rate)), row.amount);
            }
        }
        for row in holdings.open {
            // What was used under another payer is that one's.
            let organization = self.organizations.get_mut(&row.organization);
            if let Some(organization) = organization.filter(|held| held.link == Some(row.payer)) {
                organization.used.insert((row.offer, row.month), Count { used: row.used, late: row.late });
            }
        }
        for row in holdings.held {
            if let Some(organization) = self.organizations.get_mut(&row.organization) {
                organization.held.insert(row.offer, Hold { purchase: row.purchase, links: row.links });
            }
        }
        for row in holdings.used {
            if let Some(payer) = self.payers.get_mut(&row.subscription) {
                payer.used.insert((row.offer, row.month, row.used), row.organizations);
            }
        }
    }
}

/// What an organization that never had an offer has of it, in a month.
#[must_use]
pub fn nothing(organization: OrganizationId, offer: OfferId, month: Month) -> EntitlementRow {
    EntitlementRow {
        organization,
        offer,
        committed: 0,
        next: 0,
        month,
        accrued: Exact::zero(),
        charged: 0,
        installed: false,
        metered: false,
        cap: 0,
        version: 0,
        changed_at: Timestamp::UNIX_EPOCH,
        purchase: None,
    }
}

/// Units that may be used now.
#[must_use]
pub fn usable(offer: &Offer, held: &EntitlementRow) -> i64 {
    let extension = offer.definition.kind == crate::catalogue::OfferKind::Extension;
    if extension && !held.installed {
        return 0;
    }
    if offer.definition.first_paid_replaces_included && held.committed > 0 {
        return held.committed;
    }
    offer.definition.included.saturating_add(held.committed)
}

/// The largest amount that sums may reach; past it a decision is refused.
pub(crate) fn too_large(_: kernel::MoneyError) -> crate::Refusal {
    crate::Refusal::invalid("/items", "comes to more than can be billed; order less")
}

/// Zero of a currency.
pub(crate) fn zero(currency: kernel::Currency) -> Money {
    Money::zero(currency)
}
