//! An invoice on paper: PDF/A-3a for keeping and PDF/UA-1 for reading aloud, both checked by the writer, which refuses to
//! write a file that does not conform.

mod fonts;
mod sheet;
mod table;

use crate::{Fault, words};
use chrono::Datelike;
use fonts::{Fonts, Style};
use krilla::configure::{Accessibility, Archival, ConfigurationBuilder};
use krilla::destination::XyzDestination;
use krilla::geom::Point;
use krilla::metadata::{DateTime, Metadata};
use krilla::outline::{Outline, OutlineNode};
use krilla::tagging::Tag;
use krilla::{Document, SerializeSettings};
use marketplace::bill::{Bill, Corrects};
use sheet::{Align, MARGIN, Part, Sheet, WIDTH};
use std::num::NonZeroU16;

const TEXT: Style = Style { size: 900, bold: false, soft: false };
const BOLD: Style = Style { size: 900, bold: true, soft: false };
const SMALL: Style = Style { size: 750, bold: false, soft: true };
const TITLE: Style = Style { size: 1_800, bold: true, soft: false };
const HEADING: Style = Style { size: 1_100, bold: true, soft: false };
/// What a line takes for its size, in percent.
const LEADING: i32 = 140;

fn leading(style: Style) -> i32 {
    style.size.saturating_mul(LEADING) / 100
}

/// An invoice as PDF.
///
/// # Errors
/// [`Fault::Written`] where the writer does not take it, which is a fault of ours whatever the bill holds.
pub fn pdf(bill: &Bill) -> Result<Vec<u8>, Fault> {
    let mut sheet = Sheet::new(Fonts::new()?);
    let mut root = Part::new(Tag::Part);
    let mut outline = Outline::new();
    let kind = if bill.corrects.is_some() { "Credit note" } else { "Invoice" };
    let title = bill.number.as_ref().map_or_else(|| "Next invoice, as it stands".to_owned(), |n| format!("{kind} {n}"));
    heading(&mut sheet, &mut root, &mut outline, (&title, TITLE, 1));
    sheet.y += 600;
    parties(&mut sheet, &mut root, bill);
    sheet.y += 1_600;
    table::lines(&mut sheet, &mut root, bill);
    sheet.y += 1_400;
    keep(&mut sheet, 12_000);
    heading(&mut sheet, &mut root, &mut outline, ("Tax", HEADING, 2));
    table::taxes(&mut sheet, &mut root, bill);
    sheet.y += 1_400;
    keep(&mut sheet, 14_000);
    heading(&mut sheet, &mut root, &mut outline, ("Sum", HEADING, 2));
    table::sums(&mut sheet, &mut root, bill);
    sheet.y += 1_400;
    keep(&mut sheet, 8_000);
    let (head, text) = match &bill.corrects {
        Some(corrects) => ("Why", why(corrects)),
        None => ("How to pay", how_to_pay(bill)),
    };
    heading(&mut sheet, &mut root, &mut outline, (head, HEADING, 2));
    paragraph(&mut sheet, &mut root, &text, TEXT, (MARGIN, WIDTH));
    let mut document = Document::new_with(SerializeSettings { configuration: conformity()?, ..Default::default() });
    document.set_metadata(metadata(bill, &title));
    document.set_outline(outline);
    let seller = bill.parties.as_ref().map(|parties| parties.seller.name.as_str()).unwrap_or_default();
    sheet.finish(document, &format!("{title} · {seller}"), root)
}

fn conformity() -> Result<krilla::configure::Configuration, Fault> {
    ConfigurationBuilder::new()
        .with_archival_validator(Archival::A3_A)
        .with_accessibility_validator(Accessibility::UA1)
        .finish()
        .map_err(Fault::written)
}

/// What the file says of itself: nothing but what the bill holds, so that a bill is always the same file.
fn metadata(bill: &Bill, title: &str) -> Metadata {
    let part = |number: u32| u8::try_from(number).unwrap_or(1);
    let on = bill.issued_on;
    let date = DateTime::new(u16::try_from(on.year()).unwrap_or(1)).month(part(on.month())).day(part(on.day()));
    let seller = bill.parties.as_ref().map(|parties| parties.seller.name.clone());
    Metadata::new()
        .title(title.to_owned())
        .language("en".into())
        .creation_date(date)
        .authors(seller.into_iter().collect())
        .document_id(bill.id.map(|id| id.to_string()).unwrap_or_default())
}

