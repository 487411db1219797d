//! Registering, beating, and what the operator is told when the platform refuses.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::support::{World, file, until};

#[tokio::test]
async fn register_and_beats_carry_what_the_contract_says() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut command = world.command(&workspace);
    command
        .env("MOLECULE_AGENT_NAME", "Ada")
        .env("MOLECULE_AGENT_DESCRIPTION", "counts")
        .env("MOLECULE_AGENT_SKILLS", "rust, ,sql")
        .env("MOLECULE_ORG_ID", "org-1");
    let _daemon = super::support::start(command).await;
    until("three beats arrived", || async {
        world.requests("heartbeat").await.len() >= 3
    })
    .await;

    let register = &world.requests("register").await[0];
    assert_eq!(
        register["body"],
        json!({
            "id": workspace.id, "url": "", "delivery_mode": "poll", "mcp_server_present": false,
            "agent_card": { "name": "Ada", "description": "counts", "skills": [{ "name": "rust" }, { "name": "sql" }] },
        })
    );
    for beat in world.requests("heartbeat").await {
        assert_eq!(beat["body"]["workspace_id"], json!(workspace.id));
        assert_eq!(beat["body"]["error_rate"], json!(0.0));
        assert_eq!(beat["body"]["active_tasks"], json!(0));
        assert!(beat["body"]["uptime_seconds"].is_u64());
        assert_eq!(beat["body"]["mcp_server_present"], json!(false));
    }
    for request in world.log().await.iter().filter(|entry| entry["path"] != "/_local/log") {
        let agent = request["user_agent"].as_str().unwrap_or_default();
        if agent.starts_with("molecule-mcp/") {
            assert_eq!(request["origin"].as_str(), Some(world.url()), "{request}");
        }
    }
}

#[tokio::test]
async fn the_card_that_an_agent_set_is_registered_from_then_on_with_the_settings_that_changed() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let start = async |name: &str, description: Option<&str>| {
        let mut command = world.command(&workspace);
        command.env("MOLECULE_AGENT_NAME", name);
        if let Some(description) = description {
            command.env("MOLECULE_AGENT_DESCRIPTION", description);
        }
        let before = world.requests("register").await.len();
        let daemon = super::support::start(command).await;
        until("it registered", || async {
            world.requests("register").await.len() > before
        })
        .await;
        let card = world.requests("register").await[before]["body"]["agent_card"].clone();
        (daemon, card)
    };
    let (mut daemon, card) = start("configured", None).await;
    assert_eq!(card, json!({ "name": "configured", "skills": [] }));
    let set = json!({ "name": "Ada", "skills": [{ "name": "rust" }], "version": "2" });
    daemon.call("update_agent_card", json!({ "card": set })).await.unwrap();
    daemon.kill().await.unwrap();

    let (daemon, card) = start("configured", None).await;
    assert_eq!(card, set);
    drop(daemon);
    let (_daemon, card) = start("renamed", Some("counts")).await;
    assert_eq!(
        card,
        json!({ "name": "renamed", "description": "counts", "skills": [{ "name": "rust" }], "version": "2" })
    );
}

#[tokio::test]
async fn the_inbound_secret_is_kept_0600_and_returns_after_deletion() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let _daemon = world.online(&workspace).await;
    let path = workspace.folder.join(".platform_inbound_secret");
    until("the secret is written", || async { path.exists() }).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = file(&workspace.folder, ".platform_inbound_secret");
    assert_eq!(secret.len(), 43);
    std::fs::remove_file(&path).unwrap();
    until("the next beat writes it again", || async {
        file(&workspace.folder, ".platform_inbound_secret") == secret
    })
    .await;
    assert_eq!(
        std::fs::metadata(workspace.folder.join("molecule.db"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
}

#[tokio::test]
async fn refused_beats_warn_twice_then_shout_and_never_end_the_process() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    // A beat that is refused reads the token again and, as it has not changed, is not repeated.
    world
        .fault(json!({ "route": "heartbeat", "times": 24, "status": 401, "body": { "error": "invalid workspace auth token" } }))
        .await;
    until("24 beats were refused", || async {
        let beats = world.requests("heartbeat").await;
        beats.iter().filter(|entry| entry["status"] == 401).count() == 24
    })
    .await;
    until("the platform accepts beats again", || async {
        world
            .requests("heartbeat")
            .await
            .last()
            .is_some_and(|entry: &Value| entry["status"] == 200)
    })
    .await;
    let log = daemon.complaints();
    assert_eq!(log.matches("may be revoked").count(), 2, "{log}");
    assert_eq!(log.matches("times in a row").count(), 2, "at 3 and 23: {log}");
    assert!(log.contains(&workspace.id) && log.contains("Tokens tab"), "{log}");
    assert!(!log.contains(&workspace.token));
    assert_eq!(daemon.close().await.unwrap().0.code(), Some(0));
}

#[tokio::test]
async fn a_deleted_workspace_is_said_everywhere_and_stops_beats_and_registers() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let registers = world.requests("register").await.len();
    world.delete(&workspace).await;
    until("the log says so", || async {
        daemon.complaints().contains("was deleted on the platform")
    })
    .await;
    let beats = world.requests("heartbeat").await.len();
    let message = super::support::next_message(&daemon).await;
    assert_eq!(message["kind"], "system");
    assert!(message["text"].as_str().unwrap().contains("deleted"), "{message}");
    until("two more existence checks pass without a beat", || async {
        world.requests("get_workspace").await.len() >= 3
    })
    .await;
    assert!(world.requests("heartbeat").await.len() <= beats + 1);
    assert_eq!(world.requests("register").await.len(), registers);
}

