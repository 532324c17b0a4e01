//! Plays a list of steps on a market of its own, and looks after each whether everything holds.

use super::market::Market;
use super::model::{Payer, first};
use super::plan::{COUNTRIES, Choice, Jobs, PAYERS, Step};
use super::time;
use super::wares::{self, CURRENCIES, METERED, Price, WARES};
use super::watch::{self, Flaw, Looked, must};
use crate::collecting;
use crate::commands::Fault;
use crate::config::Config;
use crate::resuming;
use billing::collection::{self, Desk, TransferFault};
use billing::{NewSubscription, PaymentMethod};
use chrono::TimeDelta;
use kernel::{Month, OrganizationId, SubscriptionId, UsageId};
use marketplace::catalogue::{self, ApplyError};
use marketplace::order::{Act, Ask, BillingChoice, Caller, Command, Metered, Order};
use marketplace::till::{Answer, Failure};
use marketplace::usage::{self, Reported};
use sha2::{Digest, Sha256};
use store::fuse::Fuse;
use store::{Actor, NewEvent, StoreError, audit, invoices, subscriptions};

/// How many steps go by between two runs of the whole `verify`.
const VERIFY_EVERY: usize = 100;

/// Does something of the product until a living process answered: what was asked of a killed one is asked again.
macro_rules! until_answered {
    ($market:expr, $work:expr) => {
        loop {
            let answered = $work.await;
            if !$market.process.is_killed() {
                break answered;
            }
            $market.revive().await?;
        }
    };
}
pub(super) use until_answered;

/// What came of a history that held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    pub steps: usize,
    pub invoices: usize,
    pub kills: u64,
    /// SHA-256 of what each step came to.
    pub digest: String,
}

impl std::fmt::Display for Played {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { steps, invoices, kills, digest } = self;
        write!(f, "{steps} steps, {invoices} invoices, {kills} processes killed\nhistory: {digest}")
    }
}

/// What became of a history: it held, or what must not be, after which step.
pub type Outcome = Result<Played, (usize, Flaw)>;

/// What a step came to, in a word, or what must not be.
pub type Came = Result<Result<String, Flaw>, Fault>;

/// Plays steps from an empty database on; `stop` says after each whether to leave off.
pub async fn play(seed: u64, steps: &[Step], url: String, config: Config) -> Result<Outcome, Fault> {
    let mut market = Market::open(seed, url, config).await?;
    let mut history = Sha256::new();
    let mut outcome = Ok(());
    for (place, step) in steps.iter().enumerate() {
        // What fails although no process was killed must not be either.
        let came = one(&mut market, place, step).await.unwrap_or_else(|fault| Err(format!("{fault:#}")));
        let held = match came {
            Ok(word) => {
                history.update(format!("{place} {step}: {word}\n"));
                looked(&mut market, &mut history, place).await?
            }
            Err(flaw) => Err(flaw),
        };
        if let Err(flaw) = held {
            outcome = Err((place, flaw));
            break;
        }
    }
    if outcome.is_ok() {
        market.restart(None).await?;
        outcome = watch::proven(&market).await?.map_err(|flaw| (steps.len().saturating_sub(1), flaw));
    }
    let issued = invoices::after(&market.process.db, None, i64::MAX).await?;
    for row in &issued {
        history.update(format!("{} {} {}\n", row.number, market.named(row.subscription), row.total));
    }
    let kills = market.kills;
    market.process.end().await;
    let digest = hex::encode(history.finalize());
    Ok(outcome.map(|()| Played { steps: steps.len(), invoices: issued.len(), kills, digest }))
}

async fn looked(market: &mut Market, history: &mut Sha256, place: usize) -> Looked {
    if market.process.is_killed() {
        market.revive().await?;
    }
    market.look().await?;
    for (payer, found) in &market.model.payers {
        history.update(format!("{} {}\n", market.named(*payer), found.pays));
    }
    let held = watch::all(market).await?;
    if held.is_ok() && place % VERIFY_EVERY == VERIFY_EVERY - 1 {
        return until_answered!(market, watch::proven(market));
    }
    Ok(held)
}

