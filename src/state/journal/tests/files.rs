use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::state::file::FileState;
use crate::state::journal::fixture::{Folder, batch, end, id, lease_name, message};
use crate::state::journal::{Batch, Committed, FileNews, Journal};
use crate::state::message::{Kind, Message, State};

const FILE: &str = "aaaaaaaa-0000-4000-8000-00000000000b";
const OTHER: &str = "aaaaaaaa-0000-4000-8000-00000000000c";
const MIB: u64 = 1024 * 1024;

fn uri(file: &str) -> String {
    format!("platform-pending:w/{file}")
}

fn attachment(file: &str) -> Value {
    json!({ "kind": "file", "uri": uri(file), "name": "my plan.pdf", "mime_type": "application/pdf", "size": 5 })
}

/// The row that announces a file.
fn announcement(name: &str, after_secs: i64, file: &str) -> Message {
    Message {
        kind: Kind::Upload,
        peer_id: String::new(),
        text: "File received: my plan.pdf".to_owned(),
        attachments: vec![attachment(file)],
        ..message(name, after_secs)
    }
}

/// The person's message with a file.
fn with_file(name: &str, after_secs: i64, file: &str) -> Message {
    Message {
        kind: Kind::CanvasUser,
        peer_id: String::new(),
        attachments: vec![attachment(file)],
        ..message(name, after_secs)
    }
}

async fn stage(journal: &Journal, file: &str) {
    journal
        .file_staged(file, Path::new("/x/plan.pdf"), 5, None)
        .await
        .unwrap();
}

/// The only attachment of a message.
async fn shown(journal: &Journal, name: &str) -> Value {
    journal.find(&id(name)).await.unwrap().unwrap().message.attachments[0].clone()
}

#[tokio::test]
async fn a_file_and_its_message_are_one_message_whichever_comes_first() {
    for order in [["file", "text"], ["text", "file"]] {
        let folder = Folder::new();
        let journal = folder.open().await;
        for name in order {
            let row = match name {
                "file" => announcement("file", 1, FILE),
                _ => with_file("text", 2, FILE),
            };
            assert_eq!(journal.commit(batch([row.clone()])).await.unwrap().added, 1);
            assert_eq!(journal.commit(batch([row])).await.unwrap(), Committed::default());
        }
        let known = journal.known(vec![id("file"), id("text"), id("none")]).await.unwrap();
        assert_eq!(known.len(), 2);
        let open = journal.open_files().await.unwrap();
        assert_eq!((open.len(), open[0].id.as_str(), open[0].size), (1, FILE, Some(5)));
        assert!(open[0].acknowledge);
        stage(&journal, FILE).await;
        folder.time.advance(Duration::from_secs(60));
        assert_eq!(journal.tell_files().await.unwrap(), FileNews::default());
        assert_eq!(lease_name(&journal).await.as_deref(), Some("text"));
        assert_eq!(lease_name(&journal).await, None);
    }
}

#[tokio::test]
async fn a_file_that_no_message_tells_of_becomes_one() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([announcement("file", 1, FILE)])).await.unwrap();
    stage(&journal, FILE).await;
    let waiting = FileNews { told: 0, waiting: 1 };
    assert_eq!(journal.tell_files().await.unwrap(), waiting);
    assert_eq!(lease_name(&journal).await, None);
    folder.time.advance(Duration::from_secs(4));
    assert_eq!(journal.tell_files().await.unwrap().told, 1);
    assert_eq!(journal.tell_files().await.unwrap(), FileNews::default());
    // Its message came late after all: what nobody saw yet is withdrawn.
    journal.commit(batch([with_file("text", 2, FILE)])).await.unwrap();
    assert_eq!(lease_name(&journal).await.as_deref(), Some("text"));
    assert_eq!(lease_name(&journal).await, None);
    assert_eq!(journal.find(&id("file")).await.unwrap().unwrap().state, State::Done);
}

