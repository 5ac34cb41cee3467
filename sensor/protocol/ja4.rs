//! JA4, the fingerprint of a TLS client: what it offers, in sorted lists (FoxIO's specification of JA4; of that family
//! this one alone is free to use).
//!
//! In: a client's hello. Out: 36 characters. Never here: what it is used for, a fingerprint of a server.

use ring::digest::{SHA256, digest};

use super::ja3::{hex_digit, is_grease};
use super::tls_hello::{
    ALPN, ClientHello, SERVER_NAME, SIGNATURE_ALGORITHMS, SUPPORTED_VERSIONS, extensions, take_long, take_short,
};

/// `t13d1516h2_8daaf6152771_b186095e22b6`: transport, version, name or none, counts and ALPN; two truncated digests.
pub(super) const JA4_BYTES: usize = 36;

const DIGEST_DIGITS: usize = 12;

/// What carries the hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// A stream.
    Tcp = b't' as isize,
}

/// The fingerprint of a hello.
pub(super) fn ja4(transport: Transport, hello: &ClientHello<'_>) -> [u8; JA4_BYTES] {
    let mut ciphers = numbers(hello.ciphers);
    let mut kinds: Vec<u16> =
        extensions(hello.extensions).map(|(kind, _)| kind).filter(|&kind| !is_grease(kind)).collect();
    let count = kinds.len();
    let has_name = kinds.contains(&SERVER_NAME);
    kinds.retain(|&kind| kind != SERVER_NAME && kind != ALPN);
    ciphers.sort_unstable();
    kinds.sort_unstable();

    let mut out = [b'_'; JA4_BYTES];
    out[0] = transport as u8;
    out[1..3].copy_from_slice(version(hello));
    out[3] = if has_name { b'd' } else { b'i' };
    out[4..6].copy_from_slice(&two_digits(ciphers.len()));
    out[6..8].copy_from_slice(&two_digits(count));
    out[8..10].copy_from_slice(&alpn(hello.extensions));
    out[11..23].copy_from_slice(&truncated(&ciphers, &[]));
    out[24..].copy_from_slice(&truncated(&kinds, &signature_algorithms(hello.extensions)));
    out
}

/// Numbers of 16 bits without GREASE (RFC 8701).
fn numbers(list: &[u8]) -> Vec<u16> {
    list.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair)).filter(|&value| !is_grease(value)).collect()
}

/// The highest version that is offered; the drafts of TLS 1.3 and what else has no number here is `00`.
fn version(hello: &ClientHello<'_>) -> &'static [u8; 2] {
    let offered = extensions(hello.extensions).find(|&(kind, _)| kind == SUPPORTED_VERSIONS);
    let highest = offered.and_then(|(_, mut data)| numbers(take_short(&mut data)?).into_iter().max());
    match highest.unwrap_or(hello.version) {
        0x0304 => b"13",
        0x0303 => b"12",
        0x0302 => b"11",
        0x0301 => b"10",
        0x0300 => b"s3",
        0x0002 => b"s2",
        _ => b"00",
    }
}

/// A count, 99 at most.
fn two_digits(count: usize) -> [u8; 2] {
    let count = count.min(99) as u8;
    [b'0' + count / 10, b'0' + count % 10]
}

/// First and last character of the first protocol; where either is no letter or digit of ASCII, the first and the last
/// digit of the whole in hexadecimal.
fn alpn(all: &[u8]) -> [u8; 2] {
    let first = extensions(all).find(|&(kind, _)| kind == ALPN).and_then(|(_, mut data)| {
        let mut names = take_long(&mut data)?;
        take_short(&mut names)
    });
    match first {
        Some([first, .., last]) | Some([first @ last]) => {
            match first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
                true => [*first, *last],
                false => [hex_digit(first >> 4), hex_digit(*last)],
            }
        }
        _ => *b"00",
    }
}

fn signature_algorithms(all: &[u8]) -> Vec<u16> {
    let found = extensions(all).find(|&(kind, _)| kind == SIGNATURE_ALGORITHMS);
    found.and_then(|(_, mut data)| Some(numbers(take_long(&mut data)?))).unwrap_or_default()
}

