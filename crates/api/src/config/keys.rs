//! The sections of the configuration and their keys, each of a type that holds nothing else.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use chrono::NaiveDate;
use kernel::{CountryCode, Currency, Exact, Name, Slug, UnitPrice};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Hidden, HiddenUrl};

/// `[server]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address to listen on.
    pub address: IpAddr,
    /// Port to listen on; 0: any free one.
    pub port: u16,
    /// How people reach the server; empty: as it listens. See [`Config::public_url`].
    pub public_url: String,
    /// HTTP threads.
    pub workers: usize,
    /// File of the installation's secret.
    pub secret_file: PathBuf,
    /// Bytes of a request's body, at most.
    pub body_limit: usize,
    /// Seconds that a stop waits for what was accepted.
    pub shutdown_seconds: u64,
}

/// `[database]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite://PATH` or `postgres://…`.
    pub url: HiddenUrl,
    /// Connections that read.
    pub pool: u32,
}

/// `[till]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Till {
    /// Workers; 0: by the number of cores. See [`Till::effective_lanes`].
    pub lanes: usize,
    /// Commands of one transaction, at most.
    pub batch: usize,
    /// Commands that may wait.
    pub queue: usize,
    /// Milliseconds that one may wait.
    pub wait_ms: u64,
}

impl Till {
    /// How many workers there are: those asked for, else as many as cores, at most two, which was
    /// measured best.
    pub fn effective_lanes(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2));
        if self.lanes == 0 { cores() } else { self.lanes }
    }
}

/// `[platform]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// The publisher that is the platform itself.
    pub publisher: Slug,
    /// Currency of a quote that names neither payer nor currency.
    pub currency: Currency,
}

/// `[seller]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Seller {
    /// Name on invoices.
    pub name: Name,
    /// Country that the seller is taxed in.
    pub country: CountryCode,
    /// Address on invoices; may be empty.
    pub address: String,
    /// Tax number on invoices; may be empty.
    pub tax_id: String,
    /// What invoice numbers begin with.
    pub series: String,
    /// What stands before it in numbers of credit notes.
    pub credit_prefix: String,
}

/// `[tax]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tax {
    /// Rates by country and day (R-49); at most one of a country from one day on.
    pub rates: Vec<TaxRate>,
}

/// A rate of tax that holds in a country from a day on, until the next of that country.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TaxRate {
    /// The payer's country.
    pub country: CountryCode,
    /// The rate.
    pub percent: Percent,
    /// The first day it holds.
    pub from: NaiveDate,
}

/// A rate from 0 to 100 percent, as it was written; exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Percent(UnitPrice);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<UnitPrice>() {
            Ok(value) if value.to_exact() <= Exact::from_int(100) => Ok(Self(value)),
            _ => Err(r#"must be a decimal from 0 to 100 as text, such as "7.7""#.to_owned()),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Percent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#"a decimal as text, such as "7.7""#)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Percent, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Percent, E> {
                self.visit_str(&value.to_string())
            }
        }
        from.deserialize_any(Text)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// `[auth]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Whose tokens are believed.
    pub issuer: String,
    /// Whom they must be meant for.
    pub audience: String,
    /// Hours that a token of our own is good.
    pub token_hours: u32,
    /// Hours that a sign-in to the pages lasts.
    pub session_hours: u32,
}

/// `[payments]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Payments {
    /// Days that a transfer may take (R-47).
    pub due_days: i64,
    /// Days after an invoice was due on which it is asked for again (R-47).
    pub dunning_days: Vec<i64>,
    /// Days after the last of them until the subscription is disabled.
    pub disable_after_days: i64,
    /// How payers may pay.
    pub methods: BTreeSet<PaymentMethod>,
    /// Whether payments that are only played may be among them.
    pub allow_simulated: bool,
    /// `[payments.stripe]`
    pub stripe: Stripe,
}

/// A way to pay (R-46).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethod {
    /// By transfer, after the invoice.
    Invoice,
    /// Played, with tokens such as `tok_ok`.
    Simulated,
    /// By card, through Stripe.
    Stripe,
}

/// `[payments.stripe]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stripe {
    /// Address of the API.
    pub url: String,
    /// Key of the API.
    pub key: Hidden,
    /// What its calls to us are signed with.
    pub webhook_secret: Hidden,
}

/// `[mail]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// `smtp://…` or `smtps://…`; empty: none is sent.
    pub url: HiddenUrl,
    /// Address that it comes from.
    pub from: String,
}

/// `[webhooks]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// Whether to deliver to addresses of this machine.
    pub allow_loopback: bool,
}

/// `[demo]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Demo {
    /// Whether to show the page that lists people to be.
    pub sign_in: bool,
    /// Catalogue file that an empty database gets; empty: none. See [`Demo::files`].
    pub catalog: String,
    /// Seed file that an empty database gets; empty: none.
    pub seed: String,
}

impl Demo {
    /// Catalogue and seed file to load where the database has no user, organization or offer at all.
    pub fn files(&self) -> (Option<&Path>, Option<&Path>) {
        (path(&self.catalog), path(&self.seed))
    }
}

fn path(text: &str) -> Option<&Path> {
    Some(Path::new(text)).filter(|_| !text.is_empty())
}

/// `[limits]`: calls a minute; 0: no limit.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Of one address, without a token or key.
    pub anonymous_per_minute: u32,
    /// Of one caller, signed in.
    pub caller_per_minute: u32,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged, in `tracing`'s words: `info,sqlx=warn`.
    pub filter: String,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// An object a line, for machines.
    Json,
    /// For people.
    Text,
}
