//! How a mail leaves: by SMTP, with TLS where it matters.

use crate::config::Config;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::response::Category;
use lettre::transport::smtp::{Error, PoolConfig};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use store::mails::MailRow;
use url::{Host, Url};

/// How long the server may take for each answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one mail may take in all.
pub const LONGEST: Duration = Duration::from_secs(30);

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// What came of sending a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The server took it.
    Accepted,
    /// It takes it never: its code, or why it could not even be asked.
    Refused(String),
    /// It may take it later: its code.
    Later(String),
    /// There is no server that could be asked: why.
    Away(&'static str),
}

/// The server that takes mail, and whom it comes from.
#[derive(Clone)]
pub struct Post {
    transport: Transport,
    from: Mailbox,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Post {
    /// As configured; none where no mail is sent. In a runtime, which keeps its connections.
    ///
    /// # Errors
    /// What is no address of a server, or of a sender.
    pub fn new(config: &Config) -> anyhow::Result<Option<Self>> {
        if config.mail.url.is_empty() {
            return Ok(None);
        }
        let builder = Transport::from_url(&safe(config.mail.url.expose())?)?;
        let transport = builder.timeout(Some(PATIENCE)).pool_config(PoolConfig::new().max_size(4)).build();
        let address = config.mail.from.parse::<Address>()?;
        Ok(Some(Self { transport, from: Mailbox::new(Some(config.seller.name.to_string()), address) }))
    }

    /// Sends a mail, and says what came of it.
    pub async fn send(&self, mail: &MailRow) -> Sent {
        let Some(message) = self.message(mail) else { return Sent::Refused("address".to_owned()) };
        match tokio::time::timeout(LONGEST, self.transport.send(message)).await {
            Ok(Ok(_)) => Sent::Accepted,
            Ok(Err(error)) => came_of(&error),
            Err(_) => Sent::Away("timeout"),
        }
    }

    /// The message, which has one id however often it is sent; none to what is no address.
    fn message(&self, mail: &MailRow) -> Option<Message> {
        let to = mail.recipient.parse::<Address>().ok()?;
        let whom = Sha256::digest(mail.recipient.as_bytes());
        let whom = hex::encode(whom.get(..4).unwrap_or_default());
        let id = format!("<{}.{whom}@{}>", mail.event, self.from.email.domain());
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(mail.subject.as_str())
            .message_id(Some(id))
            // Nobody is answered by whoever is away (RFC 3834).
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN)
            .body(mail.body.clone())
            .ok()
    }
}

/// A refusal is final, but one of ourselves (53x: who we are, or how we are connected) is the operator's to put right.
fn came_of(error: &Error) -> Sent {
    match error.status() {
        Some(code) if error.is_permanent() && code.category != Category::Unspecified3 => {
            Sent::Refused(code.to_string())
        }
        Some(code) => Sent::Later(code.to_string()),
        // Such as an address that this server cannot write.
        None if error.is_client() => Sent::Refused("client".to_owned()),
        None if error.is_tls() => Sent::Away("tls"),
        None if error.is_timeout() => Sent::Away("timeout"),
        None => Sent::Away("connection"),
    }
}

/// Whether a text names a server that mail can be handed to.
pub fn is_server(url: &str) -> bool {
    safe(url).is_ok_and(|url| Transport::from_url(&url).is_ok())
}

/// The URL with the TLS that it needs, where it says nothing of it: a password is told to nobody in the clear.
fn safe(text: &str) -> anyhow::Result<String> {
    let mut url = Url::parse(text)?;
    let here = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        // Of a scheme that is not the web's a host is only a text.
        Some(Host::Domain(name)) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    };
    if url.scheme() == "smtp" && !here && !url.query_pairs().any(|(key, _)| key == "tls") {
        // Without a port these mean another one than plain smtp does.
        let port = url.port().unwrap_or(25);
        anyhow::ensure!(url.set_port(Some(port)).is_ok(), "no host");
        let tls = if url.password().is_some() { "required" } else { "opportunistic" };
        url.query_pairs_mut().append_pair("tls", tls);
    }
    Ok(url.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_password_needs_tls() {
        for (url, expected) in [
            ("smtp://u:p@mail.example:587", "smtp://u:p@mail.example:587?tls=required"),
            ("smtp://u:p@mail.example", "smtp://u:p@mail.example:25?tls=required"),
            ("smtp://mail.example:25", "smtp://mail.example:25?tls=opportunistic"),
            ("smtp://mail.example:25?tls=required", "smtp://mail.example:25?tls=required"),
            ("smtp://u:p@127.0.0.1:2525", "smtp://u:p@127.0.0.1:2525"),
            ("smtp://u:p@localhost:2525", "smtp://u:p@localhost:2525"),
            ("smtp://u:p@[::1]:2525", "smtp://u:p@[::1]:2525"),
            ("smtps://u:p@mail.example", "smtps://u:p@mail.example"),
        ] {
            assert_eq!(safe(url).unwrap(), expected);
        }
        assert!(!is_server("smtp://"));
        assert!(!is_server("mail.example:25"));
    }
}
