//! What is kept for how long: handled messages and finished work for 30 days, then they go in small steps.

use rusqlite::params;

use super::error::JournalError;
use super::ledger::Ledger;

/// How long handled things are kept, so that reading the same rows again never shows them anew.
const KEPT_MICROS: i64 = 30 * 24 * 60 * 60 * 1_000_000;

/// Rows removed in one transaction, so that nobody waits long for the write lock.
pub(super) const STEP: usize = 500;

/// Free pages given back to the file system after each step.
pub(super) const SHRINK_PAGES: u32 = 1000;

const REMOVALS: [&str; 5] = [
    "DELETE FROM message WHERE n IN (SELECT n FROM message
        WHERE scope = ?1 AND state = 'done' AND done_at < ?2 LIMIT ?3)",
    "DELETE FROM message WHERE n IN (SELECT n FROM message
        WHERE scope = ?1 AND state = 'recovered' AND at < ?2 LIMIT ?3)",
    // Not only final rows: a delegation that nobody answered in 30 days will not be answered any more.
    "DELETE FROM outbox WHERE n IN (SELECT n FROM outbox
        WHERE scope = ?1 AND progress <> 'pending' AND updated < ?2 LIMIT ?3)",
    "DELETE FROM alias WHERE scope = ?1 AND activity_id IN (SELECT activity_id FROM alias
        WHERE scope = ?1 AND seen < ?2 LIMIT ?3)",
    "DELETE FROM announced WHERE scope = ?1 AND name IN (SELECT name FROM announced
        WHERE scope = ?1 AND at < ?2 LIMIT ?3)",
];

impl Ledger<'_> {
    /// Removes up to [`STEP`] rows and answers how many.
    pub(super) fn prune_step(&self) -> Result<usize, JournalError> {
        let before = self.wall.plus_micros(-KEPT_MICROS).0;
        let mut left = STEP;
        for removal in REMOVALS {
            let limit = i64::try_from(left).unwrap_or(i64::MAX);
            left -= self
                .conn
                .prepare_cached(removal)?
                .execute(params![self.scope, before, limit])?;
        }
        Ok(STEP - left)
    }

    /// Whether there is anything to remove. Only reads.
    pub(super) fn has_old_rows(&self) -> Result<bool, JournalError> {
        let before = self.wall.plus_micros(-KEPT_MICROS).0;
        Ok(self
            .conn
            .prepare_cached(
                "SELECT 1 WHERE EXISTS (SELECT 1 FROM message WHERE scope = ?1 AND state = 'done' AND done_at < ?2)
                    OR EXISTS (SELECT 1 FROM message WHERE scope = ?1 AND state = 'recovered' AND at < ?2)
                    OR EXISTS (SELECT 1 FROM outbox WHERE scope = ?1 AND progress <> 'pending' AND updated < ?2)
                    OR EXISTS (SELECT 1 FROM alias WHERE scope = ?1 AND seen < ?2)
                    OR EXISTS (SELECT 1 FROM announced WHERE scope = ?1 AND at < ?2)",
            )?
            .exists(params![self.scope, before])?)
    }
}
