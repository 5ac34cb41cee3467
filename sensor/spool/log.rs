//! A lane's writer: records in; durable, each flush behind the one before, in files that only grow or were filled with zeroes
//! before. It never writes into a file that had records when it was opened, and after a failed flush writes everything since the
//! last good one again, into a new file: what the kernel kept of the old one is not to be trusted.
//!
//! Never here: what is given up for want of room.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cursor::Cursor;
use super::recover;
use super::recovery::Recovery;
use super::segment::{FRAME_BYTES, Flush, HEADER_BYTES, Header, Layout, Written};
use super::shared::{Key, Room, Segment, Shared, State, milliseconds};
use super::{CURSOR, Growing, Options, Position, Range, SpoolId, Storage, new_id, storage};

/// See the head of this file.
pub(super) struct Log {
    pub(super) shared: Arc<Shared>,
    storage: Arc<dyn Storage>,
    options: Options,
    id: SpoolId,
    active: Option<Active>,
    /// Segments that are not written any more and have not been cut yet.
    unsealed: Vec<Unsealed>,
    /// Frames since the last good flush.
    pending: Vec<u8>,
    /// Sequence of the first of them.
    pending_first: u64,
    /// When it was appended.
    pending_time: u64,
    next: u64,
    /// The checksum of the last record.
    link: u32,
    /// The one before the first that is pending.
    pending_link: u32,
    /// What was found of the last flush before this one has a gap, and no flush was done since.
    doubt: bool,
    /// The first sequence of what waits, if it is a flush that was found with a gap.
    gap: Option<u64>,
    /// Files that a start has found, with how much of each is in a segment.
    tails: Vec<(PathBuf, u64)>,
    /// It ends as it is.
    left: bool,
    pub(super) recovery: Recovery,
}

struct Active {
    key: Key,
    file: Box<dyn Growing>,
    path: PathBuf,
    /// Written and durable.
    bytes: u64,
    /// How long the file was made before; 0: it grows.
    prepared: u64,
    /// When its first record was appended.
    oldest: u64,
    /// Still to be written before all else.
    header: Option<[u8; HEADER_BYTES]>,
}

/// A file that is longer than what is in it.
struct Unsealed {
    key: Key,
    path: PathBuf,
    bytes: u64,
}

impl Active {
    fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        match self.header.take() {
            // one write, so that one flush is one thing for the disk as well
            Some(header) => self.file.append(&[&header[..], frames].concat())?,
            None => self.file.append(frames)?,
        }
        self.file.sync()
    }

    fn is_published(&self) -> bool {
        self.bytes > HEADER_BYTES as u64
    }
}

impl Log {
    /// Opens the lane in `directory`, which is there, and recovers what is in it. `shed` is what was given up of it.
    pub(super) fn open(
        storage: Arc<dyn Storage>,
        directory: &Path,
        (options, room): (Options, &Arc<Room>),
        shed: &[Range],
    ) -> io::Result<Log> {
        let found = recover::recover(storage.as_ref(), directory, shed)?;
        let cursor = found.cursor.map_or_else(|| new_id().map(|spool| Cursor::new(spool, 0)), Ok)?;
        let (last, durable) = (found.last, found.durable.max(found.watermark));
        let mut state = State {
            spool: cursor.spool,
            watermark: found.watermark,
            written: cursor.watermark,
            sealed: cursor.sealed,
            doubted: found.doubted,
            generation: cursor.generation,
            place: found.place,
            last: durable,
            segments: found.segments,
            active: None,
            is_found_pending: false,
            spares: found.spares,
            marks: found.marks,
            shed: shed.to_vec(),
            lent: 0,
            rewinds: 0,
            rewound: 0,
            others: Vec::new(),
            settled: 0,
        };
        state.settle(found.watermark);
        room.spare.fetch_add(state.spares.len() as u64 * options.segment_bytes_max, Ordering::AcqRel);
        let link = found.link.unwrap_or(Layout::of(cursor.spool).beginning());
        let mut log = Log {
            shared: Arc::new(Shared::new(directory, Arc::clone(room), options.window, state)),
            storage,
            options,
            id: cursor.spool,
            active: None,
            unsealed: Vec::new(),
            pending: Vec::new(),
            pending_first: last + 1,
            pending_time: 0,
            next: last + 1,
            link,
            pending_link: link,
            doubt: found.doubted > 0,
            gap: None,
            tails: found.tails,
            left: false,
            recovery: found.report,
        };
        log.hold_cursor(cursor);
        log.write_again(&found.again, found.doubted);
        log.cut_tails();
        Ok(log)
    }

