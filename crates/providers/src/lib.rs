//! The providers that take payments by card: each is asked for a payment under its id, takes it once, and says
//! later what came of it.
//!
//! Nothing here decides anything or writes to the books: a demand goes in, an [`Outcome`] comes out. Whoever got
//! [`Outcome::Unknown`] asks [`Providers::look_up`] before it demands again.

pub mod simulated;
mod simulated_refund;
pub mod stripe;

use billing::payment::{Demand, Outcome, Provider};
use billing::refund::RefundDemand;
use simulated::Simulated;
use store::Db;
use stripe::Stripe;

/// Those that this installation may ask.
#[derive(Clone, Debug)]
pub struct Providers {
    simulated: Simulated,
    stripe: Option<Stripe>,
    db: Db,
}

impl Providers {
    /// The simulated one, which remembers in `db`, and Stripe where it is set up.
    #[must_use]
    pub fn new(db: Db, stripe: Option<Stripe>) -> Self {
        Self { simulated: Simulated::new(db.clone()), stripe, db }
    }

    /// Stripe, where it is set up.
    #[must_use]
    pub fn stripe(&self) -> Option<&Stripe> {
        self.stripe.as_ref()
    }

    /// Asks for a payment. However often, the money is taken once.
    pub async fn pay(&self, demand: &Demand) -> Outcome {
        match (Provider::of_token(&demand.token), &self.stripe) {
            (Some(Provider::Simulated), _) => self.simulated.pay(demand).await,
            (Some(Provider::Stripe), Some(stripe)) => stripe.pay(demand).await,
            _ => Outcome::Unknown,
        }
    }

    /// What came of a payment that was asked for; none where the provider never heard of it.
    pub async fn look_up(&self, demand: &Demand) -> Option<Outcome> {
        match (Provider::of_token(&demand.token), &self.stripe) {
            (Some(Provider::Simulated), _) => self.simulated.look_up(demand).await,
            (Some(Provider::Stripe), Some(stripe)) => stripe.look_up(demand).await,
            _ => Some(Outcome::Unknown),
        }
    }

    /// Asks to pay back what a payment brought in. However often, it is paid back once.
    pub async fn pay_back(&self, demand: &RefundDemand) -> Outcome {
        match (Provider::of_token(&demand.token), &self.stripe) {
            (Some(Provider::Simulated), _) => simulated_refund::pay_back(&self.db, demand).await,
            (Some(Provider::Stripe), Some(stripe)) => stripe.pay_back(demand).await,
            _ => Outcome::Unknown,
        }
    }

    /// What came of a refund that was asked for; none where the provider never heard of it.
    pub async fn look_up_refund(&self, demand: &RefundDemand) -> Option<Outcome> {
        match (Provider::of_token(&demand.token), &self.stripe) {
            (Some(Provider::Simulated), _) => simulated_refund::look_up(&self.db, demand).await,
            (Some(Provider::Stripe), Some(stripe)) => stripe.look_up_refund(demand).await,
            _ => Some(Outcome::Unknown),
        }
    }
}
