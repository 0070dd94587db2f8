//! The JSON schema of `vmimage.toml`, made from [`Config`].

use exporter::container::{Compression, Format};
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::Config;

/// The schema, as JSON.
pub(crate) fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Config>().to_value();
    without_null(&mut schema);
    schema
}

/// The schema as the file `vmimage.schema.json` has it.
pub(crate) fn schema_text() -> String {
    let text = serde_json::to_string_pretty(&schema()).expect("a schema has no keys that are no text");
    text + "\n"
}

/// One format, several between commas, or a list of them.
pub(super) fn formats(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<_> = Format::ALL.iter().map(|format| format.name()).collect();
    json_schema!({ "anyOf": [{ "type": "string", "examples": names }, { "type": "array", "items": { "type": "string", "enum": names } }] })
}

pub(super) fn compressions() -> Vec<&'static str> {
    Compression::ALL.iter().map(|compression| compression.name()).collect()
}

/// TOML has no null: what may be left out is just not required.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(keys) => {
            if let Some(Value::Array(types)) = keys.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [one] = &types[..] {
                    let one = one.clone();
                    keys.insert("type".into(), one);
                }
            }
            if let Some(Value::Array(choices)) = keys.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
                if let [one] = &choices[..] {
                    let one = one.clone();
                    keys.remove("anyOf");
                    keys.extend(one.as_object().cloned().unwrap_or_default());
                }
            }
            keys.values_mut().for_each(without_null);
        }
        Value::Array(values) => values.iter_mut().for_each(without_null),
        _ => {}
    }
}