    /// What a killed process wrote can be read, and may not be on the disk: the next is written over the other one. Where the disk does not
    /// say that it has it, either of the two may be lost: another file has it then.
    fn hold_cursor(&self, cursor: Cursor) {
        let (place, path) = (self.shared.state().place, self.shared.directory.join(CURSOR));
        if place.is_none_or(|_| self.storage.overwrite(&path, 0, &[]).is_ok()) {
            return;
        }
        let (file, next) = cursor.file();
        if storage::replace(self.storage.as_ref(), &path, &file).is_ok() {
            self.shared.state().place = Some(next);
        }
    }

    /// What nobody may have been promised is made durable as if it had just come; the doubt about it stays.
    fn write_again(&mut self, again: &[recover::Again], doubted: u64) {
        let Some(first) = again.first() else { return };
        (self.pending_first, self.pending_time) = (first.written.flush.first, first.written.time);
        (self.pending_link, self.link) = (first.written.link, first.written.link);
        for recover::Again { written, payload } in again {
            // over a gap the link leads to what is missing; else to the record before as it is written now
            let follows = self.next == written.sequence;
            let link = if follows { self.link } else { written.link };
            self.link = Layout::of(self.id).write_frame(&mut self.pending, Written { link, ..*written }, payload);
            self.next = written.sequence + 1;
        }
        self.gap = Some(doubted).filter(|doubted| *doubted > 0);
        self.shared.state().is_found_pending = true;
        // a disk that refuses is asked again with the next
        let _ = self.sync();
    }

    /// Takes away what is in no segment, once all of it is elsewhere and the cursor says so. A disk that has no room for that does not
    /// keep what is there from being delivered: it is tried again then.
    fn cut_tails(&mut self) {
        if self.pending.is_empty() && self.write_down().is_ok() {
            std::mem::take(&mut self.tails).iter().for_each(|(path, bytes)| self.cut(path, *bytes));
        }
    }

    /// Cuts a file, or takes it away if nothing of it stays.
    fn cut(&self, path: &Path, bytes: u64) {
        if bytes == 0 {
            let _ = self.storage.remove(path);
        } else {
            let _ = self.storage.cut(path, bytes);
        }
    }

    /// Which spool the lane is.
    pub(super) fn id(&self) -> SpoolId {
        self.id
    }

    /// Bytes that wait for the disk.
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// Records that do.
    pub(super) fn pending_records(&self) -> u64 {
        self.next - self.pending_first
    }

    /// Bytes of the disk that a record takes.
    pub(super) fn bytes_of(payload: &[u8]) -> usize {
        FRAME_BYTES + payload.len()
    }

    /// Takes a record that fits.
    pub(super) fn append(&mut self, payload: &[u8]) -> Position {
        let (sequence, time) = (self.next, milliseconds(self.storage.now()));
        if self.pending.is_empty() {
            self.pending_time = time;
        }
        let flush = Flush { first: self.pending_first, behind_doubt: self.doubt };
        let written = Written { sequence, flush, time, link: self.link };
        self.link = Layout::of(self.id).write_frame(&mut self.pending, written, payload);
        self.next += 1;
        Position(sequence)
    }

