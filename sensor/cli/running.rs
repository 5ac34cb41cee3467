//! `haetae status`, `counters`, `reload`, `lookup --running` and `spool replay`: the running sensor is asked, over its control socket.
//!
//! In: a socket's path and a question. Out: text for a person, or the answer as JSON. Never here: a wait without an end, an
//! answer that moves a terminal's cursor.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde_json::{Value, json};

use super::arguments::{Running, Site};
use super::screen::{counted, grouped, plain};
use super::{Desk, Stop, exit, lookup};
use crate::config::Config;
use crate::control::groups;
use crate::limits::{CONTROL_ANSWER_BYTES_MAX, CONTROL_RELOAD_TIME_MAX};

/// Where a sensor that was installed as a package is asked.
pub const SOCKET_DEFAULT: &str = "/run/haetae/control.sock";

/// An answer of a sensor that is not busy takes a hundredth of this; behind a reload it takes as long as that.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// How it is.
    Status,
    /// All that it counted.
    Counters,
    /// To read configuration and rules again.
    Reload,
    /// What it knows of a value.
    Lookup(&'a str),
    /// To send again what the centre has committed and was raised since then, in milliseconds since 1970.
    Replay(u64),
}

/// Why there is no answer: what to tell, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// For a person, with what to type.
    pub why: String,
    /// See [`exit`].
    pub code: u8,
}

impl Desk<'_> {
    /// Asks the running sensor where the command line or the configuration says that it is.
    pub(super) fn ask(&mut self, asked: Running, question: Question<'_>) -> Result<u8, Stop> {
        let Running { socket, config, json } = asked;
        let file = self.chosen(config);
        let config = match &socket {
            // who says where it is need not be able to read the configuration
            Some(_) => Config::default(),
            None => self.config(&Site { config: file.clone(), ..Site::default() }, "nobody was asked")?,
        };
        let configured = config.control.map(|control| control.socket);
        if let (None, None, Some(file)) = (&socket, &configured, file) {
            return self.usage(&format!("{} has no `control:`, so its sensor cannot be asked", file.display()));
        }
        let path = socket.or(configured).unwrap_or_else(|| SOCKET_DEFAULT.into());
        match ask(&path, question, (json, config.site.language.name()), self.out) {
            Ok(code) => Ok(code),
            Err(Unanswered { why, code }) => {
                if code != exit::SOUND {
                    writeln!(self.complaints, "error: {why}")?;
                }
                Ok(code)
            }
        }
    }
}

/// Asks, prints the answer, and gives the exit code.
///
/// # Errors
/// The sensor cannot be asked or does not answer; the output cannot be written.
pub fn ask(
    socket: &Path,
    question: Question<'_>,
    (as_json, language): (bool, &str),
    out: &mut dyn Write,
) -> Result<u8, Unanswered> {
    let answer = answer(socket, question)?;
    let written = match (as_json, question) {
        (true, _) | (_, Question::Replay(_)) => writeln!(out, "{answer}"),
        (false, Question::Status) => status(out, &answer),
        (false, Question::Counters) => counters(out, "", &answer),
        (false, Question::Reload) => reloaded(out, &answer),
        (false, Question::Lookup(value)) => looked_up(out, value, &answer, language),
    };
    written.map_err(|error| Unanswered { why: format!("standard output: {error}"), code: exit::of_io(&error) })?;
    Ok(match question {
        Question::Status if answer["ready"] != true => exit::NOT_READY,
        Question::Reload if !answer["not_reloaded"].is_null() => exit::NOT_READY,
        _ => exit::SOUND,
    })
}

