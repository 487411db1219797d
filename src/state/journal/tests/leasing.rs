use std::time::Duration;

use crate::state::journal::fixture::{Folder, LEASE, batch, end, eventually, id, lease_name, message};
use crate::state::journal::{Counts, Journal, Popped};
use crate::state::message::{Kind, State};

#[tokio::test]
async fn a_leased_message_is_shown_to_nobody_else_and_hides_nothing_behind_it() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    one.commit(batch([message("a", 0), message("b", 1)])).await.unwrap();
    let first = one.lease_next().await.unwrap().unwrap();
    assert_eq!(
        (first.message.activity_id, first.delivery_count, first.mine),
        (id("a"), 1, true)
    );
    assert_eq!(first.state, State::Leased);
    assert_eq!(lease_name(&two).await.as_deref(), Some("b"));
    assert_eq!(lease_name(&one).await, None);
    let seen: Vec<_> = two
        .peek(10)
        .await
        .unwrap()
        .iter()
        .map(|entry| (entry.state, entry.mine))
        .collect();
    assert_eq!(seen, [(State::Leased, false), (State::Leased, true)]);
    let counts = two.counts().await.unwrap();
    assert_eq!(
        (counts.new, counts.leased, counts.oldest),
        (0, 2, Some(message("a", 0).at))
    );
}

#[tokio::test]
async fn popping_follows_who_holds_the_message() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    one.commit(batch([message("a", 0), message("b", 1)])).await.unwrap();
    one.lease_next().await.unwrap().unwrap();
    assert_eq!(two.pop(&id("a")).await.unwrap(), Popped::LeasedElsewhere);
    assert_eq!(one.pop(&id("a")).await.unwrap(), Popped::Removed);
    assert_eq!(two.pop(&id("a")).await.unwrap(), Popped::AlreadyDone);
    assert_eq!(two.pop(&id("b")).await.unwrap(), Popped::Removed);
    assert_eq!(two.pop(&id("c")).await.unwrap(), Popped::Unknown);
    assert_eq!(one.counts().await.unwrap(), Counts::default());
    assert_eq!(one.find(&id("a")).await.unwrap().unwrap().state, State::Done);
}

#[tokio::test]
async fn what_was_acknowledged_is_never_shown_again_not_even_after_a_restart() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([message("a", 0)])).await.unwrap();
    lease_name(&journal).await.unwrap();
    journal.pop(&id("a")).await.unwrap();
    end(journal).await;
    let journal = folder.open().await;
    assert_eq!(journal.commit(batch([message("a", 0)])).await.unwrap().added, 0);
    assert_eq!(lease_name(&journal).await, None);
}

#[tokio::test]
async fn an_ended_session_frees_its_leases_without_counting_them() {
    let folder = Folder::new();
    let watcher = folder.open().await;
    watcher.commit(batch([message("a", 0)])).await.unwrap();
    for round in 1..=8 {
        let session = folder.open().await;
        let entry = session.lease_next().await.unwrap().unwrap();
        assert_eq!(entry.delivery_count, round, "each showing is counted");
        end(session).await;
    }
    assert_eq!(watcher.peek(1).await.unwrap()[0].state, State::New);
    assert_eq!(watcher.lease_next().await.unwrap().unwrap().delivery_count, 9);
}

#[tokio::test]
async fn several_sessions_of_one_process_are_as_separate_as_processes() {
    let folder = Folder::new();
    let (process, elsewhere) = (folder.open().await, folder.open().await);
    let seat = async || {
        let mut seated = Journal::for_another_session(std::slice::from_ref(&process))
            .await
            .unwrap();
        seated.pop().unwrap()
    };
    let (one, two) = (seat().await, seat().await);
    assert!(one.session() != two.session() && one.session() != process.session());
    assert_eq!(process.sessions().await.unwrap(), 2, "they are no processes");
    process.commit(batch([message("a", 0), message("b", 1)])).await.unwrap();
    assert_eq!(lease_name(&one).await.as_deref(), Some("a"));
    assert_eq!(lease_name(&two).await.as_deref(), Some("b"));
    for other in [&process, &elsewhere, &two] {
        assert_eq!(lease_name(other).await, None);
        assert!(matches!(other.pop(&id("a")).await.unwrap(), Popped::LeasedElsewhere));
    }
    let mut changes = elsewhere.changes();
    changes.borrow_and_update();
    drop(one);
    changes.changed().await.unwrap();
    assert_eq!(lease_name(&elsewhere).await.as_deref(), Some("a"));
    // A seat outlives the journals it was taken beside.
    drop(process);
    assert_eq!(two.pop(&id("b")).await.unwrap(), Popped::Removed);
}

#[tokio::test]
async fn an_ended_sessions_message_can_be_acknowledged_by_anyone() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    one.commit(batch([message("a", 0)])).await.unwrap();
    lease_name(&one).await.unwrap();
    end(one).await;
    assert_eq!(two.pop(&id("a")).await.unwrap(), Popped::Removed);
}

#[tokio::test]
async fn after_five_leases_that_ran_out_a_message_is_set_aside_kept_and_announced() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([message("a", 0)])).await.unwrap();
    for round in 1..=5 {
        let entry = journal.lease_next().await.unwrap().unwrap();
        assert_eq!((entry.message.activity_id.as_str(), entry.delivery_count), ("a", round));
        folder.time.advance(LEASE);
    }
    let told = journal.lease_next().await.unwrap().unwrap();
    assert_eq!(told.message.kind, Kind::System);
    assert!(
        told.message.text.contains("Message a (peer_agent)"),
        "{}",
        told.message.text
    );
    assert_eq!(lease_name(&journal).await, None);
    let aside = journal.list(Some(State::Aside), 10, 0).await.unwrap();
    assert_eq!(aside[0].message, message("a", 0));
    assert!(journal.requeue(&id("a")).await.unwrap());
    let again = journal.lease_next().await.unwrap().unwrap();
    assert_eq!((again.message.activity_id.as_str(), again.delivery_count), ("a", 6));
}

