//! Everything the program is told from outside: environment, file and defaults become one checked [`Config`].
//!
//! Nothing past this module reads the environment. All problems are reported at once, by name, without their values.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::types::{BaseUrl, WorkspaceId};
use token::TokenSource;

pub mod dirs;
pub mod file;
pub mod token;

/// One thing wrong with the configuration: which setting, which rule, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable or file.
    pub setting: String,
    /// What is wrong and the rule it breaks; never the value.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// A whole, checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `PLATFORM_URL`.
    pub platform: BaseUrl,
    /// `WORKSPACE_ID`.
    pub workspace: WorkspaceId,
    /// Where the workspace token comes from; holds it.
    pub token: TokenSource,
    /// The state folder, made and writable.
    pub state_dir: PathBuf,
    /// `MOLECULE_ORG_ID`, alias `MOLECULE_ORGANIZATION_ID`.
    pub org_id: Option<String>,
    /// `MOLECULE_CA_FILE`.
    pub ca_file: Option<PathBuf>,
    /// `MOLECULE_AGENT_*`.
    pub card: Card,
    /// Off with `MOLECULE_MCP_DISABLE_HEARTBEAT`: neither register nor beats.
    pub heartbeat: Switch,
    /// Off with `MOLECULE_MCP_DISABLE_INBOX`: no polling; inbox tools say so.
    pub inbox: Switch,
    /// `MOLECULE_BOOTSTRAP=1`: register without a token and store the one returned.
    pub bootstrap: bool,
    /// `MOLECULE_MCP_POLL_TIMEOUT_SECS`: the seconds quoted in the instructions; 0 = push only.
    pub poll_hint_secs: u64,
    /// `DELEGATION_TIMEOUT`.
    pub delegation_timeout: Duration,
    /// `MOLECULE_LEASE_SECS`: how long a message belongs to the session it was shown to.
    pub lease: Duration,
    /// `MOLECULE_MCP_PROTOCOL`.
    pub protocol: McpProtocol,
    /// `MOLECULE_MCP_VERBOSE`.
    pub verbose: bool,
    /// All intervals; shortened by `MOLECULE_TEST_SPEED` in tests.
    pub timing: Timing,
    /// Things worth a warning in the log, complete sentences without values.
    pub warnings: Vec<String>,
}

/// The agent card's settings.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Card {
    /// `MOLECULE_AGENT_NAME`; default `molecule-mcp-` and the first eight characters of the id.
    pub name: String,
    /// `MOLECULE_AGENT_DESCRIPTION`.
    pub description: Option<String>,
    /// `MOLECULE_AGENT_SKILLS`, each `{"name": entry}` on the card.
    pub skills: Vec<String>,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Runs.
    On,
    /// Switched off by the user.
    Off,
}

/// Which MCP revisions are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McpProtocol {
    /// Up to 2025-11-25, because channel push needs it.
    Legacy,
    /// The newest the library knows.
    Modern,
}

/// The intervals of the background duties. One struct, so that a test can shorten all of them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How much faster than real time everything runs; 1 outside tests.
    pub speed: u32,
}

impl Timing {
    /// Real time.
    pub const REAL: Self = Self { speed: 1 };

    /// `normal`, shortened by the test speed.
    #[must_use]
    pub fn of(self, normal: Duration) -> Duration {
        normal / self.speed.max(1)
    }
}

impl Config {
    /// Reads, completes and checks the configuration; makes the state folder. Sends nothing.
    ///
    /// # Errors
    /// Every problem found, in the order a person would mend them.
    pub fn read(_var: impl Fn(&str) -> Option<OsString>) -> Result<Self, Vec<Problem>> {
        todo!()
    }
}
