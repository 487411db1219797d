//! Finding by words: two indexes that know which row holds which word.
//!
//! They are derived from the rows and filled in small steps when somebody searches, so that receiving and sending neither
//! wait for them nor fail with them. One that is damaged is made anew.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Deserialize;

use super::Journal;
use super::error::JournalError;
use super::ledger::Ledger;
use super::row::seal;
use crate::state::outbox::Work;
use crate::types::Partner;

/// Rows indexed in one transaction, so that nobody waits long for the write lock.
const STEP: u32 = 500;
/// Of a longer text only the start can be found, in bytes.
const INDEXED: usize = 256 * 1024;
/// Words of a search that count; nobody means more.
const WORDS: usize = 32;
/// Indexed rows beyond twice the living ones before an index is made anew without those that were removed.
const SLACK: i64 = 10_000;

/// One of the two indexes.
#[derive(Clone, Copy)]
enum Index {
    Messages,
    Outbox,
}

impl Index {
    const BOTH: [Self; 2] = [Self::Messages, Self::Outbox];

    fn rows(self) -> &'static str {
        match self {
            Self::Messages => "message",
            Self::Outbox => "outbox",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Messages => "message_words",
            Self::Outbox => "outbox_words",
        }
    }

    fn empty(self, conn: &Connection) -> Result<(), JournalError> {
        let words = self.words();
        conn.execute_batch(&format!("INSERT INTO {words} ({words}) VALUES ('delete-all')"))?;
        conn.prepare_cached("DELETE FROM meta WHERE name = ?1")?
            .execute([words])?;
        Ok(())
    }
}

/// A row as far as it is indexed.
struct Words {
    n: i64,
    who: String,
    text: String,
}

impl Journal {
    /// Indexes what came since the last search.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub(super) async fn index_words(&self) -> Result<(), JournalError> {
        while self.read(|ledger| ledger.has_unindexed()).await? {
            self.write(|ledger| ledger.index_step()).await?;
        }
        Ok(())
    }

    /// Empties both indexes, to be filled again.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub(super) async fn forget_words(&self) -> Result<(), JournalError> {
        self.write(|ledger| forget(ledger.conn)).await
    }
}

/// Empties both indexes; no search goes without them, and the next one fills them.
pub(super) fn forget(conn: &Connection) -> Result<(), JournalError> {
    Index::BOTH.into_iter().try_for_each(|index| index.empty(conn))
}

/// Whether a complaint of SQLite's own check is about an index and not about the rows.
pub(super) fn is_about_an_index(complaint: &str) -> bool {
    complaint.contains("FTS5 table") || complaint.starts_with("fts5: ")
}

impl Ledger<'_> {
    fn has_unindexed(&self) -> Result<bool, JournalError> {
        for index in Index::BOTH {
            let newest: Option<i64> = self
                .conn
                .prepare_cached(&format!("SELECT max(n) FROM {}", index.rows()))?
                .query_row([], |row| row.get(0))?;
            if newest > Some(self.indexed(index)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Up to which row an index goes.
    fn indexed(&self, index: Index) -> Result<i64, JournalError> {
        Ok(self
            .conn
            .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
            .query_row([index.words()], |row| row.get(0))
            .optional()?
            .unwrap_or(0))
    }

    fn index_step(&self) -> Result<(), JournalError> {
        for index in Index::BOTH {
            if self.is_mostly_removed(index)? {
                index.empty(self.conn)?;
            }
            let after = self.indexed(index)?;
            let (rows, last) = match index {
                Index::Messages => self.messages_after(after)?,
                Index::Outbox => self.work_after(after)?,
            };
            let mut insert = self.conn.prepare_cached(&format!(
                "INSERT INTO {} (rowid, who, words) VALUES (?1, ?2, ?3)",
                index.words()
            ))?;
            for row in rows {
                insert.execute(params![row.n, row.who, apart(&row.text)])?;
            }
            self.conn
                .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?
                .execute(params![index.words(), last])?;
        }
        Ok(())
    }

    fn is_mostly_removed(&self, index: Index) -> Result<bool, JournalError> {
        let count = |table: &str| -> Result<i64, JournalError> {
            Ok(self
                .conn
                .prepare_cached(&format!("SELECT count(*) FROM {table}"))?
                .query_row([], |row| row.get(0))?)
        };
        let indexed = count(&format!("{}_docsize", index.words()))?;
        Ok(indexed > SLACK && indexed - SLACK > 2 * count(index.rows())?)
    }

    /// The next messages to index, of every workspace, and the last row that was looked at. Damaged ones are left out.
    fn messages_after(&self, n: i64) -> Result<(Vec<Words>, i64), JournalError> {
        #[derive(Deserialize)]
        struct Body {
            text: String,
        }
        let mut statement = self.conn.prepare_cached(
            "SELECT n, scope, activity_id, kind, peer_id, body, crc FROM message WHERE n > ?1 ORDER BY n LIMIT ?2",
        )?;
        let mut rows = statement.query(params![n, STEP])?;
        let (mut found, mut last) = (Vec::new(), n);
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            let read = || -> rusqlite::Result<(i64, String, String, String, String, i64)> {
                Ok((
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                    row.get(6)?,
                ))
            };
            let Ok((scope, id, kind, peer, body, crc)) = read() else {
                continue;
            };
            if i64::from(seal(&id, body.as_bytes())) != crc {
                continue;
            }
            let Ok(Body { text }) = serde_json::from_str(&body) else {
                continue;
            };
            let who = match kind.as_str() {
                "canvas_user" | "upload" => PERSON,
                _ => peer.as_str(),
            };
            found.push(Words {
                n: last,
                who: whose(scope, who),
                text,
            });
        }
        Ok((found, last))
    }

    /// Likewise of the outbox.
    fn work_after(&self, n: i64) -> Result<(Vec<Words>, i64), JournalError> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT n, scope, target, work FROM outbox WHERE n > ?1 ORDER BY n LIMIT ?2")?;
        let mut rows = statement.query(params![n, STEP])?;
        let (mut found, mut last) = (Vec::new(), n);
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            let (scope, target): (i64, String) = (row.get(1)?, row.get(2).unwrap_or_default());
            let work: String = row.get(3).unwrap_or_default();
            let (who, text) = match serde_json::from_str(&work) {
                Ok(Work::Delegate { task, .. }) => (target, task),
                Ok(Work::ReplyToPeer { text, .. }) => (target, text),
                Ok(Work::NotifyUser { text, .. }) => (PERSON.to_owned(), text),
                Err(_) => continue,
            };
            found.push(Words {
                n: last,
                who: whose(scope, &who),
                text,
            });
        }
        Ok((found, last))
    }
}