/// The sensor's answer to a question.
pub(super) fn answer(socket: &Path, question: Question<'_>) -> Result<Value, Unanswered> {
    let (line, patience) = match question {
        Question::Status => (json!({ "ask": "status" }), PATIENCE),
        Question::Counters => (json!({ "ask": "counters" }), PATIENCE),
        Question::Reload => (json!({ "ask": "reload" }), CONTROL_RELOAD_TIME_MAX + PATIENCE),
        Question::Lookup(value) => (json!({ "ask": "lookup", "value": value }), PATIENCE),
        Question::Replay(since) => (json!({ "ask": "replay", "since": since }), CONTROL_RELOAD_TIME_MAX + PATIENCE),
    };
    let unheard = |error: io::Error| Unanswered {
        why: format!("{}: no answer came ({}): is the sensor busy, or ending?", socket.display(), said(&error)),
        code: exit::IO,
    };
    let mut stream = connected(socket).map_err(|error| unreached(socket, &error))?;
    let asked = stream.set_read_timeout(Some(patience)).and_then(|()| stream.write_all(format!("{line}\n").as_bytes()));
    asked.map_err(unheard)?;
    let mut bytes = Vec::new();
    let mut reader = BufReader::new(stream).take(CONTROL_ANSWER_BYTES_MAX as u64 + 1);
    reader.read_until(b'\n', &mut bytes).map_err(unheard)?;
    let whole = bytes.pop() == Some(b'\n');
    let answer: Value = serde_json::from_slice(&bytes).ok().filter(|_| whole).unwrap_or_default();
    if let Some(why) = answer["error"].as_str() {
        return Err(Unanswered { why: format!("the sensor: {}", plain(why)), code: exit::IO });
    }
    match answer.get("ok") {
        Some(answer) => Ok(answer.clone()),
        None => Err(unheard(io::Error::new(ErrorKind::InvalidData, "it is no sensor's, or was cut short"))),
    }
}

fn connected(path: &Path) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // a full queue of others who ask holds up connect(2) as well
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "time is up".to_owned(),
        ErrorKind::InvalidData => error.to_string(),
        kind => kind.to_string(),
    }
}

/// Why nobody was reached, and what to do about it.
fn unreached(path: &Path, error: &io::Error) -> Unanswered {
    let shown = path.display();
    let there = fs::metadata(path);
    let (why, code) = match error.kind() {
        // the system says of a file what it says of a socket at which nobody listens any more
        ErrorKind::ConnectionRefused if there.as_ref().is_ok_and(|there| !there.file_type().is_socket()) => (
            format!(
                "{shown}: this is no socket, so no sensor is asked there: `control.socket` in its configuration names the \
                 place, and --socket PATH says it here"
            ),
            exit::UNAVAILABLE,
        ),
        ErrorKind::NotFound | ErrorKind::NotADirectory => (
            format!(
                "{shown}: no sensor is asked there. Does one run (systemctl status haetae), and does its configuration \
                 have `control: {{ socket: {shown} }}`? --socket PATH names another place"
            ),
            exit::UNAVAILABLE,
        ),
        ErrorKind::ConnectionRefused => (
            format!(
                "{shown}: the sensor that made this socket has ended. Start it (systemctl start haetae); what it said \
                 last: journalctl -u haetae"
            ),
            exit::UNAVAILABLE,
        ),
        ErrorKind::PermissionDenied => {
            let whose = [Some(path), path.parent()].into_iter().flatten().find_map(|path| fs::metadata(path).ok());
            let group = whose.and_then(|file| groups::name(file.gid())).unwrap_or_else(|| "haetae".to_owned());
            // nobody is told to join root's group
            let join = match &*group {
                "root" => "give it a group of its own (`control.group` in the configuration)".to_owned(),
                group => format!("join it (sudo usermod -aG {group} $USER) and log in again"),
            };
            let why = format!("{shown}: only the group `{group}` may ask. Ask as root (sudo), or {join}");
            (why, exit::PERMISSION)
        }
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            (format!("{shown}: too many ask at once, or the sensor hangs: journalctl -u haetae"), exit::UNAVAILABLE)
        }
        _ => (format!("{shown}: {error}"), exit::of_io(error)),
    };
    Unanswered { why, code }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn text(value: &Value) -> String {
    plain(value.as_str().unwrap_or_default())
}

