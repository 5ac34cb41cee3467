//! The NATS sink: one message for each record into the centre's JetStream, and from its ingest the watermark: up to where all
//! that was sent is in its database. `deploy/nats.yaml` is the contract. Never here: a record settled because a broker has
//! acknowledged it, or a number believed that is not of what this process has sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use super::credentials::{Credentials, Of};
use super::nats_connection::Connection;
use super::nats_handed::{Answer, Handed};
use super::nats_section::is_token;
use super::nats_wire::{self as wire, Message};
use super::{Delivery, Facts, Sink, Trouble};
use crate::gate::{Batch, Heartbeat, Sender};
use crate::ledger::Kind;
use crate::spool::{Position, SpoolId};

pub use super::nats_section::{Section, Written};

/// One server has so long to be reached and to know us; then the next is tried.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// So long one attempt waits for the watermark. Then others have their turn; nothing is sent again for it.
const TURN: Duration = Duration::from_millis(500);

/// A cluster without a leader acknowledges nothing; after so long it is tried through another server.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);

/// What the ingest has not committed after so long is sent again: the broker may have lost it. It is longer than a database
/// takes to be started again.
const COMMITTED_MAX: Duration = Duration::from_secs(30);

/// How often the ingest is asked for its watermark while it says nothing: what it says unasked may be lost.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// A full stream is not asked again sooner: it empties no faster than an ingest commits.
const FULL_AGAIN: Duration = Duration::from_secs(1);

/// JetStream's codes for what will not change by waiting: the message is longer than the stream takes.
const TOO_LONG: u64 = 10_054;

/// What goes before a message in its headers, at most, in bytes.
const HEADERS_BYTES_MAX: usize = 1024;

/// The centre, over NATS.
pub struct Nats {
    section: Section,
    credentials: Credentials,
    /// How the client is called in the server's own lists.
    name: String,
    site: String,
    subject: String,
    inbox: String,
    /// This process: another one's acknowledgements are not its own.
    run: String,
    /// The server that is tried first.
    server: usize,
    connection: Option<Connection>,
    /// The credentials that the connection was made with.
    generation: u64,
    handed: Handed,
    own_until: AtomicU64,
    /// Until when the certificate held that a server last showed.
    centre_until: AtomicU64,
}

/// The ingest's word.
#[derive(Debug, Deserialize)]
struct Watermark {
    spool: String,
    run: String,
    committed: u64,
    #[serde(default)]
    refused: Vec<Refused>,
}

/// A record that the ingest will never take.
#[derive(Debug, Deserialize)]
struct Refused {
    sequence: u64,
    #[serde(default)]
    error: String,
}

/// JetStream's word.
#[derive(Debug, Deserialize)]
struct Acknowledged {
    stream: Option<String>,
    error: Option<Complaint>,
}

#[derive(Debug, Deserialize)]
struct Complaint {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Nats {
    /// Reads certificates and key; connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with a file or a name, for a person.
    pub fn open(section: &super::Section, nats: &Section, sender: &Sender) -> Result<Nats, String> {
        let credentials = Credentials::open(Of::CENTRE, section.files.clone(), nats.is_secured())?;
        let site = sender.site().to_owned();
        if !is_token(&site) {
            return Err(format!("site.id: `{site}` is part of a subject of NATS: letters, digits, `_` and `-` alone"));
        }
        // The sensor's own name is in every message; here it only tells one sensor's subject from another's.
        let sensor = sender.sensor().replace('.', "_");
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| "the system gives no random numbers".to_owned())?;
        let (run, inbox) = random.split_at(8);
        let inbox = format!("_INBOX.{site}.{}", hex(inbox));
        Ok(Nats {
            name: format!("haetae {site}/{sensor}"),
            subject: format!("alert.{site}.{sensor}"),
            handed: Handed::new(format!("{inbox}.")),
            run: hex(run),
            own_until: AtomicU64::new(credentials.held().0.until.unwrap_or(0)),
            centre_until: AtomicU64::new(0),
            section: nats.clone(),
            credentials,
            site,
            inbox,
            server: 0,
            connection: None,
            generation: 0,
        })
    }

