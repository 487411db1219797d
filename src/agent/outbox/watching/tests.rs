//! Outcomes that come by different ways, in every order.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::*;
use crate::agent::outbox::stand_in::{self, Desk, Post, rejected};
use crate::platform::events::Event;

const POLL: &str = r#"{"delivery_mode":"poll","method":"message/send","status":"queued"}"#;

struct Scene {
    post: Post,
    desk: Desk,
    holder: watch::Sender<bool>,
    live: watch::Sender<bool>,
    events: broadcast::Sender<Arc<Event>>,
    stop: CancellationToken,
}

/// A running watch over one accepted delegation `d-1` (row `1`).
fn scene(holder: bool, live: bool) -> Scene {
    let scene = Scene {
        post: Post::default(),
        desk: Desk::holding([stand_in::accepted("1", "d-1")]),
        holder: watch::Sender::new(holder),
        live: watch::Sender::new(live),
        events: broadcast::Sender::new(64),
        stop: CancellationToken::new(),
    };
    let watching = Watching {
        platform: scene.post.clone(),
        book: scene.desk.clone(),
        holder: scene.holder.subscribe(),
        hints: Hints {
            events: Some(scene.events.subscribe()),
            live: Some(scene.live.subscribe()),
        },
        timing: Timing::REAL,
    };
    tokio::spawn(watching.run(scene.stop.clone()));
    scene
}

fn result(preview: &str) -> Value {
    json!([
        {"delegation_id": "d-1", "summary": "Delegation completed", "status": "completed", "response_preview": preview},
        {"delegation_id": "d-1", "summary": "Delegating to x", "status": "completed"},
    ])
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_written_down_in_full() {
    let scene = scene(true, false);
    let whole = "a long answer ".repeat(100);
    sleep(secs(20)).await;
    scene.post.list(result(&whole[..300]));
    scene.post.keep_text("d-1", &whole);
    sleep(secs(3)).await;
    let item = scene.desk.item("1");
    assert_eq!(
        (item.progress, item.answer.as_deref()),
        (Progress::Answered, Some(whole.as_str()))
    );
    let reads = scene.post.calls().len();
    sleep(secs(3600)).await;
    assert_eq!(
        scene.post.calls().len(),
        reads,
        "it reads on although nothing is outstanding"
    );
}

#[tokio::test(start_paused = true)]
async fn a_queued_envelope_is_a_delivery_and_ends_the_reading() {
    let scene = scene(true, false);
    scene.post.list(result(POLL));
    sleep(secs(1)).await;
    assert_eq!(scene.desk.item("1").progress, Progress::Delivered);
    let reads = scene.post.calls().len();
    sleep(secs(3600)).await;
    assert_eq!(scene.post.calls().len(), reads);
}

#[tokio::test(start_paused = true)]
async fn a_busy_peer_is_a_delivery_that_is_still_watched() {
    let scene = scene(true, false);
    scene
        .post
        .list(json!([{"delegation_id": "d-1", "summary": "Delegating to x", "status": "queued"}]));
    sleep(secs(1)).await;
    assert_eq!(scene.desk.item("1").progress, Progress::Delivered);
    scene.post.list(result("done"));
    scene.post.keep_text("d-1", "done");
    sleep(secs(3)).await;
    assert_eq!(scene.desk.item("1").progress, Progress::Answered);
}

#[tokio::test(start_paused = true)]
async fn a_failure_carries_the_platforms_reason() {
    let scene = scene(true, true);
    scene
        .post
        .list(json!([{"delegation_id": "d-1", "status": "failed", "error": "access denied"}]));
    sleep(secs(1)).await;
    let item = scene.desk.item("1");
    assert_eq!(
        (item.progress, item.detail.as_deref()),
        (Progress::Failed, Some("access denied"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_its_text_falls_back_to_the_preview_and_says_so() {
    let scene = scene(true, false);
    let preview = "x".repeat(300);
    scene.post.list(result(&preview));
    sleep(secs(20)).await;
    let item = scene.desk.item("1");
    assert_eq!((item.progress, item.answer), (Progress::Answered, Some(preview)));
    assert!(item.detail.unwrap().starts_with("truncated"));
}

#[tokio::test(start_paused = true)]
async fn a_live_stream_replaces_frequent_reading_and_its_events_are_followed_at_once() {
    let scene = scene(true, true);
    sleep(secs(310)).await;
    assert!(scene.post.calls().len() < 15, "{}", scene.post.calls().len());
    scene.post.list(result("done"));
    scene.post.keep_text("d-1", "done");
    let event = Event {
        kind: "DELEGATION_COMPLETE".to_owned(),
        payload: json!({"delegation_id": "d-1"}),
    };
    scene.events.send(Arc::new(event)).unwrap();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(scene.desk.item("1").progress, Progress::Answered);
}

#[tokio::test(start_paused = true)]
async fn without_a_stream_the_list_is_read_every_two_seconds_for_ten_minutes() {
    let scene = scene(true, false);
    sleep(secs(60)).await;
    let reads = scene.post.calls().len();
    assert!((30..=36).contains(&reads), "{reads}");
    sleep(secs(700)).await;
    let before = scene.post.calls().len();
    sleep(secs(300)).await;
    let reads = scene.post.calls().len() - before;
    assert!((8..=14).contains(&reads), "{reads}");
}

#[tokio::test(start_paused = true)]
async fn only_the_holder_reads_and_a_takeover_starts_it() {
    let scene = scene(false, false);
    scene.post.list(result("done"));
    scene.post.keep_text("d-1", "done");
    sleep(secs(60)).await;
    assert!(scene.post.calls().is_empty());
    scene.holder.send_replace(true);
    sleep(secs(1)).await;
    assert_eq!(scene.desk.item("1").progress, Progress::Answered);
}

#[tokio::test(start_paused = true)]
async fn a_failing_list_is_read_less_and_less_and_then_again() {
    let scene = scene(true, false);
    scene.post.fail_list(Some(rejected(500)));
    sleep(secs(300)).await;
    assert!(scene.post.calls().len() < 40, "{}", scene.post.calls().len());
    scene.post.fail_list(None);
    scene.post.list(result("done"));
    scene.post.keep_text("d-1", "done");
    sleep(secs(61)).await;
    assert_eq!(scene.desk.item("1").progress, Progress::Answered);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_could_not_be_written_is_found_again() {
    let scene = scene(true, true);
    scene.desk.refuse_records(2);
    scene.post.list(result("done"));
    scene.post.keep_text("d-1", "done");
    sleep(secs(5)).await;
    assert_eq!(scene.desk.item("1").progress, Progress::Answered);
}

#[tokio::test(start_paused = true)]
async fn a_delegation_pushed_out_of_the_full_list_is_found_by_its_text() {
    let scene = scene(true, false);
    let others: Vec<_> = (0..50)
        .map(|n| json!({"delegation_id": format!("o-{n}"), "status": "pending"}))
        .collect();
    scene.post.list(Value::Array(others));
    sleep(secs(61)).await;
    let texts = scene
        .post
        .calls()
        .iter()
        .filter(|call| call.starts_with("text"))
        .count();
    assert!((2..=3).contains(&texts), "{texts}");
    scene.post.keep_text("d-1", "done");
    sleep(secs(31)).await;
    assert_eq!(scene.desk.item("1").answer.as_deref(), Some("done"));
}
