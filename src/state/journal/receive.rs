//! What the duty holder commits: messages, cursor and poll time, in one transaction.

use std::collections::HashSet;

use rusqlite::{OptionalExtension as _, params};

use super::error::JournalError;
use super::ledger::Ledger;
use super::row::seal;
use super::scope;
use super::shape::{Batch, Committed};
use crate::state::message::{Message, State};
use crate::types::ActivityId;

/// A message with the same sender, `messageId` and content within this time is the same message.
pub(super) const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

impl Ledger<'_> {
    /// Commits what a read brought.
    pub(super) fn commit(&self, batch: &Batch) -> Result<Committed, JournalError> {
        let state = if batch.recovered {
            State::Recovered
        } else if batch.hold {
            State::Held
        } else {
            State::New
        };
        let mut committed = Committed::default();
        for message in &batch.messages {
            if self.is_known(&message.activity_id)? {
                continue;
            }
            let original = match self.original_of(message)? {
                None => self.told_before(message)?,
                repeated => repeated,
            };
            if let Some(original) = original {
                self.alias(message.activity_id.as_str(), &original)?;
                committed.repeats += 1;
                continue;
            }
            if self.take_announcement(message, state)? {
                committed.added += 1;
                continue;
            }
            let maybe_reply_to = match state {
                State::Recovered => None,
                _ => self.may_answer(message)?,
            };
            if state != State::Recovered && self.repeats_outcome(message)? {
                self.insert(message, State::New, None)?;
                self.pop(&message.activity_id)?;
                committed.repeats += 1;
                continue;
            }
            self.insert(message, state, maybe_reply_to.as_deref())?;
            self.note_files(message)?;
            self.meet(message)?;
            committed.added += 1;
            if state != State::Recovered {
                self.settle_with(message)?;
            }
        }
        if batch.release {
            self.conn
                .prepare_cached("UPDATE message SET state = 'new' WHERE scope = ?1 AND state = 'held'")?
                .execute([self.scope])?;
        }
        let cursor = match (&batch.cursor, batch.forget_cursor) {
            (Some(cursor), _) => Some(Some(cursor)),
            (None, true) => Some(None),
            (None, false) => None,
        };
        if cursor.is_some() || batch.polled.is_some() {
            scope::set_progress(self.conn, self.scope, cursor, batch.polled)?;
        }
        Ok(committed)
    }

    /// Notes that a row repeats another under an id of its own.
    pub(super) fn alias(&self, repeat: &str, original: &str) -> Result<(), JournalError> {
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO alias (scope, activity_id, original, seen) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![self.scope, repeat, original, self.wall.0])?;
        Ok(())
    }

    /// Stores a message; a damaged row of the same id is mended by it.
    pub(super) fn insert(
        &self,
        message: &Message,
        state: State,
        maybe_reply_to: Option<&str>,
    ) -> Result<(), JournalError> {
        let body = serde_json::to_string(message).map_err(std::io::Error::from)?;
        let id = message.activity_id.as_str();
        self.conn
            .prepare_cached(
                "INSERT INTO message (scope, activity_id, at, state, kind, peer_id, message_id, digest,
                    delegation_id, in_reply_to, body, crc, maybe_reply_to)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
                 ON CONFLICT (scope, activity_id) DO UPDATE SET at = excluded.at, state = excluded.state,
                    kind = excluded.kind, peer_id = excluded.peer_id, message_id = excluded.message_id,
                    digest = excluded.digest, delegation_id = excluded.delegation_id,
                    in_reply_to = excluded.in_reply_to, body = excluded.body, crc = excluded.crc,
                    maybe_reply_to = excluded.maybe_reply_to
                 WHERE message.state = 'damaged'",
            )?
            .execute(params![
                self.scope,
                id,
                message.at.0,
                state.as_str(),
                message.kind.as_str(),
                message.peer_id,
                message.message_id,
                message.digest,
                message.delegation_id,
                message.in_reply_to,
                body,
                seal(id, body.as_bytes()),
                maybe_reply_to,
            ])?;
        Ok(())
    }

    /// Which of these ids need not be read again. A damaged row's does, so that reading it again mends it.
    pub(super) fn known(&self, ids: Vec<ActivityId>) -> Result<HashSet<ActivityId>, JournalError> {
        let mut known = HashSet::new();
        for id in ids {
            if self.is_known(&id)? {
                known.insert(id);
            }
        }
        Ok(known)
    }

    fn is_known(&self, id: &ActivityId) -> Result<bool, JournalError> {
        Ok(self
            .conn
            .prepare_cached(
                "SELECT 1 FROM message WHERE scope = ?1 AND activity_id = ?2 AND state <> 'damaged'
                 UNION ALL SELECT 1 FROM alias WHERE scope = ?1 AND activity_id = ?2
                 UNION ALL SELECT 1 FROM file WHERE scope = ?1 AND activity_id = ?2",
            )?
            .exists(params![self.scope, id.as_str()])?)
    }

    /// The message that this one repeats under another row id.
    fn original_of(&self, message: &Message) -> Result<Option<String>, JournalError> {
        let (Some(message_id), Some(digest)) = (&message.message_id, &message.digest) else {
            return Ok(None);
        };
        Ok(self
            .conn
            .prepare_cached(
                "SELECT activity_id FROM message WHERE scope = ?1 AND message_id = ?2 AND peer_id = ?3 AND digest = ?4
                    AND activity_id <> ?5 AND at BETWEEN ?6 AND ?7 AND state <> 'damaged' LIMIT 1",
            )?
            .query_row(
                params![
                    self.scope,
                    message_id,
                    message.peer_id,
                    digest,
                    message.activity_id.as_str(),
                    message.at.plus_micros(-DAY_MICROS).0,
                    message.at.plus_micros(DAY_MICROS).0,
                ],
                |row| row.get(0),
            )
            .optional()?)
    }
}
