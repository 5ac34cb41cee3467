//! The words that alerts are made of: sizes, severities, TLP, values that are safe to show.
//!
//! In: numbers, rows and bytes. Out: text that a terminal, a log and a person can take. Never here: who or where.

use crate::indicator::Severity;

/// A size for a person, in powers of ten: `912 B`, `18.4 kB`.
pub fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut unit = 1000_u128;
    for name in ["kB", "MB", "GB", "TB", "PB"] {
        let tenths = (u128::from(bytes) * 10 + unit / 2) / unit;
        if tenths < 10_000 {
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
        unit *= 1000;
    }
    format!("{} EB", bytes / 1_000_000_000_000_000_000)
}

/// Digits in groups of three: `1 114`.
pub fn grouped(number: u64, between: char) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(between);
        }
        out.push(digit);
    }
    out
}

/// A severity for a person.
pub const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "CRITICAL",
        Severity::High => "HIGH",
        Severity::Medium => "MEDIUM",
        Severity::Low => "LOW",
    }
}

/// At most `bytes_max` bytes of a value as harmless text: bytes that are no UTF-8 as `\xNN`, characters that move the
/// cursor or turn the line around as `\u{..}`.
pub fn printable(bytes: &[u8], bytes_max: usize) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_harmless(character) {
                out.push(character)
            } else {
                out.extend(character.escape_default())
            }
            if out.len() >= bytes_max {
                return cut(out, bytes_max);
            }
        }
        for &byte in chunk.invalid() {
            out.extend(format!("\\x{byte:02x}").chars());
        }
    }
    cut(out, bytes_max)
}

fn cut(mut text: String, bytes_max: usize) -> String {
    while text.len() > bytes_max {
        text.pop();
    }
    text
}

/// Controls, and the marks that change the order in which a line is shown (Unicode TR 36, bidirectional text spoofing).
fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Lower-case hexadecimal of the first `count` bytes.
pub fn hexadecimal(bytes: &[u8], count: usize) -> String {
    bytes.iter().take(count).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_never_say_a_thousand() {
        for (bytes, said) in [
            (0, "0 B"),
            (912, "912 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (18_422, "18.4 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (2_500_000_000, "2.5 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), said);
        }
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        let said = [0, 999, 1_000, 1_234_567].map(|number| grouped(number, ' '));
        assert_eq!(said, ["0", "999", "1 000", "1 234 567"]);
    }

    #[test]
    fn a_value_cannot_move_the_cursor_or_turn_the_line_around() {
        assert_eq!(printable(b"a\x1b[2Jb\xff", 99), r"a\u{1b}[2Jb\xff");
        assert_eq!(printable("a\u{202e}b\u{e9}".as_bytes(), 99), "a\\u{202e}b\u{e9}");
        assert_eq!(printable(b"abcdef", 4), "abcd");
    }
}
