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
mod tests {
    use serde_json::json;

    use super::super::stand_in::{self, interrupted, rejected, throttled, unreachable};
    use super::*;

    const PAUSE: Duration = Duration::from_secs(4);

    fn at(age_secs: u64) -> Moment {
        Moment {
            age: Duration::from_secs(age_secs),
            pause: PAUSE,
            window: Duration::from_secs(600),
            settling: Duration::from_secs(2),
        }
    }

    fn works() -> [Work; 3] {
        [stand_in::delegate("t"), stand_in::reply("t"), stand_in::notify("t")]
    }

    /// What a verdict comes to, in a word or two.
    fn word(verdict: &Verdict) -> String {
        match verdict {
            Verdict::Attempt { .. } => "again".to_owned(),
            Verdict::LookUp { .. } => "look up".to_owned(),
            Verdict::Record(change) => {
                let progress = serde_json::to_value(change.progress.unwrap()).unwrap();
                let settled = if change.settle_reply { " settled" } else { "" };
                format!("{}{settled}", progress.as_str().unwrap())
            }
        }
    }

    #[test]
    fn a_row_found_in_the_journal_is_sent_looked_up_or_reported() {
        for (attempts, age, expected) in [
            (0, 0, ["again", "again", "again"]),
            (0, 599, ["again", "again", "again"]),
            (0, 600, ["failed", "failed", "failed"]),
            (1, 5, ["look up", "again", "look up"]),
            (3, 600, ["look up", "unknown", "look up"]),
        ] {
            for (work, expected) in works().into_iter().zip(expected) {
                let item = Item {
                    attempts,
                    ..stand_in::item("1", work)
                };
                assert_eq!(
                    word(&first(&item, &at(age))),
                    expected,
                    "{attempts} {age} {:?}",
                    item.work
                );
            }
        }
    }

    #[test]
    fn what_a_dead_process_told_the_person_gets_time_to_show_before_it_is_looked_up() {
        let item = Item {
            attempts: 1,
            ..stand_in::item("1", stand_in::notify("t"))
        };
        let after = Duration::from_secs(2);
        assert_eq!(first(&item, &at(5)), Verdict::LookUp { after });
    }

    #[test]
    fn a_text_over_the_limit_fails_with_the_limit_and_is_never_sent() {
        let item = stand_in::item("1", stand_in::notify(&"x".repeat(1_000_001)));
        let Verdict::Record(change) = first(&item, &at(0)) else {
            panic!("sent")
        };
        assert_eq!(change.progress, Some(Progress::Failed));
        assert!(change.detail.unwrap().contains("1000000"));
    }

    #[test]
    fn a_failed_attempt_is_repeated_looked_up_or_final() {
        use Arrival::{Maybe, Never};
        let busy = CallError::Throttled {
            status: 503,
            retry_after: None,
        };
        let no_url = CallError::Rejected {
            status: 503,
            detail: "workspace has no URL".to_owned(),
            body: Some(json!({"error": "workspace has no URL", "status": "awaiting_agent"})),
        };
        let refused = CallError::Refused {
            status: 403,
            detail: "access denied".to_owned(),
        };
        let large = CallError::NotSent("too large".to_owned());
        // error, earlier attempts, age, then the verdicts for a delegation, a reply and a message to the person
        let table: Vec<(CallError, Arrival, u64, [&str; 3])> = vec![
            (unreachable(), Never, 1, ["again", "again", "again"]),
            (unreachable(), Never, 597, ["failed", "failed", "failed"]),
            (unreachable(), Maybe, 1, ["look up", "again", "look up"]),
            (unreachable(), Maybe, 597, ["look up", "unknown", "look up"]),
            (throttled(2), Never, 1, ["again", "again", "again"]),
            (throttled(2), Never, 597, ["failed", "failed", "failed"]),
            (busy.clone(), Never, 1, ["again", "again", "again"]),
            (busy, Never, 597, ["failed", "unknown", "failed"]),
            (interrupted(), Never, 1, ["look up", "again", "look up"]),
            (interrupted(), Never, 597, ["look up", "unknown", "look up"]),
            (rejected(500), Never, 1, ["look up", "again", "look up"]),
            (rejected(502), Never, 597, ["look up", "unknown", "look up"]),
            (rejected(408), Never, 597, ["look up", "unknown", "look up"]),
            (no_url, Never, 597, ["look up", "failed", "look up"]),
            (
                CallError::Malformed {
                    detail: "no id".to_owned(),
                },
                Never,
                597,
                ["look up", "unknown", "look up"],
            ),
            (
                CallError::TooLarge { limit: 9 },
                Never,
                1,
                ["look up", "again", "look up"],
            ),
            (rejected(400), Never, 1, ["failed", "failed", "failed"]),
            (rejected(400), Maybe, 1, ["failed", "failed", "failed"]),
            (rejected(402), Never, 1, ["failed", "failed", "failed"]),
            (rejected(404), Never, 1, ["failed", "failed", "failed"]),
            (rejected(404), Maybe, 1, ["unknown", "unknown", "unknown"]),
            (refused.clone(), Never, 1, ["failed", "failed", "failed"]),
            (refused, Maybe, 1, ["unknown", "unknown", "unknown"]),
            (large, Never, 1, ["failed", "failed", "failed"]),
        ];
        for (error, earlier, age, expected) in table {
            for (work, expected) in works().into_iter().zip(expected) {
                let verdict = after_attempt(&work, &Err(error.clone()), earlier, &at(age));
                assert_eq!(word(&verdict), expected, "{error:?} {earlier:?} {age} {work:?}");
            }
        }
    }

