//! The documents of a bill: what people print, keep, import and send on. Each is a pure function of the bill, which is
//! what the API answers and `purser verify` proves; a document adds nothing to it.

mod fault;
mod focus;
mod format;
mod lines;
mod pdf;
mod ubl;
mod words;

pub use fault::{Fault, Lack};
pub use focus::focus;
pub use format::Format;
pub use lines::csv;
pub use pdf::pdf;
pub use ubl::ubl;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod sample;
