//! Looks through what a killed process left of its write-ahead log, before SQLite does: SQLite drops a damaged frame and every
//! commit behind it without a word, and takes a log that was cut short for a shorter one.
//!
//! The formats are those that SQLite documents. The log: a header of 32 bytes, then frames of 24 bytes and one page each. A
//! frame belongs to the file's current contents when it repeats the two salts of the header; its checksum continues that of
//! the frame before it; a commit names the size of the database. The index (`-shm`), which is not synced, but outlives a kill:
//! a header, twice, that names the salts and the last committed frame, then how many frames the database itself has.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

const HEADER: usize = 32;
const FRAME: usize = 24;
/// The index header's length, and where its checksum begins.
const INDEX_HEADER: usize = 48;
const INDEX_SUM: usize = 40;
/// The only version of the index there is.
const INDEX_VERSION: u32 = 3_007_000;

/// Whether there is a commit that SQLite will not see: something in or before it does not match its checksum, or it is not
/// there at all although the index names it.
///
/// After a power cut this may also be a commit that was just being written, which nobody had been told of.
///
/// # Errors
/// When a file cannot be read. Where both are missing nothing was lost.
pub(super) fn has_lost_commits(log: &Path, index: &Path) -> io::Result<bool> {
    let log = match open(log)? {
        Some(file) => Log::read(BufReader::with_capacity(1 << 16, file))?,
        None => Log::default(),
    };
    let index = match open(index)? {
        Some(file) => Index::read(file)?,
        None => None,
    };
    Ok(log.is_broken || index.is_some_and(|index| index.knows_more_than(&log)))
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What SQLite will see of the log.
#[derive(Debug, Default)]
struct Log {
    /// `None`: it has no sound header, so nothing of it is read.
    salts: Option<[u8; 8]>,
    /// The last frame of the last commit; frames count from one.
    committed: u32,
    /// There are commits behind a frame that does not match its checksum.
    is_broken: bool,
}

impl Log {
    fn read(mut file: impl Read) -> io::Result<Self> {
        let mut log = Self::default();
        let mut header = [0; HEADER];
        if !fill(&mut file, &mut header)? {
            return Ok(log);
        }
        let mut sum = Checksum {
            big_endian: header[3] & 1 == 1,
            state: (0, 0),
        };
        sum.add(&header[..24]);
        let is_sound = header[..3] == [0x37, 0x7f, 0x06] && sum.is(&header[24..]);
        if !is_sound {
            // An empty one held nothing.
            log.is_broken = fill(&mut file, &mut [0; FRAME])?;
            return Ok(log);
        }
        let page = match word(&header[8..], true) as usize {
            page @ 512..=65_536 => page,
            _ => {
                log.is_broken = true;
                return Ok(log);
            }
        };
        log.salts = header[16..24].try_into().ok();
        let mut frame = vec![0; FRAME + page];
        let mut is_lost = false;
        let mut n = 0;
        while fill(&mut file, &mut frame)? {
            n += 1;
            let is_current = frame[8..16] == header[16..24];
            if !is_lost {
                sum.add(&frame[..8]);
                sum.add(&frame[FRAME..]);
                is_lost = !is_current || !sum.is(&frame[16..24]);
            }
            let is_commit = word(&frame[4..], true) != 0;
            match is_lost {
                true if is_current && is_commit => {
                    log.is_broken = true;
                    break;
                }
                false if is_commit => log.committed = n,
                _ => {}
            }
        }
        Ok(log)
    }
}

/// What the index says of the log.
#[derive(Debug)]
struct Index {
    salts: [u8; 8],
    committed: u32,
    /// Frames that are in the database itself, so that the log is not needed for them.
    backfilled: u32,
}

impl Index {
    /// `None`: it was not in use, or is damaged; SQLite makes it anew in any case.
    fn read(mut file: impl Read) -> io::Result<Option<Self>> {
        let mut bytes = [0; 2 * INDEX_HEADER + 4];
        if !fill(&mut file, &mut bytes)? {
            return Ok(None);
        }
        let (header, rest) = bytes.split_at(INDEX_HEADER);
        let big_endian = cfg!(target_endian = "big");
        let mut sum = Checksum {
            big_endian,
            state: (0, 0),
        };
        sum.add(&header[..INDEX_SUM]);
        let native = |at: usize| word(&header[at..], big_endian);
        let is_sound = header == &rest[..INDEX_HEADER]
            && native(0) == INDEX_VERSION
            && sum.state == (native(INDEX_SUM), native(INDEX_SUM + 4));
        let salts = header[32..INDEX_SUM].try_into().ok();
        Ok(salts.filter(|_| is_sound).map(|salts| Self {
            salts,
            committed: native(16),
            backfilled: word(&rest[INDEX_HEADER..], big_endian),
        }))
    }

    /// Whether it names commits that are neither in the log nor in the database.
    fn knows_more_than(&self, log: &Log) -> bool {
        let seen = match log.salts {
            Some(salts) if salts == self.salts => log.committed,
            // The first salt grows by one with every new beginning of the log. One that is behind the log itself is what a
            // power cut left of an old index.
            Some(salts) if word(&self.salts, true).wrapping_sub(word(&salts, true)) > u32::MAX / 2 => return false,
            _ => 0,
        };
        self.committed > seen.max(self.backfilled)
    }
}

/// Fills the buffer; `false`: the file ends before.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The running checksum over pairs of words.
struct Checksum {
    big_endian: bool,
    state: (u32, u32),
}

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        let (mut one, mut two) = self.state;
        for pair in bytes.chunks_exact(8) {
            one = one.wrapping_add(word(pair, self.big_endian)).wrapping_add(two);
            two = two.wrapping_add(word(&pair[4..], self.big_endian)).wrapping_add(one);
        }
        self.state = (one, two);
    }

    fn is(&self, stored: &[u8]) -> bool {
        self.state == (word(stored, true), word(&stored[4..], true))
    }
}

