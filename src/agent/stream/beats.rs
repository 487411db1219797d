//! Beats on the stream: those of this workspace's daemon prove it alive, those of another one are told of.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::platform::events::Event;
use crate::state::health::Trouble;
use crate::types::WorkspaceId;

/// Foreign beats are told of while two came within this time.
const RIVAL_MEMORY: Duration = Duration::from_secs(300);
const RIVAL: &str = "RIVAL_DAEMON";

/// Own beats, and the reported ones that cannot be ours.
#[derive(Debug, Default)]
pub(super) struct Beats {
    /// Good beats since the last event.
    pub(super) silent: u32,
    recent: VecDeque<u64>,
    last: Option<(u64, Instant)>,
    strangers: VecDeque<Instant>,
}

impl Beats {
    pub(super) fn sent(&mut self, uptime: u64, now: Instant) {
        self.silent += 1;
        self.recent.push_back(uptime);
        if self.recent.len() > 8 {
            self.recent.pop_front();
        }
        self.last = Some((uptime, now));
    }

    /// From now on there are no own ones.
    pub(super) fn end(&mut self) {
        *self = Self {
            silent: self.silent,
            ..Self::default()
        };
    }

    /// Takes a reported beat; says whether another daemon beats. The report of an own beat may overtake the beat's answer, so
    /// an uptime that ours could have by now is taken for ours. Before the first own beat nothing can be said.
    pub(super) fn heard(&mut self, uptime: u64, now: Instant) -> bool {
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

/// The uptime in a report of a beat of this workspace.
pub(super) fn reported_uptime(event: &Event, own: &WorkspaceId) -> Option<u64> {
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

pub(super) fn tell_of_rival(rival: bool, told: &mut Option<Trouble>) {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn own() -> WorkspaceId {
        WorkspaceId::parse("00000000-0000-4000-8000-00000000000a").unwrap()
    }

    fn event(kind: &str, payload: Value) -> Event {
        Event {
            kind: kind.to_owned(),
            payload,
        }
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
