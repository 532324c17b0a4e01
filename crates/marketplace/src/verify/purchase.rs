//! A purchase's row, its stored answer and its event say the same.

use kernel::{ChargeId, Currency};
use num_traits::Zero;
use sha2::{Digest, Sha256};
use store::proof::{Fact, PurchaseProof};

use super::checker::{Number, number, percent, to_minor, written};
use super::evidence::Evidence;
use super::line::{Bought, Charged};
use super::told::{Amount, Answer, Completed, Sums};
use super::undone::Undone;
use super::{Difference, Row, Seen};

/// Proves the row and the answer of a purchase; its lines are yet to be proven, each in its entitlement's order.
///
/// # Errors
/// The first thing that is not what the event says.
pub fn prove(
    fact: &Fact,
    told: Completed,
    evidence: &mut Evidence,
    seen: &mut Seen,
) -> Result<(Vec<Bought>, Option<Undone>), Difference> {
    let id = told.purchase;
    let named = Row("purchases", &id);
    let paid = told.decided_at.is_some();
    let decided_at = decided(&told).unwrap_or(fact.at);
    let row = evidence.purchases.remove(&id).ok_or_else(|| named.missing(fact.id))?;
    same_row(named, &row, fact, &told)?;
    payer(named, &row, fact, &told)?;
    let answer: Answer = serde_json::from_str(&row.answer)
        .map_err(|error| named.differs(format!("an answer that cannot be read ({error})"), "a purchase"))?;
    same_answer(named, &answer, fact, &told)?;
    sums(named, &answer, told.currency)?;
    seen.purchases += 1;
    let undone = (row.state == "undone").then(|| Undone { id, text: row.undone.clone() });
    let mut lines = Vec::with_capacity(told.lines.len());
    for (line, answered) in told.lines.into_iter().zip(answer.lines) {
        let charge = match line.charge {
            None => None,
            Some(charge) => Some(charged(fact, charge, told.currency, evidence, seen)?),
        };
        lines.push(Bought {
            event: fact.id,
            at: decided_at,
            made_at: fact.at,
            paid,
            purchase: id,
            organization: told.organization,
            subscription: told.subscription,
            currency: told.currency,
            line,
            answered,
            charge,
            undoable: told.found.is_some(),
        });
    }
    Ok((lines, undone))
}

/// Takes a charge's row and postings out of the evidence.
///
/// # Errors
/// [`Difference`] where there is no such row.
pub fn charged(
    fact: &Fact,
    id: ChargeId,
    currency: Currency,
    evidence: &mut Evidence,
    seen: &mut Seen,
) -> Result<Charged, Difference> {
    let row = evidence.charges.remove(&id).ok_or_else(|| Row("charges", &id).missing(fact.id))?;
    let postings = evidence.transfers.remove(&id).unwrap_or_default();
    seen.charges += 1;
    seen.transfers += i64::try_from(postings.len()).unwrap_or(i64::MAX);
    let sums = if row.amount < 0 { &mut seen.reversed } else { &mut seen.charged };
    *sums.entry(currency).or_default() += i128::from(row.amount);
    Ok(Charged { row, postings })
}

/// When it was decided, where it was paid in between.
fn decided(told: &Completed) -> Option<i64> {
    told.decided_at.as_deref().map(|at| kernel::parse_rfc3339(at).map_or(i64::MIN, kernel::micros))
}

fn same_row(named: Row<'_>, row: &PurchaseProof, fact: &Fact, told: &Completed) -> Result<(), Difference> {
    named.same("organization_id", row.organization, told.organization)?;
    named.same("subscription_id", row.subscription, told.subscription)?;
    named.same("actor_id", row.actor.to_string(), fact.actor.as_str())?;
    // Whether an event undid it is proven when all are replayed.
    if row.state != "undone" {
        named.same("state", row.state.as_str(), "completed")?;
        named.same("undone", row.undone.as_str(), "")?;
    }
    let found = told.found.as_ref().map(|_| hex::encode(Sha256::digest(row.found.as_bytes())));
    named.same("SHA-256 of found", found.as_ref().unwrap_or(&row.found), told.found.as_deref().unwrap_or_default())?;
    named.same("at", row.at, decided(told).unwrap_or(fact.at))?;
    let hash = hex::encode(Sha256::digest(row.answer.as_bytes()));
    named.same("SHA-256 of answer", hash, told.answer.as_str())?;
    let hash = Sha256::new().chain_update(row.key.as_bytes()).chain_update(&row.request_hash).finalize();
    named.same("SHA-256 of key and request_hash", hex::encode(hash), told.request.as_str())
}

