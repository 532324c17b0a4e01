//! An invoice as EN 16931 has it, in the syntax of UBL 2.1: what businesses and authorities of the European Union take.
//! Each of the bill's lines is one unit at the line's net amount, for a line is worked out by a price model and a day rule
//! that EN 16931 has no words for; how it is stands in its description.

mod parties;
mod xml;

use crate::fault::Lack;
use crate::{Fault, words};
use billing::TaxRate;
use kernel::Month;
use marketplace::bill::{Bill, Line, TaxLine};
use parties::Party;
use xml::Xml;

/// What this is an invoice by.
const CUSTOMIZATION: &str = "urn:cen.eu:en16931:2017";
/// A commercial invoice (UNTDID 1001).
const INVOICE: &str = "380";
/// A credit note (UNTDID 1001).
const CREDIT_NOTE: &str = "381";
/// How it is paid is agreed outside of this document (UNTDID 4461).
const NOT_DEFINED: &str = "1";
/// One (UN/ECE Recommendation 20).
const ONE: &str = "C62";
/// How a credit note is settled.
const TERMS: &str = "Taken off what was open of the invoice; what had been paid is paid back or kept as credit.";
/// Most decimals of an amount.
const DECIMALS: u32 = 2;

/// What kind of VAT a rate is (UNTDID 5305).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Category {
    Standard,
    Zero,
    Exempt,
    OutOfScope,
    Reverse,
}

impl Category {
    /// Without any VAT and without a seller that is registered for it, the invoice is out of VAT's scope.
    fn of(rate: &str, in_scope: bool) -> Self {
        let rate = TaxRate::stored(rate);
        if rate.is_reverse() {
            Self::Reverse
        } else if !rate.is_none() {
            if rate.as_str() == "0" { Self::Zero } else { Self::Standard }
        } else if in_scope {
            Self::Exempt
        } else {
            Self::OutOfScope
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Standard => "S",
            Self::Zero => "Z",
            Self::Exempt => "E",
            Self::OutOfScope => "O",
            Self::Reverse => "AE",
        }
    }

    /// The percentage; out of scope there is none.
    fn percent(self, rate: &str) -> Option<&str> {
        match self {
            Self::Standard => Some(rate),
            Self::Zero | Self::Exempt | Self::Reverse => Some("0"),
            Self::OutOfScope => None,
        }
    }

    /// Why there is no tax, by code where there is one (CEF VATEX).
    const fn exemption(self) -> Option<&'static str> {
        match self {
            Self::Reverse => Some("VATEX-EU-AE"),
            Self::OutOfScope => Some("VATEX-EU-O"),
            Self::Standard | Self::Zero | Self::Exempt => None,
        }
    }
}

/// An invoice as UBL.
///
/// # Errors
/// [`Fault::Lacking`] names what seller or payer lack for it; [`Fault::Written`] where the writer does not take it.
pub fn ubl(bill: &Bill) -> Result<Vec<u8>, Fault> {
    let lacking = |pointer, detail: &str| Fault::Lacking(vec![Lack { pointer, detail: detail.into() }]);
    let number = bill.number.as_deref();
    let number = number.ok_or_else(|| lacking("/number", "only an invoice that is issued has an e-invoice"))?;
    let document = bill.parties.as_ref().ok_or_else(|| lacking("/seller", "the invoice does not name its parties"))?;
    let (seller, payer) = parties::of(document);
    let taxed = bill.taxes.iter().any(|tax| !TaxRate::stored(&tax.rate).is_none());
    let reversed = bill.taxes.iter().any(|tax| TaxRate::stored(&tax.rate).is_reverse());
    let mut lacks = parties::lacks(&seller, &payer, taxed, reversed);
    if bill.total.currency().digits() > DECIMALS {
        let detail = format!("EN 16931 takes amounts of two decimals; {} has more", bill.total.currency());
        lacks.push(Lack { pointer: "/total/currency", detail });
    }
    if bill.lines.is_empty() {
        lacks.push(Lack { pointer: "/lines", detail: "EN 16931 takes no invoice without lines".into() });
    }
    if !lacks.is_empty() {
        return Err(Fault::Lacking(lacks));
    }
    let in_scope = seller.vat.is_some();
    let mut xml = Xml::new();
    let note = bill.corrects.is_some();
    xml.root(if note { "CreditNote" } else { "Invoice" }, |xml| {
        head(xml, bill, number)?;
        party(xml, "cac:AccountingSupplierParty", &seller, in_scope)?;
        party(xml, "cac:AccountingCustomerParty", &payer, in_scope)?;
        xml.within("cac:PaymentMeans", |xml| {
            xml.text("cbc:PaymentMeansCode", NOT_DEFINED)?;
            xml.text("cbc:PaymentID", number)
        })?;
        if note {
            xml.within("cac:PaymentTerms", |xml| xml.text("cbc:Note", TERMS))?;
        }
        taxes(xml, bill, in_scope)?;
        totals(xml, bill)?;
        (1_usize..).zip(&bill.lines).try_for_each(|(place, line)| billed_line(xml, (place, line), in_scope, note))
    })?;
    Ok(xml.finish())
}

