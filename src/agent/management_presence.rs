//! The self-report `mcp_server_present`: is the platform's management MCP server available in this container?
//!
//! A liveness hint of workspaces that are platform agents, not an authorisation; ordinary workspaces send `false`.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

/// Where the management server is baked into a platform agent's image.
const BAKED_SERVER: &str = "/opt/molecule-mcp-server";
/// Where a plugin registers it instead.
const PLUGIN_SETTINGS: &str = "/configs/.claude/settings.json";
/// Its name among the plugin's MCP servers.
const SERVER_NAME: &str = "molecule-platform";

/// Settings larger than this are not read.
const LARGEST: u64 = 1024 * 1024;
/// A file system that answers later than this does not delay a beat.
const PATIENCE: Duration = Duration::from_millis(200);

/// Looks again and again, and remembers what was seen last.
#[derive(Debug, Default)]
pub struct Presence {
    seen: bool,
    /// One that the file system has not answered yet. There is never a second one: each would hold a thread, and a file
    /// system that hangs for hours would take all there are.
    looking: Option<JoinHandle<bool>>,
}

impl Presence {
    /// The report of this moment; what was seen last when the file system does not answer in time.
    pub async fn now(&mut self) -> bool {
        let look = || spawn_blocking(|| detect(Path::new(BAKED_SERVER), Path::new(PLUGIN_SETTINGS)));
        let looking = self.looking.get_or_insert_with(look);
        if let Ok(seen) = timeout(PATIENCE, looking).await {
            self.seen = seen.unwrap_or(self.seen);
            self.looking = None;
        }
        self.seen
    }
}

/// Whether the server is baked in, or named in the plugin settings. False on every degenerate input.
fn detect(baked_server: &Path, plugin_settings: &Path) -> bool {
    baked_server.exists() || names_server(plugin_settings).unwrap_or(false)
}

/// Whether the settings are a JSON object whose `mcpServers` is an object with the server's name as a key.
fn names_server(settings: &Path) -> Option<bool> {
    if !settings.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    File::open(settings)
        .ok()?
        .take(LARGEST)
        .read_to_string(&mut text)
        .ok()?;
    let settings: Value = serde_json::from_str(&text).ok()?;
    Some(settings.get("mcpServers")?.as_object()?.contains_key(SERVER_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_follows_its_table() {
        let cases: &[(&str, bool, Option<&str>, bool)] = &[
            ("baked in only", true, None, true),
            (
                "plugin only",
                false,
                Some(r#"{"mcpServers":{"molecule-platform":{}}}"#),
                true,
            ),
            (
                "another server only",
                false,
                Some(r#"{"mcpServers":{"other":{}}}"#),
                false,
            ),
            ("nothing", false, None, false),
            ("malformed", false, Some(r#"{"mcpServers":"#), false),
            ("not an object", false, Some("[1]"), false),
            (
                "servers not an object",
                false,
                Some(r#"{"mcpServers":["molecule-platform"]}"#),
                false,
            ),
            ("no servers", false, Some("{}"), false),
            ("baked in, settings broken", true, Some("no json"), true),
        ];
        for (name, baked, settings, expected) in cases {
            let root = tempfile::tempdir().unwrap();
            let server = root.path().join("server");
            let file = root.path().join("settings.json");
            if *baked {
                std::fs::create_dir(&server).unwrap();
            }
            if let Some(text) = settings {
                std::fs::write(&file, text).unwrap();
            }
            assert_eq!(detect(&server, &file), *expected, "{name}");
        }
        let root = tempfile::tempdir().unwrap();
        assert!(
            !detect(&root.path().join("none"), root.path()),
            "a folder in the file's place"
        );
    }
}
