//! Finding out at which instant a row stands that cannot be fetched, so that reading can go on below it.

use std::time::Duration;

use super::hole::Gap;
use super::paging::Sheet;
use crate::types::{ActivityId, Timestamp};

/// The first step below the place that fails, in microseconds, and how fast the steps grow.
const FIRST_STEP: i64 = 1_000;
const GROWTH: i64 = 4;
/// Steps longer than this lead out of everything a platform shows, in microseconds.
const FARTHEST: i64 = 2_592_000_000_000 * GROWTH;

/// No row is older than this: whatever a platform shows, it can answer that there is none.
pub(super) const BEFORE_ALL: Timestamp = Timestamp(0);

/// Asks for one row older than ever other instants: what works and what does not close in on the row. The requests are bounded
/// by the bits of an instant.
#[derive(Clone, Debug)]
pub(super) struct Search {
    before: Option<Timestamp>,
    until: Option<Timestamp>,
    certain: bool,
    stage: Stage,
    fails: i64,
    works: Option<i64>,
    /// Nothing older is asked for before this.
    floor: Option<i64>,
    step: i64,
    below: Option<ActivityId>,
}

/// What is asked now.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Whether anything at all can be had: what is older than all rows.
    Ground,
    /// Whether anything has come since the row that failed before was the newest of all.
    Newer(Timestamp, Age),
    /// Whether that row still fails.
    Again(Timestamp),
    /// Where a row stands that fails.
    Narrow,
}

/// How old the platform's clock said that a row was, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    pub(super) secs: u64,
    pub(super) at: Duration,
}

impl Age {
    /// A window that ends a second or two above the row; `None`: the row is too young for that.
    pub(super) fn window_above(self, now: Duration) -> Option<u64> {
        let age = self.secs + now.saturating_sub(self.at).as_secs();
        age.checked_sub(1).filter(|secs| *secs > 0)
    }
}

impl Search {
    /// Asking for one row older than `before` fails; `certain`: it would again. `latest`: no row is newer.
    pub(super) fn new(before: Option<Timestamp>, latest: Timestamp, certain: bool) -> Self {
        Self {
            before,
            until: before,
            certain,
            // What may be the platform's fault was not held against a row before it had answered something.
            stage: if certain { Stage::Ground } else { Stage::Narrow },
            fails: before.unwrap_or(latest).0,
            works: None,
            floor: None,
            step: FIRST_STEP,
            below: None,
        }
    }

    /// Some of what is newer may be missing, too, up to `until`.
    pub(super) fn until(self, until: Option<Timestamp>) -> Self {
        Self { until, ..self }
    }

    /// What is not newer than `lower` is known or not ours. It may fail, too, and must hide nothing above.
    pub(super) fn down_to(self, lower: Option<Timestamp>) -> Self {
        let floor = lower.map(|lower| lower.0.saturating_add(1));
        Self {
            floor: floor.filter(|floor| *floor < self.fails),
            ..self
        }
    }

    /// Asking failed before, too, because of the row at `known`; `age`: when that was the newest row of all.
    pub(super) fn again(self, known: Timestamp, age: Option<Age>) -> Self {
        let stage = match age {
            Some(age) => Stage::Newer(known, age),
            None => Stage::Again(known),
        };
        Self { stage, ..self }
    }

    /// What to ask with: rows of the last so many seconds, or older than an instant.
    pub(super) fn ask(&self, now: Duration) -> (Option<u64>, Option<Timestamp>) {
        match self.stage {
            Stage::Ground => (None, Some(BEFORE_ALL)),
            Stage::Newer(_, age) => (Some(age.window_above(now).unwrap_or(1)), None),
            Stage::Again(_) | Stage::Narrow => (None, Some(self.middle())),
        }
    }

