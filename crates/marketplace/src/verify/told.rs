//! What events and stored answers say, as far as the proof reads it.

use kernel::{ChargeId, LinkId, OfferId, OrganizationId, PaymentId, PriceId, PurchaseId, SubscriptionId, UsageBatchId};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Difference, Row};
use store::proof::Fact;

/// An entitlement after an event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct State {
    /// Paid units of the month.
    pub committed: i64,
    /// Paid units of the next month.
    pub next: i64,
    /// The month, by its first day.
    pub month: String,
    /// Exact sum of the month's increases.
    pub accrued: String,
    /// What of it was charged, minor units.
    pub charged: i64,
    /// Whether it is installed.
    pub installed: bool,
    /// Whether metered use is on.
    pub metered: bool,
    /// Most metered units.
    pub cap: i64,
    /// Rises with every change.
    pub version: i64,
}

/// Quantities before an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Before {
    /// Paid units of the month.
    pub committed: i64,
    /// Paid units of the next month.
    pub next: i64,
}

/// One line of a purchase.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    /// Of what.
    pub offer: OfferId,
    /// The charge, if anything was charged.
    pub charge: Option<ChargeId>,
    /// Its amount, as people write it.
    pub amount: String,
    /// What was there.
    pub before: Before,
    /// What is there then.
    pub after: State,
}

/// `purchase.completed`.
#[derive(Clone, Debug, Deserialize)]
pub struct Completed {
    /// The purchase.
    pub purchase: PurchaseId,
    /// For whom.
    pub organization: OrganizationId,
    /// Who pays.
    pub subscription: SubscriptionId,
    /// Whether the payer came into being by it.
    pub subscription_created: bool,
    /// The link that came into being by it.
    pub link: Option<LinkId>,
    /// The payer's currency.
    pub currency: kernel::Currency,
    /// SHA-256 of the answer, hex.
    pub answer: String,
    /// SHA-256 of the caller's key and the request's hash, hex.
    pub request: String,
    /// SHA-256 of what it found, hex; none of what was bought before that was kept.
    pub found: Option<String>,
    /// When it was decided, RFC 3339, where it was paid before it was made.
    #[serde(default)]
    pub decided_at: Option<String>,
    /// What was bought.
    pub lines: Vec<Line>,
}

/// `purchase.undone`.
#[derive(Clone, Debug, Deserialize)]
pub struct Undone {
    /// The purchase.
    pub purchase: PurchaseId,
    /// For whom.
    pub organization: OrganizationId,
    /// Who paid.
    pub subscription: SubscriptionId,
    /// The payer's currency.
    pub currency: kernel::Currency,
    /// The link that ended by it.
    pub link: Option<LinkId>,
    /// SHA-256 of what the purchase says of it, hex.
    pub undone: String,
    /// What went back.
    pub lines: Vec<UndoneLine>,
}

/// One offer of a purchase that was undone.
#[derive(Clone, Debug, Deserialize)]
pub struct UndoneLine {
    /// Of what.
    pub offer: OfferId,
    /// The charge that was taken back.
    pub reverses: Option<ChargeId>,
    /// The charge that takes it back.
    pub charge: Option<ChargeId>,
    /// Its amount, as people write it.
    pub amount: String,
    /// What is there then.
    pub after: State,
}

/// `purchase.pending`.
#[derive(Clone, Debug, Deserialize)]
pub struct Pending {
    /// The purchase.
    pub purchase: PurchaseId,
    /// For whom.
    pub organization: OrganizationId,
    /// Who pays, or will.
    pub subscription: SubscriptionId,
    /// What the provider is asked for.
    pub payment: PaymentId,
    /// Whether it sets up billing.
    pub links: bool,
    /// SHA-256 of the answer, hex.
    pub answer: String,
    /// SHA-256 of the caller's key and the request's hash, hex.
    pub request: String,
    /// What it holds.
    pub offers: Vec<HeldTold>,
}

/// An offer that a pending purchase holds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct HeldTold {
    /// Which.
    pub offer: OfferId,
    /// What it would add to the month, minor units before tax.
    pub amount: i64,
    /// What a full month would cost, minor units before tax.
    pub renewal: i64,
}

/// `purchase.released`.
#[derive(Clone, Debug, Deserialize)]
pub struct Released {
    /// The purchase.
    pub purchase: PurchaseId,
    /// For whom.
    pub organization: OrganizationId,
    /// Why.
    pub reason: String,
}

/// `month.turned`.
#[derive(Clone, Debug, Deserialize)]
pub struct Turned {
    /// Whose.
    pub organization: OrganizationId,
    /// Who pays.
    pub subscription: Option<SubscriptionId>,
    /// The payer's currency.
    pub currency: Option<kernel::Currency>,
    /// The month that came, by its first day.
    pub month: String,
    /// Percent; empty for none.
    pub tax_rate: String,
    /// Whether the payer could not pay.
    pub suspended: bool,
    /// What was renewed or ended.
    pub lines: Vec<Line>,
    /// Metered use of earlier months, which was charged.
    #[serde(default)]
    pub usage: Vec<Closed>,
}

