//! Reports of metered use: which usage events are counted, in which month, and which are refused and why.
//! Pure; [`count`] runs it in one transaction.

use crate::catalogue::{Catalogue, Offer, OfferKind};
use crate::metered::{self, Count};
use billing::SubscriptionStatus;
use chrono::TimeDelta;
use kernel::{Month, OfferId, OrganizationId, SubscriptionId, Timestamp, UsageBatchId, UsageId, micros};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use store::usage::{MeterRow, OpenRow, UsageRow};
use store::{StoreError, Tx, settings, usage};

/// Most usage events in one report.
pub const MOST: usize = 1_000;
/// Days after which use is too old to be reported.
const DAYS: i64 = 35;
/// Minutes that a reporter's clock may be ahead of ours.
const MINUTES_AHEAD: i64 = 5;

/// A usage event as it is reported.
#[derive(Clone, Debug)]
pub struct Reported {
    /// Its own id.
    pub id: UsageId,
    /// Who used it; none where there is no such organization.
    pub organization: Option<OrganizationId>,
    /// What, by id or slug.
    pub offer: String,
    /// Units.
    pub quantity: i64,
    /// When it was used.
    pub at: Timestamp,
}

kernel::string_enum! {
    /// Why a usage event is refused.
    pub enum UsageFault {
        /// Its id was counted before with other content.
        IdReused = "id_reused",
        /// Less than 1.
        BadQuantity = "bad_quantity",
        /// More than 5 minutes ahead.
        InTheFuture = "in_the_future",
        /// More than 35 days old.
        TooOld = "too_old",
        /// There is no such organization.
        UnknownOrganization = "unknown_organization",
        /// There is no such offer.
        UnknownOffer = "unknown_offer",
        /// The offer is sold by quantity.
        NotMetered = "not_metered",
        /// The organization has it not switched on.
        NotSwitchedOn = "not_switched_on",
        /// The payer's payment is overdue.
        PastDue = "past_due",
        /// The payer is switched off.
        Disabled = "disabled",
        /// It would go past the organization's cap, or the offer's maximum of paid units.
        OverCap = "over_cap",
    }
}

/// What became of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Usage events that were counted now.
    pub accepted: usize,
    /// Usage events that were counted before.
    pub repeated: usize,
    /// Those that are not counted, and why.
    pub refused: Vec<(UsageId, UsageFault)>,
}

/// What is to be written of a report.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// What became of it.
    pub tally: Tally,
    /// Usage events that are counted, by organization, with who pays for it.
    pub rows: BTreeMap<OrganizationId, (SubscriptionId, Vec<UsageRow>)>,
    /// What their months come to then.
    pub months: BTreeMap<(OrganizationId, OfferId, Month), Change>,
}

/// What a report changes of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who pays for the organization, and will be charged.
    pub payer: SubscriptionId,
    /// Before.
    pub before: Count,
    /// After.
    pub after: Count,
    /// Usage events that it counts.
    pub events: i64,
}

/// What a decision may look at.
#[derive(Debug)]
pub struct Meters<'a> {
    /// What is sold.
    pub catalogue: &'a Catalogue,
    /// Organizations that there are.
    pub organizations: HashSet<OrganizationId>,
    /// What they used and may use.
    pub rows: HashMap<(OrganizationId, OfferId), MeterRow>,
    /// Usage events that were counted before.
    pub known: HashMap<UsageId, UsageRow>,
    /// Business time.
    pub now: Timestamp,
}

/// Decides a report, one usage event after the other in its order.
#[must_use]
pub fn decide(meters: Meters<'_>, report: &[Reported]) -> Counted {
    let mut counted = Counted::default();
    let mut known = meters.known;
    let book = Meters { known: HashMap::new(), ..meters };
    for event in report {
        let offer = book.catalogue.resolve(&event.offer);
        if let Some(earlier) = known.get(&event.id) {
            // For good, however old it is by now.
            if is_same(earlier, event, offer.map(|offer| offer.id)) {
                counted.tally.repeated += 1;
            } else {
                counted.tally.refused.push((event.id.clone(), UsageFault::IdReused));
            }
            continue;
        }
        match book.counts(event, offer.map(AsRef::as_ref), &counted.months) {
            Ok((row, change)) => {
                counted.tally.accepted += 1;
                counted.months.insert((row.organization, row.offer, row.month), change);
                known.insert(row.id.clone(), row.clone());
                counted.rows.entry(row.organization).or_insert_with(|| (change.payer, Vec::new())).1.push(row);
            }
            Err(fault) => counted.tally.refused.push((event.id.clone(), fault)),
        }
    }
    counted
}

