//! Requests and broadcasts in the journal: offered like every message, and gone when they are settled elsewhere.

use crate::state::journal::fixture::{Folder, PEER, START, batch, id, lease_name, message};
use crate::state::journal::{Committed, Journal, News, Popped};
use crate::state::message::{Kind, Message, State};
use crate::state::request::{ANSWER_NOTE, About, Part, REMARK_NOTE, Side};
use crate::types::RequestId;

const ONE: &str = "5f0c1d2e-0000-4000-8000-0000000000a1";
const TWO: &str = "5f0c1d2e-0000-4000-8000-0000000000a2";
const DAY: i64 = 24 * 60 * 60;

fn request(text: &str) -> RequestId {
    RequestId::parse(text).unwrap()
}

/// A message of others about their request `of`.
fn theirs(name: &str, of: &str, part: Part) -> Message {
    Message {
        kind: Kind::Request,
        request: Some(About {
            part,
            id: Some(request(of)),
            wish: None,
            title: None,
            status: None,
            priority: None,
        }),
        ..message(name, 0)
    }
}

/// A note about a request of ours.
fn note(name: &str, message_id: &str) -> Message {
    Message {
        kind: Kind::System,
        peer_id: String::new(),
        message_id: Some(message_id.to_owned()),
        ..message(name, 0)
    }
}

fn asked(of: &str) -> News {
    News {
        messages: vec![theirs(of, of, Part::Question)],
        opened: vec![(request(of), Side::Theirs)],
        ..News::default()
    }
}

async fn state(journal: &Journal, name: &str) -> State {
    journal.find(&id(name)).await.unwrap().unwrap().state
}

#[tokio::test]
async fn a_request_is_offered_once_and_stays_acknowledged_while_it_is_open() {
    let folder = Folder::new();
    let journal = folder.open().await;
    for added in [1, 0] {
        assert_eq!(journal.take_news(asked(ONE)).await.unwrap().added, added);
    }
    assert_eq!(lease_name(&journal).await.as_deref(), Some(ONE));
    assert_eq!(journal.pop(&id(ONE)).await.unwrap(), Popped::Removed);
    // Long after what is handled was forgotten.
    folder.time.advance(std::time::Duration::from_secs(40 * 86400));
    journal.commit(batch([message("later", 40 * DAY)])).await.unwrap();
    journal.prune().await.unwrap();
    assert_eq!(journal.take_news(asked(ONE)).await.unwrap().added, 0);
    assert_eq!(state(&journal, ONE).await, State::Done);
    let closed = News {
        closed: vec![request(ONE)],
        ..News::default()
    };
    journal.take_news(closed).await.unwrap();
    journal.prune().await.unwrap();
    assert!(journal.find(&id(ONE)).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_settled_elsewhere_leaves_the_inbox_in_whatever_state_it_was() {
    let folder = Folder::new();
    let (journal, other) = (folder.open().await, folder.open().await);
    journal.take_news(asked(ONE)).await.unwrap();
    assert_eq!(lease_name(&other).await.as_deref(), Some(ONE));
    journal.take_news(asked(TWO)).await.unwrap();
    let remark = News {
        messages: vec![theirs("remark", ONE, Part::Remark), message("plain", 1)],
        ..News::default()
    };
    journal.take_news(remark).await.unwrap();
    let closed = News {
        closed: vec![request(ONE)],
        ..News::default()
    };
    journal.take_news(closed).await.unwrap();
    for (name, expected) in [
        (ONE, State::Done),
        ("remark", State::Done),
        (TWO, State::New),
        ("plain", State::New),
    ] {
        assert_eq!(state(&journal, name).await, expected, "{name}");
    }
    assert_eq!(journal.open_requests().await.unwrap(), [(request(TWO), Side::Theirs)]);
    assert_eq!(other.pop(&id(ONE)).await.unwrap(), Popped::AlreadyDone);
}

#[tokio::test]
async fn an_answer_that_two_ways_tell_of_is_offered_once() {
    let row = |prefix: &str, of: &str| note("row", &format!("{prefix}{of}-5f0c1d2e-0000-4000-8000-00000000000c"));
    let found = |prefix: &str, of: &str| note(&format!("{prefix}{of}"), &format!("{prefix}{of}"));
    let once = Committed { added: 1, repeats: 0 };
    let again = Committed { added: 0, repeats: 1 };
    for prefix in [ANSWER_NOTE, REMARK_NOTE] {
        for platform_first in [false, true] {
            let folder = Folder::new();
            let journal = folder.open().await;
            let mut both = [found(prefix, ONE), row(prefix, ONE)];
            if platform_first {
                both.reverse();
            }
            let names = both.clone().map(|message| message.activity_id);
            for (message, expected) in both.into_iter().zip([&once, &again]) {
                let news = News {
                    messages: vec![message],
                    ..News::default()
                };
                assert_eq!(journal.take_news(news).await.unwrap(), *expected);
            }
            assert_eq!(lease_name(&journal).await.as_deref(), Some(names[0].as_str()));
            // Under either name.
            assert_eq!(journal.pop(&names[1]).await.unwrap(), Popped::Removed);
            let other = found(prefix, TWO);
            assert_eq!(journal.commit(batch([other])).await.unwrap().added, 1, "another event");
        }
    }
    // A peer can give its messages any id.
    let journal = Folder::new();
    let journal = journal.open().await;
    let mut forged = row(ANSWER_NOTE, ONE);
    forged.kind = Kind::PeerAgent;
    forged.peer_id = PEER.to_owned();
    for message in [forged, found(ANSWER_NOTE, ONE)] {
        assert_eq!(journal.commit(batch([message])).await.unwrap().added, 1);
    }
}

#[tokio::test]
async fn up_to_when_broadcasts_were_heard_survives_and_damage_only_costs_reading_again() {
    let folder = Folder::new();
    let journal = folder.open().await;
    assert_eq!(journal.heard().await.unwrap(), None);
    let heard = News {
        heard: Some(START),
        ..News::default()
    };
    journal.take_news(heard).await.unwrap();
    assert_eq!(folder.open_for("v").await.heard().await.unwrap(), None);
    drop(journal);
    let journal = folder.open().await;
    assert_eq!(journal.heard().await.unwrap(), Some(START));
    {
        let store = journal.inner.store();
        let change = "UPDATE heard SET until = until + 1048576";
        store.connection().execute_batch(change).unwrap();
    }
    let week = START.plus_micros(-7 * DAY * 1_000_000);
    assert_eq!(journal.heard().await.unwrap(), Some(week));
}
