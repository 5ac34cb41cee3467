//! http

use super::{Read, Stream, Verdict, Wants};
use crate::observable::{Observations, Side};

/// State.
#[derive(Default)]
pub struct Conversation;

impl Stream for Conversation {
    const NAME: &'static str = "http";
    fn recognise(_bytes: &[u8], _ports: (u16, u16)) -> Verdict {
        Verdict::Other
    }
    fn read(&mut self, _side: Side, _bytes: &[u8], _wants: Wants, _out: &mut Observations) -> Read {
        Read::Done
    }
}
