//! The compatible cursor file `.mcp_inbox_cursor`: exported for the Python daemon, imported when the duty is taken.
//!
//! Beside it a *mark* holds what this program wrote there last, for one platform and workspace: it tells a cursor that another
//! program moved from one that our own journal does not remember.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::lock::scope_key;
use super::naming::Naming;
use super::secret;
use crate::types::{ActivityId, Timestamp, WorkspaceId};

/// Longer files hold no activity id.
const READ_LIMIT: u64 = 1024;
/// The file of a folder with one workspace, and the beginning of the others' names.
const NAME: &str = ".mcp_inbox_cursor";
/// How much of a workspace id the Python daemon put into the name, with several workspaces.
const SHORT: usize = 8;

/// The file and what we last wrote to it.
#[derive(Debug)]
pub struct CursorFile {
    path: PathBuf,
    mark: PathBuf,
    /// Where the cursor may be found as long as the file itself was never written.
    before: Vec<PathBuf>,
    exported: Exported,
}

/// What was found when the duty was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The row; `None` when there is no file, or it is unreadable or holds no activity id.
    pub id: Option<ActivityId>,
    /// It is what this program wrote for this platform and workspace last.
    pub ours: bool,
    /// When the file was written.
    pub written: Option<Timestamp>,
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

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
enum Content {
    Missing,
    Id(ActivityId),
    /// Unreadable, a link, or no activity id.
    Other,
}

impl CursorFile {
    /// The file of this workspace: `.mcp_inbox_cursor`, or with its full id behind it where the folder serves several, or has
    /// served another workspace or platform, too.
    #[must_use]
    pub fn new(dir: &Path, origin: &str, workspace: &WorkspaceId, naming: Naming) -> Self {
        let scope = scope_key(origin, workspace);
        let plain = dir.join(NAME);
        let naming = if has_others(dir, &scope) { Naming::ById } else { naming };
        let before = match naming {
            Naming::Plain => Vec::new(),
            Naming::ById => {
                let short: String = workspace.as_str().chars().take(SHORT).collect();
                vec![dir.join(format!("{NAME}_{short}")), plain]
            }
        };
        let path = dir.join(naming.of(NAME, workspace));
        Self {
            path,
            mark: mark(dir, &scope),
            before,
            exported: Exported::NotYet,
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// What it holds now. A folder that has begun to serve several workspaces is looked through under the older names, and a
    /// cursor that is another workspace's is left to it.
    #[must_use]
    pub fn found(&self) -> Found {
        let own = look(&self.mark);
        let mut candidates = vec![&self.path];
        if look(&self.path) == Content::Missing {
            candidates.extend(&self.before);
        }
        for path in candidates {
            let Content::Id(id) = look(path) else { continue };
            let ours = own == Content::Id(id.clone());
            if ours || *path == self.path || !self.is_of_another(&id) {
                return Found {
                    id: Some(id),
                    ours,
                    written: written(path),
                };
            }
        }
        Found {
            written: written(&self.path),
            ..Found::default()
        }
    }

    fn is_of_another(&self, id: &ActivityId) -> bool {
        let entries = fs::read_dir(folder_of(&self.path)).into_iter().flatten();
        entries.flatten().map(|entry| entry.path()).any(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_mark = name.starts_with(NAME) && name.ends_with(".mark");
            is_mark && path != self.mark && look(&path) == Content::Id(id.clone())
        })
    }

    /// Exports the cursor (`None` deletes the file), 0600, atomically. A file of ours that already says so is left alone.
    ///
    /// # Errors
    /// When the disk refuses; the old file is untouched then.
    pub fn export(&mut self, cursor: Option<&ActivityId>) -> io::Result<()> {
        match cursor {
            None => {
                remove(&self.path)?;
                remove(&self.mark)?;
            }
            // A file of another program may be readable by others: it is written anew even if it says the same.
            Some(id) if self.exported == Exported::Id(id.clone()) && look(&self.path) == Content::Id(id.clone()) => {}
            Some(id) => {
                write(&self.path, id)?;
                // Last: a mark that is ahead of its file would make our own old cursor look like another program's.
                write(&self.mark, id)?;
            }
        }
        self.exported = cursor.cloned().map_or(Exported::Nothing, Exported::Id);
        Ok(())
    }

    /// Whether another program changed it since our last export; never before our first.
    #[must_use]
    pub fn changed_by_another(&self) -> bool {
        match (&self.exported, look(&self.path)) {
            (Exported::NotYet, _) | (Exported::Nothing, Content::Missing) => false,
            (Exported::Id(ours), Content::Id(found)) => *ours != found,
            _ => true,
        }
    }
}

fn mark(dir: &Path, scope: &str) -> PathBuf {
    dir.join(format!("{NAME}.{scope}.mark"))
}

/// Whether the folder has ever served another workspace or platform: each leaves the file of its duty lock.
fn has_others(dir: &Path, scope: &str) -> bool {
    let own = format!("duty-{scope}.lock");
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| {
        let name = name.to_string_lossy();
        name.starts_with("duty-") && name.ends_with(".lock") && *name != own
    })
}

