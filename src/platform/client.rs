//! The one door to a platform: every request of this program goes through [`Client::send`].

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::error::{CallError, MAX_DETAIL, clip};
use super::files::FilePart;
use super::{address, verdict};
use crate::config::Timing;
use crate::config::proxy::Route;
use crate::types::{BaseUrl, Secret, Timestamp};
use allowance::Allowance;
use connections::Pool;

pub use allowance::Purpose;

mod allowance;
mod connections;
#[cfg(debug_assertions)]
mod names;
mod sending;

/// Largest request body that a platform of level B takes whole; a larger one is refused before anything is sent.
pub const MAX_BODY: usize = 1_000_000;

/// How to reach a platform; shared by all clients of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is.
    pub base: BaseUrl,
    /// Sent as `X-Molecule-Org-Id` when known.
    pub org_id: Option<String>,
    /// Sent as `X-Molecule-Org-Slug` when known.
    pub org_slug: Option<String>,
    /// What stands in between.
    pub route: Route,
}

/// How long a kind of call may take in all (connecting is bounded to 7.5 s besides).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 8 s: beats. Short, so that the return of a way that was dead is noticed soon.
    Beat,
    /// 10 s: register, look-ups.
    Quick,
    /// 30 s: an `/a2a` message to a peer (a push peer silent for 30 s is `delivered_unconfirmed`).
    Long,
    /// 30 s, if it is under way within 8 s and goes on: a page of the activity log.
    Page,
    /// 5 min, if it is under way within 8 s and goes on: a single row of the activity log, which may be 15 MiB on a slow
    /// line, or a file.
    Row,
    /// 5 min, without a word meanwhile: work that the platform does before it answers.
    Patient,
}

/// One request, before it is sent.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: Method,
    /// Path segments, unescaped; an empty one, `.` or `..` is refused before anything is sent.
    pub path: &'a [&'a str],
    /// Query pairs, unescaped.
    pub query: Vec<(&'static str, String)>,
    /// JSON body of at most [`MAX_BODY`] bytes. U+0000 in its strings is sent as U+FFFD.
    pub body: Option<Value>,
    /// Sent as a form with this file instead of a JSON body.
    pub file: Option<FilePart<'a>>,
    /// Sent as `Authorization: Bearer`, marked sensitive.
    pub bearer: Option<Secret>,
    /// Sent as `X-Workspace-ID`.
    pub sender: Option<&'a str>,
    /// Sent as `X-Confirm-Name`.
    pub confirm_name: Option<&'a str>,
    /// The deadline.
    pub class: Class,
    /// Largest acceptable answer in bytes.
    pub limit: usize,
}

/// A 2xx answer. Its `Debug` shows the body's length only: bodies hold credentials and other people's text.
pub struct Answer {
    /// 200 to 299.
    pub status: u16,
    /// The body, complete.
    pub body: Vec<u8>,
    /// The platform's clock.
    pub date: Option<Timestamp>,
}

/// The platform's rate limiter as last seen on an answer.
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
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    allowance: Arc<Allowance>,
    /// Which of the workspaces it serves that are at this platform, from 0.
    nth: u32,
}

/// How many workspaces of this process may begin at a platform at the same time.
const ABREAST: usize = 8;

/// What clients made from one another have in common.
struct Shared {
    settings: Settings,
    deadlines: Deadlines,
    /// For beats, so that nothing else is ever in their way.
    beats: Arc<Pool>,
    /// Workspaces of this process at this platform.
    workspaces: AtomicU32,
    beginning: Semaphore,
    /// The platform's clock as last seen, and when.
    date: Mutex<Option<(Timestamp, Instant)>>,
    /// Pools made before the latest generation are not used any more.
    generation: AtomicU64,
    fresh_starts: watch::Sender<u64>,
}

/// How long each part of a call may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    pub(super) connect: Duration,
    pub(super) silence: Duration,
    pub(super) quick: Duration,
    pub(super) long: Duration,
    pub(super) row: Duration,
}

impl Deadlines {
    /// Everything is a little longer than the connect deadline, so that a connection that never came up is told as such
    /// and not as a request whose outcome is unknown. That deadline lets the system ask for a connection four times.
    const REAL: Self = Self {
        connect: Duration::from_millis(7500),
        silence: Duration::from_secs(8),
        quick: Duration::from_secs(10),
        long: Duration::from_secs(30),
        row: Duration::from_secs(300),
    };

    fn of(self, class: Class) -> Duration {
        match class {
            Class::Beat => self.silence,
            Class::Quick => self.quick,
            Class::Long | Class::Page => self.long,
            Class::Row | Class::Patient => self.row,
        }
    }

    /// How long an answer may bring next to nothing before its connection is taken for dead.
    fn silence_of(self, class: Class) -> Duration {
        match class {
            Class::Page | Class::Row => self.silence,
            Class::Beat | Class::Quick | Class::Long | Class::Patient => self.of(class),
        }
    }
}

