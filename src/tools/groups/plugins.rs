//! Plugins: what there is, what a workspace has, and what has changed since. What an organization allows is in `allowlist`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::Groups;
use crate::mcp::answer::ToolError;
use crate::mcp::toolset::Effect;
use crate::platform::order::Order;
use crate::platform::order::Verb::{Delete, Get, Post};
use crate::tools::desk::Ops;
use crate::tools::desk::plain::{Answer, Plain, Plan, RegisterPlain};
use crate::types::{KeyName, ResourceId, WorkspaceId};

mod allowlist;

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools
        .ops
        .plain::<ListPluginRegistry>()
        .plain::<ListPluginSources>()
        .plain::<ListInstalledPlugins>()
        .plain::<ListAvailablePlugins>()
        .plain::<CheckPluginCompatibility>()
        .plain::<InstallPlugin>()
        .plain::<UninstallPlugin>()
        .plain::<CheckPluginUpdates>()
        .plain::<ApplyPluginUpdate>();
    allowlist::register(tools);
}

/// List the plugins that the platform knows: name, version, description, tags, skills, and runtimes they work on.
#[derive(Deserialize, JsonSchema)]
struct ListPluginRegistry {
    /// Only those that work on this runtime.
    runtime: Option<String>,
}

impl Plain<Ops> for ListPluginRegistry {
    const NAME: &'static str = "list_plugin_registry";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("plugins");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::open(Get, ["plugins".into()])
            .query("runtime", self.runtime)
            .into())
    }
}

/// List the kinds of sources that the platform installs plugins from, such as local and github.
#[derive(Deserialize, JsonSchema)]
struct ListPluginSources {}

impl Plain<Ops> for ListPluginSources {
    const NAME: &'static str = "list_plugin_sources";
    const EFFECT: Effect = Effect::READ;
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::open(Get, ["plugins".into(), "sources".into()]).into())
    }
}

/// List the plugins that a workspace has. One that does not run has an empty list.
#[derive(Deserialize, JsonSchema)]
struct ListInstalledPlugins {
    workspace_id: WorkspaceId,
}

impl Plain<Ops> for ListInstalledPlugins {
    const NAME: &'static str = "list_installed_plugins";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("plugins");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::workspace(Get, &self.workspace_id, ["plugins".into()]).into())
    }
}

/// List the plugins that work on a workspace's runtime.
#[derive(Deserialize, JsonSchema)]
struct ListAvailablePlugins {
    workspace_id: WorkspaceId,
}

impl Plain<Ops> for ListAvailablePlugins {
    const NAME: &'static str = "list_available_plugins";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("plugins");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::workspace(Get, &self.workspace_id, ["plugins".into(), "available".into()]).into())
    }
}

/// Which of a workspace's plugins would go on working on another runtime. For a workspace that does not run both lists are
/// empty and all_compatible is true, which then means nothing.
#[derive(Deserialize, JsonSchema)]
struct CheckPluginCompatibility {
    workspace_id: WorkspaceId,
    /// The runtime it might get.
    runtime: String,
}

impl Plain<Ops> for CheckPluginCompatibility {
    const NAME: &'static str = "check_plugin_compatibility";
    const EFFECT: Effect = Effect::READ;
    fn plan(self) -> Result<Plan, ToolError> {
        let runtime = not_empty("runtime", self.runtime)?;
        let order = Order::workspace(Get, &self.workspace_id, ["plugins".into(), "compatibility".into()]);
        Ok(order.query("runtime", Some(runtime)).into())
    }
}

/// Install a plugin into a workspace, which restarts with it. Fetching it may take minutes.
#[derive(Deserialize, JsonSchema)]
struct InstallPlugin {
    workspace_id: WorkspaceId,
    /// local://name, or github://owner/repo#ref with the tag or commit that is meant.
    source: String,
    /// SHA-256 that the plugin must have, 64 hexadecimal digits.
    sha256: Option<String>,
}

impl Plain<Ops> for InstallPlugin {
    const NAME: &'static str = "install_plugin";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        let mut body = json!({ "source": not_empty("source", self.source)? });
        if let Some(digest) = self.sha256 {
            if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(ToolError::argument("sha256", "must be 64 hexadecimal digits"));
            }
            body["sha256"] = json!(digest);
        }
        let order = Order::workspace(Post, &self.workspace_id, ["plugins".into()]);
        let hint = "see detail: either the organization's allowlist does not name this plugin (set_org_plugin_allowlist \
                    changes it), or the credential may not do this";
        Ok(Plan::from(order.body(body).patient()).advising(403, hint))
    }
}

/// Remove a plugin from a workspace, which restarts without it.
#[derive(Deserialize, JsonSchema)]
struct UninstallPlugin {
    workspace_id: WorkspaceId,
    /// Name of the plugin, as list_installed_plugins shows it.
    name: KeyName,
}

impl Plain<Ops> for UninstallPlugin {
    const NAME: &'static str = "uninstall_plugin";
    const EFFECT: Effect = Effect::DESTROY.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::workspace(Delete, &self.workspace_id, ["plugins".into(), (&self.name).into()]).into())
    }
}

/// List the plugins that have changed at their source since they were installed: workspace, plugin, old and new commit, and
/// the id for apply_plugin_update.
#[derive(Deserialize, JsonSchema)]
struct CheckPluginUpdates {}

impl Plain<Ops> for CheckPluginUpdates {
    const NAME: &'static str = "check_plugin_updates";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("updates");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::admin(Get, ["admin".into(), "plugin-updates-pending".into()]).into())
    }
}

