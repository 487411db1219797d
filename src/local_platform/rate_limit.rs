//! The global rate limiter: a fixed window of 60 s per caller.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use serde_json::json;

use super::call::{Answer, bearer, header_text};
use super::credentials;
use super::server::Level;

const WINDOW: Duration = Duration::from_secs(60);

/// Counts requests per bucket.
pub(crate) struct RateLimiter {
    window: Duration,
    state: Mutex<Buckets>,
}

struct Buckets {
    limit: u32,
    by_key: HashMap<String, Bucket>,
}

struct Bucket {
    opened: Instant,
    used: u32,
}

/// The state of a caller's bucket after its request was counted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Whole seconds until the bucket is full again.
    pub(crate) reset: u64,
    pub(crate) admitted: bool,
}

impl RateLimiter {
    /// The window is shorter where time runs faster.
    pub(crate) fn new(limit: u32, speed: u32) -> Self {
        Self {
            window: WINDOW / speed.max(1),
            state: Mutex::new(Buckets {
                limit,
                by_key: HashMap::new(),
            }),
        }
    }

    /// Changes the limit and empties all buckets.
    pub(crate) fn set(&self, limit: u32) {
        *self.lock() = Buckets {
            limit,
            by_key: HashMap::new(),
        };
    }

    /// Counts one request of `key` at `now`.
    pub(crate) fn count(&self, key: String, now: Instant) -> Allowance {
        let mut state = self.lock();
        let limit = state.limit;
        let bucket = state.by_key.entry(key).or_insert(Bucket { opened: now, used: 0 });
        if now.duration_since(bucket.opened) >= self.window {
            *bucket = Bucket { opened: now, used: 0 };
        }
        let admitted = bucket.used < limit;
        bucket.used = bucket.used.saturating_add(1);
        let reset = self.window.saturating_sub(now.duration_since(bucket.opened)).as_secs();
        Allowance {
            limit,
            remaining: limit.saturating_sub(bucket.used),
            reset,
            admitted,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose bucket a request counts in: the organization header, the bearer, else the address (one, on loopback).
pub(crate) fn key(level: Level, headers: &HeaderMap) -> String {
    if level == Level::A {
        return "address".to_owned();
    }
    match (header_text(headers, "x-molecule-org-id"), bearer(headers)) {
        (Some(org), _) => format!("org {org}"),
        (None, Some(token)) => credentials::digest(token),
        (None, None) => "address".to_owned(),
    }
}

impl Allowance {
    /// The three headers every answer carries.
    pub(crate) fn headers(&self) -> [(&'static str, u64); 3] {
        [
            ("x-ratelimit-limit", u64::from(self.limit)),
            ("x-ratelimit-remaining", u64::from(self.remaining)),
            ("x-ratelimit-reset", self.reset),
        ]
    }

    /// The 429 of a request that was not admitted.
    pub(crate) fn refusal(&self) -> Answer {
        Answer::json(
            429,
            &json!({ "error": "rate limit exceeded", "retry_after": self.reset }),
        )
        .with("retry-after", self.reset)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_window_admits_the_limit_and_opens_again_after_a_minute() {
        let limiter = RateLimiter::new(2, 1);
        let start = Instant::now();
        let count = |seconds| limiter.count("a".into(), start + Duration::from_secs(seconds));
        assert_eq!(
            count(0),
            Allowance {
                limit: 2,
                remaining: 1,
                reset: 60,
                admitted: true
            }
        );
        assert!(count(1).admitted);
        assert_eq!(
            count(2),
            Allowance {
                limit: 2,
                remaining: 0,
                reset: 58,
                admitted: false
            }
        );
        assert!(limiter.count("b".into(), start).admitted);
        assert!(count(60).admitted);
    }

    #[test]
    fn the_organization_header_goes_before_the_bearer() {
        let mut headers = HeaderMap::new();
        assert_eq!(key(Level::B, &headers), "address");
        headers.insert("authorization", HeaderValue::from_static("Bearer x"));
        assert_eq!(key(Level::B, &headers), credentials::digest("x"));
        assert_eq!(key(Level::A, &headers), "address");
        headers.insert("x-molecule-org-id", HeaderValue::from_static("o"));
        assert_eq!(key(Level::B, &headers), "org o");
    }
}
