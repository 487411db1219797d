//! The database's files, before SQLite sees them: private, and really files.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::error::JournalError;
use super::mark::Mark;
use super::medium::beside;
use crate::state::draft;
use crate::state::lock::open_private;
use crate::state::obstacle::Obstacle;

/// Makes an empty 0600 file where there is none; answers what is known of it.
///
/// # Errors
/// When something stands in its place, or the folder refuses.
pub(super) fn ensure(path: &Path, lock: &mut File) -> Result<Mark, JournalError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {
            tighten(path, &found);
            Ok(Mark::read(lock)?)
        }
        Ok(found) => Err(in_the_way(path, &found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut mark = Mark::read(lock)?;
            if mark == Mark::Made {
                mark = Mark::Fresh;
                mark.write(lock)?;
            }
            let dir = path.parent().unwrap_or(Path::new("."));
            let draft = draft::begin(dir, ".molecule.db.", "")?.into_temp_path();
            match draft.persist_noclobber(path) {
                Ok(()) => {}
                Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {}
                // Some file systems have neither links nor a rename that replaces nothing.
                Err(_) => drop(open_private(path)?),
            }
            Ok(mark)
        }
        Err(error) => Err(JournalError::at(path, &error)),
    }
}

/// Looks at the database and what SQLite keeps beside it: SQLite says no more than that it cannot open the database, where this
/// names the file and what is wrong with it.
///
/// # Errors
/// When one may not be used, or is no file.
pub(super) fn check(path: &Path) -> Result<(), JournalError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let file = beside(path, suffix);
        match fs::symlink_metadata(&file) {
            Ok(found) if found.is_file() => check_access(&file, &found)?,
            Ok(found) => return Err(in_the_way(&file, &found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(JournalError::at(&file, &error)),
        }
    }
    Ok(())
}

#[cfg(unix)]
fn check_access(file: &Path, found: &fs::Metadata) -> Result<(), JournalError> {
    use rustix::fs::Access;
    use std::os::unix::fs::MetadataExt as _;
    let asked = rustix::fs::access(file, Access::READ_OK | Access::WRITE_OK);
    asked.map_err(|refused| {
        let refused = io::Error::from(refused);
        let what = format!("{}: {refused}; it belongs to user {}", file.display(), found.uid());
        JournalError::disk(Obstacle::of(&refused), what)
    })
}

#[cfg(not(unix))]
fn check_access(_: &Path, _: &fs::Metadata) -> Result<(), JournalError> {
    Ok(())
}

fn in_the_way(path: &Path, found: &fs::Metadata) -> JournalError {
    let what = if found.is_symlink() {
        "a symbolic link"
    } else {
        "not a plain file"
    };
    JournalError::disk(Obstacle::InTheWay, format!("{} is {what}; remove it", path.display()))
}

#[cfg(unix)]
fn tighten(path: &Path, found: &fs::Metadata) {
    use std::os::unix::fs::PermissionsExt as _;
    if found.permissions().mode() & 0o077 != 0
        && let Err(error) = fs::set_permissions(path, fs::Permissions::from_mode(0o600))
    {
        tracing::warn!(%error, path = %path.display(), "the journal is readable by others and cannot be tightened");
    }
}

#[cfg(not(unix))]
fn tighten(_path: &Path, _found: &fs::Metadata) {}
