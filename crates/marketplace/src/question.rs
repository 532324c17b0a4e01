//! Questions without effect: the same load and the same decisions as the till's, on a reader, nothing written.

use crate::book::{Book, Standing};
use crate::budget::BudgetView;
use crate::command::{Decision, decide, quote_view};
use crate::decide::price;
use crate::order::{Act, Caller, Command, Order};
use crate::policy::Policy;
use crate::quote::{DatedTotals, QuoteView};
use crate::refusal::Refusal;
use crate::shelf::Shelf;
use crate::turn::turn;
use kernel::{Clock, IdSource, Month, OrganizationId, SubscriptionId, Timestamp, UserId};
use std::sync::Arc;
use store::budgets::Scope;
use store::till::Ask;
use store::{Db, StoreError};

/// What questions are answered from.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// The database.
    pub db: &'a Db,
    /// The catalogue.
    pub shelf: &'a Shelf,
    /// What the operator configured.
    pub policy: &'a Arc<Policy>,
    /// Business time.
    pub clock: &'a dyn Clock,
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk<'_> {
    /// A quote.
    ///
    /// # Errors
    /// [`StoreError`]; inside, the refusal.
    pub async fn quote(&self, order: &Order, caller: &Caller) -> Result<Result<QuoteView, Refusal>, StoreError> {
        let (organization, actor) = (order.organization, caller.user);
        let ask = Ask { organization, actor, key: String::new(), chosen: order.chosen(), bill: true };
        let (book, standing, now) = self.open(ask).await?;
        Ok(price(&book, order, &standing, now).map(|priced| quote_view(&book, &priced, now)))
    }

    /// Whether billing could be set up with a subscription: true where it would be, false where it is already.
    ///
    /// # Errors
    /// [`StoreError`]; inside, the refusal.
    pub async fn set_up_billing(
        &self,
        organization: OrganizationId,
        subscription: SubscriptionId,
        caller: &Caller,
    ) -> Result<Result<bool, Refusal>, StoreError> {
        let command = Command { caller: caller.clone(), act: Act::SetUpBilling { organization, subscription } };
        let (mut book, standing, now) = self.open(command.ask()).await?;
        let decided = decide(&mut book, &command, &standing, now, &mut IdSource::seeded(0));
        Ok(decided.map(|decision| matches!(decision, Decision::Write(..))))
    }

    /// A payer's next invoice as it stands; none where there is no such payer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_invoice(&self, payer: SubscriptionId) -> Result<Option<DatedTotals>, StoreError> {
        let nobody = uuid::Uuid::nil();
        let ask = Ask {
            organization: OrganizationId::from_uuid(nobody),
            actor: UserId::from_uuid(nobody),
            key: String::new(),
            chosen: Some(payer),
            bill: true,
        };
        let (book, _, now) = self.open(ask).await?;
        let coming = crate::decide::coming(&book, payer, now);
        coming.map_err(|_| StoreError::corrupt("a payer's next invoice is more than can be billed"))
    }

    /// A budget and what of it is used; none where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn budget(&self, of: Scope) -> Result<Option<BudgetView>, StoreError> {
        let nobody = uuid::Uuid::nil();
        let ask = Ask {
            organization: of.organization.unwrap_or(OrganizationId::from_uuid(nobody)),
            actor: UserId::from_uuid(nobody),
            key: String::new(),
            chosen: Some(of.subscription),
            bill: true,
        };
        let (book, _, now) = self.open(ask).await?;
        let view = crate::budget::view(&book, of, Month::of(now));
        view.map_err(|_| StoreError::corrupt("what a budget is used for is more than can be billed"))
    }

    async fn open(&self, ask: Ask) -> Result<(Book, Standing, Timestamp), StoreError> {
        let asks = [ask];
        let loaded = store::till::facts(self.db, &asks).await?;
        let holdings = store::till::holdings(self.db, &asks).await?;
        let catalogue = self.shelf.at(self.db, loaded.catalogue).await?;
        let now = loaded.clock.unwrap_or_else(|| self.clock.now());
        let (mut book, standings) =
            Book::gather(catalogue, Arc::clone(self.policy), &asks, (loaded.facts, holdings), now)?;
        if let Some((scopes, months)) = book.budgeted(&asks, now) {
            book.budgets.hold(store::budgets::load(self.db, &scopes, months).await?);
        }
        let [ask] = asks;
        // What an act would find: the organization at its month.
        turn(&mut book, ask.organization, Month::of(now), now, &mut IdSource::seeded(0));
        let standing = standings.first().copied().ok_or_else(|| StoreError::corrupt("no facts"))?;
        let last_fact = book.organizations.get(&ask.organization).map_or(now, |o| o.last_fact);
        Ok((book, standing, now.max(last_fact)))
    }
}
