//! The ledger, for who runs the installation: the trial balance of a day, and an account's entries.

use crate::caller::Caller;
use crate::extract::Query;
use crate::problem::Problem;
use crate::routes::paging::{self, Page};
use crate::routes::schema;
use crate::state::{State, store_problem};
use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use chrono::NaiveDate;
use kernel::{
    AllocationId, ChargeId, CreditId, CreditNoteId, Currency, InvoiceId, Money, PaymentId, Permission, RecognitionId,
    RefundId, TransferId, rfc3339,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use store::ledger::{self, AccountRow, EntryPlace, EntryRow};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

/// Longest name of an account that is looked for, in characters.
const LONGEST: usize = 200;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(trial_balance).service(entries);
}

/// An account at the end of a day.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Account {
    /// `unbilled`, `receivable`, `credit`, `deferred_revenue`, `revenue`; `cash/` with the provider, `tax/` with the country,
    /// `publisher_payable/` with the publisher.
    pub account: String,
    /// Sum of its debits.
    #[schema(value_type = schema::Money)]
    pub debits: Money,
    /// Sum of its credits.
    #[schema(value_type = schema::Money)]
    pub credits: Money,
    /// What the debits are more than the credits; else 0.
    #[schema(value_type = schema::Money)]
    pub debit: Money,
    /// What the credits are more than the debits; else 0.
    #[schema(value_type = schema::Money)]
    pub credit: Money,
}

/// The accounts in one currency.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Balance {
    /// The currency.
    #[schema(value_type = String)]
    pub currency: Currency,
    /// The accounts that were posted to, by name.
    pub accounts: Vec<Account>,
    /// Sum of the debit balances.
    #[schema(value_type = schema::Money)]
    pub debit: Money,
    /// Sum of the credit balances: the same.
    #[schema(value_type = schema::Money)]
    pub credit: Money,
}

/// The trial balance of a day.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TrialBalance {
    /// The day at whose end it is.
    #[schema(value_type = String, format = Date)]
    pub on: NaiveDate,
    /// By currency: nothing is ever converted.
    pub currencies: Vec<Balance>,
}

/// Which day's trial balance.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DayQuery {
    /// The day at whose end, `YYYY-MM-DD`; today if left out.
    #[param(value_type = Option<String>, format = Date)]
    pub on: Option<String>,
}

/// The trial balance of a day: what is in each account at its end. Debits and credits are equal in each currency.
#[utoipa::path(tag = "ledger", params(DayQuery), responses(
    (status = 200, description = "The trial balance", body = TrialBalance),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an operator", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "Not a day", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/ledger/trial-balance")]
async fn trial_balance(state: Data<State>, caller: Caller, query: Query<DayQuery>) -> Result<HttpResponse, Problem> {
    caller.standing(&state).await?.need(Permission::BooksView)?;
    Ok(HttpResponse::Ok().json(balance_of(&state, &query.0).await?))
}

/// The trial balance that a query asks for.
///
/// # Errors
/// 422 for what is no day; the store's.
pub async fn balance_of(state: &State, query: &DayQuery) -> Result<TrialBalance, Problem> {
    let day = |text: &String| kernel::parse_date(text).map_err(|fault| Problem::invalid("/on", fault.to_string()));
    let on = query.on.as_ref().filter(|text| !text.is_empty()).map(day).transpose()?;
    let on = on.unwrap_or_else(|| state.now().date_naive());
    let rows = ledger::trial_balance(&state.db, on).await.map_err(store_problem)?;
    let currencies = balances(rows).ok_or_else(|| Problem::internal("the ledger holds more than can be added up"))?;
    Ok(TrialBalance { on, currencies })
}

/// Accounts as a balance a currency; none where the sums are too large.
fn balances(rows: Vec<AccountRow>) -> Option<Vec<Balance>> {
    let mut balances: Vec<Balance> = Vec::new();
    for AccountRow { account, currency, debit, credit } in rows {
        if balances.last().is_none_or(|last| last.currency != currency) {
            let zero = Money::zero(currency);
            balances.push(Balance { currency, accounts: Vec::new(), debit: zero, credit: zero });
        }
        let balance = balances.last_mut()?;
        let left = debit.checked_sub(credit)?;
        let money = |minor| Money::new(minor, currency);
        let row = Account {
            account,
            debits: money(debit),
            credits: money(credit),
            debit: money(left.max(0)),
            credit: money(left.min(0).checked_neg()?),
        };
        balance.debit = balance.debit.checked_add(row.debit).ok()?;
        balance.credit = balance.credit.checked_add(row.credit).ok()?;
        balance.accounts.push(row);
    }
    Some(balances)
}

/// An entry of an account: one side of a posting.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Entry {
    /// The account in full: `receivable/sub_…`.
    pub account: String,
    /// When it was posted.
    #[schema(format = DateTime)]
    pub at: String,
    /// What it is of: the charge, invoice, payment, allocation or recognition.
    pub fact: String,
    /// The account on the other side.
    pub contra: String,
    /// What was debited; else 0.
    #[schema(value_type = schema::Money)]
    pub debit: Money,
    /// What was credited; else 0.
    #[schema(value_type = schema::Money)]
    pub credit: Money,
}

