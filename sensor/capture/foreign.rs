//! Files that are known and not read: a refusal that names the format tells a person what to do next.
//!
//! In: the first bytes of a file. Out: words. Never here: a guess.

/// A format by its first bytes, what it is called, and the way out.
struct Foreign {
    magic: &'static [u8],
    name: &'static str,
    hint: &'static str,
}

/// What turns most of them into a capture: Wireshark's `editcap` reads them all.
const EDITCAP: &str = "editcap IN OUT.pcapng makes a capture of it";

#[rustfmt::skip]
static FOREIGN: &[Foreign] = &[
    // what is compressed itself has been unpacked before anybody asks here
    Foreign { magic: b"\x1F\x8B", name: "compressed twice (gzip inside)", hint: "unpack it once" },
    Foreign { magic: b"\x28\xB5\x2F\xFD", name: "compressed twice (Zstandard inside)", hint: "unpack it once" },
    Foreign { magic: b"BZh", name: "bzip2 data", hint: "unpack it with bunzip2, or pipe it: bzcat FILE | haetae -r -" },
    Foreign { magic: b"\xFD7zXZ\0", name: "xz data", hint: "unpack it with unxz, or pipe it: xzcat FILE | haetae -r -" },
    Foreign { magic: b"\x04\x22\x4D\x18", name: "lz4 data", hint: "unpack it, or pipe it: lz4cat FILE | haetae -r -" },
    Foreign { magic: b"PK\x03\x04", name: "a zip archive", hint: "unpack it" },
    Foreign { magic: b"7z\xBC\xAF\x27\x1C", name: "a 7z archive", hint: "unpack it" },
    Foreign { magic: b"snoop\0\0\0", name: "a snoop file", hint: EDITCAP },
    Foreign { magic: b"btsnoop\0", name: "a Bluetooth snoop file", hint: "it holds no network packets" },
    Foreign { magic: b"iptrace ", name: "an AIX iptrace file", hint: EDITCAP },
    Foreign { magic: b"RTSS", name: "a Microsoft Network Monitor 1 file", hint: EDITCAP },
    Foreign { magic: b"GMBU", name: "a Microsoft Network Monitor 2 file", hint: EDITCAP },
    Foreign { magic: b"TRSNIFF data    \x1A", name: "a Sniffer file", hint: EDITCAP },
    Foreign { magic: b"XCP\0", name: "a NetXRay file", hint: EDITCAP },
    Foreign { magic: b"\x7Fver", name: "an EtherPeek file", hint: EDITCAP },
    Foreign { magic: b"\xA1\x2B\x3C\x4D", name: "a Navtel capture", hint: EDITCAP },
    Foreign { magic: b"\x4D\x3C\x2B\xA1", name: "a Navtel capture", hint: EDITCAP },
];

/// Why a file that begins like this is not read.
pub(super) fn refusal(head: &[u8]) -> String {
    match FOREIGN.iter().find(|foreign| head.starts_with(foreign.magic)) {
        Some(Foreign { name, hint, .. }) => format!("{name}: {hint}"),
        // ERF has no magic number: it cannot be told from anything else
        None => "not a capture file (pcap or pcapng, also in gzip or Zstandard)".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_what_is_known_and_guesses_nothing() {
        assert_eq!(refusal(b"snoop\0\0\0\0\0\0\x02"), "a snoop file: editcap IN OUT.pcapng makes a capture of it");
        assert!(refusal(b"\xFD7zXZ\0").starts_with("xz data: "));
        for unknown in [&b""[..], b"PK", b"snoopy", b"format: haetae/1\n"] {
            assert!(refusal(unknown).starts_with("not a capture file"), "{unknown:?}");
        }
    }
}
