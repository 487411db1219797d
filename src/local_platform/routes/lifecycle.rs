//! Restarting, pausing and resuming, on a platform that has nothing to run workspaces with.

use serde_json::{Value, json};

use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::server::Level;
use crate::local_platform::site::Site;
use crate::local_platform::store::workspaces::Workspace;

/// An external workspace has nothing to restart; any other would need a provisioner.
pub(crate) fn restart(call: &Call) -> Outcome {
    let workspace = known(call)?.ok_or_else(|| Answer::error(404, "workspace not found"))?;
    not_below_a_paused(&call.site, &workspace)?;
    if workspace.is_external() && call.site.level > Level::A {
        let message = "external workspaces are restarted by whoever runs them";
        return Ok(Answer::ok(
            &json!({ "status": "noop", "runtime": "external", "message": message }),
        ));
    }
    Err(no_provisioner())
}

/// Pauses a workspace and everyone below it; level C wants that said.
pub(crate) fn pause(call: &Call) -> Outcome {
    let workspace = known(call)?.filter(|workspace| workspace.status != "paused");
    let workspace = workspace.ok_or_else(|| Answer::error(404, "workspace not found or already paused"))?;
    let below = call.site.store.descendants(&workspace.id)?;
    if call.site.level == Level::C && !below.is_empty() && call.query("cascade") != Some("true") {
        let descendants: Vec<Value> = below
            .iter()
            .map(|one| json!({ "id": one.id, "name": one.name }))
            .collect();
        let error = "workspace has descendants; repeat with ?cascade=true to pause them too";
        return Err(Answer::json(
            409,
            &json!({ "error": error, "descendants": descendants }),
        ));
    }
    let mut count = 0;
    for one in std::iter::once(&workspace)
        .chain(&below)
        .filter(|one| one.status != "paused")
    {
        call.site.store.change_workspace(&one.id, |workspace| {
            workspace.status = "paused".to_owned();
            workspace.url = None;
        })?;
        count += 1;
    }
    Ok(Answer::ok(&json!({ "status": "paused", "paused_count": count })))
}

/// Also an external workspace would need a provisioner; a register lifts it as well.
pub(crate) fn resume(call: &Call) -> Outcome {
    let workspace = known(call)?.filter(|workspace| workspace.status == "paused");
    let workspace = workspace.ok_or_else(|| Answer::error(404, "workspace not found or not paused"))?;
    not_below_a_paused(&call.site, &workspace)?;
    Err(no_provisioner())
}

fn known(call: &Call) -> Result<Option<Workspace>, Answer> {
    Ok(call
        .site
        .store
        .workspace(&call.id)?
        .filter(|workspace| !workspace.is_removed()))
}

/// 409 when the workspace above is paused.
pub(crate) fn not_below_a_paused(site: &Site, workspace: &Workspace) -> Result<(), Answer> {
    let parent = workspace
        .parent_id
        .as_deref()
        .map(|id| site.store.workspace(id))
        .transpose()?
        .flatten();
    match parent.filter(|parent| parent.status == "paused") {
        Some(parent) => {
            let error = format!("parent workspace \"{}\" is paused — resume it first", parent.name);
            Err(Answer::error(409, &error))
        }
        None => Ok(()),
    }
}

fn no_provisioner() -> Answer {
    Answer::error(503, "provisioner not available")
}
