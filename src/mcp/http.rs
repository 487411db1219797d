//! MCP over streamable HTTP: one session for each client, however many connections it uses.
//!
//! The library speaks the protocol; here is what it leaves to its user:
//!
//! * A session ends when its client says so, or when it has been gone for a while. The library ends one whose client is merely
//!   quiet, and keeps one for ever whose client has died.
//! * What a session was shown is leased to it alone, as to a process, and offered again the moment it ends.
//! * A call whose connection broke is cancelled if nobody comes back for its answer: a wait would take a message to nobody.
//! * Every body gets what it deserves, and memory stays bounded: sessions, calls and bodies have limits.
//! * When the program stops, calls in flight are still answered.
//!
//! Who may come here at all is not judged here.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use rmcp::model::{ClientJsonRpcMessage, ClientNotification, ClientRequest, JsonRpcMessage, RequestId};
use rmcp::transport::streamable_http_server::session::local::{LocalSessionManager, SessionConfig};
use rmcp::transport::streamable_http_server::session::{SessionId, SessionManager as _};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::server::{News, Offer, Server};
use super::transport::{self, INVALID_REQUEST, LINE_LIMIT, Unreadable};
use crate::config::Timing;
use visit::{Departure, Exchange, Visit};

mod visit;

/// Clients at once.
pub const SESSIONS: usize = 32;
/// Calls of one session at once.
const CALLS: usize = 64;
/// How long calls in flight may take to be answered when their session ends.
const GRACE: Duration = Duration::from_millis(900);
/// How long the library may take after that to let go of a session.
const LETTING_GO: Duration = Duration::from_millis(400);
/// How long the answer of a call whose connection broke is kept for a client that comes back for it.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(10);
/// How long a client that has nothing open keeps its place although others need one.
const MAKES_ROOM_AFTER: Duration = Duration::from_secs(30);
/// The session is gone: what other servers answer, too.
const SESSION_NOT_FOUND: i32 = -32001;
const TRY_LATER: i32 = -32000;

const SESSION_ID: &str = "mcp-session-id";
const LAST_EVENT_ID: &str = "last-event-id";

/// What a request is answered.
pub type Answer = Response<BoxBody<Bytes, Infallible>>;

/// One client, before it has said anything.
pub struct Guest {
    /// What it is served.
    pub offer: Offer,
    /// What has to go on as long as its session is open, and ends a moment after that.
    pub life: BoxFuture<'static, ()>,
}

/// Makes what a client is served whose session closes with this token.
pub type Invite = Box<dyn Fn(CancellationToken) -> Result<Guest, String> + Send + Sync>;

/// The sessions there are. Cheap to clone.
#[derive(Clone)]
pub struct Hall(Arc<Inner>);

struct Inner {
    invite: Invite,
    timing: Timing,
    stop: CancellationToken,
    visits: Mutex<HashMap<SessionId, Arc<Visit>>>,
    places: Arc<Semaphore>,
    manager: Arc<LocalSessionManager>,
    tasks: TaskTracker,
}

impl Hall {
    /// No session yet; all end with `stop`.
    #[must_use]
    pub fn new(invite: Invite, timing: Timing, stop: CancellationToken) -> Self {
        let mut manager = LocalSessionManager::default();
        let mut sessions = SessionConfig::default();
        // A session ends by what is seen of its client, not by its silence.
        sessions.keep_alive = None;
        manager.session_config = sessions;
        Self(Arc::new(Inner {
            invite,
            timing,
            stop,
            visits: Mutex::default(),
            places: Arc::new(Semaphore::new(SESSIONS)),
            manager: Arc::new(manager),
            tasks: TaskTracker::new(),
        }))
    }

