//! TLS: what is said in clear text before the encryption begins, and whether anything was said after it.
//!
//! In: records of SSL 3.0 to TLS 1.3 (RFC 8446 section 5.1), cut anywhere. Out: a `tls` observation at the client's
//! hello with everything that is looked up, one when the server has said its hello and (up to TLS 1.2) its certificates,
//! one at a client's certificates, and the stage of the contact. Gathered here, bounded: a message that is spread over
//! records, and a server's hello until its certificates come. Never here: a key, trust in a certificate.

use super::tls_hello::{
    CERTIFICATE, CLIENT_HELLO, CLIENT_KEY_EXCHANGE, ClientHello, MESSAGE_HEADER_BYTES, SERVER_HELLO, SESSION_TICKET,
    ServerHello, TLS_1_3, message_len,
};
use super::tls_say::{self, Answered, Asked, Chain, TLS};
use super::{Read, Stream, Verdict, Wants};
use crate::limits::{
    TLS_CERTIFICATES_BYTES_MAX, TLS_CIPHERTEXT_BYTES_MAX, TLS_HELLO_BYTES_MAX, TLS_SEEKS_MAX, TLS_SNI_BYTES_MAX,
};
use crate::observable::{Observations, Side, Stage};

const RECORD_HEADER_BYTES: usize = 5;
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

/// Whether the place in the stream of records is known.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// Not yet, or not any more: the next bytes that look like a record are one.
    #[default]
    Sought,
    Known,
    /// It was sought in vain.
    Lost,
}

/// What one side is in the middle of.
#[derive(Default)]
struct Half {
    place: Place,
    /// How often its place was sought in vain.
    seeks: u8,
    /// Bytes of a record without interest that are still to come.
    skip: usize,
    /// The beginning of a handshake message that goes on in another record.
    message: Vec<u8>,
    /// Bytes of a handshake message without interest that are still to come.
    passing: usize,
    /// Records of application data.
    data: u32,
    /// It has said all that can be read of its handshake.
    spoken: bool,
}

/// One connection.
#[derive(Default)]
pub struct Conversation {
    halves: [Half; 2],
    /// What the server chose.
    version: Option<u16>,
    /// The body of the server's hello, until it is said.
    greeting: Vec<u8>,
    asked: Asked,
    /// The client has said a hello.
    greeted: bool,
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
        match self.halves[side.index()].find(rest) {
            Place::Known => {}
            Place::Sought => return Read::Took(0),
            Place::Lost => return Read::Took(bytes.len()),
        }
        while !rest.is_empty() {
            out.heed();
            let left = rest.len();
            rest = match self.record(side, rest, wants, out) {
                Step::Behind(rest) => rest,
                Step::More => return Read::Took(bytes.len() - left),
                Step::Done => return Read::Done,
                Step::Lost => {
                    self.flush(false, out);
                    return Read::Lost;
                }
            };
        }
        Read::Took(bytes.len())
    }

    fn gap(&mut self, side: Side, len: u64, wants: Wants, out: &mut Observations) -> Read {
        let half = &mut self.halves[side.index()];
        match usize::try_from(len) {
            Ok(len) if 0 < len && len <= half.skip => half.skip -= len,
            _ => {
                (half.skip, half.passing) = (0, 0);
                half.place = if half.seeks < TLS_SEEKS_MAX { Place::Sought } else { Place::Lost };
                self.cut_off(side, wants, out);
            }
        }
        if self.halves.iter().all(|half| half.place == Place::Lost) { Read::Lost } else { Read::Took(0) }
    }

    fn end(&mut self, side: Side, wants: Wants, out: &mut Observations) {
        self.cut_off(side, wants, out);
    }

    fn clear(&mut self) {
        let mut sni = std::mem::take(&mut self.asked.sni);
        sni.clear();
        *self = Conversation { asked: Asked { sni, ..Asked::default() }, ..Default::default() };
    }
}

enum Step<'a> {
    Behind(&'a [u8]),
    More,
    Done,
    Lost,
}

