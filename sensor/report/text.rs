//! Text of the page: escaped, bounded, in both languages.
//!
//! In: words of ours and values of strangers. Out: HTML and JSON in which a value is never more than text. Every value of
//! traffic, feeds and file names goes through [`value`]; there is no other way into the page. Never here: what is said.

use crate::alert::language::filled;
use crate::alert::words;
use crate::cli::screen;
use crate::limits::REPORT_VALUE_BYTES_MAX;
use crate::time::Timestamp;

/// A text of ours in English and in Korean. May hold HTML of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Both(pub(super) &'static str, pub(super) &'static str);

/// Both texts; the page shows one of them.
pub(super) fn both(text: Both) -> String {
    spans(text.0, text.1)
}

/// Two texts that are HTML already.
pub(super) fn spans(english: &str, korean: &str) -> String {
    format!("<span lang=\"en\">{english}</span><span lang=\"ko\">{korean}</span>")
}

/// Both texts with `{}` replaced by HTML, in order.
pub(super) fn fill(text: Both, values: &[&str]) -> String {
    spans(&filled(text.0, values), &filled(text.1, values))
}

/// A value of a stranger as HTML text: cut, harmless to whoever reads it, and without a meaning of its own to a browser.
pub(super) fn value(text: &str) -> String {
    escaped(&harmless(text, REPORT_VALUE_BYTES_MAX))
}

/// A value that stands apart from the words around it, whatever its direction.
pub(super) fn code(text: &str) -> String {
    format!("<code>{}</code>", value(text))
}

/// As [`value`], with another bound.
pub(super) fn long_value(text: &str, bytes_max: usize) -> String {
    escaped(&harmless(text, bytes_max))
}

/// Text without what hides, turns around or moves what stands beside it; what was cut ends with three dots.
pub(super) fn harmless(text: &str, bytes_max: usize) -> String {
    let mut out = String::new();
    for character in words::printable(text.as_bytes(), usize::MAX).chars() {
        if out.len() >= bytes_max {
            out.push('…');
            break;
        }
        match character {
            // the marks that `printable` leaves: Arabic letter mark, soft hyphen, fillers, annotations, tags
            '\u{61c}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{3164}'
            | '\u{ffa0}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}' => {
                out.extend(character.escape_unicode());
            }
            _ => out.push(character),
        }
    }
    out
}

/// Text in HTML, in content or between quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '`' => out.push_str("&#96;"),
            _ => out.push(character),
        }
    }
    out
}

/// JSON that may stand inside a `script` element: nothing in it ends the element or begins a comment.
pub(super) fn json(value: &serde_json::Value) -> String {
    let mut out = String::new();
    for character in value.to_string().chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out
}

/// A number in groups of three, which no line end parts.
pub(super) fn number(number: u64) -> String {
    screen::grouped(number).replace(' ', "\u{202f}")
}

/// A size, which no line end parts.
pub(super) fn size(bytes: u64) -> String {
    words::size(bytes).replace(' ', "\u{a0}")
}

/// A moment as an element that says it in whole seconds and holds it exactly.
pub(super) fn time(at: Timestamp) -> String {
    format!("<time datetime=\"{}\">{}</time>", at.eve().replace("+0000", "Z"), clock(at))
}

/// `2026-11-21 14:02:31`.
pub(super) fn clock(at: Timestamp) -> String {
    at.rfc3339().replace('T', " ").replace('Z', "")
}

/// From one moment to another, with the day once where it is one.
pub(super) fn from_to(first: Timestamp, last: Timestamp) -> String {
    let (from, to) = (clock(first), clock(last));
    match (from.split_once(' '), to.split_once(' ')) {
        _ if from == to => time(first),
        (Some((day, _)), Some((same, hour))) if day == same => {
            format!("{} – <time datetime=\"{}\">{hour}</time>", time(first), last.eve().replace("+0000", "Z"))
        }
        _ => format!("{} – {}", time(first), time(last)),
    }
}

/// A length of time for a person: below ten seconds in parts of one, above in its two largest units.
pub(super) fn span(nanos: u64) -> String {
    if nanos < 1_000_000_000 {
        return format!("{}\u{a0}ms", nanos / 1_000_000);
    }
    if nanos < 10_000_000_000 {
        return format!("{}.{}\u{a0}s", nanos / 1_000_000_000, nanos / 100_000_000 % 10);
    }
    let mut rest = nanos.saturating_add(500_000_000) / 1_000_000_000;
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let largest = units.iter().position(|(_, size)| rest >= *size).unwrap_or(3);
    let mut parts = Vec::new();
    for (name, size) in units.iter().skip(largest).take(2) {
        if rest / size > 0 {
            parts.push(format!("{}\u{a0}{name}", number(rest / size)));
        }
        rest %= size;
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_more_than_text() {
        assert_eq!(value("<script>'\"&`</script>"), "&lt;script&gt;&#39;&quot;&amp;&#96;&lt;/script&gt;");
        assert_eq!(value("a\u{202e}b\u{0}c\u{61c}d\u{e0041}"), "a\\u{202e}b\\u{0}c\\u{61c}d\\u{e0041}");
        assert_eq!(value("한국"), "한국");
    }

    #[test]
    fn what_was_cut_says_so() {
        let long = value(&"x".repeat(5_000));
        assert!(long.ends_with('…') && long.len() < REPORT_VALUE_BYTES_MAX + 8);
    }

    #[test]
    fn no_json_ends_its_script() {
        let json = json(&serde_json::json!(["</script><!--", "\u{2028}&"]));
        assert_eq!(json, r#"["\u003c/script\u003e\u003c!--","\u2028\u0026"]"#);
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).expect("JSON")[0], "</script><!--");
    }

    #[test]
    fn both_texts_get_their_values() {
        let text = fill(Both("{} of {}", "{} 중 {}"), &["2", "3"]);
        assert_eq!(text, "<span lang=\"en\">2 of 3</span><span lang=\"ko\">2 중 3</span>");
    }

    #[test]
    fn a_length_of_time_is_no_more_exact_than_a_person_reads_it() {
        let second = 1_000_000_000;
        let lengths = [830_000_000, 4_321_000_000, 9_999_900_000, 61 * second, 3_600 * second, 90_061 * second];
        let told = lengths.map(span).map(|text| text.replace('\u{a0}', ""));
        assert_eq!(told, ["830ms", "4.3s", "9.9s", "1min 1s", "1h", "1d 1h"]);
    }
}
