//! Why a call to the platform produced no usable answer.

use std::error::Error;
use std::time::Duration;

use serde_json::Value;

/// Longest `detail` in characters.
pub(super) const MAX_DETAIL: usize = 300;

/// One variant per thing a caller would do differently. `detail` is at most 300 characters and never holds a credential.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// Nothing listened, the name did not resolve, TLS failed, or the connect deadline passed: the request was not sent.
    #[error("could not reach the platform: {detail}")]
    Unreachable {
        /// What the transport said.
        detail: String,
    },
    /// The request left, and no complete answer came back. Whether it took effect is not known.
    #[error("the platform did not answer in full: {detail}")]
    Interrupted {
        /// What the transport said.
        detail: String,
    },
    /// 401 from anywhere, or 403 with a reason from the platform itself. Retrying alone cannot help.
    ///
    /// A 403 without such a reason was made by something in front of the platform, says nothing about the token, and
    /// is [`CallError::Rejected`].
    #[error("the platform refused {} ({status}): {detail}", if *status == 401 { "this token" } else { "this call" })]
    Refused {
        /// 401 or 403.
        status: u16,
        /// The platform's reason.
        detail: String,
    },
    /// 429, or 503 with a request to wait that does not speak of a peer (see [`CallError::says`]).
    #[error("the platform asks to slow down ({status})")]
    Throttled {
        /// 429 or 503.
        status: u16,
        /// From `Retry-After`, or from the body's `retry_after`; at most 10 minutes.
        retry_after: Option<Duration>,
    },
    /// Any other answer outside 2xx.
    #[error("the platform answered {status}: {detail}")]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// The `error` text of the body, else the start of the body, else who may have answered instead of the platform.
        detail: String,
        /// The whole JSON body, when it was one and at most 64 KiB.
        body: Option<Value>,
    },
    /// A 2xx answer that is not what the contract says.
    #[error("the platform sent an answer that could not be read: {detail}")]
    Malformed {
        /// What was wrong with it; never a part of it.
        detail: String,
    },
    /// The answer is larger than the caller's bound.
    #[error("the platform's answer is larger than {limit} bytes")]
    TooLarge {
        /// The bound in bytes.
        limit: usize,
    },
    /// Refused by this program before anything was sent.
    #[error("{0}")]
    NotSent(String),
}

impl CallError {
    /// Callers match on this. Add codes; never change one.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::Interrupted { .. } => "PLATFORM_UNREACHABLE",
            Self::Refused { .. } => "AUTH_ERROR",
            Self::Throttled { .. } => "RATE_LIMITED",
            Self::Rejected { status: 404, .. } => "NOT_FOUND",
            Self::Rejected { status: 410, .. } => "GONE",
            Self::Rejected { .. } | Self::Malformed { .. } | Self::TooLarge { .. } => "PLATFORM_ERROR",
            Self::NotSent(_) => "INVALID_REQUEST",
        }
    }

    /// Whether the same call may well succeed later without anyone doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Interrupted { .. } | Self::Throttled { .. } => true,
            Self::Rejected { status, .. } => matches!(status, 408 | 500..=599),
            Self::Refused { .. } | Self::Malformed { .. } | Self::TooLarge { .. } | Self::NotSent(_) => false,
        }
    }

    /// Whether the platform may have acted on the request although no answer says so.
    ///
    /// A 503 that calls the peer `busy` or `waking` says that nothing was delivered; every other 5xx leaves it open.
    #[must_use]
    pub fn outcome_is_unknown(&self) -> bool {
        match self {
            Self::Interrupted { .. } | Self::Malformed { .. } | Self::TooLarge { .. } => true,
            Self::Throttled { status, .. } => *status != 429,
            Self::Rejected { status: 503, .. } if self.says("busy") || self.says("waking") => false,
            Self::Rejected { status, .. } => matches!(status, 408 | 500..=599),
            Self::Unreachable { .. } | Self::Refused { .. } | Self::NotSent(_) => false,
        }
    }

    /// How long the platform asked to wait, if it did.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } => *retry_after,
            Self::Rejected { body: Some(body), .. } => wait_asked_for(body),
            _ => None,
        }
    }

    /// The HTTP status, when there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Throttled { status, .. } | Self::Rejected { status, .. } => {
                Some(*status)
            }
            _ => None,
        }
    }

    /// Whether the body of a [`CallError::Rejected`] answer raises a flag: `busy`, `waking` or `restarting` of the
    /// peer an `/a2a` message was for.
    #[must_use]
    pub fn says(&self, flag: &str) -> bool {
        match self {
            Self::Rejected { body: Some(body), .. } => body.get(flag) == Some(&Value::Bool(true)),
            _ => false,
        }
    }

    /// Whether the answer can only mean that this platform has no such route: its router's or an edge's own 404, without
    /// the JSON that a handler gives.
    #[must_use]
    pub fn lacks_route(&self) -> bool {
        match self {
            Self::Rejected { status: 405, .. } => true,
            Self::Rejected { status: 404, body, .. } => !body.as_ref().is_some_and(|body| body["error"].is_string()),
            _ => false,
        }
    }

    /// What a failure below HTTP means: only a connection that never came up proves that nothing was sent.
    pub(super) fn transport(error: &reqwest::Error) -> Self {
        let detail = clip(&causes(error), MAX_DETAIL);
        if error.is_builder() {
            Self::NotSent(format!("the request could not be made: {detail}"))
        } else if error.is_connect() {
            Self::Unreachable { detail }
        } else {
            Self::Interrupted { detail }
        }
    }
}

