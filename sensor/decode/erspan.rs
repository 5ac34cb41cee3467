//! ERSPAN: Cisco's mirrored frames in GRE, types I to III (draft-foschiano-erspan).

use super::{Fate, Malformed, Next, Peeling, Tunnel, ethernet, gre, link};

/// Types I and II.
pub(super) const KIND: u16 = 0x88BE;
pub(super) const KIND_III: u16 = 0x22EB;

pub(super) static TUNNEL: Tunnel = Tunnel { name: "erspan", peel };

/// Whether a GRE header says that it carries ERSPAN.
pub(super) fn is_carried(gre: &[u8]) -> bool {
    gre.first_chunk::<4>().is_some_and(|head| [KIND, KIND_III].contains(&u16::from_be_bytes([head[2], head[3]])))
}

fn peel(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    let (flags, kind, _) = gre::header(peeling)?;
    if kind == KIND_III {
        return third(peeling);
    }
    // type I has neither a sequence number nor a header
    if flags & gre::SEQUENCE != 0 {
        peeling.take(8, Malformed::ErspanShort)?;
    }
    Ok((0, Next::Ethernet))
}

/// Type III: twelve bytes, eight more where the last bit says so; five bits name what was mirrored.
fn third(peeling: &mut Peeling<'_>) -> Result<(u32, Next), Fate> {
    let head = peeling.take(12, Malformed::ErspanShort)?;
    let kind = u16::from_be_bytes([head[10], head[11]]) >> 10 & 0x1F;
    if head[11] & 1 != 0 {
        peeling.take(8, Malformed::ErspanShort)?;
    }
    match kind {
        0 => Ok((0, if ethernet::is_likely(peeling.bytes) { Next::Ethernet } else { Next::Header(link::raw) })),
        2 => Ok((0, Next::Header(link::raw))),
        _ => Err(Fate::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decoded, ethernet, flawed, inner, ipv4, tunnelled};
    use super::*;

    fn within(gre: &[u8], erspan: &[u8], rest: &[u8]) -> Vec<u8> {
        ethernet(0x0800, &ipv4(gre::PROTOCOL, &[gre, erspan, rest].concat()))
    }

    #[test]
    fn each_type_has_its_own_length() {
        let frame = ethernet(0x0800, &inner());
        let second = [0x10, 0, 0x88, 0xBE, 0, 0, 0, 1];
        let third = [0x10, 0, 0x22, 0xEB, 0, 0, 0, 1];
        let mut long = [0; 20];
        long[11] = 1;
        tunnelled(&within(&[0, 0, 0x88, 0xBE], &[], &frame), "erspan", 0);
        tunnelled(&within(&second, &[0x10, 1, 0, 7, 0, 0, 0, 0], &frame), "erspan", 0);
        tunnelled(&within(&third, &[0; 12], &frame), "erspan", 0);
        tunnelled(&within(&third, &long, &frame), "erspan", 0);
        let mut of_ip = [0; 12];
        of_ip[10] = 2 << 2;
        tunnelled(&within(&third, &of_ip, &inner()), "erspan", 0);
        flawed(&within(&second, &[0x10, 1], &[]), Malformed::ErspanShort);
        flawed(&within(&third, &[0; 11], &[]), Malformed::ErspanShort);
    }

    #[test]
    fn other_kinds_of_mirrored_frames_leave_the_tunnels_own_packet() {
        let mut other = [0; 12];
        other[10] = 5 << 2;
        let bytes = within(&[0x10, 0, 0x22, 0xEB, 0, 0, 0, 1], &other, &inner());
        assert_eq!(decoded(&bytes).expect("a packet").0.protocol, gre::PROTOCOL);
    }
}
