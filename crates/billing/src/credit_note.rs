//! What a credit note comes to. Pure.
//!
//! Tax was taken once on the sum of a rate; so it is given back: what the credited part of that sum has as its part of the
//! tax, rounded once, less what was given back before. However an invoice is credited, the last part brings it to nothing.

use crate::invoice::{Sums, TaxSum};
use crate::ledger;
use kernel::{ChargeId, CountryCode, SubscriptionId, share_by_largest_remainder};
use std::collections::{BTreeMap, HashMap};
use store::credit_notes::CreditedLine;
use store::payments::Posting;

/// What is to be credited of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The line's charge.
    pub charge: ChargeId,
    /// Before tax, minor units.
    pub amount: i64,
}

/// Why nothing is credited. Places count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The invoice has no such line.
    NoSuchLine(usize),
    /// The line was named before.
    Twice(usize),
    /// Nothing, or less.
    NotPositive(usize),
    /// More than is left of it, which is so much.
    TooMuch(usize, i64),
    /// Nothing is left of the invoice, or no line is named.
    Nothing,
}

/// A line of a credit note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftLine {
    /// The invoice's line.
    pub of: CreditedLine,
    /// What is credited before tax, minor units.
    pub net: i64,
    /// Its part of the tax, minor units.
    pub tax: i64,
}

/// A credit note before it has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// In the order of the invoice.
    pub lines: Vec<DraftLine>,
    /// What it comes to.
    pub sums: Sums,
}

/// Works out a credit note on an invoice with these lines and this tax, of the lines that are wanted, or of all that is left.
///
/// # Errors
/// [`Fault`].
pub fn decide(lines: &[CreditedLine], taxes: &[TaxSum], wanted: Option<&[Wanted]>) -> Result<Draft, Fault> {
    let nets = match wanted {
        Some(wanted) => chosen(lines, wanted)?,
        None => lines.iter().map(|line| line.amount.saturating_sub(line.credited)).collect(),
    };
    let mut drafted: Vec<DraftLine> = lines
        .iter()
        .zip(nets)
        .filter(|(_, net)| *net != 0)
        .map(|(line, net)| DraftLine { of: line.clone(), net, tax: 0 })
        .collect();
    let mut sums = Sums { taxes: Vec::new(), net: 0, tax: 0, total: 0 };
    for of in taxes {
        let group = |line: &&CreditedLine| line.tax_rate == of.rate;
        let before: i64 = lines.iter().filter(group).map(|line| line.credited).sum();
        let weights: Vec<i64> =
            drafted.iter().filter(|line| line.of.tax_rate == of.rate).map(|line| line.net).collect();
        let net: i64 = weights.iter().sum();
        if weights.is_empty() {
            continue;
        }
        let after = before.saturating_add(net);
        // Lines below zero may leave less of the sum than of the others.
        if after > of.net.max(0) && wanted.is_some() {
            return Err(Fault::TooMuch(0, of.net.saturating_sub(before)));
        }
        let tax = part(of.tax, after, of.net).saturating_sub(part(of.tax, before, of.net));
        let places = drafted.iter_mut().filter(|line| line.of.tax_rate == of.rate);
        for (line, share) in places.zip(share_by_largest_remainder(tax, &weights)) {
            line.tax = share;
        }
        sums.net = sums.net.saturating_add(net);
        sums.tax = sums.tax.saturating_add(tax);
        sums.taxes.push(TaxSum { rate: of.rate.clone(), net, tax });
    }
    sums.total = sums.net.saturating_add(sums.tax);
    if sums.total <= 0 { Err(Fault::Nothing) } else { Ok(Draft { lines: drafted, sums }) }
}

/// What is wanted of each of the lines, in their order.
fn chosen(lines: &[CreditedLine], wanted: &[Wanted]) -> Result<Vec<i64>, Fault> {
    let places: HashMap<ChargeId, usize> = (0..).zip(lines).map(|(place, line)| (line.charge, place)).collect();
    let mut nets = vec![0; lines.len()];
    for (at, want) in wanted.iter().enumerate() {
        let place = *places.get(&want.charge).ok_or(Fault::NoSuchLine(at))?;
        let (line, net) = lines.get(place).zip(nets.get_mut(place)).ok_or(Fault::NoSuchLine(at))?;
        if *net != 0 {
            return Err(Fault::Twice(at));
        }
        if want.amount <= 0 {
            return Err(Fault::NotPositive(at));
        }
        let left = line.amount.saturating_sub(line.credited);
        if want.amount > left {
            return Err(Fault::TooMuch(at, left));
        }
        *net = want.amount;
    }
    Ok(nets)
}