fn is_same(earlier: &UsageRow, event: &Reported, offer: Option<OfferId>) -> bool {
    Some(earlier.organization) == event.organization
        && Some(earlier.offer) == offer
        && earlier.quantity == event.quantity
        && earlier.at == event.at
}

impl Meters<'_> {
    /// The row of a usage event, and what its month comes to with it.
    fn counts(
        &self,
        event: &Reported,
        offer: Option<&Offer>,
        months: &BTreeMap<(OrganizationId, OfferId, Month), Change>,
    ) -> Result<(UsageRow, Change), UsageFault> {
        if event.quantity < 1 {
            return Err(UsageFault::BadQuantity);
        }
        let age = self.now.signed_duration_since(event.at);
        if age < -TimeDelta::minutes(MINUTES_AHEAD) {
            return Err(UsageFault::InTheFuture);
        }
        if age > TimeDelta::days(DAYS) {
            return Err(UsageFault::TooOld);
        }
        let organization = event.organization.filter(|id| self.organizations.contains(id));
        let organization = organization.ok_or(UsageFault::UnknownOrganization)?;
        let offer = offer.ok_or(UsageFault::UnknownOffer)?;
        if offer.definition.kind != OfferKind::LoadTesting {
            return Err(UsageFault::NotMetered);
        }
        let meter = self.rows.get(&(organization, offer.id)).filter(|meter| meter.on);
        let meter = meter.ok_or(UsageFault::NotSwitchedOn)?;
        let payer = may_pay(meter)?;
        // Its own month while the organization has not left it, then the one that is open.
        let own = Month::of(event.at);
        let month = meter.month.map_or(own, |came| came.max(own));
        let earlier = months.get(&(organization, offer.id, month)).copied();
        let mut change = earlier.unwrap_or_else(|| {
            let stored = meter.open.iter().find(|row| row.month == month);
            let before = stored.map_or_else(Count::default, |row| Count { used: row.used, late: row.late });
            Change { payer, before, after: before, events: 0 }
        });
        let used =
            change.after.used.checked_add(event.quantity).filter(|used| *used <= metered::most(offer, meter.cap));
        change.after.used = used.ok_or(UsageFault::OverCap)?;
        if month > own {
            change.after.late = change.after.late.saturating_add(event.quantity);
        }
        change.events = change.events.saturating_add(1);
        if !can_be_billed(meter, offer, month, change.after) {
            return Err(UsageFault::OverCap);
        }
        let (id, quantity, at) = (event.id.clone(), event.quantity, event.at);
        Ok((UsageRow { id, organization, offer: offer.id, quantity, at, month }, change))
    }
}

/// metered use stops the moment its payer cannot pay.
fn may_pay(meter: &MeterRow) -> Result<SubscriptionId, UsageFault> {
    let payer = meter.payer.ok_or(UsageFault::NotSwitchedOn)?;
    match meter.status.as_deref().map(str::parse::<SubscriptionStatus>) {
        Some(Ok(status)) if status.pays() => Ok(payer),
        Some(Ok(SubscriptionStatus::PastDue)) => Err(UsageFault::PastDue),
        Some(_) => Err(UsageFault::Disabled),
        None => Err(UsageFault::NotSwitchedOn),
    }
}

/// Whether what is used comes to an amount that a bill can hold; without a price it costs nothing.
fn can_be_billed(meter: &MeterRow, offer: &Offer, month: Month, count: Count) -> bool {
    let Some(currency) = meter.currency.filter(|_| count.used > offer.definition.included) else { return true };
    offer.is_free() || metered::charge(offer, currency, month, count).is_some()
}

