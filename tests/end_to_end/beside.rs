//! Requests and broadcasts: what level C puts where a reader of messages never looks.

use molecule_mcp::cli::demo::client::McpChild;
use molecule_mcp::local_platform::Level;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Workspace, World, inbox_is_empty, next_message, pop, start, until};

impl World {
    /// A workspace asks another one, or the person; the request's id.
    async fn ask_for(&self, from: &Workspace, to: Option<&Workspace>, kind: &str, title: &str) -> String {
        let mut body = json!({ "kind": kind, "recipient_type": "user", "title": title, "detail": "the detail" });
        if let Some(to) = to {
            body["recipient_type"] = json!("agent");
            body["recipient_id"] = json!(to.id);
        }
        let path = format!("/workspaces/{}/requests", from.id);
        let made = self.ok(Method::POST, &path, Some(&from.token), Some(body)).await;
        made["request_id"].as_str().unwrap().to_owned()
    }

    /// The person answers a request, whoever was asked.
    async fn decide(&self, request: &str, action: &str) {
        let path = format!("/requests/{request}/respond");
        let body = json!({ "action": action });
        self.ok(Method::POST, &path, Some(self.admin()), Some(body)).await;
    }

    /// A workspace writes below a request.
    async fn remark(&self, from: &Workspace, request: &str, text: &str) {
        let path = format!("/workspaces/{}/requests/{request}/messages", from.id);
        let body = json!({ "body": text, "author_type": "agent" });
        self.ok(Method::POST, &path, Some(&from.token), Some(body)).await;
    }

    async fn request(&self, of: &Workspace, request: &str) -> Value {
        let path = format!("/workspaces/{}/requests/{request}", of.id);
        self.ok(Method::GET, &path, Some(&of.token), None).await
    }

    /// A workspace tells everyone.
    async fn broadcast(&self, from: &Workspace, text: &str) {
        let abilities = format!("/workspaces/{}/abilities", from.id);
        let enabled = json!({ "broadcast_enabled": true });
        self.ok(Method::PATCH, &abilities, Some(self.admin()), Some(enabled))
            .await;
        let path = format!("/workspaces/{}/broadcast", from.id);
        let body = json!({ "message": text });
        self.ok(Method::POST, &path, Some(&from.token), Some(body)).await;
    }

    /// How often a daemon asked for broadcasts.
    async fn broadcast_reads(&self, workspace: &Workspace) -> usize {
        let reads = self.requests_with(&workspace.token, "activity").await;
        let asks = |entry: &&Value| {
            entry["query"]
                .as_str()
                .is_some_and(|query| query.contains("broadcast_receive"))
        };
        reads.iter().filter(asks).count()
    }

    /// How often a daemon asked what it is asked, in vain or not.
    async fn inbox_reads(&self, workspace: &Workspace) -> usize {
        let path = format!("/workspaces/{}/requests/inbox", workspace.id);
        self.log()
            .await
            .iter()
            .filter(|entry| entry["path"] == path.as_str())
            .count()
    }
}

const NO_STREAM: &str = "no stream";

/// From now on the stream cannot be opened.
async fn without_stream(world: &World) {
    world
        .fault(json!({ "route": "events", "status": 503, "body": NO_STREAM }))
        .await;
}

async fn refused(daemon: &McpChild, tool: &str, arguments: Value) -> String {
    daemon.call(tool, arguments).await.unwrap_err()
}

/// The messages of the inbox, without taking any.
async fn peek(daemon: &McpChild) -> Vec<Value> {
    let shown = daemon.call("inbox_peek", json!({ "limit": 50 })).await.unwrap();
    shown["messages"].as_array().unwrap().clone()
}

/// Everything that was acknowledged.
async fn done(daemon: &McpChild) -> Vec<Value> {
    let shown = daemon
        .call("inbox_peek", json!({ "state": "done", "limit": 50 }))
        .await
        .unwrap();
    shown["messages"].as_array().unwrap().clone()
}

