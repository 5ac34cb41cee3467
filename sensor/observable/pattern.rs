//! Byte patterns. In: text with escapes, or bytes in hexadecimal. Out: the bytes themselves.
//! Never here: where a pattern is looked for, and whether its case counts; its indicator says that.

use super::digest::nibble;
use super::{Kind, Refused, Shape};
use crate::limits::PATTERN_BYTES_MAX;

/// Bytes that occur anywhere in a field's value as the wire has it.
pub static PATTERN: Kind = Kind { name: "pattern", shape: Shape::Contained, canonical, text, index: 13 };

/// What bytes in hexadecimal begin with: `hex:4d5a 90`.
const HEXADECIMAL: &[u8] = b"hex:";

/// Text stands for its own bytes, `\xNN` for any byte and `\\` for a backslash.
fn canonical(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    let start = out.len();
    let result = match bytes.strip_prefix(HEXADECIMAL) {
        Some(digits) => push_hexadecimal(digits, out),
        None => push_text(bytes, out),
    };
    let result = result.and_then(|()| match out.len() - start {
        0 => Err(Refused("empty")),
        len if len > PATTERN_BYTES_MAX => Err(Refused("longer than 256 bytes")),
        _ => Ok(()),
    });
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn push_hexadecimal(digits: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    let mut digits = digits.iter().copied().filter(|digit| !digit.is_ascii_whitespace());
    while let Some(high) = digits.next() {
        let low = digits.next().ok_or(Refused("an odd number of hexadecimal digits"))?;
        out.push(nibble(high)? << 4 | nibble(low)?);
    }
    Ok(())
}

fn push_text(mut text: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    while let Some(at) = text.iter().position(|&byte| byte == b'\\') {
        out.extend_from_slice(&text[..at]);
        text = match text[at + 1..] {
            [b'\\', ref rest @ ..] => {
                out.push(b'\\');
                rest
            }
            [b'x', high, low, ref rest @ ..] => {
                out.push(nibble(high)? << 4 | nibble(low)?);
                rest
            }
            _ => return Err(Refused(r"a backslash begins \xNN or \\")),
        };
    }
    out.extend_from_slice(text);
    Ok(())
}

/// Letters, digits and ASCII's signs are themselves. A space at either end is written out, since feeds lose it there.
fn text(canonical: &[u8]) -> String {
    let mut text = String::new();
    let escape = |byte: &u8, text: &mut String| text.push_str(&format!("\\x{byte:02x}"));
    for chunk in canonical.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => text.push_str(r"\\"),
                _ if letter.is_ascii_graphic() || letter == ' ' || letter.is_alphanumeric() => text.push(letter),
                _ => letter.encode_utf8(&mut [0; 4]).as_bytes().iter().for_each(|byte| escape(byte, &mut text)),
            }
        }
        chunk.invalid().iter().for_each(|byte| escape(byte, &mut text));
    }
    if let Some(rest) = text.strip_prefix(' ') {
        text = format!("\\x20{rest}");
    }
    if let Some(rest) = text.strip_suffix(' ') {
        text = format!("{rest}\\x20");
    }
    // what only looks like hexadecimal
    text.strip_prefix("hex:").map(|rest| format!("\\x68ex:{rest}")).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(written: &str) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::new();
        canonical(written.as_bytes(), &mut out).map(|()| out).map_err(|refused| refused.0)
    }

    #[test]
    fn text_and_bytes_are_two_spellings_of_one_pattern() {
        assert_eq!(form("EvilUA/"), Ok(b"EvilUA/".to_vec()));
        assert_eq!(form(r"\x00\x01\xFF"), Ok(vec![0, 1, 255]));
        assert_eq!(form("hex: 00 01 fF"), Ok(vec![0, 1, 255]));
        assert_eq!(form(r"C:\\Temp\x20"), Ok(br"C:\Temp ".to_vec()));
        assert_eq!(text(br"C:\Temp "), r"C:\\Temp\x20");
        assert_eq!(text(b" \xff\n\xed\x95\x9c"), r"\x20\xff\x0a한");
        assert_eq!(text(b"hex:00"), r"\x68ex:00");
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        assert_eq!(form(""), Err("empty"));
        assert_eq!(form("hex:"), Err("empty"));
        assert_eq!(form("hex:123"), Err("an odd number of hexadecimal digits"));
        assert_eq!(form("hex:zz"), Err("not hexadecimal"));
        assert_eq!(form(r"\x0"), Err(r"a backslash begins \xNN or \\"));
        assert_eq!(form(r"C:\Temp"), Err(r"a backslash begins \xNN or \\"));
        assert_eq!(form(&"a".repeat(257)), Err("longer than 256 bytes"));
        assert_eq!(form(&r"\x00".repeat(256)).map(|bytes| bytes.len()), Ok(256));
    }

    proptest! {
        #[test]
        fn any_bytes_come_back_from_their_text(bytes in prop::collection::vec(any::<u8>(), 1..40)) {
            let written = text(&bytes);
            prop_assert_eq!(written.trim(), &written);
            prop_assert_eq!(form(&written), Ok(bytes));
        }
    }
}
