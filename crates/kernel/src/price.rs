//! Prices: five models, bands that count paid units, and the total of a quantity as the sum of its parts, so
//! that what is explained is what is charged.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::exact::Exact;
use crate::text::TextError;

/// Unit prices keep this many decimals.
const DECIMALS: u32 = 12;
const INTEGER_DIGITS: usize = 15;

/// A price in major units, not negative: a decimal of up to 15 digits before and 12 behind the point. It is shown as it was
/// typed (`6.00`), and compared by value.
#[derive(Clone, Copy)]
pub struct UnitPrice {
    /// The value × 10^12, which is below 10^27.
    scaled: i128,
    /// How many decimals were typed.
    decimals: u32,
}

impl UnitPrice {
    /// 0.
    pub const ZERO: Self = Self { scaled: 0, decimals: 0 };

    /// The value in major units, exactly.
    pub fn to_exact(self) -> Exact {
        Exact::decimal(self.scaled, DECIMALS)
    }
}

impl FromStr for UnitPrice {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let wrong = TextError::new("must be a decimal such as 6.00, not negative, of up to 12 decimals");
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(wrong),
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let padded = whole.len() > 1 && whole.starts_with('0');
        let decimals = u32::try_from(fraction.len()).ok().filter(|&decimals| decimals <= DECIMALS);
        if whole.is_empty() || whole.len() > INTEGER_DIGITS || padded || !digits(whole) || !digits(fraction) {
            return Err(wrong);
        }
        let width = usize::try_from(DECIMALS).unwrap_or(0);
        let scaled = format!("{whole}{fraction:0<width$}").parse().ok();
        decimals.zip(scaled).map(|(decimals, scaled)| Self { scaled, decimals }).ok_or(wrong)
    }
}

impl fmt::Display for UnitPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = 10i128.pow(DECIMALS);
        write!(f, "{}", self.scaled / one)?;
        if self.decimals == 0 {
            return Ok(());
        }
        let typed = (self.scaled % one) / 10i128.pow(DECIMALS.saturating_sub(self.decimals));
        write!(f, ".{typed:0>0$}", usize::try_from(self.decimals).unwrap_or(0))
    }
}

impl fmt::Debug for UnitPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for UnitPrice {
    fn eq(&self, other: &Self) -> bool {
        self.scaled == other.scaled
    }
}

impl Eq for UnitPrice {}

impl Hash for UnitPrice {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.scaled.hash(state);
    }
}

string_serde!(UnitPrice);

string_enum! {
    /// How a quantity of paid units becomes an amount.
    pub enum Model {
        /// One amount for any quantity above 0.
        Flat = "flat",
        /// Every unit at one price.
        PerUnit = "per_unit",
        /// Each unit at the price of its band; the flat fee of every band that is entered.
        Graduated = "graduated",
        /// All units at the price of the band that the quantity falls in, and that band's flat fee.
        Volume = "volume",
        /// Blocks of `size` units, rounded up.
        Package = "package",
    }
}

/// A range of paid units: from the band before, exclusive, to `up_to`, inclusive.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// The last paid unit of the band; `None` has no end, and only the last band is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<i64>,
    /// The price of a unit; without one, units cost only the flat fee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitPrice>,
    /// A fee for the band as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flat: Option<UnitPrice>,
}

/// A price as it stands in the catalogue file, in answers and in explanations; [`Price::parse`] checks it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceSpec {
    /// The model.
    pub model: Model,
    /// Bands, lowest first, for `graduated` and `volume`; one band for `flat` and `per_unit` if they name it so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bands: Vec<Band>,
    /// Units in a block, for `package`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// The price of a unit (`per_unit`), of a block (`package`) or of it all (`flat`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitPrice>,
    /// The price of it all, for `flat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flat: Option<UnitPrice>,
}

/// What is wrong with a price; its text is the plain sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PriceFaultKind {
    /// No price is named at all.
    #[error("the price is empty: it names no unit price, flat fee or band")]
    Empty,
    /// A bound is not above the one before, so that bands overlap.
    #[error("up_to must be greater than that of the band before: the bands overlap")]
    BoundNotRising,
    /// A bound is below the first unit.
    #[error("up_to counts paid units and must be at least 1")]
    BoundNotPositive,
    /// The last band ends, so that larger quantities have no price.
    #[error("the last band must have no up_to: larger quantities would have no price")]
    LastBandBounded,
    /// A band without an end is not the last, so that bands overlap.
    #[error("only the last band may have no up_to: the bands overlap")]
    UnboundedBandNotLast,
    /// A band costs nothing by omission; free is `unit = "0"`.
    #[error("the band needs a unit price or a flat fee; a free band says unit = \"0\"")]
    BandWithoutPrice,
    /// A package needs a size.
    #[error("a package needs a size of at least 1 unit")]
    SizeTooSmall,
    /// A model needs the price of a unit.
    #[error("the model needs a unit price")]
    UnitMissing,
    /// Fields that the model does not use, or two that say the same.
    #[error("the model does not take these fields together: {0}")]
    WrongFields(&'static str),
}

