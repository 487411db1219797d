//! Everything the program is told from outside: environment, file and defaults become one checked [`Config`].
//!
//! Nothing past this module reads the environment. All problems are reported at once, by name, without their values.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::types::{BaseUrl, WorkspaceId};
pub use arrival::{OnMessage, Senders};
pub use dirs::Places;
pub use host::Host;
pub use problem::{Fault, Problem, explain};
pub use roles::{Permission, Roles};
use token::TokenSource;

pub mod access;
mod arrival;
mod ca;
mod check;
pub mod dirs;
pub mod file;
pub mod files;
mod host;
mod listen;
pub mod looking;
pub mod management;
mod problem;
pub mod proxy;
mod reader;
mod roles;
pub mod settings;
pub mod shown;
pub mod sources;
pub mod token;
mod workspaces;

pub(crate) use check::{Checked, Existing, check};
pub(crate) use listen::loopback;
pub(crate) use reader::CONFIG;

/// The variable that holds the workspace token.
pub(crate) const TOKEN: &str = "MOLECULE_WORKSPACE_TOKEN";
/// The variable that names a file with the workspace token.
pub(crate) const TOKEN_FILE: &str = "MOLECULE_WORKSPACE_TOKEN_FILE";

/// A whole, checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The workspaces to serve, in the order of `MOLECULE_WORKSPACES`; at least one, and no two with one id.
    pub memberships: Vec<Membership>,
    /// `PLATFORM_URL`. A workspace may have a platform of its own.
    pub platform: BaseUrl,
    /// `MOLECULE_ORG_ID`, alias `MOLECULE_ORGANIZATION_ID`, `MOLECULE_ORG`.
    pub org_id: Option<String>,
    /// The state folder, made and writable.
    pub state_dir: PathBuf,
    /// How platforms are reached.
    pub route: proxy::Route,
    /// What the agent's host says about its runtime; echoed by `get_runtime_identity` and used for nothing.
    pub identity: RuntimeIdentity,
    /// Off with `MOLECULE_MCP_DISABLE_HEARTBEAT`: neither register nor beats.
    pub heartbeat: Switch,
    /// Off with `MOLECULE_MCP_DISABLE_INBOX`: no polling; inbox tools say so.
    pub inbox: Switch,
    /// `MOLECULE_BOOTSTRAP=1`: register without a token and store the one returned.
    pub bootstrap: bool,
    /// `MOLECULE_MCP_POLL_TIMEOUT_SECS`: the seconds quoted in the instructions, at most 60; 0 = push only. An unusable
    /// value is 2, as in the original.
    pub poll_hint_secs: u64,
    /// `DELEGATION_TIMEOUT`, seconds with or without a fraction, 1 to 86400; anything else is a problem.
    pub delegation_timeout: Duration,
    /// `MOLECULE_LEASE_SECS`, 10 to 86400: how long a message belongs to the session it was shown to.
    pub lease: Duration,
    /// Files that go out and come in.
    pub files: files::Files,
    /// `MOLECULE_MCP_PROTOCOL`: `auto` (the default) and `legacy`, or `modern`.
    pub protocol: McpProtocol,
    /// Keys for managing the tenant, beside the workspace's token.
    pub access: access::Access,
    /// The tools to show.
    pub shown: shown::Shown,
    /// The client that started this process, as far as its variables tell: where messages are pushed to.
    pub host: Option<Host>,
    /// What the agent may do, by `config.yaml`.
    pub roles: Roles,
    /// `MOLECULE_ALLOWED_SENDERS`: whose messages are pushed.
    pub senders: Senders,
    /// `MOLECULE_ON_MESSAGE`: what to run when messages arrive.
    pub on_message: Option<OnMessage>,
    /// `MOLECULE_HTTP`: where `serve` answers health questions, a loopback address; `None`: nowhere.
    pub http: Option<SocketAddr>,
    /// What is logged, and where.
    pub log: settings::Log,
    /// `MOLECULE_HTTP_MCP`: whether `serve` serves MCP there, too.
    pub http_mcp: bool,
    /// All intervals; shortened by `MOLECULE_TEST_SPEED` (1 to 1000) in tests.
    pub timing: Timing,
    /// Things worth a warning in the log, complete sentences without values.
    pub warnings: Vec<String>,
}

