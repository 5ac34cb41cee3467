//! JSON text straight into bytes: no tree is built, because this runs for every event.
//!
//! In: names of ours and bytes of the wire. Out: RFC 8259 text, whatever the bytes are. Never here: what a record means.

use std::io::Write as _;
use std::net::IpAddr;

use crate::time::Timestamp;

/// An object being written; its closing brace comes when it is dropped.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Opens an object.
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, empty: true }
    }

    /// Begins a member; the caller writes its value.
    pub fn member(&mut self, name: &str) -> &mut Vec<u8> {
        self.separate();
        key(self.out, name);
        self.out
    }

    /// A nested object.
    pub fn object(&mut self, name: &str) -> Object<'_> {
        Object::open(self.member(name))
    }

    /// A string.
    pub fn text(&mut self, name: &str, value: &str) {
        text(self.member(name), value);
    }

    /// A number.
    pub fn number(&mut self, name: &str, value: u64) {
        number(self.member(name), value);
    }

    /// A flag.
    pub fn flag(&mut self, name: &str, value: bool) {
        flag(self.member(name), value);
    }

    /// An address.
    pub fn address(&mut self, name: &str, value: IpAddr) {
        quoted_address(self.member(name), value);
    }

    /// A moment as EVE spells it.
    pub fn time(&mut self, name: &str, value: Timestamp) {
        let out = self.member(name);
        out.push(b'"');
        value.write_eve(out);
        out.push(b'"');
    }

    /// A list of strings.
    pub fn texts<'t>(&mut self, name: &str, values: impl IntoIterator<Item = &'t str>) {
        let out = self.member(name);
        list(out, values, text);
    }

    /// A list of objects.
    pub fn objects<T>(&mut self, name: &str, values: impl IntoIterator<Item = T>, write: impl Fn(&mut Object<'_>, T)) {
        let out = self.member(name);
        list(out, values, |out, value| write(&mut Object::open(out), value));
    }

    /// The members of an object that is already text, braces and all.
    pub fn members_of(&mut self, object: &[u8]) {
        let inner = object.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).unwrap_or_default();
        if !inner.is_empty() {
            self.separate();
            self.out.extend_from_slice(inner);
        }
    }

    /// The bytes behind it, for a writer of members that separates on its own.
    pub(super) fn raw(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Whatever is needed before the next member.
    pub(super) fn separate(&mut self) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        self.out.push(b'}');
    }
}

fn list<T>(out: &mut Vec<u8>, values: impl IntoIterator<Item = T>, write: impl Fn(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (at, value) in values.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, value);
    }
    out.push(b']');
}

/// Writes a member's name: one of ours, nothing in it needs an escape.
#[inline]
pub fn key(out: &mut Vec<u8>, name: &str) {
    out.reserve(name.len() + 3);
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Writes a number.
pub fn number(out: &mut Vec<u8>, value: u64) {
    let mut digits = [b'0'; 20];
    let mut rest = value;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[digits.len() - used..]);
}

/// Writes a flag.
pub fn flag(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// Writes an address in quotes.
pub fn quoted_address(out: &mut Vec<u8>, address: IpAddr) {
    out.push(b'"');
    match address {
        IpAddr::V4(four) => {
            let (text, length) = dotted(four.octets());
            out.extend_from_slice(&text[..length]);
        }
        // RFC 5952 is the library's business; writing to memory cannot fail.
        IpAddr::V6(six) => drop(write!(out, "{six}")),
    }
    out.push(b'"');
}

/// Writes a text as a string: a reader has it back as it was.
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(out, text.as_bytes(), Backslash::Plain);
    out.push(b'"');
}

/// An IPv4 address as it is written, and how long it is. Put together on the stack: one copy instead of one for each number and dot.
pub(super) fn dotted(octets: [u8; 4]) -> ([u8; 15], usize) {
    let mut text = [b'.'; 15];
    let mut used = 0;
    for octet in octets {
        if octet >= 100 {
            text[used] = b'0' + octet / 100;
            used += 1;
        }
        if octet >= 10 {
            text[used] = b'0' + octet / 10 % 10;
            used += 1;
        }
        text[used] = b'0' + octet % 10;
        used += 2; // the dot is there
    }
    (text, used - 1)
}

/// Writes at most `bytes_max` bytes of `bytes` as a string. What is not UTF-8 becomes the text `\xNN`, as Suricata has
/// it; and so does a backslash that would read like one, so that a reader who replaces each `\xNN` by its byte has the
/// bytes back. A longer value ends in `...`.
pub fn string(out: &mut Vec<u8>, bytes: &[u8], bytes_max: usize) {
    let kept = cut(bytes, bytes_max);
    out.reserve(kept.len() + 2);
    out.push(b'"');
    if is_plain(kept) {
        out.extend_from_slice(kept);
    } else {
        for chunk in kept.utf8_chunks() {
            escape(out, chunk.valid().as_bytes(), Backslash::Spelled);
            for &byte in chunk.invalid() {
                spell(out, byte);
            }
        }
    }
    if kept.len() < bytes.len() {
        out.extend_from_slice(b"...");
    }
    out.push(b'"');
}