/// Who pays is there, pays in that currency, and pays for that organization.
fn payer(named: Row<'_>, row: &PurchaseProof, fact: &Fact, told: &Completed) -> Result<(), Difference> {
    let payer = Row("subscriptions", &row.subscription);
    let currency = row.currency.as_deref().ok_or_else(|| payer.missing(fact.id))?;
    payer.same("currency", currency, told.currency.code())?;
    if told.subscription_created {
        payer.same("created_by", row.payer_created_by.as_deref().unwrap_or_default(), fact.actor.as_str())?;
        payer.same("created_at", row.payer_created_at.unwrap_or_default(), fact.at)?;
    }
    if row.linked {
        return Ok(());
    }
    let facts = format!("{} was not billed to it then", row.organization);
    Err(named.differs(format!("subscription_id {}", row.subscription), facts))
}

fn same_answer(named: Row<'_>, answer: &Answer, fact: &Fact, told: &Completed) -> Result<(), Difference> {
    named.same("answer's id", answer.id, told.purchase)?;
    let at = kernel::parse_rfc3339(&answer.at).map_or(i64::MIN, kernel::micros);
    named.same("answer's at", at, decided(told).unwrap_or(fact.at))?;
    named.same("answer's organization", answer.organization, told.organization)?;
    let payer = answer.subscription.map(|id| id.to_string()).unwrap_or_default();
    named.same("answer's subscription", payer, told.subscription.to_string())?;
    named.same("answer's state", answer.state.as_str(), "completed")?;
    named.same("answer's subscription_created", answer.subscription_created, told.subscription_created)?;
    named.same("answer's billing_set_up", answer.billing_set_up, told.link.is_some())?;
    named.same("answer's purchased_by", answer.purchased_by.as_str(), fact.actor.as_str())?;
    let billing = match (told.link.is_some(), told.subscription_created) {
        (false, _) => "linked",
        (true, false) => "will_link",
        (true, true) => "will_create",
    };
    named.same("answer's billing", answer.billing.as_str(), billing)?;
    let listed = |ids: &mut dyn Iterator<Item = ChargeId>| ids.map(|id| id.to_string()).collect::<Vec<_>>().join(", ");
    let (shown, charged) = (&mut answer.charges.iter().copied(), &mut told.lines.iter().filter_map(|line| line.charge));
    named.same("answer's charges", listed(shown), listed(charged))?;
    named.same("answer's number of lines", answer.lines.len(), told.lines.len())
}

/// The answer's sums are those of its lines, with the tax that their explanation names.
fn sums(named: Row<'_>, answer: &Answer, currency: Currency) -> Result<(), Difference> {
    let rate = answer.lines.iter().find_map(|line| line.step("tax")).map_or("0", |why| why.value.as_str());
    let wrong = |what: &str| named.differs(format!("answer's {what}"), "an amount of its currency");
    let rate = percent(rate).ok_or_else(|| wrong("tax rate"))?;
    let (now, renewal) = (&answer.now, &answer.renewal);
    let due = total(answer.lines.iter().map(|line| &line.now)).ok_or_else(|| wrong("now"))?;
    let full = total(answer.lines.iter().map(|line| &line.renewal)).ok_or_else(|| wrong("renewal"))?;
    let tax = to_minor(&(&due * rate / Number::from_integer(100.into())), currency.digits()).unwrap_or_default();
    let net = to_minor(&due, currency.digits()).unwrap_or_default();
    named.same("answer's now.tax", now.tax.amount.clone(), written(tax, currency.digits()))?;
    named.same("answer's now.net", now.net.amount.clone(), written(net, currency.digits()))?;
    let net = to_minor(&full, currency.digits()).unwrap_or_default();
    named.same("answer's renewal.net", renewal.net.amount.clone(), written(net, currency.digits()))?;
    for (what, Sums { net, tax, total: sum }) in [("now", now), ("renewal", renewal)] {
        let both = total([net, tax].into_iter()).ok_or_else(|| wrong(what))?;
        let both = written(to_minor(&both, currency.digits()).unwrap_or_default(), currency.digits());
        named.same("answer's total", sum.amount.clone(), both)?;
        for amount in [net, tax, sum] {
            named.same("answer's currency", amount.currency.as_str(), currency.code())?;
        }
    }
    Ok(())
}

fn total<'a>(mut amounts: impl Iterator<Item = &'a Amount>) -> Option<Number> {
    amounts.try_fold(Number::zero(), |sum, amount| Some(sum + number(&amount.amount)?))
}
