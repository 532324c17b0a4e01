//! Decisions alone, by the million: the same steps against a book in memory, without database, jobs or payments, beside the same
//! model. Whether a payer can pay is a matter of chance here.

use super::model::{Model, Organization, Payer, first};
use super::plan::{Choice, ORGANIZATIONS, PAYERS, Step};
use super::wares::{self, CURRENCIES, METERED, Price, WARES};
use super::watch::Flaw;
use crate::commands::Fault;
use billing::dunning::Schedule;
use billing::invoice::Seller;
use billing::{PaymentMethod, PaymentMethods, SubscriptionKind, SubscriptionStatus, TaxRates};
use chrono::TimeDelta;
use kernel::{
    Id, IdSource, Month, OfferId, OrganizationId, OrganizationRole, SubscriptionId, SubscriptionRole, Timestamp, UserId,
};
use marketplace::Policy;
use marketplace::book::{Book, OrganizationBook, PayerBook, Standing};
use marketplace::budget::Budgets;
use marketplace::catalogue::{Catalogue, file};
use marketplace::command::decide;
use marketplace::invoicing::Terms;
use marketplace::metered::Count;
use marketplace::order::{Act, Ask, BillingChoice, Caller, Command, Metered, Order};
use marketplace::turn::turn;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// A market in memory.
struct Table {
    book: Book,
    model: Model,
    offers: Vec<OfferId>,
    ids: IdSource,
    now: Timestamp,
    decided: u64,
}

fn id<I: Id>(kind: u64, place: usize) -> I {
    I::from_uuid(uuid::Uuid::from_u64_pair(kind, u64::try_from(place).unwrap_or(u64::MAX).saturating_add(1)))
}

fn organization(place: usize) -> OrganizationId {
    id(1, place)
}

fn subscription(place: usize) -> SubscriptionId {
    id(2, place)
}

/// Plays steps; how many decisions were taken, or what must not be, after which step.
pub fn play(seed: u64, steps: &[Step]) -> Result<Result<u64, (usize, Flaw)>, Fault> {
    let mut table = Table::lay(seed)?;
    for (place, step) in steps.iter().enumerate() {
        if let Err(flaw) = table.one(place, step)?.and_then(|()| table.holds()) {
            return Ok(Err((place, flaw)));
        }
    }
    Ok(Ok(table.decided))
}

impl Table {
    fn lay(seed: u64) -> Result<Self, Fault> {
        let mut ids = IdSource::seeded(seed);
        let now = kernel::parse_rfc3339("2019-12-05T09:13:27Z")?;
        let mut model = Model { organizations: vec![Organization::default(); ORGANIZATIONS], ..Model::default() };
        for ware in 0..WARES.len() {
            for currency in 0..CURRENCIES.len() {
                model.prices.push(Price { ware, currency, percent: 100, from: None });
            }
        }
        let file = file::parse(&wares::file(&model.prices)).map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
        let catalogue = Arc::new(Catalogue::of_file(&file, now, &mut ids));
        let offers = WARES.iter().filter_map(|ware| catalogue.by_slug(ware.slug)).map(|offer| offer.id).collect();
        let methods = PaymentMethods { invoice: true, simulated: true, stripe: false };
        let policy = Policy {
            platform_publisher: "ms".into(),
            platform_currency: "USD".parse()?,
            taxes: TaxRates::default(),
            methods,
            terms: Terms {
                seller: Seller {
                    name: "Platform".into(),
                    country: "DE".parse()?,
                    address: String::new(),
                    tax_id: String::new(),
                },
                series: "P".into(),
                due_days: 30,
                schedule: Schedule::default(),
            },
            undo_hours: 24,
            quote_key: [7; 32],
        };
        let (mut organizations, mut payers) = (HashMap::new(), HashMap::new());
        for place in 0..ORGANIZATIONS {
            let row = store::till::OrganizationRow {
                id: organization(place),
                slug: format!("org{place}").parse()?,
                name: format!("Organization {place}"),
                country: "DE".parse()?,
            };
            let held = OrganizationBook {
                row,
                link: None,
                linked_in_batch: false,
                entitlements: BTreeMap::new(),
                used: BTreeMap::new(),
                held: BTreeMap::new(),
                last_fact: Timestamp::UNIX_EPOCH,
            };
            organizations.insert(organization(place), held);
        }
        for place in 0..PAYERS {
            let currency = place % CURRENCIES.len();
            let payer = billing::Payer {
                id: subscription(place),
                kind: SubscriptionKind::PayAsYouGo,
                status: SubscriptionStatus::Active,
                country: "DE".parse()?,
                currency: CURRENCIES.get(currency).map_or("USD", |currency| currency.0).parse()?,
                method: PaymentMethod::Card,
                spending_limit: false,
                marketplace_enabled: false,
                billed_through: None,
                budgeted: false,
                tax_confirmed: false,
            };
            payers.insert(subscription(place), PayerBook::new(payer));
            let beside = Payer { currency, country: "DE".into(), card: true, pays: true, ..Payer::default() };
            model.payers.insert(subscription(place), beside);
        }
        let (earlier, changed) = (HashMap::new(), HashSet::new());
        let (policy, budgets) = (Arc::new(policy), Budgets::default());
        let (undoing, collections) = (HashMap::new(), HashMap::new());
        let book = Book { catalogue, policy, organizations, payers, budgets, earlier, undoing, collections, changed };
        Ok(Self { book, model, offers, ids, now, decided: 0 })
    }

