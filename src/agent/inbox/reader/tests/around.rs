//! Reads that fail, and the way around a row that cannot be fetched.

use super::*;
use crate::state::journal::Batch;

/// A log of one row per second, one of which is too large: answers plans as a platform does, rows and order.
pub(super) fn answer(rows: &[(u32, i64)], too_large: u32, wall: Timestamp, plan: &Plan) -> Option<Vec<Row>> {
    let at = |seconds: i64| Timestamp(NOW + seconds * SECOND);
    let edge = plan
        .since_secs
        .map(|secs| wall.plus_micros(-i64::try_from(secs).unwrap() * SECOND));
    let since = plan
        .since
        .as_ref()
        .map(|since| rows.iter().find(|(n, _)| id(*n) == *since).unwrap().1);
    let mut fit: Vec<_> = rows
        .iter()
        .filter(|(_, seconds)| since.is_none_or(|since| *seconds > since))
        .filter(|(_, seconds)| edge.is_none_or(|edge| at(*seconds) >= edge))
        .filter(|(_, seconds)| plan.before.is_none_or(|before| at(*seconds) < before))
        .collect();
    if since.is_none() {
        fit.reverse();
    }
    fit.truncate(usize::try_from(plan.limit).unwrap());
    let fits = fit.iter().all(|(n, _)| *n != too_large);
    fits.then(|| fit.into_iter().map(|(n, seconds)| row(*n, *seconds)).collect())
}

#[test]
fn a_row_that_cannot_be_fetched_stops_nothing_and_the_cursor_passes_it() {
    for (start, from) in [
        ("a cursor", from_cursor(1, -900)),
        (
            "an imported cursor",
            Start {
                imported: Some(id(1)),
                ..Start::default()
            },
        ),
        (
            "no cursor",
            Start {
                last_poll: Some(Timestamp(NOW - 900 * SECOND)),
                ..Start::default()
            },
        ),
    ] {
        let rows: Vec<(u32, i64)> = (1..40).map(|n| (n, i64::from(n) * 10 - 910)).collect();
        let mut desk = Desk::new(from);
        let mut requests = 0;
        let (seen, told, cursor) = read_around(&mut desk, &rows, 20, Duration::MAX, |_| {
            requests += 1;
            assert!(requests < 400, "{start}");
            Some(Failure::TooLarge)
        });
        assert_eq!(cursor, Some(id(39)), "{start}");
        let missing: Vec<u32> = (2..40).filter(|n| !seen.contains(&id(*n))).collect();
        assert_eq!(missing, [20], "{start}");
        assert_eq!(
            told,
            [Note::Unfetchable {
                at: Timestamp(NOW - 710 * SECOND),
                until: Timestamp(NOW - 700 * SECOND).plus_micros(1)
            }],
            "{start}"
        );
        assert!(desk.now < Duration::from_secs(60), "{start}: {:?}", desk.now);
    }
}

/// It may be the platform's fault, so that it is waited for: everything else comes at once, and the cursor stays below it.
#[test]
fn a_row_over_which_the_platform_fails_is_waited_for_ten_minutes() {
    let rows: Vec<(u32, i64)> = (1..40).map(|n| (n, i64::from(n) * 10 - 910)).collect();
    let at = |n: i64| Timestamp(NOW + (n * 10 - 910) * SECOND);
    let mut desk = Desk::new(from_cursor(1, -900));
    let (mut seen, mut cursor) = (HashSet::new(), None);
    let (mut complete, mut waits, mut told) = (None, None, None);
    while cursor != Some(id(39)) && desk.now < Duration::from_secs(900) {
        let plan = desk.ask();
        let Some(found) = answer(&rows, 20, desk.wall(), &plan) else {
            desk.fail(Failure::Unreadable, Duration::from_secs(1));
            continue;
        };
        let step = desk.give(page(found));
        seen.extend(ids(&step));
        cursor = moved(step.batch).or(cursor);
        if seen.len() == 37 {
            complete.get_or_insert(desk.now);
        }
        if desk.reader.waits_for() == Some(at(20)) {
            waits.get_or_insert(desk.now);
        }
        if !step.notes.is_empty() {
            let until = at(21).plus_micros(1);
            assert_eq!(step.notes, [Note::Unfetchable { at: at(20), until }]);
            told.get_or_insert(desk.now);
        }
        if told.is_none() {
            assert_eq!(desk.reader.waits_for(), waits.map(|_| at(20)));
            assert!(cursor.as_ref().is_none_or(|cursor| *cursor < id(20)), "{cursor:?}");
        }
    }
    let minute = Duration::from_secs(60);
    assert!(
        complete.unwrap() < minute && waits.unwrap() < minute,
        "{complete:?} {waits:?}"
    );
    let waited = told.unwrap() - waits.unwrap();
    assert!(waited >= 10 * minute && waited < 11 * minute, "{waited:?}");
    assert_eq!((cursor, desk.reader.waits_for()), (Some(id(39)), None));
}

