//! The kinds of problems there are: the one list, for answers, for the pages that explain them and for
//! the golden file.

use std::fmt;

use actix_web::http::StatusCode;

macro_rules! slugs {
    ($($(#[doc = $doc:literal])+ $name:ident = $slug:literal, $status:ident, $title:literal;)+) => {
        /// What kind of problem an answer is; clients branch on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Slug {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Slug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its name: the end of a problem's `type`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $slug,)+ }
            }

            /// The status it is answered with; `invalid-request` has others besides.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// What it is, in a few words that never vary.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// What it means and what to do, for the page at `/problems/<slug>`.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

slugs! {
    /// The organization has no billing yet. Repeat the purchase with `billing` naming one of the
    /// `subscriptions` listed that is eligible or, where `can_create` is true, the data of a new one.
    BillingSetupRequired = "billing-setup-required", CONFLICT, "Billing is not set up";
    /// The organization is billed to `subscription` already. Leave `billing` out to buy on it; changing
    /// the payer is an act of its own.
    BillingAlreadySetUp = "billing-already-set-up", CONFLICT, "Billing is set up already";
    /// The subscription cannot pay for this. Each of `reasons` says why, and what would remedy it.
    SubscriptionNotEligible = "subscription-not-eligible", CONFLICT, "The subscription cannot pay for this";
    /// You lack the permission that `missing` names. `ask` lists people who have it or can grant it, and
    /// `request`, if there is one, is where to ask.
    PermissionDenied = "permission-denied", FORBIDDEN, "Permission denied";
    /// There is no such thing, or none that you may know of.
    NotFound = "not-found", NOT_FOUND, "Not found";
    /// The total of paid units must be from `minimum` to `maximum`.
    QuantityOutOfRange = "quantity-out-of-range", UNPROCESSABLE_ENTITY, "The quantity is out of range";
    /// Somebody changed the quantity after you saw it. `quote` shows what your purchase would be now;
    /// look at it and decide again.
    QuantityChanged = "quantity-changed", CONFLICT, "The quantity has changed";
    /// The call must carry an `Idempotency-Key` header of 1 to 255 printable ASCII characters, a new one for
    /// each act, so that it can be repeated safely.
    IdempotencyKeyRequired = "idempotency-key-required", BAD_REQUEST, "An idempotency key is required";
    /// The idempotency key was used for another request. Use a new key for a new act.
    IdempotencyKeyReused = "idempotency-key-reused", UNPROCESSABLE_ENTITY, "The idempotency key was used before";
    /// What you were quoted no longer holds, or it has expired. `quote` is what holds now; repeat the purchase
    /// with it.
    PriceChanged = "price-changed", CONFLICT, "The price has changed";
    /// The purchase cannot be undone: `reason` is `too_late`, `later_purchase` (undo `purchase` first), `used`, `changed`,
    /// `invoiced` or `not_kept`. Lower the quantity or cancel instead; what is paid stays usable to the end of the month.
    CannotBeUndone = "cannot-be-undone", CONFLICT, "The purchase cannot be undone";
    /// Another purchase of the same offers waits for its payment. Wait for `purchase` to be completed or
    /// released.
    PurchaseInProgress = "purchase-in-progress", CONFLICT, "A purchase is in progress";
    /// The payment was declined; `reason` says why. If there is a `url`, the payer can authenticate there.
    PaymentDeclined = "payment-declined", PAYMENT_REQUIRED, "The payment was declined";
    /// The purchase would bring a month to `would_be`, which is over `budget`. The subscription's owner can raise it.
    BudgetExceeded = "budget-exceeded", CONFLICT, "The budget would be exceeded";
    /// The request is not what this call takes. Each of `errors` says where, as a JSON pointer into the
    /// body, and what is wrong.
    InvalidRequest = "invalid-request", UNPROCESSABLE_ENTITY, "The request is not valid";
    /// The call needs to know who you are. Send `Authorization: Bearer` with a token that is in force.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "Not signed in";
    /// There were too many calls. Wait as many seconds as `Retry-After` says.
    TooManyRequests = "too-many-requests", TOO_MANY_REQUESTS, "Too many requests";
    /// The server cannot answer at the moment. Repeat the call, with the same idempotency key, after as many
    /// seconds as `Retry-After` says.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Unavailable at the moment";
    /// The address is right, but not for this method. `Allow` lists those it takes.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    /// The body must be JSON, sent as `Content-Type: application/json` and not compressed.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type";
    /// The fault is ours, and it is logged. Give the operator the request id in `instance`.
    InternalError = "internal-error", INTERNAL_SERVER_ERROR, "Internal error";
}

impl Slug {
    /// The kind of this name.
    pub fn find(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == slug)
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
