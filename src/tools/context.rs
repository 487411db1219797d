//! What the tools of one workspace share.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::config::{Card, RuntimeIdentity, Switch, Timing};
use crate::mcp::answer::ToolError;
use crate::platform::workspace::WorkspaceApi;
use crate::state::health::{Duty, Health, HealthBoard, Trouble};
use crate::state::journal::Journal;
use crate::state::message::Message;
use crate::state::record::{HealthFile, RENEW_EVERY};
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
    /// The intervals between two looks and two progress notes.
    pub timing: Timing,
    /// The agent card that the settings give.
    pub card: Card,
    /// What is said of the runtime behind the agent.
    pub identity: RuntimeIdentity,
    /// How rows of the activity log are read.
    pub read_row: ReadRow,
}

impl Context {
    /// How long the holder of the duty may be silent before a follower says so.
    const PATIENCE: Duration = Duration::from_secs(3 * RENEW_EVERY.as_secs());

    /// Refuses a routing argument of the multi-workspace daemon that names another workspace than ours.
    ///
    /// # Errors
    /// Then.
    pub(super) fn check_route(&self, argument: &str, given: Option<&WorkspaceId>) -> Result<(), ToolError> {
        match given {
            Some(given) if *given != self.own => Err(ToolError::argument(
                argument,
                "must be this daemon's own workspace, or be left out",
            )),
            _ => Ok(()),
        }
    }

    /// The error of a call that ends with the session: the remedy, when the session ends because of a trouble.
    pub(super) fn ended(&self) -> ToolError {
        let health = self.health.now();
        match health.register_trouble.or(health.read_trouble) {
            Some(trouble) => ToolError::failed(trouble.code, trouble.what, trouble.remedy),
            None => ToolError::Ended,
        }
    }

    /// Why messages may be missed right now. Empty: they are not.
    pub(super) async fn deafness(&self) -> Vec<Trouble> {
        if self.inbox == Switch::Off {
            return vec![trouble(
                "INBOX_OFF",
                "receiving is switched off for this daemon, so messages and answers of polling peers do not arrive",
                "remove MOLECULE_MCP_DISABLE_INBOX from its environment and start it again",
            )];
        }
        let health = self.health.now();
        if health.duty != Duty::Follower {
            return deafness(&health);
        }
        let file = self.holder.clone();
        let record = tokio::task::spawn_blocking(move || file.read()).await.ok().flatten();
        deafness_of_follower(record.as_ref(), self.timing.of(Self::PATIENCE))
    }
}

fn trouble(code: &str, what: &str, remedy: &str) -> Trouble {
    Trouble {
        code: code.to_owned(),
        what: what.to_owned(),
        remedy: remedy.to_owned(),
    }
}

/// A follower receives what its holder receives, as long as that one makes progress.
fn deafness_of_follower(record: Option<&(Health, Duration)>, patience: Duration) -> Vec<Trouble> {
    match record {
        Some((health, age)) if *age <= patience => deafness(health),
        _ => vec![trouble(
            "HOLDER_SILENT",
            "another molecule-mcp of this computer receives for this workspace and makes no progress",
            "look at the log of the other process, continue it if it was stopped, or end it: this one then takes over",
        )],
    }
}

fn deafness(health: &Health) -> Vec<Trouble> {
    if health.can_receive() {
        return Vec::new();
    }
    let mut troubles: Vec<_> = health.troubles().cloned().collect();
    if troubles.is_empty() {
        troubles.push(if health.removed {
            trouble(
                "WORKSPACE_REMOVED",
                "this workspace was deleted on the platform",
                "create a new workspace and configure its id and token",
            )
        } else {
            trouble(
                "NOT_YET_RECEIVING",
                "the inbox has not been read successfully yet",
                "wait a moment; if it stays so, check PLATFORM_URL, the token and the log on stderr",
            )
        });
    }
    troubles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    fn codes(troubles: Vec<Trouble>) -> Vec<String> {
        troubles.into_iter().map(|trouble| trouble.code).collect()
    }

    #[test]
    fn deafness_is_told_with_its_reason_and_only_when_it_is_there() {
        let trouble = |code: &str| {
            Some(Trouble {
                code: code.to_owned(),
                what: String::new(),
                remedy: String::new(),
            })
        };
        let holder = Health {
            duty: Duty::Holder,
            read: Some(Timestamp(1)),
            ..Health::default()
        };
        let beatless = Health {
            beat_trouble: trouble("B"),
            ..holder.clone()
        };
        let unreadable = Health {
            read_trouble: trouble("R"),
            ..beatless.clone()
        };
        let removed = Health {
            removed: true,
            ..holder.clone()
        };
        let fresh = Health {
            read: None,
            ..holder.clone()
        };
        let none: [&str; 0] = [];
        for (health, expected) in [
            (&holder, &none[..]),
            (&beatless, &none[..]),
            (&unreadable, &["R", "B"][..]),
            (&removed, &["WORKSPACE_REMOVED"][..]),
            (&fresh, &["NOT_YET_RECEIVING"][..]),
        ] {
            assert_eq!(codes(deafness(health)), expected);
            let told = |age| codes(deafness_of_follower(Some(&(health.clone(), age)), Context::PATIENCE));
            assert_eq!(told(Duration::from_secs(45)), expected);
            assert_eq!(told(Duration::from_secs(46)), ["HOLDER_SILENT"]);
        }
        assert_eq!(codes(deafness_of_follower(None, Context::PATIENCE)), ["HOLDER_SILENT"]);
    }
}
