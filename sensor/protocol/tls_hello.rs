//! The messages of a TLS handshake that go in clear text: the two hellos (RFC 8446 sections 4.1.2 and 4.1.3, the same since
//! SSL 3.0) with their fingerprints, and certificates up to TLS 1.2.
//!
//! In: one handshake message. Out: borrowed views and JA3 lines. Damaged extensions end the list, nothing more.
//! Never here: a record, what is said.

use super::ja3::Ja3;
use crate::limits::TLS_CERTIFICATES_MAX;

pub(super) const MESSAGE_HEADER_BYTES: usize = 4;
pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const SESSION_TICKET: u8 = 4;
pub(super) const CERTIFICATE: u8 = 11;
pub(super) const CLIENT_KEY_EXCHANGE: u8 = 16;
pub(super) const TLS_1_3: u16 = 0x0304;
pub(super) const SERVER_NAME: u16 = 0;
pub(super) const SUPPORTED_GROUPS: u16 = 10;
pub(super) const EC_POINT_FORMATS: u16 = 11;
pub(super) const SIGNATURE_ALGORITHMS: u16 = 13;
pub(super) const ALPN: u16 = 16;
pub(super) const SUPPORTED_VERSIONS: u16 = 43;

/// The length of the handshake message that begins here, with its header.
pub(super) fn message_len(bytes: &[u8]) -> Option<usize> {
    let [_, a, b, c] = *bytes.first_chunk::<MESSAGE_HEADER_BYTES>()?;
    Some(MESSAGE_HEADER_BYTES + (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)))
}

/// Takes `len` bytes off the front.
pub(super) fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(head)
}

fn take_u16(bytes: &mut &[u8]) -> Option<u16> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    *bytes = rest;
    Some(u16::from_be_bytes(*head))
}

/// A vector behind one length byte.
pub(super) fn take_short<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&len, rest) = bytes.split_first()?;
    *bytes = rest;
    take(bytes, usize::from(len))
}

/// A vector behind two length bytes; one that claims too much gives what is there.
pub(super) fn take_long<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::from(take_u16(bytes)?).min(bytes.len());
    take(bytes, len)
}

/// The certificates of a Certificate message up to TLS 1.2 (RFC 5246 section 7.4.2), the leaf first. A list that does not
/// fill its message is none; of a message that is cut (`whole` is false), those that are there.
pub(super) fn certificates(body: &[u8], whole: bool) -> impl Iterator<Item = &[u8]> {
    let mut rest = match take_u24(body) {
        Some((len, list)) if len == list.len() || (!whole && len > list.len()) => list,
        _ => &[],
    };
    std::iter::from_fn(move || {
        let (len, behind) = take_u24(rest)?;
        let (certificate, behind) = behind.split_at_checked(len)?;
        rest = behind;
        Some(certificate)
    })
    .filter(|certificate| !certificate.is_empty())
    .take(TLS_CERTIFICATES_MAX)
}

fn take_u24(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let ([a, b, c], rest) = bytes.split_first_chunk::<3>()?;
    Some((usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c), rest))
}

/// The extensions of a hello as (type, data); ends where they are damaged.
pub(super) fn extensions(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || Some((take_u16(&mut bytes)?, take_long(&mut bytes)?)))
}

pub(super) struct ClientHello<'a> {
    pub(super) version: u16,
    pub(super) ciphers: &'a [u8],
    pub(super) extensions: &'a [u8],
    pub(super) sni: Option<&'a [u8]>,
}

impl<'a> ClientHello<'a> {
    /// RFC 8446 section 4.1.2.
    pub(super) fn of(mut body: &'a [u8]) -> Option<Self> {
        let version = take_u16(&mut body).filter(|version| version >> 8 == 3 || version >> 8 == 0x7f)?;
        take(&mut body, 32)?;
        take_short(&mut body)?;
        let ciphers = take_long(&mut body).filter(|ciphers| !ciphers.is_empty())?;
        let _ = take_short(&mut body);
        let extensions = take_long(&mut body).unwrap_or_default();
        let sni = self::extensions(extensions).find(|&(kind, _)| kind == SERVER_NAME);
        Some(ClientHello { version, ciphers, extensions, sni: sni.and_then(|(_, data)| host_name(data)) })
    }

