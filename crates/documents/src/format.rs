//! Which documents there are, and how each is asked for.

use crate::Fault;
use marketplace::bill::Bill;

/// A document of a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// On paper.
    Pdf,
    /// The lines, for spreadsheets.
    Csv,
    /// For programs of businesses and authorities: EN 16931 in UBL.
    Ubl,
    /// The costs, for those who compare them across providers: FOCUS in CSV.
    Focus,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pdf, Self::Csv, Self::Ubl, Self::Focus];

    /// Its name in the pages' addresses, and the end of its file's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Csv => "csv",
            Self::Ubl => "xml",
            Self::Focus => "focus.csv",
        }
    }

    /// Its name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Pdf => "PDF",
            Self::Csv => "Lines as CSV",
            Self::Ubl => "E-invoice (UBL)",
            Self::Focus => "Costs (FOCUS)",
        }
    }

    /// Its media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Csv | Self::Focus => "text/csv; charset=utf-8",
            Self::Ubl => "application/xml",
        }
    }

    /// The name of a file that holds it, of a bill with this number: letters, digits, hyphens and one point.
    #[must_use]
    pub fn file_name(self, number: &str) -> String {
        let number: String = number.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        format!("{number}.{}", self.name())
    }

    /// The document of a bill.
    ///
    /// # Errors
    /// As [`Fault`] says.
    pub fn of(self, bill: &Bill) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Pdf => crate::pdf(bill),
            Self::Csv => crate::csv(bill),
            Self::Ubl => crate::ubl(bill),
            Self::Focus => crate::focus(bill),
        }
    }
}
