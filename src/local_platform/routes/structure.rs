//! What happened to the structure of the tenant, and the part of the canvas that is looked at.

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::local_platform::auth;
use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::clock;
use crate::local_platform::site::Site;

const EVENT: &str = "structure_event";
const MOST: usize = 100;
const VIEWPORT: &str = "viewport";

impl Site {
    /// Tells the stream of a workspace, and keeps it among the events of the structure.
    pub(crate) fn record(&self, workspace: &str, kind: &str, data: &Value) {
        let id = Uuid::new_v4().to_string();
        let row = json!({ "id": id, "event_type": kind, "workspace_id": workspace, "payload": data,
            "created_at": clock::text(clock::now()) });
        if let Err(error) = self.store.put(EVENT, &id, &row) {
            tracing::error!(%error, "the embedded platform could not keep an event");
        }
        self.hub.send(workspace, kind, data);
    }
}

/// The latest events, newest first, of all or of one workspace.
pub(crate) fn events(call: &Call) -> Outcome {
    let mut rows: Vec<Value> = call.site.store.list(EVENT)?;
    rows.retain(|row| call.id.is_empty() || row["workspace_id"] == call.id.as_str());
    rows.reverse();
    rows.truncate(MOST);
    Ok(Answer::ok(&rows))
}

#[derive(Deserialize)]
struct Viewport {
    #[serde(default)]
    x: f64,
    #[serde(default)]
    y: f64,
    #[serde(default)]
    zoom: f64,
}

/// Where the canvas is.
pub(crate) fn viewport(call: &Call) -> Outcome {
    let saved: Option<Value> = call.site.store.get(VIEWPORT, "")?;
    Ok(Answer::ok(
        &saved.unwrap_or_else(|| json!({ "x": 0, "y": 0, "zoom": 1 })),
    ))
}

/// Moves it.
pub(crate) fn save_viewport(call: &Call) -> Outcome {
    auth::any_member(call)?;
    let sent: Viewport = call.json("invalid viewport data")?;
    let saved = json!({ "x": sent.x, "y": sent.y, "zoom": sent.zoom });
    call.site.store.put(VIEWPORT, "", &saved)?;
    Ok(Answer::ok(&json!({ "status": "saved" })))
}
