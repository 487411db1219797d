//! What lies before the beginning of a replaced journal: it is listed and not offered.

use super::around::answer;
use super::*;

/// Reading begins with row 5.
fn replaced() -> Desk {
    Desk::new(Start {
        imported: Some(id(5)),
        replaced: true,
        ..Start::default()
    })
}

#[test]
fn before_a_replaced_journal_begins_messages_are_listed_and_not_offered() {
    let mut desk = replaced();
    assert_eq!(desk.ask().since, Some(id(5)), "what is to be offered comes first");
    let step = desk.give(page(vec![row(6, -40), row(7, -30)]));
    assert_eq!(ids(&step), [id(6), id(7)]);

    let plan = desk.ask();
    assert_eq!((plan.since, plan.since_secs, plan.limit), (None, Some(604_800), 500));
    let newest: Vec<Row> = (0..500).map(|n| row(1000 + n, -20)).collect();
    let step = desk.give(page(newest));
    assert!(
        step.batch.is_none() && !step.listed,
        "what is above the beginning is not listed"
    );
    assert_eq!(desk.ask().before, Some(Timestamp(NOW - 20 * SECOND).plus_micros(1)));
    let rest = vec![
        row(7, -30),
        row(6, -40),
        row(5, -50),
        row(4, -50),
        row(3, -604_700),
        row(2, -700_000),
    ];
    let step = desk.give(page(rest));
    assert_eq!(
        ids(&step),
        [id(3), id(5), id(4)].map(|id| id).into_iter().collect::<Vec<_>>()
    );
    let batch = step.batch.unwrap();
    assert!(batch.recovered && !batch.hold && !batch.release && batch.cursor.is_none() && batch.polled.is_none());
    assert!(step.listed && step.recovered.is_none());
    assert!(desk.ask().since.is_some(), "and then reading goes on as ever");
}

#[test]
fn a_row_that_cannot_be_listed_is_passed_over_at_once_or_the_third_time_and_not_waited_for() {
    let rows: Vec<(u32, i64)> = (1..11).map(|n| (n, i64::from(n) * 10 - 500)).collect();
    // What may have been an accident is looked at again.
    for (failure, times) in [(Failure::TooLarge, 1), (Failure::Unreadable, 3)] {
        let mut desk = replaced();
        let (mut offered, mut listed, mut is_done) = (HashSet::new(), Vec::new(), false);
        while desk.now < Duration::from_secs(400) {
            let plan = desk.ask();
            let Some(found) = answer(&rows, 3, desk.wall(), &plan) else {
                desk.fail(failure, Duration::from_secs(1));
                continue;
            };
            let step = desk.give(page(found));
            assert_eq!(step.notes, []);
            let recovered = step.batch.as_ref().is_some_and(|batch| batch.recovered);
            if recovered {
                listed.extend(ids(&step));
            } else {
                offered.extend(ids(&step));
            }
            is_done |= step.listed;
            assert_eq!(desk.reader.waits_for(), None);
        }
        assert!(is_done);
        assert_eq!(offered, (6..11).map(id).collect());
        let oldest = listed.iter().filter(|row| **row == id(1)).count();
        assert_eq!(oldest, times, "{failure:?}");
        assert_eq!(listed.into_iter().collect::<HashSet<_>>(), [1, 2, 4, 5].map(id).into());
    }
}

/// Rows of that instant that were met before it cannot be told from newer ones at first.
#[test]
fn the_whole_instant_of_the_row_that_a_journal_begins_with_is_listed_although_another_fails() {
    let tied = 4..=7;
    let rows: Vec<(u32, i64)> = (1..11)
        .map(|n| (n, i64::from(if tied.contains(&n) { 5 } else { n }) * 10 - 500))
        .collect();
    let mut desk = replaced();
    let (mut listed, mut is_done) = (HashSet::new(), false);
    while !is_done {
        assert!(desk.now < Duration::from_secs(100), "{listed:?}");
        let plan = desk.ask();
        let Some(found) = answer(&rows, 6, desk.wall(), &plan) else {
            desk.fail(Failure::TooLarge, Duration::ZERO);
            continue;
        };
        let step = desk.give(page(found));
        if step.batch.as_ref().is_some_and(|batch| batch.recovered) {
            listed.extend(ids(&step));
        }
        is_done = step.listed;
    }
    assert_eq!(listed, [1, 2, 3, 4, 5, 7].map(id).into());
}

#[test]
fn a_platform_that_stops_to_heed_where_it_is_asked_from_ends_the_listing() {
    let mut desk = replaced();
    desk.ask();
    desk.give(page(vec![row(6, -40)]));
    for (before, ends) in [(None, false), (Some(-20), false), (Some(-20), true)] {
        let plan = desk.ask();
        let before = before.map(|at| Timestamp(NOW + at * SECOND).plus_micros(1));
        assert_eq!((plan.since_secs, plan.before), (Some(604_800), before));
        let newest = (0..500).map(|n| row(2000 - n, i64::from(n) / -30 - 4));
        let step = desk.give(page(newest.collect()));
        assert_eq!(
            (step.listed, step.notes),
            (ends, if ends { vec![Note::Stuck] } else { vec![] })
        );
        assert!(step.batch.is_none());
    }
}
