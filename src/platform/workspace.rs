//! The platform's API as one workspace may call it: every method is one route, named for what it does.

use std::time::Duration;

use reqwest::{Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::client::{Answer, Class, Client, Request};
use super::error::CallError;
use super::events::EventStream;
use super::order::{self, Order};
use super::raw::{self, Elements};
use super::wire::{
    A2aAnswer, ActivityPage, ActivityQuery, Attached, Beat, BeatReply, Delegated, DelegationRow, Existence, Peer,
    RegisterBody, Registered,
};
use super::{a2a, address, retry, verdict};
use crate::config::token::TokenSource;
use crate::types::{PeerId, ResourceId, Secret, WorkspaceId};

pub use super::client::MAX_BODY;

/// Largest page of the activity log in bytes.
pub const MAX_PAGE: usize = 16 * 1024 * 1024;

/// Largest single row of the activity log: platforms take messages of 15 MiB, and JSON may make more of it.
const MAX_ROW: usize = 48 * 1024 * 1024;

/// Largest answer of a peer: the platform takes 10 MiB from it, and wraps nothing around.
const MAX_REPLY: usize = 12 * 1024 * 1024;

/// Largest list or row that may hold agent cards, which can be any JSON.
pub(super) const MAX_LIST: usize = 8 * 1024 * 1024;

/// The media type of the event stream.
const EVENT_STREAM: &str = "text/event-stream";
/// How long a look-up for a tool is begun anew after passing failures; a person waits for it.
pub(super) const LOOK_UP_AGAIN: Duration = Duration::from_secs(2);
/// Largest answer that says little more than yes.
const MAX_RECEIPT: usize = 1024 * 1024;

/// A client with one workspace's credential. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WorkspaceApi {
    client: Client,
    workspace: WorkspaceId,
    token: TokenSource,
}

impl WorkspaceApi {
    /// Binds a client to a workspace. The token is read from `token` anew for every request.
    #[must_use]
    pub fn new(client: Client, workspace: WorkspaceId, token: TokenSource) -> Self {
        Self {
            client,
            workspace,
            token,
        }
    }

    /// The same API over connections of its own.
    #[must_use]
    pub fn separate(&self) -> Self {
        Self {
            client: self.client.separate(),
            ..self.clone()
        }
    }

    /// The workspace it speaks for.
    #[must_use]
    pub fn workspace(&self) -> &WorkspaceId {
        &self.workspace
    }

    /// The client below.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where the token comes from.
    #[must_use]
    pub fn token(&self) -> &TokenSource {
        &self.token
    }

