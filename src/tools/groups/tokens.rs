//! Keys that open a tenant or a workspace: minted, listed, revoked. What is minted goes into a file.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::Groups;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::{Delete, Get, Post};
use crate::tools::desk::plain::{Answer, Plain, Plan, RegisterPlain};
use crate::tools::desk::{Management, Told};
use crate::types::{ResourceId, WorkspaceId};

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools
        .management
        .plain::<ListOrgTokens>()
        .plain::<RevokeOrgToken>()
        .add::<MintOrgToken>()
        .add::<MintWorkspaceToken>();
}

/// List the organization's keys: id, first characters, name, when made and last used. Never the keys themselves.
#[derive(Deserialize, JsonSchema)]
struct ListOrgTokens {}

impl Plain<Management> for ListOrgTokens {
    const NAME: &'static str = "list_org_tokens";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::ListWithin("tokens");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::admin(Get, ["org".into(), "tokens".into()]).into())
    }
}

/// Revoke a key of the organization. Whoever uses it is locked out at once.
#[derive(Deserialize, JsonSchema)]
struct RevokeOrgToken {
    /// Id of the key, as list_org_tokens shows it.
    id: ResourceId,
}

impl Plain<Management> for RevokeOrgToken {
    const NAME: &'static str = "revoke_org_token";
    const EFFECT: Effect = Effect::DESTROY.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        let order = Order::admin(Delete, ["org".into(), "tokens".into(), (&self.id).into()]);
        Ok(Plan::from(order).asking(format!(
            "Revoke organization key {}? Whoever uses it is locked out.",
            self.id
        )))
    }
}

/// Mint a key of the organization, a full administrator of the tenant. It is written to a file that only its owner can read,
/// whose path is returned, unless reveal is true.
#[derive(Deserialize, JsonSchema)]
struct MintOrgToken {
    /// What it is for, up to 100 characters.
    name: Option<String>,
    /// Show the key in the result instead of writing it to a file.
    reveal: Option<bool>,
}

impl Tool<Management> for MintOrgToken {
    const NAME: &'static str = "mint_org_token";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Told;

    async fn call(self, desk: &Management, call: &Call) -> Result<Told, ToolError> {
        if self.name.as_ref().is_some_and(|name| name.chars().count() > 100) {
            return Err(ToolError::argument("name", "must be at most 100 characters"));
        }
        let body = self.name.map_or(json!({}), |name| json!({ "name": name }));
        let order = Order::admin(Post, ["org".into(), "tokens".into()]).body(body);
        mint(desk, Self::NAME, call, order, "id", self.reveal).await
    }
}

/// Mint one more token of a workspace, for an agent that joins it. It is written to a file that only its owner can read,
/// whose path is returned, unless reveal is true.
#[derive(Deserialize, JsonSchema)]
struct MintWorkspaceToken {
    workspace_id: WorkspaceId,
    /// Show the token in the result instead of writing it to a file.
    reveal: Option<bool>,
}

impl Tool<Management> for MintWorkspaceToken {
    const NAME: &'static str = "mint_workspace_token";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Told;

    async fn call(self, desk: &Management, call: &Call) -> Result<Told, ToolError> {
        let path = [
            "admin".into(),
            "workspaces".into(),
            (&self.workspace_id).into(),
            "tokens".into(),
        ];
        let newer = Order::admin(Post, path).body(json!({}));
        match mint(desk, Self::NAME, call, newer, "workspace_id", self.reveal).await {
            // Platforms until May 2026 have it here.
            Err(error) if error.code() == "NOT_SUPPORTED_BY_PLATFORM" => {
                let older = Order::workspace(Post, &self.workspace_id, ["tokens".into()]);
                mint(desk, Self::NAME, call, older, "workspace_id", self.reveal).await
            }
            settled => settled,
        }
    }
}

async fn mint(
    desk: &Management,
    tool: &'static str,
    call: &Call,
    order: Order,
    about: &str,
    reveal: Option<bool>,
) -> Result<Told, ToolError> {
    let errand = desk.errand(tool, call);
    let mut reply = errand.send(&order).await?;
    let about = reply.body[about].as_str().unwrap_or_default().to_owned();
    errand.keep_token(&mut reply.body, &about, reveal == Some(true)).await?;
    reply.object("look with list_org_tokens whether one was made").map(Told)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, Keys, WS, exchange, refused};
    use crate::platform::testing::Reply;
    use serde_json::json;

    #[tokio::test]
    async fn lists_and_revocations_send_their_requests() {
        let answer = json!({ "tokens": [{ "id": "t1", "prefix": "abcdefgh" }], "count": 1 });
        let seen = exchange("list_org_tokens", json!({}), 200, answer.clone()).await;
        assert_eq!(
            (seen.line.as_str(), seen.bearer.as_str()),
            ("GET /org/tokens", "org-key")
        );
        assert_eq!(seen.result, answer);
        let seen = exchange(
            "revoke_org_token",
            json!({ "id": "t1" }),
            200,
            json!({ "revoked": "t1" }),
        )
        .await;
        assert_eq!(seen.line, "DELETE /org/tokens/t1");
        assert_eq!(
            refused("mint_org_token", json!({ "name": "x".repeat(101) })).await,
            "INVALID_ARGUMENT"
        );
    }

    #[tokio::test]
    async fn a_minted_token_goes_into_a_file_unless_it_is_to_be_shown() {
        let token = "tok-abcdefghijklmnop";
        let answer =
            json!({ "id": "t1", "prefix": "tok-abcd", "auth_token": token, "warning": format!("keep {token}") });
        let bench = Bench::new(vec![Reply::json(200, &answer.to_string())], Keys::All).await;
        let kept = bench.call("mint_org_token", json!({ "name": "ci" })).await;
        assert!(!kept.to_string().contains(token), "{kept}");
        let path = std::path::PathBuf::from(kept["auth_token_file"].as_str().unwrap());
        assert!(path.starts_with(bench.folder()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), token);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        }
        let shown = bench.call("mint_org_token", json!({ "reveal": true })).await;
        assert_eq!(shown, answer);
        assert!(
            bench
                .records()
                .iter()
                .all(|record| record.target == "POST /org/tokens" && record.outcome == "ok")
        );
        assert!(!format!("{:?}", bench.records()).contains(token));
    }

    #[tokio::test]
    async fn an_older_platform_mints_workspace_tokens_elsewhere() {
        let gone = Reply::new(404, &[], "404 page not found");
        let made = Reply::json(201, &json!({ "auth_token": "tok-xyz", "workspace_id": WS }).to_string());
        let bench = Bench::new(vec![gone, made], Keys::All).await;
        let minted = bench.call("mint_workspace_token", json!({ "workspace_id": WS })).await;
        assert!(minted["auth_token_file"].is_string(), "{minted}");
        let lines = [
            format!("POST /admin/workspaces/{WS}/tokens"),
            format!("POST /workspaces/{WS}/tokens"),
        ];
        assert_eq!(bench.lines(), lines);
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_kept_is_not_lost() {
        let answer = json!({ "id": "t1", "auth_token": "tok-not-lost" });
        // Known to the process, as whoever uses it makes it.
        crate::types::Secret::parse("tok-not-lost").unwrap();
        let bench = Bench::new(vec![Reply::json(200, &answer.to_string())], Keys::All).await;
        std::fs::write(bench.folder().join("minted"), "in the way").unwrap();
        let failed = bench.call("mint_org_token", json!({})).await;
        assert_eq!(
            (&failed["error"], &failed["result"]),
            (&json!("SECRET_NOT_KEPT"), &answer)
        );
    }
}
