//! Codings of HTTP bodies undone (RFC 9110 section 8.4.1; RFC 1950 to 1952, 7932, 8878), several of them on top of each
//! other.
//!
//! In: coded bytes in pieces of any length. Out: decoded bytes in pieces, to a sink. Decoders live while their body is
//! open; how much they may make is bounded by what came in, and how much they hold is told. Never here: a body held
//! whole, a checksum verified (the digest of what comes out is the better one).

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, HuffmanCode, SliceWrapper, StandardAlloc};
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::BodyCounts;
use super::http_inflate::Inflate;
use crate::limits::{HTTP_CODINGS_MAX, HTTP_DECODED_FREE_BYTES, HTTP_DECODED_RATIO_MAX, ZSTD_WINDOW_BITS_MAX};

/// Decoded bytes made at once, on the stack.
const PIECE_BYTES: usize = 16 << 10;

/// What a brotli decoder holds beside its window and its codes.
const BROTLI_BYTES: usize = 16 << 10;

/// What undoes a coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The codings of one message, in the order in which they were applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Codings {
    list: [Option<Coding>; HTTP_CODINGS_MAX],
    len: usize,
    /// One of them is none that a client undoes: clients take such a body as it is.
    unknown: bool,
}

impl Codings {
    /// Adds those of one more header line: `gzip, br`.
    pub(super) fn take(&mut self, value: &[u8]) {
        for word in value.split(|&byte| byte == b',') {
            let name = word.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
            match coding(name) {
                Named::Plain => {}
                Named::Unknown => self.unknown = true,
                Named::Coded(coding) => {
                    if let Some(place) = self.list.get_mut(self.len) {
                        *place = Some(coding);
                    }
                    self.len += 1;
                }
            }
        }
    }

    fn count(&self) -> usize {
        if self.unknown { 0 } else { self.len }
    }

    /// From the one applied last to the one applied first.
    fn outermost_first(&self) -> impl Iterator<Item = Coding> + '_ {
        self.list.iter().take(self.count()).rev().copied().flatten()
    }
}

enum Named {
    Coded(Coding),
    Plain,
    Unknown,
}

fn coding(name: &[u8]) -> Named {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    match name.len() {
        0 => Named::Plain,
        4 if is("gzip") => Named::Coded(Coding::Gzip),
        6 if is("x-gzip") => Named::Coded(Coding::Gzip),
        7 if is("deflate") => Named::Coded(Coding::Deflate),
        2 if is("br") => Named::Coded(Coding::Brotli),
        4 if is("zstd") => Named::Coded(Coding::Zstd),
        8 if is("identity") => Named::Plain,
        7 if is("chunked") => Named::Plain, // a framing, undone where the body's end is found
        _ => Named::Unknown,
    }
}

/// Why a body is not decoded to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is not coded as its head says, or was damaged on its way.
    Damaged,
    /// It unfolds into far more than came.
    Bomb,
    /// More codings than are undone, or no memory for them.
    Full,
}

/// What decoders of one connection may make (so many bytes for each that came, and some for nothing), and what was lost
/// since the shard's books were last written.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    coded: u64,
    decoded: u64,
    pub(super) lost: BodyCounts,
}

impl Allowance {
    /// Another connection's; what this one lost stays to be counted.
    pub(super) fn fresh(self) -> Self {
        Allowance { lost: self.lost, ..Allowance::default() }
    }

    /// Counts a body that has no digest.
    pub(super) fn lose(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Damaged => self.lost.damaged += 1,
            Trouble::Bomb => self.lost.bombs += 1,
            Trouble::Full => self.lost.coding_full += 1,
        }
    }

    fn comes(&mut self, bytes: usize) {
        self.coded = self.coded.saturating_add(bytes as u64);
    }

    fn makes(&mut self, bytes: usize) -> Result<(), Trouble> {
        self.decoded = self.decoded.saturating_add(bytes as u64);
        let allowed = HTTP_DECODED_FREE_BYTES.saturating_add(self.coded.saturating_mul(HTTP_DECODED_RATIO_MAX));
        if self.decoded > allowed { Err(Trouble::Bomb) } else { Ok(()) }
    }
}

/// The decoders of one body, outermost coding first.
pub(super) struct Decoding {
    stages: Vec<Stage>,
}

impl Decoding {
    /// `None`: there is nothing to undo.
    pub(super) fn new(content: &Codings, transfer: &Codings) -> Result<Option<Self>, Trouble> {
        let count = content.count() + transfer.count();
        if count > HTTP_CODINGS_MAX {
            return Err(Trouble::Full);
        }
        let stages: Option<Vec<Stage>> =
            transfer.outermost_first().chain(content.outermost_first()).map(Stage::new).collect();
        match stages {
            Some(stages) if stages.is_empty() => Ok(None),
            Some(stages) => Ok(Some(Decoding { stages })),
            None => Err(Trouble::Full),
        }
    }

    /// Decodes what came; the sink gets all that can be made of it.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        allowance: &mut Allowance,
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<(), Trouble> {
        allowance.comes(bytes.len());
        run(&mut self.stages, bytes, allowance, sink)
    }