/// Install a plugin again in its present version, as check_plugin_updates found it. The workspace restarts with it.
#[derive(Deserialize, JsonSchema)]
struct ApplyPluginUpdate {
    /// Id of the update, as check_plugin_updates shows it.
    id: ResourceId,
}

impl Plain<Ops> for ApplyPluginUpdate {
    const NAME: &'static str = "apply_plugin_update";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        let path = [
            "admin".into(),
            "plugin-updates".into(),
            (&self.id).into(),
            "apply".into(),
        ];
        Ok(Order::admin(Post, path).body(json!({})).patient().into())
    }
}

fn not_empty(name: &str, value: String) -> Result<String, ToolError> {
    if value.trim().is_empty() {
        return Err(ToolError::argument(name, "must not be empty"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{WS, exchange, refused};
    use serde_json::{Value, json};

    const ID: &str = "5f0c1d2e-0000-4000-8000-0000000000aa";

    #[tokio::test]
    async fn each_tool_sends_its_request() {
        let digest = "0a".repeat(32);
        let pinned = json!({ "source": "github://o/r#v1", "sha256": digest });
        let source = json!({ "source": "local://x" });
        let empty = json!({});
        let ws = format!("/workspaces/{WS}/plugins");
        for (tool, arguments, line, body, bearer) in [
            (
                "list_plugin_sources",
                json!({}),
                "GET /plugins/sources".to_owned(),
                None,
                "",
            ),
            (
                "check_plugin_compatibility",
                json!({ "workspace_id": WS, "runtime": "a&b" }),
                format!("GET {ws}/compatibility?runtime=a%26b"),
                None,
                "api-key",
            ),
            (
                "install_plugin",
                json!({ "workspace_id": WS, "source": "local://x" }),
                format!("POST {ws}"),
                Some(&source),
                "api-key",
            ),
            (
                "install_plugin",
                json!({ "workspace_id": WS, "source": "github://o/r#v1", "sha256": digest }),
                format!("POST {ws}"),
                Some(&pinned),
                "api-key",
            ),
            (
                "uninstall_plugin",
                json!({ "workspace_id": WS, "name": "a b" }),
                format!("DELETE {ws}/a%20b"),
                None,
                "api-key",
            ),
            (
                "apply_plugin_update",
                json!({ "id": ID }),
                format!("POST /admin/plugin-updates/{ID}/apply"),
                Some(&empty),
                "api-key",
            ),
        ] {
            let seen = exchange(tool, arguments, 200, json!({ "status": "done" })).await;
            assert_eq!((seen.line, seen.bearer.as_str()), (line, bearer), "{tool}");
            assert_eq!(seen.body.as_ref(), body, "{tool}");
            assert_eq!(seen.result, json!({ "status": "done" }), "{tool}");
        }
    }

    #[tokio::test]
    async fn lists_come_as_pages_and_null_is_an_empty_one() {
        let ws = format!("GET /workspaces/{WS}/plugins");
        for (tool, arguments, line, key) in [
            ("list_plugin_registry", json!({}), "GET /plugins".to_owned(), "plugins"),
            (
                "list_plugin_registry",
                json!({ "runtime": "codex" }),
                "GET /plugins?runtime=codex".to_owned(),
                "plugins",
            ),
            (
                "list_installed_plugins",
                json!({ "workspace_id": WS }),
                ws.clone(),
                "plugins",
            ),
            (
                "list_available_plugins",
                json!({ "workspace_id": WS }),
                format!("{ws}/available"),
                "plugins",
            ),
            (
                "check_plugin_updates",
                json!({}),
                "GET /admin/plugin-updates-pending".to_owned(),
                "updates",
            ),
        ] {
            let row = json!({ "name": "a", "tags": null });
            let seen = exchange(tool, arguments.clone(), 200, json!([row])).await;
            assert_eq!(seen.line, line);
            assert_eq!(seen.result, json!({ key: [row], "count": 1 }));
            let none = exchange(tool, arguments, 200, Value::Null).await;
            assert_eq!(none.result, json!({ key: [], "count": 0 }));
        }
    }

    #[tokio::test]
    async fn what_the_platform_would_refuse_sends_nothing() {
        for (tool, arguments) in [
            ("install_plugin", json!({ "workspace_id": WS, "source": "" })),
            (
                "install_plugin",
                json!({ "workspace_id": WS, "source": "local://x", "sha256": "abc" }),
            ),
            ("uninstall_plugin", json!({ "workspace_id": WS, "name": "../x" })),
            (
                "check_plugin_compatibility",
                json!({ "workspace_id": WS, "runtime": "" }),
            ),
            ("check_plugin_compatibility", json!({ "workspace_id": WS })),
            ("apply_plugin_update", json!({})),
        ] {
            assert_eq!(
                refused(tool, arguments.clone()).await,
                "INVALID_ARGUMENT",
                "{tool} {arguments}"
            );
        }
    }

    #[tokio::test]
    async fn refusals_say_what_to_do() {
        for (status, answer, code, part) in [
            (
                403,
                json!({ "error": "plugin \"x\" is not in the org allowlist" }),
                "AUTH_ERROR",
                "set_org_plugin_allowlist",
            ),
            (
                422,
                json!({ "error": "not for external runtimes", "hint": "external workspaces pull plugins" }),
                "HTTP 422",
                "pull plugins",
            ),
        ] {
            let arguments = json!({ "workspace_id": WS, "source": "local://x" });
            let seen = exchange("install_plugin", arguments, status, answer).await;
            assert_eq!(seen.result["error"], code);
            assert!(seen.result["hint"].as_str().unwrap().contains(part), "{}", seen.result);
        }
    }
}
