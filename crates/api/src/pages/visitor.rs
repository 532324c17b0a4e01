//! Who looks at a page: the session behind a cookie, and forms that only its own pages can send.
//!
//! A cookie holds 32 random bytes of which the database keeps a hash; a session begins anew at every sign-in and ends
//! at sign-out, there and not only in the browser. A form is taken where the browser says that this site sent it and
//! where it carries the session's own word.

use super::locale::Locale;
use crate::app::real_now;
use crate::caller::{Caller, Installation, Person};
use crate::extract::read_form;
use crate::problem::Problem;
use crate::secret::{Secret, keyed_hash};
use crate::state::{State, store_problem};
use actix_web::cookie::time::Duration as CookieTime;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::Payload;
use actix_web::http::header::{HOST, HeaderMap, ORIGIN, REFERER};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use kernel::{Role, UserId};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::future::Future;
use std::pin::Pin;
use subtle::ConstantTimeEq;

/// How sessions are kept, of one installation.
#[derive(Clone, Debug)]
pub struct Sessions {
    key: [u8; 32],
    secure: bool,
    hours: i64,
}

/// A visitor's side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionHash([u8; 32]);

impl SessionHash {
    /// As the database knows it.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn of(random: &[u8]) -> Self {
        Self(Sha256::digest(random).into())
    }
}

impl Sessions {
    /// Sessions of `hours`; over TLS only where people reach the server by `https`.
    pub fn new(secret: &Secret, public_url: &str, hours: u32) -> Self {
        Self {
            key: secret.derive("session forms"),
            secure: public_url.starts_with("https://"),
            hours: i64::from(hours),
        }
    }

    /// Over TLS the name binds the cookie to this host and path, which browsers see to.
    const fn name(&self) -> &'static str {
        if self.secure { "__Host-purser" } else { "purser" }
    }

    fn cookie(&self, value: String, hours: i64) -> Cookie<'static> {
        Cookie::build(self.name(), value)
            .path("/")
            .http_only(true)
            .secure(self.secure)
            .same_site(SameSite::Lax)
            .max_age(CookieTime::hours(hours))
            .finish()
    }

    /// A new session from these random bytes: its hash, and the cookie that brings it back.
    pub fn make(&self, random: [u8; 32]) -> (SessionHash, Cookie<'static>) {
        (SessionHash::of(&random), self.cookie(URL_SAFE_NO_PAD.encode(random), self.hours))
    }

    /// When a session that begins now ends.
    pub fn end(&self, now: kernel::Timestamp) -> kernel::Timestamp {
        now.checked_add_signed(TimeDelta::hours(self.hours)).unwrap_or(now)
    }

    /// The cookie that takes the session's one away.
    pub fn forget(&self) -> Cookie<'static> {
        self.cookie(String::new(), 0)
    }

    /// The session that the request's cookie is of.
    pub fn presented(&self, request: &HttpRequest) -> Option<SessionHash> {
        let cookie = request.cookie(self.name())?;
        let mut random = [0; 32];
        let whole =
            cookie.value().len() == 43 && URL_SAFE_NO_PAD.decode_slice_unchecked(cookie.value(), &mut random) == Ok(32);
        whole.then(|| SessionHash::of(&random))
    }

    /// The word that the session's forms carry.
    pub fn word(&self, session: &SessionHash) -> String {
        hex::encode(keyed_hash(&self.key, session.bytes()))
    }
}

/// A person who is signed in to the pages.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Who.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// Their address.
    pub email: String,
    /// Whether they run the installation.
    pub operator: bool,
    /// What their forms carry.
    pub csrf: String,
    /// How they write numbers.
    pub locale: Locale,
    /// Their session.
    pub session: SessionHash,
    address: Option<String>,
}

impl Visitor {
    /// As the API knows callers: a page can do what its visitor could do by a token, and nothing else.
    pub fn caller(&self) -> Caller {
        Caller::Person(Person { id: self.id, address: self.address.clone() })
    }

    /// As the till knows callers.
    pub fn buyer(&self) -> marketplace::order::Caller {
        marketplace::order::Caller { user: self.id, address: self.address.clone() }
    }

    /// Their standing in the installation as a whole.
    pub fn installation(&self) -> Installation {
        Installation { user: Some(self.id), role: self.operator.then_some(Role::Operator) }
    }

    async fn find(request: &HttpRequest) -> Result<Self, Problem> {
        if let Some(known) = request.extensions().get::<Self>() {
            return Ok(known.clone());
        }
        let state = request.app_data::<Data<State>>().ok_or_else(|| Problem::internal("no state"))?;
        let sessions = request.app_data::<Data<Sessions>>().ok_or_else(|| Problem::internal("no sessions"))?;
        let missing = || Problem::unauthenticated("Sign in first.");
        let session = sessions.presented(request).ok_or_else(missing)?;
        let person = store::sessions::person(&state.db, session.bytes(), real_now()).await.map_err(store_problem)?;
        let person = person.ok_or_else(missing)?;
        let visitor = Self {
            id: person.id,
            name: person.name,
            email: person.email,
            operator: person.operator,
            csrf: sessions.word(&session),
            locale: Locale::of(request),
            session,
            address: request.peer_addr().map(|peer| peer.ip().to_string()),
        };
        request.extensions_mut().insert(visitor.clone());
        Ok(visitor)
    }
}

