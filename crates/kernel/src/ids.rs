//! Ids: a UUIDv7 outside as `org_` and 26 characters of lower case Crockford base32, so that they sort as they were made,
//! name their kind and cannot be mistaken for each other. [`IdSource`] makes them from handed-in time and randomness.

use std::fmt::{self, Write};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::text::TextError;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ENCODED_LENGTH: usize = 26;
const BITS: u32 = 5;

/// What all ids have in common, for code that is generic over them.
pub trait Id: Copy + Ord + fmt::Display + FromStr<Err = TextError> {
    /// The word before the underscore.
    const PREFIX: &'static str;
    /// The id with this value.
    fn from_uuid(uuid: Uuid) -> Self;
    /// Its value, as the database keeps it.
    fn uuid(self) -> Uuid;
}

macro_rules! ids {
    ($($name:ident $prefix:literal $what:literal),+ $(,)?) => {$(
        #[doc = concat!("Names ", $what, ": `", $prefix, "_…`.")]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The word before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// The id with this value.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Its value, as the database keeps it.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl Id for $name {
            const PREFIX: &'static str = $prefix;

            fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "_"))?;
                encode(self.0.as_u128(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = TextError;

            fn from_str(text: &str) -> Result<Self, TextError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(|value| Self(Uuid::from_u128(value)))
                    .ok_or(TextError::new(concat!("must be an id that begins with ", $prefix, "_")))
            }
        }

        string_serde!($name);
    )+};
}

ids! {
    OrganizationId "org" "an organization",
    SubscriptionId "sub" "a subscription",
    OfferId "off" "an offer",
    PurchaseId "pur" "a purchase",
    ChargeId "chg" "a charge",
    TransferId "trf" "a transfer between two ledger accounts",
    EventId "evt" "an event",
    BlockId "blk" "a block of events, those of one commit",
    UserId "usr" "a user",
    PriceId "prc" "a version of a price",
    LinkId "lnk" "a billing link",
    ServiceKeyId "key" "a service key",
    PublisherId "pub" "a publisher",
    InvoiceId "inv" "an invoice",
    PaymentId "pay" "a payment",
    AllocationId "alc" "what of a payment or credit went to an invoice",
    CreditNoteId "crn" "a credit note",
    RefundId "rfd" "what was paid back of a payment",
    CreditId "crd" "a credit that an operator granted",
    CheckoutId "chk" "a hosted checkout",
    UsageBatchId "use" "what was counted of a report of metered use for one organization",
}

fn encode(value: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    (0..ENCODED_LENGTH).rev().zip((0..=125).rev().step_by(5)).try_for_each(|(_, shift)| {
        let digit = usize::try_from((value >> shift) & 31).unwrap_or(0);
        f.write_char(char::from(ALPHABET.get(digit).copied().unwrap_or(b'0')))
    })
}

/// `None` unless the text is exactly what [`encode`] writes for some value.
fn decode(text: &str) -> Option<u128> {
    if text.len() != ENCODED_LENGTH {
        return None;
    }
    text.bytes().try_fold(0u128, |value, byte| {
        let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
        // 26 × 5 bits are two more than a UUID has: what they would hold is refused, not dropped.
        let room = value.checked_mul(1 << BITS)?;
        Some(room | u128::try_from(digit).ok()?)
    })
}

/// Makes ids and secrets. Seeded, it makes the same ones again; one source never makes two ids out of order, whichever of its
/// clones makes them.
#[derive(Clone, Debug)]
pub struct IdSource(Arc<Mutex<Source>>);

#[derive(Debug)]
struct Source {
    random: StdRng,
    millis: u64,
    tail: u128,
}

/// The bits of a UUIDv7 that are neither time, version nor variant: 12 before the variant, 62 behind it.
const TAIL_BITS: u32 = 74;
const LOW_BITS: u32 = 62;
const MILLIS_MAX: u64 = (1 << 48) - 1;

impl IdSource {
    /// For tests and simulations: the same seed and instants give the same ids.
    pub fn seeded(seed: u64) -> Self {
        Self::new(StdRng::seed_from_u64(seed))
    }

    /// Seeded from the operating system's randomness, fit for secrets.
    pub fn from_os() -> Self {
        Self::new(StdRng::from_os_rng())
    }

    fn new(random: StdRng) -> Self {
        Self(Arc::new(Mutex::new(Source { random, millis: 0, tail: 0 })))
    }

    /// The next UUIDv7 (RFC 9562), greater than all this source made before, even where `at` stands still or falls back.
    /// Instants outside 1970 to 10889 count as the nearest within.
    pub fn uuid(&mut self, at: Timestamp) -> Uuid {
        self.source().uuid(at)
    }

    /// The next id of the kind that is asked for.
    pub fn next<I: Id>(&mut self, at: Timestamp) -> I {
        I::from_uuid(self.uuid(at))
    }

    /// `N` random bytes, for secrets, nonces and salts.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        self.source().bytes()
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn uuid(&mut self, at: Timestamp) -> Uuid {
        let now = u64::try_from(at.timestamp_millis()).unwrap_or(0).min(MILLIS_MAX);
        let step = u128::from(self.random.next_u32()) + 1;
        // Within a millisecond the random part grows by a random step: in order, and still not to be guessed.
        if now > self.millis {
            self.restart(now);
        } else if (self.tail + step) >> TAIL_BITS == 0 {
            self.tail += step;
        } else {
            self.restart(self.millis.saturating_add(1));
        }
        let high = self.tail >> LOW_BITS;
        let low = self.tail & ((1 << LOW_BITS) - 1);
        Uuid::from_u128(u128::from(self.millis) << 80 | 7 << 76 | high << 64 | 2 << 62 | low)
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    fn restart(&mut self, millis: u64) {
        self.millis = millis;
        // One bit is left free, so that there is room to grow within the millisecond.
        self.tail = u128::from_be_bytes(self.bytes()) >> (128 - TAIL_BITS + 1);
    }
}
