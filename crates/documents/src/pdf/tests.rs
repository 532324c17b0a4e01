//! What stands on paper, read back by other programs (poppler, qpdf) where this machine has them.

use super::pdf;
use crate::sample::{bill, parties};
use proptest::prelude::*;
use std::io::Write;
use std::process::{Command, Stdio};

/// What a program says of a file given to it; none where there is no such program.
fn said(program: &str, arguments: &[&str], file: &[u8]) -> Option<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .ok()?;
    let mut input = child.stdin.take().unwrap();
    let file = file.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&file));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} does not take it: {}", String::from_utf8_lossy(&output.stdout));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn text(file: &[u8]) -> Option<String> {
    said("pdftotext", &["-layout", "-", "-"], file).map(|text| text.replace('\u{a0}', " "))
}

/// Keeps a file to be looked at where `PURSER_PICTURES` asks for it.
fn kept(name: &str, file: &[u8]) {
    if std::env::var_os("PURSER_PICTURES").is_some() {
        std::fs::write(std::env::temp_dir().join(format!("{name}.pdf")), file).unwrap();
    }
}

/// what a bill says stands on paper: parties, lines with how each is worked out, tax by rate, sums.
#[test]
fn r_42_all_of_a_bill_is_on_it() {
    let lines = [
        ("Fabrikam Fiber", "Package Management", 123_456, "19"),
        ("Fabrikam Fiber", "Test Manager", 50, "7"),
        ("Tailspin Toys", "Basic users", 1_000_000, "19"),
    ];
    let bill = bill("EUR", &lines);
    let file = pdf(&bill).unwrap();
    kept("plain", &file);
    assert_eq!(file, pdf(&bill).unwrap(), "a bill is always the same file");
    for mark in ["pdfaid", "pdfuaid"] {
        assert!(String::from_utf8_lossy(&file).contains(mark), "no {mark}");
    }
    let Some(text) = text(&file) else { return };
    for words in [
        "Invoice P-2018-000001",
        "Purser Försäljning AB",
        "Hauptstraße 5",
        "DE136695976",
        "bills@fabrikam.example",
        "PO-4711",
        "Fabrikam Fiber",
        "Package Management",
        "5 → 1,000, rest of April 2018",
        "100 × 6.00 for paid units 1 to 100",
        "285.00",
        "1,234.56",
        "0.50",
        "10,000.00",
        "Sum of Tailspin Toys",
        "11,235.06",
        "2,134.57",
        "EUR 13,369.67",
        "31 May 2018",
        "Page 1 of",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
}

/// The structure that readers for the blind go by.
#[test]
fn it_is_tagged() {
    let bill = bill("EUR", &[("Fabrikam Fiber", "Package Management", 123_456, "19")]);
    let Some(structure) = said("pdfinfo", &["-struct-text", "-"], &pdf(&bill).unwrap()) else { return };
    for tag in ["Document", "H1", "H2", "Table", "THead", "TBody", "TR", "TH", "TD"] {
        assert!(structure.lines().any(|line| line.trim().starts_with(tag)), "no {tag} in {structure}");
    }
    let (title, line) = (structure.find("P-2018-000001").unwrap(), structure.find("Package Management").unwrap());
    assert!(title < line && line < structure.find("1,234.56").unwrap(), "{structure}");
}

/// Names of every kind: long, with markup, from right to left, without glyphs, and of no sense at all.
#[test]
fn ugly_names_are_set() {
    let long = "An-organization-without-any-space-in-its-name".repeat(4);
    let lines = [
        (long.as_str(), "<script>alert(1)</script> & \"more\"", 1, "19"),
        ("שלום עולם 123 בע\"מ", "مرحبا بالعالم 45", -250, "19"),
        ("東京カンパニー 😀🚀", "Ωmega Ещё Ünïcödé", i64::MAX / 400, ""),
        ("a\u{202e}b\u{0}c\u{feff}\u{e000}\u{ffff}\u{10ffff}", "\u{301}\u{301}\t\r\n x", 0, "7"),
    ];
    let mut bill = bill("BHD", &lines);
    if let Some(parties) = &mut bill.parties {
        parties.payer.name = long.repeat(3);
        parties.payer.profile.address = Some("W".repeat(2_000));
        parties.seller.address = "line\n".repeat(100);
    }
    let file = pdf(&bill).unwrap();
    kept("ugly", &file);
    let Some(text) = text(&file) else { return };
    for words in
        ["<script>alert(1)</script>", "東京カンパニー", "−0.250", "23,058,430,092,136.939", "Ωmega Ещё Ünïcödé"]
    {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    // qpdf reads files alone.
    let path = std::env::temp_dir().join(format!("purser-{}.pdf", std::process::id()));
    std::fs::write(&path, &file).unwrap();
    let checked = said("qpdf", &["--check", path.to_str().unwrap()], &[]);
    std::fs::remove_file(&path).unwrap();
    assert!(checked.is_none_or(|checked| checked.contains("No syntax or stream encoding errors")));
}

/// yen have no minor digits; a bill may have no lines, and be below zero.
#[test]
fn yen_nothing_and_less_than_nothing() {
    for (name, currency, lines, words) in [
        ("yen", "JPY", vec![("Contoso", "Feed", 1_234_567, "10")], "JPY 1,358,024"),
        ("nothing", "EUR", vec![], "There are no lines."),
        ("less", "EUR", vec![("Contoso", "Feed", -1_050, "")], "EUR −10.50"),
    ] {
        let file = pdf(&bill(currency, &lines)).unwrap();
        kept(name, &file);
        if let Some(text) = text(&file) {
            assert!(text.contains(words), "no {words:?} in {text}");
        }
    }
    let mut bare = bill("EUR", &[]);
    bare.parties = None;
    bare.number = None;
    bare.id = None;
    drop(pdf(&bare).unwrap());
}

/// A bill of 10,000 lines: all of them, with the heads again on each page.
#[test]
fn long_bills_go_over_pages() {
    let names: Vec<String> = (0..10_000).map(|n| format!("Organization {}", n / 10)).collect();
    let lines: Vec<_> = names.iter().map(|name| (name.as_str(), "Package Management", 12_345, "19")).collect();
    let began = std::time::Instant::now();
    let file = pdf(&bill("EUR", &lines)).unwrap();
    println!("{} bytes in {:?}", file.len(), began.elapsed());
    kept("long", &file);
    let Some(text) = text(&file) else { return };
    let pages: Vec<&str> = text.trim_end_matches('\u{c}').split('\u{c}').collect();
    assert_eq!(text.matches("Package Management").count(), 10_000);
    assert!(pages.len() > 100);
    for (number, page) in (1..).zip(&pages) {
        assert!(page.contains(&format!("Page {number} of {}", pages.len())), "{page}");
        assert!(page.contains("Rate") || page.contains("How to pay") || page.contains("Total"), "{page}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever people call things, there is a document, and it conforms: the writer refuses one that does not.
    #[test]
    fn any_name_is_set(one in ".{0,60}", other in "\\PC{0,60}", minor: i64, address in any::<String>()) {
        let minor = minor / 1_000;
        let mut bill = bill("EUR", &[(one.as_str(), other.as_str(), minor, "19")]);
        let mut of = parties();
        of.payer.profile.address = Some(address);
        bill.parties = Some(of);
        let written = pdf(&bill);
        prop_assert!(written.is_ok(), "{written:?}");
    }
}
