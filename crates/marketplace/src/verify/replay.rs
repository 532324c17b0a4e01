//! The events of organizations, replayed in their order: what each has follows from them, version by version.
//!
//! An entitlement's versions are its order. The events' ids nearly are: two processes that act for one organization
//! within their clocks' difference may leave them the other way round, so a change waits for the version before it.
//! Memory holds what organizations have; where there are many, they are replayed in several shares, one after the other.

use std::collections::{HashMap, HashSet};

use kernel::{EventId, LinkId, OfferId, OrganizationId, PurchaseId, SubscriptionId};
use store::Tx;
use store::proof::{self, EntitlementProof, Fact};

use super::collected::Collected;
use super::days::day_of;
use super::evidence::Evidence;
use super::line::{self, Bought};
use super::month::{self, Renewed};
use super::resumed::{self, Resumed};
use super::shop::Shop;
use super::told::{Completed, Installation, State, Told, Turned};
use super::undone::{self, Act, Found, Undoing, Undos};
use super::usage::{Turning, Used};
use super::{Difference, PAGE, Row, Seen, VerifyError, purchase};

/// A change of an entitlement.
#[derive(Clone, Debug)]
enum Change {
    Bought(Box<Bought>),
    Renewed(Box<Renewed>),
    Resumed(Box<Resumed>),
    Undone(Box<Undoing>),
    Installed { event: EventId, at: i64, told: Box<Installation>, on: bool },
}

impl Change {
    fn event(&self) -> EventId {
        match self {
            Self::Bought(bought) => bought.event,
            Self::Renewed(renewed) => renewed.event,
            Self::Resumed(resumed) => resumed.event,
            Self::Undone(undone) => undone.event,
            Self::Installed { event, .. } => *event,
        }
    }

    fn after(&self) -> &State {
        match self {
            Self::Bought(bought) => &bought.line.after,
            Self::Renewed(renewed) => &renewed.line.after,
            Self::Resumed(resumed) => &resumed.line.after,
            Self::Undone(undone) => &undone.line.after,
            Self::Installed { told, .. } => &told.after,
        }
    }

    fn at(&self) -> i64 {
        match self {
            Self::Bought(bought) => bought.made_at,
            Self::Renewed(renewed) => renewed.at,
            Self::Resumed(resumed) => resumed.at,
            Self::Undone(undone) => undone.at,
            Self::Installed { at, .. } => *at,
        }
    }

    /// Whether it may be a line that left everything as it was, which has the version it found.
    fn may_be_neutral(&self) -> bool {
        match self {
            Self::Bought(bought) => bought.is_neutral(),
            Self::Renewed(_) | Self::Resumed(_) | Self::Undone(_) | Self::Installed { .. } => false,
        }
    }
}

/// What an organization has of one offer, as far as it is replayed.
#[derive(Clone, Debug)]
struct Held {
    state: State,
    changed_at: i64,
    waiting: Vec<Change>,
    /// What the month's purchases found that can be undone, the latest last.
    found: Vec<Found>,
}

impl Held {
    fn nothing(at: i64) -> Self {
        let state = State {
            committed: 0,
            next: 0,
            month: day_of(at).month(),
            accrued: "0".to_owned(),
            charged: 0,
            installed: false,
            metered: false,
            cap: 0,
            version: 0,
        };
        Self { state, changed_at: 0, waiting: Vec::new(), found: Vec::new() }
    }

    fn enter(&mut self, shop: &Shop, change: Change) -> Result<(), Difference> {
        self.waiting.push(change);
        while let Some(place) = self.waiting.iter().position(|change| self.is_next(change)) {
            let change = self.waiting.swap_remove(place);
            self.apply(shop, change)?;
        }
        Ok(())
    }

