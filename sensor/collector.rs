//! One order: what all workers say of an epoch goes out together, sorted by where it happened.
//!
//! In: one release of each worker for each epoch. Out: event lines, local records of alerts, and the spool, the same bytes
//! at any number of workers and any size of batch. Repeats of a contact go to the spool as updates ([`Merge`]); everything else has every
//! alert. Never here: a packet, a clock.

mod progress;

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::alert::Alert;
use crate::alert::record::Desk;
use crate::alert::screen::Shown;
use crate::alert::shed::Shed;
use crate::limits::{SPOOL_SYNC_RECORDS, SPOOL_SYNCS_AT_END_MAX, SPOOL_WAKE_TIME};
use crate::merge::{Counts, Merge};
use crate::spool::{Lane, Spool, Summary};
use crate::time::{Span, Timestamp};
use crate::worker::{Place, Record, Release};

pub use progress::Progress;

/// Where records go. A replay's alerts are written once, in their last revision; the spool gets every revision at once.
#[derive(Default)]
pub struct Outputs<'a> {
    /// Alerts only.
    pub alerts: Option<&'a mut dyn Write>,
    /// Events only.
    pub events: Option<&'a mut dyn Write>,
    /// Both, in one order.
    pub all: Option<&'a mut dyn Write>,
    /// The site's log: both, in one order, as far as it lists their types.
    pub log: Option<Log<'a>>,
    /// Two lines for an alert and those like it, for a person.
    pub screen: Option<Screen<'a>>,
    /// Whoever wants to see each alert in its last revision, with the desk that wrote it.
    pub each: Option<Each<'a>>,
    /// What the centre will get, and within what time repeats of a contact are merged for it.
    pub spool: Option<(&'a mut Spool, Span)>,
}

impl Outputs<'_> {
    /// Whether anybody at the site reads records of alerts.
    fn write_alerts(&self) -> bool {
        self.alerts.is_some() || self.all.is_some() || self.log.as_ref().is_some_and(|log| log.alerts)
    }
}

/// Called with an alert.
pub type Each<'a> = &'a mut dyn FnMut(&Alert, &Desk);

/// A log that does not have everything.
pub struct Log<'a> {
    /// Where it goes.
    pub writer: &'a mut dyn Write,
    /// Whether it lists alerts. Of events the workers know.
    pub alerts: bool,
}

/// A person's screen.
pub struct Screen<'a> {
    /// Where it goes.
    pub out: &'a mut dyn Write,
    /// What was on it before.
    pub shown: &'a mut Shown,
}

/// What the collector put out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Alerts, once each.
    pub alerts: u64,
    /// Event lines.
    pub events: u64,
    /// Records that the spool took.
    pub spooled: u64,
    /// What became of alerts on their way to the spool; nothing where there is none.
    pub merged: Counts,
}

/// See the head of this file.
pub struct Collector<'a> {
    desk: &'a Desk,
    outputs: Outputs<'a>,
    collected: Collected,
    merge: Merge,
    /// Where the latest records were written, if not at `desk`.
    latest: Option<Arc<Desk>>,
    updates: Vec<Alert>,
    unsynced: usize,
    /// A summary of what was given up is appended, and not durable yet.
    telling: bool,
    /// On a link nobody is waited for, and every revision of an alert is written down at once.
    live: Option<&'a Progress>,
}

impl<'a> Collector<'a> {
    /// A collector before its first epoch.
    pub fn new(desk: &'a Desk, outputs: Outputs<'a>) -> Self {
        let merge = Merge::new(outputs.spool.as_ref().map_or(Span::ZERO, |(_, window)| *window));
        Collector {
            desk,
            outputs,
            collected: Collected::default(),
            merge,
            latest: None,
            updates: Vec::new(),
            unsynced: 0,
            telling: false,
            live: None,
        }
    }

