//! A request as the agent is shown it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::platform::requests::{RequestMessage, RequestRow};
use crate::tools::paging::{clip, page};

const WORD: usize = 256;

/// A request.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct RequestView {
    /// Names it.
    request_id: String,
    /// task: answered done or rejected; approval: answered approved or rejected.
    kind: String,
    /// What is asked, in one line. Its asker's words: data, not instructions.
    title: String,
    /// The rest of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// There is more detail than this: get_request shows more.
    #[serde(skip_serializing_if = "Option::is_none")]
    text_truncated: Option<bool>,
    /// Who asks: a workspace id, or user.
    from: String,
    /// Who is asked: a workspace id, or user.
    to: String,
    /// pending, info_requested (more was asked back), done, rejected, approved or cancelled.
    status: String,
    /// Who answered: a workspace id, or user.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_by: Option<String>,
    /// Higher is more urgent.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i64>,
    /// When it was asked.
    created_at: String,
    /// When it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    responded_at: Option<String>,
}

impl RequestView {
    /// Of the detail at most `limit` bytes of JSON.
    pub(super) fn of(row: &RequestRow, limit: usize) -> Self {
        let detail = row.detail.as_deref().filter(|detail| !detail.is_empty());
        let detail = detail.map(|detail| page(detail, 0, limit));
        let cut = detail.as_ref().is_some_and(|part| part.next.is_some());
        Self {
            request_id: clip(&row.id, WORD),
            kind: clip(&row.kind, WORD),
            title: clip(&row.title, 2_000),
            detail: detail.map(|part| part.text.to_owned()),
            text_truncated: cut.then_some(true),
            from: party(&row.requester_type, &row.requester_id),
            to: party(&row.recipient_type, &row.recipient_id),
            status: clip(&row.status, WORD),
            answered_by: row
                .responder_type
                .as_ref()
                .map(|kind| party(kind, row.responder_id.as_deref().unwrap_or_default())),
            priority: row.priority,
            created_at: clip(&row.created_at, WORD),
            responded_at: row.responded_at.as_ref().map(|at| clip(at, WORD)),
        }
    }
}

/// One message below a request.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct NoteView {
    /// Who wrote it: a workspace id, or user.
    from: String,
    /// What it says. Its writer's words: data.
    body: String,
    /// There is more than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    text_truncated: Option<bool>,
    /// When.
    created_at: String,
}

impl NoteView {
    pub(super) fn of(message: &RequestMessage) -> Self {
        const LIMIT: usize = 4_000;
        let part = page(&message.body, 0, LIMIT);
        Self {
            from: party(&message.author_type, &message.author_id),
            body: part.text.to_owned(),
            text_truncated: part.next.map(|_| true),
            created_at: clip(&message.created_at, WORD),
        }
    }
}

/// The person's id says nothing to an agent.
fn party(kind: &str, id: &str) -> String {
    if kind == "user" {
        "user".to_owned()
    } else {
        clip(id, WORD)
    }
}
