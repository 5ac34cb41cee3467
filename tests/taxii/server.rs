//! Real TAXII 2.1 servers in processes of their own: medallion, which keeps its collection in memory, and OpenTAXII, which keeps it
//! in a file. In: what a server is to be like. Out: where it is, what it holds. Never here: a server of our own.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The version that all of this is about.
const MEDIA_TYPE: &str = "application/taxii+json;version=2.1";

/// Who the sensor is to the server.
pub const USER: &str = "site-0017";

/// And how it proves it.
pub const PASSWORD: &str = "s3cret";

const ROOT: &str = "6b2f0f54-9a0d-4c55-8a5c-0f7b5d0f3c11";

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// medallion 3.0.0.
    Medallion,
    /// OpenTAXII 0.10.0b1.
    OpenTaxii,
}

/// Both.
pub const BOTH: [Kind; 2] = [Kind::Medallion, Kind::OpenTaxii];

/// What a server is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The largest envelope.
    pub bytes_max: u64,
    /// Whether the collection may be written to; medallion alone.
    pub can_write: bool,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting { bytes_max: 10_000_000, can_write: true }
    }
}

/// A server.
pub struct Server {
    kind: Kind,
    folder: TempDir,
    child: Option<Child>,
    /// Its port on loopback.
    pub port: u16,
    /// The collection's id.
    pub collection: String,
    /// A bearer token, where it hands them out.
    pub token: Option<String>,
}

/// A program that `deploy/needs tests` put beside the build; `None`, loudly, where it is not.
pub fn tool(test: &str, place: &str, program: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(place).join("bin").join(program);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{test}: needs {}, and CI has it (deploy/needs tests)", path.display());
    eprintln!("\n*** {test}: NOT TESTED: no {} (deploy/needs tests installs it) ***\n", path.display());
    None
}

/// A port of loopback that nobody has now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

impl Server {
    /// Makes what it needs and starts it; `None`, loudly, where it is not installed.
    pub fn start(test: &str, kind: Kind, setting: Setting) -> Option<Server> {
        let mut server = Server::stopped(test, kind, setting)?;
        server.up();
        Some(server)
    }

    /// Makes what it needs.
    pub fn stopped(test: &str, kind: Kind, setting: Setting) -> Option<Server> {
        let program = match kind {
            Kind::Medallion => ("medallion", "medallion"),
            Kind::OpenTaxii => ("opentaxii", "gunicorn"),
        };
        tool(test, program.0, program.1)?;
        let folder = TempDir::new().expect("a folder");
        let collection = "91a7b528-80eb-42ed-a74d-c6fbd5a26116".to_owned();
        let mut server = Server { kind, folder, child: None, port: free_port(), collection, token: None };
        match kind {
            Kind::Medallion => server.make_medallion(setting),
            Kind::OpenTaxii => server.make_opentaxii(setting),
        }
        Some(server)
    }

    fn make_medallion(&self, setting: Setting) {
        let root = format!("http://127.0.0.1:{}/alliance/", self.port);
        let data = json!({
            "/discovery": {"title": "t", "default": root, "api_roots": [root]},
            "alliance": {"status": [], "information": {"title": "a", "versions": [MEDIA_TYPE],
                "max_content_length": setting.bytes_max},
                "collections": [{"id": self.collection, "title": "sightings", "can_read": true, "objects": [],
                    "can_write": setting.can_write, "media_types": ["application/stix+json;version=2.1"], "manifest": []}]}
        });
        let path = self.folder.path().join("data.json");
        fs::write(&path, data.to_string()).expect("data");
        let config = json!({"backend": {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend",
            "filename": path}, "users": {USER: PASSWORD}, "taxii": {"max_page_size": 50}});
        fs::write(self.folder.path().join("medallion.json"), config.to_string()).expect("a configuration");
    }

