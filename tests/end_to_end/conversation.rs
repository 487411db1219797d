//! Delegation and replies between real daemons, both in poll mode.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use super::support::{Workspace, World, inbox_is_empty, next_message, pop, start, until};

/// A peer that the platform calls; it answers everything alike, as soon as `may_answer` says so.
async fn called_peer(
    world: &World,
    name: &str,
    may_answer: watch::Receiver<bool>,
    status: u16,
    body: Value,
) -> Workspace {
    let peer = world.workspace(name).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
    let body = body.to_string();
    let head = "content-type: application/json\r\nconnection: close";
    let answer = format!(
        "HTTP/1.1 {status} X\r\n{head}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, mut may_answer) = (answer.clone(), may_answer.clone());
            tokio::spawn(async move {
                let mut request = vec![0; 65_536];
                let _ = stream.read(&mut request).await;
                let _ = may_answer.wait_for(|may| *may).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    let card = json!({ "name": name });
    let register = json!({ "id": peer.id, "url": url, "agent_card": card, "delivery_mode": "push" });
    world
        .ok(Method::POST, "/registry/register", Some(&peer.token), Some(register))
        .await;
    peer
}

fn at_once() -> watch::Receiver<bool> {
    watch::channel(true).1
}

/// What an agent answers to a call.
fn spoken(text: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": "1", "result": { "kind": "message", "parts": [{ "kind": "text", "text": text }] } })
}

/// Puts `child` where `a` cannot reach it: the platform takes a delegation and fails it at once.
async fn out_of_reach(world: &World, a: &Workspace) -> Workspace {
    let parent = world.workspace("parent").await;
    let child = world.workspace("child").await;
    let other = world.workspace("other").await;
    for (who, under) in [(&child, &parent), (a, &other)] {
        let (path, body) = (format!("/workspaces/{}", who.id), json!({ "parent_id": under.id }));
        world.ok(Method::PATCH, &path, Some(&who.token), Some(body)).await;
    }
    child
}

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
    let child = out_of_reach(&world, &a).await;
    let failure = ada
        .call("delegate_task", json!({ "workspace_id": child.id, "task": "x" }))
        .await
        .unwrap_err();
    assert!(failure.contains("cannot communicate"), "{failure}");
    assert!(inbox_is_empty(&ada).await, "what a call told is not told again");
}

#[tokio::test]
async fn a_delegation_that_took_effect_and_failed_is_not_sent_anew() {
    let world = World::new().await;
    let a = world.workspace("a").await;
    let ada = world.online(&a).await;
    let child = out_of_reach(&world, &a).await;
    // The platform does the work, then the connection breaks; it forgets the key of a delegation that failed.
    world
        .fault(json!({ "route": "delegate", "times": 1, "truncate": 5 }))
        .await;
    let failure = ada
        .call("delegate_task", json!({ "workspace_id": child.id, "task": "x" }))
        .await
        .unwrap_err();
    assert!(failure.contains("cannot communicate"), "{failure}");
    assert_eq!(world.requests("delegate").await.len(), 1);
}

#[tokio::test]
async fn two_equal_replies_to_the_person_are_two_messages_even_when_one_is_refused_first() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    for question in ["first?", "second?"] {
        world.say(&workspace, question).await;
        let message = next_message(&daemon).await;
        let reply = json!({ "activity_id": message["activity_id"], "text": "done" });
        let replied = daemon.call("reply_to_message", reply).await.unwrap();
        assert_eq!(replied["acknowledged"], json!(true), "{replied}");
        // Nothing is stored for the next one.
        world
            .fault(json!({ "route": "notify", "times": 1, "status": 500, "body": {} }))
            .await;
    }
    assert_eq!(world.told(&workspace).await, ["done", "done"]);
}

#[tokio::test]
async fn a_reply_to_the_person_whose_answer_was_lost_is_told_once() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    for text in ["done", "done"] {
        world
            .fault(json!({ "route": "notify", "times": 1, "after": true, "drop": true }))
            .await;
        daemon
            .call("send_message_to_user", json!({ "message": text }))
            .await
            .unwrap();
    }
    assert_eq!(world.told(&workspace).await, ["done", "done"]);
}

