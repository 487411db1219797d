//! Opening the database: private, durable, checked; a damaged one is set aside under a dated name.
//!
//! Every process holds `molecule.db.lock` shared while it has the database open; it is replaced only under an exclusive
//! lock. The database file itself is never opened but through SQLite: closing any other handle of it would drop SQLite's
//! locks within the process.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::Utc;
use rusqlite::{Connection, OpenFlags};

use super::error::JournalError;
use super::mark::Mark;
use super::schema::{self, Standing};
use super::{scope, wal, words};
use crate::state::lock::open_private;

/// How long to wait for another process's write or for its replacement of a damaged file.
const PATIENCE: Duration = Duration::from_secs(5);
/// Up to this size the indexes are compared with their tables at every open; above, only the tables are checked.
const FULL_CHECK_LIMIT: u64 = 32 * 1024 * 1024;
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
    let dir = fs::canonicalize(dir)?;
    let path = dir.join("molecule.db");
    let lock_path = dir.join("molecule.db.lock");
    let mut replaced = None;
    let cut = is_cut(&path, &lock_path);
    for _ in 0..3 {
        let mut lock = lock_shared(&lock_path)?;
        match patiently(|| prepare(&path, &mut lock)) {
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
                replaced = set_aside(&path, &mut lock, &why)?.or(replaced);
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
    alone.is_some() && wal::has_lost_commits(&with_suffix(path, "-wal")).unwrap_or(false)
}

/// Repeats while another process is in the middle of making, replacing or recovering the file.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T, JournalError>) -> Result<T, JournalError> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(JournalError::Busy(_)) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
            outcome => return outcome,
        }
    }
}

fn lock_shared(path: &Path) -> Result<File, JournalError> {
    let file = open_private(path)?;
    patiently(|| match file.try_lock_shared() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(JournalError::Busy("another process replaces it".to_owned())),
        Err(TryLockError::Error(error)) => Err(JournalError::Disk(format!(
            "{} cannot be locked ({error}); the state folder must be on a file system with locks",
            path.display()
        ))),
    })?;
    Ok(file)
}

fn prepare(path: &Path, lock: &mut File) -> Result<Connection, JournalError> {
    // Read before the database: once it says so, the tables are there for everyone to see.
    let mark = ensure_file(path, lock)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(PATIENCE)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.execute_batch("PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;")?;
    // In one transaction: between two reads another process may have made the tables.
    let snapshot = conn.unchecked_transaction()?;
    let standing = schema::standing(&snapshot)?;
    drop(snapshot);
    if standing == Standing::Empty {
        if mark == Mark::Made {
            return Err(JournalError::Damaged("it is empty although it was in use".to_owned()));
        }
        // Only an empty file can still be told to give space back.
        conn.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
    }
    keep_durably(&conn)?;
    if standing != Standing::Empty {
        check(&conn, path)?;
    }
    schema::migrate(&mut conn, mark.lost())?;
    schema::compare(&conn)?;
    scope::check_all(&conn)?;
    if mark != Mark::Made {
        Mark::Made.write(lock)?;
    }
    Ok(conn)
}

