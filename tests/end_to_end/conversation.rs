//! Delegation and replies between real daemons, both in poll mode.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::support::{World, inbox_is_empty, next_message, until};

#[tokio::test]
async fn a_delegates_b_replies_and_a_gets_the_text() {
    let world = World::new().await;
    let (a, b) = (world.workspace("a").await, world.workspace("b").await);
    let (ada, bob) = (world.online(&a).await, world.online(&b).await);
    let (_, delegated) = ada.begin(
        "tools/call",
        json!({ "name": "delegate_task", "arguments": { "workspace_id": b.id, "task": "count the crates" } }),
    );
    let task = next_message(&bob).await;
    assert_eq!(
        (task["text"].as_str(), task["kind"].as_str()),
        (Some("count the crates"), Some("peer_agent"))
    );
    assert_eq!(task["peer_id"], json!(a.id));
    let replied = bob
        .call(
            "reply_to_message",
            json!({ "activity_id": task["activity_id"], "text": "17 </x> crates" }),
        )
        .await
        .unwrap();
    assert_eq!(replied["acknowledged"], json!(true));
    let answer = delegated.await.unwrap()["result"]["structuredContent"].clone();
    assert_eq!(answer["status"], "answered", "{answer}");
    assert_eq!(answer["text"], "17 </x> crates");
    assert!(inbox_is_empty(&bob).await);
    until("the answer does not also wait in the inbox", || inbox_is_empty(&ada)).await;
    // The task went out exactly once.
    assert_eq!(world.requests("delegate").await.len(), 1);
}

#[tokio::test]
async fn an_async_delegation_is_answered_in_the_inbox_and_by_its_status() {
    let world = World::new().await;
    let (a, b) = (world.workspace("a").await, world.workspace("b").await);
    let (ada, bob) = (world.online(&a).await, world.online(&b).await);
    let handle = ada
        .call(
            "delegate_task_async",
            json!({ "workspace_id": b.id, "task": "fetch water" }),
        )
        .await
        .unwrap();
    let id = handle["delegation_id"].as_str().expect("a delegation id").to_owned();
    let task = next_message(&bob).await;
    bob.call(
        "reply_to_message",
        json!({ "activity_id": task["activity_id"], "text": "done" }),
    )
    .await
    .unwrap();
    let reply = next_message(&ada).await;
    assert_eq!(
        (reply["text"].as_str(), reply["delegation_id"].as_str()),
        (Some("done"), Some(id.as_str()))
    );
    let status = ada
        .call("check_task_status", json!({ "workspace_id": b.id, "task_id": id }))
        .await
        .unwrap();
    assert_eq!(
        (status["status"].as_str(), status["text"].as_str()),
        (Some("answered"), Some("done")),
        "{status}"
    );
    let unknown = json!({ "workspace_id": b.id, "task_id": "5f0c1d2e-0000-4000-8000-000000000009" });
    assert_eq!(
        ada.call("check_task_status", unknown).await.unwrap()["status"],
        "not_found"
    );
}

#[tokio::test]
async fn the_person_is_answered_through_notify_and_the_message_is_acknowledged() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    world.say(&workspace, "how many?").await;
    let message = next_message(&daemon).await;
    let reply = json!({ "activity_id": message["activity_id"], "text": "seventeen\u{0}" });
    daemon.call("reply_to_message", reply).await.unwrap();
    assert_eq!(world.told(&workspace).await, ["seventeen\u{FFFD}"]);
    assert!(inbox_is_empty(&daemon).await);
}

#[tokio::test]
async fn a_failed_reply_leaves_the_message_in_the_inbox() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    world.say(&workspace, "how many?").await;
    let message = next_message(&daemon).await;
    world
        .fault(json!({ "route": "notify", "status": 403, "body": { "error": "talk_to_user_disabled", "hint": "x" } }))
        .await;
    let reply = json!({ "activity_id": message["activity_id"], "text": "seventeen" });
    let failure = daemon.call("reply_to_message", reply.clone()).await.unwrap_err();
    assert!(failure.contains("talk_to_user_disabled"), "{failure}");
    assert!(!inbox_is_empty(&daemon).await);
    world.no_faults().await;
    daemon.call("reply_to_message", reply).await.unwrap();
    assert!(inbox_is_empty(&daemon).await);
    assert_eq!(world.told(&workspace).await, ["seventeen"]);
}

#[tokio::test]
async fn a_delegation_to_nobody_is_refused_before_it_is_sent() {
    let world = World::new().await;
    let (a, b) = (world.workspace("a").await, world.workspace("b").await);
    let ada = world.online(&a).await;
    world.delete(&b).await;
    for target in [
        b.id.as_str(),
        a.id.as_str(),
        "5f0c1d2e-0000-4000-8000-000000000009",
        "not-a-uuid",
        "../x",
    ] {
        let failure = ada
            .call("delegate_task", json!({ "workspace_id": target, "task": "x" }))
            .await
            .unwrap_err();
        assert!(failure.contains("\"error\""), "{target}: {failure}");
    }
    assert!(world.requests("delegate").await.is_empty());
}

