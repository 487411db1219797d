//! Reading conversations back: messages and outgoing work in one order, all of it or what holds certain words.

use rusqlite::params;

use super::Journal;
use super::error::JournalError;
use super::ledger::Ledger;
use super::words;
use crate::state::history::{Ask, Said};
use crate::state::message::{Entry, State};
use crate::state::outbox::{Item, Work};
use crate::types::{Partner, Timestamp};

/// Messages that an unfinished recovery does not keep back.
const SHOWN: &str = "state NOT IN ('held', 'damaged')";

impl Journal {
    /// What was said, newest first. What an unfinished recovery keeps back is not shown yet.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn history(&self, ask: Ask) -> Result<Vec<Said>, JournalError> {
        if ask.words.is_none() {
            return self.read(move |ledger| ledger.history(&ask)).await;
        }
        match self.search(ask.clone()).await {
            // Not the rows: their own damage is no failure.
            Err(JournalError::Damaged(why)) => {
                tracing::warn!(why, "the word index of the journal is damaged and is made anew");
                self.forget_words().await?;
                self.search(ask).await
            }
            found => found,
        }
    }

    async fn search(&self, ask: Ask) -> Result<Vec<Said>, JournalError> {
        self.index_words().await?;
        self.read(move |ledger| ledger.history(&ask)).await
    }

    /// Everything that belongs to one delegation, whoever gave it, oldest first: the task, what was written about it, and
    /// plain messages that may answer it. It is named by the platform's id or by the id of a piece of outgoing work.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn thread(&self, id: &str) -> Result<Vec<Said>, JournalError> {
        let id = id.to_owned();
        self.read(move |ledger| ledger.thread(&id)).await
    }
}

