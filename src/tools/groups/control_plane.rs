//! What the control plane does beyond the contract's management set: moving a workspace's computer to another provider, and
//! rollouts to all tenants. Shown with the set `control` alone.
//!
//! Routes, bodies and answers are those of the server that was replaced, in its version of July 2026; the control plane itself
//! is not public.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Groups;
use super::workspaces::given;
use crate::config::shown::Sets;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::{Get, Post};
use crate::tools::desk::confirm::Unasked;
use crate::tools::desk::{Control, Told};
use crate::types::WorkspaceId;

mod promotion;

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools
        .control
        .add_to::<MigrateWorkspaceProvider>(Sets::CONTROL)
        .add_to::<GetWorkspaceMigrationStatus>(Sets::CONTROL)
        .add_to::<promotion::PromoteToProduction>(Sets::CONTROL);
}

/// Move a workspace's computer to another cloud provider, with its data. It takes 15 to 20 minutes:
/// get_workspace_migration_status tells how it goes. The old one is retired when the new one is healthy.
#[derive(Deserialize, JsonSchema)]
struct MigrateWorkspaceProvider {
    workspace_id: WorkspaceId,
    /// Where it is now.
    from: Provider,
    /// Where it is to be.
    to: Provider,
    /// The present computer, as its provider names it. Required unless it is at aws.
    from_instance_id: Option<String>,
    /// Its organization, where the control plane cannot tell.
    org_id: Option<String>,
    /// Its runtime, where the control plane cannot tell.
    runtime: Option<String>,
    /// Yes, move it.
    confirm: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Provider {
    Aws,
    Hetzner,
    Gcp,
}

/// What to do about an answer that is none of a control plane's.
const NO_CONTROL_PLANE: &str = "MOLECULE_CP_URL may name something else than a control plane";

/// The one route of both tools.
fn migration(id: &WorkspaceId) -> [crate::platform::order::Segment; 6] {
    [
        "api".into(),
        "v1".into(),
        "admin".into(),
        "workspaces".into(),
        id.into(),
        "migrate-provider".into(),
    ]
}

impl Tool<Control> for MigrateWorkspaceProvider {
    const NAME: &'static str = "migrate_workspace_provider";
    const EFFECT: Effect = Effect::DESTROY;
    type Output = Told;

    async fn call(self, desk: &Control, call: &Call) -> Result<Told, ToolError> {
        if self.from == self.to {
            return Err(ToolError::argument("to", "must be another provider than `from`"));
        }
        if self.from != Provider::Aws && self.from_instance_id.is_none() {
            return Err(ToolError::argument(
                "from_instance_id",
                "is required unless `from` is aws",
            ));
        }
        let body = given([
            ("from", Some(json!(self.from))),
            ("to", Some(json!(self.to))),
            ("confirm", Some(json!(true))),
            ("from_instance_id", self.from_instance_id.map(Value::from)),
            ("org_id", self.org_id.map(Value::from)),
            ("runtime", self.runtime.map(Value::from)),
        ]);
        let order = Order::admin(Post, migration(&self.workspace_id)).body(Value::Object(body));
        let errand = desk.errand(Self::NAME, call);
        errand.has_door(&order)?;
        let question = format!(
            "Move workspace {} to another provider, and retire its present computer?",
            self.workspace_id
        );
        errand
            .confirm(&question, Unasked::Confirmed(self.confirm == Some(true)))
            .await?;
        errand.send(&order).await?.object(NO_CONTROL_PLANE).map(Told)
    }
}

/// Tell how the latest move of a workspace to another provider goes: its state (snapshotting, provisioning_target,
/// target_healthy, retiring_source, completed, failed, rolled_back), and whether it is over.
#[derive(Deserialize, JsonSchema)]
struct GetWorkspaceMigrationStatus {
    workspace_id: WorkspaceId,
}

impl Tool<Control> for GetWorkspaceMigrationStatus {
    const NAME: &'static str = "get_workspace_migration_status";
    const EFFECT: Effect = Effect::READ;
    type Output = Told;

    async fn call(self, desk: &Control, call: &Call) -> Result<Told, ToolError> {
        let order = Order::admin(Get, migration(&self.workspace_id));
        let sent = desk.errand(Self::NAME, call).send(&order).await;
        let reply = sent.map_err(|error| match error.code() {
            "HTTP 404" => ToolError::failed(
                "NOT_FOUND",
                "this workspace was never moved to another provider",
                "migrate_workspace_provider moves one",
            ),
            _ => error,
        })?;
        reply.object(NO_CONTROL_PLANE).map(Told)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, Keys, WS, exchange, refused};
    use crate::platform::testing::Reply;
    use serde_json::{Value, json};

    fn moving(more: &Value) -> Value {
        let mut arguments = json!({ "workspace_id": WS, "from": "aws", "to": "gcp", "confirm": true });
        for (name, value) in more.as_object().unwrap() {
            arguments[name] = value.clone();
        }
        arguments
    }

    #[tokio::test]
    async fn a_move_is_started_and_watched() {
        let line = format!("/api/v1/admin/workspaces/{WS}/migrate-provider");
        let started = json!({ "status": "migration_started", "workspace_id": WS });
        let hints = json!({ "from": "hetzner", "from_instance_id": "i-1", "org_id": "o", "runtime": "codex" });
        for (more, body) in [
            (json!({}), json!({ "from": "aws", "to": "gcp", "confirm": true })),
            (
                hints,
                json!({ "from": "hetzner", "to": "gcp", "confirm": true, "from_instance_id": "i-1", "org_id": "o",
                    "runtime": "codex" }),
            ),
        ] {
            let seen = exchange("migrate_workspace_provider", moving(&more), 202, started.clone()).await;
            assert_eq!(
                (seen.line, seen.bearer.as_str()),
                (format!("POST {line}"), "control-token")
            );
            assert_eq!((seen.body, seen.result), (Some(body), started.clone()));
        }
        let state = json!({ "migration": { "state": "snapshotting" }, "terminal": false });
        let seen = exchange(
            "get_workspace_migration_status",
            json!({ "workspace_id": WS }),
            200,
            state.clone(),
        )
        .await;
        assert_eq!((seen.line, seen.result), (format!("GET {line}"), state));
        let never = json!({ "error": "no migration" });
        let seen = exchange(
            "get_workspace_migration_status",
            json!({ "workspace_id": WS }),
            404,
            never,
        )
        .await;
        assert_eq!(seen.result["error"], "NOT_FOUND");
    }

    #[tokio::test]
    async fn nothing_moves_by_accident() {
        for (more, code) in [
            (json!({ "confirm": false }), "CONFIRMATION_REQUIRED"),
            (json!({ "confirm": null }), "CONFIRMATION_REQUIRED"),
            (json!({ "to": "aws" }), "INVALID_ARGUMENT"),
            (json!({ "to": "azure" }), "INVALID_ARGUMENT"),
            (json!({ "from": "gcp", "to": "aws" }), "INVALID_ARGUMENT"),
        ] {
            assert_eq!(
                refused("migrate_workspace_provider", moving(&more)).await,
                code,
                "{more}"
            );
        }
        let bench = Bench::new(vec![Reply::json(202, "{}")], Keys::None).await;
        let told = bench.call("migrate_workspace_provider", moving(&json!({}))).await;
        assert_eq!(
            (&told["error"], bench.lines().len()),
            (&json!("CP_TIER_NOT_CONFIGURED"), 0)
        );
    }
}
