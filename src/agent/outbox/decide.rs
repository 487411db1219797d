//! What to do next with a piece of work: pure decisions over its outcome, its age and what may have happened before.

use std::time::Duration;

use serde_json::Value;

use super::body;
use super::entries::{accepted, delegated_as, failed, given_up, taken_by_peer};
use crate::platform::error::CallError;
use crate::platform::wire::{A2aAnswer, Delegated};
use crate::state::journal::JournalError;
use crate::state::outbox::{Change, Item, Progress, Work};

/// An attempt that was answered, or that only the peer kept from being answered.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// A delegation was taken.
    Delegated(Delegated),
    /// What `/a2a` said.
    Peer(A2aAnswer),
    /// The person was told.
    Told,
    /// Nothing came back for as long as a peer is waited for.
    Silence,
}

/// Whether any attempt so far may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Arrival {
    /// None can have.
    Never,
    /// One may have.
    Maybe,
}

/// Why an attempt was not made.
#[derive(Clone, Debug)]
pub(super) enum Unready {
    /// Trying again may help.
    Passing {
        /// What was in the way.
        why: String,
        /// The platform's part in it.
        error: Option<CallError>,
    },
    /// It will not.
    Final(String),
}

impl From<CallError> for Unready {
    fn from(error: CallError) -> Self {
        Self::Passing {
            why: error.to_string(),
            error: Some(error),
        }
    }
}

impl From<JournalError> for Unready {
    fn from(error: JournalError) -> Self {
        Self::Passing {
            why: error.to_string(),
            error: None,
        }
    }
}

/// What a look-up brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The message to the person is in the log; the peer is one that is called, so it can have been its silence.
    Yes,
    /// It is not.
    No,
    /// The delegation took effect, under this id of the platform.
    Delegation(String),
}

impl Found {
    pub(super) fn yes(is_so: bool) -> Self {
        if is_so { Self::Yes } else { Self::No }
    }
}

/// When a decision is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// How long ago the work was written down.
    pub(super) age: Duration,
    /// The delay that is due before another call.
    pub(super) pause: Duration,
    /// From this age on nothing is repeated.
    pub(super) window: Duration,
    /// How long a message to the person may take to show in the log.
    pub(super) settling: Duration,
    /// For how much longer a request that was not answered may still take effect. Of a look-up: from its beginning on.
    pub(super) at_work: Duration,
}

/// The next step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Write this down; nothing more is to be done.
    Record(Change),
    /// Send it (again, as the same message).
    Attempt { after: Duration },
    /// Find out by reading whether it arrived, before anything is sent again.
    LookUp { after: Duration },
}

/// The first step for a row as it was found in the journal.
pub(super) fn first(item: &Item, moment: &Moment) -> Verdict {
    let now = Duration::ZERO;
    if let Some(why) = body::oversize(item) {
        return Verdict::Record(failed(why));
    }
    match (&item.work, item.attempts) {
        (_, _) if item.attempts == 0 && moment.age < moment.window => Verdict::Attempt { after: now },
        (_, 0) => Verdict::Record(failed(
            "it was never sent: the process that was to send it ended first, and it is more than 10 minutes old; \
             send it again if it is still wanted"
                .to_owned(),
        )),
        // An attempt by a process that died left no outcome behind.
        // It may have died just now, with the request still on its way.
        (Work::NotifyUser { .. } | Work::Delegate { .. }, _) => Verdict::LookUp { after: moment.settling },
        (_, _) if moment.age < moment.window => Verdict::Attempt { after: now },
        (work, _) => Verdict::Record(given_up(
            work,
            Arrival::Maybe,
            "the process that sent it ended before an answer",
        )),
    }
}

