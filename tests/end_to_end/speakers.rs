//! Who is speaking: the same in every place where a message is shown, and never in its way.

use molecule_mcp::cli::demo::client::McpChild;
use molecule_mcp::local_platform::Level;
use reqwest::Method;
use serde_json::{Value, json};

use super::push::{CHANNEL, notes};
use super::support::{Workspace, World, next_message, pop, start, until};

/// What a peer writes, as the platform keeps it.
fn row(from: &Workspace, text: &str) -> Value {
    json!({ "source_id": from.id, "method": "message/send", "request_body": {
        "params": { "message": { "parts": [{ "kind": "text", "text": text }] } } } })
}

/// Gives a workspace a name and a role that try to be more than that.
async fn call_it(world: &World, workspace: &Workspace, name: &str, role: &str) {
    let path = format!("/workspaces/{}", workspace.id);
    let body = json!({ "name": name, "role": role });
    world.ok(Method::PATCH, &path, Some(&workspace.token), Some(body)).await;
}

/// Name, role and card address.
fn speaker(shown: &Value) -> (Value, Value, Value) {
    (
        shown["peer_name"].clone(),
        shown["peer_role"].clone(),
        shown["agent_card_url"].clone(),
    )
}

/// How often the platform was asked who a peer is.
async fn questions(world: &World, peer: &Workspace) -> usize {
    let asked = world.requests("get_workspace").await;
    let path = format!("/workspaces/{}", peer.id);
    asked.iter().filter(|entry| entry["path"] == json!(path)).count()
}

#[tokio::test]
async fn a_peer_is_introduced_alike_in_the_inbox_the_push_and_the_resource() {
    for level in [Level::B, Level::C] {
        let world = World::at(level).await;
        let (alpha, peer) = (world.workspace("alpha").await, world.workspace("peer").await);
        call_it(&world, &peer, "Ada 'ops' #1; \u{202e}\u{1f600}", "harbour \"dock\"").await;
        let mut command = world.command(&alpha);
        command.env("CLAUDE_CODE", "1");
        let daemon = start(command).await;
        let text = "exactly <this>\u{202e} \"Ada\"";
        world.rows(&alpha, row(&peer, text)).await;
        until("it is pushed with a name", || async {
            let pushed = notes(&daemon, CHANNEL);
            pushed
                .iter()
                .any(|note| note["params"]["meta"]["peer_name"].is_string())
        })
        .await;
        let expected = (
            json!("Ada ops 1"),
            json!("harbour dock"),
            json!(format!("{}/registry/discover/{}", world.url(), peer.id)),
        );
        let pushed = notes(&daemon, CHANNEL).pop().unwrap();
        assert_eq!(speaker(&pushed["params"]["meta"]), expected, "{level:?}");
        let content = pushed["params"]["content"].as_str().unwrap();
        assert!(content.starts_with("Message from the peer workspace Ada ops 1 (harbour dock), peer_id"));
        assert!(content.contains(text));

        let peeked = daemon.call("inbox_peek", json!({})).await.unwrap();
        assert_eq!(speaker(&peeked["messages"][0]), expected);
        let read = daemon
            .request("resources/read", json!({ "uri": "molecule://inbox" }))
            .await;
        let read = read.unwrap()["result"]["contents"][0]["text"].clone();
        let read: Value = serde_json::from_str(read.as_str().unwrap()).unwrap();
        assert_eq!(speaker(&read["messages"][0]), expected);
        let taken = next_message(&daemon).await;
        assert_eq!((speaker(&taken), &taken["text"]), (expected, &json!(text)));
        let asked = questions(&world, &peer).await;
        assert_eq!(asked, usize::from(level == Level::B), "{level:?}");
    }
}

