//! What the simulated market sells, as the simulation's own model prices it: nothing here calls the product's pricing. The
//! catalogue file that the product reads is written from it.

use chrono::NaiveDate;
use std::fmt::Write as _;

/// Currencies of the simulated payers, their decimals, and what a dollar is in them, in percent: without minor units and with
/// three too.
pub const CURRENCIES: [(&str, u32, i64); 4] = [("USD", 2, 100), ("EUR", 2, 91), ("JPY", 0, 11_000), ("BHD", 3, 38)];

/// Ten thousandths of a currency's unit in one.
pub const SCALE: i128 = 10_000;

/// How an offer is priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    PerUnit,
    Graduated,
    Volume,
    Package(i64),
}

/// How the part of a month is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Days {
    After,
    Inclusive,
    Fixed,
    Seconds,
}

/// An offer that never changes but in its prices.
#[derive(Clone, Copy, Debug)]
pub struct Ware {
    pub slug: &'static str,
    pub publisher: &'static str,
    pub word: &'static str,
    pub included: i64,
    pub minimum: i64,
    pub maximum: i64,
    pub days: Days,
    pub kind: Kind,
    /// Up to how many units, for how much in ten thousandths of a dollar; the last band has no end.
    pub bands: &'static [(i64, i64)],
}

/// Sold by the month's use.
pub const METERED: usize = 5;
/// Sold by a partner, so that it takes a card.
pub const PARTNER: usize = 2;

pub const WARES: [Ware; 6] = [
    Ware {
        slug: "sim.users",
        publisher: "ms",
        word: "users",
        included: 5,
        minimum: 0,
        maximum: 10_000,
        days: Days::After,
        kind: Kind::Graduated,
        bands: &[(5, 60_000), (95, 80_000), (995, 40_000), (0, 20_000)],
    },
    Ware {
        slug: "sim.lanes",
        publisher: "ms",
        word: "pipelines",
        included: 1,
        minimum: 0,
        maximum: 500,
        days: Days::Inclusive,
        kind: Kind::PerUnit,
        bands: &[(0, 150_033)],
    },
    Ware {
        slug: "sim.board",
        publisher: "contoso",
        word: "extension",
        included: 0,
        minimum: 3,
        maximum: 2_000,
        days: Days::After,
        kind: Kind::Volume,
        bands: &[(10, 21_111), (100, 15_000), (0, 9_999)],
    },
    Ware {
        slug: "sim.feed",
        publisher: "ms",
        word: "users",
        included: 0,
        minimum: 0,
        maximum: 100_000,
        days: Days::Fixed,
        kind: Kind::Package(10),
        bands: &[(0, 33_333)],
    },
    Ware {
        slug: "sim.store",
        publisher: "ms",
        word: "users",
        included: 2,
        minimum: 1,
        maximum: 1_000,
        days: Days::Seconds,
        kind: Kind::PerUnit,
        bands: &[(0, 703)],
    },
    Ware {
        slug: "sim.load",
        publisher: "ms",
        word: "load_testing",
        included: 100,
        minimum: 0,
        maximum: 50_000,
        days: Days::After,
        kind: Kind::Graduated,
        bands: &[(1_000, 45), (0, 20)],
    },
];

/// A price of one ware, by its level in percent of the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    pub ware: usize,
    pub currency: usize,
    pub percent: i64,
    /// From when on; none from the beginning.
    pub from: Option<NaiveDate>,
}

impl Price {
    fn unit(&self, base: i64) -> i64 {
        let (_, _, rate) = CURRENCIES.get(self.currency).copied().unwrap_or_default();
        base.saturating_mul(rate) / 100 * self.percent / 100
    }

    /// What so many units cost for a month, in ten thousandths of the currency's unit.
    pub fn total(&self, units: i64) -> i128 {
        let Some(ware) = WARES.get(self.ware).filter(|_| units > 0) else { return 0 };
        let cost = |units: i64, base: i64| i128::from(units) * i128::from(self.unit(base));
        match ware.kind {
            Kind::Package(size) => cost((units + size - 1) / size, ware.bands.first().map_or(0, |band| band.1)),
            Kind::PerUnit => cost(units, ware.bands.first().map_or(0, |band| band.1)),
            Kind::Volume => {
                let band = ware.bands.iter().find(|(up_to, _)| *up_to == 0 || units <= *up_to);
                cost(units, band.map_or(0, |band| band.1))
            }
            Kind::Graduated => {
                let (mut sum, mut below) = (0, 0);
                for (up_to, base) in ware.bands {
                    let end = if *up_to == 0 { units } else { units.min(*up_to) };
                    sum += cost((end - below).max(0), *base);
                    below = below.max(end);
                }
                sum
            }
        }
    }

    fn spec(&self) -> String {
        let Some(ware) = WARES.get(self.ware) else { return String::new() };
        let decimal = |base: i64| {
            let unit = i128::from(self.unit(base));
            format!("{}.{:04}", unit / SCALE, unit % SCALE)
        };
        let first = ware.bands.first().map_or(0, |band| band.1);
        let bands = || {
            let band = |(up_to, base): &(i64, i64)| {
                let end = if *up_to == 0 { String::new() } else { format!("up_to = {up_to}, ") };
                format!("{{ {end}unit = \"{}\" }}", decimal(*base))
            };
            ware.bands.iter().map(band).collect::<Vec<_>>().join(", ")
        };
        let mut text = match ware.kind {
            Kind::Package(size) => format!("model = \"package\"\nsize = {size}\nunit = \"{}\"\n", decimal(first)),
            Kind::PerUnit => format!("model = \"per_unit\"\nbands = [{}]\n", bands()),
            Kind::Volume => format!("model = \"volume\"\nbands = [{}]\n", bands()),
            Kind::Graduated => format!("model = \"graduated\"\nbands = [{}]\n", bands()),
        };
        if let Some(day) = self.from {
            let _ = writeln!(text, "from = \"{day}\"");
        }
        text
    }
}

/// The catalogue file with these prices, one for each ware and currency.
pub fn file(prices: &[Price]) -> String {
    let mut text = String::from(
        "[[publisher]]\nslug = \"ms\"\nname = \"Platform\"\nshare = \"0\"\n\
         [[publisher]]\nslug = \"contoso\"\nname = \"Contoso\"\nshare = \"0.8\"\n",
    );
    for (place, ware) in WARES.iter().enumerate() {
        let days = match ware.days {
            Days::After => "days_after",
            Days::Inclusive => "inclusive_days",
            Days::Fixed => "fixed_30",
            Days::Seconds => "seconds",
        };
        let _ = write!(
            text,
            "[[offer]]\nslug = \"{}\"\nname = \"{}\"\npublisher = \"{}\"\nkind = \"{}\"\nunit = \"unit\"\nincluded = {}\n\
             minimum = {}\nmaximum = {}\nproration = \"{days}\"\n",
            ware.slug, ware.slug, ware.publisher, ware.word, ware.included, ware.minimum, ware.maximum
        );
        for price in prices.iter().filter(|price| price.ware == place) {
            let code = CURRENCIES.get(price.currency).map_or("", |currency| currency.0);
            let _ = write!(text, "[offer.prices.{code}]\n{}", price.spec());
        }
    }
    text
}
