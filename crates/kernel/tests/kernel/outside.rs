//! What comes from outside: accepted exactly as documented, everything else refused with a sentence.

use std::str::FromStr;
use std::sync::Arc;

use chrono::TimeDelta;
use kernel::{
    AccessLevel, Clock, CountryCode, Currency, Email, Exact, FixedClock, IdempotencyKey, Money, MoneyError, Month,
    Name, OrganizationId, Slug, SubscriptionId, SystemClock, from_micros, micros, parse_date, parse_rfc3339, rfc3339,
};

use crate::instant;

fn refuses<T: FromStr>(texts: &[&str]) {
    for text in texts {
        assert!(text.parse::<T>().is_err(), "{text:?}");
    }
}

#[test]
fn texts() {
    assert_eq!("ms.vss-testmanager_web".parse::<Slug>().unwrap().as_str(), "ms.vss-testmanager_web");
    refuses::<Slug>(&["", "Fabrikam", "-a", ".a", "a b", "a/b", "é", &"a".repeat(101)]);
    assert_eq!("  Ada Palmer ".parse::<Name>().unwrap().as_str(), "Ada Palmer");
    assert!("é".repeat(200).parse::<Name>().is_ok());
    refuses::<Name>(&["", "  ", "a\nb", "a\u{0}b", &"a".repeat(201)]);
    assert_eq!("Ada@Fabrikam.Example".parse::<Email>().unwrap().as_str(), "ada@fabrikam.example");
    refuses::<Email>(&["", "ada", "@a.b", "a@", "a@b@c", "a b@c.d", "a@b..c", "a@b.", "<a@b.c>", "a@b.c,d@e.f"]);
    refuses::<Email>(&[&format!("{}@b.example", "a".repeat(250))]);
    assert_eq!("DE".parse::<CountryCode>().unwrap().as_str(), "DE");
    refuses::<CountryCode>(&["", "de", "XX", "DEU", "EU", "UK"]);
    assert!("a b~".parse::<IdempotencyKey>().is_ok());
    refuses::<IdempotencyKey>(&["", "é", "a\tb", &"a".repeat(256)]);
    refuses::<AccessLevel>(&["", "Basic", "basic "]);
}

#[test]
fn refusals_are_sentences() {
    let message = serde_json::from_str::<AccessLevel>("\"express\"").unwrap_err().to_string();
    assert_eq!(message, "must be one of stakeholder, basic");
    let message = "sub_x".parse::<OrganizationId>().unwrap_err().to_string();
    assert_eq!(message, "must be an id that begins with org_");
}

