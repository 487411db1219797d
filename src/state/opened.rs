//! Opening a file that somebody else named: what is opened is what is checked, wherever links lead.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A regular file, opened for reading.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: File,
    /// Where it is, without links: told by the system for the open file, not by following its name again.
    pub path: PathBuf,
    /// Its length in bytes at that moment.
    pub length: u64,
}

/// Why a file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Unopened {
    /// It is not there, or not for us.
    #[error("cannot be read ({})", .0.kind())]
    Unreadable(#[from] io::Error),
    /// A folder, a pipe, a device.
    #[error("is not a regular file")]
    NotRegular,
    /// The system does not say where it is.
    #[error("was moved or deleted, or the system does not tell where it is")]
    Unplaced,
}

/// Opens the regular file at `path`. A pipe or device is not waited for.
///
/// # Errors
/// See [`Unopened`].
pub fn open(path: &Path) -> Result<Opened, Unopened> {
    // Opening some devices has effects, so a look comes first; what counts is the look at the open file.
    if !fs::metadata(path)?.is_file() {
        return Err(Unopened::NotRegular);
    }
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
    }
    let file = options.open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(Unopened::NotRegular);
    }
    let place = place_of(&file, path).map_err(|_| Unopened::Unplaced)?;
    // Also refuses the name that the system gives to a file that was deleted.
    let there = fs::symlink_metadata(&place).map_err(|_| Unopened::Unplaced)?;
    if !is_same(&found, &there) {
        return Err(Unopened::Unplaced);
    }
    Ok(Opened {
        file,
        path: place,
        length: found.len(),
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn place_of(file: &File, _: &Path) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd as _;
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(target_vendor = "apple")]
fn place_of(file: &File, _: &Path) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    let path = rustix::fs::getpath(file)?;
    Ok(std::ffi::OsString::from_vec(path.into_bytes()).into())
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn place_of(_: &File, path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
}

#[cfg(unix)]
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    other.is_file() && one.len() == other.len()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_told_by_what_it_leads_to() {
        let home = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(home.path()).unwrap();
        fs::create_dir(real.join("a")).unwrap();
        fs::write(real.join("a/file"), "abc").unwrap();
        symlink(real.join("a"), real.join("folder")).unwrap();
        symlink(real.join("folder/file"), real.join("link")).unwrap();
        for name in ["a/file", "folder/file", "link", "a/../folder/./file"] {
            let mut opened = open(&real.join(name)).unwrap();
            assert_eq!((opened.path, opened.length), (real.join("a/file"), 3), "{name}");
            let mut content = String::new();
            opened.file.read_to_string(&mut content).unwrap();
            assert_eq!(content, "abc");
        }
    }

    #[test]
    fn only_regular_files_are_opened_and_none_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [home.path(), &pipe, Path::new("/dev/null")] {
            assert!(matches!(open(path), Err(Unopened::NotRegular)), "{path:?}");
        }
        let missing = open(&home.path().join("missing"));
        assert!(matches!(missing, Err(Unopened::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound));
    }
}
