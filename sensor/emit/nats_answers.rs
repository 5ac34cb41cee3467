//! What comes back over NATS: the ingest's watermark with its receipt, JetStream's acknowledgements. Never here: what follows from
//! them.

use serde::Deserialize;

use super::nats_wire::Message;
use crate::ledger::{Head, Receipt};

/// The ingest's word.
#[derive(Debug, Deserialize)]
pub(super) struct Watermark {
    pub spool: String,
    pub run: String,
    pub committed: u64,
    #[serde(default)]
    pub refused: Vec<Refused>,
    /// The newest batch that is in its database as a whole, if it signs.
    pub received: Option<Received>,
}

/// A record that the ingest will never take.
#[derive(Debug, Deserialize)]
pub(super) struct Refused {
    pub sequence: u64,
    #[serde(default)]
    pub error: String,
}

/// What the ingest has signed.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Received {
    /// Of which batch: as its messages say it.
    pub ledger: Head,
    pub receipt: Receipt,
}

/// The receipt in the ingest's answer to a sign of life; `None`: there is none.
pub(super) fn heard(message: &Message) -> Option<Receipt> {
    #[derive(Deserialize)]
    struct Heard {
        receipt: Receipt,
    }
    serde_json::from_slice::<Heard>(&message.payload).ok().map(|heard| heard.receipt)
}

/// JetStream's code, and why a record is not taken, for a person.
pub(super) type Complaint = (u64, String);

impl Watermark {
    /// The one in a message; `None`: it is none.
    pub fn read(payload: &[u8]) -> Option<Watermark> {
        serde_json::from_slice(payload).ok()
    }
}

/// Whether JetStream has taken a record.
pub(super) fn acknowledged(message: &Message) -> Result<(), Complaint> {
    #[derive(Deserialize)]
    struct Acknowledged {
        stream: Option<String>,
        error: Option<Said>,
    }
    #[derive(Deserialize)]
    struct Said {
        #[serde(default)]
        err_code: u64,
        #[serde(default)]
        description: String,
    }
    match (message.status, serde_json::from_slice(&message.payload)) {
        (None, Ok(Acknowledged { stream: Some(_), error: None })) => Ok(()),
        (None, Ok(Acknowledged { error: Some(Said { err_code, description }), .. })) => {
            Err((err_code, format!("{description} ({err_code})")))
        }
        (Some(status), _) => Err((0, format!("no JetStream behind it, or none with a leader ({status})"))),
        _ => Err((0, "an answer that is none of JetStream's".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: Option<u16>, payload: &str) -> Result<(), Complaint> {
        acknowledged(&Message { subject: "in.1".to_owned(), status, payload: payload.as_bytes().to_vec() })
    }

    #[test]
    fn a_record_is_taken_by_a_stream_that_says_so_and_by_nothing_else() {
        assert_eq!(said(None, r#"{"stream":"ALERTS","seq":7}"#), Ok(()));
        let full = r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}"#;
        assert_eq!(said(None, full), Err((10_077, "maximum bytes exceeded (10077)".to_owned())));
        for (status, payload) in [(Some(503), ""), (None, ""), (None, "{}"), (Some(503), r#"{"stream":"ALERTS"}"#)] {
            assert_eq!(said(status, payload).map_err(|(code, _)| code), Err(0), "{status:?} {payload}");
        }
    }

    #[test]
    fn a_watermark_is_one_with_a_receipt_or_without_and_not_with_half_of_one() {
        let plain = r#"{"spool":"s","run":"r","committed":7,"refused":[]}"#;
        assert!(Watermark::read(plain.as_bytes()).expect("one").received.is_none());
        let zeros = "0".repeat(64);
        let receipt = r#"{"key":"21fe31dfa154a261","time":"2026-11-22T05:02:32Z","signature":"e5"}"#;
        let signed = |receipt: &str| {
            let received = format!(r#"{{"ledger":{{"sequence":11,"head":"{zeros}"}},"receipt":{receipt}}}"#);
            Watermark::read(plain.replace("\"refused\":[]", &format!("\"received\":{received}")).as_bytes())
        };
        assert_eq!(signed(receipt).and_then(|said| said.received).expect("one").ledger.sequence, 11);
        for wrong in ["{}", "[]", &receipt.replace("e5", "e5\\n"), &receipt.replace("key", "kex")] {
            assert!(signed(wrong).is_none(), "{wrong}");
        }
    }
}
