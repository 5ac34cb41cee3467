//! What each thread of a running sensor may reach, as the configuration has it, and what became of the bounds.
//!
//! In: the configuration, and where it was read. Out: the [`Sandbox`] that threads enter; lines for who starts the sensor.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Failure;
use super::opening::Sources;
use super::run::Service;
use crate::broker::Short;
use crate::capture::live::Keeper;
use crate::config::{self, Config};
use crate::emit::{self, Section};
use crate::limits::SANDBOX_TIME_MAX;
use crate::sandbox::{Layer, Plan, Rights, Role, Sandbox, Wanted};

/// How often it is looked whether all threads are in their roles.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Where the kernel says what interfaces are there, what they are like and what they lost.
const INTERFACES: [&str; 2] = ["/sys/class/net", "/sys/devices"];

/// Where the kernel says which ways lead through an interface.
const ROUTES: &str = "/proc/net";

/// What it takes to turn a name into an address: the system's settings and, as these say, libraries. Settings are replaced
/// by new files while the sensor runs, so it is folders that are named.
const NAMES: [&str; 8] = [
    "/etc",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
];

/// Names are asked for by TCP too, when the answer is long (RFC 7766).
const DOMAIN: u16 = 53;

/// What the configuration asks for.
pub(super) fn sandbox(service: &Service<'_>, config: &Config, rights: Rights) -> Sandbox {
    let wanted = match config.sandbox {
        config::Sandbox::Required => Wanted::Required,
        config::Sandbox::BestEffort => Wanted::BestEffort,
        config::Sandbox::Off => Wanted::Off,
    };
    let named = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
    let mut control = Vec::new();
    let gate = config.centre.iter().filter_map(|centre| centre.gate.as_ref());
    for file in service.file.iter().chain(&service.rules).chain(&config.rules.allow).chain(gate) {
        control.extend(around(file));
    }
    let mut uplink = named(&NAMES);
    if let Some(centre) = &config.centre {
        uplink.extend(around(Path::new("/etc/resolv.conf")));
        uplink.extend(centre.files.all().flat_map(|file| around(file)));
        uplink.extend(config.sinks.iter().flat_map(|sink| sink.files()).flat_map(|file| around(&file)));
    }
    let key = config.site.key.clone().or_else(|| config.centre.as_ref().map(Section::key));
    let secrets = config.centre.iter().flat_map(|centre| centre.files.secrets()).cloned();
    let secrets = secrets.chain(config.sinks.iter().flat_map(|sink| sink.secrets()));
    let plan = Plan {
        control,
        keeper: [&named(&INTERFACES)[..], &named(&[ROUTES])].concat(),
        log: config.outputs.path.as_deref().and_then(place_of_log),
        rotates: config.outputs.rotation.is_some(),
        socket: config
            .control
            .as_ref()
            .and_then(|control| std::path::absolute(&control.socket).ok()?.parent().map(Into::into)),
        spool: config.centre.as_ref().map(|centre| centre.spool.clone()),
        uplink,
        ports: ports(config),
        rights,
        secrets: key.into_iter().chain(secrets).collect(),
    };
    Sandbox::new(wanted, plan)
}

/// The ports of those that alerts go to, and that of names.
fn ports(config: &Config) -> Vec<u16> {
    let of_centre = config.centre.iter().flat_map(|centre| [centre.ports(), vec![DOMAIN]].concat());
    of_centre.chain(config.sinks.iter().map(emit::sinks::Section::port)).collect()
}

/// What it takes to open links again that went away.
pub(super) fn rights(sources: &Sources, has_broker: bool) -> Rights {
    let mut keepers = sources.keepers.iter().map(|(_, keeper)| keeper);
    let by_driver = |keeper: &Keeper| keeper.backend() == "af_xdp";
    match has_broker {
        _ if keepers.clone().all(Keeper::opens_without_rights) => Rights::None,
        true if keepers.all(|keeper| by_driver(keeper) || keeper.opens_without_rights()) => Rights::Memory,
        true => Rights::Sockets,
        false if keepers.any(by_driver) => Rights::Ports,
        false => Rights::Sockets,
    }
}

/// The broker enters its role; what of its sandbox does not hold.
pub(super) fn of_broker() -> Vec<Short> {
    let keeper = INTERFACES.iter().chain([&ROUTES]).map(PathBuf::from).collect();
    let sandbox = Sandbox::new(Wanted::BestEffort, Plan { keeper, rights: Rights::Broker, ..Plan::default() });
    sandbox.give_up();
    sandbox.enter(Role::Broker, &[]);
    sandbox.short()
}

