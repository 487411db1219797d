use super::*;

const MINUTE: Duration = EVERY;
const S: Duration = Duration::from_secs(1);

fn id(n: u32) -> RequestId {
    RequestId::parse(&format!("00000000-0000-4000-8000-{n:012}")).unwrap()
}

fn plan() -> Plan {
    Plan::new(Timing::REAL, Duration::ZERO)
}

/// Everything that is asked until `end`, each answered well and at once.
fn asked(plan: &mut Plan, now: &mut Duration, end: Duration) -> Vec<(u64, Errand)> {
    let mut asked = Vec::new();
    let mut turns = 0;
    while *now < end {
        turns += 1;
        assert!(turns < 100_000, "without an end in {now:?}");
        match plan.next(*now) {
            Next::Ask(errand) => {
                if errand != Errand::Broadcasts {
                    plan.answered();
                }
                asked.push((now.as_secs(), errand));
            }
            Next::Wait(wait) => *now += wait.min(end - *now),
        }
    }
    asked
}

const THEIRS: Errand = Errand::Theirs { open_only: false };

#[test]
fn at_rest_each_list_is_read_once_a_minute_and_ours_only_while_an_answer_is_to_come() {
    let (mut plan, mut now) = (plan(), Duration::ZERO);
    let start = asked(&mut plan, &mut now, S);
    assert_eq!(start, [(0, THEIRS), (0, Errand::Ours), (0, Errand::Broadcasts)]);
    let minute = asked(&mut plan, &mut now, MINUTE + S);
    assert_eq!(minute, [(60, THEIRS), (60, Errand::Broadcasts)]);
    plan.ours_open(true);
    assert_eq!(
        asked(&mut plan, &mut now, 2 * MINUTE + S).len(),
        3,
        "the one that is overdue, and a round"
    );
    plan.ours_open(false);
    assert_eq!(asked(&mut plan, &mut now, 12 * MINUTE).len(), 2 * 9);
}

#[test]
fn a_platform_without_requests_is_asked_once_until_an_event_proves_it_newer() {
    let mut plan = plan();
    assert_eq!(plan.next(Duration::ZERO), Next::Ask(THEIRS));
    plan.absent(&THEIRS);
    for hour in 0..48 {
        if hour % 5 == 4 {
            plan.anew();
        }
        assert!(matches!(plan.next(60 * MINUTE * hour), Next::Wait(_)));
    }
    let now = 3000 * MINUTE;
    plan.broadcast_told();
    assert_eq!(plan.next(now), Next::Ask(Errand::Broadcasts));
    assert_eq!(plan.next(now), Next::Wait(MINUTE));
    plan.absent(&Errand::Broadcasts);
    assert!(matches!(plan.next(now + 2 * MINUTE), Next::Wait(_)));
    plan.hint(Side::Theirs);
    assert_eq!(plan.next(now + 2 * MINUTE), Next::Ask(THEIRS));
}

#[test]
fn after_a_gap_in_the_stream_every_list_is_read_at_once() {
    let (mut plan, mut now) = (plan(), Duration::ZERO);
    asked(&mut plan, &mut now, 10 * S);
    plan.anew();
    let missed = asked(&mut plan, &mut now, 11 * S);
    assert_eq!(missed, [(10, THEIRS), (10, Errand::Ours), (10, Errand::Broadcasts)]);
}

#[test]
fn a_broadcast_that_was_not_complete_is_read_for_again_by_then_and_no_later_than_by_the_timer() {
    let (mut plan, mut now) = (plan(), Duration::ZERO);
    asked(&mut plan, &mut now, S);
    plan.broadcasts_by(5 * S);
    plan.broadcasts_by(300 * S);
    assert_eq!(asked(&mut plan, &mut now, 10 * S), [(5, Errand::Broadcasts)]);
    plan.broadcasts_by(300 * S);
    assert_eq!(
        asked(&mut plan, &mut now, 66 * S),
        [(60, THEIRS), (65, Errand::Broadcasts)]
    );
}

#[test]
fn a_request_waits_for_its_turn_once_and_no_more_than_64_wait() {
    let mut plan = plan();
    for n in (0..100).chain(0..100) {
        plan.look_into(id(n));
    }
    assert_eq!(plan.queue, (0..64).map(id).collect::<Vec<_>>());
}

#[test]
fn a_failure_is_counted_and_told_for_its_own_kind_of_errand_alone() {
    let kinds = [THEIRS, Errand::Ours, Errand::Thread(id(1)), Errand::Broadcasts];
    for (at, one) in kinds.iter().enumerate() {
        for other in &kinds[..at] {
            assert!(
                one.kind() != other.kind() && one.what() != other.what(),
                "{one:?} {other:?}"
            );
        }
    }
    let all = Errand::Theirs { open_only: true };
    assert_eq!((all.kind(), all.what()), (THEIRS.kind(), THEIRS.what()));
}

#[test]
fn events_are_followed_at_once_and_many_of_them_once_a_second() {
    let (mut plan, mut now) = (plan(), Duration::ZERO);
    asked(&mut plan, &mut now, 10 * S);
    plan.hint(Side::Theirs);
    plan.broadcast_told();
    assert_eq!(asked(&mut plan, &mut now, 11 * S).len(), 2);
    let mut reads = |plan: &mut Plan, secs: u32| {
        let mut reads = 0;
        for step in 0..100 * secs {
            plan.hint(Side::Theirs);
            plan.look_into(id(step % 3));
            reads += asked(plan, &mut now.clone(), now + S / 100).len();
            now += S / 100;
        }
        reads
    };
    let first = reads(&mut plan, 1);
    assert!((18..=22).contains(&first), "{first} in the first second");
    reads(&mut plan, 1);
    let later = reads(&mut plan, 10);
    assert!((18..=22).contains(&later), "{later} in ten seconds");
}