    /// `POST /registry/register`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn register(&self, body: &RegisterBody) -> Result<Registered, CallError> {
        let path = ["registry", "register"];
        let answer = self.post(&path, written(body)?).await?;
        let said: Map<String, Value> = parsed("a JSON object", &answer.body)?;
        Ok(Registered {
            auth_token: secret(&said, "auth_token"),
            inbound_secret: secret(&said, "platform_inbound_secret"),
        })
    }

    /// `POST /registry/heartbeat`. Any 2xx is a good beat, whatever its body.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn heartbeat(&self, beat: &Beat) -> Result<BeatReply, CallError> {
        let path = ["registry", "heartbeat"];
        let request = Request {
            body: Some(written(beat)?),
            class: Class::Beat,
            ..self.request(Method::POST, &path)
        };
        let answer = self.deliver(request).await?;
        let said: Map<String, Value> = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(BeatReply {
            inbound_secret: secret(&said, "platform_inbound_secret"),
        })
    }

    /// `POST /registry/update-card`: replaces the card that peers see. Saying it twice does no harm, so passing failures
    /// are tried again.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn update_card(&self, card: &Map<String, Value>) -> Result<(), CallError> {
        let path = ["registry", "update-card"];
        let body = json!({ "workspace_id": self.workspace, "agent_card": card });
        let answer = retry::idempotent(LOOK_UP_AGAIN, || self.post(&path, body.clone())).await?;
        parsed::<Map<String, Value>>("a JSON object", &answer.body).map(drop)
    }

    /// `GET /workspaces/:id` of this workspace, without a credential (the route is public).
    ///
    /// # Errors
    /// Anything but the three outcomes of [`Existence`].
    pub async fn existence(&self) -> Result<Existence, CallError> {
        existence(self.workspace.as_str(), self.public_row(self.workspace.as_str()).await)
    }

    /// `GET /workspaces/:id` of another workspace; also used to refuse delegations to removed targets.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn existence_of(&self, peer: &PeerId) -> Result<Existence, CallError> {
        existence(peer.as_str(), self.public_row(peer.as_str()).await)
    }

    /// Where the card of a peer is found, as level C tells with its messages. Asks nobody.
    #[must_use]
    pub fn card_address(&self, peer: &PeerId) -> Option<String> {
        let path = ["registry", "discover", peer.as_str()];
        address::build(self.client.base(), &path, &[]).ok().map(String::from)
    }

    /// `GET /workspaces/:id/activity`. The answer may be up to 16 MiB, or 48 MiB and five minutes for a page of one row;
    /// [`CallError::TooLarge`] beyond.
    ///
    /// # Errors
    /// 410 arrives as [`CallError::Rejected`].
    pub async fn activity(&self, query: &ActivityQuery) -> Result<ActivityPage, CallError> {
        let mut pairs = Vec::new();
        pairs.extend(query.kind.map(|kind| ("type", kind.to_owned())));
        pairs.extend(query.since_id.as_ref().map(|id| ("since_id", id.to_string())));
        pairs.extend(query.since_secs.map(|secs| ("since_secs", secs.to_string())));
        pairs.extend(query.before_ts.map(|time| ("before_ts", time.to_rfc3339())));
        pairs.push(("limit", query.limit.to_string()));
        pairs.extend(query.peer_info.then(|| ("include", "peer_info".to_owned())));
        match query.limit {
            1 => self.page(pairs, Class::Row, MAX_ROW).await,
            _ => self.activity_page(pairs).await,
        }
    }

    /// One page of the activity log by any query.
    pub(super) async fn activity_page(&self, query: Vec<(&'static str, String)>) -> Result<ActivityPage, CallError> {
        self.page(query, Class::Page, MAX_PAGE).await
    }

    async fn page(
        &self,
        query: Vec<(&'static str, String)>,
        class: Class,
        limit: usize,
    ) -> Result<ActivityPage, CallError> {
        let path = ["workspaces", self.workspace.as_str(), "activity"];
        let request = Request {
            query,
            class,
            limit,
            ..self.request(Method::GET, &path)
        };
        let answer = self.deliver(request).await?;
        ActivityPage::of(answer.body, answer.date)
    }

    /// `POST /workspaces/:id/activity/ack` (level C). `Ok(false)`: the platform has no such route.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn acknowledge(&self, seq: i64) -> Result<bool, CallError> {
        let path = ["workspaces", self.workspace.as_str(), "activity", "ack"];
        match self.post(&path, json!({ "acked_seq": seq })).await {
            Ok(_) => Ok(true),
            Err(CallError::Rejected { status: 404 | 405, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// `POST /workspaces/:id/notify`: a message to the person, with files that were uploaded before.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn notify(&self, message: &str, files: &[Attached]) -> Result<(), CallError> {
        let path = ["workspaces", self.workspace.as_str(), "notify"];
        let mut body = json!({ "message": message });
        if !files.is_empty() {
            body["attachments"] = written(&files)?;
        }
        let answer = self.post(&path, body).await?;
        // An edge may answer 200 with a web page; the message would then be lost in silence.
        parsed::<Map<String, Value>>("a JSON object", &answer.body).map(drop)
    }

    /// `POST /workspaces/:target/a2a` with `X-Workspace-ID` of this workspace.
    ///
    /// # Errors
    /// See [`CallError`]; a timeout is [`CallError::Interrupted`]. A peer that is busy, waking or restarting arrives as
    /// [`CallError::Rejected`] with status 503 and that flag, see [`CallError::says`].
    pub async fn a2a(&self, target: &PeerId, envelope: &Value) -> Result<A2aAnswer, CallError> {
        let path = ["workspaces", target.as_str(), "a2a"];
        let request = Request {
            body: Some(envelope.clone()),
            sender: Some(self.workspace.as_str()),
            class: Class::Long,
            limit: MAX_REPLY,
            ..self.request(Method::POST, &path)
        };
        let token = request.bearer.clone();
        let answer = self.deliver(request).await?;
        Ok(match a2a::classify(&String::from_utf8_lossy(&answer.body)) {
            A2aAnswer::Unclear { detail } => A2aAnswer::Unclear {
                detail: verdict::without(token.as_ref(), &detail),
            },
            known => known,
        })
    }

    /// `POST /workspaces/:id/delegate`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegate(&self, target: &PeerId, task: &str, key: &str) -> Result<Delegated, CallError> {
        let path = ["workspaces", self.workspace.as_str(), "delegate"];
        let body = json!({ "target_id": target, "task": task, "idempotency_key": key });
        let answer = self.post(&path, body).await?;
        let said: Map<String, Value> = parsed("a JSON object", &answer.body)?;
        // What is no id cannot be asked for later; whether the task was taken is then found out in another way.
        let id = said.get("delegation_id").and_then(Value::as_str);
        match id.and_then(|id| ResourceId::parse(id).ok()) {
            Some(id) => Ok(Delegated {
                delegation_id: id.as_str().to_owned(),
                idempotent_hit: said.get("idempotent_hit") == Some(&Value::Bool(true)),
            }),
            None => Err(CallError::Malformed {
                detail: "expected a delegation_id, got none".to_owned(),
            }),
        }
    }

    /// `GET /workspaces/:id/delegations`: at most 50 rows, newest first. A row of another shape is left out.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegations(&self) -> Result<Vec<DelegationRow>, CallError> {
        let path = ["workspaces", self.workspace.as_str(), "delegations"];
        self.list(self.request(Method::GET, &path)).await
    }

    /// `GET /registry/:id/peers`. A row of another shape is left out.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn peers(&self) -> Result<Vec<Peer>, CallError> {
        let path = ["registry", self.workspace.as_str(), "peers"];
        let request = Request {
            sender: Some(self.workspace.as_str()),
            ..self.request(Method::GET, &path)
        };
        self.list(request).await
    }

    /// Opens `GET /workspaces/:id/events/stream`. The deadline covers the answer's head only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn events(&self) -> Result<EventStream, CallError> {
        let path = ["workspaces", self.workspace.as_str(), "events", "stream"];
        EventStream::over(self.open(self.request(Method::GET, &path), EVENT_STREAM).await?)
    }

    /// Sends a request without reading its answer's body; once more with another token, as [`Self::deliver`] does.
    pub(super) async fn open(&self, request: Request<'_>, accept: &'static str) -> Result<Response, CallError> {
        let used = request.bearer.clone();
        match self.client.open(request.clone(), accept).await {
            Err(CallError::Refused { .. }) if self.has_another_token(used).await => {
                let bearer = self.token.current();
                self.client.open(Request { bearer, ..request }, accept).await
            }
            opened => opened,
        }
    }

    /// Sends an order with this workspace's credential, and no other.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send(&self, order: &Order) -> Result<Answer, CallError> {
        let path: Vec<&str> = order.path.iter().map(String::as_str).collect();
        self.deliver(order::request(order, &path, self.token.current())).await
    }

    /// A quick request with this workspace's credential of the moment.
    pub(super) fn request<'a>(&self, method: Method, path: &'a [&'a str]) -> Request<'a> {
        Request {
            method,
            path,
            query: Vec::new(),
            body: None,
            file: None,
            bearer: self.token.current(),
            sender: None,
            confirm_name: None,
            class: Class::Quick,
            limit: MAX_RECEIPT,
        }
    }

    pub(super) async fn post(&self, path: &[&str], body: Value) -> Result<Answer, CallError> {
        let request = Request {
            body: Some(body),
            ..self.request(Method::POST, path)
        };
        self.deliver(request).await
    }

    /// Sends a request, and once more with another token when the source holds one by now: a refused request did no work.
    pub(super) async fn deliver(&self, request: Request<'_>) -> Result<Answer, CallError> {
        let used = request.bearer.clone();
        let again = self.token.can_change().then(|| request.clone());
        match (self.client.send(request).await, again) {
            (Err(CallError::Refused { .. }), Some(again)) if self.has_another_token(used).await => {
                let bearer = self.token.current();
                self.client.send(Request { bearer, ..again }).await
            }
            (outcome, _) => outcome,
        }
    }

    /// Whether the token to send now differs from the one that was refused; the source is read again if need be.
    async fn has_another_token(&self, used: Option<Secret>) -> bool {
        if self.token.current() != used {
            return true;
        }
        let source = self.token.clone();
        tokio::task::spawn_blocking(move || source.reread())
            .await
            .unwrap_or(false)
    }

    pub(super) async fn list<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<Vec<T>, CallError> {
        let request = Request {
            limit: MAX_LIST,
            ..request
        };
        let answer = retry::idempotent(LOOK_UP_AGAIN, || self.deliver(request.clone())).await?;
        let text = raw::array(answer.body)?;
        let rows: Elements<'_> = serde_json::from_str(&text).unwrap_or_default();
        let rows = rows.0.iter();
        Ok(rows.filter_map(|row| serde_json::from_str(row.get()).ok()).collect())
    }

    /// `GET /workspaces/:id` without a credential.
    pub(super) async fn public_row(&self, id: &str) -> Result<Value, CallError> {
        let path = ["workspaces", id];
        let request = Request {
            bearer: None,
            limit: MAX_LIST,
            ..self.request(Method::GET, &path)
        };
        let answer = self.client.send(request).await?;
        parsed::<Map<String, Value>>("a JSON object", &answer.body).map(Value::Object)
    }
}

