//! The second step: who could pay, ineligible ones with their reasons, and the form of a new subscription.

use super::{Buyer, ROWS, Situation, Step};
use crate::pages::payer_form::PayerForm;
use crate::pages::problems::Why;
use crate::pages::wares::Tag;
use crate::problem::Problem;
use crate::routes::paging;
use crate::routes::payers::{Picked, Picker};
use kernel::SubscriptionId;
use marketplace::catalogue::{Catalogue, Offer};
use marketplace::order::ItemRequest;
use std::sync::Arc;

/// A subscription to charge.
pub struct PayerChoice {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Kind, currency and status.
    pub detail: String,
    /// Whether it can pay, in a word.
    pub tag: Tag,
    /// Why not, each with what to do.
    pub why: Vec<Why>,
    /// Whether it can pay.
    pub eligible: bool,
    /// Whether it is the one chosen.
    pub chosen: bool,
}

/// Who could pay.
#[derive(Default)]
pub struct Payers {
    /// The subscriptions of a page.
    pub payers: Vec<PayerChoice>,
    /// Address of the next page; empty on the last.
    pub more: String,
    /// The form of a new one, for who may create one.
    pub form: Option<PayerForm>,
    /// Whether a new one is the choice.
    pub new_chosen: bool,
    /// The choice in words, in later steps.
    pub chosen_words: String,
}

impl Situation<'_> {
    /// Who could pay, ineligible ones with their reasons, and the form of a new one.
    pub(super) async fn picker(
        &self,
        step: Step,
        buyer: Option<&Buyer>,
        catalogue: &Catalogue,
        items: &[(Arc<Offer>, ItemRequest)],
    ) -> Result<Payers, Problem> {
        let Some(buyer) = buyer.filter(|buyer| buyer.standing.linked.is_none()) else { return Ok(Payers::default()) };
        let chosen = self.checkout.draft.billing.as_ref();
        let drafted = chosen.and_then(|billing| billing.new_subscription.as_ref());
        if step != Step::Billing {
            let name = match (chosen.and_then(|billing| billing.subscription), drafted) {
                (Some(id), _) => self.linked(id).await?.words,
                (None, Some(data)) => format!("{}, new with this purchase ({})", data.name, data.currency),
                (None, None) => String::new(),
            };
            return Ok(Payers { chosen_words: name, ..Payers::default() });
        }
        let organization = &buyer.standing.organization;
        let offers = items.iter().map(|(offer, _)| Arc::clone(offer)).collect();
        let picker = Picker { organization: organization.id, user: self.visitor.id, offers };
        let q = paging::search(Some(self.query.q.clone()))?;
        let after = paging::after(self.query.after.as_deref())?;
        let (page, can_create) = picker.page(self.state, &q, after, ROWS).await?;
        let existing = chosen.and_then(|billing| billing.subscription);
        let payers: Vec<_> = page.data.into_iter().map(|one| payer_choice(one, existing)).collect();
        let slugs: Vec<&str> = items.iter().map(|(offer, _)| offer.slug.as_str()).collect();
        let fresh = || PayerForm::new(self.state, catalogue, &slugs, &organization.name, organization.country);
        let form = match (&self.typed, drafted) {
            (Some(typed), _) => typed.clone(),
            (None, Some(data)) => fresh().chosen(data),
            (None, None) => fresh(),
        };
        let form = match &self.refused {
            Some(problem) => form.marked(problem),
            None => form,
        };
        let usable = payers.iter().any(|payer| payer.eligible);
        let new_chosen = self.typed.is_some() || drafted.is_some() || (existing.is_none() && !usable);
        Ok(Payers {
            payers,
            more: self.more(Step::Billing, page.next),
            form: can_create.then_some(form),
            new_chosen,
            chosen_words: String::new(),
        })
    }
}

fn payer_choice(one: Picked, chosen: Option<SubscriptionId>) -> PayerChoice {
    let tag = if one.eligible { Tag::new("good", "Ready") } else { Tag::new("warn", "Can’t pay for this") };
    let status = if one.status == "active" { String::new() } else { format!(" · {}", one.status.replace('_', " ")) };
    PayerChoice {
        id: one.id.to_string(),
        name: one.name,
        detail: format!("{} · {}{status}", one.kind.replace('_', " "), one.currency),
        tag,
        why: one.reasons.iter().map(|one| Why { message: one.message(), remedy: one.remedy() }).collect(),
        eligible: one.eligible,
        chosen: chosen == Some(one.id) && one.eligible,
    }
}
