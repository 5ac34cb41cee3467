//! A centre on loopback that is real: three servers of NATS, a PostgreSQL and the ingest of `deploy/nats`, in a folder that goes
//! away with it. Whatever of it is not installed is said, and where `CI` is set that is a failure.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// Long enough for any machine; only failing tests wait so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What is deployed.
const DEPLOYED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// How a centre is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Bytes that the stream holds.
    pub bytes_max: u64,
    /// For how long the broker knows a message again, in seconds.
    pub window: u32,
    /// Severities below this are refused.
    pub severity_min: u32,
    /// Which of the keys the ingest signs with, `receipts` or `another`; none: it does not sign.
    pub signs: Option<&'static str>,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted { bytes_max: 256 << 20, window: 120, severity_min: 1, signs: None }
    }
}

/// The centre.
pub struct World {
    folder: TempDir,
    wanted: Wanted,
    ports: [[u16; 2]; 3],
    servers: [Option<Child>; 3],
    ingest: Option<Child>,
}

fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/python")
}

/// PostgreSQL keeps its programs out of the way.
fn of_postgres(program: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions.flatten().map(|version| version.path().join("bin").join(program)).find(|path| path.exists())
}

fn quiet(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn is_all_there() -> bool {
    let missing: Vec<&str> = [
        ("nats-server", quiet("nats-server", &["--version"])),
        ("postgresql", of_postgres("initdb").is_some()),
        (
            "nats-py, psycopg, fastjsonschema, PyYAML, cryptography in target/tools",
            quiet(python(), &["-c", "import nats, psycopg, fastjsonschema, yaml, cryptography"]),
        ),
    ]
    .into_iter()
    .filter_map(|(name, is_there)| (!is_there).then_some(name))
    .collect();
    if !missing.is_empty() {
        let said = format!("NOT TESTED: missing: {missing:?} (deploy/needs tests)");
        assert!(std::env::var_os("CI").is_none(), "{said}");
        eprintln!("\n*** {said} ***\n");
    }
    missing.is_empty()
}

/// A port that nobody has.
fn port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()).expect("a port").port()
}

