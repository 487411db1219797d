use std::fs;

use crate::state::journal::fixture::{Folder, batch, delegate, end, id, lease_name, message};
use crate::state::journal::{Batch, Journal, JournalError, Popped};
use crate::state::message::{Kind, State};
use crate::state::outbox::{Change, Progress};

const MESSAGES: i64 = 12;

/// A closed journal with messages in several states.
async fn filled() -> (Folder, Vec<u8>) {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal
        .commit(batch((0..MESSAGES).map(|n| message(&format!("m-{n}"), n))))
        .await
        .unwrap();
    for n in 0..3 {
        journal.pop(&id(&format!("m-{n}"))).await.unwrap();
    }
    delegate(&journal, "a task").await;
    end(journal).await;
    let bytes = fs::read(folder.path().join("molecule.db")).unwrap();
    (folder, bytes)
}

/// The files of a journal that is still open: what a kill or power cut at this moment leaves.
fn left_by_a_kill(folder: &Folder) -> Vec<(&'static str, Vec<u8>)> {
    ["molecule.db", "molecule.db-wal"]
        .map(|name| (name, fs::read(folder.path().join(name)).unwrap()))
        .to_vec()
}

async fn restored(files: &[(&'static str, Vec<u8>)]) -> (Folder, Result<Journal, JournalError>) {
    let folder = Folder::new();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let journal = folder.try_open("w", std::time::Duration::from_secs(3600)).await;
    (folder, journal)
}

#[tokio::test]
async fn a_kill_after_any_commit_keeps_all_that_was_committed() {
    let folder = Folder::new();
    let journal = folder.open().await;
    for n in 0..MESSAGES {
        journal.commit(batch([message(&format!("m-{n}"), n)])).await.unwrap();
        if n >= 1 {
            assert_eq!(
                journal.pop(&id(&format!("m-{}", n - 1))).await.unwrap(),
                Popped::Removed
            );
        }
        let (_folder, after) = restored(&left_by_a_kill(&folder)).await;
        let after = after.unwrap();
        assert!(after.replaced().is_none() && !after.recovery_wanted().await.unwrap());
        assert_eq!(lease_name(&after).await, Some(format!("m-{n}")));
        assert_eq!(lease_name(&after).await, None);
    }
}

#[tokio::test]
async fn a_replaced_journal_says_so_once_and_works() {
    let (folder, _) = filled().await;
    fs::write(folder.path().join("molecule.db"), "garbage").unwrap();
    let journal = folder.open().await;
    let kept = journal.replaced().unwrap().to_owned();
    assert_eq!(fs::read(&kept).unwrap(), b"garbage");
    let told = journal.lease_next().await.unwrap().unwrap();
    assert!(told.message.text.contains(kept.file_name().unwrap().to_str().unwrap()));
    assert_eq!(journal.cursor().await.unwrap(), None);
    journal.commit(batch([message("a", 0)])).await.unwrap();
    assert_eq!(lease_name(&journal).await.as_deref(), Some("a"));
    journal.pop(&told.message.activity_id).await.unwrap();
    end(journal).await;
    let journal = folder.open().await;
    assert!(journal.replaced().is_none());
    assert_eq!(lease_name(&journal).await.as_deref(), Some("a"));
    assert_eq!(lease_name(&journal).await, None);
}

#[tokio::test]
async fn after_a_replacement_every_workspace_wants_recovery_until_it_is_done() {
    let (folder, _) = filled().await;
    let journal = folder.open().await;
    assert!(!journal.recovery_wanted().await.unwrap());
    end(journal).await;
    fs::write(folder.path().join("molecule.db"), "garbage").unwrap();
    drop(folder.open().await);
    // Neither a death before the recovery nor another workspace's recovery ends it.
    let (ours, theirs) = (folder.open().await, folder.open_for("v").await);
    theirs.recovery_done().await.unwrap();
    assert!(ours.recovery_wanted().await.unwrap());
    assert!(!theirs.recovery_wanted().await.unwrap());
    let told = theirs.lease_next().await.unwrap().unwrap().message.text;
    assert!(told.contains("was damaged"), "each workspace is told: {told}");
    ours.commit(Batch {
        recovered: true,
        ..batch([message("old", 0)])
    })
    .await
    .unwrap();
    ours.recovery_done().await.unwrap();
    assert_eq!(ours.counts().await.unwrap().recovered, 1);
    end(ours).await;
    end(theirs).await;
    let ours = folder.open().await;
    assert!(!ours.recovery_wanted().await.unwrap());
    assert_eq!(ours.lease_next().await.unwrap().unwrap().message.kind, Kind::System);
    assert_eq!(
        lease_name(&ours).await,
        None,
        "told once, and what was recovered is not offered"
    );
    assert_eq!(ours.pop(&id("old")).await.unwrap(), Popped::Removed);
}

/// Changes stored values behind the journal's back, as a failing disk would while it is open.
fn alter(journal: &Journal, sql: &str) {
    journal.inner.store().connection().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn a_damaged_message_is_passed_over_told_once_and_mended_by_reading_it_again() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([message("a", 0), message("b", 1)])).await.unwrap();
    alter(
        &journal,
        "UPDATE message SET body = replace(body, 'text of a', 'TEXT of a')",
    );
    assert!(matches!(journal.find(&id("a")).await, Err(JournalError::DamagedRow(_))));
    assert_eq!(
        lease_name(&journal).await.as_deref(),
        Some("b"),
        "it stops nothing behind it"
    );
    let told = journal.lease_next().await.unwrap().unwrap();
    assert!(
        told.message.text.contains("Message a was damaged"),
        "{}",
        told.message.text
    );
    assert_eq!(lease_name(&journal).await, None);
    assert_eq!(journal.counts().await.unwrap().damaged, 1);
    assert!(journal.known(vec![id("a")]).await.unwrap().is_empty());
    assert_eq!(journal.commit(batch([message("a", 0)])).await.unwrap().added, 1);
    assert_eq!(journal.lease_next().await.unwrap().unwrap().message, message("a", 0));
    assert_eq!(journal.counts().await.unwrap().damaged, 0);
}

#[tokio::test]
async fn columns_of_the_wrong_type_stop_nothing() {
    for change in [
        "UPDATE message SET lease_session = x'ff00', lease_until = 'soon' WHERE activity_id = 'a'",
        "UPDATE message SET delivery_count = 'many' WHERE activity_id = 'a'",
        "UPDATE message SET body = x'00ff' WHERE activity_id = 'a'",
        "UPDATE message SET crc = 'none' WHERE activity_id = 'a'",
        "UPDATE message SET activity_id = x'ff' WHERE activity_id = 'a'",
    ] {
        let folder = Folder::new();
        let journal = folder.open().await;
        journal.commit(batch([message("a", 0), message("b", 1)])).await.unwrap();
        lease_name(&journal).await.unwrap();
        alter(&journal, change);
        let listed = journal.peek(10).await.unwrap();
        assert!(listed.iter().any(|entry| entry.message == message("b", 1)), "{change}");
        let mut names = Vec::new();
        while let Some(name) = lease_name(&journal).await {
            names.push(name);
        }
        assert!(names.contains(&"b".to_owned()), "{change}: {names:?}");
        journal.counts().await.unwrap();
    }
}

#[tokio::test]
async fn damaged_work_is_not_sent_and_told_once() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let (bad, good) = (delegate(&journal, "a task").await, delegate(&journal, "another").await);
    alter(&journal, "UPDATE outbox SET work = replace(work, 'a task', 'a tusk')");
    assert!(matches!(
        journal.outbox_item(&bad.id).await,
        Err(JournalError::DamagedRow(_))
    ));
    for _ in 0..2 {
        let pending = journal.claim_pending(true).await.unwrap();
        assert_eq!(pending.iter().map(|item| &item.id).collect::<Vec<_>>(), [&good.id]);
    }
    let told = journal.lease_next().await.unwrap().unwrap();
    assert!(told.message.text.contains(&bad.id));
    assert_eq!(lease_name(&journal).await, None);
}