#[tokio::test]
async fn heartbeat_and_inbox_can_be_switched_off() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut command = world.command(&workspace);
    command.env("MOLECULE_MCP_DISABLE_HEARTBEAT", "1");
    let daemon = super::support::start(command).await;
    world.say(&workspace, "still read").await;
    assert_eq!(super::support::next_message(&daemon).await["text"], "still read");
    assert!(world.requests("register").await.is_empty() && world.requests("heartbeat").await.is_empty());
    drop(daemon);

    let quiet = world.workspace("beta").await;
    let mut command = world.command(&quiet);
    command.env("MOLECULE_MCP_DISABLE_INBOX", "1");
    let daemon = super::support::start(command).await;
    until("it is online", || async { world.status(&quiet).await == "online" }).await;
    for tool in ["wait_for_message", "inbox_peek"] {
        let answer = daemon
            .request("tools/call", json!({ "name": tool, "arguments": {} }))
            .await
            .unwrap();
        assert_ne!(answer["result"]["isError"], json!(true));
        assert!(
            answer["result"]["content"][0]["text"]
                .as_str()
                .unwrap()
                .contains("(inbox not enabled)"),
            "{answer}"
        );
    }
    let polled = world
        .requests("activity")
        .await
        .iter()
        .any(|entry| entry["path"].as_str().unwrap().contains(&quiet.id));
    assert!(!polled);
}

/// Keeps the tokens in files, as `init` does, so that they can change under a running process.
fn with_token_file(world: &World, workspace: &super::support::Workspace) -> tokio::process::Command {
    std::fs::write(workspace.folder.join(".auth_token"), &workspace.token).unwrap();
    let mut command = world.command(workspace);
    command.env_remove("MOLECULE_WORKSPACE_TOKEN");
    command
}

#[tokio::test]
async fn a_token_that_is_rotated_in_its_file_is_used_by_every_process() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let holder = super::support::start(with_token_file(&world, &workspace)).await;
    until("it is online", || async { world.status(&workspace).await == "online" }).await;
    let follower = super::support::start(with_token_file(&world, &workspace)).await;
    let rotate = format!("/workspaces/{}/external/rotate", workspace.id);
    // Between the rotation and the new file every use of the token is refused, and rightly told: nobody uses it then.
    let each = |name| {
        for daemon in [&holder, &follower] {
            super::support::signal(daemon.id().unwrap(), name);
        }
    };
    each("STOP");
    let rotated = world
        .ok(reqwest::Method::POST, &rotate, Some(&workspace.token), None)
        .await;
    let newer = rotated["connection"]["auth_token"].as_str().unwrap();
    std::fs::write(workspace.folder.join(".auth_token"), newer).unwrap();
    each("CONT");
    for daemon in [&holder, &follower] {
        daemon.call("list_peers", json!({})).await.unwrap();
    }
    world.say(&workspace, "after the rotation").await;
    assert_eq!(
        super::support::next_message(&follower).await["text"],
        "after the rotation"
    );
    let refused = world
        .requests("heartbeat")
        .await
        .iter()
        .filter(|beat| beat["status"] == 401)
        .count();
    assert!(
        refused <= 1,
        "a beat that was refused with the old token is repeated with the new one"
    );
    assert!(
        !holder.complaints().contains("may be revoked"),
        "{}",
        holder.complaints()
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_stderr_delays_no_beat_and_no_exit() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let long = "x".repeat(280);
    world
        .fault(json!({ "route": "heartbeat", "status": 500, "body": { "error": long } }))
        .await;
    let mut command = world.command(&workspace);
    command
        .env("MOLECULE_TEST_SPEED", "1000")
        .env("MOLECULE_LOG", "debug")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    // Far more than a pipe holds, and more lines than wait for it: each beat is a line of some 400 bytes.
    for beats in [150, 300, 450] {
        until("more beats were made", || async {
            world.requests("heartbeat").await.len() > beats
        })
        .await;
    }
    drop(child.stdin.take());
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), child.wait()).await;
    assert!(ended.expect("it ends").unwrap().success());
}

#[tokio::test]
async fn a_workspace_that_the_platform_set_up_itself_and_failed_is_registered_again() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    // A beat that came back as an event: the stream is open.
    until("the stream is live", || async {
        let status = daemon.call("inbox_peek", json!({})).await;
        status.is_ok() && world.requests("events").await.len() == 1 && world.requests("heartbeat").await.len() > 1
    })
    .await;
    for times in 1..=2 {
        let path = format!("/_local/set-up/{}", workspace.id);
        world.ok(reqwest::Method::POST, &path, None, None).await;
        assert_eq!(world.status(&workspace).await, "failed");
        until("it is online again", || async {
            world.status(&workspace).await == "online"
        })
        .await;
        assert_eq!(world.requests("register").await.len(), 1 + times);
    }
}

#[tokio::test]
async fn a_purged_workspace_is_told_like_a_removed_one() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    world.purge(&workspace).await;
    let message = super::support::next_message(&daemon).await;
    assert_eq!(message["kind"], "system", "{message}");
    assert!(message["text"].as_str().unwrap().contains("deleted"), "{message}");
}
