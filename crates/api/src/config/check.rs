//! What the settings must be beyond their types, and with each other.

use std::collections::BTreeSet;

use billing::dunning::Schedule;

use super::{Config, PaymentMethod, TaxRate};

impl Config {
    /// What cannot be, by key.
    pub(super) fn wrong(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let mut must = |holds: bool, key: &'static str, message: &str| {
            if !holds {
                wrong.push((key, message.to_owned()));
            }
        };
        let server = &self.server;
        let public = server.public_url.as_str();
        must(
            public.is_empty() || is_web_address(public),
            "server.public_url",
            "must be empty or begin with http:// or https:// and a host",
        );
        must((1..=64).contains(&server.workers), "server.workers", "must be 1 to 64");
        must(
            (1024..=64 * 1024 * 1024).contains(&server.body_limit),
            "server.body_limit",
            "must be 1024 to 67108864 bytes",
        );
        must(server.shutdown_seconds <= 3600, "server.shutdown_seconds", "must be at most 3600");
        must(!server.secret_file.as_os_str().is_empty(), "server.secret_file", "must name a file");
        let url = self.database.url.expose();
        must(
            ["sqlite://", "postgres://", "postgresql://"]
                .iter()
                .any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty())),
            "database.url",
            "must begin with sqlite:// or postgres:// and say where",
        );
        must((1..=256).contains(&self.database.pool), "database.pool", "must be 1 to 256");
        let till = &self.till;
        must(till.lanes <= 64, "till.lanes", "must be at most 64");
        must((1..=1024).contains(&till.batch), "till.batch", "must be 1 to 1024");
        must((1..=1_000_000).contains(&till.queue), "till.queue", "must be 1 to 1000000");
        must((1..=60_000).contains(&till.wait_ms), "till.wait_ms", "must be 1 to 60000");
        must(
            self.seller.series.len() <= 20
                && self.seller.series.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/".contains(&b)),
            "seller.series",
            "must be at most 20 letters, digits, hyphens, underscores and slashes",
        );
        must(
            (1..=10).contains(&self.seller.credit_prefix.len())
                && self.seller.credit_prefix.bytes().all(|b| b.is_ascii_alphanumeric()),
            "seller.credit_prefix",
            "must be 1 to 10 letters and digits",
        );
        let mut rates = BTreeSet::new();
        let twice = |rate: &TaxRate| !rates.insert((rate.country.to_string(), rate.from));
        must(!self.tax.rates.iter().any(twice), "tax.rates", "hold two rates of one country from one day on");
        let auth = &self.auth;
        must(
            !auth.issuer.contains("://"),
            "auth.issuer",
            "is a URL, but tokens of a foreign OIDC issuer are not supported by this version's API yet; \
             with a plain name, such as \"purser\", this server mints its own",
        );
        must(!auth.issuer.trim().is_empty(), "auth.issuer", "must not be empty");
        must(!auth.audience.trim().is_empty(), "auth.audience", "must not be empty");
        must((1..=8760).contains(&auth.token_hours), "auth.token_hours", "must be 1 to 8760");
        must((1..=8760).contains(&auth.session_hours), "auth.session_hours", "must be 1 to 8760");
        let payments = &self.payments;
        must((0..=365).contains(&payments.due_days), "payments.due_days", "must be 0 to 365");
        must(!payments.methods.is_empty(), "payments.methods", "must name at least one");
        must(
            payments.allow_simulated || !payments.methods.contains(&PaymentMethod::Simulated),
            "payments.methods",
            "hold \"simulated\", which takes no money; if that is meant, set payments.allow_simulated",
        );
        must(
            payments.dunning_days.len() <= 20
                && payments.dunning_days.iter().all(|day| (1..=365).contains(day))
                && (1..=365).contains(&payments.disable_after_days)
                && Schedule::new(payments.dunning_days.clone(), payments.disable_after_days).is_some(),
            "payments.dunning_days",
            "must be 1 to 20 days from 1 to 365 that go up, and payments.disable_after_days 1 to 365",
        );
        let stripe = payments.methods.contains(&PaymentMethod::Stripe);
        must(
            !stripe || (super::is_web_address(&payments.stripe.url) && !payments.stripe.key.expose().is_empty()),
            "payments.stripe",
            "needs url and key where payments.methods hold \"stripe\"",
        );
        must(
            !stripe || !payments.stripe.webhook_secret.expose().is_empty(),
            "payments.stripe.webhook_secret",
            "must be set where payments.methods hold \"stripe\": what is not signed is not believed",
        );
        let mail = &self.mail;
        must(
            mail.url.is_empty() || crate::mailing::post::is_server(mail.url.expose()),
            "mail.url",
            "must be empty or smtp://USER:PASSWORD@HOST:PORT, or smtps://…; what is odd in a password is written as %XX",
        );
        must(
            mail.url.is_empty() || mail.from.parse::<lettre::Address>().is_ok(),
            "mail.from",
            "must be the address that mail comes from, such as billing@example.com, where mail.url is set",
        );
        must(
            !self.demo.sign_in || server.address.is_loopback(),
            "demo.sign_in",
            "lets anybody be anybody, and so needs server.address to be a loopback address, such as 127.0.0.1",
        );
        if let Err(message) = crate::telemetry::filter(&self.log.filter) {
            must(false, "log.filter", &message);
        }
        wrong
    }

    /// What works, but is worth a word.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |holds: bool, text: &str| {
            if holds {
                notes.push(text.to_owned());
            }
        };
        let loopback = self.server.address.is_loopback();
        let public = self.server.public_url.as_str();
        note(
            !loopback && public.is_empty(),
            "server.public_url is not set: links will hold the address that this server listens on",
        );
        note(public.starts_with("http://") && !loopback, "server.public_url is not https: tokens travel in the clear");
        note(self.payments.allow_simulated && !loopback, "payments.allow_simulated is on: payments may be only played");
        notes
    }
}

/// Whether a text is an absolute address of the web.
pub fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && !url.chars().any(|c| c.is_whitespace() || c.is_control())
}
