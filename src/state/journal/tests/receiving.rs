use std::time::Duration;

use crate::state::journal::fixture::{Folder, START, batch, delegate, end, eventually, id, lease_name, message};
use crate::state::journal::{Batch, Committed, Cursor, Popped};
use crate::state::message::{Message, State};
use crate::state::outbox::{Change, Progress};
use crate::types::Timestamp;

const DAY: i64 = 24 * 3600;

fn identified(name: &str, after_secs: i64, message_id: &str, digest: &str) -> Message {
    let mut message = message(name, after_secs);
    message.message_id = Some(message_id.to_owned());
    message.digest = Some(digest.to_owned());
    message
}

async fn lease_all(journal: &crate::state::journal::Journal) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(name) = lease_name(journal).await {
        names.push(name);
    }
    names
}

#[tokio::test]
async fn messages_come_oldest_first_and_equal_times_in_the_order_of_reading() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let rows = [("late", 9), ("tie-2", 5), ("tie-1", 5), ("early", 1)].map(|(name, at)| message(name, at));
    let committed = journal.commit(batch(rows.clone())).await.unwrap();
    assert_eq!(committed, Committed { added: 4, repeats: 0 });
    assert_eq!(journal.commit(batch(rows)).await.unwrap(), Committed::default());
    assert_eq!(lease_all(&journal).await, ["early", "tie-2", "tie-1", "late"]);
}

#[tokio::test]
async fn a_message_comes_back_exactly_as_it_was() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let mut full = identified("full", 3, "m-1", "d-1");
    full.text = "line\nbreak \u{202e} \"quotes\" \u{fffd} 🦀".to_owned();
    full.seq = Some(i64::MAX);
    full.reply_expected = Some(true);
    full.attachments = vec![serde_json::json!({"kind": "file", "name": "a.txt"})];
    full.status = Some("error".to_owned());
    journal.commit(batch([full.clone()])).await.unwrap();
    end(journal).await;
    let journal = folder.open().await;
    assert_eq!(journal.lease_next().await.unwrap().unwrap().message, full);
}

#[tokio::test]
async fn a_repeat_needs_sender_id_content_and_a_day() {
    let other_peer = |mut message: Message| {
        message.peer_id = "5f0c1d2e-0000-4000-8000-000000000002".to_owned();
        message
    };
    for (what, second, stored) in [
        ("all equal", identified("b", 10, "m", "d"), false),
        ("a day later", identified("b", DAY, "m", "d"), false),
        ("over a day later", identified("b", DAY + 1, "m", "d"), true),
        ("a day earlier", identified("b", -DAY, "m", "d"), false),
        ("other content", identified("b", 10, "m", "e"), true),
        ("other id", identified("b", 10, "n", "d"), true),
        ("other sender", other_peer(identified("b", 10, "m", "d")), true),
        ("no id", message("b", 10), true),
    ] {
        let folder = Folder::new();
        let journal = folder.open().await;
        journal.commit(batch([identified("a", 0, "m", "d")])).await.unwrap();
        let committed = journal.commit(batch([second])).await.unwrap();
        let expected = Committed {
            added: usize::from(stored),
            repeats: usize::from(!stored),
        };
        assert_eq!(committed, expected, "{what}");
        let known = journal.known(vec![id("a"), id("b"), id("c")]).await.unwrap();
        assert_eq!(known, [id("a"), id("b")].into(), "{what}");
    }
}

#[tokio::test]
async fn a_repeat_within_one_batch_is_dropped_and_its_id_stands_for_the_original() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let rows = [identified("a", 0, "m", "d"), identified("b", 0, "m", "d")];
    assert_eq!(
        journal.commit(batch(rows)).await.unwrap(),
        Committed { added: 1, repeats: 1 }
    );
    assert_eq!(
        journal.find(&id("b")).await.unwrap().unwrap().message.activity_id,
        id("a")
    );
    assert_eq!(journal.pop(&id("b")).await.unwrap(), Popped::Removed);
    assert_eq!(journal.pop(&id("a")).await.unwrap(), Popped::AlreadyDone);
}

#[tokio::test]
async fn held_messages_are_offered_only_when_released_and_then_oldest_first() {
    let folder = Folder::new();
    let journal = folder.open().await;
    for (name, at) in [("newest", 30), ("middle", 20)] {
        let page = Batch {
            hold: true,
            ..batch([message(name, at)])
        };
        journal.commit(page).await.unwrap();
    }
    assert_eq!(lease_name(&journal).await, None);
    assert!(journal.peek(10).await.unwrap().is_empty());
    assert_eq!(journal.pop(&id("middle")).await.unwrap(), Popped::Unknown);
    assert_eq!(journal.counts().await.unwrap().held, 2);
    end(journal).await;
    let journal = folder.open().await;
    let last = Batch {
        hold: true,
        release: true,
        ..batch([message("oldest", 10), message("middle", 20)])
    };
    assert_eq!(journal.commit(last).await.unwrap().added, 1);
    assert_eq!(lease_all(&journal).await, ["oldest", "middle", "newest"]);
}

