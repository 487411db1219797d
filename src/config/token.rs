//! The workspace token: one resolution, one owner, shared by every caller.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use std::time::Duration;

use crate::config::{TOKEN, TOKEN_FILE};
use crate::state::secret::{self, AUTH_TOKEN};
use crate::types::Secret;
use file::{Stamp, Unreadable};

pub mod file;
pub(super) mod resolve;

/// Holds the token and knows how to read it again. Clones share it.
#[derive(Clone, Debug)]
pub struct TokenSource(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Where the token may come from, in order; a later place counts only while the files before it are missing.
    places: Vec<Place>,
    /// The state folder, for a token that the platform issues.
    dir: Option<PathBuf>,
    held: RwLock<Held>,
}

#[derive(Debug)]
struct Held {
    token: Option<Secret>,
    /// The place that gave it.
    from: usize,
    /// What each place's file looked like when it was last read.
    stamps: Vec<Option<Stamp>>,
    /// An issued token that could not be stored yet. The platform issues it only once.
    unsaved: bool,
}

/// One place that may hold the token.
#[derive(Clone, Debug)]
enum Place {
    /// A variable of this name; without a token when its value was not usable.
    Variable(&'static str, Option<Secret>),
    /// The file that `MOLECULE_WORKSPACE_TOKEN_FILE` names.
    Named(PathBuf),
    /// `.auth_token` in the state folder.
    Stored(PathBuf),
}

impl Place {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Variable(..) => None,
            Self::Named(path) | Self::Stored(path) => Some(path),
        }
    }

    /// The name of the setting, without any value.
    fn setting(&self) -> &'static str {
        match self {
            Self::Variable(name, _) => name,
            Self::Named(_) => TOKEN_FILE,
            Self::Stored(_) => ".auth_token in the state folder",
        }
    }

    fn read(&self) -> Result<Secret, Unreadable> {
        match self {
            Self::Variable(_, token) => token.clone().ok_or(Unreadable::Missing),
            Self::Named(path) | Self::Stored(path) => file::read(path).map(|read| read.token),
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        self.path().and_then(Stamp::of)
    }
}

impl TokenSource {
    /// A token that is already known, from a variable (it cannot change in a running process).
    #[must_use]
    pub fn inline(token: Secret) -> Self {
        Self::of_variable(TOKEN, token)
    }

    /// A token from the variable of this name.
    pub(crate) fn of_variable(name: &'static str, token: Secret) -> Self {
        Self::holding(vec![Place::Variable(name, Some(token.clone()))], token, None)
    }

    /// A token that was read from a file that was named.
    pub(super) fn of_file(path: PathBuf, token: Secret) -> Self {
        Self::holding(vec![Place::Named(path)], token, None)
    }

    /// No token yet: [`store`](Self::store) will bring one, or someone writes `<dir>/.auth_token`.
    #[must_use]
    pub fn bootstrapping(dir: &Path) -> Self {
        Self::with(vec![Place::Stored(dir.join(AUTH_TOKEN))], None, Some(dir.to_owned()))
    }

    fn holding(places: Vec<Place>, token: Secret, dir: Option<PathBuf>) -> Self {
        Self::with(places, Some(token), dir)
    }

    fn with(places: Vec<Place>, token: Option<Secret>, dir: Option<PathBuf>) -> Self {
        let mut stamps: Vec<_> = places.iter().map(Place::stamp).collect();
        let from = token
            .as_ref()
            .map(|token| places.iter().position(|place| place.read().as_ref() == Ok(token)));
        if from == Some(None) {
            // The file changed since the token was read from it; let that show as a change.
            stamps.fill(None);
        }
        let held = Held {
            token,
            from: from.flatten().unwrap_or(0),
            stamps,
            unsaved: false,
        };
        Self(Arc::new(Inner {
            places,
            dir,
            held: RwLock::new(held),
        }))
    }

