//! Giving work to peers: written into the outbox before it is sent, so that it is sent once and its outcome is known.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::context::Context;
use super::paging::check_text;
use super::waiting::{Wait, Waited};
use super::workspaces::Workspaces;
use crate::config::{Permission, Switch};
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Registry, Tool};
use crate::platform::wire::Existence;
use crate::state::message::Entry;
use crate::state::outbox::{Enqueued, Item, Progress, Work};
use crate::types::{PeerId, WorkspaceId};
pub(super) use outcome::Delegation;
use outcome::Status;

mod listed;
mod outcome;
mod status;

/// Adds the tools of this file and of its submodules.
pub(super) fn register(tools: &mut Registry<Workspaces>) {
    tools.add::<DelegateTask>().add::<DelegateTaskAsync>();
    status::register(tools);
}

/// Give a task to a peer and wait for its answer. When the time runs out first, that is no failure: the result says how
/// far the task is, do not send it again, and the answer arrives in the inbox.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct DelegateTask {
    order: Order,
}

impl Tool<Workspaces> for DelegateTask {
    const NAME: &'static str = "delegate_task";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Delegation;

    async fn call(self, all: &Workspaces, call: &Call) -> Result<Delegation, ToolError> {
        all.check_role(Self::NAME, Permission::Delegate)?;
        let context = self.order.sender(all).await?;
        let limit = patience(call.shows_progress(), context.delegation_timeout);
        let started = self.order.place(context, call).await?;
        // From now on an answer that arrives is this call's, and not offered to a waiting wait_for_message.
        let _awaited = context.journal.await_answer(&started.item.id).await?;
        let wait = Wait::new(context, call, limit, "waiting for the peer's answer");
        let answer = match wait.until(|| look(context, &started.item)).await? {
            Waited::Ready(answer) => answer,
            Waited::TimedOut | Waited::Ended => Answer::Known(reread(context, started.item).await?),
        };
        let mut delegation = match answer {
            Answer::Known(item) => {
                settle(context, call, &item).await;
                Delegation::of_order(&item, 0, started.repeated)?
            }
            Answer::Maybe(item, entry) => Delegation::of(&item, 0)?.maybe_answered_by(&entry),
        };
        warn(context, &mut delegation).await;
        Ok(delegation.repeated(started.repeated))
    }
}

/// Give a task to a peer without waiting for its answer, which arrives in the inbox; check_task_status tells how far it
/// is.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct DelegateTaskAsync {
    order: Order,
}

impl Tool<Workspaces> for DelegateTaskAsync {
    const NAME: &'static str = "delegate_task_async";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Delegation;

    async fn call(self, all: &Workspaces, call: &Call) -> Result<Delegation, ToolError> {
        all.check_role(Self::NAME, Permission::Delegate)?;
        /// A look-up at the platform may take 10 s.
        const ACCEPTANCE: Duration = Duration::from_secs(12);
        let context = self.order.sender(all).await?;
        let started = self.order.place(context, call).await?;
        // A refusal is this call's to tell.
        let _awaited = context.journal.await_answer(&started.item.id).await?;
        let wait = Wait::new(context, call, ACCEPTANCE, "waiting for the platform to accept the task");
        let accepted = || async {
            let item = context.journal.outbox_item(&started.item.id).await?;
            Ok(item.filter(|item| item.progress != Progress::Pending))
        };
        let item = match wait.until(accepted).await? {
            Waited::Ready(item) => item,
            Waited::TimedOut | Waited::Ended => reread(context, started.item).await?,
        };
        settle(context, call, &item).await;
        let mut delegation = Delegation::of_order(&item, 0, started.repeated)?;
        if matches!(delegation.status, Status::Queued | Status::Delivered) {
            delegation.status = Status::Delegated;
        }
        warn(context, &mut delegation).await;
        Ok(delegation)
    }
}

/// How long `delegate_task` waits. A client that sees no progress may give a call up after 60 s.
fn patience(shows_progress: bool, configured: Duration) -> Duration {
    const UNSEEN: Duration = Duration::from_secs(50);
    if shows_progress {
        configured
    } else {
        configured.min(UNSEEN)
    }
}

/// A task for a peer, before anything is written down.
#[derive(Deserialize, JsonSchema)]
struct Order {
    /// The peer, as list_peers shows it.
    #[serde(rename = "workspace_id")]
    target: PeerId,
    /// What to do, with everything the peer needs to know: it sees nothing else of this conversation.
    task: String,
    /// Which workspace of this daemon acts: needed only where it serves several.
    #[serde(rename = "source_workspace_id")]
    source: Option<WorkspaceId>,
    /// A new value sends a task anew that was already sent with the same words; otherwise leave it out.
    request_id: Option<String>,
}

/// A task that is in the outbox.
struct Started {
    item: Item,
    repeated: bool,
}

