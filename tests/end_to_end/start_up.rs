//! What a wrong start says, and that nothing is sent or written then.

use molecule_mcp::cli::demo::client::McpChild;
use serde_json::json;

use super::support::{World, bare_command, start, until};

/// Runs the binary to its end; exit code, stdout lines, stderr.
pub async fn run_to_end(command: tokio::process::Command) -> (i32, Vec<String>, String) {
    let mut child = McpChild::spawn(command).unwrap();
    let (status, complaints) = child.wait().await.unwrap();
    (status.code().unwrap_or(-1), child.lines(), complaints)
}

#[tokio::test]
async fn every_missing_setting_is_named_at_once_and_stdout_stays_empty() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = bare_command();
    command.env("CONFIGS_DIR", folder.path());
    let (code, lines, complaints) = run_to_end(command).await;
    assert_eq!(code, 2, "{complaints}");
    assert!(lines.is_empty(), "{lines:?}");
    for part in ["PLATFORM_URL", "WORKSPACE_ID", "MOLECULE_WORKSPACE_TOKEN", "Tokens"] {
        assert!(complaints.contains(part), "{part} is not named in {complaints}");
    }
}

#[tokio::test]
async fn bad_values_are_named_without_being_shown_and_nothing_is_sent() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let cases: &[(&str, &str)] = &[
        ("PLATFORM_URL", "tenant.example.com/sekrit"),
        ("PLATFORM_URL", "http://sekrit.example.com"),
        ("WORKSPACE_ID", "../sekrit"),
        ("MOLECULE_WORKSPACE_TOKEN", "two sekrit tokens"),
        ("MOLECULE_WORKSPACES", "[{\"id\":\"sekrit"),
        ("MOLECULE_LEASE_SECS", "sekrit"),
        ("MOLECULE_CA_FILE", "/nonexistent/sekrit.pem"),
    ];
    for (variable, value) in cases {
        let mut command = world.command(&workspace);
        command.env(variable, value);
        let (code, lines, complaints) = run_to_end(command).await;
        assert_eq!(code, 2, "{variable}: {complaints}");
        assert!(lines.is_empty(), "{variable}: {lines:?}");
        assert!(complaints.contains(variable), "{variable} is not named in {complaints}");
        let shown = complaints.contains("sekrit") && *variable != "MOLECULE_CA_FILE";
        assert!(!shown, "{variable}: the value is shown in {complaints}");
    }
    assert!(world.requests("register").await.is_empty());
    assert!(world.requests("activity").await.is_empty());
}

#[tokio::test]
async fn a_state_folder_that_is_a_file_is_one_clear_error() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let file = workspace.folder.join("occupied");
    std::fs::write(&file, "x").unwrap();
    let mut command = world.command(&workspace);
    command.env("CONFIGS_DIR", &file);
    let (code, _, complaints) = run_to_end(command).await;
    assert_eq!(code, 2);
    assert!(complaints.contains("CONFIGS_DIR"), "{complaints}");
    assert!(world.requests("register").await.is_empty());
}

#[tokio::test]
async fn a_refused_token_at_the_first_register_exits_3_with_the_remedy() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut command = world.command(&workspace);
    command.env("MOLECULE_WORKSPACE_TOKEN", "wrong-token-sekrit");
    let (code, lines, complaints) = run_to_end(command).await;
    assert_eq!(code, 3, "{complaints}");
    assert!(lines.is_empty(), "{lines:?}");
    for part in ["401", "MOLECULE_WORKSPACE_TOKEN", &workspace.id, "Tokens tab"] {
        assert!(complaints.contains(part), "{part} is missing in {complaints}");
    }
    assert!(!complaints.contains("sekrit"));
}

#[tokio::test]
async fn an_unknown_workspace_exits_3_and_makes_no_ghost() {
    let world = World::new().await;
    let mut workspace = world.workspace("alpha").await;
    workspace.id = "5f0c1d2e-0000-4000-8000-0000000000ff".to_owned();
    let (code, _, complaints) = run_to_end(world.command(&workspace)).await;
    assert_eq!(code, 3, "{complaints}");
    assert!(complaints.contains("knows no workspace"), "{complaints}");
    assert!(
        world.requests("register").await.is_empty(),
        "registering would have made a ghost"
    );
}

#[tokio::test]
async fn a_removed_workspace_exits_3_and_mints_no_token() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    world.delete(&workspace).await;
    let (code, _, complaints) = run_to_end(world.command(&workspace)).await;
    assert_eq!(code, 3, "{complaints}");
    assert!(complaints.contains("deleted"), "{complaints}");
    assert!(world.requests("register").await.is_empty());
}

#[tokio::test]
async fn server_failures_at_the_first_register_are_retried_until_it_works() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    for status in [500, 503] {
        world
            .fault(json!({ "route": "register", "times": 1, "status": status, "body": { "error": "later" } }))
            .await;
    }
    let daemon = world.online(&workspace).await;
    until("the third register is accepted", || async {
        world
            .requests("register")
            .await
            .iter()
            .any(|entry| entry["status"] == 200)
    })
    .await;
    assert_eq!(daemon.close().await.unwrap().0.code(), Some(0));
}

