//! The sections that a running sensor obeys and a replay mostly does not: where packets come from, the metrics' listener,
//! the log, what events show.
//!
//! In: the sections as they are written. Out: checked values, or faults. Never here: an interface or a socket; whether
//! they are there is known only when they are opened.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::backend::Backend;
use super::check::Desk;
use super::written::Size;
use crate::limits::{
    CAPTURES_MAX, INTERFACE_NAME_BYTES_MAX, RING_BYTES_DEFAULT, RING_BYTES_SETTABLE_MAX, RING_BYTES_SETTABLE_MIN,
    SNAP_BYTES_DEFAULT, SNAP_BYTES_SETTABLE_MIN,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenCapture {
    pub(crate) interface: Option<String>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) backend: Option<Backend>,
    pub(crate) filter: Option<String>,
    pub(crate) ring: Option<Size>,
    pub(crate) snaplen: Option<u64>,
    pub(crate) promiscuous: Option<bool>,
    pub(crate) allow_cut_off: Option<bool>,
    pub(crate) busy_poll: Option<u64>,
    pub(crate) shunt: Option<Size>,
}

/// One place where packets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The place.
    pub source: Source,
    /// A packet filter (pcap-filter(7)), not compiled yet; `None`: every packet.
    pub filter: Option<String>,
    /// Bytes of the kernel's ring.
    pub ring_bytes: usize,
    /// Bytes taken of a packet.
    pub snap_bytes: u32,
    /// Whether packets for others are taken too.
    pub promiscuous: bool,
    /// Whether AF_XDP may take an interface that this machine lives by.
    pub allow_cut_off: bool,
    /// How long a look at an empty ring of AF_XDP keeps the driver busy, in microseconds; `None`: it is waited for frames.
    pub busy_poll: Option<u32>,
    /// Payload from which on a flow with nothing more to learn is counted and dropped by the kernel, in bytes; `None`: never.
    pub shunt: Option<u64>,
}

impl Capture {
    /// An interface as a command line names it, all else as it is by default.
    pub fn of_interface(name: &str, filter: Option<&str>) -> Capture {
        Capture {
            source: Source::Interface { name: name.to_owned(), backend: Backend::default() },
            filter: filter.map(str::to_owned),
            ring_bytes: RING_BYTES_DEFAULT as usize,
            snap_bytes: SNAP_BYTES_DEFAULT,
            promiscuous: true,
            allow_cut_off: false,
            busy_poll: None,
            shunt: None,
        }
    }
}

/// Where packets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A network interface; whether it is there is known only when it is opened.
    Interface {
        /// Its name.
        name: String,
        /// How it is read.
        backend: Backend,
    },
    /// A folder into which somebody else rotates capture files.
    Directory(PathBuf),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenMetrics {
    pub(crate) listen: String,
    pub(crate) allow_remote: Option<bool>,
}

/// The metrics' listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Loopback, unless the configuration says `allow_remote: true`.
    pub listen: SocketAddr,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenLogs {
    pub(crate) format: Option<LogFormat>,
    pub(crate) level: Option<Level>,
}

/// The running sensor's own log, on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// For people, or for machines.
    pub format: LogFormat,
    /// How much.
    pub level: Level,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line of text.
    #[default]
    Human,
    /// A JSON object per line.
    Json,
}

/// How much is logged: this, and what is more urgent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What needs a person.
    Error,
    /// What may need one.
    Warn,
    /// What happens rarely: start, reload, end.
    #[default]
    Info,
    /// All that is known.
    Debug,
}

/// How much of its own rights the running sensor must have given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// All of it, or it does not run.
    Required,
    /// As much as the kernel knows how to take; what is missing is said.
    #[default]
    BestEffort,
    /// None.
    Off,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenEvents {
    pub(crate) digests: Option<Vec<Digest>>,
}

/// What events show, whatever the indicators ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Events {
    /// The digests that a `fileinfo` event shows even if no indicator asks for them.
    pub digests: Vec<Digest>,
}

impl Default for Events {
    fn default() -> Self {
        Events { digests: vec![Digest::Sha256] }
    }
}

/// A digest of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Digest {
    /// MD5 (RFC 1321).
    Md5,
    /// SHA-1 (FIPS 180-4).
    Sha1,
    /// SHA-256 (FIPS 180-4).
    Sha256,
}

