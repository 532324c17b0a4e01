//! A payer that comes into being, in checkout or on its own.

use crate::payer::{Payer, PaymentMethod, SubscriptionKind, SubscriptionStatus};
use crate::payment::Provider;
use crate::vat;
use kernel::{CountryCode, Currency, Email, Name, SubscriptionId, Timestamp};
use serde::{Deserialize, Serialize};
use store::subscriptions::SubscriptionRow;

/// Longest free text of a profile, in bytes.
const LONGEST: usize = 2_000;

/// Who is billed and how to reach them: personal, so kept apart from facts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Tax number, as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<String>,
    /// Where bills go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// Postal address, lines apart by newlines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The payer's own reference, for the bill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchase_order: Option<String>,
}

impl Profile {
    /// What is wrong with the tax number of a payer in a country: members of the European Union check theirs.
    #[must_use]
    pub fn tax_fault(&self, country: CountryCode) -> Option<String> {
        vat::checked(country, self.tax_id.as_deref()?).err().map(|fault| fault.to_string())
    }

    /// The same with a VAT number as it is written on invoices.
    #[must_use]
    pub fn written(mut self, country: CountryCode) -> Self {
        if let Some(Ok(Some(number))) = self.tax_id.as_deref().map(|number| vat::checked(country, number)) {
            self.tax_id = Some(number);
        }
        self
    }

    /// The first field that cannot be kept, and why.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, String)> {
        [("tax_id", &self.tax_id), ("address", &self.address), ("purchase_order", &self.purchase_order)]
            .into_iter()
            .find_map(|(field, text)| {
                let text = text.as_deref()?;
                if text.len() > LONGEST {
                    return Some((field, format!("is longer than {LONGEST} bytes")));
                }
                if text.chars().any(|c| c.is_control() && c != '\n') {
                    return Some((field, "holds a control character".into()));
                }
                shaped_like_a_card(text).then(|| (field, CARD_NUMBER.into()))
            })
    }
}

/// How a new payer pays, as a request says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "method",
    rename_all = "snake_case",
    deny_unknown_fields,
    expecting = "an object with the member method: invoice or card"
)]
pub enum Payment {
    /// By transfer, on an invoice. With braces, since serde refuses further fields only then.
    Invoice {},
    /// By a card that the provider keeps under a token.
    Card {
        /// The provider's token; never a card number.
        token: String,
    },
}

/// The data of a new subscription (contract: `new_subscription`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSubscription {
    /// Its name for people.
    pub name: Name,
    /// Where the payer is.
    pub country: CountryCode,
    /// Its one currency, for good.
    pub currency: Currency,
    /// How it pays.
    pub payment: Payment,
    /// Tax number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<String>,
    /// Where bills go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// Postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The payer's own reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchase_order: Option<String>,
}

impl Payment {
    /// Checks that the method is taken here, for this currency, and the token is one. With the simulated provider
    /// `tok_declined` is declined when the card is set up.
    ///
    /// # Errors
    /// [`NewSubscriptionFault`], without ever repeating what may be a card number.
    pub fn check(&self, methods: PaymentMethods, currency: Currency) -> Result<(), NewSubscriptionFault> {
        use NewSubscriptionFault::{Declined, Field};
        let token = match self {
            Self::Invoice {} if methods.invoice => return Ok(()),
            Self::Invoice {} => {
                return Err(Field("payment/method", "invoice is not taken here; pay by card".into()));
            }
            Self::Card { .. } if !methods.simulated && !methods.stripe => {
                return Err(Field("payment/method", "cards are not taken here; pay by invoice".into()));
            }
            Self::Card { token } => token,
        };
        if shaped_like_a_card(token) {
            return Err(Field("payment/token", CARD_NUMBER.into()));
        }
        match Provider::of_token(token) {
            Some(Provider::Simulated) if methods.simulated && token == "tok_declined" => Err(Declined("card_declined")),
            Some(Provider::Simulated) if methods.simulated => Ok(()),
            Some(Provider::Stripe) if methods.stripe && !Provider::Stripe.takes(currency) => {
                Err(Field("payment/method", format!("cards are not taken in {currency}; pay by invoice")))
            }
            Some(Provider::Stripe) if methods.stripe => Ok(()),
            _ if methods.simulated => {
                Err(Field("payment/token", "is not a token of the provider, such as tok_ok".into()))
            }
            _ => Err(Field("payment/token", "is not a token of the provider, such as pm_…".into())),
        }
    }

    /// The method, and the provider's token; empty for a transfer.
    #[must_use]
    pub fn parts(&self) -> (PaymentMethod, &str) {
        match self {
            Self::Invoice {} => (PaymentMethod::Invoice, ""),
            Self::Card { token } => (PaymentMethod::Card, token),
        }
    }
}

