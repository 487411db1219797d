//! Secrets of a workspace and of the whole organization. Values go in and never come out.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::Groups;
use crate::mcp::answer::ToolError;
use crate::mcp::toolset::Effect;
use crate::platform::order::Order;
use crate::platform::order::Verb::{Delete, Get, Post, Put};
use crate::tools::desk::plain::{Answer, Plain, Plan, RegisterPlain};
use crate::tools::desk::{Management, Ops};
use crate::types::{KeyName, WorkspaceId};

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools
        .ops
        .plain::<SetSecret>()
        .plain::<ListSecrets>()
        .plain::<DeleteSecret>()
        .plain::<SetGlobalSecret>()
        .plain::<ListGlobalSecrets>()
        .plain::<DeleteGlobalSecret>();
    tools
        .management
        .plain::<SetWorkspaceSecret>()
        .plain::<ListWorkspaceSecrets>()
        .plain::<DeleteWorkspaceSecret>()
        .plain::<SetOrgSecret>()
        .plain::<ListOrgSecrets>()
        .plain::<DeleteOrgSecret>();
}

/// Two names for one thing: the older in `ops`, the newer in `management`.
macro_rules! also_named {
    ($(#[$doc:meta])* $new:ident = $old:ident, $name:literal) => {
        $(#[$doc])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(transparent)]
        struct $new($old);

        impl Plain<Management> for $new {
            const NAME: &'static str = $name;
            const EFFECT: Effect = <$old as Plain<Ops>>::EFFECT;
            const ANSWER: Answer = <$old as Plain<Ops>>::ANSWER;
            fn plan(self) -> Result<Plan, ToolError> {
                self.0.plan()
            }
        }
    };
}

/// Set a secret of one workspace, or replace its value. The workspace restarts to see it.
#[derive(Deserialize, JsonSchema)]
struct SetSecret {
    workspace_id: WorkspaceId,
    /// Name of the environment variable.
    key: KeyName,
    /// The value. It is sent to the platform and kept nowhere else.
    value: String,
}

impl Plain<Ops> for SetSecret {
    const NAME: &'static str = "set_secret";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        let order = Order::workspace(Post, &self.workspace_id, ["secrets".into()]);
        with_value(order, &self.key, &self.value)
    }
}
also_named!(
    /// Set a secret of one workspace, or replace its value. The workspace restarts to see it.
    SetWorkspaceSecret = SetSecret, "set_workspace_secret"
);

/// List the names of the secrets that a workspace sees, its own and the organization's. Values are never shown.
#[derive(Deserialize, JsonSchema)]
struct ListSecrets {
    workspace_id: WorkspaceId,
}

impl Plain<Ops> for ListSecrets {
    const NAME: &'static str = "list_secrets";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("secrets");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::workspace(Get, &self.workspace_id, ["secrets".into()]).into())
    }
}
also_named!(
    /// List the names of the secrets that a workspace sees, its own and the organization's. Values are never shown.
    ListWorkspaceSecrets = ListSecrets, "list_workspace_secrets"
);

/// Remove a secret of one workspace for good. The workspace restarts without it.
#[derive(Deserialize, JsonSchema)]
struct DeleteSecret {
    workspace_id: WorkspaceId,
    /// Name of the secret.
    key: KeyName,
}

impl Plain<Ops> for DeleteSecret {
    const NAME: &'static str = "delete_secret";
    const EFFECT: Effect = Effect::DESTROY.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        let path = ["secrets".into(), (&self.key).into()];
        Ok(Order::workspace(Delete, &self.workspace_id, path).into())
    }
}
also_named!(
    /// Remove a secret of one workspace for good. The workspace restarts without it.
    DeleteWorkspaceSecret = DeleteSecret, "delete_workspace_secret"
);

/// Set a secret of the whole organization, or replace its value. Every workspace without a secret of that name restarts.
#[derive(Deserialize, JsonSchema)]
struct SetGlobalSecret {
    /// Name of the environment variable.
    key: KeyName,
    /// The value. It is sent to the platform and kept nowhere else.
    value: String,
}

impl Plain<Ops> for SetGlobalSecret {
    const NAME: &'static str = "set_global_secret";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        let order = Order::admin(Put, ["settings".into(), "secrets".into()]);
        with_value(order, &self.key, &self.value)
    }
}

/// Set a secret of the whole organization, or replace its value. Every workspace without a secret of that name restarts.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct SetOrgSecret(SetGlobalSecret);

impl Plain<Management> for SetOrgSecret {
    const NAME: &'static str = "set_org_secret";
    const EFFECT: Effect = <SetGlobalSecret as Plain<Ops>>::EFFECT;
    fn plan(self) -> Result<Plan, ToolError> {
        let order = Order::admin(Post, ["settings".into(), "secrets".into()]);
        with_value(order, &self.0.key, &self.0.value)
    }
}

/// List the names of the organization's secrets. Values are never shown.
#[derive(Deserialize, JsonSchema)]
struct ListGlobalSecrets {}