/// One fault of a price, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}{kind}", band.map(|index| format!("band {}: ", index.saturating_add(1))).unwrap_or_default())]
pub struct PriceFault {
    /// The band, counted from 0; `None` for the price as a whole.
    pub band: Option<usize>,
    /// What is wrong.
    pub kind: PriceFaultKind,
}

/// A price that has been checked: its bands tile the quantities from 1 without gap or overlap. In JSON a [`PriceSpec`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "PriceSpec", into = "PriceSpec")]
pub struct Price(PriceSpec);

/// What one band, or one model without bands, adds to a total.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricePart {
    /// The first paid unit that it is for.
    pub from: i64,
    /// The last paid unit that it is for.
    pub to: i64,
    /// How many times `unit` is taken: units, blocks of a package, or 1 for `flat`.
    pub units: i64,
    /// The price of each.
    pub unit: UnitPrice,
    /// The flat fee that is added once.
    pub flat: Option<UnitPrice>,
    /// units × unit + flat, in major units.
    pub amount: Exact,
}

/// A [`PricePart`] before its amount is worked out; sums of them need no fractions.
#[derive(Clone, Copy)]
pub(crate) struct Share {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) units: i64,
    pub(crate) unit: UnitPrice,
    pub(crate) flat: Option<UnitPrice>,
}

impl Share {
    /// units × unit + flat, × 10^12; `None` where it does not fit.
    fn scaled(self) -> Option<i128> {
        let fee = self.flat.map_or(0, |flat| flat.scaled);
        self.unit.scaled.checked_mul(self.units.into())?.checked_add(fee)
    }

    pub(crate) fn amount(self) -> Exact {
        let unbounded = || {
            let fee = self.flat.map_or_else(Exact::zero, UnitPrice::to_exact);
            Exact::from_int(self.units) * self.unit.to_exact() + fee
        };
        self.scaled().map_or_else(unbounded, |scaled| Exact::decimal(scaled, DECIMALS))
    }
}

impl From<Share> for PricePart {
    fn from(share: Share) -> Self {
        let Share { from, to, units, unit, flat } = share;
        Self { from, to, units, unit, flat, amount: share.amount() }
    }
}

impl Price {
    /// Checks a price.
    ///
    /// # Errors
    /// Every fault that it has, in the order of the bands.
    pub fn parse(spec: PriceSpec) -> Result<Self, Vec<PriceFault>> {
        let faults = faults(&spec);
        if faults.is_empty() { Ok(Self(spec)) } else { Err(faults) }
    }

    /// The price as it was given.
    pub fn spec(&self) -> PriceSpec {
        self.0.clone()
    }

    /// Its model.
    pub fn model(&self) -> Model {
        self.0.model
    }

    /// What `quantity` paid units cost for a full month, in major units; 0 for none.
    pub fn total(&self, quantity: i64) -> Exact {
        let unbounded = || self.shares(quantity).map(Share::amount).sum();
        let scaled = self.shares(quantity).try_fold(0i128, |sum, share| sum.checked_add(share.scaled()?));
        scaled.map_or_else(unbounded, |scaled| Exact::decimal(scaled, DECIMALS))
    }

    /// What [`Price::total`] adds up, lowest units first; empty for a quantity of 0 or less.
    pub fn parts(&self, quantity: i64) -> Vec<PricePart> {
        self.shares(quantity).map(PricePart::from).collect()
    }

    pub(crate) fn shares(&self, quantity: i64) -> impl Iterator<Item = Share> {
        let graduates = self.0.model == Model::Graduated;
        let bands = if graduates { self.0.bands.as_slice() } else { &[] };
        self.single_share(quantity).into_iter().chain(graduated(bands, quantity))
    }

    /// What a model other than `graduated` costs.
    fn single_share(&self, quantity: i64) -> Option<Share> {
        if quantity <= 0 {
            return None;
        }
        let spec = &self.0;
        let top = || spec.unit.or(spec.flat).unwrap_or(UnitPrice::ZERO);
        let all = |units, unit, flat| Some(Share { from: 1, to: quantity, units, unit, flat });
        match (spec.model, spec.bands.as_slice()) {
            (Model::Flat, [band, ..]) => all(1, band.flat.or(band.unit).unwrap_or(UnitPrice::ZERO), None),
            (Model::Flat, []) => all(1, top(), None),
            (Model::Package, _) => all((quantity - 1) / self.package_size() + 1, top(), None),
            (Model::PerUnit, []) => all(quantity, top(), None),
            (Model::PerUnit | Model::Volume, bands) => {
                let band = bands.iter().find(|band| band.up_to.is_none_or(|up_to| quantity <= up_to))?;
                all(quantity, band.price(), band.flat)
            }
            (Model::Graduated, _) => None,
        }
    }

