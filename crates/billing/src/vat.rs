//! VAT numbers of the European Union: form and check digits, country by country. Whether a number is somebody's is not
//! to be seen by it; that is confirmed apart.
//!
//! The forms are those of the Commission's VIES; the check digits those that the countries publish, as `python-stdnum` has
//! collected them.

use kernel::CountryCode;

/// The letter that stands after the check of a number whose remainder it is, in Ireland.
const IRISH: &str = "WABCDEFGHIJKLMNOPQRSTUV";
/// The letters of French keys: no I and no O.
const FRENCH: &str = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// The letters of Spanish persons' numbers.
const SPANISH: &str = "TRWAGMYFPDXBNJZSQVHLCKE";
/// Letters by number, from A.
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Why a text is no VAT number of a country.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VatFault {
    /// It has not the form: the form, to follow "must be".
    Form(String),
    /// Its check digits do not fit the rest.
    CheckDigits,
}

impl std::fmt::Display for VatFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Form(form) => write!(f, "must be {form}"),
            Self::CheckDigits => {
                f.write_str("is no VAT number: its check digits do not fit; look for a digit mistyped")
            }
        }
    }
}

struct Country {
    code: &'static str,
    /// How its numbers begin.
    prefix: &'static str,
    /// What follows, for people.
    form: &'static str,
    check: fn(&str) -> Option<bool>,
}

/// The members of the Union. A check answers none where the form is another.
const COUNTRIES: &[Country] = &[
    Country { code: "AT", prefix: "AT", form: "U and 8 digits", check: austria },
    Country { code: "BE", prefix: "BE", form: "10 digits, the first 0 or 1", check: belgium },
    Country { code: "BG", prefix: "BG", form: "9 or 10 digits", check: bulgaria },
    Country { code: "CY", prefix: "CY", form: "8 digits and a letter", check: cyprus },
    Country { code: "CZ", prefix: "CZ", form: "8 to 10 digits", check: czechia },
    Country { code: "DE", prefix: "DE", form: "9 digits", check: |n| hybrid(n, 9) },
    Country { code: "DK", prefix: "DK", form: "8 digits", check: |n| modulo(n, &[2, 7, 6, 5, 4, 3, 2, 1], 11) },
    Country { code: "EE", prefix: "EE", form: "9 digits", check: |n| modulo(n, &[3, 7, 1, 3, 7, 1, 3, 7, 1], 10) },
    Country { code: "ES", prefix: "ES", form: "9 digits and letters", check: spain },
    Country { code: "FI", prefix: "FI", form: "8 digits", check: |n| modulo(n, &[7, 9, 10, 5, 8, 4, 2, 1], 11) },
    Country { code: "FR", prefix: "FR", form: "2 digits or letters and 9 digits", check: france },
    Country { code: "GR", prefix: "EL", form: "9 digits", check: greece },
    Country { code: "HR", prefix: "HR", form: "11 digits", check: |n| hybrid(n, 11) },
    Country { code: "HU", prefix: "HU", form: "8 digits", check: |n| modulo(n, &[9, 7, 3, 1, 9, 7, 3, 1], 10) },
    Country { code: "IE", prefix: "IE", form: "7 digits and 1 or 2 letters", check: ireland },
    Country { code: "IT", prefix: "IT", form: "11 digits", check: |n| digits(n, 11).map(|n| luhn(&n)) },
    Country { code: "LT", prefix: "LT", form: "9 or 12 digits", check: lithuania },
    Country { code: "LU", prefix: "LU", form: "8 digits", check: luxembourg },
    Country { code: "LV", prefix: "LV", form: "11 digits", check: latvia },
    Country { code: "MT", prefix: "MT", form: "8 digits", check: |n| modulo(n, &[3, 4, 6, 7, 8, 9, 10, 1], 37) },
    Country { code: "NL", prefix: "NL", form: "9 digits, B and 2 digits", check: netherlands },
    Country { code: "PL", prefix: "PL", form: "10 digits", check: |n| modulo(n, &[6, 5, 7, 2, 3, 4, 5, 6, 7, 10], 11) },
    Country { code: "PT", prefix: "PT", form: "9 digits", check: portugal },
    Country { code: "RO", prefix: "RO", form: "2 to 10 digits", check: romania },
    Country { code: "SE", prefix: "SE", form: "12 digits", check: sweden },
    Country { code: "SI", prefix: "SI", form: "8 digits", check: slovenia },
    Country { code: "SK", prefix: "SK", form: "10 digits", check: slovakia },
];

