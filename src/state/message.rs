//! What a message is, from the moment it is read off a row until it is acknowledged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::request::About;
use crate::types::{ActivityId, Timestamp, WorkspaceId};

/// Who or what a message is from. The wire form is snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The person, through the canvas.
    CanvasUser,
    /// Another workspace.
    PeerAgent,
    /// The platform's record of a finished delegation of ours.
    DelegationResult,
    /// A file waiting on the platform.
    Upload,
    /// The platform itself, or this daemon. Never gets the person's trust.
    System,
    /// A broadcast of a peer.
    Broadcast,
    /// A request or approval addressed to this workspace.
    Request,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::CanvasUser,
        Self::PeerAgent,
        Self::DelegationResult,
        Self::Upload,
        Self::System,
        Self::Broadcast,
        Self::Request,
    ];

    /// The wire form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CanvasUser => "canvas_user",
            Self::PeerAgent => "peer_agent",
            Self::DelegationResult => "delegation_result",
            Self::Upload => "upload",
            Self::System => "system",
            Self::Broadcast => "broadcast",
            Self::Request => "request",
        }
    }
}

/// One inbound message, complete. Stored as JSON beside a checksum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The row's id: the inbox key.
    pub activity_id: ActivityId,
    /// Sender class.
    pub kind: Kind,
    /// The row's `source_id`, verbatim; empty for the person and the platform.
    #[serde(default)]
    pub peer_id: String,
    /// The exact text.
    pub text: String,
    /// The row's JSON-RPC method; empty when it had none.
    #[serde(default)]
    pub method: String,
    /// The row's time as the platform printed it.
    pub created_at: String,
    /// The same as an instant; order of delivery.
    pub at: Timestamp,
    /// Level C's sequence number, for the server acknowledgement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<i64>,
    /// `params.message.messageId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// `params.message.metadata.delegation_id`, or the delegation a result row is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation_id: Option<String>,
    /// `params.message.metadata.in_reply_to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<String>,
    /// `params.message.contextId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_id: Option<String>,
    /// `params.message.metadata.reply_expected`; absent means yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_expected: Option<bool>,
    /// Display name of the peer, when the platform supplied it; other people's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_name: Option<String>,
    /// Role of the peer, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_role: Option<String>,
    /// Address of the peer's card, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_card_url: Option<String>,
    /// Files: `{kind, uri?, mime_type?, name?, size?}` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Value>,
    /// Hex SHA-256 of `params.message` with sorted keys, for recognising a repeated message; absent when the row has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The status of the row, when it is not `ok` (`error`: the push to this workspace failed; the content is here).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The request that it is, or is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<About>,
    /// Whether the platform kept only the start of the text, and nobody has the rest.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shortened: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Where a message stands. The wire form is snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Stored by an unfinished recovery; not yet offered.
    Held,
    /// Waiting for an agent.
    New,
    /// Shown to a session and not yet acknowledged.
    Leased,
    /// Acknowledged. Never offered again.
    Done,
    /// Five leases ran out; kept, announced, re-drivable.
    Aside,
    /// Listed after a damaged journal was replaced; not offered.
    Recovered,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Held,
        Self::New,
        Self::Leased,
        Self::Done,
        Self::Aside,
        Self::Recovered,
    ];

    /// The wire form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::New => "new",
            Self::Leased => "leased",
            Self::Done => "done",
            Self::Aside => "aside",
            Self::Recovered => "recovered",
        }
    }
}

/// A message and its standing in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The message.
    pub message: Message,
    /// Where it stands.
    pub state: State,
    /// How often it was shown to an agent, this time included.
    pub delivery_count: u32,
    /// Whether the current lease is this session's.
    pub mine: bool,
    /// The delegation this plain message from its target may answer (older daemons answer so).
    pub maybe_reply_to: Option<String>,
    /// The workspace at which it arrived, where this process serves several; an answer goes out from there.
    pub arrival: Option<WorkspaceId>,
}