impl Half {
    /// Looks for the beginning of a record where the place is not known. [`Place::Sought`]: it takes more bytes to say;
    /// [`Place::Lost`]: it is not here.
    fn find(&mut self, bytes: &[u8]) -> Place {
        if self.place != Place::Sought {
            return self.place;
        }
        let is = |at: usize, is: fn(u8) -> bool| bytes.get(at).copied().is_none_or(is);
        let like = is(0, |b| (CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&b))
            && is(1, |b| b == 3)
            && is(2, |b| b <= 4)
            && is(3, |b| usize::from(b) << 8 <= TLS_CIPHERTEXT_BYTES_MAX);
        if !like {
            self.seeks += 1;
            if self.seeks >= TLS_SEEKS_MAX {
                self.place = Place::Lost;
            }
            return Place::Lost;
        }
        if bytes.len() >= RECORD_HEADER_BYTES {
            self.place = Place::Known;
        }
        self.place
    }

    /// Gathers what `bytes` has of the message that goes on; gives what is behind it.
    fn gather<'a>(&mut self, side: Side, bytes: &'a [u8]) -> &'a [u8] {
        let whole = message_len(&self.message);
        let len = whole.map_or(MESSAGE_HEADER_BYTES, |len| len.min(room(side, &self.message)));
        let (more, rest) = bytes.split_at(len.saturating_sub(self.message.len()).min(bytes.len()));
        self.message.extend_from_slice(more);
        rest
    }
}