impl FromRequest for Visitor {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Self::find(&request).await })
    }
}

/// Fields of a form, as they were typed.
pub type Fields = Vec<(String, String)>;

/// The first value of a field; empty where there is none.
pub fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
}

/// A form of a signed-in visitor, sent by this site's own page.
#[derive(Debug)]
pub struct Form<T>(pub Visitor, pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Form<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let visitor = Visitor::find(&request).await?;
            let mut fields = read_form(&request, payload).await?;
            let word = fields.iter().position(|(name, _)| name == "csrf").map(|at| fields.swap_remove(at).1);
            if !from_this_site(request.headers())
                || !word.is_some_and(|word| word.as_bytes().ct_eq(visitor.csrf.as_bytes()).into())
            {
                return Err(not_ours());
            }
            Ok(Self(visitor, parse(&fields)?))
        })
    }
}

/// The fields as a `T`.
fn parse<T: DeserializeOwned>(fields: &Fields) -> Result<T, Problem> {
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    serde_urlencoded::from_str(&text).map_err(|fault| Problem::invalid("", format!("The form cannot be read: {fault}")))
}

/// A form that another site may have sent, or an old page of ours.
pub fn not_ours() -> Problem {
    Problem::malformed("This form was not sent by a page of your present session. Open the page again, then send it.")
}

/// Whether the browser says that a page of this site sent the request; what is no browser says nothing.
pub fn from_this_site(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    headers.get(ORIGIN).is_none_or(|origin| is_here(headers, origin.to_str().unwrap_or_default()).is_some())
}

/// What follows this site's own authority in an address that names it.
fn is_here<'a>(headers: &HeaderMap, address: &'a str) -> Option<&'a str> {
    let (_, rest) = address.split_once("://")?;
    let host = headers.get(HOST)?.to_str().ok()?;
    let rest = rest.strip_prefix(host)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// The page of this site that the visitor comes from.
pub fn came_from(headers: &HeaderMap) -> Option<&str> {
    is_here(headers, headers.get(REFERER)?.to_str().ok()?).filter(|path| is_local(path))
}

/// Whether an address leads to this site and nowhere else.
pub fn is_local(path: &str) -> bool {
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    path.starts_with('/') && !path.starts_with("//") && plain && path.len() <= 2_000
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn sessions(url: &str) -> Sessions {
        Sessions::new(&Secret::from_bytes([3; 32]), url, 12)
    }

    #[test]
    fn a_cookie_brings_its_session_back_and_nothing_else_does() {
        for (url, name) in [("https://purser.example", "__Host-purser"), ("http://127.0.0.1:1", "purser")] {
            let sessions = sessions(url);
            let (hash, cookie) = sessions.make([9; 32]);
            assert_eq!((cookie.name(), cookie.secure(), cookie.http_only()), (name, Some(name.len() > 6), Some(true)));
            assert_eq!(cookie.same_site(), Some(SameSite::Lax));
            let with = |value: &str| {
                sessions
                    .presented(&TestRequest::default().cookie(Cookie::new(name, value.to_owned())).to_http_request())
            };
            assert_eq!(with(cookie.value()), Some(hash));
            assert_ne!(with(&"A".repeat(43)), Some(hash));
            for text in ["", "A", &"A".repeat(44), &"=".repeat(43), &cookie.value()[..42]] {
                assert_eq!(with(text), None, "{text}");
            }
            assert!(!sessions.word(&hash).contains(cookie.value()));
            assert_ne!(sessions.word(&hash), sessions.word(&SessionHash([0; 32])));
        }
    }

    #[test]
    fn only_this_sites_pages_send_forms() {
        let says = |pairs: &[(&'static str, &'static str)]| {
            let request = pairs.iter().fold(TestRequest::default(), |it, pair| it.insert_header(*pair));
            from_this_site(request.insert_header(("host", "purser.example:80")).to_http_request().headers())
        };
        assert!(says(&[]));
        assert!(says(&[("sec-fetch-site", "same-origin")]));
        assert!(says(&[("origin", "http://purser.example:80")]));
        for bad in ["cross-site", "same-site", ""] {
            assert!(!says(&[("sec-fetch-site", bad)]), "{bad}");
        }
        for bad in
            ["http://evil.example", "null", "http://purser.example:8080", "http://purser.example:80.evil.example"]
        {
            assert!(!says(&[("origin", bad)]), "{bad}");
        }
    }

    #[test]
    fn a_way_back_stays_here() {
        for good in ["/", "/checkout/chk_1?step=billing"] {
            assert!(is_local(good), "{good}");
        }
        for bad in ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "/ü", "/a b"] {
            assert!(!is_local(bad), "{bad}");
        }
    }
}