    /// Whether a change's turn has come: what it follows is replayed.
    fn is_next(&self, change: &Change) -> bool {
        let (version, found) = (change.after().version, self.state.version);
        if version != found + 1 {
            return version <= found;
        }
        match change {
            // It may have left a version as it was that is still to come.
            Change::Bought(bought) if bought.is_neutral() => {
                let before = bought.line.before;
                (before.committed, before.next) == (self.state.committed, self.state.next)
            }
            _ => true,
        }
    }

    fn apply(&mut self, shop: &Shop, change: Change) -> Result<(), Difference> {
        let version = change.after().version;
        if version < self.state.version {
            // It left a version as it was that is past by now, and posted nothing.
            return if change.may_be_neutral() {
                Ok(())
            } else {
                let stored = format!("version {version} of an entitlement");
                Err(Row("events", &change.event()).differs(stored, "another event has that version"))
            };
        }
        if version == self.state.version && !change.may_be_neutral() {
            let stored = format!("version {version} of an entitlement");
            return Err(Row("events", &change.event()).differs(stored, "another event has that version"));
        }
        match &change {
            Change::Bought(bought) => line::prove(shop, &self.state, bought)?,
            Change::Renewed(renewed) => month::prove(shop, &self.state, renewed)?,
            Change::Resumed(resumed) => resumed::prove(shop, &self.state, resumed)?,
            Change::Undone(undone) => undone::prove(shop, &self.state, self.found.last(), undone)?,
            Change::Installed { event, told, on, .. } => installed(&self.state, *event, told, *on)?,
        }
        if version > self.state.version {
            match &change {
                Change::Bought(bought) => self.found.extend(undone::found(&self.state, bought)),
                // There is nothing to go back to.
                Change::Renewed(_) | Change::Resumed(_) => self.found.clear(),
                Change::Undone(_) => drop(self.found.pop()),
                Change::Installed { .. } => {}
            }
            self.state = change.after().clone();
            self.changed_at = change.at();
        }
        Ok(())
    }
}

fn installed(found: &State, event: EventId, told: &Installation, on: bool) -> Result<(), Difference> {
    let mut expected = found.clone();
    expected.installed = on;
    expected.version += 1;
    if told.after == expected {
        return Ok(());
    }
    Err(Row("events", &event).differs(format!("{:?}", told.after), format!("{expected:?}")))
}

/// Some of the organizations.
#[derive(Debug)]
pub struct Replay {
    /// Which share of how many.
    share: (u64, u64),
    held: HashMap<(OrganizationId, OfferId), Held>,
    links: HashMap<OrganizationId, (LinkId, SubscriptionId)>,
    /// Links that were told of before the end of the one before them.
    early: HashMap<OrganizationId, (LinkId, SubscriptionId)>,
    /// When links ended, as their rows say.
    ended: HashMap<LinkId, i64>,
    neutral: HashSet<PurchaseId>,
    undone: Undos,
    collected: Collected,
    used: Used,
}

impl Replay {
    /// A share of the organizations, before their first event, with room for so many entitlements.
    pub fn new(share: (u64, u64), room: usize) -> Self {
        let (held, used) = (HashMap::with_capacity(room), Used::default());
        let (links, early, ended) = (HashMap::new(), HashMap::new(), HashMap::new());
        let (neutral, undone, collected) = (HashSet::new(), Undos::default(), Collected::default());
        Self { share, held, links, early, ended, neutral, undone, collected, used }
    }

    /// Whether an organization is in this share. The last bits of its id are random.
    pub fn has(&self, organization: OrganizationId) -> bool {
        let (share, of) = self.share;
        organization.uuid().as_u64_pair().1 % of == share
    }

