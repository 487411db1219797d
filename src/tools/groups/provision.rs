//! `provision_workspace`: a workspace whose runtime and model are what was asked for, or a failure that says what is known.
//!
//! The order of the steps, and what each of their failures is called, is the contract's state table.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Groups;
use super::workspaces::creation::{WorkspaceAccess, external, somewhere};
use super::workspaces::removal::Removal;
use super::workspaces::{check_tier, given};
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::Post;
use crate::tools::desk::{Errand, Shared, Told};
use crate::types::WorkspaceId;

mod role;
mod runtime;
mod template;
mod verify;

use role::Role;
use runtime::Wish;

/// Adds the tool of this file.
pub(super) fn register(tools: &mut Groups) {
    tools.shared.add::<ProvisionWorkspace>();
}

/// Create a workspace and verify that it has the runtime and model asked for; anything else is a failure that says what
/// exists. Give runtime, template or both. The token of an external workspace is written to a file.
#[derive(Deserialize, JsonSchema)]
struct ProvisionWorkspace {
    /// Display name.
    name: String,
    /// claude-code, codex, hermes, openclaw, langgraph, autogen, crewai, deepagents, kimi, kimi-cli or external. Left out:
    /// the template's.
    runtime: Option<String>,
    /// Id of a template, as list_templates shows it. Left out: the runtime's usual one.
    template: Option<String>,
    /// 1 to 4; left out: the platform's choice.
    #[schemars(range(min = 1, max = 4))]
    tier: Option<u8>,
    /// Free text, shown to its peers.
    role: Option<String>,
    /// The workspace above it.
    parent_id: Option<WorkspaceId>,
    /// Absolute path of a folder on the platform's host.
    workspace_dir: Option<String>,
    /// What it may do there.
    workspace_access: Option<WorkspaceAccess>,
    /// The model; the same as role_config.model.
    model: Option<String>,
    /// What to configure once the runtime is verified.
    role_config: Option<RoleConfig>,
    /// Also wait until its agent is online, at most wait_secs.
    wait_until_online: Option<bool>,
    /// 1 to 900; left out: 180.
    #[schemars(range(min = 1, max = 900))]
    wait_secs: Option<u16>,
    /// Delete the workspace again when anything after its creation fails.
    rollback_on_failure: Option<bool>,
    /// Show the one-time token in the result instead of writing it to a file.
    reveal: Option<bool>,
}

/// What to configure once the runtime is verified.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RoleConfig {
    /// The model.
    model: Option<String>,
    /// The whole text of config.yaml.
    config_yaml: Option<String>,
}

impl Tool<Shared> for ProvisionWorkspace {
    const NAME: &'static str = "provision_workspace";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Told;

    async fn call(mut self, desk: &Shared, call: &Call) -> Result<Told, ToolError> {
        self.check()?;
        let role = Role::of(self.model.take(), self.role_config.take())?;
        let wish = Wish::of(self.runtime.take(), self.template.take())?;
        let errand = desk.errand(Self::NAME, call);
        errand.has_door(&Order::admin(Post, ["workspaces".into()]))?;
        let wish = template::settle(wish, &errand).await?;
        let made = self.create(&errand, &wish, &role).await?;
        let finished = self.finish(&errand, &made, &role).await;
        match finished {
            Ok(result) => Ok(Told(result)),
            Err(failure) => Err(self.roll_back(&errand, made, failure).await),
        }
    }
}

/// What is going to be verified: a runtime, and the template that brings it.
#[derive(Clone, Debug, PartialEq)]
struct Settled {
    runtime: String,
    template: Option<String>,
    /// Somebody else runs it, so the platform may call it as it likes.
    own_compute: bool,
}

/// A workspace that exists.
struct Made {
    id: WorkspaceId,
    settled: Settled,
    status: Value,
    connection: Value,
}

impl ProvisionWorkspace {
    fn check(&self) -> Result<(), ToolError> {
        if self.name.trim().is_empty() {
            return Err(ToolError::argument("name", "must not be empty"));
        }
        check_tier(self.tier)?;
        match self.wait_secs {
            None | Some(1..=900) => Ok(()),
            Some(_) => Err(ToolError::argument("wait_secs", "must be an integer from 1 to 900")),
        }
    }

