//! Crashes, two processes, a database that goes away, stops under load: what was answered is there, once.

use crate::buyer::{Buyer, LOAD, ORGANIZATIONS, USERS, id};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tests::{
    Answer, App, Billing, Cluster, Database, Db, Forwarder, Options, block_on, body_of, eventually, items_of, join_all,
    on_both, run, seeds, setting,
};

on_both! {
    kill_nine_under_load: Options::new().seed(&seeds::load(ORGANIZATIONS));
    a_stop_under_load_answers_what_it_took: Options::new().seed(&seeds::load(ORGANIZATIONS));
    a_full_queue_says_come_again: Options::new().seed(&seeds::load(ORGANIZATIONS)).env("PURSER__TILL__QUEUE", "1");
}

/// `PURSER_KILLS` times at moments seeded by `PURSER_SEED`, from before the first answer to amid many.
async fn kill_nine_under_load(app: &App) {
    let (kills, seed) = (setting("PURSER_KILLS", 10), setting("PURSER_SEED", 1));
    let mut random = StdRng::seed_from_u64(seed);
    let mut buyers = Buyer::all(&app.as_(LOAD).await);
    for round in 1..=kills {
        let acknowledged = AtomicUsize::new(0);
        let (after, then) = (random.random_range(0..40), Duration::from_micros(random.random_range(0..5_000)));
        let kill = async {
            while acknowledged.load(Ordering::Relaxed) < after {
                tokio::task::yield_now().await;
            }
            let reached = Instant::now();
            while reached.elapsed() < then {
                tokio::task::yield_now().await;
            }
            app.kill().await;
        };
        let load = join_all(buyers.iter_mut().map(|buyer| buyer.buy_on(&acknowledged)));
        tokio::join!(kill, load);
        if round % 10 == 0 {
            app.verify();
        }
        app.start_again().await;
    }
    for buyer in &mut buyers {
        buyer.settle().await;
    }
    let bought: usize = buyers.iter().map(|buyer| buyer.bought.len()).sum();
    assert!(bought > 0, "something was bought");
    assert_eq!(
        app.database.number("SELECT count(*) FROM purchases").await,
        i64::try_from(bought).expect("a small number")
    );
    let links = app.database.number("SELECT count(*) FROM links").await;
    let payers = app.database.number("SELECT count(*) FROM subscriptions WHERE name = 'Its own'").await;
    assert_eq!(links, payers, "a payer exists only with its purchase");
}

/// Whatever was accepted is answered: what was not answered has not acted.
async fn a_stop_under_load_answers_what_it_took(app: &App) {
    let mut buyers = Buyer::all(&app.as_(LOAD).await);
    let acknowledged = AtomicUsize::new(0);
    let stop = async {
        while acknowledged.load(Ordering::Relaxed) < 40 {
            tokio::task::yield_now().await;
        }
        app.stop().await;
    };
    let load = join_all(buyers.iter_mut().map(|buyer| buyer.buy_on(&acknowledged)));
    tokio::join!(stop, load);
    app.start_again().await;
    for buyer in &mut buyers {
        let open = buyer.open.clone();
        buyer.settle().await;
        if let Some((key, ..)) = open {
            let (_, _, answer) = buyer.bought.iter().find(|(bought, ..)| *bought == key).expect("it was settled");
            assert!(!answer.replayed(), "{key} has acted, but was not answered");
        }
    }
}

/// A full queue refuses at once, with a word when to come again, and what it refuses has not acted.
async fn a_full_queue_says_come_again(app: &App) {
    let load = app.as_(LOAD).await;
    let buys = (0..128).map(|number| {
        let organization = format!("load-{}", number % ORGANIZATIONS + 1);
        let load = load.clone();
        async move {
            let payer = Billing::New { name: "New", country: "US", currency: "USD" };
            let body = body_of(&organization, items_of(&[("ms.feed", 1)]), payer);
            load.post_keyed("/v1/purchases", &body, &format!("k{number}")).await
        }
    });
    let answers = join_all(buys).await;
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 503).collect();
    for answer in &refused {
        answer.problem("unavailable");
        assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{answer}");
    }
    assert!(!refused.is_empty(), "a queue of one was never full");
    let bought = answers.iter().filter(|answer| answer.status == 201).count();
    assert!(answers.iter().all(|answer| [201, 409, 503].contains(&answer.status)), "{answers:#?}");
    assert_eq!(
        app.database.number("SELECT count(*) FROM purchases").await,
        i64::try_from(bought).expect("a small number")
    );
}

