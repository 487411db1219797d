//! What waits for a person's approval. With the gate on, some changes do (level C).

use serde_json::{Value, json};
use uuid::Uuid;

use crate::local_platform::call::{Answer, Call};
use crate::local_platform::clock;

/// Resources of this kind belong to the tenant.
const KIND: &str = "approval";

/// 202 when `action` on `target` has to be approved first. An approval is good for one time.
pub(crate) fn gate(call: &Call, action: &str, target: &str) -> Result<(), Answer> {
    if !call.site.approval_gate {
        return Ok(());
    }
    let store = &call.site.store;
    let concerns = |row: &&mut Value| row["action"] == action && row["target"] == target;
    let mut rows = store.resources(KIND, "")?;
    let open = rows
        .iter_mut()
        .filter(concerns)
        .find(|row| row["status"] == "pending" || row["status"] == "approved");
    if let Some(row) = open {
        let id = row["id"].as_str().unwrap_or_default().to_owned();
        if row["status"] == "pending" {
            return Err(pending(&id, action));
        }
        row["status"] = json!("used");
        store.put_resource(KIND, "", &id, row)?;
        return Ok(());
    }
    let id = Uuid::new_v4().to_string();
    let row = json!({ "id": id, "workspace_id": call.id, "action": action, "target": target, "reason": "approval gate",
        "status": "pending", "created_at": clock::text(clock::now()) });
    store.put_resource(KIND, "", &id, &row)?;
    Err(pending(&id, action))
}

fn pending(id: &str, action: &str) -> Answer {
    let body = json!({ "status": "pending_approval", "approval_id": id, "action": action, "reason": "approval gate" });
    Answer::json(202, &body)
}
