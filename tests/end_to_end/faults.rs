//! A platform that misbehaves: whatever it answers, the messages behind it arrive, and the beats go on.

use serde_json::{Value, json};

use molecule_mcp::local_platform::Level;
use reqwest::Method;

use super::support::{PATIENCE, World, drain, file, inbox_is_empty, next_message, pop, remove_folder, until};

/// Each fault is in force for a while; afterwards every message sent meanwhile must arrive once.
#[tokio::test]
async fn hostile_answers_to_a_read_cost_time_and_never_a_message() {
    let faults: Vec<(&str, Value)> = vec![
        (
            "server failure",
            json!({ "route": "activity", "times": 3, "status": 500, "body": {} }),
        ),
        (
            "empty body",
            json!({ "route": "activity", "times": 3, "status": 200, "raw_body": "" }),
        ),
        (
            "not JSON",
            json!({ "route": "activity", "times": 3, "status": 200, "raw_body": "<html>hello</html>" }),
        ),
        (
            "an object",
            json!({ "route": "activity", "times": 3, "status": 200, "raw_body": "{\"rows\":[]}" }),
        ),
        (
            "rows of wrong types",
            json!({ "route": "activity", "times": 3, "status": 200, "raw_body": "[null,7,\"x\",{\"id\":\"\"},{}]" }),
        ),
        ("cut short", json!({ "route": "activity", "times": 3, "truncate": 20 })),
        (
            "dropped connection",
            json!({ "route": "activity", "times": 3, "drop": true }),
        ),
        (
            "slow down",
            json!({ "route": "activity", "times": 3, "status": 429, "headers": { "Retry-After": "1" }, "body": { "error": "rate limit exceeded", "retry_after": 1 } }),
        ),
        (
            "a refusal that passes",
            json!({ "route": "activity", "times": 2, "status": 401, "body": { "error": "invalid workspace auth token" } }),
        ),
        (
            "the stream fails",
            json!({ "route": "events", "times": 3, "drop": true }),
        ),
    ];
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    for (n, (name, rule)) in faults.into_iter().enumerate() {
        world.fault(rule).await;
        let texts = [format!("{n}-one"), format!("{n}-two")];
        for text in &texts {
            world.say(&workspace, text).await;
        }
        let beats = world.requests("heartbeat").await.len();
        assert_eq!(drain(&daemon, 2).await, texts, "{name}");
        assert!(inbox_is_empty(&daemon).await, "{name}");
        until("beats go on", || async {
            world.requests("heartbeat").await.len() > beats
        })
        .await;
        world.no_faults().await;
    }
}

#[tokio::test]
async fn an_oversized_page_is_asked_for_in_smaller_pieces() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    world
        .fault(json!({ "route": "activity", "times": 1, "oversize_bytes": 34_000_000 }))
        .await;
    for n in 0..3 {
        world.say(&workspace, &format!("m{n}")).await;
    }
    assert_eq!(drain(&daemon, 3).await, ["m0", "m1", "m2"]);
}

#[tokio::test]
async fn a_slow_platform_delays_no_beat() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let _daemon = world.online(&workspace).await;
    // Beats are 0.4 s apart at the test speed. If they waited for anything else, not one of them would come in time.
    let delay = 2 * PATIENCE.as_millis();
    for route in ["activity", "register", "peers", "get_workspace", "events"] {
        world.fault(json!({ "route": route, "delay_ms": delay })).await;
    }
    let before = world.requests("heartbeat").await.len();
    until("ten more beats", || async {
        world.requests("heartbeat").await.len() >= before + 10
    })
    .await;
}

#[tokio::test]
async fn a_row_that_cannot_be_fetched_does_not_stop_the_rows_behind_it() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let now = molecule_mcp::types::Timestamp::now();
    let row = |micros: i64, text: String| {
        json!({
            "id": uuid::Uuid::new_v4().to_string(), "created_at": now.plus_micros(micros).to_rfc3339(),
            "request_body": { "params": { "message": { "parts": [{ "kind": "text", "text": text }] } } },
        })
    };
    // Larger than the largest row that is taken, however little is asked for.
    let rows = json!([
        row(0, "before".to_owned()),
        row(40, "x".repeat(50 * 1024 * 1024)),
        row(90, "behind".to_owned())
    ]);
    world.rows(&workspace, rows).await;
    let (mut texts, mut told, mut last) = (Vec::new(), 0, Value::Null);
    while texts.len() < 2 || told == 0 {
        let message = next_message(&daemon).await;
        let text = message["text"].as_str().unwrap();
        if message["kind"] == "system" {
            assert!(text.contains("could not be fetched"), "{text}");
            told += 1;
        } else {
            texts.push(text.to_owned());
            last = message["activity_id"].clone();
        }
        pop(&daemon, &message).await;
    }
    assert_eq!(texts, ["before", "behind"]);
    until("the cursor passes it", || async {
        file(&workspace.folder, ".mcp_inbox_cursor") == last.as_str().unwrap()
    })
    .await;
    world.say(&workspace, "later").await;
    assert_eq!(drain(&daemon, 1).await, ["later"], "and it is told of once");
}

