//! Two network namespaces with a link between them, made for one test and gone with it. Neither has any other link.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::LinkNameSpaceType;

use super::sender::sender;

static MADE: AtomicU32 = AtomicU32::new(0);

/// `a0` in one namespace, `b0` in the other.
pub struct Link {
    sender: String,
    sensor: String,
    queues: u32,
}

/// A third namespace, empty.
pub struct Elsewhere(String);

impl Elsewhere {
    /// Makes it.
    pub fn new() -> Elsewhere {
        let name = format!("haetae-c-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        ran("ip", &["netns", "add", &name]).expect("a namespace");
        Elsewhere(name)
    }

    /// As `ip` knows it.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// What a program says there.
    pub fn run(&self, program: &str, words: &[&str]) -> String {
        let output = ran("ip", &[&["netns", "exec", &self.0, program], words].concat()).expect("it is told");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A command there.
    pub fn command(&self, command: &Command) -> Command {
        inside(&self.0, command)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _gone_already = ran("ip", &["netns", "del", &self.0]);
    }
}

/// Whether this machine lets us make namespaces; else the test says so, and fails where it should have run.
pub fn possible(test: &str) -> bool {
    let tried = Command::new("unshare").args(["--net", "true"]).output();
    if tried.is_ok_and(|output| output.status.success()) && ran("ip", &["-V"]).is_ok() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "{test}: needs root and iproute2, and CI has both");
    eprintln!("\n*** {test}: NOT TESTED: network namespaces need root and iproute2 ***\n");
    false
}

fn ran(program: &str, words: &[&str]) -> Result<Output, String> {
    let output = Command::new(program).args(words).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(output) } else { Err(format!("{program} {words:?}: {said}")) }
}

impl Link {
    /// Makes both and brings the link up, with room for large frames and without chatter of the kernel's own.
    pub fn new() -> Link {
        Link::of_queues(1)
    }

    /// The same, with so many queues each way.
    pub fn of_queues(queues: u32) -> Link {
        let number = format!("{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let link = Link { sender: format!("haetae-a-{number}"), sensor: format!("haetae-b-{number}"), queues };
        for name in [&link.sender, &link.sensor] {
            ran("ip", &["netns", "add", name]).expect("a namespace");
            let quiet = ["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"];
            ran("ip", &[&["netns", "exec", name, "sysctl", "-qw"][..], &quiet[..]].concat()).expect("no chatter");
            ran("ip", &["-n", name, "link", "set", "lo", "up"]).expect("loopback");
        }
        link.plug();
        link
    }

    /// Makes the link itself.
    pub fn plug(&self) {
        let count = self.queues.to_string();
        let queues = ["numrxqueues", &count, "numtxqueues", &count];
        let near = ["-n", &self.sender, "link", "add", "a0"];
        let far = ["type", "veth", "peer", "name", "b0", "netns", &self.sensor];
        ran("ip", &[&near[..], &queues, &far, &queues].concat()).expect("a link");
        for (name, interface) in [(&self.sender, "a0"), (&self.sensor, "b0")] {
            // frames that are put on it go out as they are; nothing answers
            let up = ["-n", name, "link", "set", interface, "mtu", "9000", "arp", "off", "up"];
            ran("ip", &up).expect("the link comes up");
        }
    }

    /// Takes the link away; both ends go.
    pub fn unplug(&self) {
        ran("ip", &["-n", &self.sender, "link", "del", "a0"]).expect("the link goes");
    }

    /// What `ip` says on the sensor's side.
    pub fn ip_at_sensor(&self, words: &[&str]) -> String {
        let output = ran("ip", &[&["-n", &self.sensor], words].concat()).expect("it is told");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a program says on the sender's side.
    pub fn run_at_sender(&self, program: &str, words: &[&str]) -> String {
        let output = ran("ip", &[&["netns", "exec", &self.sender, program], words].concat()).expect("it is told");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a program says on the sensor's side.
    pub fn run_at_sensor(&self, program: &str, words: &[&str]) -> String {
        let output = ran("ip", &[&["netns", "exec", &self.sensor, program], words].concat()).expect("it is told");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A command on the sender's side.
    pub fn at_sender(&self, command: &Command) -> Command {
        inside(&self.sender, command)
    }

    /// A command on the sensor's side.
    pub fn at_sensor(&self, command: &Command) -> Command {
        inside(&self.sensor, command)
    }

    /// Moves the calling thread to the sensor's side, and all that it starts from then on.
    pub fn enter(&self) {
        enter(&self.sensor);
    }

    /// The same, to the other side.
    pub fn enter_sender(&self) {
        enter(&self.sender);
    }

    /// Puts the frames of a capture on the link; how many there were.
    pub fn send(&self, capture: &Path, times: u64, per_second: Option<u64>) -> u64 {
        sent(self.sending(capture, times, per_second))
    }

    /// The same, in the background; [`sent`] waits for it.
    pub fn sending(&self, capture: &Path, times: u64, per_second: Option<u64>) -> Child {
        inside(&self.sender, &sender("a0", capture, times, per_second))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the sender")
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for name in [&self.sender, &self.sensor] {
            let _gone_already = ran("ip", &["netns", "del", name]);
        }
    }
}

/// Waits for a sender; how many frames it put on its link.
pub fn sent(sender: Child) -> u64 {
    let output = sender.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let sent = text.split("sent ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    sent.unwrap_or_else(|| panic!("no number of frames in {text}"))
}

fn enter(namespace: &str) {
    let there = File::open(Path::new("/run/netns").join(namespace)).expect("the namespace");
    let network = Some(LinkNameSpaceType::Network);
    rustix::thread::move_into_link_name_space(there.as_fd(), network).expect("the right to enter it");
}

fn inside(namespace: &str, command: &Command) -> Command {
    let mut outer = Command::new("ip");
    outer.args(["netns", "exec", namespace]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    outer
}
