//! The connection, and what every transaction on it knows: whose rows, which session, what time it is.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::JournalError;
use super::files::FilePatience;
use super::open::Opened;
use super::sessions::Sessions;
use super::shape::Settings;
use super::{open, schema, scope};
use crate::state::clock::{BootInstant, Clock};
use crate::state::lock::scope_key;
use crate::state::obstacle::Obstacle;
use crate::types::{Timestamp, WorkspaceId};

/// Outbox items whose answer a call of this process waits for, and how many calls do.
#[derive(Debug, Default)]
pub(super) struct Awaited(Mutex<HashMap<String, usize>>);

impl Awaited {
    pub(super) fn begin(&self, item: &str) {
        *self.lock().entry(item.to_owned()).or_default() += 1;
    }

    pub(super) fn end(&self, item: &str) {
        let mut waiting = self.lock();
        if let Some(calls) = waiting.get_mut(item) {
            *calls -= 1;
            if *calls == 0 {
                waiting.remove(item);
            }
        }
    }

    pub(super) fn contains(&self, item: &str) -> bool {
        self.lock().contains_key(item)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The database as one session sees it. Fields drop in order: the connection before the lock that protects its file.
pub(super) struct Store {
    conn: Connection,
    sessions: Sessions,
    _lock: File,
    place: Place,
    lease: Duration,
    files: FilePatience,
    clock: Clock,
    seen_version: i64,
}

/// Whose rows are meant.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) scope: i64,
    /// Told with every message where this process serves several workspaces.
    pub(super) arrival: Option<&'a WorkspaceId>,
    pub(super) awaited: &'a Awaited,
    /// The session that asks, where it is another than that of the process.
    pub(super) session: Option<&'a Sessions>,
}

/// Rows of one workspace within one transaction.
pub(super) struct Ledger<'a> {
    pub(super) conn: &'a Connection,
    pub(super) scope: i64,
    pub(super) arrival: Option<&'a WorkspaceId>,
    pub(super) sessions: &'a Sessions,
    pub(super) awaited: &'a Awaited,
    pub(super) lease: Duration,
    pub(super) files: FilePatience,
    pub(super) wall: Timestamp,
    pub(super) boot: BootInstant,
}

/// A store that has just been opened.
pub(super) struct Begun {
    pub(super) store: Store,
    /// The row of each workspace, in the order in which they were named.
    pub(super) scopes: Vec<i64>,
    /// Where a damaged predecessor was put.
    pub(super) replaced: Option<PathBuf>,
    /// The last commits of a killed process were lost.
    pub(super) cut: bool,
}

