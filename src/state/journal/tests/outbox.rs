use std::time::Duration;

use crate::state::journal::fixture::{Folder, LEASE, batch, delegate, end, id, lease_name, message, peer};
use crate::state::journal::{Journal, Popped};
use crate::state::message::Kind;
use crate::state::outbox::{Change, Enqueued, Item, Progress, Work};

fn task(text: &str) -> Work {
    Work::Delegate {
        target: peer(),
        task: text.to_owned(),
    }
}

fn reply(text: &str) -> Work {
    Work::ReplyToPeer {
        target: peer(),
        text: text.to_owned(),
        in_reply_to: "m".to_owned(),
        delegation_id: None,
        context_id: None,
    }
}

fn to_user(text: &str) -> Work {
    Work::NotifyUser {
        text: text.to_owned(),
        parcel: None,
    }
}

fn progress(progress: Progress) -> Change {
    Change {
        progress: Some(progress),
        ..Change::default()
    }
}

fn accepted(delegation: &str) -> Change {
    Change {
        delegation_id: Some(delegation.to_owned()),
        ..progress(Progress::Accepted)
    }
}

async fn item(journal: &Journal, id: &str) -> Item {
    journal.outbox_item(id).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_same_delegation_is_not_made_twice() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let first = delegate(&journal, "build").await;
    let again = journal.enqueue(task("build"), None, None).await.unwrap();
    assert_eq!(again, Enqueued::Existing(first));
    delegate(&journal, "test").await;
}

#[tokio::test]
async fn a_delegation_stands_in_the_way_of_its_repetition_for_as_long_as_it_may_be_under_way() {
    let day = 24 * 3600;
    for (became, last_second) in [
        (Progress::Accepted, Some(day - 1)),
        (Progress::Delivered, Some(day - 1)),
        (Progress::Unknown, Some(day - 1)),
        (Progress::Answered, Some(119)),
        (Progress::Failed, None),
    ] {
        let folder = Folder::new();
        let journal = folder.open().await;
        let first = delegate(&journal, "build").await;
        journal.record(&first.id, progress(became)).await.unwrap();
        if let Some(secs) = last_second {
            folder.time.advance(Duration::from_secs(secs));
            let again = journal.enqueue(task("build"), None, None).await.unwrap();
            assert!(matches!(again, Enqueued::Existing(_)), "{became:?}");
            folder.time.advance(Duration::from_secs(1));
        }
        let anew = journal.enqueue(task("build"), None, None).await.unwrap();
        assert!(matches!(anew, Enqueued::New(_)), "{became:?}");
    }
}

#[tokio::test]
async fn the_end_of_a_delegation_that_no_message_told_of_is_told_once_in_the_inbox() {
    for (became, status) in [
        (Progress::Answered, None),
        (Progress::Failed, Some("error")),
        (Progress::Unknown, Some("unknown")),
    ] {
        let folder = Folder::new();
        let journal = folder.open().await;
        let work = delegate(&journal, "build").await;
        journal.record(&work.id, accepted("d")).await.unwrap();
        let end = Change {
            answer: Some("words".to_owned()),
            detail: Some("words".to_owned()),
            ..progress(became)
        };
        let awaited = journal.await_answer(&work.id).await.unwrap();
        journal.record(&work.id, end.clone()).await.unwrap();
        assert_eq!(lease_name(&journal).await, None, "a call waits for it");
        drop(awaited);
        journal.record(&work.id, end).await.unwrap();
        let told = journal.peek(9).await.unwrap();
        let [entry] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(entry.message.kind, Kind::DelegationResult);
        assert_eq!(
            (entry.message.text.as_str(), entry.message.status.as_deref()),
            ("words", status)
        );
        assert_eq!(entry.message.delegation_id.as_deref(), Some("d"));
        // The platform's own record of the same brings nothing new.
        let mut record = message("record", 5);
        record.kind = Kind::DelegationResult;
        record.delegation_id = Some("d".to_owned());
        record.text = "words".to_owned();
        record.status = status.map(str::to_owned);
        journal.commit(batch([record])).await.unwrap();
        let shown = journal.peek(9).await.unwrap().len();
        assert_eq!(shown, if became == Progress::Unknown { 2 } else { 1 });
        let item = item(&journal, &work.id).await;
        let message = item.answer_activity.unwrap();
        assert_eq!(
            journal.settle_answer(&work.id, &message).await.unwrap(),
            Popped::Removed
        );
    }
}

