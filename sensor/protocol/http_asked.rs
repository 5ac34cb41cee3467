//! A request that waits for its answer, and the texts of it that its answer repeats.
//!
//! In: a request line and its host. Out: spans into the one text that is kept of it. Never here: more than the bounds of
//! who keeps it.

use super::http_head::{RequestLine, is_absolute, split_absolute};

/// A request that waits for its answer. Its text in `kept` is `[http://host[:port]]target method`, its spans count from
/// the beginning of that text.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked {
    /// Length of the whole text; 0: nothing was kept.
    pub(super) len: usize,
    pub(super) host: (usize, usize),
    pub(super) target: (usize, usize),
    pub(super) method: (usize, usize),
    pub(super) port: Option<u16>,
    pub(super) asks: Asks,
}

/// What a method means for the answer's body.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Asks {
    #[default]
    Content,
    HeadOnly,
    Tunnel,
}

impl Asked {
    /// Keeps the text of a request behind those that are kept.
    pub(super) fn keep(kept: &mut Vec<u8>, line: &RequestLine<'_>, host: Option<&[u8]>) -> Self {
        let from = kept.len();
        let absolute = is_absolute(line.target);
        let asks = match line.method {
            b"HEAD" => Asks::HeadOnly,
            b"CONNECT" => Asks::Tunnel,
            _ => Asks::Content,
        };
        let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| line.host_of_target());
        let (name, port) = split_port(host);
        let mut asked = Asked { port, asks, ..Asked::default() };
        if !host.is_empty() {
            kept.extend_from_slice(b"http://");
            asked.host = (kept.len() - from, kept.len() - from + name.len());
            kept.extend_from_slice(host);
        }
        if absolute {
            // The target is the URL; the host, if another, stands behind it.
            kept.truncate(from);
            kept.extend_from_slice(line.target);
            asked.target = (0, line.target.len());
            asked.host = (line.target.len(), line.target.len() + name.len());
            kept.extend_from_slice(name);
        } else {
            asked.target = (kept.len() - from, kept.len() - from + line.target.len());
            kept.extend_from_slice(line.target);
        }
        asked.method = (kept.len() - from, kept.len() - from + line.method.len());
        kept.extend_from_slice(line.method);
        asked.len = kept.len() - from;
        asked
    }
}

pub(super) fn span(text: &[u8], (start, end): (usize, usize)) -> &[u8] {
    text.get(start..end).unwrap_or_default()
}

/// The path of a target, for a file's name.
pub(super) fn path(target: &[u8]) -> &[u8] {
    let path = if is_absolute(target) { split_absolute(target).1 } else { target };
    path.split(|&byte| byte == b'?').next().unwrap_or(path)
}

/// A host without its port; a bare IPv6 address is left whole.
pub(super) fn split_port(host: &[u8]) -> (&[u8], Option<u16>) {
    let from = host.iter().position(|&byte| byte == b']').unwrap_or(0);
    let mut colons = host.iter().enumerate().skip(from).filter(|(_, byte)| **byte == b':');
    let (Some((at, _)), None) = (colons.next(), colons.next()) else { return (host, None) };
    let (name, port) = host.split_at(at);
    let port = port.get(1..).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    (name, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_cut_off_hosts() {
        assert_eq!(split_port(b"a.kr:80"), (&b"a.kr"[..], Some(80)));
        assert_eq!(split_port(b"[2001:db8::1]:80"), (&b"[2001:db8::1]"[..], Some(80)));
        assert_eq!(split_port(b"2001:db8::1"), (&b"2001:db8::1"[..], None));
        assert_eq!(split_port(b"a.kr:"), (&b"a.kr"[..], None));
    }
}
