//! Single decisions of the reader, one at a time.

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::*;
use crate::agent::envelope::read_row;
use crate::state::journal::Cursor;
use crate::types::WorkspaceId;

const SECOND: i64 = 1_000_000;
const NOW: i64 = 1_800_000_000 * SECOND;

fn id(n: u32) -> ActivityId {
    ActivityId::parse(&format!("00000000-0000-4000-8000-{n:012}")).unwrap()
}

/// A row from the person, so many seconds from [`NOW`].
fn row(n: u32, seconds: i64) -> Row {
    let json = format!(
        r#"{{"id":"{}","summary":"S","created_at":"{}"}}"#,
        id(n),
        Timestamp(NOW + seconds * SECOND).to_rfc3339()
    );
    let raw = RawValue::from_string(json).unwrap();
    read_row(&raw, &WorkspaceId::parse("own").unwrap(), Timestamp(0))
}

fn page(rows: Vec<Row>) -> Page {
    Page {
        rows,
        date: Some(Timestamp(NOW)),
        known: HashSet::new(),
    }
}

fn cursor(n: u32, seconds: i64) -> Cursor {
    Cursor {
        id: id(n),
        at: Timestamp(NOW + seconds * SECOND),
        seq: None,
    }
}

fn from_cursor(n: u32, seconds: i64) -> Start {
    Start {
        cursor: Some(cursor(n, seconds)),
        last_poll: Some(Timestamp(NOW - 10 * SECOND)),
        ..Start::default()
    }
}

/// A reader and its clock; both clocks tick together.
struct Desk {
    reader: Reader,
    now: Duration,
}

impl Desk {
    fn new(start: Start) -> Self {
        Self {
            reader: Reader::new(start, Timing::REAL, Duration::ZERO),
            now: Duration::ZERO,
        }
    }

    fn wall(&self) -> Timestamp {
        Timestamp(NOW).plus_micros(i64::try_from(self.now.as_micros()).unwrap())
    }

    /// The next request, however long it takes to become due.
    fn ask(&mut self) -> Plan {
        loop {
            match self.reader.next(self.now, self.wall()) {
                Next::Ask(plan) => return plan,
                Next::Wait(wait) => self.now += wait,
            }
        }
    }

    fn give(&mut self, page: Page) -> Step {
        let step = self.reader.answer(self.now, self.wall(), Ok(page));
        self.reader.committed();
        step
    }

    fn fail(&mut self, failure: Failure, pause: Duration) {
        let failure = ReadFailure { failure, pause };
        let step = self.reader.answer(self.now, self.wall(), Err(failure));
        assert!(step.batch.is_none());
        self.reader.committed();
    }
}

fn ids(step: &Step) -> Vec<ActivityId> {
    let batch = step.batch.iter();
    batch
        .flat_map(|batch| batch.messages.iter().map(|message| message.activity_id.clone()))
        .collect()
}

#[test]
fn a_first_start_reads_ten_minutes_back_and_delivers_oldest_first() {
    let mut desk = Desk::new(Start::default());
    let plan = desk.ask();
    assert_eq!(
        (plan.since, plan.since_secs, plan.before, plan.limit),
        (None, Some(600), None, 500)
    );
    let step = desk.give(page(vec![row(3, -1), row(2, -90), row(1, -100)]));
    assert_eq!(ids(&step), [id(1), id(2), id(3)]);
    let batch = step.batch.unwrap();
    assert!(!batch.hold && batch.release && batch.polled.is_some());
    assert_eq!(batch.cursor, Some(cursor(2, -90)), "the newest row that is 60 s old");
}

#[test]
fn pages_of_a_recovery_are_held_until_the_oldest_is_in() {
    let mut desk = Desk::new(from_cursor(900, -5000));
    assert_eq!(desk.ask().since, Some(id(900)));
    desk.fail(Failure::Gone, Duration::from_secs(9));
    let plan = desk.ask();
    assert_eq!(
        (plan.since, plan.since_secs),
        (None, Some(600)),
        "the last good poll was 10 s ago"
    );
    assert_eq!(desk.now, Duration::ZERO, "a recovery begins at once");

    let full: Vec<Row> = (0..500).map(|n| row(1000 - n, -100 - i64::from(n) / 2)).collect();
    let step = desk.give(page(full));
    let batch = step.batch.unwrap();
    assert!(batch.hold && !batch.release && batch.cursor.is_none() && batch.polled.is_none());
    assert!(!batch.forget_cursor && step.recovered.is_none());

    let plan = desk.ask();
    assert_eq!(plan.before, Some(Timestamp(NOW - 349 * SECOND).plus_micros(1)));
    let step = desk.give(page(vec![row(502, -349), row(501, -349), row(7, -400)]));
    assert_eq!(ids(&step), [id(7)]);
    let batch = step.batch.unwrap();
    assert!(!batch.hold && batch.release && batch.polled.is_some());
    assert_eq!(batch.cursor, Some(cursor(1000, -100)));
    let since = Some(Timestamp(NOW - 10 * SECOND));
    let reason = Reason::Gone;
    assert_eq!(step.recovered, Some(Recovered { reason, since }));
}