/// Bytes of the message that begins here which are kept: none but its header if nothing in it is read.
fn room(side: Side, message: &[u8]) -> usize {
    match (side, message.first()) {
        (Side::Client, Some(&CLIENT_HELLO)) | (Side::Server, Some(&SERVER_HELLO)) => TLS_HELLO_BYTES_MAX,
        (_, Some(&CERTIFICATE)) => TLS_CERTIFICATES_BYTES_MAX,
        _ => MESSAGE_HEADER_BYTES,
    }
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
        if !(CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind) || major != 3 || length > TLS_CIPHERTEXT_BYTES_MAX {
            return Step::Lost;
        }
        if kind == HANDSHAKE && !half.spoken {
            let Some((body, rest)) = body.split_at_checked(length) else { return Step::More };
            self.handshake(side, body, wants, out);
            return Step::Behind(rest);
        }
        match kind {
            CHANGE_CIPHER_SPEC => self.ciphers_changed(side, out),
            APPLICATION_DATA if self.data(side, out) => return Step::Done,
            _ => {}
        }
        self.halves[side.index()].skip = length;
        Step::Behind(body)
    }

    /// Reads the messages of a handshake record (RFC 8446 section 5.1: they may share a record or spread over several).
    fn handshake(&mut self, side: Side, body: &[u8], wants: Wants, out: &mut Observations) {
        let mut rest = body;
        while !rest.is_empty() && !self.halves[side.index()].spoken {
            out.heed();
            let half = &mut self.halves[side.index()];
            if half.passing > 0 {
                let passed = half.passing.min(rest.len());
                half.passing -= passed;
                rest = rest.get(passed..).unwrap_or_default();
                continue;
            }
            let whole =
                message_len(rest).and_then(|len| rest.split_at_checked(len)).filter(|_| half.message.is_empty());
            if let Some((message, behind)) = whole {
                rest = behind;
                self.message(side, message, true, wants, out);
                continue;
            }
            rest = half.gather(side, rest);
            let Some(len) = message_len(&half.message) else { continue };
            if half.message.len() >= len.min(room(side, &half.message)) {
                half.passing = len - half.message.len();
                let is_whole = half.passing == 0;
                let message = std::mem::take(&mut half.message);
                self.message(side, &message, is_whole, wants, out);
            }
        }
    }

    /// One message; of one in which nothing is read, its header may be all.
    fn message(&mut self, side: Side, message: &[u8], whole: bool, wants: Wants, out: &mut Observations) {
        let body = message.get(MESSAGE_HEADER_BYTES..).unwrap_or_default();
        match (side, message.first()) {
            (Side::Client, Some(&CLIENT_HELLO)) => {
                if let Some(hello) = ClientHello::of(body).filter(|_| whole) {
                    self.asked(&hello, wants, out);
                }
            }
            (Side::Server, Some(&SERVER_HELLO)) => {
                if let Some(hello) = ServerHello::of(body).filter(|_| whole) {
                    self.answered(&hello, body, wants, out);
                }
            }
            (_, Some(&CERTIFICATE)) => self.certificates(side, Chain { body, whole }, wants, out),
            (Side::Client, Some(&CLIENT_KEY_EXCHANGE)) => self.halves[side.index()].spoken = true,
            (Side::Client, _) | (Side::Server, Some(&SESSION_TICKET)) => {}
            // a server that goes on without a certificate has none to show (RFC 5246 section 7.4.2)
            (Side::Server, _) => {
                self.flush(false, out);
                self.halves[side.index()].spoken = true;
            }
        }
    }

    fn asked(&mut self, hello: &ClientHello<'_>, wants: Wants, out: &mut Observations) {
        let (ja3, ja4) = tls_say::client_hello(hello, wants, out);
        if !std::mem::replace(&mut self.greeted, true) && hello.sni.is_none() {
            out.hidden.names += 1;
        }
        self.asked.sni.clear();
        if wants.events {
            let sni = hello.sni.unwrap_or_default();
            self.asked.sni.extend_from_slice(&sni[..sni.len().min(TLS_SNI_BYTES_MAX)]);
            (self.asked.ja3, self.asked.ja4) = (Some(ja3), ja4);
        }
    }

    /// A server's hello. Up to TLS 1.2 its certificates come next in clear text, and one line says both.
    fn answered(&mut self, hello: &ServerHello<'_>, body: &[u8], wants: Wants, out: &mut Observations) {
        self.flush(false, out);
        self.version = Some(hello.version);
        let encrypts = hello.version >= TLS_1_3;
        if encrypts && !hello.retries {
            out.hidden.certificates += 1;
        }
        if !encrypts && wants.certificates {
            self.greeting.extend_from_slice(body);
            return;
        }
        self.halves[Side::Server.index()].spoken = !hello.retries;
        tls_say::server_hello(&Answered { hello, chain: None, resumed: false }, &self.asked, out);
    }

    fn certificates(&mut self, side: Side, chain: Chain<'_>, wants: Wants, out: &mut Observations) {
        self.halves[side.index()].spoken = true;
        if !wants.certificates {
            return;
        }
        let greeting = std::mem::take(&mut self.greeting);
        match ServerHello::of(&greeting) {
            Some(hello) if side == Side::Server => {
                let answered = Answered { hello: &hello, chain: Some(chain), resumed: false };
                tls_say::server_hello(&answered, &self.asked, out);
            }
            _ => {
                self.greeting = greeting;
                tls_say::chain(side, chain, &self.asked, out);
            }
        }
    }

    /// Says the server's hello, if that still waits for certificates.
    fn flush(&mut self, resumed: bool, out: &mut Observations) {
        let greeting = std::mem::take(&mut self.greeting);
        if let Some(hello) = ServerHello::of(&greeting) {
            tls_say::server_hello(&Answered { hello: &hello, chain: None, resumed }, &self.asked, out);
        }
    }

    /// One side is interrupted or ends: what was gathered of its certificates is read.
    fn cut_off(&mut self, side: Side, wants: Wants, out: &mut Observations) {
        let message = std::mem::take(&mut self.halves[side.index()].message);
        if message.first() == Some(&CERTIFICATE) {
            let body = message.get(MESSAGE_HEADER_BYTES..).unwrap_or_default();
            self.certificates(side, Chain { body, whole: false }, wants, out);
        }
        if side == Side::Server {
            self.flush(false, out);
        }
    }

    /// From here on a side is encrypted, up to TLS 1.2; in TLS 1.3 it means nothing (RFC 8446 section 5). A server that
    /// comes to it without a certificate resumes a session (RFC 5246 section 7.3).
    fn ciphers_changed(&mut self, side: Side, out: &mut Observations) {
        if side == Side::Server {
            self.flush(true, out);
        }
        self.halves[side.index()].spoken |= self.version.is_some_and(|version| version < TLS_1_3);
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
            self.flush(false, out);
            out.begin(&TLS, side).stage(Stage::Data);
        }
        flows
    }
}