impl Turned {
    /// What was charged.
    pub fn charges(&self) -> impl Iterator<Item = ChargeId> {
        let renewed = self.lines.iter().filter_map(|line| line.charge);
        renewed.chain(self.usage.iter().filter_map(|closed| closed.charge))
    }
}

/// `entitlements.resumed`.
#[derive(Clone, Debug, Deserialize)]
pub struct Resumed {
    /// Whose.
    pub organization: OrganizationId,
    /// Who pays.
    pub subscription: SubscriptionId,
    /// The payer's currency.
    pub currency: kernel::Currency,
    /// The month, by its first day.
    pub month: String,
    /// Percent; empty for none.
    pub tax_rate: String,
    /// What resumed.
    pub lines: Vec<Line>,
}

/// A month's use of an offer that the month's turn charged.
#[derive(Clone, Debug, Deserialize)]
pub struct Closed {
    /// Of what.
    pub offer: OfferId,
    /// The month that it was counted in, by its first day.
    pub month: String,
    /// Units.
    pub used: i64,
    /// How many of them were used in an earlier month.
    pub late: i64,
    /// How many are free.
    pub included: i64,
    /// The charge, if anything was charged.
    pub charge: Option<ChargeId>,
    /// Its amount, as people write it.
    pub amount: String,
    /// Percent; empty for none.
    pub tax_rate: String,
}

/// `usage.counted`.
#[derive(Clone, Debug, Deserialize)]
pub struct Counted {
    /// The report's rows.
    pub batch: UsageBatchId,
    /// Whose.
    pub organization: OrganizationId,
    /// Who paid for it then.
    pub subscription: SubscriptionId,
    /// What changed of its months.
    pub months: Vec<CountedMonth>,
    /// SHA-256 of the rows, hex.
    pub rows: String,
}

/// What a report changed of a month.
#[derive(Clone, Debug, Deserialize)]
pub struct CountedMonth {
    /// Of what.
    pub offer: OfferId,
    /// The month, by its first day.
    pub month: String,
    /// Usage events.
    pub events: i64,
    /// Units before.
    pub before: i64,
    /// Units after.
    pub after: i64,
    /// Late ones before.
    pub late_before: i64,
    /// Late ones after.
    pub late_after: i64,
}

/// `billing.set_up`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct SetUp {
    /// The link.
    pub link: LinkId,
    /// Whose.
    pub organization: OrganizationId,
    /// Who pays.
    pub subscription: SubscriptionId,
}

/// `extension.installed` and `extension.removed`.
#[derive(Clone, Debug, Deserialize)]
pub struct Installation {
    /// Where.
    pub organization: OrganizationId,
    /// Of what.
    pub offer: OfferId,
    /// What is there then.
    pub after: State,
}

/// `price.published`.
#[derive(Clone, Debug, Deserialize)]
pub struct Published {
    /// The version's id.
    pub price: PriceId,
    /// Of which offer.
    pub offer: OfferId,
    /// In which currency.
    pub currency: String,
    /// Its number.
    pub version: i64,
    /// First day it is in force; empty for the beginning of time.
    pub valid_from: String,
    /// SHA-256 of the stored spec, hex.
    pub spec_sha256: String,
}

/// `offer.published` and `offer.changed`.
#[derive(Clone, Debug, Deserialize)]
pub struct OfferTold {
    /// Which.
    pub offer: OfferId,
    /// Its name in addresses.
    pub slug: String,
    /// The fields that are new or changed.
    pub after: Map<String, Value>,
}

/// `publisher.changed`.
#[derive(Clone, Debug, Deserialize)]
pub struct PublisherTold {
    /// Its slug.
    pub publisher: String,
    /// Name and share.
    pub after: Map<String, Value>,
}

/// `subscription.created`.
#[derive(Clone, Debug, Deserialize)]
pub struct PayerTold {
    /// Which.
    pub subscription: SubscriptionId,
    /// Its currency, for good.
    pub currency: String,
}

/// What an event of an organization tells the proof.
#[derive(Clone, Debug)]
pub enum Told {
    /// A purchase.
    Completed(Box<Completed>),
    /// A purchase that was undone.
    Undone(Box<Undone>),
    /// A purchase that waits for its payment.
    Pending(Box<Pending>),
    /// A purchase that was not paid.
    Released(Box<Released>),
    /// A month that came.
    Turned(Box<Turned>),
    /// What was suspended and resumed.
    Resumed(Box<Resumed>),
    /// A link.
    SetUp(SetUp),
    /// Metered use that was counted.
    Counted(Box<Counted>),
    /// Installed (`true`) or removed.
    Installation(Box<Installation>, bool),
    /// Something that leaves none of the rows proven here.
    Other,
}

