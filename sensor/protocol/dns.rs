//! DNS over datagrams and over streams (RFC 1035, framing of 4.2.2).
//!
//! In: whole messages, or a stream of them behind two length bytes. Out: one `dns` observation per message: its header,
//! its questions and, of a response, its answer section. What was read before a damaged record is said all the same.
//! Never here: a resolver's memory; who asked what and when is for those who come after.

use super::dns_message::{
    A, AAAA, CNAME, DNAME, HEADER_BYTES, Header, MX, Message, NS, Name, PTR, RCODES, Record, TXT, decimal, hexadecimal,
    type_text,
};
use super::{Datagram, Read, Stream, Verdict, Wants};
use crate::limits::{DNS_QUESTIONS_MAX, DNS_RECORDS_MAX};
use crate::observable::{Event, Field, Form, Observations, Saying, Side, Stage, address, domain};

static DNS: Event = Event { name: "dns", app_proto: None };

static VERSION: Field = Field::plain("dns.version", Form::Number);
static TYPE: Field = Field::plain("dns.type", Form::Text);
static ID: Field = Field::plain("dns.id", Form::Number);
static FLAGS: Field = Field::plain("dns.flags", Form::Text);
static QR: Field = Field::plain("dns.qr", Form::Flag);
static AA: Field = Field::plain("dns.aa", Form::Flag);
static TC: Field = Field::plain("dns.tc", Form::Flag);
static RD: Field = Field::plain("dns.rd", Form::Flag);
static RA: Field = Field::plain("dns.ra", Form::Flag);
static OPCODE: Field = Field::plain("dns.opcode", Form::Number);
static RCODE: Field = Field::plain("dns.rcode", Form::Text);
static RRNAME: Field = Field::sought("dns.rrname", &domain::KINDS).at("dns.queries[].rrname").opening();
static ROOT: Field = Field::plain("dns.rrname", Form::Text).at("dns.queries[].rrname").opening();
static RRTYPE: Field = Field::plain("dns.rrtype", Form::Text).at("dns.queries[].rrtype");
static ANSWER_RRNAME: Field = Field::plain("dns.answers.rrname", Form::Text).at("dns.answers[].rrname").opening();
static ANSWER_RRTYPE: Field = Field::plain("dns.answers.rrtype", Form::Text).at("dns.answers[].rrtype");
static ANSWER_TTL: Field = Field::plain("dns.answers.ttl", Form::Number).at("dns.answers[].ttl");
static RDATA_ADDRESS: Field = Field::sought("dns.answers.rdata", &address::KINDS).at("dns.answers[].rdata").address();
static RDATA_ADDRESS_UNSOUGHT: Field = Field::plain("dns.answers.rdata", Form::Address).at("dns.answers[].rdata");
static RDATA_NAME: Field = Field::sought("dns.answers.rdata", &domain::KINDS).at("dns.answers[].rdata");
static RDATA_TEXT: Field = Field::plain("dns.answers.rdata", Form::Text).at("dns.answers[].rdata");

const PORT: u16 = 53;
/// NetBIOS, multicast DNS and LLMNR look alike, but they are protocols of their own with truths of their own.
const OTHER_PROTOCOLS: [u16; 3] = [137, 5353, 5355];

/// DNS over UDP.
pub static DATAGRAM: Datagram =
    Datagram { name: "dns", bytes_min: HEADER_BYTES, recognise: recognise_message, read: read_datagram };

fn recognise_message(bytes: &[u8], ports: (u16, u16)) -> Verdict {
    let Some(header) = Header::of(bytes) else { return Verdict::Other };
    let mine = match manner(ports) {
        Manner::Never => false,
        Manner::Lenient => header.is_sane(),
        Manner::Strict => header.is_plain() && is_whole(bytes, &header),
    };
    if mine { header.speaker() } else { Verdict::Other }
}

