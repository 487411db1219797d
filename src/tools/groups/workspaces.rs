//! Workspaces: making, looking at, changing, stopping and removing them.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Groups;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Nullable, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::{Get, Patch, Post};
use crate::tools::desk::plain::{Answer, Plain, Plan, RegisterPlain};
use crate::tools::desk::{Errand, Management, Ops, Shared, Told};
use crate::types::WorkspaceId;

pub(super) mod creation;
pub(super) mod removal;

use removal::Removal;

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools.ops.plain::<UpdateWorkspace>();
    tools.ops.add::<creation::CreateWorkspace>().add::<DeleteWorkspace>();
    tools
        .shared
        .plain::<ListWorkspaces>()
        .plain::<GetWorkspace>()
        .plain::<RestartWorkspace>()
        .plain::<PauseWorkspace>()
        .plain::<ResumeWorkspace>();
    tools.management.add::<DeprovisionWorkspace>();
}

/// List all workspaces that are not removed: id, name, role, tier, status, parent, agent card, load, runtime and more.
#[derive(Deserialize, JsonSchema)]
struct ListWorkspaces {}

impl Plain<Shared> for ListWorkspaces {
    const NAME: &'static str = "list_workspaces";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("workspaces");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::admin(Get, ["workspaces".into()]).into())
    }
}

/// Look at one workspace: name, status, role, tier, parent, runtime, agent card, load.
#[derive(Deserialize, JsonSchema)]
struct GetWorkspace {
    workspace_id: WorkspaceId,
    /// Also show a workspace that was removed.
    include_removed: Option<bool>,
}

impl Plain<Shared> for GetWorkspace {
    const NAME: &'static str = "get_workspace";
    const EFFECT: Effect = Effect::READ;
    fn plan(self) -> Result<Plan, ToolError> {
        let order = Order::open(Get, ["workspaces".into(), (&self.workspace_id).into()]);
        Ok(order
            .query("include_removed", self.include_removed.filter(|wanted| *wanted))
            .into())
    }
}

/// Change a workspace's name, role, tier, parent or place on the canvas. What is left out stays as it is.
#[derive(Deserialize, JsonSchema)]
struct UpdateWorkspace {
    workspace_id: WorkspaceId,
    /// New display name.
    name: Option<String>,
    /// New role, free text.
    role: Option<String>,
    /// New tier, 1 to 4.
    #[schemars(range(min = 1, max = 4))]
    tier: Option<u8>,
    /// New parent; null makes it a root, which newer platforms refuse. They also take no new name in the same call.
    #[serde(default)]
    parent_id: Nullable<WorkspaceId>,
    /// New place on the canvas; needs y too.
    x: Option<f64>,
    /// New place on the canvas; needs x too.
    y: Option<f64>,
}

impl Plain<Ops> for UpdateWorkspace {
    const NAME: &'static str = "update_workspace";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        if self.x.is_some() != self.y.is_some() {
            return Err(ToolError::argument("x", "and `y` go together"));
        }
        check_tier(self.tier)?;
        let mut body = given([
            ("name", self.name.map(Value::from)),
            ("role", self.role.map(Value::from)),
            ("tier", self.tier.map(Value::from)),
            ("x", self.x.map(Value::from)),
            ("y", self.y.map(Value::from)),
        ]);
        if let Some(parent) = self.parent_id.given() {
            body.insert("parent_id".to_owned(), json!(parent));
        }
        if body.is_empty() {
            return Err(ToolError::argument("name", "or another change is required"));
        }
        let order = Order::workspace(Patch, &self.workspace_id, []);
        Ok(order.body(Value::Object(body)).into())
    }
}

/// Stop a workspace's runtime and start it again with its present configuration.
#[derive(Deserialize, JsonSchema)]
struct RestartWorkspace {
    workspace_id: WorkspaceId,
}

impl Plain<Shared> for RestartWorkspace {
    const NAME: &'static str = "restart_workspace";
    const EFFECT: Effect = Effect::WRITE;
    fn plan(self) -> Result<Plan, ToolError> {
        let order = Order::workspace(Post, &self.workspace_id, ["restart".into()]).body(json!({}));
        Ok(Plan::from(order).advising(503, NO_PROVISIONER))
    }
}

