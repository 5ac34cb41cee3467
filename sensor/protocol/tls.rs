//! TLS: the hellos in clear text, and whether anything was said after them.
//!
//! In: records of SSL 3.0 to TLS 1.3 (RFC 8446 section 5.1), cut anywhere. Out: a `tls` observation at the client's
//! hello with everything that is looked up, one at the server's, and the stage of the contact. A hello that is spread
//! over several records is the only thing that is gathered here, bounded. Never here: a key, a certificate.

use super::tls_hello::{
    ALPN, CLIENT_HELLO, ClientHello, MESSAGE_HEADER_BYTES, SERVER_HELLO, ServerHello, TLS_1_3, extensions, hello_len,
    take_long, take_short,
};
use super::{Read, Stream, Verdict, Wants};
use crate::limits::{TLS_ALPNS_MAX, TLS_CIPHERTEXT_BYTES_MAX, TLS_HELLO_BYTES_MAX, TLS_SNI_BYTES_MAX};
use crate::observable::{Event, Field, Form, Kind, Observations, Saying, Side, Stage, digest, domain};

static TLS: Event = Event { name: "tls", app_proto: None };

static JA3_KINDS: [&Kind; 1] = [&digest::JA3];
static SNI: Field = Field::sought("tls.sni", &domain::KINDS);
static SNI_CONTEXT: Field = Field::plain("tls.sni", Form::Text);
static VERSION: Field = Field::plain("tls.version", Form::Text);
static CLIENT_ALPN: Field = Field::plain("tls.client_alpns", Form::Text).at("tls.client_alpns[]");
static SERVER_ALPN: Field = Field::plain("tls.server_alpns", Form::Text).at("tls.server_alpns[]");
static JA3_HASH: Field = Field::sought("tls.ja3.hash", &JA3_KINDS);
static JA3_CONTEXT: Field = Field::plain("tls.ja3.hash", Form::Text);
static JA3_STRING: Field = Field::plain("tls.ja3.string", Form::Text);
static JA3S_HASH: Field = Field::plain("tls.ja3s.hash", Form::Text);
static JA3S_STRING: Field = Field::plain("tls.ja3s.string", Form::Text);

const RECORD_HEADER_BYTES: usize = 5;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// What one side is in the middle of.
#[derive(Default)]
struct Half {
    /// Bytes of a record without interest that are still to come.
    skip: usize,
    /// The beginning of a hello that goes on in another record.
    hello: Vec<u8>,
    /// Records of application data.
    data: u32,
    /// A gap has lost the records' beginnings: this side is not read any more.
    blind: bool,
    /// It has said its last hello.
    spoken: bool,
}

/// One connection.
#[derive(Default)]
pub struct Conversation {
    halves: [Half; 2],
    /// What the server chose.
    version: Option<u16>,
    /// The client's SNI and JA3, repeated in the server's line so that it stands alone.
    sni: Vec<u8>,
    ja3: Option<[u8; 32]>,
}

impl Stream for Conversation {
    const NAME: &'static str = "tls";

    fn recognise(bytes: &[u8], _ports: (u16, u16)) -> Verdict {
        let expected = |at: usize, is: fn(u8) -> bool| bytes.get(at).copied().is_none_or(is);
        let like = expected(0, |b| b == HANDSHAKE)
            && expected(1, |b| b == 3)
            && expected(2, |b| b <= 4)
            && expected(3, |b| usize::from(b) << 8 <= TLS_CIPHERTEXT_BYTES_MAX)
            && expected(5, |b| b == CLIENT_HELLO || b == SERVER_HELLO)
            && expected(6, |b| b == 0 || b == 1); // no hello has 128 KiB
        match bytes.get(5) {
            _ if !like => Verdict::Other,
            Some(&SERVER_HELLO) => Verdict::Server,
            Some(_) => Verdict::Client,
            None => Verdict::Later,
        }
    }

    fn read(&mut self, side: Side, bytes: &[u8], wants: Wants, out: &mut Observations) -> Read {
        let mut rest = bytes;
        while !rest.is_empty() && !self.halves[side.index()].blind {
            let left = rest.len();
            rest = match self.record(side, rest, wants, out) {
                Step::Behind(rest) => rest,
                Step::More => return Read::Took(bytes.len() - left),
                Step::Done => return Read::Done,
                Step::Lost => return Read::Lost,
            };
        }
        Read::Took(bytes.len())
    }

