//! The simulated market: the product's processes, one after the other on one database, and the model beside them.

use super::model::{Model, Organization, Payer, first};
use super::plan::{COUNTRIES, ORGANIZATIONS, PAYERS};
use super::process::Process;
use super::wares::{self, CURRENCIES, Price, WARES};
use crate::commands::Fault;
use crate::config::Config;
use billing::{PaymentMethods, TaxRates};
use chrono::NaiveDate;
use kernel::{Clock, FixedClock, IdSource, OfferId, OrganizationId, SubscriptionId, Timestamp, UserId};
use marketplace::catalogue::{self, Platform};
use marketplace::usage::Reported;
use marketplace::{Policy, seed};
use std::fmt::Write as _;
use std::sync::Arc;
use store::fuse::Fuse;
use store::{people, subscriptions};

/// Who buys and pays for everything.
const BUYER: &str = "ada@sim.example";
/// When a simulated market opens.
const BEGIN: &str = "2019-12-05T09:13:27Z";

/// The market.
pub struct Market {
    pub seed: u64,
    pub url: String,
    pub config: Config,
    pub clock: Arc<FixedClock>,
    pub process: Process,
    pub model: Model,
    pub buyer: UserId,
    pub organizations: Vec<OrganizationId>,
    /// Those of the beginning, then one for each organization, where it made one.
    pub payers: Vec<Option<SubscriptionId>>,
    pub offers: Vec<OfferId>,
    /// The last report of use of each organization that was counted.
    pub reports: Vec<Option<Reported>>,
    /// How many processes were killed.
    pub kills: u64,
    lives: u64,
}

pub fn platform() -> Result<Platform, Fault> {
    Ok(Platform { publisher: "ms".parse()?, currency: "USD".parse()? })
}

/// What decisions depend on, with these taxes.
pub fn policy(model: &Model, config: &Config) -> Result<Arc<Policy>, Fault> {
    let mut taxes = TaxRates::default();
    for (country, rates) in &model.taxes {
        for (day, percent) in rates {
            taxes.add(country.parse()?, &percent.to_string().parse()?, *day);
        }
    }
    let methods = PaymentMethods { invoice: true, simulated: true, stripe: false };
    Ok(Arc::new(Policy {
        platform_publisher: "ms".to_owned(),
        platform_currency: "USD".parse()?,
        taxes,
        methods,
        terms: crate::app::terms(config),
        undo_hours: config.purchases.undo_hours,
        quote_key: [7; 32],
    }))
}

/// The company that the market opens with.
fn company() -> String {
    let mut text = format!("[[user]]\nemail = \"{BUYER}\"\nname = \"Ada\"\noperator = true\n");
    for place in 0..ORGANIZATIONS {
        let _ = write!(
            text,
            "[[organization]]\nslug = \"org{place}\"\nname = \"Organization {place}\"\ncountry = \"DE\"\n\
             members = [{{ user = \"{BUYER}\", role = \"owner\", access = \"basic\" }}]\n"
        );
    }
    for (place, (country, currency, card)) in PAYING.iter().enumerate() {
        let code = CURRENCIES.get(*currency).map_or("", |currency| currency.0);
        let payment = card.map_or_else(|| "\"invoice\"".to_owned(), |card| format!("{{ card = \"{card}\" }}"));
        let _ = write!(
            text,
            "[[subscription]]\nkey = \"payer{place}\"\nname = \"Payer {place}\"\nkind = \"pay_as_you_go\"\n\
             status = \"active\"\ncountry = \"{country}\"\ncurrency = \"{code}\"\npayment = {payment}\n\
             roles = [{{ user = \"{BUYER}\", role = \"owner\" }}]\n"
        );
    }
    text
}

/// The payers of the beginning: country, currency, card.
const PAYING: [(&str, usize, Option<&str>); PAYERS] = [
    ("US", 0, None),
    ("DE", 1, None),
    ("JP", 2, Some("tok_ok")),
    ("DE", 3, Some("tok_timeout")),
    ("US", 0, Some("tok_lost")),
];

impl Market {
    /// Opens a market on an empty database.
    pub async fn open(seed: u64, url: String, config: Config) -> Result<Self, Fault> {
        let begin = kernel::parse_rfc3339(BEGIN)?;
        let mut model = Model { organizations: vec![Organization::default(); ORGANIZATIONS], ..Model::default() };
        let since = NaiveDate::from_ymd_opt(2018, 1, 1).unwrap_or_default();
        for (country, percent) in COUNTRIES {
            model.taxes.entry(country.to_owned()).or_default().insert(since, percent);
        }
        for ware in 0..WARES.len() {
            for currency in 0..CURRENCIES.len() {
                model.prices.push(Price { ware, currency, percent: 100, from: None });
            }
        }
        let clock = Arc::new(FixedClock::new(begin));
        let mut ids = IdSource::seeded(seed);
        let process = Process::open(&url, None, policy(&model, &config)?, Arc::clone(&clock), ids.clone()).await?;
        catalogue::apply(&process.db, &wares::file(&model.prices), &platform()?, begin, &mut ids).await?;
        seed::apply(&process.db, &company(), begin, &mut ids).await?;
        let db = &process.db;
        let buyer = people::by_email(db, &BUYER.parse()?).await?.ok_or_else(|| anyhow::anyhow!("nobody buys"))?.id;
        let (mut organizations, mut payers, mut offers) = (Vec::new(), Vec::new(), Vec::new());
        for place in 0..ORGANIZATIONS {
            organizations.extend(store::organizations::id_of(db, &format!("org{place}").parse()?).await?);
        }
        for place in 0..PAYERS {
            payers.push(subscriptions::by_seed_key(db, &format!("payer{place}")).await?);
        }
        payers.resize(PAYERS + ORGANIZATIONS, None);
        let catalogue = marketplace::catalogue::Catalogue::load(db).await?;
        for ware in &WARES {
            offers.extend(catalogue.by_slug(ware.slug).map(|offer| offer.id));
        }
        let reports = vec![None; ORGANIZATIONS];
        let mut market = Self {
            seed,
            url,
            config,
            clock,
            process,
            model,
            buyer,
            organizations,
            payers,
            offers,
            reports,
            kills: 0,
            lives: 0,
        };
        market.look().await?;
        Ok(market)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The present month, by its first day.
    pub fn month(&self) -> NaiveDate {
        first(self.now().date_naive())
    }

    /// Another process goes on where this one ended, with the taxes as they are then.
    pub async fn restart(&mut self, fuse: Option<Fuse>) -> Result<(), Fault> {
        self.lives += 1;
        let ids = IdSource::seeded(self.seed.wrapping_mul(1_000_003).wrapping_add(self.lives));
        let next =
            Process::open(&self.url, fuse, policy(&self.model, &self.config)?, Arc::clone(&self.clock), ids).await?;
        std::mem::replace(&mut self.process, next).end().await;
        Ok(())
    }

    /// Lets the model know what it takes from the product: which payers there are, and whether they can pay.
    pub async fn look(&mut self) -> Result<(), Fault> {
        for (row, _) in subscriptions::every(&self.process.db, self.buyer, "", None, 1_000).await? {
            let known = CURRENCIES.iter().position(|(code, _, _)| *code == row.currency.code());
            let payer: &mut Payer = self.model.payers.entry(row.id).or_default();
            payer.currency = known.unwrap_or(0);
            payer.country = row.country.to_string();
            payer.card = row.payment_method == "card";
            payer.pays = matches!(row.status.as_str(), "active" | "warned");
            payer.billed = row.billed_through.map(kernel::Month::first_day);
        }
        Ok(())
    }
}
