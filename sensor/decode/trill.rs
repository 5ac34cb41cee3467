//! TRILL (RFC 6325, 3.1): six bytes, options, then the frame as it entered the campus.

use super::{Fate, Malformed, Next, Peeling};

pub(super) fn peel(peeling: &mut Peeling<'_>) -> Result<Next, Fate> {
    let head = peeling.take(4, Malformed::TagShort)?;
    // two bits of version, two reserved, one for many destinations; then the options' length in words of four bytes
    let field = u16::from_be_bytes([head[0], head[1]]);
    if field >> 14 != 0 {
        return Err(Fate::NotIp);
    }
    let options = usize::from(field >> 6 & 0x1F) * 4;
    // head held both the field and the egress nickname; the ingress nickname is left
    peeling.take(2 + options, Malformed::TagShort)?;
    Ok(Next::Ethernet)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, ethernet, inner, refused};
    use super::*;

    #[test]
    fn a_frame_in_trill_is_read_behind_its_options() {
        for words in [0u16, 2] {
            let head = [&(words << 6).to_be_bytes()[..], &[0, 1, 0, 2], &vec![0xEE; usize::from(words) * 4]].concat();
            let bytes = ethernet(0x22F3, &[&head[..], &ethernet(0x0800, &inner())].concat());
            assert_eq!(decoded(&bytes).expect("a packet").1, b"inside");
        }
        refused(&ethernet(0x22F3, &[0, 0, 0, 1, 0]), Malformed::TagShort);
        assert_eq!(decoded(&ethernet(0x22F3, &[0x40, 0, 0, 1, 0, 2])), Err(Fate::NotIp));
    }
}
