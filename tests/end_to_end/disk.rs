//! The state folder in trouble: a full, failing or damaged disk costs time, and never a message.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use molecule_mcp::cli::demo::client::McpChild;
use molecule_mcp::local_platform::Level;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::start_up::run_to_end;
use super::support::{PATIENCE, Workspace, World, drain, file, inbox_is_empty, next_message, pop, until};
use volume::Volume;

mod ailing;
mod ails;
mod folder;
#[cfg(target_os = "linux")]
mod limits;
mod network;
mod slow;
mod volume;

/// How long after space is back everything must have arrived.
const SOON: Duration = Duration::from_secs(10);

/// One message arrives, is acknowledged, and is in the cursor file.
async fn settle(world: &World, workspace: &Workspace, daemon: &McpChild, text: &str) -> String {
    world.say(workspace, text).await;
    let message = next_message(daemon).await;
    assert_eq!(message["text"], text);
    pop(daemon, &message).await;
    let id = message["activity_id"].as_str().unwrap().to_owned();
    until("the cursor is exported", || async {
        file(&workspace.folder, ".mcp_inbox_cursor") == id
    })
    .await;
    id
}

/// Both ways of asking tell of a trouble with the journal, and its remedy.
async fn is_told(daemon: &McpChild) -> bool {
    for (tool, arguments) in [
        ("wait_for_message", json!({ "timeout_secs": 0 })),
        ("inbox_peek", json!({})),
    ] {
        let answer = daemon.call(tool, arguments).await.unwrap();
        let told = answer["health"].as_array().into_iter().flatten().any(|trouble| {
            trouble["code"] == "JOURNAL_ERROR" && trouble["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty())
        });
        if !told {
            return false;
        }
    }
    true
}

/// The journal takes nothing: beats go on, and nothing that was not stored is said to have been read.
async fn stands_still(world: &World, workspace: &Workspace, daemon: &McpChild, cursor: &str) {
    until("the trouble is told", || is_told(daemon)).await;
    let acknowledged = world.requests("ack").await.len();
    let beats = world.requests("heartbeat").await.len();
    until("beats go on", || async {
        world.requests("heartbeat").await.len() >= beats + 4
    })
    .await;
    assert_eq!(world.status(workspace).await, "online");
    assert!(is_told(daemon).await, "{}", daemon.complaints());
    assert!(inbox_is_empty(daemon).await);
    assert_eq!(file(&workspace.folder, ".mcp_inbox_cursor"), cursor);
    assert_eq!(world.requests("ack").await.len(), acknowledged);
}

/// The rows that reads asked to go on from, and those that were acknowledged to the platform.
async fn progress_claimed(world: &World) -> String {
    let mut claimed = String::new();
    for entry in world.requests("activity").await {
        claimed.push_str(entry["query"].as_str().unwrap_or_default());
        claimed.push('\n');
    }
    claimed
}

async fn say_all(world: &World, workspace: &Workspace, texts: &[String]) {
    for text in texts {
        world.say(workspace, text).await;
    }
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("m{n}")).collect()
}

#[tokio::test]
async fn a_full_disk_stops_the_cursor_and_no_beat_and_loses_nothing() {
    for level in [Level::B, Level::C] {
        let world = World::at(level).await;
        let workspace = world.workspace("alpha").await;
        let Some(disk) = Volume::in_memory(&workspace.folder, 4096) else {
            return;
        };
        let daemon = world.online(&workspace).await;
        let cursor = settle(&world, &workspace, &daemon, "before").await;
        if level == Level::C {
            until("it is acknowledged", || async {
                !world.requests("ack").await.is_empty()
            })
            .await;
        }
        for round in 0..2 {
            disk.fill();
            let sent = texts(5);
            say_all(&world, &workspace, &sent).await;
            let at = file(&workspace.folder, ".mcp_inbox_cursor");
            assert!(round > 0 || at == cursor);
            stands_still(&world, &workspace, &daemon, &at).await;
            let claimed = progress_claimed(&world).await;

            disk.empty();
            let begun = Instant::now();
            let mut last = String::new();
            for text in &sent {
                let message = next_message(&daemon).await;
                assert_eq!(message["text"], text.as_str());
                last = message["activity_id"].as_str().unwrap().to_owned();
                assert!(!claimed.contains(&last), "read on from a message that was not stored");
                pop(&daemon, &message).await;
            }
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            until("the trouble is over", || async { !is_told(&daemon).await }).await;
            until("the cursor moves on", || async {
                file(&workspace.folder, ".mcp_inbox_cursor") == last
            })
            .await;
            assert!(inbox_is_empty(&daemon).await);
        }
    }
}

