//! What keeps the state folder from taking anything, and what a person can do about it.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::draft;

/// Why the state folder does not take what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// No space, quota or allowed file size is left.
    Full,
    /// The file system is mounted read-only, perhaps by the kernel because its disk failed.
    ReadOnly,
    /// This user may not write the folder or a file in it.
    Refused,
    /// This process, or the whole system, has no file descriptors left.
    Descriptors,
    /// The file system cannot lock files, or only pretends to.
    NoLocks,
    /// The file system cannot map memory that several processes share.
    NoSharing,
    /// The folder or one of its files was removed or replaced.
    Gone,
    /// Something of another kind, such as a folder, stands in a file's place.
    InTheWay,
    /// The disk, or whatever stands for it, fails.
    Failing,
}

impl Obstacle {
    /// What the system's own error tells of.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Self::Full,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            ErrorKind::PermissionDenied => Self::Refused,
            ErrorKind::NotFound | ErrorKind::StaleNetworkFileHandle => Self::Gone,
            ErrorKind::InvalidInput | ErrorKind::IsADirectory | ErrorKind::NotADirectory => Self::InTheWay,
            ErrorKind::Unsupported => Self::NoLocks,
            _ => by_number(error).unwrap_or(Self::Failing),
        }
    }

    /// What can be done, as the rest of a sentence; where nothing is said of a restart none is needed.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Full => "free space on the disk of the state folder, or raise the quota or limit of file sizes",
            Self::ReadOnly => {
                "make the file system of the state folder writable again; if nobody made it read-only, its disk may be \
                 failing, and the system's log says so"
            }
            Self::Refused => {
                "let this user write the state folder and every file in it; a run as another user, root for example, may \
                 have left files of its own there"
            }
            Self::Descriptors => "raise the limit of open files (ulimit -n), or end programs that hold many",
            Self::NoLocks | Self::NoSharing => {
                "set CONFIGS_DIR to a folder on a local file system and restart molecule-mcp"
            }
            Self::Gone => "restart molecule-mcp, which makes its state folder (CONFIGS_DIR) anew if it has to",
            Self::InTheWay => "remove what stands in the file's place and restart molecule-mcp",
            Self::Failing => "check the disk of the state folder; the system's log tells more",
        }
    }
}

#[cfg(unix)]
fn by_number(error: &io::Error) -> Option<Obstacle> {
    use rustix::io::Errno;
    Some(match Errno::from_io_error(error)? {
        Errno::MFILE | Errno::NFILE => Obstacle::Descriptors,
        Errno::NOLCK | Errno::OPNOTSUPP => Obstacle::NoLocks,
        Errno::NOTCONN | Errno::NODEV => Obstacle::Gone,
        _ => return None,
    })
}

#[cfg(not(unix))]
fn by_number(_: &io::Error) -> Option<Obstacle> {
    None
}

/// Makes a file in the folder, writes and syncs it, and removes it again: SQLite says no more than "disk I/O error" where
/// this names the reason.
///
/// # Errors
/// The system's own.
pub fn try_out(folder: &Path) -> io::Result<()> {
    let file = draft::begin(folder, ".molecule-probe.", "")?;
    // As much as a page of the journal: a full disk may still take a few bytes.
    draft::write(&file, &[0; 4096])?;
    file.as_file().sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_the_system_has_its_obstacle() {
        #[cfg(unix)]
        {
            use rustix::io::Errno;
            for (errno, expected) in [
                (Errno::NOSPC, Obstacle::Full),
                (Errno::DQUOT, Obstacle::Full),
                (Errno::FBIG, Obstacle::Full),
                (Errno::ROFS, Obstacle::ReadOnly),
                (Errno::ACCESS, Obstacle::Refused),
                (Errno::PERM, Obstacle::Refused),
                (Errno::MFILE, Obstacle::Descriptors),
                (Errno::NFILE, Obstacle::Descriptors),
                (Errno::NOLCK, Obstacle::NoLocks),
                (Errno::OPNOTSUPP, Obstacle::NoLocks),
                (Errno::NOSYS, Obstacle::NoLocks),
                (Errno::NOENT, Obstacle::Gone),
                (Errno::STALE, Obstacle::Gone),
                (Errno::ISDIR, Obstacle::InTheWay),
                (Errno::IO, Obstacle::Failing),
            ] {
                assert_eq!(Obstacle::of(&errno.into()), expected, "{errno:?}");
            }
        }
        assert_eq!(Obstacle::of(&io::Error::other("x")), Obstacle::Failing);
    }

    #[test]
    fn trying_a_folder_out_leaves_nothing_and_tells_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        try_out(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let refused = try_out(&folder.path().join("missing")).unwrap_err();
        assert_eq!(Obstacle::of(&refused), Obstacle::Gone);
    }
}
