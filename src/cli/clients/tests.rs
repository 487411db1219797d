//! What is done to a configuration, client by client: pure text in, text out.

use super::*;

const ID: &str = "0a1b2c3d-0000-4000-8000-000000000000";

fn entry() -> Entry {
    Entry {
        program: "/opt/my tools/molecule-mcp".into(),
        env: vec![
            ("CONFIGS_DIR".into(), "/home/a'b/alpha".into()),
            ("WORKSPACE_ID".into(), ID.into()),
        ],
        workspace: ID.into(),
        is_usual: false,
    }
}

fn put(client: Client, text: &str) -> String {
    put_as(client, text, "molecule-0a1b2c3d", &entry())
}

fn put_as(client: Client, text: &str, name: &str, entry: &Entry) -> String {
    let mut document = client.format().parse(text).unwrap();
    document.put(name, entry);
    document.text()
}

fn taken_out(client: Client, text: &str) -> String {
    let mut document = client.format().parse(text).unwrap();
    document.remove("molecule-0a1b2c3d");
    document.text()
}

/// A configuration that a person keeps, with all that its format allows.
fn kept(client: Client) -> String {
    match client.format() {
        Format::Toml => "# mine\nmodel = \"m\"  # the one\n\n[mcp_servers.other]\ncommand = \"other\" # theirs\n\n\
                         [mcp_servers.other.env]\nKEY = 'v'\n"
            .into(),
        Format::Json(key, _) => format!(
            "// mine\n{{\n\t\"theme\": \"dark\", /* the one */\n\t\"{key}\": {{\n\t\t// theirs\n\t\t\"other\": {{ \
             \"command\": \"x\", \"n\": 1.50 }}\n\t}},\n\t\"last\": [1,2 ,3]\n}}\n"
        ),
    }
}

#[test]
fn each_client_gets_its_own_format() {
    let shown = |client| put(client, "");
    same(
        &shown(Client::ClaudeCode),
        r#"{
  "mcpServers": {
    "molecule-0a1b2c3d": {
      "type": "stdio",
      "command": "/opt/my tools/molecule-mcp",
      "args": [],
      "env": {
        "CONFIGS_DIR": "/home/a'b/alpha",
        "WORKSPACE_ID": "0a1b2c3d-0000-4000-8000-000000000000"
      }
    }
  }
}
"#,
    );
    assert_eq!(shown(Client::Cursor), shown(Client::ClaudeCode));
    assert_eq!(
        shown(Client::Vscode),
        shown(Client::ClaudeCode).replace("mcpServers", "servers")
    );
    assert_eq!(
        shown(Client::ClaudeDesktop),
        shown(Client::ClaudeCode).replace("      \"type\": \"stdio\",\n", "")
    );
    same(
        &shown(Client::Gemini),
        &shown(Client::ClaudeDesktop).replace("      }\n    }", "      },\n      \"timeout\": 320000\n    }"),
    );
    same(
        &shown(Client::Opencode),
        r#"{
  "mcp": {
    "molecule-0a1b2c3d": {
      "type": "local",
      "command": ["/opt/my tools/molecule-mcp"],
      "environment": {
        "CONFIGS_DIR": "/home/a'b/alpha",
        "WORKSPACE_ID": "0a1b2c3d-0000-4000-8000-000000000000"
      },
      "enabled": true
    }
  }
}
"#,
    );
    same(
        &shown(Client::Codex),
        r#"[mcp_servers.molecule-0a1b2c3d]
command = "/opt/my tools/molecule-mcp"
tool_timeout_sec = 320

[mcp_servers.molecule-0a1b2c3d.env]
CONFIGS_DIR = "/home/a'b/alpha"
WORKSPACE_ID = "0a1b2c3d-0000-4000-8000-000000000000"
"#,
    );
}

#[track_caller]
fn same(shown: &str, expected: &str) {
    assert!(shown == expected, "this came:\n{shown}\nthis was expected:\n{expected}");
}

#[test]
fn what_is_there_keeps_every_letter_and_taking_out_brings_it_back() {
    for client in Client::ALL {
        let before = kept(client);
        let after = put(client, &before);
        let mut rest = after.as_str();
        for line in before.lines() {
            // A comma may have to be added behind the last entry.
            let place = rest
                .find(line.trim_end_matches('}'))
                .unwrap_or_else(|| panic!("{line} is gone:\n{after}"));
            rest = &rest[place..];
        }
        assert_eq!(put(client, &after), after, "{client:?}: a second time changes nothing");
        same(&taken_out(client, &after), &before);
    }
}

#[test]
fn a_list_that_was_made_goes_with_its_last_server() {
    for client in Client::ALL {
        let mut document = client.format().parse("").unwrap();
        document.put("molecule-0a1b2c3d", &entry());
        assert!(!document.is_empty());
        document.remove("molecule-0a1b2c3d");
        assert!(document.is_empty(), "{client:?}: {}", document.text());
    }
}