    fn middle(&self) -> Timestamp {
        match (self.stage, self.works) {
            (Stage::Again(known), _) => known.plus_micros(1),
            (_, None) => {
                let next = self.fails.saturating_sub(self.step);
                let floor = self.floor.filter(|floor| *floor < self.fails);
                Timestamp(floor.map_or(next, |floor| next.max(floor)))
            }
            (_, Some(works)) => Timestamp(works + (self.fails - works) / 2),
        }
    }

    /// A page came.
    pub(super) fn worked(&mut self, sheet: &Sheet) {
        self.stage = match self.stage {
            Stage::Newer(known, _) if sheet.heads.is_empty() => Stage::Again(known),
            Stage::Ground | Stage::Newer(..) => Stage::Narrow,
            Stage::Again(_) | Stage::Narrow => {
                self.works = Some(self.middle().0);
                self.below = sheet.askable();
                Stage::Narrow
            }
        };
    }

    /// None came; `certain`: asking again cannot help.
    pub(super) fn failed(&mut self, certain: bool) {
        match self.stage {
            Stage::Ground => self.step = i64::MAX,
            Stage::Newer(..) => {}
            Stage::Again(known) => {
                self.certain &= certain;
                self.fails = self.middle().0;
                // What is read next, from below it, shows whether that is true.
                self.works = Some(known.0);
            }
            Stage::Narrow => {
                self.certain &= certain;
                self.fails = self.middle().0;
                self.step = self.step.saturating_mul(GROWTH);
            }
        }
        self.stage = Stage::Narrow;
    }

    /// Nothing at all can be had, however old: it is not a row that fails.
    pub(super) fn is_in_vain(&self) -> bool {
        self.works.is_none() && self.step > FARTHEST
    }

