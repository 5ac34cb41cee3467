//! `cargo run --example stand-in-centre`: a centre on this machine, to see alerts arrive.

#[allow(dead_code)]
#[path = "mod.rs"]
mod centre;

use std::io;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use centre::server::{Behaviour, Server, announce};
use clap::Parser;
use ring::rand::{SecureRandom, SystemRandom};

/// A stand-in for the collaboration centre, on loopback, for trying and testing.
///
/// It keeps deploy/ingest.yaml to the letter: messages that the schema does not allow are refused, and a batch is on
/// the disk before it is answered. Alerts are printed as they arrive.
#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: String,
    /// Directory for ledger.jsonl, certificates and the token
    #[arg(long)]
    dir: PathBuf,
    /// File with the token that sensors must bring; made in the directory when there is none
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// Plain HTTP instead of HTTPS
    #[arg(long)]
    plain: bool,
    /// Kill itself between commit and answer of the N-th batch
    #[arg(long, default_value_t = 0)]
    fail_after_commit: u64,
    /// Refuse the alert with this id (422); may be given more than once
    #[arg(long)]
    refuse: Vec<String>,
    /// Answer the first N batches with 503 and Retry-After
    #[arg(long, default_value_t = 0)]
    busy: u64,
    /// Answer 413 to batches of more records
    #[arg(long, default_value_t = 0)]
    records_max: usize,
    /// Milliseconds to wait before each answer
    #[arg(long, default_value_t = 0)]
    slow: u64,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    std::fs::create_dir_all(&options.dir)?;
    let path = options.token_file.clone().unwrap_or_else(|| options.dir.join("token"));
    let token = token(&path)?;
    let behaviour = Behaviour {
        fail_after_commit: options.fail_after_commit,
        refuse: options.refuse,
        busy: options.busy,
        records_max: options.records_max,
        slow: Duration::from_millis(options.slow),
        signing: centre::receipts::Signing::Every,
        print: true,
        ..Behaviour::default()
    };
    let server = Server::open(&options.dir, &token, behaviour)?;
    let tls = if options.plain { None } else { Some(centre::certificates::server(&options.dir)?) };
    let listener = TcpListener::bind(&options.listen)?;
    let address = listener.local_addr()?;
    let scheme = if options.plain { "http" } else { "https" };
    println!("centre:\n  url: {scheme}://{address}/v1\n  token: {}", path.display());
    if tls.is_some() {
        println!("  authority: {}", options.dir.join(centre::certificates::AUTHORITY).display());
    }
    println!("  receipt_keys: {}", options.dir.join(centre::receipts::RECEIPT_KEYS).display());
    announce(address);
    server.serve(listener, tls)
}

/// The token in a file, made if need be; readable by its owner alone, as the sensor demands.
fn token(path: &Path) -> io::Result<String> {
    if !path.exists() {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        io::Write::write_all(&mut file, format!("{:032x}\n", u128::from_be_bytes(bytes)).as_bytes())?;
    }
    Ok(std::fs::read_to_string(path)?.trim().to_owned())
}
