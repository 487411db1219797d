//! Looking at a journal from outside: for commands that tell how it stands, whether or not a daemon runs.
//!
//! Nothing is changed, not even the index of the write-ahead file: the next process to open it compares the two to notice
//! lost commits. No session begins, no lock is held that another process would wait for, and a file of another version is
//! not migrated.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use super::error::JournalError;
use super::leases::{Lease, Standing, standing};
use super::medium::beside;
use super::shape::Counts;
use super::{inbox, schema, sessions};
use crate::state::clock::BootInstant;
use crate::state::lock::scope_key;
use crate::state::obstacle::Obstacle;
use crate::types::{Timestamp, WorkspaceId};

/// What the journal tells of one workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glimpse {
    /// The platform's origin.
    pub origin: String,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The last good read of the inbox that was written down.
    pub last_poll: Option<Timestamp>,
    /// The messages. Those whose session has ended count as new: that is what they are to the next one who asks.
    pub counts: Counts,
    /// What this workspace wrote and the platform has not taken yet.
    pub outgoing: u64,
}

/// All workspaces of a state folder's journal; none where there is no journal.
///
/// # Errors
/// When it cannot be read as it is: damaged, of a newer version, or left by a killed process in a state that only the next
/// start can mend.
pub fn look(state_dir: &Path) -> Result<Vec<Glimpse>, JournalError> {
    let path = match std::fs::canonicalize(state_dir) {
        Ok(folder) => folder.join("molecule.db"),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(JournalError::at(state_dir, &error)),
    };
    match std::fs::symlink_metadata(&path) {
        Ok(found) if found.len() == 0 => return Ok(Vec::new()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(JournalError::at(&path, &error)),
    }
    let is_there = |suffix| beside(&path, suffix).exists();
    if is_there("-wal") {
        return match look_by(&path, "mode=ro&readonly_shm=1") {
            // Its index is missing, or says nothing of who reads where: with an own entry in it there is a way.
            Err(JournalError::Disk { .. } | JournalError::Busy(_)) => look_by(&path, "mode=ro"),
            seen => seen,
        };
    }
    // Without a log all is in the database itself. SQLite would make one in order to look.
    let is_at_rest = !is_there("-journal") && !sessions::any(&sessions::folder(state_dir));
    look_by(&path, if is_at_rest { "mode=ro&immutable=1" } else { "mode=ro" })
}

/// How many processes serve a workspace from a state folder.
#[must_use]
pub fn processes(state_dir: &Path, origin: &str, workspace: &WorkspaceId) -> usize {
    sessions::count(&sessions::folder(state_dir), &scope_key(origin, workspace))
}

fn look_by(path: &Path, how: &str) -> Result<Vec<Glimpse>, JournalError> {
    let not_a_path = || JournalError::disk(Obstacle::Gone, "the state folder has no absolute path");
    let mut uri = url::Url::from_file_path(path).map_err(|()| not_a_path())?;
    uri.set_query(Some(how));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(uri.as_str(), flags)?;
    conn.busy_timeout(std::time::Duration::from_secs(1))?;
    conn.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;")?;
    let snapshot = conn.unchecked_transaction()?;
    if schema::standing(&snapshot)? == schema::Standing::Empty {
        return Ok(Vec::new());
    }
    let sessions = Sessions {
        folder: sessions::folder(path.parent().unwrap_or(Path::new("."))),
        asked: HashMap::new(),
        now: BootInstant::now(),
    };
    glimpses(&snapshot, sessions)
}

/// Which sessions live, asked once for each.
struct Sessions {
    folder: std::path::PathBuf,
    asked: HashMap<String, bool>,
    now: BootInstant,
}

impl Sessions {
    fn holds(&mut self, lease: &Lease) -> bool {
        let lives = lease.session.as_ref().is_some_and(|session| {
            let ask = || sessions::lives(&self.folder, session);
            *self.asked.entry(session.clone()).or_insert_with(ask)
        });
        standing(lease, lives, &self.now) == Standing::Holds
    }
}

fn glimpses(conn: &Connection, mut sessions: Sessions) -> Result<Vec<Glimpse>, JournalError> {
    let mut statement =
        conn.prepare("SELECT id, origin, workspace, last_poll FROM scope ORDER BY last_poll DESC, id")?;
    let mut rows = statement.query([])?;
    let mut seen = Vec::new();
    while let Some(row) = rows.next()? {
        let (scope, workspace): (i64, String) = (row.get(0)?, row.get(2)?);
        // Damage, which the next start finds.
        let Ok(workspace) = WorkspaceId::parse(&workspace) else {
            continue;
        };
        seen.push(Glimpse {
            origin: row.get(1)?,
            workspace,
            last_poll: row.get::<_, Option<i64>>(3)?.map(Timestamp),
            counts: counts(conn, scope, &mut sessions)?,
            outgoing: outgoing(conn, scope)?,
        });
    }
    Ok(seen)
}

fn counts(conn: &Connection, scope: i64, sessions: &mut Sessions) -> Result<Counts, JournalError> {
    let mut counts = inbox::counts(conn, scope)?;
    let mut statement = conn
        .prepare("SELECT lease_session, lease_boot, lease_until FROM message WHERE scope = ?1 AND state = 'leased'")?;
    let mut rows = statement.query([scope])?;
    counts.leased = 0;
    while let Some(row) = rows.next()? {
        let lease = Lease {
            session: row.get(0).ok().flatten(),
            boot: row.get(1).ok().flatten(),
            until_micros: row.get(2).ok().flatten(),
        };
        match sessions.holds(&lease) {
            true => counts.leased += 1,
            false => counts.new += 1,
        }
    }
    Ok(counts)
}

fn outgoing(conn: &Connection, scope: i64) -> Result<u64, JournalError> {
    let pending = "SELECT count(*) FROM outbox WHERE scope = ?1 AND progress = 'pending'";
    let count: i64 = conn.query_row(pending, params![scope], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::super::fixture::{LEASE, ORIGIN, message};
    use super::super::{Batch, Journal};
    use super::*;

    fn own() -> WorkspaceId {
        WorkspaceId::parse("a").unwrap()
    }

    async fn with_three_messages(dir: &Path) -> Journal {
        let journal = Journal::open(dir, ORIGIN, &own(), LEASE).await.unwrap();
        let batch = Batch {
            messages: ["a", "b", "c"].map(|name| message(name, 5)).to_vec(),
            polled: Some(Timestamp(77)),
            ..Batch::default()
        };
        journal.commit(batch).await.unwrap();
        journal.lease_next().await.unwrap().unwrap();
        journal
    }

    /// Every file of a folder with its content.
    fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    }

    fn seen(dir: &Path) -> (u64, u64) {
        let seen = look(dir).unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].origin.as_str(), &seen[0].workspace), (ORIGIN, &own()));
        assert_eq!(seen[0].last_poll, Some(Timestamp(77)));
        assert_eq!(seen[0].counts.oldest, Some(message("a", 5).at));
        (seen[0].counts.new, seen[0].counts.leased)
    }

    #[tokio::test]
    async fn a_journal_in_use_and_one_that_was_closed_are_told_as_they_are_and_left_so() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look(dir.path()).unwrap(), []);
        assert_eq!(look(&dir.path().join("missing")).unwrap(), []);
        let journal = with_three_messages(dir.path()).await;
        assert_eq!(seen(dir.path()), (2, 1));
        assert_eq!(processes(dir.path(), ORIGIN, &own()), 1);
        // The last clone closes it; the background look may hold one for a moment.
        drop(journal);
        while dir.path().join("molecule.db-wal").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let before = files(dir.path());
        assert_eq!(seen(dir.path()), (3, 0), "its session has ended");
        assert_eq!(processes(dir.path(), ORIGIN, &own()), 0);
        assert!(files(dir.path()) == before);
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_read_with_its_log_and_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let journal = with_three_messages(dir.path()).await;
        for index in [true, false] {
            let left = tempfile::tempdir().unwrap();
            for (path, content) in files(dir.path()) {
                if index || !path.ends_with("molecule.db-shm") {
                    fs::write(left.path().join(path.file_name().unwrap()), content).unwrap();
                }
            }
            let before = files(left.path());
            assert_eq!(seen(left.path()), (3, 0));
            if index {
                assert!(files(left.path()) == before, "nothing was changed");
            }
        }
        drop(journal);
    }

    #[test]
    fn what_is_no_journal_and_what_a_newer_program_wrote_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("molecule.db");
        fs::write(&path, "no database at all, and long enough for a header. ".repeat(80)).unwrap();
        assert!(matches!(look(dir.path()), Err(JournalError::Damaged(_))));
        fs::remove_file(&path).unwrap();
        drop(super::super::open::open(dir.path()).unwrap());
        let conn = Connection::open(&path).unwrap();
        conn.execute("UPDATE meta SET value = 99", []).unwrap();
        conn.pragma_update(None, "user_version", 99).unwrap();
        drop(conn);
        assert!(matches!(look(dir.path()), Err(JournalError::Newer { found: 99, .. })));
    }
}
