//! The way to the platform goes and comes back: however it went, the daemon works again soon, and meanwhile it is no burden.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use molecule_mcp::cli::demo::client::McpChild;
use molecule_mcp::types::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::join;
use tokio::time::{Instant, sleep};

use super::support::{Workspace, World, next_message, pop, start, until};

/// How soon after the way's return everything must work: 10 s, and what a busy computer may add to it. What hangs is given up
/// after 8 s; a read that only its last deadline ended would end after 30 s.
const SOON: Duration = Duration::from_secs(10 + 15);

/// Puts a rule into force for everything that a daemon asks for. The person's messages still arrive.
async fn fault_everywhere(world: &World, rule: Value) {
    for route in [
        "activity",
        "heartbeat",
        "events",
        "register",
        "get_workspace",
        "delegate",
        "delegations",
        "notify",
    ] {
        let mut rule = rule.clone();
        rule["route"] = json!(route);
        world.fault(rule).await;
    }
}

async fn good_beats(world: &World) -> usize {
    let beats = world.requests("heartbeat").await;
    beats.iter().filter(|beat| beat["status"] == 200).count()
}

/// Takes what the person said, `count` times; notes about what became of other work are passed over.
async fn hear(daemon: &McpChild, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let message = next_message(daemon).await;
        pop(daemon, &message).await;
        if message["kind"] == "canvas_user" {
            texts.push(message["text"].as_str().unwrap().to_owned());
        }
    }
    texts
}

/// Waits for a message said now and for a beat that begins now.
async fn works(world: &World, workspace: &Workspace, daemon: &McpChild, text: &str) {
    let beats = good_beats(world).await;
    world.say(workspace, text).await;
    assert_eq!(hear(daemon, 1).await, [text]);
    until("a beat arrives", || async { good_beats(world).await > beats }).await;
}

/// Under each of these just long enough for beats, reads and the stream to meet it and to hang. Their connections are dead
/// afterwards, as when a router forgot them.
#[tokio::test]
async fn silence_and_slow_answers_are_over_within_10_s_of_their_end() {
    let kinds = [
        ("silent", json!({ "silent": true })),
        ("byte by byte", json!({ "drip_ms": 1500 })),
        ("slow", json!({ "delay_ms": 60_000 })),
        ("swallowed", Value::Null),
    ];
    join_all(kinds.map(async |(kind, rule)| {
        let mut world = World::new().await.at_speed(20);
        let workspace = world.workspace("alpha").await;
        let daemon = world.online(&workspace).await;
        works(&world, &workspace, &daemon, "before").await;
        if rule.is_null() {
            world.swallow();
        } else {
            fault_everywhere(&world, rule).await;
            world.say(&workspace, "meanwhile").await;
        }
        sleep(Duration::from_secs(4)).await;
        let returned = Instant::now();
        if kind == "swallowed" {
            world.answer_again();
            world.say(&workspace, "meanwhile").await;
        }
        world.no_faults().await;
        assert_eq!(hear(&daemon, 1).await, ["meanwhile"], "{kind}");
        works(&world, &workspace, &daemon, "after").await;
        let took = returned.elapsed();
        println!("{kind}: works again after {took:?}");
        assert!(took < SOON, "{kind}: {took:?}\n{}", daemon.complaints());
    }))
    .await;
}

/// Some minutes of each fault, with ten delegations to send and one to follow. Only what the platform can count counts.
#[tokio::test]
async fn no_fault_makes_a_daemon_ask_more_than_once_a_second() {
    const SPEED: u32 = 20;
    const PENDING: usize = 10;
    let kinds = [
        json!({ "status": 401, "body": { "error": "invalid workspace auth token" } }),
        json!({ "status": 403, "body": { "error": "forbidden" } }),
        json!({ "status": 404, "body": { "error": "not found" } }),
        json!({ "status": 429, "body": { "error": "rate limit exceeded" } }),
        json!({ "status": 500, "body": { "error": "internal" } }),
        json!({ "status": 503, "body": "upstream connect error" }),
        json!({ "raw_body": "<html>sign in to this network</html>" }),
        json!({ "drop": true }),
        json!({ "truncate": 1 }),
    ];
    join_all(kinds.map(async |rule| {
        let world = World::new().await.at_speed(SPEED);
        let workspace = world.workspace("alpha").await;
        let peer = world.workspace("beta").await;
        let daemon = world.online(&workspace).await;
        works(&world, &workspace, &daemon, "before").await;
        let task = json!({ "workspace_id": peer.id, "task": "outstanding" });
        daemon.call("delegate_task_async", task).await.unwrap();
        fault_everywhere(&world, rule.clone()).await;
        let (begun, before) = (Timestamp::now(), world.log().await.len());
        for n in 0..PENDING {
            let task = json!({ "workspace_id": peer.id, "task": format!("pending {n}") });
            daemon.begin(
                "tools/call",
                json!({ "name": "delegate_task_async", "arguments": task }),
            );
        }
        sleep(Duration::from_secs(300) / SPEED).await;
        let log = world.log().await;
        let asked = log.len() - before;
        let spent = begun.until(Timestamp::now()).as_secs_f64() * f64::from(SPEED);
        println!("{rule}: {asked} requests in {spent:.0} s");
        let mut routes = BTreeMap::<&str, usize>::new();
        for entry in &log[before..] {
            *routes.entry(entry["route"].as_str().unwrap_or_default()).or_default() += 1;
        }
        assert!(
            (asked as f64) < spent,
            "{rule}: {asked} requests in {spent} s: {routes:?}"
        );
        world.no_faults().await;
        works(&world, &workspace, &daemon, "after").await;
    }))
    .await;
}