    fn make_opentaxii(&mut self, setting: Setting) {
        let file = |name: &str| format!("sqlite:///{}", self.folder.path().join(name).display());
        let (auth, data, bytes_max, port) = (file("auth.db"), file("data.db"), setting.bytes_max, self.port);
        let config = format!(
            "domain: '127.0.0.1:{port}'\nsupport_basic_auth: true\nsave_raw_inbox_messages: false\n\
             xml_parser_supports_huge_tree: true\ncount_blocks_in_poll_responses: false\n\
             return_server_error_details: false\nunauthorized_status: UNAUTHORIZED\nauth_api:\n  \
             class: opentaxii.auth.sqldb.SQLDatabaseAPI\n  parameters:\n    db_connection: {auth}\n    \
             create_tables: yes\n    secret: sixteen-letters-or-more-of-a-secret\n    token_ttl_secs: 3600\ntaxii1:\ntaxii2:\n  \
             contact: a@alliance.example\n  description: d\n  title: alliance\n  public_discovery: true\n  \
             max_content_length: {bytes_max}\n  persistence_api:\n    \
             class: opentaxii.persistence.sqldb.Taxii2SQLDatabaseAPI\n    parameters:\n      db_connection: {data}\n      \
             create_tables: yes\nlogging:\n  opentaxii: error\n  root: error\nhooks:\n"
        );
        fs::write(self.folder.path().join("opentaxii.yml"), config).expect("a configuration");
        let run = |program: &str, words: &[&str]| {
            let mut command = self.command("opentaxii", program);
            let output = command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("it runs");
            let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{program}: {said}");
            said
        };
        run("opentaxii-add-api-root", &["-t", "alliance", "-d", "d", "--default", "--id", ROOT]);
        run("opentaxii-add-collection", &["-r", ROOT, "-t", "sightings"]);
        let said = run("opentaxii-create-account", &["--username", USER, "--password", PASSWORD, "--admin"]);
        self.token = said.lines().find_map(|line| line.strip_prefix("token: ")).map(|token| token.trim().to_owned());
    }

    fn command(&self, place: &str, program: &str) -> Command {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(place).join("bin").join(program);
        let mut command = Command::new(path);
        command.current_dir(self.folder.path()).env("OPENTAXII_CONFIG", self.folder.path().join("opentaxii.yml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts it, and waits until it answers.
    pub fn up(&mut self) {
        let (port, place) = (self.port.to_string(), format!("127.0.0.1:{}", self.port));
        let mut command = match self.kind {
            Kind::Medallion => {
                let mut command = self.command("medallion", "medallion");
                command.args(["--host", "127.0.0.1", "--port", &port, "medallion.json"]);
                command
            }
            Kind::OpenTaxii => {
                let mut command = self.command("opentaxii", "gunicorn");
                let words =
                    ["opentaxii.http:app", "--workers", "1", "--bind", &place, "--config", "python:opentaxii.http"];
                command.args(words);
                command
            }
        };
        self.child = Some(command.process_group(0).spawn().expect("it starts"));
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.get(&self.url()).is_none() {
            assert!(Instant::now() < deadline, "{:?} does not answer", self.kind);
            std::thread::sleep(Duration::from_millis(50));
        }
        if self.kind == Kind::OpenTaxii {
            let list = self.get(&format!("{}{ROOT}/collections/", self.url())).expect("collections");
            self.collection = list["collections"][0]["id"].as_str().expect("a collection").to_owned();
        }
    }

    /// Kills it, its workers too, without a word.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let group = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = child.wait();
    }

    /// Its discovery.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/taxii2/", self.port)
    }

    fn get(&self, url: &str) -> Option<Value> {
        use base64::Engine as _;
        let word = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let request = ureq::get(url).header("Accept", MEDIA_TYPE).header("Authorization", format!("Basic {word}"));
        let text = request.call().ok()?.body_mut().with_config().limit(100_000_000).read_to_string().ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Everything in the collection, in all its versions.
    pub fn objects(&self) -> Vec<Value> {
        let root = match self.kind {
            Kind::Medallion => format!("http://127.0.0.1:{}/alliance/", self.port),
            Kind::OpenTaxii => format!("{}{ROOT}/", self.url()),
        };
        let url = format!("{root}collections/{}/objects/?match%5Bversion%5D=all&limit=1000", self.collection);
        let (mut all, mut next) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{url}{next}")).expect("a page");
            all.extend(page["objects"].as_array().into_iter().flatten().cloned());
            match page["next"].as_str().filter(|_| page["more"] == true) {
                Some(word) => {
                    next = format!("&next={}", word.replace('+', "%2B").replace('=', "%3D").replace('/', "%2F"))
                }
                None => return all,
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