impl Order {
    /// The workspace that gives the task.
    async fn sender<'a>(&self, all: &'a Workspaces) -> Result<&'a Context, ToolError> {
        all.to_peer("source_workspace_id", self.source.as_ref(), &self.target)
            .await
    }

    async fn place(self, context: &Context, call: &Call) -> Result<Started, ToolError> {
        self.check(&context.own)?;
        // The platform takes work for a target that is gone and answers as if all were well.
        let existence = tokio::select! {
            existence = context.api.existence_of(&self.target) => existence,
            () = call.ended() => return Err(context.ended()),
        };
        match existence {
            Ok(existence) => refuse_missing(&existence)?,
            // Not knowing is no reason to refuse: the outbox keeps the task until it can be sent.
            Err(error) => tracing::debug!(%error, "the target of a delegation could not be looked up"),
        }
        let work = Work::Delegate {
            target: self.target,
            task: self.task,
        };
        Ok(match context.journal.enqueue(work, None, self.request_id).await? {
            Enqueued::New(item) => Started { item, repeated: false },
            Enqueued::Existing(item) => Started { item, repeated: true },
        })
    }

    fn check(&self, own: &WorkspaceId) -> Result<(), ToolError> {
        check_text("task", &self.task)?;
        if self
            .request_id
            .as_ref()
            .is_some_and(|id| !(1..=128).contains(&id.len()))
        {
            return Err(ToolError::argument("request_id", "must be 1 to 128 bytes long"));
        }
        if self.target.as_str() == own.as_str() {
            return Err(ToolError::failed(
                "SELF_DELEGATION",
                "this is your own workspace; nothing was sent",
                "do the task yourself, or choose a peer from list_peers",
            ));
        }
        Ok(())
    }
}

/// Refuses what is addressed to a workspace that is gone: the platform would take it as if all were well.
///
/// # Errors
/// Then.
pub(super) fn refuse_missing(existence: &Existence) -> Result<(), ToolError> {
    let hint = "nothing was sent; list_peers shows whom you can reach";
    match existence {
        Existence::Known(_) => Ok(()),
        Existence::Unknown => Err(ToolError::failed(
            "TARGET_UNKNOWN",
            "the platform knows no such workspace",
            hint,
        )),
        Existence::Removed(_) => Err(ToolError::failed("TARGET_REMOVED", "this workspace was deleted", hint)),
    }
}

/// What there is to return.
enum Answer {
    /// What the outbox knows, an answer or none.
    Known(Item),
    /// The target sent a plain message that may be the answer.
    Maybe(Item, Box<Entry>),
}

async fn look(context: &Context, started: &Item) -> Result<Option<Answer>, ToolError> {
    let item = reread(context, started.clone()).await?;
    if item.progress.is_final() {
        return Ok(Some(Answer::Known(item)));
    }
    let (Work::Delegate { target, .. }, Some(delegation_id)) = (&item.work, &item.delegation_id) else {
        return Ok(None);
    };
    let maybe = context.journal.maybe_reply(delegation_id, target, item.created).await?;
    Ok(maybe.map(|entry| Answer::Maybe(item.clone(), Box::new(entry))))
}

/// Says why an answer that is still to come may be missed.
async fn warn(context: &Context, delegation: &mut Delegation) {
    if delegation.status.is_open() {
        delegation.health = context.deafness().await;
        if context.inbox == Switch::Off {
            delegation.heard_nowhere();
        }
    }
}

/// Acknowledges the message that tells what this call returns.
async fn settle(context: &Context, call: &Call, item: &Item) {
    if !call.has_ended()
        && let Some(activity) = &item.answer_activity
        && let Err(error) = context.journal.settle_answer(&item.id, activity).await
    {
        // The answer is handed out all the same; it will be offered once more.
        tracing::warn!(%error, "an answer that was handed out could not be acknowledged");
    }
}

async fn reread(context: &Context, item: Item) -> Result<Item, ToolError> {
    Ok(context.journal.outbox_item(&item.id).await?.unwrap_or(item))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const PEER: &str = "5f0c1d2e-0000-4000-8000-000000000001";

    fn refusal(target: &str, task: &str, request_id: Option<&str>) -> Option<String> {
        let order = Order {
            target: PeerId::parse(target).unwrap(),
            task: task.to_owned(),
            source: None,
            request_id: request_id.map(str::to_owned),
        };
        let own = WorkspaceId::parse("5F0C1D2E-0000-4000-8000-00000000000A").unwrap();
        order.check(&own).err().map(|error| error.code().to_owned())
    }

    #[test]
    fn what_could_only_fail_is_refused_before_anything_is_written() {
        let own = "5F0C1D2E-0000-4000-8000-00000000000a";
        let long = "x".repeat(129);
        for (target, task, request_id, expected) in [
            (PEER, "build it", None, None),
            (PEER, "build it", Some("again"), None),
            (own, "build it", None, Some("SELF_DELEGATION")),
            (PEER, "  ", None, Some("INVALID_ARGUMENT")),
            (PEER, "build it", Some(""), Some("INVALID_ARGUMENT")),
            (PEER, "build it", Some(long.as_str()), Some("INVALID_ARGUMENT")),
        ] {
            assert_eq!(
                refusal(target, task, request_id).as_deref(),
                expected,
                "{target} {task}"
            );
        }
    }

    #[test]
    fn a_target_that_is_gone_is_refused() {
        let code = |existence| refuse_missing(&existence).err().map(|error| error.code().to_owned());
        assert_eq!(code(Existence::Known(Value::Null)), None);
        assert_eq!(code(Existence::Unknown).as_deref(), Some("TARGET_UNKNOWN"));
        assert_eq!(code(Existence::Removed(Value::Null)).as_deref(), Some("TARGET_REMOVED"));
    }

    #[test]
    fn a_client_without_progress_is_answered_before_it_gives_up() {
        let secs = |shows, configured| patience(shows, Duration::from_secs(configured)).as_secs();
        assert_eq!((secs(true, 300), secs(false, 300), secs(false, 20)), (300, 50, 20));
    }
}