    /// A connection, the one that is there or another. What was handed over on one that is gone is not known to be there.
    fn connect(&mut self, end: Instant) -> Result<&mut Connection, (Trouble, String)> {
        self.credentials.refresh(false);
        let (held, generation) = self.credentials.held();
        self.own_until.store(held.until.unwrap_or(0), Ordering::Release);
        if generation != self.generation {
            self.connection = None;
        }
        if self.connection.is_none() {
            let tls = held.tls.clone();
            self.handed.forget_connection();
            let servers = self.section.servers.len();
            let mut failures = Vec::new();
            for _ in 0..servers {
                let server = &self.section.servers[self.server];
                let until = end.min(Instant::now() + CONNECT_MAX);
                let named = |why: String| format!("nats: {}:{}: {why}", server.host, server.port);
                match Connection::open(server, (tls.as_ref(), &self.centre_until), &self.name, until) {
                    Ok(connection) => {
                        self.connection = Some(connection);
                        self.generation = generation;
                        break;
                    }
                    Err(why) => failures.push(named(why)),
                }
                self.server = (self.server + 1) % servers;
            }
            let Some(connection) = &mut self.connection else {
                return Err((Trouble::Unreachable, failures.join("; ")));
            };
            wire::subscribe(connection.out(), &format!("committed.{}", self.site), 1);
            wire::subscribe(connection.out(), &format!("{}.>", self.inbox), 2);
            if let Err(why) = connection.confirm(end) {
                return Err((Trouble::Token, self.lost(&why)));
            }
        }
        self.connection.as_mut().ok_or((Trouble::Other, "no connection".to_owned()))
    }

    /// The connection is of no use any more; the next is made through another server.
    fn lost(&mut self, why: &str) -> String {
        self.connection = None;
        let server = &self.section.servers[self.server];
        let said = format!("nats: {}:{}: {why}", server.host, server.port);
        self.server = (self.server + 1) % self.section.servers.len();
        said
    }

