//! `haetae reveal`: which inside host or name a token of this site stands for. On the machine that has the site's key, for who may
//! read it; the running sensor is not asked and could not answer.
//!
//! In: a token, the configuration. Out: one line. Every IPv4 address of `networks:` is tried; IPv6 addresses and names, of which
//! there are too many, are looked for in the configuration and in what the site has written down: event log, spool, refused
//! records. Never here: a socket, and a word to who has no key on what went wrong.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::screen::{counted, grouped};
use super::{Desk, Stop, exit};
use crate::alert::words::printable;
use crate::config::Config;
use crate::control::Failure;
use crate::gate::{Of, Question, SiteKey, Token};
use crate::limits::{REVEAL_READ_BYTES, REVEAL_REMEMBERED_MAX, REVEAL_TEXT_BYTES_MAX};
use crate::networks::Networks;

/// What stands below the options.
pub(super) const HELP: &str = "Every IPv4 address of `networks:` is tried. IPv6 addresses and names are found if the configuration \
                               names them, or the event log or the spool still has them.";

/// What is typed behind `haetae reveal`.
#[derive(Debug, Args)]
pub(crate) struct Typed {
    /// The token, as the centre has it: h- or n-, and 12 letters
    token: String,

    /// Configuration that says where the key is (default: HAETAE_CONFIG)
    #[arg(short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,

    /// Override an option of the configuration: --set site.key=site.key
    #[arg(long, value_name = "A.B=C")]
    set: Vec<String>,
}

/// Checks what was typed and reveals.
pub(super) fn obey(desk: &mut Desk<'_>, typed: Typed) -> Result<u8, Stop> {
    let Some(token) = Token::parse(&typed.token) else {
        return desk.usage("this is no token: h- or n-, and 12 letters");
    };
    let Some(file) = desk.chosen(typed.config) else { return desk.usage("of which site? -c FILE, or HAETAE_CONFIG") };
    // secrets are not opened for this: whoever may not read them is told no more than that
    let config = match crate::config::load_again(Some(&file), &typed.set, desk.environment) {
        Ok(config) => config,
        Err(refused) => return Ok(desk.refused(refused, "nothing was revealed")?),
    };
    match run(token, &config, desk.out, desk.complaints) {
        Ok(code) => Ok(code),
        Err(failure) => desk.failed(&failure),
    }
}

/// Reveals a token; gives the exit code.
///
/// # Errors
/// A configuration under which there are no tokens; an output that cannot be written.
fn run(token: Token, config: &Config, out: &mut dyn Write, complaints: &mut dyn Write) -> Result<u8, Failure> {
    let written = |error| Failure::Io("standard output".into(), error);
    let path = config.site.key.clone().or_else(|| config.centre.as_ref().map(|centre| centre.key()));
    let Some(path) = path else {
        let none =
            "neither `site.key` nor `centre:` is in this configuration: there is no key, and no token is of this site";
        return Err(Failure::Configuration(none.to_owned()));
    };
    // The key is about to be here.
    #[cfg(feature = "libpcap")]
    let _as_far_as_it_goes = crate::sandbox::hide();
    let Ok(key) = SiteKey::read(&path) else {
        writeln!(complaints, "error: this takes the site's key").map_err(written)?;
        return Ok(exit::PERMISSION);
    };
    let networks = config.networks.clone().unwrap_or_default();
    let mut search =
        Search { question: Question::new(token, &key), networks: &networks, tried: HashSet::new(), files: 0 };
    match search.found(config) {
        Some(found) => writeln!(out, "{token} is {found}").map_err(written).map(|()| exit::SOUND),
        None => {
            let files = counted(search.files, ["local file", "local files"]);
            let what = match token.stands_for() {
                Of::Host => {
                    let fours = networks.fours().into_iter();
                    let fours = fours.map(|(first, last)| u64::from(u32::from(last) - u32::from(first)) + 1);
                    format!("none of {} IPv4 addresses of `networks:`", grouped(fours.sum()))
                }
                Of::Name => "no name of `networks:`".to_owned(),
            };
            writeln!(complaints, "error: {token}: {what} and nothing in {files} has this token under this site's key")
                .map_err(written)?;
            Ok(exit::UNKNOWN)
        }
    }
}

struct Search<'a> {
    question: Question,
    networks: &'a Networks,
    tried: HashSet<Box<[u8]>>,
    files: u64,
}

