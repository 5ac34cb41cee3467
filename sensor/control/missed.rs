//! What interfaces had no room for, asked on the thread that may read files.
//!
//! In: links that libpcap reads, now and then. Out: counts beside the links' own. AF_XDP counts its interfaces itself.

use super::shared::Shared;
use super::tap::{From, Source};
use crate::capture::live::missed;

/// See the head of this file.
pub(super) struct Missed {
    links: Vec<Link>,
}

struct Link {
    name: String,
    /// Its place among all sources.
    link: usize,
    /// What was read last; `None`: nothing yet.
    last: Option<u64>,
}

impl Missed {
    /// Counts from now on.
    pub(super) fn of(sources: &[Source]) -> Missed {
        let by_libpcap = |source: &&Source| matches!(&source.from, From::Link(live) if live.backend() == "libpcap");
        let link = |source: &Source| {
            let name = source.name.clone();
            Link { last: missed(&name), name, link: source.link }
        };
        Missed { links: sources.iter().filter(by_libpcap).map(link).collect() }
    }

    pub(super) fn look(&mut self, shared: &Shared) {
        for link in &mut self.links {
            let Some(now) = missed(&link.name) else { continue }; // away
            shared.add_missed(link.link, grown(link.last, now));
            link.last = Some(now);
        }
    }
}

/// By how much a counter grew that begins anew with its interface.
fn grown(last: Option<u64>, now: u64) -> u64 {
    last.map_or(0, |last| now.checked_sub(last).unwrap_or(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_was_made_again_counts_from_nothing() {
        assert_eq!((grown(None, 7), grown(Some(7), 9), grown(Some(9), 9), grown(Some(9), 4)), (0, 2, 0, 4));
    }
}