#[test]
fn the_newest_row_that_cannot_be_fetched_is_looked_at_now_and_then_only() {
    let mut rows: Vec<(u32, i64)> = (1..6).map(|n| (n, i64::from(n) - 100)).collect();
    let mut desk = Desk::new(from_cursor(1, -99));
    let run = |desk: &mut Desk, rows: &[(u32, i64)], until: u64| {
        let (mut seen, mut requests) = (Vec::new(), 0);
        while desk.now < Duration::from_secs(until) {
            requests += 1;
            let plan = desk.ask();
            match answer(rows, 5, desk.wall(), &plan) {
                None => desk.fail(Failure::TooLarge, Duration::from_secs(2)),
                Some(rows) => seen.extend(ids(&desk.give(page(rows)))),
            }
        }
        (seen, requests)
    };
    let (seen, _) = run(&mut desk, &rows, 60);
    assert_eq!(HashSet::from_iter(seen), HashSet::from([id(2), id(3), id(4)]));
    let (seen, requests) = run(&mut desk, &rows, 360);
    assert!(seen.is_empty() && requests < 300 / 5 * 4, "{requests}");
    rows.push((6, 400));
    let (seen, _) = run(&mut desk, &rows, 380);
    assert_eq!(seen, [id(6)]);
}

/// Answers as that log does until `until`, or until everything but the bad row was seen and the cursor has passed it. The bad
/// row is too large as long as `fails` says so of a request.
pub(super) fn read_around(
    desk: &mut Desk,
    rows: &[(u32, i64)],
    bad: u32,
    until: Duration,
    mut fails: impl FnMut(&Plan) -> Option<Failure>,
) -> (HashSet<ActivityId>, Vec<Note>, Option<ActivityId>) {
    let (mut seen, mut told, mut cursor) = (HashSet::new(), Vec::new(), None);
    let newest = id(rows.last().unwrap().0);
    while desk.now < until && cursor.as_ref() != Some(&newest) {
        let plan = desk.ask();
        let failure = fails(&plan);
        let failing = failure.map_or(0, |_| bad);
        match answer(rows, failing, desk.wall(), &plan) {
            None => desk.fail(failure.unwrap(), Duration::from_secs(2)),
            Some(rows) => {
                let step = desk.give(page(rows));
                seen.extend(ids(&step));
                told.extend(step.notes);
                cursor = moved(step.batch).or(cursor);
            }
        }
    }
    (seen, told, cursor)
}

/// Where a batch moves the cursor.
fn moved(batch: Option<Batch>) -> Option<ActivityId> {
    batch.and_then(|batch| batch.cursor).map(|cursor| cursor.id)
}

pub(super) fn without_a_cursor() -> Desk {
    Desk::new(Start {
        last_poll: Some(Timestamp(NOW - 900 * SECOND)),
        ..Start::default()
    })
}

pub(super) fn all_but(rows: &[(u32, i64)], bad: Option<u32>) -> HashSet<ActivityId> {
    let others = rows.iter().map(|(n, _)| *n).filter(|n| Some(*n) != bad);
    others.map(id).collect()
}

#[test]
fn rows_of_the_same_instant_as_one_that_cannot_be_fetched_are_read_from_both_sides() {
    for bad in 6..=10 {
        let rows: Vec<(u32, i64)> = (1..16)
            .map(|n| {
                (
                    n,
                    if (6..=10).contains(&n) {
                        -500
                    } else {
                        i64::from(n) * 10 - 600
                    },
                )
            })
            .collect();
        let mut desk = without_a_cursor();
        let (seen, told, cursor) = read_around(&mut desk, &rows, bad, Duration::from_secs(120), |_| {
            Some(Failure::TooLarge)
        });
        assert_eq!(seen, all_but(&rows, Some(bad)), "{bad}");
        assert_eq!(cursor, Some(id(15)), "{bad}");
        assert!(
            matches!(told.as_slice(), [Note::Unfetchable { at, .. }] if *at == Timestamp(NOW - 500 * SECOND)),
            "{bad}: {told:?}"
        );
    }
}

