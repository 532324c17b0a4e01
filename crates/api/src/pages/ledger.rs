//! The ledger as pages, for who runs the installation: the trial balance of a day, and an account's entries.

use super::frame::{Frame, page};
use super::locale::{Locale, date};
use super::visitor::Visitor;
use crate::extract::Query;
use crate::problem::Problem;
use crate::routes::ledger::{Account, Balance, DayQuery, EntriesQuery, Entry, balance_of, entries_of};
use crate::state::State;
use actix_web::http::StatusCode;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpResponse, get};
use askama::Template;
use kernel::{InvoiceId, Money, Permission};

/// Entries of a page.
const ROWS: i64 = 50;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(show).service(entries);
}

/// An account: its name, where its entries are, and the balance on its side; the other side is empty.
struct AccountLine {
    name: String,
    entries: String,
    debit: String,
    credit: String,
}

struct CurrencyTable {
    currency: String,
    rows: Vec<AccountLine>,
    debit: String,
    credit: String,
}

#[derive(Template)]
#[template(path = "ledger.html")]
struct BalancePage {
    frame: Frame,
    on: String,
    day: String,
    tables: Vec<CurrencyTable>,
}

/// An amount, or nothing where there is none.
fn shown(locale: Locale, amount: Money) -> String {
    if amount.is_zero() { String::new() } else { locale.money(amount) }
}

fn address(account: &str, after: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("account", account);
    if let Some(after) = after {
        query.append_pair("after", after);
    }
    format!("/ledger/entries?{}", query.finish())
}

fn table(balance: Balance, locale: Locale) -> CurrencyTable {
    let line = |row: Account| AccountLine {
        entries: address(&row.account, None),
        debit: shown(locale, row.debit),
        credit: shown(locale, row.credit),
        name: row.account,
    };
    CurrencyTable {
        currency: balance.currency.to_string(),
        rows: balance.accounts.into_iter().map(line).collect(),
        debit: locale.money(balance.debit),
        credit: locale.money(balance.credit),
    }
}

#[get("/ledger")]
async fn show(state: Data<State>, visitor: Visitor, query: Query<DayQuery>) -> Result<HttpResponse, Problem> {
    visitor.installation().need(Permission::BooksView)?;
    let balance = balance_of(&state, &query.0).await?;
    let template = BalancePage {
        frame: Frame::new(&state, Some(&visitor), "services", "Trial balance"),
        on: balance.on.to_string(),
        day: date(balance.on),
        tables: balance.currencies.into_iter().map(|one| table(one, visitor.locale)).collect(),
    };
    page(StatusCode::OK, &template)
}

struct EntryLine {
    day: String,
    account: String,
    fact: String,
    /// Where that is shown; empty for nowhere.
    leads_to: String,
    contra: String,
    debit: String,
    credit: String,
}

fn line(entry: Entry, locale: Locale) -> EntryLine {
    let leads_to = entry.fact.parse::<InvoiceId>().map(|id| format!("/invoices/{id}")).unwrap_or_default();
    EntryLine {
        day: entry.at.get(..10).and_then(|day| kernel::parse_date(day).ok()).map(date).unwrap_or_default(),
        account: entry.account,
        fact: entry.fact,
        leads_to,
        contra: entry.contra,
        debit: shown(locale, entry.debit),
        credit: shown(locale, entry.credit),
    }
}

#[derive(Template)]
#[template(path = "ledger_entries.html")]
struct EntriesPage {
    frame: Frame,
    account: String,
    rows: Vec<EntryLine>,
    more: String,
}

#[get("/ledger/entries")]
async fn entries(state: Data<State>, visitor: Visitor, query: Query<EntriesQuery>) -> Result<HttpResponse, Problem> {
    visitor.installation().need(Permission::BooksView)?;
    let query = EntriesQuery { limit: query.0.limit.or(Some(ROWS)), ..query.0 };
    let found = entries_of(&state, &query).await?;
    let template = EntriesPage {
        frame: Frame::new(&state, Some(&visitor), "services", format!("Entries of {}", query.account)),
        rows: found.data.into_iter().map(|entry| line(entry, visitor.locale)).collect(),
        more: found.next.map(|next| address(&query.account, Some(&next))).unwrap_or_default(),
        account: query.account,
    };
    page(StatusCode::OK, &template)
}
