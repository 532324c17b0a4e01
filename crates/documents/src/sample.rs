//! Bills for tests: plain, ugly and long.

use billing::Profile;
use billing::invoice::{BilledTo, Document, Seller, Sums};
use kernel::{Money, OrganizationId, Step};
use marketplace::bill::{Bill, BilledOrganization, Line, TaxLine, Units};

/// A line of an organization: its name, the offer's, minor units, the rate.
pub type Short<'a> = (&'a str, &'a str, i64, &'a str);

/// A bill of these lines, from Sweden to Germany.
pub fn bill(currency: &str, lines: &[Short<'_>]) -> Bill {
    let currency = currency.parse().unwrap();
    let money = |minor| Money::new(minor, currency);
    let nets: Vec<(String, i64)> = lines.iter().map(|line| (line.3.to_owned(), line.2)).collect();
    let sums = Sums::of(nets.clone(), currency).unwrap();
    let shares = sums.shared(&nets);
    let mut organizations: Vec<&str> = Vec::new();
    let lines = lines.iter().zip(shares).map(|((organization, offer, minor, rate), tax)| {
        if organizations.last() != Some(organization) {
            organizations.push(organization);
        }
        let number = u128::try_from(organizations.len()).unwrap();
        Line {
            organization: BilledOrganization {
                id: OrganizationId::from_uuid(uuid::Uuid::from_u128(number)),
                slug: format!("o{number}"),
                name: (*organization).to_owned(),
            },
            offer: "ms.feed".into(),
            name: (*offer).to_owned(),
            kind: "purchase",
            month: "2018-04-01".parse().unwrap(),
            quantity: Units { from: 5, to: 1_000 },
            amount: money(*minor),
            tax_rate: (*rate).to_owned(),
            tax: money(tax),
            charge: None,
            purchase: None,
            why: why(),
            organization_net: money(0),
        }
    });
    let mut lines: Vec<Line> = lines.collect();
    for place in 0..lines.len() {
        let of = lines[place].organization.id;
        let net = lines.iter().filter(|line| line.organization.id == of).map(|line| line.amount.minor()).sum();
        lines[place].organization_net = money(net);
    }
    Bill {
        id: Some("inv_00000000000000000000000001".parse().unwrap()),
        number: Some("P-2018-000001".into()),
        subscription: "sub_00000000000000000000000001".parse().unwrap(),
        month: "2018-05-01".parse().unwrap(),
        issued_on: kernel::parse_date("2018-05-01").unwrap(),
        due_on: kernel::parse_date("2018-05-31").unwrap(),
        state: "open",
        parties: Some(parties()),
        taxes: sums
            .taxes
            .iter()
            .map(|sum| TaxLine { rate: sum.rate.clone(), net: money(sum.net), tax: money(sum.tax) })
            .collect(),
        in_all: i64::try_from(lines.len()).unwrap(),
        lines,
        net: money(sums.net),
        tax: money(sums.tax),
        total: money(sums.total),
        paid: money(0),
        credited: money(0),
        open: money(sums.total.max(0)),
        corrects: None,
    }
}

/// Seller in Sweden, payer in Germany, with all that is known of each.
pub fn parties() -> Document {
    Document {
        seller: Seller {
            name: "Purser Försäljning AB".into(),
            country: "SE".parse().unwrap(),
            address: "Storgatan 1\n111 22 Stockholm".into(),
            tax_id: "SE556677889901".into(),
        },
        payer: BilledTo {
            name: "Fabrikam Europe".into(),
            country: "DE".parse().unwrap(),
            profile: Profile {
                tax_id: Some("DE136695976".into()),
                email: Some("bills@fabrikam.example".parse().unwrap()),
                address: Some("Hauptstraße 5\n10115 Berlin".into()),
                purchase_order: Some("PO-4711".into()),
            },
        },
    }
}

fn why() -> Vec<Step> {
    [
        ("price_version", "ms.feed in EUR", "1"),
        ("price_after", "100 × 6.00 for paid units 1 to 100", "600"),
        ("difference", "price after less price before, not below 0", "570"),
        ("days", "days_after: 15 of 30 days", "15/30"),
        ("rounding", "to 2 decimals, half away from zero", "285.00"),
    ]
    .map(|(step, detail, value)| Step { step: step.into(), detail: detail.into(), value: value.into() })
    .into()
}
