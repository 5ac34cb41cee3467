//! JSON lines: one object a line with `type`, `value`, and what is said of it. Keys of others are passed over.

use std::io::{self, BufRead};

use serde_json::{Map, Value};

use super::intake::Intake;
use super::lines::{Line, Lines};
use super::words::{self, WORDS};
use crate::indicator::Statement;

/// Recognises an object.
pub(super) fn recognise(first: &[u8]) -> bool {
    first.trim_ascii_start().first() == Some(&b'{')
}

/// Reads a whole file.
pub(super) fn read(from: &mut dyn BufRead, intake: &mut Intake<'_>) -> io::Result<()> {
    let mut lines = Lines::of(from);
    while let Some((number, line)) = lines.next()? {
        match line {
            Line::TooLong => intake.refuse(number, "line longer than 64 KiB"),
            Line::Whole(line) if line.trim_ascii().is_empty() || line[0] == b'#' => {}
            Line::Whole(line) => match serde_json::from_slice::<Map<String, Value>>(line) {
                Ok(object) => read_object(number, &object, intake),
                Err(_) => intake.refuse(number, "not a JSON object"),
            },
        }
    }
    Ok(())
}

fn read_object(number: u64, object: &Map<String, Value>, intake: &mut Intake<'_>) {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let Some(kind) = text("type") else { return intake.refuse(number, "no `type`") };
    let Some(value) = text("value") else { return intake.refuse(number, "no `value`") };
    let Some(kind) = intake.reading(number, kind) else { return };
    let mut statement = intake.unsaid();
    for word in &WORDS {
        let Some(text) = object.get(word.name).and_then(plain) else { continue };
        if !intake.word(number, word.name, &text, &mut statement) {
            return;
        }
    }
    if !read_next(number, object.get("next"), &mut statement, intake) {
        return;
    }
    let Some(said) = intake.say(number, statement) else { return };
    intake.take(number, kind, value.as_bytes(), said, object.get("id").and_then(plain).as_deref());
}

fn read_next(number: u64, next: Option<&Value>, into: &mut Statement, intake: &mut Intake<'_>) -> bool {
    for (language, text) in next.and_then(Value::as_object).into_iter().flatten() {
        if words::next(into, language, text.as_str().unwrap_or_default()).is_err() {
            intake.refuse(number, "next: longer than 2048 bytes");
            return false;
        }
    }
    true
}

/// A value as the words' readers want it; lists become one text.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Object(_) => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => Some(list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(";")),
        other => Some(other.to_string()),
    }
}
