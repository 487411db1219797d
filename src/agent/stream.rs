//! The event stream: kept open, judged for liveness, and handed on as hints. Losing it costs time, never a message.
//!
//! There are no keep-alives, but the platform reports every beat of this workspace on the stream. So the stream is live once
//! any event came since it was opened, and dead when two good beats went by in silence.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::Timing;
use crate::platform::error::CallError;
use crate::platform::events::{Event, EventStream};
use crate::platform::retry::Backoff;
use crate::platform::workspace::WorkspaceApi;
use crate::state::health::{HealthBoard, Trouble};
use crate::types::WorkspaceId;

/// A slow subscriber may fall this many events behind before it loses some.
const EVENTS: usize = 256;
/// Good beats in silence after which the stream counts as dead.
const SILENT_BEATS: u32 = 2;
/// How long after the last of them its event may still arrive.
const BEAT_GRACE: Duration = Duration::from_secs(3);
/// A platform without a stream is asked again this often.
const ABSENT_RETRY: Duration = Duration::from_secs(600);
/// Foreign beats are told of while two came within this time.
const RIVAL_MEMORY: Duration = Duration::from_secs(300);
const RIVAL: &str = "RIVAL_DAEMON";

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
        // Without a subscriber nobody needs the event.
        let _ = self.0.events.send(Arc::new(essence(event)));
    }
}

/// An event without the rest of its payload: a subscriber that is slow keeps many of them, and each may be 1 MiB long.
fn essence(mut event: Event) -> Event {
    const USED: [&str; 5] = [
        "activity_type",
        "delegation_id",
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
        let pause = match api.events().await {
            Ok(events) => {
                debug!("event stream opened");
                if opened_before {
                    stream.0.gaps.send_modify(|gaps| *gaps += 1);
                }
                opened_before = true;
                stream.beats().silent = 0;
                let ended = tokio::select! {
                    ended = follow(events, api.workspace(), stream, health, timing) => ended,
                    Ok(()) = fresh_starts.changed() => End::Outdated,
                };
                if *stream.0.live.borrow() {
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

/// The uptime in a report of a beat of this workspace.
fn reported_uptime(event: &Event, own: &WorkspaceId) -> Option<u64> {
    if event.kind != "WORKSPACE_HEARTBEAT" {
        return None;
    }
    let of = event.payload["workspace_id"].as_str();
    if of.is_some_and(|of| !of.eq_ignore_ascii_case(own.as_str())) {
        return None;
    }
    let uptime = &event.payload["uptime_seconds"];
    uptime
        .as_u64()
        .or_else(|| uptime.as_f64().map(|seconds| seconds as u64))
}

fn tell_of_rival(rival: bool, told: &mut Option<Trouble>) {
    let ours = told.as_ref().is_some_and(|trouble| trouble.code == RIVAL);
    if rival && told.is_none() {
        warn!("another daemon sends heartbeats for this workspace");
        *told = Some(Trouble {
            code: RIVAL.to_owned(),
            what: "another daemon sends heartbeats for the same workspace".to_owned(),
            remedy:
                "stop the other daemon, or give both the same state folder on one computer, so that they share the duty"
                    .to_owned(),
        });
    } else if !rival && ours {
        info!("the other daemon's heartbeats have ended");
        *told = None;
    }
}

/// Own beats, and the reported ones that cannot be ours.
#[derive(Debug, Default)]
struct Beats {
    /// Good beats since the last event.
    silent: u32,
    recent: VecDeque<u64>,
    last: Option<(u64, Instant)>,
    strangers: VecDeque<Instant>,
}

impl Beats {
    fn sent(&mut self, uptime: u64, now: Instant) {
        self.silent += 1;
        self.recent.push_back(uptime);
        if self.recent.len() > 8 {
            self.recent.pop_front();
        }
        self.last = Some((uptime, now));
    }

    /// Takes a reported beat; says whether another daemon beats. The report of an own beat may overtake the beat's answer, so
    /// an uptime that ours could have by now is taken for ours. Before the first own beat nothing can be said.
    fn heard(&mut self, uptime: u64, now: Instant) -> bool {
        self.strangers.retain(|then| now.duration_since(*then) < RIVAL_MEMORY);
        if let Some((last, when)) = self.last {
            let expected = last + now.duration_since(when).as_secs();
            if !self.recent.contains(&uptime) && uptime.abs_diff(expected) > 2 {
                self.strangers.push_back(now);
                if self.strangers.len() > 16 {
                    self.strangers.pop_front();
                }
            }
        }
        self.strangers.len() >= 2
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

    #[test]
    fn beats_of_our_own_are_never_a_rival_whenever_they_are_reported() {
        let mut beats = Beats::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!beats.heard(7, at(0)), "nothing is known yet");
        for beat in 1..30 {
            let uptime = beat * 20;
            if beat % 2 == 0 {
                assert!(!beats.heard(uptime, at(uptime)));
                beats.sent(uptime, at(uptime + 1));
            } else if beat % 3 == 0 {
                assert!(!beats.heard(uptime, at(uptime)), "a beat whose answer was lost");
            } else {
                beats.sent(uptime, at(uptime));
                assert!(!beats.heard(uptime, at(uptime + 5)));
            }
        }
    }

    #[test]
    fn a_second_foreign_beat_is_a_rival_until_five_minutes_of_quiet() {
        let mut beats = Beats::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        beats.sent(1000, at(0));
        assert!(!beats.heard(500, at(5)));
        assert!(beats.heard(520, at(25)));
        beats.sent(1040, at(40));
        assert!(beats.heard(1040, at(41)));
        assert!(!beats.heard(1340, at(340)));
    }

    #[test]
    fn a_rival_is_told_of_once_and_withdrawn_and_other_reports_are_left_alone() {
        let mut told = None;
        tell_of_rival(true, &mut told);
        assert_eq!(told.as_ref().map(|trouble| trouble.code.as_str()), Some(RIVAL));
        tell_of_rival(false, &mut told);
        assert_eq!(told, None);
        let other = Trouble {
            code: "OTHER_POLLER".to_owned(),
            what: String::new(),
            remedy: String::new(),
        };
        told = Some(other.clone());
        tell_of_rival(false, &mut told);
        assert_eq!(told, Some(other));
    }

    #[test]
    fn uptimes_are_read_from_reports_about_this_workspace_only() {
        for (payload, expected) in [
            (json!({"uptime_seconds": 40}), Some(40)),
            (
                json!({"uptime_seconds": 40.0, "workspace_id": own().as_str().to_uppercase()}),
                Some(40),
            ),
            (json!({"uptime_seconds": 40, "workspace_id": "other"}), None),
            (json!({"uptime_seconds": "40"}), None),
            (json!({}), None),
            (json!(null), None),
        ] {
            assert_eq!(
                reported_uptime(&event("WORKSPACE_HEARTBEAT", payload.clone()), &own()),
                expected,
                "{payload}"
            );
        }
        assert_eq!(
            reported_uptime(&event("OTHER", json!({"uptime_seconds": 1})), &own()),
            None
        );
    }
}
