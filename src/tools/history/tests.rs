use serde_json::{Value, json};

use crate::mcp::answer::RESULT_LIMIT;
use crate::state::journal::Batch;
use crate::state::message::Kind;
use crate::state::outbox::{Change, Enqueued, Progress, Work};
use crate::tools::message::sample;
use crate::tools::testing::{Answered, OWN, PEER, Reply, World};
use crate::types::{ActivityId, PeerId, Timestamp};

const OTHER: &str = "5f0c1d2e-0000-4000-8000-000000000003";

fn message_row(id: &str, text: &str, at: &str) -> Value {
    json!({ "id": id, "activity_type": "a2a_receive", "source_id": PEER, "target_id": OWN, "method": "message/send",
        "status": "ok", "created_at": at, "summary": "s", "peer_name": "Bob", "request_body": { "params": { "message": {
            "messageId": "m", "parts": [{ "kind": "text", "text": text }] } } } })
}

fn order_row(delegation: &str, task: &str, at: &str) -> Value {
    json!({ "id": "r", "activity_type": "delegation", "method": "delegate", "source_id": OWN, "target_id": PEER,
        "status": "completed", "created_at": at, "request_body": { "task": task, "delegation_id": delegation } })
}

fn texts(answered: &Answered) -> Vec<&str> {
    let entries = answered.body["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_conversation_with_a_peer_is_read_from_the_platform_oldest_first() {
    let rows = json!([
        { "id": "n", "activity_type": "agent_log", "source_id": OWN, "target_id": PEER, "created_at": "2026-05-01T10:00:09Z" },
        message_row("a-2", "42", "2026-05-01T10:00:02Z"),
        { "id": "d", "activity_type": "delegation", "method": "delegate_result", "source_id": OWN, "target_id": PEER,
          "status": "completed", "created_at": "2026-05-01T10:00:01.5Z", "summary": "Delegation completed",
          "response_body": { "text": "the answer", "delegation_id": "d-1" } },
        order_row("d-1", "count", "2026-05-01T10:00:01Z"),
        message_row("a-1", "hello", "2026-05-01T10:00:00Z"),
        7,
    ]);
    let world = World::saying(200, &rows).await;
    let read = world
        .call(
            "chat_history",
            json!({ "peer_id": PEER, "limit": 50, "before_ts": "2026-05-01T10:00:05Z" }),
        )
        .await;
    assert_eq!(
        world.asked_once().0,
        format!(
            "GET /workspaces/{OWN}/activity?peer_id={PEER}&limit=51&before_ts=2026-05-01T10%3A00%3A05.000000Z\
             &include=peer_info"
        )
    );
    assert_eq!(texts(&read), ["hello", "count", "the answer", "42"]);
    assert_eq!(
        read.body["entries"][1],
        json!({ "said": "sent", "kind": "delegation", "peer_id": PEER, "text": "count", "status": "completed",
            "created_at": "2026-05-01T10:00:01.000000Z", "delegation_id": "d-1" })
    );
    let last = &read.body["entries"][3];
    assert_eq!(
        (&last["said"], &last["kind"], &last["activity_id"], &last["peer_name"]),
        (&json!("received"), &json!("peer_agent"), &json!("a-2"), &json!("Bob"))
    );
    assert_eq!(read.body["source"], "platform");
    assert!(read.body.get("next_before_ts").is_none());
}

#[tokio::test]
async fn the_conversation_with_the_person_has_what_they_were_told() {
    let rows = json!([
        { "id": "e", "activity_type": "a2a_receive", "method": "notify", "source_id": null,
          "created_at": "2026-05-01T10:00:01Z", "response_body": { "result": "done" } },
        { "id": "p", "activity_type": "a2a_receive", "method": "message/send", "source_id": null,
          "created_at": "2026-05-01T10:00:00Z", "request_body": { "parts": [{ "kind": "text", "text": "do it" }] } },
    ]);
    let world = World::saying(200, &rows).await;
    let read = world.call("chat_history", json!({ "peer_id": "user" })).await;
    assert_eq!(
        world.asked_once().0,
        format!("GET /workspaces/{OWN}/activity?type=a2a_receive&source=canvas&limit=21&include=peer_info")
    );
    assert_eq!(texts(&read), ["do it", "done"]);
    assert_eq!(read.body["entries"][1]["kind"], "message_to_user");
}

async fn send(world: &World, work: Work) -> String {
    match world.context.journal.enqueue(work, None, None).await.unwrap() {
        Enqueued::New(item) => item.id,
        Enqueued::Existing(_) => panic!("it is new"),
    }
}

fn reply(text: &str) -> Work {
    Work::ReplyToPeer {
        target: PeerId::parse(PEER).unwrap(),
        text: text.to_owned(),
        in_reply_to: "m".to_owned(),
        delegation_id: None,
        context_id: None,
    }
}

#[tokio::test]
async fn what_was_sent_to_a_peer_is_put_in_from_this_computers_record() {
    let world = World::saying(200, &json!([message_row("a-1", "hello", "2026-05-01T10:00:00Z")])).await;
    let handle = send(&world, reply("hello yourself")).await;
    send(
        &world,
        Work::NotifyUser {
            text: "not here".to_owned(),
            parcel: None,
        },
    )
    .await;
    let read = world.call("chat_history", json!({ "peer_id": PEER })).await;
    assert_eq!(texts(&read), ["hello", "hello yourself"]);
    let sent = &read.body["entries"][1];
    assert_eq!(
        (
            &sent["said"],
            &sent["kind"],
            &sent["status"],
            &sent["handle"],
            &sent["in_reply_to"]
        ),
        (
            &json!("sent"),
            &json!("reply"),
            &json!("pending"),
            &json!(handle),
            &json!("m")
        )
    );
}

#[tokio::test]
async fn the_pages_of_a_conversation_skip_nothing() {
    // Three rows of one instant stand across the edge of the first page.
    let all: Vec<Value> = (0..9)
        .map(|n| {
            message_row(
                &format!("a-{n}"),
                &format!("t{n}"),
                &format!("2026-05-01T10:00:0{}Z", 9 - n / 3),
            )
        })
        .collect();
    let world = World::answering(vec![
        Reply::json(200, &json!(all[..6]).to_string()),
        Reply::json(200, &json!(all[3..9]).to_string()),
        Reply::json(200, &json!(all[6..]).to_string()),
    ])
    .await;
    let first = world.call("chat_history", json!({ "peer_id": PEER, "limit": 5 })).await;
    assert_eq!(texts(&first), ["t2", "t1", "t0"]);
    assert_eq!(first.body["next_before_ts"], "2026-05-01T10:00:08.000001Z");
    let next = json!({ "peer_id": PEER, "limit": 5, "before_ts": first.body["next_before_ts"] });
    let second = world.call("chat_history", next).await;
    assert_eq!(texts(&second), ["t5", "t4", "t3"]);
    let next = json!({ "peer_id": PEER, "limit": 5, "before_ts": second.body["next_before_ts"] });
    let third = world.call("chat_history", next).await;
    assert_eq!(texts(&third), ["t8", "t7", "t6"]);
    assert!(third.body.get("next_before_ts").is_none());
}

#[tokio::test]
async fn a_platform_that_knows_no_partners_and_no_times_is_filtered_here() {
    let mut foreign = message_row("a-3", "from another", "2026-05-01T10:00:03Z");
    foreign["source_id"] = json!(OTHER);
    let rows = json!([
        foreign,
        message_row("a-2", "too new", "2026-05-01T10:00:02Z"),
        message_row("a-1", "hello", "2026-05-01T10:00:00Z")
    ]);
    let world = World::saying(200, &rows).await;
    let read = world
        .call(
            "chat_history",
            json!({ "peer_id": PEER, "before_ts": "2026-05-01T10:00:02Z" }),
        )
        .await;
    assert_eq!(texts(&read), ["hello"]);
}

#[tokio::test]
async fn offline_the_record_is_read_and_searched_and_the_platform_is_not_asked() {
    let world = World::saying(500, &json!({})).await;
    let messages = [
        ("a-1", "the build failed"),
        ("a-2", "the build is green"),
        ("a-3", "lunch?"),
    ];
    let batch = Batch {
        messages: messages
            .iter()
            .zip(1..)
            .map(|((id, text), second)| {
                let mut message = sample(Kind::PeerAgent, text).message;
                message.activity_id = ActivityId::parse(id).unwrap();
                message.peer_id = PEER.to_owned();
                message.message_id = None;
                message.at = Timestamp(second * 1_000_000);
                message
            })
            .collect(),
        ..Batch::default()
    };
    world.context.journal.commit(batch).await.unwrap();
    send(&world, reply("rebuild it")).await;
    let call = async |arguments: Value| world.call("chat_history", arguments).await;
    let all = call(json!({ "peer_id": PEER, "offline": true })).await;
    assert_eq!(
        texts(&all),
        ["the build failed", "the build is green", "lunch?", "rebuild it"]
    );
    assert_eq!(
        (&all.body["source"], &all.body["entries"][0]["state"]),
        (&json!("journal"), &json!("new"))
    );
    assert_eq!(
        texts(&call(json!({ "query": "BUILD gre" })).await),
        ["the build is green"]
    );
    let page = call(json!({ "offline": true, "limit": 2 })).await;
    assert_eq!(texts(&page), ["lunch?", "rebuild it"]);
    let older = call(json!({ "offline": true, "before_ts": page.body["next_before_ts"] })).await;
    assert_eq!(texts(&older), ["the build failed", "the build is green"]);
    let none = call(json!({ "query": "zebra" })).await;
    assert!(!none.failed && none.body["note"].is_string());
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn long_conversations_come_in_results_that_fit() {
    let rows: Vec<Value> = (0..200)
        .map(|n| {
            let at = Timestamp(1_780_000_000_000_000 - n * 1_000_000).to_rfc3339();
            message_row(&format!("a-{n}"), &format!("{n} {}", "\u{1}x".repeat(5_000)), &at)
        })
        .collect();
    let world = World::saying(200, &json!(rows)).await;
    let read = world
        .call("chat_history", json!({ "peer_id": PEER, "limit": 500 }))
        .await;
    assert!(!read.failed && read.body.to_string().len() < RESULT_LIMIT);
    let shown = texts(&read);
    assert!(
        shown.len() > 50 && shown.last().unwrap().starts_with("0 "),
        "{}",
        shown.len()
    );
    assert_eq!(read.body["entries"][0]["text_truncated"], true);
    let oldest: Timestamp = Timestamp::parse(read.body["entries"][0]["created_at"].as_str().unwrap()).unwrap();
    assert_eq!(
        read.body["next_before_ts"],
        json!(oldest.plus_micros(-1_000_000 + 1).to_rfc3339())
    );
}

#[tokio::test]
async fn bad_arguments_cause_no_request_and_an_absent_platform_points_to_the_record() {
    let world = World::saying(200, &json!([])).await;
    for arguments in [
        json!({ "peer_id": "bob" }),
        json!({ "peer_id": "" , "before_ts": "yesterday" }),
        json!({ "before_ts": "yesterday" }),
        json!({ "query": "?!" }),
        json!({ "source_workspace_id": PEER }),
        json!({ "limit": "many" }),
    ] {
        let refused = world.call("chat_history", arguments.clone()).await;
        assert_eq!(refused.code(), "INVALID_ARGUMENT", "{arguments}");
    }
    assert!(world.asked().is_empty());

    let world = World::saying(400, &json!({ "error": "peer_id must be a UUID" })).await;
    let refused = world.call("chat_history", json!({ "peer_id": PEER })).await;
    assert!(
        refused.body["detail"]
            .as_str()
            .unwrap()
            .contains("peer_id must be a UUID")
    );
    let world = World::saying(503, &json!({ "error": "platform datastore unavailable" })).await;
    let refused = world.call("chat_history", json!({})).await;
    assert!(refused.body["hint"].as_str().unwrap().contains("offline: true"));
}

#[tokio::test]
async fn a_delegation_is_one_thread_with_its_state_by_either_of_its_names() {
    let world = World::saying(500, &json!({})).await;
    let journal = &world.context.journal;
    let task = Work::Delegate {
        target: PeerId::parse(PEER).unwrap(),
        task: "count the crates".to_owned(),
    };
    let handle = send(&world, task).await;
    let accepted = Change {
        progress: Some(Progress::Delivered),
        delegation_id: Some("d-7".to_owned()),
        ..Change::default()
    };
    journal.record(&handle, accepted).await.unwrap();
    let says = |name: &str, text: &str, about: Option<&str>| {
        let mut message = sample(Kind::PeerAgent, text).message;
        message.activity_id = ActivityId::parse(name).unwrap();
        message.peer_id = PEER.to_owned();
        message.delegation_id = about.map(str::to_owned);
        message.reply_expected = Some(false);
        message.message_id = None;
        // By a clock that is behind ours.
        message.at = Timestamp::now().plus_micros(-60_000_000);
        message
    };
    let before = world.call("chat_history", json!({ "delegation_id": "d-7" })).await;
    assert_eq!(texts(&before), ["count the crates"]);
    assert_eq!(before.body["delegation"]["status"], "delivered");
    let messages = vec![says("a-1", "17", Some("d-7")), says("a-2", "unrelated", Some("d-8"))];
    let batch = Batch {
        messages,
        ..Batch::default()
    };
    journal.commit(batch).await.unwrap();
    for id in ["d-7", handle.as_str()] {
        let thread = world.call("chat_history", json!({ "delegation_id": id })).await;
        assert_eq!(texts(&thread), ["count the crates", "17"], "{id}");
        let delegation = &thread.body["delegation"];
        assert_eq!(
            (&delegation["status"], &delegation["handle"], &delegation["activity_id"]),
            (&json!("answered"), &json!(handle), &json!("a-1"))
        );
        assert!(delegation.get("text").is_none(), "it stands below");
    }
    let unknown = world.call("chat_history", json!({ "delegation_id": "d-9" })).await;
    assert!(texts(&unknown).is_empty() && unknown.body["note"].as_str().unwrap().contains("check_task_status"));
    let both = json!({ "delegation_id": "d-7", "query": "crates" });
    assert_eq!(world.call("chat_history", both).await.code(), "INVALID_ARGUMENT");
    assert!(world.asked().is_empty(), "no platform is needed");
}
