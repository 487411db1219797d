//! Configuration files of other programs: read, and replaced whole with a copy of what was there before.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// A file larger than this is none that a person keeps servers in.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Why a file stayed as it was.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It cannot be read or written.
    #[error("{} cannot be {doing} ({})", .path.display(), .error.kind())]
    Refused {
        /// Which one.
        path: PathBuf,
        /// `read`, `written` or `removed`.
        doing: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// Its client wrote it in the meantime.
    #[error("{} was changed by another program just now; nothing was written: try again", .0.display())]
    Changed(PathBuf),
}

/// The file's text; empty when it is not there.
///
/// # Errors
/// When it cannot be read, is larger than 32 MiB, is not UTF-8, or is no regular file.
pub fn read(path: &Path) -> Result<String, Trouble> {
    let refused = |error| Trouble::Refused {
        path: path.to_owned(),
        doing: "read",
        error,
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(refused(error)),
        Ok(entry) if !entry.is_file() => return Err(refused(ErrorKind::InvalidInput.into())),
        Ok(entry) if entry.len() > MAX_BYTES => return Err(refused(ErrorKind::FileTooLarge.into())),
        Ok(_) => {}
    }
    fs::read_to_string(path).map_err(refused)
}

/// Puts `text` in the place of `before`, with the same permissions, and says where `before` was copied to; nowhere if
/// there was nothing. A symbolic link stays one, and the file it leads to is replaced. A new file is for its owner alone.
///
/// # Errors
/// When the folder or disk refuses, or the file no longer holds `before`. It is then untouched.
pub fn replace(path: &Path, before: &str, text: &str) -> Result<Option<PathBuf>, Trouble> {
    let path = &resolved(path);
    let refused = |error| Trouble::Refused {
        path: path.clone(),
        doing: "written",
        error,
    };
    let folder = path.parent().ok_or_else(|| refused(ErrorKind::InvalidInput.into()))?;
    fs::create_dir_all(folder).map_err(refused)?;
    let backup = (!before.is_empty()).then(|| beside(path));
    if let Some(backup) = &backup {
        write(backup, path, before).map_err(refused)?;
    }
    if read(path)? != before {
        return Err(Trouble::Changed(path.clone()));
    }
    write(path, path, text).map_err(refused)?;
    Ok(backup)
}

/// Removes a file in which only `before` is left, and that was ours.
///
/// # Errors
/// As for [`replace`].
pub fn remove(path: &Path, before: &str) -> Result<(), Trouble> {
    let path = resolved(path);
    if read(&path)? != before {
        return Err(Trouble::Changed(path));
    }
    fs::remove_file(&path).map_err(|error| Trouble::Refused {
        path,
        doing: "removed",
        error,
    })
}

/// Writes a file whole, with the permissions of `model` if that exists.
fn write(path: &Path, model: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // 0600 until the permissions of the model are known: it may hold other programs' keys.
    let mut draft = tempfile::Builder::new().prefix(".molecule-mcp-").tempfile_in(folder)?;
    io::Write::write_all(&mut draft, text.as_bytes())?;
    match fs::metadata(model) {
        Ok(entry) => draft.as_file().set_permissions(entry.permissions())?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    draft.as_file().sync_all()?;
    draft.persist(path).map(drop).map_err(|refused| refused.error)
}

/// `settings.json` is copied to `settings.json.molecule-mcp.bak`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".molecule-mcp.bak");
    path.with_file_name(name)
}

/// Where symbolic links lead; people keep their settings elsewhere and link to them.
fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_private_and_an_old_one_keeps_its_permissions_and_leaves_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/settings.json");
        assert_eq!(replace(&path, "", "one").unwrap(), None);
        assert_eq!((mode(&path), read(&path).unwrap().as_str()), (0o600, "one"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let backup = replace(&path, "one", "two").unwrap().unwrap();
        assert_eq!((mode(&path), mode(&backup)), (0o640, 0o640));
        assert_eq!(
            (read(&path).unwrap(), read(&backup).unwrap()),
            ("two".into(), "one".into())
        );
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            2,
            "no draft stays"
        );
        remove(&path, "two").unwrap();
        assert!(!path.exists() && backup.exists());
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, link) = (dir.path().join("dotfiles.json"), dir.path().join("link.json"));
        fs::write(&kept, "one").unwrap();
        symlink(&kept, &link).unwrap();
        replace(&link, "one", "two").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&kept).unwrap(), "two");
    }

    #[test]
    fn what_another_program_wrote_in_between_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.json");
        fs::write(&path, "theirs").unwrap();
        assert!(matches!(replace(&path, "ours", "new"), Err(Trouble::Changed(_))));
        assert_eq!(read(&path).unwrap(), "theirs");
    }

    #[test]
    fn a_folder_in_its_place_is_said() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(read(dir.path()), Err(Trouble::Refused { doing: "read", .. })));
    }
}
