//! The test-facing interface.

use super::*;

async fn rule(world: &World, rule: Value) {
    let added = world.call("POST", "/_local/faults", None, rule).await;
    assert_eq!(added.status, 200, "{}", added.text);
}

#[tokio::test]
async fn a_rule_answers_in_place_of_the_route_as_often_as_told() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    rule(&world, json!({ "route": "activity", "times": 1, "status": 429, "body": { "error": "x" }, "headers": { "Retry-After": "7" } })).await;
    let refused = world.activity(&guest, "").await;
    refused.refused(429, "x");
    assert_eq!(refused.headers["retry-after"], "7");
    assert_eq!(world.activity(&guest, "").await.status, 200);
    rule(
        &world,
        json!({ "route": "activity", "workspace": uuid::Uuid::new_v4(), "status": 500 }),
    )
    .await;
    assert_eq!(
        world.activity(&guest, "").await.status,
        200,
        "the rule is for another workspace"
    );
    rule(
        &world,
        json!({ "route": "heartbeat", "workspace": guest.id, "raw_body": "{\"status\":7" }),
    )
    .await;
    let beat = world.beat(&guest.id, Some(&guest.token)).await;
    assert_eq!((beat.status, beat.text.as_str()), (200, "{\"status\":7"));
    world.call("DELETE", "/_local/faults", None, Value::Null).await;
    assert_eq!(world.beat(&guest.id, Some(&guest.token)).await.body["status"], "ok");
}

#[tokio::test]
async fn a_mistyped_rule_is_refused() {
    let world = World::new().await;
    let refused = world
        .call(
            "POST",
            "/_local/faults",
            None,
            json!({ "route": "activity", "stauts": 500 }),
        )
        .await;
    assert_eq!(refused.status, 400);
    let refused = world
        .call("POST", "/_local/rows/x", None, json!({ "sumary": "x" }))
        .await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_dropped_connection_gives_no_answer_but_may_have_done_the_work() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let send = async || {
        let request = world
            .request("POST", &format!("/workspaces/{}/a2a", beta.id))
            .bearer_auth(&alpha.token);
        request.json(&envelope("x")).send().await
    };
    rule(&world, json!({ "route": "a2a", "drop": true, "times": 1 })).await;
    assert!(send().await.is_err());
    assert_eq!(world.activity(&beta, "").await.ids().len(), 0);
    rule(
        &world,
        json!({ "route": "a2a", "drop": true, "after": true, "times": 1 }),
    )
    .await;
    assert!(send().await.is_err());
    assert_eq!(world.activity(&beta, "").await.ids().len(), 1);
    let log = world.call("GET", "/_local/log", None, Value::Null).await.body;
    let statuses: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["route"] == "a2a")
        .map(|one| &one["status"])
        .collect();
    assert_eq!(statuses, [&Value::Null, &Value::Null]);
}

#[tokio::test]
async fn bodies_can_break_off_or_grow() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    world.insert(&guest, json!({ "summary": "x".repeat(1000) })).await;
    let read = || {
        world
            .request("GET", &format!("/workspaces/{}/activity", guest.id))
            .bearer_auth(&guest.token)
            .send()
    };
    rule(&world, json!({ "route": "activity", "truncate": 100, "times": 1 })).await;
    let mut broken = read().await.unwrap();
    let mut received = 0;
    while let Ok(Some(chunk)) = broken.chunk().await {
        received += chunk.len();
    }
    assert_eq!(received, 100);
    rule(
        &world,
        json!({ "route": "activity", "oversize_bytes": 3_000_000, "times": 1 }),
    )
    .await;
    let body = read().await.unwrap().bytes().await.unwrap();
    assert_eq!(body.len(), 3_000_000);
    assert_eq!(
        serde_json::from_slice::<Value>(&body)
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    rule(&world, json!({ "route": "activity", "delay_ms": 120, "times": 1 })).await;
    let started = Instant::now();
    assert_eq!(read().await.unwrap().status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn late_messages_keep_their_time_and_appear_out_of_order() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    world
        .call("POST", "/_local/late", None, json!({ "max_ms": 200, "seed": 7 }))
        .await;
    let mut events = Events::open(&world, &beta).await;
    for number in 0..30 {
        world.tell(&alpha, &beta, &number.to_string()).await;
    }
    let mut appeared = Vec::new();
    for _ in 0..30 {
        appeared.push(text_of(&events.next().await["data"]).parse::<u32>().unwrap());
    }
    assert!(
        !appeared.is_sorted(),
        "30 random delays of up to 200 ms never keep the order"
    );
    let read = world.activity(&beta, "").await;
    let in_time: Vec<u32> = read
        .body
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|row| text_of(row).parse().unwrap())
        .collect();
    assert_eq!(in_time, (0..30).collect::<Vec<_>>(), "their times are those of sending");
}