/// The journal may still hold pages of a recovery that a dead process began.
#[test]
fn the_cursor_passes_nothing_that_is_still_held() {
    let mut desk = Desk::new(from_cursor(900, -5000));
    desk.ask();
    let full: Vec<Row> = (1000..1500).map(|n| row(n, -4000 + i64::from(n - 1000))).collect();
    let batch = desk.give(page(full)).batch.unwrap();
    assert_eq!(batch.cursor, Some(cursor(1498, -3502)), "below the page's last instant");
    assert!(batch.release && !batch.hold);

    desk.ask();
    let batch = desk.give(page(vec![row(1499, -3501), row(1500, -5)])).batch.unwrap();
    assert!(batch.release, "the first sweep has come to its end");
    desk.now += Duration::from_secs(60);
    desk.ask();
    let batch = desk.give(page(vec![row(1500, -5), row(1501, 50)])).batch.unwrap();
    assert!(!batch.release, "nothing is held any more");
}

#[test]
fn a_forgotten_cursor_without_a_successor_is_forgotten_here_too() {
    let mut desk = Desk::new(from_cursor(1, -5000));
    desk.ask();
    desk.fail(Failure::Gone, Duration::ZERO);
    desk.ask();
    let step = desk.give(page(vec![]));
    assert!(step.batch.unwrap().forget_cursor);
    assert_eq!(
        desk.ask().since_secs,
        Some(600),
        "an inbox without any row is read as a window"
    );
    assert!(
        desk.give(page(vec![])).batch.is_none(),
        "nothing is written while nothing comes"
    );
}

#[test]
fn nothing_advances_until_the_journal_has_it() {
    let mut desk = Desk::new(from_cursor(1, -5000));
    let plan = desk.ask();
    for _ in 0..3 {
        let step = desk
            .reader
            .answer(desk.now, desk.wall(), Ok(page(vec![row(2, -200), row(3, -1)])));
        assert_eq!(ids(&step), [id(2), id(3)]);
        assert_eq!(step.batch.unwrap().cursor, Some(cursor(2, -200)));
        desk.reader.not_committed();
        assert_eq!(desk.ask(), plan);
    }
    desk.give(page(vec![row(2, -200), row(3, -1)]));
    desk.reader.hint();
    assert_eq!(desk.ask().since, Some(id(3)));
}

#[test]
fn known_rows_are_dropped_and_late_ones_are_found_by_the_near_sweep() {
    let mut desk = Desk::new(from_cursor(1, -5000));
    desk.ask();
    desk.give(page(vec![row(3, -1)]));
    let plan = desk.ask();
    assert_eq!(
        (plan.since, desk.now.as_millis()),
        (Some(id(1)), 200),
        "a near sweep, from the cursor for want of an older row"
    );
    let step = desk.give(page(vec![row(2, -2), row(3, -1)]));
    assert_eq!(ids(&step), [id(2)]);
    assert_eq!(step.batch.unwrap().cursor, None, "only a full sweep moves the cursor");
}

#[test]
fn the_saved_cursor_follows_45_s_behind() {
    let mut desk = Desk::new(from_cursor(1, -5000));
    desk.reader.stream_live(true);
    desk.ask();
    desk.give(page(vec![row(2, -1)]));
    let moved = loop {
        let plan = desk.ask();
        let rows = if plan.since == Some(id(1)) {
            vec![row(2, -1)]
        } else {
            vec![]
        };
        let step = desk.give(page(rows));
        if let Some(cursor) = step.batch.and_then(|batch| batch.cursor) {
            break cursor;
        }
    };
    assert_eq!((moved, desk.now), (cursor(2, -1), Duration::from_secs(45)));
}