#[tokio::test]
async fn cursor_and_poll_time_survive_and_move_with_the_messages() {
    let folder = Folder::new();
    let journal = folder.open().await;
    assert_eq!(journal.cursor().await.unwrap(), None);
    assert_eq!(journal.last_poll().await.unwrap(), None);
    let cursor = Cursor {
        id: id("a"),
        at: START,
        seq: Some(4),
    };
    let first = Batch {
        cursor: Some(cursor.clone()),
        polled: Some(Timestamp(77)),
        ..batch([message("a", 0)])
    };
    journal.commit(first).await.unwrap();
    end(journal).await;
    let journal = folder.open().await;
    assert_eq!(journal.cursor().await.unwrap(), Some(cursor));
    assert_eq!(journal.last_poll().await.unwrap(), Some(Timestamp(77)));
    let forget = Batch {
        forget_cursor: true,
        ..Batch::default()
    };
    journal.commit(forget).await.unwrap();
    assert_eq!(journal.cursor().await.unwrap(), None);
    assert_eq!(journal.last_poll().await.unwrap(), Some(Timestamp(77)));
}

#[tokio::test]
async fn workspaces_and_platforms_share_a_file_but_nothing_in_it() {
    let folder = Folder::new();
    let (one, two) = (folder.open_for("one").await, folder.open_for("two").await);
    one.commit(batch([message("a", 0)])).await.unwrap();
    assert_eq!(lease_name(&two).await, None);
    assert!(two.known(vec![id("a")]).await.unwrap().is_empty());
    two.commit(batch([message("a", 0)])).await.unwrap();
    assert_eq!(two.pop(&id("a")).await.unwrap(), Popped::Removed);
    assert_eq!(lease_name(&one).await.as_deref(), Some("a"));
}

#[tokio::test]
async fn recovered_messages_are_listed_and_not_offered_until_requeued() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let older = Batch {
        recovered: true,
        ..batch([message("a", 0), message("b", 1)])
    };
    journal.commit(older).await.unwrap();
    assert_eq!(lease_name(&journal).await, None);
    let listed = journal.list(Some(State::Recovered), 10, 0).await.unwrap();
    let names: Vec<_> = listed.iter().map(|entry| entry.message.activity_id.as_str()).collect();
    assert_eq!(names, ["b", "a"], "newest first");
    assert_eq!(journal.list(None, 1, 1).await.unwrap().len(), 1);
    assert!(journal.requeue(&id("a")).await.unwrap());
    assert!(!journal.requeue(&id("a")).await.unwrap());
    assert_eq!(lease_name(&journal).await.as_deref(), Some("a"));
}

#[tokio::test]
async fn an_announcement_is_made_once_for_each_name() {
    let folder = Folder::new();
    let journal = folder.open().await;
    assert!(journal.announce("gone", "removed").await.unwrap());
    assert!(!journal.announce("gone", "removed").await.unwrap());
    assert!(journal.announce("gone", "removed again").await.unwrap());
    let entry = journal.lease_next().await.unwrap().unwrap();
    assert_eq!(entry.message.kind, crate::state::message::Kind::System);
    assert!(entry.message.activity_id.as_str().starts_with("local:"));
    assert_eq!(entry.message.text, "gone");
}

#[tokio::test]
async fn handled_things_are_forgotten_after_thirty_days_and_the_file_shrinks() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let mut rows: Vec<Message> = (0..1200).map(|n| message(&format!("m-{n}"), n)).collect();
    for row in &mut rows {
        row.text = "x".repeat(2000);
    }
    journal.commit(batch(rows)).await.unwrap();
    for n in 0..1199 {
        assert_eq!(journal.pop(&id(&format!("m-{n}"))).await.unwrap(), Popped::Removed);
    }
    for (days, removed) in [(29_u64, 0), (31, 1199)] {
        folder.time.advance(Duration::from_secs(days * 24 * 3600));
        let newer = message(&format!("after-{days}-days"), days.cast_signed() * DAY);
        journal.commit(batch([newer])).await.unwrap();
        assert_eq!(journal.prune().await.unwrap(), removed);
    }
    assert_eq!(
        lease_name(&journal).await.as_deref(),
        Some("m-1199"),
        "what is not handled stays"
    );
    end(journal).await;
    let size = std::fs::metadata(folder.path().join("molecule.db")).unwrap().len();
    assert!(size < 1_000_000, "{size}");
}

