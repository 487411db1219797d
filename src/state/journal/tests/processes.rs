use std::collections::HashSet;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::state::journal::fixture::{Folder, LEASE, ORIGIN, batch, end, id, lease_name, message};
use crate::state::journal::{Journal, JournalError, Popped};
use crate::types::WorkspaceId;

/// Waits for the next change, at most ten seconds.
async fn changed(changes: &mut tokio::sync::watch::Receiver<u64>) {
    tokio::time::timeout(Duration::from_secs(10), changes.changed())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sessions_never_lease_the_same_message() {
    let folder = Folder::new();
    let writer = folder.open().await;
    writer
        .commit(batch((0..120).map(|n| message(&format!("m-{n}"), n))))
        .await
        .unwrap();
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(folder.open().await);
    }
    let tasks: Vec<_> = sessions
        .into_iter()
        .map(|journal| {
            tokio::spawn(async move {
                let mut names = Vec::new();
                while let Some(name) = lease_name(&journal).await {
                    if names.len() % 2 == 0 {
                        assert_eq!(journal.pop(&id(&name)).await.unwrap(), Popped::Removed);
                    }
                    names.push(name);
                }
                (journal, names)
            })
        })
        .collect();
    let mut all = Vec::new();
    let mut alive = Vec::new();
    for task in tasks {
        let (journal, names) = task.await.unwrap();
        all.extend(names);
        alive.push(journal);
    }
    assert_eq!(all.len(), 120);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 120);
}

#[tokio::test]
async fn a_session_begins_while_another_process_is_in_the_middle_of_a_write() {
    let folder = Folder::new();
    let first = folder.open().await;
    first.commit(batch([message("m", 1)])).await.unwrap();
    let writer = rusqlite::Connection::open(folder.path().join("molecule.db")).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let second = folder.open().await;
    assert_eq!(second.counts().await.unwrap().new, 1);
    writer.execute_batch("ROLLBACK").unwrap();
    assert_eq!(lease_name(&second).await.as_deref(), Some("m"));
}

#[tokio::test]
async fn a_commit_wakes_the_other_sessions() {
    let folder = Folder::new();
    let slow = Duration::from_secs(3600);
    let (one, two) = (
        folder.try_open("w", slow).await.unwrap(),
        folder.try_open("w", slow).await.unwrap(),
    );
    let mut changes = two.changes();
    for n in 0..5 {
        changes.borrow_and_update();
        one.commit(batch([message(&format!("m-{n}"), n)])).await.unwrap();
        changed(&mut changes).await;
        assert!(lease_name(&two).await.is_some());
    }
}

/// As many calls as a disk that hangs would meet in hours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_wait_for_a_disk_hold_no_thread_and_do_nothing_once_given_up() {
    let folder = Folder::new();
    let journal = folder.try_open("w", Duration::from_secs(3600)).await.unwrap();
    journal.commit(batch([message("a", 0)])).await.unwrap();
    let (is_stuck, stuck) = tokio::sync::oneshot::channel();
    let (mended, disk) = std::sync::mpsc::channel::<()>();
    let stuck_call = journal.inner.clone().in_turn(move |_| {
        is_stuck.send(()).unwrap();
        disk.recv().unwrap();
        Ok(())
    });
    let stuck_call = tokio::spawn(stuck_call);
    stuck.await.unwrap();
    for _ in 0..2000 {
        assert!(journal.pop(&id("a")).now_or_never().is_none());
    }
    let others = tokio::task::spawn_blocking(|| "such as name look-ups");
    tokio::time::timeout(Duration::from_secs(10), others)
        .await
        .unwrap()
        .unwrap();
    mended.send(()).unwrap();
    stuck_call.await.unwrap().unwrap();
    assert_eq!(lease_name(&journal).await.as_deref(), Some("a"));
}

#[tokio::test]
async fn the_end_of_a_session_wakes_the_others() {
    let folder = Folder::new();
    let slow = Duration::from_secs(3600);
    let (one, two) = (
        folder.try_open("w", slow).await.unwrap(),
        folder.try_open("w", slow).await.unwrap(),
    );
    one.commit(batch([message("a", 0)])).await.unwrap();
    lease_name(&one).await.unwrap();
    let mut changes = two.changes();
    drop(one);
    while lease_name(&two).await.is_none() {
        changed(&mut changes).await;
    }
}

#[tokio::test]
async fn without_the_watched_file_the_regular_look_notices() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    std::fs::remove_file(folder.path().join("wake")).unwrap();
    let mut changes = two.changes();
    changes.borrow_and_update();
    one.commit(batch([message("a", 0)])).await.unwrap();
    changed(&mut changes).await;
}

#[tokio::test]
async fn waiters_hear_of_a_session_that_ended_and_of_a_lease_that_ran_out() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    one.commit(batch([message("a", 0)])).await.unwrap();
    lease_name(&one).await.unwrap();
    let mut changes = two.changes();
    end(one).await;
    while lease_name(&two).await.is_none() {
        changed(&mut changes).await;
    }
    changes.borrow_and_update();
    folder.time.advance(LEASE);
    while lease_name(&two).await.is_none() {
        changed(&mut changes).await;
    }
}

#[tokio::test]
async fn sessions_are_counted_by_workspace() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    let _other = folder.open_for("other").await;
    assert_ne!(one.session(), two.session());
    assert_eq!(one.sessions().await.unwrap(), 2);
    end(one).await;
    assert_eq!(two.sessions().await.unwrap(), 1);
}

#[tokio::test]
async fn a_file_that_a_newer_program_migrated_meanwhile_is_left_alone() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([message("a", 0)])).await.unwrap();
    let newer = rusqlite::Connection::open(folder.path().join("molecule.db")).unwrap();
    newer
        .execute_batch("UPDATE meta SET value = 99 WHERE name = 'schema'; PRAGMA user_version = 99")
        .unwrap();
    for outcome in [
        journal.pop(&id("a")).await.map(|_| ()),
        journal.commit(batch([message("b", 1)])).await.map(|_| ()),
        journal.peek(10).await.map(|_| ()),
    ] {
        assert!(
            matches!(outcome, Err(JournalError::Newer { found: 99, .. })),
            "{outcome:?}"
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn nothing_is_written_into_a_folder_that_is_gone() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([message("a", 0)])).await.unwrap();
    let moved = tempfile::tempdir().unwrap();
    std::fs::rename(folder.path().join("molecule.db"), moved.path().join("molecule.db")).unwrap();
    for outcome in [
        journal.pop(&id("a")).await.map(|_| ()),
        journal.commit(batch([message("b", 1)])).await.map(|_| ()),
        journal.lease_next().await.map(|_| ()),
    ] {
        assert!(matches!(outcome, Err(JournalError::Disk { .. })), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_one_clear_error() {
    let folder = Folder::new();
    let workspace = WorkspaceId::parse("w").unwrap();
    let missing = folder.path().join("missing");
    assert!(matches!(
        Journal::open(&missing, ORIGIN, &workspace, LEASE).await,
        Err(JournalError::Disk { .. })
    ));
    std::fs::write(folder.path().join("sessions"), "a file").unwrap();
    let Err(JournalError::Disk { what: text, .. }) = Journal::open(folder.path(), ORIGIN, &workspace, LEASE).await
    else {
        panic!("a file in the place of a folder must be refused")
    };
    assert!(text.contains("sessions"), "{text}");
}
