//! Every setting there is, once: its variables, its key in the file, its shape, its default and what it means. Reading, the
//! file, `config`, `doctor` and the documentation go by this table.

use std::path::PathBuf;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its variables; the first one that is set counts.
    pub names: &'static [&'static str],
    /// Its key in the file; `None`: it can only be a variable.
    pub key: Option<&'static str>,
    /// What values look like.
    pub kind: Kind,
    /// What counts when it is not given, in words.
    pub default: &'static str,
    /// What it means, in one line.
    pub about: &'static str,
}

/// What the values of a setting look like, as a variable and in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// The path of a file or folder.
    Path,
    /// `1` or `0`; in the file true or false.
    Switch,
    /// Any value switches it on; in the file true or false.
    AnyValue,
    /// A whole number within these bounds, and the one that counts when none is given.
    Whole(u32, u32, u32),
    /// A number, perhaps with a fraction.
    Number,
    /// Words separated by commas; in the file a list.
    Words,
    /// Paths separated as in `PATH`; in the file a list.
    Paths,
    /// A program and its arguments as a shell reads them; in the file also as a list.
    Command,
    /// Workspaces as JSON; in the file `[[workspaces]]`.
    Workspaces,
    /// A credential. It is never in the file; the key named here takes the path of a file that holds it.
    Secret(&'static str),
    /// Its mere presence says something, or it is only passed on.
    Trace,
}

impl Kind {
    /// The values in the file, in words.
    #[must_use]
    pub fn in_file(self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Switch | Self::AnyValue => "true or false".to_owned(),
            Self::Whole(least, most, _) => format!("a whole number from {least} to {most}"),
            Self::Number => "a number".to_owned(),
            Self::Words => "a list of texts".to_owned(),
            Self::Paths => "a list of paths".to_owned(),
            Self::Command => "a text, or a list of the program and its arguments".to_owned(),
            Self::Workspaces => "tables [[workspaces]], each with id, token_file and perhaps platform_url".to_owned(),
            Self::Secret(_) | Self::Trace => "not in the file".to_owned(),
        }
    }
}

impl Setting {
    /// Its first variable, by which the program knows it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.names[0]
    }
}

/// Where errors and warnings are read, besides standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// `MOLECULE_LOG`: a filter.
    pub filter: Option<String>,
    /// `MOLECULE_LOG_FILE`, absolute.
    pub file: Option<PathBuf>,
    /// `MOLECULE_LOG_FORMAT`.
    pub format: LogFormat,
    /// `MOLECULE_MCP_VERBOSE`.
    pub verbose: bool,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// As suits whoever reads standard error.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

const fn both(
    names: &'static [&'static str],
    key: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> Setting {
    Setting {
        names,
        key: Some(key),
        kind,
        default,
        about,
    }
}

/// A setting that has no place in a file.
const fn variable(names: &'static [&'static str], kind: Kind, default: &'static str, about: &'static str) -> Setting {
    Setting {
        names,
        key: None,
        kind,
        default,
        about,
    }
}

const fn secret(names: &'static [&'static str], instead: &'static str, about: &'static str) -> Setting {
    variable(names, Kind::Secret(instead), "none", about)
}

/// The settings that make up one subject.
#[derive(Debug)]
pub struct Group {
    /// The subject.
    pub title: &'static str,
    /// They.
    pub settings: &'static [Setting],
}

