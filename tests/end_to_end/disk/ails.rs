//! Whatever the disk answers: beats go on, nothing is claimed that was not kept, the agent is told, and all is well soon after.

use molecule_mcp::cli::demo::client::McpChild;
use molecule_mcp::local_platform::Level;
use rustix::io::Errno;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::ailing::{AilingDisk, Order};
use super::{SOON, is_told, progress_claimed, say_all, settle, stands_still, texts};
use crate::support::{World, drain, file, inbox_is_empty, next_message, pop, start, until};

/// What one way of asking says is wrong: codes, sentences and remedies.
pub(super) async fn told(daemon: &McpChild) -> Vec<(String, String, String)> {
    let answer = daemon.call("inbox_peek", json!({})).await.unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let troubles = answer["health"].as_array().cloned().unwrap_or_default();
    troubles
        .iter()
        .map(|trouble| (text(&trouble["code"]), text(&trouble["what"]), text(&trouble["remedy"])))
        .collect()
}

#[tokio::test]
async fn whatever_a_write_meets_beats_go_on_and_nothing_is_lost() {
    let world = World::at(Level::C).await;
    let workspace = world.workspace("alpha").await;
    let Some(disk) = AilingDisk::of(&workspace.folder) else {
        return;
    };
    let daemon = start(disk.under(world.command(&workspace))).await;
    let mut cursor = settle(&world, &workspace, &daemon, "before").await;
    for (order, what, remedy) in [
        (Order::Fail("write", Errno::NOSPC.raw_os_error()), "full", "free space"),
        (Order::Fail("write", Errno::DQUOT.raw_os_error()), "uota", "quota"),
        (
            Order::Fail("write", Errno::ROFS.raw_os_error()),
            "Read-only",
            "writable again",
        ),
        (
            Order::Fail("write", Errno::ACCESS.raw_os_error()),
            "ermission",
            "let this user write",
        ),
        (
            Order::Fail("write", Errno::IO.raw_os_error()),
            "Input/output",
            "check the disk",
        ),
        (
            Order::Fail("sync", Errno::IO.raw_os_error()),
            "Input/output",
            "check the disk",
        ),
    ] {
        until("the platform knows how far it was read", || async {
            file(&workspace.folder, ".mcp_inbox_cursor") == cursor
        })
        .await;
        disk.obey(&[order]);
        let sent = texts(3);
        say_all(&world, &workspace, &sent).await;
        stands_still(&world, &workspace, &daemon, &cursor).await;
        let told = told(&daemon).await;
        assert!(
            told.iter()
                .any(|(_, said, help)| said.contains(what) && help.contains(remedy)),
            "{what}: {told:?}"
        );
        let claimed = progress_claimed(&world).await;
        disk.heal();
        let begun = Instant::now();
        for text in &sent {
            let message = next_message(&daemon).await;
            assert_eq!(message["text"], text.as_str(), "{what}");
            cursor = message["activity_id"].as_str().unwrap().to_owned();
            assert!(
                !claimed.contains(&cursor),
                "{what}: read on from a message that was not stored"
            );
            assert_eq!(pop(&daemon, &message).await["removed"], json!(true));
        }
        assert!(begun.elapsed() < SOON, "{what}: {:?}", begun.elapsed());
        until("the trouble is over", || async { !is_told(&daemon).await }).await;
        assert!(inbox_is_empty(&daemon).await);
    }
    assert_eq!(daemon.close().await.unwrap().0.code(), Some(0));
}

#[tokio::test]
async fn a_message_that_cannot_be_kept_is_not_fetched_over_and_over() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let Some(disk) = AilingDisk::of(&workspace.folder) else {
        return;
    };
    let daemon = start(disk.under(world.command(&workspace))).await;
    settle(&world, &workspace, &daemon, "before").await;
    disk.obey(&[Order::Fail("write", Errno::NOSPC.raw_os_error())]);
    world.say(&workspace, "kept by the platform").await;
    until("the trouble is told", || is_told(&daemon)).await;
    let (reads, beats) = (
        world.requests("activity").await.len(),
        world.requests("heartbeat").await.len(),
    );
    until("beats go on", || async {
        world.requests("heartbeat").await.len() >= beats + 10
    })
    .await;
    let further = world.requests("activity").await.len() - reads;
    assert!(further <= 1, "{further} reads of what cannot be kept");
    disk.heal();
    assert_eq!(drain(&daemon, 1).await, ["kept by the platform"]);
}

