//! Receipts: what a centre has received in, its signature out. The text under it is spelled here as `deploy/ingest.yaml` says it,
//! not with the sensor's own words.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a site is to put under `centre.receipt_keys`.
pub const RECEIPT_KEYS: &str = "receipts.pem";
const KEY: &str = "receipts.key";

/// What becomes of receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Signing {
    /// Every message that is taken gets one.
    #[default]
    Every,
    /// None does, as if something on the way had answered.
    None,
    /// Each is for another message.
    Wrong,
}

/// Signs.
pub struct Signer {
    pair: Ed25519KeyPair,
    signing: Signing,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Signer {
    /// With the key in `directory`, made on first use.
    pub fn open(directory: &Path, signing: Signing) -> io::Result<Signer> {
        let path = directory.join(KEY);
        if !path.exists() {
            let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
                .map_err(|error| io::Error::other(error.to_string()))?;
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            io::Write::write_all(&mut file, key.as_ref())?;
        }
        let pair =
            Ed25519KeyPair::from_pkcs8(&fs::read(&path)?).map_err(|error| io::Error::other(error.to_string()))?;
        // RFC 8410 section 4
        let mut wrapped = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        wrapped.extend_from_slice(pair.public_key().as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(wrapped));
        fs::write(directory.join(RECEIPT_KEYS), pem)?;
        Ok(Signer { pair, signing })
    }

    /// Adds a receipt to an answer that takes a message for good.
    pub fn sign(&self, message: &Value, bytes: &[u8], mut answer: Value) -> Value {
        if self.signing == Signing::None {
            return answer;
        }
        let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        let received = if self.signing == Signing::Wrong { &b"another"[..] } else { bytes };
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let time = haetae::time::Timestamp::from_parts(seconds as i64, 0).rfc3339();
        let key = hex(digest(&SHA256, self.pair.public_key().as_ref()).as_ref())[..16].to_owned();
        let lines = [
            "haetae receipt 1".to_owned(),
            format!("site={}", text("site")),
            format!("sensor={}", text("sensor")),
            format!("sequence={}", message["ledger"]["sequence"]),
            format!("head={}", message["ledger"]["head"].as_str().unwrap_or_default()),
            format!("sha256={}", hex(digest(&SHA256, received).as_ref())),
            format!("committed={}", answer["committed"].as_u64().unwrap_or_default()),
            format!("time={time}"),
            format!("key={key}"),
        ];
        let signature = hex(self.pair.sign((lines.join("\n") + "\n").as_bytes()).as_ref());
        answer["receipt"] = json!({"key": key, "time": time, "signature": signature});
        answer
    }
}