#[tokio::test]
async fn an_echo_belongs_to_the_oldest_message_with_its_text() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let mut ids = Vec::new();
    for (after_secs, became) in [
        (0, Progress::Accepted),
        (3600, Progress::Failed),
        (1, Progress::Accepted),
        (500, Progress::Unknown),
        (60, Progress::Pending),
        (1, Progress::Pending),
    ] {
        folder.time.advance(Duration::from_secs(after_secs));
        let Enqueued::New(work) = journal.enqueue(to_user("done"), None, None).await.unwrap() else {
            panic!("a message to the person is no repetition")
        };
        journal.begin_attempt(&work.id).await.unwrap();
        journal.record(&work.id, progress(became)).await.unwrap();
        ids.push(work);
    }
    journal.enqueue(to_user("other"), None, None).await.unwrap();
    // What was accepted an hour before cannot have its echo in the span.
    let since = ids[2].created.plus_micros(-60_000_000);
    assert_eq!(journal.echoes_of_others(&ids[4].id).await.unwrap(), (since, 2));
    assert_eq!(journal.echoes_of_others(&ids[5].id).await.unwrap(), (since, 3));
}

#[tokio::test]
async fn a_request_id_makes_a_request_of_its_own_and_repeats_itself() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let first = delegate(&journal, "build").await;
    let with = |id: &str| Some(id.to_owned());
    let Enqueued::New(second) = journal.enqueue(task("build"), None, with("r-1")).await.unwrap() else {
        panic!("another request")
    };
    assert_ne!(second.id, first.id);
    journal.record(&second.id, progress(Progress::Failed)).await.unwrap();
    folder.time.advance(Duration::from_secs(600));
    let Enqueued::Existing(same) = journal.enqueue(task("build"), None, with("r-1")).await.unwrap() else {
        panic!("the same request")
    };
    assert_eq!(same.id, second.id);
    assert!(matches!(
        journal.enqueue(task("build"), None, with("r-2")).await.unwrap(),
        Enqueued::New(_)
    ));
}

#[tokio::test]
async fn a_reply_is_repeated_only_after_it_failed() {
    for (state, repeated) in [
        (Progress::Pending, false),
        (Progress::Accepted, false),
        (Progress::DeliveredUnconfirmed, false),
        (Progress::Failed, true),
        (Progress::Unknown, true),
    ] {
        for work in [reply("yes"), to_user("yes")] {
            let folder = Folder::new();
            let journal = folder.open().await;
            let Enqueued::New(first) = journal.enqueue(work.clone(), Some(id("a")), None).await.unwrap() else {
                panic!("the first reply")
            };
            journal.record(&first.id, progress(state)).await.unwrap();
            let second = journal.enqueue(work.clone(), Some(id("a")), None).await.unwrap();
            assert_eq!(matches!(second, Enqueued::New(_)), repeated, "{state:?}");
            assert!(matches!(
                journal.enqueue(work, Some(id("b")), None).await.unwrap(),
                Enqueued::New(_)
            ));
            assert!(matches!(
                journal.enqueue(reply("no"), Some(id("a")), None).await.unwrap(),
                Enqueued::New(_)
            ));
        }
    }
}

#[tokio::test]
async fn plain_messages_to_the_person_are_never_taken_for_repeats() {
    let folder = Folder::new();
    let journal = folder.open().await;
    for _ in 0..2 {
        assert!(matches!(
            journal.enqueue(to_user("hello"), None, None).await.unwrap(),
            Enqueued::New(_)
        ));
    }
}

#[tokio::test]
async fn pending_work_belongs_to_its_session_until_that_ends() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    let work = delegate(&one, "build").await;
    one.begin_attempt(&work.id).await.unwrap();
    assert!(two.claim_pending(true).await.unwrap().is_empty());
    assert_eq!(one.claim_pending(false).await.unwrap()[0].attempts, 1);
    end(one).await;
    assert!(two.claim_pending(false).await.unwrap().is_empty());
    let claimed = two.claim_pending(true).await.unwrap();
    assert_eq!((claimed[0].id.as_str(), claimed[0].attempts), (work.id.as_str(), 1));
    assert_eq!(claimed[0].work, task("build"));
    assert_eq!(two.claim_pending(false).await.unwrap().len(), 1, "it is ours now");
    two.record(&work.id, accepted("d")).await.unwrap();
    assert!(two.claim_pending(true).await.unwrap().is_empty());
}

