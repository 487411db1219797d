//! A file that the platform keeps for this workspace: what it is called there and here, and how far it has come.

use std::path::Path;

use url::Url;
use uuid::Uuid;

use crate::config::files::WORKSPACE;

/// How the platform's addresses of files begin that wait for a polling workspace.
pub const PENDING: &str = "platform-pending:";

/// How far a file has come. States are words, as in [`super::message::State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileState {
    /// To be fetched.
    Wanted,
    /// Safely on this computer; the platform was not told yet.
    Staged,
    /// On this computer, and nothing is left to do.
    Kept,
    /// The platform has it no longer, and it is not here.
    Gone,
    /// Larger than this program takes.
    Oversize,
    /// It was here, and made room for others.
    Dropped,
    /// Sent by this workspace to its person: the platform announces it to the sender as well. Left where it is, because the
    /// person fetches it there.
    Outgoing,
}

impl FileState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Wanted,
        Self::Staged,
        Self::Kept,
        Self::Gone,
        Self::Oversize,
        Self::Dropped,
        Self::Outgoing,
    ];

    /// The word that is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Staged => "staged",
            Self::Kept => "kept",
            Self::Gone => "gone",
            Self::Oversize => "oversize",
            Self::Dropped => "dropped",
            Self::Outgoing => "outgoing",
        }
    }

    /// What an agent is told of a file that it cannot open; `None`: it can.
    #[must_use]
    pub fn excuse(self) -> Option<&'static str> {
        match self {
            Self::Staged | Self::Kept => None,
            Self::Wanted | Self::Outgoing => Some("fetching"),
            Self::Gone => Some("gone"),
            Self::Oversize => Some("too_large"),
            Self::Dropped => Some("dropped"),
        }
    }
}

/// A file on which work is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// The platform's id of it, a UUID in lower case.
    pub id: String,
    /// As the sender called it.
    pub name: String,
    /// Its length in bytes, when the platform told it.
    pub size: Option<u64>,
    /// [`FileState::Wanted`] or [`FileState::Staged`].
    pub state: FileState,
    /// Whether the platform is told when it is here. Not of files that the person still has to fetch.
    pub acknowledge: bool,
}

/// The id in the address of a file that waits for `own`; `None` for every other address.
#[must_use]
pub fn pending_id(uri: &str, own: &str) -> Option<String> {
    let (workspace, id) = uri.strip_prefix(PENDING)?.split_once('/')?;
    let id = Uuid::try_parse(id).ok()?;
    (workspace.eq_ignore_ascii_case(own)).then(|| id.to_string())
}

/// The address under which an agent on this computer opens a file: `workspace:` below `/workspace`, else `file://`.
#[must_use]
pub fn local_uri(path: &Path) -> String {
    if path.starts_with(WORKSPACE) {
        return format!("workspace:{}", path.display());
    }
    Url::from_file_path(path).map_or_else(|()| path.display().to_string(), String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_pending_addresses_have_an_id() {
        let own = "5f0c1d2e-0000-4000-8000-000000000001";
        let id = "aaaaaaaa-0000-4000-8000-00000000000b";
        for (uri, expected) in [
            (format!("platform-pending:{own}/{id}"), Some(id)),
            (
                format!("platform-pending:{}/{}", own.to_uppercase(), id.to_uppercase()),
                Some(id),
            ),
            (format!("platform-pending:other/{id}"), None),
            (format!("platform-pending:{own}/"), None),
            (format!("platform-pending:{own}/../x"), None),
            (format!("platform-pending:{id}"), None),
            (format!("workspace:/{own}/{id}"), None),
            (String::new(), None),
        ] {
            assert_eq!(pending_id(&uri, own).as_deref(), expected, "{uri}");
        }
    }

    #[test]
    fn a_local_address_can_be_opened_where_the_agent_is() {
        for (path, expected) in [
            (
                "/workspace/.molecule/chat-uploads/a.txt",
                "workspace:/workspace/.molecule/chat-uploads/a.txt",
            ),
            ("/workspaces/a.txt", "file:///workspaces/a.txt"),
            ("/home/me/my files/a.txt", "file:///home/me/my%20files/a.txt"),
        ] {
            assert_eq!(local_uri(Path::new(path)), expected);
        }
    }
}
