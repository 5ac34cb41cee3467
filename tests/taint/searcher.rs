//! Finds a marker however it is dressed: as it is, in another case, in hexadecimal, in Base64 at any offset, percent-encoded,
//! backwards. In: markers and bytes. Out: what was found where.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Every dress of a marker, with its name.
fn dresses(marker: &[u8]) -> Vec<(String, Vec<u8>)> {
    let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes();
    let percent: String = marker.iter().map(|byte| format!("%{byte:02x}")).collect();
    let backwards: Vec<u8> = marker.iter().rev().copied().collect();
    let mut all = vec![
        ("as it is".to_owned(), marker.to_vec()),
        ("hexadecimal".to_owned(), hexadecimal(marker)),
        ("percent-encoded".to_owned(), percent.into_bytes()),
        ("backwards".to_owned(), backwards),
    ];
    for (name, engine) in [("Base64", &STANDARD_NO_PAD), ("Base64 for URLs", &URL_SAFE_NO_PAD)] {
        for offset in 0..3 {
            // the letters that the bytes before and behind have no part in
            let encoded = engine.encode([vec![0; offset], marker.to_vec()].concat());
            let (begin, end) = ((offset * 8).div_ceil(6), (offset + marker.len()) * 8 / 6);
            all.push((format!("{name} at {offset}"), encoded.as_bytes()[begin..end].to_vec()));
        }
    }
    all
}

/// Whatever of these markers is in the bytes: which, and how it is dressed. Case is passed over but in Base64.
pub fn found(markers: &[(&str, Vec<u8>)], bytes: &[u8]) -> Vec<String> {
    let lower = bytes.to_ascii_lowercase();
    let mut all = Vec::new();
    for (what, marker) in markers {
        for (dress, needle) in dresses(marker) {
            let (hay, needle) =
                if dress.starts_with("Base64") { (bytes, needle) } else { (&lower[..], needle.to_ascii_lowercase()) };
            if hay.windows(needle.len()).any(|window| window == needle) {
                all.push(format!("{what}, {dress}"));
            }
        }
    }
    all
}

#[test]
fn a_leak_is_found_in_every_dress() {
    let secret = b"leak-Secret.7f3a".to_vec();
    let markers = [("it", secret.clone())];
    assert_eq!(found(&markers, b"nothing of it: leak-secret.7f3"), Vec::<String>::new());
    for (dress, needle) in dresses(&secret) {
        let planted = [b"{\"a\":\"".to_vec(), needle, b"\"}".to_vec()].concat();
        assert!(found(&markers, &planted).contains(&format!("it, {dress}")), "{dress}");
    }
    for before in 0..4 {
        let text = [&vec![b'x'; before][..], &secret, b"behind"].concat();
        assert!(!found(&markers, STANDARD_NO_PAD.encode(&text).as_bytes()).is_empty(), "{before} bytes before it");
    }
    assert!(!found(&markers, b"LEAK-SECRET.7F3A").is_empty());
}
