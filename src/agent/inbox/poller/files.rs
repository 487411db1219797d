//! The duty lock and the cursor file, looked at and written on threads for blocking work.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::spawn_blocking;

use crate::state::cursor::{CursorFile, Found};
use crate::state::lock::DutyLock;
use crate::types::ActivityId;

/// What the folder says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// The lock is still the one in the folder.
    pub(super) current: bool,
    /// Another program changed the cursor file.
    pub(super) other_poller: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Files {
    lock: Arc<DutyLock>,
    cursor: Arc<Mutex<CursorFile>>,
}

impl Files {
    pub(super) fn new(lock: Arc<DutyLock>, cursor: CursorFile) -> Self {
        Self {
            lock,
            cursor: Arc::new(Mutex::new(cursor)),
        }
    }

    pub(super) async fn standing(&self) -> io::Result<Standing> {
        let lock = Arc::clone(&self.lock);
        self.with(move |cursor| Standing {
            current: lock.is_current(),
            other_poller: cursor.changed_by_another(),
        })
        .await
    }

    pub(super) async fn found(&self) -> io::Result<Found> {
        self.with(|cursor| cursor.found()).await
    }

    pub(super) async fn export(&self, id: Option<ActivityId>) -> io::Result<()> {
        self.with(move |cursor| cursor.export(id.as_ref())).await?
    }

    async fn with<T: Send + 'static>(&self, work: impl FnOnce(&mut CursorFile) -> T + Send + 'static) -> io::Result<T> {
        let cursor = Arc::clone(&self.cursor);
        let done = spawn_blocking(move || work(&mut cursor.lock().unwrap_or_else(PoisonError::into_inner)));
        done.await.map_err(io::Error::other)
    }
}