/// One workspace that this process serves: where it is, and what to be there as. Token and id belong together and stay so.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The platform it is at.
    pub platform: BaseUrl,
    /// `WORKSPACE_ID`.
    pub workspace: WorkspaceId,
    /// Where the workspace token comes from; holds it.
    pub token: TokenSource,
    /// The organization to name to the platform; never for a workspace with a platform of its own.
    pub org_id: Option<String>,
    /// `MOLECULE_AGENT_*`, the same for all but for a default name.
    pub card: Card,
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

impl Card {
    /// The `agent_card` of a register body.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let skills: Vec<_> = self
            .skills
            .iter()
            .map(|name| serde_json::json!({ "name": name }))
            .collect();
        let mut card = serde_json::json!({ "name": self.name, "skills": skills });
        if let Some(description) = &self.description {
            card["description"] = description.as_str().into();
        }
        card
    }
}

/// What variables say about the model and runtime behind the agent. Empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeIdentity {
    /// `MODEL`.
    pub model: String,
    /// `MODEL_PROVIDER`.
    pub model_provider: String,
    /// `MOLECULE_MODEL`.
    pub molecule_model: String,
    /// `ANTHROPIC_BASE_URL`, without a user name and password.
    pub anthropic_base_url: String,
    /// `TIER`.
    pub tier: String,
    /// `ADAPTER_MODULE`.
    pub runtime: String,
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
    /// How much faster than real time everything runs: `MOLECULE_TEST_SPEED`, 1 to 1000, and 1 outside tests.
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
    /// The first workspace: the only one, where there is one only.
    ///
    /// # Panics
    /// When it was made without any; [`Config::read`] never does.
    #[must_use]
    pub fn first(&self) -> &Membership {
        self.memberships.first().expect("a configuration names a workspace")
    }

    /// The platform's origin and the id of each workspace, which name its files in the state folder.
    #[must_use]
    pub fn names(&self) -> Vec<(String, WorkspaceId)> {
        let all = self.memberships.iter();
        all.map(|own| (own.platform.to_string(), own.workspace.clone()))
            .collect()
    }

    /// Reads, completes and checks the configuration; makes the state folder. Sends nothing.
    ///
    /// A variable wins over the configuration file (see [`mod@file`]), and that over the default. The state folder is made
    /// only when nothing else is wrong.
    ///
    /// # Errors
    /// Every problem found, in the order a person would mend them; [`explain`] makes a text of them.
    pub fn read(var: impl Fn(&str) -> Option<OsString>) -> Result<Self, Vec<Problem>> {
        Self::read_in(var, &Places::usual())
    }

    /// As [`Config::read`], on a computer with these places.
    ///
    /// # Errors
    /// As for [`Config::read`].
    pub fn read_in(var: impl Fn(&str) -> Option<OsString>, places: &Places) -> Result<Self, Vec<Problem>> {
        check::check(&var, places, Existing::Used)?
            .make()
            .map_err(|problem| vec![problem])
    }
}

/// What such a process logs, and where. Anything wrong with it is told with the rest of the configuration.
pub fn log(var: impl Fn(&str) -> Option<OsString>) -> settings::Log {
    check::log(&mut reader::Reader::glance(&var, &Places::usual()))
}

/// The state folder that a process with this environment would use. It is not made.
///
/// # Errors
/// When none can be used.
pub fn state_dir(var: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Vec<Problem>> {
    let (mut reader, folder) = reader::Reader::open(&var, &Places::usual(), true);
    match folder {
        Some(folder) => Ok(folder.path().to_owned()),
        None => Err(reader.finish().0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_card_holds_a_description_only_when_there_is_one() {
        let mut card = Card {
            name: "me".into(),
            ..Card::default()
        };
        assert_eq!(card.to_json(), json!({"name": "me", "skills": []}));
        card.description = Some("about".into());
        card.skills = vec!["a".into(), "b".into()];
        let full = json!({"name": "me", "description": "about", "skills": [{"name": "a"}, {"name": "b"}]});
        assert_eq!(card.to_json(), full);
    }

    #[test]
    fn intervals_shrink_with_the_test_speed() {
        let normal = Duration::from_secs(20);
        assert_eq!(Timing::REAL.of(normal), normal);
        assert_eq!(Timing { speed: 100 }.of(normal), Duration::from_millis(200));
        assert_eq!(Timing { speed: 0 }.of(normal), normal);
    }
}
