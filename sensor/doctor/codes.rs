//! Every finding that there is: its code, which stays as it is once it was published, and why it matters.
//!
//! A code is what an operator of forty sensors searches their reports for. Never here: when it is found, how grave it is, what
//! to type; [`super::judge`] says that.

/// One kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// `one-way-mirror`.
    pub name: &'static str,
    /// Why it matters, in one sentence.
    pub why: &'static str,
}

macro_rules! codes {
    ($($item:ident $name:literal $why:literal)*) => {
        $(#[doc = $why] pub static $item: Code = Code { name: $name, why: $why };)*

        /// All of them, as the manual lists them.
        pub static ALL: &[&Code] = &[$(&$item),*];
    };
}

codes! {
    INTERFACE_ABSENT "interface-absent" "Nothing can be seen of a port that is not there."
    INTERFACE_DOWN "interface-down" "An interface that is switched off receives nothing."
    NO_CARRIER "no-carrier" "Without a signal on the cable nothing can arrive."
    PORT_IN_USE "port-in-use" "AF_XDP takes everything that comes to a port, so this machine is cut off there."
    NOT_PROMISCUOUS "not-promiscuous"
        "Frames for others are thrown away by the card, and on a tap or mirror port nearly all frames are."
    NO_NATIVE_XDP "no-native-xdp" "Without XDP in the driver AF_XDP cannot be had on this port."
    XDP_ATTACHED "xdp-attached"
        "Another XDP program takes frames before anybody else sees them, so this look at the traffic says little."
    NO_TRAFFIC "no-traffic" "A sensor that sees no frame meets no indicator, whatever passes elsewhere."
    FRAMES_LOST "frames-lost" "What the card or the driver drops no sensor can see, and an indicator in it is missed."
    RING_OVERRUN "ring-overrun" "Frames came faster than they were read, and the kernel had no room to keep them."
    RING_SHORT "ring-short" "A ring that holds so little time loses frames whenever the sensor is busy for a moment."
    NIC_RING_SMALL "nic-ring-small" "A larger receive ring of the card rides out bursts that this one drops."
    FRAMES_CUT "frames-cut" "What lies behind the cut is never looked at."
    MTU_SMALL "mtu-small" "Frames that are longer than the port's MTU are dropped before anybody sees them."
    SUPER_FRAMES "super-frames"
        "Frames that were joined before they were seen are not those of the wire: times, lengths and losses between are gone."
    LRO_ON "lro-on" "The card joins segments and keeps no trace of it, and most drivers refuse XDP meanwhile."
    GRO_ON "gro-on" "The kernel may join segments before libpcap sees them, which changes times and lengths."
    CHECKSUMS_UNFINISHED "checksums-unfinished"
        "Frames were seen before hardware filled in their checksums; the sensor reads them, other tools may not."
    VLAN_STRIPPED "vlan-stripped"
        "The card takes VLAN tags off and tells of them beside the frame, where AF_XDP does not see them."
    VLAN_TRUNK "vlan-trunk" "The port shows several VLANs: equal addresses in two of them are two hosts."
    ONE_WAY_MIRROR "one-way-mirror"
        "With one direction of the conversations half of what they say is missing, and answers tell how far a contact went."
    DUPLICATE_FRAMES "duplicate-frames"
        "Every frame that comes twice costs twice and is counted twice; a mirror of both ingress and egress does that."
    QUEUES_ASYMMETRIC "queues-asymmetric"
        "The two directions of a conversation come by different queues, so they meet late and have to be handed over."
    QUEUE_SKEW "queue-skew" "One queue that gets nearly all is one core that does nearly all, and it overflows alone."
    QUEUES_OVER_WORKERS "queues-over-workers" "Queues beyond the number of workers only spread the same work over more rings."
    MEMLOCK_SMALL "memlock-small" "The rings of AF_XDP are locked memory, and beyond the limit they cannot be had."
    NO_HUGE_PAGES "no-huge-pages" "Without huge pages each look-up in a large set waits longer for memory."
    NETWORKS_ABSENT "networks-absent"
        "Without `networks:` all private ranges are taken for inside, and no public address of the site is."
    NETWORKS_ELSEWHERE "networks-elsewhere"
        "Where neither end is inside, no alert can say which of your hosts it concerns, and both ends look foreign."
    NETWORKS_TOO_WIDE "networks-too-wide"
        "Where both ends are inside, an alert cannot tell your host from the other, and the other's address is hidden as yours."
    NETWORKS_INCOMPLETE "networks-incomplete"
        "Private addresses that are not listed as inside are taken for strangers, and leave the site in clear."
    CLOCK_UNSYNCHRONISED "clock-unsynchronised"
        "Nobody keeps this machine's clock right, and alerts of a wrong time cannot be set beside other sites' logs."
    CLOCK_JUMPED "clock-jumped" "A clock that is set while the sensor runs puts its alerts in doubt until a reload."
    CLOCK_STAMPS_OFF "clock-stamps-off" "Frames are stamped by another clock than this machine's, and validity is judged by it."
    DISK_MISSING "disk-missing" "What is to be written there is lost, or keeps the sensor from starting."
    DISK_NOT_WRITABLE "disk-not-writable" "Alerts that cannot be written are lost when the sensor ends."
    DISK_READ_ONLY "disk-read-only" "A file system that is read-only takes no alert."
    DISK_SMALL "disk-small" "When the disk is full, alerts that wait for the centre are no longer taken."
    DISK_NO_SYNC "disk-no-sync" "What is written there does not survive the loss of power, whatever the system answers."
    RIGHTS_MISSING "rights-missing" "Without these rights the port cannot be read."
    KEY_READABLE "key-readable" "Whoever reads this secret can speak as the site, or tell which host a token means."
    KERNEL_OLD "kernel-old" "AF_XDP takes large frames in pieces, and this kernel does not know that."
    CONFIGURATION "configuration" "The sensor does not start with a configuration that is wrong."
    NOT_CONFIGURED "not-configured" "What the configuration does not name the sensor does not read."
    WATCH_FAILED "watch-failed" "Nothing can be said of traffic that could not be looked at."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_words_that_one_can_search_for_and_each_has_its_sentence() {
        for (at, code) in ALL.iter().enumerate() {
            let letters = code.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
            assert!(letters && ALL[..at].iter().all(|other| other.name != code.name), "{}", code.name);
            assert!(code.why.ends_with('.') && code.why.starts_with(char::is_uppercase), "{}", code.why);
        }
    }
}