/// One step: another kind of it is one more variant and one more function.
async fn one(market: &mut Market, place: usize, step: &Step) -> Came {
    match step {
        Step::Buy { organization, items, choice } => buy(market, place, *organization, items, choice.as_ref()).await,
        Step::Meter { organization, on, cap, choice } => {
            meter(market, place, *organization, (*on, *cap), choice.as_ref()).await
        }
        Step::SetUp { organization, payer } => set_up(market, *organization, *payer).await,
        Step::Use { organization, units, hours, again } => {
            report(market, place, *organization, (*units, *hours, *again)).await
        }
        Step::Transfer { payer, percent } => transfer(market, place, *payer, *percent).await,
        Step::Method { payer, card } => method(market, *payer, *card).await,
        Step::Prices { ware, percent, days } => prices(market, (*ware, *percent, *days)).await,
        Step::Tax { country, percent, days } => tax(market, (*country, *percent, *days)).await,
        Step::Wait { hours, jobs: Jobs::Idle } => {
            market.clock.advance(TimeDelta::hours(*hours));
            Ok(Ok(String::new()))
        }
        Step::Wait { hours, jobs } => time::goes_by(market, *hours, *jobs == Jobs::Down).await,
        Step::Crash { commits, side } => {
            market.restart(Some(Fuse::new(*commits, *side))).await?;
            Ok(Ok(String::new()))
        }
    }
}

impl Market {
    /// Another process goes on where one was killed.
    pub async fn revive(&mut self) -> Result<(), Fault> {
        self.kills += 1;
        self.restart(None).await
    }

    async fn submit(&mut self, command: &Command) -> Result<Result<Answer, Failure>, Fault> {
        Ok(until_answered!(self, self.process.till.submit(command.clone())))
    }

    fn caller(&self) -> Caller {
        Caller { user: self.buyer, address: None }
    }

    fn organization(&self, place: usize) -> Result<OrganizationId, Fault> {
        self.organizations.get(place).copied().ok_or_else(|| anyhow::anyhow!("no organization {place}"))
    }

    fn payer(&self, place: usize) -> Option<SubscriptionId> {
        self.payers.get(place).copied().flatten()
    }

    /// Who would pay for an order, whether that one is linked already; none where nobody can.
    fn would_pay(&self, organization: usize, choice: Option<&Choice>) -> Option<(Payer, bool)> {
        let linked = self.model.organizations.get(organization)?.payer;
        let known = |id: SubscriptionId| self.model.payers.get(&id).cloned();
        match (linked, choice) {
            (Some(payer), None) => known(payer).map(|payer| (payer, true)),
            (Some(payer), Some(Choice::Existing(place))) if self.payer(*place) == Some(payer) => {
                known(payer).map(|payer| (payer, true))
            }
            (None, Some(Choice::Existing(place))) => self.payer(*place).and_then(known).map(|payer| (payer, false)),
            (None, Some(Choice::New(_, _, card))) if *card != Some("tok_declined") => {
                Some((Payer { card: card.is_some(), pays: true, ..Payer::default() }, false))
            }
            _ => None,
        }
    }

    fn billing(&self, organization: usize, choice: Option<&Choice>) -> Result<Option<BillingChoice>, Fault> {
        Ok(match choice {
            None => None,
            Some(Choice::Existing(place)) => self.payer(*place).map(BillingChoice::Existing),
            Some(Choice::New(currency, country, card)) => Some(BillingChoice::New(NewSubscription {
                name: format!("Made by {organization}").parse()?,
                country: COUNTRIES.get(*country).map_or("DE", |country| country.0).parse()?,
                currency: CURRENCIES.get(*currency).map_or("USD", |currency| currency.0).parse()?,
                payment: payment(*card),
                tax_id: None,
                email: None,
                address: None,
                purchase_order: None,
            })),
        })
    }

