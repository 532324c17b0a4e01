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
        (ours, format!("deferred_revenue/{offer}")),
        (theirs, share.map(|share| format!("publisher_payable/{}", share.publisher)).unwrap_or_default()),
    ];
    (0..)
        .zip(credits.into_iter().filter(|(part, _)| part.minor() > 0))
        .map(|(leg, (part, credit))| Posting { fact: charge, leg, debit: unbilled(subscription), credit, amount: part })
        .collect()
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
