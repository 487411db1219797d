//! The guard of a hosted tenant: who does not name its organization does not get in (levels A and B: finds nothing).

use axum::http::HeaderMap;
use serde_json::json;

use super::call::{Answer, header_text};
use super::server::Level;

/// Open without the header.
const EXEMPT: [&str; 4] = ["/health", "/metrics", "/registry/register", "/registry/heartbeat"];
const HEADER: &str = "x-molecule-org-id";

/// The refusal of a request that does not name `org`; `None` lets it pass.
pub(crate) fn refusal(level: Level, org: Option<&str>, path: &str, headers: &HeaderMap) -> Option<Answer> {
    let org = org.filter(|_| !EXEMPT.contains(&path))?;
    match header_text(headers, HEADER) {
        Some(named) if named == org => None,
        None if level == Level::C => Some(Answer::json(
            400,
            &json!({ "error": "missing tenant routing header", "code": "TENANT_ORG_HEADER_REQUIRED",
                "required_header": "X-Molecule-Org-Id", "detail": "name the organization" }),
        )),
        _ => Some(Answer::empty(404)),
    }
}
