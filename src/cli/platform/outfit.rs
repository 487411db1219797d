//! How programs on this computer join the workspaces of the platform, for its page: their state folders, and the
//! configuration of their clients.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::snippets::label;
use crate::cli::clients::Client;
use crate::cli::install;
use crate::config::Places;
use crate::local_platform::{Configuration, Outfit, Outfitted};
use crate::state::secret;
use crate::types::Secret;

/// State folders below one root.
#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
}

/// Where the state folders of a platform in memory are: gone when it is dropped, as the workspaces are.
pub(super) fn passing_root() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("molecule-platform-").tempdir()
}

impl Folders {
    pub(super) fn below(root: &Path) -> Self {
        // Not canonicalized: the platform makes the folder only when it starts.
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        Self { root }
    }

    /// The folder that ends in the workspace's short id, else the one that `add-workspace` would make: a name may have
    /// changed since.
    fn of(&self, id: &str, name: &str) -> PathBuf {
        let own = label(name, id);
        let ending = format!("-{}", id.get(..8).unwrap_or(id));
        let named = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        let there = named
            .filter(|entry| entry.file_name().to_string_lossy().ends_with(&ending))
            .map(|entry| entry.path())
            .find(|path| path.is_dir());
        there.unwrap_or_else(|| self.root.join(own))
    }
}

impl Outfit for Folders {
    fn show(&self, id: &str, name: &str, platform_url: &str) -> Outfitted {
        let folder = self.of(id, name);
        let has_token = folder.join(secret::AUTH_TOKEN).is_file();
        // The environment that the README tells people to have when they run `install --print`.
        let var = |name: &str| -> Option<OsString> {
            match name {
                "CONFIGS_DIR" => Some(folder.clone().into_os_string()),
                "PLATFORM_URL" => Some(platform_url.into()),
                "WORKSPACE_ID" => Some(id.into()),
                // Those of this process are for its own workspace, if it has one.
                name if name.starts_with("MOLECULE_") => None,
                name => std::env::var_os(name),
            }
        };
        let clients = std::iter::once(None).chain(Client::ALL.map(Some));
        let configurations = clients.filter(|_| has_token).map(|client| Configuration {
            client: client.map_or("Any client", Client::title).to_owned(),
            text: install::printed(client, &var, &Places::usual()).unwrap_or_else(|why| why),
        });
        Outfitted {
            configurations: configurations.collect(),
            folder,
            has_token,
        }
    }

    fn keep_token(&self, id: &str, name: &str, token: &Secret) -> io::Result<()> {
        let folder = self.of(id, name);
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(&folder)?;
        secret::write_if_different(&folder, secret::AUTH_TOKEN, token).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0a1b2c3d-0000-4000-8000-000000000000";

    #[test]
    fn configurations_come_with_a_token_and_never_hold_it() {
        let passing = passing_root().unwrap();
        let folders = Folders::below(passing.path());
        let root = folders.root.clone();
        let show = |name| folders.show(ID, name, "http://127.0.0.1:8080");
        let before = show("Alpha");
        assert!(!before.has_token && before.configurations.is_empty());
        assert_eq!(before.folder, root.join("alpha-0a1b2c3d"));
        let token = Secret::parse("tok-of-alpha").unwrap();
        folders.keep_token(ID, "Alpha", &token).unwrap();
        let after = show("Renamed");
        assert_eq!((after.has_token, &after.folder), (true, &before.folder));
        assert_eq!(after.configurations.len(), 1 + Client::ALL.len());
        for Configuration { client, text } in &after.configurations {
            assert!(
                text.contains(ID) && text.contains("/alpha-0a1b2c3d"),
                "{client}: {text}"
            );
            assert!(!text.contains("tok-of"), "{client}");
        }
    }
}