impl Desk<'_> {
    pub(super) fn captures(&mut self, written: Vec<WrittenCapture>) -> Vec<Capture> {
        if written.len() > CAPTURES_MAX {
            self.fault("capture", format!("has {} entries", written.len()), &format!("{CAPTURES_MAX} at most"));
            return Vec::new();
        }
        let mut captures: Vec<Capture> = Vec::new();
        for (at, one) in written.into_iter().enumerate() {
            let Some(capture) = self.capture(&format!("capture[{at}]"), one) else { continue };
            let name = match &capture.source {
                Source::Interface { .. } => "interface",
                Source::Directory(_) => "directory",
            };
            if captures.iter().any(|before| before.source.same_place(&capture.source)) {
                let help = "once is enough: whoever reads it twice counts every packet twice";
                self.fault(&format!("capture[{at}].{name}"), "is given twice".to_string(), help);
            }
            captures.push(capture);
        }
        captures
    }

    fn capture(&mut self, path: &str, written: WrittenCapture) -> Option<Capture> {
        let interface_only = [
            ("backend", written.backend.is_some()),
            ("filter", written.filter.is_some()),
            ("ring", written.ring.is_some()),
            ("snaplen", written.snaplen.is_some()),
            ("promiscuous", written.promiscuous.is_some()),
            ("allow_cut_off", written.allow_cut_off.is_some()),
            ("busy_poll", written.busy_poll.is_some()),
            ("shunt", written.shunt.is_some()),
        ];
        let source = match (written.interface, written.directory) {
            (Some(name), None) => self.interface(path, name, written.backend.unwrap_or_default()),
            (None, Some(folder)) => {
                for (option, _) in interface_only.iter().filter(|(_, given)| *given) {
                    let help = "it is for an `interface`; leave it out";
                    self.fault(&format!("{path}.{option}"), "means nothing with `directory`".to_string(), help);
                }
                Source::Directory(self.folder_that_is_there(&format!("{path}.directory"), folder))
            }
            (Some(_), Some(_)) => {
                let help = "one of them; a second entry of the list takes the other";
                self.fault(&format!("{path}.directory"), "stands beside `interface`".to_string(), help);
                return None;
            }
            (None, None) => {
                self.fault(path, "names no source".to_string(), "add `interface:` or `directory:`");
                return None;
            }
        };
        if written.filter.as_ref().is_some_and(|filter| filter.trim().is_empty()) {
            self.fault(&format!("{path}.filter"), "is empty".to_string(), "leave it out to take every packet");
        }
        if let Source::Interface { name, backend } = &source {
            self.fits_backend(path, name, *backend, written.filter.is_some(), written.allow_cut_off == Some(true));
            self.fits_af_xdp(path, *backend, written.busy_poll, written.shunt);
        }
        Some(Capture {
            source,
            filter: written.filter,
            ring_bytes: self.ring(path, written.ring),
            snap_bytes: self.snaplen(path, written.snaplen),
            promiscuous: written.promiscuous.unwrap_or(true),
            allow_cut_off: written.allow_cut_off.unwrap_or(false),
            busy_poll: written.busy_poll.and_then(|time| u32::try_from(time).ok()).filter(|time| *time > 0),
            shunt: written.shunt.map(|Size(bytes)| bytes).filter(|bytes| *bytes > 0),
        })
    }

    /// What the kernel takes for a name: `dev_valid_name` in `net/core/dev.c`.
    fn interface(&mut self, path: &str, name: String, backend: Backend) -> Source {
        let odd = |letter: char| letter.is_whitespace() || letter.is_control() || "/:".contains(letter);
        if name.is_empty()
            || name.len() > INTERFACE_NAME_BYTES_MAX
            || [".", ".."].contains(&&*name)
            || name.contains(odd)
        {
            let help =
                format!("1 to {INTERFACE_NAME_BYTES_MAX} bytes without spaces, `/` or `:`; `ip link` lists them");
            self.fault(&format!("{path}.interface"), format!("`{name}` is not an interface's name"), &help);
        }
        Source::Interface { name, backend }
    }

    fn ring(&mut self, path: &str, written: Option<Size>) -> usize {
        let Size(bytes) = written.unwrap_or(Size(RING_BYTES_DEFAULT));
        if !(RING_BYTES_SETTABLE_MIN..=RING_BYTES_SETTABLE_MAX).contains(&bytes) {
            self.fault(&format!("{path}.ring"), format!("{bytes} bytes are out of range"), "1MiB to 1GiB");
        }
        bytes as usize
    }

    fn snaplen(&mut self, path: &str, written: Option<u64>) -> u32 {
        let bytes = written.map_or(SNAP_BYTES_DEFAULT, |bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        if !(SNAP_BYTES_SETTABLE_MIN..=SNAP_BYTES_DEFAULT).contains(&bytes) {
            let help = format!("{SNAP_BYTES_SETTABLE_MIN} to {SNAP_BYTES_DEFAULT}");
            self.fault(&format!("{path}.snaplen"), "is out of range".to_string(), &help);
        }
        bytes
    }

    pub(super) fn metrics(&mut self, written: WrittenMetrics) -> Option<Metrics> {
        let Ok(listen) = written.listen.parse::<SocketAddr>() else {
            let problem = format!("`{}` is not an address with a port", written.listen);
            self.fault("metrics.listen", problem, "like \"127.0.0.1:9920\" or \"[::1]:9920\"");
            return None;
        };
        if !listen.ip().to_canonical().is_loopback() && written.allow_remote != Some(true) {
            let help = "\"127.0.0.1:9920\", or add `allow_remote: true`: whoever reaches it may read";
            self.fault("metrics.listen", format!("`{listen}` is not loopback"), help);
        }
        Some(Metrics { listen })
    }

    pub(super) fn events(&mut self, written: WrittenEvents) -> Events {
        let digests = written.digests.unwrap_or_else(|| Events::default().digests);
        self.each_once("events.digests", &digests);
        Events { digests }
    }

    fn folder_that_is_there(&mut self, path: &str, folder: PathBuf) -> PathBuf {
        let folder = self.file(path, folder, "name the folder into which captures are rotated");
        if folder.is_file() {
            self.fault(path, format!("is a file: {}", folder.display()), "name its folder");
        }
        folder
    }
}

