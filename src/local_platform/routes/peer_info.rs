//! Level C's `include=peer_info`: who sent a row, and which files it carries.

use serde_json::{Value, json};

use crate::local_platform::call::{Answer, Call};
use crate::local_platform::store::activity::{ActivityRow, PeerInfo};

/// Adds what is known about the sender to the rows that have one.
pub(crate) fn add(call: &Call, rows: &mut [ActivityRow]) -> Result<(), Answer> {
    let host = call.header("host").unwrap_or("localhost");
    for row in rows {
        let attachments = row
            .request_body
            .as_ref()
            .map(|body| attachments(&serde_json::from_str(body.get()).unwrap_or_default()));
        let mut peer = PeerInfo {
            attachments: attachments.filter(|found| !found.is_empty()),
            ..PeerInfo::default()
        };
        if let Some(source) = row.source_id.as_deref().filter(|source| *source != call.id) {
            let sender = call.site.store.workspace(source)?;
            peer.peer_name = sender.as_ref().map(|sender| sender.name.clone());
            peer.peer_role = sender.and_then(|sender| sender.role);
            peer.agent_card_url = Some(format!("http://{host}/registry/discover/{source}"));
        }
        row.peer = peer;
    }
    Ok(())
}

/// The files of a message: parts tagged file, image, audio or video that have a uri or a name.
fn attachments(envelope: &Value) -> Vec<Value> {
    let parts = envelope["params"]["message"]["parts"].as_array();
    parts.into_iter().flatten().filter_map(attachment).collect()
}

fn attachment(part: &Value) -> Option<Value> {
    let tag = part["kind"].as_str().or(part["type"].as_str())?;
    if !["file", "image", "audio", "video"].contains(&tag) {
        return None;
    }
    let details = if part["file"].is_object() { &part["file"] } else { part };
    let mut found = json!({ "kind": tag });
    for key in ["uri", "mime_type", "name"] {
        if let Some(text) = details[key].as_str().filter(|text| !text.is_empty()) {
            found[key] = json!(text);
        }
    }
    (found.get("uri").is_some() || found.get("name").is_some()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_parts_become_attachments_and_others_do_not() {
        let parts = json!([
            { "kind": "file", "file": { "uri": "workspace:/a", "mime_type": "application/pdf", "name": "a.pdf" } },
            { "type": "image", "uri": "workspace:/p.png" },
            { "kind": "audio", "file": { "name": "memo.ogg" } },
            { "kind": "file", "file": {} },
            { "kind": "text", "text": "x" },
            null,
        ]);
        let found = attachments(&json!({ "params": { "message": { "parts": parts } } }));
        assert_eq!(
            found,
            [
                json!({ "kind": "file", "uri": "workspace:/a", "mime_type": "application/pdf", "name": "a.pdf" }),
                json!({ "kind": "image", "uri": "workspace:/p.png" }),
                json!({ "kind": "audio", "name": "memo.ogg" }),
            ]
        );
    }
}