/// What a courier does first.
pub(super) fn uplink(sandbox: &Arc<Sandbox>) -> impl Fn() + Clone + Send + 'static {
    let sandbox = Arc::clone(sandbox);
    move || sandbox.enter(Role::Uplink, &[])
}

/// Folders in which a file, or the files of a folder, lie now and when they are replaced: by another file of their name, or by
/// a link that leads elsewhere beneath the same folder.
fn around(file: &Path) -> Vec<PathBuf> {
    let folder = |path: &Path| match path.is_dir() && !path.is_symlink() {
        true => Some(path.to_path_buf()),
        false => path.parent().map(Path::to_path_buf),
    };
    let named = std::path::absolute(file).ok().and_then(|path| folder(&path));
    let meant = file.canonicalize().ok().and_then(|path| folder(&path));
    named.into_iter().chain(meant).collect()
}

/// A log is rotated within its folder; what is no file (a device, a pipe) is only written to.
fn place_of_log(log: &Path) -> Option<PathBuf> {
    let is_file = std::fs::metadata(log).is_ok_and(|there| there.is_file());
    if is_file { std::path::absolute(log).ok()?.parent().map(Path::to_path_buf) } else { Some(log.to_path_buf()) }
}

/// Waits until all threads are in their roles, and says what holds.
///
/// # Errors
/// Less holds than was asked for.
pub(super) fn settle(sandbox: &Sandbox, threads: usize) -> Result<(), Failure> {
    let began = Instant::now();
    while sandbox.entered() < threads && began.elapsed() < SANDBOX_TIME_MAX {
        thread::sleep(LOOK_EVERY);
    }
    let mut short: Vec<String> = Vec::new();
    for layer in Layer::ALL {
        for reason in sandbox.reasons(layer) {
            tracing::warn!(layer = layer.name(), reason, "the sandbox lacks a layer, or part of it");
            short.push(format!("{}: {reason}", layer.name()));
        }
    }
    let mut findings = sandbox.findings();
    if sandbox.entered() < threads {
        findings.push(format!("{} of {threads} threads are in their roles", sandbox.entered()));
    }
    for finding in &findings {
        tracing::error!(finding, "the sandbox does not hold");
    }
    for secret in sandbox.secrets_of_control() {
        let file = secret.display();
        tracing::warn!(%file, "the thread that reads the configuration again may read it: a folder of its own ends that");
    }
    let [capabilities, landlock, seccomp] = Layer::ALL.map(|layer| sandbox.holds(layer));
    tracing::info!(capabilities, landlock, seccomp, findings = findings.len(), "sandboxed");
    short.append(&mut findings);
    match sandbox.is_required() && !short.is_empty() {
        true => Err(Failure::Sandbox(format!("`sandbox: required`, and it does not hold: {}", short.join("; ")))),
        false => Ok(()),
    }
}

/// A path that control may not read now; which of those that a configuration names.
pub(super) fn out_of_reach(sandbox: &Sandbox, config: &Config, rules: &[PathBuf]) -> Option<PathBuf> {
    rules.iter().chain(&config.rules.allow).find(|path| path.exists() && !sandbox.control_reads(path)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uplink_reaches_the_ports_of_its_endpoints_and_of_names_and_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = |text: &str| config::parse("f", text, folder.path(), &[], &|_| None).expect("it is sound");
        assert_eq!(ports(&read("")), [0_u16; 0]);
        let home = "networks: { home: [10.0.0.0/8] }\n";
        let sinks = "sinks: { syslog: { to: \"tcp://a\" }, cef: { to: \"tcp://b:514\" }, \
                     taxii: { url: \"http://localhost:5000/\", collection: c } }\n";
        let over_http = "centre: { url: \"http://localhost:8080/\", fallbacks: [\"http://localhost\"] }\n";
        assert_eq!(ports(&read(&format!("{home}{over_http}{sinks}"))), [8080, 80, 53, 601, 514, 5000]);
        let over_nats = "centre: { nats: { servers: [\"nats://127.0.0.1\", \"nats://localhost:4223\"] } }\n";
        assert_eq!(ports(&read(&format!("{home}{over_nats}"))), [4222, 4223, 53]);
    }
}
