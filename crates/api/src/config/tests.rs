//! The configuration as an operator meets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use super::*;

const PRODUCTION: &str = include_str!("../../../../config/production.toml");

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigFault> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let config = Config::from_text("x.toml", text, variables)?;
    config.validate()?;
    Ok(config)
}

/// All that is wrong, as one text.
fn fault(text: &str, variables: &[(&str, &str)]) -> String {
    load(text, variables).unwrap_err().to_string()
}

fn with(name: &str, value: &str) -> Config {
    load("", &[(name, value)]).unwrap()
}

#[test]
fn the_built_in_file_is_the_demonstration() {
    let config = load(BUILT_IN, &[]).unwrap();
    assert!(config.server.address.is_loopback());
    assert_eq!(config.server.port, 8080);
    assert_eq!(config.database.url.expose(), "sqlite://data/purser.db");
    assert_eq!(config.platform.publisher.as_str(), "ms");
    assert_eq!(config.platform.currency.code(), "USD");
    assert!(config.payments.allow_simulated);
    assert_eq!(config.demo.files().1, Some(Path::new("config/demo.toml")));
    assert!((1..=2).contains(&config.till.effective_lanes()));
    assert_eq!(config.validate(), Ok(vec![]));
}

#[test]
fn without_any_file_it_is_the_built_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("default.toml");
    let config = Config::load_from(None, &nowhere, []).unwrap();
    assert!(config.payments.allow_simulated);
    let fault = Config::load_from(Some(&nowhere), &nowhere, []).unwrap_err();
    assert!(fault.to_string().contains("default.toml: cannot be read"), "{fault}");
    std::fs::write(&nowhere, "[server]\nport = 9").unwrap();
    assert_eq!(Config::load_from(None, &nowhere, []).unwrap().server.port, 9);
}

#[test]
fn production_is_valid_and_no_demonstration() {
    let config = load(PRODUCTION, &[]).unwrap();
    assert_eq!(config.payments.methods.iter().collect::<Vec<_>>(), [&PaymentMethod::Invoice]);
    assert!(!config.payments.allow_simulated);
    assert_eq!(config.demo.files(), (None, None));
    assert_eq!(config.tax.rates.len(), 3);
    assert_eq!(config.validate(), Ok(vec![]));
}

#[test]
fn a_file_that_says_nothing_is_no_demonstration() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.payments.methods.len(), 1);
    assert!(!config.payments.allow_simulated);
    assert_eq!(config.demo.files(), (None, None));
}

#[test]
fn the_environment_stands_above_the_file() {
    let config = load("[server]\nport = 1\nworkers = 2", &[("PURSER__SERVER__PORT", "9000")]).unwrap();
    assert_eq!((config.server.port, config.server.workers), (9000, 2));
    assert_eq!(with("PURSER__SELLER__TAX_ID", "123").seller.tax_id, "123");
    assert_eq!(with("PURSER__PAYMENTS__STRIPE__KEY", "sk").payments.stripe.key.expose(), "sk");
    assert!(with("PURSER__DEMO__SIGN_IN", "true").demo.sign_in);
    assert_eq!(with("OTHER__SERVER__PORT", "x").server.port, 8080);
}

