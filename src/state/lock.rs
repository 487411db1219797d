//! The duty lock: an OS file lock per platform origin and workspace; the kernel frees it when its holder dies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

#[cfg(unix)]
use super::obstacle::Obstacle;
use crate::types::WorkspaceId;

/// Holds the duty until dropped.
#[derive(Debug)]
pub struct DutyLock {
    file: File,
    path: PathBuf,
}

impl DutyLock {
    /// Takes the lock if it is free. `Ok(None)`: another process holds it.
    ///
    /// # Errors
    /// When the lock file cannot be made, or the file system has no locks.
    pub fn try_take(dir: &Path, origin: &str, workspace: &WorkspaceId) -> io::Result<Option<Self>> {
        let path = dir.join(format!("duty-{}.lock", scope_key(origin, workspace)));
        // The file may be replaced between opening and locking; then its successor is the one to lock.
        for _ in 0..3 {
            let file = open_private(&path)?;
            match file.try_lock() {
                Ok(()) => {
                    let lock = Self {
                        file,
                        path: path.clone(),
                    };
                    if lock.is_current() {
                        return Ok(Some(lock));
                    }
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other("the duty lock file keeps being replaced"))
    }

    /// Whether the locked file is still the one at its path (its folder may have been deleted or replaced).
    #[must_use]
    pub fn is_current(&self) -> bool {
        is_at(&self.file, &self.path)
    }
}

/// Says that this process would take the duty over, for as long as it lives. The kernel takes it back on death.
#[derive(Debug)]
pub struct Candidacy(#[allow(dead_code, reason = "held for its lock")] File);

impl Candidacy {
    /// Becomes a candidate; any number of processes may be.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub fn announce(dir: &Path, origin: &str, workspace: &WorkspaceId) -> io::Result<Self> {
        let file = open_private(&candidates(dir, origin, workspace))?;
        file.try_lock_shared()?;
        Ok(Self(file))
    }

    /// Whether any process is a candidate. The caller must not be one itself.
    #[must_use]
    pub fn exists(dir: &Path, origin: &str, workspace: &WorkspaceId) -> bool {
        let Ok(file) = open_private(&candidates(dir, origin, workspace)) else {
            return false;
        };
        matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    }
}

fn candidates(dir: &Path, origin: &str, workspace: &WorkspaceId) -> PathBuf {
    dir.join(format!("duty-{}.candidates", scope_key(origin, workspace)))
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

    fn workspace(id: &str) -> WorkspaceId {
        WorkspaceId::parse(id).unwrap()
    }

    #[test]
    fn a_candidate_is_seen_as_long_as_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        let a = workspace("a");
        assert!(!Candidacy::exists(dir.path(), ORIGIN, &a));
        let first = Candidacy::announce(dir.path(), ORIGIN, &a).unwrap();
        let second = Candidacy::announce(dir.path(), ORIGIN, &a).unwrap();
        drop(first);
        assert!(Candidacy::exists(dir.path(), ORIGIN, &a));
        assert!(!Candidacy::exists(dir.path(), ORIGIN, &workspace("b")));
        drop(second);
        assert!(!Candidacy::exists(dir.path(), ORIGIN, &a));
    }

    #[test]
    fn only_one_holds_the_duty_and_it_is_free_after_the_drop() {
        let dir = tempfile::tempdir().unwrap();
        let held = DutyLock::try_take(dir.path(), ORIGIN, &workspace("a"))
            .unwrap()
            .unwrap();
        assert!(
            DutyLock::try_take(dir.path(), ORIGIN, &workspace("a"))
                .unwrap()
                .is_none()
        );
        drop(held);
        assert!(
            DutyLock::try_take(dir.path(), ORIGIN, &workspace("a"))
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn workspaces_and_platforms_have_duties_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let _first = DutyLock::try_take(dir.path(), ORIGIN, &workspace("a"))
            .unwrap()
            .unwrap();
        assert!(
            DutyLock::try_take(dir.path(), ORIGIN, &workspace("b"))
                .unwrap()
                .is_some()
        );
        assert!(
            DutyLock::try_take(dir.path(), "https://x.example", &workspace("a"))
                .unwrap()
                .is_some()
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_whose_folder_was_replaced_is_no_longer_current() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("configs");
        fs::create_dir(&dir).unwrap();
        let held = DutyLock::try_take(&dir, ORIGIN, &workspace("a")).unwrap().unwrap();
        assert!(held.is_current());
        fs::rename(&dir, parent.path().join("moved")).unwrap();
        assert!(!held.is_current());
        fs::create_dir(&dir).unwrap();
        let second = DutyLock::try_take(&dir, ORIGIN, &workspace("a")).unwrap().unwrap();
        assert!(!held.is_current());
        assert!(second.is_current());
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
        let held = DutyLock::try_take(dir.path(), ORIGIN, &workspace("a"))
            .unwrap()
            .unwrap();
        assert_eq!(fs::metadata(&held.path).unwrap().permissions().mode() & 0o777, 0o600);
        let path = held.path.clone();
        drop(held);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
        assert!(DutyLock::try_take(dir.path(), ORIGIN, &workspace("a")).is_err());
        assert!(!dir.path().join("elsewhere").exists());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(DutyLock::try_take(dir.path(), ORIGIN, &workspace("a")).is_err());
    }
}
