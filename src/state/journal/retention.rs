//! What is kept for how long: handled messages and finished work for 30 days, then they go in small steps.
//!
//! The days are counted back from the newest message of the platform, not from this computer's clock: one that jumps ahead
//! must not make the journal forget what was acknowledged, or the next long read would offer it all again.

use std::time::Duration;

use rusqlite::{OptionalExtension as _, params};

use super::Journal;
use super::error::JournalError;
use super::ledger::Ledger;
use crate::state::message::State;
use crate::types::Timestamp;

/// How long handled things are kept, so that reading the same rows again never shows them anew.
const KEPT_MICROS: i64 = 30 * 24 * 60 * 60 * 1_000_000;

/// Rows removed in one transaction, so that nobody waits long for the write lock.
const STEP: usize = 500;

/// Free pages given back to the file system at once.
const SHRINK_PAGES: u32 = 1000;

/// Between two steps.
const PAUSE: Duration = Duration::from_millis(20);

/// Table, key, and which rows are old: `?1` is the scope, `?2` the end of what is kept.
const OLD: [(&str, &str, &str); 8] = [
    // The row's own time counts, too: the clock may have been far behind when it was acknowledged.
    (
        "message",
        "n",
        "state = 'done' AND done_at < ?2 AND at < ?2 AND NOT EXISTS
            (SELECT 1 FROM request WHERE request.scope = ?1 AND request.id = message.activity_id)",
    ),
    ("message", "n", "state IN ('recovered', 'damaged') AND at < ?2"),
    // Not only final rows: a delegation that nobody answered in 30 days will not be answered any more.
    ("outbox", "n", "progress <> 'pending' AND updated < ?2"),
    ("alias", "activity_id", "seen < ?2"),
    ("announced", "name", "at < ?2"),
    // Those on this computer go first, see `files_to_drop`.
    (
        "file",
        "n",
        "state IN ('gone', 'oversize', 'dropped', 'outgoing') AND message IS NULL AND seen < ?2",
    ),
    ("upload", "name", "at < ?2"),
    ("peer", "id", "asked < ?2"),
];

impl Journal {
    /// Prunes now and then, for as long as it is polled: the first time after a tenth of `every`, so that a busy start is
    /// left alone and a short life is enough. A failure is logged once and tried again.
    pub async fn keep_tidy(self, every: Duration) {
        let mut told = false;
        tokio::time::sleep(every / 10).await;
        loop {
            match self.prune().await {
                Ok(removed) => {
                    tracing::debug!(removed, "old journal rows removed");
                    told = false;
                }
                Err(error) if !told => {
                    tracing::warn!(%error, "old rows could not be removed from the journal");
                    told = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Removes what was handled more than 30 days ago, in small steps, and gives free space back to the file system; answers
    /// how many rows went. Call it now and then.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn prune(&self) -> Result<usize, JournalError> {
        let mut removed = 0;
        while self.read(|ledger| ledger.has_old_rows()).await? {
            let step = self.write(|ledger| ledger.prune_step()).await?;
            removed += step;
            if step < STEP {
                break;
            }
            // Others, in this process and elsewhere, get their turn.
            tokio::time::sleep(PAUSE).await;
        }
        while self.in_turn(|inner| inner.store().shrink(SHRINK_PAGES)).await? {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(removed)
    }
}

impl Ledger<'_> {
    /// Removes up to [`STEP`] rows and answers how many.
    fn prune_step(&self) -> Result<usize, JournalError> {
        let Some(before) = self.kept_since()? else { return Ok(0) };
        let mut left = STEP;
        for (table, key, old) in OLD {
            let limit = i64::try_from(left).unwrap_or(i64::MAX);
            left -= self
                .conn
                .prepare_cached(&format!(
                    "DELETE FROM {table} WHERE scope = ?1 AND {key} IN
                        (SELECT {key} FROM {table} WHERE scope = ?1 AND {old} LIMIT ?3)"
                ))?
                .execute(params![self.scope, before.0, limit])?;
        }
        Ok(STEP - left)
    }

    /// Whether there is anything to remove. Only reads.
    fn has_old_rows(&self) -> Result<bool, JournalError> {
        let Some(before) = self.kept_since()? else {
            return Ok(false);
        };
        for (table, _, old) in OLD {
            let any = self
                .conn
                .prepare_cached(&format!("SELECT 1 FROM {table} WHERE scope = ?1 AND {old} LIMIT 1"))?
                .exists(params![self.scope, before.0])?;
            if any {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The instant before which handled things may go. `None`: the platform has told no time yet.
    ///
    /// A message that claims to be of the future does not move it past what our own clock says.
    pub(super) fn kept_since(&self) -> Result<Option<Timestamp>, JournalError> {
        let mut newest = None;
        for state in State::ALL {
            let at: Option<i64> = self
                .conn
                .prepare_cached(
                    "SELECT at FROM message WHERE scope = ?1 AND state = ?2 AND activity_id NOT GLOB 'local:*'
                     ORDER BY at DESC, n DESC LIMIT 1",
                )?
                .query_row(params![self.scope, state.as_str()], |row| row.get(0))
                .optional()?;
            newest = newest.max(at.map(Timestamp));
        }
        Ok(newest.map(|newest| newest.min(self.wall).plus_micros(-KEPT_MICROS)))
    }
}
