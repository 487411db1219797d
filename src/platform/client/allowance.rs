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
    /// Requests that are under way: the platform may have counted them without having told.
    under_way: AtomicU32,
}

/// One request that is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay<'a>(&'a AtomicU32);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            seen: Mutex::new((RateLimit::default(), Instant::now())),
            members: AtomicU32::new(1),
            under_way: AtomicU32::new(0),
        }
    }
}

/// What a part of a bucket is for: requests that go out by themselves, not because a tool was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Heartbeats: half of the limit is theirs.
    Beating,
    /// The first requests of a workspace.
    Beginning,
    /// Looking for messages without having been told of one: a quarter.
    Looking,
}

impl Purpose {
    /// Of the limit, what is meant for it.
    fn share(self) -> u64 {
        match self {
            Self::Beating | Self::Beginning => 50,
            Self::Looking => 25,
        }
    }

    /// Percents of the limit that are for others: of what is left in any case, and, for what those still need in this window,
    /// of the part of it that is to come.
    fn reserve(self) -> (u128, u128) {
        match self {
            Self::Beating => (2, 0),
            Self::Beginning => (5, 30),
            Self::Looking => (10, 60),
        }
    }
}

impl Allowance {
    pub(super) fn admit_another(&self) {
        self.members.fetch_add(1, Ordering::Relaxed);
    }

    /// A request goes out; it counts until its answer was remembered.
    pub(super) fn begin(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(&self.under_way)
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
        let mut seen = RateLimit {
            limit: number("x-ratelimit-limit"),
            remaining: number("x-ratelimit-remaining"),
            reset: number("x-ratelimit-reset").map(Duration::from_secs),
        };
        let now = Instant::now();
        let mut known = lock(&self.seen);
        let (before, at) = *known;
        // Answers overtake one another: in one window what is left only shrinks.
        let is_same_window = seen.limit == before.limit && before.reset.is_some_and(|reset| now < at + reset);
        if is_same_window && self.members.load(Ordering::Relaxed) > 1 {
            seen.remaining = seen.remaining.min(before.remaining).or(seen.remaining);
        }
        *known = (seen, now);
    }

    /// How often each member may do something: `normal`, unless all of them together would exceed their share of the limit.
    pub(super) fn every(&self, normal: Duration, purpose: Purpose, timing: Timing) -> Duration {
        let members = self.members.load(Ordering::Relaxed);
        match self.rate_limit().limit {
            Some(limit) if members > 1 => {
                let share = u32::try_from(limit * purpose.share() / 100).unwrap_or(u32::MAX);
                normal.max(timing.of(WINDOW) * members / share.max(1))
            }
            _ => normal,
        }
    }

    /// How long to wait for the next window, when nothing is left of this one but what is for others.
    pub(super) fn pause(&self, purpose: Purpose, timing: Timing) -> Option<Duration> {
        if self.members.load(Ordering::Relaxed) < 2 {
            return None;
        }
        let (seen, at) = *lock(&self.seen);
        let (limit, remaining, reset) = (seen.limit?, seen.remaining?, seen.reset?);
        // Seconds are told whole, cut off, and are real ones however fast our own clock runs.
        let refilled = at + reset + Duration::from_secs(1);
        let wait = refilled
            .checked_duration_since(Instant::now())
            .filter(|wait| !wait.is_zero())?;
        let window = timing.of(WINDOW);
        let (always, to_come) = purpose.reserve();
        let percent = always + to_come * wait.min(window).as_millis() / window.as_millis().max(1);
        let under_way = self.under_way.load(Ordering::Relaxed);
        let remaining = remaining.saturating_sub(u64::from(under_way));
        let is_short = u128::from(remaining) * 100 <= u128::from(limit) * percent;
        // Part of what is for others may be left over: asked again when some time has passed.
        is_short.then(|| wait.min(window / 6))
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
        for (members, limit, beating, looking) in [
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
            let found = (every(beat, Purpose::Beating), every(look, Purpose::Looking));
            assert_eq!(found, (beating, looking), "{members} {limit}");
        }
        let fast = seen(200, "600", 600).every(beat / 10, Purpose::Beating, Timing { speed: 10 });
        assert_eq!(fast, Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_still_need_in_a_window_is_left_to_them() {
        let waits = |allowance: &Allowance| {
            [Purpose::Beating, Purpose::Beginning, Purpose::Looking]
                .map(|purpose| allowance.pause(purpose, Timing::REAL).is_some())
        };
        // With half a minute to come.
        assert_eq!(waits(&seen(1, "600", 0)), [false; 3]);
        assert_eq!(waits(&seen(200, "600", 247)), [false, false, false]);
        assert_eq!(waits(&seen(200, "600", 246)), [false, false, true]);
        assert_eq!(waits(&seen(200, "600", 121)), [false, false, true]);
        assert_eq!(waits(&seen(200, "600", 120)), [false, true, true]);
        let short = seen(200, "600", 12);
        assert_eq!(waits(&short), [true; 3]);
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(waits(&short), [false; 3], "the window is over");
        let busy = seen(200, "600", 14);
        assert_eq!(waits(&busy), [false, true, true]);
        let two = (busy.begin(), busy.begin());
        assert_eq!(waits(&busy), [true; 3], "two more may have been counted");
        drop(two);
        assert_eq!(waits(&busy), [false, true, true]);
        let late = seen(200, "600", 100);
        tokio::time::advance(Duration::from_secs(27)).await;
        assert_eq!(waits(&late), [false; 3], "little of it is to come");
        assert_eq!(waits(&Allowance::default()), [false; 3]);
    }
}
