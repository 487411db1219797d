//! Which messages arrived since a command was last told of arrivals: a place in the table of messages, moved behind a
//! message once the command has ended that was run for it.

use rusqlite::params;

use super::Journal;
use super::error::JournalError;
use super::ledger::Ledger;
use super::row::COLUMNS;
use crate::state::message::{Entry, Message, State};

/// What has arrived.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrivals {
    /// In the order in which they came here.
    pub entries: Vec<Entry>,
    /// The place behind them, for [`Journal::told_up_to`]; `None`: there is nothing new, not even to pass over.
    pub place: Option<i64>,
    /// A message has come whose files are still fetched; look again in a moment.
    pub awaits_files: bool,
}

impl Journal {
    /// Messages that arrived since the last [`Self::told_up_to`], are `wanted` and not acknowledged yet: as many as hold `bytes`
    /// of text together, but at least one, and at most `limit`. Before the first one those that wait for an agent.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn arrivals(
        &self,
        limit: usize,
        bytes: usize,
        wanted: impl Fn(&Message) -> bool + Send + 'static,
    ) -> Result<Arrivals, JournalError> {
        self.read(move |ledger| ledger.arrivals(limit, bytes, &wanted)).await
    }

    /// Passes over everything up to the [`Arrivals::place`] that was told.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn told_up_to(&self, place: i64) -> Result<(), JournalError> {
        self.write(move |ledger| {
            ledger
                .conn
                .prepare_cached("INSERT OR REPLACE INTO told (scope, n) VALUES (?1, ?2)")?
                .execute(params![ledger.scope, place])?;
            Ok(())
        })
        .await
    }
}

impl Ledger<'_> {
    fn arrivals(
        &self,
        limit: usize,
        bytes: usize,
        wanted: &dyn Fn(&Message) -> bool,
    ) -> Result<Arrivals, JournalError> {
        // In the order of the table: by state and time SQLite would sort all that wait.
        let mut statement = self.conn.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM message NOT INDEXED WHERE scope = ?1
                AND n > coalesce((SELECT n FROM told WHERE scope = ?1), 0)
                AND state IN ('held', 'new', 'leased') ORDER BY n"
        ))?;
        let mut rows = statement.query([self.scope])?;
        let mut arrivals = Arrivals::default();
        let mut room = bytes;
        while let Some(row) = rows.next()? {
            let stored = self.stored(row)?;
            // What cannot be read is told by the inbox.
            if let Some(entry) = stored.entry.filter(|entry| wanted(&entry.message)) {
                // The rest of an unfinished recovery comes with what is held, and a place has no gaps.
                if entry.state == State::Held {
                    break;
                }
                if self.waits_for_files(&entry)? {
                    arrivals.awaits_files = true;
                    break;
                }
                let length = entry.message.text.len();
                if !arrivals.entries.is_empty() && (length > room || arrivals.entries.len() >= limit) {
                    break;
                }
                room = room.saturating_sub(length);
                arrivals.entries.push(entry);
            }
            arrivals.place = Some(stored.n);
        }
        Ok(arrivals)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Folder, batch, id, message};
    use super::super::{Batch, Popped};
    use super::*;
    use crate::state::message::Kind;

    async fn names(journal: &Journal, limit: usize, bytes: usize) -> (Vec<String>, Option<i64>) {
        let arrivals = journal
            .arrivals(limit, bytes, |message| message.kind != Kind::System)
            .await
            .unwrap();
        let names = arrivals.entries.iter();
        let names = names.map(|entry| entry.message.activity_id.to_string()).collect();
        (names, arrivals.place)
    }

    #[tokio::test]
    async fn what_was_heard_is_passed_over_in_every_process_and_what_is_acknowledged_too() {
        let folder = Folder::new();
        let (journal, other) = (folder.open().await, folder.open().await);
        assert_eq!(names(&journal, 9, 999).await, (vec![], None));
        let messages = ["a", "b", "c", "d"].map(|name| message(name, 0));
        journal.commit(batch(messages)).await.unwrap();
        assert_eq!(journal.pop(&id("a")).await.unwrap(), Popped::Removed);
        other.lease_next().await.unwrap().unwrap();
        let (first, place) = names(&journal, 2, 999).await;
        assert_eq!(first, ["b", "c"], "also what an agent works on");
        assert_eq!(names(&other, 2, 999).await.0, first, "until it is heard");
        other.told_up_to(place.unwrap()).await.unwrap();
        assert_eq!(names(&journal, 2, 999).await.0, ["d"]);
        journal.announce("a note", "a note").await.unwrap();
        let (last, place) = names(&journal, 2, 999).await;
        assert_eq!(last, ["d"]);
        journal.told_up_to(place.unwrap()).await.unwrap();
        assert_eq!(names(&journal, 2, 999).await, (vec![], None));
        journal.announce("another note", "another note").await.unwrap();
        let (none, place) = names(&journal, 2, 999).await;
        assert!(
            none.is_empty() && place.is_some(),
            "what nobody wants is passed over, too"
        );
    }

    #[tokio::test]
    async fn a_large_message_comes_alone_and_an_unfinished_recovery_is_waited_for() {
        let folder = Folder::new();
        let journal = folder.open().await;
        let mut large = message("large", 0);
        large.text = "x".repeat(100);
        let pages = Batch {
            hold: true,
            ..batch([message("held", 0)])
        };
        journal.commit(batch([message("a", 0), large])).await.unwrap();
        journal.commit(pages).await.unwrap();
        journal.commit(batch([message("later", 9)])).await.unwrap();
        let (first, place) = names(&journal, 9, 50).await;
        assert_eq!(first, ["a"]);
        journal.told_up_to(place.unwrap()).await.unwrap();
        let (second, place) = names(&journal, 9, 50).await;
        assert_eq!(second, ["large"]);
        journal.told_up_to(place.unwrap()).await.unwrap();
        assert_eq!(names(&journal, 9, 50).await, (vec![], None));
        let release = Batch {
            release: true,
            ..Batch::default()
        };
        journal.commit(release).await.unwrap();
        assert_eq!(names(&journal, 9, 50).await.0, ["held", "later"]);
    }
}
