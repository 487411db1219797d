//! `status` and `healthcheck`: the truth from the state folder, whatever the daemon and the platform are doing.

use serde_json::{Value, json};

use super::start_up::run_to_end;
use super::support::{Workspace, World, bare_command, next_message, signal, until};

/// Runs a command that knows the state folder and nothing else: what it says, it cannot have from the platform.
async fn look(workspace: &Workspace, args: &[&str]) -> (i32, String, String) {
    let mut command = bare_command();
    command
        .args(args)
        .env("CONFIGS_DIR", &workspace.folder)
        .env("MOLECULE_TEST_SPEED", super::support::SPEED.to_string());
    let (code, lines, complaints) = run_to_end(command).await;
    (code, lines.join("\n"), complaints)
}

/// What `status --json` says of the one workspace there is.
async fn status(workspace: &Workspace) -> Value {
    let (code, text, complaints) = look(workspace, &["status", "--json"]).await;
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{complaints}"));
    assert_eq!(code == 0, report["receiving"] == true);
    report["workspaces"].get(0).cloned().unwrap_or_default()
}

async fn until_state(workspace: &Workspace, state: &str) {
    until(state, || async { status(workspace).await["state"] == state }).await;
}

fn codes(status: &Value) -> Vec<&str> {
    let troubles = status["troubles"].as_array().unwrap();
    troubles
        .iter()
        .map(|trouble| trouble["code"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn status_before_the_first_start_says_so_and_makes_nothing() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let (code, text, _) = look(&workspace, &["status"]).await;
    assert_eq!(code, 1);
    assert!(
        text.contains("No workspace has been served") && text.contains("molecule-mcp init"),
        "{text}"
    );
    let mut command = world.command(&workspace);
    command.args(["status", "--json"]);
    let (code, lines, _) = run_to_end(command).await;
    let report: Value = serde_json::from_str(&lines.join("\n")).unwrap();
    assert_eq!(code, 1);
    assert_eq!(codes(&report["workspaces"][0]), ["NOT_RUNNING"]);
    assert_eq!(report["workspaces"][0]["token_source"], "MOLECULE_WORKSPACE_TOKEN");
    assert_eq!(look(&workspace, &["healthcheck"]).await.0, 1);
    assert_eq!(std::fs::read_dir(&workspace.folder).unwrap().count(), 0);
    assert!(world.requests_with(&workspace.token, "activity").await.is_empty());
}

#[tokio::test]
async fn a_daemon_that_receives_is_online_and_its_inbox_is_told_until_after_its_death() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut daemon = world.online(&workspace).await;
    let follower = world.daemon(&workspace).await;
    until_state(&workspace, "online").await;
    world.say(&workspace, "one").await;
    world.say(&workspace, "two").await;
    next_message(&follower).await;
    until("one message is new, one is being worked on", || async {
        let inbox = &status(&workspace).await["inbox"];
        (inbox["new"] == 1) && (inbox["leased"] == 1)
    })
    .await;
    until_state(&workspace, "online").await;
    let told = status(&workspace).await;
    assert_eq!(told["workspace"], json!(workspace.id));
    assert_eq!(told["platform"], json!(world.url()));
    assert_eq!(told["processes"], 2);
    assert_eq!(told["reading"]["pid"].as_u64(), daemon.id().map(u64::from));
    assert_eq!(told["presence"], told["reading"]);
    assert_eq!(told["token_source"], "MOLECULE_WORKSPACE_TOKEN");
    assert_eq!(told["tool_sets"], json!(["agent"]));
    for time in ["since", "registered", "last_beat", "last_read"] {
        assert!(
            told[time].as_str().is_some_and(|time| time.starts_with("20")),
            "{time} in {told}"
        );
    }
    let (_, text, _) = look(&workspace, &["status"]).await;
    assert!(text.contains("1 new, 1 being worked on"), "{text}");
    assert!(!text.contains(&workspace.token) && !told.to_string().contains(&workspace.token));
    until("both questions are answered with yes", || async {
        look(&workspace, &["healthcheck"]).await.0 == 0 && look(&workspace, &["healthcheck", "--ready"]).await.0 == 0
    })
    .await;

    let mut follower = follower;
    follower.kill().await.unwrap();
    daemon.kill().await.unwrap();
    let told = status(&workspace).await;
    assert_eq!((&told["state"], codes(&told)), (&json!("offline"), vec!["NOT_RUNNING"]));
    assert_eq!(
        (&told["inbox"]["new"], &told["processes"]),
        (&json!(2), &json!(0)),
        "its lease ended with it"
    );
    assert!(told["last_read"].is_string() && told["reading"].is_null());
    assert_eq!(look(&workspace, &["healthcheck"]).await.0, 1);
}

#[tokio::test]
async fn a_platform_that_is_down_makes_it_deaf_and_not_dead() {
    let mut world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let _daemon = world.online(&workspace).await;
    until_state(&workspace, "online").await;
    world.go_down().await;
    until_state(&workspace, "deaf").await;
    let told = status(&workspace).await;
    assert!(codes(&told).contains(&"PLATFORM_UNREACHABLE"), "{told}");
    until("it is alive", || async {
        look(&workspace, &["healthcheck"]).await.0 == 0
    })
    .await;
    let (code, _, complaints) = look(&workspace, &["healthcheck", "--ready"]).await;
    assert_eq!(code, 1);
    assert!(
        complaints.contains(&workspace.id) && complaints.contains("PLATFORM_UNREACHABLE"),
        "{complaints}"
    );
}

#[tokio::test]
async fn a_holder_that_stands_still_is_stuck() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    until_state(&workspace, "online").await;
    signal(daemon.id().unwrap(), "STOP");
    until_state(&workspace, "stuck").await;
    assert_eq!(codes(&status(&workspace).await), ["HOLDER_SILENT"]);
    let (code, _, complaints) = look(&workspace, &["healthcheck"]).await;
    assert_eq!(code, 1);
    assert!(complaints.contains("HOLDER_SILENT"), "{complaints}");
    signal(daemon.id().unwrap(), "CONT");
    until_state(&workspace, "online").await;
}

#[tokio::test]
async fn a_watch_tells_again_and_ends_with_the_signal() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut command = world.command(&workspace);
    command.args(["status", "--watch", "1", "--json"]);
    let mut watch = molecule_mcp::cli::demo::client::McpChild::spawn(command).unwrap();
    until("it has told twice", || async { watch.lines().len() >= 2 }).await;
    signal(watch.id().unwrap(), "INT");
    let (ended, _) = watch.wait().await.unwrap();
    assert_eq!(ended.code(), Some(1), "the last look found nothing that receives");
    for line in watch.lines() {
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["receiving"], false);
    }
}
