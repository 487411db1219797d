//! What an external agent needs to connect: shown at creation and when the tokens are rotated.

use serde_json::{Value, json};

use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::server::Level;
use crate::local_platform::store::tokens::TokenKind;
use crate::local_platform::store::workspaces::Workspace;

/// The connection block; `token` is empty when it is not to be shown.
pub(crate) fn block(call: &Call, id: &str, token: &str) -> Value {
    let platform = format!("http://{}", call.header("host").unwrap_or("localhost"));
    let register = format!("{platform}/registry/register");
    let shown = if token.is_empty() { "<token>" } else { token };
    let curl = format!(
        "curl -X POST {register} -H 'Authorization: Bearer {shown}' -H 'Content-Type: application/json' \
         -d '{{\"id\":\"{id}\",\"url\":\"\",\"delivery_mode\":\"poll\",\"agent_card\":{{\"name\":\"agent\",\"skills\":[]}}}}'"
    );
    let python = format!("PLATFORM_URL = \"{platform}\"\nWORKSPACE_ID = \"{id}\"\nTOKEN = \"{shown}\"\n");
    let mut block = json!({
        "workspace_id": id, "platform_url": platform, "auth_token": token, "registry_endpoint": register,
        "heartbeat_endpoint": format!("{platform}/registry/heartbeat"),
        "curl_register_template": curl, "python_snippet": python,
    });
    if call.site.level > Level::A {
        let variables = format!("PLATFORM_URL={platform} WORKSPACE_ID={id} MOLECULE_WORKSPACE_TOKEN={shown}");
        let command = format!("{variables} molecule-mcp");
        for client in [
            "claude_code_channel",
            "universal_mcp",
            "hermes_channel",
            "codex",
            "openclaw",
        ] {
            block[format!("{client}_snippet")] = json!(command);
        }
    }
    block
}

/// Revokes every token, of either kind, and mints one.
pub(crate) fn rotate(call: &Call) -> Outcome {
    let workspace = external(call)?;
    call.site.store.revoke_tokens(&workspace.id)?;
    let token = call.site.store.mint_token(&workspace.id, TokenKind::Instance)?;
    Ok(Answer::ok(&json!({ "connection": block(call, &workspace.id, &token) })))
}

/// The block without a token.
pub(crate) fn show(call: &Call) -> Outcome {
    let workspace = external(call)?;
    Ok(Answer::ok(&json!({ "connection": block(call, &workspace.id, "") })))
}

fn external(call: &Call) -> Result<Workspace, Answer> {
    let workspace = call.site.store.workspace(&call.id)?;
    let workspace = workspace.ok_or_else(|| Answer::error(404, "workspace not found"))?;
    if workspace.is_external() {
        return Ok(workspace);
    }
    Err(Answer::json(
        400,
        &json!({ "error": "rotate is only valid for runtime=external workspaces", "runtime": workspace.runtime,
            "hint": "other runtimes get their token from the platform" }),
    ))
}
