//! The durable journal: messages, cursor, outbox. SQLite, WAL, full sync; shared by every process of a state folder.
//!
//! Calls are served one at a time, on a thread for blocking work, and, once begun, to their end: a future that is dropped
//! half-way never leaves half a transaction, and a lease whose caller is gone is given back. Nothing here knows HTTP or MCP.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::crash_point;
use super::message::{Entry, Kind, State};
use super::outbox::{Change, Enqueued, Item, Work};
use crate::types::{ActivityId, PeerId, Timestamp, WorkspaceId};
use ledger::Ledger;
use shared::{Inner, Seat, Unclaimed, blocking, look_after};

pub use arrivals::Arrivals;
pub use error::JournalError;
pub use news::News;
pub use peers::Introduction;
pub use shape::{Batch, Committed, Counts, Cursor, FileNews, FileRoom, Popped, Settings};
pub use shared::AnswerGuard;
pub use together::Inboxes;

mod arrivals;
mod card;
mod error;
mod file_room;
mod file_row;
mod files;
mod filing;
pub mod glimpse;
mod history;
mod inbox;
mod leases;
mod ledger;
mod mark;
mod medium;
mod news;
mod on_disk;
mod open;
mod outbox_row;
mod outgoing;
mod peers;
mod receive;
mod replace;
mod reserve;
mod retention;
mod row;
mod schema;
mod scope;
mod sent_files;
mod sessions;
mod settle;
mod shape;
mod shared;
mod together;
mod verify;
mod wake;
mod wal;
mod words;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

