//! Buyers under whom servers and databases go away: what was acknowledged to them must be there, once.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use tests::{Actor, Answer, Billing, body_of, items_of};

pub const USERS: &str = "ms.vss-vstsuser";
pub const LOAD: &str = "load@example.com";
pub const ORGANIZATIONS: usize = 8;

/// Somebody who buys one user more for one organization, again and again, and never gives a purchase up.
pub struct Buyer {
    pub actor: Actor,
    pub organization: String,
    /// What was acknowledged: key, body, answer.
    pub bought: Vec<(String, Value, Answer)>,
    /// What was asked for and not answered yet.
    pub open: Option<(String, Value)>,
}

impl Buyer {
    /// One for each organization of `seeds::load(ORGANIZATIONS)`.
    pub fn all(actor: &Actor) -> Vec<Self> {
        let organization = |number| Self {
            actor: actor.clone(),
            organization: format!("load-{number}"),
            bought: Vec::new(),
            open: None,
        };
        (1..=ORGANIZATIONS).map(organization).collect()
    }

    /// Buys until the server does not answer; counts what it acknowledges.
    pub async fn buy_on(&mut self, acknowledged: &AtomicUsize) {
        while self.buy_one().await {
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Buys one more, or what is still open, whose key it keeps. Whether it was answered.
    pub async fn buy_one(&mut self) -> bool {
        let (key, body) = self.open.get_or_insert_with(|| {
            let total = self.bought.len() + 1;
            // The first one sets up billing, by a payer of its own.
            let new = Billing::New { name: "Its own", country: "US", currency: "USD" };
            let billing = if total == 1 { new } else { Billing::Linked };
            let items = items_of(&[(USERS, i64::try_from(total).expect("a small number"))]);
            (format!("{}-{total}", self.organization), body_of(&self.organization, items, billing))
        });
        match self.actor.try_buy(body, key).await {
            Ok(answer) if answer.status == 201 => {
                let (key, body) = self.open.take().expect("the open one");
                self.bought.push((key, body, answer));
                true
            }
            Ok(answer) => {
                answer.problem("unavailable");
                true
            }
            Err(_) => false,
        }
    }

    /// Asserts that each acknowledged purchase is there and nothing else is.
    pub async fn settle(&mut self) {
        while self.open.is_some() {
            assert!(self.buy_one().await, "the server answers");
        }
        let path = format!("/v1/organizations/{}/purchases?limit=100", self.organization);
        let listed = self.actor.all(&path).await;
        let there: BTreeSet<String> = listed.iter().map(id).collect();
        let acknowledged: BTreeSet<String> = self.bought.iter().map(|(_, _, answer)| id(&answer.json())).collect();
        assert_eq!((listed.len(), acknowledged.len()), (there.len(), self.bought.len()), "none twice");
        assert_eq!(there, acknowledged);
        if let Some((key, body, answer)) = self.bought.first() {
            let again = self.actor.post_keyed("/v1/purchases", body, key).await;
            assert_eq!(again.body, answer.body);
            let has = self.actor.entitlement(&self.organization, USERS).await;
            assert_eq!(has["next"], json!(self.bought.len()), "{has}");
        }
    }
}

/// The id of a purchase.
pub fn id(purchase: &Value) -> String {
    purchase["id"].as_str().expect("an id").to_owned()
}
