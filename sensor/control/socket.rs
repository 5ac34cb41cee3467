//! The control socket: who may ask the running sensor, and who answers.
//!
//! In: a path and a group. Out: a listener that nobody outside of the group reaches, and a thread that answers. A socket that a
//! killed sensor left behind is replaced, one that somebody listens at is not. Never here: what an answer says.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};

use super::answers::Answers;
use super::caller::Caller;
use super::places;
use crate::config::Control;
use crate::limits::{CONTROL_BIND_TIME_MAX, CONTROL_CONNECTIONS_MAX, CONTROL_SAFE_TIME, CONTROL_TURNS_PER_SECOND_MAX};
use crate::metrics::door::{Bounds, Door};

/// Who may come, and how much is done for them.
const BOUNDS: Bounds = Bounds {
    visitors_max: CONTROL_CONNECTIONS_MAX,
    safe: CONTROL_SAFE_TIME,
    turns_per_second: CONTROL_TURNS_PER_SECOND_MAX,
};

/// Connections that wait in the kernel.
const BACKLOG: i32 = 64;

/// How often it is looked whether another start has made its socket.
const FREE_EVERY: Duration = Duration::from_millis(20);

/// Its owner and its group may ask, nobody else.
const SOCKET_MODE: u32 = 0o660;

/// A folder that is made for it.
const FOLDER_MODE: u32 = 0o750;

/// How often it is looked whether the socket still lies where it is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A listener with its place in the file system.
pub(super) struct ControlSocket {
    path: PathBuf,
    /// Whose members may ask, by number: nobody reads names any more when it has to be made again.
    group: Option<u32>,
    /// For the one thread that answers, and for whoever takes it away.
    bound: Mutex<Bound>,
}

/// What is listened to.
struct Bound {
    listener: UnixListener,
    /// Device and inode: what lies at the path later may be another's.
    file: (u64, u64),
    /// Whether it was said that nobody is reached here.
    missed: bool,
}

impl ControlSocket {
    /// Listens.
    ///
    /// # Errors
    /// Somebody listens there, something else lies there, or it may not be made.
    pub(super) fn open(control: &Control) -> io::Result<ControlSocket> {
        let path = control.socket.clone();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        // held until all is done: of two that start at once neither takes the other's for a dead one's
        let _held = locked(folder)?;
        clear(&path)?;
        let group = control.group.as_deref().map(places::group_number).transpose().unwrap_or_else(|why| {
            tracing::warn!("control.group: {why}: the control socket is the sensor's own group's");
            None
        });
        let bound = Mutex::new(bound(&path, group)?);
        Ok(ControlSocket { path, group, bound })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Answers until `stop`, on the caller's thread; returns at most a tenth of a second after it.
    ///
    /// # Errors
    /// The system cannot wait for sockets any more. What goes wrong with one connection ends that connection alone.
    pub(super) fn serve(&self, stop: &AtomicBool, mut answers: Answers<'_>) -> io::Result<()> {
        let mut door: Door<Caller> = Door::new(BOUNDS);
        let mut looked = Instant::now();
        while !stop.load(Ordering::Acquire) {
            let mut bound = self.bound();
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                self.look(&mut bound);
            }
            (answers.askers.displaced, answers.askers.timed_out) = (door.displaced, door.timed_out);
            let mut take = |now| bound.listener.accept().map(|(stream, _)| Caller::new(stream, now));
            door.round(bound.listener.as_fd(), &mut take, &mut |caller, now| answers.attend(caller, now))?;
        }
        Ok(())
    }

    /// Makes it again where somebody took it away; what lies there of another's stays. Who is heard already stays, too.
    fn look(&self, was: &mut Bound) {
        let path = self.path.display();
        let why = match fs::symlink_metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) == was.file => {
                was.missed = false;
                return;
            }
            Ok(_) => "something else lies there".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match bound(&self.path, self.group) {
                Ok(again) => {
                    tracing::warn!(%path, "the control socket was taken away; it is made again");
                    *was = again;
                    return;
                }
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        if !was.missed {
            was.missed = true;
            tracing::error!(%path, why, "the control socket is not at its place: nobody can ask until it is, or a restart");
        }
    }

