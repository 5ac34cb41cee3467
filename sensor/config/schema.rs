//! The configuration's JSON Schema (draft 2020-12), for editors and for those who write configurations with programs.
//!
//! In: the shape of [`Written`], the manual. Out: JSON. Never here: an option's name that the reader does not know better,
//! except where two options ask something of each other.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::fault::{Place, join};
use super::manual::{self, Entry};
use super::read::read;
use super::shape::{Member, Shape, shape};
use super::tree::{Key, Node, Value};
use super::written::{Size, Workers, Written};
use crate::limits::{
    CAPTURES_MAX, CONFIDENCE_MAX, FLOWS_SETTABLE_MAX, INTERFACE_NAME_BYTES_MAX, LEDGER_DAYS_MAX, QUARANTINE_FILES_MAX,
    REPLAY_HOURS_MAX, SHARDS, SNAP_BYTES_DEFAULT, SNAP_BYTES_SETTABLE_MIN, WORKERS_MAX,
};

/// The schema as JSON text. It accepts what the reader accepts, `${NAME}` included; what only a check can know (whether a
/// file is there, what one section asks of another) it leaves open.
pub fn schema() -> String {
    let Some(Shape::Section(members)) = shape::<Written>() else { return String::new() };
    let desk = Desk { entries: manual::entries(), required: required(&members) };
    let mut whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "haetae.yaml",
        "description": "The configuration of the haetae sensor. An option that is not here does not exist.",
    });
    let Json::Object(section) = desk.section("", &members) else { return String::new() };
    if let Json::Object(whole) = &mut whole {
        whole.extend(section);
        let variable = json!({ "type": "string", "pattern": r"\$\{[^}]+\}", "description": "from the environment" });
        whole.insert("$defs".to_string(), json!({ "variable": variable }));
    }
    format!("{whole:#}\n")
}

/// What the reader misses when all sections are there and empty.
fn required(members: &[Member]) -> Vec<String> {
    let mut faults = Vec::new();
    read::<Written>(&bare(&Shape::Section(members.to_vec())).unwrap_or_else(nothing), &mut faults);
    let missing = faults.into_iter().filter(|fault| fault.problem == "is missing");
    missing.map(|fault| fault.path.replace("[0]", "[]")).collect()
}

/// A node with all sections and no option.
fn bare(shape: &Shape) -> Option<Node> {
    let value = match shape {
        Shape::Section(members) => {
            let key = |name: &str| Key { name: name.to_string(), place: Place::Absent(String::new()) };
            let entries = members.iter().filter_map(|one| bare(&one.shape).map(|node| (key(one.name), node)));
            Value::Map(entries.collect())
        }
        Shape::List(item) => Value::List(vec![bare(item)?]),
        _ => return None,
    };
    Some(Node { value, ..nothing() })
}

fn nothing() -> Node {
    Node { value: Value::Map(Vec::new()), place: Place::Absent(String::new()) }
}

struct Desk {
    entries: BTreeMap<String, Entry>,
    required: Vec<String>,
}

impl Desk {
    fn section(&self, path: &str, members: &[Member]) -> Json {
        let mut properties = Map::new();
        let mut required: Vec<&str> = Vec::new();
        for member in members {
            let option = join(path, member.name);
            if self.required.contains(&option) {
                required.push(member.name);
            }
            let mut schema = self.one(&option, &member.shape);
            self.describe(&option, &mut schema);
            properties.insert(member.name.to_string(), schema);
        }
        let mut section = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        if !required.is_empty() {
            section["required"] = json!(required);
        }
        section
    }

    fn one(&self, path: &str, shape: &Shape) -> Json {
        let mut schema = match shape {
            Shape::Flag => json!({ "type": "boolean" }),
            Shape::Number(max) => json!({ "type": "integer", "minimum": 0, "maximum": max }),
            Shape::Text => json!({ "type": ["string", "integer"] }),
            Shape::Path => json!({ "type": ["string", "integer"], "minLength": 1 }),
            Shape::Word(words) => json!({ "anyOf": [{ "enum": words }, variable()] }),
            Shape::Formed(name) => formed(name),
            Shape::OneOrMany => json!({ "type": ["string", "array"], "items": { "type": "string" } }),
            Shape::List(item) => json!({ "type": "array", "items": self.one(&format!("{path}[]"), item) }),
            Shape::Names(each) => json!({ "type": "object", "additionalProperties": self.one(&join(path, "*"), each) }),
            Shape::Section(members) => self.section(path, members),
        };
        if let Json::Object(schema) = &mut schema {
            schema.extend(bounds(path));
        }
        schema
    }

    fn describe(&self, path: &str, schema: &mut Json) {
        let Some(entry) = self.entries.get(path) else { return };
        if !entry.description.is_empty() {
            schema["description"] = json!(entry.description);
        }
        if let Some(default) = entry.default.as_deref().and_then(|text| serde_yaml::from_str::<Json>(text).ok()) {
            schema["default"] = default;
        }
    }
}

fn variable() -> Json {
    json!({ "$ref": "#/$defs/variable" })
}

fn formed(name: &str) -> Json {
    let forms = match name {
        Workers::NAME => json!([{ "const": "auto" }, { "type": "integer", "minimum": 1, "maximum": WORKERS_MAX }]),
        Size::NAME => json!([
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": "^[0-9]+ *(B|KiB|MiB|GiB|TiB)?$" },
        ]),
        _ => json!([]),
    };
    let mut forms = forms.as_array().cloned().unwrap_or_default();
    forms.push(variable());
    json!({ "anyOf": forms })
}

