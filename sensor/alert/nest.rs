//! Fields with dotted paths, nested as EVE nests them, in one pass.
//!
//! In: an observation's fields, those of the same prefix side by side. Out: members of the record. A path is
//! `dns.queries[].rrname`: `[]` behind a name is a list of objects, behind the last name a list of values. A field that
//! `opens` begins the next object of the innermost list in its path. An empty path is never printed.

use super::json::{self, Object};
use crate::observable::path::{Name, Path};
use crate::observable::{Field, Form, Observation, Observations, Seen, address};

/// How much of an observation is printed.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of one value.
    pub value_bytes_max: usize,
    /// No field is begun beyond this many bytes.
    pub bytes_max: usize,
}

/// Writes the fields of an observation as members of `object`.
pub fn write(object: &mut Object<'_>, observations: &Observations, observation: &Observation, bounds: Bounds) {
    let start = object.raw().len();
    let mut nest = Nest::default();
    for seen in observations.fields(observation) {
        if seen.field.path.is_empty() {
            continue;
        }
        if object.raw().len() - start > bounds.bytes_max {
            break;
        }
        nest.enter(object, seen.field);
        value(object.raw(), observations, seen, bounds.value_bytes_max);
    }
    nest.leave(object);
}

fn value(out: &mut Vec<u8>, observations: &Observations, seen: &Seen, bytes_max: usize) {
    match seen.field.form {
        Form::Number => json::number(out, observations.number(seen)),
        Form::Flag => json::flag(out, observations.number(seen) != 0),
        Form::Text => json::string(out, observations.raw(seen), bytes_max),
        Form::Address => match address::from_bytes(observations.raw(seen)) {
            Some(address) => json::quoted_address(out, address),
            None => json::string(out, observations.raw(seen), bytes_max),
        },
    }
}

/// Where the last field was written: what is open is what its path says.
#[derive(Default)]
struct Nest {
    path: Option<&'static Path>,
}

impl Nest {
    /// Closes and opens whatever lies between the last field and this one, up to its value.
    fn enter(&mut self, object: &mut Object<'_>, field: &'static Field) {
        let path = &field.path;
        let Some(before) = self.path.replace(path) else {
            object.separate();
            open(object.raw(), path.containers());
            return name(object.raw(), path.leaf);
        };
        let out = object.raw();
        if path.leaf.list && !field.opens && before == path {
            return out.push(b',');
        }
        close_values(out, before);
        let mut kept = before.shared(path);
        let renewed = path.innermost_list().filter(|&at| field.opens && at < kept);
        if let Some(at) = renewed {
            kept = at + 1;
        }
        close(out, &before.containers()[kept..]);
        out.extend_from_slice(if renewed.is_some() { b"},{" } else { b"," });
        open(out, &path.containers()[kept..]);
        name(out, path.leaf);
    }

    fn leave(self, object: &mut Object<'_>) {
        if let Some(path) = self.path {
            close_values(object.raw(), path);
            close(object.raw(), path.containers());
        }
    }
}

fn open(out: &mut Vec<u8>, containers: &[Name]) {
    for container in containers {
        name(out, *container);
        out.push(b'{');
    }
}

/// `"name":`, and the bracket of a list.
fn name(out: &mut Vec<u8>, name: Name) {
    json::key(out, name.text);
    if name.list {
        out.push(b'[');
    }
}

fn close(out: &mut Vec<u8>, containers: &[Name]) {
    for container in containers.iter().rev() {
        out.extend_from_slice(if container.list { b"}]" } else { b"}" });
    }
}

