//! Whatever is wrong with a request gets a clear problem and changes nothing.

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use tests::{Actor, Answer, App, Billing, Options, body_of, items_of, on_both};

on_both! {
    things_that_are_not_there: Options::new();
    quantities_that_are_none: Options::new();
    fields_that_are_wrong: Options::new();
    bodies_that_are_none: Options::new();
    tokens_that_are_not_believed: Options::new();
    a_currency_without_a_price: Options::new();
    hostile_text_is_only_text: Options::new();
    new_subscriptions_that_cannot_be: Options::new();
    paths_and_methods_that_are_none: Options::new();
}

const ADA: &str = "ada@fabrikam.example";
const USERS: &str = "ms.vss-vstsuser";

/// Rows in all tables that a refused request could have written to.
async fn written(app: &App) -> i64 {
    let tables = ["purchases", "charges", "transfers", "entitlements", "links", "subscriptions", "events", "members"];
    let counts = tables.map(|table| format!("(SELECT count(*) FROM {table})")).join(" + ");
    app.database.number(&format!("SELECT {counts}")).await
}

async fn things_that_are_not_there(app: &App) {
    let ada = app.as_(ADA).await;
    let payer = ada.subscription("Fabrikam Production").await;
    let foreign = app.as_("owen@contoso.example").await.subscription("Contoso Main").await;
    let before = written(app).await;
    for (organization, offer, payer) in [
        ("unheard", USERS, payer.as_str()),
        ("contoso", USERS, payer.as_str()),
        ("org_00000000000000000000000000", USERS, payer.as_str()),
        ("fabrikam", "unheard.of", payer.as_str()),
        ("fabrikam", "off_00000000000000000000000000", payer.as_str()),
        ("fabrikam", USERS, "sub_00000000000000000000000000"),
        ("fabrikam", USERS, foreign.as_str()),
    ] {
        ada.buys(organization, offer, 5, Billing::Existing(payer)).await.problem("not-found");
        ada.quotes(organization, offer, 5, Billing::Existing(payer)).await.problem("not-found");
    }
    for (organization, offer, payer) in
        [("fabrikam", USERS, "nonsense"), ("", USERS, payer.as_str()), ("fabrikam", "", payer.as_str())]
    {
        let refused = ada.buys(organization, offer, 5, Billing::Existing(payer)).await;
        assert!([404, 422].contains(&refused.status), "{refused}");
    }
    let put = ada.put("/v1/organizations/fabrikam/billing", json!({ "subscription": foreign })).await;
    put.problem("not-found");
    assert_eq!(written(app).await, before);
}

/// zero where there is something to stop, else from the minimum to the maximum, and a whole number.
async fn quantities_that_are_none(app: &App) {
    let ada = app.as_(ADA).await;
    let payer = ada.subscription("Fabrikam Production").await;
    let before = written(app).await;
    for (quantity, slug) in [
        (json!(-1), "quantity-out-of-range"),
        (json!(100_001), "quantity-out-of-range"),
        (json!(i64::MAX), "quantity-out-of-range"),
        (json!(i64::MIN), "quantity-out-of-range"),
        (json!(u64::MAX), "invalid-request"),
        (json!(1.5), "invalid-request"),
        (json!(1e300), "invalid-request"),
        (json!("5"), "invalid-request"),
        (json!(true), "invalid-request"),
        (json!([5]), "invalid-request"),
        (json!({ "to": 5 }), "invalid-request"),
    ] {
        let items = json!([{ "offer": USERS, "quantity": quantity }]);
        for path in ["/v1/purchases", "/v1/quotes"] {
            let refused = ada.post(path, body_of("fabrikam", items.clone(), Billing::Existing(&payer))).await;
            let problem = refused.problem(slug);
            match slug {
                "invalid-request" => drop(refused.invalid("/items/0/quantity")),
                _ => assert_eq!((&problem["minimum"], &problem["maximum"]), (&json!(0), &json!(100_000)), "{problem}"),
            }
        }
    }
    assert_eq!(written(app).await, before);
}

