//! The JSON schema of `vmimage.toml`, made from [`Config`] and the attributes.

use exporter::spec::TextFormat;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::Config;
use crate::ask::{Attribute, Form, Place};

/// The schema, as JSON.
pub(crate) fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Config>().to_value();
    without_null(&mut schema);
    for attribute in Attribute::of(Place::Key) {
        schema["properties"][attribute.name] = property(attribute);
    }
    schema
}

/// The schema as the file `vmimage.schema.json` has it.
pub(crate) fn schema_text() -> String {
    let text = serde_json::to_string_pretty(&schema()).expect("a schema has no keys that are no text");
    text + "\n"
}

/// What a key that is an attribute takes.
fn property(attribute: &Attribute) -> Value {
    let mut property = match attribute.form {
        Form::Choice(_, words) => json!({ "type": "string", "enum": words() }),
        Form::Choices(_, words) => either(
            json!({ "type": "string", "examples": words() }),
            json!({ "type": "array", "items": { "type": "string", "enum": words() } }),
        ),
        Form::Text(_) | Form::Arguments(_) => json!({ "type": "string" }),
        Form::TextOrFile(_) => either(json!({ "type": "string" }), stage_source()),
        Form::Texts(_) => {
            either(json!({ "type": "string" }), json!({ "type": "array", "items": { "type": "string" } }))
        }
        Form::Number(_, words) => {
            let numbers: Vec<u32> = words().into_iter().filter_map(|word| word.parse().ok()).collect();
            either(
                json!({ "type": "integer", "enum": numbers }),
                json!({ "type": "string", "enum": words() }),
            )
        }
        Form::Switch(_) => either(json!({ "type": "boolean" }), json!({ "type": "string" })),
    };
    property["description"] = attribute.about.into();
    if let Some(default) = attribute.default {
        property["default"] = default.into();
    }
    match (&attribute.form, attribute.right) {
        (Form::Choice(..) | Form::Number(..), _) | (_, []) => {}
        (Form::Choices(..) | Form::Texts(_), [example, ..]) => {
            property["examples"] = json!([example.split(',').collect::<Vec<_>>()]);
        }
        (_, [example, ..]) => property["examples"] = json!([example]),
    }
    property
}

/// A file of another stage or of a named context.
fn stage_source() -> Value {
    json!({
        "type": "object",
        "properties": {
            "from": { "type": "string", "format": TextFormat::StageName, "description": "The stage, or the named context." },
            "path": { "type": "string", "format": TextFormat::PlainPath, "description": "The path in it." },
        },
        "required": ["from", "path"],
        "additionalProperties": false,
    })
}

fn either(one: Value, other: Value) -> Value {
    json!({ "anyOf": [one, other] })
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
