//! Asking how far a delegation is: what the outbox knows, completed by what the platform lists.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listed::{Line, Listed, complete, merge};
use super::outcome::{Delegation, Status};
use crate::config::Permission;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Registry, Tool};
use crate::platform::error::CallError;
use crate::tools::context::Context;
use crate::tools::workspaces::Workspaces;
use crate::types::WorkspaceId;

/// Adds the tool of this file.
pub(super) fn register(tools: &mut Registry<Workspaces>) {
    tools.add::<CheckTaskStatus>();
}

/// How far a delegation is, with the answer when there is one. With an empty task_id: the latest delegations.
#[derive(Deserialize, JsonSchema)]
struct CheckTaskStatus {
    /// The handle or delegation_id that delegate_task or delegate_task_async returned. Empty: list them.
    #[serde(default)]
    task_id: String,
    /// Not needed.
    #[serde(rename = "workspace_id")]
    _workspace_id: Option<String>,
    /// Which workspace of this daemon acts: needed only where it serves several.
    source_workspace_id: Option<WorkspaceId>,
    /// Where the text of a long answer goes on: the next_offset of the result before.
    offset: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct TaskStatus {
    #[serde(flatten)]
    one: Option<Delegation>,
    /// The latest delegations, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    delegations: Option<Vec<Line>>,
    /// How many are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    /// Why the platform's own list is missing, when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
}

impl Tool<Workspaces> for CheckTaskStatus {
    const NAME: &'static str = "check_task_status";
    const EFFECT: Effect = Effect::READ;
    type Output = TaskStatus;

    async fn call(self, all: &Workspaces, _: &Call) -> Result<TaskStatus, ToolError> {
        all.check_role(Self::NAME, Permission::Delegate)?;
        let id = self.task_id.trim();
        let given = self.source_workspace_id.as_ref();
        let sender = match given {
            None if !id.is_empty() => all.sender_of(id).await?,
            _ => None,
        };
        let context = match sender {
            Some(sender) => sender.running()?,
            None => all.one("source_workspace_id", given)?,
        };
        if id.is_empty() {
            return list(context).await;
        }
        let offset = usize::try_from(self.offset.unwrap_or(0)).unwrap_or(usize::MAX);
        Ok(TaskStatus {
            one: Some(one(context, id, offset).await?),
            delegations: None,
            count: None,
            platform: None,
        })
    }
}

async fn list(context: &Context) -> Result<TaskStatus, ToolError> {
    const LISTED: usize = 10;
    let items = context.journal.recent_delegations(LISTED as u32).await?;
    let rows = context.api.delegations().await;
    if let (true, Err(error)) = (items.is_empty(), &rows) {
        return Err(error.clone().into());
    }
    let mut lines = merge(&items, rows.as_deref().unwrap_or_default());
    lines.truncate(LISTED);
    Ok(TaskStatus {
        one: None,
        count: Some(lines.len()),
        delegations: Some(lines),
        platform: rows.err().map(|error| error.to_string()),
    })
}

async fn one(context: &Context, id: &str, offset: usize) -> Result<Delegation, ToolError> {
    let item = context.journal.outbox_item(id).await?;
    let known = item.as_ref().map(|item| Delegation::known(item, offset));
    let settled = |known: &Delegation| !known.status.is_open() && known.status != Status::Unknown;
    if let Some(known) = known.clone().filter(settled) {
        return Ok(known);
    }
    let Some(delegation_id) = (match &item {
        Some(item) => item.delegation_id.clone(),
        None => Some(id.to_owned()),
    }) else {
        // The platform has not named it yet, so there is nothing to ask for.
        return Ok(known.unwrap_or_else(|| Delegation::with_status(Status::NotFound)));
    };
    let rows = match (context.api.delegations().await, &known) {
        (Ok(rows), _) => rows,
        (Err(error), None) => return Err(error.into()),
        (Err(error), Some(known)) => return Ok(unasked(known.clone(), &error)),
    };
    let rows: Vec<_> = rows
        .iter()
        .filter(|row| row.delegation_id.as_deref() == Some(&delegation_id))
        .collect();
    let listed = Listed::of(&rows);
    let mut text = None;
    if let Some(Listed {
        status: Status::Answered,
        preview,
        ..
    }) = &listed
    {
        // The list holds 300 bytes of it at most.
        text = context
            .api
            .delegation_text(&delegation_id)
            .await
            .unwrap_or(None)
            .or_else(|| preview.clone());
    }
    Ok(complete(known, listed, text.as_deref(), &delegation_id, offset))
}

fn unasked(mut known: Delegation, error: &CallError) -> Delegation {
    known.detail = Some(format!("the platform could not be asked just now: {error}"));
    known
}
