//! What is sold: publishers, offers, dated price versions.

use crate::row::Row;
use crate::{Reads, StoreError, Tx};
use kernel::{Currency, OfferId, PriceId, Slug, Timestamp, micros};

/// An offer as it is stored.
#[derive(Clone, Debug)]
pub struct OfferRow {
    /// Its id.
    pub id: OfferId,
    /// Its name in addresses.
    pub slug: Slug,
    /// Who sells it.
    pub publisher: String,
    /// All but the prices, JSON in the catalogue file's names.
    pub definition: String,
}

/// A price version as it is stored.
#[derive(Clone, Debug)]
pub struct PriceRow {
    /// Its id.
    pub id: PriceId,
    /// Of which offer.
    pub offer: OfferId,
    /// In which currency.
    pub currency: Currency,
    /// 1 for the first.
    pub version: i64,
    /// First day it is in force, `YYYY-MM-DD`; empty for the beginning of time.
    pub valid_from: String,
    /// Model and bands, JSON in the catalogue file's names.
    pub spec: String,
}

/// Publishers: slug, name, share.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn publishers(reads: &impl Reads) -> Result<Vec<(String, String, String)>, StoreError> {
    let rows = reads.rows("SELECT slug, name, share FROM publishers ORDER BY slug", vec![]).await?;
    rows.iter().map(|r| Ok((r.text("slug")?, r.text("name")?, r.text("share")?))).collect()
}

/// All offers, by slug.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn offers(reads: &impl Reads) -> Result<Vec<OfferRow>, StoreError> {
    let rows = reads.rows("SELECT id, slug, publisher, definition FROM offers ORDER BY slug", vec![]).await?;
    rows.iter()
        .map(|r| {
            Ok(OfferRow {
                id: r.id("id")?,
                slug: r.word("slug")?,
                publisher: r.text("publisher")?,
                definition: r.text("definition")?,
            })
        })
        .collect()
}

/// All price versions, by offer, currency and version.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn prices(reads: &impl Reads) -> Result<Vec<PriceRow>, StoreError> {
    let rows = reads
        .rows(
            "SELECT id, offer_id, currency, version, valid_from, spec FROM prices ORDER BY offer_id, currency, version",
            vec![],
        )
        .await?;
    rows.iter()
        .map(|r| {
            Ok(PriceRow {
                id: r.id("id")?,
                offer: r.id("offer_id")?,
                currency: r.word("currency")?,
                version: r.int("version")?,
                valid_from: r.text("valid_from")?,
                spec: r.text("spec")?,
            })
        })
        .collect()
}

/// Writes a publisher, new or changed.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn put_publisher(tx: &Tx, slug: &str, name: &str, share: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO publishers (slug, name, share) VALUES ($1, $2, $3) \
         ON CONFLICT (slug) DO UPDATE SET name = excluded.name, share = excluded.share",
        vec![slug.into(), name.into(), share.into()],
    )
    .await?;
    Ok(())
}

/// Writes an offer, new or changed.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn put_offer(tx: &Tx, row: &OfferRow) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO offers (id, slug, publisher, definition) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (slug) DO UPDATE SET publisher = excluded.publisher, definition = excluded.definition",
        vec![
            row.id.uuid().into(),
            row.slug.as_str().into(),
            row.publisher.as_str().into(),
            row.definition.as_str().into(),
        ],
    )
    .await?;
    Ok(())
}

/// Writes a new price version; versions never change.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn insert_price(tx: &Tx, row: &PriceRow, at: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO prices (id, offer_id, currency, version, valid_from, spec, published_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        vec![
            row.id.uuid().into(),
            row.offer.uuid().into(),
            row.currency.code().into(),
            row.version.into(),
            row.valid_from.as_str().into(),
            row.spec.as_str().into(),
            micros(at).into(),
        ],
    )
    .await?;
    Ok(())
}
