//! The journal as those see it who bring files in and out.

use std::collections::HashSet;
use std::path::Path;

use super::Journal;
use super::error::JournalError;
use super::shape::{FileNews, FileRoom};
use crate::state::file::{FileState, OpenFile};

impl Journal {
    /// Notes the files of messages that are not handled yet, as far as that was not done: an earlier version stored them, or
    /// the record of a file was damaged.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn adopt_files(&self) -> Result<(), JournalError> {
        self.write(|ledger| ledger.adopt_files()).await
    }

    /// Files that are to be fetched, or of which the platform is to be told that they are here; oldest first.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn open_files(&self) -> Result<Vec<OpenFile>, JournalError> {
        self.read(|ledger| ledger.open_files()).await
    }

    /// A file is complete and safe on this computer: messages show it at `path` from now on.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn file_staged(
        &self,
        id: &str,
        path: &Path,
        size: u64,
        mime_type: Option<String>,
    ) -> Result<(), JournalError> {
        let (id, path) = (id.to_owned(), path.to_owned());
        self.write(move |ledger| ledger.file_staged(&id, &path, size, mime_type.as_deref()))
            .await
    }

    /// How far a file has come otherwise.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn file_is(&self, id: &str, state: FileState) -> Result<(), JournalError> {
        let id = id.to_owned();
        self.write(move |ledger| ledger.file_is(&id, state)).await
    }

    /// Puts a message of kind `upload` into the inbox for each file that no other message has told of in time.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn tell_files(&self) -> Result<FileNews, JournalError> {
        self.in_turn(|inner| {
            if inner.read(|ledger| ledger.has_untold_files())? {
                inner.write(|ledger| ledger.tell_files())
            } else {
                Ok(FileNews::default())
            }
        })
        .await
    }

    /// The files to remove, so that those on this computer and `needed` more bytes stay within `quota`. Files of messages that
    /// are not handled yet stay; others go after 30 days anyway.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn files_to_drop(&self, needed: u64, quota: u64) -> Result<FileRoom, JournalError> {
        self.read(move |ledger| ledger.files_to_drop(needed, quota)).await
    }

    /// Writes down that a file of an outgoing message is about to be uploaded, and answers the name to do so under.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn begin_upload(&self, item: &str, place: usize, file: &str) -> Result<String, JournalError> {
        let (item, file) = (item.to_owned(), file.to_owned());
        self.write(move |ledger| ledger.begin_upload(&item, place, &file)).await
    }

    /// The platform has the file that was uploaded under this name. Answers the address that the message is to name, which
    /// may be that of an earlier attempt.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn uploaded(&self, name: &str, uri: &str) -> Result<String, JournalError> {
        let (name, uri) = (name.to_owned(), uri.to_owned());
        self.write(move |ledger| ledger.uploaded(&name, &uri)).await
    }

    /// The platform's address of a file of an outgoing message, once one is known.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn upload_of(&self, item: &str, place: usize) -> Result<Option<String>, JournalError> {
        let item = item.to_owned();
        self.read(move |ledger| ledger.upload_of(&item, place)).await
    }

    /// The parcels of files that unsettled messages still need, of every workspace of this state folder.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn parcels(&self) -> Result<HashSet<String>, JournalError> {
        self.read(|ledger| ledger.parcels()).await
    }
}