    /// Hands an order in, and looks whether it was taken where it should be.
    async fn order(
        &mut self,
        place: usize,
        organization: usize,
        items: Vec<(String, Ask)>,
        (choice, may): (Option<&Choice>, bool),
    ) -> Came {
        let order = Order {
            organization: self.organization(organization)?,
            items,
            billing: self.billing(organization, choice)?,
            currency: None,
        };
        let key = format!("order-{place}").parse()?;
        let act = Act::Purchase { order: Box::new(order), quote: None, key, request_hash: [1; 32] };
        let answer = self.submit(&Command { caller: self.caller(), act }).await?;
        match answer {
            Ok(_) => {
                must!(may, "it was taken, and should have been refused");
                self.link(organization).await?;
                Ok(Ok("taken".into()))
            }
            Err(Failure::Refused(refusal)) => {
                must!(!may, "it was refused, and should have been taken: {refusal:?}");
                Ok(Ok("refused".into()))
            }
            Err(failure) => Ok(Err(format!("it was answered by {failure:?}"))),
        }
    }

    /// Looks who pays for an organization now.
    async fn link(&mut self, organization: usize) -> Result<(), Fault> {
        let linked = subscriptions::link(&self.process.db, self.organization(organization)?).await?;
        let payer = linked.map(|link| link.subscription);
        self.look().await?;
        if let Some(found) = self.model.organizations.get_mut(organization) {
            found.payer = payer;
        }
        let new = payer.filter(|payer| !self.payers.contains(&Some(*payer)));
        if let Some(slot) = self.payers.get_mut(PAYERS + organization) {
            *slot = new.or(*slot);
        }
        Ok(())
    }
}

fn payment(card: Option<&str>) -> billing::Payment {
    card.map_or(billing::Payment::Invoice {}, |card| billing::Payment::Card { token: card.to_owned() })
}

fn slug(ware: usize) -> String {
    WARES.get(ware).map_or("", |ware| ware.slug).to_owned()
}

async fn buy(
    market: &mut Market,
    place: usize,
    organization: usize,
    items: &[(usize, i64)],
    choice: Option<&Choice>,
) -> Came {
    // Whoever comes first brings the organization to its month.
    let month = market.month();
    market.model.turn(organization, month);
    let would = market.would_pay(organization, choice);
    let may = would.is_some_and(|(payer, linked)| market.model.may_buy(organization, items, &payer, linked));
    let asks = items.iter().map(|(ware, total)| (slug(*ware), Ask::Quantity { total: *total, from: None })).collect();
    let came = market.order(place, organization, asks, (choice, may)).await?;
    if may && came.is_ok() {
        let now = market.now();
        market.model.buy(organization, items, now);
    }
    Ok(came)
}

async fn meter(
    market: &mut Market,
    place: usize,
    organization: usize,
    (on, cap): (bool, Option<i64>),
    choice: Option<&Choice>,
) -> Came {
    let month = market.month();
    market.model.turn(organization, month);
    let would = market.would_pay(organization, choice);
    let asked = (on, cap.unwrap_or(0));
    let may = would.is_some_and(|(payer, linked)| market.model.may_meter(organization, asked, &payer, linked));
    let asks = vec![(slug(METERED), Ask::Metered(Metered { on, cap }))];
    let came = market.order(place, organization, asks, (choice, may)).await?;
    if may && came.is_ok() {
        let now = market.now();
        market.model.meter(organization, on, cap.unwrap_or(0), now);
    }
    Ok(came)
}

async fn set_up(market: &mut Market, organization: usize, payer: usize) -> Came {
    let Some(subscription) = market.payer(payer) else { return Ok(Ok("nobody".into())) };
    let month = market.month();
    market.model.turn(organization, month);
    let linked = market.model.organizations.get(organization).and_then(|found| found.payer);
    let pays = market.model.payers.get(&subscription).is_some_and(|payer| payer.pays);
    let may = pays && linked.is_none_or(|linked| linked == subscription);
    let act = Act::SetUpBilling { organization: market.organization(organization)?, subscription };
    let command = Command { caller: market.caller(), act };
    match market.submit(&command).await? {
        Ok(_) => must!(may, "it was taken, and should have been refused"),
        Err(Failure::Refused(refusal)) => must!(!may, "it was refused, and should have been taken: {refusal:?}"),
        Err(failure) => return Ok(Err(format!("it was answered by {failure:?}"))),
    }
    market.link(organization).await?;
    Ok(Ok(if may { "taken" } else { "refused" }.into()))
}

