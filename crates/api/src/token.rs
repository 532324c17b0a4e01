//! What callers show to say who they are: bearer tokens of people and keys of the platform's services.
//!
//! Tokens are JWTs signed with HS256 under a key that only this installation knows; any other algorithm,
//! `none` first of all, is refused before anything else is looked at. Of a service key only the SHA-256
//! is ever kept: 256 random bits need no slow hash.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use kernel::{Timestamp, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The longest token that is looked at, in bytes. Ours have about 250.
pub const MAX_TOKEN_LENGTH: usize = 4096;

/// How far clocks of several servers may differ, in seconds.
const LEEWAY: u64 = 5;

/// What a service key begins with.
pub const SERVICE_KEY_PREFIX: &str = "psk_";

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenFault {
    /// It was good once.
    #[error("The token has expired.")]
    Expired,
    /// Somebody else made it.
    #[error("The token is from another issuer.")]
    WrongIssuer,
    /// It is meant for somebody else.
    #[error("The token is for another audience.")]
    WrongAudience,
    /// It is no token of the form we make.
    #[error("The token is malformed.")]
    Malformed,
    /// It was altered, or signed with another key or algorithm.
    #[error("The token's signature is not valid.")]
    BadSignature,
}

/// No token could be made; it says why, for the log.
#[derive(Debug, Error)]
#[error("the token could not be signed: {0}")]
pub struct MintFault(String);

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Subject {
    sub: String,
}

/// Makes and checks the tokens of this installation.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    issuer: String,
    audience: String,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("issuer", &self.issuer).field("audience", &self.audience).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Tokens under `key`, which [`crate::secret::Secret::derive`] gives.
    pub fn new(key: &[u8; 32], issuer: &str, audience: &str) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Self {
            encoding: EncodingKey::from_secret(key),
            decoding: DecodingKey::from_secret(key),
            validation,
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
        }
    }

    /// A token for `user`, good for `hours` from `now`, which is real time and not the test clock.
    ///
    /// # Errors
    /// [`MintFault`] if it cannot be signed.
    pub fn mint(&self, user: UserId, now: Timestamp, hours: u32) -> Result<String, MintFault> {
        let iat = now.timestamp();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: user.to_string(),
            iat,
            exp: iat.saturating_add(i64::from(hours).saturating_mul(3600)),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.encoding).map_err(|fault| MintFault(fault.to_string()))
    }

    /// Whom the token speaks for, by real time. That such a user exists is for the caller to see.
    ///
    /// # Errors
    /// [`TokenFault`] if it is not to be believed.
    pub fn verify(&self, token: &str) -> Result<UserId, TokenFault> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(TokenFault::Malformed);
        }
        let subject = decode::<Subject>(token, &self.decoding, &self.validation)
            .map_err(|fault| match fault.kind() {
                ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => TokenFault::Expired,
                ErrorKind::InvalidIssuer => TokenFault::WrongIssuer,
                ErrorKind::InvalidAudience => TokenFault::WrongAudience,
                ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => TokenFault::BadSignature,
                _ => TokenFault::Malformed,
            })?
            .claims
            .sub;
        subject.parse().map_err(|_| TokenFault::Malformed)
    }
}

/// A key of a service of the platform, at the one moment when its text is known.
pub struct ServiceKey {
    /// The key itself: `psk_` and 43 characters of base64url. To be shown once and kept nowhere.
    pub text: String,
    /// Its SHA-256: what the database keeps.
    pub hash: [u8; 32],
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceKey(***)")
    }
}

