//! What the spool had no room for, as an alert: that something is missing is itself something to be told.
//!
//! In: numbers. Out: the local record, a line. The same numbers give the same bytes, whenever they are told. Never here: what of it
//! may leave.

use super::json::Object;
use super::record::{Desk, Mode};
use crate::time::Timestamp;

/// Alerts that were given up, as they are told.
#[derive(Clone, Copy, Debug)]
pub struct Shed<'a> {
    /// Which summary it is: no two that differ have the same name.
    pub name: &'a [u8],
    /// When it was made.
    pub time: Timestamp,
    /// Of the lanes critical, normal and low.
    pub records: [u64; 3],
    /// Bytes of the spool.
    pub bytes: u64,
    /// When the first of them was raised.
    pub first: Timestamp,
    /// And the last.
    pub last: Timestamp,
}

/// It is no indicator's: below what indicators' numbers begin with.
const SIGNATURE_ID: u64 = 2_999_999_001;

/// EVE's, of three: somebody should look, and nobody is in danger by it.
const SEVERITY: u64 = 2;

impl Desk {
    /// The local record of it: one line, with its end.
    pub fn shed(&self, shed: &Shed<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(768);
        {
            let mut line = Object::open(&mut out);
            line.time("timestamp", shed.time);
            line.text("event_type", "alert");
            let mut alert = line.object("alert");
            alert.text("action", "allowed");
            alert.number("gid", 1);
            alert.number("signature_id", SIGNATURE_ID);
            alert.number("rev", 1);
            alert.number("severity", SEVERITY);
            alert.text("category", "sensor");
            let all: u64 = shed.records.iter().sum();
            alert.text("signature", &format!("The spool had no room: {all} alerts were not delivered"));
            alert.object("metadata").texts("tlp", ["clear"]);
            let mut context = alert.object("context");
            self.own(context.object("haetae"), shed);
        }
        out.push(b'\n');
        out
    }

    fn own(&self, mut own: Object<'_>, shed: &Shed<'_>) {
        own.text("id", &self.id_of_shed(shed.name));
        own.number("revision", 1);
        own.flag("final", true);
        own.text("mode", Mode::Live.name());
        own.text("sensor", &self.sensor());
        let mut object = own.object("shed");
        for (lane, records) in ["critical", "normal", "low"].into_iter().zip(shed.records) {
            object.number(lane, records);
        }
        object.number("bytes", shed.bytes);
        object.text("first", &shed.first.rfc3339());
        object.text("last", &shed.last.rfc3339());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::record::Site;
    use super::*;

    #[test]
    fn what_was_given_up_is_told_by_lane_and_the_same_each_time() {
        let desk = |salt: &[u8]| {
            let (id, key) = ("site-0017".to_owned(), b"key".to_vec());
            Desk::new(Site { id, key, salt: salt.to_vec(), ..Site::default() })
        };
        let at = |seconds: i64| Timestamp::from_parts(1_795_000_000 + seconds, 0);
        let shed = Shed { name: b"1", time: at(9), records: [0, 2, 40], bytes: 65_536, first: at(1), last: at(8) };
        let line = desk(b"one run").shed(&shed);
        assert_eq!(line, desk(b"another run").shed(&shed), "a crash changes nothing");
        let record: Value = serde_json::from_slice(&line).expect("JSON");
        let own = &record["alert"]["context"]["haetae"];
        assert_eq!(own["id"].as_str().map(str::len), Some(16));
        assert_eq!(
            own["shed"],
            json!({"critical": 0, "normal": 2, "low": 40, "bytes": 65536,
                "first": "2026-11-18T11:06:41Z", "last": "2026-11-18T11:06:48Z"})
        );
        assert_eq!((&record["alert"]["severity"], &record["alert"]["category"]), (&json!(2), &json!("sensor")));
        assert_eq!(record["alert"]["metadata"]["tlp"], json!(["clear"]));
        let other = desk(b"").shed(&Shed { name: b"2", ..shed });
        assert_ne!(other, line, "another summary is another alert");
    }
}
