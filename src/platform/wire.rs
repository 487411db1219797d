//! Shapes of requests and answers, as the contract states them. Answers are read tolerantly: unknown keys are ignored.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::CallError;
use super::raw::{self, Elements};
use crate::types::{ActivityId, PeerId, Secret, Timestamp};

/// Body of `POST /registry/register`.
#[derive(Clone, Debug, Serialize)]
pub struct RegisterBody {
    /// The workspace.
    pub id: String,
    /// Always empty: this daemon is never called back.
    pub url: String,
    /// Name, optional description, skills.
    pub agent_card: Value,
    /// Always `poll`.
    pub delivery_mode: &'static str,
    /// See daemon-behaviour 11: the self-report of a platform agent's management server.
    pub mcp_server_present: bool,
}

/// What register returned.
#[derive(Clone, Debug, Default)]
pub struct Registered {
    /// Only when the workspace had no live token before the call.
    pub auth_token: Option<Secret>,
    /// The secret that the platform uses towards this workspace.
    pub inbound_secret: Option<Secret>,
}

/// Body of `POST /registry/heartbeat`.
#[derive(Clone, Debug, Serialize)]
pub struct Beat {
    /// The workspace.
    pub workspace_id: String,
    /// Always 0: this daemon does not see the agent's errors.
    pub error_rate: f64,
    /// Always empty, for the same reason.
    pub sample_error: String,
    /// How many messages are leased right now.
    pub active_tasks: u32,
    /// Sender kind and count of what is being worked on; never text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_task: Option<String>,
    /// Whole seconds since this process started.
    pub uptime_seconds: u64,
    /// See [`RegisterBody::mcp_server_present`].
    pub mcp_server_present: bool,
}

/// What a beat returned.
#[derive(Clone, Debug, Default)]
pub struct BeatReply {
    /// Present on every healthy answer of level B and later.
    pub inbound_secret: Option<Secret>,
}

/// What `GET /workspaces/:id` says about a workspace.
#[derive(Clone, Debug)]
pub enum Existence {
    /// The platform knows it; the row as sent.
    Known(Value),
    /// 404 with exactly the error `workspace not found`: registering would create a ghost.
    Unknown,
    /// 410 naming this id, or (level A) status `removed`. The body as sent.
    Removed(Value),
}

/// Which rows of the activity log to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivityQuery {
    /// Exact activity type, normally `a2a_receive`.
    pub kind: Option<&'static str>,
    /// Rows strictly after this one, oldest first.
    pub since_id: Option<ActivityId>,
    /// Rows of the last so many seconds, newest first.
    pub since_secs: Option<u64>,
    /// Rows strictly older than this.
    pub before_ts: Option<Timestamp>,
    /// 1 to 500.
    pub limit: u32,
    /// Ask level C for `include=peer_info`.
    pub peer_info: bool,
}

/// One page of the activity log, as it was sent.
#[derive(Debug)]
pub struct ActivityPage {
    text: String,
    /// The platform's clock, from the `Date` header.
    pub date: Option<Timestamp>,
}

impl ActivityPage {
    /// The page in an answer.
    ///
    /// # Errors
    /// [`CallError::Malformed`] when it is no JSON array.
    pub fn of(body: Vec<u8>, date: Option<Timestamp>) -> Result<Self, CallError> {
        let text = raw::array(body)?;
        Ok(Self { text, date })
    }

    /// The rows in the order they were sent, unread; [`raw::MOST`] at most. They lie in the answer itself, which can be large.
    #[must_use]
    pub fn rows(&self) -> Vec<&RawValue> {
        serde_json::from_str::<Elements<'_>>(&self.text).unwrap_or_default().0
    }
}

/// One peer of `GET /registry/:id/peers`.
#[derive(Clone, Debug, Deserialize)]
pub struct Peer {
    /// The peer's workspace id.
    pub id: String,
    /// Its display name.
    #[serde(default)]
    pub name: Option<String>,
    /// `online`, `offline`, `awaiting_agent`, ...
    #[serde(default)]
    pub status: Option<String>,
    /// Free text.
    #[serde(default)]
    pub role: Option<String>,
    /// As registered; any JSON.
    #[serde(default)]
    pub agent_card: Option<Value>,
    /// Its parent in the hierarchy.
    #[serde(default)]
    pub parent_id: Option<String>,
    /// Tasks it says it is working on.
    #[serde(default)]
    pub active_tasks: Option<i64>,
}

/// A file of a message to the person, uploaded before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// What the upload answered.
    pub uri: String,
    /// The name that the person sees.
    pub name: String,
    /// Its media type.
    #[serde(rename = "mimeType")]
    pub mime_type: String,
    /// Its length in bytes.
    pub size: u64,
}

/// What `POST /workspaces/:id/delegate` returned.
#[derive(Clone, Debug)]
pub struct Delegated {
    /// The platform's id of this delegation.
    pub delegation_id: String,
    /// 200 `idempotent_hit`: an earlier attempt with the same key had arrived.
    pub idempotent_hit: bool,
}

/// One row of `GET /workspaces/:id/delegations`, read tolerantly (two kinds of rows share a `delegation_id`).
#[derive(Clone, Debug, Deserialize)]
pub struct DelegationRow {
    /// Missing on failure result rows of level B.
    #[serde(default)]
    pub delegation_id: Option<String>,
    /// Empty when there is none.
    #[serde(default)]
    pub target_id: Option<String>,
    /// `pending`, `dispatched`, `queued`, `completed`, `failed`.
    #[serde(default)]
    pub status: Option<String>,
    /// Cut to 256 bytes by the platform; starts `Delegating to` on the request row.
    #[serde(default)]
    pub summary: Option<String>,
    /// Cut to 300 bytes by the platform: never the answer itself.
    #[serde(default)]
    pub response_preview: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// Database text or RFC 3339.
    #[serde(default)]
    pub created_at: Option<String>,
    /// Everything else the platform sent, shown by `check_task_status`.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Value>,
}

/// What `POST /workspaces/:id/a2a` answered.
#[derive(Clone, Debug)]
pub enum A2aAnswer {
    /// `{"status":"queued","delivery_mode":"poll"}`: stored for a polling target; no id to track.
    QueuedForPoll,
    /// `{"queued":true,"queue_id"}`: the target is busy; the platform delivers later.
    QueuedBusy {
        /// For `GET /workspaces/:id/a2a/queue/:queue_id`.
        queue_id: Option<String>,
    },
    /// A pushed target answered; the text of its parts.
    Answered {
        /// All text parts, joined.
        text: String,
    },
    /// A pushed target answered with a JSON-RPC error.
    Failed {
        /// Its message.
        detail: String,
    },
    /// 2xx, but none of the above.
    Unclear {
        /// The first 200 characters.
        detail: String,
    },
}

/// Where a peer's `PeerId` is needed beside its row.
impl Peer {
    /// The id as a typed value; `None` when the platform sent something else than a UUID.
    #[must_use]
    pub fn peer_id(&self) -> Option<PeerId> {
        PeerId::parse(&self.id).ok()
    }
}
