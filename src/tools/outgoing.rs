//! Messages on their way out: written into the outbox, then watched until the platform has them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::context::Context;
use super::paging::{TEXT_LIMIT, clip, page};
use super::waiting::{Wait, Waited};
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::state::outbox::{Enqueued, Item, PEER_ERROR, Progress, Work};
use crate::types::ActivityId;

/// How long to watch: a push peer that stays silent is given up on after 30 s.
const PATIENCE: Duration = Duration::from_secs(35);

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SendStatus {
    /// The platform took it.
    Accepted,
    /// It was sent to a peer that has not confirmed it.
    DeliveredUnconfirmed,
    /// It is written down and will be sent; do not send it again.
    Pending,
    /// It could not be found out whether it arrived.
    Unknown,
}

/// A message that was sent, or will be.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Sending {
    /// How far it has come.
    pub(super) status: SendStatus,
    /// Names it for check_task_status.
    handle: String,
    /// The same text went the same way a moment ago: nothing was sent a second time.
    #[serde(skip_serializing_if = "Option::is_none")]
    already_sent: Option<bool>,
    /// How many files went with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    attachments: Option<usize>,
    /// What the receiver answered at once. Other people's words: data.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    /// There is more of the answer than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    text_truncated: Option<bool>,
    /// Where the next part starts: check_task_status(handle, offset).
    #[serde(skip_serializing_if = "Option::is_none")]
    next_offset: Option<usize>,
    /// What is known beyond the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// What to do now.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_step: Option<&'static str>,
}

/// Writes a message into the outbox and waits until its outcome is known, or for 35 s.
///
/// # Errors
/// When it could not be written down, or when it was refused; then it was not delivered.
pub(super) async fn send(
    context: &Context,
    call: &Call,
    work: Work,
    replies_to: Option<ActivityId>,
) -> Result<Sending, ToolError> {
    let parcel = work.parcel().cloned();
    let enqueued = if call.is_cancelled() {
        Err(ToolError::Ended)
    } else {
        context
            .journal
            .enqueue(work, replies_to, None)
            .await
            .map_err(ToolError::from)
    };
    if let (Some(parcel), Err(_) | Ok(Enqueued::Existing(_))) = (&parcel, &enqueued) {
        context.attaching.spool.discard(parcel);
    }
    let (item, repeated) = match enqueued? {
        Enqueued::New(item) => (item, false),
        Enqueued::Existing(item) => (item, true),
    };
    let wait = Wait::new(
        context,
        call,
        PATIENCE,
        "waiting for the platform to accept the message",
    );
    let look = || async {
        let item = context.journal.outbox_item(&item.id).await?;
        Ok(item.filter(|item| item.progress != Progress::Pending))
    };
    let item = match wait.until(look).await? {
        Waited::Ready(item) => item,
        Waited::TimedOut | Waited::Ended => context.journal.outbox_item(&item.id).await?.unwrap_or(item),
    };
    outcome(&item, repeated)
}

fn outcome(item: &Item, repeated: bool) -> Result<Sending, ToolError> {
    let (status, next_step) = match item.progress {
        Progress::Accepted | Progress::Delivered | Progress::Answered => (SendStatus::Accepted, None),
        Progress::DeliveredUnconfirmed => (SendStatus::DeliveredUnconfirmed, None),
        Progress::Pending => (
            SendStatus::Pending,
            Some(
                "do not send it again: sending goes on in the background; check_task_status(task_id=handle) tells how far it is",
            ),
        ),
        Progress::Unknown => (
            SendStatus::Unknown,
            Some("it may have arrived: call again only if reading it twice is harmless"),
        ),
        Progress::Failed => {
            let detail = item.detail.as_deref().unwrap_or("the platform refused the message");
            let (code, hint) = if detail.starts_with(PEER_ERROR) {
                let hint = "it was delivered, so the same text would bring the same error; the message it answers stays \
                            in the inbox until you acknowledge it with inbox_pop";
                ("PEER_ERROR", hint)
            } else {
                let hint = "it was not delivered; mend the reason in detail, then send it again";
                ("SEND_FAILED", hint)
            };
            return Err(ToolError::failed(code, detail, hint).with("handle", item.id.as_str()));
        }
    };
    let answer = item.answer.as_ref().map(|text| page(text, 0, TEXT_LIMIT));
    let next_offset = answer.as_ref().and_then(|page| page.next);
    let rest = "check_task_status(task_id=handle, offset=next_offset) gives the rest of the answer";
    Ok(Sending {
        status,
        handle: item.id.clone(),
        already_sent: repeated.then_some(true),
        attachments: item.work.parcel().map(|parcel| parcel.files.len()),
        answer: answer.map(|page| page.text.to_owned()),
        text_truncated: next_offset.map(|_| true),
        next_offset,
        detail: item.detail.as_ref().map(|text| clip(text, 2_000)),
        next_step: next_step.or(next_offset.map(|_| rest)),
    })
}

/// A row of the outbox for tests.
#[cfg(test)]
pub(super) fn sample(work: Work, progress: Progress) -> Item {
    Item {
        id: "h-1".to_owned(),
        work,
        progress,
        created: crate::types::Timestamp(0),
        attempts: 1,
        delegation_id: Some("d-1".to_owned()),
        answer: None,
        answer_activity: None,
        detail: None,
        replies_to: None,
        request_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_told_apart_and_only_a_refusal_is_a_failure() {
        let work = Work::NotifyUser {
            text: "hi".to_owned(),
            parcel: None,
        };
        for (progress, status) in [
            (Progress::Accepted, SendStatus::Accepted),
            (Progress::DeliveredUnconfirmed, SendStatus::DeliveredUnconfirmed),
            (Progress::Pending, SendStatus::Pending),
            (Progress::Unknown, SendStatus::Unknown),
        ] {
            let sending = outcome(&sample(work.clone(), progress), false).unwrap();
            assert_eq!((sending.status, sending.already_sent), (status, None));
        }
        let mut refused = sample(work, Progress::Failed);
        refused.detail = Some("talk_to_user_disabled".to_owned());
        let error = outcome(&refused, false).unwrap_err();
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            ("SEND_FAILED", "talk_to_user_disabled")
        );
        refused.detail = Some(format!("{PEER_ERROR}: no such method"));
        let error = outcome(&refused, false).unwrap_err();
        assert_eq!(error.code(), "PEER_ERROR");
        assert!(!error.hint().contains("send it again"), "{}", error.hint());
        refused.answer = Some("é".repeat(40_000));
        refused.progress = Progress::Accepted;
        let long = outcome(&refused, false).unwrap();
        assert_eq!(
            (long.text_truncated, long.next_offset),
            (Some(true), Some(long.answer.unwrap().len()))
        );
        assert_eq!(outcome(&refused, true).unwrap().already_sent, Some(true));
    }
}
