//! Reading, changing and removing workspaces.

use serde_json::{Value, json};

use super::approvals;
use super::create::field_problem;
use crate::local_platform::call::{Answer, Call, Outcome, uuid};
use crate::local_platform::clock;
use crate::local_platform::server::Level;
use crate::local_platform::store::workspaces::Workspace;

/// All workspaces but the removed.
pub(crate) fn list(call: &Call) -> Outcome {
    let all = call.site.store.workspaces()?;
    let rows: Vec<Value> = all
        .iter()
        .filter(|one| !one.is_removed())
        .map(|one| one.admin_row(call.site.level))
        .collect();
    Ok(Answer::ok(&rows))
}

/// One workspace; a removed one is 410 from level B on unless `include_removed=true`.
pub(crate) fn get(call: &Call) -> Outcome {
    uuid(&call.id).ok_or_else(bad_id)?;
    let workspace = call.site.store.workspace(&call.id)?.ok_or_else(not_found)?;
    let hidden = call.site.level > Level::A && call.query("include_removed") != Some("true");
    if workspace.is_removed() && hidden {
        return Err(removed(&workspace));
    }
    Ok(Answer::ok(&workspace.public_row(call.site.level)))
}

/// Changes what is given and ignores the rest; a value that cannot be written is dropped without a word.
pub(crate) fn patch(call: &Call) -> Outcome {
    uuid(&call.id).ok_or_else(bad_id)?;
    let sent: Value = call.json("invalid request body")?;
    if !sent.is_object() {
        return Err(Answer::error(400, "invalid request body"));
    }
    for (field, most, strict) in [("name", 255, true), ("role", 1000, true), ("runtime", 100, false)] {
        if let Some(problem) = sent[field].as_str().and_then(|text| field_problem(text, most, strict)) {
            return Err(Answer::error(400, &format!("{field} {problem}")));
        }
    }
    if call.site.level == Level::C {
        check_move(call, &sent)?;
    }
    let parent = match &sent["parent_id"] {
        Value::String(id) => uuid(id)
            .map(|id| call.site.store.workspace(&id))
            .transpose()?
            .flatten()
            .map(|one| one.id),
        _ => None,
    };
    let changed = call
        .site
        .store
        .change_workspace(&call.id, |workspace| apply(workspace, &sent, parent))?;
    changed.ok_or_else(not_found)?;
    let mut answer = json!({ "status": "updated" });
    if sent.get("workspace_dir").is_some() {
        answer["needs_restart"] = json!(true);
    }
    Ok(Answer::ok(&answer))
}

/// Level C: what is moved is not renamed at once, and nothing leaves its root.
fn check_move(call: &Call, sent: &Value) -> Result<(), Answer> {
    let Some(parent) = sent.get("parent_id") else {
        return Ok(());
    };
    if sent.get("name").is_some() {
        return Err(Answer::json(
            400,
            &json!({ "code": "WORKSPACE_REPARENT_AMBIGUOUS_WITH_RENAME",
                "error": "parent_id and name cannot be changed in the same request; issue them as two PATCHes" }),
        ));
    }
    let known = call.site.store.workspace(&call.id)?.ok_or_else(not_found)?;
    if parent.is_null() && known.parent_id.is_some() {
        return Err(Answer::json(
            422,
            &json!({ "code": "WORKSPACE_REPARENT_ROOT_PROMOTION_FORBIDDEN", "current_parent_id": known.parent_id,
                "error": "promoting a workspace to org root is not permitted" }),
        ));
    }
    Ok(())
}

fn apply(workspace: &mut Workspace, sent: &Value, parent: Option<String>) {
    let text = |key: &str| sent[key].as_str().map(str::to_owned);
    if let Some(name) = text("name").filter(|name| !name.is_empty()) {
        workspace.name = name;
    }
    if let Some(role) = text("role") {
        workspace.role = Some(role).filter(|role| !role.is_empty());
    }
    if let Some(runtime) = text("runtime") {
        workspace.runtime = runtime;
    }
    if let Some(tier) = sent["tier"].as_i64() {
        workspace.tier = tier;
    }
    if let Some(collapsed) = sent["collapsed"].as_bool() {
        workspace.collapsed = collapsed;
    }
    if let (Some(x), Some(y)) = (sent["x"].as_f64(), sent["y"].as_f64()) {
        (workspace.x, workspace.y) = (x, y);
    }
    if let Some(folder) = sent.get("workspace_dir") {
        workspace.workspace_dir = folder.as_str().map(str::to_owned);
    }
    match sent.get("parent_id") {
        Some(Value::Null) => workspace.parent_id = None,
        Some(_) if parent.is_some() => workspace.parent_id = parent,
        _ => {}
    }
}

