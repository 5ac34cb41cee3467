//! What is said of a TLS connection, in EVE's words.
//!
//! In: hellos and certificates. Out: `tls` observations. Never here: a record, what comes next.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY as SHA1, SHA256, digest as digest_of};

use super::Wants;
use super::certificate::Certificate;
use super::ja3::hex_digit;
use super::ja4::{JA4_BYTES, Transport, ja4};
use super::tls_hello::{ALPN, ClientHello, ServerHello, TLS_1_3, certificates, extensions, take_long, take_short};
use crate::limits::TLS_ALPNS_MAX;
use crate::observable::{Event, Field, Form, Kind, Observations, Saying, Side, Stage, digest, domain, plain};

pub(super) static TLS: Event = Event { name: "tls", app_proto: None };

static JA3_KINDS: [&Kind; 1] = [&digest::JA3];
static JA4_KINDS: [&Kind; 1] = [&plain::JA4];
static SHA1_KINDS: [&Kind; 1] = [&digest::CERT_SHA1];
static SHA256_KINDS: [&Kind; 1] = [&digest::CERT_SHA256];

static SNI: Field = Field::sought("tls.sni", &domain::KINDS);
static SNI_CONTEXT: Field = Field::plain("tls.sni", Form::Text);
static VERSION: Field = Field::plain("tls.version", Form::Text);
static RESUMED: Field = Field::plain("tls.session_resumed", Form::Flag);
static CLIENT_ALPN: Field = Field::plain("tls.client_alpns", Form::Text).at("tls.client_alpns[]");
static SERVER_ALPN: Field = Field::plain("tls.server_alpns", Form::Text).at("tls.server_alpns[]");
static JA3_HASH: Field = Field::sought("tls.ja3.hash", &JA3_KINDS);
static JA3_CONTEXT: Field = Field::plain("tls.ja3.hash", Form::Text);
static JA3_STRING: Field = Field::plain("tls.ja3.string", Form::Text);
static JA3S_HASH: Field = Field::plain("tls.ja3s.hash", Form::Text);
static JA3S_STRING: Field = Field::plain("tls.ja3s.string", Form::Text);
static JA4: Field = Field::sought("tls.ja4", &JA4_KINDS);
static JA4_CONTEXT: Field = Field::plain("tls.ja4", Form::Text);

/// Where what is in a certificate is said.
struct Places {
    subject: Field,
    issuer: Field,
    serial: Field,
    sha1: Field,
    sha256: Field,
    not_before: Field,
    not_after: Field,
    name: Field,
    /// The certificates behind the leaf.
    chain_sha1: Field,
    /// Looked up, not printed: one digest is enough to tell them apart.
    chain_sha256: Field,
}

static SERVERS: Places = Places {
    subject: Field::plain("tls.subject", Form::Text),
    issuer: Field::plain("tls.issuerdn", Form::Text),
    serial: Field::plain("tls.serial", Form::Text),
    sha1: Field::sought("tls.fingerprint", &SHA1_KINDS),
    sha256: Field::sought("tls.fingerprint_sha256", &SHA256_KINDS),
    not_before: Field::plain("tls.notbefore", Form::Text),
    not_after: Field::plain("tls.notafter", Form::Text),
    name: Field::plain("tls.subjectaltname", Form::Text).at("tls.subjectaltname[]"),
    chain_sha1: Field::sought("tls.chain_fingerprints", &SHA1_KINDS).at("tls.chain_fingerprints[]"),
    chain_sha256: Field::sought("tls.chain_fingerprints_sha256", &SHA256_KINDS).at(""),
};

static CLIENTS: Places = Places {
    subject: Field::plain("tls.client.subject", Form::Text),
    issuer: Field::plain("tls.client.issuerdn", Form::Text),
    serial: Field::plain("tls.client.serial", Form::Text),
    sha1: Field::sought("tls.client.fingerprint", &SHA1_KINDS),
    sha256: Field::sought("tls.client.fingerprint_sha256", &SHA256_KINDS),
    not_before: Field::plain("tls.client.notbefore", Form::Text),
    not_after: Field::plain("tls.client.notafter", Form::Text),
    name: Field::plain("tls.client.subjectaltname", Form::Text).at("tls.client.subjectaltname[]"),
    chain_sha1: Field::sought("tls.client.chain_fingerprints", &SHA1_KINDS).at("tls.client.chain_fingerprints[]"),
    chain_sha256: Field::sought("tls.client.chain_fingerprints_sha256", &SHA256_KINDS).at(""),
};