    /// Bytes of memory that its decoders hold.
    pub(super) fn held(&self) -> usize {
        self.stages.iter().map(Stage::held).sum()
    }
}

/// One stage after the other, as deep as there are codings ([`HTTP_CODINGS_MAX`]). Every round uses or makes something,
/// and what is made is paid for from the allowance.
fn run(
    stages: &mut [Stage],
    bytes: &[u8],
    allowance: &mut Allowance,
    sink: &mut impl FnMut(&[u8]),
) -> Result<(), Trouble> {
    let Some((first, behind)) = stages.split_first_mut() else {
        sink(bytes);
        return Ok(());
    };
    let mut piece = [0; PIECE_BYTES];
    let mut rest = bytes;
    loop {
        let progress = first.step(rest, &mut piece)?;
        rest = rest.get(progress.used..).unwrap_or_default();
        if progress.made > 0 {
            allowance.makes(progress.made)?;
            run(behind, piece.get(..progress.made).unwrap_or_default(), allowance, sink)?;
        }
        // a piece that is not full: there is no more until more comes
        if progress.is_none() || rest.is_empty() && progress.made < piece.len() {
            return Ok(());
        }
    }
}

/// How far one call of a decoder got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Coded bytes that it has used.
    pub(super) used: usize,
    /// Decoded bytes that it has made.
    pub(super) made: usize,
}

impl Progress {
    fn is_none(self) -> bool {
        self.used == 0 && self.made == 0
    }
}

enum Stage {
    Inflate(Box<Inflate>),
    Brotli(Box<Brotli>),
    Zstd(Zstd),
}

impl Stage {
    fn new(coding: Coding) -> Option<Self> {
        Some(match coding {
            Coding::Gzip => Stage::Inflate(Box::new(Inflate::gzip())),
            Coding::Deflate => Stage::Inflate(Box::new(Inflate::deflate())),
            Coding::Brotli => Stage::Brotli(Box::new(Brotli::new())),
            Coding::Zstd => Stage::Zstd(Zstd::new()?),
        })
    }

    fn step(&mut self, bytes: &[u8], out: &mut [u8]) -> Result<Progress, Trouble> {
        match self {
            Stage::Inflate(inflate) => inflate.step(bytes, out),
            Stage::Brotli(brotli) => brotli.step(bytes, out),
            Stage::Zstd(zstd) => zstd.step(bytes, out),
        }
    }

    fn held(&self) -> usize {
        match self {
            Stage::Inflate(inflate) => inflate.held(),
            Stage::Brotli(brotli) => brotli.held(),
            Stage::Zstd(zstd) => zstd.context.sizeof(),
        }
    }
}

struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    ended: bool,
}

impl Brotli {
    /// Strict: windows of at most 16 MiB, as RFC 7932 has them.
    fn new() -> Self {
        let alloc = StandardAlloc::default;
        Brotli { state: BrotliState::new_strict(alloc(), alloc(), alloc()), ended: false }
    }

    fn step(&mut self, bytes: &[u8], out: &mut [u8]) -> Result<Progress, Trouble> {
        if self.ended {
            return Ok(Progress { used: bytes.len(), made: 0 }); // clients ignore what follows
        }
        let (mut left, mut used, mut room, mut made, mut total) = (bytes.len(), 0, out.len(), 0, 0);
        let state = &mut self.state;
        match BrotliDecompressStream(
            &mut left, &mut used, bytes, &mut room, &mut made, out, &mut total, state,
        ) {
            BrotliResult::ResultFailure => return Err(Trouble::Damaged),
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(Progress { used, made })
    }

    fn held(&self) -> usize {
        let state = &self.state;
        let groups = [&state.literal_hgroup, &state.insert_copy_hgroup, &state.distance_hgroup];
        let codes: usize = groups.iter().map(|group| group.codes.slice().len()).sum();
        BROTLI_BYTES + state.ringbuffer.slice().len() + codes * size_of::<HuffmanCode>()
    }
}

struct Zstd {
    context: DCtx<'static>,
    /// Between two frames: at the beginning, and where a body may end.
    between: bool,
    frames: bool,
    ended: bool,
}

impl Zstd {
    fn new() -> Option<Self> {
        let mut context = DCtx::try_create()?;
        context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_BITS_MAX)).ok()?;
        Some(Zstd { context, between: true, frames: false, ended: false })
    }

    fn step(&mut self, bytes: &[u8], out: &mut [u8]) -> Result<Progress, Trouble> {
        if self.ended || self.between && bytes.is_empty() {
            return Ok(Progress { used: bytes.len(), made: 0 });
        }
        let (mut input, mut output) = (InBuffer::around(bytes), OutBuffer::around(out));
        match self.context.decompress_stream(&mut output, &mut input) {
            Ok(0) => (self.between, self.frames) = (true, true),
            Ok(_) => self.between = false,
            // what stands behind a whole frame and is none itself
            Err(_) if self.between && self.frames => self.ended = true,
            Err(_) => return Err(Trouble::Damaged),
        }
        Ok(Progress { used: input.pos(), made: output.pos() })
    }
}
