//! Opening the database: private, durable, checked; a damaged one is set aside under a dated name.
//!
//! Every process holds `molecule.db.lock` shared while it has the database open; it is replaced only under an exclusive
//! lock. The database file itself is never opened but through SQLite: closing any other handle of it would drop SQLite's
//! locks within the process.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::error::JournalError;
use super::mark::Mark;
use super::medium::{self, NoLog, beside};
use super::replace::set_aside;
use super::schema::{self, Standing};
use super::{on_disk, scope, wal, words};
use crate::state::lock::open_private;
use crate::state::obstacle::Obstacle;

/// How long to wait for another process's write or for its replacement of a damaged file.
const PATIENCE: Duration = Duration::from_secs(5);
/// The write-ahead file is cut to this size after a checkpoint.
const WAL_LIMIT: i64 = 8 * 1024 * 1024;

/// An open, checked, migrated database.
pub(super) struct Opened {
    pub(super) conn: Connection,
    /// The database file, its folder resolved.
    pub(super) path: PathBuf,
    /// Where a damaged predecessor was put.
    pub(super) replaced: Option<PathBuf>,
    /// Whether commits at the end of the write-ahead file were lost with it.
    pub(super) cut: bool,
    /// Held shared for as long as the connection lives.
    pub(super) lock: File,
}

/// Opens or makes `<dir>/molecule.db`.
///
/// # Errors
/// See [`JournalError`]; `Damaged` when the file is damaged and another process has it open.
pub(super) fn open(dir: &Path) -> Result<Opened, JournalError> {
    // SQLite refuses links anywhere in the path; only links to our own files are none of anybody's business.
    let dir = fs::canonicalize(dir).map_err(|error| JournalError::at(dir, &error))?;
    let network = medium::network_name(&dir).map(NoLog::Network);
    open_on(&dir, network).map_err(|error| error.explained(&dir))
}

/// The same on a file system where a write-ahead log is out of the question, if `no_log` says why.
pub(super) fn open_on(dir: &Path, no_log: Option<NoLog>) -> Result<Opened, JournalError> {
    let path = dir.join("molecule.db");
    let lock_path = dir.join("molecule.db.lock");
    let mut replaced = None;
    let cut = is_cut(&path, &lock_path);
    for _ in 0..3 {
        let mut lock = lock_shared(&lock_path)?;
        match patiently(|| prepare(&path, &mut lock, no_log)) {
            Ok(conn) => {
                return Ok(Opened {
                    conn,
                    path,
                    replaced,
                    cut,
                    lock,
                });
            }
            Err(JournalError::Damaged(why)) => {
                lock.unlock()?;
                let again = |lock: &mut File| patiently(|| prepare(&path, lock, no_log)).map(drop);
                replaced = set_aside(&path, &mut lock, &why, again)?.or(replaced);
            }
            Err(error) => return Err(error),
        }
    }
    Err(JournalError::Damaged(
        "it was replaced several times and is damaged again; check the disk".to_owned(),
    ))
}

/// Whether the write-ahead file that a killed process left behind lost commits. SQLite drops them without a word, so this
/// looks first; where another process has the file open, that one has looked.
fn is_cut(path: &Path, lock: &Path) -> bool {
    let alone = open_private(lock).ok().filter(|lock| lock.try_lock().is_ok());
    alone.is_some() && wal::has_lost_commits(&beside(path, "-wal"), &beside(path, "-shm")).unwrap_or(false)
}

/// How long to wait altogether until the file can be opened: nobody waits for that but calls that need it.
const OPENING: Duration = Duration::from_secs(30);

/// Repeats while another process is in the middle of making, replacing or recovering the file.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T, JournalError>) -> Result<T, JournalError> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(JournalError::Busy(_)) if begun.elapsed() < OPENING => std::thread::sleep(Duration::from_millis(20)),
            outcome => return outcome,
        }
    }
}

