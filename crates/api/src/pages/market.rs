//! The marketplace: what is sold, by kind and by search, and one offer with its price and what may be done with it here.

use super::frame::{Frame, page, see_other};
use super::locale::Locale;
use super::problems::{Told, Why};
use super::visitor::{Fields, Form, Visitor, field};
use super::wares::{PriceTable, Tile, kind_words, shown_in, table, units, upcoming};
use crate::extract::Query;
use crate::problem::Problem;
use crate::routes::organizations::{offer as find_offer, payer};
use crate::routes::paging;
use crate::routes::refusals::{About, failure, standing_in};
use crate::state::{State, store_problem};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, ServiceConfig};
use actix_web::{HttpResponse, get, post};
use askama::Template;
use kernel::{Currency, Money, OrganizationId, Permission, Slug};
use marketplace::action::{Action, Situation};
use marketplace::catalogue::{Catalogue, Offer, OfferKind};
use marketplace::order::{Act, Command};
use serde::Deserialize;
use std::sync::Arc;
use store::organizations::Standing;

/// Offers of a page.
const PER_PAGE: usize = 24;
/// Offers of a kind on the first page.
const PER_KIND: usize = 6;
/// Most organizations that a form lists; with more, one is named.
const LISTED: i64 = 50;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(list).service(show).service(install);
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    kind: Option<String>,
    #[serde(default)]
    q: String,
    after: Option<String>,
}

/// Offers under one heading.
struct Group {
    heading: &'static str,
    tiles: Vec<Tile>,
    /// Where the rest is; empty where this is all.
    more: String,
}

#[derive(Template)]
#[template(path = "marketplace.html")]
struct MarketPage {
    frame: Frame,
    q: String,
    kind: &'static str,
    kinds: Vec<(&'static str, &'static str, bool)>,
    groups: Vec<Group>,
}

#[get("/marketplace")]
async fn list(state: Data<State>, visitor: Visitor, query: Query<ListQuery>) -> Result<HttpResponse, Problem> {
    let ListQuery { kind, q, after } = query.0;
    let q = paging::search(Some(q))?;
    let kind: Option<OfferKind> = match kind.as_deref().filter(|kind| !kind.is_empty()) {
        None => None,
        Some(word) => Some(word.parse().map_err(|_| Problem::not_found("kind of offers"))?),
    };
    let after = paging::after::<Slug>(after.as_deref())?;
    let catalogue = state.catalogue().await?;
    let shelf = Showing { state: &state, catalogue: &catalogue, locale: visitor.locale };
    let groups = if kind.is_none() && q.is_empty() && after.is_none() {
        OfferKind::ALL.iter().map(|kind| shelf.first(*kind)).filter(|group| !group.tiles.is_empty()).collect()
    } else {
        vec![shelf.found(kind, &q, after.as_ref())]
    };
    let groups = groups.into_iter().filter(|group: &Group| !group.tiles.is_empty()).collect();
    let tab = |one: &OfferKind| (one.as_str(), kind_words(*one).1, kind == Some(*one));
    let kinds = OfferKind::ALL.iter().map(tab).collect();
    let kind = kind.map_or("", OfferKind::as_str);
    let frame = Frame::new(&state, Some(&visitor), "marketplace", "Marketplace");
    page(StatusCode::OK, &MarketPage { frame, q, kind, kinds, groups })
}

struct Showing<'a> {
    state: &'a State,
    catalogue: &'a Catalogue,
    locale: Locale,
}

impl Showing<'_> {
    fn tiles(&self, offers: &[Arc<Offer>]) -> Vec<Tile> {
        let (currency, today) = (self.state.policy.platform_currency, self.state.now().date_naive());
        offers.iter().map(|offer| Tile::of(offer, self.catalogue, currency, today, self.locale)).collect()
    }

    /// The first offers of a kind.
    fn first(&self, kind: OfferKind) -> Group {
        let (offers, next) = self.catalogue.page(Some(kind), "", None, PER_KIND);
        let more = if next.is_some() { format!("/marketplace?kind={kind}") } else { String::new() };
        Group { heading: kind_words(kind).1, tiles: self.tiles(&offers), more }
    }

    fn found(&self, kind: Option<OfferKind>, q: &str, after: Option<&Slug>) -> Group {
        let (offers, next) = self.catalogue.page(kind, q, after.map(Slug::as_str), PER_PAGE);
        let more = next.map_or_else(String::new, |next| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("kind", kind.map_or("", OfferKind::as_str)).append_pair("q", q);
            format!("/marketplace?{}", query.append_pair("after", &next).finish())
        });
        Group { heading: kind.map_or("Found", |kind| kind_words(kind).1), tiles: self.tiles(&offers), more }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfferQuery {
    #[serde(default)]
    organization: String,
    #[serde(default)]
    quantity: String,
    #[serde(default)]
    currency: String,
}