impl Search<'_> {
    fn found(&mut self, config: &Config) -> Option<String> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        if let Some(four) = self.question.among(&self.networks.fours(), threads) {
            return Some(self.shown(four.into()));
        }
        if let Some(six) = self.networks.sixes().into_iter().find(|six| self.question.is_host(IpAddr::V6(*six))) {
            return Some(self.shown(six.into()));
        }
        if let Some(name) = self.networks.names().find(|name| self.question.is_name(name)) {
            return Some(format!(
                "{} (a network of the configuration)",
                printable(name.as_bytes(), REVEAL_TEXT_BYTES_MAX)
            ));
        }
        let found = written_down(config).into_iter().find_map(|path| self.in_file(&path))?;
        Some(match found.parse() {
            Ok(address) => self.shown(address),
            Err(_) => printable(found.as_bytes(), REVEAL_TEXT_BYTES_MAX),
        })
    }

    fn shown(&self, address: IpAddr) -> String {
        match self.networks.named(address) {
            Some(name) => format!("{address} ({})", printable(name.as_bytes(), REVEAL_TEXT_BYTES_MAX)),
            None => address.to_string(),
        }
    }

    /// Looks through a file; what cannot be read has nothing to say.
    fn in_file(&mut self, path: &Path) -> Option<String> {
        let file = File::open(path).ok()?;
        self.files += 1;
        let ending = path.extension().and_then(|ending| ending.to_str());
        match ending {
            Some("gz") => self.in_stream(&mut flate2::read::MultiGzDecoder::new(file)),
            Some("zst") => self.in_stream(&mut zstd::stream::read::Decoder::new(file).ok()?),
            _ => self.in_stream(&mut { file }),
        }
    }

    /// Every text between two quotes is a candidate: JSON lines read so, wherever they lie and whatever lies between them.
    fn in_stream(&mut self, from: &mut dyn Read) -> Option<String> {
        let (mut room, mut held) = (vec![0; REVEAL_READ_BYTES], 0);
        loop {
            let read = match from.read(&mut room[held..]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            let filled = held + read;
            let whole =
                if read == 0 { filled } else { room[..filled].iter().rposition(|byte| *byte == b'"').unwrap_or(0) };
            if let Some(found) = room[..whole].split(|byte| *byte == b'"').find_map(|text| self.text(text)) {
                return Some(found);
            }
            if read == 0 {
                return None;
            }
            // what is longer than a text may be is none
            let begin = if filled - whole > REVEAL_TEXT_BYTES_MAX { filled } else { whole };
            room.copy_within(begin..filled, 0);
            held = filled - begin;
        }
    }

    fn text(&mut self, bytes: &[u8]) -> Option<String> {
        let fits =
            (1..=REVEAL_TEXT_BYTES_MAX).contains(&bytes.len()) && !bytes.iter().any(|byte| byte.is_ascii_control());
        let text = std::str::from_utf8(bytes).ok().filter(|_| fits)?;
        if self.tried.contains(bytes) {
            return None;
        }
        if self.tried.len() >= REVEAL_REMEMBERED_MAX {
            self.tried.clear();
        }
        self.tried.insert(bytes.into());
        self.question.is(text).then(|| text.to_owned())
    }
}

/// Where the site has written down what it saw: the event log with its older pieces, and all that lies in the spool.
fn written_down(config: &Config) -> Vec<PathBuf> {
    let log = config.outputs.path.as_deref();
    let beside = |log: &Path| {
        let name = log.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = log.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let ours = move |path: &PathBuf| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&name));
        files(folder).into_iter().filter(ours).collect::<Vec<_>>()
    };
    let mut all: Vec<PathBuf> = log.map(beside).into_iter().flatten().collect();
    for spool in config.centre.iter().map(|centre| &centre.spool) {
        all.extend(files(spool));
        let lanes = fs::read_dir(spool).into_iter().flatten().flatten().map(|entry| entry.path());
        all.extend(lanes.filter(|path| path.is_dir()).flat_map(|lane| files(&lane)));
    }
    all
}

/// The files of a folder, the youngest first.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((std::cmp::Reverse(metadata.modified().ok()), entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(token: Token, key: &SiteKey, text: &[u8], piece: usize) -> Option<String> {
        struct Slow<'a>(&'a [u8], usize);
        impl Read for Slow<'_> {
            fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
                let size = self.1.min(self.0.len()).min(room.len());
                room[..size].copy_from_slice(&self.0[..size]);
                self.0 = &self.0[size..];
                Ok(size)
            }
        }
        let networks = Networks::default();
        let mut search =
            Search { question: Question::new(token, key), networks: &networks, tried: HashSet::new(), files: 0 };
        search.in_stream(&mut Slow(text, piece))
    }

    #[test]
    fn what_stands_between_quotes_is_found_however_it_is_cut() {
        let key = SiteKey::fixed(&[3; 32]);
        let long = "x".repeat(3 * REVEAL_READ_BYTES);
        let text = format!("\0\u{1}{{\"a\":\"{long}\",\"src_ip\":\"2001:db8::7\"}}\n{{\"name\":\"PC-ACCT-04\"");
        let six = key.host("2001:db8::7".parse().unwrap());
        for piece in [7, 4096, REVEAL_READ_BYTES] {
            assert_eq!(found(six, &key, text.as_bytes(), piece).as_deref(), Some("2001:db8::7"), "{piece}");
            assert_eq!(found(key.name("pc-acct-04"), &key, text.as_bytes(), piece).as_deref(), Some("PC-ACCT-04"));
            assert_eq!(found(key.name("pc-acct-05"), &key, text.as_bytes(), piece), None);
        }
    }
}