    /// The files that hold the token, or may one day.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let paths = self.0.places.iter().filter_map(Place::path);
        paths.map(Path::to_owned).collect()
    }

    /// The token to send now; `None` only while bootstrapping.
    #[must_use]
    pub fn current(&self) -> Option<Secret> {
        self.held().token.clone()
    }

    /// Reads the source again. `true` when the token differs from the one held. An unreadable source keeps the old token.
    pub fn reread(&self) -> bool {
        if !self.can_change() || self.held().unsaved {
            return false;
        }
        // Stamped before reading: a write in between shows as a change afterwards.
        let stamps: Vec<_> = self.0.places.iter().map(Place::stamp).collect();
        let mut fresh = None;
        for (at, place) in self.0.places.iter().enumerate() {
            match place.read() {
                Ok(token) => {
                    fresh = Some((at, token));
                    break;
                }
                Err(Unreadable::Missing) => {}
                Err(reason) => {
                    // Said once per state of the files, for callers try again at every refused beat.
                    if self.held().stamps != stamps {
                        tracing::warn!("{} {reason}; the token read before is kept", place.setting());
                    }
                    break;
                }
            }
        }
        let mut held = self.held_mut();
        held.stamps = stamps;
        let Some((from, token)) = fresh else {
            return false;
        };
        held.from = from;
        let differs = held.token.as_ref() != Some(&token);
        held.token = Some(token);
        differs
    }

    /// Whether a file of this source was written, replaced, made or deleted since it was last read. Cheap enough for
    /// every beat: it reads metadata only.
    #[must_use]
    pub fn changed_on_disk(&self) -> bool {
        if !self.can_change() {
            return false;
        }
        let held = self.held();
        self.0
            .places
            .iter()
            .zip(&held.stamps)
            .any(|(place, stamp)| place.stamp() != *stamp)
    }

    /// Stores an issued token that could not be stored before.
    fn save_again(&self) {
        let unsaved = self.held().unsaved.then(|| self.current()).flatten();
        if let Some(token) = unsaved {
            match self.store(token) {
                Ok(()) => tracing::warn!("the issued workspace token is stored now"),
                Err(error) => tracing::error!("the issued workspace token is still not stored: {error}"),
            }
        }
    }

    /// Looks at the files of this source every `every`, reads them again when they changed, and stores what could not be stored. Never ends while the source
    /// can change; ends at once otherwise.
    pub async fn keep_fresh(self, every: Duration) {
        while self.can_change() {
            tokio::time::sleep(every).await;
            let source = self.clone();
            let look = move || {
                source.save_again();
                source.changed_on_disk() && source.reread()
            };
            // A file system that hangs must hang this task only.
            if tokio::task::spawn_blocking(look).await.unwrap_or(false) {
                tracing::info!("the token source holds a new token; it is used from now on");
            }
        }
    }

    /// Whether reading again can ever give another token.
    #[must_use]
    pub fn can_change(&self) -> bool {
        self.0.places.iter().any(|place| place.path().is_some())
    }

    /// Where a person puts another token.
    #[must_use]
    pub fn place_for_another(&self) -> &'static str {
        match self.0.places.get(self.held().from) {
            Some(Place::Variable(name, _)) if *name != TOKEN => name,
            _ => "MOLECULE_WORKSPACE_TOKEN (or the token file)",
        }
    }

    /// Names the source for people: the variable, or the file's path. Never the token.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.0.places.get(self.held().from) {
            Some(Place::Named(path) | Place::Stored(path)) => path.display().to_string(),
            Some(Place::Variable(name, _)) => (*name).to_owned(),
            None => TOKEN.to_owned(),
        }
    }

    /// Stores a token the platform issued (bootstrap): `<configs>/.auth_token`, 0600, and from now on the one to send.
    ///
    /// # Errors
    /// When the file cannot be written, or the source has no state folder; the token is used all the same.
    pub fn store(&self, token: Secret) -> io::Result<()> {
        let written = match &self.0.dir {
            Some(dir) => secret::write_if_different(dir, AUTH_TOKEN, &token).map(|_| ()),
            None => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the token comes from a variable",
            )),
        };
        let mut held = self.held_mut();
        held.token = Some(token);
        held.unsaved = written.is_err() && self.0.dir.is_some();
        if written.is_ok() {
            held.stamps = self.0.places.iter().map(Place::stamp).collect();
            held.from = self
                .0
                .places
                .iter()
                .position(|place| matches!(place, Place::Stored(_)))
                .unwrap_or(held.from);
        }
        written
    }

    // A holder of the lock only ever assigns whole values, so a panic elsewhere leaves nothing half done.
    fn held(&self) -> RwLockReadGuard<'_, Held> {
        self.0.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_mut(&self) -> RwLockWriteGuard<'_, Held> {
        self.0.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::parse(text).unwrap()
    }

    fn held(source: &TokenSource) -> Option<String> {
        source.current().map(|token| token.expose().to_owned())
    }

    fn stored(dir: &Path) -> TokenSource {
        let token = file::read(&dir.join(AUTH_TOKEN)).unwrap().token;
        TokenSource::holding(vec![Place::Stored(dir.join(AUTH_TOKEN))], token, Some(dir.to_owned()))
    }

    /// As in a managed folder: the stored file first, a variable behind it.
    fn managed(dir: &Path, variable: &str) -> TokenSource {
        let places = vec![
            Place::Stored(dir.join(AUTH_TOKEN)),
            Place::Variable(TOKEN, Some(secret(variable))),
        ];
        TokenSource::holding(places, secret(variable), Some(dir.to_owned()))
    }

    fn write(dir: &Path, content: &str) {
        let draft = dir.join("draft");
        fs::write(&draft, content).unwrap();
        fs::rename(draft, dir.join(AUTH_TOKEN)).unwrap();
    }

    #[test]
    fn an_inline_token_never_changes_and_is_not_shown() {
        let source = TokenSource::inline(secret("tok-1"));
        assert_eq!(held(&source).as_deref(), Some("tok-1"));
        assert!(!source.can_change() && !source.reread() && !source.changed_on_disk());
        assert_eq!(source.describe(), "MOLECULE_WORKSPACE_TOKEN");
        assert!(!format!("{source:?}").contains("tok-1"));
        assert!(source.store(secret("tok-2")).is_err());
        assert_eq!(held(&source).as_deref(), Some("tok-2"));
    }

    #[test]
    fn a_changed_file_is_noticed_and_every_clone_sees_the_new_token() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "one");
        let source = stored(dir.path());
        let clone = source.clone();
        assert!(source.can_change());
        assert!(!source.changed_on_disk() && !source.reread());
        write(dir.path(), "two");
        assert!(source.changed_on_disk());
        assert!(source.reread());
        assert_eq!(held(&clone).as_deref(), Some("two"));
        assert!(!clone.changed_on_disk() && !clone.reread());
        assert_eq!(source.describe(), dir.path().join(AUTH_TOKEN).display().to_string());
    }

    #[test]
    fn an_unreadable_file_keeps_the_old_token_and_a_mended_one_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "one");
        let source = stored(dir.path());
        for broken in ["", "a b"] {
            write(dir.path(), broken);
            assert!(source.changed_on_disk());
            assert!(!source.reread());
            assert!(!source.changed_on_disk());
            assert_eq!(held(&source).as_deref(), Some("one"));
        }
        fs::remove_file(dir.path().join(AUTH_TOKEN)).unwrap();
        assert!(source.changed_on_disk() && !source.reread());
        assert_eq!(held(&source).as_deref(), Some("one"));
        write(dir.path(), "two");
        assert!(source.changed_on_disk() && source.reread());
    }

    #[test]
    fn a_managed_file_that_appears_wins_and_one_that_is_half_written_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let source = managed(dir.path(), "inline");
        assert_eq!(source.describe(), TOKEN);
        assert!(!source.reread());
        write(dir.path(), "rotated");
        assert!(source.reread());
        assert_eq!(held(&source).as_deref(), Some("rotated"));
        assert!(source.describe().ends_with(AUTH_TOKEN));
        write(dir.path(), "");
        assert!(!source.reread());
        assert_eq!(held(&source).as_deref(), Some("rotated"));
        fs::remove_file(dir.path().join(AUTH_TOKEN)).unwrap();
        assert!(source.reread());
        assert_eq!(held(&source).as_deref(), Some("inline"));
    }

    #[test]
    fn an_issued_token_is_stored_and_used_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let source = TokenSource::bootstrapping(dir.path());
        assert_eq!(held(&source), None);
        assert!(source.can_change() && !source.reread());
        source.store(secret("issued")).unwrap();
        assert_eq!(held(&source).as_deref(), Some("issued"));
        assert_eq!(fs::read_to_string(dir.path().join(AUTH_TOKEN)).unwrap(), "issued");
        assert!(!source.changed_on_disk());

        let gone = TokenSource::bootstrapping(&dir.path().join("gone"));
        assert!(gone.store(secret("issued")).is_err());
        assert_eq!(held(&gone).as_deref(), Some("issued"));
    }
}
