//! Copies of files that are on their way out: what is sent is what was looked at, whatever becomes of the original, and a
//! process that goes on with the work of a dead one finds it.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::clock::age_of;
use super::file_name::{HEAD, media_type};
use super::outbox::{OutFile, Parcel};

/// The folder below the state folder.
const FOLDER: &str = "outgoing";
/// Copies of this age that no outgoing message names were left behind by a process that died.
const ABANDONED: Duration = Duration::from_secs(3600);

/// The folder of outgoing copies.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// The spool of a state folder; nothing is touched yet.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self {
            folder: state_dir.join(FOLDER),
        }
    }

    /// Begins a parcel of files that go with one message.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn begin(&self) -> io::Result<Packing> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let id = Uuid::new_v4().to_string();
        let folder = self.folder.join(&id);
        builder.create(&folder)?;
        Ok(Packing {
            folder: Some(folder),
            parcel: Parcel { id, files: Vec::new() },
        })
    }

    /// Where the copy of a file is.
    #[must_use]
    pub fn path(&self, parcel: &Parcel, place: usize) -> PathBuf {
        self.folder.join(&parcel.id).join(place.to_string())
    }

    /// Removes the copies of a message that is settled.
    pub fn discard(&self, parcel: &Parcel) {
        let _ = fs::remove_dir_all(self.folder.join(&parcel.id));
    }

    /// Removes old copies that are in nobody's outbox. `wanted` holds the ids of the parcels that are.
    pub fn sweep(&self, wanted: &HashSet<String>) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten() {
            let age = entry.metadata().ok().and_then(|entry| age_of(&entry));
            let is_old = age.is_some_and(|age| age > ABANDONED);
            if is_old && !wanted.contains(entry.file_name().to_string_lossy().as_ref()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// A parcel that is being put together; gone when dropped, unless it was kept.
#[derive(Debug)]
pub struct Packing {
    folder: Option<PathBuf>,
    parcel: Parcel,
}

impl Packing {
    /// Copies an opened file from its start, under the name that the person is going to see.
    ///
    /// # Errors
    /// When it cannot be read or the disk refuses; of kind `FileTooLarge` when it holds more than `limit` bytes.
    pub fn add(&mut self, source: &mut File, name: &str, limit: u64) -> io::Result<()> {
        let Some(folder) = &self.folder else {
            return Err(io::Error::other("the parcel is closed"));
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut copy = options.open(folder.join(self.parcel.files.len().to_string()))?;
        let (mut head, mut hash, mut size) = (Vec::new(), Sha256::new(), 0);
        let mut piece = vec![0; 64 * 1024];
        loop {
            let read = source.read(&mut piece)?;
            if read == 0 {
                break;
            }
            let bytes = &piece[..read];
            size += read as u64;
            if size > limit {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            head.extend_from_slice(&bytes[..read.min(HEAD - head.len())]);
            hash.update(bytes);
            copy.write_all(bytes)?;
        }
        copy.sync_all()?;
        self.parcel.files.push(OutFile {
            name: name.to_owned(),
            mime_type: media_type(&head, name),
            size,
            digest: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        });
        Ok(())
    }

    /// Leaves the copies to the outbox.
    #[must_use]
    pub fn keep(mut self) -> Parcel {
        self.folder = None;
        std::mem::take(&mut self.parcel)
    }
}

impl Drop for Packing {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(folder: &Path, content: &str) -> File {
        let path = folder.join("source");
        fs::write(&path, content).unwrap();
        File::open(path).unwrap()
    }

    #[test]
    fn a_copy_is_what_was_read_and_stays_until_it_is_discarded() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::new(home.path());
        let mut packing = spool.begin().unwrap();
        let mut opened = source(home.path(), "a,b\n");
        packing.add(&mut opened, "my data.csv", 100).unwrap();
        fs::write(home.path().join("source"), "changed").unwrap();
        let parcel = packing.keep();
        let file = &parcel.files[0];
        assert_eq!(
            (file.name.as_str(), file.mime_type.as_str(), file.size),
            ("my data.csv", "text/csv", 4)
        );
        assert_eq!(file.digest.len(), 64);
        let copy = spool.path(&parcel, 0);
        assert_eq!(fs::read_to_string(&copy).unwrap(), "a,b\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        }
        spool.discard(&parcel);
        assert!(!copy.exists());
    }

    #[test]
    fn a_parcel_that_is_not_kept_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::new(home.path());
        let mut packing = spool.begin().unwrap();
        packing.add(&mut source(home.path(), "1234"), "a", 4).unwrap();
        let grown = packing.add(&mut source(home.path(), "12345"), "b", 4).unwrap_err();
        assert_eq!(grown.kind(), io::ErrorKind::FileTooLarge);
        drop(packing);
        assert_eq!(fs::read_dir(home.path().join(FOLDER)).unwrap().count(), 0);
    }

    #[test]
    fn only_old_copies_that_nobody_wants_are_swept() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::new(home.path());
        let parcels: Vec<Parcel> = (0..3).map(|_| spool.begin().unwrap().keep()).collect();
        let old = fs::metadata(home.path()).unwrap().modified().unwrap() - Duration::from_secs(7200);
        for parcel in &parcels[..2] {
            File::open(spool.folder.join(&parcel.id))
                .unwrap()
                .set_modified(old)
                .unwrap();
        }
        spool.sweep(&HashSet::from([parcels[0].id.clone()]));
        let left: Vec<bool> = parcels
            .iter()
            .map(|parcel| spool.folder.join(&parcel.id).exists())
            .collect();
        assert_eq!(left, [true, false, true]);
    }
}
