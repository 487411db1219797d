//! Conversations read back: both sides, from the platform and from this computer's record.

use serde_json::{Value, json};

use super::support::{World, drain, inbox_is_empty, next_message, pop, start};

fn said(history: &Value) -> Vec<(String, String)> {
    let entries = history["entries"].as_array().unwrap();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    entries
        .iter()
        .map(|entry| (text(entry, "said"), text(entry, "text")))
        .collect()
}

fn expected(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines
        .iter()
        .map(|(side, text)| ((*side).to_owned(), (*text).to_owned()))
        .collect()
}

#[tokio::test]
async fn the_conversation_with_the_person_is_the_same_from_both_places() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    world.say(&workspace, "how many crates?").await;
    let message = next_message(&daemon).await;
    let reply = json!({ "activity_id": message["activity_id"], "text": "seventeen crates" });
    daemon.call("reply_to_message", reply).await.unwrap();
    world.say(&workspace, "thank you").await;
    assert_eq!(drain(&daemon, 1).await, ["thank you"]);

    let lines = [
        ("received", "how many crates?"),
        ("sent", "seventeen crates"),
        ("received", "thank you"),
    ];
    for offline in [false, true] {
        let arguments = json!({ "peer_id": "user", "offline": offline });
        let history = daemon.call("chat_history", arguments).await.unwrap();
        assert_eq!(said(&history), expected(&lines), "offline {offline}: {history}");
    }
    let found = daemon.call("chat_history", json!({ "query": "crates" })).await.unwrap();
    assert_eq!(said(&found), expected(&lines[..2]));
}

#[tokio::test]
async fn the_record_outlives_the_process_and_needs_no_platform() {
    let mut world = World::new().await;
    let (a, b) = (world.workspace("a").await, world.workspace("b").await);
    let (ada, bob) = (world.online(&a).await, world.online(&b).await);
    let task = json!({ "workspace_id": b.id, "task": "count the crates" });
    ada.call("delegate_task_async", task).await.unwrap();
    let task = next_message(&bob).await;
    let reply = json!({ "activity_id": task["activity_id"], "text": "seventeen" });
    bob.call("reply_to_message", reply).await.unwrap();
    assert_eq!(drain(&ada, 1).await, ["seventeen"]);
    let online = bob.call("chat_history", json!({ "peer_id": a.id })).await.unwrap();
    assert_eq!(
        said(&online),
        expected(&[("received", "count the crates"), ("sent", "seventeen")]),
        "{online}"
    );
    drop(ada);
    world.go_down().await;

    let ada = start(world.command(&a)).await;
    let offline = json!({ "peer_id": b.id, "offline": true });
    let history = ada.call("chat_history", offline).await.unwrap();
    assert_eq!(
        said(&history),
        expected(&[("sent", "count the crates"), ("received", "seventeen")]),
        "{history}"
    );
    let failure = ada.call("chat_history", json!({ "peer_id": b.id })).await.unwrap_err();
    assert!(failure.contains("offline: true"), "{failure}");
}

#[tokio::test]
async fn a_message_that_was_answered_with_also_pop_false_stays_in_the_inbox() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    world.say(&workspace, "count the crates").await;
    let message = next_message(&daemon).await;
    let id = message["activity_id"].clone();
    let interim = json!({ "activity_id": id, "text": "on my way", "also_pop": false });
    let replied = daemon.call("reply_to_message", interim).await.unwrap();
    assert_eq!(
        (replied["status"].as_str(), &replied["acknowledged"]),
        (Some("accepted"), &json!(false))
    );
    assert!(!inbox_is_empty(&daemon).await);
    let last = json!({ "activity_id": id, "text": "seventeen" });
    let replied = daemon.call("reply_to_message", last).await.unwrap();
    assert_eq!(replied["acknowledged"], json!(true));
    assert!(inbox_is_empty(&daemon).await);
    assert_eq!(world.told(&workspace).await, ["on my way", "seventeen"]);
    assert_eq!(pop(&daemon, &message).await["removed"], json!(false));
}
