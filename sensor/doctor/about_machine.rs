//! What is wrong with the machine and the configuration: rights, kernel, memory, clock, disk, secrets.

use super::codes::{self, Code};
use super::facts::{Facts, Fault, Rights};
use super::judge::{Finding, Question, Severity};
use super::places::{Key, Place};
use crate::alert::words::size;
use crate::capture::live::Refused;
use crate::cli::screen::quoted;
use crate::limits::{DOCTOR_CLOCK_JUMP_MIN, DOCTOR_DISK_BYTES_MIN, DOCTOR_STAMP_MAX};
use crate::time::Span;

pub(super) static QUESTIONS: &[Question] = &[
    |facts| facts.faults.iter().map(fault).collect(),
    configured,
    rights,
    kernel,
    memlock,
    huge_pages,
    networks,
    clock,
    clock_moved,
    |facts| facts.places.iter().flat_map(place).collect(),
    |facts| facts.keys.iter().filter_map(key).collect(),
];

/// The first kernel whose AF_XDP takes packets of several pieces.
const KERNEL_MIN: (u32, u32) = (6, 6);

/// What a fault says of a secret that everyone may read; it is a matter of rights then, and not of words.
const READ_BY_ALL: &str = "everyone may read it";

fn fault(fault: &Fault) -> Finding {
    let code = match fault.option.as_str() {
        _ if fault.problem.contains(READ_BY_ALL) => &codes::KEY_READABLE,
        "outputs.eve.path" | "centre.spool" => &codes::DISK_MISSING,
        _ => &codes::CONFIGURATION,
    };
    Finding::new(code, Severity::Error, fault.problem.clone(), [fault.help.clone()])
}

fn configured(facts: &Facts) -> Vec<Finding> {
    if facts.wanted.configured != Some(false) || !facts.faults.is_empty() {
        return Vec::new();
    }
    let name = quoted(&facts.wanted.interface);
    let seen = "the configuration names no such interface; it was judged with the defaults".to_owned();
    let advice = format!("in haetae.yaml: `capture: [{{ interface: {name} }}]`");
    vec![Finding::new(&codes::NOT_CONFIGURED, Severity::Warning, seen, [advice])]
}

fn rights(facts: &Facts) -> Vec<Finding> {
    let Rights { net_raw, net_admin, bpf, .. } = facts.machine.rights;
    let asked = [
        ("cap_net_raw", net_raw, true),
        ("cap_net_admin", net_admin, facts.wanted.af_xdp),
        ("cap_bpf", bpf, facts.wanted.af_xdp),
    ];
    let wanted: Vec<&str> = asked.iter().filter(|(_, _, wanted)| *wanted).map(|(name, ..)| *name).collect();
    let lacking: Vec<String> =
        asked.iter().filter(|(_, held, wanted)| *wanted && !held).map(|(name, ..)| name.to_uppercase()).collect();
    let refused = matches!(&facts.watched, Some(Err(Refused::Permission(_))));
    if lacking.is_empty() && !refused {
        return Vec::new();
    }
    let seen = match lacking.as_slice() {
        [] => "the port could not be opened for want of rights".to_owned(),
        lacking => format!("this process lacks {}", lacking.join(", ")),
    };
    let advice = [
        format!("in the service's unit: `AmbientCapabilities={}`", wanted.join(" ").to_uppercase()),
        format!("by hand: `setcap {}+ep /usr/bin/haetae`, or run as root", wanted.join(",")),
    ];
    vec![Finding::new(&codes::RIGHTS_MISSING, Severity::Error, seen, advice)]
}

/// `6.18.44-rc1` is (6, 18).
fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn kernel(facts: &Facts) -> Vec<Finding> {
    let kernel = &facts.machine.kernel;
    if release(kernel).is_none_or(|release| release >= KERNEL_MIN) {
        return Vec::new();
    }
    let severity = if facts.wanted.af_xdp { Severity::Error } else { Severity::Note };
    let seen = format!("Linux {kernel}; AF_XDP wants 6.6 or later");
    let advice = "a newer kernel, or `backend: libpcap` for this interface in haetae.yaml".to_owned();
    vec![Finding::new(&codes::KERNEL_OLD, severity, seen, [advice])]
}

fn memlock(facts: &Facts) -> Vec<Finding> {
    let (Some(limit), Some(port)) = (facts.machine.memlock_bytes, &facts.port) else { return Vec::new() };
    let needed = (facts.wanted.capture.ring_bytes as u64).saturating_mul(u64::from(port.queues));
    if !facts.wanted.af_xdp || facts.machine.rights.ipc_lock || needed <= limit {
        return Vec::new();
    }
    let queues = port.queues;
    let seen = format!("{} may be locked, and {queues} rings need {}", size(limit), size(needed));
    let advice =
        ["in the service's unit: `LimitMEMLOCK=infinity`".to_owned(), "by hand: `ulimit -l unlimited`".to_owned()];
    vec![Finding::new(&codes::MEMLOCK_SMALL, Severity::Error, seen, advice)]
}

fn huge_pages(facts: &Facts) -> Vec<Finding> {
    if facts.machine.huge_pages != Some(false) {
        return Vec::new();
    }
    let advice = "`echo madvise > /sys/kernel/mm/transparent_hugepage/enabled`".to_owned();
    let seen = "transparent huge pages are switched off".to_owned();
    vec![Finding::new(&codes::NO_HUGE_PAGES, Severity::Note, seen, [advice])]
}

