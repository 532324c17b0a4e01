//! Purchases that are paid when they are made: each waits, is completed or released as its events say, holds its offers as
//! long as it waits and no longer, and leaves nothing of itself when it was released.

use std::collections::{BTreeMap, HashMap};

use kernel::{OfferId, OrganizationId, PurchaseId};
use sha2::{Digest, Sha256};
use store::Tx;
use store::collections::{self, CollectionRow, HeldOffer};
use store::proof::{self, Fact, PurchaseProof};

use super::told::Pending;
use super::{Difference, PAGE, Row, VerifyError};

/// What is told of such purchases. A purchase's events may be met the other way round, so they are put together at the end.
#[derive(Debug, Default)]
pub struct Collected {
    asked: BTreeMap<PurchaseId, (i64, String, Pending)>,
    settled: HashMap<PurchaseId, (i64, &'static str, String)>,
}

impl Collected {
    /// A purchase waits for its payment.
    ///
    /// # Errors
    /// [`Difference`] where that was told before.
    pub fn asked(&mut self, fact: &Fact, told: Pending) -> Result<(), Difference> {
        let id = told.purchase;
        match self.asked.insert(id, (fact.at, fact.actor.clone(), told)) {
            None => Ok(()),
            Some(_) => Err(Row("events", &fact.id).differs(format!("purchase {id}"), "another event told of it")),
        }
    }

    /// It was completed or released.
    ///
    /// # Errors
    /// [`Difference`] where it was before.
    pub fn settled(
        &mut self,
        fact: &Fact,
        id: PurchaseId,
        (state, reason): (&'static str, &str),
    ) -> Result<(), Difference> {
        match self.settled.insert(id, (fact.at, state, reason.to_owned())) {
            None => Ok(()),
            Some(_) => Err(Row("events", &fact.id).differs(format!("purchase {id}"), "another event settled it")),
        }
    }

    /// Proves the rows of the purchases of these organizations; how many purchases wait.
    ///
    /// # Errors
    /// The first row that is not what the events say.
    pub async fn settle(mut self, tx: &Tx, has: impl Fn(OrganizationId) -> bool) -> Result<i64, VerifyError> {
        if let Some(id) = self.settled.keys().find(|id| !self.asked.contains_key(id)) {
            return Err(Row("purchases", id).differs("settled", "no event says that it waited").into());
        }
        let mut held: HashMap<(OrganizationId, OfferId), HeldOffer> = collections::held(tx)
            .await?
            .into_iter()
            .filter(|row| has(row.organization))
            .map(|row| ((row.organization, row.offer), row))
            .collect();
        let (mut last, mut waiting) = (None, 0);
        loop {
            let page = collections::after(tx, last, PAGE).await?;
            let Some(end) = page.last() else { break };
            last = Some(end.purchase);
            let ids: Vec<PurchaseId> = page.iter().map(|row| row.purchase).collect();
            let mut purchases: HashMap<PurchaseId, PurchaseProof> =
                proof::purchases(tx, &ids).await?.into_iter().map(|row| (row.id, row)).collect();
            for row in page.iter().filter(|row| has(row.organization)) {
                let named = Row("collections", &row.purchase);
                let told = self.asked.remove(&row.purchase);
                let (at, actor, told) = told.ok_or_else(|| named.differs("this row", "no event tells of it"))?;
                let settled = self.settled.get(&row.purchase);
                is_told(row, at, &told, settled)?;
                let purchase = purchases.remove(&row.purchase);
                match settled {
                    None => {
                        waits(purchase, (at, &actor), &told)?;
                        holds(&mut held, row, &told)?;
                        waiting += 1;
                    }
                    Some((_, "released", _)) if purchase.is_some() => {
                        return Err(Row("purchases", &row.purchase).differs("this row", "it was released").into());
                    }
                    Some(_) => {}
                }
            }
        }
        if let Some(id) = self.asked.keys().next() {
            return Err(Row("collections", id).differs("no such row", "an event wrote it").into());
        }
        match held.into_values().next() {
            None => Ok(waiting),
            Some(row) => {
                let name = format!("{} of {}", row.offer, row.organization);
                Err(Row("held_offers", &name).differs("this row", "no purchase that waits holds it").into())
            }
        }
    }
}

fn is_told(
    row: &CollectionRow,
    at: i64,
    told: &Pending,
    settled: Option<&(i64, &'static str, String)>,
) -> Result<(), Difference> {
    let named = Row("collections", &row.purchase);
    let (settled_at, state, reason) = settled.map_or((0, "pending", ""), |(at, state, why)| (*at, *state, why));
    named.same("organization_id", row.organization, told.organization)?;
    named.same("subscription_id", row.subscription, told.subscription)?;
    named.same("payment_id", row.payment, told.payment)?;
    named.same("state", row.state.as_str(), state)?;
    named.same("reason", row.reason.as_str(), reason)?;
    named.same("at", kernel::micros(row.at), at)?;
    named.same("settled_at", row.settled_at.map_or(0, kernel::micros), settled_at)
}

/// A purchase that waits has its row, whose answer says so.
fn waits(row: Option<PurchaseProof>, (at, actor): (i64, &str), told: &Pending) -> Result<(), Difference> {
    let named = Row("purchases", &told.purchase);
    let row = row.ok_or_else(|| named.differs("no such row", "it waits for its payment"))?;
    named.same("organization_id", row.organization, told.organization)?;
    named.same("subscription_id", row.subscription, told.subscription)?;
    named.same("actor_id", row.actor.to_string(), actor)?;
    named.same("state", row.state.as_str(), "pending")?;
    named.same("at", row.at, at)?;
    named.same("SHA-256 of answer", hex::encode(Sha256::digest(row.answer.as_bytes())), told.answer.as_str())?;
    let hash = Sha256::new().chain_update(row.key.as_bytes()).chain_update(&row.request_hash).finalize();
    named.same("SHA-256 of key and request_hash", hex::encode(hash), told.request.as_str())
}

/// It holds its offers, and each costs what was told.
fn holds(
    held: &mut HashMap<(OrganizationId, OfferId), HeldOffer>,
    row: &CollectionRow,
    told: &Pending,
) -> Result<(), Difference> {
    for offer in &told.offers {
        let name = format!("{} of {}", offer.offer, row.organization);
        let named = Row("held_offers", &name);
        let stored = held.remove(&(row.organization, offer.offer));
        let stored = stored.ok_or_else(|| named.differs("no such row", format!("{} holds it", row.purchase)))?;
        named.same("purchase_id", stored.purchase, row.purchase)?;
        named.same("subscription_id", stored.subscription, row.subscription)?;
        named.same("links", stored.links, told.links)?;
        named.same("month", stored.month.to_string(), kernel::Month::of(row.at).to_string())?;
        named.same("amount", stored.amount, offer.amount)?;
        named.same("renewal", stored.renewal, offer.renewal)?;
    }
    Ok(())
}
