//! Captures for the tests of this room: a classic file of any byte order, and bytes packed both ways.

use std::io::Write;

/// Frames a second apart.
pub(super) fn pcap(magic: [u8; 4], big: bool, frames: &[&[u8]]) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut out = magic.to_vec();
    for value in [if big { 0x0002_0004 } else { 0x0004_0002 }, 0, 0, 65_535, 1] {
        out.extend_from_slice(&word(value));
    }
    for (second, frame) in frames.iter().enumerate() {
        for value in [second as u32, 7, frame.len() as u32, frame.len() as u32] {
            out.extend_from_slice(&word(value));
        }
        out.extend_from_slice(frame);
    }
    out
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory");
    encoder.include_checksum(true).expect("a parameter");
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}