    fn gap(&mut self, side: Side, len: u64, _wants: Wants, _out: &mut Observations) -> Read {
        let half = &mut self.halves[side.index()];
        match usize::try_from(len) {
            Ok(len) if 0 < len && len <= half.skip => half.skip -= len,
            _ => half.blind = true,
        }
        half.hello = Vec::new();
        if self.halves.iter().all(|half| half.blind) { Read::Lost } else { Read::Took(0) }
    }

    fn clear(&mut self) {
        let mut sni = std::mem::take(&mut self.sni);
        sni.clear();
        *self = Conversation { sni, ..Default::default() };
    }
}

enum Step<'a> {
    Behind(&'a [u8]),
    More,
    Done,
    Lost,
}

impl Conversation {
    /// Reads the record at the beginning of `bytes`, or skips what is there of it.
    fn record<'a>(&mut self, side: Side, bytes: &'a [u8], wants: Wants, out: &mut Observations) -> Step<'a> {
        let half = &mut self.halves[side.index()];
        if half.skip > 0 {
            let taken = half.skip.min(bytes.len());
            half.skip -= taken;
            return bytes.get(taken..).map_or(Step::More, Step::Behind);
        }
        let Some((&[kind, major, _, high, low], body)) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>() else {
            return Step::More;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !(20..=24).contains(&kind) || major != 3 || length > TLS_CIPHERTEXT_BYTES_MAX {
            return Step::Lost;
        }
        if kind == HANDSHAKE && self.awaits(side, body) {
            let Some((body, rest)) = body.split_at_checked(length) else { return Step::More };
            self.handshake(side, body, wants, out);
            return Step::Behind(rest);
        }
        if kind == APPLICATION_DATA && self.data(side, out) {
            return Step::Done;
        }
        self.halves[side.index()].skip = length;
        Step::Behind(body)
    }

    /// Whether a handshake record of this side may hold (more of) a hello. After its first hello a side may say
    /// another in answer to a retry, always at the beginning of a record; all else is left unread.
    fn awaits(&self, side: Side, body: &[u8]) -> bool {
        let half = &self.halves[side.index()];
        let hello = if side == Side::Client { CLIENT_HELLO } else { SERVER_HELLO };
        !half.spoken && (!half.hello.is_empty() || body.first().is_none_or(|&kind| kind == hello))
    }

    fn handshake(&mut self, side: Side, body: &[u8], wants: Wants, out: &mut Observations) {
        let half = &mut self.halves[side.index()];
        if half.hello.is_empty() {
            if let Some(used) = hello_len(body).filter(|&len| len <= body.len()) {
                return self.hello(side, &body[..used], wants, out);
            }
            if hello_len(body).is_some_and(|len| len > TLS_HELLO_BYTES_MAX) {
                half.spoken = true;
                return;
            }
        }
        let room = TLS_HELLO_BYTES_MAX.saturating_sub(half.hello.len());
        half.hello.extend_from_slice(&body[..body.len().min(room)]);
        let whole = hello_len(&half.hello);
        if whole.is_some_and(|len| len <= half.hello.len()) {
            let gathered = std::mem::take(&mut half.hello);
            self.hello(side, gathered.get(..whole.unwrap_or(0)).unwrap_or_default(), wants, out);
        } else if half.hello.len() >= TLS_HELLO_BYTES_MAX {
            half.hello = Vec::new();
            half.spoken = true;
        }
    }

    fn hello(&mut self, side: Side, message: &[u8], wants: Wants, out: &mut Observations) {
        let body = message.get(MESSAGE_HEADER_BYTES..).unwrap_or_default();
        match (side, message.first()) {
            (Side::Client, Some(&CLIENT_HELLO)) => {
                if let Some(hello) = ClientHello::of(body) {
                    self.keep(say_client(&hello, out), hello.sni, wants);
                }
            }
            (Side::Server, Some(&SERVER_HELLO)) => {
                if let Some(hello) = ServerHello::of(body) {
                    self.version = Some(hello.version);
                    self.halves[Side::Server.index()].spoken = !hello.retries;
                    self.say_server(&hello, out);
                }
            }
            _ => {}
        }
    }

    fn keep(&mut self, ja3: [u8; 32], sni: Option<&[u8]>, wants: Wants) {
        self.sni.clear();
        if wants.events {
            let sni = sni.unwrap_or_default();
            self.sni.extend_from_slice(&sni[..sni.len().min(TLS_SNI_BYTES_MAX)]);
            self.ja3 = Some(ja3);
        }
    }

    fn say_server(&self, hello: &ServerHello<'_>, out: &mut Observations) {
        let saying = &mut out.begin(&TLS, Side::Server);
        saying.stage(Stage::Handshake);
        if !self.sni.is_empty() {
            saying.field(&SNI_CONTEXT, &self.sni);
        }
        saying.field(&VERSION, version_text(hello.version, &mut [0; 6]));
        if let Some(ja3) = &self.ja3 {
            saying.field(&JA3_CONTEXT, ja3);
        }
        say_alpns(saying, &SERVER_ALPN, hello.extensions);
        let mut line = hello.ja3s();
        let mut hex = [0; 32];
        let text = line.finish(&mut hex);
        saying.field(&JA3S_HASH, &hex);
        if let Some(text) = text {
            saying.field(&JA3S_STRING, text);
        }
    }

    /// Counts a record of application data; true once it says that the handshake was over. In TLS 1.3 the client's
    /// first such record is its Finished (RFC 8446 section 2), and without the server's hello it could be.
    fn data(&mut self, side: Side, out: &mut Observations) -> bool {
        let half = &mut self.halves[side.index()];
        half.data = half.data.saturating_add(1);
        let flows = match self.version {
            Some(version) if version < TLS_1_3 => true,
            _ => side == Side::Client && half.data >= 2,
        };
        if flows {
            out.begin(&TLS, side).stage(Stage::Data);
        }
        flows
    }
}

