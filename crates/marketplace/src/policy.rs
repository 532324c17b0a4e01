//! What the operator's configuration says that decisions depend on.

use crate::invoicing::Terms;
use billing::{PaymentMethods, TaxRates};
use kernel::Currency;

/// The configured facts of a decision.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Slug of the publisher that is the platform itself; all others are partners.
    pub platform_publisher: String,
    /// Currency of a quote while nobody pays yet.
    pub platform_currency: Currency,
    /// Tax rates.
    pub taxes: TaxRates,
    /// Payment methods that are taken.
    pub methods: PaymentMethods,
    /// Hours within which a purchase can be undone; 0: never.
    pub undo_hours: i64,
    /// How invoices are issued, those of purchases that are paid at once too.
    pub terms: Terms,
    /// Key of the seal on quotes.
    pub quote_key: [u8; 32],
}
