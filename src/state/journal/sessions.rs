//! Sessions: each open journal holds a lock on `sessions/<uuid>.lock` for its life, so the kernel tells who is alive. A process
//! that serves several clients at once holds one more for each of them.
//!
//! A missing or free lock file means that the session has ended and its leases are void. Nobody has to write anything at
//! the end, and nobody has to guess from process ids.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::error::JournalError;
use crate::state::lock::{is_at, open_private};

/// This session, and the means to ask about others.
#[derive(Debug)]
pub(super) struct Sessions {
    dir: PathBuf,
    id: String,
    /// Locked until dropped.
    _lock: File,
}

impl Sessions {
    /// Begins a session for the workspaces that `scopes` name, and removes what ended sessions left behind.
    ///
    /// # Errors
    /// When the folder or lock file cannot be made, or the file system has no locks.
    pub(super) fn begin(state_dir: &Path, scopes: &[String]) -> Result<Self, JournalError> {
        let dir = folder(state_dir);
        make_private_dir(&dir).map_err(|error| JournalError::at(&dir, &error))?;
        Self::begin_in(dir, scopes)
    }

    /// Begins another session in this process. It counts as no process.
    ///
    /// # Errors
    /// As for [`Self::begin`].
    pub(super) fn another(&self) -> Result<Self, JournalError> {
        Self::begin_in(self.dir.clone(), &[])
    }

    fn begin_in(dir: PathBuf, scopes: &[String]) -> Result<Self, JournalError> {
        remove_ended(&dir);
        // Between its creation and its locking a new file looks like an ended session's and may be removed: then again.
        for _ in 0..10 {
            let id = Uuid::new_v4().to_string();
            let path = lock_path(&dir, &id);
            let refused = |error: io::Error| JournalError::at(&path, &error);
            let mut lock = open_private(&path).map_err(refused)?;
            lock.lock().map_err(refused)?;
            if is_at(&lock, &path) {
                lock.write_all(scopes.join("\n").as_bytes()).map_err(refused)?;
                return Ok(Self { dir, id, _lock: lock });
            }
        }
        Err(JournalError::Busy(
            "the session's lock file keeps being removed".to_owned(),
        ))
    }

    /// This session's id, a UUID.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    #[cfg(test)]
    pub(super) fn lock_file(&self) -> PathBuf {
        lock_path(&self.dir, &self.id)
    }

    /// Whether a session still runs. Whatever cannot be asked counts as alive: its leases then end by their clock.
    pub(super) fn is_alive(&self, id: &str) -> bool {
        id == self.id || lives(&self.dir, id)
    }

    /// How many sessions of the workspace that `scope` names run.
    pub(super) fn count(&self, scope: &str) -> usize {
        count(&self.dir, scope)
    }
}

/// The folder of the sessions' lock files.
pub(super) fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("sessions")
}

/// Whether a session still runs, asked by anybody. Makes no file.
pub(super) fn lives(dir: &Path, id: &str) -> bool {
    // A damaged id must not name a file elsewhere.
    if Uuid::parse_str(id).is_err() {
        return false;
    }
    match File::open(lock_path(dir, id)) {
        Ok(file) => is_held(&file),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Whether any session of any workspace runs. Makes no file.
pub(super) fn any(dir: &Path) -> bool {
    lock_files(dir).any(|path| File::open(path).is_ok_and(|file| is_held(&file)))
}

/// How many sessions of a workspace run, asked by anybody. Makes no file.
pub(super) fn count(dir: &Path, scope: &str) -> usize {
    /// Far more workspaces than a process serves.
    const LIMIT: u64 = 1024 * 1024;
    lock_files(dir)
        .filter_map(|path| File::open(path).ok())
        .filter(|file| {
            let mut scopes = String::new();
            is_held(file)
                && file.take(LIMIT).read_to_string(&mut scopes).is_ok()
                && scopes.lines().any(|other| other == scope)
        })
        .count()
}

impl Drop for Sessions {
    /// Removed while still locked, so nobody else can be in the middle of judging it.
    fn drop(&mut self) {
        let _ = fs::remove_file(lock_path(&self.dir, &self.id));
    }
}

/// A shared probe: two processes that ask at once do not take each other for the session.
fn is_held(file: &File) -> bool {
    match file.try_lock_shared() {
        Ok(()) => {
            let _ = file.unlock();
            false
        }
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => true,
    }
}

fn lock_path(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}.lock"))
}

fn lock_files(dir: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "lock"))
}

