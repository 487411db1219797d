//! What is written down about the end of an attempt: for the tools, which show it to the agent.

use super::decide::Arrival;
use crate::platform::wire::A2aAnswer;
use crate::state::outbox::{Change, PEER_ERROR, Progress, Work};

pub(super) fn taken_by_peer(answer: &A2aAnswer) -> Change {
    match answer {
        A2aAnswer::QueuedForPoll => accepted(),
        A2aAnswer::QueuedBusy { .. } => Change {
            detail: Some("the peer is busy; the platform delivers it later".to_owned()),
            ..accepted()
        },
        A2aAnswer::Answered { text } => Change {
            answer: Some(text.clone()),
            ..accepted()
        },
        A2aAnswer::Failed { detail } => failed(format!("{PEER_ERROR}: {detail}")),
        A2aAnswer::Unclear { detail } => Change {
            progress: Some(Progress::DeliveredUnconfirmed),
            detail: Some(format!(
                "it was taken, with an answer that could not be understood: {detail}"
            )),
            ..accepted()
        },
    }
}

pub(super) fn accepted() -> Change {
    Change {
        progress: Some(Progress::Accepted),
        settle_reply: true,
        ..Change::default()
    }
}

/// A delegation that the platform took under this id.
pub(super) fn delegated_as(id: &str) -> Change {
    Change {
        progress: Some(Progress::Accepted),
        delegation_id: Some(id.to_owned()),
        ..Change::default()
    }
}

pub(super) fn failed(detail: String) -> Change {
    Change {
        progress: Some(Progress::Failed),
        detail: Some(detail),
        ..Change::default()
    }
}

pub(super) fn given_up(work: &Work, arrival: Arrival, reason: &str) -> Change {
    if arrival == Arrival::Never {
        return failed(format!(
            "could not be sent within 10 minutes: {reason}; nothing arrived, so it is safe to send it again"
        ));
    }
    let remedy = match work {
        Work::Delegate { .. } => {
            "it may be under way: look for its answer with wait_for_message and check_task_status, and delegate again \
             with a new request_id only if doing it twice is harmless"
        }
        Work::ReplyToPeer { .. } => {
            "the peer may have it; the message it answers stays in the inbox: call again only if reading it twice is \
             harmless, or acknowledge it with inbox_pop"
        }
        Work::NotifyUser { .. } => "the person may have it; call again only if reading it twice is harmless",
    };
    Change {
        progress: Some(Progress::Unknown),
        detail: Some(format!("it is not known whether this arrived ({reason}); {remedy}")),
        ..Change::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::stand_in;
    use super::*;

    #[test]
    fn what_a_peer_said_is_shown_and_what_else_became_of_a_message_is_explained() {
        let text = || "forty-two".to_owned();
        for (answer, shown, explained) in [
            (A2aAnswer::QueuedForPoll, None, None),
            (A2aAnswer::QueuedBusy { queue_id: None }, None, Some("busy")),
            (A2aAnswer::Answered { text: text() }, Some("forty-two"), None),
            (A2aAnswer::Unclear { detail: text() }, None, Some("forty-two")),
            (A2aAnswer::Failed { detail: text() }, None, Some("forty-two")),
        ] {
            let change = taken_by_peer(&answer);
            assert_eq!(change.answer.as_deref(), shown, "{answer:?}");
            let detail = change.detail.as_deref();
            assert_eq!(detail.is_some(), explained.is_some(), "{answer:?}");
            assert!(
                detail.unwrap_or_default().contains(explained.unwrap_or_default()),
                "{detail:?}"
            );
        }
    }

    #[test]
    fn what_is_unknown_is_said_with_what_to_do() {
        let works = [stand_in::delegate("t"), stand_in::reply("t"), stand_in::notify("t")];
        for (work, remedy) in works
            .into_iter()
            .zip(["check_task_status", "inbox_pop", "call again only"])
        {
            let change = given_up(&work, Arrival::Maybe, "x");
            assert_eq!(change.progress, Some(Progress::Unknown));
            assert!(change.detail.unwrap().contains(remedy));
        }
    }
}