/// A plain message that comes after everything before it was read.
async fn nothing_else_comes(world: &World, workspace: &Workspace, daemon: &McpChild) {
    let (reads, hearings) = (
        world.inbox_reads(workspace).await,
        world.broadcast_reads(workspace).await,
    );
    until("both lists were read again", || async {
        world.inbox_reads(workspace).await >= reads + 2 && world.broadcast_reads(workspace).await >= hearings + 2
    })
    .await;
    world.say(workspace, "the last").await;
    let last = next_message(daemon).await;
    assert_eq!(last["text"], json!("the last"), "{last}");
    assert_eq!(pop(daemon, &last).await["removed"], json!(true));
    assert!(inbox_is_empty(daemon).await, "{:?}", peek(daemon).await);
}

#[tokio::test]
async fn a_request_is_offered_answered_once_and_gone() {
    let world = World::at(Level::C).await;
    let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
    let daemon = world.online(&beta).await;
    let id = world.ask_for(&alpha, Some(&beta), "task", "count the crates").await;
    let message = next_message(&daemon).await;
    assert_eq!(
        (&message["kind"], &message["peer_id"], &message["text"]),
        (
            &json!("request"),
            &json!(alpha.id),
            &json!("count the crates\n\nthe detail")
        )
    );
    assert_eq!(
        message["request"],
        json!({ "request_id": id, "part": "question", "whose": "theirs", "kind": "task", "title": "count the crates",
            "status": "pending", "options": ["done", "rejected"] })
    );
    assert!(message["reply"].as_str().unwrap().starts_with("respond_request("));
    // A text is no decision.
    let reply = json!({ "activity_id": message["activity_id"], "text": "seventeen" });
    let told = refused(&daemon, "reply_to_message", reply).await;
    assert!(
        told.contains(&format!(
            "respond_request(request_id=\\\"{id}\\\", action=done or rejected)"
        )),
        "{told}"
    );
    let answer = json!({ "request_id": id, "action": "done", "message": "seventeen" });
    daemon.call("respond_request", answer).await.unwrap();
    assert!(inbox_is_empty(&daemon).await);
    assert_eq!(
        pop(&daemon, &message).await["removed"],
        json!(false),
        "it is acknowledged"
    );
    let thread = world.request(&alpha, &id).await;
    assert_eq!(
        (&thread["request"]["status"], &thread["messages"][0]["body"]),
        (&json!("done"), &json!("seventeen"))
    );
    daemon.close().await.unwrap();
}

#[tokio::test]
async fn a_request_that_was_answered_elsewhere_leaves_the_inbox_shown_or_not() {
    let world = World::at(Level::C).await;
    let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
    let daemon = world.online(&beta).await;
    let first = world.ask_for(&alpha, Some(&beta), "approval", "may I?").await;
    let shown = next_message(&daemon).await;
    assert_eq!(shown["request"]["options"], json!(["approved", "rejected"]));
    let second = world.ask_for(&alpha, Some(&beta), "task", "count").await;
    until("the second waits", || async { peek(&daemon).await.len() == 2 }).await;
    world.decide(&first, "approved").await;
    let taken_back = format!("/workspaces/{}/requests/{second}/cancel", alpha.id);
    world.ok(Method::POST, &taken_back, Some(&alpha.token), None).await;
    until("both are gone", || inbox_is_empty(&daemon)).await;
    let late = json!({ "request_id": first, "action": "rejected" });
    assert!(
        refused(&daemon, "respond_request", late)
            .await
            .contains("ALREADY_ANSWERED")
    );
    daemon.close().await.unwrap();
}

