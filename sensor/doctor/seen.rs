//! What is learned of traffic: conversations and their directions, queues, tags, lengths, copies, who is inside.
//!
//! In: frames, each with the receive queue that it came by. Out: [`Seen`]: counts alone, no byte and no name of the wire.
//! Nothing is matched, nothing is kept beyond the bounds of `limits`. Never here: a clock, a judgement.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::copies::Copies;
use super::headers::{self, Headers};
use crate::capture::Frame;
use crate::decode::{self, Address, Fragments, Packet, protocol, tcp_flag};
use crate::limits::{
    DOCTOR_CHECKSUMS_MAX, DOCTOR_CONVERSATION_PACKETS_MIN, DOCTOR_CONVERSATIONS_MAX, DOCTOR_RANGES_MAX,
    DOCTOR_SECONDS_MAX,
};
use crate::networks::Networks;

/// What was seen, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Frames.
    pub frames: u64,
    /// Bytes of them on the link.
    pub bytes: u64,
    /// Bytes of the fastest second.
    pub bytes_second_max: u64,
    /// Frames of which only the beginning was taken.
    pub cut: u64,
    /// The longest IP packet.
    pub packet_bytes_max: u32,
    /// IP packets longer than the port's MTU.
    pub beyond_mtu: u64,
    /// The largest segment that a TCP end asked for.
    pub segment_bytes_max: u16,
    /// Frames with a VLAN tag.
    pub tagged: u64,
    /// VLANs.
    pub vlans: u64,
    /// Frames with a payload, of which a copy could be told.
    pub comparable: u64,
    /// Frames whose like came a moment before.
    pub copies: u64,
    /// Checksums worked out.
    pub checksums: u64,
    /// Those of them that were wrong.
    pub checksums_wrong: u64,
    /// Frames by receive queue; one entry: they are not told apart.
    pub queues: Vec<u64>,
    /// TCP conversations whose packets show that both ends speak.
    pub answered: u64,
    /// Those of them of which one direction was seen.
    pub one_way: u64,
    /// Conversations of which both directions came, each by a known queue.
    pub paired: u64,
    /// Those of them whose directions came by different queues.
    pub split: u64,
    /// Conversations with no end inside.
    pub outside: u64,
    /// Conversations with one end inside.
    pub crossing: u64,
    /// Conversations with both ends inside.
    pub inside: u64,
    /// Conversations beyond the bound, of which nothing was learned.
    pub beyond: u64,
    /// Private networks that are not inside, with their conversations, most first.
    pub strangers: Vec<(String, u64)>,
}

/// A conversation's ends, the lower first.
type Ends = (Address, u16, Address, u16, u8);

/// What is known of a conversation.
#[derive(Clone, Copy, Debug, Default)]
struct Conversation {
    packets: u32,
    /// Whether the lower end spoke, and the higher.
    spoke: [bool; 2],
    /// Whether some packet shows that the other end speaks as well.
    answered: bool,
    /// The queue by which each direction last came.
    queues: [Option<usize>; 2],
}

/// See the head of this file.
pub struct Watcher<'a> {
    networks: &'a Networks,
    mtu: u32,
    seen: Seen,
    conversations: HashMap<Ends, Conversation>,
    strangers: BTreeMap<String, u64>,
    vlans: Vec<bool>,
    copies: Copies,
    fragments: Fragments,
    seconds: Vec<u64>,
}

