//! A row that cannot be fetched, however little is asked for: finding out where it stands, so that reading can go on below it.

use std::time::Duration;

use super::paging::Backward;
use crate::types::Timestamp;

/// Tries before a page of one row that broke off or could not be read counts as one that cannot be had. An answer that is too
/// large is too large every time.
pub(super) const TRIES: u32 = 3;
/// How long a row must fail, when it might be the platform's or the network's fault, before it is passed for good.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);
/// The first step below the place that fails, in microseconds, and how fast the steps grow.
const FIRST_STEP: i64 = 1_000;
const GROWTH: i64 = 4;

/// A row that cannot be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    /// Its time.
    pub(super) at: Timestamp,
    /// What was asked with when it failed; `None`: it was the newest row of all.
    pub(super) fails: Option<Timestamp>,
    /// When it was first met, monotonic.
    since: Duration,
    /// Asking again cannot help.
    pub(super) certain: bool,
}

impl Hole {
    /// Whether it is to be passed for good.
    pub(super) fn is_final(&self, now: Duration, patience: Duration) -> bool {
        self.certain || now >= self.since + patience
    }

    /// Reading on below it.
    pub(super) fn below(self) -> Backward {
        Backward::from(self.at)
    }
}

/// Steps longer than this lead out of everything a platform shows, in microseconds.
const FARTHEST: i64 = 2_592_000_000_000 * GROWTH;

/// Looks for the time of the row, asking for one row older than ever other instants: what works and what does not close in
/// on it. The requests are bounded by the bits of an instant.
#[derive(Clone, Debug)]
pub(super) struct Search {
    began_at: Option<Timestamp>,
    fails: i64,
    works: Option<i64>,
    step: i64,
    tries: u32,
    certain: bool,
}

impl Search {
    /// `before`: what was asked with when it failed; `latest`: an instant that no row has reached yet.
    pub(super) fn new(before: Option<Timestamp>, latest: Timestamp, certain: bool) -> Self {
        Self {
            began_at: before,
            fails: before.unwrap_or(latest).0,
            works: None,
            step: FIRST_STEP,
            tries: 0,
            certain,
        }
    }

    /// The instant to ask with.
    pub(super) fn before(&self) -> Timestamp {
        Timestamp(match self.works {
            None => self.fails.saturating_sub(self.step),
            Some(works) => works + (self.fails - works) / 2,
        })
    }

    /// A page came.
    pub(super) fn worked(&mut self) {
        self.works = Some(self.before().0);
        self.tries = 0;
    }

    /// None came; `certain`: asking again cannot help. `false`: it is to be tried again.
    pub(super) fn failed(&mut self, certain: bool) -> bool {
        self.tries += 1;
        if !certain && self.tries < TRIES {
            return false;
        }
        self.certain &= certain;
        self.tries = 0;
        self.fails = self.before().0;
        self.step = self.step.saturating_mul(GROWTH);
        true
    }

    /// Nothing at all can be had, however old: it is not a row that fails.
    pub(super) fn is_in_vain(&self) -> bool {
        self.works.is_none() && self.step > FARTHEST
    }

    /// The row, once its time is known to the microsecond.
    pub(super) fn found(&self, now: Duration) -> Option<Hole> {
        let at = self.works.filter(|works| self.fails - works <= 1)?;
        Some(Hole {
            at: Timestamp(at),
            fails: self.began_at,
            since: now,
            certain: self.certain,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_row_is_found_to_the_microsecond_in_few_requests() {
        for (before, row) in [
            (1_000_000_000_000, 999_999_999_999),
            (1_000_000_000_000, 999_999_000_000),
            (1_000_000_000_000, 999_990_123_456),
            (1_000_000_000_000, 13),
        ] {
            let mut search = Search::new(Some(Timestamp(before)), Timestamp(0), true);
            let mut requests = 0;
            let found = loop {
                if let Some(found) = search.found(Duration::ZERO) {
                    break found;
                }
                requests += 1;
                if row < search.before().0 {
                    assert!(search.failed(true));
                } else {
                    search.worked();
                }
            };
            assert_eq!((found.at, found.fails), (Timestamp(row), Some(Timestamp(before))));
            assert!(requests < 64, "{requests}");
        }
    }

    #[test]
    fn a_platform_that_answers_nothing_ends_the_search() {
        let mut search = Search::new(None, Timestamp(0), true);
        let mut requests = 0;
        while !search.is_in_vain() {
            assert!(search.failed(true));
            requests += 1;
        }
        assert!(requests < 30 && search.found(Duration::ZERO).is_none(), "{requests}");
    }

    #[test]
    fn a_failure_that_may_pass_is_tried_again_and_makes_the_finding_uncertain() {
        let mut search = Search::new(None, Timestamp(1000), true);
        assert_eq!(
            [search.failed(false), search.failed(false), search.failed(false)],
            [false, false, true]
        );
        search.worked();
        while search.found(Duration::ZERO).is_none() {
            search.worked();
        }
        let hole = search.found(Duration::from_secs(5)).unwrap();
        assert!(
            !hole.is_final(Duration::from_secs(604), PATIENCE) && hole.is_final(Duration::from_secs(605), PATIENCE)
        );
    }
}
