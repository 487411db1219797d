//! The compatible cursor file `.mcp_inbox_cursor`: exported for the Python daemon, imported when the duty is taken.

use std::io;
use std::path::{Path, PathBuf};

use crate::types::ActivityId;

/// The file and what we last wrote to it.
#[derive(Debug)]
pub struct CursorFile {}

impl CursorFile {
    /// The file in this folder (one workspace: `.mcp_inbox_cursor`).
    #[must_use]
    pub fn new(_dir: &Path) -> Self {
        todo!()
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        todo!()
    }

    /// What it holds now; `None` when it is missing, unreadable, or no activity id.
    #[must_use]
    pub fn read(&self) -> Option<ActivityId> {
        todo!()
    }

    /// Exports the cursor (`None` deletes the file), 0600, atomically.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn export(&mut self, _cursor: Option<&ActivityId>) -> io::Result<()> {
        todo!()
    }

    /// Whether another program changed it since our last export.
    #[must_use]
    pub fn changed_by_another(&self) -> bool {
        todo!()
    }
}
