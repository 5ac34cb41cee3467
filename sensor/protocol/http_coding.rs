//! Codings of HTTP bodies undone (RFC 9110 section 8.4.1; RFC 1950 to 1952, 7932, 8878), several of them on top of each
//! other.
//!
//! In: coded bytes in pieces of any length. Out: decoded bytes in pieces, to a sink. Decoders live while their body is
//! open; how much they may make is bounded by what came in, and how much they hold is told. Never here: a body held
//! whole, a checksum verified (the digest of what comes out is the better one).

use brotli_decompressor::{
    BrotliDecompressStream, BrotliResult, BrotliState, HuffmanCode, SliceWrapper, StandardAlloc,
};
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::BodyCounts;
use super::http_inflate::Inflate;
use crate::limits::{HTTP_CODINGS_MAX, HTTP_DECODED_FREE_BYTES, HTTP_DECODED_RATIO_MAX, ZSTD_WINDOW_BITS_MAX};

/// Decoded bytes made at once, on the stack.
const PIECE_BYTES: usize = 16 << 10;

/// What a brotli decoder holds beside its window and its codes.
const BROTLI_BYTES: usize = 16 << 10;

/// RFC 8878 section 3.1.1.2.
const ZSTD_BLOCK_HEADER_BYTES: usize = 3;

/// RFC 8878 section 3.1.1: what every frame begins with.
const ZSTD_MAGIC_BYTES: usize = 4;

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
            match coding(token(word)) {
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

/// The first token of a value, whatever stands around it: clients differ in what they pass over, and a body that is not
/// coded after all is taken as it was sent.
fn token(value: &[u8]) -> &[u8] {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let from = value.iter().position(is_token).unwrap_or(value.len());
    let value = value.get(from..).unwrap_or_default();
    value.split(|byte| !is_token(byte)).next().unwrap_or_default()
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
        run(&mut self.stages, true, bytes, allowance, sink)
    }

    /// Bytes of memory that its decoders hold.
    pub(super) fn held(&self) -> usize {
        self.stages.iter().map(Stage::held).sum()
    }
}

