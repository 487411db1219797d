//! What a request's failure means to the caller of a tool: one envelope, stable codes.

use serde_json::Value;

use super::doors::Door;
use crate::mcp::answer::ToolError;
use crate::platform::error::CallError;
use crate::platform::order::Order;
use crate::tools::paging::size;

/// Largest body of an error that is shown.
const BODY_LIMIT: usize = 8 * 1024;

/// The failure of `order`, sent through `door`.
///
/// `HTTP <status>` unless the contract has a name for it. The platform's own `code` and the rest of its body stand beside.
pub(super) fn of(error: CallError, door: Door<'_>, order: &Order) -> ToolError {
    let status = error.status();
    let told = error.to_string();
    let failed = match error {
        CallError::Refused { .. } => ToolError::failed("AUTH_ERROR", told, door.remedy()),
        CallError::Throttled { retry_after, .. } => {
            let seconds = retry_after.map_or(60, |wait| wait.as_secs().max(1));
            let hint = format!("nothing more was sent; call again in {seconds} s");
            ToolError::failed("RATE_LIMITED", told, hint).with("retry_after_secs", seconds)
        }
        CallError::Rejected { status, detail, body } if is_unknown_route(status, body.as_ref(), &detail) => {
            ToolError::failed(
                "NOT_SUPPORTED_BY_PLATFORM",
                format!("this platform has no route {}", order.target()),
                "nothing was done; its version does not offer this",
            )
        }
        CallError::Rejected { status: 503, body, .. } if is_left_out(body.as_ref()) => ToolError::failed(
            "NOT_SUPPORTED_BY_PLATFORM",
            told,
            "nothing was done; this platform was set up without what that needs",
        ),
        CallError::Rejected { status, body, .. } => {
            let hint = rejection_hint(status, body.as_ref());
            let code = body.as_ref().and_then(|body| body.get("code")).cloned();
            let shown = body.filter(|body| body.is_object() && size(body) <= BODY_LIMIT);
            ToolError::failed(format!("HTTP {status}"), told, hint)
                .with("code", code.unwrap_or_default())
                .with("body", shown.unwrap_or_default())
        }
        other => {
            let unknown = other.outcome_is_unknown() && order.writes();
            let hint = match &other {
                _ if unknown => "whether it took effect is not known; read the current state before repeating it",
                CallError::TooLarge { .. } => "ask for less, as far as the tool's arguments can say so",
                _ => "check the address of the platform and the network, then try again",
            };
            let outcome = unknown.then_some("unknown");
            ToolError::failed(other.code(), told, hint).with("outcome", outcome)
        }
    };
    failed.with("status", status)
}

fn rejection_hint(status: u16, body: Option<&Value>) -> String {
    // What the platform itself advises is the best there is.
    if let Some(Value::String(hint)) = body.and_then(|body| body.get("hint")) {
        return hint.clone();
    }
    match status {
        400 | 422 => "the platform did not accept the arguments; its reason is in detail",
        404 => "there is no such thing; list what there is, and check the id",
        409 => "it clashes with the present state; the platform's reason is in detail",
        410 => "it was removed and will not come back",
        413 => "send less at a time",
        500.. => "the platform failed; read the current state, then try again later",
        _ => "the platform's reason is in detail",
    }
    .to_owned()
}

/// The platform's router, and nobody else, answers so when it has no such route.
fn is_unknown_route(status: u16, body: Option<&Value>, detail: &str) -> bool {
    status == 404 && body.is_none() && detail.contains("page not found")
}

/// A platform says so of a backend that its owner left out.
fn is_left_out(body: Option<&Value>) -> bool {
    let said = body.and_then(|body| body["error"].as_str());
    said.is_some_and(|said| said.contains("not configured"))
}

/// The outcome of a request that waits for a person's approval.
pub(super) fn pending_approval(body: &Value) -> Option<ToolError> {
    if body["status"] != "pending_approval" {
        return None;
    }
    let pending = ToolError::failed(
        "PENDING_APPROVAL",
        "not done yet: the platform wants a person's approval for this first",
        "wait until the approval is decided (canvas, or list_pending_approvals); then read the current state, and call again \
         if it was approved and not done",
    );
    let fields = ["status", "approval_id", "action", "reason"];
    Some(
        fields
            .iter()
            .fold(pending, |pending, field| pending.with(field, body[*field].clone())),
    )
}
