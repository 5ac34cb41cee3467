//! The NATS sink: one message for each record into the centre's JetStream, and from its ingest the watermark: up to where all
//! that was sent is in its database. `deploy/nats.yaml` is the contract. Never here: a record settled because a broker has
//! acknowledged it, a number believed that is not of what this process has sent, or a message sent as part of two batches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;

use super::credentials::{Credentials, Of};
use super::nats_answers::{self as answers, Watermark};
use super::nats_connection::Connection;
use super::nats_handed::{Answer, Handed};
use super::nats_section::is_token;
use super::nats_wire::{self as wire, Message};
use super::{Delivery, Facts, Sink, Trouble};
use crate::gate::{Batch, Heartbeat, Sender};
use crate::ledger::{Kind, Receipt};
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

/// What it has committed and not signed after so long is told, and sent again.
const SIGNED_MAX: Duration = Duration::from_secs(10);

/// Each time these are over and nothing has moved they are twice as long, up to this many times: an ingest that is behind is not
/// given more than it can catch up with.
const LONGER_MAX: u32 = 16;

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
    /// Whether nothing is settled without the ingest's signature.
    is_pinned: bool,
    /// The one that came with the last answer.
    receipt: Option<Receipt>,
    /// How many times longer the ingest is waited for.
    longer: u32,
    own_until: AtomicU64,
    /// Until when the certificate held that a server last showed.
    centre_until: AtomicU64,
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
            is_pinned: section.receipt_keys.is_some(),
            receipt: None,
            longer: 1,
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

    /// Hands over the batch.
    fn hand_over(&mut self, batch: &Batch, end: Instant) -> Result<(), Delivery> {
        let stream = self.section.stream.clone();
        let (subject, run, spool) = (self.subject.clone(), self.run.clone(), batch.spool());
        let connection = self.connect(end).map_err(|(trouble, reason)| later(trouble, reason))?;
        let payload_max = connection.payload_max().saturating_sub(HEADERS_BYTES_MAX);
        let longest = batch.messages().iter().map(|message| message.bytes().len()).max().unwrap_or_default();
        if longest > payload_max {
            // Said before TLS, by anybody: no reason to give a record up.
            let reason = format!("nats: a message of {longest} bytes is more than the server's max_payload takes");
            return Err(later(Trouble::Other, reason));
        }
        self.handed.begin(spool, Instant::now());
        for message in batch.messages() {
            let Some(position) = message.positions().first().copied() else { continue };
            let reply = self.handed.hand(spool, position, Instant::now());
            // Not the identity alone: what another process has sent of this spool is not known to be this record, and what was
            // sent in another batch is no message of this one.
            let id = format!("{}.{run}.{}", message.id(), batch.ledger().sequence);
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
                self.handed.acknowledged(spool, position, answers::acknowledged(message));
            }
            Some(Answer::Life) => self.receipt = answers::heard(message),
            // An answer to who asks no more, or nobody there who could say how far the database is.
            Some(Answer::Watermark) | None => {}
        }
    }

    fn watermark(&mut self, payload: &[u8]) {
        if let Some(said) = Watermark::read(payload).filter(|said| said.run == self.run) {
            self.handed.committed(said, Instant::now());
        }
    }

    /// What can be said of the batch by now, without sending anything.
    fn known(&mut self, batch: &Batch) -> Option<Delivery> {
        let (spool, through) = (batch.spool(), batch.through());
        for (which, position) in batch.positions().iter().enumerate() {
            if let Some(reason) = self.handed.refused(spool, *position) {
                let reason = if reason.is_empty() { "refused by the centre" } else { reason };
                return Some(Delivery::Never { reason: reason.to_owned(), which });
            }
        }
        let up_to = self.handed.committed_up_to(spool);
        if up_to > self.handed.highest(spool) {
            // What a number beyond all that was sent settles is for the courier to judge: nothing.
            self.handed.forget(spool);
            return Some(Delivery::Delivered { committed: Some(up_to.max(through.next())) });
        }
        if !self.is_committed(batch) {
            return None;
        }
        self.receipt = self.handed.receipt(spool, batch.ledger());
        if self.is_pinned && self.receipt.is_none() {
            return None;
        }
        self.longer = 1;
        Some(Delivery::Delivered { committed: Some(through) })
    }

    /// Whether all of its records are in the database, as the ingest says: they may be of another batch.
    fn is_committed(&mut self, batch: &Batch) -> bool {
        let up_to = self.handed.committed_up_to(batch.spool());
        batch.positions().last().is_some_and(|last| up_to >= *last)
    }

    /// What of a batch is settled that is not sent or not waited for any more. Nobody signs for a part of one.
    fn in_part(&mut self, batch: &Batch) -> Option<Delivery> {
        let up_to = self.handed.committed_up_to(batch.spool());
        let is_part = !self.is_pinned && up_to > batch.after();
        is_part.then_some(Delivery::Delivered { committed: Some(up_to) })
    }

    fn attempt(&mut self, batch: &Batch, end: Instant) -> Result<Delivery, Delivery> {
        let spool = batch.spool();
        while self.connection.is_some() && self.hear(Instant::now())? {}
        let turn_ends = end.min(Instant::now() + TURN);
        if self.connection.is_none() && !self.is_pinned && self.handed.highest(spool) > batch.after() {
            // What was sent over a connection that is gone may be committed already.
            self.ask(spool, end)?;
            while self.handed.is_asked() && Instant::now() < turn_ends {
                self.hear(turn_ends)?;
            }
        }
        if let Some(known) = self.known(batch).or_else(|| self.in_part(batch)) {
            return Ok(known);
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
        self.still_waits(batch, end)
    }

    /// JetStream does not take a record.
    fn complained(&mut self, batch: &Batch, position: Position, code: u64, reason: String) -> Delivery {
        let which = batch.positions().iter().position(|one| *one == position);
        match which {
            Some(which) if code == TOO_LONG => Delivery::Never { reason, which },
            _ => Delivery::Later {
                trouble: Trouble::Full,
                reason: format!("nats: the stream `{}` does not take alerts: {reason}", self.section.stream),
                after: Some(FULL_AGAIN),
            },
        }
    }

    /// The turn is over, and nothing is known.
    fn still_waits(&mut self, batch: &Batch, end: Instant) -> Result<Delivery, Delivery> {
        let (spool, now) = (batch.spool(), Instant::now());
        if self.handed.unacknowledged(spool, now) > ACKNOWLEDGED_MAX {
            let reason = self.lost("does not acknowledge: the stream may have no leader");
            return Err(later(Trouble::Other, reason));
        }
        let (since, is_committed) = (self.handed.stands_still(spool, now), self.is_committed(batch));
        if since > if is_committed { SIGNED_MAX } else { COMMITTED_MAX } * self.longer {
            self.longer = (self.longer * 2).min(LONGER_MAX);
            if is_committed {
                // Whoever enters this finds that nobody has signed for it.
                return Ok(Delivery::Delivered { committed: Some(batch.through()) });
            }
            let in_part = self.in_part(batch);
            self.handed.forget(spool);
            let reason = format!("nats: the ingest has committed nothing for {} s", since.as_secs());
            return in_part.ok_or_else(|| later(Trouble::Slow, reason));
        }
        if self.handed.asked_since(spool, now).is_none_or(|since| since > ASK_EVERY) {
            self.ask(spool, end)?;
        }
        Ok(Delivery::Taken)
    }
}

