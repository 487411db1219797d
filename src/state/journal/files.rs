//! Files that the platform keeps for this workspace: learnt of with the messages, told with them, and shown where they are.
//!
//! A row that announces a file becomes a message of its own only when no other message tells of the file: the canvas
//! announces each file first and then sends the message that it belongs to.

use std::path::Path;
use std::time::Duration;

use rusqlite::params;
use serde_json::Value;

use super::error::JournalError;
use super::file_row::FileRow;
use super::ledger::Ledger;
use super::shape::FileNews;
use crate::state::file::{FileState, OpenFile, PENDING, local_uri, pending_id};
use crate::state::message::{Entry, Kind, Message, State};
use crate::types::Timestamp;

/// Files of one message that are fetched; the platform takes no more in one go.
const MOST_FILES: usize = 64;
/// The platform keeps a file for 24 h. One that is gone before was taken by another daemon, which told of it.
const PLATFORM_KEEPS_MICROS: i64 = 23 * 60 * 60 * 1_000_000;

/// What a message says about one of its files.
pub(super) struct Mention {
    /// Which of its attachments it is.
    place: usize,
    /// The platform's id.
    pub(super) id: String,
    uri: String,
    name: String,
    mime_type: Option<String>,
    size: Option<i64>,
}

/// How long the person's and the peers' messages wait for their files, and the announcements for their message.
#[derive(Clone, Copy, Debug)]
pub(super) struct FilePatience {
    /// A message that is complete but for files that are being fetched.
    pub(super) message: Duration,
    /// The announcement of a file that is here.
    pub(super) announcement: Duration,
}

