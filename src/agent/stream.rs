//! The event stream: kept open, judged for liveness, and handed on as hints. Losing it costs time, never a message.
//!
//! There are no keep-alives, but the platform reports every beat of this workspace on the stream. So the stream is live once
//! any event came since it was opened, and dead when two good beats went by in silence.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::config::Timing;
use crate::platform::client::Purpose;
use crate::platform::error::CallError;
use crate::platform::events::{Event, EventStream};
use crate::platform::retry::Backoff;
use crate::platform::workspace::WorkspaceApi;
use crate::state::health::HealthBoard;
use crate::types::WorkspaceId;
use beats::{Beats, reported_uptime, tell_of_rival};
use broadcasts::Broadcasts;

pub use broadcasts::Broadcast;

mod beats;
mod broadcasts;

/// The event that tells a broadcast.
pub(crate) const BROADCAST: &str = "BROADCAST_MESSAGE";
/// A slow subscriber may fall this many events behind before it loses some.
const EVENTS: usize = 256;
/// Good beats in silence after which the stream counts as dead.
const SILENT_BEATS: u32 = 2;
/// How long after the last of them its event may still arrive.
const BEAT_GRACE: Duration = Duration::from_secs(3);
/// A stream that held for less than this is opened again ever less often, whatever it said.
const LASTING: Duration = Duration::from_secs(10);
/// A platform without a stream is asked again this often.
const ABSENT_RETRY: Duration = Duration::from_secs(600);

/// What the stream tells the rest of the program. Clones share it.
#[derive(Clone, Debug)]
pub struct Stream(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    events: broadcast::Sender<Arc<Event>>,
    live: watch::Sender<bool>,
    gaps: watch::Sender<u64>,
    beat: Notify,
    beats: Mutex<Beats>,
    broadcasts: Mutex<Broadcasts>,
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

impl Stream {
    /// Not open yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            events: broadcast::Sender::new(EVENTS),
            live: watch::Sender::new(false),
            gaps: watch::Sender::new(0),
            beat: Notify::new(),
            beats: Mutex::default(),
            broadcasts: Mutex::default(),
        }))
    }

    /// Every event from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.0.events.subscribe()
    }

    /// Whether the stream proved itself alive since it was opened.
    #[must_use]
    pub fn live(&self) -> watch::Receiver<bool> {
        self.0.live.subscribe()
    }

    /// Counts how often the stream was opened again: events in between are lost.
    #[must_use]
    pub fn gaps(&self) -> watch::Receiver<u64> {
        self.0.gaps.subscribe()
    }

    /// To be called after each good beat, with the uptime that it reported.
    pub fn note_beat(&self, uptime_seconds: u64) {
        self.beats().sent(uptime_seconds, Instant::now());
        self.0.beat.notify_one();
    }

    /// To be called when another process of the folder may beat from now on: its beats are no stranger's.
    pub fn beats_end(&self) {
        self.beats().end();
    }

    /// To be called after each good beat that another process of the folder made: it, too, comes back on the stream.
    pub fn note_beat_elsewhere(&self) {
        self.beats().silent += 1;
        self.0.beat.notify_one();
    }

    /// To be called when the platform could not be reached: the connection of the stream may have died with the way, so it
    /// counts as alive again only after an event.
    pub fn doubt(&self, health: &HealthBoard) {
        self.set_live(false, health);
    }

    /// Takes the oldest broadcast that is it. Their texts are not passed on with the events, because they can be long.
    pub fn take_broadcast(&self, is_it: impl FnMut(&Broadcast) -> bool) -> Option<Broadcast> {
        self.broadcasts().take(is_it)
    }

    fn broadcasts(&self) -> MutexGuard<'_, Broadcasts> {
        self.0.broadcasts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beats(&self) -> MutexGuard<'_, Beats> {
        self.0.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_live(&self, live: bool, health: &HealthBoard) {
        self.0.live.send_if_modified(|now| std::mem::replace(now, live) != live);
        health.update(|health| health.stream_live = live);
    }

    /// Passes an event on and draws conclusions from it.
    fn hear(&self, event: Event, own: &WorkspaceId, health: &HealthBoard) {
        let rival = {
            let mut beats = self.beats();
            beats.silent = 0;
            reported_uptime(&event, own).map(|uptime| beats.heard(uptime, Instant::now()))
        };
        self.set_live(true, health);
        if let Some(rival) = rival {
            health.update(|health| tell_of_rival(rival, &mut health.rival));
        }
        self.broadcasts().hear(&event);
        // Without a subscriber nobody needs the event.
        let _ = self.0.events.send(Arc::new(essence(event)));
    }
}

/// An event without the rest of its payload: a subscriber that is slow keeps many of them, and each may be 1 MiB long.
fn essence(mut event: Event) -> Event {
    const USED: [&str; 7] = [
        "activity_type",
        "delegation_id",
        "recipient_type",
        "request_id",
        "status",
        "uptime_seconds",
        "workspace_id",
    ];
    if let Value::Object(payload) = &mut event.payload {
        payload.retain(|key, value| {
            USED.contains(&key.as_str())
                && !value.is_object()
                && !value.is_array()
                && value.as_str().is_none_or(|text| text.len() <= 256)
        });
    }
    event
}

/// Whether an event says that a new row may be waiting.
#[must_use]
pub fn is_hint(event: &Event) -> bool {
    let kind = &event.payload["activity_type"];
    event.kind == "ACTIVITY_LOGGED" && (kind.is_null() || kind == "a2a_receive")
}

