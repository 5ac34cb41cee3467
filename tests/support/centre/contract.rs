//! The contract: `deploy/ingest.yaml` in, judgements on messages out. The schema is the one that is shipped, not a copy.

use jsonschema::Validator;
use serde_json::{Value, json};

/// The shipped contract.
pub const INGEST: &str = include_str!("../../../deploy/ingest.yaml");

/// Judges messages.
pub struct Contract {
    batch: Validator,
    alert: Validator,
    heartbeat: Validator,
}

/// Why a message is not taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub error: String,
    /// Which record, if it is one record's fault.
    pub index: Option<usize>,
}

impl Contract {
    /// Reads the shipped contract.
    pub fn shipped() -> Contract {
        let whole: Value = serde_yaml::from_str(INGEST).expect("deploy/ingest.yaml is YAML");
        let part = |name: &str| {
            let schema = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$ref": format!("#/components/schemas/{name}"),
                "components": whole["components"],
            });
            jsonschema::validator_for(&schema).expect("deploy/ingest.yaml holds a schema")
        };
        Contract { batch: part("Batch"), alert: part("Alert"), heartbeat: part("Heartbeat") }
    }

    /// Judges a batch: first record by record, so that a bad one is named, then the whole.
    pub fn batch(&self, batch: &Value) -> Result<(), Refusal> {
        let records = batch["records"].as_array().map_or(&[][..], Vec::as_slice);
        for (index, record) in records.iter().enumerate() {
            judge(&self.alert, record).map_err(|error| Refusal { error, index: Some(index) })?;
        }
        judge(&self.batch, batch).map_err(|error| Refusal { error, index: None })
    }

    /// Judges a heartbeat.
    pub fn heartbeat(&self, heartbeat: &Value) -> Result<(), Refusal> {
        judge(&self.heartbeat, heartbeat).map_err(|error| Refusal { error, index: None })
    }
}

fn judge(validator: &Validator, value: &Value) -> Result<(), String> {
    validator.validate(value).map_err(|error| format!("{}: {error}", error.instance_path()))
}