/// The answer to one of ours comes by three ways: an event, the list, and the platform's own note.
async fn is_told_once_how_ours_was_answered(world: World) {
    let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
    let daemon = world.online(&alpha).await;
    let ask = json!({ "kind": "task", "title": "count", "recipient_type": "agent", "recipient_id": beta.id });
    let made = daemon.call("create_request", ask).await.unwrap();
    let id = made["request_id"].as_str().unwrap();
    world.remark(&beta, id, "which ones?").await;
    let remark = next_message(&daemon).await;
    assert!(remark["text"].as_str().unwrap().contains("which ones?"), "{remark}");
    assert_eq!(
        (
            &remark["kind"],
            &remark["request"]["part"],
            &remark["request"]["whose"],
            &remark["request"]["request_id"]
        ),
        (&json!("system"), &json!("remark"), &json!("ours"), &json!(id))
    );
    let reply = json!({ "activity_id": remark["activity_id"], "text": "all" });
    let told = refused(&daemon, "reply_to_message", reply).await;
    assert!(told.contains("add_request_message(request_id="), "{told}");
    pop(&daemon, &remark).await;
    let answer = json!({ "action": "done" });
    let path = format!("/workspaces/{}/requests/{id}/respond", beta.id);
    world.ok(Method::POST, &path, Some(&beta.token), Some(answer)).await;
    let answer = next_message(&daemon).await;
    assert_eq!(
        (
            &answer["kind"],
            &answer["request"]["part"],
            &answer["request"]["status"],
            &answer["request"]["title"]
        ),
        (&json!("system"), &json!("answer"), &json!("done"), &json!("count"))
    );
    assert!(answer["request"].get("options").is_none() && answer["text"].as_str().unwrap().contains(&beta.id));
    pop(&daemon, &answer).await;
    // The platform's own notes of both come later, and are no news.
    let log = format!("/workspaces/{}/activity?type=a2a_receive&limit=100", alpha.id);
    until("the platform has told of both", || async {
        let rows = world.ok(Method::GET, &log, Some(&alpha.token), None).await.to_string();
        rows.contains("request-message:") && rows.contains(&format!("request-responded:{id}"))
    })
    .await;
    nothing_else_comes(&world, &alpha, &daemon).await;
    daemon.close().await.unwrap();
}

#[tokio::test]
async fn the_answer_to_ours_is_offered_once_however_many_ways_tell_of_it() {
    is_told_once_how_ours_was_answered(World::at(Level::C).await).await;
}

#[tokio::test]
async fn the_answer_to_ours_is_offered_once_without_a_stream() {
    let world = World::at(Level::C).await;
    without_stream(&world).await;
    is_told_once_how_ours_was_answered(world).await;
}

#[tokio::test]
async fn what_was_asked_back_is_replied_to_in_the_inbox() {
    let world = World::at(Level::C).await;
    let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
    let daemon = world.online(&beta).await;
    let id = world.ask_for(&alpha, Some(&beta), "task", "count").await;
    let question = next_message(&daemon).await;
    let back = json!({ "request_id": id, "body": "which ones?" });
    daemon.call("add_request_message", back).await.unwrap();
    assert_eq!(pop(&daemon, &question).await["removed"], json!(true));
    // The platform tells nobody of this.
    world.remark(&alpha, &id, "the wooden ones").await;
    let reply = next_message(&daemon).await;
    assert_eq!(
        (
            &reply["kind"],
            &reply["text"],
            &reply["peer_id"],
            &reply["request"]["part"],
            &reply["request"]["request_id"]
        ),
        (
            &json!("request"),
            &json!("the wooden ones"),
            &json!(alpha.id),
            &json!("remark"),
            &json!(id)
        )
    );
    daemon
        .call("respond_request", json!({ "request_id": id, "action": "done" }))
        .await
        .unwrap();
    assert!(inbox_is_empty(&daemon).await, "the reply is handled with its request");
    nothing_else_comes(&world, &beta, &daemon).await;
    daemon.close().await.unwrap();
}

