//! The pages: the same verbs as the API, for people. A page can do nothing that its visitor could not do by a token; it
//! is rendered here, works without JavaScript, and says of every refusal what to do next.

mod assets;
mod billing;
mod budgets;
pub mod checkout;
pub mod frame;
mod invoices;
mod ledger;
pub mod locale;
mod market;
mod organizations;
mod payer_form;
mod payments;
pub mod problems;
mod receipt;
mod services;
mod sign_in;
mod subscriptions;
mod sum;
mod undo;
pub mod visitor;
mod wares;

use actix_web::web::ServiceConfig;

/// Every page.
pub fn routes(config: &mut ServiceConfig) {
    assets::routes(config);
    services::routes(config);
    sign_in::routes(config);
    market::routes(config);
    checkout::routes(config);
    receipt::routes(config);
    undo::routes(config);
    organizations::routes(config);
    billing::routes(config);
    budgets::routes(config);
    invoices::routes(config);
    payments::routes(config);
    ledger::routes(config);
    subscriptions::routes(config);
    problems::routes(config);
}
