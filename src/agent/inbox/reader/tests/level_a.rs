//! A platform that ignores where it is asked from: always its newest rows, newest first.

use super::*;

struct Log {
    rows: Vec<(u32, i64)>,
    /// How many rows can be had at once, and what becomes of asking for more.
    most: usize,
    failure: Failure,
    pause: Duration,
    asked: Vec<Plan>,
    seen: HashSet<ActivityId>,
    cursor: Option<ActivityId>,
}

impl Log {
    fn of(rows: impl IntoIterator<Item = (u32, i64)>) -> Self {
        Self {
            rows: rows.into_iter().collect(),
            most: 500,
            failure: Failure::TooLarge,
            pause: Duration::from_secs(1),
            asked: Vec::new(),
            seen: HashSet::new(),
            cursor: None,
        }
    }

    /// Rows 1 to 10, one every ten seconds, and a reader that has read them and knows what it deals with.
    fn with_ten_rows() -> (Self, Desk) {
        let mut log = Self {
            // Read and acknowledged long ago.
            seen: HashSet::from([id(1)]),
            ..Self::of((1..11).map(|n| (n, i64::from(n) * 10 - 1000)))
        };
        let mut desk = Desk::new(from_cursor(1, -990));
        assert_eq!(log.read(&mut desk, 100), []);
        assert_eq!(log.seen, (1..11).map(id).collect());
        (log, desk)
    }

    /// Reads until so many seconds have passed; what was told, and after how many.
    fn read(&mut self, desk: &mut Desk, until: u64) -> Vec<(u64, Note)> {
        let mut told = Vec::new();
        while desk.now < Duration::from_secs(until) {
            let plan = desk.ask();
            self.asked.push(plan.clone());
            let many = usize::try_from(plan.limit).unwrap().min(self.rows.len());
            if many > self.most {
                desk.fail(self.failure, self.pause);
                continue;
            }
            let rows: Vec<Row> = self.rows.iter().rev().take(many).map(|(n, at)| row(*n, *at)).collect();
            let unknown = desk.reader.unknown(&rows).into_iter();
            let known = unknown.filter(|id| self.seen.contains(id)).collect();
            let step = desk.give(Page { known, ..page(rows) });
            self.seen.extend(ids(&step));
            told.extend(step.notes.iter().map(|note| (desk.now.as_secs(), *note)));
            if let Some(cursor) = step.batch.and_then(|batch| batch.cursor) {
                self.cursor = Some(cursor.id);
            }
        }
        told
    }
}

#[test]
fn rows_out_of_reach_are_told_of_at_once_or_after_three_minutes_when_that_may_pass() {
    for (failure, after) in [(Failure::TooLarge, 0..10), (Failure::Unreadable, 180..300)] {
        let (mut log, mut desk) = Log::with_ten_rows();
        log.rows.extend((11..71).map(|n| (n, i64::from(n) + 29)));
        (log.most, log.failure) = (50, failure);
        desk.reader.hint();
        let told = log.read(&mut desk, 500);
        assert!(
            matches!(told.as_slice(), [(at, Note::Gap)] if after.contains(&(at - 100))),
            "{failure:?} {told:?}"
        );
        assert_eq!(log.seen, (1..11).chain(21..71).map(id).collect());
        assert_eq!(log.cursor, Some(id(10)), "what is missing may yet come into reach");
    }
}

#[test]
fn rows_that_come_into_reach_in_time_are_read_and_nothing_is_said() {
    let (mut log, mut desk) = Log::with_ten_rows();
    log.rows.extend((11..71).map(|n| (n, i64::from(n) + 29)));
    (log.most, log.failure) = (50, Failure::Unreadable);
    desk.reader.hint();
    assert_eq!(log.read(&mut desk, 200), []);
    assert_eq!(log.seen, (1..11).map(id).collect(), "they would seem to be linked");
    log.most = 500;
    assert_eq!(log.read(&mut desk, 400), []);
    assert_eq!(log.seen, (1..71).map(id).collect());
    assert_eq!(log.cursor, Some(id(70)));
}

#[test]
fn a_row_that_appears_late_is_found_however_many_newer_ones_there_are() {
    let (mut log, mut desk) = Log::with_ten_rows();
    log.rows.extend((11..91).map(|n| (n, i64::from(n) / 4 + 60)));
    log.most = 90;
    desk.reader.hint();
    assert_eq!(log.read(&mut desk, 102), []);
    assert_eq!(log.seen, (1..91).map(id).collect());
    let place = log.rows.iter().position(|(_, at)| *at > 66).unwrap();
    log.rows.insert(place, (500, 66));
    assert_eq!(log.read(&mut desk, 160), []);
    assert!(log.seen.contains(&id(500)));
}

#[test]
fn a_page_that_reaches_back_beyond_the_cursor_leaves_nothing_out() {
    let mut log = Log::of((1..601).map(|n| (n, i64::from(n) - 700)));
    // The row of the cursor itself is no longer shown.
    let mut desk = Desk::new(from_cursor(900, -150));
    assert_eq!(log.read(&mut desk, 100), []);
    assert_eq!(log.seen, (550..601).map(id).collect());
    assert_eq!(log.cursor, Some(id(600)));
}