#[test]
fn lists_come_in_three_forms() {
    let both = [PaymentMethod::Invoice, PaymentMethod::Simulated];
    for text in ["invoice,simulated", " simulated , invoice,", r#"["invoice","simulated"]"#, "['invoice', 'simulated']"]
    {
        let config = load("[payments]\nallow_simulated = true", &[("PURSER__PAYMENTS__METHODS", text)]).unwrap();
        assert!(config.payments.methods.iter().eq(&both), "{text}");
    }
    for text in [
        r#"[{"country": "DE", "percent": "7.7", "from": "2007-01-01"}]"#,
        r#"[{country = "DE", percent = "7.7", from = "2007-01-01"}]"#,
        r#"[{country = "DE", percent = "7.7", from = 2007-01-01}]"#,
    ] {
        let rates = with("PURSER__TAX__RATES", text).tax.rates;
        assert_eq!(rates.len(), 1, "{text}");
        assert_eq!(rates[0].percent.to_string(), "7.7");
        assert_eq!(rates[0].from.to_string(), "2007-01-01");
    }
    assert!(with("PURSER__TAX__RATES", "").tax.rates.is_empty());
    let whole = load("[[tax.rates]]\ncountry = 'DE'\npercent = 19\nfrom = 2007-01-01", &[]).unwrap();
    assert_eq!(whole.tax.rates[0].percent.to_string(), "19");
}

#[test]
fn an_unknown_key_is_named_with_its_place() {
    let said = fault("[server]\nport = 1\nprot = 2\n\n[sever]\nx = 1", &[]);
    assert!(said.contains("server.prot (x.toml, line 3): unknown key; [server] knows address, "), "{said}");
    assert!(said.contains("sever (x.toml, line 5): unknown key; the configuration knows auth, "), "{said}");
    let said = fault("", &[("PURSER__SERVER__PROT", "1"), ("PURSER__PORT", "1"), ("PURSER__SERVER", "1")]);
    assert!(said.contains("server.prot (PURSER__SERVER__PROT): unknown key; [server] knows"), "{said}");
    assert!(said.contains("port (PURSER__PORT): unknown key; the configuration knows"), "{said}");
    assert!(said.contains("server (PURSER__SERVER): is a section"), "{said}");
    let said = fault("[[tax.rates]]\ncountry = 'DE'\npercent = '1'\nfrom = '2020-01-01'\nuntil = 1", &[]);
    assert!(said.contains("tax.rates[0].until (x.toml, line 1): unknown field `until`"), "{said}");
}

#[test]
fn a_value_of_another_type_is_named_with_its_place() {
    for (text, wanted) in [
        ("[server]\nport = 'x'", "server.port (x.toml, line 2): must be a whole number, not a text"),
        ("[server]\n\nport = 70000", "server.port (x.toml, line 3): "),
        ("server = 5", "server (x.toml, line 1): must be a section, not a whole number"),
        ("[webhooks]\nallow_loopback = 1", "webhooks.allow_loopback (x.toml, line 2): must be true or false"),
        ("[server]\naddress = 'localhost'", "server.address (x.toml, line 2): invalid IP address"),
        ("[payments]\nmethods = 'invoice'", "payments.methods (x.toml, line 2): must be a list, not a text"),
        ("[payments]\nmethods = ['cash']", "payments.methods[0] (x.toml, line 2): unknown variant `cash`"),
        ("[platform]\ncurrency = 'usd'", "platform.currency (x.toml, line 2): must be the upper case ISO 4217"),
        ("[platform]\npublisher = 'M S'", "platform.publisher (x.toml, line 2): must be 1 to 100"),
        ("[seller]\ncountry = 'Germany'", "seller.country (x.toml, line 2): "),
        (
            "[[tax.rates]]\ncountry = 'DE'\npercent = 7.7\nfrom = '2007-01-01'",
            "tax.rates[0].percent (x.toml, line 1): invalid type: floating point",
        ),
        ("[[tax.rates]]\ncountry = 'DE'\npercent = '101'\nfrom = '2007-01-01'", "must be a decimal from 0 to 100"),
        ("[[tax.rates]]\ncountry = 'DE'\npercent = '-1'\nfrom = '2007-01-01'", "must be a decimal from 0 to 100"),
        ("[[tax.rates]]\ncountry = 'DE'\npercent = '1'\nfrom = '1.1.2007'", "tax.rates[0].from (x.toml, line 1): "),
        ("[[tax.rates]]\ncountry = 'DE'\npercent = '1'", "missing field `from`"),
        ("[log]\nformat = 'xml'", "log.format (x.toml, line 2): unknown variant `xml`"),
        ("[server]\nport = 1\nport = 2", "x.toml, line 3: not TOML"),
        ("[server\n", "x.toml, line 1: not TOML"),
    ] {
        let said = fault(text, &[]);
        assert!(said.contains(wanted), "{text}\n{said}");
    }
    for (name, value, wanted) in [
        ("PURSER__SERVER__PORT", "http", "server.port (PURSER__SERVER__PORT): must be a whole number"),
        ("PURSER__DEMO__SIGN_IN", "yes", "demo.sign_in (PURSER__DEMO__SIGN_IN): must be true or false"),
        ("PURSER__TAX__RATES", "[{", "tax.rates (PURSER__TAX__RATES): must be a list as JSON or TOML"),
        ("PURSER__TAX__RATES", "[] x = 1", "must be a list as JSON or TOML"),
        ("PURSER__TAX__RATES", "DE", "tax.rates[0] (PURSER__TAX__RATES): invalid type"),
    ] {
        let said = fault("", &[(name, value)]);
        assert!(said.contains(wanted), "{name}={value}\n{said}");
    }
}

#[test]
fn settings_must_fit_each_other() {
    for (text, wanted) in [
        ("[payments]\nmethods = ['simulated']", "payments.methods (x.toml, line 2): hold \"simulated\""),
        ("[payments]\nmethods = ['stripe']", "payments.stripe: needs url and key"),
        ("[payments]\ndunning_days = [3, 1]", "payments.dunning_days"),
        ("[payments]\ndisable_after_days = 0", "payments.dunning_days"),
        ("[payments]\nmethods = ['stripe']", "payments.stripe.webhook_secret: must be set"),
        ("[payments]\nmethods = ['stripe']\n[payments.stripe]\nurl = 'stripe'\nkey = 'k'", "payments.stripe"),
        ("[payments]\nmethods = []", "must name at least one"),
        ("[server]\naddress = '0.0.0.0'\n[demo]\nsign_in = true", "demo.sign_in (x.toml, line 4): lets anybody"),
        ("[auth]\nissuer = 'https://login.example'", "auth.issuer (x.toml, line 2): is a URL"),
        ("[auth]\nissuer = ''", "auth.issuer"),
        ("[auth]\ntoken_hours = 0", "auth.token_hours"),
        ("[database]\nurl = 'mysql://x'", "database.url"),
        ("[database]\nurl = 'sqlite://'", "database.url"),
        ("[database]\npool = 0", "database.pool"),
        ("[till]\nbatch = 0", "till.batch"),
        ("[till]\nqueue = 0", "till.queue"),
        ("[till]\nwait_ms = 0", "till.wait_ms"),
        ("[server]\nworkers = 0", "server.workers"),
        ("[server]\nbody_limit = 1", "server.body_limit"),
        ("[server]\nsecret_file = ''", "server.secret_file"),
        ("[server]\npublic_url = 'purser.example'", "server.public_url"),
        ("[server]\npublic_url = 'https://'", "server.public_url"),
        ("[mail]\nurl = 'mail:25'\nfrom = 'a@b.example'", "mail.url"),
        ("[mail]\nurl = 'http://mail'\nfrom = 'a@b.example'", "mail.url"),
        ("[mail]\nurl = 'smtp://mail?tls=no'\nfrom = 'a@b.example'", "mail.url"),
        ("[mail]\nurl = 'smtp://mail'", "mail.from"),
        ("[mail]\nurl = 'smtp://mail'\nfrom = 'A <a@b.example>'", "mail.from"),
        ("[seller]\nseries = 'Ä 1'", "seller.series"),
        ("[log]\nfilter = 'a=b=c'", "log.filter (x.toml, line 2): is no filter"),
        (
            "[tax]\nrates = [{country='DE',percent='1',from='2020-01-01'},{country='DE',percent='2',from='2020-01-01'}]",
            "tax.rates (x.toml, line 2): hold two rates",
        ),
    ] {
        let said = fault(text, &[]);
        assert!(said.contains(wanted), "{text}\n{said}");
    }
    let said = fault("[till]\nbatch = 0\nqueue = 0", &[]);
    assert_eq!(said.lines().count(), 3, "all at one go: {said}");
    assert!(load("[server]\naddress = '::1'\n[demo]\nsign_in = true", &[]).is_ok());
}

#[test]
fn what_is_worth_a_word_is_noted() {
    let notes = |text| load(text, &[]).unwrap().validate().unwrap().join("\n");
    assert!(notes("[server]\naddress = '0.0.0.0'").contains("public_url is not set"));
    let plain = "[server]\naddress = '0.0.0.0'\npublic_url = 'http://purser.example'";
    assert!(notes(plain).contains("not https"));
    assert_eq!(notes("[server]\naddress = '0.0.0.0'\npublic_url = 'https://purser.example'"), "");
    assert!(notes("[server]\naddress = '::'\n[payments]\nallow_simulated = true").contains("only played"));
}

#[test]
fn secrets_are_not_shown() {
    let config = load(
        "",
        &[
            ("PURSER__PAYMENTS__STRIPE__KEY", "sk_live_hush"),
            ("PURSER__PAYMENTS__STRIPE__WEBHOOK_SECRET", "whsec_hush"),
            ("PURSER__DATABASE__URL", "postgres://purser:hush@db:5432/purser?sslmode=require"),
            ("PURSER__MAIL__URL", "smtp://mailer:hush@mail:587"),
            ("PURSER__MAIL__FROM", "billing@purser.example"),
        ],
    )
    .unwrap();
    let shown = config.shown();
    for line in [
        "key = \"***\"",
        "webhook_secret = \"***\"",
        "url = \"postgres://purser:***@db:5432/purser?sslmode=require\"",
        "url = \"smtp://mailer:***@mail:587\"",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    assert!(!shown.contains("hush"));
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn a_fault_shows_no_secret() {
    for text in [
        "[payments.stripe]\nkey = ['hush']",
        "[payments.stripe]\nkey = 'hush",
        "[payments.stripe]\nkey = hush",
        "[database]\nurl = 'mysql://u:hush@h'",
    ] {
        let said = fault(text, &[]);
        assert!(!said.contains("hush"), "{said}");
    }
}

#[test]
fn what_is_shown_is_a_configuration() {
    let config = load(PRODUCTION, &[]).unwrap();
    assert_eq!(load(&config.shown(), &[]).unwrap().shown(), config.shown());
}

#[test]
fn the_address_for_people() {
    let bound = "127.0.0.1:4711".parse().unwrap();
    assert_eq!(load("", &[]).unwrap().public_url(bound), "http://127.0.0.1:4711");
    let url = with("PURSER__SERVER__PUBLIC_URL", "https://purser.example/");
    assert_eq!(url.public_url(bound), "https://purser.example");
}
