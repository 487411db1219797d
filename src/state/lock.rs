//! The locks of the duties: OS file locks per platform origin and workspace; the kernel frees them when their holder dies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::health::Duty;
#[cfg(unix)]
use super::obstacle::Obstacle;
use crate::types::WorkspaceId;

/// The lock files of one platform origin and workspace.
#[derive(Clone, Debug)]
pub struct DutyFiles {
    folder: PathBuf,
    key: String,
}

impl DutyFiles {
    /// The files in this state folder; nothing is touched yet.
    #[must_use]
    pub fn new(folder: &Path, origin: &str, workspace: &WorkspaceId) -> Self {
        Self {
            folder: folder.to_owned(),
            key: scope_key(origin, workspace),
        }
    }

    /// Opens or makes the lock file of a duty.
    ///
    /// # Errors
    /// When it cannot be made, or something else is in its place.
    pub fn open(&self, duty: Duty) -> io::Result<LockFile> {
        let path = self.path(duty, "lock");
        Ok(LockFile {
            file: open_private(&path)?,
            path,
        })
    }

    /// Whether any process holds a duty. Makes no file.
    #[must_use]
    pub fn is_held(&self, duty: Duty) -> bool {
        let held = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        open_existing(&self.path(duty, "lock")).is_ok_and(held)
    }

    /// Makes this process a candidate for a duty; any number of processes may be.
    ///
    /// # Errors
    /// When a file cannot be made or locked.
    pub fn announce(&self, duty: Duty, grade: Grade) -> io::Result<Candidacy> {
        let announce = |grade: Grade| {
            let file = open_private(&self.path(duty, grade.ending()))?;
            file.try_lock_shared()?;
            io::Result::Ok(file)
        };
        let mut files = vec![announce(Grade::Able)?];
        if grade == Grade::Better {
            files.push(announce(Grade::Better)?);
        }
        Ok(Candidacy { grade, _files: files })
    }

    /// Whether any process is a candidate of this grade or a better one. The caller must not be one itself.
    #[must_use]
    pub fn has_candidate(&self, duty: Duty, grade: Grade) -> bool {
        let held = |file: File| matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        open_existing(&self.path(duty, grade.ending())).is_ok_and(held)
    }

    fn path(&self, duty: Duty, ending: &str) -> PathBuf {
        let name = match duty {
            Duty::Presence => "presence",
            // The name of the one duty there was: where it is locked, whoever locked it reads.
            Duty::Reading => "duty",
        };
        self.folder.join(format!("{name}-{}.{ending}", self.key))
    }
}

/// The lock file of one duty. A process opens it once, so that it never takes the lock of a folder that replaced its own.
#[derive(Debug)]
pub struct LockFile {
    file: File,
    path: PathBuf,
}

/// What became of an attempt.
#[derive(Debug)]
pub enum Taken {
    /// The lock is ours.
    Ours(DutyLock),
    /// Another process holds it.
    Theirs,
    /// The file, or its folder, was deleted or replaced.
    Gone,
}

impl LockFile {
    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// When the file cannot be opened any more, or the file system has no locks.
    pub fn try_take(&self) -> io::Result<Taken> {
        if !is_at(&self.file, &self.path) {
            return Ok(Taken::Gone);
        }
        // A file of its own, so that the lock ends with it.
        let file = open_existing(&self.path)?;
        match file.try_lock() {
            // Looked at again: it may have been replaced in between.
            Ok(()) if is_at(&file, &self.path) && is_at(&self.file, &self.path) => Ok(Taken::Ours(DutyLock {
                file,
                path: self.path.clone(),
            })),
            Ok(()) => Ok(Taken::Gone),
            Err(TryLockError::WouldBlock) => Ok(Taken::Theirs),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Holds a duty until dropped.
#[derive(Debug)]
pub struct DutyLock {
    file: File,
    path: PathBuf,
}

impl DutyLock {
    /// Whether the locked file is still the one at its path (its folder may have been deleted or replaced).
    #[must_use]
    pub fn is_current(&self) -> bool {
        is_at(&self.file, &self.path)
    }

    /// The state folder, as long as it is the one in which the lock was taken: nothing is written into another.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.path.parent().filter(|_| self.is_current())
    }
}

/// How well a process would do a duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// It can do it.
    Able,
    /// It would do both duties.
    Better,
}

impl Grade {
    fn ending(self) -> &'static str {
        match self {
            Self::Able => "candidates",
            Self::Better => "better",
        }
    }
}

/// Says that this process would take a duty, for as long as it lives. The kernel takes it back on death.
#[derive(Debug)]
pub struct Candidacy {
    /// As what.
    pub grade: Grade,
    /// Locked until dropped.
    _files: Vec<File>,
}

/// Names a platform origin and workspace in file names: 16 hexadecimal digits.
pub(super) fn scope_key(origin: &str, workspace: &WorkspaceId) -> String {
    let digest = Sha256::digest(format!("{origin}\n{workspace}"));
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens or makes a file that only its owner may read, 0600 from creation. A symbolic link or anything else that is no
/// plain file is refused.
pub(super) fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => {
            let what = if found.is_symlink() {
                "a symbolic link"
            } else {
                "not a plain file"
            };
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is {what}; remove it", path.display()),
            ));
        }
        Ok(_) => return options.open(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    // `create_new` never follows a link that appeared meanwhile.
    match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        opened => opened,
    }
}

