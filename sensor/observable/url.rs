//! URLs. In: an absolute URL as a feed writes it or as a parser puts it together. Out: the parts that mean the same
//! whatever their spelling made equal (RFC 3986 section 6.2), everything else byte for byte.
//! Never here: percent-decoding (it would change what a server sees), a resolver.

use super::domain::host_to_ascii;
use super::{Kind, Refused, Shape};

/// An absolute URL, compared as a whole.
pub static URL: Kind = Kind { name: "url", shape: Shape::Equal, canonical, text, index: 4 };

/// What a URL field is looked up as.
pub static KINDS: [&Kind; 1] = [&URL];

/// Longer requests are refused by common servers (nginx and Apache take 8 KiB of request line).
const URL_BYTES_MAX: usize = 8_192;

fn canonical(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    check_bytes(bytes)?;
    let (scheme, rest) = split_at_first(bytes, b"://").ok_or(Refused("no scheme"))?;
    let good = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !good {
        return Err(Refused("no scheme"));
    }
    let rest = rest.split(|&b| b == b'#').next().unwrap_or_default();
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let start = out.len();
    push_lower(scheme, out);
    out.extend_from_slice(b"://");
    if let Err(refused) = push_authority(scheme, authority, out) {
        out.truncate(start);
        return Err(refused);
    }
    if path.first() != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(path);
    // a name in ASCII may be longer than it was, and a slash may have come
    if out.len() - start > URL_BYTES_MAX {
        out.truncate(start);
        return Err(TOO_LONG);
    }
    Ok(())
}

const TOO_LONG: Refused = Refused("URL longer than 8192 bytes");

fn check_bytes(bytes: &[u8]) -> Result<(), Refused> {
    if bytes.len() > URL_BYTES_MAX {
        return Err(TOO_LONG);
    }
    if bytes.iter().any(|&b| b <= b' ' || b == 0x7f) {
        return Err(Refused("control byte or space in a URL"));
    }
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refused("not UTF-8")),
    }
}

/// The user part goes: clients send it in a header of its own, and who puts one into a target must not get past an
/// indicator by it (RFC 9110 section 4.2.4). The host loses its case and final dots and is written in ASCII as a name is,
/// the port loses its leading zeros, and a scheme's own port goes.
fn push_authority(scheme: &[u8], authority: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    let host_at = authority.iter().rposition(|&b| b == b'@').map_or(0, |at| at + 1);
    let (host, port) = split_port(&authority[host_at..])?;
    let host = host_to_ascii(host)?;
    let dots = host.iter().rev().take_while(|&&b| b == b'.').count();
    let host = &host[..host.len() - dots];
    if host.is_empty() {
        return Err(Refused("no host"));
    }
    push_lower(host, out);
    match port {
        Some(port) if own_port(scheme) != Some(port) => {
            out.push(b':');
            push_number(port, out);
        }
        _ => {}
    }
    Ok(())
}

/// An address of IPv6 stands in brackets, so the last colon behind them is the port's (RFC 3986 section 3.2.2).
fn split_port(bytes: &[u8]) -> Result<(&[u8], Option<u16>), Refused> {
    let inside = bytes.iter().rposition(|&b| b == b']').map_or(0, |at| at + 1);
    let Some(colon) = bytes[inside..].iter().position(|&b| b == b':') else { return Ok((bytes, None)) };
    let (host, port) = (&bytes[..inside + colon], &bytes[inside + colon + 1..]);
    if port.is_empty() {
        return Ok((host, None));
    }
    let number = port.iter().try_fold(0_u16, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    });
    Ok((host, Some(number.ok_or(Refused("port out of range"))?)))
}

fn own_port(scheme: &[u8]) -> Option<u16> {
    const OWN: [(&[u8], u16); 5] = [(b"http", 80), (b"https", 443), (b"ftp", 21), (b"ws", 80), (b"wss", 443)];
    OWN.iter().find(|(name, _)| name.eq_ignore_ascii_case(scheme)).map(|&(_, port)| port)
}

