//! Texts that may hold a secret: whatever prints them, by accident or for the operator, shows `***`.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What stands where a secret would.
const MASK: &str = "***";

/// A secret, or nothing.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "" } else { MASK })
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A URL that may hold a password, which does not show.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct HiddenUrl(String);

impl HiddenUrl {
    /// The URL with its password.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for HiddenUrl {
    /// The URL without its password. A text that is not a proper URL loses too much rather than too little.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        if !scheme.is_empty() {
            write!(f, "{scheme}://")?;
        }
        // The last @ ends the user's part, wherever it stands: a password may hold what ought to be encoded.
        let rest = match rest.rsplit_once('@') {
            None => rest,
            Some((user, host)) => {
                match user.split_once(':') {
                    None => write!(f, "{user}@")?,
                    Some((name, _)) => write!(f, "{name}:{MASK}@")?,
                }
                host
            }
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        f.write_str(place)?;
        for (index, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            f.write_str(if index == 0 { "?" } else { "&" })?;
            match pair.split_once('=') {
                Some((name, _)) if names_a_secret(name) => write!(f, "{name}={MASK}")?,
                _ => f.write_str(pair)?,
            }
        }
        Ok(())
    }
}

fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "pwd", "secret", "token", "key"].iter().any(|part| name.contains(part))
}

impl fmt::Debug for HiddenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl Serialize for HiddenUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show() {
        let secret = Hidden("sk_live_1".into());
        assert_eq!(format!("{secret} {secret:?}"), "*** \"***\"");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret.expose(), "sk_live_1");
        assert_eq!(Hidden::default().to_string(), "");
    }

    #[test]
    fn a_password_does_not_show() {
        for (url, shown) in [
            ("sqlite://data/purser.db", "sqlite://data/purser.db"),
            ("postgres://u@h:5432/db", "postgres://u@h:5432/db"),
            ("postgres://h:5432/db", "postgres://h:5432/db"),
            ("postgres://u:pw@h:5432/db", "postgres://u:***@h:5432/db"),
            ("postgres://u:p/w?@x@h/db", "postgres://u:***@h/db"),
            ("postgres://:pw@h/db", "postgres://:***@h/db"),
            (
                "postgres://h/db?sslmode=require&password=pw&user=u",
                "postgres://h/db?sslmode=require&password=***&user=u",
            ),
            ("smtp://u:pw@mail:587", "smtp://u:***@mail:587"),
            ("u:pw@h", "u:***@h"),
            ("", ""),
        ] {
            let url = HiddenUrl(url.into());
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("{shown:?}"));
        }
    }
}
