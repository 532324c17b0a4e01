//! A quote and a purchase as clients see them, and the seal that lets a quote be checked without being stored.

use crate::budget::BudgetView;
use billing::{Reason, Totals};
use chrono::{NaiveDate, TimeDelta};
use hmac::{Hmac, Mac};
use kernel::{ChargeId, Money, OrganizationId, PurchaseId, Step, SubscriptionId, Timestamp, UserId, micros, rfc3339};
use serde::{Serialize, Serializer};
use sha2::Sha256;

/// How long a quote holds.
pub const QUOTE_MINUTES: i64 = 15;

/// Serializes an instant as the contract writes them.
pub(crate) fn instant<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

/// Before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FromTo {
    /// Before.
    pub from: i64,
    /// After.
    pub to: i64,
}

/// One line of a quote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineView {
    /// The offer's slug.
    pub offer: String,
    /// Paid units of the next month, before and after.
    pub quantity: FromTo,
    /// Units that every organization has free.
    pub included: i64,
    /// Units that may be used, before and right after.
    pub usable: FromTo,
    /// This purchase's part of this month, before tax.
    pub now: Money,
    /// A full month of this offer at the new total, before tax.
    pub renewal: Money,
    /// How it is worked out.
    pub why: Vec<Step>,
}

/// Sums with their day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DatedTotals {
    /// The day.
    pub on: NaiveDate,
    /// The sums.
    #[serde(flatten)]
    pub totals: Totals,
}

kernel::string_enum! {
    /// What a purchase does to billing.
    pub enum BillingOutcome {
        /// Billing is set up.
        Linked = "linked",
        /// Nobody pays yet, and the request names nobody.
        SetupRequired = "setup_required",
        /// The chosen subscription will be linked.
        WillLink = "will_link",
        /// A subscription will be created and linked.
        WillCreate = "will_create",
    }
}

/// What a purchase would cost and need, at this instant; no effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuoteView {
    /// Its seal.
    pub id: String,
    /// When it was worked out.
    #[serde(serialize_with = "instant")]
    pub at: Timestamp,
    /// Until when a purchase can name it.
    #[serde(serialize_with = "instant")]
    pub expires_at: Timestamp,
    /// What it says.
    #[serde(flatten)]
    pub body: QuoteBody,
}

/// What a quote says, and a purchase keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuoteBody {
    /// For whom.
    pub organization: OrganizationId,
    /// Who pays, where that one exists.
    pub subscription: Option<SubscriptionId>,
    /// What it does to billing.
    pub billing: BillingOutcome,
    /// Line by line.
    pub lines: Vec<LineView>,
    /// Sums of the lines' part of this month.
    pub now: Totals,
    /// Sums of the lines' full months.
    pub renewal: DatedTotals,
    /// The payer's next invoice as it would then be, all lines.
    pub next_invoice: DatedTotals,
    /// When it is collected: `now` or `on_invoice`.
    pub collected: &'static str,
    /// Until when it can be undone, if it is bought now.
    #[serde(serialize_with = "instant")]
    pub undo_until: Timestamp,
    /// What of `now` stays charged then, before tax.
    pub undo_keeps: Money,
    /// Whether the purchase would be accepted.
    pub allowed: bool,
    /// Why not.
    pub reasons: Vec<Reason>,
    /// The budgets that it counts against, as far as the caller may see them; a purchase keeps none of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<BudgetView>,
}

/// A purchase: its quote, kept, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct PurchaseView {
    /// Its id.
    pub id: PurchaseId,
    /// When.
    #[serde(serialize_with = "instant")]
    pub at: Timestamp,
    /// Until when its quote would have held.
    #[serde(serialize_with = "instant")]
    pub expires_at: Timestamp,
    /// The quote.
    #[serde(flatten)]
    pub body: QuoteBody,
    /// `completed` in the stored answer, or `pending` until it is paid; [`shown`] says what it is.
    pub state: &'static str,
    /// Whether a subscription was created.
    pub subscription_created: bool,
    /// Whether billing was set up by it.
    pub billing_set_up: bool,
    /// The charges that its lines became; `purser explain` shows each.
    pub charges: Vec<ChargeId>,
    /// Who bought.
    pub purchased_by: UserId,
}