fn push_number(number: u16, out: &mut Vec<u8>) {
    let mut divisor = 10_000;
    while divisor > 1 && number < divisor {
        divisor /= 10;
    }
    while divisor > 0 {
        out.push(b'0' + (number / divisor % 10) as u8);
        divisor /= 10;
    }
}

fn push_lower(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(bytes.iter().map(u8::to_ascii_lowercase));
}

fn split_at_first<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}

fn text(canonical: &[u8]) -> String {
    String::from_utf8_lossy(canonical).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(url: &str) -> Result<String, &'static str> {
        let mut out = Vec::new();
        canonical(url.as_bytes(), &mut out).map(|()| text(&out)).map_err(|refused| refused.0)
    }

    #[test]
    fn spellings_of_one_place_are_one() {
        let one = Ok("http://c2.bad.example/Gate.php?id=%37".to_owned());
        assert_eq!(form("HTTP://C2.Bad.Example/Gate.php?id=%37"), one);
        assert_eq!(form("http://c2.bad.example.:80/Gate.php?id=%37#top"), one);
        assert_eq!(form("http://c2.bad.example:/Gate.php?id=%37"), one);
        assert_eq!(form("http://User:pw@c2.bad.example/Gate.php?id=%37"), one);
        assert_eq!(form("http://good.example@bad.example/@x"), Ok("http://bad.example/@x".into()));
        assert_eq!(form("http://a.example"), Ok("http://a.example/".into()));
        assert_eq!(form("http://a.example?q"), Ok("http://a.example/?q".into()));
        assert_eq!(form("https://a.example:08443/x"), Ok("https://a.example:8443/x".into()));
    }

    #[test]
    fn a_host_is_the_name_that_it_is_in_any_script() {
        let one = form("http://xn--bcher-kva.example:8080/Straße");
        assert_eq!(form("http://BÜCHER.example.:8080/Straße"), one);
        assert_eq!(form("http://ｂu\u{308}cher。example。:8080/Straße"), one);
        assert_eq!(form("http://a／b.example/"), Err("not a name in any script: IDNA (UTS 46) refuses it"));
    }

    #[test]
    fn other_places_stay_others() {
        assert_eq!(form("http://a.example/A"), Ok("http://a.example/A".into()));
        assert_eq!(form("https://a.example:80/"), Ok("https://a.example:80/".into()));
        assert_eq!(form("http://[2001:DB8::1]:80/"), Ok("http://[2001:db8::1]/".into()));
        assert_eq!(form("http://[2001:db8::1]:81/"), Ok("http://[2001:db8::1]:81/".into()));
        assert_eq!(form("http://a.example:0/"), Ok("http://a.example:0/".into()));
    }

    #[test]
    fn what_is_no_url_says_why() {
        assert_eq!(form("a.example/x"), Err("no scheme"));
        assert_eq!(form("1http://a.example/x"), Err("no scheme"));
        assert_eq!(form("http:///x"), Err("no host"));
        assert_eq!(form("http://.../x"), Err("no host"));
        assert_eq!(form("http://a:b:c/"), Err("port out of range"));
        assert_eq!(form("http://a:65536/"), Err("port out of range"));
        assert_eq!(form("http://a/ b"), Err("control byte or space in a URL"));
        assert_eq!(form(&format!("http://a/{}", "b".repeat(9000))), Err("URL longer than 8192 bytes"));
    }

    #[test]
    fn a_url_is_as_long_as_it_is_spelled() {
        let (host, mut out) = ("http://가나.한국/".as_bytes(), Vec::new());
        let long = |bytes: usize| [host, &vec![b'a'; bytes - host.len()]].concat();
        assert_eq!((URL.canonical)(&long(URL_BYTES_MAX), &mut out), Err(TOO_LONG));
        assert_eq!(
            (URL.canonical)(&[b"http://a?", &vec![b'a'; URL_BYTES_MAX - 9][..]].concat(), &mut out),
            Err(TOO_LONG)
        );
        assert!(out.is_empty());
        assert_eq!((URL.canonical)(&long(URL_BYTES_MAX - 11), &mut out), Ok(()));
        assert!((URL.canonical)(&out.clone(), &mut out).is_ok());
    }
}
