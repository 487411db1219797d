//! Operating and managing with the real binary: which tools there are, which key goes where, and what is recorded.

use std::path::Path;

use molecule_mcp::cli::demo::client::McpChild;
use molecule_mcp::local_platform::{Level, Options};
use serde_json::{Value, json};
use tokio::process::Command;

use super::support::{World, bare_command, start, until};

/// A server without a workspace.
pub fn manager(url: &str, key: Option<&str>, folder: &Path) -> Command {
    let mut command = bare_command();
    command
        .env("MOLECULE_MCP_MODE", "management")
        .env("MOLECULE_API_URL", url)
        .env("MOLECULE_MCP_VERBOSE", "1")
        .env("CONFIGS_DIR", folder);
    if let Some(key) = key {
        command.env("MOLECULE_ORG_API_KEY", key);
    }
    command
}

async fn names(daemon: &McpChild) -> Vec<String> {
    let listed = daemon.request("tools/list", json!({})).await.unwrap();
    assert!(listed["result"].get("nextCursor").is_none());
    let tools = listed["result"]["tools"].as_array().unwrap();
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The structured failure of a call.
pub async fn failure(daemon: &McpChild, tool: &str, arguments: Value) -> Value {
    let call = json!({ "name": tool, "arguments": arguments });
    let answer = daemon.request("tools/call", call).await.unwrap();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    answer["result"]["structuredContent"].clone()
}

async fn mint(world: &World) -> String {
    let admin = Some(world.admin());
    let minted = world
        .ok(reqwest::Method::POST, "/org/tokens", admin, Some(json!({})))
        .await;
    minted["auth_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_manager_needs_no_workspace_and_never_acts_as_one() {
    let world = World::with(Options {
        org_id: Some("org-1".to_owned()),
        ..Options::default()
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let key = {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let minted = client
            .post(format!("{}/org/tokens", world.url()))
            .bearer_auth(world.admin())
            .header("X-Molecule-Org-Id", "org-1")
            .send();
        let minted: Value = minted.await.unwrap().json().await.unwrap();
        minted["auth_token"].as_str().unwrap().to_owned()
    };
    let mut command = manager(world.url(), Some(&key), folder.path());
    command.env("MOLECULE_ORG_ID", "org-1");
    let server = start(command).await;
    assert!(names(&server).await.contains(&"deprovision_workspace".to_owned()));
    assert!(!names(&server).await.contains(&"wait_for_message".to_owned()));

    let arguments = json!({ "name": "made", "runtime": "external", "role_config": { "model": "m-1" } });
    let made = server.call("provision_workspace", arguments).await.unwrap();
    let id = made["workspace_id"].as_str().unwrap().to_owned();
    assert_eq!((&made["ok"], &made["applied"]["model"]), (&json!(true), &json!("m-1")));
    let token = std::fs::read_to_string(made["connection"]["auth_token_file"].as_str().unwrap()).unwrap();
    assert_eq!(token.len(), 43);
    let secret = json!({ "workspace_id": id, "key": "K", "value": "s3cret" });
    server.call("set_workspace_secret", secret).await.unwrap();
    let listed = server
        .call("list_workspace_secrets", json!({ "workspace_id": id }))
        .await
        .unwrap();
    assert!(
        listed["secrets"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["key"] == "K")
    );
    let gone = server
        .call("deprovision_workspace", json!({ "workspace_id": id }))
        .await
        .unwrap();
    assert_eq!(gone["status"], "removed");
    let told = failure(&server, "get_workspace", json!({ "workspace_id": id })).await;
    assert_eq!(told["error"], "HTTP 410");

    for request in world.log().await {
        let route = request["route"].as_str().unwrap_or_default();
        assert!(
            !["register", "heartbeat", "activity", "events"].contains(&route),
            "{request}"
        );
    }
    let (status, complaints) = server.close().await.unwrap();
    assert!(status.success());
    assert!(
        complaints.contains("tools on standard input and output"),
        "{complaints}"
    );
    for secret in [key.as_str(), token.as_str(), "s3cret"] {
        assert!(!complaints.contains(secret));
    }

    let mut audit = bare_command();
    audit.env("CONFIGS_DIR", folder.path()).args(["audit", "--json"]);
    let audit = String::from_utf8(audit.output().await.unwrap().stdout).unwrap();
    let records: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tools: Vec<_> = records.iter().map(|record| record["tool"].as_str().unwrap()).collect();
    let expected = [
        "provision_workspace",
        "provision_workspace",
        "set_workspace_secret",
        "deprovision_workspace",
    ];
    assert_eq!(tools, expected);
    assert!(records.iter().all(|record| record["outcome"] == "ok") && !audit.contains("s3cret"));
}

#[tokio::test]
async fn without_its_keys_a_manager_sends_nothing() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(manager(world.url(), None, folder.path())).await;
    let told = failure(&server, "list_workspaces", json!({})).await;
    assert_eq!(told["error"], "AUTH_ERROR");
    assert!(told["detail"].as_str().unwrap().contains("MOLECULE_ORG_API_KEY"));
    assert_eq!(world.log().await.len(), 0);
}

#[tokio::test]
async fn level_c_wants_names_models_and_approvals_and_is_given_or_told() {
    let world = World::at(Level::C).await;
    let key = mint(&world).await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(manager(world.url(), Some(&key), folder.path())).await;
    let refused = failure(
        &server,
        "provision_workspace",
        json!({ "name": "a", "runtime": "codex" }),
    )
    .await;
    assert_eq!(
        (&refused["error"], &refused["code"]),
        (&json!("PROVISION_FAILED"), &json!("MODEL_REQUIRED"))
    );
    let parent = json!({ "name": "ünï", "runtime": "codex", "model": "m" });
    let parent = server.call("provision_workspace", parent).await.unwrap()["workspace_id"].clone();
    let child = json!({ "name": "child", "runtime": "external", "parent_id": parent });
    server.call("provision_workspace", child).await.unwrap();
    let told = failure(&server, "deprovision_workspace", json!({ "workspace_id": parent })).await;
    assert_eq!(
        (&told["error"], &told["workspace_name"]),
        (&json!("CONFIRMATION_REQUIRED"), &json!("ünï"))
    );
    let paused = failure(&server, "pause_workspace", json!({ "workspace_id": parent })).await;
    assert_eq!(
        (&paused["error"], &paused["body"]["descendants"][0]["name"]),
        (&json!("HTTP 409"), &json!("child"))
    );
    let sure = json!({ "workspace_id": parent, "confirm": true });
    assert_eq!(
        server.call("deprovision_workspace", sure).await.unwrap()["cascade_deleted"],
        1
    );

    let gated = World::with(Options {
        level: Level::C,
        approval_gate: true,
        ..Options::default()
    })
    .await;
    let server = start(manager(gated.url(), Some(gated.admin()), folder.path())).await;
    let waits = failure(&server, "set_org_secret", json!({ "key": "K", "value": "v" })).await;
    assert_eq!(
        (&waits["error"], &waits["status"]),
        (&json!("PENDING_APPROVAL"), &json!("pending_approval"))
    );
    assert!(waits["approval_id"].is_string());
}

#[tokio::test]
async fn a_daemon_shows_tools_by_its_keys_and_keeps_them_apart() {
    let world = World::new().await;
    let workspace = world.workspace("a").await;
    let org_key = mint(&world).await;
    let mut command = world.command(&workspace);
    command
        .env("MOLECULE_API_KEY", world.admin())
        .env("MOLECULE_ORG_API_KEY", &org_key);
    let daemon = start(command).await;
    let shown = names(&daemon).await;
    assert!(shown.contains(&"list_workspaces".to_owned()) && shown.contains(&"wait_for_message".to_owned()));
    assert!(!shown.contains(&"list_org_tokens".to_owned()));
    assert_eq!(daemon.call("list_workspaces", json!({})).await.unwrap()["count"], 1);
    // On a route of the own workspace its own token is enough.
    daemon
        .call("list_secrets", json!({ "workspace_id": workspace.id }))
        .await
        .unwrap();
    let of = |route: &'static str| async {
        let seen = world.requests(route).await;
        seen.last().unwrap()["bearer"].as_str().unwrap().to_owned()
    };
    let (listing, secrets) = (of("list_workspaces").await, of("list_secrets").await);
    until("the daemon beats", || async {
        !world.requests("heartbeat").await.is_empty()
    })
    .await;
    assert_eq!(secrets, of("heartbeat").await);
    assert_ne!(listing, secrets);
}

#[tokio::test]
async fn the_organization_key_is_used_when_its_set_is_named() {
    let world = World::new().await;
    let workspace = world.workspace("a").await;
    let org_key = mint(&world).await;
    let mut command = world.command(&workspace);
    command
        .env("MOLECULE_ORG_API_KEY", &org_key)
        .env("MOLECULE_MCP_TOOLSETS", "management")
        .env("MOLECULE_MCP_READ_ONLY", "1");
    let daemon = start(command).await;
    let shown = names(&daemon).await;
    assert!(shown.contains(&"list_org_tokens".to_owned()) && !shown.contains(&"mint_org_token".to_owned()));
    assert_eq!(daemon.call("list_org_tokens", json!({})).await.unwrap()["count"], 1);
}

#[tokio::test]
async fn words_that_mean_nothing_stop_the_start() {
    let world = World::new().await;
    let workspace = world.workspace("a").await;
    for (variable, value, part) in [
        ("MOLECULE_MCP_TOOLSETS", "agent,list_workspces", "list_workspces"),
        ("MOLECULE_MCP_MODE", "managment", "MOLECULE_MCP_MODE"),
        ("MOLECULE_API_KEY", "two words", "MOLECULE_API_KEY"),
    ] {
        let mut command = world.command(&workspace);
        command.env(variable, value);
        let ended = command.output().await.unwrap();
        let complaint = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{complaint}");
        assert!(
            complaint.contains(part) && !complaint.contains("two words"),
            "{complaint}"
        );
    }
    assert!(world.requests("register").await.is_empty());
}

#[tokio::test]
async fn beside_a_present_agent_nothing_registers_or_polls() {
    let world = World::new().await;
    let workspace = world.workspace("a").await;
    let mut command = world.command(&workspace);
    command.env("MOLECULE_MCP_MODE", "self");
    let daemon = start(command).await;
    assert!(names(&daemon).await.iter().all(|name| name.contains("schedule")));
    let (status, _) = daemon.close().await.unwrap();
    assert!(status.success());
    let routes: Vec<Value> = world
        .log()
        .await
        .into_iter()
        .map(|entry| entry["route"].clone())
        .collect();
    assert!(
        !routes.contains(&json!("register")) && !routes.contains(&json!("heartbeat")),
        "{routes:?}"
    );
}

#[tokio::test]
async fn the_tools_can_be_listed_without_any_configuration() {
    let listed = bare_command().args(["tools", "--json"]).output().await.unwrap();
    assert!(listed.status.success());
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let sets = |name: &str| {
        let tools = listed["tools"].as_array().unwrap();
        tools.iter().find(|tool| tool["name"] == name).unwrap()["sets"].clone()
    };
    assert_eq!(sets("list_workspaces"), json!(["ops", "management"]));
    assert_eq!(sets("wait_for_message"), json!(["agent"]));
    let table = bare_command().args(["tools", "--markdown"]).output().await.unwrap();
    assert!(
        String::from_utf8(table.stdout)
            .unwrap()
            .contains("| `delete_workspace` | ops | destroy |")
    );
}
