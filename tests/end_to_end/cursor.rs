//! How far the inbox was read: the saved cursor, its file for other programs, and what the platform is told of it.

use std::time::{Duration, UNIX_EPOCH};

use molecule_mcp::local_platform::Level;
use serde_json::{Value, json};

use super::support::{Workspace, World, drain, file, inbox_is_empty, next_message, pop, until};

#[tokio::test]
async fn the_cursor_file_is_exported_and_a_foreign_one_is_imported() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    world.say(&workspace, "one").await;
    let first = next_message(&daemon).await;
    pop(&daemon, &first).await;
    until("the cursor is exported", || async {
        file(&workspace.folder, ".mcp_inbox_cursor") == first["activity_id"].as_str().unwrap()
    })
    .await;
    daemon.close().await.unwrap();

    // A fresh folder with only a cursor, as the Python daemon leaves it: reading goes on behind it.
    world.say(&workspace, "two").await;
    let fresh = Workspace {
        folder: workspace.folder.join("fresh"),
        ..workspace.clone()
    };
    std::fs::create_dir(&fresh.folder).unwrap();
    std::fs::write(
        fresh.folder.join(".mcp_inbox_cursor"),
        first["activity_id"].as_str().unwrap(),
    )
    .unwrap();
    let daemon = world.online(&fresh).await;
    assert_eq!(drain(&daemon, 1).await, ["two"]);
    assert!(inbox_is_empty(&daemon).await);
}

#[tokio::test]
async fn the_platform_is_told_what_was_received_only_after_it_is_committed() {
    let world = World::at(Level::C).await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    world.say(&workspace, "one").await;
    pop(&daemon, &next_message(&daemon).await).await;
    until("the first row is acknowledged", || async {
        acked(&world, &workspace).await > 0
    })
    .await;

    let database = rusqlite::Connection::open(workspace.folder.join("molecule.db")).unwrap();
    let (message, before, acks) = loop {
        let (before, acks) = (acked(&world, &workspace).await, world.requests("ack").await.len());
        world.say(&workspace, "two").await;
        let message = next_message(&daemon).await;
        assert_eq!(message["text"], "two");
        // While someone else holds the database, the sweep that would move the cursor to the row cannot be committed.
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        if saved_cursor(&database)[2] == json!(before) {
            break (message, before, acks);
        }
        // A busy machine came too late to hold it: the next row, then.
        database.execute_batch("ROLLBACK").unwrap();
        pop(&daemon, &message).await;
        until("the row is acknowledged", || async {
            acked(&world, &workspace).await > before
        })
        .await;
    };
    until("and cannot commit", || async {
        daemon.complaints().contains("cannot be stored")
    })
    .await;
    assert_eq!(acked(&world, &workspace).await, before);
    assert_eq!(world.requests("ack").await.len(), acks);

    database.execute_batch("ROLLBACK").unwrap();
    until("the second row is acknowledged", || async {
        acked(&world, &workspace).await > before
    })
    .await;
    let cursor = saved_cursor(&database);
    assert_eq!(cursor[0], message["activity_id"]);
    assert_eq!(cursor[2], json!(acked(&world, &workspace).await));
}

/// Id, microseconds and sequence number.
fn saved_cursor(database: &rusqlite::Connection) -> Value {
    let cursor: String = database
        .query_row("SELECT cursor FROM scope", [], |row| row.get(0))
        .unwrap();
    serde_json::from_str(&cursor).unwrap()
}

#[tokio::test]
async fn an_acknowledgement_that_failed_is_sent_again() {
    let world = World::at(Level::C).await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    world
        .fault(json!({ "route": "ack", "times": 1, "status": 404, "body": "404 page not found" }))
        .await;
    world
        .fault(json!({ "route": "ack", "times": 2, "status": 500, "body": {} }))
        .await;
    world.say(&workspace, "one").await;
    assert_eq!(drain(&daemon, 1).await, ["one"]);
    until("it is acknowledged", || async { acked(&world, &workspace).await > 0 }).await;
    assert_eq!(world.requests("ack").await.len(), 4);
}

async fn acked(world: &World, workspace: &Workspace) -> i64 {
    let all = world.ok(reqwest::Method::GET, "/_local/workspaces", None, None).await;
    let own = all
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["id"] == json!(workspace.id));
    own.unwrap()["acked_seq"].as_i64().unwrap()
}

#[tokio::test]
async fn a_journal_that_was_put_back_is_read_on_from_itself_and_not_from_the_newer_cursor_file() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let kept = workspace.folder.with_file_name("kept");
    std::fs::create_dir(&kept).unwrap();
    for text in ["one", "two"] {
        let daemon = world.online(&workspace).await;
        world.say(&workspace, text).await;
        let message = next_message(&daemon).await;
        assert_eq!(message["text"], text);
        pop(&daemon, &message).await;
        until("the cursor is exported", || async {
            file(&workspace.folder, ".mcp_inbox_cursor") == message["activity_id"].as_str().unwrap()
        })
        .await;
        daemon.close().await.unwrap();
        if text == "one" {
            copy_journal(&workspace.folder, &kept);
        }
    }
    copy_journal(&kept, &workspace.folder);
    let daemon = world.online(&workspace).await;
    assert_eq!(drain(&daemon, 1).await, ["two"]);
    assert!(
        daemon.complaints().contains("older than the cursor file"),
        "{}",
        daemon.complaints()
    );
    assert!(!daemon.complaints().contains("another program"));
}

/// Without a journal, the cursor file alone says since when messages may be missing.
#[tokio::test]
async fn after_an_unknown_cursor_everything_since_its_file_was_written_is_read() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let path = workspace.folder.join(".mcp_inbox_cursor");
    std::fs::write(&path, uuid::Uuid::new_v4().to_string()).unwrap();
    let now = molecule_mcp::types::Timestamp::now();
    let written = Duration::from_micros(u64::try_from(now.0).unwrap()) - Duration::from_secs(2 * 3600);
    let left = std::fs::File::options().write(true).open(&path).unwrap();
    left.set_modified(UNIX_EPOCH + written).unwrap();
    let row = |text: &str, minutes: i64| {
        json!({
            "id": uuid::Uuid::new_v4().to_string(), "created_at": now.plus_micros(-minutes * 60_000_000).to_rfc3339(),
            "request_body": { "params": { "message": { "parts": [{ "kind": "text", "text": text }] } } },
        })
    };
    let rows = json!([
        row("long before", 180),
        row("just before", 125),
        row("missed", 60),
        row("lately", 1)
    ]);
    world.rows(&workspace, rows).await;
    let daemon = world.online(&workspace).await;
    let texts = drain(&daemon, 4).await;
    let (notes, messages): (Vec<_>, Vec<_>) = texts.into_iter().partition(|text| text.contains("recovered"));
    // Ten minutes more than was missed.
    assert_eq!(messages, ["just before", "missed", "lately"]);
    assert!(
        notes.len() == 1 && notes[0].contains("3 messages were recovered"),
        "{notes:?}"
    );
    assert!(inbox_is_empty(&daemon).await);
}

fn copy_journal(from: &std::path::Path, to: &std::path::Path) {
    for ending in ["", "-wal", "-shm"] {
        let name = format!("molecule.db{ending}");
        let _ = std::fs::remove_file(to.join(&name));
        if from.join(&name).exists() {
            std::fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    }
}
