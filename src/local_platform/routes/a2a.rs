//! Messages between workspaces, and from the person.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::push;
use crate::local_platform::auth;
use crate::local_platform::call::{Answer, Call, Outcome, json_text};
use crate::local_platform::clock;
use crate::local_platform::recording;
use crate::local_platform::server::Level;
use crate::local_platform::site::Site;
use crate::local_platform::store::activity::NewActivity;
use crate::local_platform::store::workspaces::Workspace;

/// Levels A and B cut a longer body off, which then is no JSON any more.
const CUT_AT: usize = 1024 * 1024;
/// Level C refuses a longer body.
const LARGEST_AT_C: usize = 16 * 1024 * 1024;

/// `POST /workspaces/:id/a2a`.
pub(crate) async fn send(call: Call) -> Outcome {
    let level = call.site.level;
    if level == Level::C && call.body.len() > LARGEST_AT_C {
        let error = format!("request body exceeds {LARGEST_AT_C} byte limit: the message was not sent");
        return Err(Answer::json(
            413,
            &json!({ "error": error, "max_bytes": LARGEST_AT_C, "truncated": true }),
        ));
    }
    let caller = auth::caller(&call)?;
    check_reach(&call.site, caller.as_deref(), &call.id)?;
    let body = if level < Level::C {
        &call.body[..call.body.len().min(CUT_AT)]
    } else {
        &call.body[..]
    };
    let sent = serde_json::from_str(&json_text(body)).map_err(|_| Answer::error(400, "invalid JSON"))?;
    let envelope = normalised(level, sent)?;
    deliver(&call.site, caller.as_deref(), &call.id, envelope).await
}

/// 403 when the communication rule keeps `caller` from `target`. The person reaches everyone.
pub(crate) fn check_reach(site: &Site, caller: Option<&str>, target: &str) -> Result<(), Answer> {
    match caller {
        Some(caller) if caller != target && !site.store.may_communicate(site.level, caller, target)? => Err(
            Answer::error(403, "access denied: workspaces cannot communicate per hierarchy rules"),
        ),
        _ => Ok(()),
    }
}

/// Hands a message to its target: stored for a poll target, posted to a push target.
pub(crate) async fn deliver(site: &Arc<Site>, caller: Option<&str>, target: &str, envelope: Value) -> Outcome {
    let workspace = site
        .store
        .workspace(target)?
        .ok_or_else(|| Answer::error(404, "workspace not found"))?;
    if workspace
        .budget_limit
        .is_some_and(|limit| workspace.monthly_spend >= limit)
    {
        return Err(Answer::error(402, "workspace budget limit exceeded"));
    }
    if let Some(caller) = caller {
        site.store
            .change_workspace(caller, |sender| sender.last_outbound_at = Some(clock::now()))?;
    }
    if site.level == Level::A || workspace.delivery_mode != "poll" {
        return push::send(site, caller, workspace, envelope).await;
    }
    let method = envelope["method"].as_str().unwrap_or_default().to_owned();
    let note = if site.level == Level::C {
        "ingest"
    } else {
        "queued for poll"
    };
    let summary = format!("{method} → {} ({note})", workspace.name);
    recording::message(site, row(&workspace, caller, summary, envelope));
    Ok(Answer::ok(
        &json!({ "status": "queued", "delivery_mode": "poll", "method": method }),
    ))
}

/// The row a message leaves at its target.
pub(crate) fn row(target: &Workspace, caller: Option<&str>, summary: String, envelope: Value) -> NewActivity {
    NewActivity {
        workspace_id: target.id.clone(),
        activity_type: "a2a_receive".to_owned(),
        source_id: caller.map(str::to_owned),
        target_id: Some(target.id.clone()),
        method: Some(envelope["method"].as_str().unwrap_or_default().to_owned()),
        summary: Some(summary),
        message_id: envelope["params"]["message"]["messageId"].as_str().map(str::to_owned),
        request_body: Some(envelope),
        status: Some("ok".to_owned()),
        ..NewActivity::default()
    }
}

/// Completes what was sent: a body without `jsonrpc` keeps only method and params, missing ids are filled in, and
/// (from level B on) `content` becomes `parts`.
fn normalised(level: Level, sent: Value) -> Result<Value, Answer> {
    let Value::Object(sent) = sent else {
        return Err(Answer::error(400, "invalid JSON"));
    };
    let mut envelope = if sent.contains_key("jsonrpc") {
        Value::Object(sent)
    } else {
        json!({ "jsonrpc": "2.0", "method": sent.get("method"), "params": sent.get("params") })
    };
    if envelope["id"].is_null() {
        envelope["id"] = json!(Uuid::new_v4().to_string());
    }
    let Some(message) = envelope.pointer_mut("/params/message").and_then(Value::as_object_mut) else {
        return Ok(envelope);
    };
    if message
        .get("messageId")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        message.insert("messageId".to_owned(), json!(Uuid::new_v4().to_string()));
    }
    if level > Level::A && !message.contains_key("parts") {
        let parts = match message.remove("content") {
            Some(Value::String(text)) => json!([{ "kind": "text", "text": text }]),
            Some(Value::Array(parts)) => Value::Array(parts),
            Some(_) => {
                return Err(hinted(
                    "invalid params.message.content type",
                    "send a string or an array of parts",
                ));
            }
            None => {
                return Err(hinted(
                    "params.message must contain either 'parts' (v0.3) or 'content' (v0.2 compat)",
                    "add a parts array with at least one part",
                ));
            }
        };
        message.insert("parts".to_owned(), parts);
    }
    Ok(envelope)
}

fn hinted(error: &str, hint: &str) -> Answer {
    Answer::json(400, &json!({ "error": error, "hint": hint }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_completed_and_otherwise_left_alone() {
        let whole = json!({ "jsonrpc": "2.0", "id": 7, "method": "message/send", "params": { "metadata": { "a": 1 },
            "message": { "messageId": "m", "parts": [], "contextId": "c", "extensions": ["e"], "content": 1 } } });
        assert_eq!(normalised(Level::B, whole.clone()).unwrap_or(Value::Null), whole);
        let bare = normalised(Level::B, json!({ "parts": [1], "method": "x" })).unwrap_or(Value::Null);
        assert_eq!(
            (&bare["method"], &bare["params"], bare.get("parts")),
            (&json!("x"), &Value::Null, None)
        );
        assert!(bare["id"].is_string());
    }

    #[test]
    fn content_becomes_parts_from_level_b_on() {
        for (level, message, parts, status) in [
            (
                Level::B,
                json!({ "content": "hi" }),
                json!([{ "kind": "text", "text": "hi" }]),
                200,
            ),
            (Level::B, json!({ "content": [1] }), json!([1]), 200),
            (Level::B, json!({ "content": 1 }), Value::Null, 400),
            (Level::B, json!({}), Value::Null, 400),
            (Level::A, json!({ "content": "hi" }), Value::Null, 200),
        ] {
            match normalised(level, json!({ "jsonrpc": "2.0", "params": { "message": message } })) {
                Ok(envelope) => {
                    assert_eq!((&envelope["params"]["message"]["parts"], 200), (&parts, status));
                    assert!(envelope["params"]["message"]["messageId"].is_string());
                }
                Err(refusal) => assert_eq!(refusal.status, status),
            }
        }
    }
}
