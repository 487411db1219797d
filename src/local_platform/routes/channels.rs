//! Channels to chats of other services, as far as a platform without a network can have them: they are kept and listed, and
//! nothing arrives there.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::clock;

const KIND: &str = "channel";
/// The services, with what each cannot do without.
const SERVICES: [(&str, &str, &str); 4] = [
    ("discord", "Discord", "webhook_url"),
    ("lark", "Lark / Feishu", "webhook_url"),
    ("slack", "Slack", "channel_id"),
    ("telegram", "Telegram", "bot_token"),
];

/// The services and what they want to know.
pub(crate) fn adapters(_: &Call) -> Outcome {
    let rows = SERVICES.map(|(kind, name, needed)| {
        let field = json!({ "key": needed, "label": needed, "type": "text", "required": true });
        json!({ "type": kind, "display_name": name, "config_schema": [field] })
    });
    Ok(Answer::ok(&rows))
}

/// The channels of a workspace. Of the credentials only a bot's token is masked.
pub(crate) fn list(call: &Call) -> Outcome {
    let mut rows = call.site.store.resources(KIND, &call.id)?;
    for row in &mut rows {
        if let Some(token) = row["config"].get_mut("bot_token") {
            *token = json!("****");
        }
    }
    Ok(Answer::ok(&rows))
}

#[derive(Deserialize)]
struct Create {
    channel_type: String,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    allowed_users: Vec<String>,
    enabled: Option<bool>,
}

/// Adds a channel.
pub(crate) fn create(call: &Call) -> Outcome {
    let sent: Create = call.json("invalid JSON")?;
    let service = SERVICES.iter().find(|(kind, _, _)| *kind == sent.channel_type);
    let (_, _, needed) =
        service.ok_or_else(|| Answer::error(400, &format!("unsupported channel_type: {}", sent.channel_type)))?;
    if sent
        .config
        .get(*needed)
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        return Err(Answer::error(400, "invalid channel config"));
    }
    let (id, now) = (Uuid::new_v4().to_string(), clock::text(clock::now()));
    let enabled = sent.enabled.unwrap_or(true);
    let row = json!({ "id": id, "workspace_id": call.id, "channel_type": sent.channel_type, "config": sent.config,
        "enabled": enabled, "allowed_users": sent.allowed_users, "message_count": 0, "created_at": now,
        "updated_at": now });
    call.site.store.put_resource(KIND, &call.id, &id, &row)?;
    Ok(Answer::json(
        201,
        &json!({ "id": id, "channel_type": sent.channel_type, "enabled": enabled }),
    ))
}

/// Changes what is given.
pub(crate) fn update(call: &Call) -> Outcome {
    let sent: Value = call.json("invalid JSON")?;
    let mut row = known(call)?;
    for field in ["config", "allowed_users", "enabled"] {
        if !sent[field].is_null() {
            row[field] = sent[field].clone();
        }
    }
    row["updated_at"] = json!(clock::text(clock::now()));
    call.site.store.put_resource(KIND, &call.id, &call.second, &row)?;
    Ok(Answer::ok(&json!({ "status": "updated" })))
}

/// Removes a channel.
pub(crate) fn delete(call: &Call) -> Outcome {
    if call.site.store.delete_resource(KIND, &call.id, &call.second)? {
        Ok(Answer::ok(&json!({ "status": "deleted" })))
    } else {
        Err(unknown())
    }
}

/// There is no way out of here.
pub(crate) fn send(call: &Call) -> Outcome {
    let sent: Value = call.json("text is required")?;
    if sent["text"].as_str().is_none_or(str::is_empty) {
        return Err(Answer::error(400, "text is required"));
    }
    Err(Answer::error(500, "send failed"))
}

/// As [`send`].
pub(crate) fn test(_: &Call) -> Outcome {
    Err(Answer::error(500, "test message failed"))
}

/// Asks a service which chats a bot is in, and cannot reach it.
pub(crate) fn discover(call: &Call) -> Outcome {
    let sent: Value = call.json("bot_token is required")?;
    let has = |field: &str| sent[field].as_str().is_some_and(|text| !text.is_empty());
    let refusal = match sent["channel_type"].as_str() {
        _ if !has("bot_token") => "bot_token is required".to_owned(),
        _ if !has("workspace_id") => "workspace_id is required".to_owned(),
        Some("telegram") => "Cannot reach Telegram API. Check your network connection and try again.".to_owned(),
        Some(kind) if SERVICES.iter().any(|(known, _, _)| *known == kind) => {
            format!("discovery not supported for {kind}")
        }
        _ => "unsupported channel_type".to_owned(),
    };
    Err(Answer::error(400, &refusal))
}

fn known(call: &Call) -> Result<Value, Answer> {
    let found = call.site.store.resource(KIND, &call.id, &call.second)?;
    found.ok_or_else(unknown)
}

fn unknown() -> Answer {
    Answer::error(404, "channel not found")
}
