//! `haetae spool`: what waits for the centre, read and checked by anyone who may read its files; and what the centre has lost, sent
//! again.
//!
//! In: a folder, or a running sensor. Out: lines, a judgement, a watermark set back. Never here: a record written or taken away.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::running::{Question, Unanswered, answer, span};
use super::screen::{counted, grouped, plain};
use super::spool_words::{LaneWord, SpoolCommand, SpoolPlace};
use super::{Desk, Stop, exit};
use crate::config::{Config, Refused};
use crate::control::Failure;
use crate::spool::{self, Finding, Lane, Options, Rewound, Seen, Short, Spool, Survey, Surveyed};
use crate::time::Timestamp;

/// How what is shown is written.
#[derive(Clone, Copy)]
struct Showing {
    lane: Option<LaneWord>,
    json: bool,
}

impl Showing {
    fn wants(self, lane: Lane) -> bool {
        self.lane.is_none_or(|word| word.lane() == lane)
    }
}

impl Desk<'_> {
    pub(super) fn spool(&mut self, what: SpoolCommand) -> Result<u8, Stop> {
        match what {
            SpoolCommand::Show { records, lane, json, place } => {
                let (folder, _) = self.spool_of(&place)?;
                let showing = Showing { lane, json };
                if records { self.records(&folder, showing) } else { self.lanes(&folder, showing) }
            }
            SpoolCommand::Verify { json, place } => {
                let (folder, _) = self.spool_of(&place)?;
                self.verify_spool(&folder, json)
            }
            SpoolCommand::Replay { since, socket, json, place } => {
                let now = SystemTime::now();
                self.send_again((since.moment(now), now), socket, &place, json)
            }
        }
    }

    /// Where the spool is, and the control socket of its sensor, as far as somebody says.
    fn spool_of(&mut self, place: &SpoolPlace) -> Result<(PathBuf, Option<PathBuf>), Stop> {
        if let Some(folder) = &place.spool {
            return Ok((folder.clone(), None));
        }
        let config = match self.chosen(place.config.clone()) {
            // its secrets are not opened: whoever reads the spool need not be able to
            Some(file) => match crate::config::load_again(Some(&file), &[], self.environment) {
                Ok(config) => config,
                Err(refused @ (Refused::Unreadable(..) | Refused::Faulty(_))) => {
                    return Err(Stop(self.refused(refused, "nothing was done")?));
                }
            },
            None => Config::default(),
        };
        let socket = config.control.map(|control| control.socket);
        match config.centre {
            Some(centre) => Ok((centre.spool, socket)),
            None => Err(Stop(self.usage("which spool? --spool DIR, or -c FILE with a `centre:`")?)),
        }
    }

    fn unread(&mut self, folder: &Path, error: io::Error) -> Stop {
        match self.failed(&Failure::Io(folder.to_owned(), error)) {
            Ok(code) => Stop(code),
            Err(stop) => stop,
        }
    }

    fn lanes(&mut self, folder: &Path, showing: Showing) -> Result<u8, Stop> {
        let survey = spool::survey(folder, &mut |_| Ok(())).map_err(|error| self.unread(folder, error))?;
        for (lane, is) in Lane::ALL.into_iter().zip(&survey.lanes).filter(|(lane, _)| showing.wants(*lane)) {
            match showing.json {
                true => writeln!(self.out, "{}", in_json(lane, is, SystemTime::now()))?,
                false => shown(self.out, lane, is, SystemTime::now())?,
            }
        }
        for path in &survey.foreign {
            writeln!(self.complaints, "{}: not the spool's", plain(&path.display().to_string()))?;
        }
        Ok(exit::SOUND)
    }

    fn records(&mut self, folder: &Path, showing: Showing) -> Result<u8, Stop> {
        let out = &mut *self.out;
        let mut gone = None;
        let mut each = |seen: Seen<'_>| {
            if !showing.wants(seen.lane) {
                return Ok(());
            }
            record(out, seen, showing.json).inspect_err(|error| gone = Some(error.kind()))
        };
        match spool::survey(folder, &mut each) {
            Ok(_) => Ok(exit::SOUND),
            Err(error) if gone == Some(error.kind()) => Err(error.into()),
            Err(error) => Err(self.unread(folder, error)),
        }
    }

    fn verify_spool(&mut self, folder: &Path, json: bool) -> Result<u8, Stop> {
        let survey = spool::verify(folder).map_err(|error| self.unread(folder, error))?;
        let findings: Vec<&Finding> =
            survey.findings.iter().chain(survey.lanes.iter().flat_map(|lane| &lane.findings)).collect();
        let sum = |count: fn(&Surveyed) -> u64| survey.lanes.iter().map(count).sum::<u64>();
        let holds = findings.is_empty() && survey.foreign.is_empty();
        if json {
            writeln!(self.out, "{}", judged(&survey, &findings, holds))?;
        } else {
            for finding in &findings {
                let file = plain(&finding.file.display().to_string());
                writeln!(self.complaints, "{file}:{}: {}", finding.offset, plain(&finding.what))?;
            }
            for path in &survey.foreign {
                writeln!(self.complaints, "{}:0: is not this spool's", plain(&path.display().to_string()))?;
            }
            let (records, segments) = (sum(|lane| lane.records), sum(|lane| lane.segments));
            let torn = sum(|lane| lane.torn_bytes);
            let (records, segments) =
                (counted(records, ["record", "records"]), counted(segments, ["segment", "segments"]));
            writeln!(self.out, "{records} in {segments} of {} bytes were read", grouped(sum(|lane| lane.bytes)))?;
            if torn > 0 {
                let what = "behind the last record are none: a flush that is going on, or was cut off before anybody was promised it";
                writeln!(self.out, "{} {what}", counted(torn, ["byte", "bytes"]))?;
            }
            let brought_back = sum(|lane| lane.brought_back);
            if brought_back > 0 {
                let what = "before a gap among what is settled: taken away once, and not sent again";
                writeln!(self.out, "{} {what}", counted(brought_back, ["record", "records"]))?;
            }
            match (holds, sum(Surveyed::lost)) {
                (true, _) => writeln!(self.out, "it holds")?,
                (false, lost) => {
                    let found = counted((findings.len() + survey.foreign.len()) as u64, ["finding", "findings"]);
                    let lost = counted(lost, ["record is", "records are"]);
                    writeln!(self.out, "it does not hold: {found}, {lost} gone")?;
                }
            }
        }
        Ok(if holds { exit::SOUND } else { exit::BROKEN })
    }

    fn send_again(
        &mut self,
        (since, now): (SystemTime, SystemTime),
        socket: Option<PathBuf>,
        place: &SpoolPlace,
        json: bool,
    ) -> Result<u8, Stop> {
        let (came, when) = match socket {
            // who says where it is need not be able to read the configuration
            Some(socket) => (self.asked(&socket, since)?, "now"),
            None => {
                let (folder, socket) = self.spool_of(place)?;
                match (rewound(&folder, since), socket) {
                    (Ok(rewound), _) => (resent(&rewound), "when the sensor starts"),
                    (Err(error), Some(socket)) if is_anothers(&error) => (self.asked(&socket, since)?, "now"),
                    (Err(error), None) if error.kind() == io::ErrorKind::WouldBlock => {
                        let why = "a sensor runs, and cannot be asked: --socket PATH, or -c FILE with a `control:`; or stop it";
                        writeln!(self.complaints, "error: {}: {why}", folder.display())?;
                        return Ok(exit::UNAVAILABLE);
                    }
                    (Err(error), _) => return Err(self.unread(&folder, error)),
                }
            }
        };
        match json {
            true => writeln!(self.out, "{came}")?,
            false => tell(self.out, &came, (since, now), when)?,
        }
        Ok(exit::SOUND)
    }

    /// What the running sensor says.
    fn asked(&mut self, socket: &Path, since: SystemTime) -> Result<Value, Stop> {
        let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        match answer(socket, Question::Replay(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))) {
            Ok(answer) => Ok(answer),
            Err(Unanswered { why, code }) => {
                writeln!(self.complaints, "error: {why}")?;
                Err(Stop(code))
            }
        }
    }
}

