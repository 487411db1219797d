//! Teams as platforms of April 2026 had them: a workspace that expands into those its configuration lists.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::Groups;
use crate::mcp::answer::ToolError;
use crate::mcp::toolset::Effect;
use crate::platform::order::Order;
use crate::platform::order::Verb::Post;
use crate::tools::desk::Ops;
use crate::tools::desk::plain::{Plain, Plan, RegisterPlain};
use crate::types::WorkspaceId;

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools.ops.plain::<ExpandTeam>().plain::<CollapseTeam>();
}

/// Create the sub-workspaces that a workspace's configuration lists. Only platforms of April 2026 offer this.
#[derive(Deserialize, JsonSchema)]
struct ExpandTeam {
    workspace_id: WorkspaceId,
}

impl Plain<Ops> for ExpandTeam {
    const NAME: &'static str = "expand_team";
    const EFFECT: Effect = Effect::WRITE;
    fn plan(self) -> Result<Plan, ToolError> {
        let order = Order::workspace(Post, &self.workspace_id, ["expand".into()]).body(json!({}));
        Ok(Plan::from(order).replaced_by("create the workspaces one by one with create_workspace and parent_id"))
    }
}

/// Remove all direct sub-workspaces of a workspace for good. Only platforms of April 2026 offer this.
#[derive(Deserialize, JsonSchema)]
struct CollapseTeam {
    workspace_id: WorkspaceId,
    /// Yes, remove them all.
    confirm: Option<bool>,
}

impl Plain<Ops> for CollapseTeam {
    const NAME: &'static str = "collapse_team";
    const EFFECT: Effect = Effect::DESTROY;
    fn plan(self) -> Result<Plan, ToolError> {
        let order = Order::workspace(Post, &self.workspace_id, ["collapse".into()]).body(json!({}));
        Ok(Plan::from(order)
            .asking(format!(
                "Remove every workspace directly below {} for good?",
                self.workspace_id
            ))
            .unless_confirmed(self.confirm)
            .replaced_by("remove the workspaces below it one by one with delete_workspace"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, Keys, WS, exchange, refused};
    use crate::platform::testing::Reply;
    use serde_json::json;

    #[tokio::test]
    async fn each_tool_sends_its_request() {
        for (tool, last) in [("expand_team", "expand"), ("collapse_team", "collapse")] {
            let mut arguments = json!({ "workspace_id": WS });
            if tool == "collapse_team" {
                arguments["confirm"] = json!(true);
            }
            let seen = exchange(tool, arguments, 200, json!({ "status": "done", "removed": ["a"] })).await;
            assert_eq!(seen.line, format!("POST /workspaces/{WS}/{last}"));
            assert_eq!(seen.body, Some(json!({})));
        }
    }

    #[tokio::test]
    async fn a_team_is_not_removed_by_accident() {
        for arguments in [
            json!({ "workspace_id": WS }),
            json!({ "workspace_id": WS, "confirm": false }),
        ] {
            assert_eq!(refused("collapse_team", arguments).await, "CONFIRMATION_REQUIRED");
        }
    }

    #[tokio::test]
    async fn platforms_without_the_route_are_told_apart_from_unknown_workspaces() {
        let gone = Reply::new(404, &[("content-type", "text/plain")], "404 page not found");
        let unknown = Reply::json(404, r#"{"error":"workspace not found"}"#);
        let bench = Bench::new(vec![gone, unknown], Keys::All).await;
        let first = bench.call("expand_team", json!({ "workspace_id": WS })).await;
        assert_eq!(first["error"], "NOT_SUPPORTED_BY_PLATFORM");
        assert!(first["hint"].as_str().unwrap().contains("create_workspace"), "{first}");
        let second = bench.call("expand_team", json!({ "workspace_id": WS })).await;
        assert_eq!((&second["error"], &second["status"]), (&json!("HTTP 404"), &json!(404)));
    }
}
