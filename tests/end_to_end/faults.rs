//! A platform that misbehaves: whatever it answers, the messages behind it arrive, and the beats go on.

use serde_json::{Value, json};

use super::support::{World, drain, inbox_is_empty, until};

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
    for route in ["activity", "register", "peers", "get_workspace"] {
        world.fault(json!({ "route": route, "delay_ms": 5000 })).await;
    }
    let before = world.requests("heartbeat").await.len();
    until("ten more beats", || async {
        world.requests("heartbeat").await.len() >= before + 10
    })
    .await;
    let beats = world.requests("heartbeat").await;
    let times: Vec<i64> = beats.iter().map(|beat| beat["time_ms"].as_i64().unwrap()).collect();
    let widest = times[before..].windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    // 400 ms apart at the test speed; a beat that waited for a read would come 5 s late.
    assert!(widest < 3000, "{widest} ms between two beats");
}
