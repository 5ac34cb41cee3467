//! Packet filters of a configuration, compiled before an interface is opened: `-T` says what is wrong with one.
//!
//! In: the captures of a checked configuration and the places of its options. Out: faults. Never here: an interface; a name
//! in a filter is resolved as libpcap does it, so what is checked is what will run.

use crate::capture::live;
use crate::config::{Capture, Fault, Place};

/// What is wrong with the filters.
pub(super) fn faults(captures: &[Capture], place: impl Fn(&str) -> Place) -> Vec<Fault> {
    let written = captures.iter().enumerate().filter_map(|(at, one)| Some((at, one.filter.as_deref()?)));
    let fault = |(at, filter)| {
        let problem = live::filter_flaw(filter)?;
        let path = format!("capture[{at}].filter");
        let (place, help) = (place(&path), "`man pcap-filter` has the language; `tcpdump -d` shows what it becomes");
        Some(Fault { path, problem: format!("is no packet filter: {problem}"), place, help: help.to_owned() })
    };
    written.filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(filters: &[Option<&str>]) -> Vec<String> {
        let captures: Vec<Capture> = filters.iter().map(|filter| Capture::of_interface("tap0", *filter)).collect();
        let place = |path: &str| Place::Absent(format!("at {path}"));
        faults(&captures, place).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sound_filters_of_any_link_are_no_fault() {
        let sound =
            ["not port 22", "vlan 7 and tcp[tcpflags] & tcp-syn != 0", "wlan type mgt", "ether host 2:0:0:0:0:1"];
        assert_eq!(told(&sound.map(Some)), Vec::<String>::new());
        assert_eq!(told(&[None]), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_filter_is_told_with_its_place() {
        let told = told(&[None, Some("tcp port"), Some("tcp"), Some("port 99999"), Some("a\0b")]);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("error: capture[1].filter: is no packet filter: "), "{told:?}");
        assert!(told[0].contains("\n  --> at capture[1].filter   help: "), "{told:?}");
        assert!(told[1].contains("capture[3].filter") && told[2].contains("capture[4].filter"), "{told:?}");
    }
}
