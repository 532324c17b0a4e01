//! What every provider must do: each scenario is run against the simulated one and against Stripe's protocol, on both
//! databases. Faults are tokens for the one; for the other they are done to the way that leads to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use billing::payment::{Demand, Outcome};
use kernel::{IdSource, Money, PaymentId, SubscriptionId, from_micros};
use migrations::{Migrator, MigratorTrait};
use providers::{Providers, stripe};
use std::time::Duration;
use store::DbOptions;
use tests::stripe::{KEY, cards};
use tests::{Database, Db, Forwarder, Stripe, block_on, eventually};

/// Names each scenario once a provider and database.
macro_rules! contract {
    ($($scenario:ident;)+) => {$(
        mod $scenario {
            use super::*;
            #[test]
            fn simulated_sqlite() {
                run(Db::Sqlite, false, async |peer| super::$scenario(peer).await);
            }
            #[test]
            fn simulated_postgres() {
                run(Db::Postgres, false, async |peer| super::$scenario(peer).await);
            }
            #[test]
            fn stripe_sqlite() {
                run(Db::Sqlite, true, async |peer| super::$scenario(peer).await);
            }
            #[test]
            fn stripe_postgres() {
                run(Db::Postgres, true, async |peer| super::$scenario(peer).await);
            }
        }
    )+};
}

contract! {
    it_takes_what_is_demanded;
    the_same_demand_twice_takes_once;
    two_at_once_take_once;
    it_says_what_came_of_a_payment;
    declined_stays_declined;
    an_answer_that_is_lost_is_found;
    a_demand_that_is_lost_is_made_again;
    away_nobody_knows;
}

/// What becomes of a demand.
#[derive(Clone, Copy)]
enum Fate {
    Taken,
    Declined,
    /// Taken, without an answer.
    AnswerLost,
    /// It does not reach the provider.
    DemandLost,
    Away,
}

/// A provider, and its books to look into.
struct Peer {
    providers: Providers,
    books: Books,
}

enum Books {
    Simulated(Database),
    Stripe { stripe: Stripe, way: Forwarder },
}

fn run(db: Db, by_stripe: bool, scenario: impl AsyncFn(&Peer)) {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let database = match db {
            Db::Sqlite => Database::sqlite(folder.path()),
            Db::Postgres => Database::postgres("template0").await,
        };
        let options = DbOptions { url: database.url.clone(), pool: 2, lanes: 1, patience: Duration::from_secs(5) };
        let store = store::Db::connect(&options).await.unwrap();
        Migrator::up(store.schema_connection(), None).await.unwrap();
        let peer = if by_stripe {
            let stripe = Stripe::start();
            let way = Forwarder::to(stripe.port()).await;
            let client = stripe::Stripe::new(&format!("http://127.0.0.1:{}", way.port()), KEY, store.clone()).unwrap();
            Peer { providers: Providers::new(store.clone(), Some(client)), books: Books::Stripe { stripe, way } }
        } else {
            Peer { providers: Providers::new(store.clone(), None), books: Books::Simulated(database.clone()) }
        };
        scenario(&peer).await;
        drop((peer, store));
        database.remove().await;
    });
}

impl Peer {
    /// A demand that will meet this fate, of a payer of its own.
    async fn demand(&self, fate: Fate, amount: i64, currency: &str) -> Demand {
        let token = match (&self.books, fate) {
            (Books::Simulated(_), Fate::Taken) => "tok_ok".to_owned(),
            (Books::Simulated(_), Fate::Declined) => "tok_expired".to_owned(),
            (Books::Simulated(_), Fate::AnswerLost) => "tok_timeout".to_owned(),
            (Books::Simulated(_), Fate::DemandLost) => "tok_lost".to_owned(),
            (Books::Simulated(_), Fate::Away) => "tok_away".to_owned(),
            (Books::Stripe { stripe, .. }, Fate::Declined) => stripe.card(cards::DECLINED).await,
            (Books::Stripe { .. }, _) => "pm_card_visa".to_owned(),
        };
        let (mut ids, now) = (IdSource::from_os(), from_micros(1_525_132_800_000_000));
        Demand {
            payment: PaymentId::from_uuid(ids.uuid(now)),
            subscription: SubscriptionId::from_uuid(ids.uuid(now)),
            token,
            amount: Money::new(amount, currency.parse().unwrap()),
            asked_at: now,
        }
    }

    /// Demands it, and lets it meet its fate; the way is open again afterwards, unless the provider is away.
    async fn pay(&self, fate: Fate, demand: &Demand) -> Outcome {
        let Books::Stripe { stripe, way } = &self.books else { return self.providers.pay(demand).await };
        match fate {
            Fate::Taken | Fate::Declined => self.providers.pay(demand).await,
            Fate::Away => {
                way.cut();
                self.providers.pay(demand).await
            }
            Fate::DemandLost => {
                way.cut();
                let outcome = self.providers.pay(demand).await;
                way.lead_to(stripe.port());
                outcome
            }
            Fate::AnswerLost => {
                stripe.hold().await;
                let lose = async {
                    let taken = async || (stripe.taken().await.len() == 1).then_some(());
                    eventually("the money taken", Duration::from_secs(30), taken).await;
                    way.cut();
                };
                let (outcome, ()) = tokio::join!(self.providers.pay(demand), lose);
                stripe.release().await;
                way.lead_to(stripe.port());
                outcome
            }
        }
    }

