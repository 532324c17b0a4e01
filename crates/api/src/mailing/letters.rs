//! The letters' templates and what they show. Plain text: nothing in it is markup, and no name ends a line.

use askama::Template;
use billing::SubscriptionStatus;

/// A letter in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
}

/// An invoice was issued.
#[derive(Template)]
#[template(path = "mail/invoice.txt")]
pub struct Invoice<'a> {
    pub seller: String,
    pub number: &'a str,
    pub payer: String,
    pub address: String,
    pub tax_id: String,
    pub reference: String,
    pub issued_on: String,
    pub due_on: String,
    pub net: String,
    pub tax: String,
    pub total: String,
    pub paid: Option<String>,
    pub open: String,
    pub next: Paid,
    pub link: String,
}

/// How what is open of a new invoice is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paid {
    /// There is nothing.
    Nothing,
    /// The card is asked.
    Card,
    /// By the payer.
    Transfer,
}

/// Money came in.
#[derive(Template)]
#[template(path = "mail/receipt.txt")]
pub struct Receipt<'a> {
    pub seller: String,
    pub amount: &'a str,
    pub payer: String,
    pub address: String,
    pub reference: String,
    pub received_on: String,
    pub how: &'static str,
    pub bank: String,
    pub parts: Vec<Part>,
    pub credit: Option<String>,
    pub link: String,
}

/// What of a payment went to an invoice.
#[derive(Clone, Debug)]
pub struct Part {
    pub number: String,
    pub amount: String,
    pub total: String,
}

/// A credit note was issued.
#[derive(Template)]
#[template(path = "mail/credit_note.txt")]
pub struct CreditNote<'a> {
    pub seller: String,
    pub number: &'a str,
    pub invoice: String,
    pub payer: String,
    pub reference: String,
    pub issued_on: String,
    pub reason: String,
    pub net: String,
    pub tax: String,
    pub total: String,
    pub reduced: Option<String>,
    pub refunded: Option<String>,
    pub credit: Option<String>,
    pub link: String,
}

/// A card was declined.
#[derive(Template)]
#[template(path = "mail/declined.txt")]
pub struct Declined<'a> {
    pub amount: String,
    pub number: &'a str,
    pub seller: String,
    pub payer: String,
    pub reason: String,
    pub next: Next,
    pub link: String,
}

/// What comes after a card was declined, on which day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is asked again.
    Asked(String),
    /// It is not, and the subscription is disabled.
    Ended(String),
    /// Nothing.
    Nothing,
}

/// A reminder of what is not paid.
#[derive(Template)]
#[template(path = "mail/overdue.txt")]
pub struct Overdue<'a> {
    pub number: &'a str,
    pub seller: String,
    pub payer: String,
    pub reference: String,
    pub due_on: String,
    pub open: String,
    pub step: Option<i64>,
    pub steps: i64,
    pub next: Ahead,
    pub card: bool,
    pub link: String,
}

/// What comes after a reminder, on which day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// Another one.
    Reminder(String),
    /// The subscription becomes past due.
    PastDue(String),
    /// The subscription is disabled.
    Disabled(String),
    /// Nothing.
    Nothing,
}

/// A subscription stands otherwise than it did, and what that means for what was bought.
#[derive(Template)]
#[template(path = "mail/status.txt")]
pub struct Status {
    pub status: SubscriptionStatus,
    pub payer: String,
    /// Whether it was charged for nothing before.
    pub paused: bool,
    /// Whether there is something to be paid.
    pub pays: bool,
    pub link: String,
}

/// A text on one line.
pub fn line(text: &str) -> String {
    text.split(ends_a_line).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A text of lines, each but the first under the place where the first begins.
pub fn kept_lines(text: Option<&str>) -> String {
    let lines = text.unwrap_or_default().split(ends_a_line).map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n                 ")
}

fn ends_a_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}