impl Ledger<'_> {
    /// Takes the row that announces a file. `false`: it is no such row, and is a message like any other.
    pub(super) fn take_announcement(&self, message: &Message, state: State) -> Result<bool, JournalError> {
        if message.kind != Kind::Upload {
            return Ok(false);
        }
        let Some(mention) = self.mentions(message)?.pop() else {
            return Ok(false);
        };
        let activity = message.activity_id.as_str();
        if let Some(mut known) = self.file(&mention.id)? {
            if known.activity_id.is_some() {
                self.alias(activity, known.activity_id.as_deref().unwrap_or_default())?;
                return Ok(true);
            }
            // A message told of it before.
            known.activity_id = Some(activity.to_owned());
            known.size = mention.size.or(known.size);
            known.mime_type = mention.mime_type.or(known.mime_type);
            self.save_file(&known)?;
            return Ok(true);
        }
        let own = self.sent_this(&mention.uri, &mention.name)?;
        let told = own || state == State::Recovered;
        let body = serde_json::to_string(message).map_err(std::io::Error::from)?;
        self.save_file(&FileRow {
            id: mention.id,
            state: if own { FileState::Outgoing } else { FileState::Wanted },
            seen: self.wall,
            activity_id: Some(activity.to_owned()),
            name: mention.name,
            mime_type: mention.mime_type,
            size: mention.size,
            own,
            path: None,
            message: (!told).then_some(body),
        })?;
        Ok(true)
    }

    /// Notes the files that a message tells of: they are fetched, and not announced a second time.
    pub(super) fn note_files(&self, message: &Message) -> Result<(), JournalError> {
        for mention in self.mentions(message)?.into_iter().take(MOST_FILES) {
            match self.file(&mention.id)? {
                Some(mut known) => {
                    let told = known.message.take().is_none();
                    let activity = known.activity_id.clone();
                    if known.state == FileState::Outgoing {
                        known.state = FileState::Wanted;
                        known.seen = self.wall;
                    }
                    self.save_file(&known)?;
                    if let Some(activity) = activity.filter(|_| told) {
                        self.withdraw_announcement(&activity)?;
                    }
                }
                None => self.save_file(&FileRow {
                    own: self.sent_this(&mention.uri, "")?,
                    id: mention.id,
                    state: FileState::Wanted,
                    seen: self.wall,
                    activity_id: None,
                    name: mention.name,
                    mime_type: mention.mime_type,
                    // What a sender says about its file proves nothing about the one that the platform has.
                    size: None,
                    path: None,
                    message: None,
                })?,
            }
        }
        Ok(())
    }

    /// An announcement that nobody was shown yet says nothing that its message does not say.
    fn withdraw_announcement(&self, activity: &str) -> Result<(), JournalError> {
        self.conn
            .prepare_cached(
                "UPDATE message SET state = 'done', done_at = ?3
                 WHERE scope = ?1 AND activity_id = ?2 AND state = 'new' AND kind = 'upload'",
            )?
            .execute(params![self.scope, activity, self.wall.0])?;
        Ok(())
    }

    /// Shows the files of a message where they are, or says why they are not there.
    pub(super) fn localise(&self, message: &mut Message) -> rusqlite::Result<()> {
        for mention in self.mentions(message)? {
            let Some(file) = self.file(&mention.id)? else { continue };
            let Some(entry) = message.attachments[mention.place].as_object_mut() else {
                continue;
            };
            match (file.state.excuse(), &file.path) {
                (Some(excuse), _) => {
                    entry.insert("status".to_owned(), excuse.into());
                }
                (None, Some(path)) => {
                    entry.insert("uri".to_owned(), local_uri(Path::new(path)).into());
                    if let Some(kind) = file.mime_type {
                        entry.entry("mime_type").or_insert(kind.into());
                    }
                    if let Some(size) = file.size {
                        entry.insert("size".to_owned(), size.into());
                    }
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Whether files of a message are being fetched that it is kept back for.
    pub(super) fn waits_for_files(&self, entry: &Entry) -> Result<bool, JournalError> {
        for mention in self.mentions(&entry.message)? {
            let waits =
                |file: FileRow| file.state == FileState::Wanted && self.is_younger(file.seen, self.files.message);
            if self.file(&mention.id)?.is_some_and(waits) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A clock that was set back must not keep a message back for long: only nearness counts.
    fn is_younger(&self, seen: Timestamp, patience: Duration) -> bool {
        u128::from(self.wall.0.abs_diff(seen.0)) < patience.as_micros()
    }

    /// Files on which work is left, oldest first.
    pub(super) fn open_files(&self) -> Result<Vec<OpenFile>, JournalError> {
        let (sound, _) = self.files("state IN ('wanted', 'staged') ORDER BY n", [self.scope])?;
        let open = sound.into_iter().map(|file| OpenFile {
            id: file.id,
            name: file.name,
            size: file.size.and_then(|size| u64::try_from(size).ok()),
            state: file.state,
            acknowledge: !file.own,
        });
        Ok(open.collect())
    }

    /// A file is safely on this computer.
    pub(super) fn file_staged(
        &self,
        id: &str,
        path: &Path,
        size: u64,
        mime_type: Option<&str>,
    ) -> Result<(), JournalError> {
        let Some(mut file) = self.file(id)? else { return Ok(()) };
        file.state = if file.own { FileState::Kept } else { FileState::Staged };
        file.path = Some(path.display().to_string());
        file.size = i64::try_from(size).ok();
        file.mime_type = mime_type.map(str::to_owned).or(file.mime_type);
        self.save_file(&file)
    }

    /// A file has come to its end, or to the next step.
    pub(super) fn file_is(&self, id: &str, state: FileState) -> Result<(), JournalError> {
        let Some(mut file) = self.file(id)? else { return Ok(()) };
        file.state = state;
        if state == FileState::Dropped {
            file.path = None;
        }
        if state == FileState::Gone && self.was_taken_by_another(&file) {
            file.message = None;
        }
        self.save_file(&file)
    }

    fn was_taken_by_another(&self, file: &FileRow) -> bool {
        let message = file.message.as_deref();
        let message = message.and_then(|body| serde_json::from_str::<Message>(body).ok());
        message.is_some_and(|message| message.at > self.wall.plus_micros(-PLATFORM_KEEPS_MICROS))
    }

    /// Whether [`Self::tell_files`] would find anything. Only reads.
    pub(super) fn has_untold_files(&self) -> Result<bool, JournalError> {
        Ok(self
            .conn
            .prepare_cached("SELECT 1 FROM file WHERE scope = ?1 AND message IS NOT NULL LIMIT 1")?
            .exists([self.scope])?)
    }

    /// Tells of the files that no message has told of in time.
    pub(super) fn tell_files(&self) -> Result<FileNews, JournalError> {
        let (mut untold, damaged) = self.files(
            "(message IS NOT NULL OR state IN ('wanted', 'staged')) ORDER BY n",
            [self.scope],
        )?;
        untold.retain(|file| file.message.is_some());
        for n in damaged {
            // The row of the log is unknown then, and reading it again mends what was damaged.
            tracing::error!(
                n,
                "the stored record of a file does not match its checksum and is forgotten"
            );
            self.conn
                .prepare_cached("DELETE FROM file WHERE n = ?1")?
                .execute([n])?;
        }
        let held = "SELECT 1 FROM message WHERE scope = ?1 AND state = 'held' LIMIT 1";
        let held = !untold.is_empty() && self.conn.prepare_cached(held)?.exists([self.scope])?;
        let mut news = FileNews::default();
        for mut file in untold {
            let patience = match file.state {
                FileState::Wanted => self.files.message.max(self.files.announcement),
                _ => self.files.announcement,
            };
            if held || self.is_younger(file.seen, patience) {
                news.waiting += 1;
                continue;
            }
            let body = file.message.take().unwrap_or_default();
            if let Ok(message) = serde_json::from_str(&body) {
                self.insert(&message, State::New, None)?;
                news.told += 1;
            }
            self.save_file(&file)?;
        }
        Ok(news)
    }

    /// Notes the files of unhandled messages that no record speaks of.
    pub(super) fn adopt_files(&self) -> Result<(), JournalError> {
        for message in self.unhandled_with_files()? {
            let mut is_known = true;
            for mention in self.mentions(&message)? {
                is_known &= self.file(&mention.id)?.is_some();
            }
            if !is_known {
                self.note_files(&message)?;
            }
        }
        Ok(())
    }

    /// Messages with files of the platform that are not acknowledged.
    pub(super) fn unhandled_with_files(&self) -> Result<Vec<Message>, JournalError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT body FROM message WHERE scope = ?1 AND state <> 'done' AND body LIKE '%platform-pending:%'",
        )?;
        let bodies = statement.query_map([self.scope], |row| row.get::<_, String>(0))?;
        let mut messages = Vec::new();
        for body in bodies {
            messages.extend(serde_json::from_str::<Message>(&body?).ok());
        }
        Ok(messages)
    }

    /// The files of a message that the platform keeps for this workspace.
    pub(super) fn mentions(&self, message: &Message) -> rusqlite::Result<Vec<Mention>> {
        if !message.attachments.iter().any(is_pending) {
            return Ok(Vec::new());
        }
        let own: String = self
            .conn
            .prepare_cached("SELECT workspace FROM scope WHERE id = ?1")?
            .query_row([self.scope], |row| row.get(0))?;
        let mention = |(place, file): (usize, &Value)| {
            let text = |key: &str| file[key].as_str().map(str::to_owned);
            let uri = text("uri")?;
            Some(Mention {
                place,
                id: pending_id(&uri, &own)?,
                uri,
                name: text("name").unwrap_or_else(|| "file".to_owned()),
                mime_type: text("mime_type"),
                size: file["size"].as_i64().filter(|size| *size >= 0),
            })
        };
        Ok(message.attachments.iter().enumerate().filter_map(mention).collect())
    }
}

fn is_pending(attachment: &Value) -> bool {
    attachment["uri"].as_str().is_some_and(|uri| uri.starts_with(PENDING))
}