impl Client {
    /// Prepares a client. The TLS part is built at the first request, so that starting costs nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::with_deadlines(settings, Deadlines::REAL)
    }

    pub(super) fn with_deadlines(settings: Settings, deadlines: Deadlines) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                deadlines,
                beats: Arc::default(),
                workspaces: AtomicU32::new(1),
                beginning: Semaphore::new(ABREAST),
                date: Mutex::default(),
                generation: AtomicU64::new(0),
                fresh_starts: watch::Sender::new(0),
            }),
            pool: Arc::default(),
            allowance: Arc::default(),
            nth: 0,
        }
    }

    /// The same client over connections that only heartbeats use.
    #[must_use]
    pub fn separate(&self) -> Self {
        Self {
            pool: Arc::clone(&self.shared.beats),
            ..self.clone()
        }
    }

    /// A client over the same connections for one workspace more.
    #[must_use]
    pub fn for_another(&self) -> Self {
        // The platform counts by organization, and where none is named by credential.
        let allowance = if self.shared.settings.org_id.is_some() {
            self.allowance.admit_another();
            Arc::clone(&self.allowance)
        } else {
            Arc::default()
        };
        Self {
            allowance,
            nth: self.shared.workspaces.fetch_add(1, Ordering::Relaxed),
            ..self.clone()
        }
    }

    /// Where in an interval this workspace does what all do once in each: above 0 and at most 1, and 1 for a single one.
    #[must_use]
    pub fn phase(&self) -> f64 {
        f64::from(self.nth + 1) / f64::from(self.shared.workspaces.load(Ordering::Relaxed))
    }

    /// Waits until this workspace may begin at the platform, beside a few others; it does so while it keeps the permit.
    pub async fn turn_to_begin(&self, timing: Timing) -> Option<SemaphorePermit<'_>> {
        let permit = self.shared.beginning.acquire().await.ok();
        self.wait_for(Purpose::Beginning, timing).await;
        permit
    }

    /// How often to do something: `normal`, unless this workspace shares a limit with so many that all of them together would
    /// exceed their share of it.
    #[must_use]
    pub fn every(&self, normal: Duration, purpose: Purpose, timing: Timing) -> Duration {
        self.allowance.every(normal, purpose, timing)
    }

    /// How long to wait because what the limit leaves just now is for others; always `None` for a workspace that shares it
    /// with no other.
    #[must_use]
    pub fn pause(&self, purpose: Purpose, timing: Timing) -> Option<Duration> {
        let pause = self.allowance.pause(purpose, timing)?;
        // Not all at once when the time has come, and not always in the same order: the last would never have their turn.
        let most = timing.of(Duration::from_millis(20)) * self.shared.workspaces.load(Ordering::Relaxed);
        let chance = f64::from(Uuid::new_v4().as_bytes()[0]) / 256.0;
        Some(pause + most.mul_f64(chance))
    }

    /// Waits as long as [`Self::pause`] says.
    pub async fn wait_for(&self, purpose: Purpose, timing: Timing) {
        while let Some(pause) = self.pause(purpose, timing) {
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether both were made from one, and so share connections and what they know of the platform.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The platform's address.
    #[must_use]
    pub fn base(&self) -> &BaseUrl {
        &self.shared.settings.base
    }

    /// The rate limiter as last seen by this client or those made from it.
    ///
    /// Answers to calls without a credential count only when an organization is named: the platform would otherwise
    /// count them in another bucket than the workspace's own.
    #[must_use]
    pub fn rate_limit(&self) -> RateLimit {
        self.allowance.rate_limit()
    }

    /// The time by the platform's clock, from its last answer. `None` before the first one, and again after a sleep.
    ///
    /// Rows are stamped by that clock, so what is compared with them is measured by it: ours may be wrong, and jump.
    #[must_use]
    pub fn platform_time(&self) -> Option<Timestamp> {
        let (date, seen) = (*lock(&self.shared.date))?;
        let since = i64::try_from(seen.elapsed().as_micros()).ok()?;
        Some(date.plus_micros(since))
    }

    /// To be called when the computer slept or this process stood still: whatever was connected before is not trusted any
    /// more, and [`Self::fresh_starts`] tells the loops that rest.
    pub fn start_over(&self) {
        *lock(&self.shared.date) = None;
        self.renew();
        self.shared.fresh_starts.send_modify(|count| *count += 1);
    }

    /// Changes when [`Self::start_over`] was called.
    #[must_use]
    pub fn fresh_starts(&self) -> watch::Receiver<u64> {
        self.shared.fresh_starts.subscribe()
    }

    /// Lets go of idle connections: the next request of this client, and of those made from one another with it, opens a
    /// new one, and has the platform's name looked up again.
    fn renew(&self) {
        self.shared.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends one request once and reads the whole answer.
    ///
    /// # Errors
    /// See [`CallError`]; nothing is retried here.
    pub async fn send(&self, request: Request<'_>) -> Result<Answer, CallError> {
        // On the heap for as long as it takes: a task that rests between two requests keeps no room for one.
        Box::pin(self.send_and_read(request)).await
    }

    async fn send_and_read(&self, request: Request<'_>) -> Result<Answer, CallError> {
        let limit = request.limit;
        let silence = self.shared.deadlines.silence_of(request.class);
        let prepared = self.prepare(&request, "application/json").await?;
        let exchange = async {
            let response = within(silence, self.exchange(prepared, request.bearer.as_ref())).await?;
            Ok(Answer {
                status: response.status().as_u16(),
                date: verdict::date(response.headers()),
                body: sending::whole_body(response, limit, silence).await?,
            })
        };
        self.bounded(request.class, exchange).await
    }

    /// Sends one request and hands back the answer with its body still to come. The deadline of the request's class
    /// covers the answer's head only.
    pub(super) async fn open(&self, request: Request<'_>, accept: &'static str) -> Result<Response, CallError> {
        let opened = async {
            let prepared = self.prepare(&request, accept).await?;
            let exchange = self.exchange(prepared, request.bearer.as_ref());
            self.bounded(request.class, exchange).await
        };
        Box::pin(opened).await
    }

    /// Bounds a call by the deadline of its class. One whose connection died says the same of those that lie idle: they
    /// were made over the same way, and each of them could cost another deadline.
    async fn bounded<T>(&self, class: Class, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        let outcome = within(self.shared.deadlines.of(class), call).await;
        if let Err(CallError::Interrupted { .. }) = &outcome {
            self.renew();
        }
        outcome
    }

    /// Everything that can fail before a byte leaves.
    async fn prepare(&self, request: &Request<'_>, accept: &'static str) -> Result<RequestBuilder, CallError> {
        let settings = &self.shared.settings;
        let url = address::build(&settings.base, request.path, &request.query)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(ORIGIN, sending::header("PLATFORM_URL", &settings.base.origin())?);
        if let Some(org) = &settings.org_id {
            headers.insert(ORG, sending::header("MOLECULE_ORG_ID", org)?);
        }
        if let Some(slug) = &settings.org_slug {
            headers.insert(ORG_SLUG, sending::header("MOLECULE_ORG_SLUG", slug)?);
        }
        if let Some(name) = request.confirm_name {
            // Not only ASCII: the platform compares the bytes.
            let name = HeaderValue::from_bytes(name.as_bytes()).ok();
            let unsendable =
                || CallError::NotSent("the workspace's name holds characters that cannot be sent".to_owned());
            headers.insert(CONFIRM_NAME, name.ok_or_else(unsendable)?);
        }
        if let Some(sender) = request.sender {
            headers.insert(SENDER, sending::header("the workspace id", sender)?);
        }
        if let Some(token) = &request.bearer {
            let mut bearer = sending::header("the token", &format!("Bearer {}", token.expose()))?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let body = request.body.as_ref().map(sending::encode).transpose()?;
        let cell = self.pool.of(self.shared.generation.load(Ordering::Relaxed));
        let connections = cell
            .get_or_try_init(|| connections::build(settings, self.shared.deadlines.connect))
            .await?;
        let mut prepared = connections.request(request.method.clone(), url);
        if let Some(body) = body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            prepared = prepared.body(body);
        }
        if let Some(file) = &request.file {
            prepared = prepared.multipart(file.form().await?);
        }
        Ok(prepared.headers(headers))
    }

    /// Up to the head of a 2xx answer; anything else is read as far as needed and judged.
    async fn exchange(&self, prepared: RequestBuilder, bearer: Option<&Secret>) -> Result<Response, CallError> {
        let counts = bearer.is_some() || self.shared.settings.org_id.is_some();
        let under_way = counts.then(|| self.allowance.begin());
        let response = prepared.send().await.map_err(|error| CallError::transport(&error))?;
        if counts {
            self.allowance.remember(response.headers());
        }
        drop(under_way);
        if let Some(date) = verdict::date(response.headers()) {
            *lock(&self.shared.date) = Some((date, Instant::now()));
        }
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = sending::start_of_body(response, verdict::MAX_ERROR_BODY).await;
        Err(verdict::on(status, &headers, &body, bearer))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .field("date", &self.date)
            .finish()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

const ORG: HeaderName = HeaderName::from_static("x-molecule-org-id");
const ORG_SLUG: HeaderName = HeaderName::from_static("x-molecule-org-slug");
const CONFIRM_NAME: HeaderName = HeaderName::from_static("x-confirm-name");
const SENDER: HeaderName = HeaderName::from_static("x-workspace-id");

/// What is behind these locks is replaced whole, so a panic elsewhere leaves it sound.
fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bounds a call that may have been sent by now: running out of time leaves its outcome unknown.
async fn within<T>(deadline: Duration, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    tokio::time::timeout(deadline, call).await.unwrap_or_else(|_| {
        Err(CallError::Interrupted {
            detail: format!("no complete answer within {} s", deadline.as_secs_f64().floor()),
        })
    })
}

#[cfg(test)]
mod tests;
