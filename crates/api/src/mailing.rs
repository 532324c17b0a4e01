//! Mail as a job: events are the outbox. What is to be told of an event is written in the transaction that
//! moves on in the feed, so that an event is mailed once whatever crashes; then it is sent, and what came of it recorded.
//! A crash between sending and recording sends again, under the same Message-ID.
//!
//! Mail keeps real time, whatever the test clock says. Addresses and texts are in no log.

pub mod post;

mod compose;
mod letters;

use crate::app::schedule;
use crate::state::State;
use actix_web::web::Data;
use chrono::TimeDelta;
use compose::Desk;
use futures_util::{StreamExt, stream};
use kernel::{Clock, SystemClock, Timestamp};
use post::{Post, Sent};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::mails::{self, Cursor, MailRow, News};
use store::{Db, StoreError, audit, leases};
use tokio::sync::watch;

/// How often the job looks whether there is something to tell.
const LOOK: Duration = Duration::from_secs(1);
/// How often it does while there is no server that takes mail.
const AWAY: Duration = Duration::from_secs(5);
/// Name of the lease under which mail is sent.
const LEASE: &str = "mail";
/// How long the lease is held without renewal. Work that takes longer may meet another process, which the cursor and the
/// claims keep from doing anything twice.
const LEASE_SECONDS: i64 = 10;
/// Events that are told of in one transaction, and mails that are sent before the lease is renewed.
const STRIDE: i64 = 50;
/// Blocks that are looked at in one statement.
const BLOCKS: i64 = 5_000;
/// Mails that are sent at a time.
const AT_ONCE: usize = 4;
/// How long nobody else sends a mail that is being sent: longer than it may take.
const CLAIM_SECONDS: i64 = 60;
/// Pause after the first try; each is twice the one before.
const PAUSE_SECONDS: i64 = 5;
/// The longest pause.
const LONGEST_PAUSE_SECONDS: i64 = 4 * 3600;
/// How long a mail is tried.
const GIVE_UP_DAYS: i64 = 3;

/// Events are told of from here on: on a database that never had mail, those to come.
///
/// # Errors
/// The store's.
pub async fn begin(db: &Db) -> Result<(), StoreError> {
    if mails::cursor(db).await?.is_none() {
        let from = mails::before(audit::last_number(db).await?.saturating_add(1));
        db.write("mail-begin", async |tx| mails::begin(tx, from).await).await?;
    }
    Ok(())
}