impl<'a> Watcher<'a> {
    /// Of a port with this MTU, whose frames come by so many queues that are told apart.
    pub fn new(networks: &'a Networks, mtu: u32, queues: usize, key: (u64, u64)) -> Watcher<'a> {
        Watcher {
            networks,
            mtu,
            seen: Seen { queues: vec![0; queues.max(1)], ..Seen::default() },
            conversations: HashMap::new(),
            strangers: BTreeMap::new(),
            vlans: vec![false; 1 << 12],
            copies: Copies::default(),
            fragments: Fragments::new(key),
            seconds: Vec::new(),
        }
    }

    /// Forgets what belongs to the batch before.
    pub fn next_batch(&mut self) {
        self.fragments.next_batch();
    }

    /// Learns from a frame, which came by this queue in this second of the watch.
    pub fn frame(&mut self, frame: &Frame<'_>, queue: usize, second: u64) {
        let length = u64::from(frame.length);
        self.seen.frames += 1;
        self.seen.bytes += length;
        self.seen.cut += u64::from(frame.bytes.len() < frame.length as usize);
        self.seen.queues[queue] += 1;
        let second = second.min(DOCTOR_SECONDS_MAX) as usize;
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, 0);
        }
        self.seconds[second] += length;
        if let Some(headers) = Headers::of(frame) {
            self.headers(frame, &headers);
        }
        if let Ok(packet) = decode::decode(frame, &mut self.fragments) {
            self.packet(&packet, queue);
        }
    }

    fn headers(&mut self, frame: &Frame<'_>, headers: &Headers) {
        if let Some(vlan) = headers.vlan {
            self.seen.tagged += 1;
            self.vlans[usize::from(vlan & 0xfff)] = true;
        }
        let Some(packet) = frame.bytes.get(headers.network..) else { return };
        let length = frame.length.saturating_sub(headers.network as u32).min(headers.packet_bytes(packet));
        self.seen.packet_bytes_max = self.seen.packet_bytes_max.max(length);
        self.seen.beyond_mtu += u64::from(length > self.mtu);
        if let Some(largest) = headers::segment_bytes_max(packet) {
            self.seen.segment_bytes_max = self.seen.segment_bytes_max.max(largest);
        }
        if self.seen.checksums < DOCTOR_CHECKSUMS_MAX
            && let Some(right) = headers::is_checksum_right(packet)
        {
            self.seen.checksums += 1;
            self.seen.checksums_wrong += u64::from(!right);
        }
        if headers::has_payload(packet) {
            self.seen.comparable += 1;
            self.seen.copies += u64::from(self.copies.knows(packet, frame.time));
        }
    }

    fn packet(&mut self, packet: &Packet, queue: usize) {
        let (from, to) = ((packet.source, packet.ports.0), (packet.destination, packet.ports.1));
        let lower = from <= to;
        let ((one, port), (other, other_port)) = if lower { (from, to) } else { (to, from) };
        let ends = (one, port, other, other_port, packet.protocol);
        if self.conversations.len() >= DOCTOR_CONVERSATIONS_MAX && !self.conversations.contains_key(&ends) {
            self.seen.beyond += 1;
            return;
        }
        let is_new = !self.conversations.contains_key(&ends);
        let conversation = self.conversations.entry(ends).or_default();
        let way = usize::from(!lower);
        conversation.packets = conversation.packets.saturating_add(1);
        conversation.spoke[way] = true;
        let flags = packet.segment.flags;
        // who acknowledges has heard something; a reset answers what may never have been meant
        let hears = flags & tcp_flag::ACK != 0 && flags & tcp_flag::RST == 0;
        conversation.answered |= packet.protocol == protocol::TCP && hears;
        conversation.queues[way] = (self.seen.queues.len() > 1).then_some(queue);
        if is_new {
            self.place(decode::ip(&packet.source), decode::ip(&packet.destination));
        }
    }

    /// Whether the ends of a new conversation are inside; those that mean nothing beyond their link are not asked.
    fn place(&mut self, source: IpAddr, destination: IpAddr) {
        if [source, destination].into_iter().any(stays_near) {
            return;
        }
        let (here, there) = (self.networks.is_home(source), self.networks.is_home(destination));
        match (here, there) {
            (true, true) => self.seen.inside += 1,
            (false, false) => self.seen.outside += 1,
            _ => self.seen.crossing += 1,
        }
        let mut strange: Vec<String> = [(source, here), (destination, there)]
            .into_iter()
            .filter(|(_, inside)| !inside)
            .filter_map(|(address, _)| private_range(address))
            .collect();
        strange.dedup();
        for range in strange {
            if self.strangers.len() < DOCTOR_RANGES_MAX || self.strangers.contains_key(&range) {
                *self.strangers.entry(range).or_default() += 1;
            }
        }
    }

    /// All that was learned.
    pub fn seen(mut self) -> Seen {
        for (ends, conversation) in &self.conversations {
            if conversation.packets < DOCTOR_CONVERSATION_PACKETS_MIN {
                continue;
            }
            let both = conversation.spoke == [true; 2];
            if ends.4 == protocol::TCP && conversation.answered {
                self.seen.answered += 1;
                self.seen.one_way += u64::from(!both);
            }
            if let [Some(one), Some(other)] = conversation.queues {
                self.seen.paired += 1;
                self.seen.split += u64::from(one != other);
            }
        }
        self.seen.vlans = self.vlans.iter().filter(|seen| **seen).count() as u64;
        self.seen.bytes_second_max = self.seconds.iter().copied().max().unwrap_or_default();
        self.seen.strangers = self.strangers.into_iter().collect();
        self.seen.strangers.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        self.seen
    }
}

