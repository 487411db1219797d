//! Reservations: a message pushed into a session's conversation is kept from the waits of other sessions for a while, so
//! that two agents do not both begin to answer it. It is no delivery: nothing is leased, counted or acknowledged by it.

use std::collections::HashSet;
use std::time::Duration;

use rusqlite::params;

use super::Journal;
use super::error::JournalError;
use super::leases::{Lease, Standing, micros};
use super::ledger::Ledger;
use super::row::COLUMNS;
use crate::state::message::{Entry, Message};
use crate::types::ActivityId;

/// What is open in an inbox, in four numbers. Asked in every process after every change, so it must not cost more the longer
/// the inbox has been in use: the condition is that of the index.
pub(super) const MARK: &str =
    "SELECT coalesce(max(n), 0), count(*), coalesce(sum(state = 'leased'), 0), coalesce(sum(delivery_count), 0)
     FROM message WHERE scope = ?1 AND state <> 'done'";

impl Journal {
    /// The oldest waiting message that is `wanted` and not in `but_not`, that no other session has reserved, and that answers
    /// no call that waits for it. With a `period` it is reserved for this session that long; a reservation ends with its session.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn reserve_next(
        &self,
        period: Option<Duration>,
        but_not: HashSet<ActivityId>,
        wanted: impl Fn(&Message) -> bool + Send + 'static,
    ) -> Result<Option<Entry>, JournalError> {
        match period {
            Some(period) => {
                self.write(move |ledger| {
                    let entry = ledger.next_unreserved(&but_not, &wanted)?;
                    if let Some(entry) = &entry {
                        ledger.reserve(entry, period)?;
                    }
                    Ok(entry)
                })
                .await
            }
            None => self.read(move |ledger| ledger.next_unreserved(&but_not, &wanted)).await,
        }
    }

    /// Which of these messages are not acknowledged yet, and whether they wait (`true`) or are being worked on.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn still_open(&self, ids: Vec<ActivityId>) -> Result<Vec<(ActivityId, bool)>, JournalError> {
        self.read(move |ledger| ledger.still_open(&ids)).await
    }

    /// A number that changes whenever the inbox looks different: a message came, was shown, given back or acknowledged.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn inbox_mark(&self) -> Result<u64, JournalError> {
        self.read(|ledger| ledger.inbox_mark()).await
    }
}

impl Ledger<'_> {
    /// See [`Journal::still_open`].
    pub(super) fn still_open(&self, ids: &[ActivityId]) -> Result<Vec<(ActivityId, bool)>, JournalError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT state = 'new' FROM message
             WHERE scope = ?1 AND activity_id = ?2 AND state IN ('new', 'leased')",
        )?;
        let mut open = Vec::new();
        for id in ids {
            let mut rows = statement.query(params![self.scope, id.as_str()])?;
            if let Some(row) = rows.next()? {
                open.push((id.clone(), row.get(0)?));
            }
        }
        Ok(open)
    }

    /// See [`Journal::inbox_mark`].
    pub(super) fn inbox_mark(&self) -> Result<u64, JournalError> {
        let (newest, open, shown, handed_out): (i64, i64, i64, i64) =
            self.conn.prepare_cached(MARK)?.query_row([self.scope], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
        let mut hasher = crc32fast::Hasher::new();
        for number in [open, shown, handed_out] {
            hasher.update(&number.to_le_bytes());
        }
        Ok(u64::from(hasher.finalize()) << 32 | u64::from(newest.unsigned_abs() as u32))
    }

    /// Whether a peer, named in lower case, ever wrote.
    pub(super) fn has_message_of(&self, peer: &str) -> Result<bool, JournalError> {
        Ok(self
            .conn
            .prepare_cached("SELECT 1 FROM message WHERE scope = ?1 AND lower(peer_id) = ?2 LIMIT 1")?
            .exists(params![self.scope, peer])?)
    }

    /// Whether any message waits.
    pub(super) fn has_new(&self) -> Result<bool, JournalError> {
        Ok(self
            .conn
            .prepare_cached("SELECT 1 FROM message WHERE scope = ?1 AND state = 'new' LIMIT 1")?
            .exists([self.scope])?)
    }

    /// Messages that other sessions have reserved and may still take.
    pub(super) fn reserved_elsewhere(&self) -> Result<HashSet<String>, JournalError> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT activity_id, session, boot, until FROM reservation WHERE scope = ?1")?;
        let mut rows = statement.query([self.scope])?;
        let mut reserved = HashSet::new();
        while let Some(row) = rows.next()? {
            let lease = Lease {
                session: row.get(1)?,
                boot: row.get(2)?,
                until_micros: row.get(3)?,
            };
            let ours = lease.session.as_deref() == Some(self.sessions.id());
            if !ours && self.judge(&lease) == Standing::Holds {
                reserved.insert(row.get(0)?);
            }
        }
        Ok(reserved)
    }

    fn next_unreserved(
        &self,
        but_not: &HashSet<ActivityId>,
        wanted: &dyn Fn(&Message) -> bool,
    ) -> Result<Option<Entry>, JournalError> {
        let (withheld, reserved) = (self.withheld()?, self.reserved_elsewhere()?);
        let mut statement = self.conn.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM message WHERE scope = ?1 AND state = 'new' ORDER BY at, n"
        ))?;
        let mut rows = statement.query([self.scope])?;
        // As for a wait: a message waits for its files, and its sender's later ones with it.
        let mut behind = HashSet::new();
        while let Some(row) = rows.next()? {
            // A damaged row is left to the next wait, which marks and announces it.
            let Some(entry) = self.stored(row)?.entry else { continue };
            let id = &entry.message.activity_id;
            if withheld.holds(&entry) {
                continue;
            }
            if behind.contains(&entry.message.peer_id) || self.waits_for_files(&entry)? {
                behind.insert(entry.message.peer_id);
            } else if !but_not.contains(id) && !reserved.contains(id.as_str()) && wanted(&entry.message) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn reserve(&self, entry: &Entry, period: Duration) -> Result<(), JournalError> {
        // Reservations of messages that no longer wait mean nothing; here they are few and go on the way.
        self.conn
            .prepare_cached(
                "DELETE FROM reservation WHERE scope = ?1 AND activity_id NOT IN
                    (SELECT activity_id FROM message WHERE scope = ?1 AND state = 'new')",
            )?
            .execute([self.scope])?;
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO reservation (scope, activity_id, session, boot, until)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                self.scope,
                entry.message.activity_id.as_str(),
                self.sessions.id(),
                self.boot.boot,
                micros(self.boot.since.saturating_add(period)),
            ])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::journal::inbox::COUNTS;
    use crate::state::journal::schema::testing::plan;

    #[test]
    fn what_was_acknowledged_is_not_passed_by_when_the_inbox_is_looked_at() {
        for query in [MARK, COUNTS] {
            let steps = plan(query);
            assert_eq!(steps.len(), 1, "{steps:?}");
            assert!(steps[0].contains("USING COVERING INDEX message_open"), "{steps:?}");
        }
    }
}
