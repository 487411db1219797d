//! Messages to the person.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::recording::{self, Announce};
use crate::local_platform::store::activity::NewActivity;

#[derive(Deserialize)]
struct Notify {
    message: String,
    attachments: Option<Vec<Attachment>>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Attachment {
    uri: String,
    name: String,
    #[serde(rename = "mimeType", skip_serializing_if = "Option::is_none")]
    mime_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<i64>,
}

/// Tells the person, and keeps an echo in the workspace's own log.
pub(crate) fn notify(call: &Call) -> Outcome {
    let sent: Notify = call.json("message is required")?;
    if sent.message.is_empty() {
        return Err(Answer::error(400, "message is required"));
    }
    let attachments = sent.attachments.unwrap_or_default();
    if let Some(bad) = attachments
        .iter()
        .position(|one| one.uri.is_empty() || one.name.is_empty())
    {
        return Err(Answer::error(
            400,
            &format!("attachment[{bad}]: uri and name are required"),
        ));
    }
    let workspace = call
        .site
        .store
        .workspace(&call.id)?
        .filter(|workspace| !workspace.is_removed());
    let workspace = workspace.ok_or_else(|| Answer::error(404, "workspace not found"))?;
    if workspace.talk_to_user_disabled {
        let hint = "This workspace may not write to the user; an admin allows it.";
        return Err(Answer::json(
            403,
            &json!({ "error": "talk_to_user_disabled", "hint": hint }),
        ));
    }
    let mut event = json!({ "workspace_id": workspace.id, "name": workspace.name, "message": sent.message });
    let mut echo = json!({ "result": sent.message });
    if !attachments.is_empty() {
        event["attachments"] = json!(attachments);
        echo["parts"] = attachments
            .iter()
            .map(|file| json!({ "kind": "file", "file": file }))
            .collect::<Value>();
    }
    call.site.hub.send(&workspace.id, "AGENT_MESSAGE", event);
    let summary: String = sent.message.chars().take(80).collect();
    let row = NewActivity {
        workspace_id: workspace.id,
        activity_type: "a2a_receive".to_owned(),
        method: Some("notify".to_owned()),
        summary: Some(format!("Agent message: {summary}")),
        response_body: Some(echo),
        status: Some("ok".to_owned()),
        ..NewActivity::default()
    };
    recording::row(&call.site, row, Announce::No);
    Ok(Answer::ok(&json!({ "status": "sent" })))
}
