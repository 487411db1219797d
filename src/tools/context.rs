//! What the tools of one workspace share.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::attachments::Attaching;
use super::desk::Ops;
use crate::config::{Card, Permission, Roles, RuntimeIdentity, Switch, Timing};
use crate::mcp::answer::ToolError;
use crate::platform::workspace::WorkspaceApi;
use crate::state::deafness;
use crate::state::health::{HealthBoard, Role, Trouble};
use crate::state::journal::Journal;
use crate::state::message::Message;
use crate::state::record::{HealthFile, SILENT_AFTER};
use crate::types::WorkspaceId;

/// Reads a row of the activity log of a workspace; `None`: it is no message. What a row means is the inbox's affair, so the
/// tools are given its reading instead of having one of their own.
pub type ReadRow = fn(&RawValue, &WorkspaceId) -> Option<Message>;

/// A workspace as its tools see it.
#[derive(Clone, Debug)]
pub struct Context {
    /// The platform, with the workspace's credential.
    pub api: WorkspaceApi,
    /// Messages and outgoing work.
    pub journal: Journal,
    /// What this process knows about its ability to receive.
    pub health: HealthBoard,
    /// What the holder of the duty knows, for a process that is not the holder.
    pub holder: HealthFile,
    /// The workspace itself.
    pub own: WorkspaceId,
    /// Off: nothing is received, and the inbox tools say so.
    pub inbox: Switch,
    /// How long `delegate_task` waits for a client that sees its progress.
    pub delegation_timeout: Duration,
    /// Which files may go with a message.
    pub attaching: Attaching,
    /// The intervals between two looks and two progress notes.
    pub timing: Timing,
    /// The agent card that the settings give.
    pub card: Card,
    /// What is said of the runtime behind the agent.
    pub identity: RuntimeIdentity,
    /// What the agent may do.
    pub roles: Roles,
    /// How rows of the activity log are read.
    pub read_row: ReadRow,
    /// Cancelled when this workspace alone was stopped, because the platform refused it.
    pub stopped: CancellationToken,
    /// For the tools that may name another workspace, whose platform may also be another.
    pub desk: Arc<Ops>,
}

impl Context {
    /// The workspace itself, unless it was stopped while others go on.
    ///
    /// # Errors
    /// Then, with the reason.
    pub(super) fn running(&self) -> Result<&Self, ToolError> {
        match self.stopped.is_cancelled() {
            false => Ok(self),
            true => Err(self.ended()),
        }
    }

    /// The workspace that an argument of a tool in two sets names, if it is another than ours.
    pub(super) fn other<'a>(&self, given: Option<&'a WorkspaceId>) -> Option<&'a WorkspaceId> {
        given.filter(|given| **given != self.own)
    }

    /// Refuses a tool that the agent's roles do not grant.
    ///
    /// # Errors
    /// Then.
    pub(super) fn check_role(&self, tool: &str, needed: Permission) -> Result<(), ToolError> {
        if self.roles.grant(needed) {
            return Ok(());
        }
        let (permission, roles) = (needed.as_str(), self.roles.names.join(", "));
        // The Python daemon's first words, which agents were told to look for.
        let detail = format!(
            "PERMISSION DENIED: {tool} needs the permission {permission}, which the roles of this agent do not grant: {roles}"
        );
        let hint = "leave it; only the operator can grant it, in config.yaml (rbac), which is read at the start";
        Err(ToolError::failed("PERMISSION_DENIED", detail, hint).with("permission", permission))
    }

    /// The error of a call that ends with the session.
    pub(super) fn ended(&self) -> ToolError {
        farewell(&self.health)
    }

    /// Why messages may be missed or late right now. Empty: they are not.
    pub(super) async fn deafness(&self) -> Vec<Trouble> {
        if self.inbox == Switch::Off {
            return vec![deafness::switched_off()];
        }
        let health = self.health.now();
        if self.stopped.is_cancelled() {
            return health.troubles().cloned().collect();
        }
        if health.reading != Role::Follower {
            return deafness::of(&health);
        }
        let (file, patience) = (self.holder.clone(), self.timing.of(SILENT_AFTER));
        let looked = tokio::task::spawn_blocking(move || {
            let told = file.read().filter(|(_, age)| *age <= patience);
            told.ok_or_else(|| file.try_out_folder().err())
        });
        match looked.await.unwrap_or(Err(None)) {
            Ok((health, _)) => deafness::of(&health),
            Err(refused) => vec![deafness::silence(refused.as_ref())],
        }
    }
}

/// The error of a call that ends with the session: the remedy, when the session ends because of a trouble.
pub(super) fn farewell(health: &HealthBoard) -> ToolError {
    let health = health.now();
    let trouble = health
        .register_trouble
        .or(health.read_trouble)
        .or(health.journal_trouble);
    match trouble {
        Some(trouble) => ToolError::failed(trouble.code, trouble.what, trouble.remedy),
        None => ToolError::Ended,
    }
}
