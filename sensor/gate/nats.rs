//! NATS JetStream's form: projected alerts in, one message each out, which says by itself which run of the spool it stands for,
//! as `deploy/nats.yaml` has it. A broker may lose a message, repeat it or bring it late: whoever gets some of them in any order
//! knows from them alone up to where nothing is missing, and whether it has all of a batch.

use serde::Serialize;

use super::form::{Envelope, Message};
use super::shape::Said;
use super::{Mode, Projected};
use crate::ledger::Head;
use crate::spool::Position;

/// A message for each record.
pub(super) fn messages(envelope: &Envelope<'_>, records: &[Projected]) -> Vec<Message> {
    #[derive(Serialize)]
    struct Whole {
        through: u64,
        messages: usize,
    }
    #[derive(Serialize)]
    struct Wire<'a> {
        site: &'a str,
        sensor: &'a str,
        mode: Mode,
        spool: String,
        settled: u64,
        after: u64,
        ledger: Head,
        batch: Whole,
        record: &'a Said,
    }
    let before = std::iter::once(envelope.after).chain(records.iter().map(Projected::position));
    let message = |(after, record): (Position, &Projected)| {
        let wire = Wire {
            site: envelope.sender.site(),
            sensor: envelope.sender.sensor(),
            mode: envelope.sender.mode(),
            spool: envelope.spool.to_string(),
            settled: envelope.after.0,
            after: after.0,
            ledger: envelope.ledger,
            batch: Whole { through: envelope.through.0, messages: records.len() },
            record: record.said(),
        };
        Message::of(envelope, record, serde_json::to_vec(&wire).unwrap_or_default())
    };
    before.zip(records).map(message).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::shape::Out;
    use super::super::{Mode, Sender};
    use super::*;
    use crate::spool::SpoolId;

    /// As the ingest keeps count: runs that it has, up to where there is no gap.
    fn watermark(said: &[(u64, u64, u64)]) -> u64 {
        let mut mark = 0;
        let mut moved = true;
        while std::mem::take(&mut moved) {
            for (settled, after, sequence) in said {
                let reached = if *after <= mark { *sequence } else { *settled };
                moved |= reached > mark;
                mark = mark.max(reached);
            }
        }
        mark
    }

    fn said(after: u64, positions: &[u64]) -> Vec<(u64, u64, u64)> {
        let sender = Sender::new("site-0017", "tap-a", Mode::Live).unwrap();
        let through = Position(positions.last().copied().unwrap_or(after) + 1);
        let envelope = Envelope {
            sender: &sender,
            ledger: crate::ledger::Head::NONE,
            spool: SpoolId([1; 8]),
            after: Position(after),
            through,
        };
        let record = |at: &u64| {
            let said = [("sequence", (*at).into()), ("id", format!("a{at}").into()), ("revision", 2_u64.into())];
            Projected { position: Position(*at), value: Said::Object(Out::from(said.to_vec())) }
        };
        let records: Vec<Projected> = positions.iter().map(record).collect();
        let number = |message: &Message, path: &str| {
            serde_json::from_slice::<Value>(message.bytes()).unwrap().pointer(path).unwrap().as_u64().unwrap()
        };
        let all = messages(&envelope, &records);
        assert!(all.iter().zip(positions).all(|(message, at)| message.id() == format!("site-0017.a{at}.2")));
        let whole = |one: &Message| (number(one, "/batch/through"), number(one, "/batch/messages"));
        assert!(all.iter().all(|one| whole(one) == (through.0, positions.len() as u64)));
        let run = |one: &Message| (number(one, "/settled"), number(one, "/after"), number(one, "/record/sequence"));
        all.iter().map(run).collect()
    }

    #[test]
    fn every_message_says_which_run_it_stands_for() {
        assert_eq!(said(41, &[43, 44, 47]), [(41, 41, 43), (41, 43, 44), (41, 44, 47)]);
        assert_eq!(said(41, &[]), []);
    }

    #[test]
    fn whoever_misses_one_knows_up_to_where_nothing_is_missing() {
        let all = said(0, &[2, 3, 7, 8]);
        assert_eq!(watermark(&all), 8);
        let without = |missing: usize| {
            let mut some = all.clone();
            some.remove(missing);
            some.reverse();
            watermark(&some)
        };
        assert_eq!([0, 1, 2, 3].map(without), [0, 2, 3, 7]);
    }

    #[test]
    fn a_run_that_was_withheld_wholly_leaves_no_gap() {
        // 1 and 2 went; 3 to 9 were withheld, and the site settled them by itself; then 10 goes.
        let all = [said(0, &[1, 2]), said(9, &[10])].concat();
        assert_eq!(watermark(&all), 10);
        // What the sensor has settled without this centre, or with one that has forgotten it, is no gap either.
        assert_eq!(watermark(&said(5_000, &[5_001])), 5_001);
    }
}