async fn report(
    market: &mut Market,
    place: usize,
    organization: usize,
    (units, hours, again): (i64, i64, bool),
) -> Came {
    let earlier = market.reports.get(organization).cloned().flatten();
    let id: UsageId = format!("use-{place}").parse()?;
    let at = market.now() - TimeDelta::hours(hours);
    let fresh = Reported {
        id,
        organization: Some(market.organization(organization)?),
        offer: slug(METERED),
        quantity: units,
        at,
    };
    let Some(event) = (if again { earlier } else { Some(fresh) }) else { return Ok(Ok("nothing".into())) };
    let (now, ids) = (market.now(), market.process.till.ids());
    let month = if again { None } else { market.model.may_use(organization, units, at, now) };
    let tally = until_answered!(market, count(market, &event, ids.clone()))?;
    let counted = (tally.accepted, tally.repeated) != (0, 0);
    must!(counted == (again || month.is_some()), "a report of use came to {tally:?}; it counts in {month:?}");
    must!(!again || tally.accepted == 0, "a report of use that was repeated came to {tally:?}");
    if let Some(month) = month {
        market.model.count(organization, month, units);
        if let Some(slot) = market.reports.get_mut(organization) {
            *slot = Some(event);
        }
    }
    Ok(Ok(format!("counted: {counted}")))
}

async fn count(market: &Market, event: &Reported, mut ids: kernel::IdSource) -> Result<usage::Tally, StoreError> {
    let (now, catalogue) = (market.now(), market.process.shelf.current());
    let report = std::slice::from_ref(event);
    market
        .process
        .db
        .write("count-usage", async |tx| {
            let more = ids.clone();
            let done = usage::count(tx, &catalogue, report, (now, || more.clone().next(now))).await?;
            let mut events = Vec::new();
            for (organization, told) in &done.told {
                events.push(NewEvent {
                    kind: "usage.counted",
                    organization: Some(*organization),
                    actor: Actor::System,
                    at: now,
                    public: serde_json::to_string(told).map_err(StoreError::corrupt)?,
                    private: None,
                });
            }
            audit::append(tx, events, &mut ids, now).await?;
            Ok(done.tally)
        })
        .await
}

async fn transfer(market: &mut Market, place: usize, payer: usize, percent: i64) -> Came {
    let Some(payer) = market.payer(payer) else { return Ok(Ok("nobody".into())) };
    let owed: i64 = store::payments::open(&market.process.db, payer, 1_000).await?.iter().map(|open| open.open).sum();
    // Who owes nothing pays in advance now and then.
    let amount = if owed == 0 && percent > 100 { 5_000 } else { owed.saturating_mul(percent) / 100 };
    if amount == 0 {
        return Ok(Ok("nothing".into()));
    }
    until_answered!(market, record(market, payer, amount, place))?;
    until_answered!(market, resuming::all(&market.process.db, &market.process.till, Month::of(market.now())))?;
    market.resume().await?;
    Ok(Ok(format!("{amount} came in")))
}

async fn record(market: &Market, payer: SubscriptionId, amount: i64, place: usize) -> Result<(), StoreError> {
    let (now, schedule) = (market.now(), crate::app::schedule(&market.config));
    let write = market.process.db.write("record-payment", async |tx| {
        let Some(row) = collection::held(tx, payer).await? else { return Ok(()) };
        let transfer = collection::Transfer {
            amount: kernel::Money::new(amount, row.currency),
            received_on: now.date_naive(),
            reference: format!("transfer {place}"),
        };
        let mut ids = market.process.till.ids();
        let mut new_id = || ids.uuid(now);
        let mut desk = Desk { tx, at: now, actor: Actor::User(market.buyer), new_id: &mut new_id, events: Vec::new() };
        match collection::record(&mut desk, &schedule, &row, &transfer).await? {
            // Recorded by the process that was killed then.
            Ok(_) | Err(TransferFault::Recorded(_)) => {}
            Err(fault) => return Err(StoreError::corrupt(format!("{fault:?}"))),
        }
        let events = desk.events;
        audit::append(tx, events, &mut ids, now).await
    });
    write.await
}

