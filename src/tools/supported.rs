//! Saying that a platform cannot do something, instead of passing on its 404 page.

use crate::mcp::answer::ToolError;
use crate::platform::error::CallError;

/// The code of what a platform has no route or backend for.
pub(super) const NOT_SUPPORTED: &str = "NOT_SUPPORTED_BY_PLATFORM";

/// The failure of a call that only newer or fuller platforms serve. `what` completes the sentence "this platform has no ...".
pub(super) fn unless_supported(what: &str, error: CallError) -> ToolError {
    if error.lacks_route() {
        return not_supported(what);
    }
    // A platform whose memory backend was left out says so with a 503.
    if let CallError::Rejected {
        status: 503,
        body: Some(body),
        ..
    } = &error
        && body["error"]
            .as_str()
            .is_some_and(|said| said.contains("not configured"))
    {
        return not_supported(what);
    }
    error.into()
}

/// The failure itself.
pub(super) fn not_supported(what: &str) -> ToolError {
    ToolError::failed(
        NOT_SUPPORTED,
        format!("this platform has no {what}"),
        "nothing was done; calling again cannot help. A newer platform may have it; if it should be there, check \
         PLATFORM_URL and proxies in between",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_missing_route_or_backend_is_told_from_every_other_failure() {
        let rejected = |status, body| CallError::Rejected {
            status,
            detail: String::new(),
            body,
        };
        for (error, code) in [
            (rejected(404, None), NOT_SUPPORTED),
            (
                rejected(
                    503,
                    Some(json!({ "error": "memory plugin is not configured (set MEMORY_PLUGIN_URL)" })),
                ),
                NOT_SUPPORTED,
            ),
            (
                rejected(503, Some(json!({ "error": "platform datastore unavailable" }))),
                "PLATFORM_ERROR",
            ),
            (
                rejected(404, Some(json!({ "error": "request not found" }))),
                "NOT_FOUND",
            ),
        ] {
            assert_eq!(unless_supported("x", error).code(), code);
        }
    }
}
