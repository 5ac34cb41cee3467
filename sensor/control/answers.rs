//! What the control socket answers: how the sensor is, its whole account, what came of a reload or a replay, what the set in use knows of a
//! value.
//!
//! In: a line of JSON. Out: a line of JSON: `{"ok": ...}` or `{"error": "..."}`. Never here: an indicator that its source holds
//! for the recipients' eyes only (TLP:RED); of such there is a number for the whole set, and for a value only where the site
//! wants that: it confirms a guess.

use std::time::{Duration, Instant, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::{Awaited, Caller, Came};
use super::confined;
use super::look::Look;
use super::reloading::{Bell, Reloaded};
use super::replaying::{self, Replayed};
use super::shared::LinkState;
use crate::cli::{lookup, spool};
use crate::indicator::{Explained, Tlp};
use crate::limits::{CONTROL_ANSWER_BYTES_MAX, CONTROL_ENTRIES_MAX, CONTROL_REASON_BYTES_MAX, CONTROL_VALUE_BYTES_MAX};
use crate::metrics::{Askers, Sight, Tally, document};

/// What may be asked.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase", deny_unknown_fields)]
enum Question {
    /// How it is.
    Status {},
    /// All that was counted.
    Counters {},
    /// As SIGHUP, and what came of it.
    Reload {},
    /// What the set in use knows of a value.
    Lookup { value: String },
    /// To send again what the centre has committed and was raised since then, in milliseconds since 1970.
    Replay { since: u64 },
}

const NO_QUESTION: &str =
    "no question: a line like {\"ask\":\"status\"}; status, counters, reload, lookup with `value`, replay with `since`";

/// What is answered with.
pub(super) struct Answers<'a> {
    look: &'a Look<'a>,
    bell: Bell,
    /// `None`: there is no spool.
    replays: Option<replaying::Bell>,
    /// Whether a look-up says that something is withheld.
    tell_withheld: bool,
    /// Who asked; the socket fills in who went without an answer.
    pub(super) askers: Askers,
}

impl<'a> Answers<'a> {
    pub(super) fn new(
        look: &'a Look<'a>,
        (bell, replays): (Bell, Option<replaying::Bell>),
        tell_withheld: bool,
    ) -> Self {
        Answers { look, bell, replays, tell_withheld, askers: Askers::default() }
    }

    /// Answers a connection's next question, or what it waits for; whether there was one.
    pub(super) fn attend(&mut self, caller: &mut Caller, now: Instant) -> bool {
        if let Some(came) = caller.waited_for(now) {
            let told = match came {
                Came::Reload(reloaded) => told(reloaded),
                Came::Replay(replayed) => told_of_replay(replayed),
            };
            caller.tell(line(told), false, now);
            return true;
        }
        let Some(asked) = caller.question() else { return false };
        // what is no line has no end: there is nothing to go on with behind it
        let last = asked.is_err();
        let question = asked.ok().and_then(|asked| understood(&asked));
        let answer = match question {
            None => Err(NO_QUESTION.to_owned()),
            Some(Question::Status {}) => Ok(self.status()),
            Some(Question::Counters {}) => Ok(self.counters()),
            Some(Question::Lookup { value }) if value.len() > CONTROL_VALUE_BYTES_MAX => {
                Err(format!("a value of more than {CONTROL_VALUE_BYTES_MAX} bytes is in no set"))
            }
            Some(Question::Lookup { value }) => Ok(self.look_up(&value)),
            Some(question @ (Question::Reload {} | Question::Replay { .. })) => match self.begun(&question) {
                Ok(awaited) => {
                    self.askers.answered += 1;
                    caller.wait_for(awaited, now);
                    return true;
                }
                Err(why) => Err(why.to_owned()),
            },
        };
        let counter = if answer.is_ok() { &mut self.askers.answered } else { &mut self.askers.refused };
        *counter += 1;
        caller.tell(line(answer), last, now);
        true
    }

