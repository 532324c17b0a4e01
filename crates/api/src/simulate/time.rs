//! Time goes by in a simulated market, and the product's jobs do at their hour what is due.

use super::market::Market;
use super::play::{Came, until_answered};
use super::watch;
use crate::collecting;
use crate::commands::Fault;
use crate::months;
use chrono::{NaiveDate, NaiveTime, TimeDelta};
use kernel::{Month, Timestamp};
use store::payments;

/// So many hours go by. Where the server is down meanwhile, it does afterwards what it missed.
pub async fn goes_by(market: &mut Market, hours: i64, down: bool) -> Came {
    let target = market.now() + TimeDelta::hours(hours);
    let mut done = None;
    loop {
        let due = if down { None } else { next(market, target, done).await? };
        let Some((at, day)) = due else { break };
        let told = turn(market, at).await?;
        if told.is_err() {
            return Ok(told);
        }
        if let Some(day) = day {
            collect(market).await?;
            done = Some(day);
        }
    }
    let told = turn(market, target).await?;
    collect(market).await?;
    Ok(told)
}

/// What is due next on the way to an instant: when, and for which day something is to be collected.
async fn next(
    market: &Market,
    target: Timestamp,
    done: Option<NaiveDate>,
) -> Result<Option<(Timestamp, Option<NaiveDate>)>, Fault> {
    let (db, now) = (&market.process.db, market.now());
    if market.process.is_killed() {
        return Ok(Some((now, None)));
    }
    let two = TimeDelta::hours(2);
    let month = months::first_due(db, months::due_at(target)).await?.map(|month| (month.start() + two).max(now));
    let day = payments::first_due(db, done).await?.filter(|day| *day <= months::day_at(target));
    let on = |day: NaiveDate| (day.and_time(NaiveTime::MIN).and_utc() + two).max(now);
    Ok(match (month, day) {
        (Some(month), day) if day.is_none_or(|day| month <= on(day)) => Some((month, None)),
        (_, Some(day)) => Some((on(day), Some(day))),
        (_, None) => None,
    })
}

/// The clock comes to an instant, and organizations to the month that is due then; payers get what they were told before.
async fn turn(market: &mut Market, at: Timestamp) -> Came {
    let due = months::due_at(at);
    if months::first_due(&market.process.db, due).await.is_ok_and(|first| first.is_none()) {
        market.clock.set(at);
        return Ok(Ok(String::new()));
    }
    let told = until_answered!(market, watch::promises(market))?;
    market.clock.set(at);
    let terms = crate::app::terms(&market.config);
    let ran = until_answered!(market, run(market, &terms, due))?;
    if ran.failed > 0 {
        return Ok(Err(format!("a month's turn fails for {} organizations and payers", ran.failed)));
    }
    market.turn_all(due);
    market.look().await?;
    Ok(watch::kept(market, &told).await?.map(|()| String::new()))
}

async fn run(
    market: &Market,
    terms: &marketplace::invoicing::Terms,
    due: Month,
) -> Result<months::Ran, store::StoreError> {
    let work = months::Work::alone(&market.process.db, &market.process.till, terms);
    months::run(&work, due, market.now()).await
}

async fn collect(market: &mut Market) -> Result<(), Fault> {
    until_answered!(market, collecting::run(&market.collecting()))?;
    market.resume().await
}
