//! Which MCP client started this process, as far as its environment tells.

use super::reader::Reader;

/// A client that takes messages pushed into its conversation, by a notification of its own (daemon-behaviour 8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Claude Code.
    Claude,
    /// OpenClaw.
    OpenClaw,
    /// Cursor.
    Cursor,
    /// Hermes.
    Hermes,
}

/// The variables that give each of them away.
const TRACES: [(Host, [&str; 2]); 4] = [
    (Host::Claude, ["CLAUDE_CODE", "CLAUDE_CODE_VERSION"]),
    (Host::OpenClaw, ["OPENCLAW_SESSION_ID", "OPENCLAW_GATEWAY_PORT"]),
    (Host::Cursor, ["CURSOR_MCP", "CURSOR_TRACE_ID"]),
    (Host::Hermes, ["HERMES_RUNTIME", "HERMES_WORKSPACE_ID"]),
];

impl Host {
    /// The client whose variables are set; the first one of the list above when there are several.
    pub(super) fn detect(reader: &Reader<'_>) -> Option<Self> {
        TRACES
            .iter()
            .find(|(_, names)| names.iter().any(|name| reader.is_set(name)))
            .map(|(host, _)| *host)
    }

    /// The method of its push notification.
    #[must_use]
    pub fn method(self) -> &'static str {
        match self {
            Self::Claude => "notifications/claude/channel",
            Self::OpenClaw => "notifications/openclaw/channel",
            Self::Cursor => "notifications/cursor/channel",
            Self::Hermes => "notifications/hermes/channel",
        }
    }

    /// The client that introduces itself by this name in `initialize`. More to be trusted than the environment, which a
    /// terminal inside another client inherits.
    #[must_use]
    pub fn named(client: &str) -> Option<Self> {
        let client = client.to_ascii_lowercase();
        [
            ("claude-code", Self::Claude),
            ("openclaw", Self::OpenClaw),
            ("hermes", Self::Hermes),
        ]
        .into_iter()
        .find(|(name, _)| client.starts_with(name))
        .map(|(_, host)| host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_is_known_by_either_of_its_variables() {
        let detect = |set: &'static str| {
            let var = move |name: &str| (name == set).then(|| "1".into());
            Host::detect(&Reader::new(&var))
        };
        for (host, names) in TRACES {
            for name in names {
                assert_eq!(detect(name), Some(host), "{name}");
            }
        }
        assert_eq!(detect("PATH"), None);
    }

    #[test]
    fn a_client_is_known_by_the_name_it_gives() {
        assert_eq!(Host::named("claude-code"), Some(Host::Claude));
        assert_eq!(Host::named("Claude-Code/2.1"), Some(Host::Claude));
        assert_eq!(Host::named("codex-mcp-client"), None);
    }
}
