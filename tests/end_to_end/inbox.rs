//! Reading: nothing missing, nothing twice, whatever the platform does with its rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use molecule_mcp::local_platform::Level;
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::{World, drain, inbox_is_empty, next_message, pop};

#[tokio::test]
async fn a_message_arrives_is_acknowledged_and_never_returns() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    world.say(&workspace, "first light \u{1F30A} \u{202E}x").await;
    let message = next_message(&daemon).await;
    assert_eq!(message["text"], "first light \u{1F30A} \u{202E}x");
    assert_eq!(message["kind"], "canvas_user");
    assert_eq!(message["peer_id"], "");
    assert_eq!(message["delivery_count"], 1);
    assert_eq!(pop(&daemon, &message).await["removed"], json!(true));
    assert_eq!(pop(&daemon, &message).await["removed"], json!(false));
    assert!(inbox_is_empty(&daemon).await);
    drop(daemon);
    let again = world.online(&workspace).await;
    world.say(&workspace, "second").await;
    assert_eq!(drain(&again, 1).await, ["second"]);
    assert!(inbox_is_empty(&again).await);
}

#[tokio::test]
async fn a_killed_process_loses_nothing_it_had_in_hand() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut daemon = world.online(&workspace).await;
    world.say(&workspace, "in hand").await;
    let in_hand = next_message(&daemon).await;
    daemon.kill().await.unwrap();
    let again = world.daemon(&workspace).await;
    let message = next_message(&again).await;
    assert_eq!(message["activity_id"], in_hand["activity_id"]);
    assert_eq!(message["delivery_count"], 2);
}

#[tokio::test]
async fn three_hundred_waiting_messages_survive_a_kill_before_they_are_read() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut daemon = world.online(&workspace).await;
    let ids: Vec<String> = (0..300).map(|_| Uuid::new_v4().to_string()).collect();
    for (n, id) in ids.iter().enumerate() {
        world.say_as(&workspace, &format!("m{n}"), id).await;
        if n == 150 {
            daemon.kill().await.unwrap();
        }
    }
    let again = world.daemon(&workspace).await;
    let texts = drain(&again, 300).await;
    let expected: Vec<String> = (0..300).map(|n| format!("m{n}")).collect();
    assert_eq!(texts, expected);
    assert!(inbox_is_empty(&again).await);
}

#[tokio::test]
async fn a_burst_with_late_rows_and_equal_times_arrives_whole_and_once() {
    for level in [Level::B, Level::C] {
        burst(level).await;
    }
}

async fn burst(level: Level) {
    const SENDERS: usize = 16;
    const EACH: usize = 50;
    let world = Arc::new(World::at(level).await);
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let seed = 20_261_121;
    println!("late rows with seed {seed}");
    world.late(100, seed).await;
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (world, workspace) = (Arc::clone(&world), workspace.clone());
            tokio::spawn(async move {
                for n in 0..EACH {
                    world.say(&workspace, &format!("s{sender}-{n}")).await;
                }
            })
        })
        .collect();
    // Rows of one timestamp, as many as a page holds and more, so that they straddle its edge.
    let equal: Vec<Value> = (0..40)
        .map(|n| row(&format!("equal-{n}"), Some("2026-11-21T09:00:00.123456Z")))
        .collect();
    let mut expected: BTreeMap<String, u32> = (0..SENDERS)
        .flat_map(|s| (0..EACH).map(move |n| (format!("s{s}-{n}"), 1)))
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let now = equal_now(equal);
    world.rows(&workspace, Value::Array(now)).await;
    expected.extend((0..40).map(|n| (format!("equal-{n}"), 1)));
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for text in drain(&daemon, expected.len()).await {
        *seen.entry(text).or_default() += 1;
    }
    assert_eq!(seen, expected, "{}", daemon.complaints());
    assert!(inbox_is_empty(&daemon).await);
}

/// Gives all rows the same current instant.
fn equal_now(mut rows: Vec<Value>) -> Vec<Value> {
    let now = molecule_mcp::types::Timestamp::now().to_rfc3339();
    for row in &mut rows {
        row["created_at"] = json!(now);
    }
    rows
}