#[cfg(test)]
pub(super) use tests::client_record as seed;

#[cfg(test)]
mod tests {
    use super::super::certificate::crafted as certificate;
    use super::super::tls_hello::crafted::{chain, extension, handshake, hello, long, numbers, record};
    use super::super::tls_hello::{ALPN, EC_POINT_FORMATS, RETRY, SERVER_NAME, SUPPORTED_GROUPS, SUPPORTED_VERSIONS};
    use super::super::told::{self, Part, client, server};
    use super::*;
    use proptest::prelude::*;

    fn client_hello() -> Vec<u8> {
        let mut extensions = extension(0x2a2a, b"");
        extensions.extend(extension(SERVER_NAME, &long(&[&[0][..], &long(b"c2.example.kr")].concat())));
        extensions.extend(extension(SUPPORTED_GROUPS, &long(&numbers(&[0x6a6a, 29, 23]))));
        extensions.extend(extension(EC_POINT_FORMATS, &[1, 0]));
        extensions.extend(extension(ALPN, &long(b"\x02h2\x08http/1.1")));
        handshake(CLIENT_HELLO, &hello(0x0303, &[0x5a5a, 0x1301, 0xc02f], &extensions))
    }

    /// A client's hello in its record.
    pub(in crate::protocol) fn client_record() -> Vec<u8> {
        record(HANDSHAKE, &client_hello())
    }

    fn server_hello(random: [u8; 32], extensions: &[u8]) -> Vec<u8> {
        let body = [&[3, 3][..], &random, &[0], &[0x13, 0x01], &[0], &long(extensions)].concat();
        handshake(SERVER_HELLO, &body)
    }

    const SAID: &str = "tls client - tls.sni=c2.example.kr tls.client_alpns=h2 tls.client_alpns=http/1.1 \
                        tls.ja3.hash=314abbbcca48548317336aed70894d82 tls.ja3.string=771,4865-49199,0-10-11-16,29-23,0 \
                        tls.ja4=t12d0204h2_c1929292aa6b_33a13ba74d1c";

    fn tls13() -> Vec<Part> {
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
        parts.splice(3..3, [server(&long[..100]), Part::Gap(Side::Server, 800), server(&long[900..])]);
        assert_eq!(told::of::<Conversation>(&parts).len(), 3);
    }

    #[test]
    fn behind_a_gap_the_next_record_is_found() {
        let mut parts = tls13();
        parts.insert(1, Part::Gap(Side::Server, 5));
        parts.insert(2, server("none of it"));
        assert_eq!(told::of::<Conversation>(&parts).len(), 3);
        parts.splice(2..3, (0..TLS_SEEKS_MAX).map(|_| server("none of it")));
        assert_eq!(told::of::<Conversation>(&parts), [SAID, "tls client data"]);
    }

    #[test]
    fn what_a_server_says_before_the_first_record_is_passed_over() {
        let mut parts = tls13();
        parts.insert(1, server("220 go ahead\r\n"));
        assert_eq!(told::of::<Conversation>(&parts).len(), 3);
    }

    /// TLS 1.2 with certificates of both sides; the server's message is spread over records.
    fn tls12(certificates: &[u8]) -> Vec<Part> {
        let certificates = handshake(CERTIFICATE, certificates);
        let (first, second) = certificates.split_at(certificates.len().min(200));
        let greeting = [&server_hello([9; 32], b"")[..], first].concat();
        let rest = [second, &handshake(12, &[1; 90]), &handshake(14, b"")].concat();
        let own = [handshake(CERTIFICATE, &chain(&[certificate()])), handshake(CLIENT_KEY_EXCHANGE, &[0; 66])].concat();
        vec![
            client(record(HANDSHAKE, &client_hello())),
            server([record(HANDSHAKE, &greeting), record(HANDSHAKE, &rest)].concat()),
            client([record(HANDSHAKE, &own), record(20, &[1]), record(HANDSHAKE, &[1; 40])].concat()),
            server([record(20, &[1]), record(HANDSHAKE, &[11; 40])].concat()),
            client(record(APPLICATION_DATA, &[0; 30])),
        ]
    }

