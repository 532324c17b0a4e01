//! Mail: how far the events were read for it, what waits to be sent, and what came of it. Instants are real time.

use crate::row::Row;
use crate::{Reads, StoreError, Tx};
use kernel::{EventId, Timestamp, micros};
use sea_orm::QueryResult;

/// A place among the chained events: the number of a block and a place in it, after which the next are read.
pub type Cursor = (i64, i64);

/// The place before the first event of a block.
#[must_use]
pub const fn before(number: i64) -> Cursor {
    (number, -1)
}

/// How far the events were read; none where they never were.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn cursor(reads: &impl Reads) -> Result<Option<Cursor>, StoreError> {
    let rows = reads.rows("SELECT number, place FROM mail_cursor WHERE name = 'mail'", vec![]).await?;
    rows.first().map(|row| Ok((row.int("number")?, row.int("place")?))).transpose()
}

/// Events are read from here on, where they never were read before.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn begin(tx: &Tx, from: Cursor) -> Result<(), StoreError> {
    let sql = "INSERT INTO mail_cursor (name, number, place) VALUES ('mail', $1, $2) ON CONFLICT DO NOTHING";
    tx.execute(sql, vec![from.0.into(), from.1.into()]).await?;
    Ok(())
}

/// Events were read from one place to another; false where somebody else read them meanwhile.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn advance(tx: &Tx, from: Cursor, to: Cursor) -> Result<bool, StoreError> {
    let sql = "UPDATE mail_cursor SET number = $3, place = $4 WHERE name = 'mail' AND number = $1 AND place = $2";
    let moved = tx.execute(sql, vec![from.0.into(), from.1.into(), to.0.into(), to.1.into()]).await?;
    Ok(moved == 1)
}

/// An event that somebody is to be told of.
#[derive(Clone, Debug)]
pub struct News {
    /// Its id.
    pub id: EventId,
    /// Its place.
    pub cursor: Cursor,
    /// What happened.
    pub kind: String,
    /// When, in business time.
    pub at: Timestamp,
    /// Facts by ids, JSON.
    pub public: String,
}

/// Chained events that somebody is to be told of, after a place, in blocks up to `until`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn news(reads: &impl Reads, after: Cursor, until: i64, limit: i64) -> Result<Vec<News>, StoreError> {
    let rows = reads
        .rows(
            "SELECT e.id, b.number, e.place, e.kind, e.at, e.public FROM blocks b JOIN events e ON e.block_id = b.id \
             WHERE b.number >= $1 AND b.number <= $3 AND (b.number > $1 OR e.place > $2) \
             AND e.kind IN ('invoice.issued', 'invoice.overdue', 'payment.received', 'payment.declined', 'credit_note.issued', \
                'subscription.status_changed') \
             ORDER BY b.number, e.place LIMIT $4",
            vec![after.0.into(), after.1.into(), until.into(), limit.into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(News {
                id: row.id("id")?,
                cursor: (row.int("number")?, row.int("place")?),
                kind: row.text("kind")?,
                at: row.instant("at")?,
                public: row.text("public")?,
            })
        })
        .collect()
}

/// A mail that waits.
#[derive(Clone, Debug)]
pub struct MailRow {
    /// The event that it tells of.
    pub event: EventId,
    /// The address that it goes to.
    pub recipient: String,
    /// What happened.
    pub kind: String,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub body: String,
    /// How often it was tried.
    pub tries: i64,
    /// When it was written.
    pub queued_at: Timestamp,
}

/// Writes a mail to be sent at once; one of an event to an address that was written before stays as it is.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn queue(tx: &Tx, mail: &MailRow) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO mails (event_id, recipient, kind, subject, body, state, tries, reason, queued_at, next_at, settled_at) \
         VALUES ($1, $2, $3, $4, $5, 'waiting', $6, '', $7, $7, 0) ON CONFLICT DO NOTHING",
        vec![
            mail.event.uuid().into(),
            mail.recipient.as_str().into(),
            mail.kind.as_str().into(),
            mail.subject.as_str().into(),
            mail.body.as_str().into(),
            mail.tries.into(),
            micros(mail.queued_at).into(),
        ],
    )
    .await?;
    Ok(())
}

fn mail(row: &QueryResult) -> Result<MailRow, StoreError> {
    Ok(MailRow {
        event: row.id("event_id")?,
        recipient: row.text("recipient")?,
        kind: row.text("kind")?,
        subject: row.text("subject")?,
        body: row.text("body")?,
        tries: row.int("tries")?,
        queued_at: row.instant("queued_at")?,
    })
}

/// Mails whose turn has come, those first that wait longest.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn due(reads: &impl Reads, now: Timestamp, limit: i64) -> Result<Vec<MailRow>, StoreError> {
    let sql = "SELECT event_id, recipient, kind, subject, body, tries, queued_at FROM mails \
         WHERE state = 'waiting' AND next_at <= $1 ORDER BY next_at, event_id, recipient LIMIT $2";
    reads.rows(sql, vec![micros(now).into(), limit.into()]).await?.iter().map(mail).collect()
}

/// Says that a mail is being sent, and nobody else is to before `until`; false where somebody else does.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn claim(tx: &Tx, mail: &MailRow, until: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE mails SET tries = tries + 1, next_at = $4 \
         WHERE event_id = $1 AND recipient = $2 AND tries = $3 AND state = 'waiting'";
    let values =
        vec![mail.event.uuid().into(), mail.recipient.as_str().into(), mail.tries.into(), micros(until).into()];
    Ok(tx.execute(sql, values).await? == 1)
}

/// A mail is tried again at `next`, for `reason`.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn put_off(tx: &Tx, mail: &MailRow, reason: &str, next: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE mails SET reason = $3, next_at = $4 WHERE event_id = $1 AND recipient = $2 AND state = 'waiting'";
    tx.execute(sql, vec![mail.event.uuid().into(), mail.recipient.as_str().into(), reason.into(), micros(next).into()])
        .await?;
    Ok(())
}

/// A mail is sent, or given up for `reason`; what was written is kept no longer.
///
/// # Errors
/// As [`StoreError`] says.
pub async fn settle(tx: &Tx, mail: &MailRow, sent: bool, reason: &str, at: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE mails SET state = $3, reason = $4, settled_at = $5, subject = '', body = '' \
         WHERE event_id = $1 AND recipient = $2 AND state = 'waiting'";
    tx.execute(
        sql,
        vec![
            mail.event.uuid().into(),
            mail.recipient.as_str().into(),
            if sent { "sent" } else { "failed" }.into(),
            reason.into(),
            micros(at).into(),
        ],
    )
    .await?;
    Ok(())
}
