//! The rows that a page of events names, looked up together.

use std::collections::HashMap;

use kernel::{ChargeId, LinkId, PurchaseId};
use store::proof::{self, ChargeProof, LinkProof, PurchaseProof, TransferProof, UsageProof};
use store::{StoreError, Tx};

use super::line::Charged;
use super::told::Told;

/// Rows by id; each is taken out by the one event that may name it.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Purchases.
    pub purchases: HashMap<PurchaseId, PurchaseProof>,
    /// Charges.
    pub charges: HashMap<ChargeId, ChargeProof>,
    /// Postings of charges, in order.
    pub transfers: HashMap<ChargeId, Vec<TransferProof>>,
    /// Charges that others take back, with their postings.
    pub reversed: HashMap<ChargeId, Charged>,
    /// Links.
    pub links: HashMap<LinkId, LinkProof>,
    /// Usage events of the report that is told of next.
    pub usage: Vec<UsageProof>,
}

impl Evidence {
    /// Looks up what the events of a page name.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn gather(tx: &Tx, page: &[Told]) -> Result<Self, StoreError> {
        let (mut purchases, mut charges, mut links) = (Vec::new(), Vec::new(), Vec::new());
        let mut reversed: Vec<ChargeId> = Vec::new();
        for told in page {
            match told {
                Told::Completed(told) => {
                    purchases.push(told.purchase);
                    charges.extend(told.lines.iter().filter_map(|line| line.charge));
                    links.extend(told.link);
                }
                Told::Undone(told) => {
                    charges.extend(told.lines.iter().filter_map(|line| line.charge));
                    reversed.extend(told.lines.iter().filter_map(|line| line.reverses));
                }
                Told::Turned(told) => charges.extend(told.charges()),
                Told::Resumed(told) => charges.extend(told.lines.iter().filter_map(|line| line.charge)),
                Told::SetUp(told) => links.push(told.link),
                Told::Installation(..) | Told::Counted(_) | Told::Pending(_) | Told::Released(_) | Told::Other => {}
            }
        }
        let mut evidence = Self::default();
        for row in proof::transfers(tx, &charges).await? {
            evidence.transfers.entry(row.fact).or_default().push(row);
        }
        for row in proof::charges(tx, &reversed).await? {
            evidence.reversed.insert(row.id, Charged { row, postings: Vec::new() });
        }
        for posting in proof::transfers(tx, &reversed).await? {
            evidence.reversed.entry(posting.fact).and_modify(|charged| charged.postings.push(posting));
        }
        let purchases = proof::purchases(tx, &purchases).await?;
        evidence.purchases = purchases.into_iter().map(|row| (row.id, row)).collect();
        evidence.charges = proof::charges(tx, &charges).await?.into_iter().map(|row| (row.id, row)).collect();
        evidence.links = proof::links(tx, &links).await?.into_iter().map(|row| (row.id, row)).collect();
        Ok(evidence)
    }
}
