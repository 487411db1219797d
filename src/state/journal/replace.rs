//! Setting a damaged database aside under a dated name.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use chrono::DateTime;

use super::error::JournalError;
use super::mark::Mark;
use super::medium::beside;
use crate::types::Timestamp;

/// Renames the damaged file and what belongs to it, unless `again` finds, under the exclusive lock, that another process has
/// replaced it already: then `None`.
///
/// # Errors
/// `Damaged` when another process has it open.
pub(super) fn set_aside(
    path: &Path,
    lock: &mut File,
    why: &str,
    again: impl FnOnce(&mut File) -> Result<(), JournalError>,
) -> Result<Option<PathBuf>, JournalError> {
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(JournalError::Damaged(format!(
                "{why}; it is replaced once no other molecule-mcp process has it open"
            )));
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    let outcome = match again(lock) {
        Err(JournalError::Damaged(_)) => rename_all(path, lock).map(Some),
        Ok(()) => Ok(None),
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
pub(super) fn rename_all(path: &Path, lock: &mut File) -> Result<PathBuf, JournalError> {
    let now = DateTime::from_timestamp_micros(Timestamp::now().0).unwrap_or_default();
    let stamp = now.format("%Y%m%dT%H%M%SZ");
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
        match fs::rename(beside(path, suffix), beside(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(aside)
}