fn listed(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A time as a person says it.
pub(super) fn span(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..=9 => format!("{seconds:.1} s"),
        10..=119 => format!("{whole} s"),
        120..=7_199 => format!("{} min", whole / 60),
        7_200..=172_799 => format!("{} h", whole / 3_600),
        _ => format!("{} days", whole / 86_400),
    }
}

fn status(out: &mut dyn Write, answer: &Value) -> io::Result<()> {
    let ready = if answer["ready"] == true { "ready" } else { "NOT READY" };
    let up = span(number(&answer["uptime_seconds"]) as f64);
    writeln!(out, "haetae {}: {ready}, up {up}", text(&answer["version"]))?;
    for reason in listed(&answer["not_ready"]) {
        writeln!(out, "  ! {}", text(reason))?;
    }
    if answer["clock_suspect"] == true {
        writeln!(out, "  ! the machine's clock has jumped; `haetae reload` says that it is right now")?;
    }
    let set = &answer["set"];
    let refused = counted(number(&set["refused"]), ["refused", "refused"]);
    let entries = counted(number(&set["entries"]), ["indicator", "indicators"]);
    let age = span(number(&set["age_seconds"]) as f64);
    let (version, red) = (number(&set["version"]), grouped(number(&set["tlp_red"])));
    writeln!(out, "set       version {version}, {entries} ({red} of them TLP:RED), {refused}, loaded {age} ago")?;
    let (reloads, failed) = (number(&set["reloads"]), number(&set["reloads_refused"]));
    writeln!(out, "reloads   {}, {} refused", grouped(reloads), grouped(failed))?;
    for link in listed(&answer["links"]) {
        let open = if link["open"] == true { "open" } else { "NOT OPEN" };
        let last = link["last_frame_seconds"].as_f64();
        let last = last.map_or("no frame yet".to_owned(), |last| format!("last frame {} ago", span(last)));
        let counts = ["received", "kernel_drops", "interface_drops"].map(|name| grouped(number(&link[name])));
        let [received, dropped, lost] = counts;
        let (name, backend) = (text(&link["name"]), text(&link["backend"]));
        writeln!(
            out,
            "link      {name}: {backend}, {open}, {last}; {received} received, {dropped} dropped by the kernel, {lost} by the interface"
        )?;
    }
    for worker in listed(&answer["workers"]) {
        let [at, handed, flows, waiting] =
            ["worker", "handed", "flows_open", "waiting"].map(|name| grouped(number(&worker[name])));
        writeln!(out, "worker    {at}: {handed} frames, {flows} flows open, {waiting} waiting")?;
    }
    let delivery = &answer["delivery"];
    match delivery {
        Value::Null => writeln!(out, "delivery  none: no centre is configured")?,
        _ => {
            let [waiting, bytes, delivered, dead] =
                ["waiting", "waiting_bytes", "delivered", "dead"].map(|name| grouped(number(&delivery[name])));
            let oldest = span(delivery["oldest_seconds"].as_f64().unwrap_or_default());
            let reached = match (delivery["reachable"] == true, delivery["reason"].as_str()) {
                (true, _) => "reachable".to_owned(),
                (false, None) => "NOT REACHABLE".to_owned(),
                (false, Some(reason)) => format!("NOT REACHABLE ({reason})"),
            };
            writeln!(
                out,
                "delivery  centre {reached}; {waiting} waiting ({bytes} bytes, the oldest {oldest}), {delivered} delivered, {dead} dead letters"
            )?;
        }
    }
    sandbox(out, &answer["sandbox"])?;
    broker(out, &answer["broker"])
}

