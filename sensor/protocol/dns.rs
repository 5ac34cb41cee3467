//! dns

use super::{Read, Stream, Verdict, Wants};
use crate::observable::{Observations, Side};

/// State.
#[derive(Default)]
pub struct Conversation;

impl Stream for Conversation {
    const NAME: &'static str = "dns";
    fn recognise(_bytes: &[u8], _ports: (u16, u16)) -> Verdict {
        Verdict::Other
    }
    fn read(&mut self, _side: Side, _bytes: &[u8], _wants: Wants, _out: &mut Observations) -> Read {
        Read::Done
    }
}

/// DNS over UDP.
pub static DATAGRAM: super::Datagram =
    super::Datagram { name: "dns", bytes_min: 12, recognise: |_, _| Verdict::Other, read: |_, _, _, _| Read::Done };
