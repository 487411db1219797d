//! Rows of one instant, more of them than one page holds, and rows that do not say their time.

use super::around::{all_but, answer, without_a_cursor};
use super::*;

fn untimed(n: u32) -> Row {
    let raw = RawValue::from_string(format!(r#"{{"id":"{}","summary":"S"}}"#, id(n))).unwrap();
    read_row(&raw, &WorkspaceId::parse("own").unwrap(), Timestamp(NOW))
}

#[test]
fn rows_that_do_not_say_their_time_are_read_through_where_the_platform_is_known_to_heed_rows() {
    let mut desk = Desk::new(from_cursor(1, -5000));
    desk.ask();
    desk.give(page((0..500).map(|n| row(1000 + n, i64::from(n) - 2000)).collect()));
    desk.ask();
    let step = desk.give(page((2000..2500).map(untimed).collect()));
    assert_eq!(ids(&step).len(), 500);
    assert_eq!(desk.ask().since, Some(id(2499)));
}

#[test]
fn a_window_of_rows_that_do_not_say_their_time_ends_with_the_largest_page() {
    let mut desk = Desk::new(Start::default());
    desk.ask();
    let step = desk.give(page((1000..1500).map(untimed).collect()));
    assert_eq!((ids(&step).len(), step.notes), (500, vec![Note::Stuck]));
    let batch = step.batch.unwrap();
    assert!(batch.release && !batch.hold && batch.cursor.is_none());
}

#[test]
fn more_rows_of_one_instant_than_one_page_holds_are_read_from_both_sides() {
    let tied = 10..=610;
    let rows: Vec<(u32, i64)> = (1..620)
        .map(|n| (n, i64::from(if tied.contains(&n) { 10 } else { n }) - 700))
        .collect();
    for mut desk in [Desk::new(from_cursor(1, -699)), without_a_cursor()] {
        let mut seen = HashSet::from([id(1)]);
        while desk.now < Duration::from_secs(100) {
            let plan = desk.ask();
            let found = answer(&rows, 0, desk.wall(), &plan).unwrap();
            seen.extend(ids(&desk.give(page(found))));
        }
        assert_eq!(seen, all_but(&rows, None));
    }
}