/// Why a new subscription cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewSubscriptionFault {
    /// A field cannot be taken: its name below `new_subscription`, and why.
    Field(&'static str, String),
    /// The provider declined the card.
    Declined(&'static str),
}

/// Which payment methods this installation takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct PaymentMethods {
    /// Transfers.
    pub invoice: bool,
    /// The simulated card provider.
    pub simulated: bool,
    /// Cards through Stripe.
    pub stripe: bool,
}

const CARD_NUMBER: &str = "looks like a card number; card numbers must never be sent here, only the provider's token";

/// True where the text holds a run of digits as long as a card number, spaces and dashes aside.
fn shaped_like_a_card(text: &str) -> bool {
    let mut run = 0;
    for c in text.chars() {
        if c.is_ascii_digit() {
            run += 1;
        } else if !matches!(c, ' ' | '-') {
            run = 0;
        }
        if run >= 13 {
            return true;
        }
    }
    false
}

/// Why a payer cannot have this name.
#[must_use]
pub fn name_fault(name: &Name) -> Option<String> {
    shaped_like_a_card(name.as_str()).then(|| CARD_NUMBER.into())
}

impl NewSubscription {
    /// Checks what types cannot: texts are bounded, the method is taken here.
    ///
    /// # Errors
    /// [`NewSubscriptionFault`], without ever repeating what may be a card number.
    pub fn check(&self, methods: PaymentMethods) -> Result<(), NewSubscriptionFault> {
        use NewSubscriptionFault::Field;
        if let Some(why) = name_fault(&self.name) {
            return Err(Field("name", why));
        }
        if let Some((field, why)) = self.profile().fault() {
            return Err(Field(field, why));
        }
        if let Some(why) = self.profile().tax_fault(self.country) {
            return Err(Field("tax_id", why));
        }
        self.payment.check(methods, self.currency)
    }

    /// The personal part.
    #[must_use]
    pub fn profile(&self) -> Profile {
        Profile {
            tax_id: self.tax_id.clone(),
            email: self.email.clone(),
            address: self.address.clone(),
            purchase_order: self.purchase_order.clone(),
        }
        .written(self.country)
    }

    /// The payer that it would be (R-15: pay as you go, active).
    #[must_use]
    pub fn payer(&self, id: SubscriptionId) -> Payer {
        Payer {
            id,
            kind: SubscriptionKind::PayAsYouGo,
            status: SubscriptionStatus::Active,
            country: self.country,
            currency: self.currency,
            method: self.payment.parts().0,
            spending_limit: false,
            marketplace_enabled: false,
            billed_through: None,
            budgeted: false,
            tax_confirmed: false,
        }
    }

    /// The row that it becomes.
    #[must_use]
    pub fn row(&self, id: SubscriptionId, at: Timestamp) -> SubscriptionRow {
        let payer = self.payer(id);
        SubscriptionRow {
            id,
            name: self.name.as_str().to_owned(),
            kind: payer.kind.as_str().to_owned(),
            status: payer.status.as_str().to_owned(),
            country: self.country,
            currency: self.currency,
            payment_method: payer.method.as_str().to_owned(),
            payment_token: self.payment.parts().1.to_owned(),
            spending_limit: false,
            marketplace_enabled: false,
            profile: serde_json::to_string(&self.profile()).unwrap_or_else(|_| "{}".into()),
            created_at: at,
            billed_through: None,
            credit: 0,
            budgeted: false,
            tax_confirmed: false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    fn with_token(token: &str) -> NewSubscription {
        serde_json::from_value(serde_json::json!({
            "name": "Production", "country": "DE", "currency": "EUR", "payment": {"method": "card", "token": token}
        }))
        .unwrap()
    }

    /// a card number is refused and not repeated.
    #[test]
    fn a_card_number_is_refused_and_not_repeated() {
        let methods = PaymentMethods { invoice: true, simulated: true, stripe: false };
        for number in ["4242424242424242", "4242 4242 4242 4242", "tok_4242-4242-4242-4242"] {
            let fault = with_token(number).check(methods).unwrap_err();
            assert!(!format!("{fault:?}").contains("4242"), "{fault:?}");
        }
        assert_eq!(with_token("tok_ok").check(methods), Ok(()));
        assert_eq!(with_token("tok_declined").check(methods), Err(NewSubscriptionFault::Declined("card_declined")));
        assert!(with_token("anything").check(methods).is_err());
        assert!(with_token("tok_ok").check(PaymentMethods { invoice: true, simulated: false, stripe: false }).is_err());
    }
}
