//! Rows that cannot be fetched, however little is asked for, and how long the saved cursor waits for them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::types::Timestamp;

/// How long a row must fail, when it might be the platform's or the network's fault, before it is passed for good.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// A part of the log that a run of reading went around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// The time of the oldest row in it that fails.
    pub(super) at: Timestamp,
    /// What is older than this was asked for when it failed; `None`: it was the newest row of all.
    pub(super) before: Option<Timestamp>,
    /// Nothing is missing from here on; `None`: nothing was newer.
    pub(super) until: Option<Timestamp>,
    /// Asking again cannot help.
    pub(super) certain: bool,
}

/// The gaps that were met and that the saved cursor has not passed, by the time of the row that fails.
#[derive(Debug, Default)]
pub(super) struct Holes(BTreeMap<Timestamp, Hole>);

#[derive(Clone, Copy, Debug)]
struct Hole {
    /// As it was met last, but certain for good.
    gap: Gap,
    /// When it was met first, monotonic.
    since: Duration,
    /// It is to be passed for good, and no older row can become visible any more.
    closed: bool,
}

impl Holes {
    /// Notes a gap met `now`. Whether it is a new one.
    pub(super) fn meet(&mut self, gap: Gap, now: Duration) -> bool {
        let is_new = !self.0.contains_key(&gap.at);
        let hole = self.0.entry(gap.at).or_insert(Hole {
            gap,
            since: now,
            closed: false,
        });
        hole.gap = Gap {
            certain: hole.gap.certain || gap.certain,
            ..gap
        };
        is_new
    }

    /// It was none.
    pub(super) fn forget(&mut self, at: Timestamp) {
        self.0.remove(&at);
    }

    /// After a run that read everything from `lower` on and met `met`: the others can be fetched again.
    pub(super) fn keep(&mut self, met: &[Gap], lower: Option<Timestamp>) {
        let is_below = |at: Timestamp| lower.is_some_and(|lower| at < lower);
        self.0
            .retain(|at, _| is_below(*at) || met.iter().any(|gap| gap.at == *at));
    }

    /// The saved cursor has left everything older than `at` behind.
    pub(super) fn passed(&mut self, at: Timestamp) {
        self.0 = self.0.split_off(&at);
    }

    /// Whether what was met just now is to be passed for good.
    pub(super) fn is_final(&self, gap: Gap, now: Duration, patience: Duration) -> bool {
        let hole = self.0.get(&gap.at);
        hole.is_some_and(|hole| (hole.gap.certain && gap.certain) || now >= hole.since + patience)
    }

    /// It is to be passed for good, and a run that began at `began` has read everything around it.
    pub(super) fn close(&mut self, at: Timestamp, began: Duration, settling: Duration) {
        if let Some(hole) = self.0.get_mut(&at) {
            hole.closed |= began >= hole.since + settling;
        }
    }

    /// Where a row stands that failed before, when what is older than `before` was asked for.
    pub(super) fn known(&self, before: Option<Timestamp>) -> Option<Timestamp> {
        let mut known = self.0.values().rev().filter(|hole| hole.gap.before == before);
        known.next().map(|hole| hole.gap.at)
    }

    /// The newest one older than `before`.
    pub(super) fn below(&self, before: Option<Timestamp>) -> Option<Timestamp> {
        let mut below = match before {
            Some(before) => self.0.range(..before),
            None => self.0.range(..),
        };
        below.next_back().map(|(at, _)| *at)
    }

    /// Whether reading forward from `from` meets one.
    pub(super) fn bar(&self, from: Timestamp) -> bool {
        self.0.range(from..).next().is_some()
    }

    /// The oldest.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.0.keys().next().copied()
    }

    /// The oldest one that may yet be fetched.
    pub(super) fn waiting(&self) -> Option<Timestamp> {
        let mut waiting = self.0.values().filter(|hole| !hole.closed && !hole.gap.certain);
        waiting.next().map(|hole| hole.gap.at)
    }

    /// When the first of those was met that sweeps still have to look at.
    pub(super) fn open_since(&self) -> Option<Duration> {
        let open = self.0.values().filter(|hole| !hole.closed);
        open.map(|hole| hole.since).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn gap(at: i64, certain: bool) -> Gap {
        Gap {
            at: Timestamp(at),
            before: Some(Timestamp(at + 100)),
            until: Some(Timestamp(at + 100)),
            certain,
        }
    }

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn what_may_be_the_platforms_fault_is_waited_for_and_what_is_too_large_is_not() {
        let mut holes = Holes::default();
        assert!(holes.meet(gap(10, true), secs(5)) && holes.meet(gap(20, false), secs(5)));
        let is_final = |holes: &Holes, gap, now| holes.is_final(gap, secs(now), PATIENCE);
        assert!(is_final(&holes, gap(10, true), 5));
        assert!(
            !is_final(&holes, gap(10, false), 5),
            "this time it may have been the platform's fault"
        );
        assert!(!is_final(&holes, gap(20, false), 604) && is_final(&holes, gap(20, false), 605));
        assert_eq!(holes.waiting(), Some(Timestamp(20)));
        assert!(!holes.meet(gap(20, true), secs(50)));
        assert!(is_final(&holes, gap(20, true), 50));
        assert_eq!(holes.waiting(), None);
        holes.meet(gap(10, false), secs(60));
        assert_eq!(holes.waiting(), None, "what was too large once is not waited for");
    }

    #[test]
    fn what_was_none_is_met_as_a_new_one_and_waited_for_anew() {
        let mut holes = Holes::default();
        holes.meet(gap(10, false), secs(5));
        holes.forget(Timestamp(10));
        assert_eq!((holes.oldest(), holes.open_since()), (None, None));
        assert!(holes.meet(gap(10, false), secs(900)));
        assert_eq!(holes.open_since(), Some(secs(900)));
    }

    #[test]
    fn one_is_known_again_where_it_failed() {
        let mut holes = Holes::default();
        holes.meet(gap(10, true), secs(5));
        holes.meet(
            Gap {
                before: None,
                ..gap(20, true)
            },
            secs(5),
        );
        assert_eq!(holes.known(Some(Timestamp(110))), Some(Timestamp(10)));
        assert_eq!(holes.known(Some(Timestamp(111))), None);
        assert_eq!(holes.known(None), Some(Timestamp(20)));
    }

    #[test]
    fn one_that_was_not_met_again_is_none_any_more() {
        let mut holes = Holes::default();
        for at in [10, 20, 30] {
            holes.meet(gap(at, false), secs(1));
        }
        holes.keep(&[gap(30, false)], Some(Timestamp(20)));
        assert_eq!(holes.below(Some(Timestamp(30))), Some(Timestamp(10)));
        assert!(holes.bar(Timestamp(30)) && !holes.bar(Timestamp(31)));
        holes.passed(Timestamp(30));
        assert_eq!(
            (holes.oldest(), holes.waiting()),
            (Some(Timestamp(30)), Some(Timestamp(30)))
        );
        holes.close(Timestamp(30), secs(45), secs(45));
        assert_eq!(holes.open_since(), Some(secs(1)));
        holes.close(Timestamp(30), secs(46), secs(45));
        assert_eq!((holes.open_since(), holes.waiting()), (None, None));
    }
}
