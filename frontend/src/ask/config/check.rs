//! What is wrong in a `vmimage.toml`: all of it at once, each at its place.
//!
//! The file is held against the schema, which says what keys and types there are; texts are held against the form
//! that the schema names, or against what the attribute of that name takes. What is right by itself is then looked
//! through for contradictions, and its paths are looked up in the build context.

use std::collections::BTreeMap;
use std::ops::Range;

use exporter::error::show_text;
use exporter::spec::TextFormat;
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problems, nearest};
use super::{Config, contradictions, schema};
use crate::ask::{Attribute, KernelFile, Wish};

pub(super) fn parse(name: &str, text: &str) -> Result<Config, Problems> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut problems = Problems::new(name, text);
    for error in &errors {
        problems.add(error.span().unwrap_or_default(), error.message());
    }
    let schema = schema();
    let mut check = Check { root: &schema, problems, entries: None, wishes: Vec::new() };
    check.table(&schema, table.get_ref(), table.span(), "");
    if check.problems.is_empty() {
        match configuration(&table, check.wishes) {
            Ok(config) => {
                contradictions::find(&config, table.get_ref(), &mut check.problems);
                if check.problems.is_empty() {
                    return Ok(config);
                }
            }
            Err(error) => check.problems.add(error.span().unwrap_or_default(), error.message()),
        }
    }
    Err(check.problems.sorted())
}

/// What is right becomes a configuration: as far as it asks for attributes, it has been read.
fn configuration(table: &Spanned<DeTable<'_>>, wishes: Vec<Wish>) -> Result<Config, toml::de::Error> {
    let mut others = table.clone();
    for wish in &wishes {
        others.get_mut().remove(wish.attribute().name);
    }
    let config = Config::deserialize(toml::Deserializer::from(others))?;
    Ok(Config { wishes, ..config })
}

/// Holds the paths in a file that is right by itself against what the build context has at them.
pub(super) fn paths(name: &str, text: &str, entries: &Entries) -> Result<(), Problems> {
    let (table, _) = DeTable::parse_recoverable(text);
    let schema = schema();
    let problems = Problems::new(name, text);
    let mut check = Check { root: &schema, problems, entries: Some(entries), wishes: Vec::new() };
    check.table(&schema, table.get_ref(), table.span(), "");
    if check.problems.is_empty() { Ok(()) } else { Err(check.problems.sorted()) }
}

/// What is in the build context, by path.
pub(crate) type Entries = BTreeMap<String, Entry>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    File,
    Folder,
}

impl Entry {
    /// Why it cannot be what `key` names.
    fn refuse(found: Option<Self>, key: &str) -> Option<&'static str> {
        match (found, key) {
            (None, _) => Some("is not in the build context"),
            (Some(Self::File), "packages" | "secure-boot.enroll") => Some("is a file, expected a folder"),
            (Some(_), "packages" | "secure-boot.enroll" | "files.source" | "partitions.source")
            | (Some(Self::File), _) => None,
            (Some(Self::Folder), _) => Some("is a folder, expected a file"),
        }
    }
}

struct Check<'a> {
    root: &'a Value,
    problems: Problems,
    /// `None`: not yet known.
    entries: Option<&'a Entries>,
    /// The keys that are attributes, as far as they are right.
    wishes: Vec<Wish>,
}