/// Stands for the person where a workspace's id would.
const PERSON: &str = "user";

/// Whose row it is, in the words of the index: a partner of a workspace, or that workspace with anyone.
fn whose(scope: i64, who: &str) -> String {
    let plain: String = who.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("s{scope} {plain}")
}

/// The search that `words` asks for, in the language of the index; `None`: there is no word in it.
pub(super) fn search(scope: i64, with: Option<&Partner>, words: &str) -> Option<String> {
    let mut terms = Vec::new();
    for (at, part) in words.split('"').enumerate() {
        // What stands between two quotation marks is at the odd places.
        if at % 2 == 1 {
            terms.extend(term(part, ""));
        } else {
            terms.extend(part.split_whitespace().filter_map(|word| term(word, " *")));
        }
    }
    terms.truncate(WORDS);
    if terms.is_empty() {
        return None;
    }
    let who = with.map(|with| match with {
        Partner::Person => PERSON.to_owned(),
        Partner::Peer(peer) => peer.to_string(),
    });
    let whose = whose(scope, who.as_deref().unwrap_or_default());
    Some(format!("who : \"{whose}\" AND words : ({})", terms.join(" AND ")))
}

/// One word or phrase, quoted. Signs alone are no word.
fn term(text: &str, suffix: &str) -> Option<String> {
    let has_word = text.chars().any(char::is_alphanumeric);
    has_word.then(|| format!("\"{}\"{suffix}", apart(text).trim()))
}

/// A text in which every character of a script without spaces stands alone, so that any run of them can be found.
fn apart(text: &str) -> String {
    let mut end = text.len().min(INDEXED);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    let mut spaced = String::with_capacity(text.len() + text.len() / 8);
    for letter in text.chars() {
        if is_unspaced(letter) {
            spaced.push(' ');
            spaced.push(letter);
            spaced.push(' ');
        } else {
            spaced.push(letter);
        }
    }
    spaced
}

/// Whether a letter belongs to a script that is written without spaces (Chinese characters and Japanese syllables).
fn is_unspaced(letter: char) -> bool {
    matches!(letter,
        '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_a_search_that_only_finds() {
        let peer = Partner::parse("5f0c1d2e-0000-4000-8000-000000000001").unwrap();
        for (with, words, expected) in [
            (
                None,
                "blue door",
                Some(r#"who : "s3 " AND words : ("blue" * AND "door" *)"#),
            ),
            (
                Some(&Partner::Person),
                "\"the blue\" doo",
                Some(r#"who : "s3 user" AND words : ("the blue" AND "doo" *)"#),
            ),
            (
                Some(&peer),
                "a* OR NEAR(b) -c col:d",
                Some(
                    r#"who : "s3 5f0c1d2e000040008000000000000001" AND words : ("a*" * AND "OR" * AND "NEAR(b)" * AND "-c" * AND "col:d" *)"#,
                ),
            ),
            (None, "失败了", Some(r#"who : "s3 " AND words : ("失  败  了" *)"#)),
            (None, " \" ! \" -- * ", None),
            (None, "", None),
        ] {
            assert_eq!(search(3, with, words).as_deref(), expected, "{words}");
        }
        let long = "x ".repeat(1000);
        assert_eq!(search(1, None, &long).unwrap().matches("\"x\"").count(), WORDS);
    }

    #[test]
    fn a_long_text_is_cut_at_a_whole_character() {
        let text = "é".repeat(INDEXED);
        assert_eq!(apart(&text).len(), INDEXED);
        let odd = format!("x{text}");
        assert_eq!(apart(&odd).len(), INDEXED - 1);
    }
}