#[tokio::test]
async fn the_file_does_not_grow_beyond_what_a_month_brings() {
    const EACH_DAY: i64 = 8;
    const TEXT: usize = 20_000;
    let folder = Folder::in_memory();
    let journal = folder.open().await;
    let size = |name: &str| std::fs::metadata(folder.path().join(name)).map_or(0, |found| found.len());
    let (mut largest, mut largest_log) = (0, 0);
    for day in 0..120 {
        let names: Vec<String> = (0..EACH_DAY).map(|n| format!("m-{day}-{n}")).collect();
        let rows = names.iter().zip(0..).map(|(name, n)| {
            let mut row = message(name, day * DAY + n);
            row.text = "x".repeat(TEXT);
            row
        });
        journal.commit(batch(rows)).await.unwrap();
        for name in &names {
            assert_eq!(journal.pop(&id(name)).await.unwrap(), Popped::Removed);
        }
        let sent = delegate(&journal, &format!("{day} {}", "y".repeat(TEXT))).await;
        let change = Change {
            progress: Some(Progress::Failed),
            ..Change::default()
        };
        journal.record(&sent.id, change).await.unwrap();
        folder.time.advance(Duration::from_secs(DAY.cast_unsigned()));
        journal.prune().await.unwrap();
        largest = largest.max(size("molecule.db"));
        largest_log = largest_log.max(size("molecule.db-wal"));
    }
    // A month's content and two days, each text on whole pages; four times as much came.
    let month = 33 * (EACH_DAY.cast_unsigned() + 1) * 6 * 4096;
    assert!(largest < month * 5 / 4, "{largest} of {month}");
    assert!(largest > month / 2, "{largest}: it remembers a month");
    assert!(largest_log < 16 << 20, "{largest_log}");
}

#[tokio::test]
async fn no_wrong_clock_makes_the_journal_forget_what_was_handled_lately() {
    let far_future = 100 * 365 * DAY;
    // Our clock, or the platform's time of one odd row.
    for (jump, claimed) in [(far_future, 1), (1, far_future)] {
        let folder = Folder::new();
        let journal = folder.open().await;
        let rows = [message("a", 0), message("b", 1), message("odd", claimed)];
        journal.commit(batch(rows)).await.unwrap();
        journal.pop(&id("a")).await.unwrap();
        folder.time.advance(Duration::from_secs(jump.cast_unsigned()));
        journal.announce("said by the wrong clock", "x").await.unwrap();
        journal.pop(&id("b")).await.unwrap();
        assert_eq!(journal.prune().await.unwrap(), 0, "{jump} {claimed}");
        for row in [message("a", 0), message("b", 1)] {
            assert_eq!(journal.commit(batch([row])).await.unwrap().added, 0);
        }
    }
}

#[tokio::test]
async fn a_message_acknowledged_while_the_clock_was_far_behind_is_remembered() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let today = 60 * DAY;
    journal.commit(batch([message("a", today)])).await.unwrap();
    journal.pop(&id("a")).await.unwrap();
    folder.time.advance(Duration::from_secs(today.cast_unsigned()));
    assert_eq!(journal.prune().await.unwrap(), 0);
}

#[tokio::test]
async fn the_journal_keeps_itself_tidy() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([message("old", 0)])).await.unwrap();
    journal.pop(&id("old")).await.unwrap();
    let tidying = tokio::spawn(journal.clone().keep_tidy(Duration::from_millis(20)));
    for round in 1..=2 {
        let next = message(&format!("m-{round}"), round * 31 * DAY);
        journal.commit(batch([next])).await.unwrap();
        folder.time.advance(Duration::from_secs(31 * 24 * 3600));
        eventually(async || journal.list(Some(State::Done), 9, 0).await.unwrap().is_empty()).await;
        journal.pop(&id(&format!("m-{round}"))).await.unwrap();
        assert_eq!(journal.list(Some(State::Done), 9, 0).await.unwrap().len(), 1);
    }
    tidying.abort();
}

#[tokio::test]
async fn ten_thousand_messages_are_all_there() {
    let folder = Folder::new();
    let journal = folder.open().await;
    for page in 0..20 {
        let rows = (0..500).map(|n| {
            let name = format!("m-{page}-{n}");
            identified(&name, page * 500 + n, &name, "d")
        });
        assert_eq!(journal.commit(batch(rows)).await.unwrap().added, 500);
    }
    assert_eq!(journal.counts().await.unwrap().new, 10_000);
}
