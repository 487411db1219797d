//! The key/value memory of a workspace.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::clock;

const KIND: &str = "key_value";

/// All entries, by key.
pub(crate) fn list(call: &Call) -> Outcome {
    let mut entries = call.site.store.resources(KIND, &call.id)?;
    entries.retain(is_current);
    entries.sort_by_key(|entry| entry["key"].as_str().unwrap_or_default().to_owned());
    Ok(Answer::ok(&entries))
}

/// One entry.
pub(crate) fn get(call: &Call) -> Outcome {
    let entry = entry(call, &call.second)?;
    entry
        .map(|entry| Answer::ok(&entry))
        .ok_or_else(|| Answer::error(404, "key not found"))
}

#[derive(Deserialize)]
struct Set {
    #[serde(default)]
    key: String,
    value: Option<Value>,
    ttl_seconds: Option<i64>,
    if_match_version: Option<u64>,
}

/// Writes an entry, if it is the version that the writer knows.
pub(crate) fn set(call: &Call) -> Outcome {
    let sent: Set = call.json("invalid request body")?;
    if sent.key.is_empty() {
        return Err(Answer::error(400, "key is required"));
    }
    let value = sent.value.ok_or_else(|| Answer::error(500, "failed to set memory"))?;
    let held = entry(call, &sent.key)?;
    let version = held.as_ref().map(|entry| entry["version"].as_u64().unwrap_or(0));
    if let Some(expected) = sent.if_match_version
        && expected != version.unwrap_or(0)
    {
        let error = match version {
            Some(_) => "if_match_version mismatch",
            None => "if_match_version mismatch: key does not exist",
        };
        return Err(Answer::json(
            409,
            &json!({ "error": error, "expected_version": expected, "current_version": version }),
        ));
    }
    let (now, next) = (clock::now(), version.unwrap_or(0) + 1);
    let mut entry = json!({ "key": sent.key, "value": value, "version": next, "updated_at": clock::text(now) });
    if let Some(seconds) = sent.ttl_seconds.filter(|seconds| *seconds > 0) {
        entry["expires_at"] = json!(clock::text(now.saturating_add(seconds.saturating_mul(clock::SECOND))));
    }
    call.site.store.put_resource(KIND, &call.id, &sent.key, &entry)?;
    Ok(Answer::ok(&json!({ "status": "ok", "key": sent.key, "version": next })))
}

/// Removes an entry, if it is there.
pub(crate) fn delete(call: &Call) -> Outcome {
    call.site.store.delete_resource(KIND, &call.id, &call.second)?;
    Ok(Answer::ok(&json!({ "status": "deleted" })))
}

fn entry(call: &Call, key: &str) -> Result<Option<Value>, Answer> {
    let held = call.site.store.resource(KIND, &call.id, key)?;
    Ok(held.filter(is_current))
}

fn is_current(entry: &Value) -> bool {
    let expires = entry["expires_at"].as_str().and_then(clock::parse);
    expires.is_none_or(|expires| expires > clock::now())
}