    /// How many sessions there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.visits().len()
    }

    /// Waits until all sessions have ended: at most about 1.3 s after the stop.
    pub async fn emptied(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Display + Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if self.0.stop.is_cancelled() {
            return unavailable("the sessions are ending");
        }
        let (head, body) = request.into_parts();
        let visit = match session(&head.headers) {
            None => None,
            Some(id) => match self.visits().get(&id).cloned() {
                Some(visit) => Some((id, visit)),
                None => return session_is_gone(),
            },
        };
        match head.method {
            Method::POST => match whole(body).await {
                Ok(bytes) => self.post(head, bytes, visit).await,
                Err(refused) => refused,
            },
            Method::GET => match visit {
                Some((id, visit)) => {
                    if head.headers.contains_key(LAST_EVENT_ID) {
                        visit.came_back();
                    }
                    self.pass(Departure::new(self, id, visit, None), request_of(head, Bytes::new()))
                        .await
                }
                None => session_is_missing(),
            },
            Method::DELETE => match visit {
                Some((_, visit)) => {
                    visit.closing.cancel();
                    let _ = timeout(GRACE + 2 * LETTING_GO, visit.over.cancelled()).await;
                    empty(StatusCode::NO_CONTENT)
                }
                None => session_is_missing(),
            },
            _ => {
                let mut refused = empty(StatusCode::METHOD_NOT_ALLOWED);
                let allowed = HeaderValue::from_static("GET, POST, DELETE");
                refused.headers_mut().insert(ALLOW, allowed);
                refused
            }
        }
    }

    async fn post(&self, head: Parts, bytes: Bytes, visit: Option<(SessionId, Arc<Visit>)>) -> Answer {
        let message = match transport::read(&bytes) {
            Ok(Some(message)) => message,
            Ok(None) => return empty(StatusCode::ACCEPTED),
            Err(Unreadable { id, code, what }) => {
                let body = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": what } });
                return object(StatusCode::BAD_REQUEST, &body);
            }
        };
        let request = request_of(head, bytes);
        let Some((id, visit)) = visit else {
            if !is_initialize(&message) {
                return self.without_session(request).await;
            }
            // To its end, even if the client has gone before it is answered: else nobody would look after the session.
            let (hall, tasks) = (self.clone(), &self.0.tasks);
            let opened = tasks.spawn(async move { hall.open(request).await });
            return opened
                .await
                .unwrap_or_else(|_| unavailable("the session could not be opened"));
        };
        let call = match &message {
            JsonRpcMessage::Request(call) => match visit.begin(&call.id) {
                Ok(()) => Some(call.id.clone()),
                Err(why) => return refusal(StatusCode::TOO_MANY_REQUESTS, INVALID_REQUEST, why),
            },
            JsonRpcMessage::Notification(note) => {
                if let ClientNotification::CancelledNotification(cancelled) = &note.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    // The library answers nothing to a cancelled request.
                    visit.finished(id);
                }
                None
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => None,
        };
        self.pass(Departure::new(self, id, visit, call), request).await
    }

    /// Has the library answer, and looks after the answer until it has left.
    async fn pass(&self, departure: Departure, request: Request<Full<Bytes>>) -> Answer {
        let answer = self.service(None).handle(request).await;
        answer.map(|body| BoxBody::new(Exchange::new(body, departure)))
    }

    /// What is asked outside of a session: the revisions there are, or something that needs one.
    async fn without_session(&self, request: Request<Full<Bytes>>) -> Answer {
        match self.serve_nobody() {
            Ok(server) => self.service(Some(server)).handle(request).await,
            Err(why) => unavailable(&why),
        }
    }

    /// A server that is asked one question. The journal is not opened for it.
    fn serve_nobody(&self) -> Result<Server, String> {
        let closing = self.0.stop.child_token();
        let guest = (self.0.invite)(closing.clone())?;
        Ok(Server::of(guest.offer, closing).0)
    }

    async fn open(&self, request: Request<Full<Bytes>>) -> Answer {
        let Some(place) = self.place().await else {
            return unavailable("as many clients as there may be have a session; end one, or wait until one has gone");
        };
        let closing = self.0.stop.child_token();
        let guest = match (self.0.invite)(closing.clone()) {
            Ok(guest) => guest,
            Err(why) => return unavailable(&why),
        };
        let (server, news) = Server::of(guest.offer, closing.clone());
        let answer = self.service(Some(server)).handle(request).await;
        let Some(id) = session(answer.headers()) else {
            return answer;
        };
        let visit = Arc::new(Visit::new(closing));
        let departure = Departure::new(self, id.clone(), Arc::clone(&visit), None);
        self.visits().insert(id.clone(), Arc::clone(&visit));
        self.0
            .tasks
            .spawn(self.clone().attend(id, visit, guest.life, news, place));
        answer.map(|body| BoxBody::new(Exchange::new(body, departure)))
    }

    /// A place for a client. Where none is free the one makes room that has had nothing open for the longest time: not every
    /// client says that it goes.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.0.places).try_acquire_owned() {
            return Some(place);
        }
        let longest = {
            let visits = self.visits();
            let idle = visits.values().filter_map(|visit| Some((visit.idle_since()?, visit)));
            let (since, visit) = idle.min_by_key(|(since, _)| *since)?;
            (since.elapsed() >= self.0.timing.of(MAKES_ROOM_AFTER)).then(|| Arc::clone(visit))?
        };
        longest.closing.cancel();
        let _ = timeout(GRACE + 2 * LETTING_GO, longest.over.cancelled()).await;
        Arc::clone(&self.0.places).try_acquire_owned().ok()
    }

    /// Looks after one session, and brings it to its end.
    async fn attend(
        self,
        id: SessionId,
        visit: Arc<Visit>,
        life: BoxFuture<'static, ()>,
        news: News,
        place: OwnedSemaphorePermit,
    ) {
        let closing = visit.closing.clone();
        let mut gone = Box::pin(news.unheard());
        let told = closing.clone();
        let mut work = Box::pin(async move {
            tokio::join!(life, told.run_until_cancelled(news.tell(&told)));
        });
        let (mut is_done, mut is_gone) = (false, false);
        loop {
            tokio::select! {
                () = closing.cancelled() => break,
                () = &mut gone => {
                    is_gone = true;
                    break;
                }
                () = visit.abandoned(self.0.timing) => {
                    tracing::info!("a client has gone without a word; its session ends");
                    break;
                }
                () = &mut work, if !is_done => is_done = true,
            }
        }
        self.visits().remove(&id);
        closing.cancel();
        let rest = async {
            visit.all_answered().await;
            if !is_done {
                (&mut work).await;
            }
        };
        let _ = timeout(GRACE, rest).await;
        // A client that does not read would hold up the end.
        visit.cut.cancel();
        let let_go = async {
            let _ = self.0.manager.close_session(&id).await;
            if !is_gone {
                gone.await;
            }
        };
        let _ = timeout(LETTING_GO, let_go).await;
        drop(work);
        drop(place);
        visit.over.cancel();
    }

    /// The library's part. It serves a new session, or one question, by `server`.
    fn service(&self, server: Option<Server>) -> StreamableHttpService<Server, LocalSessionManager> {
        // Hosts and origins were judged before; bodies, too.
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_max_request_body_bytes(LINE_LIMIT);
        let server = Mutex::new(server);
        let taken = move || {
            let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
            server.take().ok_or_else(|| std::io::ErrorKind::NotFound.into())
        };
        StreamableHttpService::new(taken, Arc::clone(&self.0.manager), config)
    }

    /// A call's connection broke before it was answered. Without a client that comes back for it, it is cancelled.
    fn missed(&self, id: SessionId, visit: Arc<Visit>, call: RequestId) {
        let (hall, times) = (self.clone(), visit.times_come_back());
        self.0.tasks.spawn(async move {
            let wait = tokio::time::sleep(hall.0.timing.of(COMES_BACK_WITHIN));
            if visit.closing.run_until_cancelled(wait).await.is_some() && visit.times_come_back() == times {
                let note = json!({
                    "jsonrpc": "2.0",
                    "method": "notifications/cancelled",
                    "params": { "requestId": call, "reason": "its connection broke" },
                });
                if let Ok(note) = serde_json::from_value::<ClientJsonRpcMessage>(note) {
                    let _ = hall.0.manager.accept_message(&id, note).await;
                }
            }
            visit.finished(&call);
        });
    }

    fn visits(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Visit>>> {
        self.0.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The whole body, if it is not longer than a message may be.
async fn whole<B>(body: B) -> Result<Bytes, Answer>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, LINE_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let what = format!("the message is longer than {LINE_LIMIT} bytes");
            Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, &what))
        }
        Err(_) => Err(refusal(StatusCode::BAD_REQUEST, INVALID_REQUEST, "the body broke off")),
    }
}

