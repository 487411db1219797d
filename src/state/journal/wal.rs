//! Looks through a write-ahead file that a killed process left, before SQLite does: a damaged frame makes SQLite drop it and
//! every commit behind it without a word.
//!
//! The format is the one that SQLite documents: a header of 32 bytes, then frames of 24 bytes and one page each. A frame
//! belongs to the file's current contents when it repeats the two salts of the header; its checksum continues that of the
//! frame before it; a commit names the size of the database.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

const HEADER: usize = 32;
const FRAME: usize = 24;

/// Whether there is a commit that SQLite will not see, because something in or before it does not match its checksum.
///
/// After a power cut this may also be a commit that was just being written, which nobody had been told of.
///
/// # Errors
/// When the file cannot be read. A missing one has lost nothing.
pub(super) fn has_lost_commits(path: &Path) -> io::Result<bool> {
    match File::open(path) {
        Ok(file) => examine(BufReader::with_capacity(1 << 16, file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn examine(mut file: impl Read) -> io::Result<bool> {
    let mut header = [0; HEADER];
    if !fill(&mut file, &mut header)? {
        return Ok(false);
    }
    let mut sum = Checksum {
        big_endian: header[3] & 1 == 1,
        state: (0, 0),
    };
    sum.add(&header[..24]);
    let is_sound = header[..3] == [0x37, 0x7f, 0x06] && sum.is(&header[24..]);
    if !is_sound {
        // Without its header SQLite reads nothing of it; an empty one held nothing.
        return fill(&mut file, &mut [0; FRAME]);
    }
    let page = match word(&header[8..], true) as usize {
        page @ 512..=65_536 => page,
        _ => return Ok(true),
    };
    let mut frame = vec![0; FRAME + page];
    let mut broken = false;
    while fill(&mut file, &mut frame)? {
        let is_current = frame[8..16] == header[16..24];
        if !broken {
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME..]);
            broken = !is_current || !sum.is(&frame[16..24]);
        }
        let is_commit = word(&frame[4..], true) != 0;
        if broken && is_current && is_commit {
            return Ok(true);
        }
    }
    Ok(false)
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

    /// A write-ahead file of several commits, and how many commits SQLite sees in a copy of it.
    struct Left {
        db: Vec<u8>,
        wal: Vec<u8>,
    }

    impl Left {
        fn new(commits: usize) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.db");
            let conn = Connection::open(&path).unwrap();
            conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)")
                .unwrap();
            // A first round that is checkpointed leaves frames of other salts behind the current ones.
            for _ in 0..commits * 3 {
                conn.execute("INSERT INTO t VALUES (zeroblob(3000))", []).unwrap();
            }
            conn.execute_batch("DELETE FROM t; PRAGMA wal_checkpoint(RESTART)")
                .unwrap();
            for _ in 0..commits {
                conn.execute("INSERT INTO t VALUES (zeroblob(3000))", []).unwrap();
            }
            Self {
                db: fs::read(&path).unwrap(),
                wal: fs::read(dir.path().join("x.db-wal")).unwrap(),
            }
        }

        fn commits_seen(&self, wal: &[u8]) -> Option<usize> {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("x.db"), &self.db).unwrap();
            fs::write(dir.path().join("x.db-wal"), wal).unwrap();
            let conn = Connection::open(dir.path().join("x.db")).unwrap();
            let seen = conn.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
            seen.ok().and_then(|seen| usize::try_from(seen).ok())
        }
    }

    #[test]
    fn what_a_kill_leaves_is_sound_whole_or_cut_anywhere() {
        let left = Left::new(12);
        assert_eq!(left.commits_seen(&left.wal), Some(12));
        for end in (0..=left.wal.len()).step_by(509) {
            assert!(!examine(&left.wal[..end]).unwrap(), "cut after {end} bytes");
        }
        assert!(!has_lost_commits(Path::new("/nonexistent/x.db-wal")).unwrap());
    }

    #[test]
    fn every_flipped_bit_that_costs_a_commit_is_noticed() {
        let left = Left::new(12);
        let mut noticed = 0;
        for (round, at) in (0..left.wal.len()).step_by(331).chain(0..HEADER + FRAME).enumerate() {
            let mut wal = left.wal.clone();
            wal[at] ^= 1 << (round % 8);
            let costs = left.commits_seen(&wal) != Some(12);
            let told = examine(&wal[..]).unwrap();
            noticed += usize::from(told);
            assert!(told || !costs, "bit {} of byte {at}", round % 8);
            // Bits behind the current frames change nothing, and nothing is said.
            assert!(
                costs || !told || at < HEADER,
                "bit {} of byte {at}: a false alarm",
                round % 8
            );
        }
        assert!(noticed > 20, "{noticed}");
    }
}
