//! Text that comes from outside, as types that cannot hold anything else: each is made by `FromStr` (or serde) and says in
//! a plain sentence what is wrong with a text that it refuses.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// What is wrong with a text: a sentence part for a person, such as "must be 1 to 200 characters".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextError(Cow<'static, str>);

impl TextError {
    /// The sentence part that is shown.
    pub const fn new(message: &'static str) -> Self {
        Self(Cow::Borrowed(message))
    }
}

impl From<String> for TextError {
    fn from(message: String) -> Self {
        Self(Cow::Owned(message))
    }
}

macro_rules! text {
    ($(#[$meta:meta])* $name:ident, $check:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, given away.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = TextError;

            fn from_str(text: &str) -> Result<Self, TextError> {
                $check(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        string_serde!($name);
    };
}

text! {
    /// The name in addresses of an organization, offer or publisher: `ms.vss-testmanager-web`; 1 to 100 characters.
    Slug, slug
}

text! {
    /// A name that people read: 1 to 200 characters without control characters, spaces at the ends dropped.
    Name, name
}

text! {
    /// An e-mail address, in lower case so that one person is one user; at most 254 characters.
    Email, email
}

text! {
    /// What a caller names an attempt by: 1 to 255 printable ASCII characters.
    IdempotencyKey, idempotency_key
}

text! {
    /// What the platform names a usage event by, for good: 1 to 255 printable ASCII characters.
    UsageId, idempotency_key
}

fn slug(text: &str) -> Result<String, TextError> {
    let letter_or_digit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let begins_well = text.bytes().next().is_some_and(letter_or_digit);
    let holds_only = text.bytes().all(|byte| letter_or_digit(byte) || matches!(byte, b'.' | b'_' | b'-'));
    if begins_well && holds_only && text.len() <= 100 {
        return Ok(text.to_owned());
    }
    Err(TextError::new("must be 1 to 100 of a-z, 0-9, dot, underscore and hyphen, and begin with a letter or digit"))
}

fn name(text: &str) -> Result<String, TextError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control) {
        return Err(TextError::new("must be 1 to 200 characters, without control characters"));
    }
    Ok(text.to_owned())
}

fn email(text: &str) -> Result<String, TextError> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "<>()[],;:\\\"".contains(c);
    let well_formed = text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.contains('@') && domain.split('.').all(|label| !label.is_empty())
    });
    if !well_formed || text.len() > 254 || text.contains(odd) {
        return Err(TextError::new("must be an e-mail address such as ada@fabrikam.example"));
    }
    Ok(text.to_lowercase())
}

fn idempotency_key(text: &str) -> Result<String, TextError> {
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if text.is_empty() || text.len() > 255 || !printable {
        return Err(TextError::new("must be 1 to 255 printable ASCII characters"));
    }
    Ok(text.to_owned())
}

/// A country: the upper case alpha-2 code of ISO 3166-1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountryCode(&'static str);

impl CountryCode {
    /// The code: `DE`.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl FromStr for CountryCode {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let found = COUNTRIES.binary_search(&text).ok().and_then(|index| COUNTRIES.get(index));
        found
            .map(|code| Self(code))
            .ok_or(TextError::new("must be the upper case ISO 3166 code of a country, such as DE"))
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

string_serde!(CountryCode);

/// The officially assigned codes of ISO 3166-1 alpha-2, sorted.
static COUNTRIES: [&str; 249] = [
    "AD", "AE", "AF", "AG", "AI", "AL", "AM", "AO", "AQ", "AR", "AS", "AT", "AU", "AW", "AX", "AZ", "BA", "BB", "BD",
    "BE", "BF", "BG", "BH", "BI", "BJ", "BL", "BM", "BN", "BO", "BQ", "BR", "BS", "BT", "BV", "BW", "BY", "BZ", "CA",
    "CC", "CD", "CF", "CG", "CH", "CI", "CK", "CL", "CM", "CN", "CO", "CR", "CU", "CV", "CW", "CX", "CY", "CZ", "DE",
    "DJ", "DK", "DM", "DO", "DZ", "EC", "EE", "EG", "EH", "ER", "ES", "ET", "FI", "FJ", "FK", "FM", "FO", "FR", "GA",
    "GB", "GD", "GE", "GF", "GG", "GH", "GI", "GL", "GM", "GN", "GP", "GQ", "GR", "GS", "GT", "GU", "GW", "GY", "HK",
    "HM", "HN", "HR", "HT", "HU", "ID", "IE", "IL", "IM", "IN", "IO", "IQ", "IR", "IS", "IT", "JE", "JM", "JO", "JP",
    "KE", "KG", "KH", "KI", "KM", "KN", "KP", "KR", "KW", "KY", "KZ", "LA", "LB", "LC", "LI", "LK", "LR", "LS", "LT",
    "LU", "LV", "LY", "MA", "MC", "MD", "ME", "MF", "MG", "MH", "MK", "ML", "MM", "MN", "MO", "MP", "MQ", "MR", "MS",
    "MT", "MU", "MV", "MW", "MX", "MY", "MZ", "NA", "NC", "NE", "NF", "NG", "NI", "NL", "NO", "NP", "NR", "NU", "NZ",
    "OM", "PA", "PE", "PF", "PG", "PH", "PK", "PL", "PM", "PN", "PR", "PS", "PT", "PW", "PY", "QA", "RE", "RO", "RS",
    "RU", "RW", "SA", "SB", "SC", "SD", "SE", "SG", "SH", "SI", "SJ", "SK", "SL", "SM", "SN", "SO", "SR", "SS", "ST",
    "SV", "SX", "SY", "SZ", "TC", "TD", "TF", "TG", "TH", "TJ", "TK", "TL", "TM", "TN", "TO", "TR", "TT", "TV", "TW",
    "TZ", "UA", "UG", "UM", "US", "UY", "UZ", "VA", "VC", "VE", "VG", "VI", "VN", "VU", "WF", "WS", "YE", "YT", "ZA",
    "ZM", "ZW",
];