fn open_existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Whether `file` is the one that `path` names now. A path that cannot be looked at for now, because the disk fails or the folder
/// is closed to us, is not known to name another.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        match (file.metadata(), fs::symlink_metadata(path)) {
            (Ok(ours), Ok(there)) => ours.dev() == there.dev() && ours.ino() == there.ino(),
            (Err(error), _) | (_, Err(error)) => !is_gone(&error),
        }
    }
    #[cfg(not(unix))]
    {
        file.metadata().is_ok() && path.exists()
    }
}

#[cfg(unix)]
fn is_gone(error: &io::Error) -> bool {
    matches!(Obstacle::of(error), Obstacle::Gone | Obstacle::InTheWay)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "http://127.0.0.1:8080";

    fn files(folder: &Path) -> DutyFiles {
        DutyFiles::new(folder, ORIGIN, &WorkspaceId::parse("a").unwrap())
    }

    /// The lock, if it is free.
    fn take(files: &DutyFiles, duty: Duty) -> Option<DutyLock> {
        match files.open(duty).unwrap().try_take().unwrap() {
            Taken::Ours(lock) => Some(lock),
            Taken::Theirs => None,
            Taken::Gone => panic!("nobody replaced it"),
        }
    }

    #[test]
    fn a_candidate_is_seen_as_what_it_is_for_as_long_as_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let seen = |duty| [Grade::Able, Grade::Better].map(|grade| files.has_candidate(duty, grade));
        assert_eq!(seen(Duty::Presence), [false, false]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "looking makes no file");
        let able = files.announce(Duty::Presence, Grade::Able).unwrap();
        assert_eq!(seen(Duty::Presence), [true, false]);
        assert_eq!(seen(Duty::Reading), [false, false]);
        let better = files.announce(Duty::Presence, Grade::Better).unwrap();
        drop(able);
        assert_eq!(seen(Duty::Presence), [true, true]);
        assert_eq!(better.grade, Grade::Better);
        drop(better);
        assert_eq!(seen(Duty::Presence), [false, false]);
    }

    #[test]
    fn only_one_holds_a_duty_and_it_is_free_after_the_drop() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        assert!(!files.is_held(Duty::Reading));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "looking makes no file");
        let held = take(&files, Duty::Reading).unwrap();
        assert!(files.is_held(Duty::Reading));
        assert!(take(&files, Duty::Reading).is_none());
        drop(held);
        assert!(!files.is_held(Duty::Reading));
        assert!(take(&files, Duty::Reading).is_some());
    }

    #[test]
    fn duties_workspaces_and_platforms_have_locks_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let a = files(dir.path());
        let b = DutyFiles::new(dir.path(), ORIGIN, &WorkspaceId::parse("b").unwrap());
        let elsewhere = DutyFiles::new(dir.path(), "https://x.example", &WorkspaceId::parse("a").unwrap());
        let _held = take(&a, Duty::Reading).unwrap();
        for (files, duty) in [(&a, Duty::Presence), (&b, Duty::Reading), (&elsewhere, Duty::Reading)] {
            assert!(take(files, duty).is_some());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_whose_folder_was_replaced_is_no_longer_current_and_the_new_one_is_not_taken() {
        let parent = tempfile::tempdir().unwrap();
        let (dir, moved) = (parent.path().join("configs"), parent.path().join("moved"));
        fs::create_dir(&dir).unwrap();
        let ours = files(&dir).open(Duty::Reading).unwrap();
        let Taken::Ours(held) = ours.try_take().unwrap() else {
            panic!("it is free")
        };
        assert!(held.is_current());
        assert_eq!(held.folder(), Some(dir.as_path()));
        fs::rename(&dir, &moved).unwrap();
        assert!(!held.is_current());
        assert_eq!(held.folder(), None);
        assert!(matches!(ours.try_take().unwrap(), Taken::Gone));
        fs::create_dir(&dir).unwrap();
        let second = take(&files(&dir), Duty::Reading).unwrap();
        assert!(!held.is_current() && second.is_current());
        drop((held, second));
        assert!(matches!(ours.try_take().unwrap(), Taken::Gone));
        fs::remove_dir_all(&dir).unwrap();
        fs::rename(&moved, &dir).unwrap();
        assert!(matches!(ours.try_take().unwrap(), Taken::Ours(_)));
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_is_lost_with_its_folder_and_not_because_nobody_can_look() {
        use rustix::io::Errno;
        for (errno, lost) in [
            (Errno::NOENT, true),
            (Errno::NOTDIR, true),
            (Errno::STALE, true),
            (Errno::ACCESS, false),
            (Errno::IO, false),
            (Errno::MFILE, false),
        ] {
            assert_eq!(is_gone(&errno.into()), lost, "{errno:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_lock_file_is_private_and_never_a_link_or_folder() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let held = take(&files, Duty::Presence).unwrap();
        assert_eq!(fs::metadata(&held.path).unwrap().permissions().mode() & 0o777, 0o600);
        let path = held.path.clone();
        drop(held);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
        assert!(files.open(Duty::Presence).is_err());
        assert!(!dir.path().join("elsewhere").exists());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(files.open(Duty::Presence).is_err());
    }
}
