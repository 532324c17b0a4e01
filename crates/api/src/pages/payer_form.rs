//! The form of a new subscription, in checkout and on its own page: what it asks, what was typed, and what cannot be
//! taken of it, field by field.

use super::visitor::{Fields, field};
use crate::problem::{Problem, Slug};
use crate::state::State;
use billing::NewSubscription;
use billing::new_subscription::{NewSubscriptionFault, Payment};
use kernel::{CountryCode, Currency, TextError};
use marketplace::catalogue::Catalogue;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::LazyLock;

/// Cards that the simulated provider knows: token, and what happens with it.
pub const CARDS: &[(&str, &str)] = &[
    ("tok_ok", "Test card that is accepted"),
    ("tok_declined", "Test card that is declined"),
    ("tok_expired", "Test card that is declined when it is to pay"),
];

/// Names of countries by code, in the order of names.
static COUNTRIES: LazyLock<Vec<(&'static str, &'static str)>> = LazyLock::new(|| {
    let mut countries: Vec<_> = isocountry::CountryCode::iter()
        .filter(|country| CountryCode::from_str(country.alpha2()).is_ok())
        .map(|country| (country.alpha2(), country.name()))
        .collect();
    countries.sort_by_key(|(_, name)| *name);
    countries
});

/// A country's name; its code where it has none.
pub fn country_name(code: &str) -> &str {
    COUNTRIES.iter().find(|(known, _)| *known == code).map_or(code, |(_, name)| name)
}

/// The form.
#[derive(Clone, Debug)]
pub struct PayerForm {
    values: BTreeMap<&'static str, String>,
    faults: BTreeMap<String, String>,
    /// Countries by code.
    pub countries: &'static [(&'static str, &'static str)],
    /// Currencies that something is sold in.
    pub currencies: Vec<Currency>,
    /// Whether transfers are taken here.
    pub invoice: bool,
    /// Cards of the simulated provider, where it is taken here.
    pub cards: &'static [(&'static str, &'static str)],
}

/// The form's fields.
const FIELDS: &[&str] =
    &["name", "country", "currency", "pay", "token", "tax_id", "email", "address", "purchase_order"];

impl PayerForm {
    /// A form with proposals: the organization's name and country, and a currency that the things wanted are sold in.
    pub fn new(state: &State, catalogue: &Catalogue, offers: &[&str], name: &str, country: CountryCode) -> Self {
        let sold = |slug: &&str| catalogue.resolve(slug).map(|offer| offer.prices.keys().copied().collect());
        let mut currencies: Vec<BTreeSet<Currency>> = offers.iter().filter_map(sold).collect();
        currencies.retain(|some| !some.is_empty());
        let every = || catalogue.offers().flat_map(|offer| offer.prices.keys().copied()).collect();
        let common = currencies.into_iter().reduce(|one, other| &one & &other).unwrap_or_else(every);
        let usual = state.policy.platform_currency;
        let currency = if common.contains(&usual) { Some(usual) } else { common.first().copied() };
        let currency = currency.map(|one| one.to_string()).unwrap_or_default();
        let methods = state.policy.methods;
        let pay = if methods.invoice { "invoice" } else { "card" };
        Self {
            values: [("name", name.to_owned()), ("country", country.to_string()), ("currency", currency)]
                .into_iter()
                .chain([("pay", pay.to_owned()), ("token", "tok_ok".to_owned())])
                .collect(),
            faults: BTreeMap::new(),
            countries: &COUNTRIES,
            currencies: common.into_iter().collect(),
            invoice: methods.invoice,
            cards: if methods.simulated { CARDS } else { &[] },
        }
    }

    /// The same with what was typed.
    pub fn typed(mut self, fields: &Fields) -> Self {
        for name in FIELDS {
            if fields.iter().any(|(known, _)| known == name) {
                self.values.insert(name, field(fields, name).to_owned());
            }
        }
        self
    }