#[test]
fn big_answers_are_asked_for_in_smaller_ones() {
    let mut desk = Desk::new(from_cursor(1, -5000));
    let mut asked = Vec::new();
    // More than two rows at once are too large.
    for next in [2, 2, 2, 2, 2, 2, 3, 4] {
        let plan = desk.ask();
        let from = plan.since.clone().unwrap();
        asked.push((from.clone(), plan.limit));
        if plan.limit > 2 {
            desk.fail(Failure::TooLarge, Duration::from_secs(7));
        } else {
            let rows = (next..next + plan.limit).map(|n| row(n, -300 + i64::from(n)));
            desk.give(page(rows.collect()));
        }
    }
    let expected = [(1, 500), (1, 50), (1, 5), (1, 1), (1, 3), (1, 2), (2, 1), (2, 2)];
    assert_eq!(
        asked,
        expected.map(|(from, limit)| (id(from), limit)),
        "two rows lead on, one does not"
    );
    assert_eq!(desk.now, Duration::ZERO, "a smaller page is asked for at once");
}

#[test]
fn what_may_be_the_platforms_fault_is_held_against_rows_only_while_it_answers_something_else() {
    let mut desk = Desk::new(from_cursor(1, -5000));
    let twice = |desk: &mut Desk, limit| {
        for _ in 0..2 {
            let plan = desk.ask();
            assert_eq!(
                (plan.since, plan.limit),
                (Some(id(1)), limit),
                "one failure may be an accident"
            );
            desk.fail(Failure::Unreadable, Duration::from_secs(1));
        }
        let control = desk.ask();
        assert_eq!(
            (control.since, control.before, control.limit),
            (None, Some(Timestamp(0)), 1)
        );
    };
    twice(&mut desk, 500);
    desk.fail(Failure::Unreadable, Duration::from_secs(1));
    // It answered nothing else either, so that the same is asked for again.
    assert_eq!(desk.ask().limit, 500);
    desk.fail(Failure::Unreadable, Duration::from_secs(1));
    assert_eq!(desk.ask().before, Some(Timestamp(0)));
    desk.give(page(vec![]));
    for limit in [50, 5, 1] {
        twice(&mut desk, limit);
        desk.give(page(vec![]));
    }
    assert_eq!(desk.ask().since, None, "another way is tried");
}