async fn fields_that_are_wrong(app: &App) {
    let ada = app.as_(ADA).await;
    let payer = ada.subscription("Fabrikam Production").await;
    let before = written(app).await;
    let good = body_of("fabrikam", items_of(&[(USERS, 5)]), Billing::Existing(&payer));
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        body.pointer_mut(parent).expect("its parent")[key] = value;
        body
    };
    for (pointer, value) in [
        ("/unheard", json!(1)),
        ("/items/0/unheard", json!(1)),
        ("/billing/unheard", json!(1)),
        ("/organization", json!(5)),
        ("/organization", json!(null)),
        ("/items", json!([])),
        ("/items", json!({})),
        ("/items", json!("x")),
        ("/items/0/offer", json!(7)),
        ("/items/0/from", json!("0")),
        ("/billing", json!("sub")),
        ("/billing/subscription", json!(5)),
        ("/quote", json!(5)),
    ] {
        let refused = ada.post("/v1/purchases", with(pointer, value.clone())).await;
        refused.problem("invalid-request");
        assert!(refused.text().contains("pointer"), "{pointer} = {value}: {refused}");
    }
    for missing in ["organization", "items"] {
        let mut body = good.clone();
        body.as_object_mut().expect("an object").remove(missing);
        ada.post("/v1/purchases", body).await.invalid(&format!("/{missing}"));
    }
    ada.post("/v1/purchases", with("/unheard", json!(1))).await.invalid("/unheard");
    ada.post("/v1/purchases", with("/items/0/offer", json!(7))).await.invalid("/items/0/offer");
    // Both ways of paying at once, and neither.
    let both = json!({ "subscription": payer, "new_subscription": { "name": "x", "country": "US", "currency": "USD",
        "payment": { "method": "invoice" } } });
    for billing in [both, json!({})] {
        ada.post("/v1/purchases", with("/billing", billing)).await.problem("invalid-request");
    }
    let many: Value = (0..1000).map(|n| json!({ "offer": format!("o{n}"), "quantity": 1 })).collect();
    let refused = ada.post("/v1/purchases", with("/items", many)).await;
    assert!([404, 422].contains(&refused.status), "{refused}");
    assert_eq!(written(app).await, before);
}

async fn bodies_that_are_none(app: &App) {
    let ada = app.as_(ADA).await;
    let before = written(app).await;
    let send = async |body: Vec<u8>, kind: &str| -> Answer {
        let key = ada.fresh_key();
        ada.raw(Method::POST, "/v1/purchases", body, &[("content-type", kind), ("idempotency-key", &key)]).await
    };
    let json = "application/json";
    for body in [
        &b""[..],
        b"{",
        b"{\"organization\": \"fabrikam\",",
        b"[]",
        b"null",
        b"\"text\"",
        b"{\"organization\": \"\xff\xfe\"}",
        b"\xef\xbb\xbf{}",
        b"{\"organization\": \"fabrikam\", \"organization\": \"fabrikam\", \"items\": []}",
        b"{} {}",
        b"{\"organization\": \"\\ud800\"}",
        b"{\"organization\": \"a\\u0000b\", \"items\": [{\"offer\": \"ms.feed\", \"quantity\": 1}]}",
        b"NaN",
    ] {
        let refused = send(body.to_vec(), json).await;
        refused.problem("invalid-request");
    }
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    send(deep, json).await.problem("invalid-request");
    let padding = " ".repeat(1024 * 1024);
    let refused = send(format!("{{{padding}}}").into_bytes(), json).await;
    assert_eq!(refused.problem("invalid-request")["status"], 413);
    send(b"organization=fabrikam".to_vec(), "application/x-www-form-urlencoded")
        .await
        .problem("unsupported-media-type");
    assert_eq!(written(app).await, before);
}

/// A token with these claims, under `key`.
fn token(algorithm: Algorithm, key: &[u8], claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(key)).expect("a token")
}

