use std::time::Duration;

use crate::state::history::{Ask, Said};
use crate::state::journal::fixture::{Folder, PEER, START, batch, delegate, id, message, peer};
use crate::state::journal::{Batch, Journal};
use crate::state::message::{Kind, Message};
use crate::state::outbox::{Change, Enqueued, Work};
use crate::types::Partner;

const OTHER: &str = "5f0c1d2e-0000-4000-8000-000000000002";

fn from(peer: &str, mut message: Message) -> Message {
    message.peer_id = peer.to_owned();
    message
}

fn from_the_person(mut message: Message) -> Message {
    message.peer_id.clear();
    message.kind = Kind::CanvasUser;
    message
}

fn saying(text: &str, mut message: Message) -> Message {
    message.text = text.to_owned();
    message
}

fn with(partner: &str) -> Ask {
    Ask {
        with: Some(Partner::parse(partner).unwrap()),
        limit: 500,
        ..Ask::default()
    }
}

fn for_words(words: &str) -> Ask {
    Ask {
        words: Some(words.to_owned()),
        limit: 500,
        ..Ask::default()
    }
}

/// What was said, as ids of messages and texts of what went out, newest first.
async fn said(journal: &Journal, ask: Ask) -> Vec<String> {
    let said = journal.history(ask).await.unwrap();
    said.iter().map(name).collect()
}

fn name(said: &Said) -> String {
    match said {
        Said::Received(entry) => entry.message.activity_id.to_string(),
        Said::Sent(item) => match &item.work {
            Work::Delegate { task: text, .. } | Work::ReplyToPeer { text, .. } | Work::NotifyUser { text, .. } => {
                text.clone()
            }
        },
    }
}

async fn send(journal: &Journal, work: Work) {
    let sent = journal.enqueue(work, None, None).await.unwrap();
    assert!(matches!(sent, Enqueued::New(_)));
}

fn reply(text: &str, delegation: Option<&str>) -> Work {
    Work::ReplyToPeer {
        target: peer(),
        text: text.to_owned(),
        in_reply_to: "m".to_owned(),
        delegation_id: delegation.map(str::to_owned),
        context_id: None,
    }
}

fn notice(text: &str) -> Work {
    Work::NotifyUser {
        text: text.to_owned(),
        parcel: None,
    }
}

#[tokio::test]
async fn a_conversation_has_both_sides_in_order_and_only_its_partner() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let upper = PEER.to_ascii_uppercase();
    journal
        .commit(batch([
            from(&upper, message("p-1", -30)),
            from(OTHER, message("o-1", -20)),
            from_the_person(message("u-1", -10)),
        ]))
        .await
        .unwrap();
    delegate(&journal, "task").await;
    folder.time.advance(Duration::from_secs(10));
    send(&journal, reply("answer", None)).await;
    send(&journal, notice("notice")).await;
    journal
        .commit(batch([message("p-2", 20), from_the_person(message("u-2", 21))]))
        .await
        .unwrap();

    assert_eq!(said(&journal, with(PEER)).await, ["p-2", "answer", "task", "p-1"]);
    assert_eq!(said(&journal, with("user")).await, ["u-2", "notice", "u-1"]);
    assert_eq!(said(&journal, with(OTHER)).await, ["o-1"]);
    let everyone = Ask {
        limit: 3,
        ..Ask::default()
    };
    assert_eq!(said(&journal, everyone).await, ["u-2", "p-2", "notice"]);
    let earlier = Ask {
        before: Some(START.plus_micros(10_000_000)),
        ..with(PEER)
    };
    assert_eq!(said(&journal, earlier).await, ["task", "p-1"], "strictly before");
}

#[tokio::test]
async fn what_a_recovery_keeps_back_is_no_history_yet_and_what_is_done_is() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([message("done", 1)])).await.unwrap();
    journal.pop(&id("done")).await.unwrap();
    let held = Batch {
        hold: true,
        ..batch([message("held", 2)])
    };
    journal.commit(held).await.unwrap();
    assert_eq!(said(&journal, with(PEER)).await, ["done"]);
    assert_eq!(said(&journal, for_words("text")).await, ["done"]);
}