impl<'a> Check<'a> {
    fn value(&mut self, schema: &'a Value, value: &Spanned<DeValue<'_>>, key: &str) {
        let schema = self.resolved(schema);
        if let Some(choices) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
            return self.one_of(choices, value, key);
        }
        let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default();
        match (kind, value.get_ref()) {
            ("object", DeValue::Table(table)) => self.table(schema, table, value.span(), key),
            ("array", DeValue::Array(values)) => {
                let items = schema.get("items").unwrap_or(&Value::Null);
                values.iter().for_each(|value| self.value(items, value, key));
            }
            ("string", DeValue::String(text)) => self.text(schema, text, value.span(), key),
            ("integer", DeValue::Integer(number)) => {
                let max = if schema.get("format").is_some_and(|format| format == "uint64") {
                    i64::MAX as u64
                } else {
                    u64::from(u32::MAX)
                };
                let read = u64::from_str_radix(number.as_str(), number.radix());
                if read.is_ok_and(|number| number <= max) {
                    return;
                }
                let shown = show_text(number.as_str());
                self.problems.add(value.span(), format!("{key} is {shown}: a number from 0 to {max}"));
            }
            ("boolean", DeValue::Boolean(_)) | ("", _) => {}
            (kind, other) => {
                let found = shown_kind(other.type_str());
                self.problems.add(value.span(), format!("{key} is {found}, expected {}", shown_kind(kind)));
            }
        }
    }

    /// Checks against the choice that is of the value's kind, and has its keys if it is a table.
    fn one_of(&mut self, choices: &'a [Value], value: &Spanned<DeValue<'_>>, key: &str) {
        let choices: Vec<_> = choices.iter().map(|choice| self.resolved(choice)).collect();
        let kind = json_kind(value.get_ref());
        let of_kind: Vec<_> = choices.iter().copied().filter(|choice| choice["type"] == kind).collect();
        let has_keys = |choice: &&&Value| {
            let required = choice.get("required").and_then(Value::as_array);
            let table = value.get_ref().as_table();
            required
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .all(|name| table.is_some_and(|table| table.contains_key(name)))
        };
        match (of_kind.iter().find(has_keys), &of_kind[..]) {
            (Some(choice), _) | (None, [choice]) => self.value(choice, value, key),
            (None, _) => {
                let mut expected: Vec<_> = choices.iter().map(|choice| shown_choice(choice)).collect();
                expected.dedup();
                let found = shown_kind(value.get_ref().type_str());
                self.problems
                    .add(value.span(), format!("{key} is {found}, expected {}", expected.join(" or ")));
            }
        }
    }

    fn table(&mut self, schema: &'a Value, table: &DeTable<'_>, at: Range<usize>, key: &str) {
        let properties = schema.get("properties").and_then(Value::as_object);
        // Of a table whose keys are names that somebody gives.
        let any_other = schema.get("additionalProperties").filter(|other| other.is_object());
        let known = || properties.into_iter().flat_map(|properties| properties.keys().map(String::as_str));
        for (name, value) in table {
            let path =
                if key.is_empty() { name.get_ref().to_string() } else { format!("{key}.{}", name.get_ref()) };
            let property = properties.and_then(|properties| properties.get(name.get_ref().as_ref()));
            let Some(property) = property.or(any_other) else {
                let path = show_text(&path);
                let message = match nearest(name.get_ref(), known()) {
                    Some(meant) => format!("unknown key {path}: did you mean {meant}?"),
                    None => {
                        format!("unknown key {path}: the keys are {}", known().collect::<Vec<_>>().join(", "))
                    }
                };
                self.problems.add(name.span(), message);
                continue;
            };
            let before = self.problems.len();
            self.value(property, value, &path);
            if key.is_empty() && self.problems.len() == before {
                self.attribute(name.get_ref(), value);
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !table.contains_key(name) {
                self.problems.add(at.clone(), format!("{key}: the key {name} is required"));
            }
        }
    }

    fn text(&mut self, schema: &Value, text: &str, at: Range<usize>, key: &str) {
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
            let allowed: Vec<_> = allowed.iter().filter_map(Value::as_str).collect();
            if !allowed.contains(&text) {
                let text = show_text(text);
                self.problems.add(at, format!("{key} is {text:?}: one of {}", allowed.join(", ")));
            }
            return;
        }
        let Some(format) = schema.get("format") else { return };
        let format = match TextFormat::deserialize(format) {
            Ok(format) => format,
            // What is not known to be right is wrong: some of these texts get into shell scripts.
            Err(error) => return self.problems.add(at, format!("{key}: {error}")),
        };
        match (format, format.check(text)) {
            // It may be a password, which is nobody's to read in a log.
            (TextFormat::PasswordHash | TextFormat::GrubPasswordHash, Err(expected)) => {
                self.problems.add_hidden(at, format!("{key} is not a hash: expected {expected}"));
            }
            (_, Err(expected)) => {
                self.problems.add(at, format!("{key} is {:?}: expected {expected}", show_text(text)));
            }
            (TextFormat::ContextPath, Ok(())) => self.context_path(text, at, key),
            (TextFormat::PartitionSource, Ok(())) if !text.starts_with('/') => {
                self.context_path(text, at, key)
            }
            (_, Ok(())) => {}
        }
    }

    fn context_path(&mut self, path: &str, at: Range<usize>, key: &str) {
        let refused = self.entries.and_then(|entries| Entry::refuse(entries.get(path).copied(), key));
        if let Some(why) = refused {
            self.problems.add(at, format!("{key}: {} {why}", show_text(path)));
        }
    }

    /// What an attribute takes is known to its row alone.
    fn attribute(&mut self, name: &str, value: &Spanned<DeValue<'_>>) {
        let Some(attribute) = Attribute::by_name(name) else { return };
        let Some(words) = words(value.get_ref()) else { return };
        match attribute.wish(&words) {
            Ok(wish) => {
                if let Some(path) = wish.context_file() {
                    self.context_path(&path, value.span(), name);
                }
                self.wishes.push(wish);
            }
            Err(expected) => {
                self.problems.add(value.span(), format!("{name} is {:?}: {expected}", show_text(&words)));
            }
        }
    }

    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
        name.map_or(schema, |name| &self.root["$defs"][name])
    }
}

/// What an attribute is typed as, if the value is one of an attribute.
fn words(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            u32::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Boolean(is_on) => Some(if *is_on { "auto" } else { "off" }.to_owned()),
        DeValue::Table(table) => {
            let word = |key: &str| table.get(key).and_then(|value| value.get_ref().as_str());
            Some(KernelFile::typed(word("from")?, word("path")?))
        }
        DeValue::Array(values) => {
            let words = values.iter().map(|value| value.get_ref().as_str());
            Some(words.collect::<Option<Vec<_>>>()?.join(","))
        }
        _ => None,
    }
}

/// JSON's name for the kind of a value of TOML.
fn json_kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Boolean(_) => "boolean",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
        DeValue::Float(_) | DeValue::Datetime(_) => "",
    }
}

/// In the words of the error messages.
fn shown_kind(kind: &str) -> &str {
    match kind {
        "string" => "a string",
        "integer" => "an integer",
        "boolean" => "a boolean",
        "array" => "an array",
        "object" | "table" => "a table",
        "float" => "a float",
        other => other,
    }
}

fn shown_choice(choice: &Value) -> String {
    let required = choice.get("required").and_then(Value::as_array).and_then(|keys| keys.first()?.as_str());
    match required {
        Some(key) => format!("{{ {key} = … }}"),
        None => shown_kind(choice["type"].as_str().unwrap_or_default()).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_form_that_is_not_known_is_refused() {
        for (format, is_right) in [("locale", true), ("lokale", false)] {
            let schema = serde_json::json!({ "type": "string", "format": format });
            let mut check =
                Check { root: &schema, problems: Problems::new("f", "a"), entries: None, wishes: Vec::new() };
            check.text(&schema, "C", 0..1, "a");
            assert_eq!(check.problems.is_empty(), is_right, "{format}");
        }
    }
}
