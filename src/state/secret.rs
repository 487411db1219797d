//! Small private files: written whole, 0600 from creation, symbolic links not followed.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::draft;
use crate::types::Secret;

/// File of the secret that the platform uses towards this workspace.
pub const INBOUND_SECRET: &str = ".platform_inbound_secret";
/// File of the token that clients of MCP over HTTP show. This program makes it.
pub const HTTP_TOKEN: &str = "http.token";
/// File of the workspace token.
pub const AUTH_TOKEN: &str = ".auth_token";

/// A file larger than this is not compared but replaced: none of ours comes near it.
const COMPARED_BYTES: u64 = 64 * 1024;

/// Writes `secret` to `<dir>/<name>` when the file does not hold exactly it already: draft, sync, rename, sync the folder.
///
/// White space around the secret in the file is no difference. A file that others may read, or a symbolic link, is
/// replaced even if its content is right. `Ok(true)`: the file was written.
///
/// # Errors
/// When the folder or disk refuses; the old file is untouched unless only the last step, syncing the folder, failed.
/// Calling again is always safe.
pub fn write_if_different(dir: &Path, name: &str, secret: &Secret) -> io::Result<bool> {
    let held = private_content(&dir.join(name));
    if held.is_some_and(|held| held.trim_ascii() == secret.expose().as_bytes()) {
        return Ok(false);
    }
    replace(dir, name, secret.expose().as_bytes())?;
    Ok(true)
}

/// Replaces `<dir>/<name>` as a whole by a file of mode 0600 with this content. A symbolic link there is replaced, not
/// followed.
///
/// # Errors
/// As for [`write_if_different`].
pub fn replace(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let draft = draft::begin(dir, &format!("{name}."), ".tmp")?;
    draft::write(&draft, content)?;
    draft.as_file().sync_all()?;
    draft.persist(dir.join(name)).map_err(|refused| refused.error)?;
    sync_folder(dir)
}

/// The secret in `<dir>/<name>`, which is made there when there is none. Processes that begin at once end up with the same.
///
/// # Errors
/// When the folder or disk refuses, and when what is there is no secret that only its owner may read
/// ([`io::ErrorKind::InvalidData`]).
pub fn kept_or_made(dir: &Path, name: &str, make: impl Fn() -> Secret) -> io::Result<Secret> {
    let path = dir.join(name);
    if let Err(error) = fs::symlink_metadata(&path) {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
        let draft = draft::begin(dir, &format!("{name}."), ".tmp")?;
        draft::write(&draft, make().expose().as_bytes())?;
        draft.as_file().sync_all()?;
        match draft.persist_noclobber(&path) {
            Err(refused) if refused.error.kind() != io::ErrorKind::AlreadyExists => return Err(refused.error),
            _ => sync_folder(dir)?,
        }
    }
    let kept = private_content(&path).and_then(|bytes| Secret::parse(std::str::from_utf8(&bytes).ok()?).ok());
    kept.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The content of a regular file that only its owner may read; `None` for anything else.
fn private_content(path: &Path) -> Option<Vec<u8>> {
    let entry = fs::symlink_metadata(path).ok()?;
    if !entry.is_file() || entry.len() > COMPARED_BYTES || !is_private(&entry) {
        return None;
    }
    let file = File::open(path).ok()?;
    if !is_same_file(&entry, &file.metadata().ok()?) {
        return None;
    }
    let mut content = Vec::new();
    file.take(COMPARED_BYTES).read_to_end(&mut content).ok()?;
    Some(content)
}

#[cfg(unix)]
fn is_private(entry: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    entry.permissions().mode() & 0o7777 == 0o600
}

#[cfg(not(unix))]
fn is_private(_: &fs::Metadata) -> bool {
    true
}

/// Whether the opened file is the one that was looked at, and not the target of a link put there in between.
#[cfg(unix)]
fn is_same_file(entry: &fs::Metadata, opened: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (entry.dev(), entry.ino()) == (opened.dev(), opened.ino())
}

#[cfg(not(unix))]
fn is_same_file(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

/// Makes the rename itself survive a power cut. Some file systems cannot sync a folder; they do as well as they can.
#[cfg(unix)]
pub(super) fn sync_folder(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        outcome => outcome,
    }
}

#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::parse(text).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_made_once_is_kept_and_what_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let kept = || kept_or_made(dir.path(), HTTP_TOKEN, || secret(&uuid::Uuid::new_v4().to_string()));
        let first = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(kept)).collect();
            let all: Vec<_> = all.into_iter().map(|one| one.join().unwrap().unwrap()).collect();
            assert!(all.iter().all(|one| *one == all[0]));
            all[0].clone()
        });
        let path = dir.path().join(HTTP_TOKEN);
        assert_eq!((mode(&path), names(dir.path())), (0o600, vec![HTTP_TOKEN.to_owned()]));
        assert_eq!(kept().unwrap(), first);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(kept().unwrap_err().kind(), io::ErrorKind::InvalidData);
        fs::rename(&path, dir.path().join("elsewhere")).unwrap();
        symlink(dir.path().join("elsewhere"), &path).unwrap();
        assert_eq!(kept().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_new_file_holds_exactly_the_secret_with_mode_0600_and_no_draft_stays() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write_if_different(dir.path(), AUTH_TOKEN, &secret("one")).unwrap());
        let path = dir.path().join(AUTH_TOKEN);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(names(dir.path()), [AUTH_TOKEN]);
    }

    #[test]
    fn an_equal_file_is_left_alone_and_a_different_one_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(AUTH_TOKEN);
        write_if_different(dir.path(), AUTH_TOKEN, &secret("one")).unwrap();
        let first = fs::metadata(&path).unwrap().ino();
        assert!(!write_if_different(dir.path(), AUTH_TOKEN, &secret("one")).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().ino(), first);
        assert!(write_if_different(dir.path(), AUTH_TOKEN, &secret("two")).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::remove_file(&path).unwrap();
        assert!(write_if_different(dir.path(), AUTH_TOKEN, &secret("two")).unwrap());
    }

    #[test]
    fn white_space_around_the_secret_is_no_difference() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(INBOUND_SECRET);
        fs::write(&path, " one\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(!write_if_different(dir.path(), INBOUND_SECRET, &secret("one")).unwrap());
    }

    #[test]
    fn a_right_file_that_is_too_open_becomes_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(AUTH_TOKEN);
        fs::write(&path, "one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(write_if_different(dir.path(), AUTH_TOKEN, &secret("one")).unwrap());
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_symbolic_link_is_replaced_and_its_target_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let target = elsewhere.path().join("target");
        for content in ["something else", "one"] {
            fs::write(&target, content).unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
            let path = dir.path().join(AUTH_TOKEN);
            let _ = fs::remove_file(&path);
            symlink(&target, &path).unwrap();
            assert!(write_if_different(dir.path(), AUTH_TOKEN, &secret("one")).unwrap());
            assert!(fs::symlink_metadata(&path).unwrap().is_file());
            assert_eq!(fs::read_to_string(&target).unwrap(), content);
        }
    }

    #[test]
    fn a_target_that_cannot_be_replaced_is_an_error_and_leaves_no_draft() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(AUTH_TOKEN)).unwrap();
        assert!(write_if_different(dir.path(), AUTH_TOKEN, &secret("one")).is_err());
        assert_eq!(names(dir.path()), [AUTH_TOKEN]);
        assert!(write_if_different(&dir.path().join("missing"), AUTH_TOKEN, &secret("one")).is_err());
    }
}
