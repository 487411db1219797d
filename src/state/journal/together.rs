//! The inboxes of all workspaces that a process serves, as one: what an agent sees that is told of messages, wherever they
//! arrived.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::Journal;
use super::error::JournalError;
use super::ledger::Ledger;
use super::shape::{Counts, Popped};
use super::shared::Inner;
use crate::state::history::{Ask, Said};
use crate::state::message::{Entry, Message, State};
use crate::state::request::Side;
use crate::types::{ActivityId, PeerId, RequestId};

/// One or more inboxes of one state folder. Cheap to clone.
///
/// Messages of each are handed out oldest first, and the inboxes take turns: a flood in one holds up none of the others.
#[derive(Clone, Debug)]
pub struct Inboxes {
    all: Arc<[Journal]>,
    /// Whose turn it is.
    turn: Arc<AtomicUsize>,
}

impl Inboxes {
    /// Those of these journals, which were opened together; at least one.
    ///
    /// # Panics
    /// Without any.
    #[must_use]
    pub fn of(all: Vec<Journal>) -> Self {
        assert!(!all.is_empty(), "a process serves at least one workspace");
        Self {
            all: all.into(),
            turn: Arc::default(),
        }
    }

    /// Changes whenever something in any of them may have changed; see [`Journal::changes`].
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.all[0].inner.folder.changes.subscribe()
    }

    /// As [`Journal::lease_next`], of the inbox whose turn it is or of the next one that has something to offer.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn lease_next(&self) -> Result<Option<Entry>, JournalError> {
        for index in self.in_turn(|ledger| ledger.may_offer()).await? {
            if let Some(entry) = self.all[index].lease_next().await? {
                self.had_its_turn(index);
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// As [`Journal::reserve_next`], in turn.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn reserve_next(
        &self,
        period: Option<Duration>,
        but_not: HashSet<ActivityId>,
        wanted: impl Fn(&Message) -> bool + Clone + Send + 'static,
    ) -> Result<Option<Entry>, JournalError> {
        for index in self.in_turn(|ledger| ledger.has_new()).await? {
            if let Some(entry) = self.all[index]
                .reserve_next(period, but_not.clone(), wanted.clone())
                .await?
            {
                self.had_its_turn(index);
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// See [`Journal::give_back`].
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn give_back(&self, id: &ActivityId) -> Result<(), JournalError> {
        match self.holder(id).await? {
            Some(journal) => journal.give_back(id).await,
            None => Ok(()),
        }
    }

    /// New and leased messages of all, oldest first; changes nothing.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn peek(&self, limit: u32) -> Result<Vec<Entry>, JournalError> {
        let mut entries = self.each(move |ledger| ledger.peek(limit)).await?;
        entries.sort_by_key(|entry| entry.message.at);
        entries.truncate(limit as usize);
        Ok(entries)
    }

    /// Messages of all in one state, or in any, newest first; changes nothing.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn list(&self, state: Option<State>, limit: u32, offset: u32) -> Result<Vec<Entry>, JournalError> {
        if let [alone] = &*self.all {
            return alone.list(state, limit, offset).await;
        }
        let most = limit.saturating_add(offset);
        let mut entries = self.each(move |ledger| ledger.list(state, most, 0)).await?;
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.message.at));
        let wanted = entries.into_iter().skip(offset as usize).take(limit as usize);
        Ok(wanted.collect())
    }

    /// See [`Journal::find`].
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn find(&self, id: &ActivityId) -> Result<Option<Entry>, JournalError> {
        match self.holder(id).await? {
            Some(journal) => journal.find(id).await,
            None => Ok(None),
        }
    }

    /// See [`Journal::pop`].
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn pop(&self, id: &ActivityId) -> Result<Popped, JournalError> {
        match self.holder(id).await? {
            Some(journal) => journal.pop(id).await,
            None => Ok(Popped::Unknown),
        }
    }

    /// See [`Journal::requeue`].
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn requeue(&self, id: &ActivityId) -> Result<bool, JournalError> {
        match self.holder(id).await? {
            Some(journal) => journal.requeue(id).await,
            None => Ok(false),
        }
    }

    /// What was said at any of these workspaces, newest first; see [`Journal::history`].
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn history(&self, ask: Ask) -> Result<Vec<Said>, JournalError> {
        let mut said = Vec::new();
        for journal in &*self.all {
            said.extend(journal.history(ask.clone()).await?);
        }
        said.sort_by_key(|said| std::cmp::Reverse(said.at()));
        said.truncate(usize::try_from(ask.limit).unwrap_or(usize::MAX));
        Ok(said)
    }

    /// How many messages wait in all of them.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn counts(&self) -> Result<Counts, JournalError> {
        let each = self.each(|ledger| ledger.counts().map(Some)).await?;
        Ok(each.into_iter().fold(Counts::default(), Counts::and))
    }

    /// See [`Journal::still_open`].
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn still_open(&self, ids: Vec<ActivityId>) -> Result<Vec<(ActivityId, bool)>, JournalError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.each(move |ledger| ledger.still_open(&ids)).await
    }

    /// See [`Journal::inbox_mark`].
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn inbox_mark(&self) -> Result<u64, JournalError> {
        let marks = self.each(|ledger| ledger.inbox_mark().map(Some)).await?;
        Ok(match &*marks {
            [alone] => *alone,
            marks => {
                // Of all in their order, so that what one gains and another loses does not look like nothing.
                let mut hasher = Sha256::new();
                for mark in marks {
                    hasher.update(mark.to_le_bytes());
                }
                let digest = hasher.finalize();
                digest[..8].iter().fold(0, |mark, byte| mark << 8 | u64::from(*byte))
            }
        })
    }

    /// Which of them hold anything that a peer sent, in the order in which they were named.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn heard_from(&self, peer: &PeerId) -> Result<Vec<usize>, JournalError> {
        let peer = peer.as_str().to_owned();
        let mut found = self.indices_in_turn(move |ledger| ledger.has_message_of(&peer)).await?;
        found.sort_unstable();
        Ok(found)
    }

    /// Which of them has something in its outbox, by its handle or the delegation's id.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn sender_of(&self, id: &str) -> Result<Option<usize>, JournalError> {
        let id = id.to_owned();
        let found = self
            .indices_in_turn(move |ledger| Ok(ledger.outbox_item(&id)?.is_some()))
            .await?;
        Ok(found.first().copied())
    }

    /// In which of them a request is open, on this side if one is named, in the order in which they were named.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn with_request(&self, id: &RequestId, side: Option<Side>) -> Result<Vec<usize>, JournalError> {
        let id = id.clone();
        let mut found = self
            .indices_in_turn(move |ledger| ledger.has_request(&id, side))
            .await?;
        found.sort_unstable();
        Ok(found)
    }

    /// The first of them that knows anything of a delegation, by its id or the handle of the task.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn with_thread(&self, id: &str) -> Result<Option<usize>, JournalError> {
        let id = id.to_owned();
        let found = self
            .indices_in_turn(move |ledger| Ok(!ledger.thread(&id)?.is_empty()))
            .await?;
        Ok(found.into_iter().min())
    }

    /// Where a message is, in whatever state.
    async fn holder(&self, id: &ActivityId) -> Result<Option<&Journal>, JournalError> {
        if let [alone] = &*self.all {
            return Ok(Some(alone));
        }
        let id = id.clone();
        let holders = self.indices_in_turn(move |ledger| ledger.has(&id)).await?;
        Ok(holders.first().map(|index| &self.all[*index]))
    }

    /// Those of which something holds, the one whose turn it is first.
    async fn in_turn(&self, holds: fn(&Ledger<'_>) -> Result<bool, JournalError>) -> Result<Vec<usize>, JournalError> {
        match &*self.all {
            [_] => Ok(vec![0]),
            _ => self.indices_in_turn(holds).await,
        }
    }

    async fn indices_in_turn(
        &self,
        holds: impl Fn(&Ledger<'_>) -> Result<bool, JournalError> + Send + 'static,
    ) -> Result<Vec<usize>, JournalError> {
        let (all, first) = (Arc::clone(&self.all), self.turn.load(Ordering::Relaxed));
        let folder = Arc::clone(&all[0].inner.folder);
        let reading = Arc::clone(&folder);
        folder
            .in_turn(move || {
                let mut found = Vec::new();
                let members: Vec<(usize, &Arc<Inner>)> = all.iter().map(|journal| &journal.inner).enumerate().collect();
                let (before, from) = members.split_at(first.min(members.len()));
                reading.read_each(from.iter().chain(before).copied(), |index, ledger| {
                    if holds(ledger)? {
                        found.push(index);
                    }
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok(found)
            })
            .await
    }

    fn had_its_turn(&self, index: usize) {
        self.turn.store((index + 1) % self.all.len(), Ordering::Relaxed);
    }

    /// What `read` finds in each of them, in one snapshot.
    async fn each<T: Send + 'static, L: IntoIterator<Item = T>>(
        &self,
        read: impl Fn(&Ledger<'_>) -> Result<L, JournalError> + Send + 'static,
    ) -> Result<Vec<T>, JournalError> {
        let all = Arc::clone(&self.all);
        let folder = Arc::clone(&all[0].inner.folder);
        let reading = Arc::clone(&folder);
        folder
            .in_turn(move || {
                let mut found = Vec::new();
                let members = all.iter().map(|journal| ((), &journal.inner));
                reading.read_each(members, |(), ledger| {
                    found.extend(read(ledger)?);
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok(found)
            })
            .await
    }
}
