//! Tokens: what inside hosts and names are called outside. In: signatures under the site's key. Out: a letter that says what it
//! is, and twelve that say nothing to whom does not have the key. Never here: the key.

use std::fmt;

use ring::hmac;

/// Letters of a token after `h-`: 60 bits, so that a million hosts of one site hardly ever share one.
const LETTERS: usize = 12;

/// RFC 4648 section 6, in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    /// An inside host's address: `h-`.
    Host,
    /// An inside name: `n-`.
    Name,
}

/// An inside host or name, for those outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    of: Of,
    bits: u64,
}

impl Token {
    pub(super) fn of_host(tag: hmac::Tag) -> Token {
        Token { of: Of::Host, bits: bits(tag) }
    }

    pub(super) fn of_name(tag: hmac::Tag) -> Token {
        Token { of: Of::Name, bits: bits(tag) }
    }

    /// Reads a token as it is written, in any case; `None` if it is none.
    pub fn parse(text: &str) -> Option<Token> {
        let text = text.trim().to_ascii_lowercase();
        let (of, letters) = match text.split_at_checked(2)? {
            ("h-", letters) => (Of::Host, letters),
            ("n-", letters) => (Of::Name, letters),
            _ => return None,
        };
        let five = |letter: u8| BASE32.iter().position(|known| *known == letter).map(|at| at as u64);
        let bits = letters.bytes().try_fold(0, |bits: u64, letter| Some(bits << 5 | five(letter)?))?;
        (letters.len() == LETTERS).then_some(Token { of, bits })
    }

    /// What it stands for.
    pub fn stands_for(self) -> Of {
        self.of
    }
}

/// The first 60 bits of a signature.
fn bits(tag: hmac::Tag) -> u64 {
    tag.as_ref().iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte)) >> 4
}

impl fmt::Display for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.of == Of::Host { "h-" } else { "n-" })?;
        (0..LETTERS).rev().try_for_each(|place| {
            let five = (self.bits >> (5 * place)) & 31;
            fmt::Write::write_char(out, char::from(BASE32[five as usize]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::SiteKey;
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_written() {
        let key = SiteKey::fixed(&[4; 32]);
        for token in [key.host([10, 0, 0, 1].into()), key.name("pc-acct-04")] {
            let text = token.to_string();
            assert_eq!(text.len(), 14);
            assert_eq!(Token::parse(&text), Some(token));
            assert_eq!(Token::parse(&format!(" {} ", text.to_uppercase())), Some(token));
        }
        for wrong in ["", "h", "h-", "h-abc", "x-abcdefghijkl", "h-abcdefghijk1", "h-abcdefghijklm", "é-abcdefghijkl"]
        {
            assert_eq!(Token::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn tokens_are_what_they_were_in_earlier_versions() {
        let key = SiteKey::fixed(&[1; 32]);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]), b"host\0\x0a\0\0\x01");
        let mut letters = String::from("h-");
        let first = tag.as_ref().iter().take(8).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        letters.extend((0..LETTERS).map(|at| char::from(BASE32[((first >> (59 - 5 * at)) & 31) as usize])));
        assert_eq!(key.host([10, 0, 0, 1].into()).to_string(), letters);
    }
}
