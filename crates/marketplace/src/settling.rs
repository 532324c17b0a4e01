//! What is written of a purchase that is paid at once, in the transaction of the till that decided it and after all else
//! that it waits and what it holds, its payment, and its invoice, whose number's counter is the last lock.

use crate::book::Book;
use crate::invoicing::{OfPurchase, issue_for_purchase};
use crate::pending::{Asked, Collects, Paid, Released, would_create};
use billing::collection::{self, Desk};
use kernel::{IdSource, Occasion, PaymentId, SubscriptionId, SubscriptionRole, Timestamp};
use serde_json::json;
use store::subscriptions::SubscriptionRow;
use store::{Actor, NewEvent, StoreError, Tx, audit, collections, payments, subscriptions};

/// Writes what the commands of a batch left, and what it tells.
///
/// # Errors
/// The store's.
pub(crate) async fn write(
    tx: &Tx,
    book: &Book,
    all: Vec<Collects>,
    at: Timestamp,
    ids: &mut IdSource,
) -> Result<(), StoreError> {
    let source = ids.clone();
    let mut new_id = || source.clone().uuid(at);
    let mut desk = Desk { tx, at, actor: Actor::System, new_id: &mut new_id, events: Vec::new() };
    for one in &all {
        match one {
            Collects::Asked(asked) => ask(&mut desk, asked).await?,
            Collects::Released(released) => release(&mut desk, released).await?,
            Collects::Paid(_) => {}
        }
    }
    for one in all {
        if let Collects::Paid(paid) = one {
            pay(&mut desk, book, *paid).await?;
        }
    }
    let events = desk.events;
    if events.is_empty() {
        return Ok(());
    }
    audit::append(tx, events, ids, at).await
}

async fn ask(desk: &mut Desk<'_>, asked: &Asked) -> Result<(), StoreError> {
    let Asked { row, token, amount, held } = asked;
    collections::begin(desk.tx, row, held).await?;
    let token = match token {
        Some(token) => token.clone(),
        None => payer(desk.tx, row.subscription).await?.payment_token,
    };
    collection::ask_for_purchase(desk, (row.payment, row.purchase), row.subscription, token, *amount).await
}

/// A payment of a purchase that was released comes in for a payer that the purchase would have created: the payer comes into
/// being, with the money as its credit, which is the next step of the caller. For all other payments nothing is done.
///
/// # Errors
/// The store's.
pub async fn create_payer(desk: &mut Desk<'_>, payment: PaymentId) -> Result<(), StoreError> {
    let Some(row) = payments::find(desk.tx, payment).await? else { return Ok(()) };
    let Some(purchase) = row.purchase else { return Ok(()) };
    if subscriptions::find(desk.tx, row.subscription, None).await?.is_some() {
        return Ok(());
    }
    let released = collections::find(desk.tx, purchase).await?;
    let Some((data, owner)) = released.and_then(|released| would_create(&released.plan)) else { return Ok(()) };
    let created = data.row(row.subscription, desk.at);
    subscriptions::insert(desk.tx, &created, "", &owner.to_string()).await?;
    subscriptions::set_role(desk.tx, created.id, owner, SubscriptionRole::Owner).await?;
    collections::forget_plan(desk.tx, purchase).await?;
    let public = json!({
        "subscription": created.id, "owner": owner, "kind": created.kind, "status": created.status,
        "country": created.country, "currency": created.currency, "payment_method": created.payment_method,
        "spending_limit": created.spending_limit, "marketplace_enabled": created.marketplace_enabled,
    });
    desk.events.push(NewEvent {
        kind: "subscription.created",
        organization: None,
        actor: desk.actor,
        at: desk.at,
        public: public.to_string(),
        private: Some(json!({"name": created.name, "profile": data.profile()}).to_string()),
    });
    Ok(())
}

async fn payer(tx: &Tx, id: SubscriptionId) -> Result<SubscriptionRow, StoreError> {
    let found = subscriptions::find(tx, id, None).await?;
    found.map(|(row, _)| row).ok_or_else(|| StoreError::corrupt(format!("{id} pays, and is not there")))
}

async fn pay(desk: &mut Desk<'_>, book: &Book, paid: Paid) -> Result<(), StoreError> {
    let Paid { settling, reference, invoice, lines, answer, found } = paid;
    collections::complete(desk.tx, settling.purchase, (&answer, &found), desk.at).await?;
    let payer = payer(desk.tx, settling.payer).await?;
    let purchase = OfPurchase { invoice, payer: &payer, bill: Occasion::Purchase(settling.purchase), lines };
    let (invoice, event) = issue_for_purchase(desk.tx, &book.policy.terms, &book.catalogue, purchase, desk.at).await?;
    desk.events.push(event);
    collection::pay_purchase(desk, settling.payment, &reference, &invoice).await
}

async fn release(desk: &mut Desk<'_>, released: &Released) -> Result<(), StoreError> {
    let Released { settling, reason, url, declined, plan, answer } = released;
    collections::release(desk.tx, settling.purchase, reason, (plan, answer), desk.at).await?;
    if *declined { collection::decline_purchase(desk, settling.payment, reason, url.as_deref()).await } else { Ok(()) }
}
