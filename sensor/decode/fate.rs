//! What became of each frame: a closed list, so that the sum can be checked.

/// Why bytes are no packet: layer and reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Malformed {
    /// The link header is cut.
    LinkShort,
    /// An Ethernet header is cut.
    EthernetShort,
    /// A VLAN tag is cut.
    VlanShort,
    /// An IPv4 header is cut.
    Ipv4Short,
    /// IPv4: version or header length make no sense.
    Ipv4Header,
    /// IPv4: the total length is less than the header.
    Ipv4TotalLength,
    /// An IPv6 header is cut.
    Ipv6Short,
    /// IPv6: the version makes no sense.
    Ipv6Version,
    /// An IPv6 extension header is cut.
    Ipv6Extension,
    /// A fragment reaches beyond 65 535 bytes.
    FragmentRange,
    /// A fragment inside a datagram that was made of fragments.
    FragmentNested,
    /// A TCP header is cut.
    TcpShort,
    /// TCP: the data offset makes no sense.
    TcpOffset,
    /// A UDP header is cut.
    UdpShort,
    /// UDP: the length is less than the header.
    UdpLength,
    /// An ICMP header is cut.
    IcmpShort,
    /// A GRE header is cut.
    GreShort,
    /// A VXLAN header is cut.
    VxlanShort,
    /// A switch's tag is cut.
    TagShort,
    /// An LLC or SNAP header is cut.
    LlcShort,
    /// An MPLS label is cut, or nothing follows the last.
    MplsShort,
    /// A PPP header is cut.
    PppShort,
    /// A PPPoE header is cut.
    PppoeShort,
    /// PPPoE: version, type or code make no sense for a session.
    PppoeHeader,
    /// A header of Cisco's HDLC or of frame relay is cut.
    HdlcShort,
    /// Frame relay: the address has no end.
    FrameRelayAddress,
    /// An 802.11 header is cut.
    WifiShort,
    /// A radio's header before 802.11 is cut, or shorter than it must be.
    RadioShort,
    /// An NFLOG header or option is cut.
    NflogShort,
    /// NFLOG: an option is shorter than its own header.
    NflogOption,
    /// A Juniper header is cut.
    JuniperShort,
    /// A Juniper header does not begin like one.
    JuniperMagic,
    /// A network service header is cut.
    NshShort,
    /// An authentication header is cut.
    AuthenticationShort,
    /// GRE: neither version 0 nor 1.
    GreVersion,
    /// GRE version 1: more payload than there is.
    GreLength,
    /// An ERSPAN header is cut.
    ErspanShort,
    /// A Geneve header is cut.
    GeneveShort,
    /// A GTP header is cut.
    GtpShort,
    /// GTP: an extension is cut or has no length.
    GtpExtension,
    /// A Teredo indication is cut.
    TeredoShort,
    /// An AYIYA header is cut.
    AyiyaShort,
    /// An L2TP header is cut.
    L2tpShort,
    /// A CAPWAP header is cut.
    CapwapShort,
    /// A LISP header is cut.
    LispShort,
    /// A TZSP header or field is cut.
    TzspShort,
    /// An ESP header is cut.
    EspShort,
    /// More headers and tunnels than are peeled.
    TooManyHeaders,
}

impl Malformed {
    /// All of them, in order.
    pub const ALL: [Malformed; 48] = [
        Malformed::LinkShort,
        Malformed::EthernetShort,
        Malformed::VlanShort,
        Malformed::Ipv4Short,
        Malformed::Ipv4Header,
        Malformed::Ipv4TotalLength,
        Malformed::Ipv6Short,
        Malformed::Ipv6Version,
        Malformed::Ipv6Extension,
        Malformed::FragmentRange,
        Malformed::FragmentNested,
        Malformed::TcpShort,
        Malformed::TcpOffset,
        Malformed::UdpShort,
        Malformed::UdpLength,
        Malformed::IcmpShort,
        Malformed::GreShort,
        Malformed::VxlanShort,
        Malformed::TagShort,
        Malformed::LlcShort,
        Malformed::MplsShort,
        Malformed::PppShort,
        Malformed::PppoeShort,
        Malformed::PppoeHeader,
        Malformed::HdlcShort,
        Malformed::FrameRelayAddress,
        Malformed::WifiShort,
        Malformed::RadioShort,
        Malformed::NflogShort,
        Malformed::NflogOption,
        Malformed::JuniperShort,
        Malformed::JuniperMagic,
        Malformed::NshShort,
        Malformed::AuthenticationShort,
        Malformed::GreVersion,
        Malformed::GreLength,
        Malformed::ErspanShort,
        Malformed::GeneveShort,
        Malformed::GtpShort,
        Malformed::GtpExtension,
        Malformed::TeredoShort,
        Malformed::AyiyaShort,
        Malformed::L2tpShort,
        Malformed::CapwapShort,
        Malformed::LispShort,
        Malformed::TzspShort,
        Malformed::EspShort,
        Malformed::TooManyHeaders,
    ];

