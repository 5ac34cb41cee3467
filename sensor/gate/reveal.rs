//! Which host or name a token stands for: tried with the site's own key, which nobody else has. In: a token and candidates. Out: the
//! one that it stands for. Never here: a file, and a way to be asked from elsewhere.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use ring::hmac;

use super::secret::{SiteKey, host, name};
use super::token::{Of, Token};

/// Addresses that a thread takes at once.
const PIECE: u64 = 1 << 14;

/// What is asked of each candidate.
pub struct Question {
    token: Token,
    key: hmac::Key,
}

impl Question {
    /// Of a token under a key. While it is asked the key is in memory.
    pub fn new(token: Token, key: &SiteKey) -> Question {
        Question { token, key: key.with(hmac::Key::clone) }
    }

    /// Whether the token is this address's.
    pub fn is_host(&self, address: IpAddr) -> bool {
        self.token.stands_for() == Of::Host && host(&self.key, address) == self.token
    }

    /// Whether it is this name's.
    pub fn is_name(&self, text: &str) -> bool {
        self.token.stands_for() == Of::Name && name(&self.key, text) == self.token
    }

    /// Whether it is what a text says: an address or a name.
    pub fn is(&self, text: &str) -> bool {
        match self.token.stands_for() {
            Of::Host => text.parse().is_ok_and(|address| self.is_host(address)),
            Of::Name => self.is_name(text),
        }
    }

    /// The address among these ranges whose token it is; every one is tried, on so many threads.
    pub fn among(&self, ranges: &[(Ipv4Addr, Ipv4Addr)], threads: usize) -> Option<Ipv4Addr> {
        if self.token.stands_for() != Of::Host {
            return None;
        }
        let ranges: Vec<(u64, u64)> =
            ranges.iter().map(|(first, last)| (u32::from(*first).into(), u32::from(*last).into())).collect();
        let total = counted(&ranges);
        let (next, found) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        let search = || {
            while found.load(Ordering::Relaxed) == u64::MAX {
                let begin = next.fetch_add(PIECE, Ordering::Relaxed);
                if begin >= total {
                    return;
                }
                let mut piece = (begin..total.min(begin + PIECE)).filter_map(|at| nth(&ranges, at));
                if let Some(four) = piece.find(|four| self.is_host(IpAddr::V4(*four))) {
                    found.store(u32::from(four).into(), Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(search);
            }
        });
        u32::try_from(found.into_inner()).ok().map(Ipv4Addr::from)
    }
}

/// How many addresses ranges have.
fn counted(ranges: &[(u64, u64)]) -> u64 {
    ranges.iter().map(|(first, last)| last - first + 1).sum()
}

/// The address at a place of all ranges, one behind the other.
fn nth(ranges: &[(u64, u64)], mut at: u64) -> Option<Ipv4Addr> {
    for (first, last) in ranges {
        let size = last - first + 1;
        if at < size {
            return u32::try_from(first + at).ok().map(Ipv4Addr::from);
        }
        at -= size;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: [u8; 4], last: [u8; 4]) -> (Ipv4Addr, Ipv4Addr) {
        (first.into(), last.into())
    }

    #[test]
    fn every_address_of_every_range_is_found_by_its_token_and_none_beside_them() {
        let key = SiteKey::fixed(&[3; 32]);
        let ranges = [
            range([10, 0, 0, 0], [10, 0, 255, 255]),
            range([192, 0, 2, 7], [192, 0, 2, 7]),
            range([255, 255, 255, 254], [255; 4]),
        ];
        for inside in [[10, 0, 0, 0], [10, 0, 63, 255], [10, 0, 64, 0], [10, 0, 255, 255], [192, 0, 2, 7], [255; 4]] {
            let question = Question::new(key.host(inside.into()), &key);
            for threads in [1, 3] {
                assert_eq!(question.among(&ranges, threads), Some(inside.into()));
            }
        }
        for outside in [[9, 255, 255, 255], [10, 1, 0, 0], [192, 0, 2, 8]] {
            assert_eq!(Question::new(key.host(outside.into()), &key).among(&ranges, 2), None);
        }
        let stranger = SiteKey::fixed(&[4; 32]);
        assert_eq!(Question::new(key.host([10, 0, 0, 1].into()), &stranger).among(&ranges, 2), None);
    }

    #[test]
    fn a_text_is_an_address_or_a_name_as_the_token_is() {
        let key = SiteKey::fixed(&[3; 32]);
        let host = Question::new(key.host("2001:db8::7".parse().unwrap()), &key);
        assert!(host.is("2001:DB8:0::7") && !host.is("2001:db8::8") && !host.is("pc-acct-04"));
        let name = Question::new(key.name("pc-acct-04"), &key);
        assert!(name.is("PC-ACCT-04") && !name.is("2001:db8::7") && name.among(&[], 1).is_none());
    }
}
