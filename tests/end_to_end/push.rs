//! News of the inbox that reach the client by themselves: pushed messages and resource updates.

use molecule_mcp::cli::demo::client::McpChild;
use serde_json::{Value, json};

use super::support::{Workspace, World, inbox_is_empty, next_message, pop, start, until};

pub const CHANNEL: &str = "notifications/claude/channel";

/// The notifications of one kind that the client got so far.
pub fn notes(daemon: &McpChild, method: &str) -> Vec<Value> {
    let lines = daemon.lines();
    let messages = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    messages.filter(|message| message["method"] == method).collect()
}

/// How often a text was pushed.
fn pushes(daemon: &McpChild, text: &str) -> usize {
    let channel = notes(daemon, CHANNEL);
    let told = |note: &&Value| {
        let content = note["params"]["content"].as_str().unwrap();
        content.lines().any(|line| line == text)
    };
    channel.iter().filter(told).count()
}

async fn claude(world: &World, workspace: &Workspace) -> McpChild {
    let mut command = world.command(workspace);
    command.env("CLAUDE_CODE", "1");
    start(command).await
}

#[tokio::test]
async fn a_message_is_pushed_again_and_again_until_it_is_acknowledged_and_stays_in_the_inbox() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    world.say(&workspace, "before the start").await;
    let daemon = claude(&world, &workspace).await;
    until("what waited is pushed", || async {
        pushes(&daemon, "before the start") > 0
    })
    .await;
    let note = &notes(&daemon, CHANNEL)[0]["params"];
    assert_eq!(
        (&note["meta"]["source"], &note["meta"]["kind"]),
        (&json!("molecule"), &json!("canvas_user"))
    );
    let peeked = daemon.call("inbox_peek", json!({})).await.unwrap();
    assert_eq!(peeked["messages"][0]["state"], "new");
    assert_eq!(peeked["messages"][0]["delivery_count"], 0);
    assert_eq!(peeked["messages"][0]["activity_id"], note["meta"]["activity_id"]);
    until("it is pushed again", || async {
        pushes(&daemon, "before the start") > 1
    })
    .await;

    let popped = pop(&daemon, &peeked["messages"][0]).await;
    assert_eq!(popped["removed"], true);
    let before = pushes(&daemon, "before the start");
    world.say(&workspace, "after").await;
    // Twice the pause after which the first one would have come again.
    until("the next one is pushed", || async { pushes(&daemon, "after") >= 3 }).await;
    assert_eq!(pushes(&daemon, "before the start"), before);
}

#[tokio::test]
async fn a_message_that_a_call_waits_for_is_not_pushed_as_well() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = claude(&world, &workspace).await;
    let (_, answer) = daemon.begin(
        "tools/call",
        json!({ "name": "wait_for_message", "arguments": { "timeout_secs": 60 } }),
    );
    world.say(&workspace, "awaited").await;
    let answer = answer.await.unwrap();
    let message = &answer["result"]["structuredContent"];
    assert_eq!(message["text"], "awaited");
    pop(&daemon, message).await;
    world.say(&workspace, "unawaited").await;
    until("the other one is pushed", || async { pushes(&daemon, "unawaited") > 0 }).await;
    assert_eq!(pushes(&daemon, "awaited"), 0);
}

#[tokio::test]
async fn a_client_that_takes_no_pushes_gets_none() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let (plain, claude) = (world.daemon(&workspace).await, claude(&world, &workspace).await);
    world.say(&workspace, "hello").await;
    until("the other client is told", || async { pushes(&claude, "hello") > 0 }).await;
    assert_eq!(pushes(&plain, "hello"), 0);
    let message = next_message(&claude).await;
    assert_eq!(message["text"], "hello");
    assert!(plain.lines().iter().all(|line| !line.contains("\"method\"")));
}

#[tokio::test]
async fn the_inbox_is_a_resource_whose_changes_are_told_to_those_who_ask() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let listed = daemon.request("resources/list", json!({})).await.unwrap();
    let uri = listed["result"]["resources"][0]["uri"].clone();
    assert_eq!(uri, "molecule://inbox");
    let subscribed = daemon
        .request("resources/subscribe", json!({ "uri": uri }))
        .await
        .unwrap();
    assert!(subscribed["result"].is_object(), "{subscribed}");
    let updates = || notes(&daemon, "notifications/resources/updated").len();
    world.say(&workspace, "hello").await;
    until("the change is told", || async { updates() > 0 }).await;

    let read = daemon.request("resources/read", json!({ "uri": uri })).await.unwrap();
    let shown: Value = serde_json::from_str(read["result"]["contents"][0]["text"].as_str().unwrap()).unwrap();
    let message = &shown["messages"][0];
    assert_eq!(message["text"], "hello");
    let one = format!("molecule://inbox/{}", message["activity_id"].as_str().unwrap());
    let read = daemon.request("resources/read", json!({ "uri": one })).await.unwrap();
    let text = read["result"]["contents"][0]["text"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(text).unwrap()["messages"][0]["text"],
        "hello"
    );

    let before = updates();
    pop(&daemon, message).await;
    until("its end is told, too", || async { updates() > before }).await;
    assert!(inbox_is_empty(&daemon).await);
    let unknown = daemon
        .request("resources/read", json!({ "uri": "molecule://inbox/none" }))
        .await;
    assert_eq!(unknown.unwrap()["error"]["code"], -32002);
}