#[test]
fn ids_are_strict() {
    let text = "org_01c4f7kz00fyv8pqs2f9jxa0m3";
    let id: OrganizationId = text.parse().unwrap();
    assert_eq!((id.to_string(), format!("{id:?}")), (text.to_owned(), text.to_owned()));
    assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
    assert!("org_7zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<OrganizationId>().is_ok());
    refuses::<SubscriptionId>(&[text]);
    refuses::<OrganizationId>(&[
        "",
        "org_",
        "01c4f7kz00fyv8pqs2f9jxa0m3",
        "org_01C4F7KZ00FYV8PQS2F9JXA0M3",
        "org_01c4f7kz00fyv8pqs2f9jxa0m",
        "org_01c4f7kz00fyv8pqs2f9jxa0m33",
        "org_01c4f7kz00fyv8pqs2f9jxa0mi",
        "org_8zzzzzzzzzzzzzzzzzzzzzzzzz",
    ]);
}

#[test]
fn money_is_strict() {
    let read = |amount: &str, currency: &str| {
        serde_json::from_str::<Money>(&format!(r#"{{"amount": "{amount}", "currency": "{currency}"}}"#))
    };
    let money = read("-157.08", "EUR").unwrap();
    assert_eq!((money.minor(), money.currency().code()), (-15_708, "EUR"));
    assert_eq!(serde_json::to_string(&money).unwrap(), r#"{"amount":"-157.08","currency":"EUR"}"#);
    for amount in ["1", "1.0", "1.000", "+1.00", "01.00", "-0.00", ".50", "1e2", "", "1.0.0", "92233720368547758.08"] {
        assert!(read(amount, "EUR").is_err(), "{amount}");
    }
    assert!(read("157", "JPY").is_ok() && read("1.57", "JPY").is_err() && read("0.157", "BHD").is_ok());
    assert!(serde_json::from_str::<Money>(r#"{"amount": "1.00", "currency": "EUR", "minor": 100}"#).is_err());
    refuses::<Currency>(&["", "eur", "XXX", "XAU", "ABC", "EURO"]);
}

#[test]
fn money_never_mixes_currencies_or_wraps() {
    let (euro, yen): (Currency, Currency) = ("EUR".parse().unwrap(), "JPY".parse().unwrap());
    assert_eq!(Money::zero(euro).checked_add(Money::zero(yen)), Err(MoneyError::CurrencyMismatch));
    assert_eq!(Money::new(i64::MAX, euro).checked_add(Money::new(1, euro)), Err(MoneyError::Overflow));
    assert_eq!(Money::new(i64::MIN, euro).checked_neg(), Err(MoneyError::Overflow));
    assert_eq!(Money::new(i64::MIN, euro).to_string(), "-92233720368547758.08");
    assert_eq!(Money::new(5, euro).checked_sub(Money::new(7, euro)), Ok(Money::new(-2, euro)));
}

#[test]
fn exact_numbers_are_bounded_and_strict() {
    for text in ["35", "-3/2", "0"] {
        assert_eq!(text.parse::<Exact>().unwrap().to_string(), text);
    }
    assert_eq!("6/4".parse::<Exact>().unwrap().to_string(), "3/2");
    refuses::<Exact>(&["", "-", "/", "1/", "/2", "1/0", "1/-2", "--1", "+1", "1_0", "1.5", " 1", &"1".repeat(201)]);
    assert_eq!(Exact::ratio(1, 0), None);
    let decimal = |text: &str, decimals| text.parse::<Exact>().unwrap().to_decimal_string(decimals);
    assert_eq!(
        (decimal("-1/8", 3), decimal("2/3", 2), decimal("120", 0)),
        ("-0.125".into(), "0.67".into(), "120".into())
    );
    assert_eq!(decimal("-1/1000", 2), "0");
}

#[test]
fn instants() {
    assert_eq!(rfc3339(instant("2018-04-15T12:00:00+02:00")), "2018-04-15T10:00:00Z");
    assert_eq!(rfc3339(instant("2018-04-15T10:00:00.1234569Z")), "2018-04-15T10:00:00.123456Z");
    assert!(parse_rfc3339("2018-04-15").is_err() && parse_rfc3339("2018-04-31T00:00:00Z").is_err());
    assert!(from_micros(i64::MAX) > from_micros(0) && from_micros(i64::MIN) < from_micros(0));
    let clock = Arc::new(FixedClock::new(instant("2018-04-15T10:00:00Z")));
    clock.advance(TimeDelta::days(20));
    assert_eq!(rfc3339(clock.now()), "2018-05-05T10:00:00Z");
    clock.set(from_micros(7));
    assert_eq!(micros(clock.now()), 7);
    assert_eq!(SystemClock.now().timestamp_subsec_nanos() % 1_000, 0);
}

#[test]
fn dates_and_months() {
    let month: Month = "2018-12-01".parse().unwrap();
    assert_eq!((month.next().to_string(), month.prev().to_string()), ("2019-01-01".into(), "2018-11-01".into()));
    assert_eq!((month.days(), month.year(), month.month()), (31, 2018, 12));
    assert_eq!(Month::of(instant("2018-12-31T23:59:59.999999Z")), month);
    assert_eq!(rfc3339(month.start()), "2018-12-01T00:00:00Z");
    refuses::<Month>(&["2018-12", "2018-12-02", "2018-13-01", "2018-1-01"]);
    for text in ["2018-4-1", "+2018-04-01", "2018-02-29", " 2018-04-01", "20180401"] {
        assert!(parse_date(text).is_err(), "{text}");
    }
}
