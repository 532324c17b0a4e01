//! The tables of an invoice: its lines organization by organization, tax by rate, and what it comes to.

use super::fonts::Style;
use super::sheet::{Align, MARGIN, Part, Sheet, WIDTH};
use super::{BOLD, SMALL, TEXT, leading};
use crate::words;
use kernel::Money;
use krilla::tagging::{TableHeaderScope, Tag, TagKind};
use marketplace::bill::{Bill, Line};
use std::num::NonZeroU32;

/// Between columns, hundredths of a point.
const GAP: i32 = 900;
/// The least that a column of amounts takes.
const NARROWEST: i32 = 4_600;
/// What is kept together at the foot of a page: an organization's name and the begin of its first line.
const BEGIN: i32 = 5_500;
/// Lines up to which a bill says on paper how each is worked out, which makes it six times as long.
const EXPLAINED: usize = 10_000;

/// A column by the edge that its text stands at.
#[derive(Clone, Copy)]
struct Column {
    x: i32,
    align: Align,
}

/// Where the lines' columns stand: what, net, rate, tax.
struct Columns {
    what: i32,
    net: Column,
    rate: Column,
    tax: Column,
    /// Whether lines say how they are worked out.
    explained: bool,
}

impl Columns {
    /// As wide as the widest amount takes; what is left is for the words.
    fn of(sheet: &mut Sheet, bill: &Bill) -> Self {
        let mut widest = |money: &mut dyn Iterator<Item = Money>| {
            money.map(|money| sheet.fonts.width(&words::amount(money), BOLD)).fold(NARROWEST, i32::max)
        };
        let net = widest(&mut bill.lines.iter().map(|line| line.amount).chain([bill.net]));
        let tax = widest(&mut bill.lines.iter().map(|line| line.tax).chain([bill.tax]));
        let rates = bill.taxes.iter().map(|tax| sheet.fonts.width(&words::rate(&tax.rate), TEXT));
        let rate = rates.fold(4_000, i32::max);
        let right = |x| Column { x, align: Align::Right };
        let end = MARGIN + WIDTH;
        let (rate_end, net_end) = (end - tax - GAP, end - tax - GAP - rate - GAP);
        Self {
            what: net_end - net - GAP - MARGIN,
            net: right(net_end),
            rate: right(rate_end),
            tax: right(end),
            explained: bill.lines.len() <= EXPLAINED,
        }
    }
}

fn span(columns: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(columns)
}

/// A cell of one line, at the sheet's place.
fn cell(sheet: &mut Sheet, row: &mut Part, tag: impl Into<TagKind>, text: &str, style: Style, column: Column) {
    let mut part = Part::new(tag);
    sheet.text(&mut part, text, style, (column.x, column.align));
    row.push(part);
}

const LEFT: Column = Column { x: MARGIN, align: Align::Left };

/// The lines, organization by organization with the sum of each.
pub fn lines(sheet: &mut Sheet, root: &mut Part, bill: &Bill) {
    if bill.lines.is_empty() {
        super::paragraph(sheet, root, "There are no lines.", TEXT, (MARGIN, WIDTH));
        return;
    }
    let columns = Columns::of(sheet, bill);
    if !columns.explained {
        let note = "How each line is worked out stands on the invoice's page and in its data.";
        super::paragraph(sheet, root, note, SMALL, (MARGIN, WIDTH));
        sheet.y += 600;
    }
    let heads = [
        (format!("What, amounts in {}", bill.total.currency()), LEFT),
        ("Net".to_owned(), columns.net),
        ("Rate".to_owned(), columns.rate),
        ("Tax".to_owned(), columns.tax),
    ];
    let mut table = Part::new(Tag::Table.with_summary(Some("Lines by organization".into())));
    table.push(head(sheet, &heads));
    for lines in bill.lines.chunk_by(|one, other| one.organization.id == other.organization.id) {
        let mut body = Part::new(Tag::TBody);
        if !sheet.fits(BEGIN) {
            next_page(sheet, &heads);
        }
        organization(sheet, &mut body, lines);
        for line in lines {
            body.push(row(sheet, line, &columns, &heads));
        }
        subtotal(sheet, &mut body, lines, &columns, &heads);
        table.push(body);
    }
    root.push(table);
}

fn head(sheet: &mut Sheet, heads: &[(String, Column)]) -> Part {
    let mut row = Part::new(Tag::TR);
    for (text, column) in heads {
        cell(sheet, &mut row, Tag::TH(TableHeaderScope::Column), text, BOLD, *column);
    }
    sheet.y += leading(BOLD) + 200;
    sheet.rule(true);
    sheet.y += 400;
    let mut part = Part::new(Tag::THead);
    part.push(row);
    part
}

