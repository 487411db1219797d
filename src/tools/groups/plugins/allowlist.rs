//! Which plugins an organization lets its workspaces install.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::not_empty;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Tool};
use crate::platform::order::Verb::{Get, Put};
use crate::platform::order::{Order, Verb};
use crate::tools::desk::confirm::Unasked;
use crate::tools::desk::listing::Wanted;
use crate::tools::desk::{Errand, Management, NO_PLATFORM, Told};
use crate::tools::groups::Groups;
use crate::types::{KeyName, ResourceId};

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools
        .management
        .add::<GetOrgPluginAllowlist>()
        .add::<SetOrgPluginAllowlist>();
}

/// Which plugins the organization's workspaces may install. With allow_all there is no restriction.
#[derive(Deserialize, JsonSchema)]
struct GetOrgPluginAllowlist {
    /// Id of the organization's root workspace; left out: MOLECULE_ORG_ID.
    org_id: Option<ResourceId>,
    /// Skip so many plugins: next_offset of the result before.
    offset: Option<u32>,
    /// At most so many plugins, up to 500.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u32>,
}

impl Tool<Management> for GetOrgPluginAllowlist {
    const NAME: &'static str = "get_org_plugin_allowlist";
    const EFFECT: Effect = Effect::READ;
    type Output = Told;

    async fn call(self, desk: &Management, call: &Call) -> Result<Told, ToolError> {
        let errand = desk.errand(Self::NAME, call);
        let org = organization(&errand, self.org_id)?;
        let reply = errand.send(&allowlist(Get, &org)).await.map_err(unbound)?;
        let mut list = reply.object(NO_PLATFORM)?;
        if let Some(Value::Array(plugins)) = list.remove("plugins") {
            let wanted = Wanted::part(self.offset, self.limit);
            list.extend(wanted.page("plugins", plugins));
        }
        Ok(Told(list))
    }
}

/// Replace the list of plugins that the organization's workspaces may install. An empty list allows all plugins.
#[derive(Deserialize, JsonSchema)]
struct SetOrgPluginAllowlist {
    /// Id of the organization's root workspace; left out: MOLECULE_ORG_ID.
    org_id: Option<ResourceId>,
    /// Names of all plugins that are allowed from now on.
    plugins: Vec<KeyName>,
    /// Who decided it; kept beside each plugin.
    enabled_by: String,
}

impl Tool<Management> for SetOrgPluginAllowlist {
    const NAME: &'static str = "set_org_plugin_allowlist";
    const EFFECT: Effect = Effect::DESTROY.idempotent();
    type Output = Told;

    async fn call(self, desk: &Management, call: &Call) -> Result<Told, ToolError> {
        let enabled_by = not_empty("enabled_by", self.enabled_by)?;
        let errand = desk.errand(Self::NAME, call);
        let org = organization(&errand, self.org_id)?;
        let order = allowlist(Put, &org).body(json!({ "plugins": self.plugins, "enabled_by": enabled_by }));
        errand.has_door(&order)?;
        let question = match self.plugins.len() {
            0 => format!("Allow all plugins in organization {org}?"),
            count => format!("Allow {count} plugins in organization {org}, and none besides?"),
        };
        errand.confirm(&question, Unasked::Proceed).await?;
        let reply = errand.send(&order).await.map_err(unbound)?;
        Ok(Told(reply.fields("updated")))
    }
}

/// Platforms take the organization keys that are bound to an organization for this, and no others.
fn unbound(error: ToolError) -> ToolError {
    match error.fact("status").and_then(Value::as_u64) {
        Some(403) => error.advising(
            "MOLECULE_ORG_API_KEY is not bound to this organization, though it may be good for everything else: take a key \
             that is, or the platform's administrator token",
        ),
        Some(404) => error.advising("org_id must be the id of a root workspace: list_workspaces shows those without a parent"),
        _ => error,
    }
}

