//! Who this agent is: what it says of itself to its peers, and what its host says of its runtime.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::paging::size;
use super::workspaces::Workspaces;
use crate::config::Permission;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Registry, Tool};
use crate::platform::workspace::MAX_BODY;
use crate::state::agent_card::LastCard;
use crate::types::WorkspaceId;

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Registry<Workspaces>) {
    tools.add::<GetRuntimeIdentity>().add::<UpdateAgentCard>();
}

/// What this agent's environment says about its model and runtime. An empty text means that it says nothing.
#[derive(Deserialize, JsonSchema)]
struct GetRuntimeIdentity {}

#[derive(Serialize, JsonSchema)]
struct IdentityView {
    /// Variable MODEL.
    model: String,
    /// Variable MODEL_PROVIDER.
    model_provider: String,
    /// Variable MOLECULE_MODEL.
    molecule_model: String,
    /// Variable ANTHROPIC_BASE_URL, without credentials.
    anthropic_base_url: String,
    /// Variable TIER.
    tier: String,
    /// The workspace this daemon serves; the first of several.
    workspace_id: String,
    /// All that it serves, where these are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    workspace_ids: Vec<String>,
    /// Variable ADAPTER_MODULE.
    runtime: String,
}

impl Tool<Workspaces> for GetRuntimeIdentity {
    const NAME: &'static str = "get_runtime_identity";
    const EFFECT: Effect = Effect::READ.local();
    type Output = IdentityView;

    async fn call(self, all: &Workspaces, _: &Call) -> Result<IdentityView, ToolError> {
        let first = all.first();
        let said = first.identity.clone();
        let ids = all.all().iter().map(|context| context.own.to_string());
        Ok(IdentityView {
            model: said.model,
            model_provider: said.model_provider,
            molecule_model: said.molecule_model,
            anthropic_base_url: said.anthropic_base_url,
            tier: said.tier,
            workspace_id: first.own.to_string(),
            workspace_ids: if all.only().is_some() {
                Vec::new()
            } else {
                ids.collect()
            },
            runtime: said.runtime,
        })
    }
}

/// Replace the card by which peers know this workspace. It is kept: every later start registers with it, but for fields
/// whose MOLECULE_AGENT_* setting was changed since.
#[derive(Deserialize, JsonSchema)]
struct UpdateAgentCard {
    /// The whole card: an object with name and skills (a list of objects with a name), and description if you like.
    card: Map<String, Value>,
    /// Which workspace of this daemon acts: needed only where it serves several.
    source_workspace_id: Option<WorkspaceId>,
}

#[derive(Serialize, JsonSchema)]
struct CardUpdated {
    /// True.
    success: bool,
    /// "updated".
    status: &'static str,
    /// Said when it will not outlive the next register.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

impl Tool<Workspaces> for UpdateAgentCard {
    const NAME: &'static str = "update_agent_card";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    type Output = CardUpdated;

    async fn call(self, all: &Workspaces, _: &Call) -> Result<CardUpdated, ToolError> {
        all.check_role(Self::NAME, Permission::MemoryWrite)?;
        let context = all.one("source_workspace_id", self.source_workspace_id.as_ref())?;
        check(&self.card)?;
        context.api.update_card(&self.card).await?;
        let last = LastCard {
            card: self.card,
            configured: context.card.to_json(),
        };
        let kept = context.journal.keep_card(last).await;
        if let Err(error) = &kept {
            tracing::warn!(%error, "the agent card could not be kept");
        }
        Ok(CardUpdated {
            success: true,
            status: "updated",
            note: kept.is_err().then_some(
                "the platform has it, but it could not be written down here: the next register sends the card before it",
            ),
        })
    }
}

/// Refuses a card that the platform would take and nobody could use: half a card replaces a whole one.
fn check(card: &Map<String, Value>) -> Result<(), ToolError> {
    let refuse = |rule: &str| Err(ToolError::argument("card", rule));
    let name = card.get("name").and_then(Value::as_str).unwrap_or_default();
    if name.trim().is_empty() {
        return refuse("must have a name, a text that is not empty");
    }
    if !card.get("skills").is_none_or(Value::is_array) {
        return refuse("must have its skills as a list");
    }
    if size(card) > MAX_BODY / 2 {
        return refuse("is too long");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RuntimeIdentity;
    use crate::tools::testing::{OWN, Reply, World};
    use serde_json::json;

    #[tokio::test]
    async fn the_identity_is_what_the_environment_says_and_asks_nobody() {
        let mut world = World::saying(500, &json!({})).await;
        world.context.identity = RuntimeIdentity {
            model: "m".to_owned(),
            ..RuntimeIdentity::default()
        };
        let said = world.call("get_runtime_identity", json!({})).await;
        assert_eq!(
            said.body,
            json!({ "model": "m", "model_provider": "", "molecule_model": "", "anthropic_base_url": "", "tier": "",
                "workspace_id": OWN, "runtime": "" })
        );
        assert!(world.asked().is_empty());
    }

    #[tokio::test]
    async fn a_card_goes_to_the_platform_and_is_kept_with_the_settings_of_its_time() {
        let world = World::saying(200, &json!({ "status": "updated" })).await;
        let card = json!({ "name": "Ada", "skills": [{ "name": "rust" }], "x": [1] });
        let updated = world.call("update_agent_card", json!({ "card": card })).await;
        assert_eq!(updated.body, json!({ "success": true, "status": "updated" }));
        assert_eq!(
            world.asked_once(),
            (
                "POST /registry/update-card".to_owned(),
                json!({ "workspace_id": OWN, "agent_card": card })
            )
        );
        let last = world.context.journal.last_card().await.unwrap().unwrap();
        assert_eq!(Value::Object(last.card), card);
        assert_eq!(last.configured, json!({ "name": "configured", "skills": [] }));
    }

    #[tokio::test]
    async fn a_card_that_is_refused_is_not_kept() {
        let world = World::answering(vec![Reply::json(400, r#"{"error":"workspace URL not allowed"}"#)]).await;
        let refused = world
            .call("update_agent_card", json!({ "card": { "name": "x" } }))
            .await;
        assert_eq!(refused.code(), "PLATFORM_ERROR");
        assert!(
            refused.body["detail"]
                .as_str()
                .unwrap()
                .contains("workspace URL not allowed")
        );
        assert_eq!(world.context.journal.last_card().await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_no_card_causes_no_request() {
        let world = World::saying(200, &json!({})).await;
        for card in [
            json!("x"),
            json!([]),
            json!({}),
            json!({ "name": " " }),
            json!({ "name": "x", "skills": "rust" }),
            json!({ "description": "only this" }),
            json!({ "name": "x", "description": "y".repeat(600_000) }),
        ] {
            let refused = world.call("update_agent_card", json!({ "card": card })).await;
            assert_eq!(refused.code(), "INVALID_ARGUMENT", "{}", refused.body);
        }
        assert_eq!(
            world.call("update_agent_card", json!({})).await.code(),
            "INVALID_ARGUMENT"
        );
        assert!(world.asked().is_empty());
    }
}