impl Plain<Ops> for ListGlobalSecrets {
    const NAME: &'static str = "list_global_secrets";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("secrets");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::admin(Get, ["settings".into(), "secrets".into()]).into())
    }
}
also_named!(
    /// List the names of the organization's secrets. Values are never shown.
    ListOrgSecrets = ListGlobalSecrets, "list_org_secrets"
);

/// Remove a secret of the whole organization for good. Every workspace that used it restarts.
#[derive(Deserialize, JsonSchema)]
struct DeleteGlobalSecret {
    /// Name of the secret.
    key: KeyName,
}

impl Plain<Ops> for DeleteGlobalSecret {
    const NAME: &'static str = "delete_global_secret";
    const EFFECT: Effect = Effect::DESTROY.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        let path = ["settings".into(), "secrets".into(), (&self.key).into()];
        Ok(Order::admin(Delete, path).into())
    }
}
also_named!(
    /// Remove a secret of the whole organization for good. Every workspace that used it restarts.
    DeleteOrgSecret = DeleteGlobalSecret, "delete_org_secret"
);

fn with_value(order: Order, key: &KeyName, value: &str) -> Result<Plan, ToolError> {
    if value.is_empty() {
        return Err(ToolError::argument(
            "value",
            "must not be empty; remove the secret instead",
        ));
    }
    let order = order.body(json!({ "key": key, "value": value }));
    Ok(Plan::from(order).hiding(value))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{WS, exchange, refused};
    use serde_json::json;

    #[tokio::test]
    async fn each_tool_sends_its_request() {
        let ws = format!("/workspaces/{WS}/secrets");
        let global = "/settings/secrets".to_owned();
        let body = json!({ "key": "K 1", "value": "v" });
        for (tool, arguments, line, body) in [
            (
                "set_secret",
                json!({ "workspace_id": WS, "key": "K 1", "value": "v" }),
                format!("POST {ws}"),
                Some(&body),
            ),
            (
                "set_workspace_secret",
                json!({ "workspace_id": WS, "key": "K 1", "value": "v" }),
                format!("POST {ws}"),
                Some(&body),
            ),
            (
                "delete_secret",
                json!({ "workspace_id": WS, "key": "K 1" }),
                format!("DELETE {ws}/K%201"),
                None,
            ),
            (
                "delete_workspace_secret",
                json!({ "workspace_id": WS, "key": "K" }),
                format!("DELETE {ws}/K"),
                None,
            ),
            (
                "set_global_secret",
                json!({ "key": "K 1", "value": "v" }),
                format!("PUT {global}"),
                Some(&body),
            ),
            (
                "set_org_secret",
                json!({ "key": "K 1", "value": "v" }),
                format!("POST {global}"),
                Some(&body),
            ),
            (
                "delete_global_secret",
                json!({ "key": "ä" }),
                format!("DELETE {global}/%C3%A4"),
                None,
            ),
            (
                "delete_org_secret",
                json!({ "key": "K" }),
                format!("DELETE {global}/K"),
                None,
            ),
        ] {
            let seen = exchange(tool, arguments, 200, json!({ "status": "saved", "key": "K" })).await;
            assert_eq!(seen.line, line, "{tool}");
            assert_eq!(seen.body.as_ref(), body, "{tool}");
            assert_eq!(seen.result, json!({ "status": "saved", "key": "K" }), "{tool}");
        }
    }

    #[tokio::test]
    async fn lists_come_as_pages() {
        let rows = json!([{ "key": "A", "has_value": true }, { "key": "B", "has_value": true }]);
        for (tool, mut arguments) in [
            ("list_secrets", json!({ "workspace_id": WS })),
            ("list_workspace_secrets", json!({ "workspace_id": WS })),
            ("list_global_secrets", json!({})),
            ("list_org_secrets", json!({})),
        ] {
            arguments["limit"] = json!(1);
            arguments["fields"] = json!(["key"]);
            let seen = exchange(tool, arguments, 200, rows.clone()).await;
            assert!(
                seen.line.starts_with("GET ") && seen.line.ends_with("/secrets"),
                "{}",
                seen.line
            );
            assert_eq!(
                seen.result,
                json!({ "secrets": [{ "key": "A" }], "count": 2, "next_offset": 1 }),
                "{tool}"
            );
        }
    }

    #[tokio::test]
    async fn an_empty_value_is_refused_before_anything_is_sent() {
        for (tool, arguments) in [
            ("set_secret", json!({ "workspace_id": WS, "key": "K", "value": "" })),
            ("set_org_secret", json!({ "key": "K", "value": "" })),
            ("set_global_secret", json!({ "key": "a/b", "value": "v" })),
        ] {
            assert_eq!(refused(tool, arguments).await, "INVALID_ARGUMENT", "{tool}");
        }
    }

    #[tokio::test]
    async fn no_answer_brings_the_value_back() {
        let value = "s3cr3t-value";
        let arguments = json!({ "workspace_id": WS, "key": "K", "value": value });
        let told = json!({ "error": format!("cannot take {value}"), "got": [value] });
        let seen = exchange("set_secret", arguments, 400, told).await;
        assert_eq!(seen.result["error"], "HTTP 400");
        assert!(!seen.result.to_string().contains(value), "{}", seen.result);
    }
}