#[tokio::test]
async fn what_cannot_be_fetched_is_told_all_the_same() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([announcement("file", 1, FILE)])).await.unwrap();
    folder.time.advance(Duration::from_secs(9));
    assert_eq!(journal.tell_files().await.unwrap().waiting, 1);
    folder.time.advance(Duration::from_secs(2));
    assert_eq!(journal.tell_files().await.unwrap().told, 1);
    assert_eq!(shown(&journal, "file").await["status"], "fetching");
    stage(&journal, FILE).await;
    let file = shown(&journal, "file").await;
    assert_eq!((&file["uri"], file.get("status")), (&json!("file:///x/plan.pdf"), None));
}

#[tokio::test]
async fn a_file_that_another_daemon_took_is_not_told_and_one_that_ran_out_is() {
    for (age_hours, told) in [(1, 0), (25, 1)] {
        let folder = Folder::new();
        let journal = folder.open().await;
        journal
            .commit(batch([announcement("file", -age_hours * 3600, FILE)]))
            .await
            .unwrap();
        journal.file_is(FILE, FileState::Gone).await.unwrap();
        folder.time.advance(Duration::from_secs(60));
        assert_eq!(journal.tell_files().await.unwrap().told, told, "{age_hours} h");
        if told == 1 {
            assert_eq!(shown(&journal, "file").await["status"], "gone");
        }
    }
}

#[tokio::test]
async fn a_message_waits_for_its_files_a_while_and_its_sender_s_next_ones_with_it() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let later = Message {
        attachments: Vec::new(),
        ..with_file("later", 3, FILE)
    };
    let rows = [with_file("text", 2, FILE), later, message("peer", 4)];
    journal.commit(batch(rows)).await.unwrap();
    assert_eq!(lease_name(&journal).await.as_deref(), Some("peer"));
    assert_eq!(lease_name(&journal).await, None);
    folder.time.advance(Duration::from_secs(11));
    assert_eq!(lease_name(&journal).await.as_deref(), Some("text"));
    assert_eq!(lease_name(&journal).await.as_deref(), Some("later"));

    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([with_file("text", 2, FILE)])).await.unwrap();
    assert_eq!(lease_name(&journal).await, None);
    stage(&journal, FILE).await;
    assert_eq!(lease_name(&journal).await.as_deref(), Some("text"));
}

#[tokio::test]
async fn a_message_shows_its_files_where_they_are_across_restarts() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let mut row = with_file("text", 2, FILE);
    row.attachments.extend([
        json!({ "kind": "image", "uri": uri(OTHER) }),
        json!({ "kind": "file", "uri": "platform-pending:another/x", "name": "theirs" }),
        json!({ "kind": "file", "uri": "https://x.example/a" }),
    ]);
    let sent = row.attachments.clone();
    journal.commit(batch([row])).await.unwrap();
    stage(&journal, FILE).await;
    let kind = Some("image/png".to_owned());
    journal
        .file_staged(OTHER, Path::new("/workspace/.molecule/chat-uploads/p.png"), 9, kind)
        .await
        .unwrap();
    end(journal).await;
    let journal = folder.open().await;
    let shown = journal.find(&id("text")).await.unwrap().unwrap().message.attachments;
    assert_eq!(shown[0]["uri"], "file:///x/plan.pdf");
    assert_eq!(
        shown[1],
        json!({ "kind": "image", "uri": "workspace:/workspace/.molecule/chat-uploads/p.png", "mime_type": "image/png", "size": 9 })
    );
    assert_eq!(shown[2..], sent[2..]);
    for (state, status) in [
        (FileState::Gone, "gone"),
        (FileState::Oversize, "too_large"),
        (FileState::Dropped, "dropped"),
    ] {
        journal.file_is(FILE, state).await.unwrap();
        let shown = self::shown(&journal, "text").await;
        assert_eq!((&shown["status"], &shown["uri"]), (&json!(status), &json!(uri(FILE))));
    }
}