#[tokio::test]
async fn progress_only_moves_on() {
    use Progress::{Accepted, Answered, Delivered, DeliveredUnconfirmed, Failed, Pending, Unknown};
    for (from, to, moves) in [
        (Pending, Accepted, true),
        (Pending, Delivered, true),
        (Pending, Unknown, true),
        (Accepted, Pending, false),
        (Accepted, Delivered, true),
        (Delivered, Accepted, false),
        (Delivered, Answered, true),
        (Accepted, DeliveredUnconfirmed, true),
        (Answered, Failed, false),
        (Failed, Answered, false),
        (DeliveredUnconfirmed, Answered, false),
        (Unknown, Answered, true),
        (Unknown, Failed, true),
        (Unknown, Accepted, false),
        (Answered, Answered, false),
    ] {
        let folder = Folder::new();
        let journal = folder.open().await;
        let work = delegate(&journal, "build").await;
        journal.record(&work.id, progress(from)).await.unwrap();
        let change = Change {
            answer: Some("late".to_owned()),
            detail: Some("late".to_owned()),
            delegation_id: Some("d".to_owned()),
            ..progress(to)
        };
        journal.record(&work.id, change).await.unwrap();
        let found = item(&journal, &work.id).await;
        assert_eq!(found.progress, if moves { to } else { from }, "{from:?} {to:?}");
        assert_eq!(found.answer.is_some(), moves, "{from:?} {to:?}");
        assert_eq!(found.delegation_id.as_deref(), Some("d"), "an id is never too late");
        assert_eq!(item(&journal, "d").await.id, work.id);
    }
}

#[tokio::test]
async fn an_accepted_reply_acknowledges_its_message_in_the_same_commit() {
    let settle = || Change {
        settle_reply: true,
        ..progress(Progress::Accepted)
    };
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    one.commit(batch(["new", "mine", "theirs"].map(|name| message(name, 0))))
        .await
        .unwrap();
    assert_eq!(lease_name(&one).await.as_deref(), Some("new"));
    one.give_back(&id("new")).await.unwrap();
    two.pop(&id("new")).await.unwrap();
    one.commit(batch([message("fresh", 0)])).await.unwrap();
    assert_eq!(lease_name(&one).await.as_deref(), Some("mine"));
    assert_eq!(lease_name(&two).await.as_deref(), Some("theirs"));
    for (name, expected) in [
        ("fresh", Popped::AlreadyDone),
        ("mine", Popped::AlreadyDone),
        ("theirs", Popped::Removed),
    ] {
        let Enqueued::New(work) = one.enqueue(reply(name), Some(id(name)), None).await.unwrap() else {
            panic!("a new reply")
        };
        one.record(&work.id, settle()).await.unwrap();
        assert_eq!(two.pop(&id(name)).await.unwrap(), expected, "{name}");
    }
    // A refused reply acknowledges nothing, not even when an acceptance is reported afterwards.
    one.commit(batch([message("later", 5)])).await.unwrap();
    let Enqueued::New(work) = one.enqueue(reply("x"), Some(id("later")), None).await.unwrap() else {
        panic!("a new reply")
    };
    one.record(&work.id, progress(Progress::Failed)).await.unwrap();
    one.record(&work.id, settle()).await.unwrap();
    assert_eq!(one.pop(&id("later")).await.unwrap(), Popped::Removed);
}

#[tokio::test]
async fn a_lease_does_not_outlive_an_outbox_that_is_reopened() {
    let folder = Folder::new();
    let one = folder.open().await;
    one.commit(batch([message("a", 0)])).await.unwrap();
    lease_name(&one).await.unwrap();
    let Enqueued::New(work) = one.enqueue(reply("yes"), Some(id("a")), None).await.unwrap() else {
        panic!("a new reply")
    };
    end(one).await;
    folder.time.advance(LEASE / 2);
    let two = folder.open().await;
    assert_eq!(two.claim_pending(true).await.unwrap()[0].id, work.id);
    let change = Change {
        settle_reply: true,
        ..progress(Progress::Accepted)
    };
    two.record(&work.id, change).await.unwrap();
    assert_eq!(two.pop(&id("a")).await.unwrap(), Popped::AlreadyDone);
    assert_eq!(lease_name(&two).await, None);
}