/// The first digits of the SHA-256 over `0005,000a_0403,0804`; without a second list there is no underscore, without a
/// first one there is nothing to digest.
fn truncated(sorted: &[u16], behind: &[u16]) -> [u8; DIGEST_DIGITS] {
    let mut digits = [b'0'; DIGEST_DIGITS];
    if sorted.is_empty() {
        return digits;
    }
    let mut text = Vec::with_capacity(5 * (sorted.len() + behind.len()));
    for (list, separator) in [(sorted, b','), (behind, b'_')] {
        for (at, value) in list.iter().enumerate() {
            match at {
                0 if text.is_empty() => {}
                0 => text.push(separator),
                _ => text.push(b','),
            }
            text.extend([12, 8, 4, 0].map(|shift| hex_digit((value >> shift) as u8)));
        }
    }
    let digest = digest(&SHA256, &text);
    for (pair, byte) in digits.chunks_exact_mut(2).zip(digest.as_ref()) {
        pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(*byte)]);
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::super::tls_hello::crafted::{extension, hello, long, numbers};
    use super::*;

    fn of(version: u16, ciphers: &[u16], extensions: &[u8]) -> String {
        let body = hello(version, ciphers, extensions);
        String::from_utf8(ja4(Transport::Tcp, &ClientHello::of(&body).unwrap()).to_vec()).unwrap()
    }

    fn name() -> Vec<u8> {
        extension(SERVER_NAME, &long(&[&[0][..], &long(b"a.kr")].concat()))
    }

    fn protocols(first: &[u8]) -> Vec<u8> {
        extension(ALPN, &long(&[&[first.len() as u8][..], first, b"\x08http/1.1"].concat()))
    }

    /// The browser that the specification takes for its example.
    #[test]
    fn the_specifications_example_has_its_fingerprint() {
        let ciphers = [
            0x0a0a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
            0x009d, 0x002f, 0x0035,
        ];
        let algorithms = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];
        let plain = |kinds: &[u16]| kinds.iter().flat_map(|&kind| extension(kind, b"")).collect::<Vec<u8>>();
        let extensions = [
            plain(&[0x3a3a, 0x001b]),
            name(),
            plain(&[0x0033]),
            protocols(b"h2"),
            plain(&[0x4469, 0x0017, 0x002d]),
            extension(SIGNATURE_ALGORITHMS, &long(&numbers(&algorithms))),
            plain(&[0x0005, 0x0023, 0x0012]),
            extension(SUPPORTED_VERSIONS, &[6, 0x7a, 0x7a, 3, 4, 3, 3]),
            plain(&[0xff01, 0x000b, 0x000a, 0x0015, 0xdada]),
        ];
        assert_eq!(of(0x0303, &ciphers, &extensions.concat()), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn without_signature_algorithms_there_is_no_underscore() {
        let extensions = [extension(11, b""), extension(10, b"")].concat();
        assert_eq!(of(0x0303, &[0x1301, 0xc02f], &extensions), "t12i020200_c1929292aa6b_33a13ba74d1c");
    }

    #[test]
    fn where_nothing_is_listed_nothing_is_digested() {
        assert_eq!(of(0x0300, &[0x0a0a], b""), "ts3i000000_000000000000_000000000000");
        assert_eq!(of(0x0301, &[0x0a0a], &name()), "t10d000100_000000000000_000000000000");
    }

    #[test]
    fn the_first_protocol_is_told_by_its_ends() {
        for (protocol, told) in [
            (&b"h2"[..], "h2"),
            (b"http/1.1", "h1"),
            (b"x", "xx"),
            (b"\xab", "ab"),
            (b"\xab\xcd", "ad"),
            (b"0\xab", "3b"),
            (b"-z", "2a"),
            (b"", "00"),
        ] {
            assert_eq!(of(0x0302, &[1], &protocols(protocol))[..10], format!("t11i0101{told}"), "{protocol:?}");
        }
    }

    #[test]
    fn the_highest_version_counts_and_a_draft_has_no_number() {
        for (versions, told) in
            [(&[0x0302, 0x0303][..], "12"), (&[0x0304, 0x7f1c], "00"), (&[0x0a0a], "10"), (&[], "10")]
        {
            let list = numbers(versions);
            let extension = extension(SUPPORTED_VERSIONS, &[&[list.len() as u8][..], &list].concat());
            assert_eq!(of(0x0301, &[1], &extension)[1..3], *told, "{versions:x?}");
        }
    }

    #[test]
    fn counts_end_at_99() {
        let ciphers: Vec<u16> = (0..300).collect();
        let extensions: Vec<u8> = (100..250).flat_map(|kind| extension(kind, b"")).collect();
        assert_eq!(of(0x0303, &ciphers, &extensions)[..10], *"t12i999900");
    }
}
