//! Memory at rest with each set of tools.

use std::process::{Child, Stdio};

use molecule_mcp::cli::demo::client::McpChild;
use serde_json::json;
use tokio::process::Command;
use tokio::time::{Duration, sleep};

use super::support::{World, bare_command, until};
use super::table::{Budget, Table, Unit};
use super::{floors, process};

/// Until what belongs to the start is over.
const SETTLE: Duration = Duration::from_secs(5);

pub async fn measure(table: &mut Table) {
    let world = World::new().await.at_speed(1);
    let org = world
        .ok(
            reqwest::Method::POST,
            "/org/tokens",
            Some(world.admin()),
            Some(json!({})),
        )
        .await;
    let org_key = org["auth_token"].as_str().unwrap().to_owned();
    let mut daemons = Vec::new();
    for (sets, variables) in [
        ("agent", vec![]),
        ("agent and ops", vec![("MOLECULE_API_KEY", world.admin())]),
        (
            "all sets",
            vec![
                ("MOLECULE_API_KEY", world.admin()),
                ("MOLECULE_ORG_API_KEY", org_key.as_str()),
                ("MOLECULE_MCP_TOOLSETS", "all"),
            ],
        ),
    ] {
        let workspace = world.workspace(&sets.replace(' ', "-")).await;
        let mut command = world.command(&workspace);
        command.envs(variables);
        let daemon = listed(command).await;
        until("the workspace is online", || async {
            world.status(&workspace).await == "online"
        })
        .await;
        daemons.push((sets, daemon));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut manager = bare_command();
    manager
        .env("MOLECULE_MCP_MODE", "management")
        .env("MOLECULE_API_URL", world.url())
        .env("MOLECULE_ORG_API_KEY", &org_key)
        .env("CONFIGS_DIR", folder.path());
    daemons.push(("management mode", listed(manager).await));
    let minimal = listed(floors::minimal_server().into()).await;
    let waiting = Waiting::start();
    sleep(SETTLE).await;
    let least = process::memory(waiting.0.id());
    let floor = process::memory(minimal.id().unwrap());
    table.one(
        "a process that only waits: resident",
        Unit::MiB,
        least.resident,
        None,
        Budget::NONE,
    );
    table.one(
        "a minimal server of the same MCP library: resident",
        Unit::MiB,
        floor.resident,
        Some(least.resident),
        Budget::NONE,
    );
    for (sets, daemon) in &daemons {
        let memory = process::memory(daemon.id().unwrap());
        let (resident, private) = (format!("{sets}: resident at rest"), format!("{sets}: private at rest"));
        table.one(
            &resident,
            Unit::MiB,
            memory.resident,
            Some(floor.resident),
            Budget::at_most(15.0),
        );
        table.one(&private, Unit::MiB, memory.private, Some(floor.private), Budget::NONE);
    }
}

async fn listed(command: Command) -> McpChild {
    let daemon = McpChild::spawn(command).unwrap();
    daemon.initialize().await.unwrap();
    daemon.request("tools/list", json!({})).await.unwrap();
    daemon
}

/// The process that only waits, until it is dropped.
pub struct Waiting(pub Child);

impl Waiting {
    pub fn start() -> Self {
        let quiet = || Stdio::null();
        Self(
            floors::waiting()
                .stdin(quiet())
                .stdout(quiet())
                .stderr(quiet())
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