/// All settings.
pub static GROUPS: [Group; 6] = [
    Group {
        title: "Joining a platform",
        settings: &[
            both(
                &["PLATFORM_URL"],
                "platform_url",
                Kind::Text,
                "required",
                "address of the platform",
            ),
            both(
                &["WORKSPACE_ID"],
                "workspace_id",
                Kind::Text,
                "required",
                "the workspace to be",
            ),
            secret(&["MOLECULE_WORKSPACE_TOKEN"], "token_file", "the workspace's token"),
            both(
                &["MOLECULE_WORKSPACE_TOKEN_FILE"],
                "token_file",
                Kind::Path,
                ".auth_token in the state folder",
                "file that holds the workspace's token",
            ),
            both(
                &["MOLECULE_WORKSPACES"],
                "workspaces",
                Kind::Workspaces,
                "none",
                "several workspaces at once, instead of the three above",
            ),
            both(
                &["MOLECULE_ORG_ID", "MOLECULE_ORGANIZATION_ID", "MOLECULE_ORG"],
                "org_id",
                Kind::Text,
                "not sent",
                "organization to name to the platform; hosted platforms ask for it",
            ),
            both(
                &["MOLECULE_ALLOW_INSECURE"],
                "allow_insecure",
                Kind::Switch,
                "false",
                "plain http:// to any host",
            ),
            both(
                &["MOLECULE_CA_FILE"],
                "ca_file",
                Kind::Path,
                "none",
                "further certificate authorities, PEM",
            ),
            both(
                &[
                    "HTTPS_PROXY",
                    "https_proxy",
                    "HTTP_PROXY",
                    "http_proxy",
                    "ALL_PROXY",
                    "all_proxy",
                ],
                "proxy",
                Kind::Text,
                "none",
                "proxy for calls to the platform; the variables have their usual, finer meaning",
            ),
            both(
                &["NO_PROXY", "no_proxy"],
                "no_proxy",
                Kind::Words,
                "none",
                "hosts that are asked without the proxy; this computer always is",
            ),
            both(
                &["MOLECULE_BOOTSTRAP"],
                "bootstrap",
                Kind::Switch,
                "false",
                "start without a token, register an existing workspace that has none, keep the one issued",
            ),
            both(
                &["CONFIGS_DIR"],
                "configs_dir",
                Kind::Path,
                "/configs if it exists and is writable, else ~/.molecule-workspace",
                "the state folder; as a key only in a file that --config or MOLECULE_CONFIG names",
            ),
            variable(
                &["MOLECULE_CONFIG"],
                Kind::Path,
                "molecule.toml or config.toml in the state folder",
                "the configuration file; the flag --config wins over it",
            ),
        ],
    },
    Group {
        title: "How the agent appears",
        settings: &[
            both(
                &["MOLECULE_AGENT_NAME"],
                "agent_name",
                Kind::Text,
                "molecule-mcp- and the first 8 characters of the workspace id",
                "name on the agent card",
            ),
            both(
                &["MOLECULE_AGENT_DESCRIPTION"],
                "agent_description",
                Kind::Text,
                "left out",
                "description on the agent card",
            ),
            both(
                &["MOLECULE_AGENT_SKILLS"],
                "agent_skills",
                Kind::Words,
                "none",
                "skills on the agent card",
            ),
        ],
    },
    Group {
        title: "Behaviour",
        settings: &[
            both(
                &["MOLECULE_MCP_DISABLE_HEARTBEAT"],
                "disable_heartbeat",
                Kind::AnyValue,
                "false",
                "this process neither registers nor sends heartbeats",
            ),
            both(
                &["MOLECULE_MCP_DISABLE_INBOX"],
                "disable_inbox",
                Kind::AnyValue,
                "false",
                "this process does not poll, and its inbox tools say so",
            ),
            both(
                &["MOLECULE_MCP_POLL_TIMEOUT_SECS"],
                "poll_timeout_secs",
                Kind::Whole(0, 60, 2),
                "2",
                "seconds quoted to the agent for wait_for_message at the start of a turn; 0: push only",
            ),
            both(
                &["MOLECULE_MCP_PROTOCOL"],
                "protocol",
                Kind::Text,
                "auto",
                "legacy: MCP up to 2025-11-25, needed for channel push; modern: the newest; auto: legacy",
            ),
            both(
                &["MOLECULE_LEASE_SECS"],
                "lease_secs",
                Kind::Whole(10, 86_400, 600),
                "600",
                "how long a message shown to an agent is kept from others until it is acknowledged",
            ),
            both(
                &["MOLECULE_ALLOWED_SENDERS"],
                "allowed_senders",
                Kind::Words,
                "everyone",
                "whose messages are pushed: UUIDs of workspaces, and user for the person",
            ),
            both(
                &["MOLECULE_ON_MESSAGE"],
                "on_message",
                Kind::Command,
                "none",
                "a command that is run when messages arrive",
            ),
            both(
                &["WORKSPACE_CONFIG_PATH"],
                "workspace_config_path",
                Kind::Path,
                "the state folder",
                "folder of the config.yaml with the agent's roles",
            ),
            both(
                &["MOLECULE_HTTP"],
                "http",
                Kind::Text,
                "nowhere",
                "where serve answers /healthz, /readyz and /metrics, a loopback address",
            ),
            both(
                &["MOLECULE_HTTP_MCP"],
                "http_mcp",
                Kind::Switch,
                "false",
                "serve serves MCP there, too, to clients that show the token in http.token",
            ),
            both(
                &["DELEGATION_TIMEOUT"],
                "delegation_timeout",
                Kind::Number,
                "300",
                "seconds delegate_task waits when the client shows progress, 1 to 86400",
            ),
            both(
                &["MOLECULE_ATTACH_ROOTS"],
                "attach_roots",
                Kind::Paths,
                "none",
                "folders whose files may be attached, besides the working directory",
            ),
            both(
                &["MOLECULE_CHAT_UPLOAD_DIR"],
                "chat_upload_dir",
                Kind::Path,
                "uploads in the state folder",
                "where received files are kept",
            ),
            both(
                &["MOLECULE_UPLOAD_QUOTA_MB"],
                "upload_quota_mb",
                Kind::Whole(1, 1_000_000, 1024),
                "1024",
                "most that received files take, in MiB",
            ),
        ],
    },
    Group {
        title: "Logs",
        settings: &[
            both(
                &["MOLECULE_MCP_VERBOSE"],
                "verbose",
                Kind::AnyValue,
                "false",
                "also log what happens, not only warnings and errors",
            ),
            both(
                &["MOLECULE_LOG"],
                "log",
                Kind::Text,
                "warn; info in serve, with verbose, and in the log file",
                "a log filter, as debug or molecule_mcp::agent=debug",
            ),
            both(
                &["MOLECULE_LOG_FILE"],
                "log_file",
                Kind::Path,
                "none",
                "a file that gets the log too, 0600, kept below 5 MiB with one older one beside it",
            ),
            both(
                &["MOLECULE_LOG_FORMAT"],
                "log_format",
                Kind::Text,
                "auto",
                "text, json, or auto: whatever suits the reader of standard error",
            ),
        ],
    },
    Group {
        title: "Tools, and managing a tenant",
        settings: &[
            both(
                &["MOLECULE_MCP_MODE"],
                "mode",
                Kind::Text,
                "default",
                "default, ops (no workspace, only its tools), management (only the management tools) or self (only the own schedules)",
            ),
            both(
                &["MOLECULE_MCP_TOOLSETS"],
                "toolsets",
                Kind::Words,
                "agent, and ops with an API key",
                "the tools to show: agent, ops, management, control, all, or names of tools",
            ),
            both(
                &["MOLECULE_MCP_READ_ONLY"],
                "read_only",
                Kind::Switch,
                "false",
                "no tool that changes anything",
            ),
            secret(
                &["MOLECULE_API_KEY", "MOLECULE_API_TOKEN"],
                "api_key_file",
                "key of the tenant, for the set ops",
            ),
            both(
                &["MOLECULE_API_KEY_FILE"],
                "api_key_file",
                Kind::Path,
                "none",
                "file that holds the key of the tenant",
            ),
            secret(
                &["MOLECULE_ORG_API_KEY"],
                "org_api_key_file",
                "organization key, for the set management",
            ),
            both(
                &["MOLECULE_ORG_API_KEY_FILE"],
                "org_api_key_file",
                Kind::Path,
                "none",
                "file that holds the organization key",
            ),
            both(
                &["MOLECULE_API_URL", "MOLECULE_URL"],
                "api_url",
                Kind::Text,
                "the platform's address",
                "the tenant that these keys belong to",
            ),
            both(
                &["MOLECULE_ORG_SLUG"],
                "org_slug",
                Kind::Text,
                "not sent",
                "organization to name to the tenant, with these keys",
            ),
            secret(
                &["CP_ADMIN_API_TOKEN"],
                "cp_admin_api_token_file",
                "token of the control plane, for the set control",
            ),
            both(
                &["CP_ADMIN_API_TOKEN_FILE"],
                "cp_admin_api_token_file",
                Kind::Path,
                "none",
                "file that holds the token of the control plane",
            ),
            secret(
                &["CP_PROMOTE_PROD_API_TOKEN"],
                "cp_promote_prod_api_token_file",
                "token for promote_to_production in production",
            ),
            both(
                &["CP_PROMOTE_PROD_API_TOKEN_FILE"],
                "cp_promote_prod_api_token_file",
                Kind::Path,
                "none",
                "file that holds the token for production",
            ),
            both(
                &["MOLECULE_CP_URL", "CP_API_URL"],
                "cp_url",
                Kind::Text,
                "https://api.moleculesai.app",
                "the control plane",
            ),
        ],
    },
    Group {
        title: "Set by others",
        settings: &[
            variable(
                &["CLAUDE_CODE"],
                Kind::Trace,
                "not set",
                "Claude Code started this process",
            ),
            variable(&["CLAUDE_CODE_VERSION"], Kind::Trace, "not set", "the same"),
            variable(
                &["OPENCLAW_SESSION_ID"],
                Kind::Trace,
                "not set",
                "OpenClaw started this process",
            ),
            variable(&["OPENCLAW_GATEWAY_PORT"], Kind::Trace, "not set", "the same"),
            variable(&["CURSOR_MCP"], Kind::Trace, "not set", "Cursor started this process"),
            variable(&["CURSOR_TRACE_ID"], Kind::Trace, "not set", "the same"),
            variable(
                &["HERMES_RUNTIME"],
                Kind::Trace,
                "not set",
                "Hermes started this process",
            ),
            variable(&["HERMES_WORKSPACE_ID"], Kind::Trace, "not set", "the same"),
            variable(&["MODEL"], Kind::Trace, "not set", "repeated by get_runtime_identity"),
            variable(&["MODEL_PROVIDER"], Kind::Trace, "not set", "the same"),
            variable(&["MOLECULE_MODEL"], Kind::Trace, "not set", "the same"),
            variable(
                &["ANTHROPIC_BASE_URL"],
                Kind::Trace,
                "not set",
                "the same, without a user name and password",
            ),
            variable(&["TIER"], Kind::Trace, "not set", "the same"),
            variable(&["ADAPTER_MODULE"], Kind::Trace, "not set", "the same"),
            variable(
                &["MOLECULE_TEST_SPEED"],
                Kind::Whole(1, 1000, 1),
                "1",
                "shortens all intervals, for tests",
            ),
        ],
    },
];