/// An organization to choose.
struct Choice {
    slug: String,
    name: String,
}

/// What may be done with the offer for an organization.
struct Here {
    slug: String,
    name: String,
    installed: bool,
    buy: Option<Vec<Why>>,
    install: Option<Vec<Why>>,
    others: Vec<(&'static str, Vec<Why>)>,
}

#[derive(Template)]
#[template(path = "offer.html")]
struct OfferPage {
    frame: Frame,
    tile: Tile,
    kind: &'static str,
    metered: bool,
    facts: Vec<(&'static str, String)>,
    currencies: Vec<(Currency, bool)>,
    currency: Currency,
    table: Option<PriceTable>,
    upcoming: Option<String>,
    quantity: String,
    cost: Option<String>,
    fault: Option<String>,
    choices: Vec<Choice>,
    many: bool,
    organization: String,
    here: Option<Here>,
    refused: Option<Told>,
}

#[get("/marketplace/{offer}")]
async fn show(
    state: Data<State>,
    visitor: Visitor,
    named: Path<String>,
    query: Query<OfferQuery>,
) -> Result<HttpResponse, Problem> {
    offer_page(&state, &visitor, &named, query.0, None).await
}

async fn offer_page(
    state: &State,
    visitor: &Visitor,
    named: &str,
    query: OfferQuery,
    refused: Option<Problem>,
) -> Result<HttpResponse, Problem> {
    let choices = organizations(state, visitor).await?;
    let many = choices.len() > usize::try_from(LISTED).unwrap_or(usize::MAX);
    let only = choices.first().filter(|_| choices.len() == 1).map(|one| one.organization.slug.to_string());
    let organization = if query.organization.is_empty() { only.unwrap_or_default() } else { query.organization };
    let catalogue = state.catalogue().await?;
    let (offer, here) = if organization.is_empty() {
        let offer = catalogue.resolve(named).cloned().filter(|offer| offer.is_in_list() || !hidden(offer));
        (offer.ok_or_else(|| Problem::not_found("offer"))?, None)
    } else {
        let id = state.organization(&organization).await?;
        let standing = standing_in(state, &visitor.installation(), id, Permission::OrganizationView).await?;
        let offer = find_offer(state, id, named).await?;
        let here = here(state, visitor, &standing, &offer).await?;
        (offer, Some(here))
    };
    let locale = visitor.locale;
    let today = state.now().date_naive();
    let asked = query.currency.parse().unwrap_or(state.policy.platform_currency);
    let currency = shown_in(&offer, asked);
    let version = offer.price_on(currency, today);
    let unit = offer.definition.unit.as_str();
    let cost = version.map(|version| monthly(version, &query.quantity, unit, currency, locale));
    let (cost, fault) = match cost {
        Some(Ok(cost)) => (cost, None),
        Some(Err(fault)) => (None, Some(fault)),
        None => (None, None),
    };
    let tile = Tile::of(&offer, &catalogue, currency, today, locale);
    let status = refused.as_ref().map_or(StatusCode::OK, Problem::status);
    let template = OfferPage {
        frame: Frame::new(state, Some(visitor), "marketplace", tile.name.clone()),
        tile,
        kind: kind_words(offer.definition.kind).0,
        metered: offer.definition.kind == OfferKind::LoadTesting,
        facts: facts(&offer, locale),
        currencies: offer.prices.keys().map(|one| (*one, *one == currency)).collect(),
        currency,
        table: version.map(|version| table(&version.price, unit, currency, locale)),
        upcoming: upcoming(&offer, currency, today),
        quantity: query.quantity,
        cost,
        fault,
        choices: choices
            .into_iter()
            .map(|one| Choice { slug: one.organization.slug.to_string(), name: one.organization.name })
            .collect(),
        many,
        organization,
        here,
        refused: refused.as_ref().map(Told::of),
    };
    page(status, &template)
}

fn hidden(offer: &Offer) -> bool {
    offer.definition.state == marketplace::catalogue::OfferState::Hidden
}

/// The organizations that the visitor may act for, one more than are listed at the most.
async fn organizations(state: &State, visitor: &Visitor) -> Result<Vec<Standing>, Problem> {
    let rows = store::organizations::visible(&state.db, Some(visitor.id), false, "", None, LISTED.saturating_add(1));
    rows.await.map_err(store_problem)
}

/// What so many cost a month; none where no number is asked.
fn monthly(
    version: &marketplace::catalogue::PriceVersion,
    quantity: &str,
    unit: &str,
    currency: Currency,
    locale: Locale,
) -> Result<Option<String>, String> {
    if quantity.is_empty() {
        return Ok(None);
    }
    let count: i64 = quantity.parse().ok().filter(|count| *count >= 0).ok_or("Enter a whole number, 0 or more.")?;
    let total = Money::from_exact(&version.price.total(count), currency);
    let total = total.map_err(|_| "That is more than can be billed; enter a smaller number.".to_owned())?;
    Ok(Some(format!("{} paid: {} a month, before tax", units(count, unit, locale), locale.money(total))))
}

fn facts(offer: &Offer, locale: Locale) -> Vec<(&'static str, String)> {
    let definition = &offer.definition;
    let mut facts = Vec::new();
    if definition.included > 0 {
        let free = units(definition.included, definition.unit.as_str(), locale);
        let replaced = if definition.first_paid_replaces_included { "; the first paid one replaces it" } else { "" };
        facts.push(("Free for every organization", format!("{free}{replaced}")));
    }
    if definition.trial_days > 0 {
        facts.push(("Trial", format!("{} days", definition.trial_days)));
    }
    let most = units(definition.maximum, definition.unit.as_str(), locale);
    facts.push(("At most", format!("{most} an organization")));
    if !definition.countries.iter().any(|country| country == "*") {
        facts.push(("Sold in", definition.countries.join(", ")));
    }
    facts
}

async fn here(state: &State, visitor: &Visitor, standing: &Standing, offer: &Arc<Offer>) -> Result<Here, Problem> {
    let id = standing.organization.id;
    let payer = payer(state, id, Some(visitor.id)).await?;
    let payer = payer.as_ref().map(|(payer, role)| (payer, *role));
    let situation = Situation { offer, role: standing.role, payer };
    let held = store::entitlements::of_organization(&state.db, id).await.map_err(store_problem)?;
    let installed = held.iter().any(|row| row.offer == offer.id && row.installed);
    let mut here = Here {
        slug: standing.organization.slug.to_string(),
        name: standing.organization.name.clone(),
        installed,
        buy: None,
        install: None,
        others: Vec::new(),
    };
    for Action { action, allowed: _, reasons } in situation.actions(&state.policy) {
        let why: Vec<Why> = reasons.into_iter().map(|one| Why { message: one.message, remedy: one.remedy }).collect();
        match action {
            "buy" if !offer.is_free() => here.buy = Some(why),
            "install" if offer.definition.kind == OfferKind::Extension => here.install = Some(why),
            "try" if offer.definition.trial_days > 0 => here.others.push(("Try", why)),
            "request" if here.buy.as_ref().is_some_and(|buy| !buy.is_empty()) => here.others.push(("Request", why)),
            _ => {}
        }
    }
    Ok(here)
}

#[post("/marketplace/{offer}/installation")]
async fn install(state: Data<State>, named: Path<String>, form: Form<Fields>) -> Result<HttpResponse, Problem> {
    let Form(visitor, fields) = form;
    let slug = field(&fields, "organization").to_owned();
    let organization: OrganizationId = state.organization(&slug).await?;
    let on = field(&fields, "on") == "yes";
    let act = Act::Install { organization, offer: named.clone(), on };
    match state.till.submit(Command { caller: visitor.buyer(), act }).await {
        Ok(_) => Ok(see_other(&format!("/marketplace/{named}?organization={slug}"))),
        Err(failed) => {
            let about = About { organization, user: visitor.id, offers: Vec::new() };
            let problem = failure(&state, failed, &about).await;
            let query = OfferQuery { organization: slug, ..OfferQuery::default() };
            offer_page(&state, &visitor, &named, query, Some(problem)).await
        }
    }
}