#[test]
fn twenty_events_in_a_row_are_followed_at_once_and_so_are_those_after_two_quiet_seconds() {
    let (mut plan, mut now) = (plan(), Duration::ZERO);
    asked(&mut plan, &mut now, 10 * S);
    let gap = |plan: &mut Plan, now: &mut Duration| {
        let told = *now;
        plan.hint(Side::Theirs);
        while let Next::Wait(wait) = plan.next(*now) {
            *now += wait;
        }
        *now - told
    };
    let mut gaps: Vec<Duration> = (0..23).map(|_| gap(&mut plan, &mut now)).collect();
    now += 2 * S;
    gaps.extend((0..2).map(|_| gap(&mut plan, &mut now)));
    let (none, short, long) = (Duration::ZERO, S / 10, S);
    assert_eq!(
        gaps,
        [vec![none], vec![short; 20], vec![long; 2], vec![none, short]].concat()
    );
}

#[test]
fn where_the_list_of_all_is_too_long_the_open_ones_are_asked_for() {
    let (mut plan, mut now) = (plan(), Duration::ZERO);
    asked(&mut plan, &mut now, S);
    plan.list_is_full();
    let minute = asked(&mut plan, &mut now, MINUTE + S);
    assert_eq!(minute[0], (60, Errand::Theirs { open_only: true }));
}

#[test]
fn those_that_more_may_be_written_below_take_turns() {
    let mut plan = plan();
    let mut turns = Vec::new();
    for _ in 0..5 {
        plan.take_turn(Side::Theirs, vec![id(3), id(1), id(2)]);
        turns.extend(plan.queue.pop_front());
    }
    assert_eq!(turns, [id(1), id(2), id(3), id(1), id(2)]);
    plan.take_turn(Side::Theirs, Vec::new());
    plan.take_turn(Side::Ours, vec![id(9)]);
    assert_eq!(plan.queue, [id(9)]);
}

#[test]
fn a_failure_costs_its_own_errand_a_pause_and_is_made_good() {
    let (mut plan, mut now) = (plan(), Duration::ZERO);
    asked(&mut plan, &mut now, S);
    plan.failed(Errand::Ours, now, 5 * S);
    plan.failed(Errand::Thread(id(1)), now, 7 * S);
    plan.hint(Side::Theirs);
    let done = asked(&mut plan, &mut now, 20 * S);
    assert_eq!(done, [(1, THEIRS), (6, Errand::Ours), (8, Errand::Thread(id(1)))]);
}

#[test]
fn with_few_requests_left_nothing_is_asked_until_there_are_more() {
    let (mut plan, mut now) = (plan(), Duration::ZERO);
    let limit = |remaining, reset| RateLimit {
        limit: Some(600),
        remaining,
        reset,
    };
    plan.budget(now, limit(Some(119), Some(30 * S)));
    plan.hint(Side::Theirs);
    assert!(asked(&mut plan, &mut now, 30 * S).is_empty());
    plan.budget(now, limit(Some(600), Some(60 * S)));
    assert_eq!(asked(&mut plan, &mut now, 31 * S).len(), 3);
    for enough in [None, Some(120)] {
        plan.budget(now, limit(Some(5), None));
        plan.budget(now, limit(enough, None));
    }
    plan.hint(Side::Theirs);
    assert_eq!(asked(&mut plan, &mut now, 33 * S).len(), 1);
}

#[test]
fn each_time_that_little_is_left_the_timers_double_up_to_ten_minutes() {
    for (times, minutes) in [(0, 1), (1, 2), (2, 4), (3, 8), (4, 10), (9, 10)] {
        let (mut plan, mut now) = (plan(), Duration::ZERO);
        for _ in 0..times {
            plan.budget(
                now,
                RateLimit {
                    limit: Some(600),
                    remaining: Some(299),
                    reset: None,
                },
            );
        }
        asked(&mut plan, &mut now, S);
        assert_eq!(plan.next(Duration::ZERO), Next::Wait(minutes * MINUTE), "{times} times");
    }
}

#[test]
fn where_many_share_one_limit_the_timers_become_longer_and_events_count_all_the_same() {
    let (mut plan, mut now) = (plan(), Duration::ZERO);
    let limit = |remaining| RateLimit {
        limit: Some(600),
        remaining: Some(remaining),
        reset: None,
    };
    asked(&mut plan, &mut now, S);
    for _ in 0..9 {
        plan.budget(now, limit(299));
    }
    asked(&mut plan, &mut now, 2 * MINUTE);
    assert_eq!(
        asked(&mut plan, &mut now, 22 * MINUTE).len(),
        4,
        "both lists twice in 20 minutes"
    );
    plan.hint(Side::Theirs);
    assert_eq!(asked(&mut plan, &mut now, 22 * MINUTE + S).len(), 1);
    for _ in 0..9 {
        plan.budget(now, limit(300));
    }
    asked(&mut plan, &mut now, 40 * MINUTE);
    assert_eq!(asked(&mut plan, &mut now, 50 * MINUTE).len(), 20);
}
