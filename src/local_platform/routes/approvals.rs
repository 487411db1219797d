//! What waits for a person's approval: asked for by a workspace, decided by anyone with its credential. With the gate on,
//! some changes do so by themselves (level C).

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::clock;
use crate::local_platform::server::Level;
use crate::local_platform::site::Site;
use crate::local_platform::store::changes::APPROVAL as KIND;

const MOST: usize = 50;

#[derive(Clone, Serialize, Deserialize)]
struct Approval {
    id: String,
    /// Not part of a row.
    workspace_id: String,
    task_id: Option<String>,
    action: String,
    /// What the gate holds back. Not part of a row.
    #[serde(default)]
    target: Option<String>,
    reason: Option<String>,
    status: String,
    decided_by: Option<String>,
    decided_at: Option<String>,
    created_at: String,
}

#[derive(Deserialize)]
struct Create {
    action: String,
    reason: Option<String>,
    task_id: Option<String>,
}

/// Asks for an approval.
pub(crate) fn create(call: &Call) -> Outcome {
    let sent: Create = call.json("invalid request body")?;
    if sent.action.is_empty() {
        return Err(Answer::error(400, "invalid request body"));
    }
    let approval = Approval {
        id: Uuid::new_v4().to_string(),
        workspace_id: call.id.clone(),
        task_id: sent.task_id,
        action: sent.action,
        target: None,
        reason: sent.reason,
        status: "pending".to_owned(),
        decided_by: None,
        decided_at: None,
        created_at: clock::text(clock::now()),
    };
    call.site.store.put(KIND, &approval.id, &approval)?;
    let told = json!({ "approval_id": approval.id, "action": approval.action, "reason": approval.reason });
    call.site.record(&call.id, "APPROVAL_REQUESTED", &told);
    Ok(Answer::json(
        201,
        &json!({ "approval_id": approval.id, "status": "pending" }),
    ))
}

/// What the workspace asked for, newest first.
pub(crate) fn list(call: &Call) -> Outcome {
    let mut all: Vec<Approval> = call.site.store.list(KIND)?;
    all.retain(|approval| approval.workspace_id == call.id);
    all.reverse();
    all.truncate(MOST);
    let rows: Vec<_> = all
        .iter()
        .map(|one| {
            json!({ "id": one.id, "task_id": one.task_id, "action": one.action, "reason": one.reason,
                "status": one.status, "decided_by": one.decided_by, "decided_at": one.decided_at,
                "created_at": one.created_at })
        })
        .collect();
    Ok(Answer::ok(&rows))
}

/// What waits anywhere, newest first. Before level C looking denies what has waited for ten minutes.
pub(crate) fn pending(call: &Call) -> Outcome {
    let store = &call.site.store;
    let oldest = clock::now() - 600 * clock::SECOND;
    let mut rows = Vec::new();
    for mut approval in store.list::<Approval>(KIND)? {
        if approval.status != "pending" {
            continue;
        }
        let is_old = clock::parse(&approval.created_at).is_some_and(|made| made < oldest);
        if is_old && call.site.level < Level::C {
            "denied".clone_into(&mut approval.status);
            approval.decided_by = Some("system".to_owned());
            store.put(KIND, &approval.id, &approval)?;
            continue;
        }
        // Those of nobody are not listed.
        if let Some(workspace) = store.workspace(&approval.workspace_id)? {
            rows.push(
                json!({ "id": approval.id, "workspace_id": workspace.id, "workspace_name": workspace.name,
                "action": approval.action, "reason": approval.reason, "status": approval.status,
                "created_at": approval.created_at }),
            );
        }
    }
    rows.reverse();
    rows.truncate(MOST);
    Ok(Answer::ok(&rows))
}

/// How many wait for the person, as [`pending`] would list them.
pub(crate) fn waiting(site: &Site) -> Result<usize, Answer> {
    let mut count = 0;
    for approval in site.store.list::<Approval>(KIND)? {
        count += usize::from(approval.status == "pending" && site.store.workspace(&approval.workspace_id)?.is_some());
    }
    Ok(count)
}

#[derive(Deserialize)]
struct Decide {
    decision: String,
    decided_by: Option<String>,
}

/// Decides one, once.
pub(crate) fn decide(call: &Call) -> Outcome {
    let sent: Decide = call.json("invalid request body")?;
    if !["approved", "denied"].contains(&sent.decision.as_str()) {
        return Err(Answer::error(400, "decision must be 'approved' or 'denied'"));
    }
    let decided = call.site.store.change(KIND, &call.second, |approval: &mut Approval| {
        let open = approval.workspace_id == call.id && approval.status == "pending";
        if open {
            approval.status.clone_from(&sent.decision);
            approval.decided_by = Some(sent.decided_by.unwrap_or_else(|| "human".to_owned()));
            approval.decided_at = Some(clock::text(clock::now()));
        }
        open
    })?;
    if decided != Some(true) {
        return Err(Answer::error(404, "approval not found or already decided"));
    }
    Ok(Answer::ok(
        &json!({ "status": sent.decision, "approval_id": call.second }),
    ))
}

/// The workspace in whose name something of the tenant waits: the first root. Without any it is nobody's.
fn anchor(call: &Call) -> Result<String, Answer> {
    if !call.id.is_empty() {
        return Ok(call.id.clone());
    }
    let all = call.site.store.workspaces()?;
    let root = all.into_iter().find(|one| one.parent_id.is_none() && !one.is_removed());
    Ok(root.map(|root| root.id).unwrap_or_default())
}

/// 202 when `action` on `target` has to be approved first. An approval is good for one time.
pub(crate) fn gate(call: &Call, action: &str, target: &str) -> Result<(), Answer> {
    if !call.site.approval_gate {
        return Ok(());
    }
    let store = &call.site.store;
    let all: Vec<Approval> = store.list(KIND)?;
    let open = all.into_iter().find(|one| {
        one.action == action && one.target.as_deref() == Some(target) && matches!(&*one.status, "pending" | "approved")
    });
    let anchor = anchor(call)?;
    let mut approval = open.unwrap_or_else(|| Approval {
        id: Uuid::new_v4().to_string(),
        workspace_id: anchor,
        task_id: None,
        action: action.to_owned(),
        target: Some(target.to_owned()),
        reason: Some("approval gate".to_owned()),
        status: "pending".to_owned(),
        decided_by: None,
        decided_at: None,
        created_at: clock::text(clock::now()),
    });
    let approved = approval.status == "approved";
    if approved {
        "used".clone_into(&mut approval.status);
    }
    store.put(KIND, &approval.id, &approval)?;
    if approved {
        return Ok(());
    }
    let body = json!({ "status": "pending_approval", "approval_id": approval.id, "action": action,
        "reason": approval.reason });
    Err(Answer::json(202, &body))
}
