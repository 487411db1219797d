//! How a piece of outgoing work is stored: everything that is sent or shown stands under a checksum.

use rusqlite::{Row, params};

use super::error::JournalError;
use super::ledger::Ledger;
use crate::state::outbox::{Item, Progress};
use crate::types::{ActivityId, Timestamp};

const COLUMNS: &str = "n, id, session, work, progress, created, attempts, delegation_id, answer, answer_activity, \
                       detail, replies_to, request_id, awaited_by, crc";

/// A row of the outbox table.
pub(super) struct OutboxRow {
    pub(super) n: i64,
    pub(super) item: Item,
    pub(super) session: String,
    pub(super) awaited_by: Option<String>,
    /// As it is stored, for the checksum.
    pub(super) work: String,
}

/// What a query found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) sound: Vec<OutboxRow>,
    /// Row numbers and ids.
    pub(super) damaged: Vec<(i64, String)>,
}

impl OutboxRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let work: String = row.get(3)?;
        let progress: String = row.get(4)?;
        let answer_activity: Option<String> = row.get(9)?;
        let replies_to: Option<String> = row.get(11)?;
        let parsed = serde_json::from_str(&work).ok().zip(progress_of(&progress));
        let Some((parsed, progress)) = parsed else {
            return Ok(None);
        };
        let activity = |id: Option<String>| id.and_then(|id| ActivityId::parse(&id).ok());
        let found = Self {
            n: row.get(0)?,
            item: Item {
                id: row.get(1)?,
                work: parsed,
                progress,
                created: Timestamp(row.get(5)?),
                attempts: row.get(6)?,
                delegation_id: row.get(7)?,
                answer: row.get(8)?,
                answer_activity: activity(answer_activity),
                detail: row.get(10)?,
                replies_to: activity(replies_to),
                request_id: row.get(12)?,
            },
            session: row.get(2)?,
            awaited_by: row.get(13)?,
            work,
        };
        let crc: i64 = row.get(14)?;
        Ok((i64::from(found.seal()) == crc).then_some(found))
    }

    /// Over everything that is sent or shown. Who owns the row and how often it was tried may change without it.
    pub(super) fn seal(&self) -> u32 {
        let item = &self.item;
        let created = item.created.0.to_string();
        let mut hasher = crc32fast::Hasher::new();
        for part in [
            Some(item.id.as_str()),
            Some(&self.work),
            Some(item.progress.as_str()),
            Some(&created),
            item.delegation_id.as_deref(),
            item.answer.as_deref(),
            item.answer_activity.as_ref().map(ActivityId::as_str),
            item.detail.as_deref(),
            item.replies_to.as_ref().map(ActivityId::as_str),
            item.request_id.as_deref(),
        ] {
            // Neither byte occurs in UTF-8, so no two rows look alike.
            hasher.update(part.map_or(&[0xff][..], str::as_bytes));
            hasher.update(&[0xfe]);
        }
        hasher.finalize()
    }
}

/// Two look-ups: for an OR of two columns SQLite reads every row of the outbox. The plus keeps it from doing so all the
/// same, because an index begins with the scope.
const NAMED: &str = "+scope = ?1 AND n IN (SELECT n FROM outbox WHERE id = ?2
    UNION ALL SELECT n FROM outbox WHERE scope = ?1 AND delegation_id = ?2) ORDER BY n";

fn progress_of(word: &str) -> Option<Progress> {
    Progress::ALL.into_iter().find(|progress| progress.as_str() == word)
}

impl Ledger<'_> {
    /// Writes back what can change, under a new checksum.
    pub(super) fn save(&self, row: &OutboxRow) -> Result<(), JournalError> {
        self.conn
            .prepare_cached(
                "UPDATE outbox SET progress = ?2, delegation_id = ?3, answer = ?4, answer_activity = ?5, detail = ?6,
                    updated = ?7, crc = ?8 WHERE n = ?1",
            )?
            .execute(params![
                row.n,
                row.item.progress.as_str(),
                row.item.delegation_id,
                row.item.answer,
                row.item.answer_activity.as_ref().map(ActivityId::as_str),
                row.item.detail,
                self.wall.0,
                row.seal(),
            ])?;
        Ok(())
    }

    /// One row by its own id or the platform's delegation id; a damaged one counts as absent.
    pub(super) fn item_row(&self, id: &str) -> Result<Option<OutboxRow>, JournalError> {
        Ok(self.named(id)?.sound.pop())
    }

    /// The same, telling a damaged row from none.
    pub(super) fn sound_row(&self, id: &str) -> Result<Option<OutboxRow>, JournalError> {
        let mut found = self.named(id)?;
        match found.sound.pop() {
            None if !found.damaged.is_empty() => Err(JournalError::DamagedRow(format!("outgoing message {id}"))),
            row => Ok(row),
        }
    }

    fn named(&self, id: &str) -> Result<Found, JournalError> {
        self.select(NAMED, params![self.scope, id])
    }

    /// `which` begins after `scope = ?1 AND`.
    pub(super) fn rows(&self, which: &str, params: impl rusqlite::Params) -> Result<Found, JournalError> {
        self.select(&format!("scope = ?1 AND {which}"), params)
    }

    fn select(&self, which: &str, params: impl rusqlite::Params) -> Result<Found, JournalError> {
        let mut found = Found::default();
        self.visit(which, params, |row| match row {
            Ok(sound) => found.sound.push(sound),
            Err(damaged) => found.damaged.push(damaged),
        })?;
        Ok(found)
    }

    /// The damaged ones of all rows; the texts of the sound ones are not gathered.
    pub(super) fn damaged_work(&self) -> Result<Vec<(i64, String)>, JournalError> {
        let mut found = Vec::new();
        self.visit("scope = ?1", [self.scope], |row| found.extend(row.err()))?;
        Ok(found)
    }

    /// Shows each row, or number and id of a damaged one.
    fn visit(
        &self,
        which: &str,
        params: impl rusqlite::Params,
        mut show: impl FnMut(Result<OutboxRow, (i64, String)>),
    ) -> Result<(), JournalError> {
        let mut statement = self.conn.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM outbox WHERE progress <> 'damaged' AND {which}"
        ))?;
        let mut rows = statement.query(params)?;
        while let Some(row) = rows.next()? {
            // A value of the wrong type is damage, too.
            match OutboxRow::read(row) {
                Ok(Some(sound)) => show(Ok(sound)),
                Ok(None) | Err(_) => show(Err((row.get(0)?, row.get(1).unwrap_or_default()))),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::NAMED;
    use crate::state::journal::schema::testing::reads_everything;

    #[test]
    fn a_row_is_found_by_either_id_without_reading_the_others() {
        assert!(reads_everything(
            "SELECT * FROM outbox WHERE scope = ?1 AND (id = ?2 OR delegation_id = ?2) ORDER BY n"
        ));
        assert!(!reads_everything(&format!(
            "SELECT * FROM outbox WHERE progress <> 'damaged' AND {NAMED}"
        )));
    }
}