    fn value<'a>(line: &'a str, field: &str) -> Option<&'a str> {
        let from = line.find(&format!(" {field}="))? + field.len() + 2;
        line[from..].split(' ').next()
    }

    #[test]
    fn certificates_stand_in_their_senders_lines() {
        let (lines, last) = told::conversation::<Conversation>(&tls12(&chain(&[certificate(), b"ca"])), &[], told::ALL);
        assert_eq!((lines.len(), last), (4, Read::Done));
        let line = &lines[1];
        assert!(
            line.starts_with("tls server handshake tls.sni=c2.example.kr tls.version=TLS 1.2 tls.ja3.hash=3"),
            "{line}"
        );
        assert_eq!(value(line, "tls.serial"), Some("00:9A:01:FF"));
        assert_eq!(value(line, "tls.notafter"), Some("2051-01-02T00:00:00"));
        assert_eq!(value(line, "tls.subjectaltname"), Some("c2.example.kr"));
        assert_eq!(value(line, "tls.fingerprint").map(str::len), Some(59));
        assert_eq!(value(line, "tls.fingerprint_sha256").map(str::len), Some(95));
        // echo -n ca | sha1sum
        let ca = "57:39:4d:a2:05:a2:4e:4e:21:c2:2a:b3:97:52:e4:88:e5:00:a6:d0";
        assert_eq!(value(line, "tls.chain_fingerprints").map(str::len), Some(ca.len()));
        assert!(lines[2].starts_with("tls client - ") && lines[2].contains(" tls.client.serial=00:9A:01:FF "));
        assert_eq!(lines[3], "tls client data");
    }

    #[test]
    fn a_damaged_certificate_keeps_its_digest_and_is_counted() {
        let (mut state, mut out) = (Conversation::default(), Observations::default());
        for part in tls12(&chain(&[&certificate()[..300]])) {
            if let Part::Bytes(side, bytes) = part {
                state.read(side, &bytes, told::ALL, &mut out);
            }
        }
        let lines = told::lines(&out);
        assert_eq!((value(&lines[1], "tls.subject"), value(&lines[1], "tls.serial")), (None, None));
        assert!(value(&lines[1], "tls.fingerprint").is_some());
        assert_eq!((out.hidden.certificates_damaged, out.hidden.certificates, out.hidden.names), (1, 0, 0));
    }

    #[test]
    fn a_server_that_resumes_shows_no_certificate() {
        let greeting = [server_hello([9; 32], b""), handshake(SESSION_TICKET, &[0; 30])].concat();
        let parts = [server([record(HANDSHAKE, &greeting), record(20, &[1]), record(HANDSHAKE, &[3; 40])].concat())];
        let lines = told::of::<Conversation>(&parts);
        assert!(
            lines[0].starts_with("tls server handshake tls.version=TLS 1.2 tls.session_resumed=1 "),
            "{}",
            lines[0]
        );
        let anonymous = [server_hello([9; 32], b""), handshake(12, &[1; 90])].concat();
        let lines = told::of::<Conversation>(&[server(record(HANDSHAKE, &anonymous))]);
        assert!(lines.len() == 1 && !lines[0].contains("resumed"), "{lines:?}");
    }

    #[test]
    fn an_interrupted_server_is_said_with_what_was_seen_of_it() {
        let full = chain(&[certificate(), &[7; 400]]);
        let mut message = [server_hello([9; 32], b""), handshake(CERTIFICATE, &full)].concat();
        message.truncate(message.len() - 10);
        for parts in [
            vec![server(record(HANDSHAKE, &message))],
            vec![server(record(HANDSHAKE, &message)), Part::Gap(Side::Server, 3000)],
        ] {
            let lines = told::of::<Conversation>(&parts);
            assert_eq!(lines.len(), 1);
            assert!(value(&lines[0], "tls.fingerprint").is_some() && !lines[0].contains("chain"), "{}", lines[0]);
        }
        let lines = told::of::<Conversation>(&[server(record(HANDSHAKE, &server_hello([9; 32], b"")))]);
        assert!(lines.len() == 1 && lines[0].contains("tls.version=TLS 1.2"), "{lines:?}");
    }

    #[test]
    fn of_a_chain_without_end_the_leaf_is_read() {
        let long = [5; 40_000];
        let body = chain(&[certificate(), &long, &long, &long]);
        let message = handshake(CERTIFICATE, &body);
        let mut sent = record(HANDSHAKE, &server_hello([9; 32], b""));
        message.chunks(16_000).for_each(|part| sent.extend(record(HANDSHAKE, part)));
        sent.extend(record(HANDSHAKE, &handshake(14, b"")));
        let lines = told::of::<Conversation>(&[server(sent)]);
        assert_eq!(lines.len(), 1);
        assert!(value(&lines[0], "tls.serial").is_some() && lines[0].contains("tls.chain_fingerprints="));
    }

    #[test]
    fn what_tls_hides_is_counted_once_for_a_connection() {
        let nameless = record(HANDSHAKE, &handshake(CLIENT_HELLO, &hello(0x0303, &[1], b"")));
        let chosen = extension(SUPPORTED_VERSIONS, &[3, 4]);
        let retry = record(HANDSHAKE, &server_hello(RETRY, &chosen));
        let (mut state, mut out) = (Conversation::default(), Observations::default());
        state.read(Side::Client, &nameless, told::ALL, &mut out);
        state.read(Side::Server, &retry, told::ALL, &mut out);
        state.read(Side::Client, &nameless, told::ALL, &mut out);
        state.read(Side::Server, &record(HANDSHAKE, &server_hello([9; 32], &chosen)), told::ALL, &mut out);
        assert_eq!((out.hidden.names, out.hidden.certificates, out.list().len()), (1, 1, 4));
    }

    #[test]
    fn where_nobody_asks_for_certificates_the_server_is_said_at_once() {
        let wants = Wants::default();
        let (lines, _) = told::conversation::<Conversation>(&tls12(&chain(&[certificate()])), &[], wants);
        assert_eq!(lines.len(), 3);
        assert!(!lines[0].contains("ja4") && !lines[1].contains("fingerprint"), "{lines:?}");
    }

    #[test]
    fn a_handshake_cut_at_any_byte_gives_the_same_lines() {
        for parts in [tls13(), tls12(&chain(&[certificate(), b"ca"]))] {
            let whole = told::conversation::<Conversation>(&parts, &[], told::ALL);
            for (at, part) in parts.iter().enumerate() {
                let Part::Bytes(side, bytes) = part else { continue };
                for cut in 1..bytes.len() {
                    let mut cut_parts = parts.clone();
                    let halves = [&bytes[..cut], &bytes[cut..]].map(|half| Part::Bytes(*side, half.to_vec()));
                    cut_parts.splice(at..=at, halves);
                    assert_eq!(told::conversation::<Conversation>(&cut_parts, &[], told::ALL), whole, "{at} {cut}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_stream_is_survived(parts in told::any_parts(seed())) {
            told::conversation::<Conversation>(&parts, &[13, 1], told::ALL);
        }

        #[test]
        fn cutting_a_stream_changes_nothing(cuts in proptest::collection::vec(1..200usize, 1..8)) {
            for parts in [tls13(), tls12(&chain(&[certificate(), b"ca"]))] {
                prop_assert_eq!(
                    told::conversation::<Conversation>(&parts, &cuts, told::ALL),
                    told::conversation::<Conversation>(&parts, &[], told::ALL)
                );
            }
        }
    }

    fn seed() -> &'static [u8] {
        static SEED: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let parts = || tls12(&chain(&[certificate()])).into_iter().take(2);
        SEED.get_or_init(|| {
            parts().flat_map(|part| if let Part::Bytes(_, bytes) = part { bytes } else { vec![] }).collect()
        })
    }
}