fn sandbox(out: &mut dyn Write, sandbox: &Value) -> io::Result<()> {
    if sandbox["bounding"] != true {
        return writeln!(out, "sandbox   OFF: switched off in the configuration");
    }
    let named = |role: &Value| match number(&role["threads"]) {
        0 | 1 => text(&role["role"]),
        threads => format!("{threads} x {}", text(&role["role"])),
    };
    let (full, short): (Vec<&Value>, Vec<&Value>) = listed(&sandbox["roles"]).partition(|role| role["holds"] == "full");
    if !full.is_empty() {
        writeln!(out, "sandbox   full: {}", full.into_iter().map(named).collect::<Vec<_>>().join(", "))?;
    }
    for role in short {
        let why: Vec<String> = listed(&role["why"]).map(text).collect();
        writeln!(out, "sandbox   {}: {}: {}", text(&role["holds"]).to_uppercase(), named(role), why.join("; "))?;
    }
    Ok(())
}

fn broker(out: &mut dyn Write, up: &Value) -> io::Result<()> {
    let said = match up {
        Value::Bool(true) => "there",
        Value::Bool(false) => "GONE: a link that goes away stays away; restart the sensor",
        _ => "none: nothing needs one",
    };
    writeln!(out, "broker    {said}")
}

/// Each number on its line, under the path that leads to it: what `grep` and `diff` like.
fn counters(out: &mut dyn Write, path: &str, value: &Value) -> io::Result<()> {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(entries) => {
            entries.iter().try_for_each(|(name, value)| counters(out, &below(&plain(name)), value))
        }
        Value::Array(items) => {
            let named = |at: usize, item: &Value| item["name"].as_str().map_or(at.to_string(), plain);
            (0..).zip(items).try_for_each(|(at, item)| counters(out, &below(&named(at, item)), item))
        }
        Value::String(_) => writeln!(out, "{path} {}", text(value)),
        Value::Null => Ok(()),
        _ => writeln!(out, "{path} {value}"),
    }
}

fn reloaded(out: &mut dyn Write, answer: &Value) -> io::Result<()> {
    match answer["not_reloaded"].as_str() {
        Some(reason) => {
            let lines: String = reason.lines().map(|line| format!("  {}\n", plain(line))).collect();
            write!(out, "not reloaded; everything goes on as before:\n{lines}")
        }
        None => {
            let entries = counted(number(&answer["indicators"]), ["indicator", "indicators"]);
            let refused = grouped(number(&answer["refused"]));
            writeln!(out, "reloaded: {entries}, {refused} refused; set version {}", number(&answer["set"]))
        }
    }
}