#[tokio::test]
async fn a_message_in_hand_on_a_full_disk_is_not_lost_and_its_acknowledgement_is_no_false_promise() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let Some(disk) = Volume::in_memory(&workspace.folder, 4096) else {
        return;
    };
    let mut daemon = world.online(&workspace).await;
    settle(&world, &workspace, &daemon, "before").await;
    say_all(&world, &workspace, &texts(2)).await;
    let in_hand = next_message(&daemon).await;
    until("the other one waits", || async {
        let listed = daemon.call("inbox_peek", json!({})).await.unwrap();
        listed["messages"].as_array().unwrap().len() == 2
    })
    .await;
    disk.fill();
    let refused = daemon
        .call("inbox_pop", json!({ "activity_id": in_hand["activity_id"] }))
        .await;
    assert!(refused.is_err(), "{refused:?}");
    daemon.kill().await.unwrap();

    // It starts all the same, and hands out nothing that it cannot write down.
    let daemon = world.online(&workspace).await;
    let refused = daemon.call("wait_for_message", json!({ "timeout_secs": 1 })).await;
    assert!(
        refused.as_ref().is_err_and(|told| told.contains("STATE_UNAVAILABLE")),
        "{refused:?}"
    );
    disk.empty();
    assert_eq!(drain(&daemon, 2).await, ["m0", "m1"]);
    assert!(inbox_is_empty(&daemon).await);
}

#[tokio::test]
async fn a_disk_that_turns_read_only_stops_the_cursor_and_no_beat_and_loses_nothing() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let image = workspace.folder.with_extension("ext4");
    let Some(disk) = Volume::that_can_fail(&workspace.folder, &image) else {
        return;
    };
    let daemon = world.online(&workspace).await;
    let cursor = settle(&world, &workspace, &daemon, "before").await;
    disk.fail();
    let sent = texts(5);
    say_all(&world, &workspace, &sent).await;
    stands_still(&world, &workspace, &daemon, &cursor).await;
    assert_eq!(daemon.close().await.unwrap().0.code(), Some(0));

    let (code, _, complaints) = run_to_end(world.command(&workspace)).await;
    assert_eq!(code, 2, "{complaints}");
    assert!(complaints.contains("read-only"), "{complaints}");

    disk.mend();
    let daemon = world.daemon(&workspace).await;
    assert_eq!(drain(&daemon, 5).await, sent);
    assert!(inbox_is_empty(&daemon).await);
    drop(daemon);
}

/// Messages until `last` has come and it is still: texts of the platform's, and of this daemon's own.
async fn take_all(daemon: &McpChild, last: &str) -> (Vec<String>, Vec<String>) {
    let (mut messages, mut notes): (Vec<String>, _) = (Vec::new(), Vec::new());
    while !messages.iter().any(|text| text == last) || !inbox_is_empty(daemon).await {
        let message = next_message(daemon).await;
        let text = message["text"].as_str().unwrap().to_owned();
        let is_note = message["activity_id"].as_str().unwrap().starts_with("local:");
        if is_note { &mut notes } else { &mut messages }.push(text);
        pop(daemon, &message).await;
    }
    (messages, notes)
}

#[tokio::test]
async fn a_damaged_journal_is_kept_replaced_and_told_of_once_and_handled_messages_stay_handled() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    for text in ["old one", "old two"] {
        settle(&world, &workspace, &daemon, text).await;
    }
    daemon.close().await.unwrap();
    let path = workspace.folder.join("molecule.db");
    let mut bytes = fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(4096).step_by(7) {
        *byte ^= 0x55;
    }
    fs::write(&path, &bytes).unwrap();

    world.say(&workspace, "new one").await;
    let daemon = world.online(&workspace).await;
    world.say(&workspace, "new two").await;
    let (messages, notes) = take_all(&daemon, "new two").await;
    assert_eq!(messages, ["new one", "new two"]);
    let kept: Vec<_> = fs::read_dir(&workspace.folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("molecule.db.damaged-"))
        .collect();
    let [kept] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!(fs::read(workspace.folder.join(kept)).unwrap(), bytes);
    let told = |notes: &[String]| notes.iter().filter(|note| note.contains(kept.as_str())).count();
    assert_eq!(told(&notes), 1, "{notes:?}");
    assert!(daemon.complaints().contains("damaged"), "{}", daemon.complaints());
    // What was handled before is listed beside them, newest first.
    until("the handled messages are listed", || async {
        let listed = daemon
            .call("inbox_peek", json!({ "state": "recovered" }))
            .await
            .unwrap();
        let texts: Vec<_> = listed["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["text"])
            .collect();
        texts == ["old two", "old one"] && listed["counts"]["recovered"] == 2
    })
    .await;
    daemon.close().await.unwrap();

    let daemon = world.online(&workspace).await;
    world.say(&workspace, "new three").await;
    let (messages, notes) = take_all(&daemon, "new three").await;
    assert_eq!(messages, ["new three"]);
    assert_eq!(told(&notes), 0, "{notes:?}");
}