fn head(xml: &mut Xml, bill: &Bill, number: &str) -> Result<(), Fault> {
    xml.text("cbc:CustomizationID", CUSTOMIZATION)?;
    xml.text("cbc:ID", number)?;
    xml.text("cbc:IssueDate", &bill.issued_on.to_string())?;
    match &bill.corrects {
        Some(corrects) => {
            xml.text("cbc:CreditNoteTypeCode", CREDIT_NOTE)?;
            xml.text("cbc:Note", &corrects.reason)?;
        }
        None => {
            xml.text("cbc:DueDate", &bill.due_on.to_string())?;
            xml.text("cbc:InvoiceTypeCode", INVOICE)?;
        }
    }
    xml.text("cbc:DocumentCurrencyCode", bill.total.currency().code())?;
    let order = bill.parties.as_ref().and_then(|parties| parties.payer.profile.purchase_order.as_deref());
    let order = order.map(str::trim).filter(|order| !order.is_empty());
    order.map_or(Ok(()), |order| xml.within("cac:OrderReference", |xml| xml.text("cbc:ID", order)))?;
    let Some(of) = &bill.corrects else { return Ok(()) };
    xml.within("cac:BillingReference", |xml| {
        xml.within("cac:InvoiceDocumentReference", |xml| {
            xml.text("cbc:ID", &of.number)?;
            xml.text("cbc:IssueDate", &of.issued_on.to_string())
        })
    })
}

fn party(xml: &mut Xml, role: &str, party: &Party, in_scope: bool) -> Result<(), Fault> {
    let vat = party.vat.as_deref().filter(|_| in_scope);
    xml.within(role, |xml| {
        xml.within("cac:Party", |xml| {
            xml.within("cac:PartyName", |xml| xml.text("cbc:Name", &party.name))?;
            xml.within("cac:PostalAddress", |xml| address(xml, party))?;
            if let Some(vat) = vat {
                xml.within("cac:PartyTaxScheme", |xml| {
                    xml.text("cbc:CompanyID", vat)?;
                    scheme(xml)
                })?;
            }
            xml.within("cac:PartyLegalEntity", |xml| {
                xml.text("cbc:RegistrationName", &party.name)?;
                let number = party.number.as_deref().filter(|_| vat.is_none());
                number.map_or(Ok(()), |number| xml.text("cbc:CompanyID", number))
            })?;
            let email = party.email.as_deref();
            email.map_or(Ok(()), |email| xml.within("cac:Contact", |xml| xml.text("cbc:ElectronicMail", email)))
        })
    })
}

fn address(xml: &mut Xml, party: &Party) -> Result<(), Fault> {
    let mut lines = party.address.iter();
    for name in ["cbc:StreetName", "cbc:AdditionalStreetName"] {
        lines.next().map_or(Ok(()), |line| xml.text(name, line))?;
    }
    let rest = lines.cloned().collect::<Vec<_>>().join(", ");
    if !rest.is_empty() {
        xml.within("cac:AddressLine", |xml| xml.text("cbc:Line", &rest))?;
    }
    xml.within("cac:Country", |xml| xml.text("cbc:IdentificationCode", &party.country.to_string()))
}