#[tokio::test]
async fn what_nobody_would_read_is_verified_at_the_start_and_told_once() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal
        .commit(batch(["aside", "done"].map(|name| message(name, 0))))
        .await
        .unwrap();
    journal.pop(&id("done")).await.unwrap();
    let sent = delegate(&journal, "a task").await;
    let accepted = Change {
        progress: Some(Progress::Accepted),
        delegation_id: Some("d-1".to_owned()),
        ..Change::default()
    };
    journal.record(&sent.id, accepted).await.unwrap();
    alter(
        &journal,
        "UPDATE message SET state = 'aside' WHERE activity_id = 'aside';
         UPDATE message SET body = replace(body, 'text of', 'TEXT of');
         UPDATE outbox SET detail = 'altered'",
    );
    end(journal).await;
    for expected in [2, 0] {
        let journal = folder.open().await;
        let mut told = Vec::new();
        while let Some(entry) = journal.lease_next().await.unwrap() {
            journal.pop(&entry.message.activity_id).await.unwrap();
            told.push(entry.message.text);
        }
        assert_eq!(told.len(), expected, "{told:?}");
        assert!(told.iter().all(|text| text.contains("damaged")), "{told:?}");
        // What was acknowledged stays so, whatever became of its text.
        assert_eq!(journal.commit(batch([message("done", 0)])).await.unwrap().added, 0);
        end(journal).await;
    }
}

#[tokio::test]
async fn a_damaged_message_can_still_be_acknowledged() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([message("a", 0)])).await.unwrap();
    alter(&journal, "UPDATE message SET crc = crc + 1");
    lease_name(&journal).await.unwrap();
    assert_eq!(journal.pop(&id("a")).await.unwrap(), Popped::Removed);
    assert!(
        journal.list(Some(State::Done), 5, 0).await.unwrap().is_empty(),
        "its text stays hidden"
    );
}
