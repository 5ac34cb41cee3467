//! The real promtool and the real Prometheus, where they are installed (Debian: `apt-get install prometheus`).

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a Prometheus may take to start, or to have seen enough, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a program can be run; says loudly if not.
///
/// # Panics
/// Where it is absent and `CI` is set.
pub fn is_there(program: &str) -> bool {
    let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = run.is_ok_and(|status| status.success());
    if !there {
        let said = format!("NOT TESTED: {program} cannot be run (Debian: apt-get install prometheus)");
        assert!(std::env::var_os("CI").is_none(), "{said}");
        eprintln!("\n*** {said} ***\n");
    }
    there
}

/// Runs promtool in a folder with something to read; gives all that it says.
///
/// # Panics
/// If it is not content, or says anything when it should be silent.
pub fn promtool(folder: &Path, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("promtool");
    let piped = command.args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).spawn().expect("promtool");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("to be read");
    let output = child.wait_with_output().expect("promtool's end");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

/// A Prometheus at work on loopback, until it is dropped.
pub struct Prometheus {
    url: String,
    child: Child,
    folder: TempDir,
}

impl Prometheus {
    /// Scrapes these targets every second as the job `haetae`, and evaluates the rules.
    ///
    /// # Panics
    /// If it does not come up, with what it said.
    pub fn start(targets: &[String], rules: &Path) -> Prometheus {
        // another may take the port between our asking for it and its listening there
        let mut attempts = (0..3).map(|_| Prometheus::attempt(targets, rules));
        let last = attempts.find(|attempt| attempt.is_ok()).unwrap_or_else(|| Prometheus::attempt(targets, rules));
        last.unwrap_or_else(|said| panic!("prometheus does not start: {said}"))
    }

    fn attempt(targets: &[String], rules: &Path) -> Result<Prometheus, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let configuration = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: [{rules:?}]\n\
             scrape_configs: [{{ job_name: haetae, static_configs: [{{ targets: {targets:?} }}] }}]\n"
        );
        fs::write(folder.path().join("prometheus.yml"), configuration).expect("its configuration");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|bound| bound.local_addr()).expect("a port");
        let log = File::create(folder.path().join("log")).expect("its log");
        let mut command = Command::new("prometheus");
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"]);
        command.arg(format!("--web.listen-address={free}")).current_dir(folder.path());
        let child = command.stdout(log.try_clone().expect("its log")).stderr(log).spawn().expect("prometheus");
        let mut prometheus = Prometheus { url: format!("http://{free}"), child, folder };
        let began = Instant::now();
        while began.elapsed() < PATIENCE && prometheus.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if ureq::get(format!("{}/-/ready", prometheus.url)).call().is_ok() {
                return Ok(prometheus);
            }
            sleep(Duration::from_millis(100));
        }
        Err(fs::read_to_string(prometheus.folder.path().join("log")).unwrap_or_default())
    }

    /// What an expression gives now.
    ///
    /// # Errors
    /// What Prometheus says against it.
    pub fn ask(&self, expression: &str) -> Result<Vec<Value>, String> {
        let answer = self.get("query", &[("query", expression)])?;
        answer["data"]["result"].as_array().cloned().ok_or_else(|| answer.to_string())
    }

    /// An answer of its interface.
    ///
    /// # Errors
    /// What it says instead.
    pub fn get(&self, what: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let request = ureq::get(format!("{}/api/v1/{what}", self.url)).query_pairs(query.iter().copied());
        let mut answer =
            request.config().http_status_as_error(false).build().call().map_err(|error| error.to_string())?;
        let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if answer["status"] == "success" { Ok(answer) } else { Err(answer["error"].to_string()) }
    }

    /// Waits until an expression gives so many series.
    ///
    /// # Panics
    /// If it does not for too long.
    pub fn wait_for(&self, expression: &str, series: usize) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.ask(expression).is_ok_and(|given| given.len() >= series) {
                return;
            }
            sleep(Duration::from_millis(200));
        }
        panic!("{expression} gives {:?}, not {series} series", self.ask(expression));
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