#[tokio::test]
async fn initialize_and_the_tool_list_need_no_platform() {
    let mut world = World::new().await;
    let workspace = world.workspace("alpha").await;
    world.go_down().await;
    let daemon = start(world.command(&workspace)).await;
    let tools = daemon.request("tools/list", json!({})).await.unwrap();
    assert!(tools["result"]["tools"].as_array().unwrap().len() >= 10);
    let peers = daemon
        .request("tools/call", json!({ "name": "list_peers", "arguments": {} }))
        .await
        .unwrap();
    assert_eq!(peers["result"]["isError"], json!(true));
    assert_eq!(peers["result"]["structuredContent"]["error"], "PLATFORM_UNREACHABLE");
    assert_eq!(daemon.close().await.unwrap().0.code(), Some(0));
}

#[tokio::test]
async fn one_entry_of_molecule_workspaces_replaces_the_single_variables() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut command = world.command(&workspace);
    command
        .env_remove("WORKSPACE_ID")
        .env_remove("MOLECULE_WORKSPACE_TOKEN");
    command.env(
        "MOLECULE_WORKSPACES",
        json!([{ "id": workspace.id, "token": workspace.token }]).to_string(),
    );
    let _daemon = start(command).await;
    until("it is online", || async { world.status(&workspace).await == "online" }).await;
}

#[tokio::test]
async fn a_bootstrapped_token_is_stored_and_used() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let revoke = format!("/workspaces/{}/tokens", workspace.id);
    let tokens = world
        .ok(reqwest::Method::GET, &revoke, Some(&workspace.token), None)
        .await;
    for token in tokens["tokens"].as_array().unwrap() {
        let path = format!("{revoke}/{}", token["id"].as_str().unwrap());
        world
            .ok(reqwest::Method::DELETE, &path, Some(&workspace.token), None)
            .await;
    }
    let mut command = world.command(&workspace);
    command
        .env_remove("MOLECULE_WORKSPACE_TOKEN")
        .env("MOLECULE_BOOTSTRAP", "1");
    let daemon = start(command).await;
    until("the token is stored", || async {
        !super::support::file(&workspace.folder, ".auth_token").is_empty()
    })
    .await;
    world.say(&workspace, "hello").await;
    assert_eq!(super::support::next_message(&daemon).await["text"], "hello");
}

#[tokio::test]
async fn register_outcomes_other_than_success_are_told_apart() {
    // A refusal in the platform's own words ends the process; an empty 403 or another 4xx does not, and beats go on.
    let cases = [
        (
            json!({ "status": 403, "body": { "error": "workspace belongs to another token" } }),
            Some(3),
        ),
        (json!({ "status": 403, "raw_body": "" }), None),
        (
            json!({ "status": 400, "body": { "error": "url is required for push-mode workspaces" } }),
            None,
        ),
        (json!({ "drop": true }), None),
    ];
    for (answer, expected) in cases {
        let world = World::new().await;
        let workspace = world.workspace("alpha").await;
        let mut rule = answer.clone();
        rule["route"] = json!("register");
        world.fault(rule).await;
        match expected {
            Some(expected) => {
                let (code, _, complaints) = run_to_end(world.command(&workspace)).await;
                assert_eq!(code, expected, "{answer}: {complaints}");
                assert!(
                    complaints.contains("403") && complaints.contains(&workspace.id),
                    "{complaints}"
                );
            }
            None => {
                let daemon = start(world.command(&workspace)).await;
                until("beats go on", || async { world.requests("heartbeat").await.len() >= 3 }).await;
                until("the failed register is logged", || async {
                    daemon.complaints().contains("registering failed")
                })
                .await;
                assert_eq!(daemon.close().await.unwrap().0.code(), Some(0), "{answer}");
            }
        }
    }
}

#[tokio::test]
async fn a_call_in_flight_is_answered_with_the_remedy_when_the_start_is_refused() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    world.fault(json!({ "route": "peers", "delay_ms": 20_000 })).await;
    world
        .fault(json!({ "route": "register", "status": 503, "body": { "error": "not yet" } }))
        .await;
    let mut daemon = start(world.command(&workspace)).await;
    let (_, answer) = daemon.begin("tools/call", json!({ "name": "list_peers", "arguments": {} }));
    // Lines are taken in order: once this is answered, the call is in flight.
    daemon.request("ping", json!({})).await.unwrap();
    world
        .fault(json!({ "route": "register", "status": 401, "body": { "error": "invalid workspace auth token" } }))
        .await;
    let answer = answer.await.unwrap();
    assert_eq!(answer["result"]["structuredContent"]["error"], "AUTH_ERROR", "{answer}");
    assert!(
        answer["result"]["structuredContent"]["hint"]
            .as_str()
            .unwrap()
            .contains("Tokens tab"),
        "{answer}"
    );
    assert_eq!(daemon.wait().await.unwrap().0.code(), Some(3));
}

#[tokio::test]
async fn a_command_that_cannot_reach_the_platform_exits_4_and_says_so() {
    let mut world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("admin_token"), "an-admin-token-sekrit").unwrap();
    world.go_down().await;
    let mut command = bare_command();
    command.args(["platform", "add-workspace", "alpha", "--url", world.url(), "--data"]);
    command.arg(folder.path());
    let (code, lines, complaints) = run_to_end(command).await;
    assert_eq!(code, 4, "{complaints}");
    assert!(lines.is_empty(), "{lines:?}");
    assert!(
        complaints.contains(world.url()) && complaints.contains("cannot be reached"),
        "{complaints}"
    );
    assert!(!complaints.contains("sekrit"));
    assert_eq!(complaints.trim_end().lines().count(), 1, "{complaints}");
}