#[tokio::test]
async fn a_cursor_file_that_cannot_be_written_holds_back_the_acknowledgement_and_no_message() {
    let world = World::at(Level::C).await;
    let workspace = world.workspace("alpha").await;
    let Some(disk) = AilingDisk::of(&workspace.folder) else {
        return;
    };
    let daemon = start(disk.under(world.command(&workspace))).await;
    let cursor = settle(&world, &workspace, &daemon, "before").await;
    until("it is acknowledged", || async {
        !world.requests("ack").await.is_empty()
    })
    .await;
    let acknowledged = world.requests("ack").await.len();
    // No file can be made or opened to be written: the journal, which is open, goes on.
    disk.obey(&[Order::Fail("open", Errno::MFILE.raw_os_error())]);
    world.say(&workspace, "during").await;
    let message = next_message(&daemon).await;
    assert_eq!(message["text"], "during");
    pop(&daemon, &message).await;
    until("the trouble is told", || async {
        told(&daemon)
            .await
            .iter()
            .any(|(code, _, remedy)| code == "CURSOR_FILE_UNWRITTEN" && remedy.contains("ulimit"))
    })
    .await;
    let reads = world.requests("activity").await.len();
    until("reading goes on", || async {
        world.requests("activity").await.len() >= reads + 3
    })
    .await;
    assert_eq!(file(&workspace.folder, ".mcp_inbox_cursor"), cursor);
    assert_eq!(world.requests("ack").await.len(), acknowledged);
    disk.heal();
    // Without any further message.
    until("the cursor is exported", || async {
        message["activity_id"] == file(&workspace.folder, ".mcp_inbox_cursor").as_str()
    })
    .await;
    until("it is acknowledged", || async {
        world.requests("ack").await.len() > acknowledged
    })
    .await;
    until("the trouble is over", || async { told(&daemon).await.is_empty() }).await;
}

#[tokio::test]
async fn every_tool_that_has_to_write_says_what_is_wrong_and_what_to_do() {
    let world = World::new().await;
    let (workspace, peer) = (world.workspace("alpha").await, world.workspace("beta").await);
    let Some(disk) = AilingDisk::of(&workspace.folder) else {
        return;
    };
    let daemon = start(disk.under(world.command(&workspace))).await;
    settle(&world, &workspace, &daemon, "before").await;
    say_all(&world, &workspace, &texts(2)).await;
    let in_hand = next_message(&daemon).await;
    until("the other one waits", || async {
        daemon.call("inbox_peek", json!({})).await.unwrap()["messages"]
            .as_array()
            .unwrap()
            .len()
            == 2
    })
    .await;
    let sent = async || world.requests("delegate").await.len() + world.requests("notify").await.len();
    let before = sent().await;
    disk.obey(&[Order::Fail("write", Errno::NOSPC.raw_os_error())]);
    let id = &in_hand["activity_id"];
    for (tool, arguments) in [
        ("wait_for_message", json!({ "timeout_secs": 5 })),
        ("inbox_pop", json!({ "activity_id": id })),
        ("reply_to_message", json!({ "activity_id": id, "text": "an answer" })),
        ("delegate_task", json!({ "workspace_id": peer.id, "task": "a task" })),
        (
            "delegate_task_async",
            json!({ "workspace_id": peer.id, "task": "a task" }),
        ),
        ("send_message_to_user", json!({ "message": "hello" })),
    ] {
        let params = json!({ "name": tool, "arguments": arguments });
        let answer = daemon.request("tools/call", params).await.unwrap();
        let refused = &answer["result"]["structuredContent"];
        assert_eq!(refused["error"], "STATE_UNAVAILABLE", "{tool}: {answer}");
        assert!(
            refused["hint"].as_str().unwrap().contains("free space"),
            "{tool}: {answer}"
        );
    }
    disk.heal();
    assert_eq!(drain(&daemon, 1).await, ["m1"]);
    assert_eq!(pop(&daemon, &in_hand).await["removed"], json!(true));
    assert_eq!(sent().await, before, "what was refused is not done later");
}

#[tokio::test]
async fn a_follower_is_told_of_the_full_disk_too() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let Some(disk) = AilingDisk::of(&workspace.folder) else {
        return;
    };
    let holder = start(disk.under(world.command(&workspace))).await;
    settle(&world, &workspace, &holder, "before").await;
    let follower = start(disk.under(world.command(&workspace))).await;
    until("the follower hears that all is well", || async {
        told(&follower).await.is_empty()
    })
    .await;
    disk.obey(&[Order::Fail("write", Errno::NOSPC.raw_os_error())]);
    world.say(&workspace, "one").await;
    until("the holder tells", || is_told(&holder)).await;
    until("the follower tells", || is_told(&follower)).await;
    let told = told(&follower).await;
    assert!(told.iter().all(|(code, ..)| code != "HOLDER_SILENT"), "{told:?}");
    assert!(
        told.iter().any(|(_, _, remedy)| remedy.contains("free space")),
        "{told:?}"
    );
    disk.heal();
    assert_eq!(drain(&follower, 1).await, ["one"]);
    until("the trouble is over", || async { !is_told(&follower).await }).await;
}