    /// Hands over what of the batch is not handed over yet.
    fn hand_over(&mut self, batch: &Batch, end: Instant) -> Result<(), Delivery> {
        let stream = self.section.stream.clone();
        let (subject, run) = (self.subject.clone(), self.run.clone());
        let connection = self.connect(end).map_err(|(trouble, reason)| later(trouble, reason))?;
        let payload_max = connection.payload_max().saturating_sub(HEADERS_BYTES_MAX);
        for message in batch.messages() {
            let Some(position) = message.positions().first().copied() else { continue };
            if message.bytes().len() > payload_max {
                // Said before TLS, by anybody: no reason to give a record up.
                let length = message.bytes().len();
                let reason = format!("nats: a message of {length} bytes is more than the server's max_payload takes");
                return Err(later(Trouble::Other, reason));
            }
            let Some(reply) = self.handed.hand(batch.spool(), position, Instant::now()) else { continue };
            // Not the identity alone: what another process has sent of this spool is not known to be this record.
            let id = format!("{}.{run}", message.id());
            let headers = [("Nats-Msg-Id", &*id), ("Nats-Expected-Stream", &*stream), ("Haetae-Run", &*run)];
            let Some(connection) = &mut self.connection else { break };
            wire::publish(connection.out(), &subject, Some(&reply), &headers, message.bytes());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Delivery> {
        let flushed = self.connection.as_mut().map_or(Ok(()), Connection::flush);
        flushed.map_err(|why| later(Trouble::Unreachable, self.lost(&why)))
    }

    /// Asks the ingest up to where it has committed.
    fn ask(&mut self, spool: SpoolId, end: Instant) -> Result<(), Delivery> {
        #[derive(Serialize)]
        struct Asked<'a> {
            spool: String,
            run: &'a str,
        }
        let reply = self.handed.ask(spool, Instant::now());
        let asked = Asked { spool: spool.to_string(), run: &self.run };
        let asked = serde_json::to_vec(&asked).unwrap_or_default();
        let subject = format!("watermark.{}", self.site);
        let connection = self.connect(end).map_err(|(trouble, reason)| later(trouble, reason))?;
        wire::publish(connection.out(), &subject, Some(&reply), &[], &asked);
        self.flush()
    }

    /// Takes what comes, at most until `end`; whether something came.
    fn hear(&mut self, end: Instant) -> Result<bool, Delivery> {
        let Some(connection) = &mut self.connection else { return Ok(false) };
        match connection.message(end) {
            Ok(Some(message)) => {
                self.take(&message);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(why) => {
                let trouble = if why.contains("ermission") { Trouble::Token } else { Trouble::Unreachable };
                Err(later(trouble, self.lost(&why)))
            }
        }
    }

    fn take(&mut self, message: &Message) {
        if message.subject == format!("committed.{}", self.site) {
            return self.watermark(&message.payload);
        }
        match self.handed.answered(&message.subject) {
            Some(Answer::Watermark) if message.status.is_none() => self.watermark(&message.payload),
            Some(Answer::Record(spool, position)) => {
                let said = match (message.status, serde_json::from_slice::<Acknowledged>(&message.payload)) {
                    (None, Ok(Acknowledged { stream: Some(_), error: None })) => Ok(()),
                    (None, Ok(Acknowledged { error: Some(Complaint { err_code, description }), .. })) => {
                        Err((err_code, format!("{description} ({err_code})")))
                    }
                    (Some(status), _) => Err((0, format!("no JetStream behind it, or none with a leader ({status})"))),
                    _ => Err((0, "an answer that is none of JetStream's".to_owned())),
                };
                self.handed.acknowledged(spool, position, said);
            }
            // An answer to who asks no more, or nobody there who could say how far the database is.
            Some(Answer::Watermark) | None => {}
        }
    }

    fn watermark(&mut self, payload: &[u8]) {
        let Ok(said) = serde_json::from_slice::<Watermark>(payload) else { return };
        if said.run == self.run {
            let refused = said.refused.into_iter().map(|one| (Position(one.sequence), one.error));
            self.handed.committed(&said.spool, Position(said.committed), refused, Instant::now());
        }
    }

    /// What can be said of the batch by now, without sending anything.
    fn known(&mut self, batch: &Batch) -> Option<Delivery> {
        let spool = batch.spool();
        for (which, position) in batch.positions().iter().enumerate() {
            if let Some(reason) = self.handed.refused(spool, *position) {
                let reason = if reason.is_empty() { "refused by the centre" } else { reason };
                return Some(Delivery::Never { reason: reason.to_owned(), which });
            }
        }
        let up_to = self.handed.committed_up_to(spool);
        // What a number beyond all that was sent settles is for the courier to judge: nothing.
        let committed = match batch.positions().last() {
            _ if up_to > self.handed.highest(spool) => up_to.max(batch.through().next()),
            Some(last) if up_to >= *last => batch.through(),
            _ if up_to > batch.after() => up_to,
            _ => return None,
        };
        if committed > batch.through() {
            self.handed.forget(spool);
        }
        Some(Delivery::Delivered { committed: Some(committed) })
    }

    fn attempt(&mut self, batch: &Batch, end: Instant) -> Result<Delivery, Delivery> {
        let spool = batch.spool();
        while self.connection.is_some() && self.hear(Instant::now())? {}
        // Told already, and sent again now.
        let _told = self.handed.complaint(spool);
        let is_new = self.connection.is_none();
        if let Some(known) = self.known(batch) {
            return Ok(known);
        }
        let turn_ends = end.min(Instant::now() + TURN);
        if is_new && self.handed.highest(spool) > batch.after() {
            // What was sent over a connection that is gone may be committed already.
            self.ask(spool, end)?;
            while self.handed.is_asked() && Instant::now() < turn_ends {
                self.hear(turn_ends)?;
            }
            if let Some(known) = self.known(batch) {
                return Ok(known);
            }
        }
        self.hand_over(batch, end)?;
        self.await_watermark(batch, end)
    }

    /// A turn of waiting for what was handed over.
    fn await_watermark(&mut self, batch: &Batch, end: Instant) -> Result<Delivery, Delivery> {
        let spool = batch.spool();
        let turn_ends = end.min(Instant::now() + TURN);
        loop {
            let came = self.hear(turn_ends)?;
            if let Some(known) = self.known(batch) {
                return Ok(known);
            }
            if let Some((position, (code, reason))) = self.handed.complaint(spool) {
                return Ok(self.complained(batch, position, code, reason));
            }
            if !came && Instant::now() >= turn_ends {
                break;
            }
        }
        self.still_waits(spool, end)
    }

    /// JetStream does not take a record.
    fn complained(&mut self, batch: &Batch, position: Position, code: u64, reason: String) -> Delivery {
        let which = batch.positions().iter().position(|one| *one == position);
        match which {
            Some(which) if code == TOO_LONG => Delivery::Never { reason, which },
            _ => Delivery::Later {
                trouble: Trouble::Other,
                reason: format!("nats: the stream `{}` does not take alerts: {reason}", self.section.stream),
                after: Some(FULL_AGAIN),
            },
        }
    }

    /// The turn is over, and nothing is known.
    fn still_waits(&mut self, spool: SpoolId, end: Instant) -> Result<Delivery, Delivery> {
        let now = Instant::now();
        if self.handed.unacknowledged(spool, now) > ACKNOWLEDGED_MAX {
            let reason = self.lost("does not acknowledge: the stream may have no leader");
            return Err(later(Trouble::Other, reason));
        }
        let since = self.handed.uncommitted(spool, now);
        if since > COMMITTED_MAX {
            self.handed.forget(spool);
            let reason = format!("nats: the ingest has committed nothing for {} s", since.as_secs());
            return Err(later(Trouble::Other, reason));
        }
        if self.handed.asked_since(spool, now).is_none_or(|since| since > ASK_EVERY) {
            self.ask(spool, end)?;
        }
        Ok(Delivery::Taken)
    }
}

impl Sink for Nats {
    fn deliver(&mut self, batch: &Batch, patience: Duration) -> Delivery {
        self.attempt(batch, Instant::now() + patience).unwrap_or_else(|answer| answer)
    }

    fn poll(&mut self, batch: &Batch, patience: Duration) -> Option<Delivery> {
        // What was handed over on a connection that is gone may be lost.
        self.connection.as_ref()?;
        Some(self.await_watermark(batch, Instant::now() + patience).unwrap_or_else(|answer| answer))
    }

    fn destination(&self, _: Kind) -> (&'static str, String) {
        // the one that is tried first: a connection that stands may be to another of them
        let server = self.section.servers.get(self.server);
        let to = server.map(|server| format!("nats://{}:{}/{}", server.host, server.port, self.subject));
        ("nats", to.unwrap_or_default())
    }

    fn is_told_of_life(&self) -> bool {
        true
    }

    fn beat(&mut self, heartbeat: &Heartbeat, patience: Duration) -> Result<(), String> {
        let end = Instant::now() + patience;
        let subject = format!("heartbeat.{}", self.site);
        let connection = self.connect(end).map_err(|(_, reason)| reason)?;
        wire::publish(connection.out(), &subject, None, &[], heartbeat.json());
        // What is not allowed is said before the answer to what was asked after it.
        let confirmed = self.connection.as_mut().map_or(Ok(()), |connection| connection.confirm(end));
        confirmed.map_err(|why| self.lost(&why))
    }

    fn facts(&self) -> Facts {
        let known = |until: &AtomicU64| Some(until.load(Ordering::Acquire)).filter(|until| *until > 0);
        let (own_until, centre_until) = (known(&self.own_until), known(&self.centre_until));
        Facts { own_until, centre_until, ..Facts::default() }
    }
}

fn later(trouble: Trouble, reason: String) -> Delivery {
    Delivery::Later { trouble, reason, after: None }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
