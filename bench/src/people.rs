//! The organizations that `bench/run.py` loads, by their number from 1, and their owners' tokens.
//!
//! Ids are made from numbers, so that the loader's SQL and this program agree without asking each other. Organizations
//! with an even number have billing from the start, the others set it up with their first purchase.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use kernel::{Clock, OrganizationId, SystemClock, UserId};
use sha2::Sha256;
use std::path::Path;
use uuid::Uuid;

/// What the number of an organization is added to for its id; the same text stands in `sql/organizations.sql`.
const ORGANIZATIONS: u128 = 0x0189_0000_0000_7000_8000_0000_0000_0000;
/// The same for owners.
const USERS: u128 = 0x0189_0000_0000_7000_9000_0000_0000_0000;
/// How long tokens are good.
const HOURS: i64 = 6;

/// The organization's id.
pub fn organization(number: u32) -> OrganizationId {
    OrganizationId::from_uuid(Uuid::from_u128(ORGANIZATIONS + u128::from(number)))
}

/// Its owner's id.
pub fn owner(number: u32) -> UserId {
    UserId::from_uuid(Uuid::from_u128(USERS + u128::from(number)))
}

/// The server's key for tokens, from its secret file.
pub fn token_key(secret_file: &Path) -> [u8; 32] {
    let text = std::fs::read_to_string(secret_file).expect("the secret file");
    let secret = hex::decode(text.trim()).expect("a secret of hexadecimal digits");
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).expect("a key");
    mac.update(b"token");
    mac.finalize().into_bytes().into()
}

/// Owners' tokens as the server mints them.
#[derive(Debug)]
pub struct Tokens {
    key: [u8; 32],
    from: i64,
}

impl Tokens {
    /// Tokens under this key, from now on.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, from: SystemClock.now().timestamp() }
    }

    /// The token of an organization's owner.
    pub fn mint(&self, number: u32) -> String {
        let claims = format!(
            r#"{{"iss":"purser","aud":"purser","sub":"{}","iat":{},"exp":{}}}"#,
            owner(number),
            self.from,
            self.from + HOURS * 3600
        );
        let head =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(claims));
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key");
        mac.update(head.as_bytes());
        format!("{head}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }
}
