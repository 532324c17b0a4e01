//! Lines of invoices: the charges of the bill, each once, with the names that it was issued with and shares of the tax
//! that add up.

use std::collections::{BTreeMap, HashSet};

use kernel::{InvoiceId, OrganizationId, SubscriptionId};
use store::Tx;
use store::proof::{self, LineCharge, LineProof};

use super::{Difference, PAGE, Row, VerifyError};
use crate::lines::LinesHash;

/// What an invoice's event says, as far as its lines go.
#[derive(Debug)]
pub struct Billed<'a> {
    /// The invoice.
    pub invoice: InvoiceId,
    /// Who pays.
    pub subscription: SubscriptionId,
    /// The month that it is for.
    pub bill: &'a str,
    /// Sum and tax by rate, minor units.
    pub taxes: BTreeMap<&'a str, (i64, i64)>,
    /// How many lines it was issued with, where that was kept.
    pub lines: Option<i64>,
    /// The hash over them, where it was kept.
    pub hash: Option<&'a str>,
}

/// How the tax of a rate was shared so far. What was cut off is given by the unit to the largest remainders, so none that
/// got one has a smaller remainder than one that did not; and the other way round where too little was cut off, as it may be
/// where some lines take others back.
#[derive(Debug, Default)]
struct Shared {
    tax: i128,
    /// The least remainder of those that got a unit, and the most of those that gave one.
    up: Option<i128>,
    down: Option<i128>,
    /// The least and the most of those that did neither.
    same: Option<(i128, i128)>,
}

impl Shared {
    fn is_by_remainders(&self) -> bool {
        let (least, most) = self.same.map_or((None, None), |(least, most)| (Some(least), Some(most)));
        !(self.up.is_some() && self.down.is_some())
            && self.up.zip(most).is_none_or(|(up, most)| up >= most)
            && self.down.zip(least).is_none_or(|(down, least)| down <= least)
    }
}

/// The organization that lines stand for, one after another.
#[derive(Debug, Default)]
struct Part {
    organization: Option<OrganizationId>,
    net: i128,
    stated: i64,
}

/// Proves an invoice's lines, which are as many as the `charges` of its bill; how many there are.
///
/// # Errors
/// The first line that is not what the facts say.
pub async fn prove(tx: &Tx, billed: &Billed<'_>, charges: i64) -> Result<i64, VerifyError> {
    let mut proof = Proof {
        billed,
        shares: BTreeMap::new(),
        part: Part::default(),
        parts: HashSet::new(),
        charges: HashSet::new(),
    };
    let (mut hash, mut place) = (LinesHash::default(), 0);
    loop {
        let page = proof::invoice_lines(tx, billed.invoice, place, PAGE).await?;
        for line in &page {
            place += 1;
            proof.line(place, line)?;
            let [slug, name, offer] = &line.names;
            hash.add(line.place, line.charge, [slug, name, offer], line.tax, line.organization_net);
        }
        if i64::try_from(page.len()).unwrap_or(PAGE) < PAGE {
            break;
        }
    }
    let named = Row("invoice_lines", &billed.invoice);
    named.same("number of lines", place, charges)?;
    if let Some(lines) = billed.lines {
        named.same("number of lines", place, lines)?;
    }
    if let Some(expected) = billed.hash {
        named.same("SHA-256 of its lines", hash.finish(), expected)?;
    }
    proof.settle()?;
    Ok(place)
}

struct Proof<'a> {
    billed: &'a Billed<'a>,
    shares: BTreeMap<String, Shared>,
    part: Part,
    parts: HashSet<OrganizationId>,
    charges: HashSet<kernel::ChargeId>,
}

impl Proof<'_> {
    fn line(&mut self, place: i64, line: &LineProof) -> Result<(), Difference> {
        let name = format!("{} of {}", line.place, self.billed.invoice);
        let named = Row("invoice_lines", &name);
        named.same("place", line.place, place)?;
        let missing = || named.differs(format!("charge {}", line.charge), "no such charge");
        let charge = line.charged.as_ref().ok_or_else(missing)?;
        named.same("subscription_id of its charge", charge.subscription, self.billed.subscription)?;
        named.same("bill of its charge", charge.bill.as_str(), self.billed.bill)?;
        if !self.charges.insert(line.charge) {
            return Err(named.differs(format!("charge {}", line.charge), "each charge once"));
        }
        self.share(named, line, charge)?;
        self.part(named, line, charge)
    }

    fn share(&mut self, named: Row<'_>, line: &LineProof, charge: &LineCharge) -> Result<(), Difference> {
        let (net, tax) = self.billed.taxes.get(charge.tax_rate.as_str()).copied().unwrap_or_default();
        let exact = i128::from(tax) * i128::from(charge.amount);
        let (part, remainder) = (exact.checked_div(net.into()), exact.checked_rem(net.into()));
        let known = self.billed.taxes.contains_key(charge.tax_rate.as_str());
        // What comes to nothing together has no tax to share.
        let (part, remainder) = part
            .zip(remainder)
            .or_else(|| known.then_some((0, 0)))
            .ok_or_else(|| named.differs("a line", "none at its rate"))?;
        let shared = self.shares.entry(charge.tax_rate.clone()).or_default();
        shared.tax += i128::from(line.tax);
        match i128::from(line.tax) - part {
            0 => {
                let (least, most) = shared.same.unwrap_or((remainder, remainder));
                shared.same = Some((least.min(remainder), most.max(remainder)));
            }
            -1 => shared.down = Some(shared.down.map_or(remainder, |most| most.max(remainder))),
            _ => {
                named.same("tax", i128::from(line.tax), part + 1)?;
                shared.up = Some(shared.up.map_or(remainder, |least| least.min(remainder)));
            }
        }
        Ok(())
    }

    fn part(&mut self, named: Row<'_>, line: &LineProof, charge: &LineCharge) -> Result<(), Difference> {
        if self.part.organization != Some(charge.organization) {
            self.end_part()?;
            if !self.parts.insert(charge.organization) {
                return Err(named.differs("this place", "all lines of an organization together"));
            }
            self.part = Part { organization: Some(charge.organization), net: 0, stated: line.organization_net };
        }
        self.part.net += i128::from(charge.amount);
        named.same("organization_net", line.organization_net, self.part.stated)
    }

    fn end_part(&self) -> Result<(), Difference> {
        let Some(organization) = self.part.organization else { return Ok(()) };
        let name = format!("of {organization} on {}", self.billed.invoice);
        Row("invoice_lines", &name).same("organization_net", i128::from(self.part.stated), self.part.net)
    }

    fn settle(&self) -> Result<(), Difference> {
        self.end_part()?;
        let named = Row("invoice_lines", &self.billed.invoice);
        for (rate, (_, tax)) in &self.billed.taxes {
            let nothing = Shared::default();
            let shared = self.shares.get(*rate).unwrap_or(&nothing);
            named.same(&format!("tax at {rate} %"), shared.tax, i128::from(*tax))?;
            if !shared.is_by_remainders() {
                return Err(
                    named.differs(format!("shares of tax at {rate} %"), "what is left to the largest remainders")
                );
            }
        }
        Ok(())
    }
}
