//! What the threads of a running sensor can still ask of the kernel: rights are given up before the first thread starts, and
//! each thread enters its [`Role`] as the first thing that it does.
//!
//! In: what the configuration lets each role reach ([`Plan`]), and how much of it must hold. Out: threads that can do their
//! work and little else, in three layers: capabilities, Landlock (files, ports, signals) and seccomp (system calls). Each
//! thread then tries what it must not be able to do; what is not refused is a finding. Never here: a wall between threads:
//! they share memory and descriptors, and who writes into another's memory has that one's rights too.

mod attempts;
mod calls;
mod files;
mod listening;
mod rights;
mod standing;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

pub use rights::{Rights, hide};
pub use standing::{Hold, Standing};

/// What a thread is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Hears signals and reads configuration and rules again.
    Control,
    /// Writes the log and the spool.
    Collector,
    /// Fills files of the spool before they are used.
    Tender,
    /// Reads links through sockets that are open.
    Worker,
    /// Reads folders too, into which captures are rotated.
    Reader,
    /// Looks after links; what went away and came back it opens with what the broker passes, or binds again.
    Keeper,
    /// The same where libpcap shares a link among workers, whose sockets cannot be bound again: the broker makes new ones.
    Caller,
    /// The same where there is no broker: it alone keeps the rights for that.
    Opener,
    /// Takes interfaces for another process.
    Broker,
    /// Answers who asks for metrics, on a socket that listens already.
    Metrics,
    /// Answers who asks on the control socket, makes it again where somebody took it away, and takes it away at the end.
    Answers,
    /// Delivers to the centre, and reads the token for it.
    Uplink,
    /// Keeps packets that workers died of, in one folder.
    Quarantine,
    /// Looks whether workers go on; or tells the service manager that all is well, on a socket that is connected already.
    Watchdog,
}

impl Role {
    /// Its thread's name, as `ps -L` shows it; the main thread keeps that of the program.
    const fn name(self) -> Option<&'static std::ffi::CStr> {
        match self {
            Role::Control | Role::Broker => None,
            Role::Collector => Some(c"collector"),
            Role::Tender => Some(c"tender"),
            Role::Worker | Role::Reader => Some(c"worker"),
            Role::Keeper | Role::Caller | Role::Opener => Some(c"keeper"),
            Role::Metrics => Some(c"metrics"),
            Role::Answers => Some(c"control"),
            Role::Uplink => Some(c"uplink"),
            Role::Quarantine => Some(c"quarantine"),
            Role::Watchdog => Some(c"watchdog"),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format!("{self:?}").to_lowercase())
    }
}

/// How much of it must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    Required,
    /// What the kernel knows.
    BestEffort,
    /// Nothing is given up.
    Off,
}

/// What may be done beneath a path; or with a file, where it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Files and lists of files are read.
    Read,
    /// Files are made and written; none is read or removed.
    Write,
    /// The same, and they are renamed and removed.
    Rotate,
    /// All that a keeper of files does.
    Keep,
    /// A socket is made and taken away.
    Listen,
}

/// A place of the file system and what a role may do there.
struct Reach<'a> {
    path: &'a Path,
    access: Access,
}

/// What the roles may reach. Paths that are not there when a role is entered stay out of reach.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What control reads: the configuration and rules.
    pub control: Vec<PathBuf>,
    /// What the keeper of links reads: what the system says of interfaces.
    pub keeper: Vec<PathBuf>,
    /// The folder of the log; the log itself where it is no file (a device, a pipe).
    pub log: Option<PathBuf>,
    /// Whether the log is rotated here.
    pub rotates: bool,
    /// The folder of the control socket.
    pub socket: Option<PathBuf>,
    /// The spool.
    pub spool: Option<PathBuf>,
    /// What the uplink reads: the token, and by what names become addresses.
    pub uplink: Vec<PathBuf>,
    /// The ports to which the uplink may connect by TCP.
    pub ports: Vec<u16>,
    /// What the keeper of links keeps.
    pub rights: Rights,
    /// Files that nobody reads who has no need to.
    pub secrets: Vec<PathBuf>,
}

impl Plan {
    /// `folders`: those that this thread reads itself.
    fn of<'a>(&'a self, role: Role, folders: &'a [PathBuf]) -> Vec<Reach<'a>> {
        let all = |paths: &'a [PathBuf], access| -> Vec<Reach<'a>> {
            paths.iter().map(|path| Reach { path, access }).collect()
        };
        let (log, spool, socket) = (self.log.as_slice(), self.spool.as_slice(), self.socket.as_slice());
        match role {
            Role::Control => all(&self.control, Access::Read),
            Role::Collector => {
                [all(log, if self.rotates { Access::Rotate } else { Access::Write }), all(spool, Access::Keep)]
                    .into_iter()
                    .flatten()
                    .collect()
            }
            Role::Tender => all(spool, Access::Keep),
            Role::Answers => all(socket, Access::Listen),
            Role::Reader | Role::Quarantine => all(folders, Access::Keep),
            Role::Keeper | Role::Caller | Role::Opener | Role::Broker => all(&self.keeper, Access::Read),
            Role::Uplink => [all(&self.uplink, Access::Read), all(spool, Access::Keep)].into_iter().flatten().collect(),
            Role::Worker | Role::Metrics | Role::Watchdog => Vec::new(),
        }
    }
}