fn scheme(xml: &mut Xml) -> Result<(), Fault> {
    xml.within("cac:TaxScheme", |xml| xml.text("cbc:ID", "VAT"))
}

fn taxes(xml: &mut Xml, bill: &Bill, in_scope: bool) -> Result<(), Fault> {
    xml.within("cac:TaxTotal", |xml| {
        xml.money("cbc:TaxAmount", bill.tax)?;
        bill.taxes.iter().try_for_each(|tax| subtotal(xml, tax, in_scope))
    })
}

fn subtotal(xml: &mut Xml, tax: &TaxLine, in_scope: bool) -> Result<(), Fault> {
    let category = Category::of(&tax.rate, in_scope);
    xml.within("cac:TaxSubtotal", |xml| {
        xml.money("cbc:TaxableAmount", tax.net)?;
        xml.money("cbc:TaxAmount", tax.tax)?;
        xml.within("cac:TaxCategory", |xml| {
            xml.text("cbc:ID", category.code())?;
            category.percent(&tax.rate).map_or(Ok(()), |percent| xml.text("cbc:Percent", percent))?;
            category.exemption().map_or(Ok(()), |code| xml.text("cbc:TaxExemptionReasonCode", code))?;
            if !matches!(category, Category::Standard | Category::Zero) {
                xml.text("cbc:TaxExemptionReason", &words::reason(tax))?;
            }
            scheme(xml)
        })
    })
}

fn totals(xml: &mut Xml, bill: &Bill) -> Result<(), Fault> {
    let settled = bill.total.checked_sub(bill.open).map_err(Fault::written)?;
    xml.within("cac:LegalMonetaryTotal", |xml| {
        xml.money("cbc:LineExtensionAmount", bill.net)?;
        xml.money("cbc:TaxExclusiveAmount", bill.net)?;
        xml.money("cbc:TaxInclusiveAmount", bill.total)?;
        if !settled.is_zero() {
            xml.money("cbc:PrepaidAmount", settled)?;
        }
        xml.money("cbc:PayableAmount", bill.open)
    })
}

/// One unit at the net amount; a credit is minus one, for a price is never below zero.
fn billed_line(xml: &mut Xml, (place, line): (usize, &Line), in_scope: bool, note: bool) -> Result<(), Fault> {
    let (element, quantity) =
        if note { ("cac:CreditNoteLine", "cbc:CreditedQuantity") } else { ("cac:InvoiceLine", "cbc:InvoicedQuantity") };
    let category = Category::of(&line.tax_rate, in_scope);
    let below = line.amount.minor() < 0;
    let price = if below { line.amount.checked_neg().map_err(Fault::written)? } else { line.amount };
    xml.within(element, |xml| {
        xml.text("cbc:ID", &place.to_string())?;
        xml.with(quantity, ("unitCode", ONE), if below { "-1" } else { "1" })?;
        xml.money("cbc:LineExtensionAmount", line.amount)?;
        period(xml, line.month)?;
        xml.within("cac:Item", |xml| {
            xml.text("cbc:Description", &format!("{}: {}", line.organization.name, words::what(line)))?;
            let name = if line.name.trim().is_empty() { &line.offer } else { &line.name };
            xml.text("cbc:Name", name)?;
            xml.within("cac:SellersItemIdentification", |xml| xml.text("cbc:ID", &line.offer))?;
            xml.within("cac:ClassifiedTaxCategory", |xml| {
                xml.text("cbc:ID", category.code())?;
                category.percent(&line.tax_rate).map_or(Ok(()), |percent| xml.text("cbc:Percent", percent))?;
                scheme(xml)
            })
        })?;
        xml.within("cac:Price", |xml| xml.money("cbc:PriceAmount", price))
    })
}

fn period(xml: &mut Xml, month: Month) -> Result<(), Fault> {
    xml.within("cac:InvoicePeriod", |xml| {
        xml.text("cbc:StartDate", &month.first_day().to_string())?;
        xml.text("cbc:EndDate", &words::last_day(month).to_string())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests;
