//! What an outgoing piece of work is: written down before its first attempt, so that a death in between is not a loss.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::{ActivityId, PeerId, Timestamp};

/// How the detail of a message begins that reached its peer and was answered with an error there.
pub const PEER_ERROR: &str = "the peer received it and answered with an error";

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    /// `POST /workspaces/:id/delegate`; repeated with the same key only while its outcome is unknown.
    Delegate {
        /// Who is to do it.
        target: PeerId,
        /// The task.
        task: String,
    },
    /// A reply to a peer over `/a2a`.
    ReplyToPeer {
        /// Who wrote the message.
        target: PeerId,
        /// The reply.
        text: String,
        /// The `messageId` of the message, else its activity id.
        in_reply_to: String,
        /// The delegation the message came through.
        delegation_id: Option<String>,
        /// Handed back unchanged.
        context_id: Option<String>,
    },
    /// A message to the person through notify.
    NotifyUser {
        /// The message.
        text: String,
        /// Files that go with it; all of them or nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parcel: Option<Parcel>,
    },
}

impl Work {
    /// The files that go with it.
    #[must_use]
    pub fn parcel(&self) -> Option<&Parcel> {
        match self {
            Self::NotifyUser { parcel, .. } => parcel.as_ref(),
            Self::Delegate { .. } | Self::ReplyToPeer { .. } => None,
        }
    }
}

/// Files of one message, as they were when it was written down; their bytes are in the [`super::spool::Spool`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// Names it in the spool.
    pub id: String,
    /// The files in the order of the message.
    pub files: Vec<OutFile>,
}

/// One file of a [`Parcel`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutFile {
    /// The name that the person sees.
    pub name: String,
    /// What its content and name tell.
    pub mime_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// Hex SHA-256 of its bytes.
    pub digest: String,
}

/// How far it has come. The wire form is snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Written down; the outcome of any attempt so far is unknown.
    Pending,
    /// The platform accepted it. For a delegation: no answer yet.
    Accepted,
    /// A delegation that reached a busy or polling peer; no answer yet.
    Delivered,
    /// A delegation was answered.
    Answered,
    /// Refused or failed, with the platform's reason.
    Failed,
    /// Sent to a push peer that stayed silent for 30 s.
    DeliveredUnconfirmed,
    /// Ten minutes of attempts left it open whether it arrived.
    Unknown,
}

impl Progress {
    /// Every step, in the order in which they are passed.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Accepted,
        Self::Delivered,
        Self::Answered,
        Self::Failed,
        Self::DeliveredUnconfirmed,
        Self::Unknown,
    ];

    /// The wire form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::DeliveredUnconfirmed => "delivered_unconfirmed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether no further attempt to send will be made. For a reply this is the end; a delegation may still be answered.
    #[must_use]
    pub fn is_done_sending(self) -> bool {
        self != Self::Pending
    }

    /// Whether nothing more will happen on its own.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Answered | Self::Failed | Self::Unknown | Self::DeliveredUnconfirmed
        )
    }
}

/// One row of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// A fresh UUID: the idempotency key of a delegation, the `messageId` of a reply.
    pub id: String,
    /// What is to be sent.
    pub work: Work,
    /// How far it has come.
    pub progress: Progress,
    /// When it was written down.
    pub created: Timestamp,
    /// Attempts begun so far.
    pub attempts: u32,
    /// The platform's id of the delegation, once known.
    pub delegation_id: Option<String>,
    /// The answer of a delegation, or what the platform answered.
    pub answer: Option<String>,
    /// The inbox message that carried the answer.
    pub answer_activity: Option<ActivityId>,
    /// Why it failed, or what is unknown about it.
    pub detail: Option<String>,
    /// The inbox message that this replies to; acknowledged in the same commit that records acceptance.
    pub replies_to: Option<ActivityId>,
    /// The caller's own id for this request; a new one sends the same text anew.
    pub request_id: Option<String>,
}

/// What [`super::journal::Journal::enqueue`] did.
#[derive(Clone, Debug, PartialEq)]
pub enum Enqueued {
    /// A new row.
    New(Item),
    /// The same target and text are still outstanding, or were sent less than 120 s ago.
    Existing(Item),
}

/// A change to an outbox row, applied in one commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// The new progress.
    pub progress: Option<Progress>,
    /// The platform's id.
    pub delegation_id: Option<String>,
    /// The answer.
    pub answer: Option<String>,
    /// The reason.
    pub detail: Option<String>,
    /// Acknowledge the message it replies to in the same commit.
    pub settle_reply: bool,
}
