//! What the platform's rate limiter leaves to those who count in the same one of its buckets.
//!
//! A single workspace goes by what is left alone. Where many share a bucket that would be too late: each of them would find
//! it empty at once. They go by how many they are, and leave the last of a window to what is more urgent.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::time::Instant;

use super::{RateLimit, lock};
use crate::config::Timing;

/// How long the platform counts before it begins anew (platform-api 1.7).
const WINDOW: Duration = Duration::from_secs(60);

/// One bucket, as seen from here.
#[derive(Debug)]
pub(super) struct Allowance {
    seen: Mutex<(RateLimit, Instant)>,
    /// Workspaces of this process that count in it.
    members: AtomicU32,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            seen: Mutex::new((RateLimit::default(), Instant::now())),
            members: AtomicU32::new(1),
        }
    }
}

/// What a share of a bucket is for: requests that go out by themselves, not because a tool was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Heartbeats and registering: half of the limit.
    Presence,
    /// Looking for messages without having been told of one: a quarter.
    Looking,
}

impl Purpose {
    fn percent(self) -> u64 {
        match self {
            Self::Presence => 50,
            Self::Looking => 25,
        }
    }

    /// Of the limit, what it leaves to others.
    fn reserve(self) -> u64 {
        match self {
            Self::Presence => 5,
            Self::Looking => 20,
        }
    }
}

impl Allowance {
    pub(super) fn admit_another(&self) {
        self.members.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn rate_limit(&self) -> RateLimit {
        lock(&self.seen).0
    }

    /// An answer without limiter headers (from an edge, say) leaves the last known state alone.
    pub(super) fn remember(&self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|value| value.trim().parse::<u64>().ok());
        if text("x-ratelimit-limit").is_none() && text("x-ratelimit-remaining").is_none() {
            return;
        }
        let seen = RateLimit {
            limit: number("x-ratelimit-limit"),
            remaining: number("x-ratelimit-remaining"),
            reset: number("x-ratelimit-reset").map(Duration::from_secs),
        };
        *lock(&self.seen) = (seen, Instant::now());
    }

    /// How often each member may do something: `normal`, unless all of them together would exceed their share of the limit.
    pub(super) fn every(&self, normal: Duration, purpose: Purpose, timing: Timing) -> Duration {
        let members = self.members.load(Ordering::Relaxed);
        match self.rate_limit().limit {
            Some(limit) if members > 1 => {
                let share = u32::try_from(limit * purpose.percent() / 100).unwrap_or(u32::MAX);
                normal.max(timing.of(WINDOW) * members / share.max(1))
            }
            _ => normal,
        }
    }

    /// How long to wait for the next window, when nothing is left of this one but what is reserved for others.
    pub(super) fn pause(&self, purpose: Purpose) -> Option<Duration> {
        if self.members.load(Ordering::Relaxed) < 2 {
            return None;
        }
        let (seen, at) = *lock(&self.seen);
        let (limit, remaining, reset) = (seen.limit?, seen.remaining?, seen.reset?);
        if remaining > limit * purpose.reserve() / 100 {
            return None;
        }
        // Seconds are told whole, cut off.
        let refilled = at + reset + Duration::from_secs(1);
        refilled.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(members: u32, limit: &str, remaining: u64) -> Allowance {
        let allowance = Allowance::default();
        for _ in 1..members {
            allowance.admit_another();
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-limit", limit.parse().unwrap());
        headers.insert("x-ratelimit-remaining", remaining.into());
        headers.insert("x-ratelimit-reset", 30.into());
        allowance.remember(&headers);
        allowance
    }

    #[tokio::test]
    async fn one_alone_never_waits_and_many_share_what_there_is() {
        let (beat, look) = (Duration::from_secs(20), Duration::from_secs(30));
        for (members, limit, presence, looking) in [
            (1, "600", 20, 30),
            (1, "2", 20, 30),
            (50, "600", 20, 30),
            (200, "600", 40, 80),
            (400, "600", 80, 160),
            (200, "6000", 20, 30),
            (200, "unlimited", 20, 30),
            (3, "1", 180, 180),
        ] {
            let allowance = seen(members, limit, 600);
            let every = |normal, purpose| allowance.every(normal, purpose, Timing::REAL).as_secs();
            let found = (every(beat, Purpose::Presence), every(look, Purpose::Looking));
            assert_eq!(found, (presence, looking), "{members} {limit}");
        }
        let fast = seen(200, "600", 600).every(beat / 10, Purpose::Presence, Timing { speed: 10 });
        assert_eq!(fast, Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_of_a_window_is_left_to_what_is_more_urgent() {
        let pauses = |allowance: &Allowance| {
            [Purpose::Presence, Purpose::Looking].map(|purpose| allowance.pause(purpose).map(|wait| wait.as_secs()))
        };
        assert_eq!(pauses(&seen(1, "600", 0)), [None, None]);
        assert_eq!(pauses(&seen(200, "600", 121)), [None, None]);
        assert_eq!(pauses(&seen(200, "600", 120)), [None, Some(31)]);
        let empty = seen(200, "600", 30);
        assert_eq!(pauses(&empty), [Some(31), Some(31)]);
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(pauses(&empty), [None, None]);
        assert_eq!(pauses(&Allowance::default()), [None, None]);
    }
}