    /// Units in a block; 1 for models without blocks.
    pub(crate) fn package_size(&self) -> i64 {
        self.0.size.unwrap_or(1).max(1)
    }

    /// The first step from n to n + 1 paid units within `minimum` to `maximum` where the total falls, which a catalogue is
    /// warned of: buyers would be better off buying more. Only the edges of `volume` bands can be so.
    pub fn falls_at(&self, minimum: i64, maximum: i64) -> Option<(i64, i64)> {
        let edges = self.0.bands.iter().filter_map(|band| band.up_to);
        edges
            .filter(|&edge| edge >= minimum && edge < maximum)
            .map(|edge| (edge, edge.saturating_add(1)))
            .find(|&(below, above)| self.total(above) < self.total(below))
    }
}

impl Band {
    fn price(&self) -> UnitPrice {
        self.unit.unwrap_or(UnitPrice::ZERO)
    }
}

fn graduated(bands: &[Band], quantity: i64) -> impl Iterator<Item = Share> {
    let bounds = bands.iter().map(|band| band.up_to.unwrap_or(i64::MAX));
    let below = std::iter::once(0).chain(bounds.clone());
    bands.iter().zip(below.zip(bounds)).take_while(move |(_, (below, _))| *below < quantity).map(
        move |(band, (below, up_to))| {
            let to = quantity.min(up_to);
            Share { from: below + 1, to, units: to - below, unit: band.price(), flat: band.flat }
        },
    )
}

impl TryFrom<PriceSpec> for Price {
    type Error = TextError;

    fn try_from(spec: PriceSpec) -> Result<Self, TextError> {
        Self::parse(spec).map_err(|faults| {
            let sentences: Vec<String> = faults.iter().map(ToString::to_string).collect();
            sentences.join("; ").into()
        })
    }
}

impl From<Price> for PriceSpec {
    fn from(price: Price) -> Self {
        price.0
    }
}

fn faults(spec: &PriceSpec) -> Vec<PriceFault> {
    let mut faults = model_faults(spec).map(|kind| PriceFault { band: None, kind }).into_iter().collect::<Vec<_>>();
    let last = spec.bands.len().saturating_sub(1);
    let mut below = 0;
    for (index, band) in spec.bands.iter().enumerate() {
        let mut fault = |kind| faults.push(PriceFault { band: Some(index), kind });
        match band.up_to {
            Some(up_to) if up_to < 1 => fault(PriceFaultKind::BoundNotPositive),
            Some(up_to) if up_to <= below => fault(PriceFaultKind::BoundNotRising),
            Some(_) if index == last => fault(PriceFaultKind::LastBandBounded),
            None if index < last => fault(PriceFaultKind::UnboundedBandNotLast),
            _ => {}
        }
        if band.unit.is_none() && band.flat.is_none() {
            fault(PriceFaultKind::BandWithoutPrice);
        }
        below = band.up_to.unwrap_or(below).max(below);
    }
    faults
}

/// What is wrong with the fields of the price as a whole; bands are looked at one by one elsewhere.
fn model_faults(spec: &PriceSpec) -> Option<PriceFaultKind> {
    use PriceFaultKind::{Empty, SizeTooSmall, UnitMissing, WrongFields};
    let wrong = |fields| Some(WrongFields(fields));
    let top = spec.unit.is_some() || spec.flat.is_some();
    if spec.bands.is_empty() && !top {
        return Some(Empty);
    }
    if !spec.bands.is_empty() && top {
        return wrong("bands beside unit or flat");
    }
    if spec.model == Model::Package {
        return match (spec.bands.is_empty(), spec.flat, spec.unit, spec.size) {
            (false, ..) => wrong("bands of a package"),
            (_, Some(_), ..) => wrong("flat of a package"),
            (_, _, None, _) => Some(UnitMissing),
            (_, _, _, Some(size)) if size >= 1 => None,
            _ => Some(SizeTooSmall),
        };
    }
    if spec.size.is_some() {
        return wrong("size of a model other than package");
    }
    match (spec.model, spec.bands.as_slice()) {
        (Model::Graduated | Model::Volume, []) => wrong("unit or flat without bands"),
        (Model::Flat, []) if spec.unit.is_some() && spec.flat.is_some() => wrong("unit and flat of a flat price"),
        (Model::Flat, [band]) if band.unit.is_some() && band.flat.is_some() => wrong("unit and flat of a flat price"),
        (Model::PerUnit, []) if spec.flat.is_some() => wrong("flat of a per_unit price outside a band"),
        (Model::PerUnit, [band]) if band.unit.is_none() => Some(UnitMissing),
        (Model::Flat | Model::PerUnit, [_, _, ..]) => wrong("several bands of a flat or per_unit price"),
        _ => None,
    }
}
