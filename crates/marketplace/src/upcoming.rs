//! A page of a payer's next bill, without working out the others. Its sums are those of the whole bill, from what is
//! kept of charges and renewals; the tax is not shared over the lines, since that takes all of them.

use crate::bill::{Bill, Line, Upcoming};
use crate::lines::nets;
use crate::metered::{self, Count};
use crate::turn::full_month;
use billing::Payer;
use billing::invoice::Sums;
use kernel::{Money, Month, OfferId, OrganizationId};
use std::collections::HashMap;
use store::coming::{self, Stretch};
use store::subscriptions::SubscriptionRow;
use store::{Reads, StoreError, payer_usage};

/// Where a page begins: an organization, and how many of its lines stand on pages before.
pub type From = (OrganizationId, i64);

/// Some lines of a bill, and where the next page begins.
type Some = (Vec<Line>, Option<From>);

impl Upcoming<'_> {
    /// At most `limit` lines of a payer's next bill from a place on, in the order of organizations' ids, with the bill's
    /// sums; and where the next page begins. While a month is turning the whole bill is worked out, in its own order, and
    /// there is no next page.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn page(
        &self,
        reads: &impl Reads,
        row: &SubscriptionRow,
        from: Option<From>,
        limit: i64,
    ) -> Result<(Bill, Option<From>), StoreError> {
        let payer = Payer::try_from(row).map_err(StoreError::corrupt)?;
        let bill = self.first(reads, &payer).await?;
        if bill <= self.month {
            return Ok((self.of(reads, row).await?, None));
        }
        let (sums, in_all) = self.sums(reads, &payer, bill).await?;
        let from = from.unwrap_or((OrganizationId::from_uuid(uuid::Uuid::nil()), 0));
        let (lines, next) = self.some(reads, &payer, bill, from, limit).await?;
        Ok((self.bill(row, bill, (lines, in_all), &sums)?, next))
    }

    /// What the bill comes to, and of how many lines.
    async fn sums(&self, reads: &impl Reads, payer: &Payer, bill: Month) -> Result<(Sums, i64), StoreError> {
        let much = || StoreError::corrupt("more than can be billed");
        let charged = coming::charged(reads, payer.id, bill).await?;
        let (mut amounts, mut lines) = (charged.sums, charged.charges);
        let rate = self.taxes.of(payer, bill.first_day());
        let renewals = if payer.status.pays() { coming::renewals(reads, payer.id).await? } else { Vec::new() };
        for (offer, units, organizations) in renewals {
            let offer = self.catalogue.offer(offer);
            let Some(basis) = offer.and_then(|offer| full_month(offer, payer.currency, bill, units)) else { continue };
            if basis.amount != 0 {
                let all = basis.amount.checked_mul(organizations).ok_or_else(much)?;
                amounts.push((rate.as_str().to_owned(), all));
                lines = lines.saturating_add(organizations);
            }
        }
        // A month before would have made its bill the next.
        for used in payer_usage::sums(reads, payer.id, bill.prev()).await? {
            let count = Count { used: used.used, late: 0 };
            let offer = self.catalogue.offer(used.offer);
            let Some(basis) = offer.and_then(|offer| metered::charge(offer, payer.currency, used.month, count)) else {
                continue;
            };
            if basis.amount != 0 {
                let rate = self.taxes.of(payer, used.month.first_day());
                let all = basis.amount.checked_mul(used.organizations).ok_or_else(much)?;
                amounts.push((rate.as_str().to_owned(), all));
                lines = lines.saturating_add(used.organizations);
            }
        }
        Ok((Sums::of(amounts, payer.currency).map_err(|_| much())?, lines))
    }

    /// Lines from a place on: as many organizations at once as a page can have, until it is full.
    async fn some(
        &self,
        reads: &impl Reads,
        payer: &Payer,
        bill: Month,
        (mut first, mut skip): From,
        limit: i64,
    ) -> Result<Some, StoreError> {
        let more = limit.saturating_add(1);
        let mut found: Vec<(OrganizationId, i64, Line)> = Vec::new();
        loop {
            let organizations = coming::organizations(reads, payer.id, bill, first, more).await?;
            let (Some(&begin), Some(&last)) = (organizations.first(), organizations.last()) else { break };
            // Only of the organization that the page begins with some lines stand before.
            let skipped = if begin == first { skip } else { 0 };
            let stretch = Stretch { payer: payer.id, bill, first: begin, last };
            let lines = self.stretch(reads, payer, &stretch, skipped.saturating_add(more)).await?;
            let mut place: HashMap<OrganizationId, i64> = HashMap::new();
            for line in lines {
                let at = place.entry(line.organization.id).or_default();
                if line.organization.id != begin || *at >= skipped {
                    found.push((line.organization.id, *at, line));
                }
                *at = at.saturating_add(1);
            }
            let full = i64::try_from(found.len()).unwrap_or(i64::MAX) > limit;
            if full || i64::try_from(organizations.len()).unwrap_or(0) < more {
                break;
            }
            // Nothing is of the next id in between, and what is of it is wanted.
            first = OrganizationId::from_uuid(uuid::Uuid::from_u128(last.uuid().as_u128().saturating_add(1)));
            skip = 0;
        }
        let size = usize::try_from(limit).unwrap_or(usize::MAX);
        let next = found.get(size).map(|(organization, at, _)| (*organization, *at));
        found.truncate(size);
        Ok((found.into_iter().map(|(_, _, line)| line).collect(), next))
    }

    /// The first lines of some organizations, each with its organization's sum.
    async fn stretch(
        &self,
        reads: &impl Reads,
        payer: &Payer,
        stretch: &Stretch,
        most: i64,
    ) -> Result<Vec<Line>, StoreError> {
        let mut lines: Vec<(OfferId, Line)> = Vec::new();
        for line in stretch.charges(reads, most).await? {
            lines.push((line.charge.offer, self.charged(line)?));
        }
        let mut amounts = stretch.sums(reads).await?;
        let renewals = if payer.status.pays() { stretch.renewals(reads).await? } else { Vec::new() };
        for renewal in renewals {
            let offer = renewal.offer;
            if let Some(line) = self.renewed(renewal, payer, stretch.bill) {
                amounts.push((line.organization.id, line.amount.minor()));
                lines.push((offer, line));
            }
        }
        for used in stretch.used(reads).await? {
            let offer = used.row.offer;
            if let Some(line) = self.used(used, payer) {
                amounts.push((line.organization.id, line.amount.minor()));
                lines.push((offer, line));
            }
        }
        lines.sort_by_key(|(offer, line)| {
            (line.organization.id, *offer, line.month, line.charge.is_none(), line.charge)
        });
        let nets = nets(amounts)?;
        let with_net = |(_, mut line): (OfferId, Line)| {
            let net = nets.get(&line.organization.id).copied().unwrap_or_default();
            line.organization_net = Money::new(net, payer.currency);
            line
        };
        Ok(lines.into_iter().map(with_net).collect())
    }
}