fn read_datagram(bytes: &[u8], side: Side, wants: Wants, out: &mut Observations) -> Read {
    match read_message(bytes, side, wants, out) {
        Some(()) => Read::Took(bytes.len()),
        None => Read::Lost,
    }
}

/// DNS over TCP. Nothing is remembered: every message speaks for itself.
#[derive(Default)]
pub struct Conversation;

impl Stream for Conversation {
    const NAME: &'static str = "dns";

    fn recognise(bytes: &[u8], ports: (u16, u16)) -> Verdict {
        // Over TCP nothing else looks like it, whatever the port.
        let is_lenient = manner(ports) == Manner::Lenient;
        let Some((length, rest)) = framed(bytes) else { return Verdict::Later };
        if length < HEADER_BYTES {
            return Verdict::Other;
        }
        let Some(header) = Header::of(rest) else {
            return if is_lenient || begins_plain(rest) { Verdict::Later } else { Verdict::Other };
        };
        match rest.get(..length) {
            _ if is_lenient => {
                if header.is_sane() {
                    header.speaker()
                } else {
                    Verdict::Other
                }
            }
            None if header.is_plain() => Verdict::Later,
            Some(message) if header.is_plain() && is_whole(message, &header) => header.speaker(),
            _ => Verdict::Other,
        }
    }

    fn read(&mut self, side: Side, bytes: &[u8], wants: Wants, out: &mut Observations) -> Read {
        let mut rest = bytes;
        while let Some((length, behind)) = framed(rest) {
            out.heed();
            let Some((message, behind)) = behind.split_at_checked(length) else { break };
            // A damaged message leaves the framing intact; only a header that makes no sense ends the reading.
            if !Header::of(message).is_some_and(|header| header.is_sane()) {
                return Read::Lost;
            }
            let _ = read_message(message, side, wants, out);
            rest = behind;
        }
        Read::Took(bytes.len() - rest.len())
    }
}

fn framed(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    Some((usize::from(u16::from_be_bytes(*length)), rest))
}

/// Whether a header cut short may still be one of a standard query or its answer, with one question.
fn begins_plain(bytes: &[u8]) -> bool {
    let may = |at: usize, is: fn(u8) -> bool| bytes.get(at).copied().is_none_or(is);
    may(2, |high| high & 0x78 == 0)
        && may(3, |low| low & 0x40 == 0)
        && may(4, |high| high == 0)
        && may(5, |low| low == 1)
}

/// How much a message must show before it is taken for DNS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Never,
    Lenient,
    Strict,
}

fn manner(ports: (u16, u16)) -> Manner {
    if ports.0 == PORT || ports.1 == PORT {
        Manner::Lenient
    } else if OTHER_PROTOCOLS.contains(&ports.0) || OTHER_PROTOCOLS.contains(&ports.1) {
        Manner::Never
    } else {
        Manner::Strict
    }
}

/// Says one message; `None` if not even its first question could be read.
fn read_message(bytes: &[u8], side: Side, wants: Wants, out: &mut Observations) -> Option<()> {
    let header = Header::of(bytes)?;
    let mut message = Message::new(bytes);
    let mut name = Name::new();
    let first = match header.questions {
        0 => None,
        _ => Some(message.question(&mut name)?),
    };
    let saying = &mut out.begin(&DNS, side);
    say_header(saying, &header);
    if let Some(rrtype) = first {
        say_question(saying, &name, rrtype);
        for _ in 1..header.questions.min(DNS_QUESTIONS_MAX as u16) {
            match message.question(&mut name) {
                Some(rrtype) => say_question(saying, &name, rrtype),
                None if message.skip_question().is_some() => {}
                None => return Some(()),
            }
        }
    }
    if header.is_response() && usize::from(header.questions) <= DNS_QUESTIONS_MAX {
        say_answers(saying, &mut message, &header, wants, &mut name);
    }
    Some(())
}

