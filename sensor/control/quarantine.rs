//! The packets that workers died of, each in a capture file of its own, in a ring of files on disk.
//!
//! In: packets, through a bounded [`Chute`]. Out: `packet-00.pcap` and on, in place of the oldest. Whoever sends waits for nothing;
//! what found no room in the channel or on the disk is counted. Never here: a look into a packet.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Failure, places};
use crate::config::{self, Config};
use crate::limits::{QUARANTINE_WAITING_BYTES_MAX, QUARANTINE_WAITING_MAX};
use crate::worker::Specimen;

/// A file's name before it is whole.
const UNFINISHED: &str = ".unfinished";

/// What others may know of it.
#[derive(Debug, Default)]
pub(super) struct QuarantineState {
    pub(super) saved: AtomicU64,
    /// Packets for which there was no room.
    pub(super) lost: AtomicU64,
}

/// See the head of this file.
pub(super) struct Quarantine {
    folder: PathBuf,
    files: usize,
    packets: Receiver<Option<Specimen>>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// How packets come there; clones share its room.
#[derive(Clone)]
pub(super) struct Chute {
    packets: Sender<Option<Specimen>>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Chute {
    /// Sends a packet there and waits for nothing. False: there is no room.
    pub(super) fn send(&self, packet: Specimen) -> bool {
        let bytes = packet.bytes.len();
        let has_room = self.waiting_bytes.fetch_add(bytes, Ordering::AcqRel) + bytes <= QUARANTINE_WAITING_BYTES_MAX;
        let sent = has_room && self.packets.try_send(Some(packet)).is_ok();
        if !sent {
            self.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
        }
        sent
    }

    /// Nothing more comes, whoever could still send something.
    pub(super) fn close(&self) {
        let _ended_already = self.packets.send(None);
    }
}

impl Quarantine {
    /// Where packets are to be kept: its folder, made for its owner alone if there is none; and how they are sent there.
    pub(super) fn open(config: &Config) -> Result<Option<(Quarantine, Chute)>, Failure> {
        let Some(config::Quarantine { directory, files }) = config.quarantine.clone() else { return Ok(None) };
        places::quarantine_at(&directory)?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|error| Failure::Io(directory.clone(), error))?;
        let (send, packets) = bounded(QUARANTINE_WAITING_MAX);
        let chute = Chute { packets: send, waiting_bytes: Arc::default() };
        let waiting_bytes = Arc::clone(&chute.waiting_bytes);
        Ok(Some((Quarantine { folder: directory, files, packets, waiting_bytes }, chute)))
    }

    /// Where packets are kept.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps what comes until nobody can send any more, or the chute is closed.
    pub(super) fn run(&self, state: &QuarantineState) {
        for packet in self.packets.iter().map_while(|packet| packet) {
            self.waiting_bytes.fetch_sub(packet.bytes.len(), Ordering::AcqRel);
            match self.keep(&packet) {
                Ok(file) => {
                    state.saved.fetch_add(1, Ordering::AcqRel);
                    let (file, rebuilt) = (file.display(), packet.rebuilt);
                    tracing::warn!(%file, packet = packet.number, rebuilt, "the packet that a worker died of is kept");
                }
                Err(error) => {
                    state.lost.fetch_add(1, Ordering::AcqRel);
                    let folder = self.folder.display();
                    tracing::error!(%folder, %error, "the packet that a worker died of cannot be kept");
                }
            }
        }
    }

    fn keep(&self, packet: &Specimen) -> io::Result<PathBuf> {
        let (file, unfinished) = (self.next(), self.folder.join(UNFINISHED));
        let written = write(&unfinished, packet).and_then(|()| fs::rename(&unfinished, &file));
        if written.is_err() {
            let _there_may_be_none = fs::remove_file(&unfinished);
        }
        written.map(|()| file)
    }

    /// A name that is free, or the oldest.
    fn next(&self) -> PathBuf {
        let names = (0..self.files).map(|number| self.folder.join(format!("packet-{number:02}.pcap")));
        let age = |file: &PathBuf| {
            let modified = fs::metadata(file).and_then(|known| known.modified());
            modified.unwrap_or(SystemTime::UNIX_EPOCH)
        };
        names.min_by_key(age).unwrap_or_else(|| self.folder.join("packet-00.pcap"))
    }
}

fn write(path: &PathBuf, packet: &Specimen) -> io::Result<()> {
    let _left_by_a_dead_one = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&pcap(packet))?;
    file.sync_all()
}

