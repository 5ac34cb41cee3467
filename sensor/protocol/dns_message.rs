//! The shape of a DNS message (RFC 1035 section 4): a header, names with pointers, records.
//!
//! In: the bytes of one message. Out: its parts, read one behind the other, within a budget. Never here: what is said.

use super::Verdict;
use crate::limits::{DNS_NAME_BYTES_MAX, DNS_NAMES_BYTES_MAX, DNS_POINTERS_MAX, DNS_QUESTIONS_MAX};

/// Length of a message's header.
pub(super) const HEADER_BYTES: usize = 12;

/// RFC 1035 section 4.1.1.
pub(super) struct Header {
    pub(super) id: u16,
    pub(super) flags: u16,
    pub(super) questions: u16,
    pub(super) answers: u16,
    pub(super) authorities: u16,
    pub(super) additionals: u16,
}

impl Header {
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes.first_chunk::<HEADER_BYTES>()?;
        Some(Header {
            id: u16::from_be_bytes([a, b]),
            flags: u16::from_be_bytes([c, d]),
            questions: u16::from_be_bytes([e, f]),
            answers: u16::from_be_bytes([g, h]),
            authorities: u16::from_be_bytes([i, j]),
            additionals: u16::from_be_bytes([k, l]),
        })
    }

    pub(super) fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    pub(super) fn opcode(&self) -> u16 {
        self.flags >> 11 & 15
    }

    pub(super) fn rcode(&self) -> u16 {
        self.flags & 15
    }

    pub(super) fn speaker(&self) -> Verdict {
        if self.is_response() { Verdict::Server } else { Verdict::Client }
    }

    /// On DNS's own port: a number of questions that someone might ask.
    pub(super) fn is_sane(&self) -> bool {
        usize::from(self.questions) <= DNS_QUESTIONS_MAX && (self.questions > 0 || self.is_response())
    }

    /// On any port: one question of a standard query, no reserved bit, and nothing that answers in what asks.
    pub(super) fn is_plain(&self) -> bool {
        let asks = self.answers == 0 && self.authorities == 0 && self.rcode() == 0;
        self.opcode() == 0 && self.questions == 1 && self.flags & 0x40 == 0 && (self.is_response() || asks)
    }
}

/// A name as it is read: labels joined by dots, without the last one. A dot inside a label stays a dot.
pub(super) struct Name {
    room: [u8; DNS_NAME_BYTES_MAX],
    pub(super) len: usize,
}

impl Name {
    pub(super) fn new() -> Self {
        Name { room: [0; DNS_NAME_BYTES_MAX], len: 0 }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.room.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, label: &[u8]) -> Option<()> {
        if self.len > 0 {
            *self.room.get_mut(self.len)? = b'.';
            self.len += 1;
        }
        self.room.get_mut(self.len..self.len + label.len())?.copy_from_slice(label);
        self.len += label.len();
        Some(())
    }
}

/// What stands behind a record's name; `start` to `end` is its data, which lies inside the message.
pub(super) struct Record {
    pub(super) rrtype: u16,
    pub(super) ttl: u32,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A place in a message, and how many bytes of names may still be said of it: pointers make names cheap to repeat.
pub(super) struct Message<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) budget: usize,
}