#[test]
fn what_the_journal_holds_links_a_page_after_a_restart() {
    let mut log = Log {
        seen: (1..581).map(id).collect(),
        ..Log::of((1..601).map(|n| (n, i64::from(n) - 700)))
    };
    let mut desk = Desk::new(from_cursor(900, -5000));
    assert_eq!(log.read(&mut desk, 100), []);
    assert_eq!(log.seen, (1..601).map(id).collect());
    assert_eq!(log.cursor, Some(id(600)), "more than that page cannot be had");
}

#[test]
fn a_full_page_of_one_instant_does_not_show_that_the_platform_heeds_the_row_asked_from() {
    let mut desk = Desk::new(from_cursor(1, -5000));
    desk.ask();
    desk.fail(Failure::TooLarge, Duration::ZERO);
    assert_eq!(desk.ask().limit, 50);
    let step = desk.give(page((0..50).map(|n| row(1000 + n, -2)).collect()));
    assert!(step.batch.is_none(), "they may be the newest of many");
}

/// The row of the cursor is no longer shown, so that nothing says which rows of its instant are known.
#[test]
fn a_page_that_ends_within_the_instant_of_the_cursor_may_leave_out_a_row_of_it() {
    let rows = [(1, -150), (2, -150)]
        .into_iter()
        .chain((3..52).map(|n| (n, i64::from(n) - 120)));
    let mut log = Log::of(rows);
    log.most = 50;
    let mut desk = Desk::new(from_cursor(900, -150));
    assert_eq!(desk.ask().limit, 500);
    desk.fail(Failure::TooLarge, Duration::ZERO);
    log.most = 500;
    assert_eq!(log.read(&mut desk, 100), []);
    assert_eq!(log.seen, (1..52).map(id).collect());
}

#[test]
fn ten_minutes_later_it_is_tried_again_whether_it_heeds_rows() {
    let (mut log, mut desk) = Log::with_ten_rows();
    desk.reader.compare_soon(desk.now);
    log.read(&mut desk, 590);
    for (secs, heeds_none) in [(599, true), (600, false)] {
        desk.now = Duration::from_secs(secs);
        desk.reader.hint();
        let plan = desk.ask();
        assert_eq!((plan.compare, desk.now.as_secs()), (heeds_none, secs));
        desk.give(page(vec![row(10, -900)]));
    }
}

#[test]
fn without_a_cursor_its_newest_rows_are_asked_for_all_the_same() {
    let mut log = Log::of([(1, -5000), (2, -2), (3, -1)]);
    let mut desk = Desk::new(Start::default());
    assert_eq!(log.read(&mut desk, 100), []);
    assert_eq!((log.seen, log.cursor), ([2, 3].map(id).into(), Some(id(3))));
    let mut recognised = log.asked.iter().skip_while(|plan| !plan.compare);
    assert!(recognised.next().is_some() && recognised.all(|plan| plan.compare));
}

#[test]
fn what_may_pass_is_tried_three_times_and_for_three_minutes() {
    for (pause, tries) in [(30, 4), (90, 3)] {
        let (mut log, mut desk) = Log::with_ten_rows();
        assert_eq!(log.read(&mut desk, 610), []);
        log.rows.extend((11..611).map(|n| (n, i64::from(n) - 10)));
        (log.most, log.failure, log.pause) = (499, Failure::Unreadable, Duration::from_secs(pause));
        desk.reader.hint();
        let mut told = Vec::new();
        while told.is_empty() && desk.now < Duration::from_secs(2000) {
            let next = desk.now.as_secs() + 1;
            told = log.read(&mut desk, next);
        }
        // A page of 500 fails twice, and of one row less each page is had.
        assert_eq!(told, [(610 + tries * 2 * pause, Note::Gap)], "{pause} s");
    }
}

/// After an interruption of the stream, the newest page is compared first.
#[test]
fn a_comparison_does_not_hide_that_rows_are_out_of_reach() {
    let (mut log, mut desk) = Log::with_ten_rows();
    log.rows.extend((11..711).map(|n| (n, i64::from(n) / 10 + 29)));
    desk.reader.compare_soon(desk.now);
    assert_eq!(log.read(&mut desk, 200), [(100, Note::Gap)]);
    assert_eq!(log.seen, (1..11).chain(211..711).map(id).collect());
}

#[test]
fn where_few_rows_can_be_had_at_once_few_are_enough_as_long_as_they_are_linked() {
    let (mut log, mut desk) = Log::with_ten_rows();
    log.most = 8;
    for (every, most) in [(5, 450), (50, 500)] {
        let before = log.asked.len();
        for _ in 0..20 {
            let now = desk.now.as_secs();
            let row = u32::try_from(log.rows.len()).unwrap() + 1;
            log.rows.push((row, i64::try_from(now).unwrap()));
            desk.reader.hint();
            assert_eq!(log.read(&mut desk, now + every), []);
            assert!(log.seen.contains(&id(row)));
        }
        let asked = log.asked.len() - before;
        assert!(asked < most, "{asked} requests for a row every {every} s");
    }
}

/// How far a sweep should go back is out of reach as well: that is no reason to hold up what comes.
#[test]
fn rows_that_are_linked_are_taken_although_more_cannot_be_had() {
    let (mut log, mut desk) = Log::with_ten_rows();
    (log.most, log.failure) = (50, Failure::Unreadable);
    for n in 0..200 {
        log.rows.push((11 + n, 100 + i64::from(n)));
        assert_eq!(log.read(&mut desk, 101 + u64::from(n)), []);
        let missing = log.rows.len() - log.seen.len();
        assert!(missing < 50, "{missing} in the end");
    }
}