    /// Replays the next event and proves the rows that it names.
    ///
    /// # Errors
    /// The first row that is not what the event says.
    pub fn tell(
        &mut self,
        shop: &Shop,
        fact: &Fact,
        told: Told,
        evidence: &mut Evidence,
        seen: &mut Seen,
    ) -> Result<(), Difference> {
        match told {
            Told::SetUp(told) => {
                self.linked(fact, (told.organization, told.link, told.subscription), evidence)?;
                seen.links += 1;
                Ok(())
            }
            Told::Installation(told, on) => {
                let key = (told.organization, told.offer);
                self.enter(shop, key, Change::Installed { event: fact.id, at: fact.at, told, on })
            }
            Told::Completed(told) => {
                if told.decided_at.is_some() {
                    self.collected.settled(fact, told.purchase, ("completed", ""))?;
                }
                self.completed(shop, fact, *told, evidence, seen)
            }
            Told::Undone(told) => {
                let act = Act::of(fact, *told, evidence, seen)?;
                match self.undone.told(act)? {
                    Some(act) => self.undid(shop, act),
                    None => Ok(()),
                }
            }
            Told::Pending(told) => self.collected.asked(fact, *told),
            Told::Released(told) => self.collected.settled(fact, told.purchase, ("released", &told.reason)),
            Told::Counted(told) => {
                let rows = std::mem::take(&mut evidence.usage);
                seen.usage += i64::try_from(rows.len()).unwrap_or(i64::MAX);
                self.used.count(fact, &told, &rows)
            }
            Told::Turned(told) => {
                self.closed(shop, fact, &told, evidence, seen)?;
                for renewed in month::lines(fact, *told, evidence, seen)? {
                    let key = (renewed.organization, renewed.line.offer);
                    self.enter(shop, key, Change::Renewed(Box::new(renewed)))?;
                }
                Ok(())
            }
            Told::Resumed(told) => {
                let organization = told.organization;
                for resumed in resumed::lines(fact, *told, evidence, seen)? {
                    let key = (organization, resumed.line.offer);
                    self.enter(shop, key, Change::Resumed(Box::new(resumed)))?;
                }
                Ok(())
            }
            Told::Other => Ok(()),
        }
    }

    /// A month that came charged what was used before it.
    fn closed(
        &mut self,
        shop: &Shop,
        fact: &Fact,
        told: &Turned,
        evidence: &mut Evidence,
        seen: &mut Seen,
    ) -> Result<(), Difference> {
        let payer = told.subscription.zip(told.currency);
        for closed in &told.usage {
            let charge = match (closed.charge, told.currency) {
                (Some(id), Some(currency)) => Some(purchase::charged(fact, id, currency, evidence, seen)?),
                _ => None,
            };
            let turning = Turning { fact, organization: told.organization, payer, came: &told.month };
            self.used.close(shop, turning, closed.clone(), charge.as_ref())?;
        }
        Ok(())
    }

    fn completed(
        &mut self,
        shop: &Shop,
        fact: &Fact,
        told: Completed,
        evidence: &mut Evidence,
        seen: &mut Seen,
    ) -> Result<(), Difference> {
        let Completed { purchase: id, organization, subscription, link, .. } = told;
        if let Some(link) = link {
            self.linked(fact, (organization, link, subscription), evidence)?;
            seen.links += 1;
        }
        let (lines, undone) = purchase::prove(fact, told, evidence, seen)?;
        // One that changes something cannot be told twice, for its versions would be there twice.
        if lines.iter().all(Bought::is_neutral) && !self.neutral.insert(id) {
            return Err(Row("events", &fact.id).differs(format!("purchase {id}"), "another event completed it"));
        }
        for bought in lines {
            self.enter(shop, (organization, bought.line.offer), Change::Bought(Box::new(bought)))?;
        }
        match undone.and_then(|row| self.undone.stored(row).transpose()) {
            Some(act) => self.undid(shop, act?),
            None => Ok(()),
        }
    }

