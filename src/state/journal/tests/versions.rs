//! Journals of earlier versions are understood by this one, with everything that is in them.

use std::fs;

use rusqlite::Connection;

use crate::state::journal::Popped;
use crate::state::journal::fixture::{Folder, batch, id, lease_name, message, peer};
use crate::state::message::State;
use crate::state::outbox::{Progress, Work};

const FIRST: &str = include_str!("version-1.sql");

/// A folder with this journal, left by another session.
fn folder_with(journal: &str) -> Folder {
    let folder = Folder::new();
    let conn = Connection::open(folder.path().join("molecule.db")).unwrap();
    conn.execute_batch(journal).unwrap();
    fs::write(folder.path().join("molecule.db.lock"), "made").unwrap();
    folder
}

#[tokio::test]
async fn messages_of_the_first_version_are_where_they_were() {
    let folder = folder_with(FIRST);
    let journal = folder.open().await;
    assert!(journal.replaced().is_none() && !journal.recovery_wanted().await.unwrap());
    let cursor = journal.cursor().await.unwrap().unwrap();
    let done = message("done", 2);
    assert_eq!((cursor.id, cursor.at, cursor.seq), (id("done"), done.at, Some(17)));
    assert_eq!(journal.last_poll().await.unwrap(), Some(done.at));

    for (name, after_secs, state) in [
        ("new", 1, State::New),
        ("leased", 0, State::New),
        ("done", 2, State::Done),
        ("held", 3, State::Held),
        ("recovered", 4, State::Recovered),
    ] {
        let entry = journal.find(&id(name)).await.unwrap().unwrap();
        assert_eq!((entry.message, entry.state), (message(name, after_secs), state));
    }
    let aside = journal.find(&id("repeated-again")).await.unwrap().unwrap();
    assert_eq!((aside.message.activity_id, aside.state), (id("repeated"), State::Aside));
    // The session that held it has ended.
    assert_eq!(lease_name(&journal).await.as_deref(), Some("leased"));
    let again = ["new", "leased", "done", "held", "recovered"].map(|name| message(name, 0));
    assert_eq!(journal.commit(batch(again)).await.unwrap().added, 0);
    assert!(!journal.announce("said once", "a-name").await.unwrap());
    assert_eq!(journal.pop(&id("done")).await.unwrap(), Popped::AlreadyDone);
    assert_eq!(journal.pop(&id("repeated")).await.unwrap(), Popped::Removed);
}

#[tokio::test]
async fn outgoing_work_of_the_first_version_goes_on() {
    let folder = folder_with(FIRST);
    let journal = folder.open().await;
    let pending = journal.claim_pending(true).await.unwrap();
    let works: Vec<_> = pending.iter().map(|item| &item.work).collect();
    let expected = [
        Work::Delegate {
            target: peer(),
            task: "pending work".to_owned(),
        },
        Work::NotifyUser {
            text: "to the person".to_owned(),
            parcel: None,
        },
        Work::ReplyToPeer {
            target: peer(),
            text: "to the peer".to_owned(),
            in_reply_to: "m".to_owned(),
            delegation_id: Some("d-9".to_owned()),
            context_id: Some("c".to_owned()),
        },
    ];
    assert_eq!(works, expected.iter().collect::<Vec<_>>());
    let answered = journal.outbox_item("d-1").await.unwrap().unwrap();
    assert_eq!(
        (answered.progress, answered.answer.as_deref()),
        (Progress::Answered, Some("the answer"))
    );
    let accepted = journal.outbox_item("d-2").await.unwrap().unwrap();
    assert_eq!(accepted.progress, Progress::Accepted);
}