/// Pause a workspace and those below it. It keeps its configuration; its schedules stop until it is resumed.
#[derive(Deserialize, JsonSchema)]
struct PauseWorkspace {
    workspace_id: WorkspaceId,
    /// Also pause those below it; newer platforms want this said.
    cascade: Option<bool>,
}

impl Plain<Shared> for PauseWorkspace {
    const NAME: &'static str = "pause_workspace";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(cascading(&self.workspace_id, "pause", self.cascade))
    }
}

/// Start a paused workspace again. An external one may count as failed afterwards (platforms of May 2026), until its agent
/// registers: start its daemon anew.
#[derive(Deserialize, JsonSchema)]
struct ResumeWorkspace {
    workspace_id: WorkspaceId,
    /// Also resume those below it; newer platforms want this said.
    cascade: Option<bool>,
}

impl Plain<Shared> for ResumeWorkspace {
    const NAME: &'static str = "resume_workspace";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(cascading(&self.workspace_id, "resume", self.cascade).advising(503, NO_PROVISIONER))
    }
}

const NO_PROVISIONER: &str = "this platform has nothing to run workspaces with; an external workspace comes back by itself \
    when its agent registers";

/// Pausing and resuming, which differ in one word.
fn cascading(id: &WorkspaceId, what: &'static str, cascade: Option<bool>) -> Plan {
    let order = Order::workspace(Post, id, [what.into()])
        .query("cascade", cascade.filter(|wanted| *wanted))
        .body(json!({}));
    Plan::from(order)
        .advising(
            404,
            "there is no such workspace, or it is paused, or not paused, already: get_workspace tells its status",
        )
        .advising(
            409,
            "see detail and body: either a workspace above is paused and comes first, or others below would be changed \
             too, which cascade: true allows",
        )
}

/// Delete a workspace and all workspaces below it, for good. With others below it, or where the platform wants it
/// confirmed, nothing happens unless confirm is true or the person agrees.
#[derive(Deserialize, JsonSchema)]
struct DeleteWorkspace {
    workspace_id: WorkspaceId,
    /// Its exact name, as a safeguard: with another name nothing happens.
    confirm_name: Option<String>,
    /// Yes, delete it, and those below it.
    confirm: Option<bool>,
}

impl Tool<Ops> for DeleteWorkspace {
    const NAME: &'static str = "delete_workspace";
    const EFFECT: Effect = Effect::DESTROY.idempotent();
    type Output = Told;

    async fn call(self, desk: &Ops, call: &Call) -> Result<Told, ToolError> {
        self.carry_out(&desk.errand(Self::NAME, call)).await
    }
}

impl DeleteWorkspace {
    async fn carry_out(self, errand: &Errand<'_>) -> Result<Told, ToolError> {
        let removal = Removal::of(self.workspace_id, self.confirm, self.confirm_name);
        removal.carry_out(errand).await.map(Told)
    }
}

/// Delete a workspace and all workspaces below it, for good. With others below it, or where the platform wants it
/// confirmed, nothing happens unless confirm is true or the person agrees.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct DeprovisionWorkspace(DeleteWorkspace);

impl Tool<Management> for DeprovisionWorkspace {
    const NAME: &'static str = "deprovision_workspace";
    const EFFECT: Effect = Effect::DESTROY.idempotent();
    type Output = Told;

    async fn call(self, desk: &Management, call: &Call) -> Result<Told, ToolError> {
        self.0.carry_out(&desk.errand(Self::NAME, call)).await
    }
}

/// The fields that were given.
pub(super) fn given<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let given = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    given.collect()
}

pub(super) fn check_tier(tier: Option<u8>) -> Result<(), ToolError> {
    match tier {
        None | Some(1..=4) => Ok(()),
        Some(_) => Err(ToolError::argument("tier", "must be an integer from 1 to 4")),
    }
}

#[cfg(test)]
mod tests;
