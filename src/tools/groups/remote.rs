//! Workspaces whose agents run elsewhere, on the computers of those who own them. What is told here is computed from the
//! platform's rows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Groups;
use super::workspaces::creation::is_own_compute;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Nullable, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::Get;
use crate::tools::desk::plain::{Answer, Plain, Plan, RegisterPlain};
use crate::tools::desk::{Errand, Ops};
use crate::types::{BaseUrl, PlainHttp, Timestamp, WorkspaceId};

mod command;

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools.ops.plain::<ListRemoteAgents>();
    tools
        .ops
        .add::<GetRemoteAgentState>()
        .add::<GetRemoteAgentSetupCommand>()
        .add::<CheckRemoteAgentFreshness>();
}

/// List the workspaces whose agents run on someone's own computer: id, name, status, url, tier, uptime.
#[derive(Deserialize, JsonSchema)]
struct ListRemoteAgents {}

impl Plain<Ops> for ListRemoteAgents {
    const NAME: &'static str = "list_remote_agents";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("agents");
    fn plan(self) -> Result<Plan, ToolError> {
        let order = Order::admin(Get, ["workspaces".into()]);
        Ok(Plan::from(order).viewing(remote))
    }
}

/// What of a row is told; `None` when the platform runs it itself.
fn remote(row: Value) -> Option<Value> {
    if !is_remote(&row) {
        return None;
    }
    let told = [
        "id",
        "name",
        "status",
        "url",
        "runtime",
        "last_heartbeat_at",
        "uptime_seconds",
        "tier",
    ];
    let fields = told.map(|name| (name.to_owned(), row[name].clone()));
    // The list of most platforms does not say when they were heard of last.
    let known = fields
        .into_iter()
        .filter(|(name, value)| name != "last_heartbeat_at" || !value.is_null());
    Some(Value::Object(known.collect()))
}

fn is_remote(row: &Value) -> bool {
    row["runtime"].as_str().is_some_and(is_own_compute)
}

/// One row, a removed one included.
async fn row(errand: &Errand<'_>, id: &WorkspaceId) -> Result<Value, ToolError> {
    let order = Order::open(Get, ["workspaces".into(), id.into()]).query("include_removed", Some(true));
    match errand.send(&order).await {
        Ok(reply) => Ok(reply.body),
        Err(error) if error.fact("status") == Some(&json!(410)) => Ok(json!({ "status": "removed" })),
        Err(error) => Err(error),
    }
}

/// How a workspace with a remote agent stands, in a few words: status, whether paused or deleted, when last heard of.
#[derive(Deserialize, JsonSchema)]
struct GetRemoteAgentState {
    workspace_id: WorkspaceId,
}

#[derive(Serialize, JsonSchema)]
struct State {
    workspace_id: WorkspaceId,
    /// online, offline, paused, removed, ...
    // Of no type: a failure has a number there.
    #[schemars(with = "Value")]
    status: Option<String>,
    /// It is paused.
    paused: bool,
    /// It was deleted.
    deleted: bool,
    /// What runs it; external: someone's own computer.
    #[schemars(with = "Nullable<String>")]
    runtime: Option<String>,
    /// The last sign of life, where the platform tells it.
    #[schemars(with = "Nullable<String>")]
    last_heartbeat_at: Option<String>,
}

impl Tool<Ops> for GetRemoteAgentState {
    const NAME: &'static str = "get_remote_agent_state";
    const EFFECT: Effect = Effect::READ;
    type Output = State;

    async fn call(self, desk: &Ops, call: &Call) -> Result<State, ToolError> {
        let row = row(&desk.errand(Self::NAME, call), &self.workspace_id).await?;
        Ok(State {
            workspace_id: self.workspace_id,
            paused: row["status"] == "paused",
            deleted: row["status"] == "removed",
            status: text(&row["status"]),
            runtime: text(&row["runtime"]),
            last_heartbeat_at: text(&row["last_heartbeat_at"]),
        })
    }
}

/// Get the commands with which someone joins a workspace of runtime external from their own computer, to be handed to them.
/// The workspace's token is not in them.
#[derive(Deserialize, JsonSchema)]
struct GetRemoteAgentSetupCommand {
    workspace_id: WorkspaceId,
    /// The platform's address as that computer reaches it; left out: as this one does.
    platform_url_override: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Setup {
    workspace_id: WorkspaceId,
    /// Its name.
    #[schemars(with = "Nullable<String>")]
    workspace_name: Option<String>,
    /// The address in the commands.
    platform_url: String,
    /// Lines for a shell on the other computer.
    setup_command: String,
    /// What may keep it from working.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<&'static str>,
}

impl Tool<Ops> for GetRemoteAgentSetupCommand {
    const NAME: &'static str = "get_remote_agent_setup_command";
    const EFFECT: Effect = Effect::READ;
    type Output = Setup;

