//! Why the journal could not do what was asked, told from SQLite's own error codes.

use std::io;
use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};

use crate::state::obstacle::{self, Obstacle};

/// Why the journal could not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk is full, read-only, failing, or the folder is gone. Nothing was changed.
    #[error("the journal could not be written: {what}")]
    Disk {
        /// What is in the way.
        obstacle: Obstacle,
        /// What was tried, and what the system said.
        what: String,
    },
    /// Another process kept it locked for too long. Nothing was changed; worth retrying.
    #[error("the journal is busy: {0}")]
    Busy(String),
    /// It was written by a newer version of this program.
    #[error("the journal has schema {found}, and this version of molecule-mcp knows only up to {known}")]
    Newer {
        /// The schema of the file.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// It is damaged.
    #[error("the journal is damaged: {0}")]
    Damaged(String),
    /// One row of it does not match its checksum; the others are sound.
    #[error("{0} does not match its checksum, so it is not shown")]
    DamagedRow(String),
}

impl JournalError {
    /// The folder or disk refuses.
    pub(super) fn disk(obstacle: Obstacle, what: impl Into<String>) -> Self {
        Self::Disk {
            obstacle,
            what: what.into(),
        }
    }

    /// The system refuses a file or folder.
    pub(super) fn at(path: &Path, error: &io::Error) -> Self {
        Self::disk(Obstacle::of(error), format!("{}: {error}", path.display()))
    }

    /// Names the system's reason where SQLite names none, by trying the folder out.
    pub(super) fn explained(self, folder: &Path) -> Self {
        let Self::Disk {
            obstacle: Obstacle::Failing | Obstacle::Refused,
            what,
        } = &self
        else {
            return self;
        };
        match obstacle::try_out(folder) {
            Ok(()) => self,
            Err(reason) => Self::disk(Obstacle::of(&reason), format!("{what} ({reason})")),
        }
    }

    /// What a person can do about it, as the rest of a sentence.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Disk { obstacle, .. } => obstacle.remedy(),
            Self::Busy(_) => {
                "try again; if this stays, end the program that keeps molecule.db in the state folder locked (a backup or a \
                 database browser, for example)"
            }
            Self::Newer { .. } => "update molecule-mcp and restart it, or set CONFIGS_DIR to another folder",
            Self::Damaged(_) => {
                "check the disk, then end every molecule-mcp of this state folder and start it again: the damaged journal is \
                 kept under another name, and a new one reads on from .mcp_inbox_cursor"
            }
            Self::DamagedRow(_) => "ask its sender to repeat it, or look for it in the canvas; and check the disk",
        }
    }
}

impl From<Error> for JournalError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let Some(cause) = error.sqlite_error() else {
            // A value of a type that this program never writes.
            return Self::Damaged(text);
        };
        match cause.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
                Self::Busy(text)
            }
            // The schema was compared when the file was opened: SQL that does not fit it any more means damage.
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown => Self::Damaged(text),
            _ => Self::disk(obstacle_of(cause), text),
        }
    }
}

/// What SQLite's codes tell; most of what the system says is lost in them.
fn obstacle_of(cause: &ffi::Error) -> Obstacle {
    match (cause.code, cause.extended_code) {
        (ErrorCode::DiskFull, _) => Obstacle::Full,
        (_, ffi::SQLITE_READONLY_DBMOVED) => Obstacle::Gone,
        (ErrorCode::ReadOnly | ErrorCode::PermissionDenied, _) => Obstacle::Refused,
        (
            _,
            ffi::SQLITE_IOERR_LOCK
            | ffi::SQLITE_IOERR_UNLOCK
            | ffi::SQLITE_IOERR_RDLOCK
            | ffi::SQLITE_IOERR_CHECKRESERVEDLOCK,
        ) => Obstacle::NoLocks,
        (_, ffi::SQLITE_IOERR_SHMOPEN | ffi::SQLITE_IOERR_SHMMAP | ffi::SQLITE_IOERR_SHMLOCK) => Obstacle::NoSharing,
        _ => Obstacle::Failing,
    }
}

impl From<io::Error> for JournalError {
    fn from(error: io::Error) -> Self {
        Self::disk(Obstacle::of(&error), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_asks_for_another_reaction() {
        for (code, expected) in [
            (ffi::SQLITE_BUSY, "busy"),
            (ffi::SQLITE_LOCKED, "busy"),
            (ffi::SQLITE_PROTOCOL, "busy"),
            (ffi::SQLITE_CORRUPT, "damaged"),
            (ffi::SQLITE_NOTADB, "damaged"),
            (ffi::SQLITE_FULL, "disk"),
            (ffi::SQLITE_IOERR, "disk"),
            (ffi::SQLITE_READONLY, "disk"),
            (ffi::SQLITE_CANTOPEN, "disk"),
            (ffi::SQLITE_PERM, "disk"),
        ] {
            let found = match JournalError::from(Error::SqliteFailure(ffi::Error::new(code), None)) {
                JournalError::Busy(_) => "busy",
                JournalError::Damaged(_) => "damaged",
                JournalError::Disk { .. } => "disk",
                JournalError::Newer { .. } => "newer",
                JournalError::DamagedRow(_) => "row",
            };
            assert_eq!(found, expected, "{code}");
        }
    }

    #[test]
    fn what_sqlite_says_of_the_disk_is_kept_and_every_error_has_a_remedy() {
        let of = |code| JournalError::from(Error::SqliteFailure(ffi::Error::new(code), None));
        for (code, expected) in [
            (ffi::SQLITE_FULL, Obstacle::Full),
            (ffi::SQLITE_READONLY, Obstacle::Refused),
            (ffi::SQLITE_READONLY_DBMOVED, Obstacle::Gone),
            (ffi::SQLITE_IOERR_RDLOCK, Obstacle::NoLocks),
            (ffi::SQLITE_IOERR_SHMMAP, Obstacle::NoSharing),
            (ffi::SQLITE_IOERR_WRITE, Obstacle::Failing),
            (ffi::SQLITE_CANTOPEN, Obstacle::Failing),
        ] {
            let JournalError::Disk { obstacle, .. } = of(code) else {
                panic!("{code} is not of the disk")
            };
            assert_eq!(obstacle, expected, "{code}");
        }
        let newer = JournalError::Newer { found: 2, known: 1 };
        for error in [
            of(ffi::SQLITE_FULL),
            of(ffi::SQLITE_BUSY),
            of(ffi::SQLITE_CORRUPT),
            newer,
        ] {
            assert!(!error.remedy().is_empty(), "{error}");
        }
    }
}