/// Two processes buy for the same organizations at once; one key sent to both acts once.
#[test]
fn two_processes_on_one_postgres() {
    run(Db::Postgres, Options::new().seed(&seeds::load(4)), async |app: &App| {
        let mut other = app.another_server();
        let here = app.as_(LOAD).await;
        let there = here.at(&other.url);
        let payer = here.subscription("Load").await;
        let mut random = StdRng::seed_from_u64(1);
        let plans: Vec<Vec<(usize, i64)>> = (0..16)
            .map(|_| (0..25).map(|_| (random.random_range(1..=4), random.random_range(1..=50))).collect())
            .collect();
        let buyers = plans.iter().enumerate().map(|(number, plan)| {
            let (first, second) = if number % 2 == 0 { (&here, &there) } else { (&there, &here) };
            let payer = &payer;
            async move {
                for (turn, (organization, quantity)) in plan.iter().enumerate() {
                    let items = items_of(&[(USERS, *quantity)]);
                    let body = body_of(&format!("load-{organization}"), items, Billing::Existing(payer));
                    let key = format!("{number}-{turn}");
                    if turn % 5 == 0 {
                        let both = tokio::join!(
                            first.post_keyed("/v1/purchases", &body, &key),
                            second.post_keyed("/v1/purchases", &body, &key)
                        );
                        both.0.status(201);
                        assert_eq!((both.1.status, &both.1.body), (201, &both.0.body));
                        assert!(both.0.replayed() != both.1.replayed(), "one acts, the other gets its answer");
                    } else {
                        first.post_keyed("/v1/purchases", &body, &key).await.status(201);
                    }
                }
            }
        });
        join_all(buyers).await;
        assert_eq!(app.database.number("SELECT count(*) FROM purchases").await, 16 * 25);
        assert_eq!(app.database.number("SELECT count(*) FROM links").await, 4);
        for number in 1..=4 {
            let organization = format!("load-{number}");
            let has = here.entitlement(&organization, USERS).await;
            assert_eq!(there.entitlement(&organization, USERS).await, has);
            let path = format!("/v1/organizations/{organization}/allowance/{USERS}");
            // A process learns in a moment what another has sold.
            eventually("the same allowance on both", Duration::from_secs(10), async || {
                let (one, other) = (here.get(&path).await.ok(), there.get(&path).await.ok());
                (one["usable"] == other["usable"] && one["usable"] == has["usable"]).then_some(())
            })
            .await;
        }
        other.terminate();
        assert!(other.wait().await.success());
    });
}

/// The database goes away and comes back: 503 with a word when to come again, what is known is still told, and then
/// it goes on by itself.
#[test]
fn the_database_goes_away_for_a_while() {
    block_on(async {
        let cluster = Cluster::private("away");
        let database = Database::in_cluster(&cluster.url(), "purser", "template0").await;
        let app = App::on(database, Options::new().env("PURSER__TILL__WAIT_MS", "1500"));
        let (sue, platform) = (app.as_("sue@fabrikam.example").await, app.platform().await);
        let before = sue.buys("tailspin", USERS, 5, Billing::Linked).await.status(201);
        let allowance = format!("/v1/organizations/tailspin/allowance/{USERS}");
        let known = platform.get(&allowance).await.ok();

        cluster.stop();
        let body = body_of("tailspin", items_of(&[(USERS, 6)]), Billing::Linked);
        let refused = sue.post_keyed("/v1/purchases", &body, "meanwhile").await;
        refused.problem("unavailable");
        assert!(refused.header("retry-after").is_some(), "{refused}");
        let reading = sue.get("/v1/organizations/tailspin/purchases").await;
        reading.problem("unavailable");
        assert!(reading.header("retry-after").is_some(), "{reading}");
        let still = platform.get(&allowance).await.ok();
        assert_eq!((&still["usable"], &still["allowed"]), (&known["usable"], &known["allowed"]), "{still}");
        assert!(still["as_of"].is_string(), "{still}");
        assert_eq!(app.anonymous().get("/readyz").await.status, 503);
        assert_eq!(app.anonymous().get("/healthz").await.status, 200);
        assert_eq!(app.anonymous().get("/metrics").await.status, 200);

        cluster.start();
        let bought = eventually("a purchase", Duration::from_secs(30), async || {
            let answer = sue.post_keyed("/v1/purchases", &body, "meanwhile").await;
            (answer.status != 503).then_some(answer)
        });
        assert_eq!(bought.await.status(201)["lines"][0]["quantity"], json!({ "from": 5, "to": 6 }));
        eventually("readiness", Duration::from_secs(30), async || {
            (app.anonymous().get("/readyz").await.status == 200).then_some(())
        })
        .await;
        assert_eq!(sue.get(&format!("/v1/purchases/{}", id(&before))).await.ok(), before);
        app.finish().await;
    });
}