/// Whether somebody else has the spool, who may be asked.
fn is_anothers(error: &io::Error) -> bool {
    [io::ErrorKind::WouldBlock, io::ErrorKind::PermissionDenied].contains(&error.kind())
}

/// Sets a spool back that nobody uses.
fn rewound(folder: &Path, since: SystemTime) -> io::Result<Rewound> {
    // none is made where there is none
    spool::found(folder)?;
    let owner = std::fs::metadata(folder)?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        // files that it made here its sensor could not read any more
        let what = format!("it belongs to user {owner}: sudo -u '#{owner}' haetae spool replay ...");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Spool::open(folder, Options::default())?.tender().rewind(since)
}

/// What came of sending again, as it is told: by lane, how many records, and where what is kept begins.
pub fn resent(rewound: &Rewound) -> Value {
    let short = |short: &Short| json!({ "through": short.through.0, "from": short.from.map(spelled) });
    let lane = |lane: Lane| {
        let short = rewound.short[lane.index()].as_ref().map(short);
        (lane.name().to_owned(), json!({ "records": rewound.records[lane.index()], "short": short }))
    };
    Value::Object(Lane::ALL.into_iter().map(lane).collect())
}

fn tell(out: &mut dyn Write, came: &Value, (since, now): (SystemTime, SystemTime), when: &str) -> io::Result<()> {
    let records = |lane: &Lane| came[lane.name()]["records"].as_u64().unwrap_or_default();
    let all: u64 = Lane::ALL.iter().map(records).sum();
    let each: Vec<String> = Lane::ALL.iter().map(|lane| format!("{} {lane}", grouped(records(lane)))).collect();
    let ago = span(now.duration_since(since).unwrap_or_default().as_secs_f64());
    let count = counted(all, ["record goes", "records go"]);
    writeln!(out, "since {} ({ago} ago): {count} again {when}: {}", spelled(since), each.join(", "))?;
    for lane in Lane::ALL {
        let short = &came[lane.name()]["short"];
        let Some(through) = short["through"].as_u64() else { continue };
        let begins = match short["from"].as_str() {
            Some(from) => format!("what is kept begins at {}", plain(from)),
            None => "none of what was committed is kept".to_owned(),
        };
        let (count, limit) = (counted(through, ["record", "records"]), "`limits.replay_hours`, `limits.replay_size`");
        writeln!(out, "{lane}: {begins}; the first {count} cannot be sent again, whenever they were raised ({limit})")?;
    }
    Ok(())
}

