//! Names of the fields that hold text, as rules may say them (`in: http.http_user_agent`).
//!
//! In: a name. Out: the name as parsers' rows have it, or the names that are near it. The list is made from those rows
//! when the sensor is built (`sensor/build.rs`). Never here: a protocol.

/// Sorted, each once.
static TEXT_FIELDS: &[&str] = &include!(concat!(env!("OUT_DIR"), "/text_fields.rs"));

/// How many near names are worth reading.
const NEAR_MAX: usize = 3;

/// The field with this name, if parsers have one that holds text.
pub fn text_field(name: &str) -> Option<&'static str> {
    TEXT_FIELDS.binary_search(&name).ok().map(|at| TEXT_FIELDS[at])
}

/// The names that look most like this one, the nearest first.
pub fn near(name: &str) -> Vec<&'static str> {
    let name = name.to_ascii_lowercase();
    let mut ranked: Vec<(usize, &str)> = TEXT_FIELDS.iter().map(|known| (likeness(&name, known), *known)).collect();
    ranked.sort_by_key(|&(likeness, known)| (std::cmp::Reverse(likeness), known));
    ranked.into_iter().filter(|(likeness, _)| *likeness > 0).take(NEAR_MAX).map(|(_, known)| known).collect()
}

/// Pairs of letters that both have, in thousandths of all (Dice's coefficient): `user_agent` is near
/// `http.http_user_agent`, which a distance by edits would not say. Long names are an accident: their start is enough.
fn likeness(one: &str, other: &str) -> usize {
    const BYTES_MAX: usize = 64;
    let pairs = |text: &str| -> Vec<[u8; 2]> {
        text.as_bytes().windows(2).take(BYTES_MAX).map(|pair| [pair[0], pair[1]]).collect()
    };
    let (one, mut left) = (pairs(one), pairs(other));
    let all = one.len() + left.len();
    let shared =
        one.iter().filter(|pair| left.iter().position(|of| of == *pair).map(|at| left.swap_remove(at)).is_some());
    2_000 * shared.count() / all.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_fields_of_parsers_are_known_and_others_are_not() {
        for name in ["http.http_user_agent", "http.url", "dns.rrname", "tls.sni", "fileinfo.filename"] {
            assert_eq!(text_field(name), Some(name));
        }
        for name in ["dns.id", "http.status", "dns.qr", "src_ip", "http", "", "HTTP.URL"] {
            assert_eq!(text_field(name), None, "{name}");
        }
        assert!(TEXT_FIELDS.is_sorted() && TEXT_FIELDS.windows(2).all(|two| two[0] != two[1]));
    }

    #[test]
    fn a_wrong_name_is_answered_with_those_that_it_may_have_meant() {
        assert_eq!(near("http.user_agent")[0], "http.http_user_agent");
        assert_eq!(near("User_Agent")[0], "http.http_user_agent");
        assert_eq!(near("dns.rname")[0], "dns.rrname");
        assert!(near("tls.ja3").contains(&"tls.ja3.hash"));
        assert_eq!(near("\u{1}"), Vec::<&str>::new());
        assert!(near(&"ab".repeat(10_000)).len() <= NEAR_MAX);
    }
}