#[tokio::test]
async fn the_log_tells_who_asked_what_without_any_token() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let seen = world
        .call("GET", "/_local/log", None, Value::Null)
        .await
        .body
        .as_array()
        .unwrap()
        .len();
    let request = world
        .request("POST", "/registry/heartbeat")
        .bearer_auth(&guest.token)
        .header("User-Agent", "tester/1");
    let body = json!({ "workspace_id": guest.id, "uptime_seconds": 3 });
    got(request
        .header("X-Workspace-ID", &guest.id)
        .header("Origin", world.platform.url())
        .json(&body))
    .await;
    let log = world
        .call("GET", &format!("/_local/log?after={seen}"), None, Value::Null)
        .await;
    let entry = &log.body[0];
    let hash = &crate::local_platform::credentials::digest(&guest.token)[..8];
    let expected = json!({ "seq": seen + 1, "time_ms": entry["time_ms"], "method": "POST", "path": "/registry/heartbeat",
        "query": null, "route": "heartbeat", "status": 200, "workspace": guest.id, "bearer": hash,
        "user_agent": "tester/1", "x_workspace_id": guest.id, "origin": world.platform.url(), "body": body });
    assert_eq!(entry, &expected);
    assert!(!log.text.contains(&guest.token));
    for (message, logged) in [("done".to_owned(), true), ("x".repeat(5000), false)] {
        let body = json!({ "message": message });
        world
            .call(
                "POST",
                &format!("/workspaces/{}/notify", guest.id),
                Some(&guest.token),
                body.clone(),
            )
            .await;
        let log = world.call("GET", "/_local/log", None, Value::Null).await.body;
        let entry = log.as_array().unwrap().last().unwrap();
        assert_eq!(
            (&entry["route"], &entry["workspace"]),
            (&json!("notify"), &json!(guest.id))
        );
        assert_eq!(entry["body"], if logged { body } else { Value::Null });
    }
}

#[tokio::test]
async fn limits_and_workspaces_can_be_set_and_seen() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    world
        .call("POST", "/_local/limits", None, json!({ "rate_limit": 1 }))
        .await;
    assert_eq!(world.activity(&guest, "").await.status, 200);
    assert_eq!(world.activity(&guest, "").await.status, 429);
    let all = world.call("GET", "/_local/workspaces", None, Value::Null).await;
    assert_eq!(
        (&all.body[0]["id"], &all.body[0]["status"]),
        (&json!(guest.id), &json!("online"))
    );
    assert!(all.body[0]["last_beat_ms_ago"].as_i64().unwrap() < 5000);
}

#[tokio::test]
async fn a_platform_with_a_folder_remembers_everything() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options {
        data: Some(folder.path().to_owned()),
        ..Options::default()
    };
    let world = World::with(options()).await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    world.tell(&alpha, &beta, "kept").await;
    let admin = world.platform.admin_token().to_owned();
    world.platform.stop().await;
    let world = World::with(options()).await;
    assert_eq!(world.platform.admin_token(), admin);
    let read = world.activity(&beta, "").await;
    assert_eq!((read.status, text_of(&read.body[0])), (200, "kept"));
}

#[tokio::test]
async fn a_stop_cuts_requests_and_streams_in_flight() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let mut events = Events::open(&world, &guest).await;
    rule(&world, json!({ "route": "activity", "delay_ms": 60_000 })).await;
    let path = format!("/workspaces/{}/activity", guest.id);
    let waiting = tokio::spawn(world.request("GET", &path).bearer_auth(&guest.token).send());
    // Time for the request to reach its delay; too little makes the test easier, never wrong.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    world.platform.stop().await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(waiting.await.unwrap().is_err());
    assert!(events.response.chunk().await.is_err());
}
