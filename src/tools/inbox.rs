//! The inbox: what people and peers sent, until it is acknowledged.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value};

use super::message::MessageView;
use super::paging::{LIST_LIMIT, TEXT_LIMIT, size};
use super::waiting::{Wait, Waited};
use super::workspaces::Workspaces;
use crate::config::Switch;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Registry, Tool};
use crate::state::health::Trouble;
use crate::state::journal::{Counts, Popped};
use crate::state::message::{Entry, State};
use crate::types::ActivityId;

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Registry<Workspaces>) {
    tools.add::<WaitForMessage>().add::<InboxPeek>().add::<InboxPop>();
}

/// What the inbox tools answer when there is no inbox; a person switched it off, so it is no failure.
const DISABLED: &str = "(inbox not enabled) MOLECULE_MCP_DISABLE_INBOX is set: nothing is received. Unset it and restart to receive messages.";

/// Wait for the next message and take it: it is yours for some minutes. Answer it with reply_to_message, or acknowledge
/// it with inbox_pop when it is handled; otherwise it is handed out again.
#[derive(Deserialize, JsonSchema)]
struct WaitForMessage {
    /// How long to wait, 0 to 300 seconds; 45 when left out.
    #[serde(default, deserialize_with = "lenient")]
    #[schemars(with = "Option<f64>")]
    timeout_secs: Option<f64>,
}

#[derive(Default, Serialize, JsonSchema)]
struct NextMessage {
    #[serde(flatten)]
    message: Option<MessageView>,
    /// True: there was no message.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<bool>,
    /// How long was waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>")]
    timeout_secs: Option<Number>,
    /// Why messages may be missed or late right now, and what to do about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    health: Vec<Trouble>,
    /// Said when there is no inbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// A number, also when it came as text; anything else is as good as nothing.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

impl WaitForMessage {
    const DEFAULT_SECS: f64 = 45.0;
    const MAX_SECS: f64 = 300.0;

    fn secs(&self) -> f64 {
        let asked = self.timeout_secs.filter(|secs| !secs.is_nan());
        asked.unwrap_or(Self::DEFAULT_SECS).clamp(0.0, Self::MAX_SECS)
    }
}

impl Tool<Workspaces> for WaitForMessage {
    const NAME: &'static str = "wait_for_message";
    const EFFECT: Effect = Effect::WRITE.local();
    type Output = NextMessage;

    async fn call(self, all: &Workspaces, call: &Call) -> Result<NextMessage, ToolError> {
        if all.inbox() == Switch::Off {
            return Ok(NextMessage {
                note: Some(DISABLED),
                ..NextMessage::default()
            });
        }
        let secs = self.secs();
        let wait = Wait::on(
            all.inboxes().changes(),
            all.first().timing,
            call,
            Duration::from_secs_f64(secs),
            "waiting for a message",
        );
        match wait.until(|| async { Ok(all.inboxes().lease_next().await?) }).await? {
            Waited::Ready(entry) if call.has_ended() => {
                all.inboxes().give_back(&entry.message.activity_id).await?;
                Err(all.ended())
            }
            Waited::Ready(entry) => Ok(NextMessage {
                message: Some(MessageView::whole(&entry)),
                ..NextMessage::default()
            }),
            Waited::Ended => Err(all.ended()),
            Waited::TimedOut => Ok(NextMessage {
                timeout: Some(true),
                timeout_secs: Some(whole_if_possible(secs)),
                health: all.deafness().await,
                ..NextMessage::default()
            }),
        }
    }
}

fn whole_if_possible(secs: f64) -> Number {
    match Number::from_f64(secs) {
        Some(number) if secs.fract() != 0.0 => number,
        // Clamped to 300 before, so nothing is cut.
        _ => Number::from(secs as u64),
    }
}

/// Look at the messages that are not acknowledged yet, oldest first, without taking any; state marks those being worked on.
/// With activity_id: one message, with offset its further text. With state: those no longer offered, newest first; inbox_pop
/// acknowledges what was set aside or recovered.
#[derive(Deserialize, JsonSchema)]
struct InboxPeek {
    /// At most so many messages; 10 when left out.
    limit: Option<i64>,
    /// Only this message, whatever its state.
    activity_id: Option<ActivityId>,
    /// Instead of the waiting ones: those set aside, those recovered after a damaged journal, or those done.
    state: Option<Shelf>,
    /// With activity_id: where its text goes on, the next_offset of the result before. With state: how many of the newest
    /// messages to pass over.
    offset: Option<u64>,
}

/// Messages that are kept but not offered.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Shelf {
    Aside,
    Recovered,
    Done,
}

impl From<Shelf> for State {
    fn from(shelf: Shelf) -> Self {
        match shelf {
            Shelf::Aside => Self::Aside,
            Shelf::Recovered => Self::Recovered,
            Shelf::Done => Self::Done,
        }
    }
}

