//! What the integration tests share: where the corpus and the contracts lie. They are not part of the product.

#[cfg(feature = "libpcap")]
pub mod group;
#[cfg(feature = "libpcap")]
pub mod namespaces;
#[cfg(feature = "libpcap")]
pub mod sender;

use std::path::{Path, PathBuf};

/// A file or directory of the shared material, below `HAETAE_SHARED` or beside the repository.
///
/// Says so loudly and gives `None` where it is absent: a checkout without it can still be tested.
///
/// # Panics
/// Where it is absent and `CI` is set: there, a test that does not look is a test that fails.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = match std::env::var_os("HAETAE_SHARED") {
        Some(place) => vec![PathBuf::from(place)],
        None => vec![root.join("../shared"), root.join("../../shared")],
    };
    let found = places.iter().map(|place| place.join(path)).find(|candidate| candidate.exists());
    if found.is_none() {
        let said = format!("NOT TESTED: no {path} in {places:?}; set HAETAE_SHARED");
        assert!(std::env::var_os("CI").is_none(), "{said}");
        eprintln!("{said}");
    }
    found
}