/// A message row as the platform stores it.
fn row(text: &str, created_at: Option<&str>) -> Value {
    let message =
        json!({ "role": "user", "messageId": Uuid::new_v4().to_string(), "parts": [{ "kind": "text", "text": text }] });
    let mut row = json!({
        "id": Uuid::new_v4().to_string(), "activity_type": "a2a_receive", "method": "message/send", "source_id": null,
        "summary": "message/send → alpha", "status": "ok",
        "request_body": { "jsonrpc": "2.0", "id": "1", "method": "message/send", "params": { "message": message } },
    });
    if let Some(created_at) = created_at {
        row["created_at"] = json!(created_at);
    }
    row
}

#[tokio::test]
async fn poison_rows_are_delivered_with_what_can_be_read_and_stop_nothing() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let bodies = [
        json!({ "params": { "message": { "parts": [{ "kind": "text", "text": null }] } } }),
        json!({ "params": { "message": { "parts": [null, 7, "x", { "kind": "text", "text": "kept" }] } } }),
        json!({ "params": { "message": { "parts": { "kind": "text" } } } }),
        json!({ "params": [1, 2] }),
        json!("not json at all"),
        json!(42),
        Value::Null,
        json!({ "method": "unknown/method", "params": { "parts": [{ "type": "text", "text": "old style" }] } }),
        json!({ "params": { "message": { "parts": [{ "kind": "text", "text": "x".repeat(900_000) }] } } }),
    ];
    let rows: Vec<Value> = bodies
        .iter()
        .map(|body| {
            let mut row = row("", None);
            row["request_body"] = body.clone();
            row["summary"] = json!("S");
            row
        })
        .collect();
    world.rows(&workspace, Value::Array(rows)).await;
    world.say(&workspace, "after the poison").await;
    let mut texts = Vec::new();
    for _ in 0..=bodies.len() {
        let message = next_message(&daemon).await;
        texts.push(message["text"].as_str().unwrap().chars().take(20).collect::<String>());
        pop(&daemon, &message).await;
    }
    let x = "x".repeat(20);
    assert_eq!(
        texts,
        [
            "S",
            "kept",
            "S",
            "S",
            "S",
            "S",
            "S",
            "old style",
            x.as_str(),
            "after the poison"
        ]
    );
}

#[tokio::test]
async fn own_echoes_are_dropped() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    daemon
        .call("send_message_to_user", json!({ "message": "to the person" }))
        .await
        .unwrap();
    let mut own = row("own", None);
    own["source_id"] = json!(workspace.id);
    world.rows(&workspace, json!([own])).await;
    world.say(&workspace, "from the person").await;
    assert_eq!(drain(&daemon, 1).await, ["from the person"]);
    assert!(inbox_is_empty(&daemon).await);
}

#[tokio::test]
async fn the_same_message_twice_is_one_message() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let twice = row("said twice", None);
    let mut again = twice.clone();
    again["id"] = json!(Uuid::new_v4().to_string());
    world.rows(&workspace, json!([twice, again])).await;
    world.say(&workspace, "then this").await;
    assert_eq!(drain(&daemon, 2).await, ["said twice", "then this"]);
    assert!(inbox_is_empty(&daemon).await);
}