    /// The same with what was chosen before.
    pub fn chosen(mut self, data: &NewSubscription) -> Self {
        let (pay, token) = match &data.payment {
            Payment::Invoice {} => ("invoice", String::new()),
            Payment::Card { token } => ("card", token.clone()),
        };
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        self.values = [
            ("name", data.name.to_string()),
            ("country", data.country.to_string()),
            ("currency", data.currency.to_string()),
            ("pay", pay.to_owned()),
            ("token", token),
            ("tax_id", optional(&data.tax_id)),
            ("email", data.email.as_ref().map(ToString::to_string).unwrap_or_default()),
            ("address", optional(&data.address)),
            ("purchase_order", optional(&data.purchase_order)),
        ]
        .into();
        self
    }

    /// What stands in a field.
    pub fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// What is wrong with a field; empty for nothing.
    pub fn fault(&self, name: &str) -> &str {
        self.faults.get(name).map_or("", String::as_str)
    }

    /// Whether any of the fields that are usually hidden is filled in or wrong.
    pub fn more(&self) -> bool {
        ["tax_id", "email", "address", "purchase_order"]
            .iter()
            .any(|name| !self.value(name).is_empty() || !self.fault(name).is_empty())
    }

    /// The data that was typed; the form with its faults where it cannot be taken.
    ///
    /// # Errors
    /// The form, to be shown again.
    pub fn read(mut self, state: &State, fields: &Fields) -> Result<NewSubscription, Box<Self>> {
        self = self.typed(fields);
        let parsed = (self.parse("name"), self.parse("country"), self.parse("currency"));
        let payment = match self.value("pay") {
            "invoice" => Some(Payment::Invoice {}),
            "card" => Some(Payment::Card { token: self.value("token").to_owned() }),
            _ => self.wrong("pay", "Choose how to pay."),
        };
        let email = if self.value("email").is_empty() { Some(None) } else { self.parse("email").map(Some) };
        let optional = |name: &str| Some(self.value(name).to_owned()).filter(|text| !text.is_empty());
        let (tax_id, address, purchase_order) = (optional("tax_id"), optional("address"), optional("purchase_order"));
        let ((Some(name), Some(country), Some(currency)), Some(payment), Some(email)) = (parsed, payment, email) else {
            return Err(Box::new(self));
        };
        let data = NewSubscription { name, country, currency, payment, tax_id, email, address, purchase_order };
        match data.check(state.policy.methods) {
            Ok(()) => Ok(data),
            Err(fault) => {
                self.refuse(&fault);
                Err(Box::new(self))
            }
        }
    }

    fn refuse(&mut self, fault: &NewSubscriptionFault) {
        let (name, why) = match fault {
            NewSubscriptionFault::Field(name, why) => (*name, why.clone()),
            NewSubscriptionFault::Declined(_) => {
                ("token", "The card was declined; nothing was created. Choose another card.".to_owned())
            }
        };
        let name = match name {
            "payment/method" => "pay",
            "payment/token" => "token",
            other => other,
        };
        // What may be a card number does not stay on the page either.
        if why.contains("card number") {
            for known in FIELDS.iter().filter(|known| **known == name) {
                self.values.insert(known, String::new());
            }
        }
        self.faults.insert(name.to_owned(), why);
    }

    /// Marks what a refusal of the whole says about the new subscription.
    pub fn marked(mut self, problem: &Problem) -> Self {
        if problem.slug() == Slug::PaymentDeclined {
            self.faults.insert("token".to_owned(), "The card was declined. Choose another card.".to_owned());
        }
        for error in problem.errors() {
            if let Some(name) = error.pointer.strip_prefix("/billing/new_subscription/") {
                self.faults.insert(name.to_owned(), error.detail.clone());
            }
        }
        self
    }

    fn parse<T: FromStr<Err = TextError>>(&mut self, name: &'static str) -> Option<T> {
        match self.value(name).parse() {
            Ok(value) => Some(value),
            Err(fault) => self.wrong(name, &fault.to_string()),
        }
    }

    fn wrong<T>(&mut self, name: &'static str, why: &str) -> Option<T> {
        self.faults.insert(name.to_owned(), why.to_owned());
        None
    }
}