#[tokio::test]
async fn a_delegation_the_platform_fails_tells_its_reason() {
    let world = World::new().await;
    let a = world.workspace("a").await;
    let ada = world.online(&a).await;
    // A child of a child is out of reach for its aunt.
    let parent = world.workspace("parent").await;
    let child = world.workspace("child").await;
    let other = world.workspace("other").await;
    for (who, under) in [(&child, &parent), (&a, &other)] {
        let body = json!({ "parent_id": under.id });
        world
            .ok(
                reqwest::Method::PATCH,
                &format!("/workspaces/{}", who.id),
                Some(&who.token),
                Some(body),
            )
            .await;
    }
    let failure = ada
        .call("delegate_task", json!({ "workspace_id": child.id, "task": "x" }))
        .await
        .unwrap_err();
    assert!(failure.contains("cannot communicate"), "{failure}");
}

#[tokio::test]
async fn the_same_task_is_never_sent_twice_while_it_is_outstanding() {
    let world = World::new().await;
    let (a, b) = (world.workspace("a").await, world.workspace("b").await);
    let (ada, bob) = (world.online(&a).await, world.online(&b).await);
    let arguments = json!({ "workspace_id": b.id, "task": "once only" });
    let first = ada.call("delegate_task_async", arguments.clone()).await.unwrap();
    let second = ada.call("delegate_task_async", arguments).await.unwrap();
    assert_eq!(first["delegation_id"], second["delegation_id"]);
    let anew = json!({ "workspace_id": b.id, "task": "once only", "request_id": "again" });
    let third = ada.call("delegate_task_async", anew).await.unwrap();
    assert_ne!(first["delegation_id"], third["delegation_id"]);
    for _ in 0..2 {
        assert_eq!(next_message(&bob).await["text"], "once only");
    }
    assert_eq!(world.requests("delegate").await.len(), 2);
}

#[tokio::test]
async fn a_delegation_whose_answer_was_cut_off_is_repeated_with_the_same_key() {
    let world = World::new().await;
    let (a, b) = (world.workspace("a").await, world.workspace("b").await);
    let (ada, bob) = (world.online(&a).await, world.online(&b).await);
    world
        .fault(json!({ "route": "delegate", "times": 1, "truncate": 5 }))
        .await;
    let handle = ada
        .call("delegate_task_async", json!({ "workspace_id": b.id, "task": "once" }))
        .await
        .unwrap();
    assert!(handle["delegation_id"].is_string(), "{handle}");
    assert_eq!(next_message(&bob).await["text"], "once");
    assert_eq!(world.requests("delegate").await.len(), 2);
    let rows = world
        .ok(
            reqwest::Method::GET,
            &format!("/workspaces/{}/activity?type=a2a_receive", b.id),
            Some(&b.token),
            None,
        )
        .await;
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
}

#[tokio::test]
async fn an_accepted_delegation_survives_the_death_of_its_process() {
    let world = World::new().await;
    let (a, b) = (world.workspace("a").await, world.workspace("b").await);
    let (mut ada, bob) = (world.online(&a).await, world.online(&b).await);
    // Delegations do not get through yet.
    world
        .fault(json!({ "route": "delegate", "status": 503, "body": { "error": "platform datastore unavailable" } }))
        .await;
    let _ = ada.begin(
        "tools/call",
        json!({ "name": "delegate_task", "arguments": { "workspace_id": b.id, "task": "outlive me" } }),
    );
    until("it was attempted", || async {
        !world.requests("delegate").await.is_empty()
    })
    .await;
    ada.kill().await.unwrap();
    world.no_faults().await;
    let ada = world.daemon(&a).await;
    let task = next_message(&bob).await;
    assert_eq!(task["text"], "outlive me");
    bob.call(
        "reply_to_message",
        json!({ "activity_id": task["activity_id"], "text": "you did not" }),
    )
    .await
    .unwrap();
    assert_eq!(next_message(&ada).await["text"], "you did not");
}

#[tokio::test]
async fn sixteen_calls_run_side_by_side() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    world.fault(json!({ "route": "peers", "delay_ms": 500 })).await;
    let begun = Instant::now();
    let answers: Vec<_> = (0..16)
        .map(|_| {
            daemon
                .begin("tools/call", json!({ "name": "list_peers", "arguments": {} }))
                .1
        })
        .collect();
    for answer in answers {
        let answer: Value = answer.await.unwrap();
        assert_ne!(answer["result"]["isError"], json!(true), "{answer}");
    }
    // One after the other would take 8 s; the bound leaves room for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}
