//! One thing that was said, whoever kept it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::state::history::Said;
use crate::state::message::{Entry, Kind, Message, State};
use crate::state::outbox::{Item, Progress, Work};
use crate::tools::paging::{clip, page};
use crate::types::{ActivityId, Timestamp};

/// A line before it is cut to fit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// Its place in the order.
    pub(super) at: Timestamp,
    text: String,
    /// Everything else; its text is filled in when it is shown.
    view: LineView,
}

/// A line as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct LineView {
    /// Who said it.
    said: Side,
    /// What it is: the sender class of what was received; delegation, reply or message_to_user of what was sent.
    kind: &'static str,
    /// The other workspace; empty for the person and the platform.
    peer_id: String,
    /// Display name the peer gave itself; proves nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_name: Option<String>,
    /// The text, or its start.
    text: String,
    /// There is more text: inbox_peek(activity_id, offset) of what was received, check_task_status(handle) of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    text_truncated: Option<bool>,
    /// When.
    created_at: String,
    /// Names what was received, for inbox_peek or reply_to_message.
    #[serde(skip_serializing_if = "Option::is_none")]
    activity_id: Option<ActivityId>,
    /// Where it stands in this computer's inbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    /// Names what was sent, for check_task_status.
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    /// How far it came, of what was sent; the platform's status, when it is not ok, of what was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// The delegation it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    delegation_id: Option<String>,
    /// The message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_reply_to: Option<String>,
    /// The delegation that it probably answers, though it does not say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    maybe_reply_to: Option<String>,
    /// How many files came with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    attachments: Option<usize>,
}

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Side {
    /// The other side, or the platform.
    Received,
    /// This workspace.
    Sent,
}

impl LineView {
    /// Shortest and longest text that is shown, in bytes of JSON.
    pub(super) const SHORT: usize = 400;
    pub(super) const LONG: usize = 16_000;
    const WORD: usize = 256;

    fn new(said: Side, kind: &'static str, peer_id: &str, created_at: String) -> Self {
        Self {
            said,
            kind,
            peer_id: clip(peer_id, Self::WORD),
            peer_name: None,
            text: String::new(),
            text_truncated: None,
            created_at: clip(&created_at, Self::WORD),
            activity_id: None,
            state: None,
            handle: None,
            status: None,
            delegation_id: None,
            in_reply_to: None,
            maybe_reply_to: None,
            attachments: None,
        }
    }
}

impl Line {
    /// As the journal kept it.
    pub(super) fn of(said: &Said) -> Self {
        match said {
            Said::Received(entry) => Self::kept(entry),
            Said::Sent(item) => Self::sent(item),
        }
    }

    fn kept(entry: &Entry) -> Self {
        let mut line = Self::received(&entry.message);
        line.view.state = Some(entry.state);
        line.view.maybe_reply_to = word(&entry.maybe_reply_to);
        line
    }

    /// As it came in.
    pub(super) fn received(message: &Message) -> Self {
        let files = message.attachments.len();
        let view = LineView::new(
            Side::Received,
            message.kind.as_str(),
            &message.peer_id,
            message.created_at.clone(),
        );
        Self {
            at: message.at,
            text: message.text.clone(),
            view: LineView {
                peer_name: word(&message.peer_name),
                activity_id: Some(message.activity_id.clone()),
                status: word(&message.status),
                delegation_id: word(&message.delegation_id),
                in_reply_to: word(&message.in_reply_to),
                attachments: (files > 0).then_some(files),
                ..view
            },
        }
    }

    /// As it went out.
    pub(super) fn sent(item: &Item) -> Self {
        let (kind, peer, text) = match &item.work {
            Work::Delegate { target, task } => (DELEGATION, target.as_str(), task),
            Work::ReplyToPeer { target, text, .. } => ("reply", target.as_str(), text),
            Work::NotifyUser { text, .. } => (TO_USER, "", text),
        };
        let mut view = LineView::new(Side::Sent, kind, peer, item.created.to_rfc3339());
        view.handle = Some(item.id.clone());
        view.status = Some(item.progress.as_str().to_owned());
        view.delegation_id = word(&item.delegation_id);
        if let Work::ReplyToPeer {
            in_reply_to,
            delegation_id,
            ..
        } = &item.work
        {
            view.in_reply_to = Some(clip(in_reply_to, LineView::WORD));
            view.delegation_id = word(delegation_id);
        }
        Self {
            at: item.created,
            text: text.clone(),
            view,
        }
    }

    /// A task that this workspace gave, as the platform recorded it.
    pub(super) fn delegated(at: Timestamp, target: &str, task: &str, delegation_id: &str, status: &str) -> Self {
        let view = LineView::new(Side::Sent, DELEGATION, target, at.to_rfc3339());
        Self {
            at,
            text: task.to_owned(),
            view: LineView {
                status: Some(clip(status, LineView::WORD)),
                delegation_id: Some(clip(delegation_id, LineView::WORD)).filter(|id| !id.is_empty()),
                ..view
            },
        }
    }

    /// What became of such a task, as the platform recorded it.
    pub(super) fn result(at: Timestamp, target: &str, text: &str, delegation_id: &str, status: &str) -> Self {
        let kind = Kind::DelegationResult.as_str();
        let view = LineView::new(Side::Received, kind, target, at.to_rfc3339());
        Self {
            at,
            text: text.to_owned(),
            view: LineView {
                status: Some(clip(status, LineView::WORD)).filter(|status| status != "completed"),
                delegation_id: Some(clip(delegation_id, LineView::WORD)).filter(|id| !id.is_empty()),
                ..view
            },
        }
    }

    /// A message to the person, as the platform recorded it.
    pub(super) fn told(at: Timestamp, text: &str) -> Self {
        Self {
            at,
            text: text.to_owned(),
            view: LineView::new(Side::Sent, TO_USER, "", at.to_rfc3339()),
        }
    }

    /// The same, in another place of the order.
    pub(super) fn placed_at(self, at: Timestamp) -> Self {
        Self { at, ..self }
    }

    /// The same, with its kind put right.
    pub(super) fn of_kind(mut self, kind: Kind) -> Self {
        self.view.kind = kind.as_str();
        self
    }

    /// The delegation it belongs to.
    pub(super) fn delegation(&self) -> Option<&str> {
        self.view.delegation_id.as_deref()
    }

    /// Whether it is a task that this workspace gave.
    pub(super) fn is_order(&self) -> bool {
        self.view.kind == DELEGATION
    }

    /// With at most `share` bytes of its text.
    pub(super) fn view(&self, share: usize) -> LineView {
        let part = page(&self.text, 0, share);
        LineView {
            text: part.text.to_owned(),
            text_truncated: part.next.map(|_| true),
            ..self.view.clone()
        }
    }

    #[cfg(test)]
    pub(super) fn sample(at: Timestamp) -> Self {
        Self::told(at, "x")
    }
}

/// Whether outgoing work left a trace on the platform that a history read there shows.
pub(super) fn is_on_the_platform(item: &Item) -> bool {
    match item.work {
        Work::ReplyToPeer { .. } => false,
        Work::NotifyUser { .. } => item.progress == Progress::Accepted,
        Work::Delegate { .. } => item.delegation_id.is_some(),
    }
}

const DELEGATION: &str = "delegation";
const TO_USER: &str = "message_to_user";

fn word(text: &Option<String>) -> Option<String> {
    text.as_ref().map(|text| clip(text, LineView::WORD))
}