/// What `part` of `whole` has of `sum`, rounded half away from zero; all of it is all of it.
fn part(sum: i64, part: i64, whole: i64) -> i64 {
    let (product, whole) = (i128::from(sum) * i128::from(part), i128::from(whole));
    if whole == 0 {
        return 0;
    }
    let (product, whole) = if whole < 0 { (-product, -whole) } else { (product, whole) };
    let half = if product < 0 { -whole } else { whole };
    // No part is larger than the sum, so it fits where that did.
    i64::try_from((product * 2 + half) / (whole * 2)).unwrap_or(sum)
}

/// The postings of the charges that are credited, each charge's in order: debit, credit, minor units.
pub type OfCharges = BTreeMap<ChargeId, Vec<(String, String, i64)>>;

/// The postings of a credit note: its part of what the charges and the invoice posted, debit and credit changed over;
/// what was paid of it already becomes credit.
#[must_use]
pub fn postings(
    payer: SubscriptionId,
    country: CountryCode,
    draft: &Draft,
    rest: i64,
    charged: &OfCharges,
) -> Vec<Posting> {
    let receivable = ledger::receivable(payer);
    let mut all: Vec<(String, String, i64)> = Vec::new();
    for line in &draft.lines {
        let of = charged.get(&line.of.charge).map(Vec::as_slice).unwrap_or_default();
        all.extend(mirrored(line, of));
    }
    all.push((ledger::unbilled(payer), receivable.clone(), draft.sums.net));
    all.push((ledger::tax(country), receivable.clone(), draft.sums.tax));
    all.push((receivable, ledger::credit(payer), rest));
    let some = all.into_iter().filter(|(_, _, amount)| *amount > 0);
    (0..).zip(some).map(|(leg, (debit, credit, amount))| (leg, debit, credit, amount)).collect()
}

/// A line's part of what its charge posted: that of each posting but the first by what was credited so far, less what was
/// before; the first has what is left, as it had of the charge.
fn mirrored(line: &DraftLine, charged: &[(String, String, i64)]) -> Vec<(String, String, i64)> {
    let (before, after) = (line.of.credited, line.of.credited.saturating_add(line.net));
    let mut parts: Vec<(String, String, i64)> = Vec::with_capacity(charged.len());
    let mut first = line.net.abs();
    for (debit, credit, amount) in charged.iter().skip(1) {
        let amount = part(*amount, after, line.of.amount).saturating_sub(part(*amount, before, line.of.amount));
        first = first.saturating_sub(amount);
        parts.push((credit.clone(), debit.clone(), amount));
    }
    if let Some((debit, credit, _)) = charged.first() {
        parts.insert(0, (credit.clone(), debit.clone(), first));
    }
    parts
}

/// How much is paid back of each of the payments, in their order, of `amount`; the rest was not paid by them.
#[must_use]
pub fn split<T: Copy>(amount: i64, payments: &[(T, i64)]) -> (Vec<(T, i64)>, i64) {
    let (mut parts, mut rest) = (Vec::new(), amount);
    for (payment, left) in payments {
        let part = rest.min(*left);
        if part > 0 {
            parts.push((*payment, part));
            rest = rest.saturating_sub(part);
        }
    }
    (parts, rest)
}

/// The counter that numbers of credit notes of a prefix, series and year are taken from.
#[must_use]
pub fn counter(series: &str, year: i32) -> String {
    format!("credit_note/{series}/{year}")
}

