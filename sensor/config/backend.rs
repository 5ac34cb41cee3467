//! How an interface is read, as it is written, and what goes with which way.
//!
//! In: a word. Out: a [`Backend`], or faults. Never here: whether this machine can do it; that is known only at the opening.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, EnumAccess, VariantAccess, Visitor};

use super::check::Desk;

/// How an interface is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// The best there is: libpcap in this version.
    #[default]
    Auto,
    /// AF_XDP in the driver's own (native) mode; where that cannot be had it is refused.
    AfXdp,
    /// libpcap.
    Libpcap,
}

impl Backend {
    /// What may be written.
    const WORDS: &'static [&'static str] = &["auto", "af_xdp", "libpcap"];
}

impl<'de> Deserialize<'de> for Backend {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_enum("Backend", Backend::WORDS, BackendWord)
    }
}

struct BackendWord;

impl<'de> Visitor<'de> for BackendWord {
    type Value = Backend;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a backend")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Backend, A::Error> {
        let (word, variant) = access.variant::<String>()?;
        variant.unit_variant()?;
        match word.as_str() {
            "auto" => Ok(Backend::Auto),
            "libpcap" => Ok(Backend::Libpcap),
            "af_xdp" => Ok(Backend::AfXdp),
            _ => Err(de::Error::custom(format!("`{word}` is not a backend\none of auto, af_xdp, libpcap"))),
        }
    }
}

impl Desk<'_> {
    /// What AF_XDP cannot do, and what it alone obeys.
    pub(super) fn fits_backend(&mut self, path: &str, name: &str, backend: Backend, filtered: bool, cut_off: bool) {
        match backend {
            Backend::AfXdp if name == "any" => {
                let help = "name one interface; `any` is libpcap's word for all";
                self.fault(&format!("{path}.interface"), "`any` cannot be read by `backend: af_xdp`".to_string(), help);
            }
            Backend::AfXdp if filtered => {
                let help = "leave it out, or set `backend: libpcap`: AF_XDP takes every packet";
                self.fault(&format!("{path}.filter"), "does not go with `backend: af_xdp`".to_string(), help);
            }
            Backend::Auto | Backend::Libpcap if cut_off => {
                let help = "leave it out: nobody is cut off by libpcap";
                let problem = "means nothing without `backend: af_xdp`".to_string();
                self.fault(&format!("{path}.allow_cut_off"), problem, help);
            }
            _ => {}
        }
    }
}