/// Every setting.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|group| group.settings)
}

/// The setting that a variable belongs to.
///
/// # Panics
/// When it is not in the table: nothing else may be read.
pub(super) fn named(name: &str) -> &'static Setting {
    all()
        .find(|setting| setting.names.contains(&name))
        .unwrap_or_else(|| panic!("{name} is missing in the table of settings"))
}

/// The setting of a key.
pub(super) fn keyed(key: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.key == Some(key))
}

/// The candidate that a word was probably meant to be.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let close = |candidate: &&str| {
        let length = word.len().max(candidate.len());
        strsim::damerau_levenshtein(word, candidate) <= (length / 3).clamp(1, 4)
    };
    let scored = candidates.into_iter().filter(close);
    scored.min_by_key(|candidate| strsim::damerau_levenshtein(word, candidate))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_variable_and_every_key_means_one_thing() {
        let names: Vec<_> = all().flat_map(|setting| setting.names).collect();
        let keys: Vec<_> = all().filter_map(|setting| setting.key).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
        for setting in all() {
            assert!(!setting.default.is_empty() && !setting.about.is_empty());
            if let Kind::Secret(instead) = setting.kind {
                assert!(setting.key.is_none() && keys.contains(&instead), "{setting:?}");
            }
        }
    }

    #[test]
    fn a_key_is_its_variable_in_lower_case_without_the_prefix() {
        // The proxy's variables are three, and the token is the token everywhere.
        let others = ["proxy", "token_file"];
        for setting in all() {
            let Some(key) = setting.key.filter(|key| !others.contains(key)) else {
                continue;
            };
            let name = setting.name();
            let short = name.strip_prefix("MOLECULE_").unwrap_or(name);
            let short = short.strip_prefix("MCP_").unwrap_or(short);
            assert_eq!(key, short.to_ascii_lowercase());
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_another_word_is_not() {
        let keys = || all().filter_map(|setting| setting.key);
        for (typed, meant) in [
            ("workspaceid", Some("workspace_id")),
            ("platfrom_url", Some("platform_url")),
            ("lease_sec", Some("lease_secs")),
            ("read-only", Some("read_only")),
            ("banana", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typed, keys()), meant, "{typed}");
        }
    }
}