/// Whether a country is a member of the European Union.
#[must_use]
pub fn is_member(country: CountryCode) -> bool {
    COUNTRIES.iter().any(|one| one.code == country.as_str())
}

/// A VAT number of a member of the Union as it is written on invoices, prefix first and nothing between; none for other
/// countries, whose numbers nobody here knows.
///
/// # Errors
/// [`VatFault`].
pub fn checked(country: CountryCode, text: &str) -> Result<Option<String>, VatFault> {
    let Some(one) = COUNTRIES.iter().find(|one| one.code == country.as_str()) else { return Ok(None) };
    let apart = |c: char| c.is_whitespace() || matches!(c, '.' | '-' | '/');
    let plain: String = text.chars().filter(|c| !apart(*c)).collect::<String>().to_ascii_uppercase();
    // Who leaves the prefix out means the payer's country; a Greek one may say GR.
    let number = [one.prefix, one.code].into_iter().find_map(|prefix| plain.strip_prefix(prefix)).unwrap_or(&plain);
    let number = if one.code == "BE" && number.len() == 9 { format!("0{number}") } else { number.to_owned() };
    match (one.check)(&number) {
        Some(true) => Ok(Some(format!("{}{number}", one.prefix))),
        Some(false) => Err(VatFault::CheckDigits),
        None => Err(VatFault::Form(format!("a VAT number of {}: {} and {}", one.code, one.prefix, one.form))),
    }
}

/// The digits of a text of exactly so many.
fn digits(text: &str, count: usize) -> Option<Vec<u64>> {
    let found: Vec<u64> = text.chars().map_while(|c| c.to_digit(10)).map(u64::from).collect();
    (found.len() == count && text.len() == count).then_some(found)
}

/// Digits and their weights, multiplied and added; the shorter of both ends it.
fn weighed(digits: &[u64], weights: &[u64]) -> u64 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

fn value(digits: &[u64]) -> u64 {
    digits.iter().fold(0, |sum, digit| sum * 10 + digit)
}

/// The last digit, and those before it.
fn split(digits: &[u64]) -> Option<(u64, &[u64])> {
    digits.split_last().map(|(last, rest)| (*last, rest))
}

/// The place of a letter in an alphabet.
fn place(alphabet: &str, letter: char) -> Option<u64> {
    alphabet.find(letter).and_then(|place| u64::try_from(place).ok())
}

fn letter_at(alphabet: &str, place: u64) -> Option<char> {
    alphabet.chars().nth(usize::try_from(place).ok()?)
}

/// As many digits as weights, whose sum is divisible.
fn modulo(text: &str, weights: &[u64], divisor: u64) -> Option<bool> {
    digits(text, weights.len()).map(|n| weighed(&n, weights).is_multiple_of(divisor))
}