    /// Takes it away, if it is still the one that was made.
    pub(super) fn remove(&self) {
        let file = self.bound().file;
        let ours = |there: fs::Metadata| (there.dev(), there.ino()) == file;
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            let _gone_already = fs::remove_file(&self.path);
        }
    }

    /// A thread that died holding this has not left it half written.
    fn bound(&self) -> MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Listens where nothing lies yet.
fn bound(path: &Path, group: Option<u32>) -> io::Result<Bound> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    // nobody is let in before it listens, and it listens only when it is its group's
    let made = owned(path, group)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE)))
        .and_then(|()| fs::symlink_metadata(path))
        .and_then(|file| listen(&socket, BACKLOG).map(|()| (file.dev(), file.ino())).map_err(io::Error::from));
    let file = made.inspect_err(|_| {
        let _gone_already = fs::remove_file(path);
    })?;
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(Bound { listener, file, missed: false })
}

/// The folder, until what is given is dropped.
fn locked(folder: &Path) -> io::Result<File> {
    let (file, began) = (File::open(folder)?, Instant::now());
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(error) if error != Errno::WOULDBLOCK => return Err(error.into()),
            Err(_) if began.elapsed() >= CONTROL_BIND_TIME_MAX => {
                let why = format!("another program holds the folder {}", folder.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
            }
            Err(_) => thread::sleep(FREE_EVERY),
        }
    }
}

/// Takes away what a killed sensor left.
fn clear(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        there => there?,
    };
    if !there.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket lies there"));
    }
    // it does not wait: who listens and has no time for us is alive too
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path),
        Ok(()) | Err(Errno::AGAIN) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another running program listens there"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Gives it to its group, where there is one and we may.
