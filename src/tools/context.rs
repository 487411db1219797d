//! What the tools of one workspace share.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::attachments::Attaching;
use super::desk::Ops;
use crate::config::{Card, RuntimeIdentity, Switch, Timing};
use crate::mcp::answer::ToolError;
use crate::platform::workspace::WorkspaceApi;
use crate::state::health::{Health, HealthBoard, JOURNAL_ERROR, Role, Trouble};
use crate::state::journal::Journal;
use crate::state::message::Message;
use crate::state::obstacle::Obstacle;
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
    /// How rows of the activity log are read.
    pub read_row: ReadRow,
    /// Cancelled when this workspace alone was stopped, because the platform refused it.
    pub stopped: CancellationToken,
    /// For the tools that may name another workspace, whose platform may also be another.
    pub desk: Arc<Ops>,
}

impl Context {
    /// How long the holder of the duty may be silent before a follower says so.
    const PATIENCE: Duration = SILENT_AFTER;

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

    /// The error of a call that ends with the session.
    pub(super) fn ended(&self) -> ToolError {
        farewell(&self.health)
    }

    /// Why messages may be missed or late right now. Empty: they are not.
    pub(super) async fn deafness(&self) -> Vec<Trouble> {
        if self.inbox == Switch::Off {
            return vec![trouble(
                "INBOX_OFF",
                "receiving is switched off for this daemon, so messages and answers of polling peers do not arrive",
                "remove MOLECULE_MCP_DISABLE_INBOX from its environment and start it again",
            )];
        }
        let health = self.health.now();
        if self.stopped.is_cancelled() {
            return health.troubles().cloned().collect();
        }
        if health.reading != Role::Follower {
            return deafness(&health);
        }
        let (file, patience) = (self.holder.clone(), self.timing.of(Self::PATIENCE));
        let looked = tokio::task::spawn_blocking(move || {
            let told = current(file.read(), patience);
            told.ok_or_else(|| file.try_out_folder().err())
        });
        match looked.await.unwrap_or(Err(None)) {
            Ok(health) => deafness(&health),
            Err(refused) => vec![silence(refused.as_ref())],
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

fn trouble(code: &str, what: &str, remedy: &str) -> Trouble {
    Trouble {
        code: code.to_owned(),
        what: what.to_owned(),
        remedy: remedy.to_owned(),
    }
}

/// What a holder says that makes progress: one that does says so again and again.
fn current(record: Option<(Health, Duration)>, patience: Duration) -> Option<Health> {
    record.filter(|(_, age)| *age <= patience).map(|(health, _)| health)
}

/// Why a holder says nothing of how it goes. `refused`: why nobody could say anything in this folder.
fn silence(refused: Option<&io::Error>) -> Trouble {
    let Some(error) = refused else {
        return trouble(
            "HOLDER_SILENT",
            "another molecule-mcp of this computer receives for this workspace and makes no progress",
            "look at the log of the other process, continue it if it was stopped, or end it: this one then takes over",
        );
    };
    let what = format!(
        "the state folder takes nothing ({error}), so the molecule-mcp that receives for this workspace can store no messages \
         and cannot say how it goes"
    );
    let remedy = Obstacle::of(error).remedy();
    trouble(
        JOURNAL_ERROR,
        &what,
        &format!("{remedy}. The platform keeps the messages meanwhile"),
    )
}

fn deafness(health: &Health) -> Vec<Trouble> {
    if health.can_receive() {
        let partly = [&health.disk_trouble, &health.beside_trouble];
        return partly.into_iter().flatten().cloned().collect();
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
            reading: Role::Holder,
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
        let slow = Health {
            disk_trouble: trouble("D"),
            ..holder.clone()
        };
        let unasked = Health {
            beside_trouble: trouble("Q"),
            ..slow.clone()
        };
        let unkept = Health {
            journal_trouble: trouble("J"),
            ..slow.clone()
        };
        let none: [&str; 0] = [];
        for (health, expected) in [
            (&holder, &none[..]),
            (&beatless, &none[..]),
            (&slow, &["D"][..]),
            (&unasked, &["D", "Q"][..]),
            (&unkept, &["J", "D"][..]),
            (&unreadable, &["R", "B"][..]),
            (&removed, &["WORKSPACE_REMOVED"][..]),
            (&fresh, &["NOT_YET_RECEIVING"][..]),
        ] {
            assert_eq!(codes(deafness(health)), expected);
        }
    }

    #[test]
    fn a_holder_is_called_silent_only_where_it_could_have_spoken() {
        let told = |secs| current(Some((Health::default(), Duration::from_secs(secs))), Context::PATIENCE);
        assert!(told(45).is_some() && told(46).is_none());
        assert_eq!(current(None, Context::PATIENCE), None);
        assert_eq!(silence(None).code, "HOLDER_SILENT");
        let told = silence(Some(&io::ErrorKind::StorageFull.into()));
        assert_eq!(told.code, "JOURNAL_ERROR");
        assert!(told.remedy.contains("free space"), "{}", told.remedy);
    }
}
