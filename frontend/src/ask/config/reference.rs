//! The reference of `vmimage.toml`, a page of Markdown made from its schema.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::schema;
use crate::ask::Attribute;

const HEAD: &str = "\
# vmimage.toml

Made by `vmimage config reference`. The file lies in the build context, or `--config FILE` (`VMIMAGE_CONFIG`) names another
one there; every key is optional. `vmimage config check` says what is wrong in it, and `vmimage.schema.json` (`vmimage
config schema`) tells editors the keys.

Where a setting is given in several places, the last of these wins:

1. the default
2. a label of the image, such as `LABEL vmimage.size=10G`
3. `vmimage.toml`
4. the build: a flag of `vmimage build`, an attribute of `--output type=vmdisk,…`, a build argument

Keys with a flag here are attributes and labels of the same name too.
";

/// The page.
pub(crate) fn reference() -> String {
    let schema = schema();
    let page = Page { root: &schema };
    let mut text = HEAD.to_owned();
    let (tables, keys): (Vec<_>, Vec<_>) =
        properties(&schema).into_iter().flatten().partition(|(_, property)| page.table(property).is_some());
    text += "\n| key | what | value | default | flag | build argument |\n|---|---|---|---|---|---|\n";
    for (key, property) in keys {
        let (flag, variable) = match Attribute::by_name(key) {
            Some(attribute) => (format!("`{}`", attribute.flag()), format!("`{}`", attribute.variable())),
            None => Default::default(),
        };
        let row = [
            format!("`{key}`"),
            page.what(property),
            page.value(property),
            default(property),
            flag,
            variable,
        ];
        writeln!(text, "| {} |", row.join(" | ")).expect("a text takes all that is written");
    }
    for (key, property) in tables {
        page.section(key, property, &mut text);
    }
    text
}

struct Page<'a> {
    root: &'a Value,
}

impl<'a> Page<'a> {
    /// A table or a list of tables, and the lists of tables in it.
    fn section(&self, path: &str, property: &'a Value, text: &mut String) {
        let (table, is_list) = self.table(property).expect("it was taken for a table by it");
        let head = if is_list { format!("[[{path}]]") } else { format!("[{path}]") };
        write!(text, "\n## `{head}`\n\n{}\n", self.what(property)).expect("a text takes all that is written");
        *text += "\n| key | what | value | default |\n|---|---|---|---|\n";
        let is_section = |property: &'a Value| self.table(property).is_some_and(|(_, is_list)| is_list);
        let (lists, keys): (Vec<_>, Vec<_>) =
            properties(table).into_iter().flatten().partition(|(_, property)| is_section(property));
        for (name, property) in keys {
            let is_required =
                table["required"].as_array().is_some_and(|keys| keys.contains(&name.as_str().into()));
            let default = if is_required { "required".to_owned() } else { default(property) };
            let row = [format!("`{name}`"), self.what(property), self.value(property), default];
            writeln!(text, "| {} |", row.join(" | ")).expect("a text takes all that is written");
        }
        for (name, property) in lists {
            self.section(&format!("{path}.{name}"), property, text);
        }
    }

    /// The keys of a table or of a list of tables, and which of the two it is.
    fn table(&self, property: &'a Value) -> Option<(&'a Value, bool)> {
        let property = self.resolved(property);
        let items = self.resolved(&property["items"]);
        let table = if items.is_object() { items } else { property };
        properties(table)?;
        Some((table, items.is_object()))
    }

    fn resolved(&self, property: &'a Value) -> &'a Value {
        let name = property["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
        name.map_or(property, |name| &self.root["$defs"][name])
    }

    /// The description, in one line.
    fn what(&self, property: &Value) -> String {
        let own = property["description"].as_str().unwrap_or_default();
        own.replace('\n', " ").replace('|', "\\|")
    }

    /// The kind of the value, with an example if there is one.
    fn value(&self, property: &'a Value) -> String {
        let kind = self.kind(property);
        match property["examples"].as_array().and_then(|examples| examples.first()) {
            Some(example) => format!("{kind}, such as `{example}`"),
            None => kind,
        }
    }

    fn kind(&self, property: &'a Value) -> String {
        let property = self.resolved(property);
        if let Some(names) = property["enum"].as_array() {
            return names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        }
        let choices = property["anyOf"].as_array().or(property["oneOf"].as_array());
        if let Some(choices) = choices {
            let mut kinds: Vec<_> = choices.iter().map(|choice| self.kind(choice)).collect();
            kinds.dedup();
            return kinds.join(" or ");
        }
        match property["type"].as_str() {
            Some("array") => format!("array of {}", self.kind(&property["items"])),
            Some("object") if properties(property).is_none() => {
                format!("table of {}", self.kind(&property["additionalProperties"]))
            }
            Some("object") => {
                let keys =
                    properties(property).into_iter().flatten().map(|(key, _)| format!("{key} = \"…\""));
                format!("`{{ {} }}`", keys.collect::<Vec<_>>().join(", "))
            }
            Some("string") => "string".to_owned(),
            Some("integer") => "integer".to_owned(),
            Some("boolean") => "`true` or `false`".to_owned(),
            _ => String::new(),
        }
    }
}

fn properties(table: &Value) -> Option<&Map<String, Value>> {
    table["properties"].as_object()
}

fn default(property: &Value) -> String {
    match &property["default"] {
        Value::Null => String::new(),
        Value::Array(none) if none.is_empty() => "none".to_owned(),
        Value::Object(_) => String::new(),
        value => format!("`{value}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::ATTRIBUTES;

    #[test]
    fn every_key_has_a_line_and_every_attribute_its_argument() {
        let page = reference();
        for (key, property) in properties(&schema()).unwrap() {
            assert!(
                ["`KEY` |", "## `[[KEY]]`", "## `[KEY]`"]
                    .iter()
                    .any(|form| page.contains(&form.replace("KEY", key))),
                "{key}"
            );
            assert!(property["description"].is_string(), "{key} is not described");
        }
        for attribute in &ATTRIBUTES {
            assert!(page.contains(&format!("`{}`", attribute.variable())), "{}", attribute.name);
        }
        let row = "| `size` | The size of the disk. By default what the content needs and a quarter more, at least 256 MiB. \
                   | string, such as `\"10G\"` |  | `--size` | `VMIMAGE_SIZE` |";
        assert!(page.contains(row), "{page}");
    }
}