async fn method(market: &mut Market, payer: usize, card: Option<&'static str>) -> Came {
    let Some(payer) = market.payer(payer) else { return Ok(Ok("nobody".into())) };
    if card == Some("tok_declined") {
        return Ok(Ok("declined".into()));
    }
    until_answered!(market, replace(market, payer, card))?;
    until_answered!(market, collecting::ask(&market.collecting(), payer))?;
    until_answered!(market, resuming::all(&market.process.db, &market.process.till, Month::of(market.now())))?;
    market.resume().await?;
    Ok(Ok("replaced".into()))
}

async fn replace(market: &Market, payer: SubscriptionId, card: Option<&str>) -> Result<(), StoreError> {
    let now = market.now();
    let write = market.process.db.write("replace-payment-method", async |tx| {
        let Some(row) = collection::held(tx, payer).await? else { return Ok(()) };
        let mut ids = market.process.till.ids();
        let mut new_id = || ids.uuid(now);
        let mut desk = Desk { tx, at: now, actor: Actor::User(market.buyer), new_id: &mut new_id, events: Vec::new() };
        let to = card.map_or((PaymentMethod::Invoice, ""), |card| (PaymentMethod::Card, card));
        collection::replace_method(&mut desk, &row, to, crate::months::day_at(now)).await?;
        let events = desk.events;
        audit::append(tx, events, &mut ids, now).await
    });
    write.await
}

async fn prices(market: &mut Market, (ware, percent, days): (usize, i64, i64)) -> Came {
    let day = market.now().date_naive() + TimeDelta::days(days);
    let mut then: Vec<Price> = Vec::new();
    for place in 0..WARES.len() {
        for currency in 0..CURRENCIES.len() {
            let is = |price: &&Price| price.ware == place && price.currency == currency;
            let latest = market.model.prices.iter().rev().find(is).copied();
            let Some(latest) = latest else { continue };
            let changes = place == ware && latest.percent != percent;
            then.push(if changes { Price { percent, from: Some(day), ..latest } } else { latest });
        }
    }
    let (text, platform) = (wares::file(&then), super::market::platform()?);
    let mut ids = market.process.till.ids();
    let applied =
        until_answered!(market, catalogue::apply(&market.process.db, &text, &platform, market.now(), &mut ids));
    match applied {
        Ok(_) => {
            let known = market.model.prices.clone();
            market.model.prices.extend(then.into_iter().filter(|price| !known.contains(price)));
            let revision = store::settings::number(&market.process.db, store::settings::CATALOGUE).await?.unwrap_or(0);
            market.process.shelf.at(&market.process.db, revision).await?;
            Ok(Ok("changed".into()))
        }
        Err(ApplyError::Refused(_)) => Ok(Ok("refused".into())),
        Err(error) => Ok(Err(format!("the catalogue was not taken: {error}"))),
    }
}

async fn tax(market: &mut Market, (country, percent, days): (usize, i64, i64)) -> Came {
    let day = market.now().date_naive() + TimeDelta::days(days);
    let Some((code, _)) = COUNTRIES.get(country) else { return Ok(Ok(String::new())) };
    market.model.taxes.entry((*code).to_owned()).or_default().insert(day, percent);
    market.restart(None).await?;
    Ok(Ok(String::new()))
}

impl Market {
    /// What collection works with now.
    pub fn collecting(&self) -> collecting::Work {
        let process = &self.process;
        let schedule = crate::app::schedule(&self.config);
        collecting::Work::new(process.db.clone(), process.till.clone(), process.providers.clone(), schedule, self.now())
            .one_by_one()
    }

    /// Who pays again has in the model what was suspended.
    pub async fn resume(&mut self) -> Result<(), Fault> {
        self.look().await?;
        let now = self.now();
        self.model.resume(now);
        Ok(())
    }

    /// All organizations have come to a month in the model.
    pub fn turn_all(&mut self, month: Month) {
        for organization in 0..self.organizations.len() {
            self.model.turn(organization, first(month.first_day()));
        }
    }
}
