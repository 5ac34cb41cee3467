//! What `deploy/` hands to a machine that is not ours: how little the unit leaves to the sensor, and that what it says is understood.
//!
//! In: the unit, its drop-ins, sysctl settings. Out: what systemd says of them. Never here: a service that is started; `live` has
//! that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What the unit may leave to the sensor at most, as `systemd-analyze security` counts: reading by libpcap.
const EXPOSURE_MAX: f64 = 1.5;

/// Where somebody may be spoken to by IP.
const EXPOSURE_BY_IP_MAX: f64 = 1.6;

/// With AF_XDP: a family of sockets, two capabilities and a system call more.
const EXPOSURE_AF_XDP_MAX: f64 = 2.1;

/// A file of `deploy/`.
pub fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// Whether a program is here; else the test says so, and fails where it should have run.
pub fn is_there(test: &str, program: &str) -> bool {
    if Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "{test}: needs {program}, and CI has it (deploy/needs tests)");
    eprintln!("\n*** {test}: NOT TESTED: no {program} here (deploy/needs tests installs it) ***\n");
    false
}

/// The unit in a folder of its own, with this build's binary and these drop-ins.
fn unit(drop_ins: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let text = fs::read_to_string(deployed("haetae.service")).expect("a unit");
    let text = text.replace("=/usr/bin/haetae ", &format!("={} ", env!("CARGO_BIN_EXE_haetae")));
    fs::write(folder.path().join("haetae.service"), text).expect("a unit");
    for name in drop_ins {
        let place = folder.path().join("haetae.service.d");
        fs::create_dir_all(&place).expect("a folder");
        fs::copy(deployed("drop-ins").join(name), place.join(name)).expect("a drop-in");
    }
    folder
}

fn analyzed(words: &[&str], folder: &Path) -> Output {
    let output = Command::new("systemd-analyze").args(words).arg(folder.join("haetae.service")).output();
    output.expect("systemd-analyze runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// What systemd thinks is left to the sensor.
fn exposure(drop_ins: &[&str]) -> f64 {
    let folder = unit(drop_ins);
    let said = said(&analyzed(&["security", "--offline=true", "--no-pager"], folder.path()));
    let told = said.split("Overall exposure level for haetae.service: ").nth(1).and_then(|rest| rest.split(' ').next());
    told.and_then(|level| level.parse().ok()).unwrap_or_else(|| panic!("no level in {said}"))
}

#[test]
fn the_unit_leaves_the_sensor_no_more_than_it_needs() {
    if !is_there("the_unit_leaves_the_sensor_no_more_than_it_needs", "systemd-analyze") {
        return;
    }
    for (drop_ins, most) in [
        (&[][..], EXPOSURE_MAX),
        (&["metrics.conf"], EXPOSURE_BY_IP_MAX),
        (&["metrics.conf", "centre.conf"], EXPOSURE_BY_IP_MAX),
        (&["af_xdp.conf"], EXPOSURE_AF_XDP_MAX),
        (&["af_xdp.conf", "centre.conf"], EXPOSURE_AF_XDP_MAX),
    ] {
        let level = exposure(drop_ins);
        eprintln!("exposure {level} with {drop_ins:?}");
        assert!(level <= most, "{level} with {drop_ins:?}, {most} at most");
    }
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    if !is_there("systemd_understands_every_line_of_the_unit", "systemd-analyze") {
        return;
    }
    // backoff.conf speaks of what only later versions of systemd know
    for drop_ins in [&[][..], &["af_xdp.conf"], &["centre.conf"], &["metrics.conf"]] {
        let folder = unit(drop_ins);
        // manual pages are part of the package, not of this machine
        let output = analyzed(&["verify", "--man=no"], folder.path());
        assert!(output.status.success() && said(&output).trim().is_empty(), "{drop_ins:?}: {}", said(&output));
    }
}

#[test]
fn settings_of_the_kernel_are_ones_that_it_has() {
    let folder = deployed("sysctl.d");
    let mut settings = 0;
    for file in fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path()) {
        let text = fs::read_to_string(&file).expect("text");
        // what is switched off is an example, and must be as right
        for line in text.lines().map(|line| line.trim_start_matches('#')).filter(|line| line.contains(" = ")) {
            let (name, value) = line.split_once(" = ").expect("a setting");
            let known = |start| name.starts_with(start);
            assert!(["net.", "vm.", "kernel."].into_iter().any(known) && !value.is_empty(), "{line}");
            let path = Path::new("/proc/sys").join(name.replace('.', "/"));
            // some are not shown in a container or depend on how the kernel was built
            assert!(path.exists() || std::env::var_os("CI").is_none(), "{}: no {name} here", file.display());
            settings += 1;
        }
    }
    assert!(settings >= 5, "{settings} settings");
}
