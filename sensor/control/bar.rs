//! How far a replay is: one line on the terminal behind standard error, which is gone before anything else is said there.
//!
//! In: counters that the first worker, the feeder and the collector leave here, once a batch at most and without waiting.
//! Out: a line, drawn by a thread of its own. Never here: a byte on standard output; a number that outlives the replay.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::alert::language::{Texts, filled};
use crate::capture::pieces::Piece;
use crate::config::Replay;

/// How often it is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// What is over sooner needs no bar.
const SHOWN_AFTER: Duration = Duration::from_millis(300);

/// How far it is. Every counter has one writer, or is added to once a chunk of 256 KiB.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    /// Bytes of files that each worker reads by itself.
    own: AtomicU64,
    /// Bytes that are read once for all.
    pub(super) fed: Arc<AtomicU64>,
    packets: AtomicU64,
    alerts: AtomicU64,
}

/// One capture's share of a [`Gauge`], in the hands of one of the workers: all of them read every frame.
pub(super) struct Share<'a> {
    gauge: &'a Gauge,
    own: u64,
    packets: u64,
}

impl Gauge {
    /// Begins with another capture.
    pub(super) fn share(&self) -> Share<'_> {
        let [own, packets] = [&self.own, &self.packets].map(|counter| counter.load(Ordering::Relaxed));
        Share { gauge: self, own, packets }
    }

    /// An alert is in its last revision.
    pub(super) fn alerted(&self) {
        self.alerts.fetch_add(1, Ordering::Relaxed);
    }
}

impl Share<'_> {
    /// A batch is done: bytes of the capture's own files up to there, and its frames.
    pub(super) fn done(&mut self, own: u64, frames: usize) {
        self.packets += frames as u64;
        self.gauge.own.store(self.own + own, Ordering::Relaxed);
        self.gauge.packets.store(self.packets, Ordering::Relaxed);
    }
}

/// See the head of this file. It is gone when this is.
pub(super) struct Bar {
    pub(super) gauge: Arc<Gauge>,
    drawn: ProgressBar,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bar {
    /// Begins to show, if that was asked for. No bar is no reason not to read: a thread that cannot be had is none.
    pub(super) fn begin(replay: &Replay, captures: &[Vec<PathBuf>]) -> Option<Bar> {
        if !replay.progress {
            return None;
        }
        let lengths = captures.iter().flatten().map(|path| Piece::length(path).ok().flatten());
        let total = lengths.sum::<Option<u64>>();
        let drawn = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        drawn.set_style(style(total.is_some()));
        let (stop, stopped) = bounded::<()>(0);
        let (gauge, texts) = (Arc::<Gauge>::default(), Texts::of(replay.config.site.language.name()));
        let (seen, bar, begun) = (Arc::clone(&gauge), drawn.clone(), Instant::now());
        let draw = move || {
            if stopped.recv_timeout(SHOWN_AFTER) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            bar.set_draw_target(ProgressDrawTarget::stderr());
            loop {
                let progress = Progress::of(&seen, total, begun.elapsed());
                bar.set_position(progress.bytes);
                bar.set_message(progress.line(texts));
                bar.tick();
                if stopped.recv_timeout(DRAW_EVERY) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("progress".to_owned()).spawn(draw).ok()?;
        Some(Bar { gauge, drawn, stop: Some(stop), thread: Some(thread) })
    }

    /// A person's screen beside it, on the same terminal or elsewhere.
    pub(super) fn beside<'a>(bar: Option<&Bar>, out: &'a mut dyn Write) -> Beside<'a> {
        let drawn = bar.filter(|_| io::stdout().is_terminal()).map(|bar| bar.drawn.clone());
        Beside { drawn, line: Vec::new(), out }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        drop(self.stop.take());
        // one that died has drawn its last
        let _ended = self.thread.take().map(JoinHandle::join);
        self.drawn.finish_and_clear();
    }
}

fn style(has_end: bool) -> ProgressStyle {
    let (ended, endless) = ("[{bar:24}] {percent:>3}%  {wide_msg}", "{spinner} {wide_msg}");
    let style = ProgressStyle::with_template(if has_end { ended } else { endless });
    // the templates are ours, and sound
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ").tick_chars(r"|/-\ ")
}

/// What is said of a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Progress {
    /// No more than there are.
    bytes: u64,
    total: Option<u64>,
    packets: u64,
    alerts: u64,
    elapsed: Duration,
}