/// The first four bytes as a number.
fn word(bytes: &[u8], big_endian: bool) -> u32 {
    let four = [bytes[0], bytes[1], bytes[2], bytes[3]];
    if big_endian {
        u32::from_be_bytes(four)
    } else {
        u32::from_le_bytes(four)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::Connection;

    use super::*;

    const COMMITS: usize = 12;

    /// What a killed process left after several commits, and how many of them SQLite sees in a copy of it.
    struct Left {
        db: Vec<u8>,
        log: Vec<u8>,
        index: Vec<u8>,
    }

    impl Left {
        fn new(rounds: usize) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.db");
            let conn = Connection::open(&path).unwrap();
            conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)")
                .unwrap();
            for round in 0..rounds {
                // Rounds that were checkpointed leave frames of other salts behind the current ones.
                for _ in 0..COMMITS * (rounds - round) {
                    conn.execute("INSERT INTO t VALUES (zeroblob(3000))", []).unwrap();
                }
                if round + 1 < rounds {
                    conn.execute_batch("DELETE FROM t; PRAGMA wal_checkpoint(RESTART)")
                        .unwrap();
                }
            }
            let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
            Self {
                db: read("x.db"),
                log: read("x.db-wal"),
                index: read("x.db-shm"),
            }
        }

        fn commits_seen(&self, log: &[u8]) -> Option<usize> {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("x.db"), &self.db).unwrap();
            fs::write(dir.path().join("x.db-wal"), log).unwrap();
            let conn = Connection::open(dir.path().join("x.db")).unwrap();
            let seen = conn.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
            seen.ok().and_then(|seen| usize::try_from(seen).ok())
        }

        fn has_lost(log: &[u8], index: Option<&[u8]>) -> bool {
            let dir = tempfile::tempdir().unwrap();
            let (log_path, index_path) = (dir.path().join("x.db-wal"), dir.path().join("x.db-shm"));
            fs::write(&log_path, log).unwrap();
            if let Some(index) = index {
                fs::write(&index_path, index).unwrap();
            }
            has_lost_commits(&log_path, &index_path).unwrap()
        }
    }

    #[test]
    fn what_a_kill_leaves_is_sound_and_every_cut_that_costs_a_commit_is_noticed() {
        for rounds in [1, 2] {
            let left = Left::new(rounds);
            assert_eq!(left.commits_seen(&left.log), Some(COMMITS));
            for end in (0..=left.log.len()).rev().step_by(509) {
                let log = &left.log[..end];
                let told = Left::has_lost(log, Some(&left.index));
                assert_eq!(told, left.commits_seen(log) != Some(COMMITS), "cut after {end} bytes");
                assert!(!Left::has_lost(log, None), "a shorter log alone is a sound one: {end}");
            }
        }
        let none = Path::new("/nonexistent/x.db-wal");
        assert!(!has_lost_commits(none, none).unwrap());
    }

    #[test]
    fn an_index_that_says_nothing_of_this_log_is_no_alarm() {
        let (left, earlier) = (Left::new(2), Left::new(1));
        let mut older = left.index.clone();
        for copy in [0, INDEX_HEADER] {
            older[copy + 35] = older[copy + 35].wrapping_sub(1);
            let mut sum = Checksum {
                big_endian: cfg!(target_endian = "big"),
                state: (0, 0),
            };
            sum.add(&older[copy..copy + INDEX_SUM]);
            older[copy + INDEX_SUM..copy + INDEX_SUM + 4].copy_from_slice(&sum.state.0.to_ne_bytes());
            older[copy + INDEX_SUM + 4..copy + INDEX_HEADER].copy_from_slice(&sum.state.1.to_ne_bytes());
        }
        let mut torn = left.index.clone();
        torn[20] ^= 1;
        for (what, index) in [
            ("of the log before", &older[..]),
            ("torn", &torn),
            ("short", &left.index[..50]),
            ("empty", &[]),
            ("zeroes", &[0; 200]),
        ] {
            assert!(!Left::has_lost(&left.log[..4000], Some(index)), "{what}");
        }
        // All that is in the database needs no log.
        let mut copied = earlier.index;
        copied.copy_within(16..20, 2 * INDEX_HEADER);
        assert!(!Left::has_lost(&[], Some(&copied)));
    }

    #[test]
    fn every_flipped_bit_that_costs_a_commit_is_noticed() {
        let left = Left::new(2);
        let last = HEADER + (COMMITS - 1) * (FRAME + 4096);
        let mut noticed = 0;
        for (round, at) in (0..left.log.len()).step_by(331).chain(0..HEADER + FRAME).enumerate() {
            let mut log = left.log.clone();
            log[at] ^= 1 << (round % 8);
            let costs = left.commits_seen(&log) != Some(COMMITS);
            for index in [Some(&left.index[..]), None] {
                let told = Left::has_lost(&log, index);
                noticed += usize::from(told);
                // The last commit may look like one that was never finished; then only the index tells.
                let may_miss = index.is_none() && at >= last;
                assert!(told || !costs || may_miss, "bit {} of byte {at}", round % 8);
                // Bits behind the current frames change nothing, and nothing is said.
                assert!(
                    costs || !told || at < HEADER,
                    "bit {} of byte {at}: a false alarm",
                    round % 8
                );
            }
        }
        assert!(noticed > 40, "{noticed}");
    }
}