#[derive(Default, Serialize, JsonSchema)]
struct Inbox {
    /// Oldest first; newest first when a state was asked for.
    messages: Vec<MessageView>,
    /// How many of those asked for did not fit into this result.
    #[serde(skip_serializing_if = "Option::is_none")]
    omitted: Option<usize>,
    /// How many messages there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<CountsView>,
    /// Why messages may be missed or late right now, and what to do about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    health: Vec<Trouble>,
    /// Said when there is no inbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

#[derive(Serialize, JsonSchema)]
struct CountsView {
    /// Waiting.
    new: u64,
    /// Shown to a session and not acknowledged.
    leased: u64,
    /// Handed out again and again without being acknowledged; kept, but no longer offered. See inbox_peek(state="aside").
    aside: u64,
    /// Read again after a damaged journal was replaced; not offered, as some may have been answered before. See
    /// inbox_peek(state="recovered").
    recovered: u64,
    /// Damaged on this computer's disk and therefore not shown.
    damaged: u64,
}

impl From<Counts> for CountsView {
    fn from(counts: Counts) -> Self {
        Self {
            new: counts.new,
            leased: counts.leased,
            aside: counts.aside,
            recovered: counts.recovered,
            damaged: counts.damaged,
        }
    }
}

impl Tool<Workspaces> for InboxPeek {
    const NAME: &'static str = "inbox_peek";
    const EFFECT: Effect = Effect::READ.local();
    type Output = Inbox;

    async fn call(self, all: &Workspaces, _: &Call) -> Result<Inbox, ToolError> {
        if all.inbox() == Switch::Off {
            return Ok(Inbox {
                note: Some(DISABLED),
                ..Inbox::default()
            });
        }
        if let Some(id) = &self.activity_id {
            if self.state.is_some() {
                return Err(ToolError::argument(
                    "state",
                    "must be left out with activity_id, which finds a message in any state",
                ));
            }
            let Some(entry) = all.inboxes().find(id).await? else {
                return Err(ToolError::failed(
                    "NOT_FOUND",
                    "there is no message with this activity_id",
                    "call inbox_peek without it to see the messages there are",
                ));
            };
            let offset = usize::try_from(self.offset.unwrap_or(0)).unwrap_or(usize::MAX);
            return Ok(Inbox {
                messages: vec![MessageView::new(&entry, offset, TEXT_LIMIT)],
                ..Inbox::default()
            });
        }
        let limit = limit(self.limit);
        let entries = match (self.state, self.offset) {
            (Some(shelf), offset) => {
                let offset = u32::try_from(offset.unwrap_or(0)).unwrap_or(u32::MAX);
                all.inboxes().list(Some(shelf.into()), limit, offset).await?
            }
            (None, None) => all.inboxes().peek(limit).await?,
            (None, Some(_)) => {
                return Err(ToolError::argument(
                    "offset",
                    "needs activity_id, to page the text of one message, or state, to page a list",
                ));
            }
        };
        let (messages, omitted) = listing(&entries, LIST_LIMIT);
        Ok(Inbox {
            messages,
            omitted: (omitted > 0).then_some(omitted),
            counts: Some(all.inboxes().counts().await?.into()),
            health: all.deafness().await,
            note: None,
        })
    }
}

/// As asked, but at least one; the contract takes nonsense for 10.
fn limit(asked: Option<i64>) -> u32 {
    match asked {
        Some(limit @ 1..) => u32::try_from(limit).unwrap_or(u32::MAX).min(200),
        _ => 10,
    }
}

/// As many messages as fit. A long one is shortened rather than left out, so that it does not hide those behind it.
fn listing(entries: &[Entry], room: usize) -> (Vec<MessageView>, usize) {
    const SHORT: usize = 500;
    let mut left = room;
    let mut shown = Vec::new();
    for entry in entries {
        let whole = MessageView::whole(entry);
        let view = if size(&whole) <= left {
            whole
        } else {
            MessageView::new(entry, 0, SHORT)
        };
        let Some(rest) = left.checked_sub(size(&view)) else {
            break;
        };
        left = rest;
        shown.push(view);
    }
    let omitted = entries.len() - shown.len();
    (shown, omitted)
}

/// Acknowledge a message, so that it is never offered again. Only when it is handled and, if it wanted an answer, after
/// the answer was accepted. reply_to_message does this by itself.
#[derive(Deserialize, JsonSchema)]
struct InboxPop {
    /// The message to acknowledge.
    activity_id: ActivityId,
}

#[derive(Serialize, JsonSchema)]
struct PopResult {
    /// Whether this call acknowledged it.
    removed: bool,
    /// The message.
    activity_id: ActivityId,
    /// Why it was not removed now.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Tool<Workspaces> for InboxPop {
    const NAME: &'static str = "inbox_pop";
    const EFFECT: Effect = Effect::DESTROY.idempotent().local();
    type Output = PopResult;

    async fn call(self, all: &Workspaces, _: &Call) -> Result<PopResult, ToolError> {
        let popped = match all.inbox() {
            Switch::On => Some(all.inboxes().pop(&self.activity_id).await?),
            Switch::Off => None,
        };
        let reason = match popped {
            Some(Popped::Removed) => None,
            Some(Popped::AlreadyDone) => Some("it was acknowledged before"),
            Some(Popped::LeasedElsewhere) => Some("another session of this workspace is working on it"),
            Some(Popped::Unknown) => Some("there is no message with this activity_id"),
            None => Some(DISABLED),
        };
        Ok(PopResult {
            removed: reason.is_none(),
            activity_id: self.activity_id,
            reason,
        })
    }
}

#[cfg(test)]
mod tests;