#[tokio::test]
async fn delegations_wait_out_an_outage_and_then_go_out_each_once() {
    // Slow enough for the ten minutes in which they are tried.
    let world = World::new().await.at_speed(2);
    let workspace = world.workspace("alpha").await;
    let peer = world.workspace("beta").await;
    let daemon = world.online(&workspace).await;
    fault_everywhere(&world, json!({ "drop": true })).await;
    let calls = (0..10).map(async |n| {
        let task = json!({ "workspace_id": peer.id, "task": format!("task {n}") });
        daemon.call("delegate_task_async", task).await
    });
    let outage = async {
        until("attempts fail", || async {
            world.requests("get_workspace").await.len() >= 3
        })
        .await;
        world.no_faults().await;
    };
    join!(join_all(calls), outage);
    until("all go out", || async { world.requests("delegate").await.len() >= 10 }).await;
    works(&world, &workspace, &daemon, "after").await;
    let sent = world.requests("delegate").await;
    assert_eq!(sent.iter().filter(|sent| sent["status"] == 202).count(), 10, "{sent:?}");
    let path = format!("/workspaces/{}/delegations", workspace.id);
    let known = world.ok(Method::GET, &path, Some(&workspace.token), None).await;
    let ids: BTreeSet<_> = known
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["delegation_id"].as_str())
        .collect();
    assert_eq!(ids.len(), 10, "{known}");
}

#[tokio::test]
async fn a_platform_that_restarts_is_joined_again_with_one_beat_at_a_time() {
    const SPEED: u32 = 10;
    let mut world = World::durable().await.at_speed(SPEED);
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    works(&world, &workspace, &daemon, "before").await;
    for round in 0..2 {
        world.go_down().await;
        sleep(Duration::from_secs(3)).await;
        world.come_back().await;
        works(&world, &workspace, &daemon, &format!("after {round}")).await;
        until("the stream is open again", || async {
            !world.requests("events").await.is_empty()
        })
        .await;
    }
    until("four beats arrive", || async { good_beats(&world).await >= 4 }).await;
    // The first of them may be one that is due at once; no other follows it before its time of 2 s.
    let beats = world.requests("heartbeat").await;
    let times: Vec<i64> = beats.iter().map(|beat| beat["time_ms"].as_i64().unwrap()).collect();
    let close = times.windows(2).filter(|pair| pair[1] - pair[0] < 1000).count();
    assert!(close <= 1, "{times:?}");
}

/// A day without a way, while others go on writing. At a thousand times the usual speed this is an hour.
#[tokio::test]
async fn after_a_long_outage_everything_is_fetched_in_order() {
    let world = World::new().await.at_speed(1000);
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    works(&world, &workspace, &daemon, "before").await;
    fault_everywhere(&world, json!({ "drop": true })).await;
    let mut texts = Vec::new();
    for n in 0..36 {
        texts.push(format!("meanwhile {n}"));
        world.say(&workspace, texts.last().unwrap()).await;
        sleep(Duration::from_millis(100)).await;
    }
    world.no_faults().await;
    assert_eq!(hear(&daemon, texts.len()).await, texts);
    works(&world, &workspace, &daemon, "after").await;
}

/// Only Linux has more than one address for the loopback interface from the start.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_platform_that_moves_to_another_address_is_found_there() {
    let mut world = World::durable().await;
    let workspace = world.workspace("alpha").await;
    let hosts = workspace.folder.join("hosts");
    std::fs::write(&hosts, "127.0.0.1").unwrap();
    let mut command = world.command(&workspace);
    command
        .env("PLATFORM_URL", format!("http://localhost:{}", world.port()))
        .env("MOLECULE_TEST_HOSTS", &hosts);
    let daemon = start(command).await;
    until("the workspace is online", || async {
        world.status(&workspace).await == "online"
    })
    .await;
    works(&world, &workspace, &daemon, "before").await;
    world.go_down().await;
    world.come_back_at([127, 0, 0, 2]).await;
    std::fs::write(&hosts, "127.0.0.2").unwrap();
    works(&world, &workspace, &daemon, "after the move").await;
}