/// What of the client is repeated in later lines of its connection, so that each stands alone.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) sni: Vec<u8>,
    pub(super) ja3: Option<[u8; 32]>,
    pub(super) ja4: Option<[u8; JA4_BYTES]>,
}

impl Asked {
    fn say(&self, saying: &mut Saying<'_>, version: Option<&[u8]>) {
        if !self.sni.is_empty() {
            saying.field(&SNI_CONTEXT, &self.sni);
        }
        if let Some(version) = version {
            saying.field(&VERSION, version);
        }
        if let Some(ja3) = &self.ja3 {
            saying.field(&JA3_CONTEXT, ja3);
        }
        if let Some(ja4) = &self.ja4 {
            saying.field(&JA4_CONTEXT, ja4);
        }
    }
}

/// A Certificate message's body, and whether it is all there.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a> {
    pub(super) body: &'a [u8],
    pub(super) whole: bool,
}

/// Says a client's hello; gives its fingerprints.
pub(super) fn client_hello(
    hello: &ClientHello<'_>,
    wants: Wants,
    out: &mut Observations,
) -> ([u8; 32], Option<[u8; JA4_BYTES]>) {
    let saying = &mut out.begin(&TLS, Side::Client);
    if let Some(sni) = hello.sni {
        saying.field(&SNI, sni);
    }
    alpns(saying, &CLIENT_ALPN, hello.extensions);
    let mut line = hello.ja3();
    let mut ja3 = [0; 32];
    let text = line.finish(&mut ja3);
    saying.field(&JA3_HASH, &ja3);
    if let Some(text) = text {
        saying.field(&JA3_STRING, text);
    }
    let ja4 = wants.ja4.then(|| ja4(Transport::Tcp, hello));
    if let Some(ja4) = &ja4 {
        saying.field(&JA4, ja4);
    }
    (ja3, ja4)
}

/// What a server's line is made of.
pub(super) struct Answered<'a> {
    pub(super) hello: &'a ServerHello<'a>,
    pub(super) chain: Option<Chain<'a>>,
    /// A session of before goes on, which is why there is no certificate.
    pub(super) resumed: bool,
}

/// Says a server's hello, with its certificates where they were seen.
pub(super) fn server_hello(answered: &Answered<'_>, asked: &Asked, out: &mut Observations) {
    let Answered { hello, chain, resumed } = answered;
    let damaged = {
        let saying = &mut out.begin(&TLS, Side::Server);
        saying.stage(Stage::Handshake);
        asked.say(saying, Some(version(hello.version, &mut [0; 19])));
        if *resumed {
            saying.flag(&RESUMED, true);
        }
        let damaged = chain.map_or(0, |chain| say_chain(saying, &SERVERS, chain));
        alpns(saying, &SERVER_ALPN, hello.extensions);
        let mut line = hello.ja3s();
        let mut hex = [0; 32];
        let text = line.finish(&mut hex);
        saying.field(&JA3S_HASH, &hex);
        if let Some(text) = text {
            saying.field(&JA3S_STRING, text);
        }
        damaged
    };
    out.hidden.certificates_damaged += damaged;
}

/// Says certificates whose sender said no hello that was seen, or that a client shows.
pub(super) fn chain(side: Side, chain: Chain<'_>, asked: &Asked, out: &mut Observations) {
    if certificates(chain.body, chain.whole).next().is_none() {
        return; // a client that has none says so with an empty list
    }
    let damaged = {
        let saying = &mut out.begin(&TLS, side);
        asked.say(saying, None);
        say_chain(saying, if side == Side::Client { &CLIENTS } else { &SERVERS }, chain)
    };
    out.hidden.certificates_damaged += damaged;
}