    fn linked(&self, place: usize) -> Option<SubscriptionId> {
        self.book.organizations.get(&organization(place)).and_then(|held| held.link)
    }

    /// Who would pay, and whether it is linked.
    fn would_pay(&self, place: usize, choice: Option<SubscriptionId>) -> Option<(Payer, bool)> {
        let linked = self.linked(place);
        let fits = linked.is_none() || choice.is_none() || linked == choice;
        let payer = linked.or(choice).filter(|_| fits)?;
        self.model.payers.get(&payer).map(|payer| (payer.clone(), linked.is_some()))
    }

    fn decide(&mut self, place: usize, act: Act, (payer, may): (Option<SubscriptionId>, bool)) -> Result<(), Flaw> {
        let standing = Standing {
            known: true,
            operator: false,
            role: Some(OrganizationRole::Owner),
            payer_role: Some(SubscriptionRole::Owner),
            payer: self.linked(place).or(payer),
        };
        let command = Command { caller: Caller { user: id::<UserId>(3, 0), address: None }, act };
        self.decided += 1;
        let taken = decide(&mut self.book, &command, &standing, self.now, &mut self.ids);
        self.book.earlier.clear();
        self.book.changed.clear();
        let link = self.book.organizations.get_mut(&organization(place)).and_then(|held| {
            held.linked_in_batch = false;
            held.link
        });
        if let Some(found) = self.model.organizations.get_mut(place) {
            found.payer = link;
        }
        match taken {
            Ok(_) if !may => Err("it was taken, and should have been refused".into()),
            Err(refusal) if may => Err(format!("it was refused, and should have been taken: {refusal:?}")),
            _ => Ok(()),
        }
    }

    fn order(
        &mut self,
        (step, place): (usize, usize),
        items: Vec<(String, Ask)>,
        payer: Option<SubscriptionId>,
        may: bool,
    ) -> Result<Result<(), Flaw>, Fault> {
        let billing = payer.map(BillingChoice::Existing);
        let order = Order { organization: organization(place), items, billing, currency: None };
        let key = format!("order-{step}").parse()?;
        let act = Act::Purchase { order: Box::new(order), quote: None, key, request_hash: [1; 32] };
        Ok(self.decide(place, act, (payer, may)))
    }

    fn one(&mut self, step: usize, what: &Step) -> Result<Result<(), Flaw>, Fault> {
        let chosen = |choice: &Option<Choice>| match choice {
            Some(Choice::Existing(place)) => Some(subscription(*place)),
            _ => None,
        };
        let slug = |ware: usize| WARES.get(ware).map_or("", |ware| ware.slug).to_owned();
        match what {
            Step::Buy { organization: place, items, choice } => {
                let payer = chosen(choice);
                let would = self.would_pay(*place, payer);
                let may = would.is_some_and(|(payer, linked)| self.model.may_buy(*place, items, &payer, linked));
                let asks = items
                    .iter()
                    .map(|(ware, total)| (slug(*ware), Ask::Quantity { total: *total, from: None }))
                    .collect();
                let came = self.order((step, *place), asks, payer, may)?;
                if may {
                    self.model.buy(*place, items, self.now);
                }
                Ok(came)
            }
            Step::Meter { organization: place, on, cap, choice } => {
                let payer = chosen(choice);
                let asked = (*on, cap.unwrap_or(0));
                let would = self.would_pay(*place, payer);
                let may = would.is_some_and(|(payer, linked)| self.model.may_meter(*place, asked, &payer, linked));
                let asks = vec![(slug(METERED), Ask::Metered(Metered { on: *on, cap: *cap }))];
                let came = self.order((step, *place), asks, payer, may)?;
                if may {
                    self.model.meter(*place, *on, asked.1, self.now);
                }
                Ok(came)
            }
            Step::SetUp { organization: place, payer } => {
                let (linked, payer) = (self.linked(*place), subscription(*payer));
                let pays = self.model.payers.get(&payer).is_some_and(|payer| payer.pays);
                let may = pays && linked.is_none_or(|linked| linked == payer);
                let act = Act::SetUpBilling { organization: organization(*place), subscription: payer };
                Ok(self.decide(*place, act, (Some(payer), may)))
            }
            Step::Use { organization: place, units, .. } => {
                self.used(*place, *units);
                Ok(Ok(()))
            }
            Step::Transfer { payer, .. } => Ok(self.stands(*payer, SubscriptionStatus::Active)),
            Step::Method { payer, .. } => Ok(self.stands(*payer, SubscriptionStatus::PastDue)),
            Step::Wait { hours, .. } => {
                self.goes_by(*hours);
                Ok(Ok(()))
            }
            Step::Prices { .. } | Step::Tax { .. } | Step::Crash { .. } => Ok(Ok(())),
        }
    }