    #[test]
    fn an_accepted_delegation_carries_the_platforms_id() {
        for idempotent_hit in [false, true] {
            let taken = Answer::Delegated(Delegated {
                delegation_id: "d-1".to_owned(),
                idempotent_hit,
            });
            let verdict = after_attempt(&stand_in::delegate("t"), &Ok(taken), Arrival::Maybe, &at(700));
            let Verdict::Record(change) = verdict else {
                panic!("not recorded")
            };
            assert_eq!(
                (change.progress, change.delegation_id.as_deref()),
                (Some(Progress::Accepted), Some("d-1"))
            );
        }
    }

    #[test]
    fn a_reply_settles_its_message_only_when_it_was_taken() {
        let text = || "x".to_owned();
        for (answer, expected) in [
            (A2aAnswer::QueuedForPoll, "accepted settled"),
            (A2aAnswer::QueuedBusy { queue_id: None }, "accepted settled"),
            (A2aAnswer::Answered { text: text() }, "accepted settled"),
            (A2aAnswer::Unclear { detail: text() }, "delivered_unconfirmed settled"),
            (A2aAnswer::Failed { detail: text() }, "failed"),
        ] {
            let verdict = after_attempt(&stand_in::reply("t"), &Ok(Answer::Peer(answer)), Arrival::Never, &at(1));
            assert_eq!(word(&verdict), expected);
        }
        let told = after_attempt(&stand_in::notify("t"), &Ok(Answer::Told), Arrival::Never, &at(1));
        assert_eq!(word(&told), "accepted settled");
    }

    #[test]
    fn a_look_up_decides_between_taken_repeat_and_unknown() {
        let notify = stand_in::notify("t");
        let (reply, task) = (stand_in::reply("t"), stand_in::delegate("t"));
        for (work, found, age, expected) in [
            (&notify, Ok(Found::Yes), 9000, "accepted settled"),
            (&notify, Ok(Found::No), 1, "again"),
            (&notify, Ok(Found::No), 600, "unknown"),
            (&notify, Err(unreachable()), 595, "look up"),
            (&notify, Err(unreachable()), 596, "unknown"),
            (&task, Ok(Found::Delegation("d".to_owned())), 9000, "accepted"),
            (&task, Ok(Found::No), 1, "again"),
            (&task, Ok(Found::No), 600, "unknown"),
            (&task, Err(unreachable()), 595, "look up"),
            (&task, Err(unreachable()), 596, "unknown"),
            (&reply, Ok(Found::Yes), 31, "delivered_unconfirmed settled"),
            (&reply, Ok(Found::No), 31, "again"),
            (&reply, Err(unreachable()), 31, "again"),
            (&reply, Err(unreachable()), 600, "unknown"),
        ] {
            assert_eq!(
                word(&after_look_up(work, &found, &at(age))),
                expected,
                "{found:?} {age} {work:?}"
            );
        }
    }

    #[test]
    fn what_did_not_arrive_is_sent_again_at_once_as_long_as_anything_is_repeated() {
        let after = Duration::ZERO;
        for work in [stand_in::notify("t"), stand_in::delegate("t")] {
            for age in [1, 599] {
                let verdict = after_look_up(&work, &Ok(Found::No), &at(age));
                assert_eq!(verdict, Verdict::Attempt { after }, "{age} {work:?}");
            }
        }
    }

    #[test]
    fn what_can_never_be_sent_has_failed_unless_it_may_have_been_sent_before() {
        let gone = Unready::Final("its file is gone".to_owned());
        for work in works() {
            for (earlier, expected) in [(Arrival::Never, "failed"), (Arrival::Maybe, "unknown")] {
                let verdict = unready(&work, &gone, earlier, &at(1));
                assert_eq!(word(&verdict), expected, "{work:?}");
                let Verdict::Record(change) = verdict else {
                    panic!("not recorded")
                };
                let detail = change.detail.unwrap();
                assert!(detail.contains("its file is gone"), "{detail}");
                assert!(!detail.contains("minutes"), "{detail}");
            }
        }
    }

    #[test]
    fn a_peer_that_was_called_and_is_silent_is_told_of() {
        let verdict = after_look_up(&stand_in::reply("t"), &Ok(Found::Yes), &at(31));
        let Verdict::Record(change) = verdict else {
            panic!("not recorded")
        };
        assert!(change.detail.unwrap().contains("has not answered"));
    }

    #[test]
    fn a_message_to_the_person_gets_time_to_show_before_it_is_looked_up() {
        let hasty = Moment {
            pause: Duration::ZERO,
            ..at(1)
        };
        let verdict = after_attempt(&stand_in::notify("t"), &Err(interrupted()), Arrival::Never, &hasty);
        assert_eq!(
            verdict,
            Verdict::LookUp {
                after: Duration::from_secs(2)
            }
        );
    }
}