#[tokio::test]
async fn a_broadcast_arrives_whole_when_it_is_heard_and_marked_when_it_is_not() {
    let world = World::at(Level::C).await;
    let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
    let daemon = world.online(&beta).await;
    until("the stream is open", || async {
        !world.requests_with(&beta.token, "events").await.is_empty()
    })
    .await;
    let long = format!("{} the end", "é".repeat(200));
    for text in [long.as_str(), "short: one"] {
        world.broadcast(&alpha, text).await;
        let message = next_message(&daemon).await;
        assert_eq!(
            (
                &message["kind"],
                &message["text"],
                &message["peer_id"],
                message.get("text_shortened")
            ),
            (&json!("broadcast"), &json!(text), &json!(alpha.id), None)
        );
        let reply = json!({ "activity_id": message["activity_id"], "text": "x" });
        assert!(
            refused(&daemon, "reply_to_message", reply)
                .await
                .contains("delegate_task")
        );
        assert_eq!(pop(&daemon, &message).await["removed"], json!(true));
    }
    daemon.close().await.unwrap();
    world.broadcast(&alpha, &long).await;
    world.broadcast(&alpha, "while you were away").await;
    let daemon = world.online(&beta).await;
    let mut came = [next_message(&daemon).await, next_message(&daemon).await];
    // The long one may have been waited for.
    came.sort_by_key(|message| message["text"].to_string());
    assert_eq!(
        (&came[0]["text"], came[0].get("text_shortened")),
        (&json!("while you were away"), None)
    );
    assert_eq!(
        (&came[1]["text"], &came[1]["text_shortened"]),
        (&json!(format!("{}…", "é".repeat(120))), &json!(true))
    );
    for message in &came {
        pop(&daemon, message).await;
    }
    nothing_else_comes(&world, &beta, &daemon).await;
    daemon.close().await.unwrap();
}

#[tokio::test]
async fn after_a_kill_what_was_shown_is_shown_again_and_what_was_acknowledged_is_not() {
    let world = World::at(Level::C).await;
    let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
    let mut daemon = world.online(&beta).await;
    let id = world.ask_for(&alpha, Some(&beta), "task", "count").await;
    world.broadcast(&alpha, "hear").await;
    let mut broadcast = next_message(&daemon).await;
    let mut request = next_message(&daemon).await;
    if broadcast["kind"] == "request" {
        std::mem::swap(&mut broadcast, &mut request);
    }
    assert_eq!(
        (&broadcast["text"], &request["request"]["request_id"]),
        (&json!("hear"), &json!(id))
    );
    pop(&daemon, &broadcast).await;
    daemon.kill().await.unwrap();

    let mut daemon = world.online(&beta).await;
    let again = next_message(&daemon).await;
    assert_eq!(
        (&again["activity_id"], &again["delivery_count"]),
        (&request["activity_id"], &json!(2))
    );
    // Put away without an answer: it stays open on the platform, and is not offered again.
    assert_eq!(pop(&daemon, &again).await["removed"], json!(true));
    daemon.kill().await.unwrap();

    let daemon = world.online(&beta).await;
    nothing_else_comes(&world, &beta, &daemon).await;
    let handled = done(&daemon).await;
    assert_eq!(handled.len(), 3, "a request, a broadcast and the last: {handled:?}");
    assert_eq!(world.request(&beta, &id).await["request"]["status"], json!("pending"));
    daemon.close().await.unwrap();
}