/// What the checks ask of an option beyond its type.
fn bounds(path: &str) -> Map<String, Json> {
    let bounds = match path {
        "quarantine.files" => json!({ "minimum": 1, "maximum": QUARANTINE_FILES_MAX }),
        "ledger.days" => json!({ "minimum": 1, "maximum": LEDGER_DAYS_MAX }),
        "rules.confidence_min" => json!({ "maximum": CONFIDENCE_MAX }),
        "limits.replay_hours" => json!({ "maximum": REPLAY_HOURS_MAX }),
        "limits.flows_max" => json!({ "minimum": SHARDS, "maximum": FLOWS_SETTABLE_MAX }),
        "capture[].snaplen" => json!({ "minimum": SNAP_BYTES_SETTABLE_MIN, "maximum": SNAP_BYTES_DEFAULT }),
        "capture[].interface" => json!({ "minLength": 1, "maxLength": INTERFACE_NAME_BYTES_MAX }),
        "capture" => json!({ "maxItems": CAPTURES_MAX }),
        "capture[]" => json!({ "oneOf": [
            { "required": ["interface"], "properties": { "directory": false } },
            { "required": ["directory"], "maxProperties": 1 },
        ] }),
        "centre" => json!({ "anyOf": [{ "required": ["url"] }, { "required": ["nats"] }] }),
        "networks" => json!({ "required": ["home"] }),
        "networks.home" => json!({ "minItems": 1, "uniqueItems": true }),
        "outputs.eve.events" => json!({ "minItems": 1, "uniqueItems": true }),
        "site.sectors" | "events.digests" | "networks.never_watch" | "networks.nat" | "networks.resolvers" => {
            json!({ "uniqueItems": true })
        }
        _ => json!({}),
    };
    let Json::Object(bounds) = bounds else { return Map::new() };
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(schema: &jsonschema::Validator, yaml: &str) -> bool {
        schema.is_valid(&serde_yaml::from_str::<Json>(yaml).expect("it is YAML"))
    }

    fn validator() -> jsonschema::Validator {
        let schema: Json = serde_json::from_str(&schema()).expect("it is JSON");
        assert!(jsonschema::meta::is_valid(&schema), "it is a schema");
        jsonschema::validator_for(&schema).expect("it is a schema")
    }

    #[test]
    fn the_example_file_is_valid() {
        let schema = validator();
        for text in [manual::TEXT.to_string(), manual::switched_on(manual::TEXT)] {
            let instance = serde_yaml::from_str::<Json>(&text).expect("it is YAML");
            // The second one shows both kinds of a capture in the words of one list, and all of it holds.
            let errors: Vec<String> = schema.iter_errors(&instance).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}");
        }
    }

    #[test]
    fn what_the_reader_refuses_for_its_form_the_schema_refuses_too() {
        let schema = validator();
        for wrong in [
            "sites: {}",
            "site: { ident: a }",
            "site: { language: fr }",
            "site: a",
            "rules: { answers: 1 }",
            "rules: { confidence_min: 101 }",
            "limits: { workers: 0 }",
            "limits: { workers: all }",
            "limits: { reassembly_max: 1MB }",
            "networks: {}",
            "networks: { home: 10.0.0.0/8 }",
            "networks: { home: [10.0.0.0/8], proxies: [{ trust_forwarded_for: true }] }",
            "centre: { gate: a }",
            "centre: { nats: {} }",
            "metrics: {}",
            "quarantine: {}",
            "quarantine: { directory: a, files: 0 }",
            "capture: [{}]",
            "capture: [{ interface: a, directory: b }]",
            "capture: [{ directory: b, ring: 8MiB }]",
            "capture: [{ interface: a, backend: afxdp }]",
            "outputs: { eve: { events: [] } }",
            "events: { digests: [crc32] }",
        ] {
            assert!(!valid(&schema, wrong), "{wrong}");
        }
    }

    #[test]
    fn what_the_reader_takes_the_schema_takes_too() {
        let schema = validator();
        for right in [
            "{}",
            "site: { id: 17, language: \"${LANGUAGE}\" }",
            "limits: { workers: \"${WORKERS}\", reassembly_max: \"256 MiB\" }",
            "networks: { home: [10.0.0.0/8], named: { a: 10.0.0.0/9, b: [10.128.0.0/9] } }",
            "capture: [{ interface: tap0, backend: af_xdp, allow_cut_off: false, busy_poll: 20 }]",
            "capture: [{ interface: tap0, backend: libpcap, ring: 8388608 }, { directory: /data }]",
        ] {
            assert!(valid(&schema, right), "{right}");
        }
    }

    #[test]
    fn every_option_is_described() {
        let schema: Json = serde_json::from_str(&schema()).expect("it is JSON");
        for (section, options) in schema["properties"].as_object().expect("sections") {
            assert!(options["description"].is_string(), "{section}");
            for (name, option) in options["properties"].as_object().into_iter().flatten() {
                assert!(option["description"].is_string() || name == "eve", "{section}.{name}");
            }
        }
        assert_eq!(schema["properties"]["limits"]["properties"]["flows_max"]["default"], json!(1 << 20));
        assert_eq!(schema["properties"]["centre"]["anyOf"][1]["required"], json!(["nats"]));
    }
}
