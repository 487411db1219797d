//! A log file that several processes write, line by line, and that never grows beyond a bound: when it is full it becomes
//! `<name>.1`, which replaces the one before.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// How large one file may grow.
const CAP: u64 = 5 * 1024 * 1024;

/// The file, opened anew whenever another process has replaced it.
pub(super) struct LogFile {
    path: PathBuf,
    cap: u64,
    file: File,
}

impl LogFile {
    /// Opens it for appending, and makes it with mode 0600 where there is none. A symbolic link there is not followed.
    ///
    /// # Errors
    /// When it cannot be written, or is no regular file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::with_cap(path, CAP)
    }

    fn with_cap(path: &Path, cap: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            let mut builder = DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.recursive(true).create(folder)?;
        }
        Ok(Self {
            path: path.to_owned(),
            cap,
            file: append_to(path)?,
        })
    }

    /// Whether the file at the path is still the one that is open.
    fn is_current(&self) -> bool {
        match (fs::symlink_metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(open)) => identity(&there) == identity(&open),
            _ => false,
        }
    }

    /// Makes room for another line. Only one of the processes that find the file full moves it: the others wait for its lock
    /// and then see that it was moved.
    fn make_room(&mut self, line: u64) -> io::Result<()> {
        if !self.is_current() {
            self.file = append_to(&self.path)?;
        }
        let length = self.file.metadata()?.len();
        if length == 0 || length + line <= self.cap {
            return Ok(());
        }
        self.file.lock()?;
        let is_mine = self.is_current();
        if is_mine {
            let mut older = self.path.clone().into_os_string();
            older.push(".1");
            fs::rename(&self.path, older)?;
        }
        // The lock goes with the old file.
        self.file = append_to(&self.path)?;
        Ok(())
    }
}

impl Write for LogFile {
    /// Appends a whole line at once, so that lines of several processes do not mix.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.is_empty() {
            return Ok(0);
        }
        self.make_room(line.len() as u64)?;
        self.file.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    // Looked at before it is opened: opening a pipe would wait for its reader.
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file")),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(file)
}

#[cfg(unix)]
fn identity(entry: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (entry.dev(), entry.ino())
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> (u64, u64) {
    (0, 0)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_full_file_is_moved_once_and_two_writers_go_on_in_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/m.log");
        let mut one = LogFile::with_cap(&path, 30).unwrap();
        let mut two = LogFile::with_cap(&path, 30).unwrap();
        one.write_all(b"first line of one\n").unwrap();
        two.write_all(b"of two\n").unwrap();
        two.write_all(b"that is too much\n").unwrap();
        one.write_all(b"one follows\n").unwrap();
        let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(text("logs/m.log.1"), "first line of one\nof two\n");
        assert_eq!(text("logs/m.log"), "that is too much\none follows\n");
        one.write_all(&[b'x'; 50]).unwrap();
        assert_eq!(
            text("logs/m.log").len(),
            50,
            "a line longer than the bound has a file to itself"
        );
        assert_eq!(fs::read_dir(dir.path().join("logs")).unwrap().count(), 2);
        for (name, mode) in [("logs", 0o700), ("logs/m.log", 0o600), ("logs/m.log.1", 0o600)] {
            let entry = fs::metadata(dir.path().join(name)).unwrap();
            assert_eq!(entry.permissions().mode() & 0o777, mode, "{name}");
        }
    }

    #[test]
    fn many_writers_lose_no_line_when_the_file_moves_under_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.log");
        // Large enough that it moves once at most.
        let cap = 4 * 200 * 10 * 2 / 3;
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    let mut file = LogFile::with_cap(path, cap).unwrap();
                    for number in 0..200 {
                        file.write_all(format!("{writer} {number:>6}\n").as_bytes()).unwrap();
                    }
                });
            }
        });
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        let all = read("m.log.1") + &read("m.log");
        let mut lines: Vec<_> = all.lines().collect();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 800);
        assert!(!read("m.log.1").is_empty());
    }

    #[test]
    fn what_is_no_plain_file_is_left_alone_and_an_open_one_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("secret"), "mine").unwrap();
        std::os::unix::fs::symlink(at("secret"), at("link")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        for name in ["link", "folder"] {
            assert!(LogFile::open(&at(name)).is_err(), "{name}");
        }
        fs::write(at("open"), "").unwrap();
        fs::set_permissions(at("open"), fs::Permissions::from_mode(0o644)).unwrap();
        LogFile::open(&at("open")).unwrap();
        assert_eq!(fs::metadata(at("open")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_somebody_removed_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.log");
        let mut file = LogFile::open(&path).unwrap();
        file.write_all(b"one\n").unwrap();
        fs::remove_file(&path).unwrap();
        file.write_all(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    }
}