/// Tells of what happens, until told to stop. Without a server that takes mail (`post`), what happens is passed by, so that
/// nobody is told of it when there is one. `url` is where people reach the pages.
pub async fn keep_mailing(state: Data<State>, post: Option<Post>, url: String, mut stop: watch::Receiver<bool>) {
    let seller = state.config.seller.name.to_string();
    let desk = Desk { db: state.db.clone(), schedule: schedule(&state.config), seller, url };
    let mut round = Round { state: &state, desk: &desk, post: post.as_ref(), stop: stop.clone() };
    loop {
        let pause = match round.go().await {
            Ok(false) => LOOK,
            Ok(true) => AWAY,
            Err(error) => {
                tracing::debug!(%error, "mail waits; it goes on by itself");
                LOOK
            }
        };
        tokio::select! {
            _ = stop.changed() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One look at what there is to tell and to send.
struct Round<'a> {
    state: &'a State,
    desk: &'a Desk,
    post: Option<&'a Post>,
    stop: watch::Receiver<bool>,
}

impl Round<'_> {
    /// Does what there is to do; whether no server could be asked.
    async fn go(&mut self) -> Result<bool, StoreError> {
        let db = &self.state.db;
        let Some(from) = mails::cursor(db).await? else { return Ok(false) };
        let head = audit::last_number(db).await?;
        let Some(post) = self.post else {
            if from.0 <= head {
                let to = mails::before(head.saturating_add(1));
                db.write("mail-pass", async |tx| mails::advance(tx, from, to).await).await?;
            }
            return Ok(false);
        };
        if from.0 > head && mails::due(db, SystemClock.now(), 1).await?.is_empty() {
            return Ok(false);
        }
        if !self.lease().await? {
            return Ok(false);
        }
        let away = match self.tell(from, head).await {
            Ok(()) => self.send(post).await,
            Err(error) => Err(error),
        };
        let process = self.state.process;
        let given: Result<(), StoreError> =
            db.write("mail", async |tx| leases::give_back(tx, LEASE, process).await).await;
        if let Err(error) = given {
            tracing::debug!(%error, "the lease of mail runs out by itself");
        }
        away
    }

    /// Takes or renews the lease; false where another process has it.
    async fn lease(&self) -> Result<bool, StoreError> {
        let now = SystemClock.now();
        let (until, process) = (now + TimeDelta::seconds(LEASE_SECONDS), self.state.process);
        let taken: Result<_, StoreError> =
            self.state.db.write("mail", async |tx| leases::take(tx, LEASE, process, now, until).await).await;
        Ok(taken?.is_some())
    }

    fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Writes the mails of what happened after `from` in blocks up to `head`.
    async fn tell(&self, mut from: Cursor, head: i64) -> Result<(), StoreError> {
        while from.0 <= head && !self.stopping() {
            let until = head.min(from.0.saturating_add(BLOCKS));
            let news = mails::news(&self.state.db, from, until, STRIDE).await?;
            let all = i64::try_from(news.len()).unwrap_or(STRIDE) < STRIDE;
            let to = match news.last() {
                Some(last) if !all => last.cursor,
                _ => mails::before(until.saturating_add(1)),
            };
            let mut written = Vec::new();
            for event in &news {
                written.extend(self.written(event).await?);
            }
            let moved = self.state.db.write("mail-queue", async |tx| {
                if !mails::advance(tx, from, to).await? {
                    return Ok::<_, StoreError>(false);
                }
                for mail in &written {
                    mails::queue(tx, mail).await?;
                }
                Ok(true)
            });
            if !moved.await? {
                return Ok(());
            }
            from = to;
        }
        Ok(())
    }

    /// The mails of an event. One whose facts cannot be read keeps no other from being told.
    async fn written(&self, news: &News) -> Result<Vec<MailRow>, StoreError> {
        let composed = match self.desk.compose(news).await {
            Ok(composed) => composed,
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            Err(error) => {
                tracing::error!(event = %news.id, kind = news.kind, %error, "nobody can be told of an event");
                count("untold");
                None
            }
        };
        let Some((letter, to)) = composed else { return Ok(Vec::new()) };
        let queued_at = SystemClock.now();
        let mail = |recipient| MailRow {
            event: news.id,
            recipient,
            kind: news.kind.clone(),
            subject: letter.subject.clone(),
            body: letter.body.clone(),
            tries: 0,
            queued_at,
        };
        Ok(to.into_iter().map(mail).collect())
    }

    /// Sends what waits; whether no server could be asked, so that the others wait too.
    async fn send(&self, post: &Post) -> Result<bool, StoreError> {
        while !self.stopping() {
            let due = mails::due(&self.state.db, SystemClock.now(), STRIDE).await?;
            if due.is_empty() || !self.lease().await? {
                return Ok(false);
            }
            // What was begun is brought to its end, so that nothing is sent that nobody records.
            let away = AtomicBool::new(false);
            let sending = stream::iter(&due).map(|mail| self.send_one(post, mail, &away)).buffer_unordered(AT_ONCE);
            let came: Vec<_> = sending.collect().await;
            came.into_iter().collect::<Result<(), _>>()?;
            if away.into_inner() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sends a mail and records what came of it; nothing once no server could be asked (`away`).
    async fn send_one(&self, post: &Post, mail: &MailRow, away: &AtomicBool) -> Result<(), StoreError> {
        if self.stopping() || away.load(Ordering::Relaxed) {
            return Ok(());
        }
        let until = SystemClock.now() + TimeDelta::seconds(CLAIM_SECONDS);
        if !self.state.db.write("mail-claim", async |tx| mails::claim(tx, mail, until).await).await? {
            return Ok(());
        }
        let sent = post.send(mail).await;
        if matches!(sent, Sent::Away(_)) {
            away.store(true, Ordering::Relaxed);
        }
        self.record(mail, &sent).await
    }

    async fn record(&self, mail: &MailRow, sent: &Sent) -> Result<(), StoreError> {
        let (db, now) = (&self.state.db, SystemClock.now());
        let (accepted, reason) = match sent {
            Sent::Accepted => (true, ""),
            Sent::Refused(reason) | Sent::Later(reason) => (false, reason.as_str()),
            Sent::Away(reason) => (false, *reason),
        };
        let next = match sent {
            Sent::Later(_) | Sent::Away(_) => again_at(mail, now),
            Sent::Accepted | Sent::Refused(_) => None,
        };
        match next {
            Some(next) => db.write("mail-again", async |tx| mails::put_off(tx, mail, reason, next).await).await?,
            None => db.write("mail-done", async |tx| mails::settle(tx, mail, accepted, reason, now).await).await?,
        }
        let (event, kind) = (mail.event, mail.kind.as_str());
        match (accepted, next) {
            (true, _) => {
                tracing::debug!(%event, kind, "a mail was sent");
                count("sent");
            }
            (false, Some(_)) => {
                tracing::info!(%event, kind, reason, "a mail is sent later");
                count("later");
            }
            (false, None) => {
                tracing::warn!(%event, kind, reason, "a mail cannot be sent");
                count("failed");
            }
        }
        Ok(())
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("mails_total", "outcome" => outcome).increment(1);
}

/// When a mail that was not taken is tried again; never, once that is longer than it is tried.
fn again_at(mail: &MailRow, now: Timestamp) -> Option<Timestamp> {
    let doubled = u32::try_from(mail.tries).ok().and_then(|tries| 2_i64.checked_pow(tries));
    let pause = doubled.and_then(|times| times.checked_mul(PAUSE_SECONDS)).unwrap_or(LONGEST_PAUSE_SECONDS);
    let next = now + TimeDelta::seconds(pause.min(LONGEST_PAUSE_SECONDS));
    (next <= mail.queued_at + TimeDelta::days(GIVE_UP_DAYS)).then_some(next)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    /// Pauses double up to four hours, and end after three days, whatever the number of tries.
    #[test]
    fn pauses_grow_and_end() {
        let queued_at = kernel::parse_rfc3339("2018-05-01T00:00:00Z").unwrap();
        let mail = |tries| MailRow {
            event: kernel::EventId::from_uuid(uuid::Uuid::nil()),
            recipient: String::new(),
            kind: String::new(),
            subject: String::new(),
            body: String::new(),
            tries,
            queued_at,
        };
        let pause = |tries| again_at(&mail(tries), queued_at).map(|at| (at - queued_at).num_seconds());
        for (tries, expected) in
            [(0, 5), (1, 10), (2, 20), (11, 10_240), (12, 14_400), (99, 14_400), (i64::MAX, 14_400)]
        {
            assert_eq!(pause(tries), Some(expected), "{tries}");
        }
        let (mut now, mut tries) = (queued_at, 0);
        while let Some(next) = again_at(&mail(tries), now) {
            assert!(next > now && next <= queued_at + TimeDelta::days(GIVE_UP_DAYS));
            (now, tries) = (next, tries + 1);
        }
        assert!((25..35).contains(&tries), "{tries}");
    }
}
