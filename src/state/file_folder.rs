//! The folder of received files: each complete or not there, for its owner alone, and never through a link.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::clock::age_of;
use super::file_name::cleaned;
use super::secret::sync_folder;
use crate::config::files::WORKSPACE;

/// How the names of unfinished files begin.
const DRAFT: &str = ".molecule-draft.";
/// An unfinished file of this age was left behind by a process that died.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A folder of received files. It is made when the first one comes.
#[derive(Clone, Debug)]
pub struct FileFolder {
    path: PathBuf,
}

impl FileFolder {
    /// The folder at `path`; nothing is touched yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where a file of the platform is kept: the 32 hex digits of its id and its cleaned name. The same file always has the
    /// same place, so that one that is here is found again whatever else was forgotten.
    #[must_use]
    pub fn place(&self, id: &str, name: &str) -> PathBuf {
        let digits: String = id.chars().filter(char::is_ascii_hexdigit).collect();
        self.path.join(format!("{digits}-{}", cleaned(name)))
    }

    /// Begins a file.
    ///
    /// # Errors
    /// When the folder cannot be made or is a link, or no file can be made in it.
    pub fn begin(&self) -> io::Result<Draft> {
        self.make()?;
        let file = tempfile::Builder::new().prefix(DRAFT).tempfile_in(&self.path)?;
        Ok(Draft { file })
    }

    /// Removes what processes that died left unfinished. Call it now and then.
    pub fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            let is_draft = entry.file_name().to_string_lossy().starts_with(DRAFT);
            let age = entry.metadata().ok().and_then(|entry| age_of(&entry));
            if is_draft && age.is_some_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// One level only: a state folder that was deleted must not come back as a place for files.
    fn make(&self) -> io::Result<()> {
        if self.path.starts_with(WORKSPACE)
            && let Some(above) = self.path.parent()
        {
            make_private(above)?;
        }
        make_private(&self.path)?;
        if fs::symlink_metadata(&self.path)?.is_dir() {
            return Ok(());
        }
        let what = format!("{} is not a folder of its own", self.path.display());
        Err(io::Error::new(io::ErrorKind::NotADirectory, what))
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The length of the regular file at `path`; `None` for anything else, links included.
#[must_use]
pub fn length(path: &Path) -> Option<u64> {
    let found = fs::symlink_metadata(path).ok()?;
    found.is_file().then_some(found.len())
}

/// Removes a file. One that is not there is as good.
///
/// # Errors
/// When it is still there.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file that is not complete yet: mode 0600, under a name of its own, gone when dropped.
#[derive(Debug)]
pub struct Draft {
    file: NamedTempFile,
}

impl Draft {
    /// Adds bytes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Puts the complete file to its place, so that it survives a power cut. What stands there is replaced, a link included.
    ///
    /// # Errors
    /// When the disk refuses; then there is no file, or the one that was there before.
    pub fn keep(self, place: &Path) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(place).map_err(|refused| refused.error)?;
        place.parent().map_or(Ok(()), sync_folder)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const ID: &str = "aaaaaaaa-0000-4000-8000-00000000000b";

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_there_when_it_is_complete_and_only_its_owner_reads_it() {
        let home = tempfile::tempdir().unwrap();
        let folder = FileFolder::new(home.path().join("uploads"));
        let place = folder.place(ID, "../my plan.pdf");
        assert_eq!(
            place,
            home.path().join("uploads/aaaaaaaa00004000800000000000000b-my_plan.pdf")
        );
        let mut draft = folder.begin().unwrap();
        draft.write(b"abc").unwrap();
        assert_eq!(length(&place), None);
        draft.keep(&place).unwrap();
        assert_eq!(
            (length(&place), fs::read(&place).unwrap().as_slice()),
            (Some(3), &b"abc"[..])
        );
        assert_eq!((mode(&place), mode(&home.path().join("uploads"))), (0o600, 0o700));
        let unfinished = folder.begin().unwrap();
        drop(unfinished);
        assert_eq!(fs::read_dir(home.path().join("uploads")).unwrap().count(), 1);
    }

    #[test]
    fn no_link_is_followed() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("target");
        fs::write(&target, "theirs").unwrap();
        let folder = FileFolder::new(home.path().join("uploads"));
        let place = folder.place(ID, "a");
        let draft = folder.begin().unwrap();
        symlink(&target, &place).unwrap();
        assert_eq!(length(&place), None);
        draft.keep(&place).unwrap();
        assert_eq!(
            (length(&place), fs::read_to_string(&target).unwrap().as_str()),
            (Some(0), "theirs")
        );

        fs::create_dir(home.path().join("elsewhere")).unwrap();
        symlink(home.path().join("elsewhere"), home.path().join("link")).unwrap();
        assert!(FileFolder::new(home.path().join("link")).begin().is_err());
        assert!(FileFolder::new(home.path().join("gone/uploads")).begin().is_err());
    }

    #[test]
    fn what_a_dead_process_left_is_swept_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let folder = FileFolder::new(home.path().to_owned());
        let old = fs::metadata(home.path()).unwrap().modified().unwrap() - Duration::from_secs(7200);
        for name in [".molecule-draft.x", "other", ".molecule-draft.young"] {
            let file = fs::File::create(home.path().join(name)).unwrap();
            if name != ".molecule-draft.young" {
                file.set_modified(old).unwrap();
            }
        }
        folder.sweep();
        assert!(!home.path().join(".molecule-draft.x").exists());
        assert!(home.path().join("other").exists() && home.path().join(".molecule-draft.young").exists());
    }
}
