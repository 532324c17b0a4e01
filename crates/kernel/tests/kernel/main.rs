//! What the kernel promises: published examples, properties, strictness of what comes from outside, and the permissions page.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

mod exact;
mod explanation;
mod outside;
mod permissions;
mod prices;
mod properties;
mod worked_examples;

use kernel::{Price, PriceSpec, Timestamp, parse_rfc3339};

pub fn instant(text: &str) -> Timestamp {
    parse_rfc3339(text).unwrap()
}

pub fn spec(json: &str) -> PriceSpec {
    serde_json::from_str(json).unwrap()
}

pub fn price(json: &str) -> Price {
    Price::parse(spec(json)).unwrap()
}