/// What a look at a workspace's row proves. Nothing is concluded from an answer that may not be the platform's own.
fn existence(id: &str, looked: Result<Value, CallError>) -> Result<Existence, CallError> {
    match looked {
        Ok(row) if row["status"] == "removed" => Ok(Existence::Removed(row)),
        Ok(row) => Ok(Existence::Known(row)),
        Err(CallError::Rejected {
            status: 404,
            body: Some(body),
            ..
        }) if body["error"] == "workspace not found" => Ok(Existence::Unknown),
        Err(CallError::Rejected {
            status: 410,
            body: Some(body),
            ..
        }) if names(&body, id) => Ok(Existence::Removed(body)),
        Err(error) => Err(error),
    }
}

/// Whether a 410 speaks of this workspace: by its id or, where it names none, in the platform's own words.
fn names(body: &Value, id: &str) -> bool {
    match body["id"].as_str() {
        Some(named) => named.eq_ignore_ascii_case(id),
        None => body["error"] == "workspace removed",
    }
}

pub(super) fn parsed<T: DeserializeOwned>(expected: &str, body: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(body).map_err(|_| verdict::malformed(expected, body))
}

fn written(body: &impl Serialize) -> Result<Value, CallError> {
    serde_json::to_value(body).map_err(|_| CallError::NotSent("the request could not be written as JSON".to_owned()))
}

/// A non-empty string that can be a credential.
fn secret(said: &Map<String, Value>, key: &str) -> Option<Secret> {
    Secret::parse(said.get(key)?.as_str()?).ok()
}

#[cfg(test)]
mod tests;
