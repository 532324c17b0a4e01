//! The lines of a bill as CSV (RFC 4180), for spreadsheets and programs: nothing is on the bill that its columns do not add
//! up to.

use crate::Fault;
use marketplace::bill::{Bill, Line};

const COLUMNS: [&str; 18] = [
    "invoice",
    "issued_on",
    "organization",
    "organization_name",
    "offer",
    "offer_name",
    "kind",
    "service_month",
    "quantity_from",
    "quantity_to",
    "currency",
    "net",
    "tax_rate",
    "tax",
    "total",
    "charge",
    "purchase",
    "subscription",
];

/// The lines of a bill, one a row below a row of names; UTF-8, CRLF, a decimal point, and ids as the API has them.
///
/// # Errors
/// [`Fault::Written`] where the writer does not take it.
pub fn csv(bill: &Bill) -> Result<Vec<u8>, Fault> {
    let mut writer = writer();
    writer.write_record(COLUMNS).map_err(Fault::written)?;
    for line in &bill.lines {
        writer.write_record(row(bill, line)?).map_err(Fault::written)?;
    }
    writer.into_inner().map_err(Fault::written)
}

/// A writer as RFC 4180 has it.
pub(crate) fn writer() -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new())
}

fn row(bill: &Bill, line: &Line) -> Result<[String; 18], Fault> {
    Ok([
        bill.number.clone().unwrap_or_default(),
        bill.issued_on.to_string(),
        text(&line.organization.slug),
        text(&line.organization.name),
        text(&line.offer),
        text(&line.name),
        line.kind.to_owned(),
        line.month.to_string(),
        line.quantity.from.to_string(),
        line.quantity.to.to_string(),
        line.amount.currency().to_string(),
        line.amount.amount_string(),
        line.tax_rate.clone(),
        line.tax.amount_string(),
        line.amount.checked_add(line.tax).map_err(Fault::written)?.amount_string(),
        line.charge.map(|id| id.to_string()).unwrap_or_default(),
        line.purchase.map(|id| id.to_string()).unwrap_or_default(),
        bill.subscription.to_string(),
    ])
}

/// A name as a cell. Spreadsheets run a text that begins like a formula, whoever wrote it; an apostrophe before it makes it
/// a text. A lone carriage return or tab before it does not keep them from that.
pub(crate) fn text(name: &str) -> String {
    if name.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        || name.starts_with(['\t', '\r', '\n'])
    {
        format!("'{name}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;
    use crate::sample::bill;
    use kernel::Money;

    /// the columns add up to the bill.
    #[test]
    fn r_42_the_columns_add_up() {
        let lines = [("A", "x", 1_001, "19"), ("A", "y", -333, "19"), ("B, \"C\"\nD", "z", 7, "7"), ("E", "w", 0, "")];
        for currency in ["EUR", "JPY", "BHD"] {
            let bill = bill(currency, &lines);
            let text = csv(&bill).unwrap();
            let mut reader = csv::Reader::from_reader(text.as_slice());
            let names = reader.headers().unwrap().clone();
            assert_eq!(names.iter().collect::<Vec<_>>(), COLUMNS);
            let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
            let sum = |column: &str| {
                let at = names.iter().position(|name| name == column).unwrap();
                let amounts = rows.iter().map(|row| Money::parse_amount(&row[at], currency.parse().unwrap()).unwrap());
                amounts.fold(Money::zero(currency.parse().unwrap()), |sum, amount| sum.checked_add(amount).unwrap())
            };
            assert_eq!((sum("net"), sum("tax"), sum("total")), (bill.net, bill.tax, bill.total));
            assert_eq!(&rows[2][3], "B, \"C\"\nD");
        }
    }

    /// What a spreadsheet would run is a text.
    #[test]
    fn a_name_is_no_formula() {
        for name in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1", "＝1"] {
            let bill = bill("EUR", &[(name, name, -100, "")]);
            let text = String::from_utf8(csv(&bill).unwrap()).unwrap();
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let row = reader.records().next().unwrap().unwrap();
            assert_eq!((&row[3], &row[5], &row[11]), (&*format!("'{name}"), &*format!("'{name}"), "-1.00"), "{text}");
        }
        assert_eq!(super::text("Fabrikam - Fiber"), "Fabrikam - Fiber");
    }
}