#[tokio::test]
async fn commits_lost_with_the_write_ahead_file_are_told_of_and_no_message_is_lost() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut daemon = world.online(&workspace).await;
    settle(&world, &workspace, &daemon, "first").await;
    say_all(&world, &workspace, &texts(3)).await;
    drain(&daemon, 3).await;
    daemon.kill().await.unwrap();
    let path = workspace.folder.join("molecule.db-wal");
    let mut bytes = fs::read(&path).unwrap();
    // One bit, in the frames of the last commits.
    let at = bytes.len() - 6 * (4096 + 24) + 1000;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let daemon = world.online(&workspace).await;
    world.say(&workspace, "after").await;
    let (mut messages, notes) = take_all(&daemon, "after").await;
    assert_eq!(messages.pop().as_deref(), Some("after"));
    assert!(messages.iter().all(|text| text.starts_with('m')), "{messages:?}");
    assert!(
        notes.iter().any(|note| note.contains("last commits before")),
        "{notes:?}"
    );
}

#[tokio::test]
async fn a_journal_that_cannot_be_used_is_one_clear_error_and_nothing_is_sent() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    world.online(&workspace).await.close().await.unwrap();
    let asked = async || {
        let mut asked = Vec::new();
        for route in ["register", "heartbeat", "activity"] {
            asked.push(world.requests(route).await.len());
        }
        asked
    };
    let before = asked().await;
    let path = workspace.folder.join("molecule.db");

    let newer = rusqlite::Connection::open(&path).unwrap();
    newer
        .execute_batch("UPDATE meta SET value = 99 WHERE name = 'schema'; PRAGMA user_version = 99")
        .unwrap();
    drop(newer);
    let bytes = fs::read(&path).unwrap();
    let refused = async |parts: &[&str]| {
        let (code, lines, complaints) = run_to_end(world.command(&workspace)).await;
        assert_eq!(code, 2, "{complaints}");
        assert!(lines.is_empty(), "{lines:?}");
        for part in parts {
            assert!(complaints.contains(part), "{part} is missing in {complaints}");
        }
    };
    let folder = workspace.folder.to_str().unwrap();
    refused(&["99", "update molecule-mcp", "CONFIGS_DIR", folder]).await;
    assert_eq!(
        fs::read(&path).unwrap(),
        bytes,
        "a newer program's journal is left as it is"
    );

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused(&["molecule.db", "not a plain file", "remove it", folder]).await;
    assert!(path.is_dir());
    assert_eq!(asked().await, before);
}

/// Takes messages until all have been taken by somebody and nothing more comes.
async fn take_all_that_come(daemon: McpChild, own: &AtomicUsize, is_all_taken: impl Fn() -> bool) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let done = is_all_taken();
        let message: Value = daemon
            .call("wait_for_message", json!({ "timeout_secs": 1 }))
            .await
            .unwrap();
        if message["activity_id"].is_string() {
            ids.push(message["activity_id"].as_str().unwrap().to_owned());
            own.fetch_add(1, Ordering::Relaxed);
            assert_eq!(pop(&daemon, &message).await["removed"], json!(true));
        } else if done {
            return ids;
        }
    }
}

#[tokio::test]
async fn two_processes_that_wait_at_once_never_get_the_same_message() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let (first, second) = (world.online(&workspace).await, world.daemon(&workspace).await);
    let taken = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let taken_by = |who: usize| taken[who].load(Ordering::Relaxed);
    let (sent, all_sent) = (AtomicUsize::new(0), AtomicBool::new(false));
    let is_all_taken = || all_sent.load(Ordering::Relaxed) && taken_by(0) + taken_by(1) >= sent.load(Ordering::Relaxed);
    let send = async {
        // On a busy machine one of them may come late: there is something left for it.
        while sent.load(Ordering::Relaxed) < 200 || taken_by(0) == 0 || taken_by(1) == 0 {
            let n = sent.fetch_add(1, Ordering::Relaxed);
            world.say(&workspace, &format!("m{n}")).await;
            if n % 20 == 19 {
                sleep(Duration::from_millis(20)).await;
            }
        }
        all_sent.store(true, Ordering::Relaxed);
    };
    let both = async {
        tokio::join!(
            send,
            take_all_that_come(first, &taken[0], is_all_taken),
            take_all_that_come(second, &taken[1], is_all_taken)
        )
    };
    let ((), mut all, rest) = timeout(PATIENCE, both).await.expect("all come, and both have a share");
    all.extend(rest);
    let distinct = all.iter().collect::<BTreeSet<_>>().len();
    assert_eq!([all.len(), distinct], [sent.load(Ordering::Relaxed); 2]);
}
