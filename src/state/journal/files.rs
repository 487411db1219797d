//! Files that the platform keeps for this workspace: learnt of with the messages, told with them, and shown where they are.
//!
//! A row that announces a file becomes a message of its own only when no other message tells of the file: the canvas
//! announces each file first and then sends the message that it belongs to.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use rusqlite::params;
use serde_json::Value;

use super::error::JournalError;
use super::file_row::FileRow;
use super::ledger::Ledger;
use super::shape::{FileNews, FileRoom};
use crate::state::file::{FileState, OpenFile, local_uri, pending_id};
use crate::state::message::{Entry, Kind, Message, State};
use crate::types::{Timestamp, WorkspaceId};

/// Files of one message that are fetched; the platform takes no more in one go.
const MOST_FILES: usize = 64;
/// The platform keeps a file for 24 h. One that is gone before was taken by another daemon, which told of it.
const PLATFORM_KEEPS_MICROS: i64 = 23 * 60 * 60 * 1_000_000;

/// What a message says about one of its files.
struct Mention {
    id: String,
    name: String,
    mime_type: Option<String>,
    size: Option<i64>,
}

impl Mention {
    fn of(attachment: &Value, own: &WorkspaceId) -> Option<Self> {
        let text = |key: &str| attachment[key].as_str().map(str::to_owned);
        Some(Self {
            id: pending_id(attachment["uri"].as_str()?, own)?,
            name: text("name").unwrap_or_else(|| "file".to_owned()),
            mime_type: text("mime_type"),
            size: attachment["size"].as_i64().filter(|size| *size >= 0),
        })
    }
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
        let own = self.own_id()?;
        let Some(mention) = message.attachments.first().and_then(|file| Mention::of(file, &own)) else {
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
        let uri = message.attachments[0]["uri"].as_str().unwrap_or_default();
        let own = self.sent_this(uri, &mention.name)?;
        let told = own || state == State::Recovered;
        let body = serde_json::to_string(message).map_err(|error| JournalError::Disk(error.to_string()))?;
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
        if !message.attachments.iter().any(is_pending) {
            return Ok(());
        }
        let own = self.own_id()?;
        let mentions = message.attachments.iter().filter_map(|file| Mention::of(file, &own));
        for mention in mentions.take(MOST_FILES) {
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
                    own: self.sent_this(message_uri(&message.attachments, &mention.id), "")?,
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
        if !message.attachments.iter().any(is_pending) {
            return Ok(());
        }
        let own = self.own_id()?;
        for attachment in &mut message.attachments {
            let Some(mention) = Mention::of(attachment, &own) else {
                continue;
            };
            let Some(file) = self.file(&mention.id)? else { continue };
            let Some(entry) = attachment.as_object_mut() else {
                continue;
            };
            if let (None, Some(path)) = (file.state.excuse(), &file.path) {
                entry.insert("uri".to_owned(), local_uri(Path::new(path)).into());
                if let Some(kind) = file.mime_type {
                    entry.entry("mime_type").or_insert(kind.into());
                }
                if let Some(size) = file.size {
                    entry.insert("size".to_owned(), size.into());
                }
            } else if let Some(excuse) = file.state.excuse() {
                entry.insert("status".to_owned(), excuse.into());
            }
        }
        Ok(())
    }

    /// Whether files of a message are being fetched that it is kept back for.
    pub(super) fn waits_for_files(&self, entry: &Entry) -> Result<bool, JournalError> {
        if !entry.message.attachments.iter().any(is_pending) {
            return Ok(false);
        }
        let own = self.own_id()?;
        for attachment in &entry.message.attachments {
            let Some(mention) = Mention::of(attachment, &own) else {
                continue;
            };
            let fresh = self
                .file(&mention.id)?
                .filter(|file| file.state == FileState::Wanted && self.is_younger(file.seen, self.files.message));
            if fresh.is_some() {
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
                FileState::Wanted => self.files.message,
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

    /// Which files go, so that those on this computer and `needed` more bytes stay within `quota`. Old ones go in any case,
    /// those of messages that are not handled yet never.
    pub(super) fn files_to_drop(&self, needed: u64, quota: u64) -> Result<FileRoom, JournalError> {
        let (here, _) = self.files(
            "path IS NOT NULL AND state IN ('staged', 'kept') ORDER BY seen, n",
            [self.scope],
        )?;
        let length = |file: &FileRow| file.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        let mut total = here.iter().map(length).sum::<u64>().saturating_add(needed);
        let old = self.kept_since()?;
        let is_old = |file: &FileRow| old.is_some_and(|old| file.seen < old);
        let wanted = if total > quota || here.iter().any(is_old) {
            self.files_of_unhandled()?
        } else {
            HashSet::new()
        };
        let mut drop = Vec::new();
        for file in here {
            if (is_old(&file) || total > quota) && file.state == FileState::Kept && !wanted.contains(&file.id) {
                total = total.saturating_sub(length(&file));
                drop.push((file.id, file.path.unwrap_or_default().into()));
            }
        }
        Ok(FileRoom {
            drop,
            fits: total <= quota,
        })
    }

    /// The files of messages that are not acknowledged.
    fn files_of_unhandled(&self) -> Result<HashSet<String>, JournalError> {
        let own = self.own_id()?;
        let mut statement = self.conn.prepare_cached(
            "SELECT body FROM message WHERE scope = ?1 AND state <> 'done' AND body LIKE '%platform-pending:%'
             UNION ALL SELECT message FROM file WHERE scope = ?1 AND message IS NOT NULL",
        )?;
        let mut rows = statement.query([self.scope])?;
        let mut wanted = HashSet::new();
        while let Some(row) = rows.next()? {
            let body: String = row.get(0)?;
            let message: Option<Message> = serde_json::from_str(&body).ok();
            let files = message.into_iter().flat_map(|message| message.attachments);
            wanted.extend(files.filter_map(|file| Some(Mention::of(&file, &own)?.id)));
        }
        Ok(wanted)
    }

    /// The workspace whose rows these are.
    fn own_id(&self) -> rusqlite::Result<WorkspaceId> {
        let id: String = self
            .conn
            .prepare_cached("SELECT workspace FROM scope WHERE id = ?1")?
            .query_row([self.scope], |row| row.get(0))?;
        WorkspaceId::parse(&id).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    }
}

fn is_pending(attachment: &Value) -> bool {
    attachment["uri"]
        .as_str()
        .is_some_and(|uri| uri.starts_with("platform-pending:"))
}

/// The address by which a message names a file.
fn message_uri<'a>(attachments: &'a [Value], id: &str) -> &'a str {
    let uris = attachments.iter().filter_map(|file| file["uri"].as_str());
    uris.into_iter()
        .find(|uri| uri.to_ascii_lowercase().ends_with(id))
        .unwrap_or_default()
}