/// What was counted of one organization, as the audit trail keeps it: one event a report and organization, with the hash
/// of its rows.
#[derive(Debug, Serialize)]
pub struct Told {
    batch: UsageBatchId,
    organization: OrganizationId,
    subscription: SubscriptionId,
    months: Vec<ToldMonth>,
    /// SHA-256 of the rows, as [`hash`] writes them.
    rows: String,
}

#[derive(Debug, Serialize)]
struct ToldMonth {
    offer: OfferId,
    month: Month,
    events: i64,
    before: i64,
    after: i64,
    late_before: i64,
    late_after: i64,
}

/// The hash of a batch's rows in their order: id, offer, quantity, instant and month, each on a line.
fn hash(rows: &[UsageRow]) -> String {
    let mut hash = Sha256::new();
    for UsageRow { id, offer, quantity, at, month, .. } in rows {
        hash.update(format!("{id}\n{offer}\n{quantity}\n{}\n{month}\n", micros(*at)));
    }
    hex::encode(hash.finalize())
}

/// What a report came to, and what is to be told of it by organization.
#[derive(Debug)]
pub struct Done {
    /// What became of it.
    pub tally: Tally,
    /// What the audit trail is told.
    pub told: Vec<(OrganizationId, Told)>,
    /// When.
    pub at: Timestamp,
}

/// Counts a report in a transaction: its organizations are held, what is known of it is read, decided and written.
///
/// # Errors
/// [`StoreError::Conflict`] where the same usage event was counted meanwhile: run again it is a repeat.
pub async fn count(
    tx: &Tx,
    catalogue: &Catalogue,
    report: &[Reported],
    (now, ids): (Timestamp, impl Fn() -> UsageBatchId),
) -> Result<Done, StoreError> {
    let mut held: Vec<OrganizationId> = report.iter().filter_map(|event| event.organization).collect();
    held.sort_unstable();
    held.dedup();
    let organizations = usage::hold(tx, &held).await?.into_iter().collect();
    let at = settings::number(tx, settings::CLOCK).await?.map_or(now, kernel::from_micros);
    let offer = |event: &Reported| Some((event.organization?, catalogue.resolve(&event.offer)?.id));
    let mut pairs: Vec<_> = report.iter().filter_map(offer).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let rows = usage::meters(tx, &pairs).await?;
    let known = usage::known(tx, report.iter().map(|event| &event.id)).await?;
    let counted = decide(Meters { catalogue, organizations, rows, known, now: at }, report);
    if counted.rows.is_empty() {
        return Ok(Done { tally: counted.tally, told: Vec::new(), at });
    }
    let months: Vec<OpenRow> = counted
        .months
        .iter()
        .map(|((organization, offer, month), change)| OpenRow {
            organization: *organization,
            offer: *offer,
            month: *month,
            payer: change.payer,
            used: change.after.used,
            late: change.after.late,
        })
        .collect();
    let batches: Vec<_> = counted.rows.into_iter().map(|(id, (payer, rows))| (id, payer, (ids(), rows))).collect();
    let mut changes = told_months(&counted.months);
    let told = batches
        .iter()
        .map(|(organization, payer, (batch, rows))| {
            let told = Told {
                batch: *batch,
                organization: *organization,
                subscription: *payer,
                months: changes.remove(organization).unwrap_or_default(),
                rows: hash(rows),
            };
            (*organization, told)
        })
        .collect();
    let batches: Vec<_> = batches.into_iter().map(|(_, _, batch)| batch).collect();
    usage::count(tx, &batches, &months).await?;
    Ok(Done { tally: counted.tally, told, at })
}

/// What changed of their months, by organization.
fn told_months(months: &BTreeMap<(OrganizationId, OfferId, Month), Change>) -> HashMap<OrganizationId, Vec<ToldMonth>> {
    let mut told: HashMap<_, Vec<_>> = HashMap::new();
    for ((organization, offer, month), change) in months {
        told.entry(*organization).or_default().push(ToldMonth {
            offer: *offer,
            month: *month,
            events: change.events,
            before: change.before.used,
            after: change.after.used,
            late_before: change.before.late,
            late_after: change.after.late,
        });
    }
    told
}
