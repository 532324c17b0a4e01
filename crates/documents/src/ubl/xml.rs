//! UBL's elements over a writer that escapes what it is given.

use crate::Fault;
use kernel::Money;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

const DOCUMENT: &str = "urn:oasis:names:specification:ubl:schema:xsd:";

/// A document as it is written.
pub struct Xml {
    writer: Writer<Vec<u8>>,
}

impl Xml {
    /// An empty document.
    pub fn new() -> Self {
        Self { writer: Writer::new_with_indent(Vec::new(), b' ', 1) }
    }

    /// The document's element of this name.
    ///
    /// # Errors
    /// What `inner` fails with, or the writer.
    pub fn root(&mut self, name: &str, inner: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.write(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let spaces = [
            ("xmlns", format!("{DOCUMENT}{name}-2")),
            ("xmlns:cac", format!("{DOCUMENT}CommonAggregateComponents-2")),
            ("xmlns:cbc", format!("{DOCUMENT}CommonBasicComponents-2")),
        ];
        let attributes = spaces.iter().map(|(name, value)| (*name, value.as_str()));
        self.write(Event::Start(BytesStart::new(name).with_attributes(attributes)))?;
        inner(self)?;
        self.write(Event::End(BytesEnd::new(name)))
    }

    /// An element with elements in it.
    ///
    /// # Errors
    /// What `inner` fails with, or the writer.
    pub fn within(&mut self, name: &str, inner: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.write(Event::Start(BytesStart::new(name)))?;
        inner(self)?;
        self.write(Event::End(BytesEnd::new(name)))
    }

    /// An element with text in it.
    ///
    /// # Errors
    /// The writer's.
    pub fn text(&mut self, name: &str, text: &str) -> Result<(), Fault> {
        self.element(BytesStart::new(name), name, text)
    }

    /// An element with an attribute and text.
    ///
    /// # Errors
    /// The writer's.
    pub fn with(&mut self, name: &str, attribute: (&str, &str), text: &str) -> Result<(), Fault> {
        self.element(BytesStart::new(name).with_attributes([attribute]), name, text)
    }

    /// An amount with its currency.
    ///
    /// # Errors
    /// The writer's.
    pub fn money(&mut self, name: &str, money: Money) -> Result<(), Fault> {
        self.with(name, ("currencyID", money.currency().code()), &money.amount_string())
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.writer.into_inner()
    }

    fn element(&mut self, start: BytesStart<'_>, name: &str, text: &str) -> Result<(), Fault> {
        self.write(Event::Start(start))?;
        self.write(Event::Text(BytesText::new(&legal(text))))?;
        self.write(Event::End(BytesEnd::new(name)))
    }

    fn write(&mut self, event: Event<'_>) -> Result<(), Fault> {
        self.writer.write_event(event).map_err(Fault::written)
    }
}

/// The text without what XML 1.0 cannot hold at all.
fn legal(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\t' | '\n' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)).collect()
}
