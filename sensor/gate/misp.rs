//! MISP: projected alerts in, requests to `/sightings/add` out: one for an alert, or one for each of its indicators that MISP itself
//! has named. An update that stands for repeats is one more sighting, however many they are: MISP has no word for how often. Never
//! here: a later revision, or an update that only says what became of repeats that were told of. MISP counts whatever it is told, and
//! cannot be told that something is a repeat.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::form::{Envelope, Message};
use super::uuid::Uuid;
use super::{Met, Projected};

/// It was seen; 1 would be a false positive, 2 an end of validity.
const SIGHTING: &str = "0";

/// Whether it can be said: an alert's first word, of an indicator that may be named.
pub(super) fn says(record: &Projected) -> bool {
    record.revision() == 1 && record.number("repeats.alerts") != Some(0) && !sought(record).is_empty()
}

/// Requests, each with its record's identity.
pub(super) fn messages(envelope: &Envelope<'_>, records: &[Projected]) -> Vec<Message> {
    let of_record = |record| {
        let of_sought = move |(name, value): (&'static str, Value)| {
            let mut object = Map::new();
            object.insert(name.into(), value);
            object.insert("source".into(), envelope.sender.site().into());
            object.insert("type".into(), SIGHTING.into());
            // Without a time it is when MISP hears of it.
            if let Some(time) = Projected::text(record, "timestamp").and_then(|text| text.parse::<Timestamp>().ok()) {
                object.insert("timestamp".into(), time.as_second().to_string().into());
            }
            Message::of(envelope, record, serde_json::to_vec(&object).unwrap_or_default())
        };
        sought(record).into_iter().map(of_sought)
    };
    records.iter().flat_map(of_record).collect()
}

/// By what MISP finds attributes: their UUIDs where all sources name some; else the value, which finds these too.
fn sought(record: &Projected) -> Vec<(&'static str, Value)> {
    let uuid = |met: Met<'_>| met.id.map(str::to_ascii_lowercase).filter(|id| Uuid::is_written(id));
    let mut uuids: Vec<Option<String>> = record.met().map(uuid).collect();
    uuids.sort_unstable();
    uuids.dedup();
    let named: Option<Vec<String>> = uuids.into_iter().collect();
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return named.into_iter().map(|id| ("id", id.into())).collect();
    }
    let mut values: Vec<&str> = record.met().filter_map(|met| met.value).collect();
    values.sort_unstable();
    values.dedup();
    if values.is_empty() { Vec::new() } else { vec![("values", json!(values))] }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{green, of};
    use super::super::{Gate, MISP, Policy, Position, SpoolId, Withheld};
    use super::*;

    fn gate() -> Gate {
        of(&MISP, &Policy::default())
    }

    fn requests(record: &Value) -> Vec<Value> {
        let gate = gate();
        let projected = gate.project(Position(7), record.to_string().as_bytes()).unwrap();
        let batch =
            gate.batch(crate::ledger::Head::NONE, SpoolId(*b"12345678"), (Position(6), Position(7)), &[projected]);
        let read = |message: &Message| serde_json::from_slice(message.bytes()).unwrap();
        assert!(batch.messages().iter().all(|message| message.positions() == [Position(7)]));
        batch.messages().iter().map(read).collect()
    }

    fn first() -> Value {
        let mut record = green();
        record["alert"]["context"]["haetae"]["revision"] = 1.into();
        record
    }

    #[test]
    fn an_alert_is_a_sighting_of_the_listed_value_at_its_time() {
        let time = 1_763_701_351 + 365 * 24 * 3600;
        let expected =
            json!({"values": ["bad.example"], "source": "site-0017", "type": "0", "timestamp": time.to_string()});
        assert_eq!(requests(&first()), [expected]);
    }

    #[test]
    fn an_indicator_that_misp_named_is_found_by_its_name() {
        let mut record = first();
        let uuid = "5E3C2F1A-0000-4000-8000-00000000000a";
        record["alert"]["context"]["ioc"][0]["id"] = uuid.into();
        assert_eq!(requests(&record)[0]["id"], uuid.to_lowercase());
        assert_eq!(requests(&record)[0]["values"], Value::Null);
        let other = json!({"type": "domain_suffix", "value": "bad.example", "source": "other"});
        record["alert"]["context"]["ioc"].as_array_mut().unwrap().push(other);
        assert_eq!(requests(&record)[0]["values"], json!(["bad.example"]), "the value finds both");
    }

    #[test]
    fn what_is_no_first_word_on_an_indicator_stays() {
        let stays = |record: &Value| gate().project(Position(7), record.to_string().as_bytes()).unwrap_err();
        assert_eq!(stays(&green()), Withheld::Unsayable, "a later revision");
        let mut record = first();
        record["alert"]["context"]["haetae"]["repeats"] = json!({"first": "00aa", "alerts": 5});
        assert_eq!(requests(&record).len(), 1, "an update");
        record["alert"]["context"]["haetae"]["repeats"]["alerts"] = 0.into();
        assert_eq!(stays(&record), Withheld::Unsayable, "an update that brings nothing new");
        let mut record = first();
        record["alert"]["context"]["ioc"] = json!([]);
        assert_eq!(stays(&record), Withheld::Unsayable);
    }
}