#[test]
fn a_row_that_is_mended_while_it_is_looked_for_is_offered_and_nothing_is_said_of_it() {
    let rows: Vec<(u32, i64)> = (1..40).map(|n| (n, i64::from(n) * 10 - 910)).collect();
    let mut desk = without_a_cursor();
    let mut was_found = false;
    let fails = |plan: &Plan| {
        was_found |= plan.probe && plan.since.is_some();
        (!was_found).then_some(Failure::TooLarge)
    };
    let (seen, told, cursor) = read_around(&mut desk, &rows, 20, Duration::from_secs(120), fails);
    assert_eq!(seen, all_but(&rows, None));
    assert_eq!((told, cursor, desk.reader.waits_for()), (vec![], Some(id(39)), None));
    assert_eq!(desk.now, Duration::ZERO, "in one sweep");
}

/// Such as over a platform that is slow in one direction only.
#[test]
fn a_row_that_fails_only_on_the_way_down_is_waited_for_ten_minutes() {
    let rows: Vec<(u32, i64)> = (1..40).map(|n| (n, i64::from(n) * 10 - 910)).collect();
    for failure in [Failure::Unreadable, Failure::TooLarge] {
        let mut desk = without_a_cursor();
        let mut requests = 0;
        let mut fails = |plan: &Plan| {
            requests += 1;
            plan.since.is_none().then_some(failure)
        };
        let (seen, told, cursor) = read_around(&mut desk, &rows, 20, Duration::from_secs(300), &mut fails);
        assert_eq!(seen, all_but(&rows, None), "it was met on the way up");
        assert!(told.is_empty() && cursor.is_none_or(|cursor| cursor < id(20)));
        let waits = desk.reader.waits_for();
        let may_pass = failure == Failure::Unreadable;
        assert_eq!(waits, may_pass.then_some(Timestamp(NOW - 710 * SECOND)));
        let (_, told, cursor) = read_around(&mut desk, &rows, 20, Duration::from_secs(1000), &mut fails);
        assert!(matches!(told.as_slice(), [Note::Unfetchable { .. }]), "{told:?}");
        assert_eq!(cursor, Some(id(39)));
        assert!(requests < 3000, "{requests}");
    }
}

#[test]
fn a_row_that_is_not_where_it_was_found_is_looked_for_four_times_in_one_window() {
    let rows: Vec<(u32, i64)> = (1..40).map(|n| (n, i64::from(n) * 10 - 910)).collect();
    let mut desk = without_a_cursor();
    let mut found = 0;
    loop {
        let plan = desk.ask();
        if desk.now > Duration::ZERO {
            break;
        }
        let rises = plan.probe && plan.since.is_some();
        found += u32::from(rises && plan.limit == 1);
        match answer(&rows, if plan.since.is_none() { 20 } else { 0 }, desk.wall(), &plan) {
            None => desk.fail(Failure::TooLarge, Duration::ZERO),
            Some(rows) => drop(desk.give(page(rows))),
        }
    }
    assert_eq!(found, 4);
}

#[test]
fn while_a_row_is_looked_for_a_failure_costs_a_second_and_else_its_whole_pause() {
    let rows: Vec<(u32, i64)> = (1..40).map(|n| (n, i64::from(n) * 10 - 910)).collect();
    let mut desk = without_a_cursor();
    let mut costs = [HashSet::new(), HashSet::new()];
    let mut failed: Option<(bool, Duration)> = None;
    while desk.reader.waits_for().is_none() {
        let plan = desk.ask();
        if let Some((beside, at)) = failed.take() {
            costs[usize::from(beside)].insert((desk.now - at).as_secs());
        }
        match answer(&rows, 20, desk.wall(), &plan) {
            None => {
                failed = Some((plan.probe, desk.now));
                desk.fail(Failure::Unreadable, Duration::from_secs(9));
            }
            Some(rows) => {
                desk.give(page(rows));
            }
        }
    }
    assert_eq!(costs, [HashSet::from([9]), HashSet::from([1])]);
}

