//! Domain names.

use super::{Kind, Refused, Shape};

/// Exactly this name.
pub static DOMAIN: Kind = Kind { name: "domain", shape: Shape::Equal, canonical, text, index: 2 };

/// This name and all below it.
pub static DOMAIN_SUFFIX: Kind = Kind { name: "domain_suffix", shape: Shape::AtOrBelow, canonical, text, index: 3 };

/// What a name field is looked up as.
pub static KINDS: [&Kind; 2] = [&DOMAIN, &DOMAIN_SUFFIX];

fn canonical(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    out.extend(bytes.iter().map(u8::to_ascii_lowercase));
    Ok(())
}

fn text(canonical: &[u8]) -> String {
    String::from_utf8_lossy(canonical).into_owned()
}
