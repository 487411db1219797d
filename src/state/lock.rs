//! The duty lock: an OS file lock per platform origin and workspace; the kernel frees it when its holder dies.

use std::io;
use std::path::Path;

use crate::types::WorkspaceId;

/// Holds the duty until dropped.
#[derive(Debug)]
pub struct DutyLock {}

impl DutyLock {
    /// Takes the lock if it is free. `Ok(None)`: another process holds it.
    ///
    /// # Errors
    /// When the lock file cannot be made, or the file system has no locks.
    pub fn try_take(_dir: &Path, _origin: &str, _workspace: &WorkspaceId) -> io::Result<Option<Self>> {
        todo!()
    }

    /// Whether the locked file is still the one at its path (its folder may have been deleted or replaced).
    #[must_use]
    pub fn is_current(&self) -> bool {
        todo!()
    }
}