#[tokio::test]
async fn an_announcement_waits_for_the_end_of_a_recovery_and_a_recovered_one_is_not_told() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let held = Batch {
        hold: true,
        ..batch([announcement("file", 1, FILE), message("text", 2)])
    };
    journal.commit(held).await.unwrap();
    folder.time.advance(Duration::from_secs(60));
    assert_eq!(journal.tell_files().await.unwrap(), FileNews { told: 0, waiting: 1 });
    let release = Batch {
        release: true,
        ..Batch::default()
    };
    journal.commit(release).await.unwrap();
    assert_eq!(journal.tell_files().await.unwrap().told, 1);
    let recovered = Batch {
        recovered: true,
        ..batch([announcement("old", 1, OTHER)])
    };
    journal.commit(recovered).await.unwrap();
    assert_eq!(journal.tell_files().await.unwrap(), FileNews::default());
    assert_eq!(journal.open_files().await.unwrap().len(), 2);
}

#[tokio::test]
async fn our_own_uploads_are_known_by_their_address_or_once_by_their_name() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let name = journal.begin_upload("item", 0, "my plan.pdf").await.unwrap();
    let named = |row: &str, file: &str| {
        let mut row = announcement(row, 1, file);
        row.attachments[0]["name"] = json!(name);
        row
    };
    // Before the answer, which tells the same.
    journal.commit(batch([named("first", FILE)])).await.unwrap();
    assert_eq!(
        journal.upload_of("item", 0).await.unwrap().as_deref(),
        Some(uri(FILE).as_str())
    );
    journal.uploaded(&name, &uri(FILE)).await.unwrap();
    assert!(journal.open_files().await.unwrap().is_empty());
    // The person sends the file back under the name that it had.
    journal.commit(batch([named("second", OTHER)])).await.unwrap();
    let open = journal.open_files().await.unwrap();
    assert_eq!((open.len(), open[0].id.as_str()), (1, OTHER));
    folder.time.advance(Duration::from_secs(60));
    assert_eq!(journal.tell_files().await.unwrap().told, 1);
    assert_eq!(lease_name(&journal).await.as_deref(), Some("second"));
    // The person's message names our file: it is fetched, and left to the person.
    journal.commit(batch([with_file("text", 2, FILE)])).await.unwrap();
    let open = journal.open_files().await.unwrap();
    let ours = open.iter().find(|file| file.id == FILE).unwrap();
    assert!(!ours.acknowledge);
    stage(&journal, FILE).await;
    assert!(journal.open_files().await.unwrap().iter().all(|file| file.id != FILE));
    assert_eq!(shown(&journal, "text").await["uri"], "file:///x/plan.pdf");
}

#[tokio::test]
async fn an_upload_of_another_message_or_place_is_not_taken_for_this_one() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let first = journal.begin_upload("item", 0, "a").await.unwrap();
    let second = journal.begin_upload("item", 0, "a").await.unwrap();
    assert_ne!(first, second);
    assert_eq!(journal.upload_of("item", 0).await.unwrap(), None);
    assert_eq!(journal.uploaded(&second, "u-2").await.unwrap(), "u-2");
    assert_eq!(journal.upload_of("item", 0).await.unwrap().as_deref(), Some("u-2"));
    // The message may name it already: what became of the first attempt is learnt too late.
    assert_eq!(journal.uploaded(&first, "u-1").await.unwrap(), "u-2");
    assert_eq!(journal.upload_of("item", 0).await.unwrap().as_deref(), Some("u-2"));
    assert_eq!(journal.upload_of("item", 1).await.unwrap(), None);
    assert_eq!(journal.upload_of("other", 0).await.unwrap(), None);
}

