use std::collections::HashSet;
use std::time::Duration;

use crate::state::journal::fixture::{Folder, LEASE, ORIGIN, batch, delegate, end, eventually, id, message, peer};
use crate::state::journal::{Inboxes, Journal, Popped, Settings};
use crate::state::message::State;
use crate::types::WorkspaceId;

async fn open(folder: &Folder, workspaces: &[&str]) -> Vec<Journal> {
    let whose = workspaces.iter();
    let whose = whose.map(|name| (ORIGIN.to_owned(), WorkspaceId::parse(name).unwrap()));
    let settings = Settings {
        look_every: Duration::from_millis(20),
        clock: folder.time.clock(),
        ..Settings::with_lease(LEASE)
    };
    Journal::open_all(folder.path(), whose.collect(), settings)
        .await
        .unwrap()
}

/// The next message, as `workspace/id`.
async fn next(inboxes: &Inboxes) -> String {
    match inboxes.lease_next().await.unwrap() {
        Some(entry) => format!("{}/{}", entry.arrival.unwrap(), entry.message.activity_id),
        None => "none".to_owned(),
    }
}

#[tokio::test]
async fn inboxes_take_turns_so_that_a_flood_in_one_holds_up_no_other() {
    let folder = Folder::new();
    let journals = open(&folder, &["v", "w", "x"]).await;
    let inboxes = Inboxes::of(journals.clone());
    let flood = (0..5).map(|n| message(&format!("v{n}"), n));
    journals[0].commit(batch(flood)).await.unwrap();
    journals[2]
        .commit(batch([message("x0", 90), message("x1", 91)]))
        .await
        .unwrap();
    let mut order = Vec::new();
    for _ in 0..8 {
        order.push(next(&inboxes).await);
    }
    assert_eq!(order, ["v/v0", "x/x0", "v/v1", "x/x1", "v/v2", "v/v3", "v/v4", "none"]);
    assert_eq!(inboxes.counts().await.unwrap().leased, 7);
}

#[tokio::test]
async fn what_is_done_with_a_message_is_done_where_it_arrived() {
    let folder = Folder::new();
    let journals = open(&folder, &["v", "w"]).await;
    let inboxes = Inboxes::of(journals.clone());
    for (journal, name, after) in [(&journals[0], "a", 5), (&journals[1], "b", 1), (&journals[1], "c", 9)] {
        journal.commit(batch([message(name, after)])).await.unwrap();
    }
    let names = |entries: Vec<crate::state::message::Entry>| -> Vec<String> {
        entries
            .iter()
            .map(|entry| entry.message.activity_id.to_string())
            .collect()
    };
    assert_eq!(names(inboxes.peek(10).await.unwrap()), ["b", "a", "c"], "oldest first");
    assert_eq!(names(inboxes.peek(2).await.unwrap()), ["b", "a"]);
    assert_eq!(
        names(inboxes.list(None, 10, 1).await.unwrap()),
        ["a", "b"],
        "newest first"
    );
    let found = inboxes.find(&id("c")).await.unwrap().unwrap();
    assert_eq!(found.arrival.unwrap().as_str(), "w");
    let mark = inboxes.inbox_mark().await.unwrap();
    assert_eq!(inboxes.pop(&id("c")).await.unwrap(), Popped::Removed);
    assert_eq!(inboxes.pop(&id("z")).await.unwrap(), Popped::Unknown);
    assert_ne!(inboxes.inbox_mark().await.unwrap(), mark);
    assert_eq!(journals[1].find(&id("c")).await.unwrap().unwrap().state, State::Done);
    assert_eq!(next(&inboxes).await, "v/a");
    inboxes.give_back(&id("a")).await.unwrap();
    assert_eq!(journals[0].counts().await.unwrap().new, 1);
    let open = inboxes.still_open(["a", "b", "c"].map(id).to_vec()).await.unwrap();
    assert_eq!(open, [(id("a"), true), (id("b"), true)]);
    let reserved = inboxes
        .reserve_next(None, HashSet::from([id("a")]), |_| true)
        .await
        .unwrap();
    assert_eq!(reserved.unwrap().message.activity_id, id("b"));
    assert_eq!(inboxes.heard_from(&peer()).await.unwrap(), [0, 1]);
    let item = delegate(&journals[1], "work").await;
    assert_eq!(inboxes.sender_of(&item.id).await.unwrap(), Some(1));
    assert_eq!(inboxes.sender_of("nothing").await.unwrap(), None);
    let mut order = message("d", 9);
    order.delegation_id = Some("d-1".to_owned());
    journals[1].commit(batch([order])).await.unwrap();
    for (delegation, holder) in [(&*item.id, Some(1)), ("d-1", Some(1)), ("nothing", None)] {
        assert_eq!(inboxes.with_thread(delegation).await.unwrap(), holder, "{delegation}");
    }
}

#[tokio::test]
async fn one_change_anywhere_is_a_change_of_all_and_its_own_only() {
    let folder = Folder::new();
    let journals = open(&folder, &["v", "w"]).await;
    let inboxes = Inboxes::of(journals.clone());
    let (mut any, mut first) = (inboxes.changes(), journals[0].changes());
    any.borrow_and_update();
    first.borrow_and_update();
    journals[1].commit(batch([message("a", 0)])).await.unwrap();
    assert!(any.has_changed().unwrap() && !first.has_changed().unwrap());
    // Another process tells no more than that something was committed.
    let other = folder.open_for("v").await;
    other.commit(batch([message("b", 0)])).await.unwrap();
    eventually(async || first.has_changed().unwrap()).await;
}

#[tokio::test]
async fn leases_of_all_end_with_the_one_session() {
    let folder = Folder::new();
    let journals = open(&folder, &["v", "w"]).await;
    let inboxes = Inboxes::of(journals.clone());
    for journal in &journals {
        let name = journal.workspace().to_string();
        journal.commit(batch([message(&name, 0)])).await.unwrap();
    }
    let (one, two) = (next(&inboxes).await, next(&inboxes).await);
    assert_eq!([one, two], ["v/v", "w/w"]);
    let alone = folder.open_for("w").await;
    assert!(alone.lease_next().await.unwrap().is_none(), "it is another session's");
    assert_eq!(alone.sessions().await.unwrap(), 2);
    drop(inboxes);
    let mut journals = journals;
    let last = journals.pop().unwrap();
    drop(journals);
    end(last).await;
    let entry = alone.lease_next().await.unwrap().expect("it is offered again");
    assert_eq!((entry.message.activity_id, entry.arrival), (id("w"), None));
}