/// A time as it is printed: in UTC, to the second.
fn spelled(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_parts(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), 0).rfc3339()
}

fn ago(then: SystemTime, now: SystemTime) -> f64 {
    now.duration_since(then).unwrap_or(Duration::ZERO).as_secs_f64()
}

/// A lane for a person.
fn shown(out: &mut dyn Write, lane: Lane, is: &Surveyed, now: SystemTime) -> io::Result<()> {
    let Some(id) = is.id else { return writeln!(out, "{:<9} empty: it was never used", lane.name()) };
    let [segments, records] = [(is.segments, ["segment", "segments"]), (is.records, ["record", "records"])]
        .map(|(count, noun)| counted(count, noun));
    let range = is.range.map(|(first, last)| format!(", {first} to {last}")).unwrap_or_default();
    let bytes = grouped(is.bytes);
    let up_to = is.watermark;
    writeln!(
        out,
        "{:<9} spool {id}: {records} in {segments} of {bytes} bytes{range}; settled up to {up_to}",
        lane.name()
    )?;
    let line = |out: &mut dyn Write, text: String| writeln!(out, "{:<9} {text}", "");
    let oldest = is.oldest.map(|at| format!(", the oldest {} ({})", span(ago(at, now)), spelled(at)));
    line(out, format!("{} waiting{}", grouped(is.waiting), oldest.unwrap_or_default()))?;
    let since = is.kept_since.map(|at| format!(", since {}", spelled(at))).unwrap_or_default();
    line(out, format!("{} settled and kept to be sent again{since}", grouped(is.kept)))?;
    if is.brought_back > 0 {
        let what = "before a gap among what is settled: taken away once, and not sent again";
        line(out, format!("{} {what}", grouped(is.brought_back)))?;
    }
    for reader in &is.readers {
        let (name, behind, missed) = (plain(&reader.name), grouped(reader.behind), grouped(reader.missed));
        line(out, format!("{name} stands at {}: {behind} behind, {missed} missed", reader.watermark))?;
    }
    if is.given_up + is.untold > 0 {
        let (given_up, untold) = (grouped(is.given_up), grouped(is.untold));
        line(out, format!("{given_up} given up among these, {untold} that the centre was not told of yet"))?;
    }
    if !is.findings.is_empty() {
        let found = counted(is.findings.len() as u64, ["finding", "findings"]);
        line(out, format!("! {found}, {} gone: `haetae spool verify`", counted(is.lost(), ["record", "records"])))?;
    }
    Ok(())
}

