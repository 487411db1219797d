//! Why the journal could not do what was asked, told from SQLite's own error codes.

use rusqlite::{Error, ErrorCode};

/// Why the journal could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk is full, read-only, failing, or the folder is gone. Nothing was changed.
    #[error("the journal could not be written: {0}")]
    Disk(String),
    /// Another process kept it locked for too long. Nothing was changed; worth retrying.
    #[error("the journal is busy: {0}")]
    Busy(String),
    /// It was written by a newer version of this program.
    #[error(
        "the journal has schema {found}, and this version of molecule-mcp knows only up to {known}: update molecule-mcp, or use another CONFIGS_DIR"
    )]
    Newer {
        /// The schema of the file.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// It is damaged.
    #[error("the journal is damaged: {0}")]
    Damaged(String),
}

impl From<Error> for JournalError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                Self::Busy(text)
            }
            // The schema was compared when the file was opened: SQL that does not fit it any more means damage.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => Self::Damaged(text),
            Some(_) => Self::Disk(text),
            // A value of a type that this program never writes.
            None => Self::Damaged(text),
        }
    }
}

impl From<std::io::Error> for JournalError {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

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
                JournalError::Disk(_) => "disk",
                JournalError::Newer { .. } => "newer",
            };
            assert_eq!(found, expected, "{code}");
        }
    }
}