/// Says the leaf and the digests of all; gives how many are damaged.
fn say_chain(saying: &mut Saying<'_>, places: &'static Places, chain: Chain<'_>) -> u64 {
    let mut damaged = 0;
    let mut text = Vec::new();
    for (at, der) in certificates(chain.body, chain.whole).enumerate() {
        let leaf = at == 0;
        if leaf {
            match Certificate::of(der) {
                Some(leaf) => say_leaf(saying, places, &leaf, &mut text),
                None => damaged += 1,
            }
        }
        let (sha1, sha256) = match leaf {
            true => (&places.sha1, &places.sha256),
            false => (&places.chain_sha1, &places.chain_sha256),
        };
        text.clear();
        colons(digest_of(&SHA1, der).as_ref(), &mut text);
        saying.field(sha1, &text);
        text.clear();
        colons(digest_of(&SHA256, der).as_ref(), &mut text);
        saying.field(sha256, &text);
    }
    damaged
}

fn say_leaf<'a>(saying: &mut Saying<'_>, places: &'static Places, leaf: &Certificate<'a>, text: &mut Vec<u8>) {
    let mut part = |field: &'static Field, write: fn(&Certificate<'a>, &mut Vec<u8>)| {
        text.clear();
        write(leaf, text);
        if !text.is_empty() {
            saying.field(field, text);
        }
    };
    part(&places.subject, Certificate::subject);
    part(&places.issuer, Certificate::issuer);
    part(&places.serial, Certificate::serial);
    for (field, time) in [(&places.not_before, leaf.not_before()), (&places.not_after, leaf.not_after())] {
        if let Some(time) = time {
            saying.field(field, &time);
        }
    }
    leaf.each_name(|name| {
        saying.field(&places.name, name);
    });
}

/// `0c:00:93`.
fn colons(digest: &[u8], out: &mut Vec<u8>) {
    for (at, byte) in digest.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"" } else { b":" });
        out.extend([hex_digit(byte >> 4), hex_digit(*byte)]);
    }
}

/// RFC 7301 section 3.1.
fn alpns(saying: &mut Saying<'_>, field: &'static Field, all: &[u8]) {
    let Some((_, mut list)) = extensions(all).find(|&(kind, _)| kind == ALPN) else { return };
    let Some(mut names) = take_long(&mut list) else { return };
    for _ in 0..TLS_ALPNS_MAX {
        let Some(name) = take_short(&mut names) else { return };
        saying.field(field, name);
    }
}

/// The drafts of TLS 1.3 have 0x7f and their number, those of one company 0xfb.
fn version(version: u16, room: &mut [u8; 19]) -> &[u8] {
    match version {
        0x0300 => b"SSLv3",
        0x0301 => b"TLSv1",
        0x0302 => b"TLS 1.1",
        0x0303 => b"TLS 1.2",
        TLS_1_3 => b"TLS 1.3",
        0x7f00..=0x7f0f => b"TLS 1.3 draft-<16",
        0x7f10..=0x7f63 | 0xfb10..=0xfb63 => {
            let [family, number] = version.to_be_bytes();
            *room = *b"TLS 1.3 draft-..-fb";
            room[14..16].copy_from_slice(&[b'0' + number / 10, b'0' + number % 10]);
            if family == 0xfb { room } else { &room[..16] }
        }
        _ => {
            let digit = |shift: u16| hex_digit((version >> shift & 15) as u8);
            room[..6].copy_from_slice(&[b'0', b'x', digit(12), digit(8), digit(4), digit(0)]);
            &room[..6]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_spelled_as_eve_spells_them() {
        let spelled = |number| String::from_utf8(version(number, &mut [0; 19]).to_vec()).unwrap();
        let numbers = [0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0x7f0e, 0x7f1c, 0xfb1a, 0x7e01];
        let words = [
            "SSLv3",
            "TLSv1",
            "TLS 1.1",
            "TLS 1.2",
            "TLS 1.3",
            "TLS 1.3 draft-<16",
            "TLS 1.3 draft-28",
            "TLS 1.3 draft-26-fb",
            "0x7e01",
        ];
        assert_eq!(numbers.map(spelled), words);
    }
}
