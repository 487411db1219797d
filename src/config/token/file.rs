//! Reads a token from a file: bounded, whole, and with one name for each way in which that can fail.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;
use std::time::SystemTime;

use crate::types::Secret;

/// Largest token file in bytes.
pub const MAX_BYTES: u64 = 4096;

/// A token that was read, and whether others could have read it too.
#[derive(Debug)]
pub struct Read {
    /// The token.
    pub token: Secret,
    /// Group or others may read the file.
    pub exposed: bool,
}

/// Why a file gave no token. The sentences follow the name of a setting and never hold content or path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Nothing is there.
    #[error("names a file that does not exist")]
    Missing,
    /// The system refuses to open it.
    #[error("names a file that this user may not read")]
    Permission,
    /// A folder, a pipe or a device: it could not be read a second time.
    #[error("does not name a regular file")]
    NotAFile,
    /// Any other failure of the system.
    #[error("names a file that cannot be read ({0})")]
    Failed(ErrorKind),
    /// More than [`MAX_BYTES`].
    #[error("names a file larger than {MAX_BYTES} bytes, so it is not a token")]
    TooLarge,
    /// Bytes that are no text.
    #[error("names a file that is not UTF-8 text")]
    NotText,
    /// Nothing but white space.
    #[error("names a file that is empty")]
    Empty,
    /// Several words or lines, such as a pasted list.
    #[error("names a file with white space inside the token")]
    SeveralWords,
    /// Characters that no token has.
    #[error("names a file with characters that a token cannot have (only visible ASCII is allowed)")]
    Characters,
}

impl Unreadable {
    /// What to do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Missing => "name the path of an existing file, not the token itself",
            Self::Permission => "let this user read it, best with owner this user and mode 0600",
            Self::NotAFile => "name a regular file",
            Self::Failed(_) => "mend the file or name another",
            Self::TooLarge | Self::NotText | Self::Empty | Self::SeveralWords | Self::Characters => {
                "put exactly one token on one line into it"
            }
        }
    }
}

/// Reads the token in a file. Symbolic links are followed: container systems mount secrets as links.
///
/// # Errors
/// See [`Unreadable`].
pub fn read(path: &Path) -> Result<Read, Unreadable> {
    // Looked at before it is opened: opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(|error| reason(&error))?.is_file() {
        return Err(Unreadable::NotAFile);
    }
    let file = File::open(path).map_err(|error| reason(&error))?;
    let exposed = is_exposed(&file.metadata().map_err(|error| reason(&error))?);
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| reason(&error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Unreadable::TooLarge);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| Unreadable::NotText)?.trim();
    if text.is_empty() {
        return Err(Unreadable::Empty);
    }
    if text.chars().any(char::is_whitespace) {
        return Err(Unreadable::SeveralWords);
    }
    let token = Secret::parse(text).map_err(|_| Unreadable::Characters)?;
    Ok(Read { token, exposed })
}

fn reason(error: &io::Error) -> Unreadable {
    match error.kind() {
        // A file where a folder should be means just as much that there is nothing at this path.
        ErrorKind::NotFound | ErrorKind::NotADirectory => Unreadable::Missing,
        ErrorKind::PermissionDenied => Unreadable::Permission,
        other => Unreadable::Failed(other),
    }
}

#[cfg(unix)]
fn is_exposed(entry: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    entry.permissions().mode() & 0o044 != 0
}

#[cfg(not(unix))]
fn is_exposed(_: &Metadata) -> bool {
    false
}

/// Enough of a file's metadata to notice that it was written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    identity: (u64, u64, i64, i64),
}

impl Stamp {
    /// The file's stamp now; `None` when there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let entry = fs::metadata(path).ok()?;
        Some(Self {
            length: entry.len(),
            modified: entry.modified().ok(),
            identity: identity(&entry),
        })
    }
}

/// Device, inode and the time of the last change of either content or mode.
#[cfg(unix)]
fn identity(entry: &Metadata) -> (u64, u64, i64, i64) {
    use std::os::unix::fs::MetadataExt as _;
    (entry.dev(), entry.ino(), entry.ctime(), entry.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64, i64, i64) {
    (0, 0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_own_name() {
        let dir = tempfile::tempdir().unwrap();
        let large = "x".repeat(4097);
        let cases: [(&[u8], Result<&str, Unreadable>); 9] = [
            (b"tok-1", Ok("tok-1")),
            (b"  tok-1\r\n\n", Ok("tok-1")),
            (b"", Err(Unreadable::Empty)),
            (b" \n\t ", Err(Unreadable::Empty)),
            (b"tok-1\ntok-2\n", Err(Unreadable::SeveralWords)),
            (b"tok 1", Err(Unreadable::SeveralWords)),
            (b"tok\xff", Err(Unreadable::NotText)),
            ("t\u{f6}k".as_bytes(), Err(Unreadable::Characters)),
            (large.as_bytes(), Err(Unreadable::TooLarge)),
        ];
        for (content, expected) in cases {
            let path = dir.path().join("token");
            fs::write(&path, content).unwrap();
            let read = read(&path);
            let read = read.as_ref().map(|read| read.token.expose()).map_err(|error| *error);
            assert_eq!(
                read,
                expected,
                "{:?}",
                String::from_utf8_lossy(&content[..content.len().min(20)])
            );
        }
        fs::write(dir.path().join("largest"), &large[1..]).unwrap();
        assert!(read(&dir.path().join("largest")).is_ok());
        assert_eq!(read(&dir.path().join("none")).unwrap_err(), Unreadable::Missing);
        assert_eq!(read(&dir.path().join("token/below")).unwrap_err(), Unreadable::Missing);
        assert_eq!(read(dir.path()).unwrap_err(), Unreadable::NotAFile);
    }

    #[test]
    fn the_systems_reasons_are_told_apart() {
        for (kind, expected) in [
            (ErrorKind::PermissionDenied, Unreadable::Permission),
            (ErrorKind::NotFound, Unreadable::Missing),
            (ErrorKind::TimedOut, Unreadable::Failed(ErrorKind::TimedOut)),
        ] {
            assert_eq!(reason(&io::Error::from(kind)), expected);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_said_to_be_exposed_and_a_link_is_followed() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "t").unwrap();
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        for (mode, exposed) in [
            (0o600, false),
            (0o400, false),
            (0o640, true),
            (0o604, true),
            (0o620, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&link).unwrap().exposed, exposed, "{mode:o}");
        }
    }
}