fn owned(path: &Path, group: Option<u32>) -> io::Result<()> {
    let Some(group) = group else { return Ok(()) };
    match chown(path, None, Some(group)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            tracing::warn!(
                group,
                "control.group: the sensor may not give it away: the control socket is its own group's"
            );
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::time::SystemTime;

    use serde_json::Value;

    use super::super::eve_file::LogState;
    use super::super::look::{Look, SetFacts};
    use super::super::opening::{Sources, orders};
    use super::super::reloading::{Reloaded, bell};
    use super::super::shared::Shared;
    use super::*;
    use crate::alert::record::Site;
    use crate::collector::Progress;
    use crate::config::Config;
    use crate::feed;
    use crate::limits::{CONTROL_QUESTION_BYTES_MAX, CONTROL_QUESTION_TIME_MAX};
    use crate::sandbox::{Plan, Sandbox, Wanted};

    const RULES: &str = "format: haetae/1\nindicators:\n\
        \x20 - { domain: open.example, tlp: green, id: open-1, source: S2W }\n\
        \x20 - { domain_suffix: secret.example, tlp: red, id: red-1, source: RedSource }\n\
        \x20 - { domain: both.example, tlp: red, id: red-2, source: RedSource }\n\
        \x20 - { domain: both.example, tlp: amber, id: open-2, source: S2W }\n";

    fn control(folder: &Path) -> Control {
        Control { socket: folder.join("deep/control.sock"), group: None, tell_withheld: false }
    }

    /// A socket at work while `ask` asks; reloads are granted by `reload`.
    fn while_answering(tell_withheld: bool, reload: impl Fn() -> Reloaded + Send, ask: impl FnOnce(&Path) + Send) {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("rules.yaml"), RULES).expect("rules");
        let config = Config::default();
        let set = feed::load(&[folder.path().join("rules.yaml")], &config.policy([0; 16])).expect("rules").set;
        let (facts, set) = (SetFacts::of(&set, 0), Arc::new(set));
        let orders = orders(&config, 2, (1, 2), &Arc::default(), &set, &Site::default(), None);
        let shared = Arc::new(Shared::new(Instant::now(), orders, facts, &Sources::none(2)).expect("its bells"));
        let progress = Progress::default();
        let (log, started) = (Arc::new(LogState::default()), SystemTime::now());
        let sandbox = &Sandbox::new(Wanted::Off, Plan::default());
        let (interfaces, delivery, broker) = (Vec::new(), None, None);
        let look = Look { shared, interfaces, progress: &progress, log, delivery, sandbox, broker, started };
        let socket = ControlSocket::open(&control(folder.path())).expect("a socket");
        let (stop, (bell, wishes)) = (&AtomicBool::new(false), bell());
        thread::scope(|scope| {
            scope.spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    wishes.grant(&reload);
                    thread::sleep(Duration::from_millis(5));
                }
            });
            let path = socket.path();
            let asking = scope.spawn(move || {
                let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ask(path)));
                stop.store(true, Ordering::Release);
                asked
            });
            socket.serve(stop, Answers::new(&look, (bell, None), tell_withheld)).expect("it goes on");
            asking.join().unwrap().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        let path = socket.path().to_owned();
        drop(socket);
        assert!(!path.exists(), "it is taken away at the end");
    }

    fn answering(ask: impl FnOnce(&Path) + Send) {
        while_answering(false, || Reloaded::Refused("limits.flows: unknown option".into()), ask);
    }

    fn stream(path: &Path) -> UnixStream {
        let stream = UnixStream::connect(path).expect("somebody listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a bound");
        stream
    }

    /// Sends bytes, says that no more will come, and reads to the end.
    fn sent(path: &Path, bytes: &[u8]) -> String {
        let mut stream = stream(path);
        let _refused_already = stream.write_all(bytes);
        let _gone_already = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer); // a refusal may end with a reset: the rest is not read
        String::from_utf8(answer).expect("text")
    }

    fn asked(path: &Path, question: &str) -> Value {
        serde_json::from_str(&sent(path, format!("{question}\n").as_bytes())).expect("JSON")
    }

    #[test]
    fn every_question_has_its_answer_and_several_may_come_together() {
        answering(|path| {
            let status = asked(path, r#"{"ask":"status"}"#);
            assert_eq!(status["ok"]["version"], env!("CARGO_PKG_VERSION"), "{status}");
            assert_eq!(
                (&status["ok"]["ready"], &status["ok"]["set"]["entries"]),
                (&true.into(), &3.into()),
                "{status}"
            );
            let counters = asked(path, r#"{"ask":"counters"}"#);
            assert_eq!(counters["ok"]["accounting"]["balanced"], true, "{counters}");
            assert_eq!(counters["ok"]["control"]["answered"], 1, "{counters}");
            let both = sent(path, b"{\"ask\":\"status\"}\n{\"ask\":\"counters\"}\n{\"ask\":\"stat");
            assert_eq!(both.lines().filter(|line| line.starts_with("{\"ok\":")).count(), 2, "{both}");
            let reload = asked(path, r#"{"ask":"reload"}"#);
            assert_eq!(reload["ok"]["not_reloaded"], "limits.flows: unknown option", "{reload}");
            let replay = asked(path, r#"{"ask":"replay","since":0}"#);
            assert_eq!(replay["error"], "no centre is configured: there is no spool", "{replay}");
        });
    }

    #[test]
    fn a_reload_is_waited_for_and_others_are_answered_meanwhile() {
        let slow = || {
            thread::sleep(Duration::from_millis(600));
            Reloaded::Taken { indicators: 4, refused: 1, set: 7 }
        };
        while_answering(false, slow, |path| {
            let mut waiting = stream(path);
            waiting.write_all(b"{\"ask\":\"reload\"}\n").expect("it listens");
            let began = Instant::now();
            assert_eq!(asked(path, r#"{"ask":"status"}"#)["ok"]["ready"], true);
            assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
            let mut answer = String::new();
            BufReader::new(waiting).read_line(&mut answer).expect("an answer");
            assert_eq!(answer, "{\"ok\":{\"indicators\":4,\"refused\":1,\"set\":7}}\n");
        });
    }

    /// What is answered of values, by name; what is red is in none of it.
    fn looked_up(path: &Path) -> impl Fn(&str) -> Value {
        move |value: &str| {
            let answer = asked(path, &format!("{{\"ask\":\"lookup\",\"value\":\"{value}\"}}"))["ok"].take();
            let text = answer.to_string();
            assert!(["secret", "red-", "RedSource"].iter().all(|word| !text.contains(word)), "{text}");
            answer
        }
    }

    #[test]
    fn what_is_held_as_red_goes_to_nobody_and_is_not_there_for_who_guesses() {
        answering(|path| {
            let looked_up = looked_up(path);
            let open = looked_up("open.example");
            assert_eq!(open["listed"][0]["words"][0]["id"], "open-1", "{open}");
            assert_eq!(looked_up("both.example")["listed"][0]["words"][0]["id"], "open-2");
            let nobody = looked_up("www.nobody.example");
            assert_eq!((nobody["listed"].as_array().map(Vec::len), &nobody["withheld"]), (Some(0), &Value::Null));
            assert_eq!(looked_up("www.secret.example"), nobody, "a guess is not confirmed");
            for question in ["status", "counters"] {
                let answer = asked(path, &format!("{{\"ask\":\"{question}\"}}"));
                let set = &answer["ok"]["set"];
                assert_eq!((&set["tlp_red"], &set["entries"]), (&2.into(), &3.into()), "{set}");
            }
        });
    }

    #[test]
    fn where_the_site_wants_it_who_asks_is_told_how_much_is_withheld() {
        while_answering(
            true,
            || Reloaded::Refused(String::new()),
            |path| {
                let looked_up = looked_up(path);
                let withheld = |value: &str| looked_up(value)["withheld"].as_u64();
                let values = ["open.example", "www.secret.example", "both.example", "nobody.example"];
                assert_eq!(values.map(withheld), [Some(0), Some(1), Some(1), Some(0)]);
                assert_eq!(looked_up("both.example")["listed"][0]["words"][0]["id"], "open-2");
            },
        );
    }

    #[test]
    fn what_is_no_question_is_refused_counted_and_not_repeated() {
        let long = [b"{\"ask\":\"status\",\"marker\":\"".as_slice(), &vec![b'x'; CONTROL_QUESTION_BYTES_MAX]].concat();
        let deep = [vec![b'['; 4_000], b"\n".to_vec()].concat();
        let value = format!("{{\"ask\":\"lookup\",\"value\":\"{}\"}}\n", "a".repeat(5_000));
        let cases: [&[u8]; 15] = [
            b"\n",
            b"marker\n",
            b"{}\n",
            b"[\"status\"]\n",
            b" [\"lookup\", \"marker\"]\n",
            b"\"status\"\n",
            b"\xff\xfe\0marker\n",
            b"{\"ask\":\"marker\"}\n",
            b"{\"ask\":\"status\",\"marker\":1}\n",
            b"{\"ask\":\"lookup\"}\n",
            b"{\"ask\":\"lookup\",\"value\":7}\n",
            b"GET /marker HTTP/1.1\n",
            &long,
            &deep,
            value.as_bytes(),
        ];
        answering(|path| {
            for bytes in cases {
                let answer = sent(path, bytes);
                let answer = answer.lines().next().unwrap_or_default();
                assert!(answer.starts_with("{\"error\":") && !answer.contains("marker"), "{answer}");
            }
            // who has said that no more comes has said all: the line's end may be missing
            assert!(sent(path, b"{\"ask\":\"status\"}").starts_with("{\"ok\":"));
            let half = sent(path, b"{\"ask\":\"reload\"}\n{\"ask\":\"stat");
            let lines: Vec<&str> = half.lines().collect();
            assert!(
                matches!(lines[..], [reload, error] if reload.contains("not_reloaded") && error.contains("no question"))
            );
            assert_eq!(sent(path, b""), "");
            let counters = asked(path, r#"{"ask":"counters"}"#);
            assert_eq!(counters["ok"]["control"]["refused"], cases.len() + 1, "{counters}");
        });
    }

    #[test]
    fn who_sends_nothing_or_reads_nothing_keeps_nobody_out() {
        answering(|path| {
            let mut idle = Vec::new();
            for at in 0..3 * CONTROL_CONNECTIONS_MAX {
                let mut stream = stream(path);
                let begun = if at % 2 == 0 { "{\"ask\":" } else { "{\"ask\":\"counters\"}\n" };
                let _displaced_already = stream.write_all(begun.as_bytes());
                idle.push(stream);
            }
            let began = Instant::now();
            let counters = asked(path, r#"{"ask":"counters"}"#);
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
            assert!(counters["ok"]["control"]["displaced"].as_u64() > Some(0), "{counters}");
        });
    }

    #[test]
    fn who_is_slow_is_heard_and_who_never_comes_to_an_end_is_not_waited_for() {
        answering(|path| {
            let mut slow = stream(path);
            for byte in b"{\"ask\":\"status\"}\n" {
                slow.write_all(&[*byte]).expect("it listens");
                thread::sleep(Duration::from_millis(10));
            }
            let mut answer = String::new();
            BufReader::new(&slow).read_line(&mut answer).expect("an answer");
            assert!(answer.starts_with("{\"ok\":"), "{answer}");
            let (mut endless, began) = (stream(path), Instant::now());
            endless.write_all(b"{\"ask\":").expect("it listens");
            assert_eq!(endless.read(&mut [0; 8]).expect("it is closed"), 0);
            let waited = began.elapsed();
            assert!(waited + Duration::from_millis(50) >= CONTROL_QUESTION_TIME_MAX, "{waited:?}");
            assert!(waited < CONTROL_QUESTION_TIME_MAX * 2, "{waited:?}");
            assert_eq!(asked(path, r#"{"ask":"counters"}"#)["ok"]["control"]["timed_out"], 1);
        });
    }

    #[test]
    fn a_live_socket_is_not_stolen_a_dead_one_is_replaced_and_a_file_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let control = control(folder.path());
        let open = || ControlSocket::open(&control).map_err(|error| error.kind());
        let first = open().expect("a socket");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(first.path()), mode(first.path().parent().expect("a folder"))), (0o660, 0o750));
        assert_eq!(open().err(), Some(io::ErrorKind::AddrInUse));
        rustix::net::shutdown(&first.bound().listener, rustix::net::Shutdown::Both)
            .expect("it hears no more, as if killed");
        let second = open().expect("what is dead is replaced");
        drop(first);
        assert!(second.path().exists(), "the first one's end takes away its own alone");
        drop(second);
        std::fs::write(&control.socket, "a file").expect("a file");
        assert_eq!(open().err(), Some(io::ErrorKind::AlreadyExists));
        assert_eq!(std::fs::read_to_string(&control.socket).expect("untouched"), "a file");
    }

    #[test]
    fn a_socket_that_somebody_takes_away_is_made_again_and_what_lies_in_its_place_stays() {
        answering(|path| {
            let mut before = stream(path);
            let made = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket());
            let waits = |there: &dyn Fn() -> bool| {
                let until = Instant::now() + LOOK_EVERY * 20;
                while !there() {
                    assert!(Instant::now() < until, "it is not made again");
                    thread::sleep(Duration::from_millis(20));
                }
            };
            std::fs::remove_file(path).expect("it is there");
            waits(&|| made(path));
            let mode = std::fs::metadata(path).expect("there").permissions().mode();
            assert_eq!((mode & 0o777, &asked(path, r#"{"ask":"status"}"#)["ok"]["ready"]), (0o660, &true.into()));
            before.write_all(b"{\"ask\":\"status\"}\n").expect("who was heard still is");
            let mut answer = String::new();
            BufReader::new(before).read_line(&mut answer).expect("an answer");
            assert!(answer.starts_with("{\"ok\":"), "{answer}");
            std::fs::remove_file(path).and_then(|()| std::fs::write(path, "a file")).expect("a file");
            thread::sleep(LOOK_EVERY * 2);
            assert_eq!(std::fs::read_to_string(path).expect("untouched"), "a file");
            std::fs::remove_file(path).expect("it is there");
            waits(&|| made(path));
        });
    }

    #[test]
    fn a_group_that_is_not_there_opens_nothing_further() {
        let folder = tempfile::tempdir().expect("a folder");
        let group = Some("no-such-group-here".to_owned());
        let socket = ControlSocket::open(&Control { group, ..control(folder.path()) }).expect("a socket");
        let mode = std::fs::metadata(socket.path()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
    }
}
