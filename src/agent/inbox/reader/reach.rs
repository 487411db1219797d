//! How many rows are asked for at once: fewer when an answer is too big or too slow, more where rows share an instant.

/// Rows asked for, and the smaller pages tried when an answer is too big or too slow.
const LIMITS: [u32; 4] = [LARGEST, 50, 5, 1];
/// The most that the platform gives.
pub(super) const LARGEST: u32 = 500;
/// Good pages after which a larger page is tried again.
const GOOD_PAGES: u32 = 4;

/// How many rows are asked for where nothing else is known.
#[derive(Debug, Default)]
pub(super) struct PageSize {
    rung: usize,
    good: u32,
}

impl PageSize {
    pub(super) fn limit(&self) -> u32 {
        LIMITS[self.rung]
    }

    /// A page of at most `limit` rows could not be had.
    pub(super) fn failed(&mut self, limit: u32) {
        self.good = 0;
        let smaller = LIMITS.iter().position(|rung| *rung < limit);
        self.rung = self.rung.max(smaller.unwrap_or(LIMITS.len() - 1));
    }

    pub(super) fn worked(&mut self) {
        self.good += 1;
        if self.good >= GOOD_PAGES {
            self.good = 0;
            self.rung = self.rung.saturating_sub(1);
        }
    }
}

/// How many rows can be had at one place of the log. A page must reach beyond the rows of one instant to lead on, so it grows
/// as far as it can before anything is left out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reach {
    works: u32,
    fails: Option<u32>,
    certain: bool,
    step: u32,
}

/// How many rows to ask for where nothing else is known, and what is expected there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usual {
    pub(super) limit: u32,
    /// What comes next is known to fail.
    pub(super) at_hole: bool,
}

impl Reach {
    /// What to ask for.
    pub(super) fn limit(self, usual: Usual) -> u32 {
        match (self.works, self.fails) {
            (0, None) => usual.limit,
            (0, Some(fails)) => usual.limit.min(fails - 1).max(1),
            (works, None) if usual.at_hole => (works + self.step.max(1)).min(LARGEST),
            (works, None) => usual.limit.max(works * 2).min(LARGEST),
            (works, Some(fails)) => works + (fails - works) / 2,
        }
    }

    pub(super) fn worked(&mut self, limit: u32) {
        self.step = if self.works == 0 { 1 } else { self.step * 2 };
        self.works = self.works.max(limit);
        self.fails = self.fails.filter(|fails| *fails > self.works);
    }

    /// `certain`: asking again cannot help.
    pub(super) fn failed(&mut self, limit: u32, certain: bool) {
        if limit <= self.works {
            // There are other rows now.
            *self = Self::default();
        }
        self.fails = Some(limit);
        self.certain = certain;
    }

    /// Whether asking again for more than was had cannot help.
    pub(super) fn is_certain(self) -> bool {
        self.fails.is_none() || self.certain
    }

    /// Whether asking for more than was had failed.
    pub(super) fn has_failed(self) -> bool {
        self.fails.is_some()
    }

    /// Whether not even one row can be had.
    pub(super) fn is_nothing(self) -> bool {
        self.fails == Some(1)
    }

    /// Whether no more can be had than was.
    pub(super) fn is_exhausted(self) -> bool {
        self.works >= LARGEST || self.fails == Some(self.works + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_smaller_at_once_and_larger_after_four_good_ones() {
        let mut size = PageSize::default();
        let mut limits = Vec::new();
        for _ in 0..5 {
            limits.push(size.limit());
            size.failed(size.limit());
        }
        assert_eq!(limits, [500, 50, 5, 1, 1]);
        for _ in 0..3 {
            size.worked();
        }
        assert_eq!(size.limit(), 1);
        size.worked();
        assert_eq!(size.limit(), 5);
        size.failed(100);
        assert_eq!(size.limit(), 5, "a larger page than usual failed");
    }

    /// Asks until nothing more can be had where the first `there` rows can; what was asked for.
    fn asked(there: u32, usual: u32, at_hole: bool) -> Vec<u32> {
        let (mut reach, mut size) = (Reach::default(), PageSize::default());
        while size.limit() > usual {
            size.failed(size.limit());
        }
        let mut asked = Vec::new();
        while !reach.is_exhausted() {
            let limit = reach.limit(Usual {
                limit: size.limit(),
                at_hole,
            });
            asked.push(limit);
            if limit <= there {
                reach.worked(limit);
            } else {
                reach.failed(limit, true);
                size.failed(limit);
            }
        }
        assert_eq!(reach.is_nothing(), there == 0);
        asked
    }

    #[test]
    fn what_failed_is_not_asked_for_again_until_it_is_known_to_work() {
        let usual = Usual {
            limit: 500,
            at_hole: false,
        };
        let mut reach = Reach::default();
        assert!(reach.is_certain() && !reach.has_failed());
        reach.failed(5, false);
        assert_eq!(reach.limit(usual), 4);
        assert!(!reach.is_certain() && reach.has_failed());
        reach.worked(4);
        assert!(reach.is_exhausted() && reach.has_failed());
        assert_eq!(reach.limit(usual), 4);
        reach.worked(5);
        assert!(reach.is_certain() && !reach.has_failed() && !reach.is_exhausted());
    }

    #[test]
    fn as_many_rows_as_can_be_had_are_had_in_few_requests() {
        assert_eq!(asked(0, 500, false), [500, 50, 5, 1]);
        assert_eq!(asked(1, 1, false), [1, 2]);
        assert_eq!(asked(6, 5, false), [5, 10, 7, 6]);
        assert_eq!(asked(500, 50, false), [50, 100, 200, 400, 500]);
        assert_eq!(asked(6, 5, true), [5, 6, 8, 7]);
        assert_eq!(asked(5, 5, true), [5, 6]);
        for there in 0..=500 {
            for usual in LIMITS {
                assert!(asked(there, usual, false).len() < 20);
            }
        }
    }
}
