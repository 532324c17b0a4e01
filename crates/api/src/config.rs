//! Configuration: what an operator may set, from where, and whether it can be.
//!
//! Every key is explained in `config/default.toml`, which is built in as well, so that the program runs
//! without any file. A key that does not exist or holds what it cannot stops the start and is named, for
//! a setting that is silently ignored is the worst kind of fault.

mod check;
mod hidden;
mod keys;
mod layers;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::Value;

pub use check::is_web_address;
pub use hidden::{Hidden, HiddenUrl};
pub use keys::*;
use layers::Layers;

/// The file that explains every key, and holds what is in force where no file is.
const BUILT_IN: &str = include_str!("../../../config/default.toml");

/// Where the file is looked for if none is named.
const DEFAULT_FILE: &str = "config/default.toml";

/// What a file that the operator wrote gets where it says nothing: the built-in file is a demonstration,
/// and nobody should take simulated payments or load invented people for having left out a line.
const UNLESS_SAID: &str = r#"
[payments]
methods = ["invoice"]
allow_simulated = false
[demo]
sign_in = false
catalog = ""
seed = ""
"#;

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFault {
    /// The key: `server.port`; empty if it is about a file as a whole.
    pub key: String,
    /// Where it was set: a file and line, an environment variable; empty if by default.
    pub place: String,
    /// What is wrong, in words. Never the value of a secret.
    pub message: String,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), self.place.as_str()) {
            ("", place) => write!(f, "{place}: {}", self.message),
            (key, "") => write!(f, "{key}: {}", self.message),
            (key, place) => write!(f, "{key} ({place}): {}", self.message),
        }
    }
}

/// Everything that is wrong with the configuration, so that it can be put right at one go.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the configuration is wrong:{}", .0.iter().map(|fault| format!("\n  {fault}")).collect::<String>())]
pub struct ConfigFault(pub Vec<KeyFault>);

/// The configuration in force.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where and how to listen.
    pub server: Server,
    /// Where everything is kept.
    pub database: Database,
    /// Where changes go through.
    pub till: Till,
    /// The platform that this installation bills for.
    pub platform: Platform,
    /// What may be done with purchases.
    pub purchases: Purchases,
    /// Who sells.
    pub seller: Seller,
    /// Rates of tax.
    pub tax: Tax,
    /// Who may say who a caller is.
    pub auth: Auth,
    /// How payers pay.
    pub payments: Payments,
    /// How mail is sent.
    pub mail: Mail,
    /// Deliveries of events.
    pub webhooks: Webhooks,
    /// What is there for looking around.
    pub demo: Demo,
    /// How much a caller may ask.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: Log,
    /// Of each key that was set: where.
    #[serde(skip)]
    places: BTreeMap<String, String>,
}

impl Config {
    /// The configuration of this process: built in, the file, the environment. See
    /// `config/default.toml` for their order. It is valid.
    ///
    /// # Errors
    /// [`ConfigFault`] with all that is wrong.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigFault> {
        let mut variables = Vec::new();
        let mut faults = Vec::new();
        for (name, value) in std::env::vars_os() {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => variables.push((name, value)),
                (Ok(place), Err(_)) if place.starts_with("PURSER__") => {
                    faults.push(KeyFault { key: String::new(), place, message: "is not UTF-8".to_owned() })
                }
                _ => {}
            }
        }
        if faults.is_empty() {
            Self::load_from(file, Path::new(DEFAULT_FILE), variables)
        } else {
            Err(ConfigFault(faults))
        }
    }

    /// [`Config::load`] with the default file and the environment handed in.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_from(
        file: Option<&Path>,
        default_file: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigFault> {
        let path = file.unwrap_or(default_file);
        let name = path.display().to_string();
        let (name, text) = match std::fs::read_to_string(path) {
            Ok(text) => (name, text),
            Err(fault) if file.is_none() && fault.kind() == std::io::ErrorKind::NotFound => {
                ("built in".to_owned(), BUILT_IN.to_owned())
            }
            Err(fault) => {
                return Err(ConfigFault(vec![KeyFault {
                    key: String::new(),
                    place: name,
                    message: format!("cannot be read: {fault}"),
                }]));
            }
        };
        let config = Self::from_text(&name, &text, variables)?;
        config.validate()?;
        Ok(config)
    }

    /// The configuration of a file's text, not yet validated.
    fn from_text(
        name: &str,
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigFault> {
        let mut layers = Layers::new(BUILT_IN.parse().map_err(built_in_fault)?);
        layers.file("built in", UNLESS_SAID);
        layers.file(name, text);
        layers.environment(variables);
        let (table, places) = layers.finish().map_err(ConfigFault)?;
        let config: Result<Self, _> = serde_path_to_error::deserialize(Value::Table(table));
        match config {
            Ok(config) => Ok(Self { places, ..config }),
            Err(fault) => {
                let key = fault.path().to_string();
                let place = place_of(&places, &key);
                let message = fault.inner().message().trim().to_owned();
                Err(ConfigFault(vec![KeyFault { key, place, message }]))
            }
        }
    }

    /// Whether the settings fit each other and this version. Gives notes: what works, but is worth a
    /// word at the start.
    ///
    /// # Errors
    /// [`ConfigFault`] with all that is wrong.
    pub fn validate(&self) -> Result<Vec<String>, ConfigFault> {
        let mut faults = Vec::new();
        for (key, message) in self.wrong() {
            faults.push(KeyFault { key: key.to_owned(), place: place_of(&self.places, key), message });
        }
        if faults.is_empty() { Ok(self.notes()) } else { Err(ConfigFault(faults)) }
    }

    /// How people reach the server that listens at `bound`, without a slash at the end.
    pub fn public_url(&self, bound: SocketAddr) -> String {
        match self.server.public_url.trim_end_matches('/') {
            "" => format!("http://{bound}"),
            url => url.to_owned(),
        }
    }

    /// The effective configuration as TOML, secrets as `***`.
    pub fn shown(&self) -> String {
        toml::to_string(self).unwrap_or_else(|fault| format!("# cannot be shown: {fault}\n"))
    }
}

/// Where `key`, or the nearest that holds it, was set.
fn place_of(places: &BTreeMap<String, String>, key: &str) -> String {
    let mut key = key;
    loop {
        if let Some(place) = places.get(key) {
            return place.clone();
        }
        match key.rfind(['.', '[']) {
            Some(end) => key = key.get(..end).unwrap_or_default(),
            None => return String::new(),
        }
    }
}

fn built_in_fault(fault: toml::de::Error) -> ConfigFault {
    ConfigFault(vec![KeyFault { key: String::new(), place: "built in".to_owned(), message: fault.to_string() }])
}

#[cfg(test)]
mod tests;
