//! A disk that takes its time, or does not answer at all, holds up nothing but what has to be stored.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};

use super::ailing::{AilingDisk, Order};
use super::ails::told;
use super::{say_all, settle, texts};
use crate::support::{World, drain, inbox_is_empty, start, until};

#[tokio::test]
async fn a_disk_that_takes_seconds_for_each_write_delays_no_beat() {
    // Twice what is promised, so that a busy computer is not taken for a beat that waited.
    const PAUSE: Duration = Duration::from_secs(4);
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let Some(disk) = AilingDisk::of(&workspace.folder) else {
        return;
    };
    let daemon = start(disk.under(world.command(&workspace))).await;
    settle(&world, &workspace, &daemon, "before").await;
    disk.obey(&[Order::Delay("sync", PAUSE)]);
    let earlier = world.requests("heartbeat").await.len();
    let sent = texts(2);
    say_all(&world, &workspace, &sent).await;
    assert_eq!(drain(&daemon, 2).await, sent);
    until("the slow disk is told of", || async {
        told(&daemon).await.iter().any(|(code, _, _)| code == "DISK_SLOW")
    })
    .await;
    let beats: Vec<i64> = world.requests("heartbeat").await[earlier..]
        .iter()
        .map(|beat| beat["time_ms"].as_i64().unwrap())
        .collect();
    let longest = beats.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(
        beats.last().unwrap() - beats[0] > 12_000,
        "it was slow all the time: {beats:?}"
    );
    assert!(longest < 3500, "{longest} ms between two beats: {beats:?}");
    // The client goes away, and the disk holds nothing up.
    let begun = Instant::now();
    assert_eq!(daemon.close().await.unwrap().0.code(), Some(0));
    assert!(begun.elapsed() < PAUSE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_disk_that_answers_no_more_holds_up_neither_beats_nor_the_exit() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let Some(disk) = AilingDisk::of(&workspace.folder) else {
        return;
    };
    let daemon = start(disk.under(world.command(&workspace))).await;
    settle(&world, &workspace, &daemon, "before").await;
    disk.obey(&[Order::Delay("sync", Duration::from_secs(3600))]);
    world.say(&workspace, "kept by the platform").await;
    // A call in flight is answered when the session ends, and not before.
    let (_, waiting) = daemon.begin("tools/call", json!({ "name": "wait_for_message", "arguments": {} }));
    // The reader of the inbox may still be busy with the file of the cursor, and come to no commit.
    let told = json!({ "name": "send_message_to_user", "arguments": { "message": "to be committed" } });
    let (_, _held_up) = daemon.begin("tools/call", told);
    until("the disk holds the journal up", || async {
        let answer = daemon.call("inbox_peek", json!({}));
        timeout(Duration::from_secs(2), answer).await.is_err()
    })
    .await;
    let beats = world.requests("heartbeat").await.len();
    until("beats go on", || async {
        world.requests("heartbeat").await.len() >= beats + 20
    })
    .await;
    assert_eq!(world.status(&workspace).await, "online");
    assert!(daemon.request("tools/list", json!({})).await.is_ok());
    let begun = Instant::now();
    assert_eq!(daemon.close().await.unwrap().0.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(
        waiting.await.unwrap()["result"]["structuredContent"]["error"],
        "CANCELLED"
    );
    disk.heal();
    let daemon = world.daemon(&workspace).await;
    assert_eq!(drain(&daemon, 1).await, ["kept by the platform"]);
}

#[tokio::test]
async fn initialize_waits_for_no_disk() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let Some(disk) = AilingDisk::of(&workspace.folder) else {
        return;
    };
    drop(start(disk.under(world.command(&workspace))).await);
    let pause = Duration::from_secs(3);
    disk.obey(&[Order::Delay("write", pause), Order::Delay("sync", pause)]);
    let begun = Instant::now();
    let daemon = start(disk.under(world.command(&workspace))).await;
    let tools = daemon.request("tools/list", json!({})).await.unwrap();
    assert!(tools["result"]["tools"].as_array().unwrap().len() >= 10);
    assert!(begun.elapsed() < pause, "{:?}", begun.elapsed());
    // A call waits for the journal, and for no longer than its session lasts.
    let (_, waiting) = daemon.begin("tools/call", json!({ "name": "inbox_peek", "arguments": {} }));
    let closing = Instant::now();
    assert_eq!(daemon.close().await.unwrap().0.code(), Some(0));
    assert!(
        closing.elapsed() < Duration::from_millis(2900),
        "{:?}",
        closing.elapsed()
    );
    let answer = waiting.await.unwrap();
    assert_eq!(answer["result"]["structuredContent"]["error"], "CANCELLED", "{answer}");
    disk.heal();
    let daemon = world.online(&workspace).await;
    assert!(inbox_is_empty(&daemon).await);
}