    pub(super) fn ja3(&self) -> Ja3 {
        let mut line = Ja3::new();
        line.number(self.version);
        line.next();
        line.numbers(self.ciphers);
        line.next();
        let (mut groups, mut formats): (&[u8], &[u8]) = (&[], &[]);
        for (kind, mut data) in extensions(self.extensions) {
            line.unless_grease(kind);
            match kind {
                SUPPORTED_GROUPS => groups = take_long(&mut data).unwrap_or_default(),
                EC_POINT_FORMATS => formats = take_short(&mut data).unwrap_or_default(),
                _ => {}
            }
        }
        line.next();
        line.numbers(groups);
        line.next();
        for &format in formats {
            line.number(u16::from(format));
        }
        line
    }
}

/// The first host name of a server name list (RFC 6066 section 3).
fn host_name(mut data: &[u8]) -> Option<&[u8]> {
    let mut list = take_long(&mut data)?;
    let kind = take(&mut list, 1)?;
    let name = take_long(&mut list)?;
    (kind == [0] && !name.is_empty()).then_some(name)
}

pub(super) struct ServerHello<'a> {
    /// What was chosen, by the extension where there is one.
    pub(super) version: u16,
    pub(super) legacy_version: u16,
    pub(super) cipher: u16,
    pub(super) extensions: &'a [u8],
    /// It asks for another client hello.
    pub(super) retries: bool,
}

/// A server hello with this random is a HelloRetryRequest (RFC 8446 section 4.1.3).
pub(super) const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

impl<'a> ServerHello<'a> {
    pub(super) fn of(mut body: &'a [u8]) -> Option<Self> {
        let legacy_version = take_u16(&mut body).filter(|version| version >> 8 == 3 || version >> 8 == 0x7f)?;
        let random = take(&mut body, 32)?;
        // The drafts of TLS 1.3 up to 21 chose by the version field, and had neither session id nor compression.
        let is_draft = matches!(legacy_version, TLS_1_3 | 0x7f00..=0x7f15);
        if !is_draft {
            take_short(&mut body)?;
        }
        let cipher = take_u16(&mut body)?;
        if !is_draft {
            let _ = take(&mut body, 1);
        }
        let extensions = take_long(&mut body).unwrap_or_default();
        let chosen = self::extensions(extensions).find(|&(kind, _)| kind == SUPPORTED_VERSIONS);
        let version = chosen.and_then(|(_, mut data)| take_u16(&mut data)).unwrap_or(legacy_version);
        Some(ServerHello { version, legacy_version, cipher, extensions, retries: random == RETRY })
    }

    pub(super) fn ja3s(&self) -> Ja3 {
        let mut line = Ja3::new();
        line.number(self.legacy_version);
        line.next();
        line.number(self.cipher);
        line.next();
        for (kind, _) in extensions(self.extensions) {
            line.number(kind);
        }
        line
    }
}

/// Pieces of handshakes for the tests of all who read them.
#[cfg(test)]
pub(super) mod crafted {
    pub(in crate::protocol) fn long(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
    }

    pub(in crate::protocol) fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &long(data)].concat()
    }

    pub(in crate::protocol) fn numbers(list: &[u16]) -> Vec<u8> {
        list.iter().flat_map(|value| value.to_be_bytes()).collect()
    }

    /// The body of a client's hello.
    pub(in crate::protocol) fn hello(version: u16, ciphers: &[u16], extensions: &[u8]) -> Vec<u8> {
        let ciphers = long(&numbers(ciphers));
        [&version.to_be_bytes()[..], &[7; 32], &[0], &ciphers, &[1, 0], &long(extensions)].concat()
    }

    pub(in crate::protocol) fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind][..], &(body.len() as u32).to_be_bytes()[1..], body].concat()
    }

    pub(in crate::protocol) fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 3, 3][..], &long(body)].concat()
    }

    /// The body of a Certificate message up to TLS 1.2.
    pub(in crate::protocol) fn chain(certificates: &[&[u8]]) -> Vec<u8> {
        let with_len = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[1..], bytes].concat();
        with_len(&certificates.iter().flat_map(|der| with_len(der)).collect::<Vec<u8>>())
    }
}