#[tokio::test]
async fn an_answer_that_comes_after_the_call_gave_up_arrives_in_the_inbox() {
    for (status, body, expected) in [
        (200, spoken("late but here"), (Value::Null, "late but here")),
        (
            500,
            json!({ "error": "out of memory" }),
            (json!("error"), "out of memory"),
        ),
    ] {
        let world = World::new().await;
        let a = world.workspace("a").await;
        let mut command = world.command(&a);
        command.env("DELEGATION_TIMEOUT", "1");
        let ada = start(command).await;
        let (answers, may_answer) = watch::channel(false);
        let peer = called_peer(&world, "called", may_answer, status, body).await;
        let task = json!({ "workspace_id": peer.id, "task": "think hard" });
        let early = ada.call("delegate_task", task).await.unwrap();
        answers.send_replace(true);
        assert!(early["delegation_id"].is_string() && early["text"].is_null(), "{early}");
        let message = next_message(&ada).await;
        assert_eq!(message["kind"], "delegation_result", "{message}");
        assert_eq!(message["delegation_id"], early["delegation_id"]);
        assert_eq!((message["status"].clone(), message["text"].as_str().unwrap()), expected);
        let answers = json!({ "handle": early["handle"], "delegation_id": early["delegation_id"], "task": "think hard",
            "certain": true });
        assert_eq!(message["answers"], answers);
        let popped = json!({ "activity_id": message["activity_id"] });
        assert_eq!(ada.call("inbox_pop", popped).await.unwrap()["removed"], json!(true));
        assert!(inbox_is_empty(&ada).await);
    }
}