/// One stage after the other, as deep as there are codings ([`HTTP_CODINGS_MAX`]). Every round uses or makes something,
/// and what is made is paid for from the allowance, which what the outermost uses adds to.
fn run(
    stages: &mut [Stage],
    outermost: bool,
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
        let progress = first.step(rest, &mut piece);
        rest = rest.get(progress.used..).unwrap_or_default();
        if outermost {
            allowance.comes(progress.used);
        }
        if progress.made > 0 {
            allowance.makes(progress.made)?;
            run(behind, false, piece.get(..progress.made).unwrap_or_default(), allowance, sink)?;
        }
        if progress.damaged {
            return Err(Trouble::Damaged);
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
    /// Behind those it cannot go on: what was made before is said first, however the bytes were cut.
    pub(super) damaged: bool,
}

impl Progress {
    pub(super) fn of(used: usize, made: usize) -> Self {
        Progress { used, made, damaged: false }
    }

    pub(super) fn damaged(made: usize) -> Self {
        Progress { used: 0, made, damaged: true }
    }

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

    fn step(&mut self, bytes: &[u8], out: &mut [u8]) -> Progress {
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
    /// Something was made of it.
    begun: bool,
    ended: bool,
}

impl Brotli {
    /// Strict: windows of at most 16 MiB, as RFC 7932 has them.
    fn new() -> Self {
        let alloc = StandardAlloc::default;
        Brotli { state: BrotliState::new_strict(alloc(), alloc(), alloc()), begun: false, ended: false }
    }

    fn step(&mut self, bytes: &[u8], out: &mut [u8]) -> Progress {
        if self.ended {
            return Progress::of(bytes.len(), 0); // clients ignore what follows
        }
        // a call that fails keeps what it had made: whether there was anything must not depend on how the bytes were cut
        let bytes = if self.begun { bytes } else { bytes.get(..1).unwrap_or(bytes) };
        let (mut left, mut used, mut room, mut made, mut total) = (bytes.len(), 0, out.len(), 0, 0);
        let state = &mut self.state;
        match BrotliDecompressStream(&mut left, &mut used, bytes, &mut room, &mut made, out, &mut total, state) {
            BrotliResult::ResultFailure => return Progress::damaged(made),
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        self.begun |= made > 0;
        Progress::of(used, made)
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
    /// Bytes that it takes at once: up to the end of a header or block, so that a call which fails has made nothing.
    takes: usize,
    /// The last call had no room for all that it had.
    is_full: bool,
    /// Bytes of the frame at hand that were used; 0 between two, where a body may end.
    begun: usize,
    /// A whole frame was seen.
    frames: bool,
    ended: bool,
}

impl Zstd {
    fn new() -> Option<Self> {
        let mut context = DCtx::try_create()?;
        context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_BITS_MAX)).ok()?;
        Some(Zstd { context, takes: 1, is_full: false, begun: 0, frames: false, ended: false })
    }

    fn step(&mut self, bytes: &[u8], out: &mut [u8]) -> Progress {
        if self.ended || self.begun == 0 && bytes.is_empty() {
            return Progress::of(bytes.len(), 0);
        }
        if self.is_full {
            let rest = self.call(&[], out);
            if rest.made > 0 || rest.damaged {
                return rest;
            }
        }
        self.call(bytes.get(..self.takes).unwrap_or(bytes), out)
    }

    fn call(&mut self, bytes: &[u8], out: &mut [u8]) -> Progress {
        let room = out.len();
        let (mut input, mut output) = (InBuffer::around(bytes), OutBuffer::around(out));
        match self.context.decompress_stream(&mut output, &mut input) {
            Ok(0) => (self.begun, self.frames, self.takes) = (0, true, 1),
            Ok(wanted) => {
                self.begun = self.begun.saturating_add(input.pos());
                // what it would like reaches over the next block's header
                self.takes = if wanted > ZSTD_BLOCK_HEADER_BYTES { wanted - ZSTD_BLOCK_HEADER_BYTES } else { wanted };
            }
            // what stands behind a whole frame and is none itself
            Err(_) if self.frames && self.begun < ZSTD_MAGIC_BYTES => self.ended = true,
            Err(_) => return Progress::damaged(output.pos()),
        }
        self.is_full = output.pos() == room;
        Progress::of(input.pos(), output.pos())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::super::http_coded::{gzip, zstd};
    use super::*;

    /// `hello` in brotli, made by the reference encoder.
    const BROTLI_HELLO: &[u8] = &[0x0b, 0x02, 0x80, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x03];

    /// 4 MiB of `A` in brotli, made by the reference encoder with its largest window.
    const BROTLI_BOMB: &[u8] = &[0x9f, 0xff, 0xff, 0x3f, 0xf8, 0x25, 0x82, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x07];

    /// Decoded bytes of a bomb: far more than is allowed for what it takes.
    const BOMB_BYTES: usize = 4 << 20;

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn codings(value: &str) -> Codings {
        let mut codings = Codings::default();
        codings.take(value.as_bytes());
        codings
    }

    fn decode_pieces<'a>(value: &str, pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u8>, Trouble> {
        let (mut out, mut allowance) = (Vec::new(), Allowance::default());
        let Some(mut decoding) = Decoding::new(&codings(value), &Codings::default())? else {
            return Ok(pieces.collect::<Vec<_>>().concat());
        };
        for piece in pieces {
            decoding.push(piece, &mut allowance, &mut |piece| out.extend_from_slice(piece))?;
        }
        Ok(out)
    }

    fn decode(value: &str, bytes: &[u8]) -> Result<Vec<u8>, Trouble> {
        decode_pieces(value, std::iter::once(bytes))
    }

    fn hellos() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("gzip", gzip(b"hello")),
            ("X-GZip", gzip(b"hello")),
            ("deflate", zlib(b"hello")),
            ("deflate", raw_deflate(b"hello")),
            ("br", BROTLI_HELLO.to_vec()),
            ("zstd", zstd(b"hello")),
            ("gzip, identity, zstd", zstd(&gzip(b"hello"))),
            ("\x0bgzip x", gzip(b"hello")),
            ("br;q=1,deflate , gzip,zstd", zstd(&gzip(&zlib(BROTLI_HELLO)))),
        ]
    }

    #[test]
    fn every_coding_cut_at_every_byte_gives_the_same() {
        for (name, coded) in hellos() {
            for at in 0..=coded.len() {
                let (before, behind) = coded.split_at(at);
                assert_eq!(decode_pieces(name, [before, behind].into_iter()), Ok(b"hello".to_vec()), "{name} at {at}");
            }
            assert_eq!(decode_pieces(name, coded.chunks(1)), Ok(b"hello".to_vec()), "{name} byte by byte");
        }
    }

    #[test]
    fn long_bodies_come_out_whole() {
        let long: Vec<u8> =
            (0..300_000_u32).flat_map(|at| (at / 7).wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        for (name, coded) in [("gzip", gzip(&long)), ("deflate", zlib(&long)), ("zstd", zstd(&long))] {
            assert!(coded.len() > 100_000, "{name}: {}", coded.len());
            assert_eq!(decode_pieces(name, coded.chunks(1460)), Ok(long.clone()), "{name}");
        }
    }

    #[test]
    fn members_and_frames_behind_each_other_are_one_body() {
        assert_eq!(decode("gzip", &[gzip(b"hel"), gzip(b""), gzip(b"lo")].concat()), Ok(b"hello".to_vec()));
        assert_eq!(decode("zstd", &[zstd(b"hel"), zstd(b"lo")].concat()), Ok(b"hello".to_vec()));
    }

    #[test]
    fn what_stands_behind_the_end_is_ignored() {
        for (name, coded) in hellos() {
            for behind in ["\0\0\0\0", "garbage", "\x1f", "(garbage"] {
                let coded = [&coded[..], behind.as_bytes()].concat();
                assert_eq!(decode(name, &coded), Ok(b"hello".to_vec()), "{name} {behind:?}");
            }
        }
    }

    #[test]
    fn every_part_of_a_gzip_header_is_passed_over() {
        let deflated = raw_deflate(b"hello");
        let parts: [(u8, &[u8]); 5] =
            [(1, b""), (2, b"\x01\x02"), (4, b"\x03\x00abc"), (8, b"name\0"), (16, b"comment\0")];
        for flags in 0..32_u8 {
            let mut coded = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
            // RFC 1952 section 2.3: extra, name, comment, checksum
            for wanted in [4, 8, 16, 2] {
                let part = parts.iter().find(|(flag, _)| *flag == wanted && flags & flag != 0);
                coded.extend_from_slice(part.map_or(b"", |(_, bytes)| bytes));
            }
            coded.extend_from_slice(&deflated);
            assert_eq!(decode_pieces("gzip", coded.chunks(1)), Ok(b"hello".to_vec()), "flags {flags:#x}");
        }
    }

    #[test]
    fn bombs_of_every_coding_stop_by_ratio() {
        let blanks = vec![b' '; BOMB_BYTES];
        for (name, coded) in [
            ("gzip", gzip(&blanks)),
            ("deflate", zlib(&blanks)),
            ("br", BROTLI_BOMB.to_vec()),
            ("zstd", zstd(&blanks)),
            ("gzip, gzip", gzip(&gzip(&vec![b' '; 64 << 20]))),
            ("zstd, gzip", gzip(&zstd(&vec![b' '; 64 << 20]))),
        ] {
            let (mut made, mut allowance) = (0, Allowance::default());
            let mut decoding = Decoding::new(&codings(name), &Codings::default()).unwrap().unwrap();
            let outcome = decoding.push(&coded, &mut allowance, &mut |piece| made += piece.len() as u64);
            assert_eq!(outcome, Err(Trouble::Bomb), "{name}");
            let allowed = HTTP_DECODED_FREE_BYTES + HTTP_DECODED_RATIO_MAX * coded.len() as u64;
            assert!(made <= allowed && made > HTTP_DECODED_FREE_BYTES / 4, "{name}: {made} of {allowed}");
        }
    }

    #[test]
    fn many_small_bombs_on_one_connection_are_one() {
        let coded = gzip(&vec![b' '; 400_000]);
        let mut allowance = Allowance::default();
        let outcomes: Vec<_> = (0..4)
            .map(|_| {
                let mut decoding = Decoding::new(&codings("gzip"), &Codings::default()).unwrap().unwrap();
                decoding.push(&coded, &mut allowance, &mut |_| {})
            })
            .collect();
        assert_eq!(outcomes[0], Ok(()));
        assert_eq!(outcomes[3], Err(Trouble::Bomb));
    }

    #[test]
    fn a_window_larger_than_clients_take_is_refused() {
        // RFC 8878 section 3.1.1.1: no flags, a window of 2^24 bytes, then a raw block of five
        let frame = |window: u8| [&[0x28, 0xb5, 0x2f, 0xfd, 0, window, 0x29, 0, 0][..], b"hello"].concat();
        assert_eq!(decode("zstd", &frame((23 - 10) << 3)), Ok(b"hello".to_vec()));
        assert_eq!(decode("zstd", &frame((24 - 10) << 3)), Err(Trouble::Damaged));
    }

    #[test]
    fn plain_and_unknown_codings_leave_a_body_as_it_is() {
        for name in ["identity", "", " , identity", "compress", "utf-8, gzip", "aws-chunked", "chunked"] {
            assert_eq!(decode(name, b"hello"), Ok(b"hello".to_vec()), "{name}");
        }
    }

    #[test]
    fn more_codings_than_are_undone_are_refused() {
        assert!(Decoding::new(&codings("gzip,gzip,gzip,gzip"), &Codings::default()).is_ok());
        let more = [("gzip,gzip,gzip,gzip,gzip", ""), ("gzip,gzip,gzip,gzip", "gzip, chunked")];
        for (content, transfer) in more {
            let decoding = Decoding::new(&codings(content), &codings(transfer));
            assert!(matches!(decoding, Err(Trouble::Full)), "{content} {transfer}");
        }
    }

    #[test]
    fn what_decoders_hold_is_told() {
        for name in ["gzip", "deflate", "br", "zstd"] {
            let decoding = Decoding::new(&codings(name), &Codings::default()).unwrap().unwrap();
            assert!(decoding.held() > 8_000, "{name}: {}", decoding.held());
        }
        // a window of 8 MiB is told as soon as it is there
        let mut decoding = Decoding::new(&codings("zstd"), &Codings::default()).unwrap().unwrap();
        let begun = [0x28, 0xb5, 0x2f, 0xfd, 0, (23 - 10) << 3, 0x29, 0, 0, b'h'];
        decoding.push(&begun, &mut Allowance::default(), &mut |_| {}).unwrap();
        assert!(decoding.held() > 8 << 20, "{}", decoding.held());
    }

    #[test]
    fn what_comes_before_damage_comes_out_however_it_is_cut() {
        // a stored block of five bytes, then a block of the type that RFC 1951 section 3.2.3 has no meaning for
        let gzip = [&gzip(b"")[..10], b"\x00\x05\x00\xfa\xffhello\x07more"].concat();
        // RFC 8878 section 3.1.1.2: a raw block of five bytes, then one of the reserved type
        let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0x28, 0, 0][..], b"hello", &[0x07, 0, 0, 1, 2]].concat();
        for (name, coded) in [("gzip", gzip), ("zstd", zstd)] {
            for pieces in 1..=coded.len() {
                let (mut out, mut allowance) = (Vec::new(), Allowance::default());
                let mut decoding = Decoding::new(&codings(name), &Codings::default()).unwrap().unwrap();
                let outcome = coded.chunks(pieces).try_for_each(|piece| {
                    decoding.push(piece, &mut allowance, &mut |piece| out.extend_from_slice(piece))
                });
                assert_eq!((outcome, &out[..]), (Err(Trouble::Damaged), &b"hello"[..]), "{name} in pieces of {pieces}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_pieces_do_not_matter(
            which in 0..9_usize,
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            noise in proptest::collection::vec(any::<u8>(), 0..200),
            pieces in 1..40_usize,
        ) {
            let (name, mut coded) = hellos().swap_remove(which);
            for (at, byte) in &changes {
                *at.get_mut(&mut coded) = *byte;
            }
            if changes.is_empty() {
                coded = noise;
            }
            let whole = decode(name, &coded);
            prop_assert_eq!(decode_pieces(name, coded.chunks(pieces)), whole);
        }
    }
}