/// Removes a workspace and everyone below it, and revokes all their tokens. Level C wants the name repeated.
pub(crate) fn delete(call: &Call) -> Outcome {
    uuid(&call.id).ok_or_else(bad_id)?;
    let store = &call.site.store;
    let known = store.workspace(&call.id)?;
    let below = store.descendants(&call.id)?;
    if call.site.level == Level::C {
        confirm_name(call, known.as_ref(), &below)?;
    }
    let Some(known) = known else {
        return Ok(Answer::ok(&json!({ "status": "removed", "cascade_deleted": 0 })));
    };
    let children: Vec<Value> = below
        .iter()
        .filter(|one| one.parent_id.as_deref() == Some(&known.id))
        .map(|one| json!({ "id": one.id, "name": one.name }))
        .collect();
    if !children.is_empty() && call.query("confirm") != Some("true") {
        return Err(Answer::json(
            409,
            &json!({ "status": "confirmation_required", "children_count": children.len(), "children": children,
                "message": "this workspace has children; repeat with confirm=true to remove them too" }),
        ));
    }
    approvals::gate(call, "workspace.delete", &known.id)?;
    let purge = call.query("purge") == Some("true");
    remove(call, std::iter::once(&known).chain(&below), purge)?;
    let status = if purge { "purged" } else { "removed" };
    Ok(Answer::ok(&json!({ "status": status, "cascade_deleted": below.len() })))
}

/// Removes workspaces, and revokes their tokens.
pub(super) fn remove<'a>(call: &Call, all: impl Iterator<Item = &'a Workspace>, purge: bool) -> Result<(), Answer> {
    let store = &call.site.store;
    for one in all {
        store.revoke_tokens(&one.id)?;
        store.change_workspace(&one.id, |workspace| {
            workspace.status = "removed".to_owned();
            workspace.removed_at = Some(clock::now());
            workspace.alive_until = None;
        })?;
        if purge {
            store.purge_workspace(&one.id)?;
        }
        call.site
            .record(&one.id, "WORKSPACE_REMOVED", &json!({ "workspace_id": one.id }));
    }
    Ok(())
}

fn confirm_name(call: &Call, known: Option<&Workspace>, below: &[Workspace]) -> Result<(), Answer> {
    let known = known.ok_or_else(not_found)?;
    if known.is_removed() {
        return Err(Answer::json(
            410,
            &json!({ "error": "workspace removed", "id": known.id }),
        ));
    }
    // Compared as bytes: names need not be ASCII.
    if call.headers.get("x-confirm-name").map(|name| name.as_bytes()) == Some(known.name.as_bytes()) {
        return Ok(());
    }
    let children = below
        .iter()
        .filter(|one| one.parent_id.as_deref() == Some(&known.id))
        .count();
    Err(Answer::json(
        400,
        &json!({ "error": "destructive_action_requires_confirmation",
            "hint": format!("Re-send the same request with header X-Confirm-Name: {}", known.name),
            "workspace_name": known.name, "active_tasks": known.active_tasks, "child_count": children }),
    ))
}

fn removed(workspace: &Workspace) -> Answer {
    Answer::json(
        410,
        &json!({ "error": "workspace removed", "id": workspace.id,
            "hint": "Regenerate workspace + token from the canvas → Tokens tab",
            "removed_at": workspace.removed_at.map(clock::text) }),
    )
}

fn bad_id() -> Answer {
    Answer::error(400, "invalid workspace ID")
}

fn not_found() -> Answer {
    Answer::error(404, "workspace not found")
}