    /// What others are to do.
    fn begun(&self, question: &Question) -> Result<Awaited, &'static str> {
        let Question::Replay { since } = question else {
            return self.bell.ring().map(Awaited::Reload).ok_or("too many wait for a reload already");
        };
        let Some(replays) = &self.replays else { return Err("no centre is configured: there is no spool") };
        let since = UNIX_EPOCH.checked_add(Duration::from_millis(*since)).ok_or("no such time")?;
        replays.ring(since).map(Awaited::Replay).ok_or("too many wait for a replay already")
    }

    fn status(&self) -> Value {
        let sight = self.look.sight();
        let links = self.look.shared.links();
        let now = Instant::now();
        json!({
            "version": sight.version,
            "uptime_seconds": sight.uptime.as_secs(),
            "ready": sight.not_ready.is_empty(),
            "not_ready": sight.not_ready,
            "clock_suspect": sight.clock_suspect,
            "set": set(&sight),
            "links": self.look.interfaces.iter().zip(&links).map(|(name, state)| link(name, state, now)).collect::<Vec<_>>(),
            "workers": workers(&sight),
            "delivery": delivery(&sight),
            "sandbox": confined::confinement(self.look.sandbox),
            "broker": sight.broker,
        })
    }

    fn counters(&self) -> Value {
        let sight = self.look.sight();
        let mut sum = Tally::default();
        sight.tallies.iter().for_each(|tally| sum.append(tally));
        let links = self.look.shared.links();
        let now = Instant::now();
        let rings = sight
            .rings
            .iter()
            .map(|ring| json!({ "from": ring.from, "to": ring.to, "packets": ring.len, "room": ring.capacity }));
        let askers = |askers: &Askers| {
            json!({
                "answered": askers.answered,
                "refused": askers.refused,
                "displaced": askers.displaced,
                "timed_out": askers.timed_out,
            })
        };
        let mut account = document(&sum);
        let more = json!({
            "flows_open": sum.flows_open,
            "events_shed": sum.events_shed,
            "alerts_shed": sum.alerts_shed,
            "links": self.look.interfaces.iter().zip(&links).map(|(name, state)| link(name, state, now)).collect::<Vec<_>>(),
            "workers": workers(&sight),
            "rings": rings.collect::<Vec<_>>(),
            "outputs": {
                "alerts": sight.outputs.alerts,
                "events": sight.outputs.events,
                "eve_lost": sight.outputs.eve_lost,
            },
            "set": set(&sight),
            "delivery": delivery(&sight),
            "control": askers(&self.askers),
        });
        if let (Value::Object(account), Value::Object(more)) = (&mut account, more) {
            account.extend(more);
        }
        account
    }

    fn look_up(&self, value: &str) -> Value {
        let set = self.look.shared.set();
        let known = set.explain(value, Some(lookup::now()));
        let (shown, withheld) = shown(known);
        let more = shown.len().saturating_sub(CONTROL_ENTRIES_MAX);
        let mut answer = json!({
            "searched": set.len(),
            "set": super::number_of(set.version()),
            "listed": shown.iter().take(CONTROL_ENTRIES_MAX).map(lookup::record).collect::<Vec<_>>(),
            "more": more,
        });
        if self.tell_withheld {
            answer["withheld"] = withheld.into();
        }
        answer
    }
}

/// A question is an object; a list of what it holds, which the reader of JSON would take for one as well, is none.
fn understood(line: &[u8]) -> Option<Question> {
    line.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(line).ok())?
}

/// What may be shown of what is known, and of how many entries something may not: words under TLP:RED go, and an entry of
/// which nobody else speaks goes with them.
fn shown(mut known: Vec<Explained>) -> (Vec<Explained>, usize) {
    let mut withheld = 0;
    known.retain_mut(|entry| {
        let before = entry.words.len();
        entry.words.retain(|word| word.statement.tlp < Tlp::Red);
        withheld += usize::from(entry.words.len() < before);
        !entry.words.is_empty()
    });
    (known, withheld)
}