fn allowlist(verb: Verb, org: &ResourceId) -> Order {
    Order::admin(verb, ["orgs".into(), org.into(), "plugins".into(), "allowlist".into()])
}

/// The organization that is meant.
fn organization(errand: &Errand<'_>, given: Option<ResourceId>) -> Result<ResourceId, ToolError> {
    let usual = || ResourceId::parse(errand.common().org_id.as_deref()?).ok();
    given.or_else(usual).ok_or_else(|| {
        ToolError::failed(
            "INVALID_ARGUMENTS",
            "org_id was left out, and MOLECULE_ORG_ID is not set or no id; nothing was sent",
            "give org_id: the id of the organization's root workspace, see list_workspaces",
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::platform::testing::Reply;
    use crate::tools::groups::testing::{Bench, Keys, ORG, exchange, refused};
    use serde_json::json;

    const ID: &str = "5f0c1d2e-0000-4000-8000-0000000000aa";

    #[tokio::test]
    async fn an_allowlist_is_of_the_usual_organization_unless_another_is_named() {
        for (org, given) in [(ORG, json!({})), (ID, json!({ "org_id": ID }))] {
            let row = json!({ "plugin_name": "a", "enabled_by": "me", "enabled_at": "now" });
            let answer = json!({ "org_id": org, "plugins": [row], "allow_all": false });
            let seen = exchange("get_org_plugin_allowlist", given.clone(), 200, answer).await;
            assert_eq!(seen.line, format!("GET /orgs/{org}/plugins/allowlist"));
            assert_eq!(seen.bearer, "org-key");
            assert_eq!(
                seen.result,
                json!({ "org_id": org, "plugins": [row], "count": 1, "allow_all": false })
            );
            let mut wanted = given;
            wanted["plugins"] = json!(["a", "b"]);
            wanted["enabled_by"] = json!("me");
            let answer = json!({ "org_id": org, "plugins": ["a", "b"], "allow_all": false });
            let seen = exchange("set_org_plugin_allowlist", wanted, 200, answer.clone()).await;
            assert_eq!(seen.line, format!("PUT /orgs/{org}/plugins/allowlist"));
            assert_eq!(seen.body, Some(json!({ "plugins": ["a", "b"], "enabled_by": "me" })));
            assert_eq!(seen.result, answer);
        }
    }

    #[tokio::test]
    async fn without_an_organization_nothing_is_sent() {
        let bench = Bench::without_org(vec![Reply::json(200, "{}")]).await;
        for (tool, arguments) in [
            ("get_org_plugin_allowlist", json!({})),
            ("set_org_plugin_allowlist", json!({ "plugins": [], "enabled_by": "me" })),
        ] {
            assert_eq!(
                bench.call(tool, arguments).await["error"],
                "INVALID_ARGUMENTS",
                "{tool}"
            );
        }
        assert_eq!(bench.lines(), [""; 0]);
        let bench = Bench::new(vec![Reply::json(200, "{}")], Keys::None).await;
        assert_eq!(
            bench.call("get_org_plugin_allowlist", json!({})).await["error"],
            "AUTH_ERROR"
        );
    }

    #[tokio::test]
    async fn what_the_platform_would_refuse_sends_nothing() {
        for arguments in [
            json!({ "plugins": [], "enabled_by": "" }),
            json!({ "plugins": ["a/b"], "enabled_by": "me" }),
        ] {
            assert_eq!(refused("set_org_plugin_allowlist", arguments).await, "INVALID_ARGUMENT");
        }
    }

    #[tokio::test]
    async fn a_key_that_is_not_bound_to_the_organization_is_told_from_a_bad_one() {
        for (status, part) in [(403, "not bound"), (404, "root workspace")] {
            let seen = exchange("get_org_plugin_allowlist", json!({}), status, json!({ "error": "no" })).await;
            assert!(seen.result["hint"].as_str().unwrap().contains(part), "{}", seen.result);
        }
    }
}
