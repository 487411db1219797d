//! The one door to a platform: every request of this program goes through [`Client::send`].

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::error::CallError;
use crate::types::{BaseUrl, Secret, Timestamp};

/// How to reach a platform; shared by all clients of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is.
    pub base: BaseUrl,
    /// Sent as `X-Molecule-Org-Id` when known.
    pub org_id: Option<String>,
    /// PEM file with further certificate authorities.
    pub ca_file: Option<PathBuf>,
}

/// How long a kind of call may take in all (connecting is bounded to 10 s besides).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 10 s: register, beats, polls, look-ups.
    Quick,
    /// 30 s: a big activity page, an `/a2a` message to a peer (a push peer silent for 30 s is `delivered_unconfirmed`).
    Long,
}

/// One request, before it is sent.
#[derive(Debug)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: Method,
    /// Path segments, unescaped; an empty one, `.` or `..` is refused before anything is sent.
    pub path: &'a [&'a str],
    /// Query pairs, unescaped.
    pub query: Vec<(&'static str, String)>,
    /// JSON body.
    pub body: Option<Value>,
    /// Sent as `Authorization: Bearer`, marked sensitive.
    pub bearer: Option<Secret>,
    /// Sent as `X-Workspace-ID`.
    pub sender: Option<&'a str>,
    /// The deadline.
    pub class: Class,
    /// Largest acceptable answer in bytes.
    pub limit: usize,
}

/// A 2xx answer.
#[derive(Debug)]
pub struct Answer {
    /// 200 to 299.
    pub status: u16,
    /// The body, complete.
    pub body: Vec<u8>,
    /// The platform's clock.
    pub date: Option<Timestamp>,
}

/// The platform's rate limiter as last seen on any answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// `X-RateLimit-Limit`.
    pub limit: Option<u64>,
    /// `X-RateLimit-Remaining`.
    pub remaining: Option<u64>,
    /// `X-RateLimit-Reset`, seconds until the window is refilled.
    pub reset: Option<Duration>,
}

/// Connections to one platform. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {}

impl Client {
    /// Prepares a client. The TLS part is built at the first request, so that starting costs nothing.
    #[must_use]
    pub fn new(_settings: Settings) -> Self {
        todo!()
    }

    /// A second client to the same platform with connections of its own, for the heartbeat.
    #[must_use]
    pub fn separate(&self) -> Self {
        todo!()
    }

    /// The platform's address.
    #[must_use]
    pub fn base(&self) -> &BaseUrl {
        todo!()
    }

    /// The rate limiter as last seen on any answer, by this client or those made from it.
    #[must_use]
    pub fn rate_limit(&self) -> RateLimit {
        todo!()
    }

    /// Sends one request once and reads the whole answer.
    ///
    /// # Errors
    /// See [`CallError`]; nothing is retried here.
    pub async fn send(&self, _request: Request<'_>) -> Result<Answer, CallError> {
        todo!()
    }
}