/// Whether an address is of no host elsewhere: groups, broadcasts, its own link.
fn stays_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            four.is_multicast()
                || four.is_broadcast()
                || four.is_unspecified()
                || four.is_link_local()
                || four.is_loopback()
        }
        IpAddr::V6(six) => {
            six.is_multicast() || six.is_unspecified() || six.is_unicast_link_local() || six.is_loopback()
        }
    }
}

/// The private network that an address lies in, as wide as a site would list it; `None`: it is public.
fn private_range(address: IpAddr) -> Option<String> {
    match address {
        IpAddr::V4(four) => {
            let [first, second, ..] = four.octets();
            let shared = first == 100 && second & 0xc0 == 64;
            (four.is_private() || shared).then(|| format!("{first}.{second}.0.0/16"))
        }
        IpAddr::V6(six) => {
            let [first, second, third, ..] = six.segments();
            six.is_unique_local().then(|| format!("{first:x}:{second:x}:{third:x}::/48"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Link;
    use crate::networks::Written;
    use crate::time::Timestamp;

    const SYN: u8 = tcp_flag::SYN;
    const ACK: u8 = tcp_flag::ACK;

    /// A TCP segment in Ethernet.
    fn segment(from: ([u8; 4], u16), to: ([u8; 4], u16), flags: u8, id: u16) -> Vec<u8> {
        let mut bytes = [&[2_u8; 12][..], &[8, 0, 0x45, 0, 0, 44]].concat();
        bytes.extend(id.to_be_bytes());
        bytes.extend([0, 0, 64, 6, 0, 0]);
        bytes.extend(from.0);
        bytes.extend(to.0);
        bytes.extend([from.1.to_be_bytes(), to.1.to_be_bytes()].concat());
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend(*b"data");
        bytes
    }

    fn watched(frames: &[(Vec<u8>, usize)], networks: &Networks, queues: usize) -> Seen {
        let mut watcher = Watcher::new(networks, 1_500, queues, (1, 2));
        for (at, (bytes, queue)) in frames.iter().enumerate() {
            let time = Timestamp::from_nanos(at as i64 * 1_000_000_000);
            let (number, length) = (at as u64 + 1, bytes.len() as u32);
            let frame = Frame { number, time, bytes, length, link: Link::ETHERNET };
            watcher.next_batch();
            watcher.frame(&frame, *queue, at as u64);
        }
        watcher.seen()
    }

    const CLIENT: ([u8; 4], u16) = ([10, 1, 0, 5], 40_000);
    const SERVER: ([u8; 4], u16) = ([192, 0, 2, 9], 443);

    #[test]
    fn a_conversation_of_which_one_side_is_heard_is_one_way() {
        let networks = Networks::default();
        let there = |id| (segment(CLIENT, SERVER, ACK, id), 0);
        let back = (segment(SERVER, CLIENT, ACK, 9), 0);
        let one = watched(&[there(1), there(2), there(3)], &networks, 1);
        assert_eq!((one.answered, one.one_way), (1, 1));
        let both = watched(&[there(1), back, there(3)], &networks, 1);
        assert_eq!((both.answered, both.one_way), (1, 0));
    }

    #[test]
    fn a_scan_that_nobody_answers_is_no_sign_of_a_mirror_that_lacks_a_side() {
        let networks = Networks::default();
        let asked = |id| (segment(CLIENT, SERVER, SYN, id), 0);
        assert_eq!(watched(&[asked(1), asked(2), asked(3), asked(4)], &networks, 1).answered, 0);
    }

    #[test]
    fn directions_that_come_by_different_queues_are_split() {
        let networks = Networks::default();
        let frames = |queue| {
            let there = |id| (segment(CLIENT, SERVER, ACK, id), 0);
            [there(1), (segment(SERVER, CLIENT, ACK, 2), queue), there(3)]
        };
        let apart = watched(&frames(1), &networks, 2);
        assert_eq!((apart.paired, apart.split, &apart.queues[..]), (1, 1, &[2, 1][..]));
        let together = watched(&frames(0), &networks, 2);
        assert_eq!((together.paired, together.split), (1, 0));
        assert_eq!(watched(&frames(0), &networks, 1).paired, 0, "they are not told apart");
    }

    #[test]
    fn conversations_are_placed_by_their_ends_and_private_strangers_are_named() {
        let home = Written { home: vec!["10.1.0.0/16".into()], ..Written::default() };
        let networks = Networks::check(home).expect("it is sound");
        let of = |from: [u8; 4], to: [u8; 4]| (segment((from, 1), (to, 2), ACK, 1), 0);
        let frames = [
            of([10, 1, 0, 1], [192, 0, 2, 1]),
            of([10, 1, 0, 1], [10, 1, 0, 2]),
            of([10, 9, 0, 1], [192, 0, 2, 1]),
            of([10, 9, 0, 1], [10, 9, 0, 2]),
            of([172, 20, 0, 1], [10, 1, 0, 2]),
            of([10, 9, 0, 1], [239, 1, 1, 1]),
        ];
        let seen = watched(&frames, &networks, 1);
        assert_eq!((seen.inside, seen.crossing, seen.outside), (1, 2, 2), "a group is nobody's host");
        assert_eq!(seen.strangers, [("10.9.0.0/16".to_owned(), 2), ("172.20.0.0/16".to_owned(), 1)]);
    }

    #[test]
    fn bytes_are_added_up_by_the_second() {
        let networks = Networks::default();
        let frames: Vec<_> = (0..3).map(|id| (segment(CLIENT, SERVER, ACK, id), 0)).collect();
        let seen = watched(&frames, &networks, 1);
        assert_eq!((seen.frames, seen.bytes, seen.bytes_second_max), (3, 174, 58));
    }

    #[test]
    fn what_is_beyond_the_bound_is_counted_and_nothing_else() {
        let networks = Networks::default();
        let mut watcher = Watcher::new(&networks, 1_500, 1, (1, 2));
        for number in 0..DOCTOR_CONVERSATIONS_MAX as u32 + 7 {
            let [_, high, middle, low] = number.to_be_bytes();
            let bytes = segment(([10, high, middle, low], 1), SERVER, SYN, 1);
            let (time, length) = (Timestamp::default(), bytes.len() as u32);
            watcher.next_batch();
            watcher.frame(&Frame { number: 1, time, bytes: &bytes, length, link: Link::ETHERNET }, 0, 0);
        }
        assert_eq!(watcher.conversations.len(), DOCTOR_CONVERSATIONS_MAX);
        assert_eq!(watcher.seen().beyond, 7);
    }

    proptest::proptest! {
        #[test]
        fn no_frame_is_too_odd_to_be_looked_at(
            mut frames in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120), 1..8),
            kinds in proptest::collection::vec(0_usize..4, 8),
            link in 0_u16..300,
        ) {
            // most of them get as far as an IP header
            for (bytes, kind) in frames.iter_mut().zip(kinds) {
                let start: &[u8] = [&[8, 0, 0x45][..], &[0x86, 0xdd, 0x60], &[0x81, 0, 0, 7, 8, 0, 0x46], &[]][kind];
                bytes.splice(12.min(bytes.len())..12.min(bytes.len()), start.iter().copied());
            }
            let networks = Networks::default();
            let mut watcher = Watcher::new(&networks, 1_500, 2, (1, 2));
            for (at, bytes) in frames.iter().enumerate() {
                let link = if at % 2 == 0 { Link::ETHERNET } else { Link(link) };
                let (time, length) = (Timestamp::from_nanos(at as i64), bytes.len() as u32 + at as u32);
                watcher.next_batch();
                watcher.frame(&Frame { number: 1, time, bytes, length, link }, at % 2, u64::MAX - at as u64);
            }
            let seen = watcher.seen();
            assert_eq!((seen.frames, seen.queues.iter().sum::<u64>()), (frames.len() as u64, frames.len() as u64));
        }
    }
}
