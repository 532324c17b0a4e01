//! Searches find a part of a name anywhere, however short, in what the caller may see, and follow changes of names.

use serde_json::json;
use tests::{Actor, App, Options, on_both};

on_both! {
    organizations_are_found_by_parts_of_their_names: Options::new();
    subscriptions_are_found_by_parts_of_their_names: Options::new();
}

async fn found(actor: &Actor, list: &str, q: &str) -> Vec<String> {
    let q: String = q.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let rows = actor.all(&format!("/v1/{list}?limit=1&q={q}")).await;
    rows.iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect()
}

async fn organizations_are_found_by_parts_of_their_names(app: &App) {
    let (platform, olga) = (app.platform().await, app.as_("olga@platform.example").await);
    let named = async |slug: &str, name: &str| {
        platform.put(&format!("/v1/organizations/{slug}"), json!({ "name": name, "country": "DE" })).await.ok();
    };
    named("qq-one", "Zürich 100%_Works").await;
    named("qq-two", "Zebra").await;
    let of = async |q: &str| found(&olga, "organizations", q).await;
    for q in ["rich", "RICH", "Zür", "ürich 1", "0%", "%_w", "rks", "ks", "Q-ONE", "zürich 100%_works"] {
        assert_eq!(of(q).await, ["Zürich 100%_Works"], "{q}");
    }
    for q in ["qq", "QQ-", "z"] {
        let both = of(q).await;
        assert!(["Zürich 100%_Works", "Zebra"].iter().all(|name| both.contains(&(*name).to_owned())), "{q}: {both:?}");
    }
    for q in ["ebrax", "~", "works zebra", "onez", "%%", "eb_a"] {
        assert_eq!(of(q).await, Vec::<String>::new(), "{q}");
    }
    named("qq-two", "Okapi").await;
    assert_eq!((of("ebr").await.len(), of("kap").await), (0, vec!["Okapi".to_owned()]));
    // Who has nothing to do with it finds nothing; who is made a member does.
    let mia = app.as_("mia@fabrikam.example").await;
    assert!(found(&mia, "organizations", "kap").await.is_empty());
    let member = json!({ "name": "Mia", "role": "member", "access": "basic" });
    platform.put("/v1/organizations/qq-two/members/mia@fabrikam.example", member).await.ok();
    assert_eq!(found(&mia, "organizations", "kap").await, ["Okapi"]);
    // Through the payer alone.
    assert_eq!(found(&app.as_("sue@fabrikam.example").await, "organizations", "ails").await, ["Tailspin Toys"]);
}

async fn subscriptions_are_found_by_parts_of_their_names(app: &App) {
    let (sue, olga) = (app.as_("sue@fabrikam.example").await, app.as_("olga@platform.example").await);
    let id = sue.subscription("Fabrikam Production").await;
    for q in ["m prod", "ODUCTIO", "n prod"] {
        let expected = if q == "n prod" { vec![] } else { vec!["Fabrikam Production"] };
        assert_eq!(found(&olga, "subscriptions", q).await, expected, "{q}");
        assert_eq!(found(&sue, "subscriptions", q).await, expected, "{q}");
    }
    sue.patch(&format!("/v1/subscriptions/{id}"), json!({ "name": "Xylophone" })).await.ok();
    for (q, count) in [("m prod", 0), ("xyl", 1), ("xy", 1), ("x", 1)] {
        assert_eq!(found(&olga, "subscriptions", q).await.len(), count, "{q}");
    }
}