fn in_json(lane: Lane, is: &Surveyed, now: SystemTime) -> Value {
    let readers = is.readers.iter().map(|reader| {
        json!({ "name": reader.name, "watermark": reader.watermark, "behind": reader.behind, "missed": reader.missed })
    });
    json!({
        "lane": lane.name(),
        "spool": is.id.map(|id| id.to_string()),
        "segments": is.segments,
        "bytes": is.bytes,
        "records": is.records,
        "first": is.range.map(|(first, _)| first),
        "last": is.range.map(|(_, last)| last),
        "watermark": is.watermark,
        "waiting": is.waiting,
        "oldest": is.oldest.map(spelled),
        "oldest_seconds": is.oldest.map(|at| ago(at, now).floor()),
        "kept": is.kept,
        "kept_since": is.kept_since.map(spelled),
        "brought_back": is.brought_back,
        "readers": readers.collect::<Vec<_>>(),
        "given_up": is.given_up,
        "given_up_untold": is.untold,
        "torn_bytes": is.torn_bytes,
        "findings": is.findings.len(),
        "lost": is.lost(),
    })
}

fn judged(survey: &Survey, findings: &[&Finding], holds: bool) -> Value {
    let of_finding = |finding: &&Finding| {
        json!({ "file": finding.file.display().to_string(), "offset": finding.offset, "what": finding.what,
            "records": finding.records })
    };
    let foreign = survey.foreign.iter().map(
        |path| json!({ "file": path.display().to_string(), "offset": 0, "what": "is not this spool's", "records": 0 }),
    );
    let lanes = Lane::ALL.into_iter().zip(&survey.lanes).map(|(lane, is)| in_json(lane, is, SystemTime::now()));
    json!({
        "holds": holds,
        "lost": survey.lanes.iter().map(Surveyed::lost).sum::<u64>(),
        "findings": findings.iter().map(of_finding).chain(foreign).collect::<Vec<_>>(),
        "lanes": lanes.collect::<Vec<_>>(),
    })
}

/// A record on a line.
fn record(out: &mut dyn Write, seen: Seen<'_>, json: bool) -> io::Result<()> {
    let state = if seen.waits { "waiting" } else { "settled" };
    let time = seen.time.map(spelled);
    if json {
        let text = || Value::String(String::from_utf8_lossy(seen.payload).into_owned());
        let payload = serde_json::from_slice(seen.payload).unwrap_or_else(|_| text());
        let line = json!({ "lane": seen.lane.name(), "sequence": seen.sequence, "time": time, "state": state, "record": payload });
        return writeln!(out, "{line}");
    }
    let payload = plain(&String::from_utf8_lossy(seen.payload));
    writeln!(out, "{:<8} {:>8}  {}  {state}  {payload}", seen.lane.name(), seen.sequence, time.unwrap_or_default())
}
