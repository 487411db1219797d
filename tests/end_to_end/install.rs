//! What is written into the configuration of other programs really starts the daemon, and never holds a token.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use super::start_up::run_to_end;
use super::support::{Workspace, World, bare_command, start, until};

/// The program with a home folder, and the token in a file.
fn person(world: &World, workspace: &Workspace, home: &Path) -> Command {
    let token = home.join("token");
    std::fs::write(&token, &workspace.token).unwrap();
    let mut command = bare_command();
    command
        .current_dir(home)
        .env("HOME", home)
        .env("PATH", home.join("bin"))
        .env("PLATFORM_URL", world.url())
        .env("WORKSPACE_ID", &workspace.id)
        .env("CONFIGS_DIR", &workspace.folder)
        .env("MOLECULE_WORKSPACE_TOKEN_FILE", token);
    command
}

/// Every file below a folder, but the token's.
fn texts(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(texts(&path));
        } else if path.file_name().is_some_and(|name| name != "token") {
            found.push(std::fs::read_to_string(&path).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn the_server_that_install_writes_joins_the_workspace() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let home = tempfile::tempdir().unwrap();
    let mut command = person(&world, &workspace, home.path());
    command.args(["install", "claude-code"]);
    let (code, lines, complaints) = run_to_end(command).await;
    assert_eq!(code, 0, "{lines:?} {complaints}");
    let written = std::fs::read_to_string(home.path().join(".claude.json")).unwrap();
    let written: Value = serde_json::from_str(&written).unwrap();
    let servers = written["mcpServers"].as_object().unwrap();
    let (name, server) = servers.iter().next().unwrap();
    assert_eq!(*name, format!("molecule-{}", &workspace.id[..8]));
    let mut started = Command::new(server["command"].as_str().unwrap());
    started.env_clear();
    for (name, value) in server["env"].as_object().unwrap() {
        started.env(name, value.as_str().unwrap());
    }
    let _daemon = start(started).await;
    until("the workspace is online", || async {
        world.status(&workspace).await == "online"
    })
    .await;
    for client in ["codex", "gemini", "cursor", "vscode", "opencode", "claude-desktop"] {
        let mut command = person(&world, &workspace, home.path());
        command.args(["install", client]);
        let (code, lines, complaints) = run_to_end(command).await;
        assert_eq!(code, 0, "{client}: {lines:?} {complaints}");
        assert!(!format!("{lines:?}{complaints}").contains(&workspace.token));
    }
    let written = texts(home.path());
    assert_eq!(written.len(), 7);
    assert!(
        written
            .iter()
            .all(|text| text.contains(&workspace.id) && !text.contains(&workspace.token))
    );
}

/// A `systemctl` that writes down what it was asked.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_service_is_put_in_place_and_taken_away_and_its_files_hold_no_token() {
    use std::os::unix::fs::PermissionsExt as _;

    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let home = tempfile::tempdir().unwrap();
    let asked = home.path().join("asked");
    std::fs::create_dir(home.path().join("bin")).unwrap();
    for program in ["systemctl", "loginctl", "journalctl"] {
        let path = home.path().join("bin").join(program);
        std::fs::write(
            &path,
            format!("#!/bin/sh\necho {program} \"$@\" >> '{}'\n", asked.display()),
        )
        .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let token = workspace.token.as_str();
    let service = |arguments: &'static [&'static str]| {
        let mut command = person(&world, &workspace, home.path());
        command
            .arg("service")
            .args(arguments)
            .env("XDG_RUNTIME_DIR", home.path());
        async move {
            let (code, lines, complaints) = run_to_end(command).await;
            assert_eq!(code, 0, "{arguments:?}: {lines:?} {complaints}");
            assert!(!format!("{lines:?}{complaints}").contains(token));
        }
    };
    service(&["install", "--print"]).await;
    assert!(!home.path().join(".config").exists());
    service(&["install"]).await;
    let units = home.path().join(".config/systemd/user");
    let drop_in = std::fs::read_to_string(units.join("molecule-mcp.service.d/launch.conf")).unwrap();
    assert!(
        drop_in.contains(env!("CARGO_BIN_EXE_molecule-mcp")) && drop_in.contains(&workspace.id),
        "{drop_in}"
    );
    assert!(texts(home.path()).iter().all(|text| !text.contains(&workspace.token)));
    for arguments in [
        &["stop"][..],
        &["start"],
        &["status"],
        &["logs", "-f", "-n", "5"],
        &["uninstall"],
    ] {
        service(arguments).await;
    }
    assert_eq!(std::fs::read_dir(&units).unwrap().count(), 0);
    assert_eq!(
        std::fs::read_to_string(&asked).unwrap().lines().collect::<Vec<_>>(),
        [
            "systemctl --user daemon-reload",
            "systemctl --user enable molecule-mcp.service",
            "loginctl enable-linger",
            "systemctl --user restart molecule-mcp.service",
            "systemctl --user stop molecule-mcp.service",
            "systemctl --user start molecule-mcp.service",
            "systemctl --user status --no-pager molecule-mcp.service",
            "journalctl --no-pager --user-unit molecule-mcp --lines 5 --follow",
            "systemctl --user disable --now molecule-mcp.service",
            "systemctl --user daemon-reload",
        ]
    );
}
