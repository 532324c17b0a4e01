//! What an invoice is issued for.

use crate::calendar::Month;
use crate::ids::PurchaseId;
use crate::text::TextError;
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// What an invoice is issued for, and so on which a charge is billed: the first day of a month, written
/// `2018-05-01`, or a purchase that was paid when it was made, written as its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Occasion {
    /// A month's first day.
    Month(Month),
    /// A purchase that was paid at once.
    Purchase(PurchaseId),
}

impl Occasion {
    /// The month, where it is one.
    #[must_use]
    pub const fn month(self) -> Option<Month> {
        match self {
            Self::Month(month) => Some(month),
            Self::Purchase(_) => None,
        }
    }
}

impl From<Month> for Occasion {
    fn from(month: Month) -> Self {
        Self::Month(month)
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Month(month) => month.fmt(f),
            Self::Purchase(purchase) => purchase.fmt(f),
        }
    }
}

impl FromStr for Occasion {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let purchase = || text.parse().map(Self::Purchase);
        let fault = TextError::new("must be the first day of a month or a purchase's id");
        text.parse().map(Self::Month).or_else(|_| purchase()).map_err(|_| fault)
    }
}

impl Serialize for Occasion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn an_occasion_is_read_as_it_is_written() {
        let purchase = PurchaseId::from_uuid(uuid::Uuid::from_u64_pair(1, 2));
        for occasion in [Occasion::Month("2018-05-01".parse().unwrap()), Occasion::Purchase(purchase)] {
            assert_eq!(occasion.to_string().parse::<Occasion>().unwrap(), occasion);
        }
        for none in ["", "2018-05-02", "inv_00000000000000000000000000"] {
            assert!(none.parse::<Occasion>().is_err(), "{none}");
        }
    }
}
