//! Each thread tries what it must not be able to do.
//!
//! In: a role, and the layers that bound it. Out: what was not refused. Nothing is changed by an attempt that goes well:
//! files are opened and not read, calls have arguments by which nothing comes of them.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use ::af_xdp::Call;

use super::{Plan, Reach, Role, lies_beneath};

/// Everybody may read it, and no role has a need to.
const STRANGERS: [&str; 2] = ["/etc/passwd", "/proc/version"];

/// Everybody may write to it, and nothing comes of it.
const OUTSIDE: &str = "/dev/null";

/// Nobody listens there, and it is no port of a centre.
const ELSEWHERE: u16 = 1;

/// This machine answers itself at once.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// The version of Landlock that bounds ports.
const LANDLOCK_OF_PORTS: u32 = 4;

/// What is to be tried, and what should hold.
pub(super) struct Tried<'a> {
    pub(super) role: Role,
    /// The version of Landlock that bounds the thread; 0: none does.
    pub(super) landlock: u32,
    /// Whether its calls are bounded.
    pub(super) seccomp: bool,
    pub(super) reaches: &'a [Reach<'a>],
    pub(super) plan: &'a Plan,
}

impl Tried<'_> {
    /// What was tried and not refused, where a layer that holds should have.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        if self.seccomp {
            let calls = Call::ALL.into_iter().filter(|call| !needs(self.role).contains(call));
            findings
                .extend(calls.filter(|call| !call.is_refused()).map(|call| format!("{} is not refused", call.name())));
        }
        if self.landlock > 0 {
            findings.extend(self.files());
        }
        if self.role == Role::Uplink && self.landlock >= LANDLOCK_OF_PORTS && !self.plan.ports.contains(&ELSEWHERE) {
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, ELSEWHERE));
            if !is_refusal(&TcpStream::connect_timeout(&to, CONNECT_MAX)) {
                findings.push(format!("connecting to {to} is not refused"));
            }
        }
        findings
    }

    fn files(&self) -> Vec<String> {
        let strangers = STRANGERS.into_iter().map(Path::new);
        let secrets = self.plan.secrets.iter().map(|path| &**path);
        let mut findings = Vec::new();
        for path in strangers.chain(secrets).filter(|path| !lies_beneath(path, self.reaches)) {
            let opened = File::open(path);
            let absent = opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            if !absent && !is_refusal(&opened) {
                findings.push(format!("reading {} is not refused", path.display()));
            }
        }
        if !lies_beneath(Path::new(OUTSIDE), self.reaches) && !is_refusal(&File::options().write(true).open(OUTSIDE)) {
            findings.push(format!("writing to {OUTSIDE} is not refused"));
        }
        findings
    }
}

/// Calls that a role makes itself.
fn needs(role: Role) -> &'static [Call] {
    match role {
        // names become addresses by libraries that are loaded when they are asked for
        Role::Uplink => &[Call::InternetSocket, Call::ExecutableMemory],
        Role::Caller => &[Call::PacketSocket],
        Role::Opener | Role::Broker => &[Call::Bpf, Call::PacketSocket, Call::InternetSocket],
        _ => &[],
    }
}

fn is_refusal<T>(of: &io::Result<T>) -> bool {
    of.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}