fn told(reloaded: Result<Reloaded, ()>) -> Result<Value, String> {
    match reloaded {
        Ok(Reloaded::Taken { indicators, refused, set }) => {
            Ok(json!({ "indicators": indicators, "refused": refused, "set": set }))
        }
        Ok(Reloaded::Refused(reason)) => Ok(json!({ "not_reloaded": bounded(reason, CONTROL_REASON_BYTES_MAX) })),
        Err(()) => Err("nobody says yet what came of the reload; the sensor's own log will".to_owned()),
    }
}

fn told_of_replay(replayed: Result<Replayed, ()>) -> Result<Value, String> {
    let nobody = "nobody says yet what came of the replay; the sensor's own log will";
    replayed.map_err(|()| nobody.to_owned())?.map(|rewound| spool::resent(&rewound))
}

fn bounded(mut text: String, bytes_max: usize) -> String {
    let end = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or_default());
    text
}

/// An answer as it goes out.
fn line(answer: Result<Value, String>) -> Vec<u8> {
    let value = match answer {
        Ok(value) => json!({ "ok": value }),
        Err(why) => json!({ "error": why }),
    };
    let mut line = value.to_string().into_bytes();
    if line.len() >= CONTROL_ANSWER_BYTES_MAX {
        line = json!({ "error": "the answer is too long" }).to_string().into_bytes();
    }
    line.push(b'\n');
    line
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}

fn set(sight: &Sight) -> Value {
    let held = sight.set.entries.iter().filter(|(_, count)| *count > 0);
    json!({
        "version": sight.set.version,
        "age_seconds": sight.set.age.as_secs(),
        "loaded": sight.set.loaded,
        "entries": sight.set.entries.iter().map(|(_, count)| count).sum::<u64>(),
        "tlp_red": sight.set.red,
        "by_kind": held.map(|(kind, count)| ((*kind).to_owned(), (*count).into())).collect::<serde_json::Map<_, _>>(),
        "refused": sight.set.refused,
        "reloads": sight.set.reloads_ok.saturating_sub(1),
        "reloads_refused": sight.set.reloads_failed,
    })
}

fn link(name: &str, state: &LinkState, now: Instant) -> Value {
    let counters = &state.counters;
    json!({
        "name": name,
        "backend": state.backend,
        "open": state.open,
        "last_frame_seconds": state.heard.map(|at| seconds(now.saturating_duration_since(at))),
        "offered": counters.offered,
        "received": counters.handed,
        "waiting": counters.waiting(),
        "kernel_drops": counters.kernel_drops(),
        "ring_full": counters.ring_full,
        "no_frame": counters.no_frame,
        "unclaimed": counters.unclaimed,
        "interface_drops": counters.interface,
        "shunted": counters.shunted,
        "shunted_bytes": counters.shunted_bytes,
        "reopened": counters.reopened,
    })
}

fn workers(sight: &Sight) -> Vec<Value> {
    let waiting = |at: usize| sight.rings.iter().filter(|ring| ring.to == at).map(|ring| ring.len).sum::<usize>();
    let worker = |(at, tally): (usize, &Tally)| {
        json!({
            "worker": at,
            "handed": tally.handed,
            "steered": tally.steered,
            "taken": tally.taken,
            "accounted": tally.fates.accounted(),
            "unaccounted": tally.unaccounted(),
            "flows_open": tally.flows_open,
            "waiting": waiting(at),
        })
    };
    sight.tallies.iter().enumerate().map(worker).collect()
}

/// `null` without a centre.
fn delivery(sight: &Sight) -> Value {
    let (Some(spool), Some(delivery)) = (&sight.spool, &sight.delivery) else { return Value::Null };
    json!({
        "waiting": spool.records,
        "waiting_bytes": spool.bytes,
        "oldest_seconds": seconds(spool.oldest_age),
        "appended": spool.appended,
        "full": spool.full,
        "delivered": delivery.delivered,
        "withheld": delivery.withheld,
        "dead": delivery.dead,
        "retries": delivery.retries,
        "last_commit": delivery.last_commit,
        "reachable": delivery.reachable,
        "reason": delivery.reason,
        "endpoint": delivery.endpoint,
        "certificate_until": delivery.own_until,
        "centre_certificate_until": delivery.centre_until,
        "clock_ahead_seconds": delivery.clock_ahead,
    })
}
