//! An offer as the API shows it: the catalogue file's names, its ids, and the price versions that count on a day.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use kernel::{Currency, OfferId, PriceSpec, Slug};
use serde::Serialize;

use super::model::{Definition, Offer, PriceVersion};

/// An offer, as of a day.
#[derive(Clone, Debug, Serialize)]
pub struct OfferView {
    /// Its id.
    pub id: OfferId,
    /// Its name in addresses.
    pub slug: Slug,
    /// All but the prices.
    #[serde(flatten)]
    pub definition: Definition,
    /// The price in force, by currency; empty for a free offer.
    pub prices: BTreeMap<Currency, PriceView>,
    /// Versions that come into force later, by currency, the next one first.
    pub upcoming: BTreeMap<Currency, Vec<PriceView>>,
}

/// A price version.
#[derive(Clone, Debug, Serialize)]
pub struct PriceView {
    /// Its number, as quotes and charges name it.
    pub price_version: i64,
    /// The first day it is in force; `null` for the beginning of time.
    pub from: Option<NaiveDate>,
    /// Model, bands, size.
    #[serde(flatten)]
    pub spec: PriceSpec,
}

impl From<&PriceVersion> for PriceView {
    fn from(version: &PriceVersion) -> Self {
        Self { price_version: version.version, from: version.from, spec: version.price.spec() }
    }
}

impl OfferView {
    /// The offer as it stands on `date`.
    #[must_use]
    pub fn on(offer: &Offer, date: NaiveDate) -> Self {
        let currencies = || offer.prices.keys().copied();
        Self {
            id: offer.id,
            slug: offer.slug.clone(),
            definition: offer.definition.clone(),
            prices: currencies()
                .filter_map(|currency| Some((currency, offer.price_on(currency, date)?.into())))
                .collect(),
            upcoming: currencies()
                .map(|currency| (currency, upcoming(offer, currency, date)))
                .filter(|(_, versions)| !versions.is_empty())
                .collect(),
        }
    }
}

/// Versions that begin after `date` and are not replaced before they do.
fn upcoming(offer: &Offer, currency: Currency, date: NaiveDate) -> Vec<PriceView> {
    let mut versions: Vec<&PriceVersion> = offer
        .versions(currency)
        .iter()
        .filter(|version| version.from.is_some_and(|from| from > date && begins(offer, currency, from, version)))
        .collect();
    versions.sort_by_key(|version| version.from);
    versions.into_iter().map(PriceView::from).collect()
}

fn begins(offer: &Offer, currency: Currency, from: NaiveDate, version: &PriceVersion) -> bool {
    offer.price_on(currency, from).is_some_and(|in_force| in_force.version == version.version)
}