/// Keeps the stream open until `stop`.
pub async fn run(api: WorkspaceApi, stream: Stream, health: HealthBoard, timing: Timing, stop: CancellationToken) {
    let work = keep_open(&api, &stream, &health, timing);
    let _ = stop.run_until_cancelled(work).await;
    stream.set_live(false, &health);
}

async fn keep_open(api: &WorkspaceApi, stream: &Stream, health: &HealthBoard, timing: Timing) {
    let mut backoff = Backoff::new(timing.of(Duration::from_secs(1)), timing.of(Duration::from_secs(60)));
    let mut opened_before = false;
    let mut fresh_starts = api.client().fresh_starts();
    loop {
        api.client().wait_for(Purpose::Looking, timing).await;
        let pause = match api.events().await {
            Ok(events) => {
                debug!("event stream opened");
                if opened_before {
                    stream.0.gaps.send_modify(|gaps| *gaps += 1);
                }
                opened_before = true;
                let opened = Instant::now();
                stream.beats().silent = 0;
                let ended = tokio::select! {
                    ended = follow(events, api.workspace(), stream, health, timing) => ended,
                    Ok(()) = fresh_starts.changed() => End::Outdated,
                };
                if *stream.0.live.borrow() && opened.elapsed() >= timing.of(LASTING) {
                    backoff.reset();
                }
                stream.set_live(false, health);
                match ended {
                    End::Closed => debug!("event stream closed by the platform"),
                    End::Silent => info!("event stream is silent although beats arrive; opening it again"),
                    End::Broken(error) => debug!(%error, "event stream broke"),
                    End::Outdated => continue,
                }
                backoff.next_delay()
            }
            Err(error) if error.status() == Some(404) => {
                debug!("the platform has no event stream; reading by timer");
                timing.of(ABSENT_RETRY)
            }
            Err(error) => {
                debug!(%error, "event stream could not be opened");
                backoff.after(&error)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(()) = fresh_starts.changed() => {}
        }
    }
}

enum End {
    Closed,
    Silent,
    Broken(CallError),
    /// From before a sleep of the computer.
    Outdated,
}

async fn follow(
    mut events: EventStream,
    own: &WorkspaceId,
    stream: &Stream,
    health: &HealthBoard,
    timing: Timing,
) -> End {
    loop {
        let doubted = stream.beats().silent >= SILENT_BEATS;
        tokio::select! {
            event = events.next() => match event {
                Ok(Some(event)) => stream.hear(event, own, health),
                Ok(None) => return End::Closed,
                Err(error) => return End::Broken(error),
            },
            () = stream.0.beat.notified(), if !doubted => {}
            () = tokio::time::sleep(timing.of(BEAT_GRACE)), if doubted => return End::Silent,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn own() -> WorkspaceId {
        WorkspaceId::parse("00000000-0000-4000-8000-00000000000a").unwrap()
    }

    #[test]
    fn what_waits_for_a_slow_subscriber_is_small() {
        let text = "x".repeat(500_000);
        let heard = event(
            "ACTIVITY_LOGGED",
            json!({ "activity_type": "a2a_receive", "delegation_id": "d1", "request_body": { "text": text }, "status": text }),
        );
        assert_eq!(
            essence(heard).payload,
            json!({ "activity_type": "a2a_receive", "delegation_id": "d1" })
        );
    }

    fn event(kind: &str, payload: Value) -> Event {
        Event {
            kind: kind.to_owned(),
            payload,
        }
    }

    #[test]
    fn only_rows_addressed_to_us_are_hints() {
        for (kind, payload, hint) in [
            ("ACTIVITY_LOGGED", json!({"activity_type": "a2a_receive"}), true),
            ("ACTIVITY_LOGGED", json!({}), true),
            ("ACTIVITY_LOGGED", json!(null), true),
            ("ACTIVITY_LOGGED", json!({"activity_type": "delegation"}), false),
            ("AGENT_MESSAGE", json!({}), false),
            ("WORKSPACE_HEARTBEAT", json!({"activity_type": "a2a_receive"}), false),
        ] {
            assert_eq!(is_hint(&event(kind, payload.clone())), hint, "{kind} {payload}");
        }
    }

    #[test]
    fn beats_of_another_process_of_the_folder_prove_the_stream_alive_and_are_no_rivals() {
        let (stream, health) = (Stream::new(), HealthBoard::default());
        let beat = |uptime: u64| event("WORKSPACE_HEARTBEAT", json!({ "uptime_seconds": uptime }));
        stream.note_beat(1000);
        stream.beats_end();
        for uptime in [20, 40, 60] {
            stream.note_beat_elsewhere();
            assert_eq!(stream.beats().silent, if uptime == 20 { 2 } else { 1 });
            stream.hear(beat(uptime), &own(), &health);
        }
        assert_eq!(health.now().rival, None);
        stream.note_beat(1060);
        for uptime in [80, 100] {
            stream.hear(beat(uptime), &own(), &health);
        }
        assert!(health.now().rival.is_some());
    }

    #[tokio::test]
    async fn any_event_makes_the_stream_live_and_reaches_every_subscriber() {
        let (stream, health) = (Stream::new(), HealthBoard::default());
        let (mut one, mut two) = (stream.subscribe(), stream.subscribe());
        assert!(!*stream.live().borrow());
        stream.note_beat(20);
        stream.note_beat(40);
        assert_eq!(stream.beats().silent, SILENT_BEATS);
        stream.hear(event("AGENT_MESSAGE", json!({})), &own(), &health);
        assert_eq!(stream.beats().silent, 0);
        assert!(*stream.live().borrow() && health.now().stream_live);
        assert_eq!(one.recv().await.unwrap().kind, "AGENT_MESSAGE");
        assert_eq!(two.recv().await.unwrap().kind, "AGENT_MESSAGE");
    }
}