/// A layer of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// No thread has a right that its role has no need of.
    Capabilities,
    /// Files, ports and signals.
    Landlock,
    /// System calls.
    Seccomp,
}

impl Layer {
    /// All of them.
    pub const ALL: [Layer; 3] = [Layer::Capabilities, Layer::Landlock, Layer::Seccomp];

    /// As the metric spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Layer::Capabilities => "capabilities",
            Layer::Landlock => "landlock",
            Layer::Seccomp => "seccomp",
        }
    }
}

/// See the head of this file.
pub struct Sandbox {
    wanted: Wanted,
    plan: Plan,
    entered: AtomicUsize,
    standings: Mutex<Vec<Standing>>,
    /// Why each layer does not hold, or holds less than it should; none: it does.
    missing: [Mutex<Vec<String>>; 3],
    /// What was tried and not refused.
    findings: Mutex<Vec<String>>,
}

impl Sandbox {
    /// One that nobody is in yet.
    pub fn new(wanted: Wanted, plan: Plan) -> Sandbox {
        let sandbox = Sandbox {
            wanted,
            plan,
            entered: AtomicUsize::new(0),
            standings: Mutex::default(),
            missing: Default::default(),
            findings: Mutex::default(),
        };
        if wanted == Wanted::Off {
            Layer::ALL.into_iter().for_each(|layer| sandbox.lacks(layer, "switched off".to_owned()));
        }
        sandbox
    }

    /// Gives up every right of the process but those that a role keeps, for good, and shows its memory to no other process.
    /// Before any thread starts: rights are a thread's own.
    pub fn give_up(&self) {
        if self.wanted == Wanted::Off {
            return;
        }
        rights::unbind_memory();
        if let Err(why) = rights::give_up(self.plan.rights).and_then(|_| rights::hide()) {
            self.lacks(Layer::Capabilities, why.to_string());
        }
    }

    /// The calling thread becomes one that is for this and nothing else, and tries whether it holds. `folders`: those that it
    /// reads itself.
    pub fn enter(&self, role: Role, folders: &[PathBuf]) {
        if self.wanted == Wanted::Off {
            return;
        }
        // a name that cannot be given is missed by nobody
        let _unnamed = role.name().map(rustix::thread::set_name);
        let but = match role {
            Role::Keeper | Role::Opener | Role::Broker => self.plan.rights,
            Role::Caller => Rights::Memory,
            _ => Rights::None,
        };
        let capabilities = match rights::give_up(but) {
            Ok(kept) if kept.is_empty() || role == Role::Broker => Hold::Full,
            Ok(kept) => {
                let kept = kept.join(", ");
                let memory = if kept == "CAP_IPC_LOCK" { " (`LimitMEMLOCK=infinity` makes that needless)" } else { "" };
                Hold::Partly(format!("{role} keeps {kept} to open links again{memory}"))
            }
            Err(why) => Hold::Off(why.to_string()),
        };
        let reaches = self.plan.of(role, folders);
        let ports = if role == Role::Uplink { self.plan.ports.as_slice() } else { &[] };
        let landlock = files::bound(&reaches, ports);
        let mut seccomp = calls::bound(role).map_or_else(Hold::Off, |()| Hold::Full);
        let tried = attempts::Tried {
            role,
            landlock: *landlock.as_ref().unwrap_or(&0),
            seccomp: seccomp == Hold::Full,
            reaches: &reaches,
            plan: &self.plan,
        };
        let findings = tried.findings();
        // what was refused until now ends the process from here on
        if seccomp == Hold::Full
            && let Err(why) = calls::deadly(role)
        {
            seccomp = Hold::Partly(why);
        }
        let landlock = landlock.map_or_else(Hold::Off, |_| Hold::Full);
        let layers = [capabilities, landlock, seccomp];
        for (layer, hold) in Layer::ALL.into_iter().zip(&layers) {
            if let Hold::Partly(why) | Hold::Off(why) = hold {
                self.lacks(layer, why.clone());
            }
        }
        held(&self.findings).extend(findings.iter().map(|what| format!("{role}: {what}")));
        self.stand(Standing { role, threads: 1, layers, findings });
        self.entered.fetch_add(1, Ordering::AcqRel);
    }

