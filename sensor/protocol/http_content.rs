//! What an HTTP body holds once its codings are undone: its size and its digests.
//!
//! In: the bytes of a body, chunking undone, in pieces of any length. Out: size and digests at its end. A body that is not
//! coded as its head says is taken as it was sent, as clients do. Never here: where a body ends.

use super::digests::{Digested, Digesting, Digests};
use super::http_coding::{Allowance, Codings, Decoding, Trouble};

/// Where a body's bytes go.
#[derive(Default)]
pub(super) struct Content {
    decoding: Option<Box<Decoding>>,
    /// Of the bytes as sent, for as long as nothing was decoded.
    as_sent: Option<Box<Digesting>>,
    digesting: Option<Box<Digesting>>,
    sent: u64,
    decoded: u64,
    trouble: Option<Trouble>,
}

impl Content {
    /// Without a want for digests nothing is decoded.
    pub(super) fn new(content: &Codings, transfer: &Codings, wanted: Digests, allowance: &mut Allowance) -> Self {
        let digesting = || wanted.any().then(|| Box::new(Digesting::new(wanted)));
        let mut new = Content { digesting: digesting(), ..Content::default() };
        if wanted.any() {
            match Decoding::new(content, transfer) {
                Ok(Some(decoding)) => (new.decoding, new.as_sent) = (Some(Box::new(decoding)), digesting()),
                Ok(None) => {}
                Err(trouble) => new.give_up(trouble, allowance),
            }
        }
        new
    }

    /// More of the body.
    pub(super) fn data(&mut self, bytes: &[u8], allowance: &mut Allowance) {
        self.sent = self.sent.saturating_add(bytes.len() as u64);
        if let Some(as_sent) = &mut self.as_sent {
            as_sent.update(bytes);
        }
        let Some(decoding) = &mut self.decoding else {
            if let Some(digesting) = &mut self.digesting {
                digesting.update(bytes);
            }
            return;
        };
        let (digesting, decoded) = (&mut self.digesting, &mut self.decoded);
        let outcome = decoding.push(bytes, allowance, &mut |piece| {
            *decoded = decoded.saturating_add(piece.len() as u64);
            if let Some(digesting) = digesting {
                digesting.update(piece);
            }
        });
        if self.decoded > 0 {
            self.as_sent = None;
        }
        match outcome {
            Ok(()) => {}
            Err(Trouble::Damaged) if self.decoded == 0 => self.take_as_sent(),
            Err(trouble) => self.give_up(trouble, allowance),
        }
    }

    /// It never was coded: its digests go on over the bytes as they come.
    fn take_as_sent(&mut self) {
        self.digesting = self.as_sent.take();
        self.decoding = None;
    }

    /// There will be no digest; what is held for it goes.
    pub(super) fn give_up(&mut self, trouble: Trouble, allowance: &mut Allowance) {
        allowance.lose(trouble);
        self.forget();
        self.trouble = Some(trouble);
    }

    /// Bytes are missing: there will be no digest.
    pub(super) fn gap(&mut self, len: u64) {
        self.forget();
        self.sent = self.sent.saturating_add(len);
    }

    fn forget(&mut self) {
        (self.decoding, self.as_sent, self.digesting) = (None, None, None);
    }

    /// Why it was not decoded to its end, if it was not.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.trouble
    }

    /// Memory that its decoders hold.
    pub(super) fn held(&self) -> usize {
        self.decoding.as_deref().map_or(0, Decoding::held)
    }

    /// Bytes decoded, or as sent where nothing was to be undone, or not all was.
    pub(super) fn size(&self) -> u64 {
        if self.decoded > 0 && self.trouble.is_none() { self.decoded } else { self.sent }
    }

    /// The digests of a body that has ended.
    pub(super) fn digested(&mut self) -> Option<Digested> {
        if self.decoding.is_some() && self.decoded == 0 {
            self.take_as_sent();
        }
        Some(self.digesting.take()?.finish())
    }
}