/// Makes an empty 0600 file where there is none; answers what is known of it.
fn ensure_file(path: &Path, lock: &mut File) -> Result<Mark, JournalError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {
            tighten(path, &found);
            Ok(Mark::read(lock)?)
        }
        Ok(found) => Err(JournalError::Disk(format!(
            "{} is {}; remove it",
            path.display(),
            if found.is_symlink() {
                "a symbolic link"
            } else {
                "not a plain file"
            }
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut mark = Mark::read(lock)?;
            if mark == Mark::Made {
                mark = Mark::Fresh;
                mark.write(lock)?;
            }
            let dir = path.parent().unwrap_or(Path::new("."));
            let draft = tempfile::NamedTempFile::with_prefix_in(".molecule.db.", dir)?.into_temp_path();
            match draft.persist_noclobber(path) {
                Ok(()) => {}
                Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {}
                // Some file systems have neither links nor a rename that replaces nothing.
                Err(_) => drop(open_private(path)?),
            }
            Ok(mark)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(unix)]
fn tighten(path: &Path, found: &fs::Metadata) {
    use std::os::unix::fs::PermissionsExt as _;
    if found.permissions().mode() & 0o077 != 0
        && let Err(error) = fs::set_permissions(path, fs::Permissions::from_mode(0o600))
    {
        tracing::warn!(%error, path = %path.display(), "the journal is readable by others and cannot be tightened");
    }
}

#[cfg(not(unix))]
fn tighten(_path: &Path, _found: &fs::Metadata) {}

/// Write-ahead log where it is possible, rollback journal elsewhere; every commit reaches the disk before it counts.
fn keep_durably(conn: &Connection) -> Result<(), JournalError> {
    let mode = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
    match mode.map_err(JournalError::from) {
        Ok(mode) if mode == "wal" => {}
        Err(error @ (JournalError::Busy(_) | JournalError::Damaged(_))) => return Err(error),
        _ => {
            let mode: String = conn.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
            tracing::warn!(
                mode,
                "this file system has no shared memory for a write-ahead log; using a rollback journal"
            );
        }
    }
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA fullfsync = ON;")?;
    conn.pragma_update_and_check(None, "journal_size_limit", WAL_LIMIT, |_| Ok(()))?;
    Ok(())
}

fn check(conn: &Connection, path: &Path) -> Result<(), JournalError> {
    let small = fs::metadata(path).is_ok_and(|found| found.len() <= FULL_CHECK_LIMIT);
    let check = if small {
        "PRAGMA integrity_check(1)"
    } else {
        "PRAGMA quick_check(1)"
    };
    let verdict = || match conn.query_row(check, [], |row| row.get(0)) {
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
    if found == "ok" {
        Ok(())
    } else {
        Err(JournalError::Damaged(found))
    }
}

/// Renames the damaged file and what belongs to it. `None`: another process has replaced it already.
fn set_aside(path: &Path, lock: &mut File, why: &str) -> Result<Option<PathBuf>, JournalError> {
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(JournalError::Damaged(format!(
                "{why}; it is replaced once no other molecule-mcp process has it open"
            )));
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    let outcome = match patiently(|| prepare(path, lock)) {
        Err(JournalError::Damaged(_)) => rename_all(path, lock).map(Some),
        Ok(_) => Ok(None),
        Err(error) => Err(error),
    };
    lock.unlock()?;
    if let Ok(Some(aside)) = &outcome {
        tracing::error!(reason = why, kept = %aside.display(), "the journal was damaged; a new one was started");
    }
    outcome
}

/// The database goes first: a log without its database is dropped by SQLite, a database without its log is older. Before
/// that its new name is written down, so that a process that dies here leaves no file that seems to be a first start's.
fn rename_all(path: &Path, lock: &mut File) -> Result<PathBuf, JournalError> {
    let stamp = Utc::now().format("%Y%m%dT%H%M%SZ");
    let aside = (1..)
        .map(|n| match n {
            1 => format!("molecule.db.damaged-{stamp}"),
            n => format!("molecule.db.damaged-{stamp}-{n}"),
        })
        .map(|name| path.with_file_name(name))
        .find(|candidate| fs::symlink_metadata(candidate).is_err())
        .expect("some number is free");
    let name = aside.file_name().unwrap_or_default().to_string_lossy();
    Mark::Lost(name.into_owned()).write(lock)?;
    lock.sync_all()?;
    fs::rename(path, &aside)?;
    for suffix in ["-wal", "-shm", "-journal"] {
        match fs::rename(with_suffix(path, suffix), with_suffix(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_new_dir() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("molecule.db");
        (dir, path)
    }

    #[cfg(unix)]
    #[test]
    fn all_files_are_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let (dir, path) = in_new_dir();
        let _opened = open(dir.path()).unwrap();
        for name in ["", "-wal", "-shm", ".lock"] {
            let mode = fs::metadata(with_suffix(&path, name)).unwrap().permissions().mode();
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
        assert!(matches!(open(dir.path()), Err(JournalError::Disk(_))));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(open(dir.path()), Err(JournalError::Disk(_))));
    }

    #[test]
    fn it_is_a_synced_write_ahead_log_that_gives_space_back() {
        let (dir, _) = in_new_dir();
        let opened = open(dir.path()).unwrap();
        for (pragma, expected) in [("journal_mode", "wal"), ("synchronous", "2"), ("auto_vacuum", "2")] {
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
