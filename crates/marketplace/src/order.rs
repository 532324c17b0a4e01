//! What a buyer asks for, as the wire says it and as the decision takes it.

use billing::NewSubscription;
use billing::payment::Outcome;
use kernel::{
    Currency, IdempotencyKey, Month, OrganizationId, PaymentId, PurchaseId, SubscriptionId, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Most items in one order.
pub const MOST_ITEMS: usize = 50;

/// One item of an order, as the wire says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemRequest {
    /// The offer, by id or slug.
    pub offer: String,
    /// The new total of paid units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// What the buyer saw as the total for next month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Switches metered use on or off, instead of a quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metered: Option<Metered>,
}

/// Metered use, switched on or off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metered {
    /// On or off.
    pub on: bool,
    /// Most units a month; none for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<i64>,
}

/// Who shall pay, as the wire says it: one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BillingRequest {
    /// An existing subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionId>,
    /// The data of a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_subscription: Option<NewSubscription>,
}

/// Body of `POST /v1/purchases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurchaseRequest {
    /// The organization, by id or slug.
    pub organization: String,
    /// What is bought.
    pub items: Vec<ItemRequest>,
    /// Who shall pay; may be left out where billing is set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<BillingRequest>,
    /// The quote that must still hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
}

/// Body of `POST /v1/quotes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuoteRequest {
    /// The organization, by id or slug.
    pub organization: String,
    /// What would be bought.
    pub items: Vec<ItemRequest>,
    /// Who would pay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<BillingRequest>,
    /// The currency to show prices in while nobody pays yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
}

/// What one item asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A new total of paid units, and what was seen as next.
    Quantity {
        /// The new total.
        total: i64,
        /// What the buyer saw.
        from: Option<i64>,
    },
    /// Metered use.
    Metered(Metered),
}

/// Who shall pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BillingChoice {
    /// An existing subscription.
    Existing(SubscriptionId),
    /// A new one.
    New(NewSubscription),
}

/// An order that can be decided.
#[derive(Clone, Debug)]
pub struct Order {
    /// For whom.
    pub organization: OrganizationId,
    /// What: the offer as it was named, and what is asked of it; at least one.
    pub items: Vec<(String, Ask)>,
    /// Who shall pay.
    pub billing: Option<BillingChoice>,
    /// The currency to show prices in while nobody pays yet.
    pub currency: Option<Currency>,
}

/// A field of the request that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// JSON pointer to it.
    pub pointer: String,
    /// Why.
    pub detail: String,
}

impl FieldFault {
    /// A fault at a pointer.
    #[must_use]
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

impl Order {
    /// Parses what the wire said for an organization that was found.
    ///
    /// # Errors
    /// Each field that cannot be taken.
    pub fn parse(
        organization: OrganizationId,
        items: Vec<ItemRequest>,
        billing: Option<BillingRequest>,
        currency: Option<Currency>,
    ) -> Result<Self, Vec<FieldFault>> {
        let mut faults = Vec::new();
        if items.is_empty() || items.len() > MOST_ITEMS {
            faults.push(FieldFault::new("/items", format!("holds 1 to {MOST_ITEMS} items")));
        }
        let mut parsed = Vec::with_capacity(items.len());
        for (place, item) in items.into_iter().enumerate().take(MOST_ITEMS) {
            let ask = match (item.quantity, item.metered, item.from) {
                (Some(total), None, from) => Ask::Quantity { total, from },
                (None, Some(metered), None) => Ask::Metered(metered),
                (None, Some(_), Some(_)) => {
                    faults
                        .push(FieldFault::new(format!("/items/{place}/from"), "goes with quantity, not with metered"));
                    continue;
                }
                _ => {
                    let detail = "names either quantity, the new total of paid units, or metered";
                    faults.push(FieldFault::new(format!("/items/{place}"), detail));
                    continue;
                }
            };
            parsed.push((item.offer, ask));
        }
        let billing = match billing {
            None => None,
            Some(BillingRequest { subscription: Some(id), new_subscription: None }) => {
                Some(BillingChoice::Existing(id))
            }
            Some(BillingRequest { subscription: None, new_subscription: Some(data) }) => Some(BillingChoice::New(data)),
            Some(_) => {
                faults.push(FieldFault::new("/billing", "names either subscription or new_subscription"));
                None
            }
        };
        if faults.is_empty() { Ok(Self { organization, items: parsed, billing, currency }) } else { Err(faults) }
    }

    /// The subscription that the order names.
    #[must_use]
    pub fn chosen(&self) -> Option<SubscriptionId> {
        match &self.billing {
            Some(BillingChoice::Existing(id)) => Some(*id),
            _ => None,
        }
    }
}

/// Hash of a request as it was parsed, so that its spelling does not matter.
#[must_use]
pub fn request_hash(request: &impl Serialize) -> [u8; 32] {
    let text = serde_json::to_vec(request).unwrap_or_default();
    Sha256::digest(text).into()
}

/// Who sends a command, from where.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The person.
    pub user: UserId,
    /// Where the request came from; personal.
    pub address: Option<String>,
}