fn written(path: &Path) -> Option<Timestamp> {
    let modified = fs::symlink_metadata(path).ok()?.modified().ok()?;
    let micros = modified.duration_since(UNIX_EPOCH).ok()?.as_micros();
    i64::try_from(micros).ok().map(Timestamp)
}

fn look(path: &Path) -> Content {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Content::Missing,
        Ok(found) if found.is_file() => {}
        _ => return Content::Other,
    }
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(READ_LIMIT).read_to_string(&mut text));
    match read.ok().and_then(|_| ActivityId::parse(&text).ok()) {
        Some(id) => Content::Id(id),
        None => Content::Other,
    }
}

/// A link is replaced instead of followed.
fn write(path: &Path, id: &ActivityId) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    secret::replace(folder_of(path), &name, id.as_str().as_bytes())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => secret::sync_folder(folder_of(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://platform.example";

    fn id(text: &str) -> ActivityId {
        ActivityId::parse(text).unwrap()
    }

    fn workspace(name: &str) -> WorkspaceId {
        WorkspaceId::parse(name).unwrap()
    }

    fn of(dir: &Path) -> CursorFile {
        CursorFile::new(dir, ORIGIN, &workspace("alpha-workspace"), Naming::Plain)
    }

    #[test]
    fn an_export_is_read_back_and_holds_the_bare_id() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = of(dir.path());
        assert_eq!(file.found().id, None);
        file.export(Some(&id("row-1"))).unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "row-1");
        assert_eq!(of(dir.path()).found().id, Some(id("row-1")));
        file.export(None).unwrap();
        assert!(!file.path().exists());
        file.export(None).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_activity_id_reads_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = of(dir.path());
        for (content, expected) in [
            (&b"row-1\n"[..], Some("row-1")),
            (b"", None),
            (b"two words", None),
            (b"\xff\xfe", None),
            (&[b'x'; 2000], None),
        ] {
            fs::write(file.path(), content).unwrap();
            assert_eq!(file.found().id, expected.map(id), "{content:?}");
        }
        fs::remove_file(file.path()).unwrap();
        fs::create_dir(file.path()).unwrap();
        assert_eq!(file.found().id, None);
    }

    #[test]
    fn a_change_by_another_program_is_noticed_only_after_our_first_export() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = of(dir.path());
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
        let mut file = of(dir.path());
        std::os::unix::fs::symlink(&target, file.path()).unwrap();
        assert_eq!(file.found().id, None);
        file.export(Some(&id("row-1"))).unwrap();
        let found = fs::symlink_metadata(file.path()).unwrap();
        assert!(found.is_file());
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&target).unwrap(), "stays");
    }

    #[test]
    fn a_failed_export_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = of(&dir.path().join("missing"));
        assert!(file.export(Some(&id("row-1"))).is_err());
        assert!(!file.changed_by_another());
    }

    #[test]
    fn our_own_cursor_is_told_from_another_programs() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = of(dir.path());
        fs::write(file.path(), "theirs").unwrap();
        let found = file.found();
        assert_eq!((found.id, found.ours), (Some(id("theirs")), false));
        assert!(found.written.is_some());
        file.export(Some(&id("ours"))).unwrap();
        assert!(of(dir.path()).found().ours);
        fs::write(file.path(), "theirs").unwrap();
        assert!(!of(dir.path()).found().ours);
        assert_eq!(of(&dir.path().join("missing")).found(), Found::default());
    }

    #[test]
    fn a_second_workspace_of_a_folder_has_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let take = |name: &str| {
            let scope = scope_key(ORIGIN, &workspace(name));
            fs::write(dir.path().join(format!("duty-{scope}.lock")), "").unwrap();
            CursorFile::new(dir.path(), ORIGIN, &workspace(name), Naming::Plain)
        };
        let mut alpha = take("alpha-workspace");
        assert_eq!(alpha.path(), &dir.path().join(".mcp_inbox_cursor"));
        alpha.export(Some(&id("row-1"))).unwrap();

        let mut beta = take("beta-workspace");
        assert_eq!(beta.path(), &dir.path().join(".mcp_inbox_cursor_beta-workspace"));
        assert_eq!(beta.found().id, None, "the other workspace's cursor is not ours");
        fs::write(dir.path().join(".mcp_inbox_cursor_beta-wor"), "row-7").unwrap();
        assert_eq!(beta.found().id, Some(id("row-7")), "the older name");
        beta.export(Some(&id("row-8"))).unwrap();
        assert_eq!(beta.found().id, Some(id("row-8")));
        assert!(!alpha.changed_by_another());

        let alpha = take("alpha-workspace");
        assert_ne!(alpha.path(), &dir.path().join(".mcp_inbox_cursor"));
        let found = alpha.found();
        assert_eq!(
            (found.id, found.ours),
            (Some(id("row-1")), true),
            "its own, under the older name"
        );
    }
}