/// What came of a purchase's undoing.
#[derive(Clone, Debug, Serialize)]
pub struct Undone {
    /// When.
    #[serde(serialize_with = "instant")]
    pub at: Timestamp,
    /// Who undid it.
    pub by: UserId,
    /// What of its charges stays charged, before tax.
    pub kept: Money,
    /// The charges that take its own back; `purser explain` shows each.
    pub charges: Vec<ChargeId>,
    /// Whether billing is no longer set up, since nothing else used the link that it made.
    pub billing_removed: bool,
}

/// A purchase as it stands: its stored answer, and what came of its undoing, JSON, empty while it stands.
#[must_use]
pub fn shown(answer: &str, undone: &str) -> String {
    if undone.is_empty() {
        return answer.to_owned();
    }
    let parsed = serde_json::from_str::<serde_json::Value>(answer).ok().zip(serde_json::from_str(undone).ok());
    let Some((mut purchase, undone)) = parsed else { return answer.to_owned() };
    if let Some(members) = purchase.as_object_mut() {
        members.insert("state".to_owned(), "undone".into());
        members.insert("undone".to_owned(), undone);
    }
    purchase.to_string()
}

/// A stored answer for a reader who may not see the payer's bill: its `next_invoice` is of its own lines alone.
///
/// # Errors
/// Where it is no answer.
pub fn alone(answer: &str) -> Result<String, serde_json::Error> {
    let mut purchase: serde_json::Value = serde_json::from_str(answer)?;
    let own = |part: &str, name: &str| {
        let amount = purchase.pointer(&format!("/{part}/{name}")).cloned();
        serde_json::from_value::<Money>(amount.unwrap_or_default())
    };
    // What is paid at once is not on the next invoice.
    let at_once = purchase.get("collected").is_some_and(|collected| collected == "now");
    let mut sums = Vec::new();
    for name in ["net", "tax", "total"] {
        let (now, renewal) = (own("now", name)?, own("renewal", name)?);
        let sum = if at_once { Ok(renewal) } else { now.checked_add(renewal) };
        let sum = sum.map_err(serde::ser::Error::custom)?;
        sums.push((name.to_owned(), serde_json::to_value(sum)?));
    }
    if let Some(next) = purchase.get_mut("next_invoice").and_then(serde_json::Value::as_object_mut) {
        next.extend(sums);
    }
    serde_json::to_string(&purchase)
}

/// The instant until which a quote made at `at` holds.
#[must_use]
pub fn expiry(at: Timestamp) -> Timestamp {
    at.checked_add_signed(TimeDelta::minutes(QUOTE_MINUTES)).unwrap_or(at)
}

/// What must not change between a quote and its purchase: payer, items, quantities, `now`, `renewal`.
#[derive(Serialize)]
struct Sealed<'a> {
    expires: i64,
    organization: OrganizationId,
    payer: &'a str,
    lines: Vec<(&'a str, i64, i64, Money, Money, &'a str)>,
    now: Totals,
    renewal: Totals,
    collected: &'a str,
}

/// How a metered line is switched, and its cap; empty for others. Quantities and amounts do not tell.
fn metered(line: &LineView) -> &str {
    line.why.iter().find(|step| step.step == "metered").map_or("", |step| step.detail.as_str())
}

/// The id of a quote: until when it holds, and a seal over what must not change. `payer` is the subscription, the data
/// of the one to be created, or empty.
#[must_use]
pub fn seal(key: &[u8; 32], expires: Timestamp, payer: &str, body: &QuoteBody) -> String {
    let expires = micros(expires);
    let sealed = Sealed {
        expires,
        organization: body.organization,
        payer,
        lines: body
            .lines
            .iter()
            .map(|l| (l.offer.as_str(), l.quantity.from, l.quantity.to, l.now, l.renewal, metered(l)))
            .collect(),
        now: body.now,
        renewal: body.renewal.totals,
        collected: body.collected,
    };
    let text = serde_json::to_vec(&sealed).unwrap_or_default();
    // HMAC fills a short key up with zeros to its block; doing so here makes a call that cannot fail.
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new(&block);
    mac.update(&text);
    let tag = mac.finalize().into_bytes();
    format!("quo_{expires:016x}{}", hex::encode(tag.get(..16).unwrap_or_default()))
}

/// Until when a quote holds, as its id says; none where it is no quote's id.
#[must_use]
pub fn expires(id: &str) -> Option<Timestamp> {
    let text = id.strip_prefix("quo_")?;
    if text.len() != 48 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    i64::from_str_radix(text.get(..16)?, 16).ok().map(kernel::from_micros)
}