#[tokio::test]
async fn an_answer_that_the_call_returned_does_not_also_wait_in_the_inbox() {
    let world = World::new().await;
    let a = world.workspace("a").await;
    let ada = world.online(&a).await;
    let peer = called_peer(&world, "called", at_once(), 200, spoken("42")).await;
    let task = json!({ "workspace_id": peer.id, "task": "add" });
    let answer = ada.call("delegate_task", task).await.unwrap();
    assert_eq!(
        (answer["status"].as_str(), answer["text"].as_str()),
        (Some("answered"), Some("42"))
    );
    assert!(inbox_is_empty(&ada).await);
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
async fn a_delegation_whose_answer_was_cut_off_is_found_and_not_repeated() {
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
    assert_eq!(world.requests("delegate").await.len(), 1);
    let rows = world
        .ok(
            Method::GET,
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
    world.fault(json!({ "route": "peers", "delay_ms": 2000 })).await;
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
    // One after the other would take 32 s; the bound leaves room for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(16), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_daemon_that_neither_beats_nor_receives_still_learns_what_became_of_its_delegations() {
    let world = World::new().await;
    let (a, b) = (world.workspace("a").await, world.workspace("b").await);
    let mut command = world.command(&a);
    command
        .env("MOLECULE_MCP_DISABLE_HEARTBEAT", "1")
        .env("MOLECULE_MCP_DISABLE_INBOX", "1")
        .env("DELEGATION_TIMEOUT", "20");
    let ada = start(command).await;
    let peer = called_peer(&world, "called", at_once(), 200, spoken("42")).await;
    let task = json!({ "workspace_id": peer.id, "task": "add" });
    let answer = ada.call("delegate_task", task).await.unwrap();
    assert_eq!(
        (answer["status"].as_str(), answer["text"].as_str()),
        (Some("answered"), Some("42"))
    );
    let task = json!({ "workspace_id": b.id, "task": "fetch water" });
    let given = ada.call("delegate_task_async", task).await.unwrap();
    assert_eq!(given["health"][0]["code"], "INBOX_OFF", "{given}");
    assert!(
        !given["next_step"].as_str().unwrap().contains("wait_for_message"),
        "{given}"
    );
}

#[tokio::test]
async fn a_delegation_that_failed_may_be_given_again_at_once() {
    let world = World::new().await;
    let a = world.workspace("a").await;
    let ada = world.online(&a).await;
    let child = out_of_reach(&world, &a).await;
    let task = json!({ "workspace_id": child.id, "task": "x" });
    for _ in 0..2 {
        ada.call("delegate_task", task.clone()).await.unwrap_err();
    }
    assert_eq!(world.requests("delegate").await.len(), 2);
}

#[tokio::test]
async fn a_target_that_was_removed_gets_nothing_even_when_the_first_look_fails() {
    let world = World::new().await;
    let (a, b) = (world.workspace("a").await, world.workspace("b").await);
    let ada = world.online(&a).await;
    world.delete(&b).await;
    // More often than a reading call repeats itself.
    world
        .fault(json!({ "route": "get_workspace", "workspace": b.id, "times": 3, "status": 500, "body": {} }))
        .await;
    let failure = ada
        .call("delegate_task", json!({ "workspace_id": b.id, "task": "x" }))
        .await
        .unwrap_err();
    assert!(
        failure.contains("DELEGATION_FAILED") && failure.contains("nothing was sent"),
        "{failure}"
    );
    assert!(world.requests("delegate").await.is_empty());
}

#[tokio::test]
async fn a_peer_that_answers_a_reply_with_an_error_has_received_it() {
    let world = World::new().await;
    let a = world.workspace("a").await;
    let ada = world.online(&a).await;
    let refusal = json!({ "jsonrpc": "2.0", "id": "1", "error": { "code": -32603, "message": "out of memory" } });
    let peer = called_peer(&world, "called", at_once(), 200, refusal).await;
    world
        .rows(
            &a,
            json!({ "id": "5f0c1d2e-0000-4000-8000-00000000000a", "source_id": peer.id, "request_body": {
        "params": { "message": { "messageId": "q-1", "parts": [{ "kind": "text", "text": "how many?" }] } } } }),
        )
        .await;
    let question = next_message(&ada).await;
    let reply = json!({ "activity_id": question["activity_id"], "text": "seventeen" });
    let failure = ada.call("reply_to_message", reply).await.unwrap_err();
    assert!(
        failure.contains("PEER_ERROR") && failure.contains("the peer received it"),
        "{failure}"
    );
    assert!(!failure.contains("send it again"), "{failure}");
}

#[tokio::test]
async fn replies_that_come_late_are_one_thread_with_the_task_on_both_sides() {
    let world = World::new().await;
    let (a, b) = (world.workspace("a").await, world.workspace("b").await);
    let mut command = world.command(&a);
    command.env("DELEGATION_TIMEOUT", "1");
    let (ada, bob) = (start(command).await, world.online(&b).await);
    let order = json!({ "workspace_id": b.id, "task": "count the crates" });
    let early = ada.call("delegate_task", order).await.unwrap();
    assert!(early["delegation_id"].is_string() && early["text"].is_null(), "{early}");
    let task = next_message(&bob).await;
    for (text, also_pop) in [("half are done", false), ("seventeen", true)] {
        let reply = json!({ "activity_id": task["activity_id"], "text": text, "also_pop": also_pop });
        bob.call("reply_to_message", reply).await.unwrap();
    }
    let mut answers = Vec::new();
    while answers.len() < 2 {
        let message = next_message(&ada).await;
        assert_eq!(message["answers"]["handle"], early["handle"], "{message}");
        assert_eq!(message["answers"]["certain"], true);
        answers.push(message["text"].as_str().unwrap().to_owned());
        pop(&ada, &message).await;
    }
    assert_eq!(answers, ["half are done", "seventeen"]);
    let texts = |thread: &Value| {
        let entries = thread["entries"].as_array().unwrap().iter();
        entries
            .map(|entry| entry["text"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let whole = ["count the crates", "half are done", "seventeen"];
    for id in [&early["handle"], &early["delegation_id"]] {
        let thread = ada.call("chat_history", json!({ "delegation_id": id })).await.unwrap();
        assert_eq!(texts(&thread), whole, "{thread}");
        assert_eq!(thread["delegation"]["status"], "answered");
    }
    let id = &early["delegation_id"];
    let thread = bob.call("chat_history", json!({ "delegation_id": id })).await.unwrap();
    assert_eq!(texts(&thread), whole, "{thread}");
    assert!(
        thread["delegation"].is_null() && thread["entries"][2]["status"] == "accepted",
        "{thread}"
    );
}

#[tokio::test]
async fn a_plain_message_of_an_older_daemon_is_marked_as_what_it_may_answer_and_settles_nothing() {
    let world = World::new().await;
    let (a, b) = (world.workspace("a").await, world.workspace("b").await);
    let ada = world.online(&a).await;
    let order = json!({ "workspace_id": b.id, "task": "count the crates" });
    let given = ada.call("delegate_task_async", order).await.unwrap();
    let plain = |text: &str| {
        json!({ "source_id": b.id, "method": "message/send", "request_body": { "params": { "message": {
            "messageId": text, "role": "user", "parts": [{ "kind": "text", "text": text }] } } } })
    };
    world.rows(&a, plain("17, I think")).await;
    let message = next_message(&ada).await;
    assert_eq!(message["kind"], "peer_agent");
    assert_eq!(message["maybe_reply_to"], given["delegation_id"]);
    assert_eq!(
        message["answers"],
        json!({ "handle": given["handle"], "delegation_id": given["delegation_id"], "task": "count the crates",
            "certain": false })
    );
    let thread = ada
        .call("chat_history", json!({ "delegation_id": given["handle"] }))
        .await
        .unwrap();
    assert_eq!(thread["entries"][1]["maybe_reply_to"], given["delegation_id"]);
    assert_ne!(thread["delegation"]["status"], "answered");
}
