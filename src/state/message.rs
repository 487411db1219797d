//! What a message is, from the moment it is read off a row until it is acknowledged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::request::About;
use crate::config::Senders;
use crate::types::{ActivityId, Partner, PeerId, Timestamp, WorkspaceId};

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

impl Message {
    /// A message of which nothing is known but its id, its kind and its time; without a text.
    #[must_use]
    pub fn bare(activity_id: ActivityId, kind: Kind, at: Timestamp) -> Self {
        Self {
            activity_id,
            kind,
            peer_id: String::new(),
            text: String::new(),
            method: String::new(),
            created_at: at.to_rfc3339(),
            at,
            seq: None,
            message_id: None,
            delegation_id: None,
            in_reply_to: None,
            context_id: None,
            reply_expected: None,
            peer_name: None,
            peer_role: None,
            agent_card_url: None,
            attachments: Vec::new(),
            digest: None,
            status: None,
            request: None,
            shortened: false,
        }
    }

    /// The peer that it is from, if it is from one and says so in the shape of the platform's ids.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        match self.kind {
            Kind::PeerAgent | Kind::Broadcast | Kind::Request => PeerId::parse(&self.peer_id).ok(),
            Kind::CanvasUser | Kind::DelegationResult | Kind::Upload | Kind::System => None,
        }
    }

    /// Whether it may disturb an agent that wants to hear of these senders. What the platform and this daemon say
    /// themselves always may; of a sender that cannot be told nobody but everyone wants to hear.
    #[must_use]
    pub fn is_from_one_of(&self, senders: &Senders) -> bool {
        let sender = match self.kind {
            Kind::DelegationResult | Kind::System => return true,
            Kind::CanvasUser | Kind::Upload => Some(Partner::Person),
            // The person asks things of a workspace, too.
            Kind::Request if self.peer_id.is_empty() => Some(Partner::Person),
            Kind::PeerAgent | Kind::Broadcast | Kind::Request => self.peer().map(Partner::Peer),
        };
        match sender {
            Some(sender) => senders.include(&sender),
            None => *senders == Senders::Everyone,
        }
    }
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

/// A delegation of this workspace that a message speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Answers {
    /// Names the delegation; check_task_status and chat_history take it.
    pub handle: String,
    /// The platform's id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegation_id: Option<String>,
    /// The task, or its start.
    pub task: String,
    /// False: the message does not say what it answers; its sender has exactly this one task of ours.
    pub certain: bool,
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
    /// The delegation of ours that it answers, for certain or perhaps.
    pub answers: Option<Answers>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_senders_disturb_and_the_platform_itself() {
        const PEER: &str = "5f0c1d2e-0000-4000-8000-000000000001";
        let peer = PeerId::parse(PEER).unwrap();
        let message = |kind: Kind, peer_id: &str| -> Message {
            let mut message: Message = serde_json::from_value(serde_json::json!({
                "activity_id": "a", "kind": "system", "peer_id": peer_id, "text": "", "created_at": "", "at": 0,
            }))
            .unwrap();
            message.kind = kind;
            message
        };
        for (kind, peer_id, by_person, by_peer) in [
            (Kind::CanvasUser, "", true, false),
            (Kind::Upload, "", true, false),
            (Kind::Request, "", true, false),
            (Kind::Request, PEER, false, true),
            (Kind::PeerAgent, &PEER.to_ascii_uppercase(), false, true),
            (Kind::PeerAgent, "5f0c1d2e-0000-4000-8000-000000000002", false, false),
            (Kind::PeerAgent, "user", false, false),
            (Kind::Broadcast, PEER, false, true),
            (Kind::DelegationResult, "w", true, true),
            (Kind::System, "", true, true),
        ] {
            let message = message(kind, peer_id);
            let is_from = |sender: Partner| message.is_from_one_of(&Senders::Only([sender].into()));
            assert_eq!(is_from(Partner::Person), by_person, "{kind:?} {peer_id}");
            assert_eq!(is_from(Partner::Peer(peer.clone())), by_peer, "{kind:?} {peer_id}");
            assert!(message.is_from_one_of(&Senders::Everyone));
        }
    }
}