#[tokio::test]
async fn no_message_waits_for_a_name_and_who_was_not_told_is_asked_again_by_who_comes_next() {
    let world = World::new().await;
    let (alpha, peer) = (world.workspace("alpha").await, world.workspace("peer").await);
    let daemon = world.online(&alpha).await;
    world
        .fault(json!({ "route": "get_workspace", "workspace": peer.id, "silent": true }))
        .await;
    for n in 0..5 {
        world.rows(&alpha, row(&peer, &format!("m{n}"))).await;
        let message = next_message(&daemon).await;
        assert_eq!(message["text"], format!("m{n}"));
        assert_eq!(message["peer_name"], Value::Null);
        assert!(message["agent_card_url"].as_str().unwrap().ends_with(&peer.id));
        pop(&daemon, &message).await;
    }
    drop(daemon);
    world.no_faults().await;
    let daemon = world.online(&alpha).await;
    world.rows(&alpha, row(&peer, "again")).await;
    until("the name is known", || async { shown_name(&daemon).await == "peer" }).await;
    assert_eq!(questions(&world, &peer).await, 2);
}

async fn shown_name(daemon: &McpChild) -> Value {
    let peeked = daemon.call("inbox_peek", json!({})).await.unwrap();
    peeked["messages"][0]["peer_name"].clone()
}

#[tokio::test]
async fn a_peer_is_asked_about_once_whether_the_platform_says_who_it_is_or_not() {
    let world = World::new().await;
    let alpha = world.workspace("alpha").await;
    let (told, untold) = (world.workspace("told").await, world.workspace("untold").await);
    let daemon = world.online(&alpha).await;
    world
        .fault(json!({ "route": "get_workspace", "workspace": untold.id, "status": 503 }))
        .await;
    for peer in [&told, &untold] {
        world.rows(&alpha, row(peer, "first")).await;
        until("it is asked about", || async { questions(&world, peer).await == 1 }).await;
    }
    world.no_faults().await;
    // Another process, which takes over.
    drop(daemon);
    let daemon = world.online(&alpha).await;
    for n in 0..5 {
        for peer in [&untold, &told] {
            world.rows(&alpha, row(peer, &format!("m{n}"))).await;
        }
    }
    until("all are there", || async {
        let peeked = daemon.call("inbox_peek", json!({ "limit": 20 })).await.unwrap();
        peeked["counts"]["new"] == 12
    })
    .await;
    let peeked = daemon.call("inbox_peek", json!({ "limit": 20 })).await.unwrap();
    for message in peeked["messages"].as_array().unwrap() {
        let known = message["peer_id"] == json!(told.id);
        assert_eq!(message["peer_name"], if known { json!("told") } else { Value::Null });
    }
    for peer in [&told, &untold] {
        assert_eq!(questions(&world, peer).await, 1);
    }
}

#[tokio::test]
async fn messages_of_others_than_the_listed_senders_wait_in_the_inbox_and_are_not_pushed() {
    let world = World::new().await;
    let (alpha, friend) = (world.workspace("alpha").await, world.workspace("friend").await);
    let stranger = world.workspace("stranger").await;
    let mut command = world.command(&alpha);
    command
        .env("CLAUDE_CODE", "1")
        .env("MOLECULE_ALLOWED_SENDERS", &friend.id);
    let daemon = start(command).await;
    world.say(&alpha, "of the person").await;
    for n in 0..12 {
        world.rows(&alpha, row(&stranger, &format!("of a stranger {n}"))).await;
    }
    world.rows(&alpha, row(&friend, "of a friend")).await;
    let pushed = || {
        let notes = notes(&daemon, CHANNEL).into_iter();
        notes
            .map(|note| note["params"]["meta"]["peer_id"].clone())
            .collect::<Vec<_>>()
    };
    until("the friend's is pushed twice", || async { pushed().len() >= 2 }).await;
    assert!(pushed().iter().all(|from| *from == json!(friend.id)), "{:?}", pushed());
    let peeked = daemon.call("inbox_peek", json!({ "limit": 50 })).await.unwrap();
    assert_eq!(peeked["counts"]["new"], 14);
    assert_eq!(next_message(&daemon).await["text"], "of the person");
}