/// Lock files of ended sessions go while we hold them, so that a session that begins right now notices.
fn remove_ended(dir: &Path) {
    for path in lock_files(dir) {
        if let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
            && is_at(&file, &path)
        {
            let _ = fs::remove_file(&path);
        }
    }
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    match builder.create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::symlink_metadata(dir)?.is_dir() {
                Ok(())
            } else {
                Err(io::Error::new(
                    io::ErrorKind::NotADirectory,
                    "it is not a folder; remove it",
                ))
            }
        }
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lives_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let asks = Sessions::begin(dir.path(), &["s".to_owned()]).unwrap();
        let other = Sessions::begin(dir.path(), &["s".to_owned()]).unwrap();
        let id = other.id().to_owned();
        assert!(asks.is_alive(&id) && asks.is_alive(asks.id()));
        assert_eq!(asks.count("s"), 2);
        drop(other);
        assert!(!asks.is_alive(&id));
        assert_eq!(asks.count("s"), 1);
    }

    #[test]
    fn a_killed_sessions_file_is_free_and_later_removed() {
        let dir = tempfile::tempdir().unwrap();
        let asks = Sessions::begin(dir.path(), &["s".to_owned()]).unwrap();
        let killed = Uuid::new_v4().to_string();
        let left_behind = lock_path(&dir.path().join("sessions"), &killed);
        fs::write(&left_behind, "s").unwrap();
        assert!(!asks.is_alive(&killed));
        assert_eq!(asks.count("s"), 1);
        let _next = Sessions::begin(dir.path(), &["s".to_owned()]).unwrap();
        assert!(!left_behind.exists());
        assert!(
            lock_path(&asks.dir, asks.id()).exists(),
            "a living session's file stays"
        );
    }

    #[test]
    fn sessions_are_counted_by_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let first = Sessions::begin(dir.path(), &["one".to_owned()]).unwrap();
        let _second = Sessions::begin(dir.path(), &["two".to_owned()]).unwrap();
        let _both = Sessions::begin(dir.path(), &["one".to_owned(), "three".to_owned()]).unwrap();
        assert_eq!(
            ["one", "two", "three", "on"].map(|scope| first.count(scope)),
            [2, 1, 1, 0]
        );
    }

    #[test]
    fn an_id_that_is_no_uuid_is_nobodys() {
        let dir = tempfile::tempdir().unwrap();
        let asks = Sessions::begin(dir.path(), &["s".to_owned()]).unwrap();
        fs::write(dir.path().join("x.lock"), "").unwrap();
        for id in ["", "../x", "x", "/etc/passwd"] {
            assert!(!asks.is_alive(id), "{id}");
        }
    }

    #[test]
    fn another_session_of_a_process_lives_and_is_no_further_process() {
        let dir = tempfile::tempdir().unwrap();
        let first = Sessions::begin(dir.path(), &["s".to_owned()]).unwrap();
        let other_process = Sessions::begin(dir.path(), &["s".to_owned()]).unwrap();
        let guest = first.another().unwrap();
        let id = guest.id().to_owned();
        assert!(first.is_alive(&id) && other_process.is_alive(&id) && guest.is_alive(first.id()));
        assert_eq!(guest.count("s"), 2);
        drop(guest);
        assert!(!first.is_alive(&id) && !other_process.is_alive(&id));
    }

    #[test]
    fn many_begin_at_once_and_all_live() {
        let dir = tempfile::tempdir().unwrap();
        let sessions: Vec<Sessions> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| Sessions::begin(dir.path(), &["s".to_owned()]).unwrap()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for session in &sessions {
            assert_eq!(session.count("s"), 8);
            assert!(sessions.iter().all(|other| session.is_alive(other.id())));
        }
    }
}