impl Ledger<'_> {
    fn history(&self, ask: &Ask) -> Result<Vec<Said>, JournalError> {
        let search = match &ask.words {
            None => None,
            Some(words) => match words::search(self.scope, ask.with.as_ref(), words) {
                None => return Ok(Vec::new()),
                search => search,
            },
        };
        let before = ask.before.unwrap_or(Timestamp(i64::MAX));
        let received = self.received(ask, search.as_deref(), before)?;
        let sent = self.sent(ask, search.as_deref(), before)?;
        let mut said: Vec<Said> = received.into_iter().map(said_by_others).collect();
        said.extend(sent.into_iter().map(said_by_us));
        // Stable, so that of one instant what came in stands before what went out, seen from the oldest.
        said.sort_by_key(|said| std::cmp::Reverse(said.at()));
        said.truncate(usize::try_from(ask.limit).unwrap_or(usize::MAX));
        Ok(said)
    }

    fn received(&self, ask: &Ask, search: Option<&str>, before: Timestamp) -> Result<Vec<Entry>, JournalError> {
        const NEWEST: &str = "AND at < ?2 ORDER BY at DESC, n DESC LIMIT ?3";
        if let Some(search) = search {
            // The rows themselves are read only once it is known which are the newest.
            return self.entries(
                &format!(
                    "n IN (SELECT message.n FROM message_words CROSS JOIN message ON message.n = message_words.rowid
                         WHERE message_words MATCH ?4 AND message.scope = ?1 AND {SHOWN} {NEWEST})
                     ORDER BY at DESC, n DESC"
                ),
                params![self.scope, before.0, ask.limit, search],
            );
        }
        match &ask.with {
            // One walk down the index for each state.
            None => self.entries(
                &format!(
                    "n IN ({}) {NEWEST}",
                    State::ALL
                        .into_iter()
                        .filter(|state| *state != State::Held)
                        .map(|state| format!(
                            "SELECT n FROM (SELECT n FROM message WHERE scope = ?1 AND state = '{}' {NEWEST})",
                            state.as_str()
                        ))
                        .collect::<Vec<_>>()
                        .join(" UNION ALL ")
                ),
                params![self.scope, before.0, ask.limit],
            ),
            Some(Partner::Person) => self.entries(
                &format!("lower(peer_id) = '' AND kind IN ('canvas_user', 'upload') AND {SHOWN} {NEWEST}"),
                params![self.scope, before.0, ask.limit],
            ),
            Some(Partner::Peer(peer)) => self.entries(
                &format!("lower(peer_id) = ?4 AND {SHOWN} {NEWEST}"),
                params![self.scope, before.0, ask.limit, peer.as_str()],
            ),
        }
    }

    fn sent(&self, ask: &Ask, search: Option<&str>, before: Timestamp) -> Result<Vec<Item>, JournalError> {
        const NEWEST: &str = "created < ?2 ORDER BY created DESC, n DESC LIMIT ?3";
        let found = if let Some(search) = search {
            self.rows(
                &format!(
                    "n IN (SELECT outbox.n FROM outbox_words CROSS JOIN outbox ON outbox.n = outbox_words.rowid
                         WHERE outbox_words MATCH ?4 AND outbox.scope = ?1 AND {NEWEST})
                     ORDER BY created DESC, n DESC"
                ),
                params![self.scope, before.0, ask.limit, search],
            )?
        } else {
            match &ask.with {
                None => self.rows(NEWEST, params![self.scope, before.0, ask.limit])?,
                Some(Partner::Person) => self.rows(
                    &format!("kind = 'notify' AND {NEWEST}"),
                    params![self.scope, before.0, ask.limit],
                )?,
                Some(Partner::Peer(peer)) => self.rows(
                    &format!("target = ?4 AND {NEWEST}"),
                    params![self.scope, before.0, ask.limit, peer.as_str()],
                )?,
            }
        };
        Ok(found.sound.into_iter().map(|row| row.item).collect())
    }

    /// See [`Journal::thread`].
    pub(super) fn thread(&self, id: &str) -> Result<Vec<Said>, JournalError> {
        let item = self.item_row(id)?.map(|row| row.item);
        let handle = item.as_ref().map_or(id, |item| &item.id);
        let delegation_id = match item.as_ref().map(|item| (&item.work, &item.delegation_id)) {
            Some((Work::ReplyToPeer { delegation_id, .. }, _)) => delegation_id.as_deref(),
            Some((_, delegation_id)) => delegation_id.as_deref(),
            None => None,
        };
        let delegation_id = delegation_id.unwrap_or(id);
        let received = self.entries(
            &format!(
                "{SHOWN} AND n IN (
                    SELECT n FROM message WHERE scope = ?1 AND delegation_id = ?2
                    UNION SELECT n FROM message WHERE scope = ?1 AND in_reply_to IN (?2, ?3)
                    UNION SELECT n FROM message WHERE scope = ?1 AND maybe_reply_to = ?2)
                 ORDER BY at, n"
            ),
            params![self.scope, delegation_id, handle],
        )?;
        let sent = self.rows(
            "(id = ?3 OR delegation_id = ?2 OR (kind = 'reply' AND json_extract(work, '$.delegation_id') = ?2))
                ORDER BY created, n",
            params![self.scope, delegation_id, handle],
        )?;
        let mut said: Vec<Said> = received.into_iter().map(said_by_others).collect();
        said.extend(sent.sound.into_iter().map(|row| said_by_us(row.item)));
        Ok(in_order(said))
    }
}

/// Oldest first; and, whichever clock is ahead, a task before what was said about it and a reply behind what it answers.
fn in_order(mut said: Vec<Said>) -> Vec<Said> {
    let is_order = |said: &Said| matches!(said, Said::Sent(item) if matches!(item.work, Work::Delegate { .. }));
    said.sort_by_key(|said| (!is_order(said), said.at()));
    let mut place = 0;
    while let Some(one) = said.get(place) {
        let answered = said.iter().rposition(|other| match (one, other) {
            (Said::Sent(item), Said::Received(entry)) => item.replies_to.as_ref() == Some(&entry.message.activity_id),
            _ => false,
        });
        match answered {
            Some(answered) if answered > place => said[place..=answered].rotate_left(1),
            _ => place += 1,
        }
    }
    said
}

fn said_by_others(entry: Entry) -> Said {
    Said::Received(Box::new(entry))
}

fn said_by_us(item: Item) -> Said {
    Said::Sent(Box::new(item))
}
