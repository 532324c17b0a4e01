//! Lays configuration files and the environment over each other, and remembers of every key where its
//! value came from, so that a fault can say so.
//!
//! The bottom layer holds every key there is. So what a key may be called and of what type its value is
//! has one source, the file that also explains it; and messages need not show the value, which may be a
//! secret.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::KeyFault;

/// What the names of all environment variables begin with.
const PREFIX: &str = "PURSER__";

/// The layers laid so far.
#[derive(Debug)]
pub struct Layers {
    table: Table,
    /// By key (`server.port`): where it was set last.
    places: BTreeMap<String, String>,
    faults: Vec<KeyFault>,
}

impl Layers {
    /// The bottom layer, which holds every key.
    pub fn new(bottom: Table) -> Self {
        Self { table: bottom, places: BTreeMap::new(), faults: Vec::new() }
    }

    /// Lays a TOML text over it; `name` is what messages call it.
    pub fn file(&mut self, name: &str, text: &str) {
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(fault) => {
                // Not the parser's own picture of the place: the line may hold a secret.
                let line = fault.span().map_or(1, |span| line_of(text, span.start));
                self.faults.push(KeyFault {
                    key: String::new(),
                    place: format!("{name}, line {line}"),
                    message: format!("not TOML: {}", fault.message()),
                });
                return;
            }
        };
        let mut lines = BTreeMap::new();
        if let Ok(document) = DeTable::parse(text) {
            note_lines(document.get_ref(), "", text, &mut lines);
        }
        let place = |key: &str| match lines.get(key) {
            Some(line) => format!("{name}, line {line}"),
            None => name.to_owned(),
        };
        overlay(&mut self.table, table, "", &place, &mut self.places, &mut self.faults);
    }

    /// Lays those environment variables over it that begin with `PURSER__`.
    pub fn environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, text) in variables {
            let Some(key) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let key = key.to_ascii_lowercase().replace("__", ".");
            let result = match find(&mut self.table, &key) {
                Some(Value::Table(_)) => Err("is a section, not a key".to_owned()),
                Some(known) => parse_text(known, &text).map(|value| *known = value),
                None => Err(unknown(&self.table, &key)),
            };
            match result {
                Ok(()) => {
                    self.places.insert(key, name);
                }
                Err(message) => self.faults.push(KeyFault { key, place: name, message }),
            }
        }
    }

    /// All layers as one table, or what is wrong with them; and where each key was set.
    pub fn finish(self) -> Result<(Table, BTreeMap<String, String>), Vec<KeyFault>> {
        if self.faults.is_empty() { Ok((self.table, self.places)) } else { Err(self.faults) }
    }
}

fn overlay(
    under: &mut Table,
    over: Table,
    path: &str,
    place: &dyn Fn(&str) -> String,
    places: &mut BTreeMap<String, String>,
    faults: &mut Vec<KeyFault>,
) {
    for (name, value) in over {
        let key = join(path, &name);
        let message = match (under.get_mut(&name), value) {
            (None, _) => format!("unknown key; {} knows {}", section(path), names(under)),
            (Some(Value::Table(known)), Value::Table(value)) => {
                overlay(known, value, &key, place, places, faults);
                continue;
            }
            (Some(known), value) => {
                let value = dates_as_text(value);
                if known.same_type(&value) {
                    *known = value;
                    places.insert(key.clone(), place(&key));
                    continue;
                }
                format!("must be {}, not {}", kind(known), kind(&value))
            }
        };
        let place = place(&key);
        faults.push(KeyFault { key, place, message });
    }
}

/// The value of an environment variable, of the type that `known` is of.
fn parse_text(known: &Value, text: &str) -> Result<Value, String> {
    let wrong = || format!("must be {}", kind(known));
    match known {
        Value::String(_) => Ok(Value::String(text.to_owned())),
        Value::Integer(_) => text.trim().parse().map(Value::Integer).map_err(|_| wrong()),
        Value::Boolean(_) => text.trim().parse().map(Value::Boolean).map_err(|_| wrong()),
        Value::Array(_) => parse_list(text).map(Value::Array),
        _ => Err(wrong()),
    }
}

/// A list as JSON, as TOML, or as texts between commas.
fn parse_list(text: &str) -> Result<Vec<Value>, String> {
    let text = text.trim();
    if !text.starts_with('[') {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        return Ok(items.map(|item| Value::String(item.to_owned())).collect());
    }
    let list = serde_json::from_str::<Vec<Value>>(text).ok().or_else(|| {
        let mut table: Table = format!("list = {text}").parse().ok()?;
        match table.remove("list")? {
            Value::Array(list) => Some(list),
            _ => None,
        }
    });
    list.map(|list| list.into_iter().map(dates_as_text).collect())
        .ok_or_else(|| "must be a list as JSON or TOML".to_owned())
}

/// TOML has dates of its own; to us a date is a text, written with quotation marks or without.
fn dates_as_text(value: Value) -> Value {
    match value {
        Value::Datetime(date) => Value::String(date.to_string()),
        Value::Array(list) => Value::Array(list.into_iter().map(dates_as_text).collect()),
        Value::Table(table) => {
            Value::Table(table.into_iter().map(|(name, value)| (name, dates_as_text(value))).collect())
        }
        other => other,
    }
}

fn find<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    match key.split_once('.') {
        None => table.get_mut(key),
        Some((section, rest)) => find(table.get_mut(section)?.as_table_mut()?, rest),
    }
}

/// What to say of a key that is in no section, with the names of the deepest section that there is.
fn unknown(table: &Table, key: &str) -> String {
    let mut here = table;
    let mut path = String::new();
    for name in key.split('.') {
        match here.get(name) {
            Some(Value::Table(inner)) => {
                here = inner;
                path = join(&path, name);
            }
            _ => break,
        }
    }
    format!("unknown key; {} knows {}", section(&path), names(here))
}

fn section(path: &str) -> String {
    if path.is_empty() { "the configuration".to_owned() } else { format!("[{path}]") }
}

fn names(table: &Table) -> String {
    let names: Vec<&str> = table.keys().map(String::as_str).collect();
    names.join(", ")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a point",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}

fn note_lines(table: &DeTable<'_>, path: &str, text: &str, lines: &mut BTreeMap<String, usize>) {
    for (name, value) in table.iter() {
        let key = join(path, name.get_ref());
        if let DeValue::Table(inner) = value.get_ref() {
            note_lines(inner, &key, text, lines);
        }
        lines.insert(key, line_of(text, name.span().start));
    }
}

/// Number of the line, from 1, that the byte at `offset` stands in.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.bytes().take(offset);
    before.filter(|byte| *byte == b'\n').count().saturating_add(1)
}
