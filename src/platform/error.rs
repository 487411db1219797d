//! Why a call to the platform produced no usable answer.

use std::time::Duration;

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
    /// 401 or 403 from the platform itself. Retrying alone cannot help.
    #[error("the platform refused this token ({status}): {detail}")]
    Refused {
        /// 401 or 403.
        status: u16,
        /// The platform's reason.
        detail: String,
    },
    /// 429, or 503 with a request to wait.
    #[error("the platform asks to slow down ({status})")]
    Throttled {
        /// 429 or 503.
        status: u16,
        /// From `Retry-After`, or from the body's `retry_after`.
        retry_after: Option<Duration>,
    },
    /// Any other answer outside 2xx.
    #[error("the platform answered {status}: {detail}")]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// The `error` text of the body, else the start of the body.
        detail: String,
        /// The whole JSON body, when it was one and at most 64 KiB.
        body: Option<serde_json::Value>,
    },
    /// A 2xx answer that is not what the contract says.
    #[error("the platform sent an answer that could not be read: {detail}")]
    Malformed {
        /// What was wrong with it.
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
    #[must_use]
    pub fn outcome_is_unknown(&self) -> bool {
        match self {
            Self::Interrupted { .. } | Self::Malformed { .. } | Self::TooLarge { .. } => true,
            Self::Rejected { status, .. } => matches!(status, 408 | 500..=599),
            Self::Unreachable { .. } | Self::Refused { .. } | Self::Throttled { .. } | Self::NotSent(_) => false,
        }
    }

    /// How long the platform asked to wait, if it did.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } => *retry_after,
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
}
