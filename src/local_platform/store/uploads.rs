//! Files that wait for a polling workspace to fetch them.

use rusqlite::{OptionalExtension as _, Result, params};
use uuid::Uuid;

use super::Store;
use crate::local_platform::clock::{self, Micros};

/// How long a file waits.
const KEPT: Micros = 24 * 3600 * clock::SECOND;

/// A file as it was sent.
pub(crate) struct NewUpload {
    pub(crate) name: String,
    pub(crate) mime_type: String,
    pub(crate) content: Vec<u8>,
}

/// A file that still waits, or was acknowledged and is still here.
pub(crate) struct Upload {
    pub(crate) workspace_id: String,
    pub(crate) file: NewUpload,
    pub(crate) acknowledged: bool,
}

impl Store {
    /// Keeps a file and returns its id. Files past their time go.
    pub(crate) fn put_upload(&self, workspace: &str, file: &NewUpload) -> Result<String> {
        let (id, now) = (Uuid::new_v4().to_string(), clock::now());
        let db = self.lock();
        db.execute("DELETE FROM uploads WHERE expires_at <= ?", [now])?;
        db.prepare_cached(
            "INSERT INTO uploads (id, workspace_id, name, mime_type, content, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id,
            workspace,
            file.name,
            file.mime_type,
            file.content,
            now + KEPT
        ])?;
        Ok(id)
    }

    /// A file by its id, unless its time is over.
    pub(crate) fn upload(&self, id: &str) -> Result<Option<Upload>> {
        self.lock()
            .prepare_cached(
                "SELECT workspace_id, name, mime_type, content, acked_at IS NOT NULL FROM uploads
                 WHERE id = ? AND expires_at > ?",
            )?
            .query_row(params![id, clock::now()], |row| {
                Ok(Upload {
                    workspace_id: row.get(0)?,
                    file: NewUpload {
                        name: row.get(1)?,
                        mime_type: row.get(2)?,
                        content: row.get(3)?,
                    },
                    acknowledged: row.get(4)?,
                })
            })
            .optional()
    }

    /// Notes that the workspace has a file.
    pub(crate) fn acknowledge_upload(&self, id: &str) -> Result<()> {
        self.lock()
            .prepare_cached("UPDATE uploads SET acked_at = coalesce(acked_at, ?) WHERE id = ?")?
            .execute(params![clock::now(), id])?;
        Ok(())
    }
}
