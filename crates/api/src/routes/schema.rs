//! Shapes of the wire for the OpenAPI document, where the domain's own types serialize themselves.
#![allow(dead_code, reason = "these types describe; nothing makes them")]

use serde::Serialize;
use utoipa::ToSchema;

/// Why a request did not succeed (RFC 9457). Further members depend on the type.
#[derive(Serialize, ToSchema)]
pub struct Problem {
    /// `/problems/<slug>`, a page that explains it.
    pub r#type: String,
    /// In a few words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened, for a person.
    pub detail: String,
    /// The request's id.
    pub instance: Option<String>,
    /// Bad fields.
    #[schema(required = false)]
    pub errors: Vec<FieldError>,
}

/// A bad field.
#[derive(Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer.
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
}

/// An amount of money.
#[derive(Serialize, ToSchema)]
pub struct Money {
    /// With exactly the currency's minor digits.
    #[schema(example = "157.08")]
    pub amount: String,
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
}

/// Why something may not be, and what to do.
#[derive(Serialize, ToSchema)]
pub struct Reason {
    /// What clients branch on.
    pub code: String,
    /// For people.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// One step of how an amount is worked out.
#[derive(Serialize, ToSchema)]
pub struct Step {
    /// Which step.
    pub step: String,
    /// For people.
    pub detail: String,
    /// Its result: an integer, a decimal or a fraction.
    pub value: String,
}

/// Before and after.
#[derive(Serialize, ToSchema)]
pub struct FromTo {
    pub from: i64,
    pub to: i64,
}

/// One line of a quote.
#[derive(Serialize, ToSchema)]
pub struct Line {
    /// The offer's slug.
    pub offer: String,
    /// Paid units of the next month.
    pub quantity: FromTo,
    /// Units that every organization has free.
    pub included: i64,
    /// Units that may be used.
    pub usable: FromTo,
    /// This purchase's part of this month, before tax.
    pub now: Money,
    /// A full month at the new total, before tax.
    pub renewal: Money,
    /// How it is worked out.
    pub why: Vec<Step>,
}

/// Sums.
#[derive(Serialize, ToSchema)]
pub struct Totals {
    pub net: Money,
    pub tax: Money,
    pub total: Money,
}

/// Sums of a day.
#[derive(Serialize, ToSchema)]
pub struct DatedTotals {
    #[schema(format = Date)]
    pub on: String,
    pub net: Money,
    pub tax: Money,
    pub total: Money,
}

/// What a purchase would cost and need.
#[derive(Serialize, ToSchema)]
pub struct Quote {
    /// Name it in a purchase that must be no other than this.
    pub id: String,
    #[schema(format = DateTime)]
    pub at: String,
    /// 15 minutes later.
    #[schema(format = DateTime)]
    pub expires_at: String,
    pub organization: String,
    pub subscription: Option<String>,
    /// `linked`, `setup_required`, `will_link` or `will_create`.
    pub billing: String,
    pub lines: Vec<Line>,
    pub now: Totals,
    pub renewal: DatedTotals,
    /// The payer's next invoice as it would then be, all lines; these lines alone for whoever may not see the payer's
    /// invoices.
    pub next_invoice: DatedTotals,
    /// `now` or `on_invoice`.
    pub collected: String,
    pub allowed: bool,
    pub reasons: Vec<Reason>,
}

/// A purchase: its quote, kept, and what came of it.
#[derive(Serialize, ToSchema)]
pub struct Purchase {
    #[serde(flatten)]
    pub quote: Quote,
    /// `completed`.
    pub state: String,
    pub subscription_created: bool,
    pub billing_set_up: bool,
    /// The charges that its lines became; `purser explain` shows each.
    pub charges: Vec<String>,
    pub purchased_by: String,
    #[schema(format = DateTime)]
    pub undo_until: String,
}

/// A page of purchases.
#[derive(Serialize, ToSchema)]
pub struct Purchases {
    pub data: Vec<Purchase>,
    pub next: Option<String>,
}

/// Metered use, switched on or off.
#[derive(Serialize, ToSchema)]
pub struct MeteredRequest {
    pub on: bool,
    /// Most units a month.
    #[schema(required = false)]
    pub cap: Option<i64>,
}

/// One item: `quantity`, the new total of paid units, with `from`, what was seen as next; or `metered`.
#[derive(Serialize, ToSchema)]
pub struct ItemRequest {
    /// Id or slug.
    pub offer: String,
    #[schema(required = false)]
    pub quantity: Option<i64>,
    #[schema(required = false)]
    pub from: Option<i64>,
    #[schema(required = false)]
    pub metered: Option<MeteredRequest>,
}

/// How a new subscription pays.
#[derive(Serialize, ToSchema)]
pub struct PaymentRequest {
    /// `invoice` or `card`.
    pub method: String,
    /// The provider's token of a card; never a card number.
    #[schema(required = false)]
    pub token: Option<String>,
}

/// The data of a new subscription.
#[derive(Serialize, ToSchema)]
pub struct NewSubscription {
    pub name: String,
    /// ISO 3166.
    pub country: String,
    /// ISO 4217.
    pub currency: String,
    pub payment: PaymentRequest,
    #[schema(required = false)]
    pub tax_id: Option<String>,
    #[schema(required = false)]
    pub email: Option<String>,
    #[schema(required = false)]
    pub address: Option<String>,
    #[schema(required = false)]
    pub purchase_order: Option<String>,
}

/// Who shall pay: one of the two.
#[derive(Serialize, ToSchema)]
pub struct BillingRequest {
    #[schema(required = false)]
    pub subscription: Option<String>,
    #[schema(required = false)]
    pub new_subscription: Option<NewSubscription>,
}

/// What would be bought.
#[derive(Serialize, ToSchema)]
pub struct QuoteRequest {
    /// Id or slug.
    pub organization: String,
    pub items: Vec<ItemRequest>,
    #[schema(required = false)]
    pub billing: Option<BillingRequest>,
    /// The currency to show prices in while nobody pays yet.
    #[schema(required = false)]
    pub currency: Option<String>,
}

/// What is bought.
#[derive(Serialize, ToSchema)]
pub struct PurchaseRequest {
    /// Id or slug.
    pub organization: String,
    pub items: Vec<ItemRequest>,
    #[schema(required = false)]
    pub billing: Option<BillingRequest>,
    /// The quote that must still hold.
    #[schema(required = false)]
    pub quote: Option<String>,
}

/// For whom a line of a bill is.
#[derive(Serialize, ToSchema)]
pub struct InvoiceOrganization {
    pub id: String,
    /// Its name in addresses.
    pub slug: String,
    pub name: String,
}

/// A line of a bill.
#[derive(Serialize, ToSchema)]
pub struct InvoiceLine {
    pub organization: InvoiceOrganization,
    /// The offer's slug.
    pub offer: String,
    /// The offer's name.
    pub name: String,
    /// `purchase`: bought within a month, for what was left of it; `renewal`: a month in advance;
    /// `resumed`: suspended before, for what was left of the month; `usage`:
    /// metered use of a month above the included units.
    pub kind: String,
    /// The month of the service, by its first day.
    #[schema(format = Date)]
    pub month: String,
    pub quantity: FromTo,
    pub amount: Money,
    /// Percent; empty for none.
    pub tax_rate: String,
    /// Its part of the tax.
    pub tax: Money,
    /// The charge; null before it is one.
    pub charge: Option<String>,
    /// The purchase that it is of; null for a renewal.
    pub purchase: Option<String>,
    /// How it is worked out.
    pub why: Vec<Step>,
}

/// What a rate of tax applies to.
#[derive(Serialize, ToSchema)]
pub struct InvoiceTax {
    /// Percent; empty for none.
    pub rate: String,
    pub net: Money,
    pub tax: Money,
}

/// An invoice, or the next one as it stands.
#[derive(Serialize, ToSchema)]
pub struct Invoice {
    /// Null before it is issued.
    pub id: Option<String>,
    /// Its number, without gaps in its series and year; null before it is issued.
    #[schema(example = "P-2018-000001")]
    pub number: Option<String>,
    /// Who owes it.
    pub subscription: String,
    /// The month on whose first day it is for.
    #[schema(format = Date)]
    pub month: String,
    /// The day of issue.
    #[schema(format = Date)]
    pub issued_on: String,
    /// The day by which it is to be paid.
    #[schema(format = Date)]
    pub due_on: String,
    /// `upcoming`, `open` or `paid`.
    pub state: String,
    /// Who sells, as on the day of issue.
    #[schema(value_type = Object)]
    pub seller: (),
    /// Who pays, as on the day of issue.
    #[schema(value_type = Object)]
    pub payer: (),
    /// Organization by organization; empty in lists.
    pub lines: Vec<InvoiceLine>,
    /// By rate.
    pub taxes: Vec<InvoiceTax>,
    pub net: Money,
    pub tax: Money,
    pub total: Money,
    /// What was paid of it, by money and credit.
    pub paid: Money,
    /// What its credit notes come to.
    pub credited: Money,
    /// What is still to be paid.
    pub open: Money,
}

/// A page of invoices.
#[derive(Serialize, ToSchema)]
pub struct Invoices {
    pub data: Vec<Invoice>,
    pub next: Option<String>,
}

/// The answer to the platform's question.
#[derive(Serialize, ToSchema)]
pub struct Allowance {
    pub allowed: bool,
    /// How many.
    pub usable: i64,
    /// Until when that is sure; null where nothing ends it.
    #[schema(format = DateTime)]
    pub until: Option<String>,
    /// When this was known.
    #[schema(format = DateTime)]
    pub as_of: String,
    pub reasons: Vec<Reason>,
}

/// How the process is.
#[derive(Serialize, ToSchema)]
pub struct Status {
    /// `ok` or `ready`.
    pub status: String,
}