impl ServiceKey {
    /// The key of these random bytes.
    pub fn make(random: [u8; 32]) -> Self {
        let text = format!("{SERVICE_KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let hash = Sha256::digest(text.as_bytes()).into();
        Self { text, hash }
    }
}

/// The SHA-256 under which a service key is known, or `None` if the text has not the form of one.
pub fn hash_key(text: &str) -> Option<[u8; 32]> {
    let encoded = text.strip_prefix(SERVICE_KEY_PREFIX)?;
    let mut random = [0; 32];
    // The size is bounded before it is decoded, and the last character's spare bits must be zero:
    // one key, one text.
    if encoded.len() != 43 || URL_SAFE_NO_PAD.decode_slice_unchecked(encoded, &mut random) != Ok(32) {
        return None;
    }
    Some(Sha256::digest(text.as_bytes()).into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use chrono::TimeDelta;
    use kernel::{Clock, IdSource, SystemClock};
    use serde_json::{Value, json};

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn tokens() -> Tokens {
        Tokens::new(&KEY, "purser", "purser")
    }

    fn user() -> UserId {
        IdSource::from_os().next(now())
    }

    fn now() -> Timestamp {
        SystemClock.now()
    }

    fn part(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    fn claims(user: UserId) -> Value {
        let at = now().timestamp();
        json!({"iss": "purser", "aud": "purser", "sub": user.to_string(), "iat": at, "exp": at + 600})
    }

    fn signed(header: &Value, claims: &Value, key: &[u8]) -> String {
        use hmac::Mac;
        let head = format!("{}.{}", part(header), part(claims));
        let mut mac = hmac::Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(head.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        format!("{head}.{signature}")
    }

    fn hs256() -> Value {
        json!({"alg": "HS256", "typ": "JWT"})
    }

    #[test]
    fn a_minted_token_says_who() {
        let user = user();
        let token = tokens().mint(user, now(), 1).unwrap();
        assert_eq!(tokens().verify(&token), Ok(user));
        assert_eq!(tokens().verify(&signed(&hs256(), &claims(user), &KEY)), Ok(user));
    }

    #[test]
    fn an_expired_one_is_refused_and_the_leeway_is_small() {
        let made = |ago: i64| tokens().mint(user(), now() - TimeDelta::seconds(3600 + ago), 1).unwrap();
        assert!(tokens().verify(&made(2)).is_ok());
        assert_eq!(tokens().verify(&made(10)), Err(TokenFault::Expired));
    }

    #[test]
    fn issuer_audience_and_key_must_be_ours() {
        let foreign = Tokens::new(&KEY, "https://login.example", "purser");
        let other = Tokens::new(&KEY, "purser", "another");
        let forged = Tokens::new(&[8; 32], "purser", "purser");
        for (maker, fault) in
            [(foreign, TokenFault::WrongIssuer), (other, TokenFault::WrongAudience), (forged, TokenFault::BadSignature)]
        {
            let token = maker.mint(user(), now(), 1).unwrap();
            assert_eq!(tokens().verify(&token), Err(fault));
        }
    }

    #[test]
    fn no_other_algorithm_is_taken() {
        let claims = claims(user());
        for alg in ["none", "None", "HS512", "HS384", "RS256", "EdDSA"] {
            let header = json!({"alg": alg, "typ": "JWT"});
            for token in [
                signed(&header, &claims, &KEY),
                format!("{}.{}.", part(&header), part(&claims)),
                format!("{}.{}", part(&header), part(&claims)),
            ] {
                let fault = tokens().verify(&token).unwrap_err();
                assert!(matches!(fault, TokenFault::BadSignature | TokenFault::Malformed), "{alg}: {fault:?}");
            }
        }
        let unsigned = format!("{}.{}.", part(&hs256()), part(&claims));
        assert_eq!(tokens().verify(&unsigned), Err(TokenFault::BadSignature));
    }

    #[test]
    fn an_altered_payload_shows() {
        let token = tokens().mint(user(), now(), 1).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let altered = format!("{}.{}.{}", parts[0], part(&claims(user())), parts[2]);
        assert_eq!(tokens().verify(&altered), Err(TokenFault::BadSignature));
    }

    #[test]
    fn every_claim_is_needed_in_its_form() {
        for (name, value) in [
            ("iss", Value::Null),
            ("aud", Value::Null),
            ("sub", Value::Null),
            ("exp", Value::Null),
            ("sub", json!("org_01")),
            ("sub", json!(5)),
            ("exp", json!("soon")),
        ] {
            let mut claims = claims(user());
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value;
            }
            let token = signed(&hs256(), &claims, &KEY);
            assert_eq!(tokens().verify(&token), Err(TokenFault::Malformed), "{claims}");
        }
        let mut early = claims(user());
        early["nbf"] = json!(now().timestamp() + 600);
        assert!(tokens().verify(&signed(&hs256(), &early, &KEY)).is_err());
    }

    #[test]
    fn rubbish_and_giants_are_malformed() {
        let giant = "a".repeat(MAX_TOKEN_LENGTH + 1);
        let mut long = claims(user());
        long["padding"] = json!("x".repeat(MAX_TOKEN_LENGTH));
        let long = signed(&hs256(), &long, &KEY);
        for token in ["", ".", "..", "a.b.c", "ä.ö.ü", "psk_x", &giant, &long] {
            assert_eq!(tokens().verify(token), Err(TokenFault::Malformed));
        }
    }

    #[test]
    fn service_keys_have_one_form() {
        let key = ServiceKey::make([255; 32]);
        assert_eq!(key.text.len(), 47);
        assert!(key.text.starts_with("psk_"));
        assert_eq!(hash_key(&key.text), Some(key.hash));
        assert_ne!(ServiceKey::make([254; 32]).hash, key.hash);
        assert_eq!(format!("{key:?}"), "ServiceKey(***)");
        let bad = [
            String::new(),
            "psk_".into(),
            key.text.replace("psk_", "pks_"),
            key.text[..46].into(),
            format!("{}a", key.text),
            format!("{}=", &key.text[..46]),
            format!("{}+", &key.text[..46]),
            // The last character holds four bits; 9 has others set.
            format!("{}9", &key.text[..46]),
        ];
        for text in bad {
            assert_eq!(hash_key(&text), None, "{text}");
        }
    }

    #[test]
    fn nothing_shows_a_key() {
        assert!(!format!("{:?}", tokens()).contains('7'));
    }
}
