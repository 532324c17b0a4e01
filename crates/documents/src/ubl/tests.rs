//! E-invoices of every kind of tax, and what is refused. The official rules are run on them by `./test`
//! (`tests/en16931.py`), over the files that these tests leave where `PURSER_DOCUMENTS` names a folder.

use super::ubl;
use crate::sample::{Short, bill};
use crate::{Fault, Lack};
use marketplace::bill::Bill;

fn written(name: &str, bill: &Bill) -> String {
    let file = ubl(bill).unwrap();
    if let Some(folder) = std::env::var_os("PURSER_DOCUMENTS") {
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.xml")), &file).unwrap();
    }
    String::from_utf8(file).unwrap()
}

fn lacking(bill: &Bill) -> Vec<&'static str> {
    match ubl(bill) {
        Err(Fault::Lacking(lacks)) => lacks.into_iter().map(|Lack { pointer, .. }| pointer).collect(),
        other => panic!("{:?}", other.map(|file| String::from_utf8_lossy(&file).into_owned())),
    }
}

/// R-49, R-24: each kind of tax, credit, what was paid, and currencies.
#[test]
fn r_49_every_kind_of_tax() {
    let one: &[Short<'_>] = &[("Fabrikam & <Fiber>", "Feed", 12_345, "19")];
    for (name, currency, lines, words) in [
        (
            "standard",
            "EUR",
            one,
            vec!["<cbc:ID>S</cbc:ID>", "<cbc:Percent>19</cbc:Percent>", "Fabrikam &amp; &lt;Fiber&gt;"],
        ),
        ("two-rates", "EUR", &[("A", "x", 1_001, "19"), ("A", "y", 333, "7"), ("B", "z", 5, "7")], vec![">7<"]),
        (
            "credit-line",
            "EUR",
            &[("A", "x", 5_000, "19"), ("A", "y", -1_999, "19")],
            vec![">-1<", ">-19.99<", ">19.99<"],
        ),
        (
            "reverse",
            "EUR",
            &[("A", "x", 5_000, "reverse")],
            vec![">AE<", "VATEX-EU-AE", "Reverse charge", "DE136695976"],
        ),
        ("none", "EUR", &[("A", "x", 5_000, "")], vec!["<cbc:ID>E</cbc:ID>", "none is charged"]),
        ("none-and-some", "EUR", &[("A", "x", 5_000, ""), ("A", "x", 5_000, "25.5")], vec![">E<", ">25.5<"]),
        ("zero", "EUR", &[("A", "x", 5_000, "0")], vec!["<cbc:ID>Z</cbc:ID>"]),
        ("yen", "JPY", &[("A", "x", 1_234_567, "19")], vec!["currencyID=\"JPY\">1234567<"]),
    ] {
        let text = written(name, &bill(currency, lines));
        for words in words.into_iter().chain(["P-2018-000001", "SE556677889901", "PO-4711"]) {
            assert!(text.contains(words), "{name}: no {words:?} in {text}");
        }
    }
    let mut paid = bill("EUR", one);
    paid.paid = kernel::Money::new(10_000, paid.total.currency());
    paid.open = paid.total.checked_sub(paid.paid).unwrap();
    assert!(written("part-paid", &paid).contains(r#"<cbc:PrepaidAmount currencyID="EUR">100.00</cbc:PrepaidAmount>"#));
    let mut outside = bill("EUR", &[("A", "x", 5_000, "")]);
    let parties = outside.parties.as_mut().unwrap();
    parties.seller.tax_id = "12-345".into();
    parties.seller.country = "US".parse().unwrap();
    let text = written("out-of-scope", &outside);
    assert!(text.contains("<cbc:ID>O</cbc:ID>") && !text.contains("PartyTaxScheme"), "{text}");
    let mut ugly = bill("EUR", &[("\u{0}\u{b}\u{fffe}]]>", " ", 1, "19")]);
    ugly.parties.as_mut().unwrap().payer.name = "שלום 東京 \"'".into();
    drop(written("ugly", &ugly));
}

/// What EN 16931 must have and the bill has not is named, all of it.
#[test]
fn what_lacks_is_named() {
    let mut bare = bill("BHD", &[("A", "x", 5_000, "reverse"), ("A", "x", 5_000, "19")]);
    let parties = bare.parties.as_mut().unwrap();
    (parties.seller.address, parties.seller.tax_id) = (String::new(), String::new());
    (parties.payer.profile.address, parties.payer.profile.tax_id) = (None, Some("FR1".into()));
    assert_eq!(
        lacking(&bare),
        ["/seller/address", "/seller/tax_id", "/payer/address", "/payer/tax_id", "/total/currency"]
    );
    bare.parties.as_mut().unwrap().seller.tax_id = "DE123456789".into();
    assert!(lacking(&bare).contains(&"/seller/tax_id"), "of another country");
    bare.number = None;
    assert_eq!(lacking(&bare), ["/number"]);
    assert_eq!(lacking(&bill("EUR", &[])), ["/lines"]);
}

/// R-43: a credit note names its invoice and says why; its amounts are above zero.
#[test]
fn r_43_a_credit_note() {
    let mut note = bill("EUR", &[("A", "x", 1_001, "19"), ("A", "y", 333, "7")]);
    note.corrects = Some(marketplace::bill::Corrects {
        number: "P-2018-000001".into(),
        issued_on: kernel::parse_date("2018-05-01").unwrap(),
        reason: "Out for <two> days".into(),
    });
    note.number = Some("CN-P-2018-000001".into());
    let text = written("credit-note", &note);
    for words in ["CreditNoteTypeCode>381<", "CN-P-2018-000001", "InvoiceDocumentReference", "Out for &lt;two&gt; days"]
    {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    assert!(!text.contains("DueDate") && !text.contains("InvoiceLine"), "{text}");
}