/// Turns the page where so much does not fit on it.
fn keep(sheet: &mut Sheet, height: i32) {
    if !sheet.fits(height) {
        sheet.turn();
    }
}

fn heading(sheet: &mut Sheet, root: &mut Part, outline: &mut Outline, (text, style, level): (&str, Style, u16)) {
    let mut part = Part::new(Tag::Hn(NonZeroU16::MIN.saturating_add(level.saturating_sub(1)), Some(text.to_owned())));
    let at = Point::from_xy(fonts::points(MARGIN), fonts::points(sheet.y));
    outline.push_child(OutlineNode::new(text.to_owned(), XyzDestination::new(sheet.page(), at)));
    flow(sheet, &mut part, text, style, (MARGIN, WIDTH));
    sheet.y += 300;
    root.push(part);
}

fn paragraph(sheet: &mut Sheet, root: &mut Part, text: &str, style: Style, place: (i32, i32)) {
    let mut part = Part::new(Tag::P);
    flow(sheet, &mut part, text, style, place);
    root.push(part);
}

/// Text over as many lines, and pages, as it takes.
fn flow(sheet: &mut Sheet, part: &mut Part, text: &str, style: Style, (x, width): (i32, i32)) {
    for line in sheet.fonts.wrapped(text, style, width) {
        keep(sheet, leading(style));
        sheet.text(part, &line, style, (x, Align::Left));
        sheet.y += leading(style);
    }
}

/// Seller, payer and the facts of the invoice, beside each other.
fn parties(sheet: &mut Sheet, root: &mut Part, bill: &Bill) {
    let (mut from, mut to) = (Vec::new(), Vec::new());
    if let Some(parties) = &bill.parties {
        let (seller, payer, profile) = (&parties.seller, &parties.payer, &parties.payer.profile);
        let tax_id = |id: &str| if id.is_empty() { String::new() } else { format!("Tax number {id}") };
        from =
            vec![seller.name.clone(), seller.address.clone(), words::country(seller.country), tax_id(&seller.tax_id)];
        to = vec![
            payer.name.clone(),
            profile.address.clone().unwrap_or_default(),
            words::country(payer.country),
            tax_id(profile.tax_id.as_deref().unwrap_or_default()),
            profile.email.as_ref().map(ToString::to_string).unwrap_or_default(),
        ];
    }
    let order = bill.parties.as_ref().and_then(|parties| parties.payer.profile.purchase_order.clone());
    let mut facts = vec![format!("Issued {}", words::date(bill.issued_on))];
    if let Some(of) = &bill.corrects {
        facts.push(format!("Corrects invoice {} of {}", of.number, words::date(of.issued_on)));
    } else {
        facts.push(format!("For {}", words::month(bill.month)));
        facts.push(format!("To be paid by {}", words::date(bill.due_on)));
    }
    facts.extend(order.map(|order| format!("Your reference {order}")));
    let kind = if bill.corrects.is_some() { "Credit note" } else { "Invoice" };
    let (page, top) = (sheet.page(), sheet.y);
    let column = WIDTH / 3;
    let mut lowest = top;
    for (at, (head, texts)) in (0..).zip([("From", from), ("To", to), (kind, facts)]) {
        // A column that went over the page has the next ones begin below it.
        if sheet.page() == page {
            sheet.y = top;
        }
        let place = (MARGIN + column * at, column - 800);
        let mut part = Part::new(Tag::P);
        flow(sheet, &mut part, head, BOLD, place);
        for text in texts.iter().filter(|text| !text.is_empty()) {
            flow(sheet, &mut part, text, TEXT, place);
        }
        root.push(part);
        lowest = if sheet.page() == page { lowest.max(sheet.y) } else { sheet.y };
    }
    sheet.y = lowest;
}

fn why(of: &Corrects) -> String {
    format!(
        "{}\nWhat was open of invoice {} is owed no more by so much; what had been paid is paid back or kept as credit, which \
         invoices use.",
        of.reason, of.number
    )
}

fn how_to_pay(bill: &Bill) -> String {
    let (Some(number), true) = (&bill.number, bill.open.minor() > 0) else {
        return if bill.number.is_some() {
            "Nothing is left to be paid.".into()
        } else {
            "This is not an invoice yet, and there is nothing to be paid.".into()
        };
    };
    format!(
        "{} is to be paid by {}. With a transfer give {number} as the reference. Where the subscription has a card, it is \
         charged, and there is nothing to be done.",
        words::money(bill.open),
        words::date(bill.due_on)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests;