/// The step after an attempt. `earlier` tells about the attempts before it.
pub(super) fn after_attempt(
    work: &Work,
    outcome: &Result<Answer, CallError>,
    earlier: Arrival,
    moment: &Moment,
) -> Verdict {
    match outcome {
        Ok(Answer::Delegated(delegated)) => Verdict::Record(delegated_as(&delegated.delegation_id)),
        Ok(Answer::Told) => Verdict::Record(accepted()),
        Ok(Answer::Peer(answer)) => Verdict::Record(taken_by_peer(answer)),
        Ok(Answer::Silence) => Verdict::LookUp { after: Duration::ZERO },
        Err(error) if error.is_transient() || error.outcome_is_unknown() => {
            let arrival = earlier.max(arrival(work, error));
            match work {
                // The platform forgets the key of a delegation that failed, and would send it anew.
                Work::NotifyUser { .. } | Work::Delegate { .. } if arrival == Arrival::Maybe => Verdict::LookUp {
                    after: moment.pause.max(moment.settling),
                },
                _ => again(work, arrival, &error.to_string(), moment),
            }
        }
        Err(error) if earlier == Arrival::Maybe && !judges_content(error) => {
            Verdict::Record(given_up(work, earlier, &format!("a repeat was refused: {error}")))
        }
        Err(error) => Verdict::Record(failed(error.to_string())),
    }
}

/// The step after an attempt that was not made. `earlier` tells about the attempts before it.
pub(super) fn unready(work: &Work, unready: &Unready, earlier: Arrival, moment: &Moment) -> Verdict {
    match unready {
        Unready::Passing { why, .. } => again(work, earlier, why, moment),
        Unready::Final(why) if earlier == Arrival::Never => Verdict::Record(failed(why.clone())),
        Unready::Final(why) => Verdict::Record(given_up(work, earlier, why)),
    }
}

/// The step after a look-up.
pub(super) fn after_look_up(work: &Work, found: &Result<Found, CallError>, moment: &Moment) -> Verdict {
    let in_time = Moment {
        pause: Duration::ZERO,
        ..*moment
    };
    match (work, found) {
        (_, Ok(Found::Delegation(id))) => Verdict::Record(delegated_as(id)),
        (Work::NotifyUser { .. }, Ok(Found::Yes)) => Verdict::Record(accepted()),
        // It has no key by which the platform would know a repeat, as it knows one of a delegation.
        (Work::NotifyUser { .. }, Ok(_)) if !moment.at_work.is_zero() => Verdict::LookUp {
            after: moment.pause.max(moment.settling).min(moment.at_work),
        },
        (Work::NotifyUser { .. } | Work::Delegate { .. }, Ok(_)) => {
            again(work, Arrival::Maybe, "it does not show in the platform's log", &in_time)
        }
        (Work::NotifyUser { .. } | Work::Delegate { .. }, Err(_)) if moment.age + moment.pause < moment.window => {
            Verdict::LookUp { after: moment.pause }
        }
        (Work::ReplyToPeer { .. }, Ok(Found::Yes)) => Verdict::Record(Change {
            progress: Some(Progress::DeliveredUnconfirmed),
            detail: Some("the peer was called and has not answered for 30 s".to_owned()),
            settle_reply: true,
            ..Change::default()
        }),
        (_, Ok(_)) => again(work, Arrival::Maybe, "the platform did not answer for 30 s", moment),
        (_, Err(error)) => again(work, Arrival::Maybe, &error.to_string(), moment),
    }
}

/// Another attempt while there is time for one, else the end of the attempts.
pub(super) fn again(work: &Work, arrival: Arrival, reason: &str, moment: &Moment) -> Verdict {
    if moment.age + moment.pause < moment.window {
        Verdict::Attempt { after: moment.pause }
    } else {
        Verdict::Record(given_up(work, arrival, reason))
    }
}

/// Whether a failed attempt may have taken effect.
pub(super) fn arrival(work: &Work, error: &CallError) -> Arrival {
    let is_reply = matches!(work, Work::ReplyToPeer { .. });
    let maybe = match error {
        // A pushed peer may have read the message before its connection broke.
        CallError::Throttled { status: 503, .. } => is_reply,
        // The platform says so before it stores anything.
        CallError::Rejected {
            status: 503,
            body: Some(body),
            ..
        } if is_reply => body.get("error").and_then(Value::as_str) != Some("workspace has no URL"),
        _ => error.outcome_is_unknown(),
    };
    if maybe { Arrival::Maybe } else { Arrival::Never }
}

/// Whether a refusal holds for every request of this content, and so for the earlier attempts too.
fn judges_content(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Rejected {
            status: 400 | 413 | 422,
            ..
        }
    )
}

#[cfg(test)]
mod tests;