fn say_header(saying: &mut Saying<'_>, header: &Header) {
    let response = header.is_response();
    let mut hex = [0; 4];
    saying.number(&VERSION, 3);
    saying.field(&TYPE, if response { b"response" } else { b"request" });
    saying.number(&ID, u64::from(header.id)).field(&FLAGS, hexadecimal(header.flags, &mut hex));
    for (bit, field) in [(0x8000, &QR), (0x0400, &AA), (0x0200, &TC), (0x0100, &RD), (0x0080, &RA)] {
        if header.flags & bit != 0 {
            saying.flag(field, true);
        }
    }
    saying.number(&OPCODE, u64::from(header.opcode()));
    if response {
        let mut digits = [0; 5];
        let rcode = RCODES
            .get(usize::from(header.rcode()))
            .map_or_else(|| decimal(header.rcode(), &mut digits), |name| name.as_bytes());
        saying.field(&RCODE, rcode);
    }
    saying.stage(match (response, header.rcode()) {
        (false, _) => Stage::Asked,
        (true, 3) => Stage::Nxdomain,
        (true, _) => Stage::Answered,
    });
}

fn say_question(saying: &mut Saying<'_>, name: &Name, rrtype: u16) {
    let field = if name.len == 0 { &ROOT } else { &RRNAME };
    saying.field(field, name.bytes()).field(&RRTYPE, type_text(rrtype, &mut [0; 9]));
}

fn say_answers(saying: &mut Saying<'_>, message: &mut Message<'_>, header: &Header, wants: Wants, name: &mut Name) {
    for _ in 0..usize::from(header.answers).min(DNS_RECORDS_MAX) {
        // A name that no reader can make sense of does not hide the record behind it.
        if message.name(name).is_none() {
            name.len = 0;
            if message.skip_name().is_none() {
                return;
            }
        }
        let Some(record) = message.record() else { return };
        saying.field(&ANSWER_RRNAME, name.bytes());
        saying.field(&ANSWER_RRTYPE, type_text(record.rrtype, &mut [0; 9]));
        saying.number(&ANSWER_TTL, u64::from(record.ttl));
        say_rdata(saying, message, &record, wants, name);
    }
}

fn say_rdata(saying: &mut Saying<'_>, message: &mut Message<'_>, record: &Record, wants: Wants, name: &mut Name) {
    let Some(rdata) = message.bytes.get(record.start..record.end) else { return };
    match record.rrtype {
        A | AAAA => {
            saying.address(if wants.answers { &RDATA_ADDRESS } else { &RDATA_ADDRESS_UNSOUGHT }, rdata);
        }
        NS | CNAME | PTR | DNAME | MX => {
            let preference = if record.rrtype == MX { 2 } else { 0 };
            let mut inside = Message { bytes: message.bytes, at: record.start + preference, budget: message.budget };
            // A name that runs out of its record was not written by a name server.
            if inside.name(name).is_some() && inside.at <= record.end {
                saying.field(if name.len == 0 { &RDATA_TEXT } else { &RDATA_NAME }, name.bytes());
            }
            message.budget = inside.budget;
        }
        TXT => {
            if let Some((&length, strings)) = rdata.split_first() {
                saying.field(&RDATA_TEXT, strings.get(..usize::from(length)).unwrap_or(strings));
            }
        }
        _ => {}
    }
}

/// Whether everything up to the last byte reads as one message that somebody meant: a readable name, known class.
fn is_whole(bytes: &[u8], header: &Header) -> bool {
    let mut message = Message::new(bytes);
    let mut name = Name::new();
    let rrtype = message.question(&mut name);
    let class = message.at.checked_sub(2).and_then(|at| message.u16_at(at));
    let readable = name.len > 0 && name.bytes().iter().all(u8::is_ascii_graphic);
    if !readable || !matches!(rrtype, Some(1..=300)) || !matches!(class, Some(1 | 3 | 4 | 255)) {
        return false;
    }
    let records = usize::from(header.answers) + usize::from(header.authorities) + usize::from(header.additionals);
    records <= DNS_RECORDS_MAX
        && (0..records).all(|_| message.skip_name().is_some() && message.record().is_some())
        && message.at == bytes.len()
}

