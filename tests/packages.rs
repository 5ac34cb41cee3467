//! What is handed out: the Debian package, the container's recipe, the manifest for Kubernetes. Each is shown to the program that
//! judges it elsewhere: lintian, dpkg in a Debian of its own, hadolint, the schemas of the Kubernetes API.
//!
//! In: this build's binary and `deploy/`. Out: verdicts. Never here: a registry of images; none is asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::binary;
use crate::deployed::{deployed, is_there};

/// What `deploy/needs tests` puts beside the build where no package has it.
fn tool(name: &str) -> String {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin").join(name);
    if beside.exists() { beside.display().to_string() } else { name.to_owned() }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn ran(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    said(&output)
}

/// The package of this build's binary.
fn package() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let binary = binary::haetae().get_program().to_owned();
    let said = ran(Command::new(deployed("package")).arg("-o").arg(folder.path()).arg(binary));
    let path = PathBuf::from(said.lines().last().expect("it says where the package is"));
    (folder, path)
}

#[test]
fn the_package_is_one_that_lintian_lets_pass_and_the_same_each_time() {
    let name = "the_package_is_one_that_lintian_lets_pass_and_the_same_each_time";
    if !is_there(name, "lintian") || !is_there(name, "dpkg-shlibdeps") {
        return;
    }
    let ((_folder, one), (_other, two)) = (package(), package());
    assert!(fs::read(&one).expect("a package") == fs::read(&two).expect("a package"), "two builds differ");
    let words = ["--fail-on", "error,warning", "--allow-root", "--tag-display-limit", "0"];
    let verdict = ran(Command::new("lintian").args(words).arg(&one));
    assert!(verdict.trim().is_empty(), "{verdict}");
    let depends = ran(Command::new("dpkg-deb").args(["-f"]).arg(&one).arg("Depends"));
    for library in ["libc6 (>= ", "libpcap0.8 (>= "] {
        assert!(depends.contains(library), "{depends}");
    }
}

/// A Debian in a folder.
struct Debian(TempDir);

impl Debian {
    /// `None`, loudly, where none can be made.
    fn new(test: &str) -> Option<Debian> {
        if !is_there(test, "mmdebstrap") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        let mut command = Command::new("mmdebstrap");
        let include = "--include=systemd-standalone-sysusers,init-system-helpers,libpcap0.8";
        command.args(["--quiet", "--variant=minbase", include, "bookworm"]).arg(&root);
        let output = command.output().expect("it runs");
        if !output.status.success() {
            assert!(std::env::var_os("CI").is_none(), "{test}: {}", said(&output));
            eprintln!("\n*** {test}: NOT TESTED: no Debian can be made here: {} ***\n", said(&output));
            return None;
        }
        Some(Debian(folder))
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new("chroot");
        command.arg(self.root()).args(words).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command.output().expect("chroot runs")
    }

    fn ran(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        said(&output)
    }

    /// Everything in it that has our name, but the package manager's own records.
    fn left(&self) -> Vec<String> {
        let found = self.ran(&["find", "/etc", "/usr", "/var", "/run", "/lib", "-xdev", "-name", "*haetae*"]);
        found.lines().filter(|path| !path.starts_with("/var/log/dpkg")).map(str::to_owned).collect()
    }
}