#[tokio::test]
async fn an_announcement_that_nobody_acknowledges_is_not_announced() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.announce("note", "note").await.unwrap();
    for _ in 1..=5 {
        assert!(journal.lease_next().await.unwrap().is_some());
        folder.time.advance(LEASE);
    }
    assert_eq!(lease_name(&journal).await, None);
    assert_eq!(journal.counts().await.unwrap().aside, 1);
}

#[tokio::test]
async fn a_note_of_the_platform_that_is_set_aside_is_announced() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let mut note = message("a", 0);
    note.kind = Kind::System;
    journal.commit(batch([note])).await.unwrap();
    for _ in 1..=5 {
        assert_eq!(lease_name(&journal).await.as_deref(), Some("a"));
        folder.time.advance(LEASE);
    }
    let told = journal.lease_next().await.unwrap().unwrap().message.text;
    for part in ["Message a (system)", "inbox_pop", "inbox_peek(state=\"aside\")"] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(journal.pop(&id("a")).await.unwrap(), Popped::Removed);
    assert_eq!(journal.counts().await.unwrap().aside, 0);
}

#[tokio::test]
async fn what_is_being_worked_on_is_counted_by_kind_however_much_waits_before_it() {
    let folder = Folder::new();
    let journal = folder.open().await;
    assert!(journal.leased_kinds().await.unwrap().is_empty());
    let kinds = [Kind::PeerAgent, Kind::CanvasUser, Kind::PeerAgent];
    let leased = kinds.iter().enumerate().map(|(n, kind)| {
        let mut message = message(&format!("m-{n}"), 1000);
        message.kind = *kind;
        message
    });
    journal.commit(batch(leased)).await.unwrap();
    for _ in kinds {
        lease_name(&journal).await.unwrap();
    }
    let older = (0..60).map(|n| message(&format!("older-{n}"), n));
    journal.commit(batch(older)).await.unwrap();
    assert_eq!(
        journal.leased_kinds().await.unwrap(),
        [(Kind::CanvasUser, 1), (Kind::PeerAgent, 2)]
    );
}

#[tokio::test]
async fn a_late_acknowledgement_cannot_settle_another_sessions_delivery() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    one.commit(batch([message("a", 0)])).await.unwrap();
    lease_name(&one).await.unwrap();
    folder.time.advance(LEASE);
    assert_eq!(lease_name(&two).await.as_deref(), Some("a"));
    assert_eq!(one.pop(&id("a")).await.unwrap(), Popped::LeasedElsewhere);
    one.give_back(&id("a")).await.unwrap();
    assert_eq!(two.pop(&id("a")).await.unwrap(), Popped::Removed);
}

#[tokio::test]
async fn a_reboot_voids_leases_without_counting_them() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([message("a", 0)])).await.unwrap();
    for round in 1..=7 {
        assert_eq!(journal.lease_next().await.unwrap().unwrap().delivery_count, round);
        folder.time.reboot();
    }
}

#[tokio::test]
async fn a_message_given_back_was_never_shown() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    one.commit(batch([message("a", 0)])).await.unwrap();
    for _ in 0..7 {
        assert_eq!(one.lease_next().await.unwrap().unwrap().delivery_count, 1);
        two.give_back(&id("a")).await.unwrap();
        assert_eq!(lease_name(&two).await, None, "only its own session gives it back");
        one.give_back(&id("a")).await.unwrap();
    }
    assert_eq!(two.lease_next().await.unwrap().unwrap().delivery_count, 1);
}

#[tokio::test]
async fn a_cancelled_lease_leaves_no_message_behind() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([message("a", 0)])).await.unwrap();
    for micros in [0, 1, 10, 50, 100, 200, 400, 800, 1600, 3000, 6000].repeat(5) {
        let cancelled = tokio::time::timeout(Duration::from_micros(micros), journal.lease_next()).await;
        if let Ok(entry) = cancelled {
            journal
                .give_back(&entry.unwrap().unwrap().message.activity_id)
                .await
                .unwrap();
        }
        eventually(async || {
            let entry = &journal.peek(1).await.unwrap()[0];
            entry.state == State::New && entry.delivery_count == 0
        })
        .await;
    }
}

#[tokio::test]
async fn waiting_on_an_empty_inbox_writes_nothing() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let files = || {
        ["molecule.db", "molecule.db-wal"].map(|name| {
            let found = std::fs::metadata(folder.path().join(name)).unwrap();
            (found.len(), found.modified().unwrap())
        })
    };
    let (before, changes) = (files(), journal.changes());
    for _ in 0..20 {
        assert_eq!(lease_name(&journal).await, None);
        assert!(journal.claim_pending(true).await.unwrap().is_empty());
        assert!(journal.peek(5).await.unwrap().is_empty());
    }
    assert_eq!(journal.prune().await.unwrap(), 0);
    assert_eq!(files(), before);
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test]
async fn whoever_finds_nothing_new_has_waited_for_no_other_process() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([message("a", 0)])).await.unwrap();
    lease_name(&journal).await.unwrap();
    let writer = rusqlite::Connection::open(folder.path().join("molecule.db")).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    // To ask for the right to write would fail in the end: nobody else gives it back.
    assert_eq!(lease_name(&journal).await, None);
    writer.execute_batch("ROLLBACK").unwrap();
}