    /// Once the row's time is known to the microsecond: the gap, and the row right below it if it was met and can be asked from.
    pub(super) fn found(&self) -> Option<(Gap, Option<ActivityId>)> {
        let at = self.works.filter(|works| self.fails - works <= 1)?;
        let lower = self.floor.map_or(i64::MIN, |floor| floor - 1);
        let gap = Gap {
            at: Timestamp(at.max(lower)),
            before: self.before,
            until: self.until,
            certain: self.certain,
        };
        Some((gap, self.below.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::envelope::Head;

    const START: Timestamp = Timestamp(1_000_000_000_000);

    /// Searches in a log of rows at these instants, some of which cannot be fetched; and in how many requests.
    fn search(mut search: Search, rows: &[(i64, bool)]) -> (Option<Timestamp>, u32) {
        let mut requests = 0;
        loop {
            let found = search.found().map(|(gap, _)| gap.at);
            if search.is_in_vain() || found.is_some() {
                return (found, requests);
            }
            requests += 1;
            assert!(requests < 200, "{search:?}");
            let (_, before) = search.ask(Duration::ZERO);
            let older = rows
                .iter()
                .filter(|(at, _)| before.is_some_and(|before| *at < before.0));
            match older.max() {
                Some((_, false)) => search.failed(true),
                _ => search.worked(&Sheet::new(Vec::new(), 0, 1)),
            }
        }
    }

    #[test]
    fn the_time_of_the_row_is_found_to_the_microsecond_in_few_requests() {
        for row in [999_999_999_999, 999_999_000_000, 999_990_123_456, 13] {
            let (found, requests) = search(Search::new(Some(START), START, true), &[(row, false)]);
            assert_eq!(found, Some(Timestamp(row)));
            assert!(requests < 64, "{requests}");
        }
    }

    #[test]
    fn what_fails_below_the_rows_that_are_known_hides_nothing_above_them() {
        let ago = |secs: i64| START.0 - secs * 1_000_000;
        let known = Timestamp(ago(120));
        let found = |before, rows: &[(i64, bool)]| {
            let down = Search::new(Some(before), START, true).down_to(Some(known));
            search(down, rows).0.map(|at| at.0)
        };
        let below = (ago(400), false);
        let rows = [below, (known.0, true), (ago(110), true), (ago(100), false)];
        assert_eq!(found(START, &rows), Some(ago(100)));
        assert_eq!(found(START, &[below, (known.0, false)]), Some(known.0));
        assert_eq!(found(START, &[below]), Some(known.0), "whatever stands down to there");
        assert_eq!(
            found(known.plus_micros(1), &[below]),
            Some(below.0),
            "all above is read"
        );
    }

    #[test]
    fn a_row_that_failed_before_is_found_at_once_unless_it_no_longer_fails() {
        let again = |age| Search::new(None, START, true).again(Timestamp(700), age);
        let age = Age {
            secs: 60,
            at: Duration::ZERO,
        };
        assert_eq!(search(again(None), &[(700, false)]), (Some(Timestamp(700)), 1));
        assert_eq!(search(again(Some(age)), &[(700, false)]), (Some(Timestamp(700)), 2));
        assert_eq!(again(Some(age)).ask(Duration::from_secs(5)), (Some(64), None));
        assert_eq!(
            search(again(None), &[(700, true), (900, false)]).0,
            Some(Timestamp(900))
        );
    }

    #[test]
    fn the_newest_row_is_looked_for_anew_when_there_are_newer_ones() {
        let age = Age {
            secs: 60,
            at: Duration::ZERO,
        };
        let mut newer = Search::new(None, START, true).again(Timestamp(700), Some(age));
        newer.failed(true);
        let rows = [(700, false), (999_998_000_000, true), (999_999_000_000, false)];
        assert_eq!(search(newer, &rows).0, Some(Timestamp(999_999_000_000)));
    }

    #[test]
    fn what_has_come_since_is_not_taken_for_what_failed_before() {
        let age = Age {
            secs: 60,
            at: Duration::ZERO,
        };
        let newest = Search::new(None, START, true).again(Timestamp(700), Some(age));
        let head = Head {
            id: ActivityId::parse("new").unwrap(),
            at: Timestamp(900),
            seq: None,
            timed: true,
        };
        for (came, asked) in [(vec![], 701), (vec![head], START.0 - FIRST_STEP)] {
            let mut search = newest.clone();
            search.worked(&Sheet::new(came.clone(), came.len(), 1));
            assert_eq!(search.ask(Duration::ZERO), (None, Some(Timestamp(asked))), "{came:?}");
        }
        for (secs, window) in [(0, None), (1, None), (2, Some(1)), (60, Some(59))] {
            let age = Age { secs, ..age };
            assert_eq!(age.window_above(Duration::ZERO), window, "{secs}");
        }
    }

    #[test]
    fn the_last_row_that_can_be_had_may_be_thirty_days_below() {
        let now = Timestamp(10 * START.0);
        let month = 2_592_000_000_000;
        let rows = [(now.0 - month, true), (now.0 - month + 1_000_000, false)];
        let (found, _) = search(Search::new(Some(now), now, true), &rows);
        assert_eq!(found, Some(Timestamp(now.0 - month + 1_000_000)));
    }

    #[test]
    fn a_platform_that_answers_nothing_ends_the_search() {
        for (certain, most) in [(true, 1), (false, 30)] {
            let (found, requests) = search(Search::new(None, START, certain), &[(i64::MIN, false)]);
            assert!(requests <= most && found.is_none(), "{requests}");
        }
    }

    #[test]
    fn one_failure_that_may_pass_makes_the_finding_uncertain() {
        let mut search = Search::new(Some(Timestamp(1000)), START, true);
        search.worked(&Sheet::new(Vec::new(), 0, 1));
        search.failed(false);
        while search.found().is_none() {
            search.worked(&Sheet::new(Vec::new(), 0, 1));
        }
        assert!(!search.found().unwrap().0.certain);
        let mut again = Search::new(None, START, true).again(Timestamp(700), None);
        again.failed(false);
        assert!(!again.found().unwrap().0.certain);
    }
}