#[tokio::test]
async fn a_token_that_beats_but_may_not_read_is_told_to_whoever_waits() {
    let world = World::at(Level::C).await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let tokens = format!("/workspaces/{}/tokens", workspace.id);
    let minted = world.ok(Method::POST, &tokens, Some(&workspace.token), None).await;
    let other = minted["auth_token"].as_str().unwrap();
    let listed = world.ok(Method::GET, &tokens, Some(other), None).await;
    let of_daemon = listed["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["prefix"] == workspace.token[..8])
        .unwrap();
    let path = format!("{tokens}/{}", of_daemon["id"].as_str().unwrap());
    world.ok(Method::DELETE, &path, Some(other), None).await;
    until("wait_for_message says so", || async {
        let waited = daemon
            .call("wait_for_message", json!({ "timeout_secs": 0 }))
            .await
            .unwrap();
        let health = waited["health"].as_array().cloned().unwrap_or_default();
        health.iter().any(|trouble| {
            trouble["code"] == "AUTH_ERROR" && trouble["what"].as_str().unwrap().contains("messages cannot be read")
        })
    })
    .await;
    let beats = world.requests("heartbeat").await.len();
    until("beats go on and are taken", || async {
        let beats_now = world.requests("heartbeat").await;
        beats_now.len() > beats && beats_now.iter().all(|beat| beat["status"] == 200)
    })
    .await;
}

#[tokio::test]
async fn a_state_folder_that_is_removed_is_told_and_ends_polling() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    remove_folder(&workspace.folder).await;
    until("wait_for_message says so", || async {
        let waited = daemon.call("wait_for_message", json!({ "timeout_secs": 0 })).await;
        let said = waited.map_or_else(|error| error, |answer| answer.to_string());
        said.contains("STATE_DIR_GONE")
    })
    .await;
    let reads = world.requests("activity").await.len();
    let beats = world.requests("heartbeat").await.len();
    world.say(&workspace, "into the void").await;
    until("time passes", || async {
        world.requests("heartbeat").await.len() > beats + 5
    })
    .await;
    assert_eq!(world.requests("activity").await.len(), reads);
    assert!(!workspace.folder.exists());
}

#[tokio::test]
async fn a_state_folder_that_comes_back_is_read_into_again() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let elsewhere = workspace.folder.with_extension("moved");
    std::fs::rename(&workspace.folder, &elsewhere).unwrap();
    let health = || async {
        let waited = daemon.call("wait_for_message", json!({ "timeout_secs": 0 })).await;
        waited.map_or_else(|error| error, |answer| answer["health"].to_string())
    };
    until("it is told", || async { health().await.contains("STATE_DIR_GONE") }).await;
    std::fs::rename(&elsewhere, &workspace.folder).unwrap();
    until("all is well again", || async { health().await == "null" }).await;
    world.say(&workspace, "at home").await;
    assert_eq!(drain(&daemon, 1).await, ["at home"]);
}

#[tokio::test]
async fn nothing_is_written_into_a_state_folder_that_is_being_removed() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    until("the secret is written", || async {
        !file(&workspace.folder, ".platform_inbound_secret").is_empty()
    })
    .await;
    // Held up by something that cannot be removed.
    std::fs::create_dir(workspace.folder.join("kept")).unwrap();
    let remove_rest = || {
        for entry in std::fs::read_dir(&workspace.folder).unwrap().flatten() {
            let _ = std::fs::remove_file(entry.path());
            if entry.file_name() != "kept" {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        std::fs::read_dir(&workspace.folder).unwrap().count()
    };
    until("wait_for_message says so", || async {
        remove_rest();
        let waited = daemon.call("wait_for_message", json!({ "timeout_secs": 0 })).await;
        let said = waited.map_or_else(|error| error, |answer| answer.to_string());
        said.contains("STATE_DIR_GONE")
    })
    .await;
    until("what was just being written is removed, too", || async {
        remove_rest() == 1
    })
    .await;
    let beats = world.requests("heartbeat").await.len();
    until("beats go on", || async {
        world.requests("heartbeat").await.len() > beats + 5
    })
    .await;
    let left: Vec<_> = std::fs::read_dir(&workspace.folder).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "something came back: {left:?}");
}

#[tokio::test]
async fn a_deleted_workspace_stays_told_as_deleted_when_it_is_read_again() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    world.delete(&workspace).await;
    let codes = || async {
        let waited = daemon
            .call("wait_for_message", json!({ "timeout_secs": 0 }))
            .await
            .unwrap();
        let health = waited["health"].as_array().cloned().unwrap_or_default();
        health
            .iter()
            .map(|trouble| trouble["code"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    until("the deletion is told", || async {
        codes().await.contains(&"WORKSPACE_REMOVED".to_owned())
    })
    .await;
    // What the inbox says of it comes first: a wait tells of trouble when there is nothing else.
    let said = next_message(&daemon).await;
    assert_eq!(said["kind"], "system");
    pop(&daemon, &said).await;
    let reads = world.requests("activity").await.len();
    until("it is read again", || async {
        world.requests("activity").await.len() > reads
    })
    .await;
    let checks = world.requests("get_workspace").await.len();
    until("the answer is judged", || async {
        world.requests("get_workspace").await.len() > checks
    })
    .await;
    assert_eq!(codes().await, ["WORKSPACE_REMOVED"]);
}
