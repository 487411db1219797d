//! Rows that do not match their checksums, looked for when the file is opened: nobody reads an accepted delegation or a message
//! that was set aside in order to send or show it, so nobody else would notice.

use super::error::JournalError;
use super::ledger::Ledger;
use super::row::{COLUMNS, Stored};

/// What was found.
#[derive(Default)]
pub(super) struct Damage {
    messages: Vec<Stored>,
    /// Row numbers and ids.
    work: Vec<(i64, String)>,
}

impl Damage {
    pub(super) fn is_none(&self) -> bool {
        self.messages.is_empty() && self.work.is_empty()
    }
}

impl Ledger<'_> {
    /// Reads every message that may still be shown and every piece of outgoing work. Messages that were acknowledged are
    /// left alone: one that counted as damaged would be read, and shown, again.
    pub(super) fn damage(&self) -> Result<Damage, JournalError> {
        let mut damage = Damage {
            work: self.damaged_work()?,
            ..Damage::default()
        };
        let mut statement = self.conn.prepare(&format!(
            "SELECT {COLUMNS} FROM message WHERE scope = ?1 AND state NOT IN ('done', 'damaged')"
        ))?;
        let mut rows = statement.query([self.scope])?;
        while let Some(row) = rows.next()? {
            let stored = self.stored(row)?;
            if stored.entry.is_none() {
                damage.messages.push(stored);
            }
        }
        Ok(damage)
    }

    /// Shows and sends none of it any more, and says so once.
    pub(super) fn give_up(&self, damage: &Damage) -> Result<(), JournalError> {
        for stored in &damage.messages {
            self.mark_damaged(stored)?;
        }
        for (n, id) in &damage.work {
            self.give_up_damaged(*n, id)?;
        }
        Ok(())
    }
}
