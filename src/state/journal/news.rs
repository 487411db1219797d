//! What reaches a workspace beside its messages: requests of both sides, and broadcasts.
//!
//! Which requests are open stands in a table of its own. An open one that was acknowledged is so not forgotten, and not shown
//! anew, after the days that handled messages are kept; and of a request of ours it is known that its answer is still to come.

use rusqlite::{OptionalExtension as _, params};

use super::Journal;
use super::error::JournalError;
use super::ledger::Ledger;
use super::row::seal;
use super::shape::{Batch, Committed};
use crate::state::message::{Kind, Message};
use crate::state::request::{Side, note_key};
use crate::types::{RequestId, Timestamp};

/// How far back broadcasts are looked for when it cannot be read up to when they were heard. As long as the platform keeps
/// them at least, and shorter than handled messages are kept.
const LOST_MICROS: i64 = 7 * 24 * 60 * 60 * 1_000_000;

/// What was found out, committed as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// New messages. Those already in the journal are dropped by id, those that the platform told of in its own words by
    /// the event that they are about.
    pub messages: Vec<Message>,
    /// Requests that are open.
    pub opened: Vec<(RequestId, Side)>,
    /// Requests that are not open any more. What the inbox still holds of one that others asked is handled by that.
    pub closed: Vec<RequestId>,
    /// Broadcasts up to this instant, by the platform's clock, are in the journal.
    pub heard: Option<Timestamp>,
}

/// The message that tells of an event, under whatever name: `?2` is what all of them have in common.
const TOLD: &str = "SELECT activity_id FROM message WHERE scope = ?1 AND message_id >= ?2 AND message_id < ?2 || '~'
    AND kind = ?3 AND activity_id <> ?4 AND state <> 'damaged' LIMIT 1";

impl News {
    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.opened.is_empty() && self.closed.is_empty() && self.heard.is_none()
    }
}

impl Journal {
    /// Commits what was found out.
    ///
    /// # Errors
    /// When nothing was committed.
    pub async fn take_news(&self, news: News) -> Result<Committed, JournalError> {
        self.write(move |ledger| ledger.take_news(&news)).await
    }

    /// The requests that are open, as far as is known.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn open_requests(&self) -> Result<Vec<(RequestId, Side)>, JournalError> {
        self.read(|ledger| ledger.open_requests()).await
    }

    /// Up to when broadcasts were heard, by the platform's clock; `None`: never.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn heard(&self) -> Result<Option<Timestamp>, JournalError> {
        self.read(|ledger| ledger.heard()).await
    }
}

impl Ledger<'_> {
    fn take_news(&self, news: &News) -> Result<Committed, JournalError> {
        for (id, side) in &news.opened {
            self.conn
                .prepare_cached("INSERT OR IGNORE INTO request (scope, id, side) VALUES (?1, ?2, ?3)")?
                .execute(params![self.scope, id.as_str(), side.as_str()])?;
        }
        let committed = self.commit(&Batch {
            messages: news.messages.clone(),
            ..Batch::default()
        })?;
        self.close(&news.closed)?;
        if let Some(heard) = news.heard {
            self.conn
                .prepare_cached("INSERT OR REPLACE INTO heard (scope, until, crc) VALUES (?1, ?2, ?3)")?
                .execute(params![self.scope, heard.0, seal("heard", &heard.0.to_le_bytes())])?;
        }
        Ok(committed)
    }

    fn close(&self, closed: &[RequestId]) -> Result<(), JournalError> {
        if closed.is_empty() {
            return Ok(());
        }
        for id in closed {
            self.conn
                .prepare_cached("DELETE FROM request WHERE scope = ?1 AND id = ?2")?
                .execute(params![self.scope, id.as_str()])?;
        }
        let waiting = self.entries(
            "state IN ('held', 'new', 'leased', 'aside', 'recovered') AND kind = ?2",
            params![self.scope, Kind::Request.as_str()],
        )?;
        for message in waiting.into_iter().map(|entry| entry.message) {
            let about = message.request.and_then(|about| about.id);
            if about.is_some_and(|id| closed.contains(&id)) {
                self.conn
                    .prepare_cached(
                        "UPDATE message SET state = 'done', done_at = ?3,
                            lease_session = NULL, lease_boot = NULL, lease_until = NULL
                         WHERE scope = ?1 AND activity_id = ?2",
                    )?
                    .execute(params![self.scope, message.activity_id.as_str(), self.wall.0])?;
            }
        }
        Ok(())
    }

    fn open_requests(&self) -> Result<Vec<(RequestId, Side)>, JournalError> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT id, side FROM request WHERE scope = ?1 ORDER BY id")?;
        let mut rows = statement.query([self.scope])?;
        let mut open = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, word): (String, String) = (row.get(0)?, row.get(1)?);
            let side = Side::ALL.into_iter().find(|side| side.as_str() == word);
            // One that cannot be read is found again on the platform.
            open.extend(RequestId::parse(&id).ok().zip(side));
        }
        Ok(open)
    }

    /// Whether a request is open here, on this side if one is named.
    pub(super) fn has_request(&self, id: &RequestId, side: Option<Side>) -> Result<bool, JournalError> {
        Ok(self
            .conn
            .prepare_cached("SELECT 1 FROM request WHERE scope = ?1 AND id = ?2 AND (?3 IS NULL OR side = ?3)")?
            .exists(params![self.scope, id.as_str(), side.map(Side::as_str)])?)
    }

    fn heard(&self) -> Result<Option<Timestamp>, JournalError> {
        let row: Option<(i64, i64)> = self
            .conn
            .prepare_cached("SELECT until, crc FROM heard WHERE scope = ?1")?
            .query_row([self.scope], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(row.map(|(until, crc)| {
            if i64::from(seal("heard", &until.to_le_bytes())) == crc {
                Timestamp(until)
            } else {
                self.wall.plus_micros(-LOST_MICROS)
            }
        }))
    }

    /// The message that tells of the same event of a request of ours: one of the two is the platform's note.
    pub(super) fn told_before(&self, message: &Message) -> Result<Option<String>, JournalError> {
        let Some(key) = note_key(message.message_id.as_deref().unwrap_or_default()) else {
            return Ok(None);
        };
        // Only the platform's notes are of this kind: a peer can give its messages any id.
        if message.kind != Kind::System {
            return Ok(None);
        }
        Ok(self
            .conn
            .prepare_cached(TOLD)?
            .query_row(
                params![self.scope, key, Kind::System.as_str(), message.activity_id.as_str()],
                |row| row.get(0),
            )
            .optional()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::journal::schema::testing::reads_everything;

    #[test]
    fn what_was_told_before_is_found_without_reading_every_message() {
        assert!(!reads_everything(TOLD));
    }
}
