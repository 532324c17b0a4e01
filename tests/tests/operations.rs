//! Running it: the first start, configuration, health, metrics, logs, and the API's own description.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use tests::{App, Billing, Options, on_both, repository};

on_both! {
    a_first_start_shows_the_way: Options::empty();
    health_and_metrics: Options::new();
    request_ids_are_answered_and_logged: Options::new();
    check_shows_and_verifies: Options::new();
    a_wrong_key_stops_the_start: Options::new();
    only_a_new_database_gets_the_demonstration: Options { catalog: None, ..Options::new() };
    the_description_is_the_one_checked_in: Options::new();
    the_docs_need_nobody_else: Options::new();
    small_and_quick: Options::new();
}

/// `purser` alone: schema, catalogue and company are there, and what it prints leads to a finished purchase.
async fn a_first_start_shows_the_way(app: &App) {
    let printed = app.with_server(|server| server.printed.clone()).await;
    let printed = tests::eventually("the calls of a first purchase", std::time::Duration::from_secs(20), async || {
        let text = printed.lock().expect("the lines").join("\n");
        text.contains("/v1/purchases").then_some(text)
    });
    let printed = printed.await;
    assert!(printed.contains("curl") && printed.contains("Authorization: Bearer"), "{printed}");
    // The person it names can do what it says.
    let at = printed.find("eyJ").expect("a token");
    let token: String = printed[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
    let person = app.with_bearer(&token);
    let mine = person.all("/v1/organizations").await;
    assert!(!mine.is_empty());
    assert_eq!(person.all("/v1/offers").await.len(), 9);
    let script = app.file("calls.sh", &format!("set -e\n{}\n", calls(&printed)));
    let done = std::process::Command::new("bash").arg(script).output().expect("bash");
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{printed}\n---\n{said}");
    assert_eq!(app.database.number("SELECT count(*) FROM purchases").await, 1, "{printed}\n---\n{said}");
}

/// The shell commands among the lines that a start prints: from each `curl` or assignment to its last continued line.
fn calls(printed: &str) -> String {
    let (mut script, mut going_on) = (String::new(), false);
    for line in printed.lines() {
        let text = line.trim();
        let command = ["curl ", "TOKEN=", "export "].iter().any(|begin| text.starts_with(begin));
        if command || going_on {
            script += text;
            script.push('\n');
            going_on = text.ends_with('\\') || (script.matches('\'').count() % 2 == 1);
        }
    }
    script
}

async fn health_and_metrics(app: &App) {
    let nobody = app.anonymous();
    for path in ["/healthz", "/readyz"] {
        let answer = nobody.get(path).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    let sue = app.as_("sue@fabrikam.example").await;
    sue.buys("tailspin", "ms.feed", 1, Billing::Linked).await.status(201);
    sue.get("/v1/offers/unheard.of").await.problem("not-found");
    let metrics = nobody.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{metrics}");
    let text = metrics.text();
    assert!(text.contains("# TYPE") && text.contains("201") && text.contains("404"), "{text}");
    assert!(!text.contains("tailspin") && !text.contains("usr_"), "labels are bounded: {text}");
}

async fn request_ids_are_answered_and_logged(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    let one = sue.get("/v1/offers").await;
    let other = sue.get("/v1/offers").await;
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traced = sue.raw("GET".parse().expect("GET"), "/v1/offers/unheard", vec![], &[("traceparent", trace)]).await;
    traced.problem("not-found");
    let id = traced.header("x-request-id").expect("an id").to_owned();
    app.stop().await;
    app.start_again().await;
    let log: String = std::fs::read_dir(app.folder.path())
        .expect("the folder")
        .flatten()
        .filter(|file| file.file_name().to_string_lossy().starts_with("server-"))
        .map(|file| std::fs::read_to_string(file.path()).expect("a log"))
        .collect();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let line =
        lines.iter().find(|line| line.to_string().contains(&id)).unwrap_or_else(|| panic!("{id} is not in {log}"));
    assert!(line.to_string().contains("4bf92f3577b34da6a3ce929d0e0e4736"), "the trace is taken up: {line}");
    assert!(!log.contains(sue.bearer()), "no token is logged");
    assert!(!log.contains("sue@fabrikam.example"), "no address is logged");
}

async fn check_shows_and_verifies(app: &App) {
    let shown = app.prints(&["check"]);
    for key in ["[server]", "[database]", "[payments]"] {
        assert!(shown.contains(key), "{shown}");
    }
    let secrets =
        [("PURSER__PAYMENTS__STRIPE__KEY", "sk_live_secret"), ("PURSER__PAYMENTS__STRIPE__WEBHOOK_SECRET", "whsec")];
    let shown = app.purser_with(&secrets, &["check"]);
    let shown = format!("{}{}", String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    assert!(!shown.contains("sk_live_secret") && !shown.contains("whsec\""), "secrets are hidden: {shown}");
    app.prints(&["migrate"]);
    app.verify();
}

async fn a_wrong_key_stops_the_start(app: &App) {
    for (name, value, says) in [
        ("PURSER__SERVER__UNHEARD", "1", "unheard"),
        ("PURSER__UNHEARD__KEY", "1", "unheard"),
        ("PURSER__SERVER__PORT", "many", "server.port"),
        ("PURSER__DATABASE__URL", "mysql://x", "database.url"),
        ("PURSER__PAYMENTS__METHODS", "cash", "payments.methods"),
        ("PURSER__AUTH__ISSUER", "https://issuer.example", "auth.issuer"),
    ] {
        for command in ["check", "serve"] {
            let done = app.purser_with(&[(name, value)], &[command]);
            let said = String::from_utf8_lossy(&done.stderr).to_lowercase();
            assert!(!done.status.success() && said.contains(says), "{command} with {name}={value}: {said}");
        }
    }
    for (env, why) in [
        (
            [("PURSER__PAYMENTS__METHODS", "simulated"), ("PURSER__PAYMENTS__ALLOW_SIMULATED", "false")],
            "it takes no money",
        ),
        ([("PURSER__DEMO__SIGN_IN", "true"), ("PURSER__SERVER__ADDRESS", "0.0.0.0")], "anybody could be anybody"),
    ] {
        assert!(!app.purser_with(&env, &["check"]).status.success(), "{why}");
    }
    app.fails(&["serve", "--config", "unheard-of.toml"]);
}

/// Seeded, but without a catalogue: `serve` has loaded nothing into it.
async fn only_a_new_database_gets_the_demonstration(app: &App) {
    assert_eq!(app.database.number("SELECT count(*) FROM offers").await, 0);
    assert_eq!(app.database.number("SELECT count(*) FROM organizations").await, 3);
}

/// `docs/openapi.json` is what the server says of itself; `UPDATE_GOLDEN=1` renews it.
async fn the_description_is_the_one_checked_in(app: &App) {
    let mut document = app.anonymous().get("/openapi.json").await.ok();
    document.sort_all_objects();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", document["openapi"]);
    let shown = format!("{}\n", serde_json::to_string_pretty(&document).expect("JSON"));
    let file = repository().join("docs/openapi.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &shown).expect("docs/openapi.json");
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_default();
    let golden: Value = serde_json::from_str(&golden).unwrap_or_default();
    assert!(
        golden == document,
        "docs/openapi.json differs from /openapi.json; renew it with UPDATE_GOLDEN=1 ./test description"
    );
    let paths: BTreeSet<&String> = document["paths"].as_object().expect("paths").keys().collect();
    for path in ["/v1/offers", "/v1/quotes", "/v1/purchases", "/v1/organizations/{organization}/billing", "/v1/events"]
    {
        let template = |known: &&&String| known.split('{').next() == path.split('{').next();
        assert!(paths.iter().any(|known| template(&known)), "{path} is not in {paths:?}");
    }
    let purchase = &document["paths"]["/v1/purchases"]["post"];
    for status in ["201", "400", "401", "403", "404", "409", "422", "503"] {
        assert!(purchase["responses"][status].is_object(), "{status} of POST /v1/purchases is not described");
    }
}

/// `/docs` and all that a browser loads for it come from this server, and its policy lets nothing else in.
async fn the_docs_need_nobody_else(app: &App) {
    let nobody = app.anonymous();
    let page = nobody.get("/docs").await;
    assert_eq!(page.status, 200, "/docs leads to the page: {page}");
    let html = page.text();
    let mut files = BTreeSet::from([String::new()]);
    for attribute in ["src=", "href="] {
        for after in html.split(attribute).skip(1) {
            let url = after.split('"').nth(1).expect("a quoted value");
            assert!(!url.contains("//"), "{url} is foreign");
            if !url.starts_with('/') {
                files.insert(url.to_owned());
            }
        }
    }
    assert!(files.len() >= 5, "{files:?}");
    assert!(!html.contains("<style") && !html.contains("style=") && !html.contains("onload"), "{html}");
    assert!(html.split("<script").skip(1).all(|script| script.starts_with(" src=")), "no script inline: {html}");
    for file in files {
        let answer = nobody.get(&format!("/docs/{file}")).await;
        assert_eq!(answer.status, 200, "{answer}");
        assert!(!answer.body.is_empty(), "{file}");
        let policy = answer.header("content-security-policy").expect("a policy");
        for directive in policy.split("; ") {
            let (name, sources) = directive.split_once(' ').expect("a directive");
            let allowed: &[&str] = match name {
                "img-src" => &["'self'", "data:"],
                "script-src" | "style-src" | "connect-src" => &["'self'"],
                _ => &["'none'"],
            };
            assert!(sources.split(' ').all(|source| allowed.contains(&source)), "{directive}");
        }
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        let text = answer.text();
        if file.ends_with(".css") {
            assert!(!text.contains("@import"), "{file}");
            assert!(text.split("url(").skip(1).all(|url| url.trim_start_matches('"').starts_with("data:")), "{file}");
        }
        if file == "start.js" {
            assert!(text.contains("\"/openapi.json\"") && text.contains("validatorUrl: null"), "{text}");
            assert!(!text.contains("//"), "{text}");
        }
    }
    nobody.get("/docs/unheard-of.js").await.problem("not-found");
    nobody.get("/docs/..%2f..%2fetc/passwd").await.problem("not-found");
    for path in ["/docs", "/docs/", "/docs/start.js"] {
        let answer = nobody.delete(path).await;
        answer.problem("method-not-allowed");
        assert_eq!(answer.header("allow"), Some("GET"), "{answer}");
    }
}

/// Resident memory stays under 60 MiB, also after some hundred purchases.
async fn small_and_quick(app: &App) {
    let sue = app.as_("sue@fabrikam.example").await;
    for quantity in 1..=300 {
        sue.buys("tailspin", "ms.feed", quantity, Billing::Linked).await.status(201);
    }
    let resident = app.with_server(|server| server.resident()).await;
    assert!(resident < 60 * 1024, "{resident} KiB");
    let has = sue.entitlement("tailspin", "ms.feed").await;
    assert_eq!(has["next"], json!(300));
}