/// Says a client's hello and gives its JA3.
fn say_client(hello: &ClientHello<'_>, out: &mut Observations) -> [u8; 32] {
    let saying = &mut out.begin(&TLS, Side::Client);
    if let Some(sni) = hello.sni {
        saying.field(&SNI, sni);
    }
    say_alpns(saying, &CLIENT_ALPN, hello.extensions);
    let mut line = hello.ja3();
    let mut hex = [0; 32];
    let text = line.finish(&mut hex);
    saying.field(&JA3_HASH, &hex);
    if let Some(text) = text {
        saying.field(&JA3_STRING, text);
    }
    hex
}

/// RFC 7301 section 3.1.
fn say_alpns(saying: &mut Saying<'_>, field: &'static Field, all: &[u8]) {
    let Some((_, mut list)) = extensions(all).find(|&(kind, _)| kind == ALPN) else { return };
    let Some(mut names) = take_long(&mut list) else { return };
    for _ in 0..TLS_ALPNS_MAX {
        let Some(name) = take_short(&mut names) else { return };
        saying.field(field, name);
    }
}

fn version_text(version: u16, room: &mut [u8; 6]) -> &[u8] {
    match version {
        0x0300 => b"SSLv3",
        0x0301 => b"TLSv1",
        0x0302 => b"TLS 1.1",
        0x0303 => b"TLS 1.2",
        TLS_1_3 => b"TLS 1.3",
        0x7f00..=0x7fff => b"TLS 1.3 draft",
        _ => {
            let digit = |shift: u16| super::ja3::hex_digit((version >> shift & 15) as u8);
            *room = [b'0', b'x', digit(12), digit(8), digit(4), digit(0)];
            room
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tls_hello::{EC_POINT_FORMATS, RETRY, SERVER_NAME, SUPPORTED_GROUPS, SUPPORTED_VERSIONS};
    use super::super::told::{self, client, server};
    use super::*;
    use proptest::prelude::*;

    fn long(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
    }

    fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &long(data)].concat()
    }

    fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 0][..], &long(body)].concat()
    }

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 3, 3][..], &long(body)].concat()
    }

    fn client_hello() -> Vec<u8> {
        let mut extensions = extension(0x2a2a, b"");
        extensions.extend(extension(SERVER_NAME, &long(&[&[0][..], &long(b"c2.example.kr")].concat())));
        extensions.extend(extension(SUPPORTED_GROUPS, &long(&[0x6a, 0x6a, 0, 29, 0, 23])));
        extensions.extend(extension(EC_POINT_FORMATS, &[1, 0]));
        extensions.extend(extension(ALPN, &long(b"\x02h2\x08http/1.1")));
        let ciphers = long(&[0x5a, 0x5a, 0x13, 0x01, 0xc0, 0x2f]);
        let body = [&[3, 3][..], &[7; 32], &[0], &ciphers, &[1, 0], &long(&extensions)].concat();
        handshake(CLIENT_HELLO, &body)
    }

    fn server_hello(random: [u8; 32], extensions: &[u8]) -> Vec<u8> {
        let body = [&[3, 3][..], &random, &[0], &[0x13, 0x01], &[0], &long(extensions)].concat();
        handshake(SERVER_HELLO, &body)
    }

    const SAID: &str = "tls client - tls.sni=c2.example.kr tls.client_alpns=h2 tls.client_alpns=http/1.1 \
                        tls.ja3.hash=314abbbcca48548317336aed70894d82 tls.ja3.string=771,4865-49199,0-10-11-16,29-23,0";

    fn tls13() -> Vec<told::Part> {
        let chosen = extension(SUPPORTED_VERSIONS, &[3, 4]);
        let hello = server_hello([9; 32], &chosen);
        let sent = [record(HANDSHAKE, &hello), record(20, &[1]), record(APPLICATION_DATA, &[0; 300])].concat();
        let finished = [record(20, &[1]), record(APPLICATION_DATA, &[0; 53])].concat();
        let asked = record(APPLICATION_DATA, &[0; 90]);
        vec![client(record(HANDSHAKE, &client_hello())), server(sent), client(finished), client(asked)]
    }

    #[test]
    fn a_client_hello_is_said_before_any_answer() {
        assert_eq!(told::of::<Conversation>(&tls13()[..1]), [SAID]);
    }

    #[test]
    fn a_server_hello_repeats_whom_it_answers() {
        let lines = told::of::<Conversation>(&tls13());
        assert!(lines[1].starts_with("tls server handshake tls.sni=c2.example.kr tls.version=TLS 1.3"), "{}", lines[1]);
        assert!(lines[1].ends_with("tls.ja3s.string=771,4865,43"));
    }

    #[test]
    fn data_begins_behind_the_clients_finished_and_ends_the_reading() {
        let (lines, last) = told::conversation::<Conversation>(&tls13(), &[], told::ALL);
        assert_eq!((lines[2].as_str(), last), ("tls client data", Read::Done));
        assert_eq!(told::of::<Conversation>(&tls13()[..3]).len(), 2);
    }

    #[test]
    fn before_tls_1_3_the_first_data_is_data() {
        let hello = server_hello([9; 32], &extension(ALPN, &long(b"\x02h2")));
        let parts = [server(record(HANDSHAKE, &hello)), client(record(APPLICATION_DATA, &[0; 30]))];
        let lines = told::of::<Conversation>(&parts);
        assert!(lines[0].contains("tls.version=TLS 1.2 tls.server_alpns=h2"), "{}", lines[0]);
        assert_eq!(lines[1], "tls client data");
    }

    #[test]
    fn a_hello_over_several_records_is_read() {
        let hello = client_hello();
        for at in 1..hello.len() {
            let (first, second) = hello.split_at(at);
            let parts = [client([record(HANDSHAKE, first), record(HANDSHAKE, second)].concat())];
            assert_eq!(told::of::<Conversation>(&parts), [SAID], "{at}");
        }
    }

    #[test]
    fn a_retry_brings_another_hello() {
        let retry = record(HANDSHAKE, &server_hello(RETRY, &extension(SUPPORTED_VERSIONS, &[3, 4])));
        let mut parts = tls13();
        parts.splice(1..1, [server(retry), client(record(20, &[1])), client(record(HANDSHAKE, &client_hello()))]);
        let lines = told::of::<Conversation>(&parts);
        assert_eq!((lines.len(), lines[2].as_str()), (5, SAID));
    }

    #[test]
    fn a_gap_in_a_long_record_is_counted_off() {
        let mut parts = tls13();
        let long = record(APPLICATION_DATA, &[0; 1000]);
        parts.splice(3..3, [server(&long[..100]), told::Part::Gap(Side::Server, 800), server(&long[900..])]);
        assert_eq!(told::of::<Conversation>(&parts).len(), 3);
    }

    #[test]
    fn a_gap_elsewhere_blinds_one_side_only() {
        let mut parts = tls13();
        parts.insert(1, told::Part::Gap(Side::Server, 5));
        assert_eq!(told::of::<Conversation>(&parts), [SAID, "tls client data"]);
    }

    proptest! {
        #[test]
        fn any_stream_is_survived(parts in told::any_parts(include_hello())) {
            told::conversation::<Conversation>(&parts, &[13, 1], told::ALL);
        }

        #[test]
        fn cutting_a_stream_changes_nothing(cuts in proptest::collection::vec(1..200usize, 1..8)) {
            prop_assert_eq!(
                told::conversation::<Conversation>(&tls13(), &cuts, told::ALL),
                told::conversation::<Conversation>(&tls13(), &[], told::ALL)
            );
        }
    }

    fn include_hello() -> &'static [u8] {
        Box::leak(record(HANDSHAKE, &client_hello()).into_boxed_slice())
    }
}
