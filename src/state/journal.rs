//! The durable journal: messages, cursor, outbox. SQLite, WAL, full sync; shared by every process of a state folder.

use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;

use super::message::{Entry, Message};
use super::outbox::{Change, Enqueued, Item, Work};
use crate::types::{ActivityId, PeerId, Timestamp, WorkspaceId};

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

/// Where reading goes on after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The row.
    pub id: ActivityId,
    /// Its time.
    pub at: Timestamp,
    /// Its sequence number at level C.
    pub seq: Option<i64>,
}

/// What one read brought, committed as a whole.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// New messages in order of delivery. Rows already in the journal are dropped by id, repeats by digest.
    pub messages: Vec<Message>,
    /// Whether the messages are offered at once (`false`: stored as held by an unfinished recovery).
    pub hold: bool,
    /// Offer everything held so far.
    pub release: bool,
    /// Move the saved cursor.
    pub cursor: Option<Cursor>,
    /// Forget the saved cursor (the platform no longer knows it).
    pub forget_cursor: bool,
    /// Record this wall-clock instant as the last good poll.
    pub polled: Option<Timestamp>,
}

/// What a commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Messages that were new.
    pub added: usize,
    /// Messages dropped as repeats of one with another row id.
    pub repeats: usize,
}

/// What a pop did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Popped {
    /// Acknowledged now, durably.
    Removed,
    /// It had been acknowledged before.
    AlreadyDone,
    /// It is leased to another session.
    LeasedElsewhere,
    /// No such message.
    Unknown,
}

/// How many messages are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting.
    pub new: u64,
    /// Shown and not acknowledged.
    pub leased: u64,
    /// Set aside.
    pub aside: u64,
    /// Time of the oldest message that is new or leased.
    pub oldest: Option<Timestamp>,
}

/// One workspace's part of the journal, seen by one session (process). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {}

impl Journal {
    /// Opens (or makes) `<dir>/molecule.db` and this session's lock. Keyed by platform origin and workspace.
    ///
    /// # Errors
    /// See [`JournalError`]. A damaged file is set aside under a dated name when no other process has it open.
    pub async fn open(
        _dir: &Path,
        _origin: &str,
        _workspace: &WorkspaceId,
        _lease: Duration,
    ) -> Result<Self, JournalError> {
        todo!()
    }

    /// This process's session id, a UUID.
    #[must_use]
    pub fn session(&self) -> &str {
        todo!()
    }

    /// Changes whenever something in the journal may have changed, by this process or another (a hint, not a count).
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        todo!()
    }

    // ---- receiving: the duty holder only ----

    /// Commits what a read brought: messages, cursor and time in one transaction. Settles delegations that a message answers.
    ///
    /// # Errors
    /// When nothing was committed.
    pub async fn commit(&self, _batch: Batch) -> Result<Committed, JournalError> {
        todo!()
    }

    /// The saved cursor.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn cursor(&self) -> Result<Option<Cursor>, JournalError> {
        todo!()
    }

    /// Wall-clock instant of the last good poll.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn last_poll(&self) -> Result<Option<Timestamp>, JournalError> {
        todo!()
    }

    /// Which of these ids the journal holds, in any state.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn known(&self, _ids: Vec<ActivityId>) -> Result<std::collections::HashSet<ActivityId>, JournalError> {
        todo!()
    }

    // ---- reading: every process ----

    /// Leases the oldest offered message to this session: expired and orphaned leases are freed first.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn lease_next(&self) -> Result<Option<Entry>, JournalError> {
        todo!()
    }

    /// Gives a lease of this session back without counting it against the message.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn give_back(&self, _id: &ActivityId) -> Result<(), JournalError> {
        todo!()
    }

    /// New and leased messages, oldest first; changes nothing.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn peek(&self, _limit: u32) -> Result<Vec<Entry>, JournalError> {
        todo!()
    }

    /// One message in any state.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn find(&self, _id: &ActivityId) -> Result<Option<Entry>, JournalError> {
        todo!()
    }

    /// Acknowledges a message that is new, or leased by this session; answers after the commit.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn pop(&self, _id: &ActivityId) -> Result<Popped, JournalError> {
        todo!()
    }

    /// How many messages wait.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn counts(&self) -> Result<Counts, JournalError> {
        todo!()
    }

    // ---- outbox ----

    /// Writes work down before its first attempt, unless the same work is outstanding or fresh.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn enqueue(
        &self,
        _work: Work,
        _replies_to: Option<ActivityId>,
        _request_id: Option<String>,
    ) -> Result<Enqueued, JournalError> {
        todo!()
    }

    /// Pending rows to attempt: this session's own; with `orphans` also those whose session has ended (which become ours).
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn claim_pending(&self, _orphans: bool) -> Result<Vec<Item>, JournalError> {
        todo!()
    }

    /// Counts an attempt before it is made.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn begin_attempt(&self, _id: &str) -> Result<(), JournalError> {
        todo!()
    }

    /// Records what became of a row. A final progress is never changed again, except from unknown to answered or failed.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn record(&self, _id: &str, _change: Change) -> Result<(), JournalError> {
        todo!()
    }

    /// One row by its own id or by the platform's delegation id.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn outbox_item(&self, _id: &str) -> Result<Option<Item>, JournalError> {
        todo!()
    }

    /// Delegations accepted by the platform and not final, younger than 24 h, of every session.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn outstanding(&self) -> Result<Vec<Item>, JournalError> {
        todo!()
    }

    /// The newest delegations of this workspace, newest first.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn recent_delegations(&self, _limit: u32) -> Result<Vec<Item>, JournalError> {
        todo!()
    }

    /// The oldest unacknowledged plain message that `target` sent since `since` and that may answer this delegation.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn maybe_reply(
        &self,
        _delegation_id: &str,
        _target: &PeerId,
        _since: Timestamp,
    ) -> Result<Option<Entry>, JournalError> {
        todo!()
    }
}
