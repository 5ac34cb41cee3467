//! URLs.

use super::{Kind, Refused, Shape};

/// An absolute URL, compared as a whole.
pub static URL: Kind = Kind { name: "url", shape: Shape::Equal, canonical, text, index: 4 };

/// What a URL field is looked up as.
pub static KINDS: [&Kind; 1] = [&URL];

fn canonical(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    out.extend_from_slice(bytes);
    Ok(())
}

fn text(canonical: &[u8]) -> String {
    String::from_utf8_lossy(canonical).into_owned()
}
