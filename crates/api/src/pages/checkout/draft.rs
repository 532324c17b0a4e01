//! What was chosen so far in a checkout. It is kept by the server, so that a reload, the way back, a second tab or a lost
//! connection lose nothing; it has no effect until it is bought.

use crate::app::real_now;
use crate::pages::visitor::Visitor;
use crate::problem::{Problem, Slug};
use crate::routes::refusals::standing_in;
use crate::routes::writes::Fault;
use crate::state::{State, store_problem};
use chrono::TimeDelta;
use kernel::{CheckoutId, IdempotencyKey, OrganizationId, Permission, UserId};
use marketplace::order::{BillingRequest, ItemRequest};
use serde::{Deserialize, Serialize};
use store::StoreError;
use store::checkouts::{self, CheckoutRow};

/// How long a checkout is kept, in real time.
const DAYS: i64 = 7;

/// What was chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// For whom.
    pub organization: Option<OrganizationId>,
    /// What; a quantity that nobody chose yet is left out.
    pub items: Vec<ItemRequest>,
    /// Who shall pay, where billing is not set up.
    pub billing: Option<BillingRequest>,
    /// Whether the quantities were chosen, and not only proposed.
    pub counted: bool,
}

/// A checkout under way.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// Its id.
    pub id: CheckoutId,
    /// What was chosen.
    pub draft: Draft,
    /// Where the platform wants the person afterwards; empty for none.
    pub success_url: String,
    /// Where the platform wants the person who gives up; empty for none.
    pub cancel_url: String,
}

impl Checkout {
    fn of(row: CheckoutRow, user: UserId) -> Result<Self, Problem> {
        // Another person's checkout is none that one may know of.
        if row.user.is_some_and(|owner| owner != user) {
            return Err(missing());
        }
        let draft = serde_json::from_str(&row.draft).map_err(Problem::internal)?;
        Ok(Self { id: row.id, draft, success_url: row.success_url, cancel_url: row.cancel_url })
    }

    /// The checkout that a path names, if it is this person's or nobody's yet.
    ///
    /// # Errors
    /// `not-found`, and the store's.
    pub async fn find(state: &State, visitor: &Visitor, named: &str) -> Result<Self, Problem> {
        let id: CheckoutId = named.parse().map_err(|_| missing())?;
        let row = checkouts::find(&state.db, id, real_now()).await.map_err(store_problem)?.ok_or_else(missing)?;
        let nobodys = row.user.is_none();
        let checkout = Self::of(row, visitor.id)?;
        // A hosted one for an organization is for those who may know of it: nobody else takes it up or gives it up.
        if let Some(organization) = checkout.draft.organization.filter(|_| nobodys) {
            let may = standing_in(state, &visitor.installation(), organization, Permission::OrganizationView).await;
            may.map_err(|problem| if problem.slug() == Slug::NotFound { missing() } else { problem })?;
        }
        Ok(checkout)
    }

    /// The key that its purchase is made under, so that it is bought once however often the button is pressed.
    ///
    /// # Errors
    /// None: an id is always fit for a key.
    pub fn key(&self) -> Result<IdempotencyKey, Problem> {
        self.id.to_string().parse().map_err(Problem::internal)
    }

    /// Begins one.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin(state: &State, user: UserId, draft: &Draft) -> Result<CheckoutId, Problem> {
        let now = real_now();
        let row = new_row(state, Some(user), draft, ("", ""))?;
        let write = state.db.write("checkout", async |tx| {
            checkouts::sweep(tx, now).await?;
            checkouts::insert(tx, &row, now).await
        });
        write.await.map_err(|error: StoreError| store_problem(error))?;
        Ok(row.id)
    }

    /// Changes what was chosen, whatever another tab changed meanwhile, and takes a hosted one up.
    ///
    /// # Errors
    /// `not-found`, and the store's.
    pub async fn change(state: &State, user: UserId, named: &str, choose: impl Fn(&mut Draft)) -> Result<(), Problem> {
        let id: CheckoutId = named.parse().map_err(|_| missing())?;
        let write = state.db.write("checkout", async |tx| {
            let row = checkouts::hold(tx, id, real_now()).await?.ok_or_else(missing)?;
            let mut checkout = Self::of(row, user)?;
            choose(&mut checkout.draft);
            let draft = serde_json::to_string(&checkout.draft).map_err(Problem::internal)?;
            checkouts::update(tx, id, user, &draft).await?;
            Ok::<(), Fault>(())
        });
        Ok(write.await?)
    }

    /// Forgets it, unless it was bought: then it stays, to lead to the receipt and to tell the platform.
    ///
    /// # Errors
    /// The store's.
    pub async fn give_up(&self, state: &State, user: UserId) -> Result<bool, Problem> {
        let key = self.key()?;
        let write = state.db.write("checkout", async |tx| {
            let bought = store::purchases::by_key(tx, user, &key).await?.is_some();
            if !bought {
                checkouts::remove(tx, self.id).await?;
            }
            Ok(!bought)
        });
        write.await.map_err(|error: StoreError| store_problem(error))
    }
}

/// A new checkout, of a person or of whoever opens it first, with where the platform wants the person afterwards.
///
/// # Errors
/// A fault of ours.
pub fn new_row(
    state: &State,
    user: Option<UserId>,
    draft: &Draft,
    (success_url, cancel_url): (&str, &str),
) -> Result<CheckoutRow, Problem> {
    let now = real_now();
    Ok(CheckoutRow {
        id: state.ids().next(now),
        user,
        draft: serde_json::to_string(draft).map_err(Problem::internal)?,
        success_url: success_url.to_owned(),
        cancel_url: cancel_url.to_owned(),
        expires_at: now.checked_add_signed(TimeDelta::days(DAYS)).unwrap_or(now),
    })
}

fn missing() -> Problem {
    Problem::not_found("checkout").with_detail(
        "There is no such checkout, or it is another person’s. Checkouts are kept for seven days; begin a new one.",
    )
}