    /// How many payments it took in a currency, and their sum.
    async fn taken(&self, currency: &str) -> (i64, i64) {
        match &self.books {
            Books::Simulated(database) => {
                let number = async |what: &str| {
                    let from = format!("FROM simulated_payments WHERE taken AND currency = '{currency}'");
                    database.number(&format!("SELECT CAST({what} AS BIGINT) {from}")).await
                };
                (number("count(*)").await, number("COALESCE(sum(amount), 0)").await)
            }
            Books::Stripe { stripe, .. } => {
                let mut taken = stripe.intents().await;
                taken.retain(|intent| intent["status"] == "succeeded" && intent["currency"] == currency.to_lowercase());
                let sum = taken.iter().map(|intent| intent["amount"].as_i64().unwrap()).sum();
                (i64::try_from(taken.len()).unwrap(), sum)
            }
        }
    }
}

/// Another payment of the same payer, by the same card.
fn another(demand: &Demand) -> Demand {
    Demand { payment: PaymentId::from_uuid(IdSource::from_os().uuid(demand.asked_at)), ..demand.clone() }
}

#[track_caller]
fn received(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Received(reference) if !reference.is_empty()), "{outcome:?}");
}

/// To the unit, in currencies of two decimals and of none.
async fn it_takes_what_is_demanded(peer: &Peer) {
    for (amount, currency) in [(10_500, "USD"), (1, "EUR"), (157, "JPY")] {
        received(&peer.pay(Fate::Taken, &peer.demand(Fate::Taken, amount, currency).await).await);
        assert_eq!(peer.taken(currency).await, (1, amount), "{currency}");
    }
}

async fn the_same_demand_twice_takes_once(peer: &Peer) {
    let demand = peer.demand(Fate::Taken, 10_500, "USD").await;
    let first = peer.pay(Fate::Taken, &demand).await;
    received(&first);
    assert_eq!(peer.pay(Fate::Taken, &demand).await, first);
    assert_eq!(peer.taken("USD").await, (1, 10_500));
    received(&peer.pay(Fate::Taken, &another(&demand)).await);
    assert_eq!(peer.taken("USD").await, (2, 21_000), "another payment is another");
}

/// Who comes second may be told to come again, but not that it was declined; nor is it taken once more.
async fn two_at_once_take_once(peer: &Peer) {
    let earlier = peer.demand(Fate::Taken, 10_500, "USD").await;
    received(&peer.pay(Fate::Taken, &earlier).await);
    let demand = another(&earlier);
    let outcomes = tests::join_all((0..4).map(|_| peer.providers.pay(&demand))).await;
    let known = peer.providers.look_up(&demand).await.expect("a payment");
    received(&known);
    assert!(outcomes.contains(&known), "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| *outcome == known || *outcome == Outcome::Unknown), "{outcomes:?}");
    assert_eq!(peer.taken("USD").await, (2, 21_000));
}

/// Nothing before, what it said at once after; and of this payment alone.
async fn it_says_what_came_of_a_payment(peer: &Peer) {
    for fate in [Fate::Taken, Fate::Declined] {
        let demand = peer.demand(fate, 10_500, "USD").await;
        assert_eq!(peer.providers.look_up(&demand).await, None);
        let outcome = peer.pay(fate, &demand).await;
        assert_eq!(peer.providers.look_up(&demand).await, Some(outcome));
        assert_eq!(peer.providers.look_up(&another(&demand)).await, None);
    }
}

async fn declined_stays_declined(peer: &Peer) {
    let demand = peer.demand(Fate::Declined, 10_500, "USD").await;
    let first = peer.pay(Fate::Declined, &demand).await;
    assert!(matches!(&first, Outcome::Declined { reason, url: None } if !reason.is_empty()), "{first:?}");
    assert_eq!(peer.pay(Fate::Declined, &demand).await, first);
    assert_eq!(peer.taken("USD").await, (0, 0));
}

async fn an_answer_that_is_lost_is_found(peer: &Peer) {
    let demand = peer.demand(Fate::AnswerLost, 10_500, "USD").await;
    assert_eq!(peer.pay(Fate::AnswerLost, &demand).await, Outcome::Unknown);
    received(&peer.providers.look_up(&demand).await.expect("a payment"));
    received(&peer.pay(Fate::Taken, &demand).await);
    assert_eq!(peer.taken("USD").await, (1, 10_500), "who asks again all the same takes nothing more");
}

async fn a_demand_that_is_lost_is_made_again(peer: &Peer) {
    let demand = peer.demand(Fate::DemandLost, 10_500, "USD").await;
    assert_eq!(peer.pay(Fate::DemandLost, &demand).await, Outcome::Unknown);
    assert_eq!(peer.providers.look_up(&demand).await, None);
    assert_eq!(peer.taken("USD").await, (0, 0));
    received(&peer.pay(Fate::Taken, &demand).await);
    assert_eq!(peer.taken("USD").await, (1, 10_500));
}

/// That it does not answer is not that it never heard of it.
async fn away_nobody_knows(peer: &Peer) {
    let known = peer.demand(Fate::Taken, 10_500, "USD").await;
    received(&peer.pay(Fate::Taken, &known).await);
    let demand = Demand { token: peer.demand(Fate::Away, 1, "USD").await.token, ..another(&known) };
    assert_eq!(peer.pay(Fate::Away, &demand).await, Outcome::Unknown);
    assert_eq!(peer.providers.look_up(&demand).await, Some(Outcome::Unknown));
    assert_eq!(peer.taken("USD").await, (1, 10_500));
}
