//! The costs of an invoice in the FinOps Open Cost and Usage Specification (FOCUS 1.2; its columns are those of 1.0 too), as
//! CSV: a row for each line, and one for its part of the tax, so that the rows of an invoice come to its total.

use crate::lines::{text, writer};
use crate::{Fault, words};
use kernel::{Money, Month};
use marketplace::bill::{Bill, Line};

/// What all that is sold here is, in the words of the specification.
const CATEGORY: &str = "Developer Tools";
const SUBCATEGORY: &str = "Developer Platforms";

/// Columns that nothing here fills, which those who read FOCUS 1.0 look for all the same.
const EMPTY: [&str; 15] = [
    "AvailabilityZone",
    "ChargeClass",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedUnitPrice",
    "ListUnitPrice",
    "RegionId",
    "RegionName",
    "ResourceType",
    "Tags",
];

/// The costs of an invoice.
///
/// # Errors
/// [`Fault::Written`] where the writer does not take it.
pub fn focus(bill: &Bill) -> Result<Vec<u8>, Fault> {
    let mut writer = writer();
    let rows = bill.lines.iter().flat_map(|line| {
        let tax = (!line.tax.is_zero()).then(|| row(bill, line, true));
        [Some(row(bill, line, false)), tax].into_iter().flatten()
    });
    let mut named = false;
    for row in rows {
        if !std::mem::replace(&mut named, true) {
            let names = row.iter().map(|(name, _)| *name).chain(EMPTY);
            writer.write_record(names).map_err(Fault::written)?;
        }
        let values = row.iter().map(|(_, value)| value.as_str()).chain(EMPTY.map(|_| ""));
        writer.write_record(values).map_err(Fault::written)?;
    }
    writer.into_inner().map_err(Fault::written)
}

/// The columns of a line, or of its part of the tax, with their names.
fn row(bill: &Bill, line: &Line, tax: bool) -> Vec<(&'static str, String)> {
    let seller = bill.parties.as_ref().map(|parties| text(&parties.seller.name)).unwrap_or_default();
    let payer = bill.parties.as_ref().map(|parties| text(&parties.payer.name)).unwrap_or_default();
    let cost = if tax { line.tax } else { line.amount };
    let [category, frequency] = kind(line, cost, tax);
    let quantity = if matches!(line.kind, "purchase" | "undo") {
        line.quantity.to.saturating_sub(line.quantity.from)
    } else {
        line.quantity.to
    };
    let (sku, price) = (line.offer.clone(), price(line));
    let priced = |value: String| if tax { String::new() } else { value };
    let publisher = line.offer.split('.').next().unwrap_or_default().to_owned();
    // The specification's texts are ASCII, as far as they are ours.
    let what = if tax { format!("tax {}", words::rate(&line.tax_rate)) } else { words::what(line) };
    let what = what.replace('→', "to").replace('\u{a0}', " ");
    let cost = cost.amount_string();
    vec![
        ("BilledCost", cost.clone()),
        ("BillingAccountId", bill.subscription.to_string()),
        ("BillingAccountName", payer),
        ("BillingCurrency", line.amount.currency().to_string()),
        ("BillingPeriodStart", begin(bill.month)),
        ("BillingPeriodEnd", begin(bill.month.next())),
        ("ChargeCategory", category.to_owned()),
        ("ChargeDescription", text(&format!("{}: {what}", line.name))),
        ("ChargeFrequency", frequency.to_owned()),
        ("ChargePeriodStart", begin(line.month)),
        ("ChargePeriodEnd", begin(line.month.next())),
        ("ContractedCost", cost.clone()),
        ("EffectiveCost", cost.clone()),
        ("InvoiceId", bill.number.clone().unwrap_or_default()),
        ("InvoiceIssuerName", seller.clone()),
        ("ListCost", cost),
        ("PricingCategory", priced("Standard".into())),
        ("PricingQuantity", priced(format!("{quantity}.0"))),
        ("PricingUnit", priced("Units".into())),
        ("ProviderName", seller),
        ("PublisherName", publisher),
        ("ResourceId", line.offer.clone()),
        ("ResourceName", text(&line.name)),
        ("ServiceCategory", CATEGORY.to_owned()),
        ("ServiceName", text(&line.name)),
        ("ServiceSubcategory", SUBCATEGORY.to_owned()),
        ("SkuId", priced(sku)),
        ("SkuPriceId", priced(price)),
        ("SubAccountId", line.organization.id.to_string()),
        ("SubAccountName", text(&line.organization.name)),
    ]
}

/// Category and frequency. A month of a seat is use of it; a purchase would be a commitment that later use is taken from.
fn kind(line: &Line, cost: Money, tax: bool) -> [&'static str; 2] {
    let frequency = if line.kind == "renewal" { "Recurring" } else { "One-Time" };
    match (tax, cost.minor() < 0) {
        (true, _) => ["Tax", frequency],
        (false, true) => ["Adjustment", "One-Time"],
        (false, false) => ["Usage", frequency],
    }
}

/// The price that a line was worked out by: the offer, and the version in force.
fn price(line: &Line) -> String {
    let version = line.why.iter().find(|step| step.step == "price_version").map(|step| step.value.as_str());
    format!("{}/{}/{}", line.offer, line.amount.currency(), version.unwrap_or("none"))
}

fn begin(month: Month) -> String {
    format!("{}T00:00:00Z", month.first_day())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;
    use crate::sample::bill;

    /// the rows of an invoice come to its total. `./test` has FinOps' own validator look at the file that is left
    /// where `PURSER_DOCUMENTS` names a folder.
    #[test]
    fn r_42_costs_come_to_the_total() {
        let lines = [
            ("A", "Feed", 1_001, "19"),
            ("A", "Test Manager", -333, "19"),
            ("B, \"C\"", "=Users", 700, ""),
            ("C", "Feed", 0, "7"),
        ];
        let mut bill = bill("EUR", &lines);
        // FinOps' validator takes names in ASCII alone; what people are called is not for us to change.
        bill.parties.as_mut().unwrap().seller.name = "Purser Sales AB".into();
        bill.lines[2].kind = "renewal";
        let file = focus(&bill).unwrap();
        if let Some(folder) = std::env::var_os("PURSER_DOCUMENTS") {
            std::fs::write(std::path::Path::new(&folder).join("focus.csv"), &file).unwrap();
        }
        let mut reader = csv::Reader::from_reader(file.as_slice());
        let names = reader.headers().unwrap().clone();
        let at = |name: &str| names.iter().position(|known| known == name).unwrap();
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        let currency = bill.total.currency();
        let costs = rows.iter().map(|row| Money::parse_amount(&row[at("BilledCost")], currency).unwrap());
        let total = costs.fold(Money::zero(currency), |sum, cost| sum.checked_add(cost).unwrap());
        assert_eq!(total, bill.total);
        let categories: Vec<_> = rows.iter().map(|row| row[at("ChargeCategory")].to_owned()).collect();
        assert_eq!(categories, ["Usage", "Tax", "Adjustment", "Tax", "Usage", "Usage"]);
        assert_eq!((&rows[4][at("ServiceName")], &rows[4][at("ChargeFrequency")]), ("'=Users", "Recurring"));
        assert_eq!(&rows[0][at("SkuPriceId")], "ms.feed/EUR/1");
        assert_eq!(&rows[0][at("ChargePeriodEnd")], "2018-05-01T00:00:00Z");
    }
}
