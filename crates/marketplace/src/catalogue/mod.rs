//! What is sold: the catalogue as a file (`file`, `lint`), as the program holds it (`model`), as the API shows it
//! (`view`), and what a file changes (`diff`) and how it becomes the catalogue in force (`apply`).

pub mod apply;
pub mod diff;
pub mod file;
pub mod lint;
pub mod model;
pub mod view;

pub use apply::{ApplyError, apply};
pub use diff::{Change, diff};
pub use file::{CatalogueFile, Fault, OfferEntry, PriceEntry};
pub use lint::{Platform, Report, lint};
pub use model::{Catalogue, Collection, Definition, Offer, OfferKind, OfferState, PriceVersion, Publisher, Share};
pub use view::OfferView;