/// As the user that PostgreSQL wants to be run by: any but root.
fn as_postgres(program: &Path) -> Command {
    let is_root = rustix::process::getuid().is_root();
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

fn done(command: &mut Command) -> Output {
    let output = command.output().expect("a program");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

impl World {
    /// Everything runs when this returns but the ingest; `None`: it cannot.
    pub fn start(wanted: Wanted) -> Option<World> {
        if !is_all_there() {
            return None;
        }
        let folder = TempDir::new().expect("a folder");
        // PostgreSQL, as another user, goes through it.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
        let mut world = World {
            folder,
            wanted,
            ports: [[0; 2]; 3].map(|pair| pair.map(|_| port())),
            servers: [None, None, None],
            ingest: None,
        };
        world.make_certificates();
        world.make_receipt_keys();
        world.make_contract();
        world.make_database();
        let routes = world.ports.map(|[_, cluster]| format!("\"tls://127.0.0.1:{cluster}\""));
        fs::write(world.path("routes.conf"), format!("routes: [ {} ]\n", routes.join(", "))).expect("a file");
        for name in ["servers.conf", "sites.conf"] {
            fs::copy(Path::new(DEPLOYED).join("nats").join(name), world.path(name)).expect("what is deployed");
        }
        (0..3).for_each(|which| world.start_server(which));
        world.wait_for_servers();
        Some(world)
    }

    /// A file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the servers listen.
    pub fn servers(&self) -> Vec<String> {
        self.ports.iter().map(|[client, _]| format!("tls://127.0.0.1:{client}")).collect()
    }

    /// Where one of them listens.
    pub fn address(&self, which: usize) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[which][0]).into()
    }

    /// One authority for members and one for the cluster; servers, an ingest, a site and a stranger.
    fn make_certificates(&self) {
        let authority = |name: &str, file: &str| {
            let mut params = CertificateParams::new(Vec::<String>::new()).expect("names");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            let issuer =
                CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
            fs::write(self.path(file), issuer.pem()).expect("a file");
            issuer
        };
        let members = authority("alliance", "authority.pem");
        // The cluster's servers show members the same certificate, so here one authority is both.
        fs::copy(self.path("authority.pem"), self.path("cluster.pem")).expect("a file");
        for (file, name) in [
            ("server", "127.0.0.1"),
            ("ingest", "ingest.centre.example"),
            ("site", "site-0017.example"),
            ("stranger", "site-9999.example"),
        ] {
            let params = CertificateParams::new(vec![name.to_owned()]).expect("names");
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &members).expect("a certificate");
            fs::write(self.path(&format!("{file}.pem")), certificate.pem()).expect("a file");
            let path = self.path(&format!("{file}.key"));
            fs::write(&path, key.serialize_pem()).expect("a file");
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its mode");
        }
    }

    /// Keys as the ingest says that they are made, and what a site is given of each.
    fn make_receipt_keys(&self) {
        for name in ["receipts", "another"] {
            let (key, public) = (self.path(&format!("{name}.key")), self.path(&format!("{name}.pem")));
            done(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key));
            done(Command::new("openssl").arg("pkey").arg("-in").arg(key).args(["-pubout", "-out"]).arg(public));
        }
    }

    /// From the next start on the ingest signs with this key, or does not.
    pub fn sign_with(&mut self, key: Option<&'static str>) {
        self.wanted.signs = key;
    }

    /// What is deployed, where a test does not want it stricter.
    fn make_contract(&self) {
        let read = |name: &str| fs::read_to_string(Path::new(DEPLOYED).join(name)).expect("what is deployed");
        let severity = format!("severity: {{ type: integer, minimum: {}", self.wanted.severity_min);
        let ingest = read("ingest.yaml").replace("severity: { type: integer, minimum: 1", &severity);
        assert!(ingest.contains(&severity));
        fs::write(self.path("ingest.yaml"), ingest).expect("a file");
        fs::write(self.path("nats.yaml"), read("nats.yaml")).expect("a file");
    }

    fn make_database(&self) {
        let (data, run) = (self.path("database"), self.path("run"));
        for folder in [&data, &run] {
            fs::create_dir(folder).expect("a folder");
            if rustix::process::getuid().is_root() {
                done(Command::new("chown").arg("postgres").arg(folder));
            }
        }
        let at = |program: &str| of_postgres(program).expect("it was there");
        done(as_postgres(&at("initdb")).arg("-D").arg(&data).args([
            "-A",
            "trust",
            "-U",
            "alerts",
            "--no-sync",
            "-E",
            "UTF8",
        ]));
        let options = format!("-c listen_addresses= -c unix_socket_directories={} -c max_wal_size=64MB", run.display());
        let log = data.join("log");
        done(
            as_postgres(&at("pg_ctl"))
                .arg("-D")
                .arg(&data)
                .arg("-o")
                .arg(options)
                .arg("-l")
                .arg(log)
                .args(["-w", "start"]),
        );
    }

    fn dsn(&self) -> String {
        format!("host={} user=alerts dbname=postgres", self.path("run").display())
    }

    /// The answer to a question, a line for each row.
    pub fn asked(&self, sql: &str) -> Vec<String> {
        let output = done(Command::new("psql").args(["-X", "-A", "-t", "-d", &self.dsn(), "-c", sql]));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Identities in the database, in order.
    pub fn alerts(&self) -> Vec<String> {
        self.asked("select id from alert where site = 'site-0017' order by id, revision")
    }

    /// A server, with the store that it had.
    pub fn start_server(&mut self, which: usize) {
        let [client, cluster] = self.ports[which];
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.path(&format!("n{which}.log"))).expect("a file");
        let child = Command::new("nats-server")
            .args(["-c", "servers.conf"])
            .current_dir(self.folder.path())
            .env("NATS_NAME", format!("n{which}"))
            .env("NATS_LISTEN", format!("127.0.0.1:{client}"))
            .env("NATS_CLUSTER_LISTEN", format!("127.0.0.1:{cluster}"))
            .env("NATS_STORE", self.path(&format!("store{which}")))
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn();
        self.servers[which] = Some(child.expect("nats-server"));
    }

    fn wait_for_servers(&self) {
        let end = Instant::now() + PATIENCE;
        for which in 0..3 {
            while TcpStream::connect(self.address(which)).is_err() {
                let log = fs::read_to_string(self.path(&format!("n{which}.log"))).unwrap_or_default();
                assert!(Instant::now() < end, "a server does not listen: {log}");
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Kills a server; its store stays.
    pub fn kill_server(&mut self, which: usize) {
        if let Some(mut child) = self.servers[which].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// All stores are gone, as after a fire.
    pub fn wipe(&mut self) {
        for which in 0..3 {
            self.kill_server(which);
            let _ = fs::remove_dir_all(self.path(&format!("store{which}")));
        }
        (0..3).for_each(|which| self.start_server(which));
        self.wait_for_servers();
    }

    /// An ingest; with `deadly`, one that is killed when it has committed for the first time, before it says so.
    pub fn start_ingest(&mut self, deadly: bool) {
        let program = format!("{DEPLOYED}/nats/ingest.py");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("ingest.log")).expect("a file");
        let mut command = Command::new(python());
        match deadly {
            false => command.arg(program),
            true => command.arg("-c").arg(format!(
                "import os, sys, asyncio, logging\nsys.path.insert(0, {:?})\nimport ingest\n\
                 logging.basicConfig(level=logging.INFO)\n\
                 async def die(self, key): os.kill(os.getpid(), 9)\ningest.Ingest.tell = die\n\
                 asyncio.run(ingest.Ingest(ingest.parsed()).run())",
                format!("{DEPLOYED}/nats")
            )),
        };
        for name in ["certificate", "key", "authority"] {
            let file = match name {
                "certificate" => "ingest.pem",
                "key" => "ingest.key",
                _ => "authority.pem",
            };
            command.arg(format!("--{name}")).arg(self.path(file));
        }
        let window = format!("--duplicate-window={}", self.wanted.window);
        command.args(["--database", &self.dsn(), &window, &format!("--bytes-max={}", self.wanted.bytes_max)]);
        command.arg("--contract").arg(self.folder.path()).arg("--servers").args(self.servers());
        if let Some(key) = self.wanted.signs {
            command.arg("--receipt-key").arg(self.path(&format!("{key}.key")));
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let child = command.stdout(log.try_clone().expect("a file")).stderr(log).spawn();
        self.ingest = Some(child.expect("an ingest"));
    }

    /// Waits until it says that stream and consumer are there, so often in all.
    pub fn wait_for_ingest(&self, times: usize) {
        self.wait_for(|world| world.log().matches("ready").count() >= times);
    }

    /// What ingests have said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("ingest.log")).unwrap_or_default()
    }

    /// Waits for something to come true.
    pub fn wait_for(&self, is_so: impl Fn(&World) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < end, "it does not come to that; the ingest said:\n{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the ingest has ended by itself.
    pub fn ingest_ended(&mut self) {
        self.ingest.as_mut().map(Child::wait).expect("an ingest").expect("it can be waited for");
    }

    /// Kills it.
    pub fn kill_ingest(&mut self) {
        if let Some(mut child) = self.ingest.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_ingest();
        (0..3).for_each(|which| self.kill_server(which));
        let stop = ["-m", "immediate", "stop"];
        let pg_ctl = of_postgres("pg_ctl").expect("it was there");
        let _ = as_postgres(&pg_ctl).arg("-D").arg(self.path("database")).args(stop).output();
    }
}