#[tokio::test]
async fn words_are_found_wherever_they_were_said() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal
        .commit(batch([
            saying("The deployment of Café-7 failed at 10:31", message("p-1", 1)),
            saying("部署失败了，请重试", message("p-2", 2)),
            saying("deploy the café again", from_the_person(message("u-1", 3))),
            saying("nothing of note", from(OTHER, message("o-1", 4))),
        ]))
        .await
        .unwrap();
    send(&journal, reply("Deploying now", None)).await;
    send(&journal, notice("deploy done")).await;

    for (words, expected) in [
        ("deploy", vec!["u-1", "p-1", "deploy done", "Deploying now"]),
        ("DEPLOY failed", vec!["p-1"]),
        ("cafe", vec!["u-1", "p-1"]),
        ("cafe-7", vec!["p-1"]),
        ("\"deployment failed\"", vec![]),
        ("\"failed at\"", vec!["p-1"]),
        ("失败", vec!["p-2"]),
        ("败失", vec![]),
        ("重试", vec!["p-2"]),
        ("ploy", vec![]),
        ("!!", vec![]),
        ("dep* OR note", vec![]),
    ] {
        assert_eq!(said(&journal, for_words(words)).await, expected, "{words}");
    }
    let from_peer = Ask {
        words: Some("deploy".to_owned()),
        ..with(PEER)
    };
    assert_eq!(said(&journal, from_peer).await, ["p-1", "Deploying now"]);
    let from_person = Ask {
        words: Some("deploy".to_owned()),
        limit: 1,
        ..with("user")
    };
    assert_eq!(said(&journal, from_person).await, ["u-1"]);

    journal
        .commit(batch([saying("deploy anew", message("p-3", 9))]))
        .await
        .unwrap();
    let newest = Ask {
        limit: 1,
        ..for_words("deploy")
    };
    assert_eq!(said(&journal, newest).await, ["p-3"], "indexed since the last search");
    let other = folder.open_for("v").await;
    assert_eq!(said(&other, for_words("deploy")).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_newest_are_found_whatever_order_they_were_stored_in() {
    let folder = Folder::new();
    let journal = folder.open().await;
    // A recovery reads backward.
    for after in [9, 8, 7, 6] {
        let found = saying("word", message(&format!("m-{after}"), after));
        journal.commit(batch([found])).await.unwrap();
    }
    let newest = Ask {
        limit: 2,
        ..for_words("word")
    };
    assert_eq!(said(&journal, newest).await, ["m-9", "m-8"]);
    let earlier = Ask {
        limit: 2,
        before: Some(START.plus_micros(8_000_000)),
        ..for_words("word")
    };
    assert_eq!(said(&journal, earlier).await, ["m-7", "m-6"]);
}

#[tokio::test]
async fn everything_about_one_delegation_is_one_thread() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let work = delegate(&journal, "task").await;
    let change = Change {
        delegation_id: Some("d".to_owned()),
        ..Change::default()
    };
    journal.record(&work.id, change).await.unwrap();
    let about = |name: &str, after: i64| {
        let mut message = message(name, after);
        message.delegation_id = Some("d".to_owned());
        message
    };
    let mut replied = message("replied", 3);
    replied.in_reply_to = Some("d".to_owned());
    journal
        .commit(batch([
            message("maybe", 1),
            about("progress", 2),
            replied,
            message("x", -9),
        ]))
        .await
        .unwrap();
    folder.time.advance(Duration::from_secs(60));
    send(&journal, reply("thanks", Some("d"))).await;
    send(&journal, reply("something else", Some("e"))).await;
    let thread: Vec<String> = journal.thread("d").await.unwrap().iter().map(name).collect();
    assert_eq!(thread, ["task", "maybe", "progress", "replied", "thanks"]);
    assert!(journal.thread("unknown").await.unwrap().is_empty());
}

/// Changes something behind the journal's back.
fn tamper(journal: &Journal, sql: &str) {
    journal.inner.store().connection().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn a_damaged_index_costs_neither_a_search_nor_the_journal() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal.commit(batch([message("m-1", 1)])).await.unwrap();
    assert_eq!(said(&journal, for_words("text")).await, ["m-1"]);
    for damage in [
        "DELETE FROM message_words_data",
        "DELETE FROM message_words_data WHERE id > 10",
        "UPDATE message_words_data SET block = x'ffffffffffffffffffff' WHERE id = 10",
    ] {
        tamper(&journal, damage);
        assert_eq!(said(&journal, for_words("text")).await, ["m-1"], "{damage}");
        tamper(&journal, damage);
        let again = folder.open().await;
        assert!(again.replaced().is_none(), "{damage}");
        assert_eq!(again.counts().await.unwrap().new, 1);
        assert_eq!(said(&again, for_words("text")).await, ["m-1"], "{damage}");
    }
}

#[tokio::test]
async fn a_damaged_message_is_not_found_and_stops_no_search() {
    let folder = Folder::new();
    let journal = folder.open().await;
    journal
        .commit(batch([message("m-1", 1), message("m-2", 2)]))
        .await
        .unwrap();
    tamper(&journal, "UPDATE message SET body = '{' WHERE activity_id = 'm-1'");
    assert_eq!(said(&journal, for_words("text")).await, ["m-2"]);
    assert_eq!(said(&journal, with(PEER)).await, ["m-2"]);
}

#[tokio::test]
async fn an_index_of_removed_messages_is_made_anew() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let many = (0..12_000).map(|n| message(&format!("m-{n}"), n));
    journal.commit(batch(many)).await.unwrap();
    let newest = || Ask {
        limit: 1,
        ..for_words("text")
    };
    assert_eq!(said(&journal, newest()).await, ["m-11999"]);
    tamper(&journal, "DELETE FROM message WHERE n > 10");
    journal.commit(batch([message("last", 20_000)])).await.unwrap();
    assert_eq!(said(&journal, newest()).await, ["last"]);
    let indexed: i64 = journal
        .inner
        .store()
        .connection()
        .query_row("SELECT count(*) FROM message_words_docsize", [], |row| row.get(0))
        .unwrap();
    assert_eq!(indexed, 11);
}
