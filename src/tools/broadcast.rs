//! Talking to every workspace of the organization at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::paging::check_text;
use super::supported::unless_supported;
use super::workspaces::Workspaces;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Registry, Tool};
use crate::platform::error::CallError;
use crate::types::WorkspaceId;

/// Adds the tool of this file.
pub(super) fn register(tools: &mut Registry<Workspaces>) {
    tools.add::<BroadcastMessage>();
}

/// Tell every workspace of your organization something at once. Nobody is asked to answer. An admin must have allowed
/// this workspace to broadcast.
#[derive(Deserialize, JsonSchema)]
struct BroadcastMessage {
    /// What to say.
    message: String,
    /// Which workspace of this daemon acts: needed only where it serves several.
    workspace_id: Option<WorkspaceId>,
}

#[derive(Serialize, JsonSchema)]
struct Broadcasted {
    /// "sent".
    status: &'static str,
    /// How many workspaces it reached.
    delivered: u64,
}

impl Tool<Workspaces> for BroadcastMessage {
    const NAME: &'static str = "broadcast_message";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Broadcasted;

    async fn call(self, all: &Workspaces, _: &Call) -> Result<Broadcasted, ToolError> {
        let context = all.one("workspace_id", self.workspace_id.as_ref())?;
        check_text("message", &self.message)?;
        let delivered = context.api.broadcast(&self.message).await.map_err(refused)?;
        Ok(Broadcasted {
            status: "sent",
            delivered,
        })
    }
}

fn refused(error: CallError) -> ToolError {
    match &error {
        CallError::Refused { status: 403, detail } if detail == "broadcast_disabled" => ToolError::failed(
            "BROADCAST_DISABLED",
            "this workspace is not allowed to broadcast; nothing was sent",
            "ask the person to have an admin enable broadcast_enabled for it (PATCH /workspaces/:id/abilities), or write \
             to single peers with delegate_task",
        ),
        _ => unless_supported("broadcasts", error),
    }
}

#[cfg(test)]
mod tests {
    use crate::tools::testing::{OWN, PEER, Reply, World};
    use serde_json::json;

    #[tokio::test]
    async fn a_broadcast_says_how_many_it_reached() {
        let world = World::saying(200, &json!({ "status": "sent", "delivered": 3 })).await;
        let sent = world.call("broadcast_message", json!({ "message": "all hands" })).await;
        assert_eq!(sent.body, json!({ "status": "sent", "delivered": 3 }));
        assert_eq!(
            world.asked_once(),
            (
                format!("POST /workspaces/{OWN}/broadcast"),
                json!({ "message": "all hands" })
            )
        );
    }

    #[tokio::test]
    async fn refusals_are_told_apart_and_nothing_is_sent_twice() {
        for (reply, code) in [
            (
                Reply::json(403, r#"{"error":"broadcast_disabled","hint":"x"}"#),
                "BROADCAST_DISABLED",
            ),
            (Reply::json(403, r#"{"error":"access denied"}"#), "AUTH_ERROR"),
            (Reply::new(404, &[], "404 page not found"), "NOT_SUPPORTED_BY_PLATFORM"),
            (Reply::json(500, r#"{"error":"internal error"}"#), "PLATFORM_ERROR"),
            (
                Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"),
                "PLATFORM_UNREACHABLE",
            ),
        ] {
            let world = World::answering(vec![reply]).await;
            let refused = world.call("broadcast_message", json!({ "message": "x" })).await;
            assert_eq!(refused.code(), code, "{}", refused.body);
            assert_eq!(world.asked().len(), 1);
        }
        let world = World::saying(200, &json!({})).await;
        for arguments in [
            json!({}),
            json!({ "message": " " }),
            json!({ "message": "x", "workspace_id": PEER }),
        ] {
            assert_eq!(
                world.call("broadcast_message", arguments).await.code(),
                "INVALID_ARGUMENT"
            );
        }
        assert!(world.asked().is_empty());
    }
}