async fn tokens_that_are_not_believed(app: &App) {
    let ada = app.as_(ADA).await;
    let good: Vec<&str> = ada.bearer().split('.').collect();
    let claims: Value = {
        use base64::Engine;
        let part = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(good[1]).expect("base64");
        serde_json::from_slice(&part).expect("claims")
    };
    let secret = std::fs::read_to_string(app.folder.path().join("secret")).expect("the secret");
    let mut secret_bytes = [0; 32];
    hex::decode_to_slice(secret.trim(), &mut secret_bytes).expect("hexadecimal");
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&secret_bytes).expect("any key will do");
    mac.update(b"token");
    let key = mac.finalize().into_bytes();
    let with = |member: &str, value: Value| {
        let mut claims = claims.clone();
        claims[member] = value;
        claims
    };
    // The key is right, so what is refused below is refused for its claims.
    app.with_bearer(&token(Algorithm::HS256, &key, &claims)).get("/v1/organizations").await.ok();
    let now = claims["iat"].as_i64().expect("iat");
    let mut refused = vec![
        token(Algorithm::HS256, &key, &with("exp", json!(now - 60))),
        token(Algorithm::HS256, &key, &with("iss", json!("https://elsewhere.example"))),
        token(Algorithm::HS256, &key, &with("aud", json!("another"))),
        token(Algorithm::HS256, &key, &with("sub", json!("usr_00000000000000000000000000"))),
        token(Algorithm::HS256, &key, &with("sub", json!("nonsense"))),
        token(Algorithm::HS256, &key, &with("exp", json!(null))),
        token(Algorithm::HS384, &key, &claims),
        token(Algorithm::HS512, &key, &claims),
        token(Algorithm::HS256, b"guessed", &claims),
        token(Algorithm::HS256, secret.trim().as_bytes(), &claims),
        token(Algorithm::HS256, b"", &claims),
        // {"alg":"none"}
        format!("eyJhbGciOiJub25lIn0.{}.", good[1]),
        format!("eyJhbGciOiJub25lIn0.{}.{}", good[1], good[2]),
        format!("{}.{}.", good[0], good[1]),
        format!("{}.{}", good[0], good[1]),
        "nonsense".to_owned(),
        "psk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        "x".repeat(10_000),
    ];
    let mut altered = good[2].to_owned().into_bytes();
    altered[10] = if altered[10] == b'A' { b'B' } else { b'A' };
    refused.push(format!("{}.{}.{}", good[0], good[1], String::from_utf8(altered).expect("text")));
    for token in refused {
        let answer = app.with_bearer(&token).get("/v1/organizations").await;
        if answer.status == 431 {
            continue; // Headers too large is as good.
        }
        answer.problem("unauthenticated");
        assert!(answer.header("www-authenticate").is_some(), "{token}: {answer}");
    }
    for header in ["", "Bearer", "Bearer ", "Basic YTpi", "bearer", "Bearer a b"] {
        let answer = app.anonymous().raw(Method::GET, "/v1/organizations", vec![], &[("authorization", header)]).await;
        answer.problem("unauthenticated");
    }
    // Another installation's token: same issuer and audience, another secret.
    let other = app.file("other-secret", &"ab".repeat(32));
    let foreign = app.purser_with(&[("PURSER__SERVER__SECRET_FILE", &other)], &["token", "--user", ADA]);
    let foreign = String::from_utf8(foreign.stdout).expect("a token");
    app.with_bearer(foreign.trim()).get("/v1/organizations").await.problem("unauthenticated");
    app.fails(&["token", "--user", "unheard@example.com"]);
}

/// nothing is ever converted.
async fn a_currency_without_a_price(app: &App) {
    let ada = app.as_(ADA).await;
    let yen = Billing::New { name: "Yen", country: "JP", currency: "JPY" };
    // Without a price there is nothing to quote either.
    for answer in [ada.quotes("fabrikam", USERS, 5, yen).await, ada.buys("fabrikam", USERS, 5, yen).await] {
        let problem = answer.problem("subscription-not-eligible");
        assert_eq!(problem["reasons"][0]["code"], "currency_mismatch", "{problem}");
    }
    let quote =
        |currency: &str| json!({ "organization": "fabrikam", "items": items_of(&[(USERS, 5)]), "currency": currency });
    let problem = ada.post("/v1/quotes", quote("JPY")).await.problem("subscription-not-eligible");
    assert!(problem["reasons"].to_string().contains("currency_mismatch"), "{problem}");
    for bad in ["XXX", "usd", "EURO", "", "ZZZ"] {
        ada.post("/v1/quotes", quote(bad)).await.invalid("/currency");
    }
}