/// A capture of one packet, in nanoseconds.
fn pcap(packet: &Specimen) -> Vec<u8> {
    let nanos = packet.time.as_nanos();
    let (seconds, rest) = (nanos.div_euclid(1_000_000_000) as u32, nanos.rem_euclid(1_000_000_000) as u32);
    let length = packet.bytes.len() as u32;
    let words = [0xA1B2_3C4D, 2 | 4 << 16, 0, 0, length.max(65_535), u32::from(packet.link.0), seconds, rest, length];
    let mut out: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    out.extend_from_slice(&packet.length.max(length).to_le_bytes());
    out.extend_from_slice(&packet.bytes);
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::capture::{Link, file::Reader};
    use crate::time::Timestamp;

    fn packet(number: u64) -> Specimen {
        let time = Timestamp::from_parts(1_795_262_400 + number as i64, 123_456_789);
        Specimen { number, time, link: Link(101), length: 99, bytes: vec![number as u8; 40], rebuilt: false }
    }

    fn opened(files: usize) -> (tempfile::TempDir, Quarantine, Chute) {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = folder.path().join("kept/here");
        let config = Config { quarantine: Some(config::Quarantine { directory, files }), ..Config::default() };
        let opened = Quarantine::open(&config).unwrap_or_else(|failure| panic!("{failure}"));
        let (quarantine, chute) = opened.expect("it was asked for");
        (folder, quarantine, chute)
    }

    #[test]
    fn what_is_kept_is_a_capture_of_that_packet_for_its_owner_alone() {
        let (_folder, quarantine, _) = opened(2);
        let file = quarantine.keep(&packet(7)).expect("room");
        let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&quarantine.folder)), (0o600, 0o700));
        let bytes = fs::read(&file).expect("readable");
        let mut reader = Reader::new(&bytes[..]).expect("a capture");
        let batch = reader.poll(9).expect("sound");
        let (frame, kept) = (batch.frame(0), packet(7));
        assert_eq!((batch.len(), frame.bytes, frame.length), (1, &kept.bytes[..], 99));
        assert_eq!((frame.time, frame.link), (kept.time, kept.link));
    }

    #[test]
    fn a_burst_finds_room_by_number_and_by_bytes_and_room_comes_back() {
        let (_folder, quarantine, chute) = opened(1);
        let sent = (0..2 * QUARANTINE_WAITING_MAX as u64).filter(|number| chute.send(packet(*number))).count();
        assert_eq!(sent, QUARANTINE_WAITING_MAX);
        let state = QuarantineState::default();
        std::thread::scope(|scope| {
            let keeper = scope.spawn(|| quarantine.run(&state));
            // a clone that nobody drops does not keep it from its end
            let _left_behind = chute.clone();
            chute.close();
            keeper.join().expect("it ends");
        });
        assert_eq!(state.saved.load(Ordering::Acquire), sent as u64);
        let (_folder, _quarantine, chute) = opened(1);
        let huge = |number| Specimen { bytes: vec![0; 1 << 18], ..packet(number) };
        let sent = (0..99).filter(|number| chute.send(huge(*number))).count();
        assert_eq!(sent, QUARANTINE_WAITING_BYTES_MAX >> 18);
    }

    #[test]
    fn the_oldest_gives_way() {
        let (_folder, quarantine, _) = opened(3);
        let names: Vec<PathBuf> = (0..5)
            .map(|number| {
                std::thread::sleep(std::time::Duration::from_millis(15));
                quarantine.keep(&packet(number)).expect("room")
            })
            .collect();
        assert_eq!((&names[0], &names[1]), (&names[3], &names[4]));
        assert_eq!(fs::read_dir(&quarantine.folder).expect("a folder").count(), 3);
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_and_nothing_else() {
        let (_folder, quarantine, _) = opened(3);
        fs::remove_dir(&quarantine.folder).expect("it was empty");
        assert!(quarantine.keep(&packet(1)).is_err());
    }
}