#[tokio::test]
async fn a_cursor_the_platform_no_longer_knows_loses_nothing() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    world.say(&workspace, "before").await;
    assert_eq!(drain(&daemon, 1).await, ["before"]);
    world.fault(json!({ "route": "activity", "times": 2, "status": 410,
        "body": { "error": "since_id cursor not found (row may have been pruned or belongs to a different workspace); omit since_id to reset" } }))
        .await;
    for n in 0..20 {
        world.say(&workspace, &format!("after-{n}")).await;
    }
    let expected: Vec<String> = (0..20).map(|n| format!("after-{n}")).collect();
    let mut texts = Vec::new();
    while texts.len() < 20 {
        let message = next_message(&daemon).await;
        // What was recovered is announced once; only the messages themselves are compared.
        if message["kind"] != "system" {
            texts.push(message["text"].as_str().unwrap().to_owned());
        }
        pop(&daemon, &message).await;
    }
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn a_backlog_of_many_pages_arrives_in_order_at_the_first_start() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let start = molecule_mcp::types::Timestamp::now().plus_micros(-60_000_000);
    // Groups of equal times across every page edge.
    let rows: Vec<Value> = (0..1203)
        .map(|n| {
            row(
                &format!("b{n:04}"),
                Some(&start.plus_micros((n / 7) * 1000).to_rfc3339()),
            )
        })
        .collect();
    world.rows(&workspace, Value::Array(rows)).await;
    let daemon = world.daemon(&workspace).await;
    let mut texts = Vec::new();
    while texts.len() < 1203 {
        let message = next_message(&daemon).await;
        if message["kind"] != "system" {
            texts.push(message["text"].as_str().unwrap().to_owned());
        }
        pop(&daemon, &message).await;
    }
    texts.sort();
    let expected: Vec<String> = (0..1203).map(|n| format!("b{n:04}")).collect();
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn a_platform_without_cursors_is_read_all_the_same() {
    let world = World::at(Level::A).await;
    let workspace = world.workspace("alpha").await;
    let mut command = world.command(&workspace);
    // Level A refuses an empty url at register; beats and reads work all the same.
    command.env("MOLECULE_MCP_VERBOSE", "1");
    let daemon = super::support::start(command).await;
    // Level A knows no poll mode: rows come from elsewhere, and a read always brings the newest ones.
    let rows: Vec<Value> = (0..5).map(|n| row(&format!("a{n}"), None)).collect();
    world.rows(&workspace, Value::Array(rows)).await;
    let mut texts = drain(&daemon, 5).await;
    texts.sort();
    assert_eq!(texts, ["a0", "a1", "a2", "a3", "a4"]);
    assert!(inbox_is_empty(&daemon).await);
}

#[tokio::test]
async fn a_lease_that_runs_out_offers_the_message_again() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut command = world.command(&workspace);
    // Scaled by the test speed: 0.2 s.
    command.env("MOLECULE_LEASE_SECS", "10");
    let daemon = super::support::start(command).await;
    world.say(&workspace, "unattended").await;
    for delivery in 1..=5 {
        let message = next_message(&daemon).await;
        assert_eq!(
            (message["text"].as_str(), message["delivery_count"].as_i64()),
            (Some("unattended"), Some(delivery))
        );
    }
    // The fifth lease runs out: set aside, and announced instead.
    let message = next_message(&daemon).await;
    assert_eq!(message["kind"], "system", "{message}");
}

#[tokio::test]
async fn a_cancelled_wait_gives_its_message_back() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let (id, _answer) = daemon.begin(
        "tools/call",
        json!({ "name": "wait_for_message", "arguments": { "timeout_secs": 300 } }),
    );
    daemon.request("ping", json!({})).await.unwrap();
    daemon.send(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id, "reason": "test" } }));
    daemon.request("ping", json!({})).await.unwrap();
    world.say(&workspace, "for the next one").await;
    let message = next_message(&daemon).await;
    assert_eq!(message["text"], "for the next one");
}

#[tokio::test]
async fn an_unacknowledged_message_does_not_hide_the_next_one() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    for text in ["first", "second"] {
        world.say(&workspace, text).await;
    }
    assert_eq!(next_message(&daemon).await["text"], "first");
    assert_eq!(next_message(&daemon).await["text"], "second");
    let listed = daemon.call("inbox_peek", json!({})).await.unwrap();
    assert_eq!(listed["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_row_of_17_mib_arrives_and_its_text_is_read_in_parts() {
    let world = World::at(Level::C).await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let length = 17 * 1024 * 1024;
    world
        .rows(
            &workspace,
            json!([row(&format!("{}end", "x".repeat(length - 3)), None)]),
        )
        .await;
    world.say(&workspace, "behind it").await;
    let message = next_message(&daemon).await;
    assert_eq!(message["text_truncated"], json!(true));
    let shown = message["text"].as_str().unwrap().len();
    assert!(shown > 1000 && message["next_offset"] == json!(shown), "{shown}");
    let rest = json!({ "activity_id": message["activity_id"], "offset": length - 10 });
    let rest = daemon.call("inbox_peek", rest).await.unwrap();
    assert_eq!(rest["messages"][0]["text"], "xxxxxxxend");
    pop(&daemon, &message).await;
    assert_eq!(drain(&daemon, 1).await, ["behind it"]);
}