/// What looks like SQL, markup or another encoding is kept and given back as it came.
async fn hostile_text_is_only_text(app: &App) {
    let ada = app.as_(ADA).await;
    for name in [
        "'; DROP TABLE purchases; --",
        "<script>alert(1)</script>",
        "\u{202e}gnirts a",
        "Ünïcödé 漢字 🦀",
        "%s %n {} ${jndi:ldap://x}",
        "\\\"quoted\\\"",
    ] {
        let body = json!({ "name": name, "country": "US", "currency": "USD", "payment": { "method": "invoice" } });
        let made = ada.post("/v1/subscriptions", body).await;
        if made.status == 422 {
            continue; // A control character may be refused.
        }
        let id = made.status(201)["id"].as_str().expect("an id").to_owned();
        assert_eq!(ada.get(&format!("/v1/subscriptions/{id}")).await.ok()["name"], name);
    }
    for path in [
        "/v1/offers/'%20OR%201=1",
        "/v1/offers/%00",
        "/v1/offers/%ff",
        "/v1/offers/..%2f..%2fetc",
        "/v1/organizations/%25",
    ] {
        let answer = ada.get(path).await;
        assert!((400..500).contains(&answer.status), "{answer}");
    }
    let answer = ada.get("/v1/offers?q=%00").await;
    assert!([200, 400, 422].contains(&answer.status), "{answer}");
}

/// no currency, country or way of paying that there is not; nothing that looks like a card's number.
async fn new_subscriptions_that_cannot_be(app: &App) {
    let ada = app.as_(ADA).await;
    let before = written(app).await;
    let good = json!({ "name": "New", "country": "US", "currency": "USD", "payment": { "method": "invoice" } });
    let mut refused: Vec<(&str, Answer)> = Vec::new();
    for (pointer, value) in [
        ("/name", json!("")),
        ("/name", json!("x".repeat(201))),
        ("/name", json!("a\nb")),
        ("/name", json!(7)),
        ("/country", json!("XX")),
        ("/country", json!("us")),
        ("/currency", json!("XXX")),
        ("/currency", json!("usd")),
        ("/payment/method", json!("cash")),
        ("/payment/method", json!("stripe")),
        ("/payment/unheard", json!(1)),
        ("/email", json!("not an address")),
        ("/unheard", json!(1)),
        ("/name", json!("4242 4242 4242 4242")),
    ] {
        let mut subscription = good.clone();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        subscription.pointer_mut(parent).expect("its parent")[key] = value;
        let mut purchase = body_of("fabrikam", items_of(&[(USERS, 5)]), Billing::Linked);
        purchase["billing"] = json!({ "new_subscription": subscription });
        refused.push((pointer, ada.post("/v1/subscriptions", subscription).await));
        refused.push((pointer, ada.post("/v1/purchases", purchase).await));
    }
    for missing in ["name", "country", "currency", "payment"] {
        let mut subscription = good.clone();
        subscription.as_object_mut().expect("an object").remove(missing);
        refused.push((missing, ada.post("/v1/subscriptions", subscription).await));
    }
    for (pointer, answer) in refused {
        answer.problem("invalid-request");
        assert!(answer.text().contains("pointer"), "{pointer}: {answer}");
    }
    let mut card = good.clone();
    card["payment"] = json!({ "method": "card", "token": "4242424242424242" });
    let answer = ada.post("/v1/subscriptions", card).await;
    answer.problem("invalid-request");
    assert!(!answer.text().contains("4242424242424242"), "{answer}");
    let log = app.with_server(|server| server.log()).await;
    assert!(!log.contains("4242424242424242"), "what is shaped like a card's number is not logged");
    assert_eq!(written(app).await, before);
}

async fn paths_and_methods_that_are_none(app: &App) {
    let ada = app.as_(ADA).await;
    for path in ["/v1", "/v1/unheard", "/v2/offers", "/v1/offers/", "/v1/organizations/fabrikam/unheard"] {
        let answer = ada.get(path).await;
        assert_eq!(answer.status, 404, "{answer}");
        answer.problem("not-found");
    }
    let call = async |actor: &Actor, method: Method, path: &str| actor.call(method, path, None, None).await;
    for (method, path, allow) in [
        (Method::DELETE, "/v1/offers", "GET"),
        (Method::PUT, "/v1/purchases", "POST"),
        (Method::GET, "/v1/purchases", "POST"),
        (Method::PATCH, "/v1/organizations/fabrikam/billing", "PUT"),
        (Method::TRACE, "/v1/offers", "GET"),
    ] {
        let answer = call(&ada, method, path).await;
        answer.problem("method-not-allowed");
        assert!(answer.header("allow").is_some_and(|allowed| allowed.contains(allow)), "{answer}");
    }
    let head = call(&ada, Method::HEAD, "/healthz").await;
    assert!([200, 405].contains(&head.status) && head.body.is_empty(), "{head}");
}