/// The longest wait that a platform can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The `retry_after` of a body in seconds, at most 10 minutes.
pub(super) fn wait_asked_for(body: &Value) -> Option<Duration> {
    seconds(body.get("retry_after")?.as_f64()?)
}

/// A wait of so many seconds, at most 10 minutes; `None` for what is no length of time.
pub(super) fn seconds(asked: f64) -> Option<Duration> {
    (asked >= 0.0).then(|| Duration::from_secs_f64(asked.min(LONGEST_WAIT.as_secs_f64())))
}

/// The two innermost causes. The outer layers only repeat that a request failed, and name its whole URL.
fn causes(error: &reqwest::Error) -> String {
    let mut chain = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        chain.push(cause.to_string());
        next = cause.source();
    }
    chain.dedup();
    match chain.as_slice() {
        [] => "the request failed".to_owned(),
        [only] => only.clone(),
        [.., outer, root] if outer.contains(root.as_str()) => outer.clone(),
        [.., outer, root] => format!("{outer}: {root}"),
    }
}

/// One line of at most `max` characters: control characters and runs of white space become one blank.
pub(super) fn clip(text: &str, max: usize) -> String {
    let words = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        // A byte bound that no shorter text can reach, so that a huge body is not copied whole.
        if line.len() > max * 4 {
            break;
        }
    }
    match line.char_indices().nth(max) {
        None => line,
        Some(_) => {
            let kept = line.char_indices().nth(max.saturating_sub(1)).map_or(0, |(at, _)| at);
            line.truncate(kept);
            line.push('…');
            line
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rejected(status: u16, body: Value) -> CallError {
        CallError::Rejected {
            status,
            detail: String::new(),
            body: Some(body),
        }
    }

    #[test]
    fn each_failure_says_whether_to_try_again_and_whether_it_may_have_worked() {
        let cut = || CallError::Interrupted { detail: String::new() };
        let throttled = |status| CallError::Throttled {
            status,
            retry_after: None,
        };
        for (error, transient, unknown) in [
            (CallError::Unreachable { detail: String::new() }, true, false),
            (cut(), true, true),
            (
                CallError::Refused {
                    status: 401,
                    detail: String::new(),
                },
                false,
                false,
            ),
            (throttled(429), true, false),
            (throttled(503), true, true),
            (rejected(503, json!({ "busy": true })), true, false),
            (rejected(503, json!({ "waking": true })), true, false),
            (rejected(503, json!({ "restarting": true })), true, true),
            (rejected(524, json!({})), true, true),
            (rejected(408, json!({})), true, true),
            (rejected(400, json!({})), false, false),
            (CallError::Malformed { detail: String::new() }, false, true),
            (CallError::TooLarge { limit: 1 }, false, true),
            (CallError::NotSent(String::new()), false, false),
        ] {
            assert_eq!(error.is_transient(), transient, "{error:?}");
            assert_eq!(error.outcome_is_unknown(), unknown, "{error:?}");
        }
    }

    #[test]
    fn a_missing_route_is_told_from_a_missing_thing() {
        let page = CallError::Rejected {
            status: 404,
            detail: "404 page not found".to_owned(),
            body: None,
        };
        for (error, lacks) in [
            (page, true),
            (rejected(405, json!({ "error": "x" })), true),
            (rejected(404, json!({ "message": "x" })), true),
            (rejected(404, json!({ "error": "request not found" })), false),
            (rejected(410, json!({})), false),
            (CallError::Unreachable { detail: String::new() }, false),
        ] {
            assert_eq!(error.lacks_route(), lacks, "{error:?}");
        }
    }

    #[test]
    fn a_wait_that_a_rejection_asks_for_is_known_and_bounded() {
        let wait = |body| rejected(503, body).retry_after();
        assert_eq!(wait(json!({ "retry_after": 15 })), Some(Duration::from_secs(15)));
        assert_eq!(wait(json!({ "retry_after": 1e300 })), Some(LONGEST_WAIT));
        assert_eq!(wait(json!({ "retry_after": -1 })), None);
        assert_eq!(wait(json!({ "retry_after": "soon" })), None);
    }

    #[test]
    fn a_detail_is_one_clean_line_of_bounded_length() {
        assert_eq!(clip("  a\u{0}\u{1b}[31m\r\n\tb  ", 300), "a [31m b");
        assert_eq!(clip("äöü", 3), "äöü");
        assert_eq!(clip("äöüß", 3), "äö…");
        assert_eq!(clip(&"x ".repeat(1_000_000), 300).chars().count(), 300);
        assert_eq!(clip(&"y".repeat(1_000_000), 300).chars().count(), 300);
    }
}
