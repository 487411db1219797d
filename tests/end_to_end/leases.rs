//! Several clients on one inbox: whom a message belongs to, and until when.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use molecule_mcp::cli::demo::client::McpChild;
use serde_json::{Value, json};

use super::support::{Workspace, World, inbox_is_empty, next_message, pop, signal, start, until};

/// Takes messages without acknowledging them, `calls` waits at a time, until none has come for a while.
async fn take_all(daemon: &McpChild, calls: usize) -> Vec<String> {
    let takers = (0..calls).map(async |_| {
        let mut texts = Vec::new();
        loop {
            let message = daemon
                .call("wait_for_message", json!({ "timeout_secs": 3 }))
                .await
                .unwrap();
            match message["text"].as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => return texts,
            }
        }
    });
    join_all(takers).await.concat()
}

#[tokio::test]
async fn clients_that_wait_at_once_never_get_the_same_message() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut command = world.command(&workspace);
    command.env("MOLECULE_LEASE_SECS", "86400");
    let first = start(command).await;
    until("the workspace is online", || async {
        world.status(&workspace).await == "online"
    })
    .await;
    let mut daemons = vec![first];
    for _ in 0..2 {
        let mut command = world.command(&workspace);
        command.env("MOLECULE_LEASE_SECS", "86400");
        daemons.push(start(command).await);
    }
    let said = async {
        let mut said = BTreeSet::new();
        for n in 0..60 {
            let text = format!("m{n}");
            world.say(&workspace, &text).await;
            said.insert(text);
        }
        said
    };
    let (said, taken) = tokio::join!(said, join_all(daemons.iter().map(|daemon| take_all(daemon, 4))));
    let all = taken.concat();
    assert_eq!(all.len(), 60, "each once: {all:?}");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), said);
}

/// How a session can end while it holds a message.
async fn end(way: &str, mut daemon: McpChild) {
    match way {
        "closed" => drop(daemon.close().await.unwrap()),
        "killed" => daemon.kill().await.unwrap(),
        "crashed" => signal(daemon.id().unwrap(), "ABRT"),
        _ => unreachable!(),
    }
}

#[tokio::test]
async fn a_session_that_ends_frees_its_leases_however_it_ends() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let holder = world.online(&workspace).await;
    for way in ["closed", "killed", "crashed"] {
        let short_lived = world.daemon(&workspace).await;
        world.say(&workspace, way).await;
        let leased = next_message(&short_lived).await;
        assert_eq!(leased["text"], way);
        // Another client waits already when it happens.
        let (_, waits) = holder.begin(
            "tools/call",
            json!({ "name": "wait_for_message", "arguments": { "timeout_secs": 30 } }),
        );
        holder.request("ping", json!({})).await.unwrap();
        end(way, short_lived).await;
        let message = waits.await.unwrap()["result"]["structuredContent"].clone();
        assert_eq!(message["activity_id"], leased["activity_id"], "{way}: {message}");
        assert_eq!(message["delivery_count"], json!(2), "{way}");
        assert_eq!(pop(&holder, &message).await["removed"], json!(true));
        assert!(inbox_is_empty(&holder).await, "{way}");
    }
}

async fn with_short_lease(world: &World, workspace: &Workspace) -> McpChild {
    let mut command = world.command(workspace);
    // Shortened by the test speed: 0.2 s.
    command.env("MOLECULE_LEASE_SECS", "10");
    start(command).await
}

#[tokio::test]
async fn a_late_acknowledgement_does_not_settle_what_another_client_works_on() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let late = with_short_lease(&world, &workspace).await;
    let other = world.daemon(&workspace).await;
    world.say(&workspace, "slow work").await;
    let first = next_message(&late).await;
    let second = next_message(&other).await;
    assert_eq!(first["activity_id"], second["activity_id"], "its time was over");
    let refused = pop(&late, &first).await;
    assert_eq!(refused["removed"], json!(false));
    assert!(
        refused["reason"].as_str().unwrap().contains("another session"),
        "{refused}"
    );
    let answered = late
        .call(
            "reply_to_message",
            json!({ "activity_id": first["activity_id"], "text": "late" }),
        )
        .await;
    assert!(answered.unwrap_err().contains("LEASED_ELSEWHERE"));
    let listed = other.call("inbox_peek", json!({})).await.unwrap();
    assert_eq!(listed["messages"][0]["activity_id"], second["activity_id"], "{listed}");
    assert_eq!(pop(&other, &second).await["removed"], json!(true));
}

#[tokio::test]
async fn a_plain_pop_acknowledges_a_new_message_and_ones_own_and_says_when_there_is_nothing_to_do() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let one = world.online(&workspace).await;
    let two = world.daemon(&workspace).await;
    for text in ["new", "mine"] {
        world.say(&workspace, text).await;
    }
    let listed = async || {
        let listed = two.call("inbox_peek", json!({})).await.unwrap();
        listed["messages"].as_array().unwrap().clone()
    };
    until("both are here", || async { listed().await.len() == 2 }).await;
    let messages = listed().await;
    // Seen with a look only, as clients of the older daemon do.
    assert_eq!(pop(&two, &messages[0]).await["removed"], json!(true));
    let mine = next_message(&one).await;
    assert_eq!(mine["text"], "mine");
    assert_eq!(pop(&one, &mine).await["removed"], json!(true));
    let again = pop(&one, &mine).await;
    assert_eq!((&again["removed"], again["reason"].is_string()), (&json!(false), true));
    let unknown = json!({ "activity_id": "00000000-0000-4000-8000-000000000000" });
    assert_eq!(pop(&one, &unknown).await["removed"], Value::Bool(false));
}