fn networks(facts: &Facts) -> Vec<Finding> {
    if facts.wanted.networks_given || !facts.faults.is_empty() {
        return Vec::new();
    }
    let advice = "in haetae.yaml: `networks: { home: [YOUR-NETWORKS] }`".to_owned();
    let seen = "nothing says what is inside".to_owned();
    vec![Finding::new(&codes::NETWORKS_ABSENT, Severity::Note, seen, [advice])]
}

fn clock(facts: &Facts) -> Vec<Finding> {
    let Some(clock) = facts.machine.clock.filter(|clock| !clock.synchronised) else { return Vec::new() };
    let seconds = clock.error_max_micros as f64 / 1e6;
    let seen = format!("the kernel says that it is not synchronised, and may be {seconds:.1} s off");
    let advice =
        "`timedatectl set-ntp true`, or start chrony; then `chronyc tracking` or `timedatectl` shows it".to_owned();
    vec![Finding::new(&codes::CLOCK_UNSYNCHRONISED, Severity::Warning, seen, [advice])]
}

fn clock_moved(facts: &Facts) -> Vec<Finding> {
    let Some(Ok(watched)) = &facts.watched else { return Vec::new() };
    let seconds = |span: Span| span.as_nanos() as f64 / 1e9;
    let beyond = |span: Span, bound: Span| span.as_nanos().abs() > bound.as_nanos();
    let mut findings = Vec::new();
    if beyond(watched.clock_moved, DOCTOR_CLOCK_JUMP_MIN) {
        let seen = format!("it moved by {:+.3} s while it was watched", seconds(watched.clock_moved));
        let advice = "find who sets it: `journalctl -u chrony -u systemd-timesyncd`; a virtual machine's host may, too"
            .to_owned();
        findings.push(Finding::new(&codes::CLOCK_JUMPED, Severity::Warning, seen, [advice]));
    }
    if let Some(off) = watched.stamps_off.filter(|off| beyond(*off, DOCTOR_STAMP_MAX)) {
        let seen = format!("frames are stamped {:+.1} s beside the wall clock", -seconds(off));
        let advice = "`timedatectl` shows the clock, `ethtool -T` who stamps; both must follow one time".to_owned();
        findings.push(Finding::new(&codes::CLOCK_STAMPS_OFF, Severity::Error, seen, [advice]));
    }
    findings
}

fn place(place: &Place) -> Vec<Finding> {
    let folder = quoted(&place.folder.to_string_lossy());
    let finding =
        |code: &'static Code, severity, seen: String, advice: String| Finding::new(code, severity, seen, [advice]);
    let named = |words: &str| format!("{} in {folder}: {words}", place.what);
    if !place.exists && !place.made {
        let advice = format!("`install -d -m 750 -o haetae -g haetae {folder}`");
        return vec![finding(&codes::DISK_MISSING, Severity::Error, named("there is no such folder"), advice)];
    }
    if place.read_only {
        let advice = format!("`mount -o remount,rw $(findmnt -nT {folder} -o TARGET)`; `dmesg` says why it became so");
        return vec![finding(&codes::DISK_READ_ONLY, Severity::Error, named("the file system is read-only"), advice)];
    }
    if !place.writable {
        let advice = format!(
            "`chown haetae: {folder}`, or run the doctor as the service does: `sudo -u haetae haetae doctor ...`"
        );
        return vec![finding(
            &codes::DISK_NOT_WRITABLE,
            Severity::Error,
            named("this process may not write there"),
            advice,
        )];
    }
    let mut findings = Vec::new();
    if place.free_bytes < place.wanted_bytes {
        let severity = if place.free_bytes < DOCTOR_DISK_BYTES_MIN { Severity::Error } else { Severity::Warning };
        let seen = named(&format!("room for {}, and it may take {}", size(place.free_bytes), size(place.wanted_bytes)));
        let advice =
            format!("make room (`du -xh --max-depth=1 {folder}`), or set a smaller `limits.spool` in haetae.yaml");
        findings.push(finding(&codes::DISK_SMALL, severity, seen, advice));
    }
    if let Some(kind) = place.forgets {
        let seen = named(&format!("{kind} keeps nothing when the power goes"));
        let advice = "name a folder on a disk in haetae.yaml".to_owned();
        findings.push(finding(&codes::DISK_NO_SYNC, Severity::Warning, seen, advice));
    }
    findings
}

/// Others must not read it, and nobody but its owner write it.
fn key(key: &Key) -> Option<Finding> {
    let path = quoted(&key.path.to_string_lossy());
    let seen = format!("{} ({path}) has mode {:03o}", key.option, key.mode);
    let severity = match key.mode {
        mode if mode & 0o007 != 0 => Severity::Error,
        mode if mode & 0o020 != 0 => Severity::Warning,
        _ => return None,
    };
    let advice = format!("`chmod 600 {path}`, and renew what is in it");
    Some(Finding::new(&codes::KEY_READABLE, severity, seen, [advice]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_its_first_two_numbers() {
        assert_eq!(release("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(release("5.4-rc1"), Some((5, 4)));
        assert_eq!((release(""), release("six")), (None, None));
    }
}
