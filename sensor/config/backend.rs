//! How an interface is read, as it is written, and what goes with which way.
//!
//! In: a word. Out: a [`Backend`], or faults. Never here: whether this machine can do it; that is known only at the opening.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, EnumAccess, VariantAccess, Visitor};

use super::check::Desk;
use super::written::Size;
use crate::limits::BUSY_POLL_MICROSECONDS_SETTABLE_MAX;

/// How an interface is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// AF_XDP in native mode; where that cannot be had, or the machine lives by the interface, libpcap, with the reason said.
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

    /// What only AF_XDP can do.
    pub(super) fn fits_af_xdp(&mut self, path: &str, backend: Backend, busy_poll: Option<u64>, shunt: Option<Size>) {
        self.fits_busy_poll(path, backend, busy_poll);
        self.fits_shunt(path, backend, shunt);
    }

    /// Flows are shunted by the program that only AF_XDP has; 0 is the same as nothing.
    fn fits_shunt(&mut self, path: &str, backend: Backend, size: Option<Size>) {
        if let (Backend::Libpcap, Some(Size(1..))) = (backend, size) {
            let help = "leave it out, or set `backend: af_xdp`";
            self.fault(&format!("{path}.shunt"), "means nothing with `backend: libpcap`".to_string(), help);
        }
    }

    /// How long the driver may be kept busy; 0 is the same as nothing.
    fn fits_busy_poll(&mut self, path: &str, backend: Backend, time: Option<u64>) {
        let path = format!("{path}.busy_poll");
        let help = format!("microseconds, 0 (off) to {BUSY_POLL_MICROSECONDS_SETTABLE_MAX}");
        match time {
            Some(time) if time > BUSY_POLL_MICROSECONDS_SETTABLE_MAX => {
                self.fault(&path, format!("{time} is out of range"), &help);
            }
            Some(1..) if backend == Backend::Libpcap => {
                let help = "leave it out, or set `backend: af_xdp`";
                self.fault(&path, "means nothing with `backend: libpcap`".to_string(), help);
            }
            _ => {}
        }
    }
}
