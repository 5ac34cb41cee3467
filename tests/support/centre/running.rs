//! A stand-in centre as a child process of a test: settings in, a running centre out, killed when it is dropped. The
//! child is the test binary itself, so nothing else has to be built.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::certificates;
use super::ledger::Book;
use super::receipts::RECEIPT_KEYS;
use super::server::{Behaviour, Server, announce};

/// The variable that makes this test binary a centre.
const SETTING: &str = "HAETAE_TEST_CENTRE";

/// The token that every stand-in of the tests asks for.
pub const TOKEN: &str = "a-token-for-tests";

/// How a child is to behave.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Port on loopback; 0: any.
    pub port: u16,
    /// Its faults; `print` is left out.
    pub behaviour: Behaviour,
}

/// A running centre.
pub struct Running {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    directory: PathBuf,
}

impl Running {
    /// Starts a centre with its ledger and certificates in `directory`; it listens when this returns.
    pub fn start(directory: &Path, setting: &Setting) -> Running {
        let told = json!({"directory": directory, "port": setting.port, "behaviour": setting.behaviour});
        let mut child = Command::new(std::env::current_exe().expect("the test binary has a path"))
            .args(["--exact", &test_name(), "--nocapture"])
            .env(SETTING, told.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test binary can be run again");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is ours")).lines();
        let address = lines.find_map(|line| line.ok()?.split_once("listening on ")?.1.parse().ok());
        // The rest is read and dropped, so that the child never waits for somebody to read.
        std::thread::spawn(move || lines.for_each(drop));
        Running { child, address: address.expect("the centre listens"), directory: directory.to_owned() }
    }

    /// What to put under `centre.url`.
    pub fn url(&self) -> String {
        format!("https://{}/v1", self.address)
    }

    /// What to put under `centre.authority`.
    pub fn authority(&self) -> PathBuf {
        self.directory.join(certificates::AUTHORITY)
    }

    /// What to put under `centre.receipt_keys`.
    pub fn receipt_keys(&self) -> PathBuf {
        self.directory.join(RECEIPT_KEYS)
    }

    /// A file with the token, to put under `centre.token`.
    pub fn token(&self) -> PathBuf {
        let path = self.directory.join("token");
        write_token(&path, TOKEN);
        path
    }

    /// What the centre has on its disk.
    pub fn book(&self) -> Book {
        Book::read(&self.directory).expect("the ledger can be read")
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self) {
        self.child.wait().expect("the child can be waited for");
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the child can be asked").is_some()
    }

    /// Kills it; the ledger stays.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes a token for its owner alone.
pub fn write_token(path: &Path, token: &str) {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = file.as_mut().map(|file| writeln!(file, "{token}"));
    assert!(matches!(written, Ok(Ok(()))), "{} can be written", path.display());
}

/// The name of [`the_centre_of_other_tests`] in whatever test binary this file is part of.
fn test_name() -> String {
    let module = module_path!().split_once("::").map_or("", |(_, rest)| rest);
    format!("{module}::the_centre_of_other_tests")
}

/// The child's whole life. Without the variable it is a test of nothing.
#[test]
fn the_centre_of_other_tests() {
    let Ok(setting) = std::env::var(SETTING) else { return };
    let told: Value = serde_json::from_str(&setting).unwrap();
    let directory = PathBuf::from(told["directory"].as_str().unwrap());
    let behaviour: Behaviour = serde_json::from_value(told["behaviour"].clone()).unwrap();
    let server = Server::open(&directory, TOKEN, behaviour).unwrap();
    let tls = certificates::server(&directory).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", told["port"].as_u64().unwrap() as u16)).unwrap();
    announce(listener.local_addr().unwrap());
    server.serve(listener, Some(tls)).unwrap();
}