/// The longest beginning of at most `bytes_max` bytes that does not split a character.
fn cut(bytes: &[u8], bytes_max: usize) -> &[u8] {
    if bytes.len() <= bytes_max {
        return bytes;
    }
    let continues = |at: &usize| bytes.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    // A character has at most three bytes that continue it; anything else is not UTF-8 and may be cut anywhere.
    let end = (bytes_max.saturating_sub(3)..=bytes_max).rev().find(|at| !continues(at)).unwrap_or(bytes_max);
    bytes.get(..end).unwrap_or(bytes)
}

/// What becomes of a backslash that reads like the beginning of `\xNN`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backslash {
    Plain,
    Spelled,
}

fn spell(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(b"\\\\x");
    hex(out, byte);
}

/// Whether bytes stand for themselves: printable ASCII but for quote and backslash. Nearly all values are like that.
fn is_plain(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| are_plain(u64::from_le_bytes(*word)))
        && rest.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}

/// The same of eight bytes at once: the highest bit of each says what is wrong with it, or with one below it.
const fn are_plain(word: u64) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = 0x80 * EACH;
    let quotes = word ^ (b'"' as u64 * EACH);
    let backslashes = word ^ (b'\\' as u64 * EACH);
    // a byte below n borrows from its highest bit when n is taken away
    let control = word.wrapping_sub(0x20 * EACH) & !word;
    let quote = quotes.wrapping_sub(EACH) & !quotes;
    let backslash = backslashes.wrapping_sub(EACH) & !backslashes;
    let beyond = word.wrapping_add(EACH) | word; // DEL and what is not ASCII
    (control | quote | backslash | beyond) & HIGHEST == 0
}

/// Copies runs of harmless bytes whole. C0, DEL and C1 controls (U+0080 to U+009F are 0xc2 and a byte below 0xa0) are
/// spelled out, so that a log on a terminal stays a log; so are the separators that some readers take for the end of a
/// line, and the marks that turn a line around (U+2028 to U+202E, U+2066 to U+2069).
fn escape(out: &mut Vec<u8>, bytes: &[u8], backslash: Backslash) {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| matches!(byte, 0..0x20 | b'"' | b'\\' | 0x7f | 0xc2 | 0xe2)) {
        let (harmless, from) = rest.split_at(at);
        out.extend_from_slice(harmless);
        let used = match from {
            [0xc2, second, ..] if *second < 0xa0 => unicode(out, *second, 2),
            [0xe2, second @ (0x80 | 0x81), third, ..] if turns(*second, *third) => {
                out.extend_from_slice(b"\\u20");
                hex(out, (second & 1) << 6 | third & 0x3f);
                3
            }
            [0xe2, ..] => {
                out.push(0xe2);
                1
            }
            [b'\\', b'x', high, low, ..]
                if backslash == Backslash::Spelled && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                spell(out, b'\\');
                1
            }
            [0xc2, second, ..] => {
                out.extend_from_slice(&[0xc2, *second]);
                2
            }
            [quote @ (b'"' | b'\\'), ..] => {
                out.extend_from_slice(&[b'\\', *quote]);
                1
            }
            [b'\n', ..] => short(out, b'n'),
            [b'\r', ..] => short(out, b'r'),
            [b'\t', ..] => short(out, b't'),
            [control, ..] => unicode(out, *control, 1),
            [] => 0,
        };
        rest = from.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// The second and third byte of a character that ends a line or turns it around.
fn turns(second: u8, third: u8) -> bool {
    matches!((second, third), (0x80, 0xa8..=0xae) | (0x81, 0xa6..=0xa9))
}

fn short(out: &mut Vec<u8>, letter: u8) -> usize {
    out.extend_from_slice(&[b'\\', letter]);
    1
}

fn unicode(out: &mut Vec<u8>, value: u8, used: usize) -> usize {
    out.extend_from_slice(b"\\u00");
    hex(out, value);
    used
}