    fn used(&mut self, place: usize, units: i64) {
        let Some(month) = self.model.may_use(place, units, self.now, self.now) else { return };
        self.model.count(place, month, units);
        let held = self.book.organizations.get_mut(&organization(place));
        if let (Some(held), Some(offer)) = (held, self.offers.get(METERED)) {
            let count = held.used.entry((*offer, Month::of_date(month))).or_insert(Count::default());
            count.used += units;
        }
    }

    /// A payer can pay from now on, or cannot; what was suspended resumes.
    fn stands(&mut self, place: usize, status: SubscriptionStatus) -> Result<(), Flaw> {
        let payer = subscription(place);
        if let (Some(account), Some(beside)) = (self.book.payers.get_mut(&payer), self.model.payers.get_mut(&payer)) {
            account.payer.status = status;
            beside.pays = status.pays();
        }
        for place in 0..ORGANIZATIONS {
            if self.linked(place) == Some(payer) {
                self.decide(place, Act::Resume { organization: organization(place) }, (None, true))?;
            }
        }
        self.model.resume(self.now);
        Ok(())
    }

    /// Time goes by; organizations come to the month, and payers are billed for it.
    fn goes_by(&mut self, hours: i64) {
        self.now += TimeDelta::hours(hours);
        let month = Month::of(self.now);
        for place in 0..ORGANIZATIONS {
            let turned = turn(&mut self.book, organization(place), month, self.now, &mut self.ids);
            self.decided += u64::try_from(turned.len()).unwrap_or(0);
            self.model.turn(place, first(month.first_day()));
        }
    }

    /// Quantities and charges are the model's; what was compared is billed then.
    fn holds(&mut self) -> Result<(), Flaw> {
        for (place, model) in self.model.organizations.iter().enumerate() {
            let Some(held) = self.book.organizations.get(&organization(place)) else { continue };
            for (ware, offer) in self.offers.iter().enumerate() {
                let told = held.entitlements.get(offer);
                let told = told.map(|row| ((row.committed, row.next), row.month.first_day(), row.charged, row.metered));
                let beside = model.held.get(&ware);
                let beside = beside.map(|row| ((row.committed, row.next), row.month, row.charged, row.metered));
                if told != beside {
                    return Err(format!(
                        "organization {place} has {told:?} of ware {ware}, and should have {beside:?}"
                    ));
                }
            }
        }
        let month = Month::of(self.now);
        for (id, account) in &mut self.book.payers {
            let Some(model) = self.model.payers.get_mut(id) else { continue };
            let told: BTreeMap<_, _> = account.unbilled.iter().filter(|(_, amount)| **amount != 0).collect();
            let told: BTreeMap<_, i64> = told
                .into_iter()
                .map(|((bill, rate), sum)| ((bill.first_day(), rate.as_str().to_owned()), *sum))
                .collect();
            if told != model.bills {
                return Err(format!("a payer is charged {told:?}, and should be charged {:?}", model.bills));
            }
            account.unbilled.retain(|(bill, _), _| *bill > month);
            model.bills.retain(|(bill, _), _| *bill > month.first_day());
            account.renewals.retain(|_, organizations| *organizations > 0);
            account.payer.billed_through = Some(month);
            model.billed = Some(month.first_day());
        }
        Ok(())
    }
}
