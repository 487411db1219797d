//! Telling every workspace of the organization at once, and the abilities that allow it (level C).

use serde::Deserialize;
use serde_json::json;

use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::recording::{self, Announce};
use crate::local_platform::store::activity::NewActivity;
use crate::local_platform::store::workspaces::Workspace;

/// Of a broadcast, the log keeps so many characters.
const KEPT: usize = 120;

#[derive(Deserialize)]
struct Broadcast {
    message: String,
}

/// Leaves a shortened row and an event with the whole text at everyone under the same root.
pub(crate) fn send(call: &Call) -> Outcome {
    let sent: Broadcast = call.json("message is required")?;
    if sent.message.is_empty() {
        return Err(Answer::error(400, "message is required"));
    }
    let sender = known(call)?;
    if !sender.broadcast_enabled {
        let hint = "This workspace does not have the broadcast ability; an admin enables it.";
        return Err(Answer::json(
            403,
            &json!({ "error": "broadcast_disabled", "hint": hint }),
        ));
    }
    let store = &call.site.store;
    let root = store.root_of(&sender.id)?;
    let mut receivers = store.descendants(&root)?;
    receivers.extend(store.workspace(&root)?.filter(|root| !root.is_removed()));
    receivers.retain(|one| one.id != sender.id);
    let mut start: String = sent.message.chars().take(KEPT).collect();
    if start.len() < sent.message.len() {
        start.push('…');
    }
    for receiver in &receivers {
        let row = NewActivity {
            workspace_id: receiver.id.clone(),
            activity_type: "broadcast_receive".to_owned(),
            method: Some("broadcast".to_owned()),
            source_id: Some(sender.id.clone()),
            summary: Some(format!("Broadcast from {}: {start}", sender.name)),
            status: Some("ok".to_owned()),
            ..NewActivity::default()
        };
        recording::row(&call.site, row, Announce::No);
        let told = json!({ "message": sent.message, "sender": sender.name, "sender_id": sender.id });
        call.site.hub.send(&receiver.id, "BROADCAST_MESSAGE", told);
    }
    Ok(Answer::ok(&json!({ "status": "sent", "delivered": receivers.len() })))
}

#[derive(Deserialize)]
struct Abilities {
    broadcast_enabled: Option<bool>,
    talk_to_user_enabled: Option<bool>,
}

/// Grants and withdraws abilities.
pub(crate) fn set_abilities(call: &Call) -> Outcome {
    let sent: Abilities = call.json("invalid request body")?;
    if sent.broadcast_enabled.is_none() && sent.talk_to_user_enabled.is_none() {
        return Err(Answer::error(400, "at least one ability field required"));
    }
    let workspace = known(call)?;
    call.site.store.change_workspace(&workspace.id, |workspace| {
        if let Some(enabled) = sent.broadcast_enabled {
            workspace.broadcast_enabled = enabled;
        }
        if let Some(enabled) = sent.talk_to_user_enabled {
            workspace.talk_to_user_disabled = !enabled;
        }
    })?;
    Ok(Answer::ok(&json!({ "status": "updated" })))
}

fn known(call: &Call) -> Result<Workspace, Answer> {
    let workspace = call.site.store.workspace(&call.id)?;
    workspace
        .filter(|workspace| !workspace.is_removed())
        .ok_or_else(|| Answer::error(404, "workspace not found"))
}
