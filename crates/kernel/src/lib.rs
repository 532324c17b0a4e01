//! The words every other crate speaks: instants, ids, exact amounts, prices, months, explanations and permissions.
//!
//! Nothing here reads a clock, a database or the network by itself; time and randomness are handed in, so that every
//! result can be computed again from the same facts. Rules are cited by id (`R-28`).

#[macro_use]
mod macros;

pub mod calendar;
pub mod clock;
pub mod exact;
pub mod explanation;
pub mod ids;
pub mod money;
pub mod permission;
pub mod price;
pub mod text;

pub use calendar::{DayFraction, DayRule, Month, parse_date};
pub use clock::{Clock, FixedClock, SystemClock, Timestamp, from_micros, micros, parse_rfc3339, rfc3339};
pub use exact::Exact;
pub use explanation::{ChargeBasis, ChargeInputs, Step, Usage};
pub use ids::{
    AllocationId, BlockId, ChargeId, CheckoutId, CreditId, CreditNoteId, EventId, Id, IdSource, InvoiceId, LinkId,
    OfferId, OrganizationId, PaymentId, PriceId, PublisherId, PurchaseId, RefundId, ServiceKeyId, SubscriptionId,
    TransferId, UsageBatchId, UserId,
};
pub use money::{Currency, Money, MoneyError, share_by_largest_remainder};
pub use permission::{
    AccessLevel, OrganizationRole, Permission, Role, SubscriptionRole, granting_roles, grants, markdown,
};
pub use price::{Band, Model, Price, PriceFault, PriceFaultKind, PricePart, PriceSpec, UnitPrice};
pub use text::{CountryCode, Email, IdempotencyKey, Name, Slug, TextError, UsageId};
