//! The way of a row beside a platform and a journal that behave as told.

use super::*;
use crate::agent::outbox::stand_in::{
    self, Desk, Post, interrupted, journal_error, nowhere, refused, rejected, unreachable, with_files,
};
use crate::state::outbox::Progress;

const MINUTE: Duration = Duration::from_secs(60);

/// Carries the only row of `desk` until it is settled, and tells how long that took.
async fn carry(post: &Post, desk: &Desk) -> Duration {
    let carrier = Carrier::new(post.clone(), desk.clone(), nowhere(), Timing::REAL);
    let begun = Instant::now();
    let [item] = desk.items().try_into().unwrap();
    Arc::new(carrier).carry(item, CancellationToken::new()).await;
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_delegation_is_repeated_under_the_same_key_until_it_is_taken() {
    let post = Post::default();
    post.next([Err(unreachable()), Err(interrupted()), Err(rejected(500))]);
    let desk = Desk::holding([stand_in::item("key-1", stand_in::delegate("t"))]);
    carry(&post, &desk).await;
    let calls = post.calls();
    assert_eq!(
        calls,
        [
            "delegate key-1 t",
            "delegate key-1 t",
            "sent t",
            "delegate key-1 t",
            "sent t",
            "delegate key-1 t"
        ]
    );
    let item = desk.item("key-1");
    assert_eq!((item.progress, item.attempts), (Progress::Accepted, 4));
    assert_eq!(item.delegation_id.as_deref(), Some("d-key-1"));
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_without_an_outcome_end_as_unknown_or_failed() {
    for (error, expected) in [(unreachable(), Progress::Failed), (interrupted(), Progress::Unknown)] {
        let post = Post::default();
        post.next((0..9999).map(|_| Err(error.clone())));
        let desk = Desk::holding([stand_in::item("1", stand_in::delegate("t"))]);
        let took = carry(&post, &desk).await;
        assert_eq!(desk.item("1").progress, expected);
        // A last look-up may follow the last attempt.
        assert!(took <= 11 * MINUTE, "{took:?}");
        assert!(post.calls().len() > 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_at_once() {
    let post = Post::default();
    post.next([Err(refused())]);
    let desk = Desk::holding([stand_in::item("1", stand_in::delegate("t"))]);
    carry(&post, &desk).await;
    assert_eq!((desk.item("1").progress, post.calls().len()), (Progress::Failed, 1));
    assert!(desk.item("1").detail.unwrap().contains("403"));
}

#[tokio::test(start_paused = true)]
async fn a_message_to_the_person_is_looked_up_before_it_is_sent_again() {
    for (stored, expected) in [
        (true, vec!["notify t", "echo t"]),
        (false, vec!["notify t", "echo t", "notify t"]),
    ] {
        let post = Post::default();
        post.next([Err(interrupted())]);
        post.store_echo(stored);
        let desk = Desk::holding([stand_in::item("1", stand_in::notify("t"))]);
        carry(&post, &desk).await;
        let mut calls = post.calls();
        calls.dedup();
        assert_eq!(calls, expected);
        assert_eq!(desk.item("1").progress, Progress::Accepted);
        assert!(desk.was_settled("1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_to_the_person_that_arrives_late_is_not_sent_again() {
    let dead = Item {
        attempts: 1,
        ..stand_in::item("1", stand_in::notify("t"))
    };
    // Of an earlier process, or of this one, which got no answer.
    for (item, sent) in [(dead, 0), (stand_in::item("1", stand_in::notify("t")), 1)] {
        for late in [3, 15, 29] {
            let post = Post::default();
            post.next([Err(interrupted())]);
            let desk = Desk::holding([item.clone()]);
            let arrives = {
                let post = post.clone();
                tokio::spawn(async move {
                    sleep(Duration::from_secs(late)).await;
                    post.store_echo(true);
                })
            };
            let took = carry(&post, &desk).await;
            arrives.await.unwrap();
            let calls = post.calls();
            let notices = calls.iter().filter(|call| *call == "notify t");
            assert_eq!(notices.count(), sent, "{late}: {calls:?}");
            assert_eq!(desk.item("1").progress, Progress::Accepted);
            assert!(calls.len() < 20 && took <= AT_WORK, "{late}: {took:?} {calls:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_that_a_message_to_the_person_is_not_at_work_any_more() {
    let post = Post::default();
    post.next([Err(rejected(500))]);
    let desk = Desk::holding([stand_in::item("1", stand_in::notify("t"))]);
    let took = carry(&post, &desk).await;
    assert_eq!(post.calls(), ["notify t", "echo t", "notify t"]);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_with_a_file_is_looked_up_by_it_and_its_copy_goes_when_it_is_settled() {
    let (_home, spool, item) = with_files(1);
    let copy = spool.path(item.work.parcel().unwrap(), 0);
    for (echo, attempts) in [(true, 1), (false, 2)] {
        let (post, desk) = (Post::default(), Desk::holding([item.clone()]));
        post.next([Err(unreachable()), Ok(()), Err(interrupted())]);
        post.store_echo(echo);
        desk.others_have_echoes(9);
        let carrier = Carrier::new(post.clone(), desk.clone(), spool.clone(), Timing::REAL);
        Arc::new(carrier).carry(item.clone(), CancellationToken::new()).await;
        let mut expected = vec![
            "upload 0-0.txt",
            "upload 1-0.txt",
            "notify t with at:1-0.txt",
            "echo at:1-0.txt",
        ];
        expected.extend(vec!["notify t with at:1-0.txt"; attempts - 1]);
        let mut calls = post.calls();
        calls.dedup();
        assert_eq!(calls, expected);
        assert_eq!(
            (desk.item("1").progress, desk.item("1").attempts),
            (Progress::Accepted, attempts as u32)
        );
        assert!(!copy.exists());
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_does_not_make_the_person_be_told_twice() {
    let right = Timestamp::now();
    let post = Post::default();
    post.next([Err(interrupted())]);
    post.store_echo_at(right);
    let mut item = stand_in::item("1", stand_in::notify("t"));
    item.created = right.plus_micros(3_600_000_000);
    let desk = Desk::holding([item]);
    carry(&post, &desk).await;
    assert_eq!(post.calls(), ["notify t", "echo t", "echo t"]);
    assert_eq!(desk.item("1").progress, Progress::Accepted);
}

#[tokio::test(start_paused = true)]
async fn an_echo_confirms_one_message_only() {
    let post = Post::default();
    post.next([Err(rejected(500))]);
    post.store_echo(true);
    let desk = Desk::holding([stand_in::item("1", stand_in::notify("t"))]);
    desk.others_have_echoes(1);
    carry(&post, &desk).await;
    assert_eq!(post.calls(), ["notify t", "echo t", "notify t"]);
}

#[tokio::test(start_paused = true)]
async fn a_delegation_that_took_effect_unseen_is_not_sent_again() {
    let post = Post::default();
    post.next([Err(interrupted())]);
    post.show_sent(["d-known", "d-lost"]);
    let known = stand_in::accepted("0", "d-known");
    let desk = Desk::holding([stand_in::item("1", stand_in::delegate("t")), known]);
    let carrier = Arc::new(Carrier::new(post.clone(), desk.clone(), nowhere(), Timing::REAL));
    carrier.carry(desk.item("1"), CancellationToken::new()).await;
    assert_eq!(post.calls(), ["delegate 1 t", "sent t"]);
    assert_eq!(desk.item("1").delegation_id.as_deref(), Some("d-lost"));
    assert_eq!(desk.item("1").progress, Progress::Accepted);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_delegated_to_a_target_that_is_gone() {
    let post = Post::default();
    post.lose_target();
    let desk = Desk::holding([stand_in::item("1", stand_in::delegate("t"))]);
    carry(&post, &desk).await;
    assert!(post.calls().is_empty());
    assert_eq!(desk.item("1").progress, Progress::Failed);
}

#[tokio::test(start_paused = true)]
async fn only_a_peer_that_is_called_can_be_silent() {
    let post = Post::default();
    post.stay_silent(1);
    post.call_peers(true);
    let desk = Desk::holding([stand_in::item("1", stand_in::reply("t"))]);
    let took = carry(&post, &desk).await;
    assert_eq!(desk.item("1").progress, Progress::DeliveredUnconfirmed);
    assert!(desk.was_settled("1") && took >= Duration::from_secs(30));

    let post = Post::default();
    post.stay_silent(1);
    post.call_peers(false);
    let desk = Desk::holding([stand_in::item("1", stand_in::reply("t"))]);
    carry(&post, &desk).await;
    assert_eq!(desk.item("1").progress, Progress::Accepted);
    let sent: Vec<_> = post
        .calls()
        .into_iter()
        .filter(|call| call.starts_with("a2a"))
        .collect();
    assert!(sent.len() == 2 && sent[0] == sent[1], "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_in_hand_until_the_journal_takes_it() {
    let (post, desk) = (
        Post::default(),
        Desk::holding([stand_in::item("1", stand_in::delegate("t"))]),
    );
    desk.refuse_records(5);
    carry(&post, &desk).await;
    assert_eq!((desk.item("1").progress, post.calls().len()), (Progress::Accepted, 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_that_could_not_be_written_down_first() {
    let (post, desk) = (
        Post::default(),
        Desk::holding([stand_in::item("1", stand_in::delegate("t"))]),
    );
    desk.refuse_attempts(9999);
    carry(&post, &desk).await;
    assert!(post.calls().is_empty());
    let item = desk.item("1");
    assert_eq!(item.progress, Progress::Failed);
    assert!(item.detail.unwrap().contains(&journal_error().to_string()));
}
