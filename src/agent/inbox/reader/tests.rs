//! Single decisions of the reader, one at a time.

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::*;
use crate::agent::envelope::read_row;
use crate::state::journal::Cursor;
use crate::types::WorkspaceId;

mod around;
mod instants;
mod level_a;
mod listing;

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
    requests: u32,
}

impl Desk {
    fn new(start: Start) -> Self {
        Self {
            reader: Reader::new(start, Timing::REAL, Duration::ZERO),
            now: Duration::ZERO,
            requests: 0,
        }
    }

    fn wall(&self) -> Timestamp {
        Timestamp(NOW).plus_micros(i64::try_from(self.now.as_micros()).unwrap())
    }

    /// The next request, however long it takes to become due.
    fn ask(&mut self) -> Plan {
        loop {
            match self.reader.next(self.now, self.wall()) {
                Next::Ask(plan) => {
                    self.requests += 1;
                    assert!(self.requests < 10_000, "without an end: {plan:?} in {:?}", self.now);
                    return plan;
                }
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
    let mut reads = 0;
    let moved = loop {
        reads += 1;
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
    assert!(reads < 8, "{reads}: a known row is not seen anew");
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
    for failure in [Failure::Other, Failure::Unreadable] {
        let mut desk = Desk::new(from_cursor(1, -5000));
        let plan = desk.ask();
        desk.fail(failure, Duration::from_secs(42));
        assert_eq!(desk.ask(), plan);
        assert_eq!(desk.now, Duration::from_secs(42));
    }
}

/// Pages of a recovery are held back in the journal: whatever becomes of it, they must be offered in the end.
#[test]
fn held_pages_are_offered_at_the_end_of_their_recovery_or_of_the_next_read() {
    for given_up in [false, true] {
        let mut desk = settled(true);
        desk.reader.hint();
        assert_eq!(desk.ask().since, Some(id(2)));
        desk.fail(Failure::Gone, Duration::ZERO);
        desk.ask();
        let full: Vec<Row> = (0..500).map(|n| row(1000 - n, 90 - i64::from(n) / 10)).collect();
        let batch = desk.give(page(full)).batch.unwrap();
        assert!(batch.hold && !batch.release);
        let begun = desk.now;
        desk.ask();
        if given_up {
            // Not even what is older than all rows can be had.
            desk.fail(Failure::TooLarge, Duration::ZERO);
            while desk.ask().before.is_some() {
                desk.fail(Failure::TooLarge, Duration::ZERO);
            }
        }
        let release = loop {
            let step = desk.give(page(vec![]));
            if let Some(batch) = step.batch.filter(|batch| batch.release) {
                break batch;
            }
            assert!(given_up && desk.now < begun + Duration::from_secs(60), "{:?}", desk.now);
            desk.ask();
        };
        assert!(!release.hold);
        desk.reader.hint();
        desk.ask();
        let batch = desk.give(page(vec![row(1001, 95)])).batch.unwrap();
        assert!(!batch.release, "nothing is held any more");
    }
}

#[test]
fn a_message_that_no_hint_told_of_makes_the_timer_short_for_a_while() {
    for (hinted, expected) in [(true, 30), (false, 5)] {
        let mut desk = settled(true);
        if hinted {
            desk.reader.hint();
        }
        desk.ask();
        desk.give(page(vec![row(3, 90)]));
        // The sweeps after a new row.
        let end = desk.now + Duration::from_secs(50);
        while desk.now < end {
            desk.ask();
            desk.give(page(vec![row(3, 90)]));
        }
        desk.reader.hint();
        desk.ask();
        desk.give(page(vec![]));
        let read = desk.now;
        desk.ask();
        assert_eq!(desk.now - read, Duration::from_secs(expected), "{hinted}");
    }
}

#[test]
fn a_hinted_read_does_not_stand_in_for_the_sweep_that_moves_the_cursor() {
    let mut desk = Desk::new(from_cursor(1, -5000));
    desk.reader.stream_live(true);
    desk.ask();
    desk.give(page(vec![row(2, -1)]));
    for _ in 0..3 {
        desk.ask();
        desk.give(page(vec![row(2, -1)]));
    }
    desk.now = Duration::from_secs(46);
    desk.reader.hint();
    assert_eq!(desk.ask().since, Some(id(2)));
    desk.give(page(vec![]));
    assert_eq!(desk.ask().since, Some(id(1)), "the sweep");
    let step = desk.give(page(vec![row(2, -1)]));
    assert_eq!(step.batch.unwrap().cursor, Some(cursor(2, -1)));
}

#[test]
fn at_rest_the_last_good_poll_is_recorded_every_minute() {
    let mut desk = settled(false);
    let end = desk.now + Duration::from_secs(1200);
    let mut recorded = 0;
    while desk.now < end {
        desk.ask();
        let step = desk.give(page(vec![]));
        recorded += u32::from(step.batch.is_some_and(|batch| batch.polled.is_some()));
    }
    assert_eq!(recorded, 20);
}

#[test]
fn what_was_there_before_a_first_start_that_found_nothing_is_never_offered() {
    let mut desk = Desk::new(Start::default());
    desk.ask();
    desk.give(page(vec![]));
    desk.reader.compare_soon(desk.now);
    while !desk.ask().compare {
        desk.give(page(vec![]));
    }
    let step = desk.give(page(vec![row(1, -5000), row(2, -1)]));
    assert_eq!(ids(&step), [id(2)]);
}

#[test]
fn a_platform_that_goes_round_in_circles_ends_a_read_and_its_rows_are_offered() {
    let mut desk = Desk::new(from_cursor(1, -5000));
    let pages = |first: u32, at: i64| page((0..500).map(|n| row(first + n, at + i64::from(n))).collect());
    let mut notes = Vec::new();
    for (first, at) in [(1000, -2000), (2000, -1400), (3000, -2000)] {
        desk.ask();
        let step = desk.give(pages(first, at));
        assert_eq!(ids(&step).len(), 500);
        notes.extend(step.notes);
    }
    assert_eq!(notes, [Note::Stuck]);
}
