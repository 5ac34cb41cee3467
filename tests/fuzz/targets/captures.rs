//! Capture files of any format, plain or packed: read to their end in any batches, and the whole path behind them with its books.

use std::sync::Arc;

use haetae::capture::file::Reader;
use haetae::flow::Settings;
use haetae::metrics::Laps;
use haetae::networks::Networks;
use haetae::worker::{Orders, Record, Worker};

use super::Allowed;
use super::conversations::ALL;

/// No byte of a plain capture is two frames, and none is kept twice. A packed one may unfold to any length: only what is
/// held at once is bounded, and that is the reader's chunk.
const FRAMES_PLAIN: Allowed = Allowed { per_byte: 1, at_least: 0 };

/// Frames that one input is read for: a packed capture may be long, and that is no fault.
const FRAMES_READ_MAX: u64 = 100_000;

/// What reading gave: for each frame number, time and length; and what was cut.
type Gave = (Vec<(u64, i64, usize, u32)>, Option<(u64, &'static str)>);

/// A capture file's bytes.
pub fn read(input: &[u8]) -> usize {
    let one = in_batches(input, 64);
    assert!(one == in_batches(input, 7), "what a capture says depends on the batches that it is read in");
    let Some((frames, cut)) = one else { return 0 };
    let is_packed = matches!(input.first(), Some(0x1F | 0x28 | 0x50..=0x5F));
    if !is_packed {
        FRAMES_PLAIN.hold("frames", frames.len(), input.len());
        let kept: usize = frames.iter().map(|frame| frame.2).sum();
        FRAMES_PLAIN.hold("bytes of frames", kept, input.len());
        FRAMES_PLAIN.hold("bytes kept and cut", kept + cut.map_or(0, |cut| cut.0 as usize), input.len());
    }
    assert!(frames.iter().zip(1..).all(|(frame, number)| frame.0 == number), "frames are numbered from 1");
    frames.len()
}

fn in_batches(input: &[u8], batch: usize) -> Option<Gave> {
    let mut reader = Reader::unpacking(input).ok()?;
    let mut frames = Vec::new();
    loop {
        let polled = reader.poll(batch).expect("memory does not fail");
        frames.extend(
            polled.frames().map(|frame| (frame.number, frame.time.as_nanos(), frame.bytes.len(), frame.length)),
        );
        if polled.is_empty() || reader.handed() > FRAMES_READ_MAX {
            break;
        }
    }
    frames.truncate(FRAMES_READ_MAX as usize);
    Some((frames, reader.cut().map(|cut| (cut.bytes, cut.reason))))
}

/// A capture file's bytes, through a worker: every frame has its fate, every event line is JSON.
pub fn followed(input: &[u8]) -> usize {
    let Ok(mut reader) = Reader::unpacking(input) else { return 0 };
    let (send, releases) = crossbeam_channel::unbounded();
    let mut worker = Worker::new(orders(), send, Laps::new(|| 0));
    loop {
        let frames = reader.poll(worker.budget(64)).expect("memory does not fail");
        if frames.is_empty() || frames.frame(0).number > FRAMES_READ_MAX {
            break;
        }
        worker.breathe(&frames);
        assert_eq!(worker.tally().unaccounted(), 0, "frames without a fate");
    }
    let tally = worker.finish();
    assert_eq!(tally.unaccounted(), 0, "frames without a fate");
    let mut ended = 0;
    for release in releases.iter() {
        for (_, record) in &release.records {
            if let Record::Event(line, _) = record {
                let line = &release.lines[line.clone()];
                let read = serde_json::from_slice::<serde_json::Value>(line);
                let event = read.unwrap_or_else(|error| panic!("{error}: {}", line.escape_ascii()));
                ended += u64::from(event["event_type"] == "flow");
            }
        }
    }
    assert_eq!(tally.flows.began, ended, "every flow that begins is said to have ended");
    ended as usize
}

fn orders() -> Orders {
    let settings = Settings { flows_max: 1 << 12, reassembly_bytes_max: 4 << 20, key: (1, 2), wants: ALL };
    Orders {
        waiting: Arc::default(),
        provoke: None,
        index: 0,
        workers: 1,
        live: false,
        settings,
        events: true,
        logged: Vec::new(),
        timeline: true,
        networks: Arc::new(Networks::default()),
        set: Arc::default(),
        desk: None,
    }
}