#[test]
fn an_earlier_entry_is_mended_in_place_and_loses_its_token_and_keeps_what_the_user_added() {
    let json = r#"{ "mcpServers": { "mine": { "command": "molecule-mcp", "args": ["run"], // note
      "env": { "MOLECULE_WORKSPACE_TOKEN": "tok", "PLATFORM_URL": "old", "HTTPS_PROXY": "p" }, "disabled": true } } }"#;
    let toml = "[mcp_servers.mine]\ncommand = \"molecule-mcp\" # note\nargs = [\"run\"]\ndisabled = true\n\
                env = { MOLECULE_WORKSPACE_TOKEN = \"tok\", PLATFORM_URL = \"old\", HTTPS_PROXY = \"p\" }\n";
    for (client, before) in [(Client::ClaudeCode, json), (Client::Codex, toml)] {
        let after = put_as(client, before, "mine", &entry());
        for gone in ["tok", "old", "PLATFORM_URL", "run"] {
            assert!(!after.contains(gone), "{gone}: {after}");
        }
        for stays in ["note", "disabled", "HTTPS_PROXY"] {
            assert!(after.contains(stays), "{stays}: {after}");
        }
        let servers = client.format().parse(&after).unwrap().servers();
        assert_eq!(servers.len(), 1);
        assert_eq!(servers[0].program.as_deref(), Some("/opt/my tools/molecule-mcp"));
        assert_eq!(servers[0].env["CONFIGS_DIR"], "/home/a'b/alpha");
    }
}

#[test]
fn what_cannot_be_read_is_said_with_its_line_and_never_quoted() {
    for (client, text, expected) in [
        (Client::ClaudeCode, "{\n \"a\": tok-secret }", "not valid JSON (line 2)"),
        (Client::ClaudeCode, "{ 'a': 1 }", "not valid JSON (line 1)"),
        (Client::ClaudeCode, "[]", "no JSON object"),
        (
            Client::ClaudeCode,
            "{\"mcpServers\": []}",
            "\"mcpServers\" that is no object",
        ),
        (Client::Codex, "a = 1\nb = tok-secret", "not valid TOML (line 2)"),
        (Client::Codex, "mcp_servers = 1", "\"mcp_servers\" that is no table"),
    ] {
        let what = client.format().parse(text).err().unwrap();
        assert!(what.contains(expected) && !what.contains("tok-secret"), "{what}");
    }
}

#[test]
fn a_server_is_ours_by_its_program_and_its_workspace() {
    let seen = |program: &str, env: &[(&str, &str)]| Seen {
        name: "any".into(),
        program: Some(program.into()),
        env: env
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
    };
    let (unusual, usual) = (
        entry(),
        Entry {
            is_usual: true,
            ..entry()
        },
    );
    for (there, is, is_usually) in [
        (seen("molecule-mcp", &[("WORKSPACE_ID", ID)]), true, true),
        (
            seen("/usr/bin/molecule-mcp", &[("CONFIGS_DIR", "/home/a'b/alpha/")]),
            true,
            true,
        ),
        (seen("molecule-mcp", &[("WORKSPACE_ID", "another")]), false, false),
        (seen("molecule-mcp", &[("CONFIGS_DIR", "/another")]), false, false),
        (seen("molecule-mcp", &[]), false, true),
        (seen("molecule-mcp", &[("MOLECULE_WORKSPACES", "[]")]), false, false),
        (seen("python3", &[("WORKSPACE_ID", ID)]), false, false),
    ] {
        assert_eq!((unusual.is(&there), usual.is(&there)), (is, is_usually), "{there:?}");
    }
}

#[test]
fn files_are_where_the_client_looks() {
    let home = tempfile::tempdir().unwrap();
    let var = |name: &str| (name == "CODEX_HOME").then(|| "/elsewhere".into());
    let computer = Computer {
        home: home.path().to_owned(),
        settings: home.path().join("settings"),
        current: home.path().join("project"),
        var: &var,
    };
    let at = |client: Client, reach| client.file(reach, &computer);
    assert_eq!(at(Client::Codex, Reach::User), Some("/elsewhere/config.toml".into()));
    assert_eq!(
        at(Client::ClaudeCode, Reach::User),
        Some(home.path().join(".claude.json"))
    );
    assert_eq!(at(Client::ClaudeDesktop, Reach::Project), None);
    let folder = home.path().join(".config/opencode");
    assert_eq!(at(Client::Opencode, Reach::User), Some(folder.join("opencode.json")));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("opencode.jsonc"), "").unwrap();
    assert_eq!(at(Client::Opencode, Reach::User), Some(folder.join("opencode.jsonc")));
}
