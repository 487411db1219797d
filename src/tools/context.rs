//! What the tools of one workspace share.

use std::time::Duration;

use crate::config::{Switch, Timing};
use crate::mcp::answer::ToolError;
use crate::platform::workspace::WorkspaceApi;
use crate::state::health::{Duty, Health, HealthBoard, Trouble};
use crate::state::journal::Journal;
use crate::types::{Timestamp, WorkspaceId};

/// A workspace as its tools see it.
#[derive(Clone, Debug)]
pub struct Context {
    /// The platform, with the workspace's credential.
    pub api: WorkspaceApi,
    /// Messages and outgoing work.
    pub journal: Journal,
    /// What this process knows about its ability to receive.
    pub health: HealthBoard,
    /// The workspace itself.
    pub own: WorkspaceId,
    /// Off: nothing is received, and the inbox tools say so.
    pub inbox: Switch,
    /// How long `delegate_task` waits for a client that sees its progress.
    pub delegation_timeout: Duration,
    /// The intervals between two looks and two progress notes.
    pub timing: Timing,
}

impl Context {
    /// How long the holder of the duties may be silent before a follower calls itself deaf: three slow polls.
    const PATIENCE: Duration = Duration::from_secs(90);

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
        let health = self.health.now();
        let last_poll = match health.duty {
            // A failing journal is itself a reason, and told as one.
            Duty::Follower => self.journal.last_poll().await.ok().flatten(),
            _ => None,
        };
        deafness(&health, last_poll, Timestamp::now(), self.timing.of(Self::PATIENCE))
    }
}

fn deafness(health: &Health, last_poll: Option<Timestamp>, now: Timestamp, patience: Duration) -> Vec<Trouble> {
    let trouble = |code: &str, what: &str, remedy: &str| Trouble {
        code: code.to_owned(),
        what: what.to_owned(),
        remedy: remedy.to_owned(),
    };
    let mut troubles: Vec<_> = health.troubles().cloned().collect();
    match health.duty {
        Duty::Follower => {
            if last_poll.is_some_and(|at| at.until(now) <= patience) && !health.removed {
                return Vec::new();
            }
            troubles.push(trouble(
                "HOLDER_SILENT",
                "another molecule-mcp of this computer receives for this workspace and makes no progress",
                "look at the log of the other process, or end it: this one then takes over",
            ));
        }
        _ if health.can_receive() => return Vec::new(),
        _ if troubles.is_empty() && health.removed => troubles.push(trouble(
            "WORKSPACE_REMOVED",
            "this workspace was deleted on the platform",
            "create a new workspace and configure its id and token",
        )),
        _ if troubles.is_empty() => troubles.push(trouble(
            "NOT_YET_RECEIVING",
            "the inbox has not been read successfully yet",
            "wait a moment; if it stays so, check PLATFORM_URL, the token and the log on stderr",
        )),
        _ => {}
    }
    troubles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(health: &Health, last_poll: Option<i64>) -> Vec<String> {
        let now = Timestamp(1_000_000_000);
        let last_poll = last_poll.map(|secs| now.plus_micros(-secs * 1_000_000));
        let troubles = deafness(health, last_poll, now, Context::PATIENCE);
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
        let follower = Health {
            duty: Duty::Follower,
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
        assert_eq!(codes(&holder, None), none);
        assert_eq!(codes(&beatless, None), none);
        assert_eq!(codes(&unreadable, None), ["R", "B"]);
        assert_eq!(codes(&removed, None), ["WORKSPACE_REMOVED"]);
        assert_eq!(codes(&fresh, None), ["NOT_YET_RECEIVING"]);
        assert_eq!(codes(&follower, Some(30)), none);
        assert_eq!(codes(&follower, Some(91)), ["HOLDER_SILENT"]);
        assert_eq!(codes(&follower, None), ["HOLDER_SILENT"]);
    }
}
