//! The two hellos of TLS (RFC 8446 sections 4.1.2 and 4.1.3, the same since SSL 3.0) and their fingerprints.
//!
//! In: one handshake message. Out: borrowed views and JA3 lines. Damaged extensions end the list, nothing more.
//! Never here: a record, what is said.

use super::ja3::Ja3;

pub(super) const MESSAGE_HEADER_BYTES: usize = 4;
pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const TLS_1_3: u16 = 0x0304;
pub(super) const SERVER_NAME: u16 = 0;
pub(super) const SUPPORTED_GROUPS: u16 = 10;
pub(super) const EC_POINT_FORMATS: u16 = 11;
pub(super) const ALPN: u16 = 16;
pub(super) const SUPPORTED_VERSIONS: u16 = 43;

/// The length of the handshake message that begins here, with its header.
pub(super) fn hello_len(bytes: &[u8]) -> Option<usize> {
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