/// Appends a byte as two digits.
pub fn hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelled(bytes: &[u8], bytes_max: usize) -> String {
        let mut out = Vec::new();
        string(&mut out, bytes, bytes_max);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn strings_are_escaped_as_rfc_8259_asks() {
        assert_eq!(spelled(b"a\"b\\c\n\r\t\x00\x1f\x7f", 99), r#""a\"b\\c\n\r\t\u0000\u001f\u007f""#);
        assert_eq!(spelled("caf\u{e9} \u{85}\u{a0}".as_bytes(), 99), "\"caf\u{e9} \\u0085\u{a0}\"");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_hexadecimal() {
        assert_eq!(spelled(b"a\xff\xfeb\xc3", 99), r#""a\\xff\\xfeb\\xc3""#);
    }

    /// What a reader makes of a string: each `\xNN` is a byte.
    fn unspelled(text: &str) -> Vec<u8> {
        let (mut out, mut rest) = (Vec::new(), text.as_bytes());
        while let [first, behind @ ..] = rest {
            let digits = behind
                .strip_prefix(b"x")
                .and_then(|digits| digits.get(..2))
                .filter(|two| two.iter().all(u8::is_ascii_hexdigit));
            let digits = digits.filter(|_| *first == b'\\').and_then(|digits| str::from_utf8(digits).ok());
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            out.push(byte.unwrap_or(*first));
            rest = if byte.is_some() { &behind[3..] } else { behind };
        }
        out
    }

    #[test]
    fn what_looks_like_a_spelled_byte_is_told_from_one() {
        assert_eq!(spelled(br"\xff", 99), r#""\\x5cxff""#);
        assert_eq!(spelled(br"a\b \xf \x", 99), r#""a\\b \\xf \\x""#);
        let mut out = Vec::new();
        text(&mut out, r"\xff");
        assert_eq!(out, br#""\\xff""#, "a text of ours has no bytes to spell");
    }

    #[test]
    fn what_ends_a_line_or_turns_it_around_is_spelled_out() {
        assert_eq!(spelled("a\u{2028}b\u{202e}c\u{2069}d".as_bytes(), 99), r#""a\u2028b\u202ec\u2069d""#);
        assert_eq!(spelled("\u{2026}\u{20ac}".as_bytes(), 99), "\"\u{2026}\u{20ac}\"");
    }

    #[test]
    fn a_long_value_is_cut_between_characters_and_says_so() {
        assert_eq!(spelled(b"abcdef", 4), r#""abcd...""#);
        assert_eq!(spelled("ab\u{20ac}\u{20ac}".as_bytes(), 6), "\"ab\u{20ac}...\"");
        assert_eq!(spelled(b"abcd", 4), r#""abcd""#);
    }

    #[test]
    fn a_byte_is_plain_alone_and_in_any_company_when_it_is_written_as_itself() {
        for byte in 0..=u8::MAX {
            let mut escaped = Vec::new();
            escape(&mut escaped, &[byte], Backslash::Spelled);
            let plain = byte.is_ascii() && escaped == [byte];
            assert_eq!(is_plain(&[byte]), plain, "{byte:#x}");
            for at in 0..11 {
                let mut bytes = *b"~ aZ09.-_/~";
                bytes[at] = byte;
                assert_eq!(is_plain(&bytes), plain, "{byte:#x} at {at}");
            }
        }
    }

    #[test]
    fn addresses_are_spelled_as_the_library_spells_them() {
        for octet in 0..=u8::MAX {
            for address in [[octet, 0, 10, 255], [1, 99, 100, octet]] {
                let mut out = Vec::new();
                quoted_address(&mut out, address.into());
                assert_eq!(String::from_utf8_lossy(&out), format!("\"{}\"", IpAddr::from(address)));
            }
        }
    }

    #[test]
    fn numbers_have_all_their_digits() {
        for value in [0, 7, 10, 4096, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(String::from_utf8(out).expect("digits"), value.to_string());
        }
    }

    #[test]
    fn an_object_closes_itself_and_takes_in_the_members_of_another() {
        let mut out = Vec::new();
        {
            let mut object = Object::open(&mut out);
            object.members_of(b"{}");
            object.number("a", 1);
            object.members_of(br#"{"b":2}"#);
            object.object("c").address("ip", "10.0.0.255".parse().expect("an address"));
            object.texts("d", ["x", "y"]);
        }
        assert_eq!(String::from_utf8_lossy(&out), r#"{"a":1,"b":2,"c":{"ip":"10.0.0.255"},"d":["x","y"]}"#);
    }

    proptest! {
        #[test]
        fn any_bytes_of_any_length_are_a_json_string(bytes in prop::collection::vec(any::<u8>(), 0..80), bytes_max in 0usize..90) {
            let parsed: serde_json::Value = serde_json::from_str(&spelled(&bytes, bytes_max)).expect("JSON");
            prop_assert!(parsed.is_string());
        }

        #[test]
        fn text_comes_back_as_it_was(words in "\\PC*|[\\x00-\\u{ff}]*|[\\u{2020}-\\u{2070}]*|[\\\\x0f]*") {
            let mut out = Vec::new();
            text(&mut out, &words);
            let parsed: String = serde_json::from_slice(&out).expect("JSON");
            prop_assert_eq!(parsed, words);
        }

        #[test]
        fn bytes_come_back_as_they_were(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\\'), Just(b'x'), Just(b'5'), Just(b'c')], 0..40)
        ) {
            let parsed: String = serde_json::from_str(&spelled(&bytes, usize::MAX)).expect("JSON");
            prop_assert_eq!(unspelled(&parsed), bytes);
        }
    }
}