fn close_values(out: &mut Vec<u8>, path: &Path) {
    if path.leaf.list {
        out.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::observable::{Event, Side};

    static DNS: Event = Event { name: "dns", app_proto: None };
    static KIND: Field = Field::plain("dns.type", Form::Text);
    static ID: Field = Field::plain("dns.id", Form::Number);
    static TC: Field = Field::plain("dns.tc", Form::Flag);
    static QUESTION: Field = Field::plain("dns.queries[].rrname", Form::Text).opening();
    static QUESTION_TYPE: Field = Field::plain("dns.queries[].rrtype", Form::Text);
    static ANSWER: Field = Field::plain("dns.answers[].rrname", Form::Text).opening();
    static ANSWER_DATA: Field = Field::plain("dns.answers[].rdata", Form::Address);
    static ANSWER_PORT: Field = Field::plain("dns.answers[].srv.port", Form::Number);
    static ALPN: Field = Field::plain("tls.client_alpns[]", Form::Text);
    static JA3: Field = Field::plain("tls.ja3.hash", Form::Text);
    static SNI: Field = Field::plain("tls.sni", Form::Text);
    static TOP: Field = Field::plain("tx_id", Form::Number);
    static SILENT: Field = Field::plain("http.full", Form::Text).at("");

    static WIDE: Bounds = Bounds { value_bytes_max: 1000, bytes_max: 100_000 };

    fn printed(bounds: Bounds, say: impl FnOnce(&mut crate::observable::Saying<'_>)) -> String {
        let mut observations = Observations::default();
        say(&mut observations.begin(&DNS, Side::Client));
        let mut out = Vec::new();
        write(&mut Object::open(&mut out), &observations, &observations.list()[0], bounds);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn fields_of_one_prefix_share_an_object() {
        let line = printed(WIDE, |say| {
            say.field(&KIND, b"query").number(&ID, 7).flag(&TC, true);
        });
        assert_eq!(line, r#"{"dns":{"type":"query","id":7,"tc":true}}"#);
    }

    #[test]
    fn an_opening_field_begins_the_next_object_of_its_list() {
        let line = printed(WIDE, |say| {
            say.field(&KIND, b"response").field(&QUESTION, b"a.b").field(&QUESTION_TYPE, b"A");
            say.field(&ANSWER, b"a.b").address(&ANSWER_DATA, &[10, 0, 0, 1]);
            say.field(&ANSWER, b"c.b").number(&ANSWER_PORT, 9).field(&ANSWER, b"d.b").flag(&TC, false);
        });
        let want = r#"{"dns":{"type":"response","queries":[{"rrname":"a.b","rrtype":"A"}],"answers":[{"rrname":"a.b","rdata":"10.0.0.1"},{"rrname":"c.b","srv":{"port":9}},{"rrname":"d.b"}],"tc":false}}"#;
        assert_eq!(line, want);
    }

    #[test]
    fn values_of_one_list_stand_side_by_side() {
        let line = printed(WIDE, |say| {
            say.field(&SNI, b"x.y").field(&ALPN, b"h2").field(&ALPN, b"http/1.1").field(&JA3, b"00").number(&TOP, 3);
        });
        assert_eq!(line, r#"{"tls":{"sni":"x.y","client_alpns":["h2","http/1.1"],"ja3":{"hash":"00"}},"tx_id":3}"#);
    }

    #[test]
    fn an_empty_path_is_never_printed() {
        let line = printed(WIDE, |say| {
            say.field(&SILENT, b"x").number(&SILENT, 1);
        });
        assert_eq!(line, "{}");
    }

    #[test]
    fn a_full_record_is_still_a_record() {
        let line = printed(Bounds { value_bytes_max: 4, bytes_max: 60 }, |say| {
            for _ in 0..9 {
                say.field(&QUESTION, b"abcdefgh").field(&QUESTION_TYPE, b"A");
            }
        });
        let parsed: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(parsed["dns"]["queries"][0]["rrname"], "abcd...");
        assert!(line.len() < 120);
    }

    proptest! {
        #[test]
        fn any_fields_in_any_order_with_any_bytes_are_json(
            said in prop::collection::vec((0usize..12, prop::collection::vec(any::<u8>(), 0..20)), 0..30),
            bytes_max in 0usize..400,
        ) {
            let rows = [&KIND, &ID, &TC, &QUESTION, &QUESTION_TYPE, &ANSWER, &ANSWER_DATA, &ANSWER_PORT, &ALPN, &JA3, &TOP, &SILENT];
            let line = printed(Bounds { value_bytes_max: 12, bytes_max }, |say| {
                for (row, bytes) in &said {
                    match rows[*row].form {
                        Form::Number | Form::Flag => say.number(rows[*row], bytes.len() as u64),
                        _ => say.field(rows[*row], bytes),
                    };
                }
            });
            prop_assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
        }
    }
}