    /// Makes everything appended durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        // From here to success there is no active segment: an error gives it up, and its file is never written again.
        let mut active = self.segment_for_pending()?;
        if let Err(error) = active.write(&self.pending) {
            self.abandon(active);
            return Err(error);
        }
        active.bytes += self.pending.len() as u64;
        self.publish(&active);
        self.active = Some(active);
        // only now: a segment that is shorter than it was made is one that has another behind it
        self.seal();
        self.pending.clear();
        (self.pending_first, self.pending_link, self.doubt) = (self.next, self.link, self.gap.take().is_some());
        if !self.tails.is_empty() {
            self.cut_tails();
        }
        Ok(())
    }

    /// The segment being written if the pending records fit, else a new one.
    fn segment_for_pending(&mut self) -> io::Result<Active> {
        let wanted = self.pending.len() as u64;
        if let Some(active) = self.active.take_if(|active| active.bytes + wanted <= self.options.segment_bytes_max) {
            return Ok(active);
        }
        self.close_segment();
        self.new_segment(HEADER_BYTES as u64 + wanted)
    }

    fn new_segment(&self, wanted: u64) -> io::Result<Active> {
        let (key, path) = self.free_key();
        let made = self.options.segment_bytes_max;
        let spare = (wanted <= made).then(|| self.shared.state().spares.pop_front()).flatten();
        let (file, prepared) = match spare {
            Some(spare) => {
                self.shared.room.spare.fetch_sub(made, Ordering::AcqRel);
                self.storage.rename(&spare, &path)?;
                self.storage.sync_directory(&self.shared.directory)?;
                (self.storage.refill(&path)?, made)
            }
            None => (storage::create_named(self.storage.as_ref(), &path)?, 0),
        };
        let oldest = self.pending_time;
        let header = Header {
            spool: self.id,
            first: key.first,
            attempt: Some(key.attempt),
            prepared: u32::try_from(prepared).unwrap_or(0),
            time: oldest,
            link: Some(self.pending_link),
        };
        let header = Some(header.encode());
        Ok(Active { key, file, path, bytes: HEADER_BYTES as u64, prepared, oldest, header })
    }

    /// The first name that no file has.
    fn free_key(&self) -> (Key, PathBuf) {
        let taken = |key: &Key| {
            let path = self.shared.directory.join(key.name());
            let there = self.storage.read(&path, 0, 1);
            !matches!(there, Err(error) if error.kind() == io::ErrorKind::NotFound)
        };
        let keys = (0..u32::MAX).map(|attempt| Key { first: self.pending_first, attempt });
        let key = keys.take(ATTEMPTS_MAX).find(|key| !taken(key));
        let key = key.unwrap_or(Key { first: self.pending_first, attempt: u32::MAX });
        (key, self.shared.directory.join(key.name()))
    }

    /// A flush failed. Where nobody was promised anything of the file it goes, or a full disk would stay full of such; else what it
    /// left behind the last record goes. A file that was prepared keeps it until another is behind it: so long its length says that it
    /// was not cut.
    fn abandon(&mut self, active: Active) {
        if active.is_published() {
            if active.prepared == 0 {
                // a disk that refuses this too has its rubbish taken away at the next start
                let _ = self.storage.cut(&active.path, active.bytes);
            }
            self.active = Some(active);
            self.close_segment();
        } else {
            let _ = self.storage.remove(&active.path);
        }
    }

    /// Nothing more is written at its end.
    pub(super) fn leave(&mut self) {
        self.left = true;
    }

    /// Begins another segment with the next flush.
    pub(super) fn close_segment(&mut self) {
        self.shared.state().active = None;
        if let Some(Active { key, path, bytes, prepared, .. }) = self.active.take()
            && prepared > bytes
        {
            self.unsealed.push(Unsealed { key, path, bytes });
        }
    }

    /// A segment that is not written any more keeps no more room than it needs.
    fn seal(&mut self) {
        for Unsealed { key, path, bytes } in std::mem::take(&mut self.unsealed) {
            let mut state = self.shared.state();
            // it may have gone meanwhile
            let Some(segment) = state.segments.get(&key).cloned() else { continue };
            if self.storage.cut(&path, bytes).is_ok() {
                self.shared.put(&mut state, key, Segment { disk: bytes, ..segment });
            }
        }
    }

    fn publish(&self, active: &Active) {
        let (key, last, now) = (active.key, self.next - 1, self.storage.now());
        let segment = Segment {
            path: active.path.clone(),
            layout: Layout::of(self.id),
            bytes: active.bytes,
            disk: active.bytes.max(active.prepared),
            last,
            oldest: active.oldest,
            newest: milliseconds(now),
        };
        let mut state = self.shared.state();
        self.shared.put(&mut state, key, segment);
        state.active = Some(key);
        (state.last, state.doubted, state.is_found_pending) = (last, self.gap.unwrap_or(0), false);
        state.mark(last, now);
        drop(state);
        self.shared.room.tell();
    }

    /// The cursor says how far the lane goes, and that up to there it is in order.
    fn write_down(&self) -> io::Result<()> {
        let mut state = self.shared.state();
        if state.last <= state.sealed && state.doubted == 0 && state.place.is_some() {
            return Ok(());
        }
        let (before, watermark) = (state.sealed, state.watermark);
        state.sealed = state.last;
        drop(state);
        let written = super::reader::write_cursor(self.storage.as_ref(), &self.shared, watermark);
        if written.is_err() {
            self.shared.state().sealed = before;
        }
        written
    }
}

/// Names tried for one segment: each but the last was left by a flush that failed and a disk that would not take it away.
const ATTEMPTS_MAX: usize = 10_000;

impl Drop for Log {
    /// Whoever opens it next need not wonder whether something is missing.
    fn drop(&mut self) {
        if self.left {
            return;
        }
        self.close_segment();
        if self.write_down().is_ok() {
            self.seal();
        }
    }
}