/// ISO 7064, mod 11,10.
fn hybrid(text: &str, count: usize) -> Option<bool> {
    let n = digits(text, count)?;
    let (last, rest) = split(&n)?;
    let product = rest.iter().fold(10, |product, digit| {
        let sum = (product + digit) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    Some((11 - product) % 10 == last)
}

fn luhn(digits: &[u64]) -> bool {
    let doubled = |(place, digit): (usize, &u64)| if place % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { *digit };
    digits.iter().rev().enumerate().map(doubled).sum::<u64>() % 10 == 0
}

fn austria(text: &str) -> Option<bool> {
    let n = digits(text.strip_prefix('U')?, 8)?;
    let (last, rest) = split(&n)?;
    let doubled = |(place, digit): (usize, &u64)| if place % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { *digit };
    let sum: u64 = rest.iter().enumerate().map(doubled).sum();
    Some((10 - (sum + 4) % 10) % 10 == last)
}

fn belgium(text: &str) -> Option<bool> {
    let n = digits(text, 10).filter(|n| matches!(n.first(), Some(0 | 1)))?;
    let (body, check) = n.split_at_checked(8)?;
    Some((value(body) + value(check)).is_multiple_of(97))
}

fn bulgaria(text: &str) -> Option<bool> {
    if let Some(n) = digits(text, 9) {
        let (last, rest) = split(&n)?;
        let first = weighed(rest, &[1, 2, 3, 4, 5, 6, 7, 8]) % 11;
        let check = if first == 10 { weighed(rest, &[3, 4, 5, 6, 7, 8, 9, 10]) % 11 % 10 } else { first };
        return Some(check == last);
    }
    let n = digits(text, 10)?;
    let (last, rest) = split(&n)?;
    // Of a citizen, of a foreigner, of anybody else.
    let citizen = weighed(rest, &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10;
    let foreigner = weighed(rest, &[21, 19, 17, 13, 11, 9, 7, 3, 1]) % 10;
    let other = (11 - weighed(rest, &[4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11;
    Some([citizen, foreigner, other].contains(&last))
}

fn cyprus(text: &str) -> Option<bool> {
    let letter = text.chars().last().filter(char::is_ascii_uppercase)?;
    let n = digits(text.strip_suffix(letter)?, 8)?;
    let odd = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21];
    let sum: u64 = n
        .iter()
        .enumerate()
        .map(|(at, digit)| {
            let turned = usize::try_from(*digit).ok().and_then(|digit| odd.get(digit)).copied().unwrap_or(0);
            if at % 2 == 0 { turned } else { *digit }
        })
        .sum();
    Some(letter_at(LETTERS, sum % 26) == Some(letter) && !text.starts_with("12"))
}

fn czechia(text: &str) -> Option<bool> {
    if let Some(n) = digits(text, 8) {
        let (last, rest) = split(&n)?;
        let check = (11 - weighed(rest, &[8, 7, 6, 5, 4, 3, 2]) % 11) % 11;
        return Some((if check == 0 { 1 } else { check }) % 10 == last && n.first() != Some(&9));
    }
    if let Some(n) = digits(text, 10) {
        let (last, rest) = split(&n)?;
        return Some(value(rest) % 11 % 10 == last);
    }
    let n = digits(text, 9)?;
    if n.first() != Some(&6) {
        // A person's number from before 1954 has no check digit.
        return Some(true);
    }
    let (last, rest) = split(&n)?;
    let check = weighed(rest.get(1..)?, &[8, 7, 6, 5, 4, 3, 2]) % 11;
    Some((8 + 11 - (10 + 11 - check) % 11) % 11 == last)
}

fn spain(text: &str) -> Option<bool> {
    let first = text.chars().next()?;
    let last = text.chars().last()?;
    let person = |number: &str| {
        let n = digits(number, 8)?;
        Some(letter_at(SPANISH, value(&n) % 23) == Some(last))
    };
    if text.len() != 9 || !text.is_ascii() {
        return None;
    }
    let middle = text.get(1..8)?;
    match first {
        '0'..='9' => person(text.get(..8)?),
        'X' | 'Y' | 'Z' => person(&format!("{}{middle}", place("XYZ", first)?)),
        'K' | 'L' | 'M' => person(&format!("0{middle}")),
        'A'..='H' | 'J' | 'N' | 'P'..='S' | 'U' | 'V' | 'W' => {
            let n = digits(middle, 7)?;
            let even: u64 = n.iter().skip(1).step_by(2).sum();
            let odd: u64 = n.iter().step_by(2).map(|digit| digit * 2 / 10 + digit * 2 % 10).sum();
            let check = (10 - (even + odd) % 10) % 10;
            let letter = letter_at("JABCDEFGHI", check) == Some(last);
            let digit = last.to_digit(10).map(u64::from) == Some(check);
            Some(digit || letter)
        }
        _ => None,
    }
}

fn france(text: &str) -> Option<bool> {
    let (key, siren) = text.split_at_checked(2)?;
    let n = digits(siren, 9)?;
    let mut signs = key.chars();
    let (first, second) = (place(FRENCH, signs.next()?)?, place(FRENCH, signs.next()?)?);
    let siren = value(&n);
    // Monaco's numbers are no SIREN.
    let body = luhn(&n) || siren < 1_000_000;
    if let Some(key) = digits(key, 2) {
        return Some(body && (siren * 100 + 12) % 97 == value(&key));
    }
    let check = if first < 10 { first * 24 + second - 10 } else { first * 34 + second - 100 };
    Some(body && (siren + 1 + check / 11) % 11 == check % 11)
}

fn greece(text: &str) -> Option<bool> {
    let n = digits(text, 9)?;
    let (last, rest) = split(&n)?;
    Some(weighed(rest, &[256, 128, 64, 32, 16, 8, 4, 2]) % 11 % 10 == last)
}

fn ireland(text: &str) -> Option<bool> {
    let mut signs: Vec<char> = text.chars().collect();
    if signs.len() == 8 && signs.get(1).is_some_and(|c| c.is_ascii_uppercase() || matches!(c, '+' | '*')) {
        // The old form: its second sign is no part of the check.
        let (first, body, last) = (*signs.first()?, signs.get(2..7)?.to_vec(), *signs.last()?);
        signs = ['0'].into_iter().chain(body).chain([first, last]).collect();
    }
    let number: String = signs.iter().take(7).collect();
    let n = digits(&number, 7)?;
    let letter = *signs.get(7)?;
    let second = match signs.get(8) {
        None => 0,
        Some(c) => place("WABCDEFGHI", *c)?,
    };
    let known = signs.len() <= 9 && letter.is_ascii_uppercase();
    let sum = weighed(&n, &[8, 7, 6, 5, 4, 3, 2]) + second * 9;
    known.then(|| letter_at(IRISH, sum % 23) == Some(letter))
}

fn lithuania(text: &str) -> Option<bool> {
    let n = digits(text, 9).or_else(|| digits(text, 12))?;
    let (last, rest) = split(&n)?;
    let cycle = |from: u64| -> Vec<u64> { (0..11).map(|at| 1 + (at + from) % 9).collect() };
    let first = weighed(rest, &cycle(0)) % 11;
    let check = if first == 10 { weighed(rest, &cycle(2)) % 11 % 10 } else { first };
    Some(check == last && rest.last() == Some(&1))
}

fn luxembourg(text: &str) -> Option<bool> {
    let n = digits(text, 8)?;
    let (body, check) = n.split_at_checked(6)?;
    Some(value(body) % 89 == value(check))
}

fn latvia(text: &str) -> Option<bool> {
    let n = digits(text, 11)?;
    if n.first() > Some(&3) {
        return Some(weighed(&n, &[9, 1, 4, 8, 3, 10, 2, 5, 7, 6, 1]) % 11 == 3);
    }
    let (last, rest) = split(&n)?;
    // A person's; the new ones begin with 32 and have no check digit.
    Some(text.starts_with("32") || (1 + weighed(rest, &[10, 5, 8, 4, 2, 1, 6, 3, 7, 9])) % 11 % 10 == last)
}

fn netherlands(text: &str) -> Option<bool> {
    let (number, branch) = text.split_once('B')?;
    let (n, branch) = (digits(number, 9)?, digits(branch, 2)?);
    let company = weighed(&n, &[9, 8, 7, 6, 5, 4, 3, 2, 10]).is_multiple_of(11);
    // Since 2020 a sole trader's: N, L and B as two digits each, modulo 97 (ISO 7064).
    let all = [2, 3, 2, 1].iter().chain(&n).chain(&[1, 1]).chain(&branch);
    Some(company || all.fold(0, |rest, digit| (rest * 10 + digit) % 97) == 1)
}

fn portugal(text: &str) -> Option<bool> {
    let n = digits(text, 9)?;
    let (last, rest) = split(&n)?;
    Some((11 - weighed(rest, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 11 % 10 == last && n.first() != Some(&0))
}

fn romania(text: &str) -> Option<bool> {
    if !(2..=10).contains(&text.len()) || text.starts_with('0') {
        return None;
    }
    let n = digits(&format!("{text:0>10}"), 10)?;
    let (last, rest) = split(&n)?;
    Some(weighed(rest, &[7, 5, 3, 2, 1, 7, 5, 3, 2]) * 10 % 11 % 10 == last)
}

fn sweden(text: &str) -> Option<bool> {
    let n = digits(text, 12)?;
    let (number, branch) = n.split_at_checked(10)?;
    Some(luhn(number) && value(branch) > 0)
}

fn slovenia(text: &str) -> Option<bool> {
    let n = digits(text, 8)?;
    let (last, rest) = split(&n)?;
    let check = 11 - weighed(rest, &[8, 7, 6, 5, 4, 3, 2]) % 11;
    Some(n.first() != Some(&0) && check != 11 && check % 10 == last)
}

fn slovakia(text: &str) -> Option<bool> {
    let n = digits(text, 10)?;
    let (last, rest) = split(&n)?;
    Some(value(rest) % 11 % 10 == last)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    /// Numbers that the countries, VIES or `python-stdnum` publish as examples.
    const PUBLISHED: &[(&str, &str)] = &[
        ("AT", "U13585627"),
        ("BE", "0428759497"),
        ("BE", "403019261"),
        ("BG", "175074752"),
        ("BG", "7523169263"),
        ("CY", "10259033P"),
        ("CZ", "25123891"),
        ("CZ", "640903926"),
        ("CZ", "7103192745"),
        ("DE", "136695976"),
        ("DK", "13585628"),
        ("EE", "100931558"),
        ("ES", "54362315K"),
        ("ES", "X2482300W"),
        ("ES", "J99216582"),
        ("ES", "M1234567L"),
        ("FI", "20774740"),
        ("FR", "40303265045"),
        ("FR", "23334175221"),
        ("FR", "K7399859412"),
        ("GR", "094259216"),
        ("HR", "33392005961"),
        ("HU", "12892312"),
        ("IE", "6433435F"),
        ("IE", "6433435OA"),
        ("IE", "8D79739I"),
        ("IT", "00743110157"),
        ("LT", "119511515"),
        ("LT", "100001919017"),
        ("LU", "15027442"),
        ("LV", "40003521600"),
        ("LV", "16117519997"),
        ("MT", "11679112"),
        ("NL", "004495445B01"),
        ("NL", "123456789B13"),
        ("PL", "8567346215"),
        ("PT", "501964843"),
        ("RO", "18547290"),
        ("SE", "123456789701"),
        ("SI", "50223054"),
        ("SK", "2022749619"),
    ];

    fn check(country: &str, text: &str) -> Result<Option<String>, VatFault> {
        checked(country.parse().unwrap(), text)
    }

    /// each country's published numbers hold, and with one digit mistyped they do not.
    #[test]
    fn published_numbers() {
        for (country, number) in PUBLISHED {
            assert!(matches!(check(country, number), Ok(Some(_))), "{country} {number}: {:?}", check(country, number));
            let (at, digit) = number.char_indices().filter(|(_, c)| c.is_ascii_digit()).nth(4).unwrap();
            let other = (digit.to_digit(10).unwrap() + 1) % 10;
            let mistyped = format!("{}{other}{}", &number[..at], &number[at + 1..]);
            assert_eq!(check(country, &mistyped), Err(VatFault::CheckDigits), "{country} {mistyped}");
        }
        let covered: std::collections::BTreeSet<_> = PUBLISHED.iter().map(|(country, _)| *country).collect();
        assert_eq!(covered.len(), COUNTRIES.len(), "each country has one");
    }

    /// written with its prefix or without, with spaces or dots, it is one number; other forms say what the form is.
    #[test]
    fn ways_to_write_one() {
        for text in ["DE136695976", "de 136 695 976", "136.695.976", "DE-136695976"] {
            assert_eq!(check("DE", text), Ok(Some("DE136695976".to_owned())), "{text}");
        }
        assert_eq!(check("GR", "GR 094259216"), Ok(Some("EL094259216".to_owned())));
        assert_eq!(check("BE", "403019261"), Ok(Some("BE0403019261".to_owned())));
        assert_eq!(check("US", "anything 12-345"), Ok(None));
        for text in ["", "DE", "DE13669597", "DE1366959760", "FR40303265045", "DE13669597é", "DE１３６６９５９７６"]
        {
            let fault = check("DE", text).unwrap_err();
            assert_eq!(fault.to_string(), "must be a VAT number of DE: DE and 9 digits", "{text}");
        }
    }
}
