use std::time::Duration;

use crate::state::journal::fixture::{Folder, PEER, START, batch, delegate, eventually, id, lease_name, message, peer};
use crate::state::journal::{Journal, Popped};
use crate::state::message::{Kind, Message};
use crate::state::outbox::{Change, Item, Progress};

fn accepted(delegation: &str) -> Change {
    Change {
        progress: Some(Progress::Accepted),
        delegation_id: Some(delegation.to_owned()),
        ..Change::default()
    }
}

fn correlated(name: &str, in_reply_to: &str) -> Message {
    let mut message = message(name, 1);
    message.in_reply_to = Some(in_reply_to.to_owned());
    message
}

async fn item(journal: &Journal, id: &str) -> Item {
    journal.outbox_item(id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_correlated_reply_from_the_target_settles_a_delegation() {
    let other = |mut message: Message| {
        message.peer_id = "5f0c1d2e-0000-4000-8000-000000000002".to_owned();
        message
    };
    let by_delegation = |reply_expected: Option<bool>| {
        let mut message = message("r", 1);
        message.delegation_id = Some("d".to_owned());
        message.reply_expected = reply_expected;
        message
    };
    let upper = |mut message: Message| {
        message.peer_id = PEER.to_ascii_uppercase();
        message
    };
    let late = |mut message: Message, hours: i64| {
        message.at = START.plus_micros(hours * 3_600_000_000);
        message
    };
    for (what, answer, settles) in [
        ("by the platform's id", correlated("r", "d"), true),
        ("by metadata", by_delegation(Some(false)), true),
        ("sender in upper case", upper(correlated("r", "d")), true),
        ("within a day", late(correlated("r", "d"), 24), true),
        ("after a day", late(correlated("r", "d"), 25), false),
        ("a task of its own", by_delegation(None), false),
        ("from somebody else", other(correlated("r", "d")), false),
        ("about something else", correlated("r", "e"), false),
        ("without any id", message("r", 1), false),
    ] {
        let folder = Folder::new();
        let journal = folder.open().await;
        let work = delegate(&journal, "build").await;
        journal.record(&work.id, accepted("d")).await.unwrap();
        journal.commit(batch([answer])).await.unwrap();
        let found = item(&journal, &work.id).await;
        if settles {
            assert_eq!(found.progress, Progress::Answered, "{what}");
            assert_eq!(found.answer.as_deref(), Some("text of r"), "{what}");
            assert_eq!(found.answer_activity, Some(id("r")), "{what}");
        } else {
            assert_eq!((found.progress, found.answer), (Progress::Accepted, None), "{what}");
        }
        assert_eq!(
            lease_name(&journal).await.as_deref(),
            Some("r"),
            "it is delivered in any case: {what}"
        );
    }
}

#[tokio::test]
async fn our_own_id_settles_too_and_an_answer_may_overtake_the_acceptance() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let by_own_id = delegate(&journal, "one").await;
    journal.commit(batch([correlated("r-1", &by_own_id.id)])).await.unwrap();
    assert_eq!(item(&journal, &by_own_id.id).await.progress, Progress::Answered);
    let overtaken = delegate(&journal, "two").await;
    journal.commit(batch([correlated("r-2", "d-2")])).await.unwrap();
    assert_eq!(item(&journal, &overtaken.id).await.progress, Progress::Pending);
    journal.record(&overtaken.id, accepted("d-2")).await.unwrap();
    let found = item(&journal, "d-2").await;
    assert_eq!(
        (found.progress, found.answer_activity),
        (Progress::Answered, Some(id("r-2")))
    );
}

#[tokio::test]
async fn the_platforms_record_settles_by_its_delegation() {
    for (text, status, expected) in [
        ("done", None, Progress::Answered),
        (
            "{\"status\":\"queued\",\"method\":\"message/send\"}",
            None,
            Progress::Delivered,
        ),
        ("no route", Some("error"), Progress::Failed),
    ] {
        let folder = Folder::new();
        let journal = folder.open().await;
        let work = delegate(&journal, "build").await;
        journal.record(&work.id, accepted("d")).await.unwrap();
        let mut record = message("r", 1);
        record.kind = Kind::DelegationResult;
        record.peer_id = "our-own-id".to_owned();
        record.delegation_id = Some("d".to_owned());
        record.text = text.to_owned();
        record.status = status.map(str::to_owned);
        journal.commit(batch([record])).await.unwrap();
        let found = item(&journal, "d").await;
        assert_eq!(found.progress, expected, "{text}");
        assert_eq!(found.answer.is_some(), expected == Progress::Answered);
        assert_eq!(found.detail.is_some(), expected == Progress::Failed);
    }
}

#[tokio::test]
async fn a_probable_answer_that_was_acknowledged_leaves_room_for_the_next() {
    let folder = Folder::new();
    let journal = folder.open().await;
    for (task, delegation, answer) in [
        ("build", "d-1", "one"),
        ("test", "d-2", "two"),
        ("ship", "d-3", "three"),
    ] {
        let work = delegate(&journal, task).await;
        journal.record(&work.id, accepted(delegation)).await.unwrap();
        journal.commit(batch([message(answer, 1)])).await.unwrap();
        let entry = journal.find(&id(answer)).await.unwrap().unwrap();
        assert_eq!(entry.maybe_reply_to.as_deref(), Some(delegation));
        journal.pop(&id(answer)).await.unwrap();
        assert_eq!(item(&journal, delegation).await.progress, Progress::Accepted);
    }
}

#[tokio::test]
async fn a_plain_message_may_answer_the_only_outstanding_delegation() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let work = delegate(&journal, "build").await;
    journal.commit(batch([message("early", 1)])).await.unwrap();
    journal.record(&work.id, accepted("d")).await.unwrap();
    journal
        .commit(batch([message("old", -60), message("maybe", 2)]))
        .await
        .unwrap();
    for (name, expected) in [("early", Some("d")), ("old", None), ("maybe", Some("d"))] {
        let entry = journal.find(&id(name)).await.unwrap().unwrap();
        assert_eq!(entry.maybe_reply_to.as_deref(), expected, "{name}");
    }
    assert_eq!(
        item(&journal, "d").await.progress,
        Progress::Accepted,
        "it settles nothing"
    );
    let found = journal
        .maybe_reply("d", &peer(), START.plus_micros(1_500_000))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.message.activity_id, id("maybe"));
    assert!(journal.maybe_reply("e", &peer(), START).await.unwrap().is_none());
    let second = delegate(&journal, "test").await;
    journal.record(&second.id, accepted("d-2")).await.unwrap();
    journal.commit(batch([message("which", 3)])).await.unwrap();
    assert_eq!(journal.find(&id("which")).await.unwrap().unwrap().maybe_reply_to, None);
    assert_eq!(journal.outstanding().await.unwrap().len(), 2);
    folder.time.advance(Duration::from_secs(25 * 3600));
    assert!(journal.outstanding().await.unwrap().is_empty());
    let recent = journal.recent_delegations(5).await.unwrap();
    assert_eq!([&recent[0].id, &recent[1].id], [&second.id, &work.id]);
}

