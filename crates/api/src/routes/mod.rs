//! The routes: each handler takes a request apart, makes one call and answers. No SQL, no arithmetic.

pub mod checkouts;
pub mod credit_notes;
pub mod directory;
pub mod docs;
pub mod entitlements;
pub mod events;
pub mod invoices;
pub mod offers;
pub mod operations;
pub mod organizations;
pub mod paging;
pub mod payers;
pub mod payments;
pub mod purchases;
pub mod quotes;
pub mod refusals;
pub mod schema;
pub mod subscriptions;
pub mod usage;

mod keys;
mod limits;
pub mod roles;
pub mod writes;

pub use limits::Limits;

use utoipa_actix_web::service_config::ServiceConfig;

/// Every route; those that are called most stand first, since they are tried in this order.
pub fn all(config: &mut ServiceConfig<'_>) {
    purchases::routes(config);
    entitlements::routes(config);
    usage::routes(config);
    quotes::routes(config);
    operations::routes(config);
    offers::routes(config);
    directory::routes(config);
    organizations::routes(config);
    payers::routes(config);
    subscriptions::routes(config);
    invoices::routes(config);
    payments::routes(config);
    credit_notes::routes(config);
    checkouts::routes(config);
    events::routes(config);
}
