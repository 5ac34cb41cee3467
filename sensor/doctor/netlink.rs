//! What only netlink tells of an interface: whether its driver has native XDP, and whether a program is attached.
//!
//! In: an interface's number. Out: the answer, `None` where the kernel does not know the question. Two questions of some
//! bytes each; never here: one that changes anything.

use rustix::net::netlink::{GENERIC, SocketAddrNetlink};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use crate::limits::{DOCTOR_ANSWER_BYTES_MAX, DOCTOR_ATTRIBUTES_MAX};

/// Numbers of the kernel's headers: linux/netlink.h, genetlink.h, netdev.h, rtnetlink.h, if_link.h.
mod number {
    pub(super) const REQUEST: u16 = 1;
    pub(super) const ERROR: u16 = 2;
    pub(super) const CONTROL: u16 = 0x10;
    pub(super) const GET_FAMILY: u8 = 3;
    pub(super) const FAMILY_ID: u16 = 1;
    pub(super) const FAMILY_NAME: u16 = 2;
    pub(super) const GET_DEVICE: u8 = 1;
    pub(super) const DEVICE_INDEX: u16 = 1;
    pub(super) const DEVICE_XDP_FEATURES: u16 = 3;
    pub(super) const GET_LINK: u16 = 18;
    pub(super) const LINK_XDP: u16 = 43;
    pub(super) const XDP_ATTACHED: u16 = 2;
    pub(super) const XDP_PROGRAM: u16 = 4;
}

/// What a driver must do with XDP for AF_XDP: run a program, and redirect.
const XDP_WANTED: u64 = 0b11;

/// Bytes before the attributes of an answer: the message's header, and what its kind has behind it.
const HEADER_BYTES: usize = 16;
const GENERIC_BYTES: usize = 4;
const LINK_BYTES: usize = 16;

/// Whether the driver runs XDP programs itself, and lets them redirect.
pub(super) fn has_native_xdp(index: u32) -> Option<bool> {
    let asked = [&generic(number::GET_FAMILY)[..], &attribute(number::FAMILY_NAME, b"netdev\0")].concat();
    let answer = ask(Some(GENERIC), number::CONTROL, &asked)?;
    let id = attributes(answer.get(HEADER_BYTES + GENERIC_BYTES..)?).find(|(kind, _)| *kind == number::FAMILY_ID)?.1;
    let family = u16::from_ne_bytes(id.get(..2)?.try_into().ok()?);
    let asked = [&generic(number::GET_DEVICE)[..], &attribute(number::DEVICE_INDEX, &index.to_ne_bytes())].concat();
    let answer = ask(Some(GENERIC), family, &asked)?;
    let mut told = attributes(answer.get(HEADER_BYTES + GENERIC_BYTES..)?);
    let features = told.find(|(kind, _)| *kind == number::DEVICE_XDP_FEATURES)?.1;
    let features = u64::from_ne_bytes(features.get(..8)?.try_into().ok()?);
    Some(features & XDP_WANTED == XDP_WANTED)
}

/// The number of the XDP program that is attached, 0 where several are; `None`: none is.
pub(super) fn xdp_attached(index: u32) -> Option<u32> {
    let mut asked = vec![0; LINK_BYTES];
    asked[4..8].copy_from_slice(&index.to_ne_bytes());
    let answer = ask(None, number::GET_LINK, &asked)?;
    let mut told = attributes(answer.get(HEADER_BYTES + LINK_BYTES..)?);
    let xdp = told.find(|(kind, _)| *kind == number::LINK_XDP)?.1;
    let attached = attributes(xdp).find(|(kind, _)| *kind == number::XDP_ATTACHED)?.1;
    if attached.first().is_none_or(|how| *how == 0) {
        return None;
    }
    let program = attributes(xdp).find(|(kind, _)| *kind == number::XDP_PROGRAM);
    let program = program.and_then(|(_, bytes)| Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?)));
    Some(program.unwrap_or_default())
}

fn generic(command: u8) -> [u8; GENERIC_BYTES] {
    [command, 1, 0, 0]
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = (value.len() + 4) as u16;
    let mut bytes = [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Attributes with their values; what does not fit ends them.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let next = move || {
        let len = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    };
    std::iter::from_fn(next).take(DOCTOR_ATTRIBUTES_MAX)
}

/// One question and its one answer; no protocol is that of routes and links. The kernel answers before the question's call
/// returns, so nobody waits.
fn ask(protocol: Option<Protocol>, kind: u16, body: &[u8]) -> Option<Vec<u8>> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol).ok()?;
    let len = (HEADER_BYTES + body.len()) as u32;
    let head = [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), &number::REQUEST.to_ne_bytes(), &[0; 8]].concat();
    let question = [&head[..], body].concat();
    sendto(&socket, &question, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).ok()?;
    let mut answer = vec![0; DOCTOR_ANSWER_BYTES_MAX];
    let (len, _) = recv(&socket, &mut answer[..], RecvFlags::DONTWAIT).ok()?;
    answer.truncate(len);
    let told = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    (told != number::ERROR).then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_and_what_does_not_fit_ends_them() {
        let bytes = [attribute(3, b"abcde"), attribute(0x8007, b"")].concat();
        assert_eq!(attributes(&bytes).collect::<Vec<_>>(), [(3, &b"abcde"[..]), (7, b"")]);
        assert_eq!(attributes(&bytes[..8]).count(), 0);
        assert_eq!(attributes(&[0; 4_096]).count(), 0, "a length of nothing is none");
        let many = attribute(1, b"").repeat(2 * DOCTOR_ATTRIBUTES_MAX);
        assert_eq!(attributes(&many).count(), DOCTOR_ATTRIBUTES_MAX);
    }

    #[test]
    fn loopback_has_no_native_xdp_and_nothing_attached() {
        let index = af_xdp::Interface::named("lo").expect("every machine has one").index();
        assert_ne!(has_native_xdp(index), Some(true));
        assert_eq!(xdp_attached(index), None);
        assert_eq!((has_native_xdp(u32::MAX), xdp_attached(u32::MAX)), (None, None), "there is no such interface");
    }
}