/// Waits for another process's commit. SQLite's own way of waiting sleeps the longer, up to 100 ms, the longer it has waited:
/// among busy writers whoever has waited longest hardly ever gets his turn, and a commit is over in less than a millisecond
/// or two.
fn wait_for_writer(looks: i32) -> bool {
    const EVERY: Duration = Duration::from_millis(2);
    std::thread::sleep(EVERY);
    EVERY.saturating_mul(looks.unsigned_abs()) < PATIENCE
}

fn lock_shared(path: &Path) -> Result<File, JournalError> {
    let file = open_private(path).map_err(|error| JournalError::at(path, &error))?;
    patiently(|| match file.try_lock_shared() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(JournalError::Busy("another process replaces it".to_owned())),
        Err(TryLockError::Error(error)) => Err(medium::unlockable(path, &error.to_string())),
    })?;
    medium::check_locks(path)?;
    Ok(file)
}

fn prepare(path: &Path, lock: &mut File, no_log: Option<NoLog>) -> Result<Connection, JournalError> {
    // Read before the database: once it says so, the tables are there for everyone to see.
    let mark = on_disk::ensure(path, lock)?;
    on_disk::check(path)?;
    let mut conn = connect(path)?;
    let standing = match standing(&conn) {
        // It was used on another file system.
        Err(JournalError::Disk {
            obstacle: Obstacle::NoSharing,
            ..
        }) => {
            drop(conn);
            medium::leave_write_ahead(path)?;
            conn = connect(path)?;
            standing(&conn)?
        }
        found => found?,
    };
    if standing == Standing::Empty {
        if mark == Mark::Made {
            return Err(JournalError::Damaged("it is empty although it was in use".to_owned()));
        }
        // Only an empty file can still be told to give space back.
        conn.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
    }
    keep_durably(&conn, path, no_log)?;
    if standing != Standing::Empty {
        check(&conn)?;
    }
    schema::migrate(&mut conn, mark.lost())?;
    schema::compare(&conn)?;
    scope::check_all(&conn)?;
    if mark != Mark::Made {
        Mark::Made.write(lock)?;
    }
    Ok(conn)
}

fn connect(path: &Path) -> Result<Connection, JournalError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut conn = Connection::open_with_flags(path, flags)?;
    conn.busy_handler(Some(wait_for_writer))?;
    conn.set_prepared_statement_cache_capacity(64);
    plan_once(&conn)?;
    // What SQLite would put into a temporary file stays in memory: one obstacle less, and no text outside the folder.
    conn.execute_batch("PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;")?;
    // Where the file may not be written SQLite opens it all the same, to be read.
    if conn.is_readonly(MAIN_DB)? {
        return Err(JournalError::disk(
            Obstacle::Refused,
            format!("{} cannot be written", path.display()),
        ));
    }
    Ok(conn)
}

/// In one transaction: between two reads another process may have made the tables.
fn standing(conn: &Connection) -> Result<Standing, JournalError> {
    let snapshot = conn.unchecked_transaction()?;
    schema::standing(&snapshot)
}

/// Write-ahead log where it is possible, rollback journal elsewhere; every commit reaches the disk before it counts.
fn keep_durably(conn: &Connection, path: &Path, mut no_log: Option<NoLog>) -> Result<(), JournalError> {
    let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    let has_log = mode == "wal";
    let folder = path.parent().unwrap_or(Path::new("."));
    if no_log.is_none() && !has_log && !medium::can_share_memory(folder)? {
        no_log = Some(NoLog::NoSharing);
    }
    let wanted = if no_log.is_some() { "delete" } else { "wal" };
    let kept: String = conn.query_row(&format!("PRAGMA journal_mode = {wanted}"), [], |row| row.get(0))?;
    if kept != wanted {
        return Err(JournalError::Busy(format!("it stays in {kept} mode")));
    }
    if let Some(why) = no_log {
        tracing::warn!("{why}");
    }
    // Beyond FULL: without a log a commit is the removal of a file, and the folder is synced after it.
    conn.execute_batch("PRAGMA synchronous = EXTRA; PRAGMA fullfsync = ON;")?;
    conn.pragma_update_and_check(None, "journal_size_limit", WAL_LIMIT, |_| Ok(()))?;
    Ok(())
}

