//! What a new workspace's owner pastes into the configuration of clients, and the names in it.

use std::path::Path;

use crate::cli::clients::snippets::{self, shell_word};
use crate::cli::clients::{Client, Entry};
use crate::local_platform::Created;

/// Ready-to-paste configuration. The token itself is never shown: the state folder holds it. Server and folder have names
/// of their own, so that several workspaces on one computer do not overwrite one another.
pub(super) fn configuration(program: &str, created: &Created, folder: &Path) -> String {
    let folder = folder.display().to_string();
    let variables = [
        ("WORKSPACE_ID", &created.id),
        ("PLATFORM_URL", &created.platform_url),
        ("CONFIGS_DIR", &folder),
    ];
    let known: Vec<_> = Client::ALL
        .iter()
        .filter_map(clap::ValueEnum::to_possible_value)
        .map(|client| client.get_name().to_owned())
        .collect();
    let install = format!(
        "CONFIGS_DIR={} {} install CLIENT",
        shell_word(&folder),
        shell_word(program)
    );
    let entry = Entry {
        program: program.to_owned(),
        env: variables.map(|(name, value)| (name.to_owned(), value.clone())).into(),
        workspace: created.id.clone(),
        is_usual: false,
    };
    format!(
        "Workspace {}\nIts state folder, with address and token, is {folder}\n\n\
         Tell a client ({}):\n{install}\n\nOr by hand. {}",
        created.id,
        known.join(", "),
        snippets::to_paste(&entry.usual_name(), &entry)
    )
}

/// `alpha-0a1b2c3d`: the name as far as it is safe in file names, and the start of the id.
pub(super) fn label(name: &str, id: &str) -> String {
    let safe: String = name
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(40)
        .collect();
    let safe = safe.trim_matches('-');
    let short = id.get(..8).unwrap_or(id);
    if safe.is_empty() {
        format!("workspace-{short}")
    } else {
        format!("{safe}-{short}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Secret;

    #[test]
    fn the_configuration_can_be_pasted_whatever_the_paths_hold() {
        let created = Created {
            id: "0a1b2c3d-0000-4000-8000-000000000000".to_owned(),
            token: Secret::parse("secret").unwrap(),
            platform_url: "http://127.0.0.1:8080".to_owned(),
        };
        let shown = configuration("/opt/my tools/molecule-mcp", &created, Path::new("/home/a'b/alpha"));
        let json = &shown[shown.find('{').unwrap()..=shown.find("\n}\n").unwrap() + 1];
        let servers: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            servers["mcpServers"]["molecule-0a1b2c3d"]["env"]["CONFIGS_DIR"],
            "/home/a'b/alpha"
        );
        let codex: toml::Table = shown[shown.find("[mcp_servers").unwrap()..].parse().unwrap();
        let codex = &codex["mcp_servers"]["molecule-0a1b2c3d"];
        assert_eq!(codex["command"].as_str(), Some("/opt/my tools/molecule-mcp"));
        assert_eq!(codex["env"]["WORKSPACE_ID"].as_str(), Some(created.id.as_str()));
        assert!(
            shown.contains("CONFIGS_DIR='/home/a'\\''b/alpha' '/opt/my tools/molecule-mcp' install CLIENT\n"),
            "{shown}"
        );
        assert!(shown.contains("claude-code, codex, "), "{shown}");
        assert!(shown.contains(r"-e 'CONFIGS_DIR=/home/a'\''b/alpha' -- '/opt/my tools/molecule-mcp'"));
        assert!(!shown.contains("secret"));
    }

    #[test]
    fn names_become_safe_labels() {
        for (name, expected) in [
            ("Alpha", "alpha-0a1b2c3d"),
            ("../../etc", "etc-0a1b2c3d"),
            ("über", "ber-0a1b2c3d"),
            ("", "workspace-0a1b2c3d"),
        ] {
            assert_eq!(label(name, "0a1b2c3d-0000"), expected);
        }
    }
}
