//! What a payment is, and to which invoices one goes. Pure.

use crate::ledger;
use kernel::{Currency, InvoiceId, Money, PaymentId, SubscriptionId, Timestamp};
use store::payments::Posting;

kernel::string_enum! {
    /// Through whom money comes in.
    pub enum Provider {
        /// A transfer, which the operator records.
        Transfer = "transfer",
        /// Cards that are only played.
        Simulated = "simulated",
        /// Cards through Stripe.
        Stripe = "stripe",
    }
}

kernel::string_enum! {
    /// How a payment stands.
    pub enum PaymentState {
        /// The provider was or will be asked; what came of it is not known.
        Asked = "asked",
        /// The money came in.
        Received = "received",
        /// The provider refused.
        Declined = "declined",
    }
}

impl Provider {
    /// Whether it takes payments in this currency. Stripe counts some in another unit than ISO 4217 does, for the sake of what
    /// was there before, and those of three decimals in tens of their least unit only.
    #[must_use]
    pub fn takes(self, currency: Currency) -> bool {
        match self {
            Self::Transfer | Self::Simulated => true,
            Self::Stripe => currency.digits() <= 2 && !matches!(currency.code(), "ISK" | "MGA" | "UGX"),
        }
    }

    /// The provider that a card's token is of; none where it is no token.
    #[must_use]
    pub fn of_token(token: &str) -> Option<Self> {
        let fits = token.len() <= 200 && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match token.split_once('_') {
            Some(("tok", rest)) if fits && !rest.is_empty() => Some(Self::Simulated),
            Some(("pm", rest)) if fits && !rest.is_empty() => Some(Self::Stripe),
            _ => None,
        }
    }
}

/// What a provider is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The payment: the key under which the provider takes it once.
    pub payment: PaymentId,
    /// Who pays.
    pub subscription: SubscriptionId,
    /// The provider's token of the card.
    pub token: String,
    /// How much.
    pub amount: Money,
    /// When the demand was recorded.
    pub asked_at: Timestamp,
}

/// What came of asking a provider for money, or to pay it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The money went, under the provider's own reference.
    Received(String),
    /// The provider refused.
    Declined {
        /// Why, in the provider's word: `card_declined`.
        reason: String,
        /// Where the payer can authenticate it.
        url: Option<String>,
    },
    /// Nobody knows yet: it is asked before anything else is done.
    Unknown,
}

/// How much of `amount` goes to each of the open sums, in their order; and what is over.
#[must_use]
pub fn allocate(amount: i64, open: &[(InvoiceId, i64)]) -> (Vec<(InvoiceId, i64)>, i64) {
    let (mut parts, mut rest) = (Vec::new(), amount);
    for (invoice, sum) in open {
        let part = rest.min(*sum);
        if part <= 0 {
            continue;
        }
        parts.push((*invoice, part));
        rest = rest.saturating_sub(part);
    }
    (parts, rest)
}

/// The postings of a payment: Dr cash of the provider, Cr receivable; what is over is credit.
#[must_use]
pub fn postings(payer: SubscriptionId, provider: Provider, allocated: i64, rest: i64) -> Vec<Posting> {
    let credits = [(allocated, ledger::receivable(payer)), (rest, ledger::credit(payer))];
    let some = credits.into_iter().filter(|(amount, _)| *amount > 0);
    (0..).zip(some).map(|(leg, (amount, credit))| (leg, ledger::cash(provider), credit, amount)).collect()
}

/// The posting of credit that goes to an invoice: Dr credit, Cr receivable.
#[must_use]
pub fn postings_of_credit(payer: SubscriptionId, amount: i64) -> Vec<Posting> {
    vec![(0, ledger::credit(payer), ledger::receivable(payer), amount)]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn invoice(n: u64) -> InvoiceId {
        InvoiceId::from_uuid(uuid::Uuid::from_u64_pair(0, n))
    }

    /// the oldest invoice first; what is over stays.
    #[test]
    fn the_oldest_comes_first() {
        let open = [(invoice(1), 100), (invoice(2), 50)];
        for (amount, parts, rest) in [
            (30, vec![(invoice(1), 30)], 0),
            (100, vec![(invoice(1), 100)], 0),
            (120, vec![(invoice(1), 100), (invoice(2), 20)], 0),
            (200, vec![(invoice(1), 100), (invoice(2), 50)], 50),
        ] {
            assert_eq!(allocate(amount, &open), (parts, rest), "{amount}");
        }
        assert_eq!(allocate(7, &[]), (vec![], 7));
    }

    proptest! {
        /// Nothing is lost, nothing made, and no invoice gets more than is open.
        #[test]
        fn every_cent_has_its_place(amount in 1..i64::MAX, sums in proptest::collection::vec(0..i64::MAX, 0..8)) {
            let open: Vec<_> = (0..).zip(&sums).map(|(n, sum)| (invoice(n), *sum)).collect();
            let (parts, rest) = allocate(amount, &open);
            prop_assert_eq!(parts.iter().map(|(_, part)| i128::from(*part)).sum::<i128>() + i128::from(rest), i128::from(amount));
            for (id, part) in &parts {
                prop_assert!(*part > 0 && open.iter().any(|(open, sum)| open == id && part <= sum));
            }
            prop_assert!(rest == 0 || parts.len() == sums.iter().filter(|sum| **sum > 0).count());
        }
    }

    /// no card is asked for a sum that its provider would take for another.
    #[test]
    fn a_provider_takes_what_it_counts_as_we_do() {
        for (code, taken) in [
            ("USD", true),
            ("JPY", true),
            ("KRW", true),
            ("BHD", false),
            ("CLF", false),
            ("ISK", false),
            ("MGA", false),
        ] {
            let currency = code.parse().unwrap();
            assert_eq!(Provider::Stripe.takes(currency), taken, "{code}");
            assert!(Provider::Simulated.takes(currency) && Provider::Transfer.takes(currency), "{code}");
        }
    }

    #[test]
    fn a_token_names_its_provider() {
        assert_eq!(Provider::of_token("tok_ok"), Some(Provider::Simulated));
        assert_eq!(Provider::of_token("pm_card_visa"), Some(Provider::Stripe));
        for none in ["", "tok_", "4242424242424242", "tok-ok", "tok_ö", "card_1"] {
            assert_eq!(Provider::of_token(none), None, "{none}");
        }
    }
}