/// A log of one row per second, one of which is too large: answers plans as a platform does, rows and order.
fn answer(rows: &[(u32, i64)], too_large: u32, wall: Timestamp, plan: &Plan) -> Option<Vec<Row>> {
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
        let (mut seen, mut told, mut cursor) = (HashSet::new(), Vec::new(), None);
        let mut requests = 0;
        while cursor != Some(id(39)) {
            requests += 1;
            assert!(requests < 400, "{start}");
            let plan = desk.ask();
            match answer(&rows, 20, desk.wall(), &plan) {
                None => desk.fail(Failure::TooLarge, Duration::from_secs(2)),
                Some(rows) => {
                    let step = desk.give(page(rows));
                    seen.extend(ids(&step));
                    told.extend(step.notes);
                    cursor = step
                        .batch
                        .and_then(|batch| batch.cursor)
                        .map(|cursor| cursor.id)
                        .or(cursor);
                }
            }
        }
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
        cursor = step
            .batch
            .and_then(|batch| batch.cursor)
            .map(|cursor| cursor.id)
            .or(cursor);
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

#[test]
fn before_a_replaced_journal_begins_messages_are_listed_and_not_offered() {
    let start = Start {
        imported: Some(id(5)),
        replaced: true,
        ..Start::default()
    };
    let mut desk = Desk::new(start);
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
fn level_a_is_recognised_and_read_newest_first() {
    let mut desk = Desk::new(from_cursor(1, -5000));
    for _ in 0..2 {
        assert_eq!(desk.ask().since, Some(id(1)), "one odd answer is no proof");
        let step = desk.give(page(vec![row(3, -1), row(2, -2), row(1, -5000), row(9, -6000)]));
        assert!(step.batch.is_none());
    }
    let plan = desk.ask();
    assert!(plan.compare && plan.since.is_none() && plan.since_secs.is_none() && plan.limit == 500);
    let rows = vec![row(3, -1), row(2, -2), row(1, -5000), row(9, -6000)];
    assert_eq!(desk.reader.unknown(&rows), [id(3), id(2), id(9)]);
    let step = desk.give(page(rows));
    assert_eq!(ids(&step), [id(2), id(3)], "rows from before our history are not ours");
    assert_eq!(step.notes, []);

    let page_without_known: Vec<Row> = (0..500).map(|n| row(2000 - n, 500 - i64::from(n) / 2)).collect();
    desk.ask();
    let step = desk.give(page(page_without_known));
    assert_eq!(step.notes, [Note::Gap]);
    assert_eq!(ids(&step).len(), 500);
}

#[test]
fn a_comparison_finds_what_appeared_behind_the_cursor_and_trusts_the_journal() {
    let start = Start {
        takeover: true,
        ..from_cursor(5, -100)
    };
    let mut desk = Desk::new(start);
    assert_eq!(desk.ask().since, Some(id(5)));
    desk.give(page(vec![]));
    assert!(desk.ask().compare);
    let step = desk.give(Page {
        known: HashSet::from([id(2), id(4)]),
        ..page(vec![
            row(5, -100),
            row(4, -110),
            row(3, -120),
            row(2, -130),
            row(1, -140),
        ])
    });
    assert_eq!(ids(&step), [id(3)], "older than our oldest row is not ours");
    assert_eq!(step.notes, [Note::Late(1)]);
}

#[test]
fn an_imported_cursor_wins_over_the_journals() {
    let start = Start {
        imported: Some(id(7)),
        ..from_cursor(5, -100)
    };
    let mut desk = Desk::new(start);
    assert_eq!(desk.ask().since, Some(id(7)));
    let step = desk.give(page(vec![row(8, -90), row(9, -1)]));
    assert_eq!(ids(&step), [id(8), id(9)]);
    assert_eq!(step.batch.unwrap().cursor, Some(cursor(8, -90)));
}

#[test]
fn a_row_without_an_id_is_counted_and_holds_nothing_up() {
    let mut desk = Desk::new(from_cursor(1, -5000));
    desk.ask();
    let step = desk.give(page(vec![Row::Garbage, row(2, -2), Row::Garbage, row(2, -2)]));
    assert_eq!(ids(&step), [id(2)]);
    assert_eq!(step.notes, [Note::Garbage(2)]);
}

/// What is asked for until then, each answered with nothing new; whether it compares.
fn at_rest(desk: &mut Desk, until: Duration) -> Vec<bool> {
    let mut asked = Vec::new();
    while desk.now < until {
        let plan = desk.ask();
        desk.give(page(vec![]));
        asked.push(plan.compare);
    }
    asked
}

/// A desk that has read, swept and settled one message, with a stream that works or none.
fn settled(live: bool) -> Desk {
    let mut desk = Desk::new(from_cursor(1, -5000));
    desk.reader.stream_live(live);
    desk.ask();
    desk.give(page(vec![row(2, -1)]));
    at_rest(&mut desk, Duration::from_secs(100));
    desk
}

#[test]
fn at_rest_there_is_a_read_every_half_minute_with_a_stream_and_every_five_seconds_without() {
    for (live, reads) in [(true, 40), (false, 240)] {
        let mut desk = settled(live);
        let end = desk.now + Duration::from_secs(1200);
        let asked = at_rest(&mut desk, end);
        assert_eq!(asked.iter().filter(|compares| **compares).count(), 2);
        assert!((reads..=reads + 4).contains(&asked.len()), "{live}: {}", asked.len());
    }
}

#[test]
fn what_the_stream_and_the_platforms_limit_tell_is_heeded() {
    let secs = Duration::from_secs;
    let mut desk = settled(true);
    let begun = desk.now;
    desk.reader.compare_soon(begun);
    assert!(desk.ask().compare && desk.now == begun, "the stream was interrupted");
    desk.give(page(vec![]));

    desk.reader.budget(desk.now, Some(5), Some(secs(60)));
    desk.reader.hint();
    desk.ask();
    assert_eq!(desk.now, begun + secs(5), "few requests are left");
    desk.give(page(vec![]));
    desk.reader.budget(desk.now, Some(500), None);

    desk.reader.timer_at_least(secs(80));
    desk.ask();
    assert_eq!(desk.now, begun + secs(85), "many share one limit");
}

#[test]
fn a_failed_read_is_repeated_after_its_pause() {
    let mut desk = Desk::new(from_cursor(1, -5000));
    let plan = desk.ask();
    desk.fail(Failure::Other, Duration::from_secs(42));
    assert_eq!(desk.ask(), plan);
    assert_eq!(desk.now, Duration::from_secs(42));
}
