//! What only a tenant's manager sets: budgets, who pays for models; and the organizations that the control plane knows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Groups;
use crate::mcp::answer::ToolError;
use crate::mcp::toolset::{Effect, Nullable};
use crate::platform::order::Order;
use crate::platform::order::Verb::{Get, Put};
use crate::tools::desk::plain::{Answer, Plain, Plan, RegisterPlain};
use crate::tools::desk::{Control, Management};
use crate::types::{Slug, WorkspaceId};

mod budget;

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools.management.plain::<SetLlmBillingMode>();
    tools.management.add::<budget::SetWorkspaceBudget>();
    tools.control.plain::<ListOrgs>().plain::<GetOrg>();
}

/// Set who pays for a workspace's model calls. Null: as the organization's rule says. Only platforms of about June 2026 offer
/// this.
#[derive(Deserialize, JsonSchema)]
struct SetLlmBillingMode {
    workspace_id: WorkspaceId,
    /// platform_managed: the platform; byok: the workspace's own key; disabled: no model calls; null: no own rule.
    #[serde(default)]
    mode: Nullable<BillingMode>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum BillingMode {
    PlatformManaged,
    Byok,
    Disabled,
}

impl Plain<Management> for SetLlmBillingMode {
    const NAME: &'static str = "set_llm_billing_mode";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        let mode = self
            .mode
            .given()
            .ok_or_else(|| ToolError::argument("mode", "is required, and may be null"))?;
        let path = [
            "admin".into(),
            "workspaces".into(),
            (&self.workspace_id).into(),
            "llm-billing-mode".into(),
        ];
        let order = Order::admin(Put, path).body(json!({ "mode": mode }));
        Ok(Plan::from(order).replaced_by(
            "on this platform the key decides: with a provider's key among its secrets (set_workspace_secret) a workspace \
             pays for itself",
        ))
    }
}

/// List all organizations that the control plane knows.
#[derive(Deserialize, JsonSchema)]
struct ListOrgs {}

impl Plain<Control> for ListOrgs {
    const NAME: &'static str = "list_orgs";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::ListWithin("orgs");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::admin(Get, ["api".into(), "v1".into(), "admin".into(), "orgs".into()]).into())
    }
}

/// Look at one organization, by its short name.
#[derive(Deserialize, JsonSchema)]
struct GetOrg {
    slug: Slug,
}

impl Plain<Control> for GetOrg {
    const NAME: &'static str = "get_org";
    const EFFECT: Effect = Effect::READ;
    fn plan(self) -> Result<Plan, ToolError> {
        let order = Order::admin(Get, ["api".into(), "v1".into(), "orgs".into(), (&self.slug).into()]);
        // Its documentation speaks of a person's session for this route, and of the token for the list.
        let hint = "the control plane may show one organization to people alone: list_orgs shows all of them";
        Ok(Plan::from(order).advising(401, hint).advising(403, hint))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, Keys, WS, exchange, refused};
    use crate::platform::testing::Reply;
    use serde_json::json;

    #[tokio::test]
    async fn a_billing_mode_is_set_or_taken_back() {
        for mode in [json!("platform_managed"), json!("byok"), json!("disabled"), json!(null)] {
            let arguments = json!({ "workspace_id": WS, "mode": mode });
            let answer = json!({ "workspace_id": WS, "resolved_mode": "byok" });
            let seen = exchange("set_llm_billing_mode", arguments, 200, answer.clone()).await;
            assert_eq!(seen.line, format!("PUT /admin/workspaces/{WS}/llm-billing-mode"));
            assert_eq!(
                (seen.bearer.as_str(), seen.body),
                ("org-key", Some(json!({ "mode": mode })))
            );
            assert_eq!(seen.result, answer);
        }
        for arguments in [
            json!({ "workspace_id": WS }),
            json!({ "workspace_id": WS, "mode": "free" }),
        ] {
            assert_eq!(refused("set_llm_billing_mode", arguments).await, "INVALID_ARGUMENT");
        }
        let gone = Bench::new(vec![Reply::new(404, &[], "404 page not found")], Keys::All).await;
        let told = gone
            .call("set_llm_billing_mode", json!({ "workspace_id": WS, "mode": null }))
            .await;
        assert_eq!(told["error"], "NOT_SUPPORTED_BY_PLATFORM");
        assert!(
            told["hint"].as_str().unwrap().contains("set_workspace_secret"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn organizations_are_asked_of_the_control_plane_with_its_token() {
        for orgs in [json!([{ "slug": "a" }]), json!({ "orgs": [{ "slug": "a" }] })] {
            let seen = exchange("list_orgs", json!({}), 200, orgs).await;
            assert_eq!(
                (seen.line.as_str(), seen.bearer.as_str()),
                ("GET /api/v1/admin/orgs", "control-token")
            );
            assert_eq!(seen.result, json!({ "orgs": [{ "slug": "a" }], "count": 1 }));
        }
        let seen = exchange("get_org", json!({ "slug": "a-team" }), 200, json!({ "slug": "a-team" })).await;
        assert_eq!(
            (seen.line.as_str(), seen.bearer.as_str()),
            ("GET /api/v1/orgs/a-team", "control-token")
        );
        for status in [401, 403] {
            let seen = exchange(
                "get_org",
                json!({ "slug": "a" }),
                status,
                json!({ "error": "no session" }),
            )
            .await;
            assert_eq!(seen.result["error"], "AUTH_ERROR");
            assert!(
                seen.result["hint"].as_str().unwrap().contains("list_orgs"),
                "{}",
                seen.result
            );
        }
        assert_eq!(refused("get_org", json!({ "slug": "A/b" })).await, "INVALID_ARGUMENT");
        let bench = Bench::new(vec![Reply::json(200, "[]")], Keys::None).await;
        for (tool, arguments) in [("list_orgs", json!({})), ("get_org", json!({ "slug": "a" }))] {
            assert_eq!(bench.call(tool, arguments).await["error"], "CP_TIER_NOT_CONFIGURED");
        }
        assert!(bench.lines().is_empty());
    }
}