impl Caller {
    /// Where time does it, and nobody.
    fn nobody() -> Self {
        Self { user: UserId::from_uuid(uuid::Uuid::nil()), address: None }
    }
}

/// A purchase that waits for its payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settling {
    /// The purchase.
    pub purchase: PurchaseId,
    /// What the provider is asked for.
    pub payment: PaymentId,
    /// For whom.
    pub organization: OrganizationId,
    /// Who pays, or will.
    pub payer: SubscriptionId,
}

/// A command for the till.
#[derive(Clone, Debug)]
pub struct Command {
    /// Who sends it.
    pub caller: Caller,
    /// What to do.
    pub act: Act,
}

/// What a command does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Buys.
    Purchase {
        /// What; boxed, for it is much larger than other acts.
        order: Box<Order>,
        /// The quote that must still hold.
        quote: Option<String>,
        /// The caller's key.
        key: IdempotencyKey,
        /// Hash of the request.
        request_hash: [u8; 32],
    },
    /// Sets up billing ahead of buying.
    SetUpBilling {
        /// For whom.
        organization: OrganizationId,
        /// Who shall pay.
        subscription: SubscriptionId,
    },
    /// Brings an organization to a month that has begun.
    Turn {
        /// Which.
        organization: OrganizationId,
        /// The month, at the latest the present one.
        until: Month,
    },
    /// Records what came of asking for the payment of a purchase: it is completed or released.
    Settle {
        /// Which.
        settling: Settling,
        /// What came of it.
        outcome: Outcome,
    },
    /// Resumes what is suspended, if the payer pays again.
    Resume {
        /// Of whom.
        organization: OrganizationId,
    },
    /// Undoes a purchase.
    Undo {
        /// For whom it was.
        organization: OrganizationId,
        /// Who paid.
        subscription: SubscriptionId,
        /// Which.
        purchase: PurchaseId,
        /// The key that the answer is kept under, if the caller sent one.
        key: Option<IdempotencyKey>,
    },
    /// Installs an extension or removes it.
    Install {
        /// For whom.
        organization: OrganizationId,
        /// The offer as it was named.
        offer: String,
        /// Install or remove.
        on: bool,
    },
}

impl Command {
    /// The month that its organization is brought to before it is decided: whoever comes first turns it.
    #[must_use]
    pub fn month(&self, now: Timestamp) -> Month {
        match self.act {
            Act::Turn { until, .. } => until.min(Month::of(now)),
            _ => Month::of(now),
        }
    }

    /// Brings an organization to a month that has begun; nobody asks for it.
    #[must_use]
    pub fn turn(organization: OrganizationId, until: Month) -> Self {
        Self { caller: Caller::nobody(), act: Act::Turn { organization, until } }
    }

    /// Resumes what is suspended of an organization; nobody asks for it.
    #[must_use]
    pub fn resume(organization: OrganizationId) -> Self {
        Self { caller: Caller::nobody(), act: Act::Resume { organization } }
    }

    /// Records what came of asking for the payment of a purchase; nobody asks for it.
    #[must_use]
    pub fn settle(settling: Settling, outcome: Outcome) -> Self {
        Self { caller: Caller::nobody(), act: Act::Settle { settling, outcome } }
    }

    /// The purchase that it settles.
    #[must_use]
    pub fn settles(&self) -> Option<PurchaseId> {
        match &self.act {
            Act::Settle { settling, .. } => Some(settling.purchase),
            _ => None,
        }
    }

    /// What it needs to know.
    #[must_use]
    pub fn ask(&self) -> store::till::Ask {
        let actor = self.caller.user;
        let (key, chosen) = match &self.act {
            Act::Purchase { order, key, .. } => (key.as_str().to_owned(), order.chosen()),
            Act::SetUpBilling { subscription, .. } => (String::new(), Some(*subscription)),
            Act::Undo { subscription, .. } => (String::new(), Some(*subscription)),
            Act::Settle { settling, .. } => (String::new(), Some(settling.payer)),
            Act::Install { .. } | Act::Turn { .. } | Act::Resume { .. } => (String::new(), None),
        };
        // What is charged by itself is charged whatever else its payer owes.
        let bill = !matches!(self.act, Act::Turn { .. } | Act::Resume { .. } | Act::Settle { .. });
        store::till::Ask { organization: self.organization(), actor, key, chosen, bill }
    }

    /// The purchase that it undoes.
    #[must_use]
    pub fn undoes(&self) -> Option<PurchaseId> {
        match &self.act {
            Act::Undo { purchase, .. } => Some(*purchase),
            _ => None,
        }
    }

    /// For whom it is.
    #[must_use]
    pub fn organization(&self) -> OrganizationId {
        match &self.act {
            Act::Purchase { order, .. } => order.organization,
            Act::SetUpBilling { organization, .. }
            | Act::Install { organization, .. }
            | Act::Undo { organization, .. }
            | Act::Turn { organization, .. }
            | Act::Resume { organization } => *organization,
            Act::Settle { settling, .. } => settling.organization,
        }
    }
}