#[test]
fn the_package_installs_runs_and_goes_without_a_trace() {
    let name = "the_package_installs_runs_and_goes_without_a_trace";
    if !is_there(name, "dpkg-shlibdeps") {
        return;
    }
    let Some(debian) = Debian::new(name) else { return };
    let (_folder, package) = package();
    fs::copy(&package, debian.root().join("tmp/package.deb")).expect("a copy");
    debian.ran(&["dpkg", "-i", "/tmp/package.deb"]);
    let version = format!("haetae {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(debian.ran(&["haetae", "--version"]), version);
    assert_eq!(debian.ran(&["dpkg", "--verify", "haetae"]), "", "every file is as it was packed");

    // what it brings along is sound, and its user may read it where others may not
    assert_eq!(debian.ran(&["haetae", "-T", "-c", "/etc/haetae/haetae.yaml"]), "the configuration is sound\n");
    let modes = debian.ran(&["stat", "-c", "%U:%G %a", "/etc/haetae", "/etc/haetae/rules"]);
    assert_eq!(modes, "root:haetae 750\nroot:haetae 750\n");
    let as_user = |user: &str, group: &str| {
        let who = ["setpriv", "--reuid", user, "--regid", group, "--clear-groups"];
        debian.run(&[&who[..], &["haetae", "-T", "-c", "/etc/haetae/haetae.yaml"]].concat()).status.code()
    };
    assert_eq!((as_user("haetae", "haetae"), as_user("nobody", "nogroup")), (Some(0), Some(77)));
    let dump = debian.ran(&["haetae", "config", "dump", "-c", "/etc/haetae/haetae.yaml"]);
    for option in ["/run/haetae/control.sock", "/var/log/haetae/eve.json", "/etc/haetae/rules"] {
        assert!(dump.contains(option), "{option}: {dump}");
    }
    // nothing is configured to be read: it says so, with the code that the unit does not restart on
    let nothing = debian.run(&["haetae", "run", "-c", "/etc/haetae/haetae.yaml"]);
    assert_eq!(
        (nothing.status.code(), said(&nothing).contains("nothing to read")),
        (Some(78), true),
        "{}",
        said(&nothing)
    );
    for script in
        ["bash-completion/completions/haetae", "zsh/vendor-completions/_haetae", "man/man1/haetae-config-dump.1.gz"]
    {
        assert!(debian.root().join("usr/share").join(script).exists(), "{script}");
    }

    // what a site has written survives a second installation, and a removal
    let config = debian.root().join("etc/haetae/haetae.yaml");
    let ours = fs::read_to_string(&config).expect("a configuration") + "# ours\n";
    fs::write(&config, &ours).expect("a configuration");
    debian.ran(&["dpkg", "-i", "/tmp/package.deb"]);
    assert_eq!(fs::read_to_string(&config).expect("still there"), ours);
    debian.ran(&["dpkg", "--remove", "haetae"]);
    assert_eq!(fs::read_to_string(&config).expect("still there"), ours);
    for place in ["var/lib/haetae/spool", "var/log/haetae"] {
        fs::create_dir_all(debian.root().join(place)).expect("a folder");
        fs::write(debian.root().join(place).join("record"), "sensitive").expect("a file");
    }
    debian.ran(&["dpkg", "--purge", "haetae"]);
    assert_eq!(debian.left(), [""; 0], "what is left of it");
}

#[test]
fn the_recipe_of_the_container_is_one_that_hadolint_lets_pass() {
    let hadolint = tool("hadolint");
    if !is_there("the_recipe_of_the_container_is_one_that_hadolint_lets_pass", &hadolint) {
        return;
    }
    assert_eq!(ran(Command::new(hadolint).arg(deployed("Containerfile"))), "");
    // what is copied is there, and what the package is made of is copied
    let recipe = fs::read_to_string(deployed("Containerfile")).expect("a recipe");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copied: Vec<&str> = recipe
        .lines()
        .filter_map(|line| line.strip_prefix("COPY ")?.rsplit_once(' '))
        .flat_map(|(from, _)| from.split(' '))
        .filter(|word| !word.starts_with('-') && !word.starts_with('/'))
        .collect();
    assert!(copied.len() >= 8 && copied.iter().all(|name| root.join(name).exists()), "{copied:?}");
    let rust = recipe.split("library/rust:").nth(1).and_then(|rest| rest.split('-').next());
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("a manifest");
    assert!(rust.is_some_and(|rust| manifest.contains(&format!("rust-version = \"{rust}\""))), "{rust:?}");
}

#[test]
fn kubernetes_knows_every_word_of_the_manifest_and_the_sensor_its_configuration() {
    let name = "kubernetes_knows_every_word_of_the_manifest_and_the_sensor_its_configuration";
    let validate = tool("kubernetes-validate");
    if !is_there(name, &validate) {
        return;
    }
    let manifest = deployed("kubernetes/daemonset.yaml");
    ran(Command::new(&validate).args(["--strict", "--quiet"]).arg(&manifest));
    let text = fs::read_to_string(&manifest).expect("a manifest");
    // the judge is awake
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = folder.path().join("wrong.yaml");
    fs::write(&wrong, text.replace("hostNetwork: true", "hostNetworks: true")).expect("a file");
    let verdict = Command::new(&validate).args(["--strict", "--quiet"]).arg(&wrong).output().expect("it runs");
    assert!(!verdict.status.success(), "a word that is none was let pass: {}", said(&verdict));

    let block = |name: &str| {
        let body = text.split(&format!("  {name}: |\n")).nth(1).unwrap_or_else(|| panic!("no {name} in the manifest"));
        let lines = body.lines().take_while(|line| line.starts_with("    "));
        lines.map(|line| format!("{}\n", &line[4..])).collect::<String>()
    };
    let rules = folder.path().join("rules");
    fs::create_dir(&rules).expect("a folder");
    fs::write(rules.join("local.yaml"), block("local.yaml")).expect("rules");
    let config = block("haetae.yaml").replace("/config/rules", &rules.display().to_string());
    let config = config.replace("/var/log/haetae", &folder.path().display().to_string());
    fs::write(folder.path().join("haetae.yaml"), config).expect("a configuration");
    ran(binary::haetae().args(["-T", "-c", "haetae.yaml"]).current_dir(folder.path()));
}
