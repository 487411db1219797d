//! One server in a client's configuration: the one that belongs there, and those found there.

use std::collections::BTreeMap;
use std::path::Path;

/// Longest a tool call of ours takes, and what clients that cut calls are told: waiting for a message takes up to 300 s.
pub(super) const TOOL_TIMEOUT_SECS: u32 = 320;

/// Variables that decide which workspace a server joins, or hold a credential. Those of another workspace must not stay
/// behind when an entry is brought up to date.
const IDENTITY: [&str; 9] = [
    "CONFIGS_DIR",
    "PLATFORM_URL",
    "WORKSPACE_ID",
    "MOLECULE_WORKSPACE_TOKEN",
    "MOLECULE_WORKSPACE_TOKEN_FILE",
    "MOLECULE_WORKSPACES",
    "MOLECULE_ORG_ID",
    "MOLECULE_ORGANIZATION_ID",
    "MOLECULE_ORG",
];

/// What starts this program for one workspace. It holds no credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Absolute path of the program.
    pub program: String,
    /// The environment that the client adds; `CONFIGS_DIR` is always in it.
    pub env: Vec<(String, String)>,
    /// Id of the workspace.
    pub workspace: String,
    /// Whether a server without any environment would join this workspace too.
    pub is_usual: bool,
}

impl Entry {
    /// A name of its own for each workspace. Short: some clients put it before every tool's name and limit both together.
    #[must_use]
    pub fn usual_name(&self) -> String {
        let id = &self.workspace;
        format!("molecule-{}", id.get(..8).unwrap_or(id).trim_end_matches('-'))
    }
}

/// A server as a client's configuration names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its name there.
    pub name: String,
    /// The program it starts, if it starts one.
    pub program: Option<String>,
    /// The environment it is given, as far as its values are text.
    pub env: BTreeMap<String, String>,
}

impl Entry {
    /// Whether this server starts this program for this workspace.
    #[must_use]
    pub fn is(&self, seen: &Seen) -> bool {
        let given = |name: &str| seen.env.get(name).map(String::as_str);
        seen.starts(&self.program)
            && match (given("WORKSPACE_ID"), given("CONFIGS_DIR")) {
                (Some(id), _) => id.eq_ignore_ascii_case(&self.workspace),
                (None, Some(folder)) => self.state_dir().is_some_and(|own| Path::new(own) == Path::new(folder)),
                (None, None) => self.is_usual && given("MOLECULE_WORKSPACES").is_none(),
            }
    }

    fn state_dir(&self) -> Option<&str> {
        let mut pairs = self.env.iter();
        pairs
            .find(|(name, _)| name == "CONFIGS_DIR")
            .map(|(_, value)| value.as_str())
    }

    /// Whether a variable that an earlier entry gives has to go.
    pub(super) fn displaces(&self, variable: &str) -> bool {
        IDENTITY.contains(&variable) && self.env.iter().all(|(name, _)| name != variable)
    }
}

impl Seen {
    /// Whether it starts this very program, or a `molecule-mcp` wherever that is.
    #[must_use]
    pub fn starts(&self, program: &str) -> bool {
        self.program.as_deref().is_some_and(|started| {
            started == program
                || Path::new(started)
                    .file_stem()
                    .is_some_and(|stem| stem == "molecule-mcp")
        })
    }
}
