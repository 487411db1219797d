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
        at_work: Duration::ZERO,
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
fn the_person_is_told_again_only_when_the_request_before_cannot_arrive_any_more() {
    let after_no = |work, at_work, pause| {
        let moment = Moment {
            at_work: Duration::from_secs(at_work),
            pause: Duration::from_secs(pause),
            ..at(40)
        };
        after_look_up(&work, &Ok(Found::No), &moment)
    };
    for (at_work, pause, expected) in [(28, 4, 4), (28, 0, 2), (3, 4, 3), (1, 0, 1)] {
        let after = Duration::from_secs(expected);
        let verdict = after_no(stand_in::notify("t"), at_work, pause);
        assert_eq!(verdict, Verdict::LookUp { after }, "{at_work} {pause}");
    }
    // The platform knows a delegation again by its key.
    for (work, at_work) in [(stand_in::notify("t"), 0), (stand_in::delegate("t"), 28)] {
        assert_eq!(word(&after_no(work, at_work, 4)), "again");
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
