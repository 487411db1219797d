//! The tenant as a whole: its keys, its templates, and what waits for a person's approval.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{approvals, building};
use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::server::Level;
use crate::local_platform::{clock, credentials};

const KEYS: &str = "org_token";

/// The templates of a platform at this level, with the runtime that each brings.
pub(crate) fn templates(level: Level) -> &'static [(&'static str, &'static str)] {
    match level {
        Level::A | Level::B => &[
            ("claude-code-default", "claude-code"),
            ("langgraph", "langgraph"),
            ("crewai", "crewai"),
            ("autogen", "autogen"),
            ("deepagents", "deepagents"),
            ("hermes", "hermes"),
            ("gemini-cli", "gemini-cli"),
            ("openclaw", "openclaw"),
        ],
        Level::C => &[
            ("claude-code-default", "claude-code"),
            ("hermes", "hermes"),
            ("openclaw", "openclaw"),
            ("codex", "codex"),
            ("seo-agent", "claude-code"),
            ("platform-agent", "claude-code"),
        ],
    }
}

/// The templates that come with it, and those that were added.
pub(crate) fn list_templates(call: &Call) -> Outcome {
    let mut rows: Vec<Value> = templates(call.site.level)
        .iter()
        .map(|(id, runtime)| template_row(id, runtime))
        .collect();
    rows.extend(building::added_templates(call)?);
    Ok(Answer::ok(&rows))
}

pub(super) fn template_row(id: &str, runtime: &str) -> Value {
    json!({ "id": id, "name": id, "description": "", "tier": 3, "runtime": runtime, "model": "", "skills": [],
        "skill_count": 0 })
}

/// The keys, without the keys.
pub(crate) fn list_tokens(call: &Call) -> Outcome {
    let mut rows = call.site.store.resources(KEYS, "")?;
    for row in &mut rows {
        if let Value::Object(fields) = row {
            fields.remove("hash");
        }
    }
    Ok(Answer::ok(&json!({ "count": rows.len(), "tokens": rows })))
}

/// Mints a key, which opens what the admin token opens.
pub(crate) fn mint_token(call: &Call) -> Outcome {
    let sent: Value = call.json("invalid request body").unwrap_or_default();
    let name = sent["name"].as_str().unwrap_or_default();
    if name.chars().count() > 100 {
        return Err(Answer::error(400, "name too long (max 100 chars)"));
    }
    approvals::gate(call, "org_token.mint", name)?;
    let (id, token) = (Uuid::new_v4().to_string(), credentials::fresh());
    let mut row = json!({ "id": id, "prefix": token[..8], "hash": credentials::digest(&token),
        "created_by": "admin-token", "created_at": clock::text(clock::now()) });
    let mut answer = json!({ "id": id, "prefix": token[..8], "auth_token": token,
        "warning": "copy this token now; it is not shown again" });
    if !name.is_empty() {
        row["name"] = json!(name);
        answer["name"] = json!(name);
    }
    call.site.store.put_resource(KEYS, "", &id, &row)?;
    Ok(Answer::ok(&answer))
}

/// Revokes a key.
pub(crate) fn revoke_token(call: &Call) -> Outcome {
    if call.site.store.delete_resource(KEYS, "", &call.id)? {
        Ok(Answer::ok(&json!({ "revoked": call.id })))
    } else {
        Err(Answer::error(404, "token not found or already revoked"))
    }
}

/// Whether this is a live key of the tenant.
pub(crate) fn opens(call: &Call, token: &str) -> Result<bool, Answer> {
    let hash = credentials::digest(token);
    let rows = call.site.store.resources(KEYS, "")?;
    Ok(rows.iter().any(|row| row["hash"] == hash.as_str()))
}