    /// Takes one release after the other from each worker until all are gone. Each has a channel of its own, so that none
    /// runs further ahead of the slowest than its channel holds; one that ended early holds nobody up.
    ///
    /// # Errors
    /// What a file or the spool says. Workers then find nobody to hand over to, and end.
    pub fn run(mut self, workers: &[Receiver<Release>]) -> io::Result<Collected> {
        loop {
            let epoch: Vec<Release> = workers.iter().filter_map(|worker| worker.recv().ok()).collect();
            if epoch.is_empty() {
                break;
            }
            self.put_out(&epoch)?;
            epoch.into_iter().for_each(Release::spent);
        }
        self.merge_ends()?;
        self.sync()?;
        let Outputs { alerts, events, all, log, screen, .. } = &mut self.outputs;
        let (log, screen) =
            (log.iter_mut().map(|log| &mut log.writer), screen.iter_mut().map(|screen| &mut screen.out));
        for output in alerts.iter_mut().chain(events).chain(all).chain(log).chain(screen) {
            output.flush()?;
        }
        Ok(self.collected)
    }

    /// Takes what workers say as it comes, each release in its own order, until all are gone or one is the last. What the spool does not take
    /// is counted and stays in the log.
    ///
    /// # Errors
    /// What the outputs say; a log that counts what it loses says nothing.
    pub fn run_live(mut self, releases: &Receiver<Release>, progress: &'a Progress) -> io::Result<Collected> {
        self.live = Some(progress);
        loop {
            let release = match releases.recv_timeout(SPOOL_WAKE_TIME) {
                Ok(release) => release,
                Err(RecvTimeoutError::Timeout) => {
                    self.look_after_spool(true)?;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.put_out(std::slice::from_ref(&release))?;
            let (is_last, nothing_waits) = (release.last, releases.is_empty());
            release.spent();
            self.look_after_spool(nothing_waits)?;
            progress.show(&self.collected);
            if is_last {
                break;
            }
            if nothing_waits {
                self.outputs.log.as_mut().map_or(Ok(()), |log| log.writer.flush())?;
            }
        }
        self.merge_ends()?;
        self.sync_at_end(progress)?;
        progress.show(&self.collected);
        self.outputs.log.as_mut().map_or(Ok(()), |log| log.writer.flush())?;
        Ok(self.collected)
    }

    /// What was appended is synced when it has waited long enough, or when nothing else is to be done: while a slow disk was at it,
    /// more came, and all of that shares the next sync. And what the spool gave up is told.
    fn look_after_spool(&mut self, nothing_waits: bool) -> io::Result<()> {
        let Some((spool, _)) = &mut self.outputs.spool else { return Ok(()) };
        if spool.is_due() || nothing_waits && spool.is_unsynced() {
            self.sync()?;
        }
        self.tell_of_shed()
    }

    /// The summary of what was given up is an alert like others: it is told once it is durable, and else the same is said again.
    fn tell_of_shed(&mut self) -> io::Result<()> {
        let Some((spool, _)) = self.outputs.spool.as_mut().filter(|_| !self.telling) else { return Ok(()) };
        let Some(summary) = spool.summary() else { return Ok(()) };
        let record = shed_record(self.desk, &summary);
        if spool.append(Lane::Critical, &record).is_err() {
            return Ok(());
        }
        self.telling = true;
        self.collected.spooled += 1;
        let [critical, normal, low] = summary.shed.records;
        tracing::error!(
            critical,
            normal,
            low,
            "the spool has no room: these alerts are given up, and the centre is told so"
        );
        self.sync()?;
        self.outputs.log.as_mut().filter(|log| log.alerts).map_or(Ok(()), |log| log.writer.write_all(&record))
    }

    fn put_out(&mut self, releases: &[Release]) -> io::Result<()> {
        let mut order: Vec<Placed<'_>> = releases
            .iter()
            .flat_map(|release| release.records.iter().map(move |(place, record)| (place, release, record)))
            .collect();
        // stable: records of one place come from one worker, in order
        order.sort_by_key(|(place, ..)| **place);
        for run in order.chunk_by(side_by_side) {
            match run[0] {
                (_, release, Record::Event(first, logged)) => {
                    self.collected.events += run.len() as u64;
                    let end = match run.last() {
                        Some((.., Record::Event(last, _))) => last.end,
                        _ => first.end,
                    };
                    self.events(&release.lines[first.start..end], *logged)?;
                }
                (_, release, Record::Alert(at)) => self.alert(&release.alerts[*at as usize], release)?,
            }
        }
        self.time_passes(releases)?;
        // on a link the next may share the sync
        if self.unsynced > 0 && self.live.is_none() {
            self.sync()?;
        }
        Ok(())
    }

    fn events(&mut self, lines: &[u8], logged: bool) -> io::Result<()> {
        for output in self.outputs.events.iter_mut().chain(&mut self.outputs.all) {
            output.write_all(lines)?;
        }
        let log = self.outputs.log.as_mut().filter(|_| logged);
        log.map_or(Ok(()), |log| log.writer.write_all(lines))
    }

    /// Updates that are due go. In a replay an epoch ends for all workers at the same frame, so they go at the same place whoever had it.
    fn time_passes(&mut self, releases: &[Release]) -> io::Result<()> {
        if self.outputs.spool.is_none() {
            return Ok(());
        }
        self.latest = releases.iter().rev().find_map(|release| release.desk.clone()).or(self.latest.take());
        let reached = releases.iter().map(|release| release.reached).max().unwrap_or_default();
        if reached != Timestamp::default() {
            let mut updates = mem::take(&mut self.updates);
            self.merge.due(reached, &mut updates);
            self.tell_of_repeats(updates, None)?;
        }
        self.collected.merged = self.merge.counts();
        Ok(())
    }

    /// Nothing comes any more: what waits for an update goes.
    fn merge_ends(&mut self) -> io::Result<()> {
        let mut updates = mem::take(&mut self.updates);
        self.merge.end(&mut updates);
        self.tell_of_repeats(updates, None)?;
        self.collected.merged = self.merge.counts();
        Ok(())
    }

    /// Updates are records of the spool alone: whoever else listens has had the alerts.
    fn tell_of_repeats(&mut self, mut updates: Vec<Alert>, desk: Option<&Desk>) -> io::Result<()> {
        let latest = self.latest.clone();
        let desk = desk.or(latest.as_deref()).unwrap_or(self.desk);
        for update in updates.drain(..) {
            self.spool(lane(desk.severity(&update)), &desk.record(&update))?;
        }
        self.updates = updates;
        Ok(())
    }

    /// Whether an alert goes to the spool itself; updates go before it.
    fn is_spooled(&mut self, alert: &Alert, desk: &Desk) -> io::Result<bool> {
        if self.outputs.spool.is_none() {
            return Ok(false);
        }
        let mut updates = mem::take(&mut self.updates);
        let goes = self.merge.take(alert, desk, &mut updates);
        self.tell_of_repeats(updates, Some(desk)).map(|()| goes)
    }

    fn alert(&mut self, alert: &Alert, release: &Release) -> io::Result<()> {
        let desk = release.desk.as_deref().unwrap_or(self.desk);
        let (spooled, is_told) = (self.is_spooled(alert, desk)?, alert.is_final() || self.live.is_some());
        // a repeat that nobody reads here is not written at all
        let record = if spooled || is_told && self.outputs.write_alerts() { desk.record(alert) } else { Vec::new() };
        if spooled {
            self.spool(lane(desk.severity(alert)), &record)?;
        }
        self.collected.alerts += u64::from(if self.live.is_some() { alert.revision == 1 } else { alert.is_final() });
        if !is_told {
            return Ok(());
        }
        for output in self.outputs.alerts.iter_mut().chain(&mut self.outputs.all) {
            output.write_all(&record)?;
        }
        if let Some(log) = self.outputs.log.as_mut().filter(|log| log.alerts) {
            log.writer.write_all(&record)?;
        }
        if let Some(each) = &mut self.outputs.each {
            each(alert, self.desk);
        }
        if let Some(screen) = &mut self.outputs.screen {
            screen.shown.show(alert, self.desk, screen.out)?;
        }
        Ok(())
    }

    fn spool(&mut self, lane: Lane, record: &[u8]) -> io::Result<()> {
        let Some((spool, _)) = &mut self.outputs.spool else { return Ok(()) };
        match (spool.append(lane, record), self.live) {
            (Ok(_), _) => {
                self.collected.spooled += 1;
                self.unsynced += 1;
                if self.unsynced >= SPOOL_SYNC_RECORDS && spool.is_due() {
                    self.sync()?;
                }
            }
            (Err(_), Some(progress)) => {
                progress.not_spooled.fetch_add(1, Ordering::AcqRel);
                progress.failing.store(true, Ordering::Release);
            }
            // a full spool in a replay is an error that the operator sees, not an alert that vanishes
            (Err(error), None) => return Err(io::Error::other(error)),
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.unsynced = 0;
        let synced = self.outputs.spool.as_mut().map_or(Ok(()), |(spool, _)| spool.sync());
        if synced.is_ok() && mem::take(&mut self.telling) {
            self.outputs.spool.iter_mut().for_each(|(spool, _)| spool.told());
        }
        match (synced, self.live) {
            // what was not synced waits in the spool's memory and is written with the next
            (synced, Some(progress)) => {
                progress.failing.store(synced.is_err(), Ordering::Release);
                Ok(())
            }
            (synced, None) => synced,
        }
    }

    /// Nothing comes any more: a disk that refuses is asked again a few times, and what it has not then was not taken.
    fn sync_at_end(&mut self, progress: &Progress) -> io::Result<()> {
        let mut waiting = 0;
        for _ in 0..SPOOL_SYNCS_AT_END_MAX {
            self.sync()?;
            waiting = self.outputs.spool.as_ref().map_or(0, |(spool, _)| spool.unsynced());
            if waiting == 0 {
                break;
            }
        }
        self.collected.spooled = self.collected.spooled.saturating_sub(waiting);
        progress.not_spooled.fetch_add(waiting, Ordering::AcqRel);
        Ok(())
    }
}

/// How urgent an alert of that severity is, as EVE counts it.
fn lane(severity: u8) -> Lane {
    match severity {
        1 => Lane::Critical,
        2 => Lane::Normal,
        _ => Lane::Low,
    }
}

fn shed_record(desk: &Desk, summary: &Summary) -> Vec<u8> {
    let at = |milliseconds: u64| Timestamp::from_nanos((milliseconds as i64).saturating_mul(1_000_000));
    let name = format!("{} {}", summary.spool, summary.number);
    let Summary { time, shed, .. } = summary;
    let (time, first, last) = (at(*time), at(shed.first), at(shed.last));
    desk.shed(&Shed { name: name.as_bytes(), time, records: shed.records, bytes: shed.bytes, first, last })
}

/// A record as it is put in order.
type Placed<'a> = (&'a Place, &'a Release, &'a Record);

/// Whether two records are lines of one worker that lie side by side and go the same ways: then they are one piece.
fn side_by_side(one: &Placed<'_>, next: &Placed<'_>) -> bool {
    let ((_, release, Record::Event(line, logged)), (_, other, Record::Event(next, also))) = (one, next) else {
        return false;
    };
    std::ptr::eq(*release, *other) && line.end == next.start && logged == also
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;
    use crate::alert::record::Site;

    fn release(epoch: u64, said: &[(u8, u64, &str)]) -> Release {
        let mut release = Release { epoch, ..Release::default() };
        for &(phase, packet, text) in said {
            let start = release.lines.len();
            release.lines.extend_from_slice(text.as_bytes());
            let record = Record::Event(start..release.lines.len(), false);
            release.records.push((Place { phase, packet }, record));
        }
        release
    }

    /// What is written, piece by piece.
    #[derive(Default)]
    struct Pieces(Vec<String>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What comes out when each of the workers says its releases.
    fn put_out(workers: Vec<Vec<Release>>) -> (String, u64) {
        let mut receivers = Vec::new();
        for releases in workers {
            let (send, receive) = bounded(8);
            releases.into_iter().for_each(|release| send.send(release).expect("room"));
            receivers.push(receive);
        }
        let (desk, mut out) = (Desk::new(Site::default()), Vec::new());
        let outputs = Outputs { events: Some(&mut out), ..Outputs::default() };
        let collected = Collector::new(&desk, outputs).run(&receivers).expect("memory takes all");
        (String::from_utf8(out).expect("text"), collected.events)
    }

    #[test]
    fn what_several_workers_say_comes_out_in_the_order_of_the_capture() {
        let one = vec![release(0, &[(0, 1, "a"), (0, 5, "d"), (0, 5, "e"), (1, 1, "g")]), release(1, &[(0, 7, "i")])];
        let other = vec![release(0, &[(0, 2, "b"), (0, 4, "c"), (1, 0, "f")]), release(1, &[(0, 6, "h"), (1, 2, "j")])];
        assert_eq!(put_out(vec![one, other]), ("abcdefghij".into(), 10));
    }

    /// Lines that lie side by side in one worker's release, but not in the order of all, and a log that lists only some.
    #[test]
    fn lines_go_out_in_one_piece_only_as_far_as_one_order_and_one_reader_allow() {
        let mut one = release(0, &[(0, 1, "a"), (0, 1, "b"), (0, 3, "d"), (0, 4, "e"), (0, 5, "f")]);
        let Record::Event(_, logged) = &mut one.records[3].1 else { panic!("an event") };
        *logged = true;
        let other = release(0, &[(0, 2, "c")]);
        let (desk, mut all, mut some) = (Desk::new(Site::default()), Pieces::default(), Pieces::default());
        let log = Some(Log { writer: &mut some, alerts: false });
        let outputs = Outputs { all: Some(&mut all), log, ..Outputs::default() };
        let receivers = [one, other].map(|said| {
            let (send, receive) = bounded(1);
            send.send(said).expect("room");
            receive
        });
        let collected = Collector::new(&desk, outputs).run(&receivers).expect("memory takes all");
        assert_eq!((all.0.join(" "), some.0.join(" "), collected.events), ("ab c d e f".into(), "e".into(), 6));
    }

    #[test]
    fn severity_chooses_the_lane() {
        assert_eq!([1, 2, 3, 4].map(lane), [Lane::Critical, Lane::Normal, Lane::Low, Lane::Low]);
    }

    #[test]
    fn on_a_link_nobody_is_waited_for_after_the_last_release() {
        let (send, receive) = bounded(8);
        let (desk, progress, mut said) = (Desk::new(Site::default()), Progress::default(), Vec::new());
        let mut first = release(0, &[(0, 1, "a")]);
        first.log_all();
        send.send(first).expect("room");
        send.send(Release { last: true, ..Release::default() }).expect("room");
        let log = Some(Log { writer: &mut said, alerts: false });
        let outputs = Outputs { log, ..Outputs::default() };
        let collected = Collector::new(&desk, outputs).run_live(&receive, &progress).expect("memory takes all");
        drop(send); // a worker that could still say something
        assert_eq!((said, collected.events), (b"a".to_vec(), 1));
    }

    #[test]
    fn what_one_worker_says_after_another_has_ended_goes_out_in_order() {
        let long = vec![release(0, &[(0, 2, "b")]), release(1, &[(0, 9, "c")]), release(2, &[(0, 10, "d")])];
        let short = vec![release(0, &[(0, 1, "a")])];
        assert_eq!(put_out(vec![long, short]), ("abcd".into(), 4));
    }
}
