//! OpenVPN over TCP, as far as it is readable: the TLS handshake inside its control packets.
//!
//! In: packets behind two length bytes each (draft-openvpn-spec sections "TCP" and "control channel packets"). Out: what the
//! TLS reader says. With a pre-shared key over control packets (`tls-auth`) they carry a digest, whose length the first
//! packet of either side gives away; where that key encrypts them (`tls-crypt`) nothing is readable, and nothing is
//! recognised. Never here: the tunnel's data.

use super::{Read, Stream, Verdict, Wants, tls};
use crate::limits::WINDOW_BYTES_MAX;
use crate::observable::{Observations, Side};

const LENGTH_BYTES: usize = 2;
const CODE_AND_SESSION_BYTES: usize = 9;
const PACKET_ID_BYTES: usize = 4;
/// Packet number and time, between digest and acknowledgements.
const REPLAY_BYTES: usize = 8;

/// Digests of `--auth`: none, MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
const DIGESTS_BYTES: [usize; 7] = [0, 16, 20, 28, 32, 48, 64];

/// Packet codes in the upper five bits; what is below is a key's number.
const CONTROL: u8 = 4;
const DATA: u8 = 6;
const RESET_CLIENT: u8 = 7;
const RESET_SERVER: u8 = 8;
const DATA_OF_PEER: u8 = 9;

/// One side's control packets.
#[derive(Default)]
struct Half {
    /// The number of its next control packet.
    next: u32,
    /// What the TLS reader left.
    left: Vec<u8>,
}

/// One connection.
#[derive(Default)]
pub struct Conversation {
    tls: tls::Conversation,
    halves: [Half; 2],
    /// Bytes of digest, number and time behind the session's number.
    authentication: usize,
}

impl Stream for Conversation {
    const NAME: &'static str = "openvpn";

    fn recognise(bytes: &[u8], _ports: (u16, u16)) -> Verdict {
        let Some((length, packet)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return Verdict::Later };
        let length = usize::from(u16::from_be_bytes(*length));
        let (answers, verdict) = match packet.first().map(|code| code >> 3) {
            Some(RESET_CLIENT) => (false, Verdict::Client),
            Some(RESET_SERVER) => (true, Verdict::Server),
            None if length < 128 => return Verdict::Later, // no first packet is longer
            _ => return Verdict::Other,
        };
        if authentication_of(length, answers).is_none() {
            return Verdict::Other;
        }
        // It acknowledges nothing, or the client's first packet; and it is its side's first.
        let Some(packet) = packet.get(..length) else { return Verdict::Later };
        let (head, number) = packet.split_at(length - PACKET_ID_BYTES);
        let acknowledges = match answers {
            false => head.last() == Some(&0),
            true => head.get(head.len() - 13..head.len() - 8) == Some(&[1, 0, 0, 0, 0]),
        };
        if number == [0; PACKET_ID_BYTES] && acknowledges { verdict } else { Verdict::Other }
    }

    fn read(&mut self, side: Side, bytes: &[u8], wants: Wants, out: &mut Observations) -> Read {
        let mut rest = bytes;
        while let Some((length, behind)) = rest.split_first_chunk::<LENGTH_BYTES>()
            && let Some((packet, behind)) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        {
            out.heed();
            rest = behind;
            match self.packet(side, packet, wants, out) {
                Read::Took(_) => {}
                ended => return ended,
            }
        }
        Read::Took(bytes.len() - rest.len())
    }

    fn gap(&mut self, _side: Side, _len: u64, wants: Wants, out: &mut Observations) -> Read {
        self.tls.end(Side::Client, wants, out);
        self.tls.end(Side::Server, wants, out);
        Read::Lost
    }

    fn end(&mut self, side: Side, wants: Wants, out: &mut Observations) {
        self.tls.end(side, wants, out);
    }
}

/// How many bytes authenticate a side's first packet of this length.
fn authentication_of(length: usize, answers: bool) -> Option<usize> {
    // the count of what is acknowledged; the number of that packet, and whose session it belongs to
    let acknowledges = if answers { 1 + 4 + 8 } else { 1 };
    let more = length.checked_sub(CODE_AND_SESSION_BYTES + acknowledges + PACKET_ID_BYTES)?;
    let digests = DIGESTS_BYTES.iter().map(|&digest| if digest == 0 { 0 } else { digest + REPLAY_BYTES });
    digests.into_iter().find(|&bytes| bytes == more)
}

impl Conversation {
    fn packet(&mut self, side: Side, packet: &[u8], wants: Wants, out: &mut Observations) -> Read {
        match packet.first().map(|code| code >> 3) {
            Some(RESET_CLIENT | RESET_SERVER) => {
                self.authentication = authentication_of(packet.len(), side == Side::Server).unwrap_or_default();
                self.halves[side.index()] = Half { next: 1, left: Vec::new() };
                Read::Took(0)
            }
            Some(CONTROL) => match self.payload(side, packet) {
                Some(payload) => self.tls(side, payload, wants, out),
                None => Read::Took(0), // a copy, or damaged: the sender will repeat it
            },
            // the tunnel is open
            Some(DATA | DATA_OF_PEER) => {
                self.tls.end(Side::Client, wants, out);
                self.tls.end(Side::Server, wants, out);
                Read::Done
            }
            Some(_) => Read::Took(0),
            None => Read::Lost,
        }
    }