#[cfg(test)]
mod tests {
    use super::super::told;
    use super::*;
    use proptest::prelude::*;

    /// A header of `flags` and counts, then `body`.
    fn message(flags: u16, counts: [u16; 4], body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34];
        bytes.extend(flags.to_be_bytes());
        bytes.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
        bytes.extend(body);
        bytes
    }

    fn asked() -> Vec<u8> {
        message(0x0100, [1, 0, 0, 0], b"\x03www\x07example\x02kr\0\0\x01\0\x01")
    }

    fn answered() -> Vec<u8> {
        let mut body = b"\x03www\x07example\x02kr\0\0\x01\0\x01".to_vec();
        body.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x06\x03cdn\xc0\x10");
        body.extend(b"\xc0\x2c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x07");
        body.extend(b"\xc0\x0c\0\x0f\0\x01\0\0\0\x3c\0\x04\0\x0a\xc0\x2c");
        body.extend(b"\xc0\x0c\0\x10\0\x01\0\0\0\x3c\0\x03\x02hi");
        message(0x8180, [1, 4, 0, 0], &body)
    }

    fn said(bytes: &[u8]) -> Vec<String> {
        let mut out = Observations::default();
        read_datagram(bytes, Side::Client, told::ALL, &mut out);
        told::lines(&out)
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u16).to_be_bytes()[..], message].concat()
    }

    #[test]
    fn a_question_is_said_with_its_header() {
        let expected = "dns client asked dns.version=3 dns.type=request dns.id=4660 dns.flags=100 dns.rd=1 \
                        dns.opcode=0 dns.rrname=www.example.kr dns.rrtype=A";
        assert_eq!(said(&asked()), [expected]);
    }

    #[test]
    fn an_answer_is_said_with_its_names_and_addresses() {
        let line = &said(&answered())[0];
        for part in [
            "answered dns.version=3 dns.type=response",
            "dns.flags=8180 dns.qr=1 dns.rd=1 dns.ra=1 dns.opcode=0 dns.rcode=NOERROR",
            "dns.answers.rrtype=CNAME dns.answers.ttl=60 dns.answers.rdata=cdn.example.kr",
            "dns.answers.rrname=cdn.example.kr dns.answers.rrtype=A dns.answers.ttl=60 dns.answers.rdata=192.0.2.7",
            "dns.answers.rrtype=MX dns.answers.ttl=60 dns.answers.rdata=cdn.example.kr",
            "dns.answers.rrtype=TXT dns.answers.ttl=60 dns.answers.rdata=hi",
        ] {
            assert!(line.contains(part), "{part}\n{line}");
        }
    }

    #[test]
    fn a_name_that_does_not_exist_says_so() {
        let line = &said(&message(0x8183, [1, 0, 0, 0], b"\x01a\0\0\x1c\0\x01"))[0];
        assert!(line.starts_with("dns client nxdomain") && line.contains("dns.rcode=NXDOMAIN"), "{line}");
    }

    #[test]
    fn what_was_read_before_the_damage_is_said() {
        for cut in asked().len()..answered().len() {
            let line = &said(&answered()[..cut])[0];
            assert!(line.contains("dns.rrname=www.example.kr dns.rrtype=A"), "{line}");
        }
    }

    #[test]
    fn a_pointer_that_runs_in_circles_ends() {
        assert_eq!(said(&message(0x0100, [1, 0, 0, 0], b"\xc0\x0c\0\x01\0\x01")), [""; 0]);
        assert_eq!(said(&message(0x0100, [1, 0, 0, 0], b"\x01a\xc0\x0c\0\x01\0\x01")), [""; 0]);
    }

    #[test]
    fn a_name_that_cannot_be_read_does_not_hide_the_record_behind_it() {
        let body = b"\x01a\0\0\x01\0\x01\xc0\xff\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04";
        assert!(said(&message(0x8180, [1, 1, 0, 0], body))[0].ends_with("dns.answers.rdata=1.2.3.4"));
    }

    #[test]
    fn names_that_unfold_without_end_stop_at_the_budget() {
        let mut body = vec![63; 64 * 3];
        body.extend(b"\0\0\x01\0\x01");
        body.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\0\0\x02\xc0\x0c".repeat(4_000));
        let line = &said(&message(0x8180, [1, 4_000, 0, 0], &body))[0];
        assert!(line.matches("rdata=").count() < 400);
    }

    #[test]
    fn types_and_rcodes_without_a_name_are_numbers() {
        assert!(said(&message(0x810f, [1, 0, 0, 0], b"\x01a\0\xff\xff\0\x01"))[0].contains("rcode=15"));
        assert!(said(&message(0x0100, [1, 0, 0, 0], b"\x01a\0\xff\xff\0\x01"))[0].ends_with("rrtype=TYPE65535"));
        assert!(said(&message(0x0100, [1, 0, 0, 0], b"\0\0\x02\0\x01"))[0].ends_with("dns.rrname= dns.rrtype=NS"));
    }

    #[test]
    fn other_ports_ask_for_a_whole_and_readable_message() {
        let verdict = |bytes: &[u8], port| recognise_message(bytes, (50_000, port));
        assert_eq!(verdict(&asked(), 4444), Verdict::Client);
        assert_eq!(recognise_message(&answered(), (4444, 50_000)), Verdict::Server);
        assert_eq!(verdict(&asked()[..asked().len() - 1], 4444), Verdict::Other);
        assert_eq!(verdict(&asked()[..asked().len() - 1], 53), Verdict::Client);
        assert_eq!(verdict(&[asked(), vec![0]].concat(), 4444), Verdict::Other);
        for port in OTHER_PROTOCOLS {
            assert_eq!(verdict(&asked(), port), Verdict::Other);
        }
    }

    #[test]
    fn a_stream_carries_messages_one_behind_the_other() {
        let parts = [told::client([framed(&asked()), framed(&asked())].concat()), told::server(framed(&answered()))];
        let lines = told::of::<Conversation>(&parts);
        assert_eq!(lines.len(), 3);
        assert!(lines[2].starts_with("dns server answered"));
    }

    #[test]
    fn a_stream_is_recognised_whole_or_by_its_port() {
        let bytes = framed(&asked());
        for end in 1..bytes.len() {
            assert_eq!(Conversation::recognise(&bytes[..end], (50_000, 4444)), Verdict::Later, "{end}");
        }
        assert_eq!(Conversation::recognise(&bytes, (50_000, 4444)), Verdict::Client);
        assert_eq!(Conversation::recognise(&bytes[..14], (50_000, 53)), Verdict::Client);
        assert_eq!(Conversation::recognise(b"GET / HTTP/1.1", (50_000, 80)), Verdict::Other);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
                                  changes in proptest::collection::vec((0..120usize, any::<u8>()), 0..6)) {
            let mut damaged = answered();
            for (at, byte) in changes {
                let len = damaged.len();
                damaged[at % len] = byte;
            }
            for bytes in [&mut bytes, &mut damaged] {
                recognise_message(bytes, (50_000, 4444));
                recognise_message(bytes, (53, 53));
                said(bytes);
            }
        }

        #[test]
        fn any_stream_is_survived(parts in told::any_parts(b"\0\x1b\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\x01b\x01c\x01d\0\0\x01\0\x01")) {
            told::conversation::<Conversation>(&parts, &[7, 1], told::ALL);
        }

        #[test]
        fn cutting_a_stream_changes_nothing(cuts in proptest::collection::vec(1..40usize, 1..8)) {
            let parts = [told::client([framed(&asked()), framed(&asked())].concat()), told::server(framed(&answered()))];
            prop_assert_eq!(told::conversation::<Conversation>(&parts, &cuts, told::ALL).0, told::of::<Conversation>(&parts));
        }
    }
}
