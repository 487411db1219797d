//! Showing messages and acknowledging them: lease, give back, pop, peek, set aside, announce.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::error::JournalError;
use super::leases::{Lease, Standing, micros};
use super::ledger::Ledger;
use super::row::{COLUMNS, Stored};
use super::shape::{Counts, Popped};
use crate::state::message::{Entry, Kind, Message, State};
use crate::types::{ActivityId, PeerId, Timestamp};

/// How the ids of this daemon's own messages begin; the platform's are UUIDs.
pub(super) const LOCAL: &str = "local:";
/// How the id of a message begins that tells the end of a delegation; its handle follows.
pub(super) const OUTCOME: &str = "local:delegation:";

/// Answers that a running call waits for: it returns them itself, so nobody else is shown them meanwhile.
#[derive(Default)]
pub(super) struct Withheld {
    activities: HashSet<String>,
    delegations: HashSet<String>,
}

/// Where a message stands, without its text.
struct Place {
    n: i64,
    state: String,
    lease: Lease,
}

impl Ledger<'_> {
    /// Whether a lease could be had, or needs freeing. Only reads, so that waiting on an empty inbox never writes.
    pub(super) fn may_offer(&self) -> Result<bool, JournalError> {
        Ok(self.has_new()? || self.has_overdue()?)
    }

    /// Leases the oldest message that is new, after freeing what is overdue.
    pub(super) fn lease_next(&self) -> Result<Option<Entry>, JournalError> {
        self.free_overdue()?;
        let withheld = self.withheld()?;
        let reserved = self.reserved_elsewhere()?;
        let (damaged, chosen) = {
            let mut statement = self.conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM message WHERE scope = ?1 AND state = 'new' ORDER BY at, n"
            ))?;
            let mut rows = statement.query([self.scope])?;
            let mut damaged = Vec::new();
            // Senders of whom a message waits for its files: what they wrote after it waits, too.
            let mut behind = HashSet::new();
            let chosen = loop {
                let Some(row) = rows.next()? else { break None };
                let stored = self.stored(row)?;
                match stored.entry {
                    None => damaged.push(stored),
                    Some(entry) if withheld.holds(&entry) || reserved.contains(entry.message.activity_id.as_str()) => {}
                    Some(entry) if behind.contains(&entry.message.peer_id) || self.waits_for_files(&entry)? => {
                        behind.insert(entry.message.peer_id);
                    }
                    Some(entry) => break Some((stored.n, entry)),
                }
            };
            (damaged, chosen)
        };
        for stored in &damaged {
            self.mark_damaged(stored)?;
        }
        let Some((n, mut entry)) = chosen else {
            // What was just announced about the damaged ones is the next to be shown.
            return if damaged.is_empty() {
                Ok(None)
            } else {
                self.lease_next()
            };
        };
        self.conn
            .prepare_cached(
                "UPDATE message SET state = 'leased', delivery_count = delivery_count + 1,
                    lease_session = ?2, lease_boot = ?3, lease_until = ?4 WHERE n = ?1",
            )?
            .execute(params![
                n,
                self.sessions.id(),
                self.boot.boot,
                micros(self.boot.since.saturating_add(self.lease)),
            ])?;
        entry.state = State::Leased;
        entry.delivery_count += 1;
        entry.mine = true;
        Ok(Some(entry))
    }

    pub(super) fn withheld(&self) -> Result<Withheld, JournalError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT id, awaited_by, answer_activity, delegation_id FROM outbox
             WHERE scope = ?1 AND awaited_by IS NOT NULL",
        )?;
        let mut rows = statement.query([self.scope])?;
        let mut withheld = Withheld::default();
        while let Some(row) = rows.next()? {
            let (item, session): (String, String) = (row.get(0)?, row.get(1)?);
            let waits = if session == self.sessions.id() {
                self.awaited.contains(&item)
            } else {
                self.sessions.is_alive(&session)
            };
            if waits {
                withheld.activities.extend(row.get::<_, Option<String>>(2)?);
                withheld.delegations.extend(row.get::<_, Option<String>>(3)?);
            }
        }
        Ok(withheld)
    }

    /// Its text is never shown again, unless the platform's copy mends it; said once.
    pub(super) fn mark_damaged(&self, stored: &Stored) -> Result<(), JournalError> {
        tracing::error!(
            activity_id = stored.activity_id,
            "a stored message does not match its checksum"
        );
        self.conn
            .prepare_cached("UPDATE message SET state = 'damaged' WHERE n = ?1")?
            .execute([stored.n])?;
        let id: String = stored
            .activity_id
            .chars()
            .filter(char::is_ascii_graphic)
            .take(128)
            .collect();
        let text = format!(
            "Message {id} was damaged on this computer's disk and is not shown, because its text may be wrong. \
             Ask its sender to repeat it, and check the disk."
        );
        self.announce(&text, &format!("damaged:{}:{id}", stored.n))?;
        Ok(())
    }

    /// Gives a lease of this session back, as if the message had not been shown.
    pub(super) fn give_back(&self, id: &ActivityId) -> Result<(), JournalError> {
        self.conn
            .prepare_cached(
                "UPDATE message SET state = 'new', delivery_count = max(delivery_count - 1, 0),
                    lease_session = NULL, lease_boot = NULL, lease_until = NULL
                 WHERE scope = ?1 AND activity_id = ?2 AND state = 'leased' AND lease_session = ?3",
            )?
            .execute(params![self.scope, id.as_str(), self.sessions.id()])?;
        Ok(())
    }

    /// Acknowledges a message that nobody else holds.
    pub(super) fn pop(&self, id: &ActivityId) -> Result<Popped, JournalError> {
        self.acknowledge(id, &[])
    }

    /// The same, also when one of these other sessions holds it.
    pub(super) fn acknowledge(&self, id: &ActivityId, also_of: &[&str]) -> Result<Popped, JournalError> {
        let Some(place) = self.place(id)? else {
            return Ok(Popped::Unknown);
        };
        match place.state.as_str() {
            "done" => return Ok(Popped::AlreadyDone),
            "held" => return Ok(Popped::Unknown),
            "leased" => {
                let session = place.lease.session.as_deref().unwrap_or_default();
                let ours = session == self.sessions.id() || also_of.contains(&session);
                if !ours && self.judge(&place.lease) == Standing::Holds {
                    return Ok(Popped::LeasedElsewhere);
                }
            }
            _ => {}
        }
        self.conn
            .prepare_cached(
                "UPDATE message SET state = 'done', done_at = ?2,
                    lease_session = NULL, lease_boot = NULL, lease_until = NULL WHERE n = ?1",
            )?
            .execute(params![place.n, self.wall.0])?;
        Ok(Popped::Removed)
    }

    /// Whether there is such a message, in any state.
    pub(super) fn has(&self, id: &ActivityId) -> Result<bool, JournalError> {
        Ok(self.place(id)?.is_some())
    }

    /// A message by its id, or by the id of a row that repeats it.
    fn place(&self, id: &ActivityId) -> Result<Option<Place>, JournalError> {
        Ok(self
            .conn
            .prepare_cached(
                "SELECT n, state, lease_session, lease_boot, lease_until FROM message
                 WHERE scope = ?1 AND activity_id = coalesce(
                    (SELECT original FROM alias WHERE scope = ?1 AND activity_id = ?2), ?2)",
            )?
            .query_row(params![self.scope, id.as_str()], |row| {
                Ok(Place {
                    n: row.get(0)?,
                    state: row.get(1)?,
                    lease: Lease {
                        session: row.get(2)?,
                        boot: row.get(3)?,
                        until_micros: row.get(4)?,
                    },
                })
            })
            .optional()?)
    }

    /// New and leased messages, oldest first.
    pub(super) fn peek(&self, limit: u32) -> Result<Vec<Entry>, JournalError> {
        self.entries(
            "state IN ('new', 'leased') ORDER BY at, n LIMIT ?2",
            params![self.scope, limit],
        )
    }

    /// Messages in one state or in all, newest first.
    pub(super) fn list(&self, state: Option<State>, limit: u32, offset: u32) -> Result<Vec<Entry>, JournalError> {
        self.entries(
            "(?2 IS NULL OR state = ?2) ORDER BY at DESC, n DESC LIMIT ?3 OFFSET ?4",
            params![self.scope, state.map(State::as_str), limit, offset],
        )
    }

    /// One message in any state, by its id or by that of a repeat.
    pub(super) fn find(&self, id: &ActivityId) -> Result<Option<Entry>, JournalError> {
        let stored = self
            .conn
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM message WHERE scope = ?1 AND activity_id = coalesce(
                    (SELECT original FROM alias WHERE scope = ?1 AND activity_id = ?2), ?2)"
            ))?
            .query_row(params![self.scope, id.as_str()], |row| self.stored(row))
            .optional()?;
        match stored {
            None => Ok(None),
            Some(Stored { entry: Some(entry), .. }) => Ok(Some(entry)),
            Some(_) => Err(JournalError::DamagedRow(format!("message {id}"))),
        }
    }

    /// The oldest unacknowledged message that may answer a delegation without saying so.
    pub(super) fn maybe_reply(
        &self,
        delegation_id: &str,
        target: &PeerId,
        since: Timestamp,
    ) -> Result<Option<Entry>, JournalError> {
        let entries = self.entries(
            "state IN ('new', 'leased') AND maybe_reply_to = ?2 AND lower(peer_id) = ?3 AND at >= ?4 ORDER BY at, n",
            params![self.scope, delegation_id, target.as_str(), since.0],
        )?;
        // What another session was shown is that session's to answer.
        Ok(entries
            .into_iter()
            .find(|entry| entry.state == State::New || entry.mine))
    }

    /// Sound rows only; `which` begins after `scope = ?1 AND`.
    pub(super) fn entries(&self, which: &str, params: impl rusqlite::Params) -> Result<Vec<Entry>, JournalError> {
        let mut statement = self
            .conn
            .prepare_cached(&format!("SELECT {COLUMNS} FROM message WHERE scope = ?1 AND {which}"))?;
        let stored = statement
            .query_map(params, |row| self.stored(row))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(stored.into_iter().filter_map(|stored| stored.entry).collect())
    }

    /// Offers a message again that was set aside or recovered. `false`: it is neither.
    pub(super) fn requeue(&self, id: &ActivityId) -> Result<bool, JournalError> {
        let changed = self
            .conn
            .prepare_cached(
                "UPDATE message SET state = 'new', expired_leases = 0
                 WHERE scope = ?1 AND activity_id = ?2 AND state IN ('aside', 'recovered')",
            )?
            .execute(params![self.scope, id.as_str()])?;
        Ok(changed > 0)
    }

    pub(super) fn counts(&self) -> Result<Counts, JournalError> {
        counts(self.conn, self.scope)
    }

    /// How many messages of each kind are shown to a session right now. An unreadable kind counts as `system`.
    pub(super) fn leased_kinds(&self) -> Result<Vec<(Kind, u64)>, JournalError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT kind, count(*) FROM message WHERE scope = ?1 AND state = 'leased' GROUP BY kind ORDER BY kind",
        )?;
        let mut rows = statement.query([self.scope])?;
        let mut kinds = Vec::new();
        while let Some(row) = rows.next()? {
            let word: String = row.get(0).unwrap_or_default();
            let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
            let count = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
            kinds.push((kind.unwrap_or(Kind::System), count));
        }
        Ok(kinds)
    }

    /// Puts a message of this daemon itself into the inbox, once for each `name`. `false`: it was said before.
    pub(super) fn announce(&self, text: &str, name: &str) -> Result<bool, JournalError> {
        let first = self
            .conn
            .prepare_cached("INSERT OR IGNORE INTO announced (scope, name, at) VALUES (?1, ?2, ?3)")?
            .execute(params![self.scope, name, self.wall.0])?;
        if first == 0 {
            return Ok(false);
        }
        let message = Message {
            text: text.to_owned(),
            ..self.own_message()
        };
        self.insert(&message, State::New, None)?;
        Ok(true)
    }

    /// An empty message of this daemon itself, with a fresh id and the time of now.
    pub(super) fn own_message(&self) -> Message {
        let id = format!("{LOCAL}{}", Uuid::new_v4());
        let id = ActivityId::parse(&id).expect("a prefix and a UUID are an activity id");
        Message::bare(id, Kind::System, self.wall)
    }
}

