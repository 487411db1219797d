//! Secrets and models. Values are kept and never listed.

use serde_json::{Value, json};

use super::approvals;
use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::clock;
use crate::local_platform::server::Level;

pub(super) const KIND: &str = "secret";
/// Secrets of the tenant belong to nobody.
const GLOBAL: &str = "";

/// What a workspace sees: its own, and the tenant's that it does not hide. Their names only.
pub(crate) fn list(call: &Call) -> Outcome {
    lower_case(call)?;
    let mut rows = rows(call, &call.id, "workspace")?;
    let global = self::rows(call, GLOBAL, "global")?;
    let hidden: Vec<Value> = rows.iter().map(|row| row["key"].clone()).collect();
    rows.extend(global.into_iter().filter(|row| !hidden.contains(&row["key"])));
    Ok(Answer::ok(&rows))
}

/// Writes one of a workspace.
pub(crate) fn set(call: &Call) -> Outcome {
    lower_case(call)?;
    let key = write(call, &call.id)?;
    Ok(Answer::ok(&json!({ "status": "saved", "key": key })))
}

/// Removes one of a workspace.
pub(crate) fn delete(call: &Call) -> Outcome {
    lower_case(call)?;
    remove(call, &call.id)?;
    Ok(Answer::ok(&json!({ "status": "deleted", "key": call.second })))
}

/// The tenant's, by name.
pub(crate) fn list_global(call: &Call) -> Outcome {
    Ok(Answer::ok(&rows(call, GLOBAL, "global")?))
}

/// Writes one of the tenant.
pub(crate) fn set_global(call: &Call) -> Outcome {
    let key = write(call, GLOBAL)?;
    Ok(Answer::ok(&json!({ "status": "saved", "key": key, "scope": "global" })))
}

/// Removes one of the tenant.
pub(crate) fn delete_global(call: &Call) -> Outcome {
    remove(call, GLOBAL)?;
    Ok(Answer::ok(
        &json!({ "status": "deleted", "key": call.second, "scope": "global" }),
    ))
}

/// The model that a workspace was given.
pub(crate) fn model(call: &Call) -> Outcome {
    lower_case(call)?;
    let held = call.site.store.resource(KIND, &call.id, model_key(call.site.level))?;
    Ok(Answer::ok(&match held {
        Some(held) => json!({ "model": held["value"], "source": "workspace_secrets" }),
        None if call.site.level == Level::C => json!({ "model": "", "source": "unresolved" }),
        None => json!({ "model": "", "source": "default" }),
    }))
}

/// Gives a workspace a model, or takes it away.
pub(crate) fn set_model(call: &Call) -> Outcome {
    lower_case(call)?;
    let sent: Value = call.json("invalid request body")?;
    let model = sent["model"]
        .as_str()
        .ok_or_else(|| Answer::error(400, "invalid request body"))?;
    keep_model(call, &call.id, model)?;
    Ok(Answer::ok(&if model.is_empty() {
        json!({ "status": "cleared" })
    } else {
        json!({ "status": "saved", "model": model })
    }))
}

/// See [`set_model`]; also when a workspace is made with one.
pub(crate) fn keep_model(call: &Call, workspace: &str, model: &str) -> Result<(), Answer> {
    let key = model_key(call.site.level);
    if model.is_empty() {
        call.site.store.delete_resource(KIND, workspace, key)?;
    } else {
        put(call, workspace, key, model)?;
    }
    Ok(())
}

fn model_key(level: Level) -> &'static str {
    if level == Level::C { "MODEL" } else { "MODEL_PROVIDER" }
}

fn rows(call: &Call, owner: &str, scope: &str) -> Result<Vec<Value>, Answer> {
    let held = call.site.store.resources(KIND, owner)?;
    let shown = held.into_iter().map(|held| {
        json!({ "key": held["key"], "has_value": true, "scope": scope,
            "created_at": held["created_at"], "updated_at": held["updated_at"] })
    });
    Ok(shown.collect())
}

fn write(call: &Call, owner: &str) -> Result<String, Answer> {
    let sent: Value = call.json("invalid request body")?;
    let text = |name: &str| sent[name].as_str().filter(|text| !text.is_empty());
    let (Some(key), Some(value)) = (text("key"), text("value")) else {
        return Err(Answer::error(400, "invalid request body"));
    };
    approvals::gate(call, "secret.write", &format!("{owner}/{key}"))?;
    put(call, owner, key, value)?;
    Ok(key.to_owned())
}

fn put(call: &Call, owner: &str, key: &str, value: &str) -> Result<(), Answer> {
    let now = clock::text(clock::now());
    let before = call.site.store.resource(KIND, owner, key)?;
    let made = before.map_or_else(|| json!(now), |before| before["created_at"].clone());
    let held = json!({ "key": key, "value": value, "created_at": made, "updated_at": now });
    Ok(call.site.store.put_resource(KIND, owner, key, &held)?)
}

fn remove(call: &Call, owner: &str) -> Result<(), Answer> {
    if call.site.store.delete_resource(KIND, owner, &call.second)? {
        Ok(())
    } else {
        Err(Answer::error(404, "secret not found"))
    }
}

/// These routes alone look at the id as it was written.
fn lower_case(call: &Call) -> Result<(), Answer> {
    if call.id_is_lower_case {
        Ok(())
    } else {
        Err(Answer::error(400, "invalid workspace ID"))
    }
}