impl Sink for Nats {
    fn deliver(&mut self, batch: &Batch, patience: Duration) -> Delivery {
        self.receipt = None;
        self.attempt(batch, Instant::now() + patience).unwrap_or_else(|answer| answer)
    }

    fn poll(&mut self, batch: &Batch, patience: Duration) -> Option<Delivery> {
        // What was handed over on a connection that is gone may be lost.
        self.connection.as_ref()?;
        self.receipt = None;
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

    fn gives_receipts(&self) -> bool {
        true
    }

    fn receipt(&mut self) -> Option<Receipt> {
        self.receipt.take()
    }

    fn beat(&mut self, heartbeat: &Heartbeat, patience: Duration) -> Result<(), String> {
        let end = Instant::now() + patience;
        let subject = format!("heartbeat.{}", self.site);
        self.connect(end).map_err(|(_, reason)| reason)?;
        self.receipt = None;
        let reply = self.is_pinned.then(|| self.handed.live());
        let Some(connection) = &mut self.connection else { return Ok(()) };
        wire::publish(connection.out(), &subject, reply.as_deref(), &[], heartbeat.json());
        // What is not allowed is said before the answer to what was asked after it.
        connection.confirm(end).map_err(|why| self.lost(&why))?;
        let Some(reply) = reply else { return Ok(()) };
        while self.handed.is_waited_for(&reply) && Instant::now() < end {
            if let Err(Delivery::Later { reason, .. }) = self.hear(end) {
                return Err(reason);
            }
        }
        // What comes later is an answer to nothing.
        let _late = self.handed.answered(&reply);
        if self.receipt.is_some() { Ok(()) } else { Err("nats: no ingest signs for a sign of life".to_owned()) }
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