/// The next page, with the heads of the columns again, which are read once only.
fn next_page(sheet: &mut Sheet, heads: &[(String, Column)]) {
    sheet.turn();
    for (text, column) in heads {
        sheet.beside(text, BOLD, (column.x, column.align));
    }
    sheet.y += leading(BOLD) + 200;
    sheet.rule(true);
    sheet.y += 400;
}

fn organization(sheet: &mut Sheet, body: &mut Part, lines: &[Line]) {
    let Some(first) = lines.first() else { return };
    let mut name = Part::new(Tag::TH(TableHeaderScope::Row).with_col_span(span(4)));
    sheet.y += 300;
    super::flow(sheet, &mut name, &first.organization.name, BOLD, (MARGIN, WIDTH));
    let mut row = Part::new(Tag::TR);
    row.push(name);
    body.push(row);
}

/// What the first column of a line says, from top to bottom: text on the left, a value on the right.
fn said(sheet: &mut Sheet, line: &Line, width: i32, explained: bool) -> Vec<(String, Option<String>, Style)> {
    let mut said = Vec::with_capacity(line.why.len().saturating_add(2));
    said.extend(sheet.fonts.wrapped(&line.name, TEXT, width).into_iter().map(|text| (text, None, TEXT)));
    let offer = format!("{} ({})", words::what(line), line.offer);
    said.extend(sheet.fonts.wrapped(&offer, SMALL, width).into_iter().map(|text| (text, None, SMALL)));
    for step in line.why.iter().filter(|_| explained) {
        let text = format!("{}: {}", words::step(&step.step), step.detail);
        let room = width.saturating_sub(sheet.fonts.width(&step.value, SMALL)).saturating_sub(GAP);
        // A value that leaves no room for its words stands below them.
        let (room, beside) = if room < width / 3 { (width, false) } else { (room, true) };
        let mut lines = sheet.fonts.wrapped(&text, SMALL, room);
        let last = if beside { lines.pop().unwrap_or_default() } else { String::new() };
        said.extend(lines.into_iter().map(|text| (text, None, SMALL)));
        if beside {
            said.push((last, Some(step.value.clone()), SMALL));
        } else {
            said.extend(sheet.fonts.wrapped(&step.value, SMALL, width).into_iter().map(|text| (text, None, SMALL)));
        }
    }
    said
}

fn row(sheet: &mut Sheet, line: &Line, columns: &Columns, heads: &[(String, Column)]) -> Part {
    let said = said(sheet, line, columns.what, columns.explained);
    let height =
        |lines: &[(String, Option<String>, Style)]| lines.iter().map(|(_, _, style)| leading(*style)).sum::<i32>();
    // A line stands on one page where it can.
    let whole = height(&said);
    if !sheet.fits(whole.min(BEGIN * 3)) {
        next_page(sheet, heads);
    }
    let mut row = Part::new(Tag::TR);
    let (mut what, mut amounts) = (Part::new(Tag::TD), Part::new(Tag::TR));
    let mut first = true;
    for (text, value, style) in said {
        if !sheet.fits(leading(style)) {
            next_page(sheet, heads);
        }
        if std::mem::take(&mut first) {
            cell(sheet, &mut amounts, Tag::TD, &words::amount(line.amount), TEXT, columns.net);
            cell(sheet, &mut amounts, Tag::TD, &words::rate(&line.tax_rate), TEXT, columns.rate);
            cell(sheet, &mut amounts, Tag::TD, &words::amount(line.tax), TEXT, columns.tax);
        }
        sheet.text(&mut what, &text, style, (MARGIN, Align::Left));
        if let Some(value) = value {
            sheet.text(&mut what, &value, style, (MARGIN + columns.what, Align::Right));
        }
        sheet.y += leading(style);
    }
    row.push(what);
    row.append(amounts);
    sheet.y += 250;
    row
}