    async fn call(self, desk: &Ops, call: &Call) -> Result<Setup, ToolError> {
        let given = self
            .platform_url_override
            .as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty());
        let given = given.map(|text| BaseUrl::parse(text, PlainHttp::Anywhere)).transpose();
        let given = given.map_err(|refused| ToolError::argument("platform_url_override", refused.to_string()))?;
        let row = row(&desk.errand(Self::NAME, call), &self.workspace_id).await?;
        if !is_remote(&row) {
            return Err(ToolError::failed(
                "NOT_EXTERNAL",
                "the platform runs this workspace itself, so no other computer can join it",
                "create one with provision_workspace and runtime external",
            )
            .with("workspace_id", self.workspace_id.as_str())
            .with("actual_runtime", row["runtime"].clone()));
        }
        let base = given.as_ref().or(desk.tenant()).ok_or(ToolError::Internal)?;
        let mut warnings = Vec::new();
        if base.is_loopback() || base.url().host_str() == Some("0.0.0.0") {
            warnings.push(
                "this address means the computer it is used on: if the platform runs elsewhere, call again with \
                 platform_url_override",
            );
        } else if base.is_clear_text() {
            warnings.push("plain http:// beyond one computer: the workspace's token crosses the network in clear text");
        }
        Ok(Setup {
            setup_command: command::join(&self.workspace_id, base),
            workspace_name: text(&row["name"]),
            platform_url: base.to_string(),
            workspace_id: self.workspace_id,
            warnings,
        })
    }
}

/// Tell whether a remote agent is alive: how long ago the platform last heard of it, or, where it does not tell that, by its
/// status.
#[derive(Deserialize, JsonSchema)]
struct CheckRemoteAgentFreshness {
    workspace_id: WorkspaceId,
    /// How many seconds of silence are fine; 90 unless given.
    threshold_seconds: Option<u32>,
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Freshness {
    workspace_id: WorkspaceId,
    /// online, offline, paused, removed, ...
    // Of no type: a failure has a number there.
    #[schemars(with = "Value")]
    status: Option<String>,
    /// What runs it; external: someone's own computer.
    #[schemars(with = "Nullable<String>")]
    runtime: Option<String>,
    /// The last sign of life, where the platform tells it.
    #[schemars(with = "Nullable<String>")]
    last_heartbeat_at: Option<String>,
    /// Whole seconds since then.
    #[schemars(with = "Nullable<u64>")]
    seconds_since_heartbeat: Option<u64>,
    /// How many are fine.
    threshold_seconds: u32,
    /// It is alive.
    fresh: bool,
    /// What that is concluded from: heartbeat, or status (platforms call an agent offline after 60 to 90 s of silence).
    basis: &'static str,
}

impl Tool<Ops> for CheckRemoteAgentFreshness {
    const NAME: &'static str = "check_remote_agent_freshness";
    const EFFECT: Effect = Effect::READ;
    type Output = Freshness;

    async fn call(self, desk: &Ops, call: &Call) -> Result<Freshness, ToolError> {
        let row = row(&desk.errand(Self::NAME, call), &self.workspace_id).await?;
        let threshold = self.threshold_seconds.unwrap_or(90);
        Ok(Freshness::of(&row, self.workspace_id, threshold, Timestamp::now()))
    }
}

impl Freshness {
    fn of(row: &Value, workspace_id: WorkspaceId, threshold_seconds: u32, now: Timestamp) -> Self {
        let last_heartbeat_at = text(&row["last_heartbeat_at"]);
        let heard = last_heartbeat_at.as_deref().and_then(Timestamp::parse);
        let silent = heard.map(|heard| heard.until(now).as_secs());
        let status = text(&row["status"]);
        let is_reachable = matches!(status.as_deref(), Some("online" | "degraded"));
        let is_there = !matches!(status.as_deref(), Some("removed" | "paused"));
        Self {
            workspace_id,
            runtime: text(&row["runtime"]),
            last_heartbeat_at,
            seconds_since_heartbeat: silent,
            threshold_seconds,
            fresh: silent.map_or(is_reachable, |silent| {
                is_there && silent <= u64::from(threshold_seconds)
            }),
            basis: if silent.is_some() { "heartbeat" } else { "status" },
            status,
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests;