/// Reads the public part of an event.
///
/// # Errors
/// [`Difference`] where it does not say what an event of its kind says.
pub fn read<'a, T: Deserialize<'a>>(fact: &'a Fact) -> Result<T, Difference> {
    serde_json::from_str(&fact.public).map_err(|error| {
        Row("events", &fact.id)
            .differs(format!("{} that cannot be read ({error})", fact.kind), "what such an event says")
    })
}

impl Told {
    /// Reads an event of an organization.
    ///
    /// # Errors
    /// [`Difference`] where it does not say what an event of its kind says.
    pub fn of(fact: &Fact) -> Result<Self, Difference> {
        let told = match fact.kind.as_str() {
            "purchase.completed" => Self::Completed(Box::new(read(fact)?)),
            "purchase.undone" => Self::Undone(Box::new(read(fact)?)),
            "purchase.pending" => Self::Pending(Box::new(read(fact)?)),
            "purchase.released" => Self::Released(Box::new(read(fact)?)),
            "month.turned" => Self::Turned(Box::new(read(fact)?)),
            "entitlements.resumed" => Self::Resumed(Box::new(read(fact)?)),
            "billing.set_up" => Self::SetUp(read(fact)?),
            "usage.counted" => Self::Counted(Box::new(read(fact)?)),
            "extension.installed" => Self::Installation(Box::new(read(fact)?), true),
            "extension.removed" => Self::Installation(Box::new(read(fact)?), false),
            _ => Self::Other,
        };
        let organization = match &told {
            Self::Completed(told) => Some(told.organization),
            Self::Undone(told) => Some(told.organization),
            Self::Pending(told) => Some(told.organization),
            Self::Released(told) => Some(told.organization),
            Self::Turned(told) => Some(told.organization),
            Self::Resumed(told) => Some(told.organization),
            Self::SetUp(told) => Some(told.organization),
            Self::Installation(told, _) => Some(told.organization),
            Self::Counted(told) => Some(told.organization),
            Self::Other => fact.organization,
        };
        if organization != fact.organization {
            let (one, other) = (shown(fact.organization), shown(organization));
            return Err(Row("events", &fact.id).differs(format!("organization {one}"), format!("organization {other}")));
        }
        Ok(told)
    }
}

fn shown<T: std::fmt::Display>(id: Option<T>) -> String {
    id.map_or_else(|| "none".to_owned(), |id| id.to_string())
}

/// A stored answer of a purchase.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// The purchase.
    pub id: PurchaseId,
    /// When, RFC 3339.
    pub at: String,
    /// For whom.
    pub organization: OrganizationId,
    /// Who pays.
    pub subscription: Option<SubscriptionId>,
    /// What it did to billing.
    pub billing: String,
    /// What was bought.
    pub lines: Vec<AnswerLine>,
    /// Sums of what is due now.
    pub now: Sums,
    /// Sums of a full month.
    pub renewal: Sums,
    /// Its state.
    pub state: String,
    /// Whether the payer came into being by it.
    pub subscription_created: bool,
    /// Whether a link came into being by it.
    pub billing_set_up: bool,
    /// What was charged.
    pub charges: Vec<ChargeId>,
    /// Who bought.
    pub purchased_by: String,
}

/// One line of an answer.
#[derive(Clone, Debug, Deserialize)]
pub struct AnswerLine {
    /// The offer's slug.
    pub offer: String,
    /// Paid units of the next month.
    pub quantity: FromTo,
    /// Units that are free.
    pub included: i64,
    /// Units that may be used.
    pub usable: FromTo,
    /// This month's part.
    pub now: Amount,
    /// A full month.
    pub renewal: Amount,
    /// How it was worked out.
    pub why: Vec<Why>,
}

/// One step of an explanation.
#[derive(Clone, Debug, Deserialize)]
pub struct Why {
    /// Its name.
    pub step: String,
    /// Its result.
    pub value: String,
}

/// Before and after.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct FromTo {
    /// Before.
    pub from: i64,
    /// After.
    pub to: i64,
}

/// Money as an answer writes it.
#[derive(Clone, Debug, Deserialize)]
pub struct Amount {
    /// The amount.
    pub amount: String,
    /// The currency.
    pub currency: String,
}

/// Net, tax and total.
#[derive(Clone, Debug, Deserialize)]
pub struct Sums {
    /// Before tax.
    pub net: Amount,
    /// Tax.
    pub tax: Amount,
    /// Both.
    pub total: Amount,
}

impl AnswerLine {
    /// The first step of that name.
    pub fn step(&self, name: &str) -> Option<&Why> {
        self.why.iter().find(|why| why.step == name)
    }
}