fn subtotal(sheet: &mut Sheet, body: &mut Part, lines: &[Line], columns: &Columns, heads: &[(String, Column)]) {
    let Some(first) = lines.first() else { return };
    let sum = |of: fn(&Line) -> Money| {
        let zero = Money::zero(first.amount.currency());
        lines.iter().map(of).fold(zero, |sum, money| sum.checked_add(money).unwrap_or(sum))
    };
    let name = format!("Sum of {}", first.organization.name);
    let text = sheet.fonts.wrapped(&name, BOLD, columns.what);
    if !sheet.fits(leading(BOLD).saturating_mul(i32::try_from(text.len()).unwrap_or(1)) + 600) {
        next_page(sheet, heads);
    }
    sheet.rule(false);
    sheet.y += 250;
    let mut row = Part::new(Tag::TR);
    let mut head = Part::new(Tag::TH(TableHeaderScope::Row));
    let mut amounts = Part::new(Tag::TR);
    cell(sheet, &mut amounts, Tag::TD, &words::amount(sum(|line| line.amount)), BOLD, columns.net);
    cell(sheet, &mut amounts, Tag::TD, "", BOLD, columns.rate);
    cell(sheet, &mut amounts, Tag::TD, &words::amount(sum(|line| line.tax)), BOLD, columns.tax);
    for line in text {
        sheet.text(&mut head, &line, BOLD, (MARGIN, Align::Left));
        sheet.y += leading(BOLD);
    }
    row.push(head);
    row.append(amounts);
    body.push(row);
    sheet.y += 500;
}

/// What each rate applies to, and why.
pub fn taxes(sheet: &mut Sheet, root: &mut Part, bill: &Bill) {
    let end = MARGIN + WIDTH;
    let right = |x| Column { x, align: Align::Right };
    let mut width = |money: Money| sheet.fonts.width(&words::amount(money), BOLD).max(NARROWEST);
    let (net, tax) = (right(end - width(bill.tax) - GAP), right(end));
    let reason_ends = net.x - width(bill.net) - GAP;
    let heads = [
        ("Rate".to_owned(), LEFT),
        ("Why".to_owned(), Column { x: MARGIN + 6_000, align: Align::Left }),
        (format!("On, {}", bill.total.currency()), net),
        (format!("Tax, {}", bill.total.currency()), tax),
    ];
    let mut table = Part::new(Tag::Table.with_summary(Some("Tax by rate".into())));
    table.push(head(sheet, &heads));
    let mut body = Part::new(Tag::TBody);
    for line in &bill.taxes {
        let reason = sheet.fonts.wrapped(&words::reason(line), SMALL, reason_ends - MARGIN - 6_000);
        if !sheet.fits(leading(TEXT).saturating_mul(i32::try_from(reason.len()).unwrap_or(1))) {
            next_page(sheet, &heads);
        }
        let mut row = Part::new(Tag::TR);
        let mut amounts = Part::new(Tag::TR);
        cell(sheet, &mut row, Tag::TH(TableHeaderScope::Row), &words::rate(&line.rate), TEXT, LEFT);
        cell(sheet, &mut amounts, Tag::TD, &words::amount(line.net), TEXT, net);
        cell(sheet, &mut amounts, Tag::TD, &words::amount(line.tax), TEXT, tax);
        let mut why = Part::new(Tag::TD);
        for text in reason {
            sheet.text(&mut why, &text, SMALL, (MARGIN + 6_000, Align::Left));
            sheet.y += leading(TEXT);
        }
        row.push(why);
        row.append(amounts);
        body.push(row);
    }
    table.push(body);
    root.push(table);
}

/// What it comes to, what was paid, and what is open.
pub fn sums(sheet: &mut Sheet, root: &mut Part, bill: &Bill) {
    let mut rows = vec![("Net", bill.net, TEXT), ("Tax", bill.tax, TEXT), ("Total", bill.total, BOLD)];
    if !bill.paid.is_zero() {
        rows.push(("Paid or credited", bill.paid, TEXT));
    }
    let settled = bill.total.checked_sub(bill.open).and_then(|settled| settled.checked_sub(bill.paid));
    if let Some(reduced) = settled.ok().filter(|reduced| reduced.minor() > 0) {
        rows.push(("Taken off by credit notes", reduced, TEXT));
    }
    if bill.corrects.is_none() {
        rows.push(("Open", bill.open, BOLD));
    }
    let mut table = Part::new(Tag::Table.with_summary(Some("What it comes to".into())));
    let mut body = Part::new(Tag::TBody);
    for (name, money, style) in rows {
        if !sheet.fits(leading(style)) {
            sheet.turn();
        }
        let mut row = Part::new(Tag::TR);
        cell(sheet, &mut row, Tag::TH(TableHeaderScope::Row), name, style, LEFT);
        let end = Column { x: MARGIN + WIDTH, align: Align::Right };
        cell(sheet, &mut row, Tag::TD, &words::money(money), style, end);
        body.push(row);
        sheet.y += leading(style);
    }
    table.push(body);
    root.push(table);
}
