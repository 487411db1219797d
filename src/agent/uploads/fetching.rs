//! The way of one file: from the platform to the disk, into the journal, and back to the platform as an acknowledgement.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::Shared;
use crate::platform::error::CallError;
use crate::platform::files::Download;
use crate::state::crash_point;
use crate::state::file::{FileState, OpenFile};
use crate::state::file_folder::{self, Draft};
use crate::state::journal::JournalError;

/// Largest file that is fetched: the platform's own limit at its latest level.
const LARGEST: u64 = 100 * 1024 * 1024;

/// Why a file is not settled yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("it cannot be kept on this computer: {0}")]
    Disk(#[from] io::Error),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(
        "there is no room for it: MOLECULE_UPLOAD_QUOTA_MB is used up by files of messages that are not handled yet"
    )]
    NoRoom,
}

/// A file on the disk.
struct Staged {
    size: u64,
    mime_type: Option<String>,
}

impl Shared {
    /// Brings a file to its end.
    pub(super) async fn settle(&self, file: &OpenFile) -> Result<(), Trouble> {
        let journal = &self.uploads.journal;
        if file.state == FileState::Wanted {
            let place = self.uploads.folder.place(&file.id, &file.name);
            let Some(staged) = self.stage(file, &place).await? else {
                return Ok(());
            };
            crash_point::pass("file", "staged");
            journal
                .file_staged(&file.id, &place, staged.size, staged.mime_type)
                .await?;
            crash_point::pass("file", "recorded");
        }
        if file.acknowledge {
            self.uploads.api.acknowledge_upload(&file.id).await?;
            crash_point::pass("file", "acknowledged");
            journal.file_is(&file.id, FileState::Kept).await?;
        }
        Ok(())
    }

    /// Puts a file to its place; `None` when it cannot be had, which the journal then says.
    async fn stage(&self, file: &OpenFile, place: &Path) -> Result<Option<Staged>, Trouble> {
        let found = blocking({
            let place = place.to_owned();
            move || Ok(file_folder::length(&place))
        });
        if let (Some(size), Some(expected)) = (found.await?, file.size)
            && size == expected
        {
            // A process that died had it already.
            return Ok(Some(Staged { size, mime_type: None }));
        }
        let journal = &self.uploads.journal;
        let download = match self.uploads.api.pending_upload(&file.id).await {
            Ok(Some(download)) => download,
            Ok(None) | Err(CallError::Rejected { status: 400, .. }) => {
                journal.file_is(&file.id, FileState::Gone).await?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let expected = download.length().or(file.size);
        if expected.is_some_and(|size| size > LARGEST) {
            journal.file_is(&file.id, FileState::Oversize).await?;
            return Ok(None);
        }
        let _reserved = self.reserve(expected.unwrap_or(LARGEST)).await?;
        let mime_type = download.mime_type();
        match self.receive(download, file.size, place).await? {
            Some(size) => Ok(Some(Staged { size, mime_type })),
            None => {
                journal.file_is(&file.id, FileState::Oversize).await?;
                Ok(None)
            }
        }
    }

    /// Writes a stream to its place and answers its length; `None` when it is too long.
    async fn receive(
        &self,
        mut download: Download,
        expected: Option<u64>,
        place: &Path,
    ) -> Result<Option<u64>, Trouble> {
        let folder = self.uploads.folder.clone();
        let mut draft: Draft = blocking(move || folder.begin()).await?;
        let mut size = 0;
        while let Some(chunk) = download.chunk().await? {
            size += chunk.len() as u64;
            if size > LARGEST {
                return Ok(None);
            }
            draft = blocking(move || draft.write(&chunk).map(|()| draft)).await?;
        }
        if let Some(expected) = expected.filter(|expected| *expected != size) {
            let detail = format!("a file of {expected} bytes came with {size}");
            return Err(CallError::Interrupted { detail }.into());
        }
        let place = place.to_owned();
        blocking(move || draft.keep(&place)).await?;
        Ok(Some(size))
    }

    /// Makes room for a file that is about to come, beside those under way.
    async fn reserve(&self, size: u64) -> Result<Reservation<'_>, Trouble> {
        let before = self.reserved.fetch_add(size, Ordering::Relaxed);
        let reservation = Reservation { shared: self, size };
        self.make_room(before + size).await?;
        Ok(reservation)
    }

    /// Removes files so that there is room for so many bytes more.
    pub(super) async fn make_room(&self, needed: u64) -> Result<(), Trouble> {
        let room = self.uploads.journal.files_to_drop(needed, self.uploads.quota).await?;
        for (id, path) in room.drop {
            blocking({
                let path: PathBuf = path.clone();
                move || file_folder::remove(&path)
            })
            .await?;
            self.uploads.journal.file_is(&id, FileState::Dropped).await?;
        }
        if room.fits { Ok(()) } else { Err(Trouble::NoRoom) }
    }
}

/// Bytes that count as if they were here, while it lives.
struct Reservation<'a> {
    shared: &'a Shared,
    size: u64,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.shared.reserved.fetch_sub(self.size, Ordering::Relaxed);
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
