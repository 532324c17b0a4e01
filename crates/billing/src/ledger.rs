//! The ledger's postings: each a debit and a credit of one amount, so that it balances by construction.

use crate::payment::Provider;
use kernel::{ChargeId, CountryCode, Exact, Money, OfferId, SubscriptionId};

/// One posting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The fact that it is of.
    pub fact: ChargeId,
    /// Which of the fact's postings.
    pub leg: i64,
    /// Account debited.
    pub debit: String,
    /// Account credited.
    pub credit: String,
    /// Positive, minor units of `amount`'s currency.
    pub amount: Money,
}

/// A partner's part of a sale.
#[derive(Clone, Debug)]
pub struct Share<'a> {
    /// The publisher's slug.
    pub publisher: &'a str,
    /// Its part, 0 to 1.
    pub part: &'a Exact,
}

/// What was charged and is on no invoice yet.
#[must_use]
pub fn unbilled(subscription: SubscriptionId) -> String {
    format!("unbilled/{subscription}")
}

/// What was billed and is not paid yet.
#[must_use]
pub fn receivable(subscription: SubscriptionId) -> String {
    format!("receivable/{subscription}")
}

/// What a payer paid too much, or was granted, and no invoice used yet.
#[must_use]
pub fn credit(subscription: SubscriptionId) -> String {
    format!("credit/{subscription}")
}

/// Tax that is owed to a country.
#[must_use]
pub fn tax(country: CountryCode) -> String {
    format!("tax/{country}")
}

/// What was granted as credit without an invoice, at our own cost.
pub const GOODWILL: &str = "goodwill";

/// Money that came in through a provider.
#[must_use]
pub fn cash(provider: Provider) -> String {
    format!("cash/{provider}")
}

/// Postings of a charge: Dr unbilled, Cr deferred revenue; of a partner's offer its share to what is owed to it, and
/// the rest to us. The publisher's share is rounded half away from zero, the rest is what is left.
#[must_use]
pub fn postings_of_charge(
    charge: ChargeId,
    subscription: SubscriptionId,
    offer: OfferId,
    amount: Money,
    share: Option<Share<'_>>,
) -> Vec<Posting> {
    let theirs = share
        .as_ref()
        .and_then(|share| Money::from_exact(&(amount.to_exact() * share.part.clone()), amount.currency()).ok())
        .unwrap_or_else(|| Money::zero(amount.currency()));
    let ours = amount.checked_sub(theirs).unwrap_or(amount);
    let credits = [
        (ours, format!("{DEFERRED}{offer}")),
        (theirs, share.map(|share| format!("publisher_payable/{}", share.publisher)).unwrap_or_default()),
    ];
    (0..)
        .zip(credits.into_iter().filter(|(part, _)| part.minor() > 0))
        .map(|(leg, (part, credit))| Posting { fact: charge, leg, debit: unbilled(subscription), credit, amount: part })
        .collect()
}

/// Postings of a charge that takes `amount` (below zero) of another back: the other's legs (debit, credit, amount) the other
/// way round, each by its part of it. All but the first are rounded half away from zero, the first is what is left.
#[must_use]
pub fn postings_back(charge: ChargeId, amount: Money, legs: &[(&str, &str, i64)]) -> Vec<Posting> {
    let back = amount.minor().saturating_neg();
    let whole: i64 = legs.iter().map(|(.., part)| *part).fold(0, i64::saturating_add);
    let part = |part: i64| {
        let share = Exact::ratio(part, whole).unwrap_or_default();
        Money::from_exact(&(Money::new(back, amount.currency()).to_exact() * share), amount.currency())
            .map_or(0, Money::minor)
    };
    let mut parts: Vec<i64> = legs.iter().map(|(.., amount)| part(*amount)).collect();
    let rest = parts.iter().skip(1).fold(back, |rest, part| rest.saturating_sub(*part));
    if let Some(first) = parts.first_mut() {
        *first = rest;
    }
    (0..)
        .zip(legs.iter().zip(parts).filter(|(_, part)| *part > 0))
        .map(|(leg, ((debit, credit, _), part))| Posting {
            fact: charge,
            leg,
            debit: (*credit).to_owned(),
            credit: (*debit).to_owned(),
            amount: Money::new(part, amount.currency()),
        })
        .collect()
}

/// What begins the name of each account of deferred revenue; the offer follows.
const DEFERRED: &str = "deferred_revenue/";

/// The posting of what was recognized of an account of deferred revenue, minor units: Dr deferred revenue, Cr revenue;
/// the other way round where more was taken back than was charged. None for an account of another kind.
#[must_use]
pub fn posting_of_recognition(deferred: &str, minor: i64) -> Option<(String, String, i64)> {
    let offer = deferred.strip_prefix(DEFERRED)?;
    let (deferred, revenue, amount) = (deferred.to_owned(), format!("revenue/{offer}"), minor.checked_abs()?);
    match minor {
        0 => None,
        1.. => Some((deferred, revenue, amount)),
        _ => Some((revenue, deferred, amount)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    /// the two postings of a partner's sale add up to the charge, whatever the amount.
    #[test]
    fn a_partner_sale_is_two_postings_that_add_up() {
        let part = Exact::ratio(8, 10).unwrap();
        for minor in [1, 2, 3, 99, 1_001, i64::MAX] {
            let amount = Money::new(minor, "USD".parse().unwrap());
            let id = uuid::Uuid::from_u64_pair(0, 7);
            let share = Share { publisher: "contoso", part: &part };
            let postings = postings_of_charge(
                ChargeId::from_uuid(id),
                SubscriptionId::from_uuid(id),
                OfferId::from_uuid(id),
                amount,
                Some(share),
            );
            assert_eq!(postings.iter().map(|p| p.amount.minor()).sum::<i64>(), minor);
            assert!(postings.iter().all(|p| p.amount.minor() > 0));
        }
    }
}
