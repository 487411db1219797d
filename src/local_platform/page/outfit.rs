//! What the page shows of programs on this computer, which the platform itself knows nothing of.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use crate::types::Secret;

/// Makes workspaces usable by programs on this computer.
pub trait Outfit: fmt::Debug + Send + Sync {
    /// How programs join the workspace with this id and name; changes nothing.
    fn show(&self, id: &str, name: &str, platform_url: &str) -> Outfitted;

    /// Keeps a token in the workspace's state folder, which is made if it is missing.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    fn keep_token(&self, id: &str, name: &str, token: &Secret) -> io::Result<()>;
}

/// How programs join a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outfitted {
    /// The state folder, whether or not it is there.
    pub folder: PathBuf,
    /// Whether a token is in it.
    pub has_token: bool,
    /// What goes into the configuration of each client; empty as long as there is no token.
    pub configurations: Vec<Configuration>,
}

/// What goes into the configuration of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Configuration {
    /// What people call the client.
    pub client: String,
    /// The text of `molecule-mcp install CLIENT --print`.
    pub text: String,
}
