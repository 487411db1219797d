//! Files that are made under another name before they take their place, or to see whether one can be made.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// A new file in the folder that only its owner may read, never a link that was there before. It goes when it is dropped
/// unless it is persisted.
///
/// # Errors
/// The system's own. The library's ways of making and writing such a file wrap them, and the number that tells what is
/// wrong is lost.
pub(super) fn begin(folder: &Path, prefix: &str, suffix: &str) -> io::Result<NamedTempFile> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let made: NamedTempFile<File> = Builder::new()
        .prefix(prefix)
        .suffix(suffix)
        .make_in(folder, |path| options.open(path))?;
    Ok(made)
}

/// Writes to a file that was begun so.
///
/// # Errors
/// The system's own.
pub(super) fn write(draft: &NamedTempFile, content: &[u8]) -> io::Result<()> {
    draft.as_file().write_all(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Seek as _};

    #[test]
    fn a_draft_is_private_and_goes_unless_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let draft = begin(folder.path(), "x.", ".tmp").unwrap();
        write(&draft, b"text").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = draft.as_file().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let mut text = String::new();
        draft.as_file().rewind().unwrap();
        draft.as_file().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        drop(draft);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn the_number_of_an_error_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let refused = begin(&folder.path().join("missing"), "x.", "").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::NOENT.raw_os_error()));
    }
}
