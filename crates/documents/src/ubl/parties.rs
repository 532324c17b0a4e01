//! Who sells and who pays, as EN 16931 names them, or what is lacking for it.

use crate::fault::Lack;
use billing::invoice::Document;
use kernel::CountryCode;

/// A party of the invoice.
pub struct Party {
    /// Its name.
    pub name: String,
    /// The lines of its address.
    pub address: Vec<String>,
    /// Where it is.
    pub country: CountryCode,
    /// Its VAT number, beginning with its country.
    pub vat: Option<String>,
    /// Another number that it goes by.
    pub number: Option<String>,
    /// Its mail address.
    pub email: Option<String>,
}

/// A tax number as one of VAT: without blanks, in capitals, beginning with the country (Greece calls itself EL).
fn vat(number: &str, country: CountryCode) -> Option<String> {
    let number: String = number.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
    let country = country.to_string();
    let prefix = if country == "GR" { "EL" } else { &country };
    (number.starts_with(prefix) && number.len() > 4).then_some(number)
}

fn lines(address: &str) -> Vec<String> {
    address.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Seller and payer.
pub fn of(document: &Document) -> (Party, Party) {
    let (seller, payer) = (&document.seller, &document.payer);
    let number = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let seller = Party {
        name: seller.name.trim().to_owned(),
        address: lines(&seller.address),
        country: seller.country,
        vat: vat(&seller.tax_id, seller.country),
        number: number(&seller.tax_id),
        email: None,
    };
    let tax_id = payer.profile.tax_id.as_deref().unwrap_or_default();
    let payer = Party {
        name: payer.name.trim().to_owned(),
        address: lines(payer.profile.address.as_deref().unwrap_or_default()),
        country: payer.country,
        vat: vat(tax_id, payer.country),
        number: number(tax_id),
        email: payer.profile.email.as_ref().map(ToString::to_string),
    };
    (seller, payer)
}

/// What EN 16931 needs of the parties that is not there: with tax, or reverse charge, more than without.
pub fn lacks(seller: &Party, payer: &Party, taxed: bool, reversed: bool) -> Vec<Lack> {
    let mut lacks = Vec::new();
    let mut need = |there: bool, pointer: &'static str, detail: String| {
        if !there {
            lacks.push(Lack { pointer, detail });
        }
    };
    need(!seller.name.is_empty(), "/seller/name", "an e-invoice names the seller: set seller.name".into());
    need(
        !seller.address.is_empty(),
        "/seller/address",
        "an e-invoice holds the seller's address: set seller.address".into(),
    );
    need(
        seller.number.is_some(),
        "/seller/tax_id",
        "an e-invoice holds a number of the seller: set seller.tax_id".into(),
    );
    need(
        seller.vat.is_some() || !(taxed || reversed) || seller.number.is_none(),
        "/seller/tax_id",
        format!("with tax, the seller's number must be one of VAT, beginning with its country {}", seller.country),
    );
    need(
        !payer.address.is_empty(),
        "/payer/address",
        "an e-invoice holds the payer's address: fill it in on the subscription, for later invoices".into(),
    );
    need(
        payer.vat.is_some() || !reversed,
        "/payer/tax_id",
        "with reverse charge an e-invoice holds the payer's VAT number, beginning with its country".into(),
    );
    lacks
}
