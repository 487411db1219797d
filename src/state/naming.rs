//! The names of files that other programs read, too, and that were made for a folder with one workspace.

use crate::types::WorkspaceId;

/// How such a file is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// As it always was: the folder serves one workspace.
    Plain,
    /// With the full id of the workspace behind it.
    ById,
}

impl Naming {
    /// For a process that serves so many workspaces.
    #[must_use]
    pub fn for_workspaces(count: usize) -> Self {
        if count > 1 { Self::ById } else { Self::Plain }
    }

    /// The name of a workspace's file.
    #[must_use]
    pub fn of(self, name: &str, workspace: &WorkspaceId) -> String {
        match self {
            Self::Plain => name.to_owned(),
            Self::ById => format!("{name}_{workspace}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_several_workspaces_have_their_ids_in_names() {
        let name = |count| Naming::for_workspaces(count).of(".file", &WorkspaceId::parse("ws-1").unwrap());
        assert_eq!([1, 2].map(name), [".file", ".file_ws-1"]);
    }
}
