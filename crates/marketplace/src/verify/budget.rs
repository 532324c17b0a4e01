//! Budgets: each is what was last set, its warnings are those that events tell of, and what is kept as charged against
//! it is what its charges come to.

use std::collections::BTreeMap;

use kernel::{Id, OrganizationId, SubscriptionId};
use serde::Deserialize;
use store::Tx;
use store::proof::{self, Fact};
use uuid::Uuid;

use super::told::read;
use super::{Difference, Row, VerifyError};

/// `budget.set` and `budget.removed`.
#[derive(Clone, Debug, Deserialize)]
struct Set {
    subscription: SubscriptionId,
    organization: Option<OrganizationId>,
    /// Minor units a month; none where it was removed.
    amount: Option<i64>,
    /// What it was; none where there was none.
    before: Option<i64>,
    /// The first month that is kept, where it came into being.
    since: Option<String>,
}

/// `budget.warned`.
#[derive(Clone, Debug, Deserialize)]
struct Warned {
    subscription: SubscriptionId,
    organization: Option<OrganizationId>,
    month: String,
    budget: i64,
    used: i64,
}

#[derive(Clone, Debug, Default)]
struct Told {
    amount: i64,
    since: String,
    warned: BTreeMap<String, i64>,
}

type Key = (SubscriptionId, Uuid);

fn key(subscription: SubscriptionId, organization: Option<OrganizationId>) -> Key {
    (subscription, organization.map_or(Uuid::nil(), Id::uuid))
}

fn name((subscription, organization): &Key) -> String {
    if organization.is_nil() {
        format!("of {subscription}")
    } else {
        format!("of {subscription} for {}", OrganizationId::from_uuid(*organization))
    }
}

/// Proves all budgets; the charges are proven by then.
///
/// # Errors
/// The first row that is not what the facts say.
pub async fn prove(tx: &Tx) -> Result<(), VerifyError> {
    let mut told: BTreeMap<Key, Told> = BTreeMap::new();
    for fact in proof::budget_facts(tx).await? {
        replay(&mut told, &fact)?;
    }
    for stored in proof::budgets(tx).await? {
        let key = (stored.subscription, stored.organization);
        let name = name(&key);
        let row = Row("budgets", &name);
        let facts = told.remove(&key).ok_or_else(|| row.differs("this row", "no event tells of it"))?;
        row.same("amount", stored.amount, facts.amount)?;
        row.same("since", stored.since, facts.since)?;
        let listed = |warned: &mut dyn Iterator<Item = (&String, &i64)>| {
            warned.map(|(month, at)| format!("{month} at {at}")).collect::<Vec<_>>().join(", ")
        };
        let stored = listed(&mut stored.warned.iter().map(|(month, at)| (month, at)));
        Row("budget_months", &name).same("warned_at", stored, listed(&mut facts.warned.iter()))?;
    }
    if let Some(key) = told.keys().next() {
        return Err(Row("budgets", &name(key)).differs("no such row", "an event set it").into());
    }
    if let Some((subscription, organization, month, kept, charged)) = proof::budget_difference(tx).await? {
        let name = format!("{} in {month}", name(&(subscription, organization)));
        let facts = format!("charged {charged} to a budget");
        return Err(Row("budget_months", &name).differs(format!("charged {kept}"), facts).into());
    }
    if let Some((payer, budgeted)) = proof::budgeted_difference(tx).await? {
        return Err(Row("subscriptions", &payer)
            .differs(format!("budgeted {budgeted}"), format!("budgeted {}", !budgeted))
            .into());
    }
    Ok(())
}

fn replay(budgets: &mut BTreeMap<Key, Told>, fact: &Fact) -> Result<(), Difference> {
    if fact.kind == "budget.warned" {
        let told: Warned = read(fact)?;
        let row = Row("events", &fact.id);
        let budget = budgets
            .get_mut(&key(told.subscription, told.organization))
            .ok_or_else(|| row.differs("a warning", "no such budget"))?;
        row.same("budget", told.budget, budget.amount)?;
        if told.used <= 0 || i128::from(told.used) * 5 < i128::from(told.budget) * 4 {
            return Err(row.differs("a warning", "less than four fifths were used"));
        }
        if budget.warned.insert(told.month, fact.at).is_some() {
            return Err(row.differs("a warning", "the second one in the month"));
        }
        return Ok(());
    }
    let told: Set = read(fact)?;
    let (row, key) = (Row("events", &fact.id), key(told.subscription, told.organization));
    let words = |amount: Option<i64>| amount.map_or_else(|| "none".to_owned(), |amount| amount.to_string());
    row.same("before", words(told.before), words(budgets.get(&key).map(|budget| budget.amount)))?;
    match told.amount {
        None => drop(budgets.remove(&key)),
        Some(amount) => {
            let budget = budgets.entry(key).or_default();
            budget.amount = amount;
            if let Some(since) = told.since {
                budget.since = since;
            }
        }
    }
    Ok(())
}