impl From<EntryRow> for Entry {
    fn from(row: EntryRow) -> Self {
        let (amount, zero) = (Money::new(row.amount, row.currency), Money::zero(row.currency));
        let (debit, credit) = if row.debited { (amount, zero) } else { (zero, amount) };
        Self {
            at: rfc3339(row.at),
            fact: named(&row.kind, row.fact),
            account: row.account,
            contra: row.contra,
            debit,
            credit,
        }
    }
}

/// A fact's id as it is named everywhere; one of a kind that is not known here is named by its posting.
fn named(table: &str, fact: Uuid) -> String {
    match table {
        "charges" => ChargeId::from_uuid(fact).to_string(),
        "invoices" => InvoiceId::from_uuid(fact).to_string(),
        "payments" => PaymentId::from_uuid(fact).to_string(),
        "allocations" => AllocationId::from_uuid(fact).to_string(),
        "recognitions" => RecognitionId::from_uuid(fact).to_string(),
        "credit_notes" => CreditNoteId::from_uuid(fact).to_string(),
        "refunds" => RefundId::from_uuid(fact).to_string(),
        "credits" => CreditId::from_uuid(fact).to_string(),
        _ => TransferId::from_uuid(fact).to_string(),
    }
}

/// A page of entries.
#[derive(Serialize, utoipa::ToSchema)]
#[allow(dead_code, reason = "names the shape for the OpenAPI document")]
struct Entries {
    data: Vec<Entry>,
    #[schema(required)]
    next: Option<String>,
}

/// Which entries.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EntriesQuery {
    /// An account in full, `receivable/sub_…`, or the beginning of its name, `receivable`, for all of these.
    #[param(min_length = 1, max_length = 200)]
    pub account: String,
    /// Rows of the page, 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<i64>,
    /// `next` of the page before.
    pub after: Option<String>,
}

/// Where a page ends.
struct Place(EntryPlace);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (account, fact, leg) = &self.0;
        write!(f, "{account}.{}.{leg}", fact.simple())
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (rest, leg) = text.rsplit_once('.').ok_or(())?;
        let (account, fact) = rest.rsplit_once('.').ok_or(())?;
        let (fact, leg) = (fact.parse().map_err(|_| ())?, leg.parse().map_err(|_| ())?);
        if is_name(account) { Ok(Self((account.to_owned(), fact, leg))) } else { Err(()) }
    }
}

/// Whether an account may be called so.
fn is_name(account: &str) -> bool {
    (1..=LONGEST).contains(&account.len()) && account.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Entries of an account, account by account and in the order in which they came to be.
#[utoipa::path(tag = "ledger", params(EntriesQuery), responses(
    (status = 200, description = "A page of entries", body = Entries),
    (status = 400, description = "Query not UTF-8", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "Not signed in", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "Not an operator", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A parameter cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[get("/v1/ledger/entries")]
async fn entries(state: Data<State>, caller: Caller, query: Query<EntriesQuery>) -> Result<HttpResponse, Problem> {
    caller.standing(&state).await?.need(Permission::BooksView)?;
    Ok(HttpResponse::Ok().json(entries_of(&state, &query.0).await?))
}

/// The page of entries that a query asks for.
///
/// # Errors
/// 422 for what is no name, limit or cursor; the store's.
pub async fn entries_of(state: &State, query: &EntriesQuery) -> Result<Page<Entry>, Problem> {
    let limit = paging::limit(query.limit)?;
    if !is_name(&query.account) {
        return Err(Problem::invalid("/account", "must be the name of an account or the beginning of one"));
    }
    let after = paging::after::<Place>(query.after.as_deref())?.map(|Place(place)| place);
    let rows =
        ledger::entries(&state.db, &query.account, after, limit.saturating_add(1)).await.map_err(store_problem)?;
    let place = |row: &EntryRow| Place((row.account.clone(), row.fact, row.leg)).to_string();
    Ok(Page::of(rows, limit, place, Entry::from))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    /// balances stand on their side, sums are equal, currencies apart.
    #[test]
    fn accounts_balance_currency_by_currency() {
        let row = |account: &str, currency: &str, debit, credit| AccountRow {
            account: account.to_owned(),
            currency: currency.parse().unwrap(),
            debit,
            credit,
        };
        let rows = vec![
            row("cash/transfer", "EUR", 100, 0),
            row("credit", "EUR", 20, 20),
            row("receivable", "EUR", 119, 100),
            row("revenue", "EUR", 0, 119),
            row("unbilled", "JPY", 7, 7),
        ];
        let balances = balances(rows).unwrap();
        let sums: Vec<_> = balances.iter().map(|b| (b.currency.code(), b.debit.minor(), b.credit.minor())).collect();
        assert_eq!(sums, [("EUR", 119, 119), ("JPY", 0, 0)]);
        assert_eq!(balances[0].accounts[2].debit.minor(), 19);
        assert_eq!(balances[0].accounts[3].credit.minor(), 119);
        assert!(super::balances(vec![row("a", "EUR", i64::MAX, -1)]).is_none());
    }

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let place = ("receivable/sub_1".to_owned(), Uuid::from_u128(7), 1);
        assert_eq!(Place(place.clone()).to_string().parse::<Place>().unwrap().0, place);
        for wrong in ["", ".", "..", "a.b.c", "a\u{0}.00000000000000000000000000000007.1", "receivable.7"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
