//! IEEE 802.11 data frames that are not encrypted, and the headers that radios put before them.
//!
//! Of an aggregate (A-MSDU) the first frame is read; fragments of frames are not put together.

use super::{Fate, Malformed, Next, Peeling, llc};

const DATA: u8 = 0x08;
const VERSION_AND_TYPE: u8 = 0x0F;
const SUBTYPE_QOS: u8 = 0x80;
const SUBTYPE_EMPTY: u8 = 0x40;
const TO_AND_FROM_DS: u8 = 0x03;
const MORE_FRAGMENTS: u8 = 0x04;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;
const AGGREGATE: u8 = 0x80;
const SNAP: [u8; 3] = [0xAA, 0xAA, 0x03];

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let control = peeling.bytes.first_chunk::<2>().copied().ok_or(Malformed::WifiShort)?;
    data(peeling, control)
}

/// As [`peel`], where the two bytes of frame control may be the wrong way round: controllers of one maker send it so.
pub(super) fn peel_either(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let [one, other] = peeling.bytes.first_chunk::<2>().copied().ok_or(Malformed::WifiShort)?;
    let swapped = one & VERSION_AND_TYPE != DATA && other & VERSION_AND_TYPE == DATA;
    data(peeling, if swapped { [other, one] } else { [one, other] })
}

/// A data frame, IEEE 802.11, 9.3.2.1.
fn data(peeling: &mut Peeling<'_>, [kind, flags]: [u8; 2]) -> Result<Next, Fate> {
    let readable = kind & VERSION_AND_TYPE == DATA && kind & SUBTYPE_EMPTY == 0;
    if !readable || flags & (PROTECTED | MORE_FRAGMENTS) != 0 {
        return Err(Fate::NotIp);
    }
    let head = peeling.take(24, Malformed::WifiShort)?;
    if head[22] & 0x0F != 0 {
        return Err(Fate::NotIp); // a later fragment
    }
    if flags & TO_AND_FROM_DS == TO_AND_FROM_DS {
        peeling.take(6, Malformed::WifiShort)?;
    }
    if kind & SUBTYPE_QOS != 0 {
        let quality = peeling.take(2, Malformed::WifiShort)?[0];
        if flags & ORDER != 0 {
            peeling.take(4, Malformed::WifiShort)?;
        }
        if quality & AGGREGATE != 0 {
            aligned(peeling, 14);
            peeling.take(14, Malformed::WifiShort)?;
        }
    }
    aligned(peeling, 0);
    Ok(Next::Header(llc::peel))
}

/// Some radios pad the header to a multiple of four and do not all say so. SNAP shows it, this many bytes further on.
fn aligned(peeling: &mut Peeling<'_>, before: usize) {
    let is_snap = |at: usize| peeling.bytes.get(at..).is_some_and(|rest| rest.starts_with(&SNAP));
    if !is_snap(before) && is_snap(before + 2) {
        let _pad = peeling.take(2, Malformed::WifiShort);
    }
}

/// Radiotap: version 0, then the header's length in little-endian order. Source: radiotap.org.
pub(super) fn radiotap(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let Some(&[0, _, low, high]) = peeling.bytes.first_chunk::<4>() else { return Err(Malformed::RadioShort.into()) };
    skip(peeling, usize::from(u16::from_le_bytes([low, high])), 8)
}

/// AVS: a number that names the format, then the header's length, both in big-endian order.
pub(super) fn avs(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let Some(&[0x80, 0x21, _, _, a, b, c, d]) = peeling.bytes.first_chunk::<8>() else {
        return Err(Malformed::RadioShort.into());
    };
    skip(peeling, u32::from_be_bytes([a, b, c, d]) as usize, 8)
}

/// Prism: a message's code and length in the order of the machine that captured; some drivers send AVS in its place.
pub(super) fn prism(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let Some(head) = peeling.bytes.first_chunk::<8>() else { return Err(Malformed::RadioShort.into()) };
    let length = [head[4], head[5], head[6], head[7]];
    match head[..4] {
        [0x80, 0x21, ..] => avs(peeling),
        [0, 0, 0, _] => skip(peeling, u32::from_be_bytes(length) as usize, 8),
        _ => skip(peeling, u32::from_le_bytes(length) as usize, 8),
    }
}

/// Takes a radio's header, which is at least so long.
fn skip(peeling: &mut Peeling<'_>, len: usize, least: usize) -> Result<Next, Fate> {
    if len < least {
        return Err(Malformed::RadioShort.into());
    }
    peeling.take(len, Malformed::RadioShort)?;
    Ok(Next::Header(peel))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded_on, inner, refused_on};
    use super::*;

    const WIFI: u16 = 105;
    const LLC: [u8; 8] = [0xAA, 0xAA, 3, 0, 0, 0, 8, 0];

    fn framed(kind: u8, flags: u8, more: &[u8]) -> Vec<u8> {
        [&[kind, flags][..], &[0; 22], more, &LLC, &inner()].concat()
    }

    #[test]
    fn data_frames_are_read_with_all_that_may_lengthen_their_header() {
        let aggregate = [&[0x80, 0][..], &[2; 12], &[0, 90]].concat();
        let frames = [
            framed(0x08, 0, &[]),
            framed(0x08, 3, &[6; 6]),
            framed(0x88, 1, &[0, 0]),
            framed(0x88, 0x83, &[6, 6, 6, 6, 6, 6, 0, 0, 1, 2, 3, 4]),
            framed(0x88, 2, &[0, 0, 0, 0]), // padded to four
            framed(0x88, 2, &aggregate),
        ];
        for frame in frames {
            assert_eq!(decoded_on(WIFI, &frame).expect("a packet").1, b"inside", "{frame:02x?}");
        }
    }

    #[test]
    fn what_is_encrypted_empty_in_pieces_or_no_data_is_not_ip() {
        let mut later = framed(0x08, 0, &[]);
        later[22] = 1;
        let frames = [framed(0x08, 0x40, &[]), framed(0x48, 0, &[]), framed(0x80, 0, &[]), framed(0x08, 4, &[]), later];
        for frame in frames {
            assert_eq!(decoded_on(WIFI, &frame), Err(Fate::NotIp));
        }
        for len in [0, 1, 23] {
            refused_on(WIFI, &framed(0x88, 0, &[])[..len], Malformed::WifiShort);
        }
    }

    #[test]
    fn headers_of_radios_are_as_long_as_they_say() {
        let frame = framed(0x08, 0, &[]);
        let radiotap = [&[0, 0, 9, 0, 0, 0, 0, 0, 1][..], &frame].concat();
        let avs = [&[0x80, 0x21, 0x10, 1, 0, 0, 0, 64][..], &[0; 56], &frame].concat();
        let prism = [&[0x44, 0, 0, 0, 144, 0, 0, 0][..], &[0; 136], &frame].concat();
        let prism_big = [&[0, 0, 0, 0x44, 0, 0, 0, 144][..], &[0; 136], &frame].concat();
        for (link, bytes) in [(127, &radiotap), (163, &avs), (119, &prism), (119, &prism_big), (119, &avs)] {
            assert_eq!(decoded_on(link, bytes).expect("a packet").1, b"inside", "{link}");
        }
        for (link, bytes) in [(127, &[0, 0, 7, 0][..]), (127, &[0, 0, 40, 0, 0]), (163, &avs[..40]), (119, &[0x44; 7])]
        {
            refused_on(link, bytes, Malformed::RadioShort);
        }
    }
}