#[tokio::test]
async fn files_make_room_oldest_first_but_never_those_of_unhandled_messages() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let files: Vec<String> = (0..4)
        .map(|n| format!("aaaaaaaa-0000-4000-8000-00000000000{n}"))
        .collect();
    for (n, file) in files.iter().enumerate() {
        let name = format!("text-{n}");
        journal.commit(batch([with_file(&name, 1, file)])).await.unwrap();
        let path = format!("/x/{n}");
        journal.file_staged(file, Path::new(&path), MIB, None).await.unwrap();
        if n != 3 {
            journal.file_is(file, FileState::Kept).await.unwrap();
        }
        if n != 0 {
            journal.pop(&id(&name)).await.unwrap();
        }
        folder.time.advance(Duration::from_secs(1));
    }
    let dropped = async |needed, quota| {
        let room = journal.files_to_drop(needed, quota).await.unwrap();
        let paths: Vec<_> = room.drop.iter().map(|(_, path)| path.display().to_string()).collect();
        (paths, room.fits)
    };
    let nothing: Vec<String> = Vec::new();
    assert_eq!(dropped(MIB, 5 * MIB).await, (nothing.clone(), true));
    assert_eq!(dropped(MIB, 4 * MIB).await, (vec!["/x/1".to_owned()], true));
    // The first belongs to a message that waits, the last is not acknowledged to the platform.
    let both = vec!["/x/1".to_owned(), "/x/2".to_owned()];
    assert_eq!(dropped(2 * MIB, 4 * MIB).await, (both.clone(), true));
    assert_eq!(dropped(3 * MIB, 4 * MIB).await, (both.clone(), false));
    journal.pop(&id("text-0")).await.unwrap();
    // A message of the platform that is a month younger makes the rest old.
    let month = 40 * 24 * 3600;
    folder.time.advance(Duration::from_secs(month));
    journal
        .commit(batch([message("young", i64::try_from(month).unwrap())]))
        .await
        .unwrap();
    let all = ["/x/0", "/x/1", "/x/2"].map(str::to_owned).to_vec();
    assert_eq!(dropped(0, 1024 * MIB).await, (all, true));
}

#[tokio::test]
async fn a_damaged_record_of_a_file_is_forgotten_so_that_its_row_is_read_again() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([announcement("file", 1, FILE)])).await.unwrap();
    let damage = "UPDATE file SET path = '/etc/passwd', state = 'kept'";
    journal.inner.store().connection().execute_batch(damage).unwrap();
    assert_eq!(journal.tell_files().await.unwrap(), FileNews::default());
    assert!(journal.known(vec![id("file")]).await.unwrap().is_empty());
    journal.commit(batch([announcement("file", 1, FILE)])).await.unwrap();
    assert_eq!(journal.open_files().await.unwrap().len(), 1);
}

#[tokio::test]
async fn files_of_messages_that_an_earlier_version_stored_are_fetched_too() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal
        .commit(batch([with_file("text", 1, FILE), with_file("done", 2, OTHER)]))
        .await
        .unwrap();
    let forget = "DELETE FROM file";
    journal.inner.store().connection().execute_batch(forget).unwrap();
    journal.pop(&id("done")).await.unwrap();
    for _ in 0..2 {
        journal.adopt_files().await.unwrap();
        let open = journal.open_files().await.unwrap();
        assert_eq!((open.len(), open[0].id.as_str()), (1, FILE));
    }
}

#[tokio::test]
async fn old_records_of_files_are_pruned_with_the_rest() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([announcement("file", 1, FILE)])).await.unwrap();
    journal.file_is(FILE, FileState::Gone).await.unwrap();
    journal.begin_upload("item", 0, "a").await.unwrap();
    let month = 40 * 24 * 3600;
    folder.time.advance(Duration::from_secs(month));
    journal
        .commit(batch([message("young", i64::try_from(month).unwrap())]))
        .await
        .unwrap();
    assert_eq!(journal.prune().await.unwrap(), 2);
    assert!(journal.known(vec![id("file")]).await.unwrap().is_empty());
}