/// The primary of a pair loses its synchronous standby under load, and then dies; the standby takes over at the same
/// address, and the server goes on by itself. What was acknowledged is there: what only the primary had was not.
#[test]
fn the_primary_dies_and_its_standby_takes_over() {
    block_on(async {
        let primary = Cluster::private("primary");
        let link = Forwarder::to(primary.port()).await;
        let standby = Cluster::standby_of(&primary, link.port()).await;
        primary.be_synchronous().await;
        let address = Forwarder::to(primary.port()).await;
        let url = format!("postgres://postgres@127.0.0.1:{}", address.port());
        let database = Database::in_cluster(&url, "purser", "template0").await;
        let options = Options::new().seed(&seeds::load(ORGANIZATIONS)).env("PURSER__TILL__WAIT_MS", "1500");
        let app = App::on(database, options);
        let mut buyers = Buyer::all(&app.as_(LOAD).await);
        let (acknowledged, done) = (AtomicUsize::new(0), AtomicBool::new(false));
        let reaches = async |count: usize| {
            while acknowledged.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
        };
        let failure = async {
            reaches(100).await;
            link.cut();
            primary.waits_for_standby().await;
            let primary = tokio::task::spawn_blocking(move || {
                primary.stop();
                primary
            });
            let primary = primary.await.expect("it stops");
            let before = acknowledged.load(Ordering::Relaxed);
            // The address leads to the standby while it still refuses to write, as it well may in earnest.
            address.lead_to(standby.port());
            let promoted = tokio::task::spawn_blocking(move || {
                standby.promote();
                standby
            });
            let standby = promoted.await.expect("it is promoted");
            reaches(before + 100).await;
            done.store(true, Ordering::Relaxed);
            (primary, standby)
        };
        let load = join_all(buyers.iter_mut().map(async |buyer| {
            while !done.load(Ordering::Relaxed) {
                let before = buyer.bought.len();
                assert!(buyer.buy_one().await, "the server answers");
                acknowledged.fetch_add(buyer.bought.len() - before, Ordering::Relaxed);
            }
        }));
        let (clusters, _) = tokio::join!(failure, load);
        for buyer in &mut buyers {
            buyer.settle().await;
        }
        let bought: usize = buyers.iter().map(|buyer| buyer.bought.len()).sum();
        let stored = app.database.number("SELECT count(*) FROM purchases").await;
        assert_eq!(stored, i64::try_from(bought).expect("a small number"));
        app.finish().await;
        drop(clusters);
    });
}

/// One process at a time holds the test clock; others would tell another time.
#[test]
fn one_process_holds_the_clock() {
    for db in [Db::Sqlite, Db::Postgres] {
        run(db, Options::at("2018-04-15T10:00:00Z"), async |app: &App| {
            let said = app.fails(&["serve", "--clock", "2018-04-15T10:00:00Z"]);
            assert!(said.to_lowercase().contains("clock"), "{said}");
        });
    }
}

/// Purchases of many organizations in one go: each is answered for itself, whatever its neighbours in the batch ask.
#[test]
fn refusals_in_a_batch_touch_no_other() {
    for db in [Db::Sqlite, Db::Postgres] {
        run(db, Options::new().seed(&seeds::load(ORGANIZATIONS)), async |app: &App| {
            let load = app.as_(LOAD).await;
            let payer = load.subscription("Load").await;
            let buys = (0..64).map(|number| {
                let (load, payer) = (load.clone(), payer.clone());
                async move {
                    let organization = format!("load-{}", number % ORGANIZATIONS + 1);
                    let (offer, quantity) = match number % 4 {
                        0 => ("ms.feed", 100_001),
                        1 => ("unheard.of", 1),
                        2 => ("spartez.agile-cards", 1),
                        _ => ("ms.feed", 7),
                    };
                    (number % 4, load.buys(&organization, offer, quantity, Billing::Existing(&payer)).await)
                }
            });
            let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
            for (kind, answer) in join_all(buys).await {
                *seen.entry(kind).or_default() += 1;
                match kind {
                    0 => drop(answer.problem("quantity-out-of-range")),
                    1 => drop(answer.problem("not-found")),
                    2 => drop(answer.problem("subscription-not-eligible")),
                    _ => drop(answer.status(201)),
                }
            }
            assert_eq!(seen.values().sum::<usize>(), 64);
        });
    }
}
