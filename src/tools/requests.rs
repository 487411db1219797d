//! Requests: tasks and approvals that are asked for now and answered when the other side has time.

use super::context::Context;
use super::supported::{not_supported, unless_supported};
use super::workspaces::Workspaces;
use crate::mcp::answer::ToolError;
use crate::mcp::toolset::Registry;
use crate::platform::error::CallError;
use crate::state::journal::News;
use crate::state::request::Side;
use crate::types::RequestId;

mod answering;
mod asking;
mod listing;
mod view;

/// Adds the tools of the submodules.
pub(super) fn register(tools: &mut Registry<Workspaces>) {
    asking::register(tools);
    listing::register(tools);
    answering::register(tools);
}

/// Completes "this platform has no ...".
const REQUESTS: &str = "requests between workspaces and to the person";

/// The failure of a call about one request.
fn about_one(error: CallError) -> ToolError {
    let says =
        |error: &CallError, word: &str| matches!(error, CallError::Rejected { detail, .. } if detail.contains(word));
    match &error {
        CallError::Rejected { status: 404, .. } if !error.lacks_route() => ToolError::failed(
            "NOT_FOUND",
            error.to_string(),
            "list_inbox shows what you are asked, check_requests what you asked",
        ),
        CallError::Refused { status: 403, detail } => ToolError::failed(
            "NOT_YOURS",
            format!("the platform says: {detail}"),
            "only its receiver answers a request, only its asker withdraws it, and only these two write to it",
        ),
        CallError::Rejected { status: 400, .. } if says(&error, "action") => ToolError::failed(
            "INVALID_ARGUMENT",
            error.to_string(),
            "a task is answered done or rejected, an approval approved or rejected",
        ),
        _ => unless_supported(REQUESTS, error),
    }
}

/// Writes down that a request of ours is open: the inbox duty then looks for its answer. Without this it still learns of the
/// answer from the platform's own note.
async fn opened(context: &Context, id: &str) {
    let Ok(id) = RequestId::parse(id) else { return };
    keep(
        context,
        News {
            opened: vec![(id, Side::Ours)],
            ..News::default()
        },
    )
    .await;
}

/// Writes down that a request is closed: what the inbox holds of it is handled. Otherwise the inbox duty does so soon.
async fn closed(context: &Context, id: &RequestId) {
    keep(
        context,
        News {
            closed: vec![id.clone()],
            ..News::default()
        },
    )
    .await;
}

async fn keep(context: &Context, news: News) {
    if let Err(error) = context.journal.take_news(news).await {
        tracing::debug!(%error, "the journal could not be told of a request");
    }
}

/// A platform without requests.
fn no_requests() -> ToolError {
    not_supported(REQUESTS)
}