impl Store {
    /// Opens the journal of a folder for these workspaces, each named by its platform's origin and its id. Answers with the
    /// scope of each, where a damaged predecessor was put, and whether the last commits of a killed process were lost.
    pub(super) fn open(
        dir: &Path,
        whose: &[(String, WorkspaceId)],
        settings: &Settings,
    ) -> Result<Begun, JournalError> {
        let Opened {
            mut conn,
            path,
            replaced,
            cut,
            lock,
        } = open::open(dir)?;
        let place = Place::of(path);
        let scopes = scopes(&mut conn, whose)?;
        let keys: Vec<_> = whose
            .iter()
            .map(|(origin, workspace)| scope_key(origin, workspace))
            .collect();
        let store = Self {
            seen_version: data_version(&conn)?,
            conn,
            sessions: Sessions::begin(dir, &keys)?,
            _lock: lock,
            place,
            lease: settings.lease,
            files: FilePatience {
                message: settings.wait_for_files,
                announcement: settings.wait_for_message,
            },
            clock: settings.clock.clone(),
        };
        Ok(Begun {
            store,
            scopes,
            replaced,
            cut,
        })
    }

    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.conn
    }

    /// Reads in one snapshot.
    pub(super) fn read<T>(
        &self,
        whose: Whose<'_>,
        work: impl FnOnce(&Ledger<'_>) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let mut work = Some(work);
        let mut outcome = None;
        self.read_each([((), whose)], |(), ledger| {
            if let Some(work) = work.take() {
                outcome = Some(work(ledger)?);
            }
            Ok(ControlFlow::Break(()))
        })?;
        Ok(outcome.expect("one workspace was named, and its rows were read"))
    }

    /// Reads rows of one workspace after the other in one snapshot, until `work` has enough.
    pub(super) fn read_each<'a, T>(
        &self,
        whose: impl IntoIterator<Item = (T, Whose<'a>)>,
        mut work: impl FnMut(T, &Ledger<'_>) -> Result<ControlFlow<()>, JournalError>,
    ) -> Result<(), JournalError> {
        let read = || {
            let tx = self.begin(TransactionBehavior::Deferred)?;
            for (name, whose) in whose {
                if work(name, &self.ledger(&tx, whose))?.is_break() {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|error: JournalError| error.explained(self.place.folder()))
    }

    /// Writes in one transaction, which holds the write lock from its start, and answers whether any row changed.
    /// An error of `work` undoes everything.
    pub(super) fn write<T>(
        &self,
        whose: Whose<'_>,
        work: impl FnOnce(&Ledger<'_>) -> Result<T, JournalError>,
    ) -> Result<(T, bool), JournalError> {
        self.place.check()?;
        let before = self.conn.total_changes();
        let write = || {
            let tx = self.begin(TransactionBehavior::Immediate)?;
            let outcome = work(&self.ledger(&tx, whose))?;
            tx.commit()?;
            Ok(outcome)
        };
        let outcome = write().map_err(|error: JournalError| error.explained(self.place.folder()))?;
        Ok((outcome, self.conn.total_changes() != before))
    }

    /// A transaction that is undone unless it is committed. Nobody else begins one on this connection: the store is used by
    /// one thread at a time.
    fn begin(&self, behavior: TransactionBehavior) -> Result<Transaction<'_>, JournalError> {
        let tx = Transaction::new_unchecked(&self.conn, behavior)?;
        schema::still_known(&tx)?;
        Ok(tx)
    }

    fn ledger<'a>(&'a self, conn: &'a Connection, whose: Whose<'a>) -> Ledger<'a> {
        Ledger {
            conn,
            scope: whose.scope,
            arrival: whose.arrival,
            sessions: whose.session.unwrap_or(&self.sessions),
            awaited: whose.awaited,
            lease: self.lease,
            files: self.files,
            wall: self.clock.wall(),
            boot: self.clock.boot(),
        }
    }

    /// Whether another connection has committed since the last call.
    pub(super) fn others_committed(&mut self) -> Result<bool, JournalError> {
        let version = data_version(&self.conn)?;
        Ok(std::mem::replace(&mut self.seen_version, version) != version)
    }

    /// Gives up to `pages` free pages back to the file system. `true`: there were more.
    pub(super) fn shrink(&self, pages: u32) -> Result<bool, JournalError> {
        let free = || -> Result<u32, JournalError> {
            let mut statement = self.conn.prepare_cached("PRAGMA freelist_count")?;
            Ok(statement.query_row([], |row| row.get(0))?)
        };
        let before = free()?;
        if before == 0 {
            return Ok(false);
        }
        let mut statement = self.conn.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        let left = free()?;
        Ok(left > 0 && left < before)
    }
}

/// The row of each workspace, made where need be: only then, for a process that begins must not have to wait for those that
/// write.
fn scopes(conn: &mut Connection, whose: &[(String, WorkspaceId)]) -> Result<Vec<i64>, JournalError> {
    let find = |conn: &Connection| {
        let found = whose
            .iter()
            .map(|(origin, workspace)| scope::find(conn, origin, workspace));
        found.collect::<Result<Option<Vec<i64>>, _>>()
    };
    if let Some(scopes) = find(conn)? {
        return Ok(scopes);
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let made = whose
        .iter()
        .map(|(origin, workspace)| scope::find_or_make(&tx, origin, workspace));
    let scopes = made.collect::<Result<Vec<_>, _>>()?;
    tx.commit()?;
    Ok(scopes)
}

/// Changes when another connection commits; our own commits leave it alone.
fn data_version(conn: &Connection) -> Result<i64, JournalError> {
    Ok(conn
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))?)
}

/// The database file's path and identity. SQLite goes on writing to a file whose folder was deleted; we must not.
struct Place {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Place {
    fn of(path: PathBuf) -> Self {
        let identity = identity(&path).ok();
        Self { path, identity }
    }

    /// Whether the file is still the one that was opened.
    fn check(&self) -> Result<(), JournalError> {
        match identity(&self.path) {
            Ok(found) if Some(found) == self.identity => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Err(JournalError::disk(
                Obstacle::Gone,
                "its file was removed or replaced while it was open",
            )),
        }
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|_| (0, 0))
}