fn session(headers: &HeaderMap) -> Option<SessionId> {
    let id = headers.get(SESSION_ID)?.to_str().unwrap_or_default();
    Some(id.into())
}

fn request_of(head: Parts, body: Bytes) -> Request<Full<Bytes>> {
    Request::from_parts(head, Full::new(body))
}

fn is_initialize(message: &ClientJsonRpcMessage) -> bool {
    matches!(message, JsonRpcMessage::Request(call) if matches!(call.request, ClientRequest::InitializeRequest(_)))
}

fn session_is_missing() -> Answer {
    let what = "the header Mcp-Session-Id is missing";
    refusal(StatusCode::BAD_REQUEST, INVALID_REQUEST, what)
}

fn session_is_gone() -> Answer {
    let what = "there is no such session, or it has ended: initialize again";
    refusal(StatusCode::NOT_FOUND, SESSION_NOT_FOUND, what)
}

/// Nothing is wrong with the request; a moment later it may be answered.
#[must_use]
pub fn unavailable(why: &str) -> Answer {
    let mut refused = refusal(StatusCode::SERVICE_UNAVAILABLE, TRY_LATER, why);
    refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    refused
}

fn refusal(status: StatusCode, code: i32, what: &str) -> Answer {
    let error = json!({ "code": code, "message": what });
    object(status, &json!({ "jsonrpc": "2.0", "id": null, "error": error }))
}

fn object(status: StatusCode, body: &serde_json::Value) -> Answer {
    let mut answer = Response::new(BoxBody::new(Full::new(Bytes::from(body.to_string()))));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(BoxBody::new(Full::default()));
    *answer.status_mut() = status;
    answer
}
