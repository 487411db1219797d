//! Leases: a message shown to a session belongs to it until it is acknowledged, its time runs out, or the session ends.

use std::collections::HashMap;

use rusqlite::params;

use super::error::JournalError;
use super::inbox::LOCAL;
use super::ledger::Ledger;
use crate::state::clock::BootInstant;

/// After this many leases that ran out a message is set aside.
const RUN_OUT_LIMIT: u32 = 5;

/// A lease as it is stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Lease {
    pub(super) session: Option<String>,
    pub(super) boot: Option<String>,
    /// Microseconds since that boot.
    pub(super) until_micros: Option<i64>,
}

/// What a lease is worth now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The message belongs to its session.
    Holds,
    /// Its session or boot has ended: as if it had never been, for the message's sake.
    Void,
    /// Its time is over while the session lives: counts against the message.
    RanOut,
}

/// The rule, without I/O.
pub(super) fn standing(lease: &Lease, session_lives: bool, now: &BootInstant) -> Standing {
    let (Some(boot), Some(until)) = (&lease.boot, lease.until_micros) else {
        return Standing::Void;
    };
    if !session_lives || !now.is_of_boot(boot) {
        Standing::Void
    } else if micros(now.since) >= until {
        Standing::RanOut
    } else {
        Standing::Holds
    }
}

/// A duration in whole microseconds.
pub(super) fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A leased message that is not its session's any more.
struct Overdue {
    n: i64,
    activity_id: String,
    kind: String,
    ran_out: bool,
    expired_leases: u32,
}

/// The sessions that wait for an answer. Asked at every look.
pub(super) const WAITERS: &str = "SELECT DISTINCT awaited_by FROM outbox WHERE scope = ?1 AND awaited_by IS NOT NULL";

impl Ledger<'_> {
    /// What a stored lease is worth now.
    pub(super) fn judge(&self, lease: &Lease) -> Standing {
        let lives = lease
            .session
            .as_deref()
            .is_some_and(|session| self.sessions.is_alive(session));
        standing(lease, lives, &self.boot)
    }

    /// Whether [`Self::free_overdue`] would change anything. Only reads.
    pub(super) fn has_overdue(&self) -> Result<bool, JournalError> {
        Ok(!self.overdue()?.is_empty() || !self.dead_waiters()?.is_empty())
    }

    /// Frees leases that are void or ran out, sets messages aside whose leases keep running out, and drops the claims of
    /// ended sessions on answers.
    pub(super) fn free_overdue(&self) -> Result<(), JournalError> {
        for message in self.overdue()? {
            let expired = message.expired_leases + u32::from(message.ran_out);
            let aside = expired >= RUN_OUT_LIMIT;
            self.conn
                .prepare_cached(
                    "UPDATE message SET state = ?2, expired_leases = ?3,
                        lease_session = NULL, lease_boot = NULL, lease_until = NULL WHERE n = ?1",
                )?
                .execute(params![message.n, if aside { "aside" } else { "new" }, expired])?;
            if aside {
                self.announce_aside(&message)?;
            }
        }
        for session in self.dead_waiters()? {
            self.conn
                .prepare_cached("UPDATE outbox SET awaited_by = NULL WHERE scope = ?1 AND awaited_by = ?2")?
                .execute(params![self.scope, session])?;
        }
        Ok(())
    }

    /// Our own announcements are not announced again; the platform's notes are.
    fn announce_aside(&self, message: &Overdue) -> Result<(), JournalError> {
        tracing::warn!(
            activity_id = message.activity_id,
            "set aside after {RUN_OUT_LIMIT} leases that ran out"
        );
        let id = &message.activity_id;
        if id.starts_with(LOCAL) {
            return Ok(());
        }
        let text = format!(
            "Message {id} ({kind}) was shown {RUN_OUT_LIMIT} times without being acknowledged and is now set aside. \
             It is kept: read it with inbox_peek(activity_id=\"{id}\"), answer it with reply_to_message or acknowledge it \
             with inbox_pop; inbox_peek(state=\"aside\") lists all that were set aside.",
            kind = message.kind,
        );
        // A message that was requeued and is set aside again is told again.
        self.announce(&text, &format!("aside:{id}:{}", self.wall.0))?;
        Ok(())
    }

    fn overdue(&self) -> Result<Vec<Overdue>, JournalError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT n, activity_id, kind, expired_leases, lease_session, lease_boot, lease_until
             FROM message WHERE scope = ?1 AND state = 'leased'",
        )?;
        let mut rows = statement.query([self.scope])?;
        let mut overdue = Vec::new();
        // Asked once for each session, not for each of its messages: this is looked at after every commit of any process.
        let mut alive = HashMap::<String, bool>::new();
        while let Some(row) = rows.next()? {
            let lease = Lease {
                session: row.get(4).ok().flatten(),
                boot: row.get(5).ok().flatten(),
                until_micros: row.get(6).ok().flatten(),
            };
            let lives = lease
                .session
                .as_deref()
                .is_some_and(|session| match alive.get(session) {
                    Some(lives) => *lives,
                    None => *alive
                        .entry(session.to_owned())
                        .or_insert(self.sessions.is_alive(session)),
                });
            let worth = standing(&lease, lives, &self.boot);
            if worth != Standing::Holds {
                overdue.push(Overdue {
                    n: row.get(0)?,
                    activity_id: row.get(1).unwrap_or_default(),
                    kind: row.get(2).unwrap_or_default(),
                    expired_leases: row.get(3).unwrap_or(0),
                    ran_out: worth == Standing::RanOut,
                });
            }
        }
        Ok(overdue)
    }

    fn dead_waiters(&self) -> Result<Vec<String>, JournalError> {
        let mut statement = self.conn.prepare_cached(WAITERS)?;
        let waiters = statement
            .query_map([self.scope], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<String>>>()?;
        Ok(waiters
            .into_iter()
            .filter(|session| !self.sessions.is_alive(session))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lease_ends_with_its_session_its_boot_or_its_time() {
        let now = BootInstant {
            boot: "b".to_owned(),
            since: Duration::from_secs(100),
        };
        let lease = |boot: Option<&str>, until_secs: Option<i64>| Lease {
            session: Some("s".to_owned()),
            boot: boot.map(str::to_owned),
            until_micros: until_secs.map(|secs| secs * 1_000_000),
        };
        for (lease, lives, expected) in [
            (lease(Some("b"), Some(101)), true, Standing::Holds),
            (lease(Some("b"), Some(100)), true, Standing::RanOut),
            (lease(Some("b"), Some(99)), true, Standing::RanOut),
            (lease(Some("b"), Some(101)), false, Standing::Void),
            (lease(Some("b"), Some(99)), false, Standing::Void),
            (lease(Some("c"), Some(101)), true, Standing::Void),
            (lease(Some("c"), Some(99)), true, Standing::Void),
            (lease(None, Some(101)), true, Standing::Void),
            (lease(Some("b"), None), true, Standing::Void),
        ] {
            assert_eq!(standing(&lease, lives, &now), expected, "{lease:?} {lives}");
        }
    }
}