/// The series of credit notes beside a series of invoices: `CN-P` beside `P`.
#[must_use]
pub fn series(prefix: &str, invoices: &str) -> String {
    if invoices.is_empty() { prefix.to_owned() } else { format!("{prefix}-{invoices}") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;
    use kernel::Currency;
    use proptest::prelude::*;

    fn charge(n: usize) -> ChargeId {
        ChargeId::from_uuid(uuid::Uuid::from_u64_pair(7, n as u64))
    }

    fn lines(of: &[(&str, i64)]) -> Vec<CreditedLine> {
        let line = |(n, (rate, amount)): (usize, &(&str, i64))| CreditedLine {
            charge: charge(n),
            tax_rate: (*rate).to_owned(),
            amount: *amount,
            credited: 0,
        };
        of.iter().enumerate().map(line).collect()
    }

    fn sums(lines: &[CreditedLine], currency: &str) -> Sums {
        let parts = lines.iter().map(|line| (line.tax_rate.clone(), line.amount));
        Sums::of(parts, currency.parse::<Currency>().unwrap()).unwrap()
    }

    fn want(n: usize, amount: i64) -> Wanted {
        Wanted { charge: charge(n), amount }
    }

    /// what cannot be credited, and why.
    #[test]
    fn what_is_not_left_is_not_credited() {
        let mut lines = lines(&[("20", 100), ("20", 50), ("", 0)]);
        lines[0].credited = 30;
        let taxes = sums(&lines, "USD").taxes;
        for (wanted, fault) in [
            (vec![want(0, 71)], Fault::TooMuch(0, 70)),
            (vec![want(1, 50), want(0, i64::MAX)], Fault::TooMuch(1, 70)),
            (vec![want(0, 0)], Fault::NotPositive(0)),
            (vec![want(1, 1), want(0, -1)], Fault::NotPositive(1)),
            (vec![want(0, i64::MIN)], Fault::NotPositive(0)),
            (vec![want(0, 1), want(0, 1)], Fault::Twice(1)),
            (vec![want(9, 1)], Fault::NoSuchLine(0)),
            (vec![want(2, 1)], Fault::TooMuch(0, 0)),
            (vec![], Fault::Nothing),
        ] {
            assert_eq!(decide(&lines, &taxes, Some(&wanted)), Err(fault), "{wanted:?}");
        }
        let whole = decide(&lines, &taxes, None).unwrap();
        assert_eq!((whole.sums.net, whole.sums.tax, whole.lines.len()), (120, 24, 2));
        for line in &mut lines {
            line.credited = line.amount;
        }
        assert_eq!(decide(&lines, &taxes, None), Err(Fault::Nothing));
    }

    /// credited whole, a credit note is the invoice's mirror, line by line.
    #[test]
    fn a_whole_invoice_is_mirrored() {
        let lines = lines(&[("20", 17), ("20", 446), ("", 100), ("7.5", 33), ("7.5", 33), ("7.5", 34)]);
        let sums = sums(&lines, "USD");
        let whole = decide(&lines, &sums.taxes, None).unwrap();
        assert_eq!(whole.sums, sums);
        let weights: Vec<_> = lines.iter().map(|line| (line.tax_rate.clone(), line.amount)).collect();
        assert_eq!(whole.lines.iter().map(|line| line.tax).collect::<Vec<_>>(), sums.shared(&weights));
    }

    /// a line below zero is credited with the whole only, and no part is above what is left of its rate's sum.
    #[test]
    fn a_line_below_zero_limits_the_others() {
        let lines = lines(&[("20", 100), ("20", -40)]);
        let taxes = sums(&lines, "USD").taxes;
        assert_eq!(decide(&lines, &taxes, Some(&[want(0, 61)])), Err(Fault::TooMuch(0, 60)));
        assert_eq!(decide(&lines, &taxes, Some(&[want(0, 60)])).unwrap().sums.tax, 12);
        let whole = decide(&lines, &taxes, None).unwrap();
        assert_eq!((whole.sums.net, whole.sums.tax), (60, 12));
    }

    /// the postings are those of the charges and the invoice, changed over; what was paid becomes credit.
    #[test]
    fn postings_are_the_mirror() {
        let id = SubscriptionId::from_uuid(uuid::Uuid::from_u64_pair(0, 1));
        let lines = lines(&[("20", 101)]);
        let draft = decide(&lines, &sums(&lines, "USD").taxes, None).unwrap();
        let posted = vec![("u".to_owned(), "ours".to_owned(), 20), ("u".to_owned(), "theirs".to_owned(), 81)];
        let charged = OfCharges::from([(charge(0), posted)]);
        let all = postings(id, "DE".parse().unwrap(), &draft, 21, &charged);
        let shown: Vec<_> = all.iter().map(|(leg, dr, cr, amount)| (*leg, dr.as_str(), cr.as_str(), *amount)).collect();
        let (unbilled, receivable, credit) = (ledger::unbilled(id), ledger::receivable(id), ledger::credit(id));
        assert_eq!(
            shown,
            [
                (0, "ours", "u", 20),
                (1, "theirs", "u", 81),
                (2, unbilled.as_str(), receivable.as_str(), 101),
                (3, "tax/DE", receivable.as_str(), 20),
                (4, receivable.as_str(), credit.as_str(), 21),
            ]
        );
    }

    proptest! {
        /// however an invoice is credited, in any number of parts, nothing is ever above what is left, no part
        /// of it is below zero, and all together is exactly the invoice's net, tax and total, rate by rate, and the ledger
        /// has of each account what it had.
        #[test]
        fn crediting_everything_in_any_parts_comes_to_the_invoice(
            amounts in proptest::collection::vec((0..3_usize, 0..5_000_000_i64, 0..=100_i64), 1..7),
            cuts in proptest::collection::vec((0..7_usize, 1..3_000_000_i64), 0..30),
            currency in prop_oneof![Just("USD"), Just("JPY"), Just("BHD")],
        ) {
            let rates = ["", "19", "7.7"];
            let of: Vec<_> = amounts.iter().map(|(rate, amount, _)| (rates[*rate], *amount)).collect();
            let mut lines = lines(&of);
            let sums = sums(&lines, currency);
            prop_assume!(sums.total > 0);
            let charged: OfCharges = lines.iter().zip(&amounts).map(|(line, (_, amount, share))| {
                let theirs = amount * share / 100;
                let posted = [(amount - theirs, "ours"), (theirs, "theirs")];
                let posted = posted.into_iter().filter(|(amount, _)| *amount > 0);
                (line.charge, posted.map(|(amount, to)| ("u".to_owned(), to.to_owned(), amount)).collect())
            }).collect();
            let id = SubscriptionId::from_uuid(uuid::Uuid::from_u64_pair(0, 1));
            let (mut net, mut tax, mut total) = (0, 0, 0);
            let mut posted: BTreeMap<String, i64> = BTreeMap::new();
            let mut credit = |lines: &mut Vec<CreditedLine>, draft: Draft| {
                assert!(draft.sums.net >= 0 && draft.sums.tax >= 0, "{draft:?}");
                assert_eq!(draft.lines.iter().map(|line| line.net).sum::<i64>(), draft.sums.net);
                assert_eq!(draft.lines.iter().map(|line| line.tax).sum::<i64>(), draft.sums.tax);
                for (leg, debit, _, amount) in postings(id, "DE".parse().unwrap(), &draft, 0, &charged) {
                    assert!(leg >= 0 && amount > 0);
                    *posted.entry(debit).or_default() += amount;
                }
                net += draft.sums.net;
                tax += draft.sums.tax;
                total += draft.sums.total;
                for part in draft.lines {
                    lines.iter_mut().find(|line| line.charge == part.of.charge).unwrap().credited += part.net;
                }
                assert!(total <= sums.total);
            };
            for (line, amount) in cuts {
                match decide(&lines, &sums.taxes, Some(&[want(line, amount)])) {
                    Ok(draft) => credit(&mut lines, draft),
                    Err(Fault::TooMuch(_, left)) => prop_assert!(amount > left),
                    Err(Fault::NoSuchLine(_)) => prop_assert!(line >= lines.len()),
                    Err(fault) => prop_assert!(false, "{:?}", fault),
                }
            }
            if let Ok(draft) = decide(&lines, &sums.taxes, None) {
                credit(&mut lines, draft);
            }
            prop_assert_eq!((net, tax, total), (sums.net, sums.tax, sums.total));
            for to in ["ours", "theirs"] {
                let had: i64 = charged.values().flatten().filter(|(_, credit, _)| credit == to).map(|(.., amount)| amount).sum();
                prop_assert_eq!(posted.get(to).copied().unwrap_or_default(), had);
            }
        }
    }

    /// nothing is paid back twice, nor more than a payment brought in.
    #[test]
    fn a_refund_goes_where_it_came_from() {
        assert_eq!(split(50, &[('a', 30), ('b', 0), ('c', 30)]), (vec![('a', 30), ('c', 20)], 0));
        assert_eq!(split(50, &[('a', 30)]), (vec![('a', 30)], 20));
        assert_eq!(split(0, &[('a', 30)]), (vec![], 0));
    }

    #[test]
    fn a_series_stands_beside_that_of_invoices() {
        assert_eq!((series("CN", "P"), series("CN", "")), ("CN-P".to_owned(), "CN".to_owned()));
        assert_eq!(counter("CN-P", 2018), "credit_note/CN-P/2018");
    }
}