/// One workspace's part of the journal, seen by one session (process). Cheap to clone; the session ends with the last clone.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("workspace", &self.inner.workspace)
            .field("session", &self.inner.session())
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens (or makes) `<dir>/molecule.db` and this session's lock. Keyed by platform origin and workspace.
    ///
    /// # Errors
    /// See [`JournalError`]. A damaged file is set aside under a dated name when no other process has it open.
    pub async fn open(
        dir: &Path,
        origin: &str,
        workspace: &WorkspaceId,
        lease: Duration,
    ) -> Result<Self, JournalError> {
        Self::open_with(dir, origin, workspace, Settings::with_lease(lease)).await
    }

    /// The same with other clocks or intervals.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_with(
        dir: &Path,
        origin: &str,
        workspace: &WorkspaceId,
        settings: Settings,
    ) -> Result<Self, JournalError> {
        let whose = vec![(origin.to_owned(), workspace.clone())];
        let mut opened = Self::open_all(dir, whose, settings).await?;
        Ok(opened.pop().expect("as many were opened as were named"))
    }

    /// The journals of several workspaces, in the order in which they are named by their platform's origin and their id. They
    /// share one connection and one session, which ends with the last of them.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_all(
        dir: &Path,
        whose: Vec<(String, WorkspaceId)>,
        settings: Settings,
    ) -> Result<Vec<Self>, JournalError> {
        let (dir, look_every) = (dir.to_owned(), settings.look_every);
        let opened = blocking(move || Inner::open_all(&dir, &whose, &settings)).await?;
        if let Some(inner) = opened.first() {
            let folder = &inner.folder;
            tokio::spawn(look_after(Arc::downgrade(folder), folder.calls.clone(), look_every));
        }
        Ok(opened.into_iter().map(|inner| Self { inner }).collect())
    }

    /// These journals, which were opened together, as another session sees them: a client beside others that this process
    /// serves. What it is shown is leased to it alone until the last clone of the last of them is dropped.
    ///
    /// # Errors
    /// When the lock of the session cannot be made.
    pub async fn for_another_session(journals: &[Self]) -> Result<Vec<Self>, JournalError> {
        let Some(first) = journals.first() else {
            return Ok(Vec::new());
        };
        let seat = first.in_turn(|inner| Seat::take(&inner.folder)).await?;
        let seated = |journal: &Self| Self {
            inner: Arc::new(journal.inner.at(&seat)),
        };
        Ok(journals.iter().map(seated).collect())
    }

    /// The workspace whose journal this is.
    #[must_use]
    pub fn workspace(&self) -> &WorkspaceId {
        &self.inner.workspace
    }

    /// The id of the session that this is the view of, a UUID.
    #[must_use]
    pub fn session(&self) -> &str {
        self.inner.session()
    }

    /// Where the damaged journal was put that this one replaced when it was opened.
    #[must_use]
    pub fn replaced(&self) -> Option<&Path> {
        self.inner.folder.replaced.as_deref()
    }

    /// Changes whenever something in the journal may have changed, by this process or another (a hint, not a count).
    /// Also when a session ended or a lease ran out.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// How many sessions of this workspace run on this state folder, this one included.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn sessions(&self) -> Result<usize, JournalError> {
        let key = self.inner.key.clone();
        self.read(move |ledger| Ok(ledger.sessions.count(&key))).await
    }

    // ---- receiving: the duty holder only ----

    /// Commits what a read brought: messages, cursor and time in one transaction. Settles delegations that a message answers.
    ///
    /// # Errors
    /// When nothing was committed.
    pub async fn commit(&self, batch: Batch) -> Result<Committed, JournalError> {
        self.write(move |ledger| ledger.commit(&batch)).await
    }

    /// The saved cursor.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn cursor(&self) -> Result<Option<Cursor>, JournalError> {
        self.read(|ledger| Ok(scope::progress(ledger.conn, ledger.scope)?.0))
            .await
    }

    /// When the last good poll was, as it was told with [`Batch::polled`].
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn last_poll(&self) -> Result<Option<Timestamp>, JournalError> {
        self.read(|ledger| Ok(scope::progress(ledger.conn, ledger.scope)?.1))
            .await
    }

    /// Which of these ids the journal holds, in any state. A message that was damaged on disk is not held: committing it
    /// again mends it.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn known(&self, ids: Vec<ActivityId>) -> Result<HashSet<ActivityId>, JournalError> {
        self.read(move |ledger| ledger.known(ids)).await
    }

    /// Puts a message of this daemon itself into the inbox, as kind `system`, once for each `name`. `false`: said before.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn announce(&self, text: &str, name: &str) -> Result<bool, JournalError> {
        let (text, name) = (text.to_owned(), name.to_owned());
        self.write(move |ledger| ledger.announce(&text, &name)).await
    }

    /// Whether this journal replaced a damaged one whose messages were not looked for yet: true until
    /// [`Self::recovery_done`], whichever process asks. A commit of a [`Batch`] with `recovered` lists what is found.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn recovery_wanted(&self) -> Result<bool, JournalError> {
        self.read(|ledger| Ok(scope::lost(ledger.conn, ledger.scope)?.is_some()))
            .await
    }

    /// The messages of the damaged journal that were still to be had are committed.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn recovery_done(&self) -> Result<(), JournalError> {
        self.write(|ledger| scope::looked_for(ledger.conn, ledger.scope)).await
    }

    /// Commits a trifle: whether the disk takes anything again.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn try_out(&self) -> Result<(), JournalError> {
        self.write(|ledger| schema::note_trial(ledger.conn, ledger.wall)).await
    }

    // ---- reading: every process ----

    /// Leases the oldest offered message to this session: overdue and orphaned leases are freed first. Safe to cancel: a
    /// message whose caller is gone is given back. Answers that [`Self::await_answer`] claims are passed over.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn lease_next(&self) -> Result<Option<Entry>, JournalError> {
        let leased = self.in_turn(|inner| {
            if !inner.read(|ledger| ledger.may_offer())? {
                return Ok(None);
            }
            let entry = inner.write(|ledger| ledger.lease_next())?;
            crash_point::pass("lease", "taken");
            Ok(entry.map(|entry| Unclaimed::new(entry, inner.clone())))
        });
        let leased = leased.await?;
        Ok(leased.and_then(Unclaimed::claim))
    }

    /// Gives a lease of this session back without counting it against the message.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn give_back(&self, id: &ActivityId) -> Result<(), JournalError> {
        let id = id.clone();
        self.write(move |ledger| ledger.give_back(&id)).await
    }

    /// New and leased messages, oldest first; changes nothing.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn peek(&self, limit: u32) -> Result<Vec<Entry>, JournalError> {
        self.read(move |ledger| ledger.peek(limit)).await
    }

    /// Messages in one state, or in any, newest first; changes nothing.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn list(&self, state: Option<State>, limit: u32, offset: u32) -> Result<Vec<Entry>, JournalError> {
        self.read(move |ledger| ledger.list(state, limit, offset)).await
    }

    /// One message in any state, by its id or by that of a row that repeats it.
    ///
    /// # Errors
    /// See [`JournalError`]; `DamagedRow` when its text does not match its checksum.
    pub async fn find(&self, id: &ActivityId) -> Result<Option<Entry>, JournalError> {
        let id = id.clone();
        self.read(move |ledger| ledger.find(&id)).await
    }

    /// Acknowledges a message that is new, set aside, recovered, or leased by this session; answers after the commit.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn pop(&self, id: &ActivityId) -> Result<Popped, JournalError> {
        let id = id.clone();
        let popped = self.write(move |ledger| ledger.pop(&id)).await;
        crash_point::pass("pop", "committed");
        popped
    }

    /// Offers a message again that was set aside or recovered. `false`: it is neither.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn requeue(&self, id: &ActivityId) -> Result<bool, JournalError> {
        let id = id.clone();
        self.write(move |ledger| ledger.requeue(&id)).await
    }

    /// How many messages wait.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn counts(&self) -> Result<Counts, JournalError> {
        self.read(|ledger| ledger.counts()).await
    }

    /// How many messages of each kind are shown to sessions and not acknowledged; reads no text.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn leased_kinds(&self) -> Result<Vec<(Kind, u64)>, JournalError> {
        self.read(|ledger| ledger.leased_kinds()).await
    }

    // ---- outbox ----

    /// Writes work down before its first attempt, unless the same work is outstanding or fresh.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn enqueue(
        &self,
        work: Work,
        replies_to: Option<ActivityId>,
        request_id: Option<String>,
    ) -> Result<Enqueued, JournalError> {
        self.write(move |ledger| ledger.enqueue(work, replies_to, request_id))
            .await
    }

    /// Pending rows to attempt: this session's own; with `orphans` also those whose session has ended (which become ours).
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn claim_pending(&self, orphans: bool) -> Result<Vec<Item>, JournalError> {
        self.in_turn(move |inner| {
            if inner.read(|ledger| ledger.has_pending())? {
                inner.write(|ledger| ledger.claim_pending(orphans))
            } else {
                Ok(Vec::new())
            }
        })
        .await
    }

    /// Counts an attempt before it is made.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn begin_attempt(&self, id: &str) -> Result<(), JournalError> {
        let id = id.to_owned();
        self.write(move |ledger| ledger.begin_attempt(&id)).await
    }

    /// Records what became of a row. A final progress is never changed again, except from unknown to answered or failed,
    /// and progress never goes back; a change that comes too late only adds a missing delegation id.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn record(&self, id: &str, change: Change) -> Result<(), JournalError> {
        let id = id.to_owned();
        self.write(move |ledger| ledger.record(&id, change)).await
    }

    /// One row by its own id or by the platform's delegation id.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn outbox_item(&self, id: &str) -> Result<Option<Item>, JournalError> {
        let id = id.to_owned();
        self.read(move |ledger| ledger.outbox_item(&id)).await
    }

    /// From when on, by the platform's clock, to count the echoes of a message to the person, and how many of them belong
    /// to other messages with the same text.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn echoes_of_others(&self, id: &str) -> Result<(Timestamp, usize), JournalError> {
        let id = id.to_owned();
        self.read(move |ledger| ledger.echoes_of_others(&id)).await
    }

    /// Delegations with a platform id that are not final, younger than 24 h, of every session.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn outstanding(&self) -> Result<Vec<Item>, JournalError> {
        self.read(|ledger| ledger.outstanding()).await
    }

    /// The newest delegations of this workspace, newest first.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn recent_delegations(&self, limit: u32) -> Result<Vec<Item>, JournalError> {
        self.read(move |ledger| ledger.recent_delegations(limit)).await
    }

    /// The oldest unacknowledged plain message that `target` sent since `since` and that may answer this delegation.
    /// One that another session was shown is left to it.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn maybe_reply(
        &self,
        delegation_id: &str,
        target: &PeerId,
        since: Timestamp,
    ) -> Result<Option<Entry>, JournalError> {
        let (delegation_id, target) = (delegation_id.to_owned(), target.clone());
        self.read(move |ledger| ledger.maybe_reply(&delegation_id, &target, since))
            .await
    }

    /// Claims the answer of an outbox item for the caller, who is going to wait for it: until the guard is dropped, no
    /// session is shown the message that answers it, or that may answer it.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn await_answer(&self, item_id: &str) -> Result<AnswerGuard, JournalError> {
        let guard = AnswerGuard::begin(self.inner.clone(), item_id);
        let id = item_id.to_owned();
        self.write(move |ledger| ledger.await_answer(&id)).await?;
        Ok(guard)
    }

    /// Acknowledges the message that answered (or may answer) an outbox item, now that its text was returned to the caller
    /// of the delegation. `Unknown`: the message has nothing to do with that item.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn settle_answer(&self, item_id: &str, activity_id: &ActivityId) -> Result<Popped, JournalError> {
        let (item, message) = (item_id.to_owned(), activity_id.clone());
        let settled = self.write(move |ledger| ledger.settle_answer(&item, &message)).await;
        crash_point::pass("settle", "committed");
        settled
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger<'_>) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        self.in_turn(|inner| inner.read(work)).await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger<'_>) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        self.in_turn(|inner| inner.write(work)).await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Inner>) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        self.inner.clone().in_turn(work).await
    }
}
