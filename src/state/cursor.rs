//! The compatible cursor file `.mcp_inbox_cursor`: exported for the Python daemon, imported when the duty is taken.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::types::ActivityId;

/// Longer files hold no activity id.
const READ_LIMIT: u64 = 1024;

/// The file and what we last wrote to it.
#[derive(Debug)]
pub struct CursorFile {
    path: PathBuf,
    exported: Exported,
}

/// What the file should hold if nobody else writes it.
#[derive(Debug, PartialEq, Eq)]
enum Exported {
    /// This process has not written it yet: whatever it holds is to be imported, not suspected.
    NotYet,
    /// It was deleted because there is no cursor.
    Nothing,
    /// It was written with this id.
    Id(ActivityId),
}

/// What the file holds.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Missing,
    Id(ActivityId),
    /// Unreadable, a link, or no activity id.
    Other,
}

impl CursorFile {
    /// The file in this folder (one workspace: `.mcp_inbox_cursor`).
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self {
            path: dir.join(".mcp_inbox_cursor"),
            exported: Exported::NotYet,
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// What it holds now; `None` when it is missing, unreadable, or no activity id.
    #[must_use]
    pub fn read(&self) -> Option<ActivityId> {
        match self.look() {
            Found::Id(id) => Some(id),
            Found::Missing | Found::Other => None,
        }
    }

    /// Exports the cursor (`None` deletes the file), 0600, atomically. A file of ours that already says so is left alone.
    ///
    /// # Errors
    /// When the disk refuses; the old file is untouched then.
    pub fn export(&mut self, cursor: Option<&ActivityId>) -> io::Result<()> {
        match cursor {
            None => match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) => sync_folder(&self.path)?,
                Err(_) => {}
            },
            // A file of another program may be readable by others: it is written anew even if it says the same.
            Some(id) if self.exported == Exported::Id(id.clone()) && self.look() == Found::Id(id.clone()) => {}
            Some(id) => self.write(id)?,
        }
        self.exported = cursor.cloned().map_or(Exported::Nothing, Exported::Id);
        Ok(())
    }

    /// Whether another program changed it since our last export; never before our first.
    #[must_use]
    pub fn changed_by_another(&self) -> bool {
        match (&self.exported, self.look()) {
            (Exported::NotYet, _) | (Exported::Nothing, Found::Missing) => false,
            (Exported::Id(ours), Found::Id(found)) => *ours != found,
            _ => true,
        }
    }

    fn look(&self) -> Found {
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Missing,
            Ok(found) if found.is_file() => {}
            _ => return Found::Other,
        }
        let mut text = String::new();
        let read = File::open(&self.path).and_then(|file| file.take(READ_LIMIT).read_to_string(&mut text));
        match read.ok().and_then(|_| ActivityId::parse(&text).ok()) {
            Some(id) => Found::Id(id),
            None => Found::Other,
        }
    }

    /// The draft is 0600 from its creation, and the rename replaces a link instead of following it.
    fn write(&self, id: &ActivityId) -> io::Result<()> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let mut draft = tempfile::NamedTempFile::with_prefix_in(".mcp_inbox_cursor.", dir)?;
        draft.write_all(id.as_str().as_bytes())?;
        draft.as_file().sync_all()?;
        draft.persist(&self.path).map_err(|error| error.error)?;
        sync_folder(&self.path)
    }
}

/// Makes a rename or removal in the folder of `path` survive a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ActivityId {
        ActivityId::parse(text).unwrap()
    }

    #[test]
    fn an_export_is_read_back_and_holds_the_bare_id() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = CursorFile::new(dir.path());
        assert_eq!(file.read(), None);
        file.export(Some(&id("row-1"))).unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "row-1");
        assert_eq!(CursorFile::new(dir.path()).read(), Some(id("row-1")));
        file.export(None).unwrap();
        assert!(!file.path().exists());
        file.export(None).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_activity_id_reads_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = CursorFile::new(dir.path());
        for (content, expected) in [
            (&b"row-1\n"[..], Some("row-1")),
            (b"", None),
            (b"two words", None),
            (b"\xff\xfe", None),
            (&[b'x'; 2000], None),
        ] {
            fs::write(file.path(), content).unwrap();
            assert_eq!(file.read(), expected.map(id), "{content:?}");
        }
        fs::remove_file(file.path()).unwrap();
        fs::create_dir(file.path()).unwrap();
        assert_eq!(file.read(), None);
    }

    #[test]
    fn a_change_by_another_program_is_noticed_only_after_our_first_export() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = CursorFile::new(dir.path());
        fs::write(file.path(), "theirs").unwrap();
        assert!(!file.changed_by_another());
        file.export(Some(&id("ours"))).unwrap();
        assert!(!file.changed_by_another());
        for content in ["theirs", "not an id", ""] {
            fs::write(file.path(), content).unwrap();
            assert!(file.changed_by_another(), "{content:?}");
        }
        fs::remove_file(file.path()).unwrap();
        assert!(file.changed_by_another());
        file.export(None).unwrap();
        assert!(!file.changed_by_another());
        fs::write(file.path(), "theirs").unwrap();
        assert!(file.changed_by_another());
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_private_and_a_link_is_replaced_not_followed() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("elsewhere");
        fs::write(&target, "stays").unwrap();
        let mut file = CursorFile::new(dir.path());
        std::os::unix::fs::symlink(&target, file.path()).unwrap();
        assert_eq!(file.read(), None);
        file.export(Some(&id("row-1"))).unwrap();
        let found = fs::symlink_metadata(file.path()).unwrap();
        assert!(found.is_file());
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&target).unwrap(), "stays");
    }

    #[test]
    fn a_failed_export_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = CursorFile::new(&dir.path().join("missing"));
        assert!(file.export(Some(&id("row-1"))).is_err());
        assert!(!file.changed_by_another());
    }
}