#[tokio::test]
async fn a_death_beside_the_commit_neither_loses_nor_repeats() {
    for point in ["beside:answered", "beside:committed"] {
        for nth in [1, 2] {
            let world = World::at(Level::C).await;
            let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
            let mut command = world.command(&beta);
            command.env("MOLECULE_TEST_CRASH_AT", format!("{point}:{nth}"));
            let mut doomed = start(command).await;
            let id = world.ask_for(&alpha, Some(&beta), "task", "count").await;
            world.broadcast(&alpha, "hear").await;
            let (status, _) = doomed.wait().await.unwrap();
            assert!(!status.success());
            let daemon = world.online(&beta).await;
            let mut came = [next_message(&daemon).await, next_message(&daemon).await];
            came.sort_by_key(|message| message["kind"].to_string());
            assert_eq!(
                (&came[0]["text"], &came[1]["request"]["request_id"]),
                (&json!("hear"), &json!(id)),
                "{point}:{nth}"
            );
            for message in &came {
                pop(&daemon, message).await;
            }
            nothing_else_comes(&world, &beta, &daemon).await;
            daemon.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn more_requests_than_the_platform_lists_are_all_offered() {
    let world = World::at(Level::C).await;
    let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
    let old = world.ask_for(&alpha, Some(&beta), "task", "the oldest").await;
    let mut answered = Vec::new();
    for n in 0..60 {
        answered.push(world.ask_for(&alpha, Some(&beta), "task", &format!("number {n}")).await);
    }
    for id in &answered {
        world.decide(id, "done").await;
    }
    let daemon = world.online(&beta).await;
    assert_eq!(next_message(&daemon).await["request"]["request_id"], json!(old));
    world.decide(&old, "done").await;
    until("it is gone", || inbox_is_empty(&daemon)).await;
    daemon.close().await.unwrap();
}

#[tokio::test]
async fn a_platform_without_requests_is_asked_once_and_never_complained_about() {
    let world = World::at(Level::B).await;
    let beta = world.workspace("beta").await;
    let daemon = world.online(&beta).await;
    until("many intervals have passed", || async {
        world.requests_with(&beta.token, "heartbeat").await.len() >= 20
    })
    .await;
    assert_eq!(world.inbox_reads(&beta).await, 1);
    assert_eq!(world.broadcast_reads(&beta).await, 0);
    let complaints = daemon.complaints();
    assert!(
        !complaints.contains("request") && !complaints.contains("broadcast"),
        "{complaints}"
    );
    daemon.close().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_beside_messages_is_said_and_made_good() {
    let world = World::at(Level::C).await;
    let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
    let daemon = world.online(&beta).await;
    world
        .fault(json!({ "route": "request_inbox", "status": 500, "body": { "error": "query failed" } }))
        .await;
    let id = world.ask_for(&alpha, Some(&beta), "task", "count").await;
    until("it is said", || async {
        let waited = daemon
            .call("wait_for_message", json!({ "timeout_secs": 0 }))
            .await
            .unwrap();
        waited["health"][0]["code"] == "PARTLY_DEAF"
    })
    .await;
    // Messages come all the same.
    world.say(&beta, "hello").await;
    let message = next_message(&daemon).await;
    assert_eq!(message["text"], json!("hello"));
    pop(&daemon, &message).await;
    world.no_faults().await;
    assert_eq!(next_message(&daemon).await["request"]["request_id"], json!(id));
    until("all is well", || async {
        daemon
            .call("inbox_peek", json!({}))
            .await
            .unwrap()
            .get("health")
            .is_none()
    })
    .await;
    daemon.close().await.unwrap();
}

#[tokio::test]
async fn a_follower_offers_and_answers_what_the_holder_read() {
    let world = World::at(Level::C).await;
    let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
    let holder = world.online(&beta).await;
    let follower = world.daemon(&beta).await;
    let id = world.ask_for(&alpha, Some(&beta), "task", "count").await;
    let message = next_message(&follower).await;
    assert_eq!(message["request"]["request_id"], json!(id));
    // Answered in the other session, which may not pop it.
    let answer = json!({ "request_id": id, "action": "done" });
    assert_eq!(pop(&holder, &message).await["removed"], json!(false));
    holder.call("respond_request", answer).await.unwrap();
    until("it is gone for both", || inbox_is_empty(&follower)).await;
    // What a follower asks is waited for by the holder.
    let ask = json!({ "kind": "approval", "title": "go?" });
    let made = follower.call("create_request", ask).await.unwrap();
    world.decide(made["request_id"].as_str().unwrap(), "approved").await;
    assert_eq!(next_message(&follower).await["request"]["status"], json!("approved"));
    follower.close().await.unwrap();
    holder.close().await.unwrap();
}