    /// What the thread that looks after links has to be.
    pub fn keeper(&self) -> Role {
        match self.plan.rights {
            Rights::Sockets | Rights::Ports => Role::Opener,
            Rights::None | Rights::Memory | Rights::Broker => Role::Keeper,
        }
    }

    /// Takes note of what does not hold in another process, by the names of layers; without one it was found by trying. With
    /// the role that it has, if it is there.
    pub fn hear(&self, role: Option<Role>, short: Vec<(String, String)>) {
        let (mut layers, mut findings) = ([Hold::Full, Hold::Full, Hold::Full], Vec::new());
        for (layer, why) in short {
            match Layer::ALL.into_iter().find(|known| known.name() == layer) {
                Some(layer) => {
                    layers[layer as usize] = Hold::Off(why.clone());
                    self.lacks(layer, why);
                }
                None => {
                    findings.push(why.clone());
                    held(&self.findings).push(why);
                }
            }
        }
        role.into_iter().for_each(|role| {
            self.stand(Standing { role, threads: 1, layers: layers.clone(), findings: findings.clone() });
        });
    }

    fn stand(&self, one: Standing) {
        one.join(&mut held(&self.standings));
    }

    /// What the threads found that have entered, those of a role that found the same together.
    pub fn standings(&self) -> Vec<Standing> {
        held(&self.standings).clone()
    }

    /// All that does not hold, as [`Sandbox::hear`] takes it.
    pub fn short(&self) -> Vec<(String, String)> {
        let of = |layer: Layer| self.reasons(layer).into_iter().map(move |why| (layer.name().to_owned(), why));
        let findings = self.findings().into_iter().map(|what| (String::new(), what));
        Layer::ALL.into_iter().flat_map(of).chain(findings).collect()
    }

    /// How many threads are in their roles.
    pub fn entered(&self) -> usize {
        if self.wanted == Wanted::Off { usize::MAX } else { self.entered.load(Ordering::Acquire) }
    }

    /// Whether a layer holds for every thread that has entered.
    pub fn holds(&self, layer: Layer) -> bool {
        held(&self.missing[layer as usize]).is_empty()
    }

    /// Why a layer does not hold, each reason once.
    pub fn reasons(&self, layer: Layer) -> Vec<String> {
        held(&self.missing[layer as usize]).clone()
    }

    /// What was tried and not refused.
    pub fn findings(&self) -> Vec<String> {
        held(&self.findings).clone()
    }

    /// Whether all of it must hold.
    pub fn is_required(&self) -> bool {
        self.wanted == Wanted::Required
    }

    /// Whether it bounds anything.
    pub fn is_bounding(&self) -> bool {
        self.wanted != Wanted::Off
    }

    /// Whether control may read what lies there. Where the sandbox does not bound it, it may.
    pub fn control_reads(&self, path: &Path) -> bool {
        !self.is_bounding() || !self.holds(Layer::Landlock) || lies_beneath(path, &self.plan.of(Role::Control, &[]))
    }

    /// Secrets that control may read because they lie where it reads.
    pub fn secrets_of_control(&self) -> impl Iterator<Item = &Path> {
        let bounded = self.is_bounding() && self.holds(Layer::Landlock);
        let secrets = self.plan.secrets.iter().map(PathBuf::as_path);
        secrets.filter(move |secret| bounded && self.control_reads(secret))
    }

    fn lacks(&self, layer: Layer, why: String) {
        let mut missing = held(&self.missing[layer as usize]);
        // what the kernel lacks it lacks for every thread
        if !missing.contains(&why) {
            missing.push(why);
        }
    }
}

