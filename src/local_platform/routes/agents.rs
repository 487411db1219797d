//! Which model is the agent of a workspace.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::local_platform::call::{Answer, Call, Outcome, uuid};
use crate::local_platform::store::workspaces::Workspace;

const KIND: &str = "agent";
/// A workspace has one at most.
const ACTIVE: &str = "active";

/// Gives a workspace its first one.
pub(crate) fn assign(call: &Call) -> Outcome {
    let model = model(call)?;
    known(call, &call.id, "workspace not found")?;
    if active(call, &call.id)?.is_some() {
        return Err(Answer::error(
            409,
            "workspace already has an active agent, use PATCH to replace",
        ));
    }
    let agent = json!({ "agent_id": Uuid::new_v4(), "model": model });
    call.site.store.put_resource(KIND, &call.id, ACTIVE, &agent)?;
    Ok(Answer::json(201, &agent))
}

/// Puts another in its place.
pub(crate) fn replace(call: &Call) -> Outcome {
    let model = model(call)?;
    let old = active(call, &call.id)?.ok_or_else(|| Answer::error(404, "no active agent to replace"))?;
    let agent = json!({ "agent_id": Uuid::new_v4(), "model": model });
    call.site.store.put_resource(KIND, &call.id, ACTIVE, &agent)?;
    Ok(Answer::ok(
        &json!({ "agent_id": agent["agent_id"], "model": model, "old_model": old["model"] }),
    ))
}

/// Takes it away.
pub(crate) fn remove(call: &Call) -> Outcome {
    let old = active(call, &call.id)?.ok_or_else(|| Answer::error(404, "no active agent to remove"))?;
    call.site.store.delete_resource(KIND, &call.id, ACTIVE)?;
    Ok(Answer::ok(&json!({ "status": "removed", "agent_id": old["agent_id"] })))
}

/// Moves it to a workspace that has none.
pub(crate) fn r#move(call: &Call) -> Outcome {
    let sent: Value = call.json("invalid request body")?;
    let target = sent["target_workspace_id"].as_str().filter(|id| !id.is_empty());
    let target = target.ok_or_else(|| Answer::error(400, "invalid request body"))?;
    let target = uuid(target).ok_or_else(|| Answer::error(500, "target lookup failed"))?;
    known(call, &target, "target workspace not found")?;
    if active(call, &target)?.is_some() {
        return Err(Answer::error(409, "target workspace already has an active agent"));
    }
    let agent = active(call, &call.id)?.ok_or_else(|| Answer::error(404, "no active agent in source workspace"))?;
    call.site.store.delete_resource(KIND, &call.id, ACTIVE)?;
    call.site.store.put_resource(KIND, &target, ACTIVE, &agent)?;
    Ok(Answer::ok(
        &json!({ "agent_id": agent["agent_id"], "model": agent["model"],
        "from_workspace": call.id, "to_workspace": target }),
    ))
}

/// A workspace that is not removed, or 404 with this reason.
pub(crate) fn known(call: &Call, id: &str, refusal: &str) -> Result<Workspace, Answer> {
    let workspace = call.site.store.workspace(id)?;
    let workspace = workspace.filter(|workspace| !workspace.is_removed());
    workspace.ok_or_else(|| Answer::error(404, refusal))
}

fn active(call: &Call, workspace: &str) -> Result<Option<Value>, Answer> {
    Ok(call.site.store.resource(KIND, workspace, ACTIVE)?)
}

fn model(call: &Call) -> Result<String, Answer> {
    let sent: Value = call.json("invalid request body")?;
    let model = sent["model"].as_str().filter(|model| !model.is_empty());
    model
        .map(str::to_owned)
        .ok_or_else(|| Answer::error(400, "invalid request body"))
}