    /// A purchase was undone, and its row says so.
    fn undid(&mut self, shop: &Shop, act: Act) -> Result<(), Difference> {
        let Act { event, at, organization, link, lines, .. } = act;
        if let Some(link) = link {
            if self.links.get(&organization).is_none_or(|(live, _)| *live != link) {
                return Err(Row("events", &event).differs(format!("the end of {link}"), "another link, or none"));
            }
            let ended = self.ended.remove(&link).map_or_else(|| "none".to_owned(), |ended| ended.to_string());
            Row("links", &link).same("ended_at", ended, at.to_string())?;
            match self.early.remove(&organization) {
                Some(next) => self.links.insert(organization, next),
                None => self.links.remove(&organization),
            };
        }
        for undoing in lines {
            self.enter(shop, (organization, undoing.line.offer), Change::Undone(Box::new(undoing)))?;
        }
        Ok(())
    }

    fn enter(&mut self, shop: &Shop, key: (OrganizationId, OfferId), change: Change) -> Result<(), Difference> {
        self.held.entry(key).or_insert_with(|| Held::nothing(change.at())).enter(shop, change)
    }

    /// A link came into being: the organization had none, and the row is what the event says.
    fn linked(
        &mut self,
        fact: &Fact,
        (organization, id, subscription): (OrganizationId, LinkId, SubscriptionId),
        evidence: &mut Evidence,
    ) -> Result<(), Difference> {
        let live = self.links.get(&organization).copied();
        let links = if live.is_some() { &mut self.early } else { &mut self.links };
        let twice = links.insert(organization, (id, subscription)).or(live.filter(|(live, _)| *live == id));
        if let Some((live, _)) = twice {
            let stored = format!("link {id} of {organization}");
            return Err(Row("events", &fact.id).differs(stored, format!("link {live} is live")));
        }
        let named = Row("links", &id);
        let row = evidence.links.remove(&id).ok_or_else(|| named.missing(fact.id))?;
        named.same("organization_id", row.organization, organization)?;
        named.same("subscription_id", row.subscription, subscription)?;
        named.same("linked_by", row.linked_by.as_str(), fact.actor.as_str())?;
        named.same("linked_at", row.linked_at, fact.at)?;
        // Which event ended it is proven when all are replayed.
        self.ended.extend(row.ended_at.map(|ended| (id, ended)));
        Ok(())
    }

    /// Proves what these organizations have, once all events are replayed.
    ///
    /// # Errors
    /// The first entitlement that is not what the events leave.
    pub async fn settle(mut self, tx: &Tx, seen: &mut Seen) -> Result<(), VerifyError> {
        std::mem::take(&mut self.undone).settle()?;
        if let Some((link, ended)) = self.ended.iter().next() {
            return Err(Row("links", link).differs(format!("ended_at {ended}"), "no event ended it").into());
        }
        if let Some((organization, (link, _))) = self.early.iter().next() {
            let stored = format!("{link} of {organization}");
            return Err(Row("links", link).differs(stored, "another link of it is live").into());
        }
        let collected = std::mem::take(&mut self.collected);
        seen.purchases += collected.settle(tx, |organization| self.has(organization)).await?;
        let came = |organization, offer| {
            let held = self.held.get(&(organization, offer)).filter(|_| self.links.contains_key(&organization));
            held.map(|held| held.state.month.clone())
        };
        let payer = |organization| self.links.get(&organization).map(|(_, payer)| *payer);
        let used = std::mem::take(&mut self.used);
        used.settle(tx, |organization| self.has(organization), payer, came).await?;
        let nil = uuid::Uuid::nil();
        let mut last = (OrganizationId::from_uuid(nil), OfferId::from_uuid(nil));
        loop {
            let page = proof::entitlements_after(tx, last, PAGE).await?;
            let Some(end) = page.last() else { break };
            last = (end.organization, end.offer);
            for row in &page {
                if !self.has(row.organization) {
                    continue;
                }
                let name = format!("of {} to {}", row.organization, row.offer);
                let named = Row("entitlements", &name);
                match self.held.remove(&(row.organization, row.offer)) {
                    Some(held) if held.state.version > 0 => is_held(named, row, &held)?,
                    _ => return Err(named.differs(format!("version {}", row.version), "no event made it").into()),
                }
            }
        }
        let left = self.held.into_iter().find(|(_, held)| held.state.version > 0 || !held.waiting.is_empty());
        left.map_or(Ok(()), |((organization, offer), held)| {
            let name = format!("of {organization} to {offer}");
            let named = Row("entitlements", &name);
            Err(missing_version(named, &held)
                .unwrap_or_else(|| named.differs("no such row", format!("version {}", held.state.version)))
                .into())
        })
    }
}