#[tokio::test]
async fn an_awaited_answer_is_shown_to_nobody_else() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    let work = delegate(&one, "build").await;
    let (guard, second) = (
        one.await_answer(&work.id).await.unwrap(),
        one.await_answer(&work.id).await.unwrap(),
    );
    one.record(&work.id, accepted("d")).await.unwrap();
    two.commit(batch([
        message("maybe", 0),
        correlated("answer", "d"),
        message("other", 2),
    ]))
    .await
    .unwrap();
    assert_eq!(lease_name(&one).await.as_deref(), Some("other"));
    assert_eq!(lease_name(&two).await, None);
    drop(second);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(lease_name(&two).await, None, "the first call still waits");
    assert_eq!(
        one.settle_answer(&work.id, &id("other")).await.unwrap(),
        Popped::Unknown
    );
    assert_eq!(
        one.settle_answer(&work.id, &id("answer")).await.unwrap(),
        Popped::Removed
    );
    drop(guard);
    eventually(async || lease_name(&two).await.as_deref() == Some("maybe")).await;
    assert_eq!(
        two.settle_answer(&work.id, &id("maybe")).await.unwrap(),
        Popped::Removed
    );
}

#[tokio::test]
async fn an_answer_awaited_by_an_ended_session_is_shown() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    let work = delegate(&one, "build").await;
    let guard = one.await_answer(&work.id).await.unwrap();
    one.record(&work.id, accepted("d")).await.unwrap();
    one.commit(batch([correlated("answer", "d")])).await.unwrap();
    assert_eq!(lease_name(&two).await, None);
    // As when the process is killed: the lock is free, and the claim is still written down.
    std::fs::remove_file(one.inner.store().sessions().lock_file()).unwrap();
    // The others drop it unasked, and that wakes whoever waits.
    let reader = rusqlite::Connection::open(folder.path().join("molecule.db")).unwrap();
    let claims = "SELECT count(*) FROM outbox WHERE awaited_by IS NOT NULL";
    eventually(async || reader.query_row(claims, [], |row| row.get(0)) == Ok(0)).await;
    eventually(async || lease_name(&two).await.as_deref() == Some("answer")).await;
    drop(guard);
}

#[tokio::test]
async fn a_message_says_which_delegation_of_ours_it_answers_and_whether_that_is_certain() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let work = delegate(&journal, &"é".repeat(300)).await;
    journal.record(&work.id, accepted("d")).await.unwrap();
    let theirs = |mut message: Message| {
        message.delegation_id = Some("d".to_owned());
        message
    };
    let mut foreign = correlated("foreign", "d");
    foreign.peer_id = "5f0c1d2e-0000-4000-8000-000000000002".to_owned();
    let messages = [
        message("plain", 1),
        foreign,
        theirs(message("task-with-the-same-id", 1)),
        correlated("reply", "d"),
        correlated("more", &work.id),
    ];
    journal.commit(batch(messages)).await.unwrap();
    let answers = async |name: &str| journal.find(&id(name)).await.unwrap().unwrap().answers;
    for (name, certain) in [
        ("plain", Some(false)),
        ("foreign", None),
        ("task-with-the-same-id", None),
        ("reply", Some(true)),
        ("more", Some(true)),
    ] {
        let found = answers(name).await;
        assert_eq!(found.as_ref().map(|answers| answers.certain), certain, "{name}");
        if let Some(found) = found {
            assert_eq!(
                (found.handle.as_str(), found.delegation_id.as_deref()),
                (work.id.as_str(), Some("d"))
            );
            assert_eq!(found.task, "é".repeat(250));
        }
    }
}

#[tokio::test]
async fn the_daemons_own_word_about_an_end_says_which_delegation_it_is_about() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let work = delegate(&journal, "build").await;
    let failed = Change {
        progress: Some(Progress::Failed),
        detail: Some("no route".to_owned()),
        ..Change::default()
    };
    journal.record(&work.id, failed).await.unwrap();
    let told = journal.lease_next().await.unwrap().unwrap();
    assert_eq!(told.message.kind, Kind::DelegationResult);
    let answers = told.answers.unwrap();
    assert_eq!(
        (answers.handle, answers.delegation_id, answers.certain),
        (work.id, None, true)
    );
}