impl Progress {
    fn of(gauge: &Gauge, total: Option<u64>, elapsed: Duration) -> Progress {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // a file may grow while it is read
        let bytes = of(&gauge.own).saturating_add(of(&gauge.fed)).min(total.unwrap_or(u64::MAX));
        Progress { bytes, total, packets: of(&gauge.packets), alerts: of(&gauge.alerts), elapsed }
    }

    fn line(&self, texts: &Texts) -> String {
        let seconds = self.elapsed.as_secs_f64();
        let rate = if seconds > 0.0 { self.packets as f64 / seconds } else { 0.0 };
        let mut parts = vec![
            texts.count(self.packets, texts.packets),
            texts.count(rate as u64, texts.rate),
            texts.count(self.alerts, texts.alerts),
        ];
        if let Some(total) = self.total.filter(|_| self.bytes > 0) {
            let remaining = seconds * (total - self.bytes) as f64 / self.bytes as f64;
            parts.push(filled(texts.remaining, &[&clock(remaining.ceil() as u64)]));
        }
        parts.join(", ")
    }
}

/// `0:07`, `12:34`, `1:02:03`.
fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A person's screen that has the terminal to itself while a line goes out.
pub(super) struct Beside<'a> {
    /// What has to make room; `None`: nothing, all goes straight on.
    drawn: Option<ProgressBar>,
    line: Vec<u8>,
    out: &'a mut dyn Write,
}

impl Beside<'_> {
    fn put(&mut self, end: usize) -> io::Result<()> {
        let Some(drawn) = &self.drawn else { return Ok(()) };
        let (line, out) = (&self.line[..end], &mut *self.out);
        // what stays in a buffer would come out into the middle of the bar
        drawn.suspend(|| out.write_all(line).and_then(|()| out.flush()))?;
        self.line.drain(..end);
        Ok(())
    }
}

impl Write for Beside<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.drawn.is_none() {
            return self.out.write(bytes);
        }
        self.line.extend_from_slice(bytes);
        let end = self.line.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if end > 0 {
            self.put(end)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.put(self.line.len())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(bytes: u64, total: Option<u64>) -> Progress {
        let (packets, alerts) = (1_234_567, 1);
        Progress { bytes, total, packets, alerts, elapsed: Duration::from_secs(10) }
    }

    #[test]
    fn the_line_has_packets_rate_alerts_and_how_long_it_will_take() {
        let line = progress(1_000, Some(4_000)).line(Texts::of("en"));
        assert_eq!(line, "1 234 567 packets, 123 456/s, 1 alert, 0:30 left");
        let line = progress(1_000, Some(4_000)).line(Texts::of("ko"));
        assert_eq!(line, "패킷 1,234,567개, 초당 123,456개, 경보 1건, 0:30 남음");
        assert!(progress(1, Some(10_000)).line(Texts::of("en")).ends_with(", 27:46:30 left"));
    }

    #[test]
    fn an_end_that_nobody_knows_is_not_said() {
        for unknown in [progress(1_000, None), progress(0, Some(4_000))] {
            assert_eq!(unknown.line(Texts::of("en")), "1 234 567 packets, 123 456/s, 1 alert");
        }
    }

    #[test]
    fn captures_add_up_and_a_file_that_grew_is_no_more_than_whole() {
        let gauge = Gauge::default();
        let mut share = gauge.share();
        share.done(50, 2);
        share.done(100, 2);
        gauge.fed.fetch_add(30, Ordering::Relaxed);
        gauge.alerted();
        gauge.share().done(20, 1);
        let at = |total| Progress::of(&gauge, total, Duration::ZERO);
        assert_eq!((at(Some(200)).bytes, at(Some(120)).bytes), (150, 120));
        assert_eq!((at(None).packets, at(None).alerts), (5, 1));
    }

    #[test]
    fn a_screen_beside_a_bar_gets_every_byte_in_order() {
        let drawn = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::hidden());
        let mut out = Vec::new();
        let mut beside = Beside { drawn: Some(drawn), line: Vec::new(), out: &mut out };
        write!(beside, "one\ntwo").and_then(|()| write!(beside, "{}\n3", 2)).expect("room");
        beside.flush().expect("room");
        assert_eq!(out, b"one\ntwo2\n3");
    }
}