    /// Its name in counters: layer and reason.
    pub const fn name(self) -> &'static str {
        match self {
            Malformed::LinkShort => "link_short",
            Malformed::EthernetShort => "ethernet_short",
            Malformed::VlanShort => "vlan_short",
            Malformed::Ipv4Short => "ipv4_short",
            Malformed::Ipv4Header => "ipv4_header",
            Malformed::Ipv4TotalLength => "ipv4_total_length",
            Malformed::Ipv6Short => "ipv6_short",
            Malformed::Ipv6Version => "ipv6_version",
            Malformed::Ipv6Extension => "ipv6_extension",
            Malformed::FragmentRange => "fragment_range",
            Malformed::FragmentNested => "fragment_nested",
            Malformed::TcpShort => "tcp_short",
            Malformed::TcpOffset => "tcp_offset",
            Malformed::UdpShort => "udp_short",
            Malformed::UdpLength => "udp_length",
            Malformed::IcmpShort => "icmp_short",
            Malformed::GreShort => "gre_short",
            Malformed::VxlanShort => "vxlan_short",
            Malformed::TagShort => "tag_short",
            Malformed::LlcShort => "llc_short",
            Malformed::MplsShort => "mpls_short",
            Malformed::PppShort => "ppp_short",
            Malformed::PppoeShort => "pppoe_short",
            Malformed::PppoeHeader => "pppoe_header",
            Malformed::HdlcShort => "hdlc_short",
            Malformed::FrameRelayAddress => "frame_relay_address",
            Malformed::WifiShort => "wifi_short",
            Malformed::RadioShort => "radio_short",
            Malformed::NflogShort => "nflog_short",
            Malformed::NflogOption => "nflog_option",
            Malformed::JuniperShort => "juniper_short",
            Malformed::JuniperMagic => "juniper_magic",
            Malformed::NshShort => "nsh_short",
            Malformed::AuthenticationShort => "authentication_short",
            Malformed::GreVersion => "gre_version",
            Malformed::GreLength => "gre_length",
            Malformed::ErspanShort => "erspan_short",
            Malformed::GeneveShort => "geneve_short",
            Malformed::GtpShort => "gtp_short",
            Malformed::GtpExtension => "gtp_extension",
            Malformed::TeredoShort => "teredo_short",
            Malformed::AyiyaShort => "ayiya_short",
            Malformed::L2tpShort => "l2tp_short",
            Malformed::CapwapShort => "capwap_short",
            Malformed::LispShort => "lisp_short",
            Malformed::TzspShort => "tzsp_short",
            Malformed::EspShort => "esp_short",
            Malformed::TooManyHeaders => "too_many_headers",
        }
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Nobody has said yet. One of these at the end of a batch is a fault of ours.
    #[default]
    Unaccounted,
    /// Another worker owns its shard; that worker accounts for it.
    Elsewhere,
    /// Followed to the end of the path.
    Processed,
    /// A fragment whose datagram is not whole yet.
    FragmentKept,
    /// A fragment that found no room.
    FragmentShed,
    /// Neither IPv4 nor IPv6 (ARP, LLDP, ...).
    NotIp,
    /// A link type that is not read.
    LinkUnknown,
    /// An address of a network that is never watched.
    NeverWatched,
    /// The ring to the worker that owns its shard was full.
    HandOffFull,
    /// Its flow was followed, but not its payload read: more came than could be read, and heavy flows give up first.
    ShedHeavy,
    /// The same, of flows of any size.
    ShedPayload,
    /// Its worker died of it, or with it, or never came back from it.
    LostInRestart,
    /// Of a flow, or of two hosts, that its worker died of before: its payload is not read.
    SkippedPoisonous,
    /// No packet, or one with a flaw: what a tunnel carries, or a header's last part, could not be read.
    Malformed(Malformed),
}

impl From<Malformed> for Fate {
    fn from(reason: Malformed) -> Self {
        Fate::Malformed(reason)
    }
}

impl Fate {
    /// Rows of a counter table over all fates but [`Fate::Elsewhere`].
    pub const COUNT: usize = Fate::PLAIN + Malformed::ALL.len();

    /// Rows before those of [`Fate::Malformed`].
    pub const PLAIN: usize = 13;

    /// Its row in such a table.
    pub const fn index(self) -> usize {
        match self {
            Fate::Unaccounted => 0,
            Fate::Elsewhere => 1,
            Fate::Processed => 2,
            Fate::FragmentKept => 3,
            Fate::FragmentShed => 4,
            Fate::NotIp => 5,
            Fate::LinkUnknown => 6,
            Fate::NeverWatched => 7,
            Fate::HandOffFull => 8,
            Fate::ShedHeavy => 9,
            Fate::ShedPayload => 10,
            Fate::LostInRestart => 11,
            Fate::SkippedPoisonous => 12,
            Fate::Malformed(reason) => Fate::PLAIN + reason as usize,
        }
    }

    /// The name of a row: `processed`, `malformed.tcp_short`.
    pub fn name(index: usize) -> String {
        const PLAIN: [&str; Fate::PLAIN] = [
            "unaccounted",
            "elsewhere",
            "processed",
            "fragment_kept",
            "fragment_shed",
            "not_ip",
            "link_unknown",
            "never_watched",
            "hand_off_full",
            "shed_heavy",
            "shed_payload",
            "lost_in_restart",
            "skipped_poisonous",
        ];
        match PLAIN.get(index) {
            Some(name) => (*name).to_owned(),
            None => format!("malformed.{}", Malformed::ALL[index - Fate::PLAIN].name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_row() {
        for (at, reason) in Malformed::ALL.into_iter().enumerate() {
            assert_eq!(Fate::from(reason).index(), Fate::PLAIN + at);
            assert_eq!(Fate::name(Fate::PLAIN + at), format!("malformed.{}", reason.name()));
        }
    }
}