/// Whether a path lies in a reach, its links followed.
fn lies_beneath(path: &Path, reaches: &[Reach<'_>]) -> bool {
    if reaches.is_empty() {
        return false;
    }
    let Ok(path) = path.canonicalize() else { return false };
    reaches.iter().any(|reach| reach.path.canonicalize().is_ok_and(|above| path.starts_with(above)))
}

/// A thread that died holding this has not left it half written.
fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::net::TcpListener;
    use std::sync::Arc;

    use super::*;

    /// What `then` gives on a thread in a role, and what its entry found; `None`: this kernel has no Landlock.
    fn within<T: Send + 'static>(
        plan: Plan,
        role: Role,
        folders: Vec<PathBuf>,
        then: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let sandbox = Arc::new(Sandbox::new(Wanted::Required, plan));
        let theirs = Arc::clone(&sandbox);
        let thread = std::thread::spawn(move || {
            theirs.enter(role, &folders);
            then()
        });
        let came = thread.join().expect("it ends");
        assert_eq!((sandbox.entered(), sandbox.findings()), (1, Vec::new()));
        if !sandbox.holds(Layer::Landlock) {
            eprintln!("NOT TESTED: {:?}", sandbox.reasons(Layer::Landlock));
        }
        sandbox.holds(Layer::Landlock).then_some(came)
    }

    #[test]
    fn whoever_reads_the_configuration_reads_nothing_else_and_writes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("etc")).and_then(|()| fs::write(path("etc/haetae.yaml"), "x")).expect("a file");
        fs::write(path("key"), "secret").expect("a file");
        let plan = Plan { control: vec![path("etc")], secrets: vec![path("key")], ..Plan::default() };
        let (inside, key) = (path("etc/haetae.yaml"), path("key"));
        let tried = within(plan, Role::Control, Vec::new(), move || {
            let written = File::options().write(true).open(&inside).is_err();
            (
                fs::read(&inside).is_ok(),
                written,
                fs::read(&key).is_err(),
                fs::write(inside.with_file_name("n"), "").is_err(),
            )
        });
        assert!(tried.is_none_or(|tried| tried == (true, true, true, true)), "{tried:?}");
    }

    #[test]
    fn whoever_writes_the_log_rotates_it_and_reads_nothing_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("eve.json");
        fs::write(&log, "").expect("a file");
        let plan = Plan { log: Some(folder.path().into()), ..Plan::default() };
        let tried = within(plan, Role::Collector, Vec::new(), move || {
            let appended =
                File::options().create(true).append(true).open(&log).and_then(|file| file.set_len(0)).is_ok();
            let new = File::options().create(true).append(true).open(log.with_file_name("eve.json.1")).is_ok();
            (appended, new, fs::read(&log).is_err(), fs::remove_file(&log).is_err())
        });
        assert!(tried.is_none_or(|tried| tried == (true, true, true, true)), "{tried:?}");
    }

    #[test]
    fn a_worker_opens_nothing_unless_it_reads_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.pcap");
        fs::write(&file, "x").expect("a file");
        for (role, folders) in [(Role::Worker, Vec::new()), (Role::Reader, vec![folder.path().to_path_buf()])] {
            let own = file.clone();
            let tried = within(Plan::default(), role, folders, move || {
                let kept = fs::write(own.with_file_name(".new"), "x");
                let kept = kept.and_then(|()| fs::rename(own.with_file_name(".new"), own.with_file_name(".read")));
                (fs::read(&own).is_ok(), kept.is_ok(), TcpListener::bind("127.0.0.1:0").is_err())
            });
            let reads = role == Role::Reader;
            assert!(tried.is_none_or(|tried| tried == (reads, reads, true)), "{role}: {tried:?}");
        }
    }

    #[test]
    fn the_uplink_reaches_the_ports_of_the_centre_and_no_other() {
        let listening = || TcpListener::bind("127.0.0.1:0").expect("a listener");
        let (centre, other) = (listening(), listening());
        let address = |listener: &TcpListener| listener.local_addr().expect("an address");
        let plan = Plan { ports: vec![address(&centre).port()], uplink: vec!["/etc".into()], ..Plan::default() };
        let (right, wrong) = (address(&centre), address(&other));
        let tried = within(plan, Role::Uplink, Vec::new(), move || {
            let connects = |to| std::net::TcpStream::connect(to).is_ok();
            let named = std::net::ToSocketAddrs::to_socket_addrs("localhost:1").is_ok_and(|found| found.count() > 0);
            (connects(right), connects(wrong), named)
        });
        assert!(tried.is_none_or(|tried| tried == (true, false, true)), "{tried:?}");
    }

    #[test]
    fn what_does_not_hold_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = folder.path().join("key");
        fs::write(&key, "secret").expect("a file");
        let plan = Plan { secrets: vec![key.clone()], ..Plan::default() };
        let tried = |role| attempts::Tried { role, landlock: 6, seccomp: true, reaches: &[], plan: &plan };
        let found = tried(Role::Worker).findings().join(", ");
        for what in ["execve", "clone", "ptrace", "unshare", "PROT_EXEC", "/etc/passwd", "/dev/null"] {
            assert!(found.contains(what), "{what}: {found}");
        }
        assert!(found.contains(&key.display().to_string()), "{found}");
        let found = tried(Role::Uplink).findings().join(", ");
        assert!(found.contains("connecting to 127.0.0.1:1"), "{found}");
    }

    #[test]
    fn a_sandbox_that_is_off_bounds_nobody() {
        let sandbox = Sandbox::new(Wanted::Off, Plan::default());
        sandbox.give_up();
        sandbox.enter(Role::Worker, &[]);
        assert!(File::open("/etc/passwd").is_ok() && sandbox.control_reads(Path::new("/etc/passwd")));
        assert!(Layer::ALL.into_iter().all(|layer| !sandbox.holds(layer)), "and the metric says so");
    }
}