impl Source {
    fn same_place(&self, other: &Source) -> bool {
        match (self, other) {
            (Source::Interface { name, .. }, Source::Interface { name: other, .. }) => name == other,
            (Source::Directory(folder), Source::Directory(other)) => folder == other,
            _ => false,
        }
    }
}

impl From<WrittenLogs> for Logs {
    fn from(written: WrittenLogs) -> Self {
        Logs { format: written.format.unwrap_or_default(), level: written.level.unwrap_or_default() }
    }
}

/// `HAETAE_LOG` as options of `logs:`: a level, a format, or both with a comma between.
///
/// # Errors
/// What is no level and no format, or given twice.
pub(super) fn log_options(text: &str) -> Result<Vec<(&'static str, &str)>, String> {
    let mut options: Vec<(&'static str, &str)> = Vec::new();
    for word in text.split(',').map(str::trim) {
        let option = match word {
            "human" | "json" => "logs.format",
            "error" | "warn" | "info" | "debug" => "logs.level",
            _ => return Err(format!("`{word}` is no level and no format of a log")),
        };
        if options.iter().any(|(known, _)| *known == option) {
            return Err(format!("`{word}` is the second of its kind"));
        }
        options.push((option, word));
    }
    Ok(options)
}

/// Interfaces of `captures` that this machine does not have now, each with its option.
pub fn interfaces_absent(captures: &[Capture]) -> Vec<(String, &str)> {
    let known = Path::new("/sys/class/net");
    let names = captures.iter().enumerate().filter_map(|(at, capture)| match &capture.source {
        Source::Interface { name, .. } => Some((format!("capture[{at}].interface"), name.as_str())),
        Source::Directory(_) => None,
    });
    // libpcap's own name for all interfaces together; and where there is no list, nothing is known.
    names.filter(|(_, name)| *name != "any" && known.is_dir() && !known.join(name).exists()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Refused, parse};
    use super::*;

    fn loaded(text: &str, log: Option<&str>, sets: &[String]) -> Result<Config, Refused> {
        parse("f", text, Path::new(""), sets, &|name| log.filter(|_| name == "HAETAE_LOG").map(str::to_string))
    }

    fn parsed(text: &str) -> Config {
        loaded(text, None, &[]).expect("it is sound")
    }

    #[test]
    fn captures_are_interfaces_and_folders() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "capture:\n  - {{ interface: tap0, filter: \"not port 10514\", ring: 8MiB, snaplen: 1600, promiscuous: false }}\n\
             \x20 - {{ interface: tap1, backend: libpcap }}\n  - {{ directory: {} }}\n\
             \x20 - {{ interface: tap2, backend: af_xdp, allow_cut_off: true }}\n",
            folder.path().display()
        );
        let captures = parsed(&text).capture;
        let interface = |name: &str, backend| Source::Interface { name: name.into(), backend };
        assert_eq!(captures[0].source, interface("tap0", Backend::Auto));
        assert_eq!(captures[0].filter.as_deref(), Some("not port 10514"));
        assert_eq!((captures[0].ring_bytes, captures[0].snap_bytes, captures[0].promiscuous), (8 << 20, 1600, false));
        assert_eq!(captures[1].source, interface("tap1", Backend::Libpcap));
        assert_eq!(
            (captures[1].ring_bytes, captures[1].snap_bytes, captures[1].promiscuous),
            (64 << 20, 262_144, true)
        );
        assert_eq!(captures[2].source, Source::Directory(folder.path().into()));
        assert_eq!((&captures[3].source, captures[3].allow_cut_off), (&interface("tap2", Backend::AfXdp), true));
        assert!(captures[..3].iter().all(|capture| !capture.allow_cut_off));
    }

    #[test]
    fn metrics_are_for_this_machine_unless_somebody_says_otherwise() {
        assert_eq!(parsed("").metrics, None);
        let listen = parsed("metrics: { listen: \"[::1]:9920\" }\n").metrics.expect("a listener").listen;
        assert_eq!(listen, "[::1]:9920".parse().expect("an address"));
        assert!(loaded("metrics: { listen: \"0.0.0.0:9920\" }\n", None, &[]).is_err());
        assert!(parsed("metrics: { listen: \"0.0.0.0:9920\", allow_remote: true }\n").metrics.is_some());
    }

    #[test]
    fn digests_are_sha256_or_what_is_written() {
        assert_eq!(parsed("").events.digests, [Digest::Sha256]);
        assert_eq!(parsed("events: { digests: [md5, sha1] }\n").events.digests, [Digest::Md5, Digest::Sha1]);
        assert_eq!(parsed("events: { digests: [] }\n").events.digests, []);
    }

    #[test]
    fn a_log_obeys_the_file_then_the_environment_then_an_argument() {
        let file = "logs: { format: json, level: error }\n";
        assert_eq!(parsed("").logs, Logs { format: LogFormat::Human, level: Level::Info });
        assert_eq!(parsed(file).logs, Logs { format: LogFormat::Json, level: Level::Error });
        let logs = |log, sets: &[String]| loaded(file, Some(log), sets).expect("it is sound").logs;
        assert_eq!(logs("debug", &[]), Logs { format: LogFormat::Json, level: Level::Debug });
        assert_eq!(logs("debug,human", &[]), Logs { format: LogFormat::Human, level: Level::Debug });
        let sets = ["logs.level=warn".to_string()];
        assert_eq!(logs("debug,human", &sets), Logs { format: LogFormat::Human, level: Level::Warn });
    }

    #[test]
    fn a_log_that_nobody_knows_is_refused_where_it_is_said() {
        for log in ["loud", "debug,", "debug,info", "json,human", "DEBUG"] {
            let Err(Refused::Faulty(faults)) = loaded("", Some(log), &[]) else { panic!("{log} was taken") };
            assert_eq!(faults.len(), 1);
            assert_eq!(faults[0].place.to_string(), format!("HAETAE_LOG={log}"));
        }
    }

    #[test]
    fn an_interface_that_is_not_there_is_told_and_no_fault() {
        let captures = parsed("capture: [{ interface: lo }, { interface: nosuchtap9 }, { interface: any }]\n").capture;
        assert_eq!(interfaces_absent(&captures), [("capture[1].interface".to_string(), "nosuchtap9")]);
    }
}