impl<'a> Message<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Message { bytes, at: HEADER_BYTES, budget: DNS_NAMES_BYTES_MAX }
    }

    pub(super) fn u16_at(&self, at: usize) -> Option<u16> {
        self.bytes.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
    }

    /// A name and the type behind it; goes on behind the class.
    pub(super) fn question(&mut self, name: &mut Name) -> Option<u16> {
        self.name(name)?;
        let rrtype = self.u16_at(self.at)?;
        self.u16_at(self.at + 2)?;
        self.at += 4;
        Some(rrtype)
    }

    /// Goes on behind a question whose name cannot be read.
    pub(super) fn skip_question(&mut self) -> Option<()> {
        self.skip_name()?;
        self.at += 4;
        Some(())
    }

    /// What stands behind a record's name; goes on behind its data.
    pub(super) fn record(&mut self) -> Option<Record> {
        let [t, u, _, _, a, b, c, d, l, m] = *self.bytes.get(self.at..)?.first_chunk::<10>()?;
        let start = self.at + 10;
        let end = start + usize::from(u16::from_be_bytes([l, m]));
        if end > self.bytes.len() {
            return None;
        }
        self.at = end;
        Some(Record { rrtype: u16::from_be_bytes([t, u]), ttl: u32::from_be_bytes([a, b, c, d]), start, end })
    }

    /// Reads a name, through at most [`DNS_POINTERS_MAX`] pointers (which also ends every loop); goes on behind it.
    pub(super) fn name(&mut self, name: &mut Name) -> Option<()> {
        let (mut at, mut pointers, mut behind) = (self.at, 0, None);
        name.len = 0;
        loop {
            let length = *self.bytes.get(at)?;
            match length {
                0 => break,
                1..=63 => {
                    let end = at + 1 + usize::from(length);
                    name.push(self.bytes.get(at + 1..end)?)?;
                    at = end;
                }
                64..=191 => return None, // RFC 6891 section 5: extended label types were given up
                192.. => {
                    behind = behind.or(Some(at + 2));
                    pointers += 1;
                    if pointers > DNS_POINTERS_MAX {
                        return None;
                    }
                    at = usize::from(self.u16_at(at)? & 0x3fff);
                }
            }
        }
        self.budget = self.budget.checked_sub(name.len)?;
        self.at = behind.unwrap_or(at + 1);
        Some(())
    }

    /// Goes on behind a name without following its pointers.
    pub(super) fn skip_name(&mut self) -> Option<()> {
        loop {
            let length = *self.bytes.get(self.at)?;
            match length {
                0 => self.at += 1,
                1..=63 => {
                    self.at += 1 + usize::from(length);
                    continue;
                }
                64..=191 => return None,
                192.. => self.at += 2,
            }
            return Some(());
        }
    }
}

pub(super) const A: u16 = 1;
pub(super) const NS: u16 = 2;
pub(super) const CNAME: u16 = 5;
pub(super) const PTR: u16 = 12;
pub(super) const MX: u16 = 15;
pub(super) const TXT: u16 = 16;
pub(super) const AAAA: u16 = 28;
pub(super) const DNAME: u16 = 39;

pub(super) static RCODES: [&str; 11] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE",
];

/// The mnemonic of a record type, or `TYPE` and its number (RFC 3597 section 5).
pub(super) fn type_text(rrtype: u16, room: &mut [u8; 9]) -> &[u8] {
    let known: &'static str = match rrtype {
        A => "A",
        NS => "NS",
        CNAME => "CNAME",
        6 => "SOA",
        10 => "NULL",
        PTR => "PTR",
        13 => "HINFO",
        MX => "MX",
        TXT => "TXT",
        24 => "SIG",
        25 => "KEY",
        AAAA => "AAAA",
        29 => "LOC",
        33 => "SRV",
        35 => "NAPTR",
        37 => "CERT",
        DNAME => "DNAME",
        41 => "OPT",
        43 => "DS",
        44 => "SSHFP",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        50 => "NSEC3",
        51 => "NSEC3PARAM",
        52 => "TLSA",
        64 => "SVCB",
        65 => "HTTPS",
        99 => "SPF",
        249 => "TKEY",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        _ => return numbered_type(rrtype, room),
    };
    known.as_bytes()
}

fn numbered_type(rrtype: u16, room: &mut [u8; 9]) -> &[u8] {
    let mut digits = [0; 5];
    let number = decimal(rrtype, &mut digits);
    let end = 4 + number.len();
    room[..4].copy_from_slice(b"TYPE");
    room[4..end].copy_from_slice(number);
    &room[..end]
}

pub(super) fn decimal(value: u16, room: &mut [u8; 5]) -> &[u8] {
    let (mut at, mut rest) = (room.len(), value);
    loop {
        at -= 1;
        room[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return &room[at..];
        }
    }
}

/// As `{:x}` prints it: no leading zeros.
pub(super) fn hexadecimal(value: u16, room: &mut [u8; 4]) -> &[u8] {
    let (mut at, mut rest) = (room.len(), value);
    loop {
        at -= 1;
        room[at] = b"0123456789abcdef"[usize::from(rest & 15)];
        rest >>= 4;
        if rest == 0 {
            return &room[at..];
        }
    }
}
