//! What the platform says about the own workspace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::desk::listing::Wanted;
use super::paging::clip;
use super::workspaces::Workspaces;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Registry, Tool};
use crate::platform::wire::Existence;
use crate::types::WorkspaceId;

/// Adds the tool of this file.
pub(super) fn register(tools: &mut Registry<Workspaces>) {
    tools.add::<GetWorkspaceInfo>();
}

/// What the platform knows about your own workspace: its name, status, role, place in the hierarchy and more.
#[derive(Deserialize, JsonSchema)]
struct GetWorkspaceInfo {
    /// Which workspace of this daemon acts: needed only where it serves several.
    source_workspace_id: Option<WorkspaceId>,
}

/// The workspace as the platform describes it.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
struct WorkspaceInfo(Map<String, Value>);

impl Tool<Workspaces> for GetWorkspaceInfo {
    const NAME: &'static str = "get_workspace_info";
    const EFFECT: Effect = Effect::READ;
    type Output = WorkspaceInfo;

    async fn call(self, all: &Workspaces, _: &Call) -> Result<WorkspaceInfo, ToolError> {
        let context = all.one("source_workspace_id", self.source_workspace_id.as_ref())?;
        description(context.api.existence().await?, &context.own)
    }
}

fn description(existence: Existence, own: &WorkspaceId) -> Result<WorkspaceInfo, ToolError> {
    match existence {
        Existence::Known(Value::Object(row)) => Ok(WorkspaceInfo(Wanted::default().object(row))),
        Existence::Known(_) => Err(ToolError::failed(
            "PLATFORM_ERROR",
            "the platform described this workspace in a form that could not be read",
            "PLATFORM_URL may name something else than a platform",
        )),
        Existence::Unknown => Err(ToolError::failed(
            "NOT_FOUND",
            "the platform does not know this workspace",
            "check WORKSPACE_ID and PLATFORM_URL",
        )),
        Existence::Removed(body) => {
            let said = |key: &str| body[key].as_str().map(|text| clip(text, 300));
            let hint = "create a new workspace on the canvas and configure its id and token (Tokens tab)";
            Err(ToolError::failed(
                "removed",
                "this workspace was deleted on the platform",
                said("hint").unwrap_or_else(|| hint.to_owned()),
            )
            .with("id", own.as_str())
            .with("removed_at", said("removed_at")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::answer::shape;
    use serde_json::json;

    #[test]
    fn a_workspace_that_is_too_large_is_shown_without_its_largest_fields() {
        let own = WorkspaceId::parse("w-1").unwrap();
        let row = json!({ "id": "w-1", "agent_card": { "x": "y".repeat(90_000) }, "config": "z".repeat(70_000) });
        let shown = description(Existence::Known(row), &own).ok().unwrap().0;
        assert_eq!(shown["id"], "w-1");
        let omitted = shown["omitted"].as_array().unwrap();
        let omitted: Vec<_> = omitted.iter().map(|field| &field["field"]).collect();
        assert_eq!(omitted, ["agent_card", "config"]);
    }

    #[test]
    fn a_removed_workspace_is_a_failure_of_the_known_shape() {
        let own = WorkspaceId::parse("w-1").unwrap();
        let body = json!({ "error": "workspace removed", "id": "w-1", "removed_at": "2026-05-01T00:00:00Z", "hint": "make a new one" });
        let outcome = description(Existence::Removed(body), &own).map(|_| Value::Null);
        let shown = shape(outcome).structured_content.unwrap();
        for (key, expected) in [
            ("error", "removed"),
            ("id", "w-1"),
            ("removed_at", "2026-05-01T00:00:00Z"),
            ("hint", "make a new one"),
        ] {
            assert_eq!(shown[key], expected);
        }
        assert_eq!(description(Existence::Unknown, &own).err().unwrap().code(), "NOT_FOUND");
        assert_eq!(
            description(Existence::Known(json!({ "a": 1 })), &own).ok().unwrap().0["a"],
            1
        );
    }
}