fn looked_up(out: &mut dyn Write, value: &str, answer: &Value, language: &str) -> io::Result<()> {
    let known: Vec<Value> = listed(&answer["listed"]).cloned().collect();
    let (withheld, more) = (number(&answer["withheld"]), number(&answer["more"]));
    if !known.is_empty() || withheld == 0 {
        lookup::write(out, value, number(&answer["searched"]), &known, language)?;
    }
    if more > 0 {
        writeln!(out, "{}: {more} more", plain(value))?;
    }
    if withheld > 0 {
        let entries = counted(withheld, ["entry", "entries"]);
        writeln!(out, "{}: {entries} withheld (TLP:RED)", plain(value))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    fn printed(question: Question<'_>, answer: &Value) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).expect("a socket");
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().expect("somebody");
                let mut asked = String::new();
                BufReader::new(&stream).read_line(&mut asked).expect("a line");
                writeln!(stream, "{}", json!({ "ok": answer })).expect("it is heard");
            });
            let mut out = Vec::new();
            ask(&path, question, (false, "en"), &mut out).expect("an answer");
            String::from_utf8(out).expect("text")
        })
    }

    #[test]
    fn counters_are_a_number_a_line() {
        let answer = json!({ "packets": 7, "fates": { "processed": 6 }, "links": [{ "name": "tap0", "open": true, "x": null }] });
        let told = "packets 7\nfates.processed 6\nlinks.tap0.name tap0\nlinks.tap0.open true\n";
        assert_eq!(printed(Question::Counters, &answer), told);
    }

    #[test]
    fn a_status_says_for_each_role_what_the_sandbox_holds_and_whether_the_broker_lives() {
        let role = |role: &str, threads: u32, holds: &str, why: &[&str]| json!({ "role": role, "threads": threads, "holds": holds, "why": why });
        let roles = [
            role("control", 1, "full", &[]),
            role("worker", 2, "full", &[]),
            role("keeper", 1, "partly", &["capabilities: keeper keeps CAP_NET_RAW", "bpf is not refused"]),
        ];
        let told = |broker: Value, bounding: bool| {
            let sandbox = json!({ "bounding": bounding, "roles": roles });
            printed(Question::Status, &json!({ "sandbox": sandbox, "broker": broker }))
        };
        let all = told(false.into(), true);
        assert!(all.contains("sandbox   full: control, 2 x worker\n"), "{all}");
        let partly = "sandbox   PARTLY: keeper: capabilities: keeper keeps CAP_NET_RAW; bpf is not refused\n";
        assert!(all.contains(partly) && all.contains("broker    GONE: "), "{all}");
        let off = told(Value::Null, false);
        assert!(
            off.ends_with("sandbox   OFF: switched off in the configuration\nbroker    none: nothing needs one\n"),
            "{off}"
        );
    }

    #[test]
    fn what_is_withheld_is_said_and_is_not_called_unlisted() {
        let answer = json!({ "searched": 9, "listed": [], "withheld": 1, "more": 0 });
        assert_eq!(printed(Question::Lookup("a.example"), &answer), "a.example: 1 entry withheld (TLP:RED)\n");
        let answer = json!({ "searched": 9, "listed": [], "withheld": 0, "more": 0 });
        assert_eq!(printed(Question::Lookup("a.example"), &answer), "a.example: not listed (9 indicators searched)\n");
    }

    #[test]
    fn answers_move_no_cursor() {
        let answer =
            json!({ "version": "1\u{1b}[2J", "ready": false, "not_ready": ["a\nb\r"], "links": [{ "name": "\u{7}" }] });
        let told = printed(Question::Status, &answer);
        assert!(told.chars().all(|letter| letter == '\n' || !letter.is_control()), "{told}");
        assert!(told.contains("NOT READY"), "{told}");
    }

    #[test]
    fn nobody_there_is_told_with_what_to_type() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let failed = answer(&path, Question::Status).expect_err("nobody");
        assert!(failed.code == exit::UNAVAILABLE && failed.why.contains("systemctl status haetae"), "{failed:?}");
        let failed = answer(&path.join("deeper"), Question::Status).expect_err("nobody");
        assert!(failed.code == exit::UNAVAILABLE && failed.why.contains("no sensor is asked there"), "{failed:?}");
        for place in [folder.path(), Path::new("/etc/passwd")] {
            let failed = answer(place, Question::Status).expect_err("nobody");
            assert!(failed.code == exit::UNAVAILABLE && failed.why.contains("this is no socket"), "{failed:?}");
        }
        drop(UnixListener::bind(&path).expect("a socket"));
        let failed = answer(&path, Question::Status).expect_err("nobody any more");
        assert!(failed.code == exit::UNAVAILABLE && failed.why.contains("has ended"), "{failed:?}");
        let denied = unreached(&path, &ErrorKind::PermissionDenied.into());
        assert!(denied.code == exit::PERMISSION && denied.why.contains("control.group"), "{denied:?}");
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).expect("a socket");
        for sent in [&b"\n"[..], b"{}\n", b"{\"ok\":{}", b"\xff\xfe\n", b"[]\n", b""] {
            thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().expect("somebody");
                    let _gone = BufReader::new(&stream).read_line(&mut String::new());
                    stream.write_all(sent).expect("it is heard");
                });
                assert_eq!(answer(&path, Question::Status).expect_err("none").code, exit::IO, "{sent:?}");
            });
        }
    }
}
