//! What the file system under the journal can do: lock files, and let processes share memory for a write-ahead log.
//!
//! Neither is taken on trust. Locks are tried out, because some file systems grant every lock to everybody; shared memory is
//! tried out on a database that nobody needs.

use std::fs::{self, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::error::JournalError;
use crate::state::draft;
use crate::state::lock::open_private;
use crate::state::obstacle::Obstacle;

/// Why a journal cannot have a write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoLog {
    /// Several computers may have the folder; the memory of a log is shared within one only.
    Network(&'static str),
    /// Files cannot be mapped into memory that is shared.
    NoSharing,
}

impl std::fmt::Display for NoLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network(name) => write!(
                f,
                "the state folder is on a network file system or one that may be ({name}): the journal uses the slower \
                 rollback mode, and all processes of this folder must run on one computer"
            ),
            Self::NoSharing => f.write_str(
                "the file system of the state folder has no memory that processes share: the journal uses the slower \
                 rollback mode",
            ),
        }
    }
}

/// The kind of file system that a folder is on, where it is one that several computers may share.
#[cfg(target_os = "linux")]
pub(super) fn network_name(folder: &Path) -> Option<&'static str> {
    // Negative numbers where the kernel's word is signed and 32 bits long.
    let kind = rustix::fs::statfs(folder).ok()?.f_type;
    name_of(kind as u32)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn network_name(_: &Path) -> Option<&'static str> {
    None
}

/// The kernel's numbers, as listed in statfs(2).
#[cfg(any(test, target_os = "linux"))]
fn name_of(kind: u32) -> Option<&'static str> {
    Some(match kind {
        0x6969 => "NFS",
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => "SMB",
        0x0102_1997 => "9P",
        0x6573_5546 => "FUSE",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x00C3_6400 => "Ceph",
        0x0BD0_0BD0 => "Lustre",
        0x0116_1970 => "GFS2",
        0x7461_636F => "OCFS2",
        0x786F_4256 | 0xBACB_ACBC => "a folder of a virtual machine's host",
        _ => return None,
    })
}

/// Makes sure that a lock which this process holds shared keeps others from having it alone.
///
/// # Errors
/// `NoLocks` when the file system grants both.
pub(super) fn check_locks(lock: &Path) -> Result<(), JournalError> {
    let another = open_private(lock).map_err(|error| JournalError::at(lock, &error))?;
    match another.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(unlockable(lock, &error.to_string())),
        Ok(()) => Err(unlockable(lock, "the file system only pretends to lock files")),
    }
}

/// A file that cannot be locked.
pub(super) fn unlockable(lock: &Path, why: &str) -> JournalError {
    JournalError::disk(
        Obstacle::NoLocks,
        format!(
            "{} cannot be locked ({why}), and without locks several processes would hand out the same messages",
            lock.display()
        ),
    )
}

/// Whether a database in this folder can have a write-ahead log.
///
/// # Errors
/// When that cannot be found out.
pub(super) fn can_share_memory(folder: &Path) -> Result<bool, JournalError> {
    let draft = draft::begin(folder, ".molecule-probe.", "")
        .map_err(|error| JournalError::at(folder, &error))?
        .into_temp_path();
    let tried = try_write_ahead(&draft);
    for suffix in ["-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(beside(&draft, suffix));
    }
    match tried {
        Ok(mode) => Ok(mode == "wal"),
        Err(JournalError::Disk {
            obstacle: Obstacle::NoSharing,
            ..
        }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn try_write_ahead(path: &Path) -> Result<String, JournalError> {
    let conn = Connection::open(path)?;
    conn.execute_batch("PRAGMA synchronous = OFF")?;
    let mode = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    conn.execute_batch("CREATE TABLE probe (x)")?;
    Ok(mode)
}

/// Brings a database that was used with a write-ahead log elsewhere to a file system where it cannot be: SQLite then keeps the
/// log's index in its own memory, for which it must have the file alone.
///
/// # Errors
/// When it cannot be converted.
pub(super) fn leave_write_ahead(path: &Path) -> Result<(), JournalError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = EXTRA;")?;
    let _: String = conn.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    Ok(())
}

/// The path of a file that SQLite keeps beside a database.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_folder_is_none_of_the_network() {
        for (kind, expected) in [
            (0x6969, Some("NFS")),
            (0xFF53_4D42, Some("SMB")),
            (0x6573_5546, Some("FUSE")),
            (0xEF53, None),      // ext4
            (0x0102_1994, None), // tmpfs
            (0x9123_683E, None), // Btrfs
            (0x794C_7630, None), // overlay
        ] {
            assert_eq!(name_of(kind), expected, "{kind:x}");
        }
        assert_eq!(network_name(Path::new("/nonexistent")), None);
    }

    #[test]
    fn locks_that_keep_nobody_out_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = open_private(&path).unwrap();
        // Nobody holds it: as if the file system had granted it to everybody.
        let Err(JournalError::Disk { obstacle, what }) = check_locks(&path) else {
            panic!("a lock that is granted twice is none")
        };
        assert_eq!(obstacle, Obstacle::NoLocks);
        assert!(what.contains("pretends"), "{what}");
        held.lock_shared().unwrap();
        check_locks(&path).unwrap();
    }

    #[test]
    fn trying_memory_out_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        assert!(can_share_memory(dir.path()).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(can_share_memory(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn a_log_is_left_with_all_that_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (7)")
            .unwrap();
        // Still open: the log is not yet in the database.
        let elsewhere = tempfile::tempdir().unwrap();
        let copy = elsewhere.path().join("x.db");
        for suffix in ["", "-wal"] {
            fs::copy(beside(&path, suffix), beside(&copy, suffix)).unwrap();
        }
        leave_write_ahead(&copy).unwrap();
        assert!(!beside(&copy, "-wal").exists());
        let conn = Connection::open(&copy).unwrap();
        let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "delete");
        assert_eq!(
            conn.query_row("SELECT x FROM t", [], |row| row.get::<_, i64>(0))
                .unwrap(),
            7
        );
    }
}