    async fn create(&self, errand: &Errand<'_>, settled: &Settled, role: &Role) -> Result<Made, ToolError> {
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let body = given([
            ("name", Some(self.name.clone().into())),
            ("role", text(&self.role)),
            ("template", text(&settled.template)),
            ("tier", self.tier.map(Value::from)),
            ("parent_id", self.parent_id.as_ref().map(|id| json!(id))),
            ("runtime", Some(settled.runtime.clone().into())),
            ("external", external(&settled.runtime)),
            ("workspace_dir", text(&self.workspace_dir)),
            ("workspace_access", self.workspace_access.map(|access| json!(access))),
            // Newer platforms refuse to create a workspace without one.
            ("model", text(&role.model)),
            ("canvas", Some(somewhere())),
        ]);
        let order = Order::admin(Post, ["workspaces".into()]).body(Value::Object(body));
        let mut answer = match errand.send(&order).await {
            Ok(reply) => reply.body,
            Err(error) => return Err(not_created(error, settled)),
        };
        let named = answer["id"].as_str().unwrap_or_default().to_owned();
        let kept = errand.keep_token(&mut answer, &named, self.reveal == Some(true)).await;
        let Ok(id) = WorkspaceId::parse(&named) else {
            return Err(unfinished(
                "PROVISION_FAILED",
                "the platform accepted the workspace and did not say which one it is",
                "look for it by its name with list_workspaces before trying again",
                settled,
            )
            .with("create_response", answer)
            .with("workspace_exists", "unknown"));
        };
        let connection = match kept {
            Ok(()) => secrets_of(&answer),
            // The token is not lost: it travels with whatever comes of this.
            Err(error) => error.to_json(),
        };
        Ok(Made {
            id,
            settled: settled.clone(),
            status: Some(&answer["status"])
                .filter(|status| status.is_string())
                .cloned()
                .unwrap_or(json!("provisioning")),
            connection,
        })
    }

    /// Everything after the creation.
    async fn finish(&self, errand: &Errand<'_>, made: &Made, role: &Role) -> Result<Map<String, Value>, ToolError> {
        let resolved = verify::runtime(errand, made).await?;
        let applied = role.apply(errand, made, &resolved).await?;
        let mut result = Map::from_iter(
            [
                ("ok", json!(true)),
                ("provisioned", json!(true)),
                ("role_config_applied", json!(applied.is_some())),
                ("workspace_id", json!(made.id)),
                ("requested_runtime", json!(made.settled.runtime)),
                ("resolved_runtime", json!(resolved)),
                ("template", json!(made.settled.template)),
                ("status", made.status.clone()),
                ("verification", json!("row")),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        if let Some(applied) = applied {
            result.insert("applied".to_owned(), applied);
        }
        if self.wait_until_online == Some(true) {
            let role_applied = result["role_config_applied"] == true;
            let seen = verify::online(errand, made, self.wait_secs.unwrap_or(180), role_applied).await?;
            result.extend(seen);
        }
        if !made.connection.is_null() {
            result.insert("connection".to_owned(), made.connection.clone());
        }
        Ok(result)
    }

    /// Takes the workspace away again if that was wanted, and tells what became of it.
    async fn roll_back(&self, errand: &Errand<'_>, made: Made, failure: ToolError) -> ToolError {
        let failure = failure.with("connection", made.connection);
        if self.rollback_on_failure != Some(true) {
            return failure;
        }
        match Removal::of(made.id, Some(true), None).undo(errand).await {
            Ok(_) => failure
                .with("rolled_back", true)
                .with("workspace_exists", false)
                .with("provisioned", false)
                .with("role_config_applied", false)
                .advising("the workspace was deleted again; the reason is in detail"),
            Err(error) => failure
                .with("rolled_back", false)
                .with("rollback_error", error.to_json()),
        }
    }
}

/// A failure with the fields that every failure of this tool has.
fn unfinished(code: &'static str, detail: impl Into<String>, hint: &str, settled: &Settled) -> ToolError {
    ToolError::failed(code, detail, hint)
        .with("requested_runtime", settled.runtime.as_str())
        .with("provisioned", false)
        .with("role_config_applied", false)
}

/// A failure of a workspace that exists.
fn doubtful(code: &'static str, detail: impl Into<String>, hint: &str, made: &Made) -> ToolError {
    unfinished(code, detail, hint, &made.settled)
        .with("workspace_id", made.id.as_str())
        .with("workspace_exists", true)
}

/// The creation failed, or nobody knows: a lost answer is no proof, and the platform knows no idempotency here.
fn not_created(error: ToolError, settled: &Settled) -> ToolError {
    let status = error.fact("status").and_then(Value::as_u64);
    let is_unknown = error.fact("outcome").is_some() || matches!(status, Some(408 | 502 | 504 | 524));
    if error.code() == "PENDING_APPROVAL" {
        return error
            .with("requested_runtime", settled.runtime.as_str())
            .with("provisioned", false)
            .with("role_config_applied", false);
    }
    let code = error.fact("code").cloned();
    let failed = if is_unknown {
        unfinished(
            "PROVISION_UNVERIFIED",
            "the answer to the creation was lost; the workspace may exist",
            "look for it by its name with list_workspaces before trying again",
            settled,
        )
        .with("workspace_exists", "unknown")
    } else {
        let hint = error.hint().into_owned();
        unfinished("PROVISION_FAILED", error.to_string(), &hint, settled)
    };
    failed
        .with("status", status)
        .with("code", code.unwrap_or_default())
        .with("cause", error.to_json())
}

/// What is shown once: the connection of an external workspace, or the token of another.
fn secrets_of(answer: &Value) -> Value {
    if answer["connection"].is_object() {
        return answer["connection"].clone();
    }
    let once = ["auth_token", "auth_token_file"].map(|name| (name, answer.get(name).cloned()));
    let once = given(once);
    if once.is_empty() {
        Value::Null
    } else {
        Value::Object(once)
    }
}

#[cfg(test)]
mod tests;
