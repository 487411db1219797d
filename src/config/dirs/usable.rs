//! Whether a folder can hold the state, answered by trying rather than by reading permissions.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// The user id that new files get in a folder. A unit where the system has none.
#[cfg(unix)]
pub(super) type Owner = u32;
#[cfg(not(unix))]
pub(super) type Owner = ();

/// Why a folder cannot hold the state.
#[derive(Debug)]
pub(super) enum Obstacle {
    NotAFolder,
    LinkToNothing,
    Refused,
    ReadOnly,
    Full,
    Other(ErrorKind),
}

impl From<io::Error> for Obstacle {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => Self::NotAFolder,
            ErrorKind::PermissionDenied => Self::Refused,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            other => Self::Other(other),
        }
    }
}

/// Checks a folder, or, where it does not exist, that the nearest folder above it lets it be made.
pub(super) fn find(path: &Path) -> Result<Option<Owner>, Obstacle> {
    match fs::metadata(path) {
        Ok(entry) if entry.is_dir() => return Ok(Some(probe(path)?)),
        Ok(_) => return Err(Obstacle::NotAFolder),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        Err(_) if fs::symlink_metadata(path).is_ok() => return Err(Obstacle::LinkToNothing),
        Err(_) => {}
    }
    for above in path.ancestors().skip(1) {
        match fs::metadata(above) {
            Ok(entry) if entry.is_dir() => {
                tempfile::tempfile_in(above)?;
                return Ok(None);
            }
            Ok(_) => return Err(Obstacle::NotAFolder),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Obstacle::Other(ErrorKind::NotFound))
}

/// Makes and deletes a file: permissions, read-only mounts and access lists are all answered by trying.
pub(super) fn probe(dir: &Path) -> io::Result<Owner> {
    let file = tempfile::Builder::new().prefix(".molecule-probe.").tempfile_in(dir)?;
    let owner = owner_of(&file.as_file().metadata()?);
    file.close()?;
    Ok(owner)
}

#[cfg(unix)]
fn owner_of(entry: &fs::Metadata) -> Owner {
    std::os::unix::fs::MetadataExt::uid(entry)
}

#[cfg(not(unix))]
fn owner_of(_: &fs::Metadata) -> Owner {}

pub(super) fn create(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Keeps other users out of an existing folder, or says what cannot be done about it.
#[cfg(unix)]
pub(super) fn guard(dir: &Path, setting: &str, us: Owner, tighten: bool) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let entry = fs::metadata(dir).ok()?;
    let mode = entry.permissions().mode();
    if tighten && owner_of(&entry) == us {
        if mode & 0o077 != 0 && fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).is_err() {
            return Some(format!(
                "{setting} is open to other users of this computer and could not be closed to them."
            ));
        }
        return None;
    }
    if mode & 0o022 != 0 {
        return Some(format!(
            "{setting} can be written by other users of this computer: they could replace the token. Use mode 0700."
        ));
    }
    let owner = owner_of(&entry);
    (owner != us).then(|| {
        format!(
            "{setting} belongs to user {owner}, and this program runs as user {us}: what it writes there, the other may be \
             unable to use. Run it as the owner of its folder."
        )
    })
}

#[cfg(not(unix))]
pub(super) fn guard(_: &Path, _: &str, _: Owner, _: bool) -> Option<String> {
    None
}