/// Reads the whole file and compares every index with its table: an index that does not match would hide messages, or offer
/// again what was acknowledged. Takes about 10 ms for each MiB, so nothing that a client waits for may wait for this.
fn check(conn: &Connection) -> Result<(), JournalError> {
    let verdict = || match conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)) {
        Err(error) if words::is_about_an_index(&error.to_string()) => Ok(error.to_string()),
        verdict => verdict,
    };
    let mut found: String = verdict()?;
    if words::is_about_an_index(&found) {
        tracing::warn!(
            reason = found,
            "the word index of the journal is damaged and is made anew"
        );
        words::forget(conn)?;
        found = verdict()?;
    }
    // What was read is not needed again.
    conn.execute_batch("PRAGMA shrink_memory")?;
    if found == "ok" {
        Ok(())
    } else {
        Err(JournalError::Damaged(found))
    }
}

/// Has a statement planned by its text alone. Else SQLite prepares some cached statements anew whenever a number is put in the
/// place of a 0 or 1, such as the first workspace's; and plans by numbers are none of those that the tests have looked at.
pub(super) fn plan_once(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::state::journal::leases::WAITERS;
    use crate::state::journal::replace::rename_all;

    fn in_new_dir() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("molecule.db");
        (dir, path)
    }

    #[test]
    fn waiting_for_another_process_ends() {
        assert!(wait_for_writer(0));
        assert!(!wait_for_writer(i32::MAX));
    }

    #[cfg(unix)]
    #[test]
    fn all_files_are_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let (dir, path) = in_new_dir();
        let _opened = open(dir.path()).unwrap();
        for name in ["", "-wal", "-shm", ".lock"] {
            let mode = fs::metadata(beside(&path, name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "no drafts are left");
    }

    #[cfg(unix)]
    #[test]
    fn an_existing_file_is_tightened_and_a_link_or_folder_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let (dir, path) = in_new_dir();
        drop(open(dir.path()).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        drop(open(dir.path()).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(matches!(open(dir.path()), Err(JournalError::Disk { .. })));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(open(dir.path()), Err(JournalError::Disk { .. })));
    }

    #[test]
    fn it_is_a_synced_write_ahead_log_that_gives_space_back() {
        let (dir, _) = in_new_dir();
        let opened = open(dir.path()).unwrap();
        for (pragma, expected) in [("journal_mode", "wal"), ("synchronous", "3"), ("auto_vacuum", "2")] {
            let found: rusqlite::types::Value = opened.conn.pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
            let found = match found {
                rusqlite::types::Value::Text(text) => text,
                rusqlite::types::Value::Integer(number) => number.to_string(),
                other => panic!("{other:?}"),
            };
            assert_eq!(found, expected, "{pragma}");
        }
    }

    #[test]
    fn a_statement_is_not_prepared_anew_for_another_workspace() {
        let (dir, _) = in_new_dir();
        let opened = open(dir.path()).unwrap();
        let mut statement = opened.conn.prepare(WAITERS).unwrap();
        for scope in [1, 2, 1, 1] {
            assert!(!statement.exists([scope]).unwrap());
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }

    #[test]
    fn on_a_network_file_system_it_is_a_rollback_journal_and_comes_back_to_a_log_elsewhere() {
        let (dir, path) = in_new_dir();
        let mode = |opened: &Opened| -> String {
            opened
                .conn
                .query_row("PRAGMA journal_mode", [], |row| row.get(0))
                .unwrap()
        };
        let no_log = Some(NoLog::Network("NFS"));
        let opened = open_on(dir.path(), no_log).unwrap();
        assert_eq!(mode(&opened), "delete");
        let synced: i64 = opened
            .conn
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .unwrap();
        assert_eq!(synced, 3);
        assert!(!beside(&path, "-shm").exists());
        let second = open_on(dir.path(), no_log).unwrap();
        assert_eq!(mode(&second), "delete");
        drop((opened, second));
        for (no_log, expected) in [(None, "wal"), (no_log, "delete"), (None, "wal")] {
            let opened = open_on(dir.path(), no_log).unwrap();
            assert!(opened.replaced.is_none());
            assert_eq!(mode(&opened), expected);
        }
    }

    #[test]
    fn a_damaged_file_is_kept_under_a_dated_name_and_replaced() {
        let (dir, path) = in_new_dir();
        for content in [
            &b"this is no database at all, and long enough for a header. ".repeat(80)[..],
            b"",
            b"x",
        ] {
            drop(open(dir.path()).unwrap());
            fs::write(&path, content).unwrap();
            let opened = open(dir.path()).unwrap();
            let aside = opened.replaced.expect("it says so");
            assert_eq!(fs::read(&aside).unwrap(), content);
            let name = aside.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with("molecule.db.damaged-20"), "{name}");
        }
    }

    #[test]
    fn a_removed_file_is_a_first_start() {
        let (dir, path) = in_new_dir();
        drop(open(dir.path()).unwrap());
        fs::remove_file(&path).unwrap();
        for _ in 0..2 {
            let opened = open(dir.path()).unwrap();
            assert!(opened.replaced.is_none());
            assert_eq!(schema::lost(&opened.conn).unwrap(), None);
        }
    }

    #[test]
    fn a_death_between_setting_a_file_aside_and_making_its_successor_is_not_forgotten() {
        for made in [false, true] {
            let (dir, path) = in_new_dir();
            drop(open(dir.path()).unwrap());
            let mut lock = lock_shared(&dir.path().join("molecule.db.lock")).unwrap();
            let aside = rename_all(&path, &mut lock).unwrap();
            if made {
                fs::write(&path, "").unwrap();
            }
            drop(lock);
            let opened = open(dir.path()).unwrap();
            assert!(opened.replaced.is_none(), "it was replaced before");
            let name = aside.file_name().unwrap().to_str();
            assert_eq!(schema::lost(&opened.conn).unwrap().as_deref(), name, "{made}");
        }
    }

    #[test]
    fn a_damaged_file_that_another_process_has_open_is_left_alone() {
        let (dir, path) = in_new_dir();
        drop(open(dir.path()).unwrap());
        let other = lock_shared(&dir.path().join("molecule.db.lock")).unwrap();
        fs::write(&path, b"no database").unwrap();
        assert!(matches!(open(dir.path()), Err(JournalError::Damaged(_))));
        assert_eq!(fs::read(&path).unwrap(), b"no database");
        drop(other);
        assert!(open(dir.path()).unwrap().replaced.is_some());
    }

    #[test]
    fn many_open_a_new_folder_at_once() {
        for _ in 0..25 {
            let (dir, _) = in_new_dir();
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..6)
                    .map(|_| scope.spawn(|| open(dir.path()).map(|o| o.replaced)))
                    .collect();
                for thread in threads {
                    assert_eq!(thread.join().unwrap().unwrap(), None);
                }
            });
        }
    }

    #[test]
    fn a_newer_file_is_refused_and_left_as_it_is() {
        let (dir, _) = in_new_dir();
        let opened = open(dir.path()).unwrap();
        opened.conn.execute("UPDATE meta SET value = 99", []).unwrap();
        opened.conn.pragma_update(None, "user_version", 99).unwrap();
        drop(opened);
        for _ in 0..2 {
            assert!(matches!(open(dir.path()), Err(JournalError::Newer { found: 99, .. })));
        }
    }
}
