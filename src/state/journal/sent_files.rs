//! Files on their way out: which attempts were made to bring them to the platform, and under which address they are there.
//!
//! The platform announces a file that this workspace uploads to this very workspace. Each attempt therefore has a name that
//! no other file has, written down before the attempt: the announcement is known by it, also when it comes before the
//! answer, and tells the address when the answer never comes.

use std::collections::HashSet;

use rusqlite::{OptionalExtension as _, params};

use super::error::JournalError;
use super::file_row::seal;
use super::ledger::Ledger;
use crate::state::file_name::marked;
use crate::state::outbox::Work;

/// One attempt.
struct Attempt {
    name: String,
    item: String,
    place: i64,
    uri: Option<String>,
    /// Whether the message names this one.
    chosen: bool,
}

impl Attempt {
    fn seal(&self) -> u32 {
        let place = self.place.to_string();
        seal([
            Some(self.name.as_str()),
            Some(&self.item),
            Some(&place),
            self.uri.as_deref(),
            Some(if self.chosen { "chosen" } else { "spare" }),
        ])
    }
}

impl Ledger<'_> {
    /// Writes an attempt down and answers the name to upload under.
    pub(super) fn begin_upload(&self, item: &str, place: usize, file: &str) -> Result<String, JournalError> {
        let attempt = Attempt {
            name: marked(file),
            item: item.to_owned(),
            place: i64::try_from(place).unwrap_or(i64::MAX),
            uri: None,
            chosen: false,
        };
        self.conn
            .prepare_cached("INSERT INTO upload (scope, name, item, place, at, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                self.scope,
                attempt.name,
                attempt.item,
                attempt.place,
                self.wall.0,
                attempt.seal()
            ])?;
        Ok(attempt.name)
    }

    /// The platform has a file, under this address. Answers the address that the message names: another one if the file of
    /// an earlier attempt was found meanwhile.
    pub(super) fn uploaded(&self, name: &str, uri: &str) -> Result<String, JournalError> {
        let found = self.attempts("name = ?2", params![self.scope, name])?.pop();
        let mut attempt =
            found.ok_or_else(|| JournalError::Damaged(format!("the record of upload {name} is missing or damaged")))?;
        let chosen = self.chosen_upload(&attempt.item, attempt.place)?;
        attempt.chosen |= chosen.is_none();
        attempt.uri = Some(uri.to_owned());
        self.conn
            .prepare_cached("UPDATE upload SET uri = ?3, chosen = ?4, crc = ?5 WHERE scope = ?1 AND name = ?2")?
            .execute(params![self.scope, name, uri, attempt.chosen, attempt.seal()])?;
        // A message that may have been sent is known by the addresses that it named: they never change.
        Ok(chosen.unwrap_or_else(|| uri.to_owned()))
    }

    /// The address of a file of an outgoing message, once one is known; always the same then.
    pub(super) fn upload_of(&self, item: &str, place: usize) -> Result<Option<String>, JournalError> {
        self.chosen_upload(item, i64::try_from(place).unwrap_or(i64::MAX))
    }

    fn chosen_upload(&self, item: &str, place: i64) -> Result<Option<String>, JournalError> {
        let found = self.attempts("item = ?2 AND place = ?3 AND chosen", params![self.scope, item, place])?;
        Ok(found.into_iter().find_map(|attempt| attempt.uri))
    }

    /// Whether an announced file is one that this workspace sends. An attempt whose answer was lost learns its address here,
    /// once: another file of that name is somebody else's.
    pub(super) fn sent_this(&self, uri: &str, name: &str) -> Result<bool, JournalError> {
        let known = "SELECT 1 FROM upload WHERE scope = ?1 AND uri = ?2 LIMIT 1";
        if self.conn.prepare_cached(known)?.exists(params![self.scope, uri])? {
            return Ok(true);
        }
        let open: Option<String> = self
            .conn
            .prepare_cached("SELECT name FROM upload WHERE scope = ?1 AND name = ?2 AND uri IS NULL")?
            .query_row(params![self.scope, name], |row| row.get(0))
            .optional()?;
        if open.is_some() {
            self.uploaded(name, uri)?;
        }
        Ok(open.is_some())
    }

    fn attempts(&self, which: &str, params: impl rusqlite::Params) -> Result<Vec<Attempt>, JournalError> {
        let mut statement = self.conn.prepare_cached(&format!(
            "SELECT name, item, place, uri, chosen, crc FROM upload WHERE scope = ?1 AND {which}"
        ))?;
        let mut rows = statement.query(params)?;
        let mut sound = Vec::new();
        while let Some(row) = rows.next()? {
            let attempt = Attempt {
                name: row.get(0)?,
                item: row.get(1)?,
                place: row.get(2)?,
                uri: row.get(3)?,
                chosen: row.get(4)?,
            };
            // Without a sound attempt the file is brought again.
            if row.get::<_, i64>(5)? == i64::from(attempt.seal()) {
                sound.push(attempt);
            }
        }
        Ok(sound)
    }

    /// The parcels of all workspaces of this journal whose messages are not settled.
    pub(super) fn parcels(&self) -> Result<HashSet<String>, JournalError> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT work FROM outbox WHERE kind = 'notify' AND progress = 'pending'")?;
        let works = statement.query_map([], |row| row.get::<_, String>(0))?;
        let mut parcels = HashSet::new();
        for work in works {
            let work: Option<Work> = serde_json::from_str(&work?).ok();
            parcels.extend(work.as_ref().and_then(Work::parcel).map(|parcel| parcel.id.clone()));
        }
        Ok(parcels)
    }
}
