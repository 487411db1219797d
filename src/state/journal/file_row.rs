//! How a file is stored: everything that is shown, or leads to a path, stands under a checksum.

use rusqlite::{OptionalExtension as _, Row, params};

use super::error::JournalError;
use super::ledger::Ledger;
use crate::state::file::FileState;
use crate::types::Timestamp;

const COLUMNS: &str = "file, state, seen, activity_id, name, mime_type, size, own, path, message, crc, n";

/// A row of the file table.
#[derive(Debug)]
pub(super) struct FileRow {
    pub(super) id: String,
    pub(super) state: FileState,
    pub(super) seen: Timestamp,
    pub(super) activity_id: Option<String>,
    pub(super) name: String,
    pub(super) mime_type: Option<String>,
    pub(super) size: Option<i64>,
    pub(super) own: bool,
    pub(super) path: Option<String>,
    pub(super) message: Option<String>,
}

impl FileRow {
    /// `None` when the row does not match its checksum, or makes no sense.
    fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let word: String = row.get(1)?;
        let Some(state) = FileState::ALL.into_iter().find(|state| state.as_str() == word) else {
            return Ok(None);
        };
        let found = Self {
            id: row.get(0)?,
            state,
            seen: Timestamp(row.get(2)?),
            activity_id: row.get(3)?,
            name: row.get(4)?,
            mime_type: row.get(5)?,
            size: row.get(6)?,
            own: row.get(7)?,
            path: row.get(8)?,
            message: row.get(9)?,
        };
        let crc: i64 = row.get(10)?;
        Ok((i64::from(found.seal()) == crc).then_some(found))
    }

    fn seal(&self) -> u32 {
        let (seen, size) = (self.seen.0.to_string(), self.size.map(|size| size.to_string()));
        seal([
            Some(self.id.as_str()),
            Some(self.state.as_str()),
            Some(&seen),
            self.activity_id.as_deref(),
            Some(&self.name),
            self.mime_type.as_deref(),
            size.as_deref(),
            Some(if self.own { "own" } else { "theirs" }),
            self.path.as_deref(),
            self.message.as_deref(),
        ])
    }
}

/// A checksum over texts that may be absent. Neither byte between them occurs in UTF-8, so no two lists look alike.
pub(super) fn seal<'a>(parts: impl IntoIterator<Item = Option<&'a str>>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part.map_or(&[0xff][..], str::as_bytes));
        hasher.update(&[0xfe]);
    }
    hasher.finalize()
}

impl Ledger<'_> {
    /// One file by the platform's id.
    pub(super) fn file(&self, id: &str) -> rusqlite::Result<Option<FileRow>> {
        Ok(self
            .conn
            .prepare_cached(&format!("SELECT {COLUMNS} FROM file WHERE scope = ?1 AND file = ?2"))?
            .query_row(params![self.scope, id], |row| Ok(FileRow::read(row).ok().flatten()))
            .optional()?
            .flatten())
    }

    /// Sound rows, and the numbers of damaged ones; `which` begins after `scope = ?1 AND`.
    pub(super) fn files(
        &self,
        which: &str,
        params: impl rusqlite::Params,
    ) -> Result<(Vec<FileRow>, Vec<i64>), JournalError> {
        let mut statement = self
            .conn
            .prepare_cached(&format!("SELECT {COLUMNS} FROM file WHERE scope = ?1 AND {which}"))?;
        let mut rows = statement.query(params)?;
        let (mut sound, mut damaged) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            match FileRow::read(row) {
                Ok(Some(file)) => sound.push(file),
                Ok(None) | Err(_) => damaged.push(row.get(11)?),
            }
        }
        Ok((sound, damaged))
    }

    /// Stores a file, in place of the row of its id if there is one.
    pub(super) fn save_file(&self, file: &FileRow) -> Result<(), JournalError> {
        self.conn
            .prepare_cached(
                "INSERT INTO file (scope, file, state, seen, activity_id, name, mime_type, size, own, path, message, crc)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
                 ON CONFLICT (scope, file) DO UPDATE SET state = excluded.state, seen = excluded.seen,
                    activity_id = excluded.activity_id, name = excluded.name, mime_type = excluded.mime_type,
                    size = excluded.size, own = excluded.own, path = excluded.path, message = excluded.message,
                    crc = excluded.crc",
            )?
            .execute(params![
                self.scope,
                file.id,
                file.state.as_str(),
                file.seen.0,
                file.activity_id,
                file.name,
                file.mime_type,
                file.size,
                file.own,
                file.path,
                file.message,
                file.seal(),
            ])?;
        Ok(())
    }
}