    /// What a control packet carries, if it is the next of its side.
    fn payload<'a>(&mut self, side: Side, packet: &'a [u8]) -> Option<&'a [u8]> {
        let (&acknowledged, rest) = packet.get(CODE_AND_SESSION_BYTES + self.authentication..)?.split_first()?;
        let acknowledgements = match usize::from(acknowledged) {
            0 => 0,
            count => 4 * count + 8,
        };
        let (number, payload) = rest.get(acknowledgements..)?.split_first_chunk::<PACKET_ID_BYTES>()?;
        let next = &mut self.halves[side.index()].next;
        if u32::from_be_bytes(*number) != *next {
            return None;
        }
        *next = next.wrapping_add(1);
        Some(payload)
    }

    fn tls(&mut self, side: Side, payload: &[u8], wants: Wants, out: &mut Observations) -> Read {
        let left = &mut self.halves[side.index()].left;
        if left.len() + payload.len() > WINDOW_BYTES_MAX {
            return Read::Lost;
        }
        left.extend_from_slice(payload);
        match self.tls.read(side, left, wants, out) {
            Read::Took(used) => {
                left.drain(..used.min(left.len()));
                Read::Took(0)
            }
            ended => ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::told::{self, Part, client, server};
    use super::*;
    use proptest::prelude::*;

    const NONE: &[u8] = b"";
    const SHA1: &[u8] = &[0xdd; 20 + REPLAY_BYTES];

    fn packet(code: u8, authentication: &[u8], acknowledges: &[u8], number: u32, payload: &[u8]) -> Vec<u8> {
        let session: &[u8] = if acknowledges.is_empty() { b"" } else { b"other..." };
        let count = [(acknowledges.len() / 4) as u8];
        let number = number.to_be_bytes();
        let body =
            [&[code << 3], &b"session."[..], authentication, &count, acknowledges, session, &number, payload].concat();
        [&(body.len() as u16).to_be_bytes()[..], &body].concat()
    }

    /// A hello in pieces of 100 bytes, one of them sent twice.
    fn hello(authentication: &[u8]) -> Vec<Part> {
        let hello = tls::seed();
        let mut parts = vec![
            client(packet(RESET_CLIENT, authentication, b"", 0, b"")),
            server(packet(RESET_SERVER, authentication, &[0; 4], 0, b"")),
        ];
        for (at, piece) in hello.chunks(100).enumerate() {
            let control =
                client(packet(CONTROL, authentication, if at == 0 { &[0; 8] } else { b"" }, at as u32 + 1, piece));
            parts.extend([control.clone(), control]);
        }
        parts.push(client(packet(DATA, b"", b"", 0, b"..")));
        parts
    }

    #[test]
    fn the_hello_inside_is_said() {
        for authentication in [NONE, SHA1] {
            let (lines, last) = told::conversation::<Conversation>(&hello(authentication), &[], told::ALL);
            assert!(lines[0].starts_with("tls client - tls.sni=c2.example.kr"), "{lines:?}");
            assert_eq!((lines.len(), last), (1, Read::Done));
        }
    }

    #[test]
    fn first_packets_are_recognised_and_others_are_not() {
        let of = |bytes: &[u8]| Conversation::recognise(bytes, (50_000, 443));
        for authentication in [NONE, SHA1] {
            let first = packet(RESET_CLIENT, authentication, b"", 0, b"");
            for end in 0..first.len() {
                assert_eq!(of(&first[..end]), Verdict::Later, "{end}");
            }
            assert_eq!(of(&first), Verdict::Client);
            assert_eq!(of(&packet(RESET_SERVER, authentication, &[0; 4], 0, b"")), Verdict::Server);
            assert_eq!(of(&packet(RESET_CLIENT, authentication, b"", 1, b"")), Verdict::Other);
            assert_eq!(of(&packet(RESET_CLIENT, authentication, b"", 0, b"x")), Verdict::Other);
            assert_eq!(of(&packet(CONTROL, authentication, b"", 0, b"")), Verdict::Other);
        }
        assert_eq!(of(b"GET / HTTP/1.1\r\n"), Verdict::Other);
        assert_eq!(of(b"<?xml"), Verdict::Other);
    }

    proptest! {
        #[test]
        fn any_stream_is_survived(parts in told::any_parts(seed())) {
            told::conversation::<Conversation>(&parts, &[13, 1], told::ALL);
        }

        #[test]
        fn cutting_a_stream_changes_nothing(cuts in proptest::collection::vec(1..200usize, 1..8)) {
            prop_assert_eq!(
                told::conversation::<Conversation>(&hello(SHA1), &cuts, told::ALL),
                told::conversation::<Conversation>(&hello(SHA1), &[], told::ALL)
            );
        }
    }

    fn seed() -> &'static [u8] {
        static SEED: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let bytes = |part| if let Part::Bytes(_, bytes) = part { bytes } else { Vec::new() };
        SEED.get_or_init(|| hello(NONE).into_iter().flat_map(bytes).collect())
    }
}
