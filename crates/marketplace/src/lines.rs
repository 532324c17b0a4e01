//! The lines that an invoice is issued with, as they then stay: their order, names, and shares of the tax.
//! Pure.

use billing::invoice::Sums;
use kernel::{ChargeId, InvoiceId, Month, OfferId, OrganizationId};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use store::StoreError;
use store::lines::{FrozenLine, WaitingLine};

/// What lines stand by on a bill: organization by organization, in it offer by offer, what was bought before what renews.
pub type Order<'a> = (&'a str, OrganizationId, &'a str, Month, bool);

/// The offers' slugs and names.
pub trait Offers {
    /// Slug and name of an offer.
    fn named(&self, offer: OfferId) -> Option<(&str, &str)>;
}

impl Offers for crate::catalogue::Catalogue {
    fn named(&self, offer: OfferId) -> Option<(&str, &str)> {
        self.offer(offer).map(|offer| (offer.slug.as_str(), offer.definition.name.as_str()))
    }
}

/// Makes the lines of an invoice of what waits for its bill.
///
/// # Errors
/// [`StoreError::Corrupt`] for an offer that is not there, or an organization's sum past the largest amount.
pub fn freeze(
    invoice: InvoiceId,
    waiting: Vec<WaitingLine>,
    offers: &impl Offers,
    sums: &Sums,
) -> Result<Vec<FrozenLine>, StoreError> {
    let mut lines = Vec::with_capacity(waiting.len());
    for line in waiting {
        let missing = || StoreError::corrupt(format!("{} is of an offer that is not there", line.charge));
        let (slug, name) = offers.named(line.offer).ok_or_else(missing)?;
        lines.push((slug, name, line));
    }
    lines.sort_by(|(one, _, a), (other, _, b)| (order(one, a), a.charge).cmp(&(order(other, b), b.charge)));
    let weights: Vec<(String, i64)> = lines.iter().map(|(_, _, line)| (line.tax_rate.clone(), line.amount)).collect();
    let shares = sums.shared(&weights);
    let nets = nets(lines.iter().map(|(_, _, line)| (line.organization, line.amount)))?;
    let lines = (1..).zip(lines).zip(shares).map(|((place, (_, offer_name, line)), tax)| FrozenLine {
        invoice,
        place,
        charge: line.charge,
        slug: line.slug,
        organization_net: nets.get(&line.organization).copied().unwrap_or_default(),
        name: line.name,
        offer_name: offer_name.to_owned(),
        tax,
    });
    Ok(lines.collect())
}

fn order<'a>(offer: &'a str, line: &'a WaitingLine) -> Order<'a> {
    (&line.name, line.organization, offer, line.month, line.renewal)
}

/// What the lines of each organization come to, minor units.
///
/// # Errors
/// [`StoreError::Corrupt`] past the largest amount.
pub fn nets(
    amounts: impl IntoIterator<Item = (OrganizationId, i64)>,
) -> Result<HashMap<OrganizationId, i64>, StoreError> {
    let mut nets: HashMap<OrganizationId, i64> = HashMap::new();
    for (organization, amount) in amounts {
        let net = nets.entry(organization).or_default();
        *net = net.checked_add(amount).ok_or_else(|| StoreError::corrupt(format!("{organization} owes too much")))?;
    }
    Ok(nets)
}

/// The hash over an invoice's lines that its event holds: names are proven by it without standing in the event.
#[derive(Clone, Debug, Default)]
pub struct LinesHash(Sha256);

impl LinesHash {
    /// Adds the next line.
    pub fn add(&mut self, place: i64, charge: ChargeId, names: [&str; 3], tax: i64, organization_net: i64) {
        let line = serde_json::json!([place, charge, names, tax, organization_net]);
        self.0.update(line.to_string());
        self.0.update("\n");
    }

    /// The hash, in hexadecimal digits.
    #[must_use]
    pub fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }

    /// The hash over all lines of an invoice.
    #[must_use]
    pub fn of(lines: &[FrozenLine]) -> String {
        let mut hash = Self::default();
        for line in lines {
            let names = [line.slug.as_str(), line.name.as_str(), line.offer_name.as_str()];
            hash.add(line.place, line.charge, names, line.tax, line.organization_net);
        }
        hash.finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    struct Two;

    impl Offers for Two {
        fn named(&self, offer: OfferId) -> Option<(&str, &str)> {
            match offer.uuid().as_u128() {
                1 => Some(("b.offer", "First")),
                2 => Some(("a.offer", "Second")),
                _ => None,
            }
        }
    }

    fn line(charge: u128, name: &str, organization: u128, offer: u128, amount: i64) -> WaitingLine {
        let id = uuid::Uuid::from_u128;
        WaitingLine {
            bill: 0,
            charge: ChargeId::from_uuid(id(charge)),
            organization: OrganizationId::from_uuid(id(organization)),
            slug: name.to_lowercase(),
            name: name.to_owned(),
            offer: OfferId::from_uuid(id(offer)),
            month: "2018-05-01".parse().unwrap(),
            renewal: false,
            tax_rate: "20".to_owned(),
            amount,
        }
    }

    /// grouped by organization, tax shared over all, each with its organization's sum.
    #[test]
    fn lines_are_frozen_in_the_order_of_a_bill() {
        let waiting = vec![
            line(1, "Zoo", 7, 1, 33),
            line(4, "Ape", 8, 1, 10),
            line(3, "Ape", 8, 1, 33),
            line(2, "Ape", 8, 2, 33),
        ];
        let sums = Sums::of([("20".to_owned(), 109)], "USD".parse().unwrap()).unwrap();
        let invoice = InvoiceId::from_uuid(uuid::Uuid::nil());
        let lines = freeze(invoice, waiting.clone(), &Two, &sums).unwrap();
        let shown: Vec<_> = lines
            .iter()
            .map(|line| (line.place, line.charge.uuid().as_u128(), line.offer_name.as_str(), line.organization_net))
            .collect();
        assert_eq!(shown, [(1, 2, "Second", 76), (2, 3, "First", 76), (3, 4, "First", 76), (4, 1, "First", 33)]);
        assert_eq!(lines.iter().map(|line| line.tax).collect::<Vec<_>>(), [7, 7, 2, 6]);
        assert_eq!(sums.tax, 22);
        let mut other = waiting;
        other[0].name = "Zoe".to_owned();
        let hash = |lines| LinesHash::of(&freeze(invoice, lines, &Two, &sums).unwrap());
        assert_ne!(hash(other.clone()), LinesHash::of(&lines));
        other[0].offer = OfferId::from_uuid(uuid::Uuid::from_u128(3));
        assert!(freeze(invoice, other, &Two, &sums).is_err());
    }
}