/// Where a change waits for a version that no event has.
fn missing_version(entitlement: Row<'_>, held: &Held) -> Option<Difference> {
    let change = held.waiting.first()?;
    let stored = format!("version {} of the entitlement {}", change.after().version, entitlement.1);
    let facts = format!("no event has version {}", held.state.version + 1);
    Some(Row("events", &change.event()).differs(stored, facts))
}

fn is_held(named: Row<'_>, row: &EntitlementProof, held: &Held) -> Result<(), Difference> {
    if let Some(gap) = missing_version(named, held) {
        return Err(gap);
    }
    let state = &held.state;
    named.same("committed", row.committed, state.committed)?;
    named.same("next", row.next, state.next)?;
    named.same("month", row.month.as_str(), state.month.as_str())?;
    named.same("accrued", row.accrued.as_str(), state.accrued.as_str())?;
    named.same("charged", row.charged, state.charged)?;
    named.same("installed", row.installed, state.installed)?;
    named.same("metered", row.metered, state.metered)?;
    named.same("cap", row.cap, state.cap)?;
    named.same("version", row.version, state.version)?;
    named.same("changed_at", row.changed_at, held.changed_at)?;
    let latest = held.found.last().map_or_else(|| PurchaseId::from_uuid(uuid::Uuid::nil()), |found| found.purchase);
    named.same("purchase_id", row.purchase, latest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    fn change(version: i64, on: bool) -> Change {
        let id = uuid::Uuid::from_u64_pair(0, version.unsigned_abs());
        let after = State { version, installed: on, ..Held::nothing(0).state };
        Change::Installed {
            event: EventId::from_uuid(id),
            at: version,
            told: Box::new(Installation {
                organization: OrganizationId::from_uuid(id),
                offer: OfferId::from_uuid(id),
                after,
            }),
            on,
        }
    }

    fn entered(changes: &[(i64, bool)]) -> Result<Held, Difference> {
        let mut held = Held::nothing(0);
        for (version, on) in changes {
            held.enter(&Shop::empty(), change(*version, *on))?;
        }
        Ok(held)
    }

    /// Whatever the order of the events, versions are replayed in theirs.
    #[test]
    fn a_change_waits_for_the_version_before_it() {
        let orders = [[1, 2, 3, 4], [2, 1, 4, 3], [4, 3, 2, 1], [3, 1, 2, 4]];
        for order in orders {
            let held = entered(&order.map(|version| (version, version % 2 == 1))).unwrap();
            assert!(held.waiting.is_empty(), "{order:?}");
            assert_eq!((held.state.version, held.state.installed, held.changed_at), (4, false, 4), "{order:?}");
        }
    }

    /// A version that is missing leaves those after it waiting; one that is there twice is a difference.
    #[test]
    fn gaps_and_doubles_show() {
        assert_eq!(entered(&[(1, true), (3, true)]).unwrap().waiting.len(), 1);
        assert!(entered(&[(1, true), (1, true)]).is_err());
        assert!(entered(&[(1, true), (2, false), (1, true)]).is_err());
    }

    /// What is installed follows from the event alone; all else stays.
    #[test]
    fn an_installation_changes_nothing_else() {
        let mut change = change(1, true);
        if let Change::Installed { told, .. } = &mut change {
            told.after.committed = 1;
        }
        assert!(Held::nothing(0).enter(&Shop::empty(), change).is_err());
    }
}
