//! Which messages their workspace has read from the activity log, and when first.

use rusqlite::{Result, params};

use super::Store;
use super::activity::ActivityRow;
use crate::local_platform::clock;

impl Store {
    /// Notes that a workspace was handed these rows. Only messages to it count, and only the first time.
    pub(crate) fn note_fetched(&self, rows: &[ActivityRow]) -> Result<()> {
        let messages = rows
            .iter()
            .filter(|row| row.activity_type == "a2a_receive" && row.method.as_deref() != Some("notify"));
        let mut db = self.lock();
        let transaction = db.transaction()?;
        let mut first = Vec::new();
        {
            let mut note =
                transaction.prepare_cached("INSERT OR IGNORE INTO fetches (seq, fetched_at) VALUES (?, ?)")?;
            for seq in messages.filter_map(|row| row.seq) {
                if note.execute(params![seq, clock::now()])? > 0 {
                    first.push(seq);
                }
            }
        }
        transaction.commit()?;
        first.into_iter().for_each(|seq| self.changes.row(seq));
        Ok(())
    }

    /// Forgets fetches of rows that are gone.
    pub(super) fn forget_fetches(&self) -> Result<()> {
        self.lock()
            .execute("DELETE FROM fetches WHERE seq NOT IN (SELECT seq FROM activity)", [])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::local_platform::store::activity::MessageIds;
    use crate::local_platform::store::activity::NewActivity;
    use crate::local_platform::store::activity::read::Page;
    use crate::local_platform::store::activity::testing::{row, store};
    use crate::local_platform::store::changes::Change;

    #[test]
    fn a_message_is_fetched_once_and_an_echo_never() {
        let store = store(&[("a", 1)]);
        let echo = NewActivity {
            method: Some("notify".to_owned()),
            ..row("b", 2)
        };
        store.insert_activity(echo, MessageIds::MayRepeat).unwrap();
        let page = Page {
            limit: 9,
            ..Page::default()
        };
        let rows = store.read_activity("w", &page).unwrap();
        let mut changes = store.watch();
        store.note_fetched(&rows).unwrap();
        store.note_fetched(&rows).unwrap();
        let message = rows.iter().find(|row| row.method.is_none()).unwrap().seq.unwrap();
        assert_eq!(changes.try_recv().unwrap(), Change::Row(message));
        assert!(changes.try_recv().is_err());
        store.prune_activity(9).unwrap();
        let left: i64 = store
            .lock()
            .query_row("SELECT count(*) FROM fetches", [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 0);
    }
}