/// How many open messages there are, by state, and the time of the oldest of each. The condition is that of the index.
pub(super) const COUNTS: &str =
    "SELECT state, count(*), min(at) FROM message WHERE scope = ?1 AND state <> 'done' GROUP BY state";

/// How many messages of a workspace are in each state.
pub(super) fn counts(conn: &Connection, scope: i64) -> Result<Counts, JournalError> {
    let mut statement = conn.prepare_cached(COUNTS)?;
    let mut rows = statement.query([scope])?;
    let mut counts = Counts::default();
    while let Some(row) = rows.next()? {
        let state: String = row.get(0).unwrap_or_default();
        let count = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        match state.as_str() {
            "new" => counts.new = count,
            "leased" => counts.leased = count,
            "aside" => counts.aside = count,
            "held" => counts.held = count,
            "recovered" => counts.recovered = count,
            _ => counts.damaged += count,
        }
        if matches!(state.as_str(), "new" | "leased") {
            let oldest = Timestamp(row.get(2)?);
            counts.oldest = Some(counts.oldest.map_or(oldest, |known| known.min(oldest)));
        }
    }
    Ok(counts)
}

impl Withheld {
    pub(super) fn holds(&self, entry: &Entry) -> bool {
        self.activities.contains(entry.message.activity_id.as_str())
            || entry
                .maybe_reply_to
                .as_ref()
                .is_some_and(|delegation| self.delegations.contains(delegation))
    }
}