/// On the way down they cannot be told from rows below them that fail. On the way up the whole instant is had.
#[test]
fn more_rows_of_one_instant_than_can_be_had_at_once_are_read_from_below() {
    let tied = 6..=8;
    let rows: Vec<(u32, i64)> = (1..16)
        .map(|n| (n, i64::from(if tied.contains(&n) { 7 } else { n }) * 10 - 600))
        .collect();
    let mut desk = Desk::new(Start::default());
    let (mut seen, mut cursor, mut requests) = (HashSet::new(), None, 0);
    while cursor != Some(id(15)) {
        requests += 1;
        assert!(requests < 200, "{seen:?}");
        let plan = desk.ask();
        let found = answer(&rows, 0, desk.wall(), &plan).unwrap();
        if plan.since.is_none() && found.len() > 2 {
            desk.fail(Failure::TooLarge, Duration::from_secs(1));
            continue;
        }
        let step = desk.give(page(found));
        assert_eq!(step.notes, []);
        seen.extend(ids(&step));
        cursor = moved(step.batch).or(cursor);
    }
    assert_eq!(seen, all_but(&rows, None));
    assert_eq!((desk.now, desk.reader.waits_for()), (Duration::ZERO, None));
}

#[test]
fn what_cannot_be_compared_or_listed_at_all_is_left_alone_for_a_while() {
    let secs = Duration::from_secs;
    let mut desk = settled(true);
    desk.reader.compare_soon(desk.now);
    let begun = desk.now;
    for limit in [500, 50, 5, 1] {
        let plan = desk.ask();
        assert_eq!((plan.compare, plan.limit), (true, limit));
        desk.fail(Failure::TooLarge, secs(1));
    }
    let compared = loop {
        let compares = desk.ask().compare;
        desk.give(page(vec![]));
        if compares {
            break desk.now - begun;
        }
    };
    assert_eq!(compared, secs(600));

    let mut desk = Desk::new(Start {
        imported: Some(id(5)),
        replaced: true,
        ..Start::default()
    });
    desk.ask();
    desk.give(page(vec![row(6, -40)]));
    let mut listed = Vec::new();
    while desk.now < secs(150) {
        let plan = desk.ask();
        if plan.since_secs == Some(604_800) && plan.limit == 500 {
            listed.push(desk.now.as_secs());
        }
        if plan.since.is_some() || plan.compare {
            desk.give(page(vec![]));
        } else {
            desk.fail(Failure::TooLarge, Duration::ZERO);
        }
    }
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert!(listed.windows(2).all(|pair| pair[1] - pair[0] >= 60), "{listed:?}");
}

#[test]
fn as_much_is_compared_as_can_be_had() {
    let mut desk = settled(true);
    desk.reader.compare_soon(desk.now);
    for limit in [500, 50] {
        assert_eq!(desk.ask().limit, limit);
        desk.fail(Failure::TooLarge, Duration::ZERO);
    }
    let plan = desk.ask();
    assert_eq!((plan.compare, plan.limit), (true, 5));
    let step = desk.give(page((3..8).map(|n| row(n, i64::from(n))).collect()));
    assert_eq!(ids(&step), [3, 4, 5, 6, 7].map(id), "and no more than one page");
}

/// The search for the one must not lead past the rows above the cursor.
#[test]
fn a_row_that_cannot_be_fetched_below_the_cursor_hides_nothing_above_it_and_is_not_told_of() {
    let rows: Vec<(u32, i64)> = (1..21).map(|n| (n, i64::from(n) * 10 - 510)).collect();
    let mut desk = Desk::new(from_cursor(10, -410));
    let (mut seen, mut told, mut cursor) = (HashSet::new(), Vec::new(), None);
    while cursor != Some(id(20)) {
        assert!(desk.now < Duration::from_secs(100), "{seen:?}");
        let plan = desk.ask();
        let found = [9, 12].map(|bad| answer(&rows, bad, desk.wall(), &plan));
        let [Some(found), Some(_)] = found else {
            desk.fail(Failure::TooLarge, Duration::ZERO);
            continue;
        };
        let step = desk.give(page(found));
        seen.extend(ids(&step));
        told.extend(step.notes);
        cursor = moved(step.batch).or(cursor);
    }
    assert_eq!(seen, (11..21).filter(|n| *n != 12).map(id).collect());
    let at = |n: i64| Timestamp(NOW + (n * 10 - 510) * SECOND);
    let until = at(13).plus_micros(1);
    assert_eq!(told, [Note::Unfetchable { at: at(12), until }]);
}
