//! From one page to the next, in both directions, without skipping equal times and without being held in a loop.

use std::collections::HashSet;

use crate::agent::envelope::Head;
use crate::types::{ActivityId, Timestamp};

/// A page with fewer rows than asked for, and fewer than the platform's own default, is the last one.
const DEFAULT_LIMIT: u32 = 100;

/// What follows a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Another page.
    Next,
    /// It was the last.
    Done,
    /// The platform repeats itself: there is nothing more to be had this way.
    Stuck,
}

/// Whether a page of `rows` rows may be followed by another.
pub(super) fn is_full(rows: usize, limit: u32) -> bool {
    rows >= usize::try_from(limit.clamp(1, DEFAULT_LIMIT)).unwrap_or(usize::MAX)
}

/// What both directions remember of the page before, and of those that ended at the same instant.
#[derive(Clone, Debug, Default)]
struct Progress {
    previous: HashSet<ActivityId>,
    edge: Option<Timestamp>,
    retried: bool,
}

impl Progress {
    fn has_new(&self, heads: &[Head], moves_on: impl Fn(Timestamp) -> bool) -> bool {
        self.edge.is_none_or(moves_on) && heads.iter().any(|head| !self.previous.contains(&head.id))
    }

    fn remember(&mut self, heads: &[Head], edge: Timestamp) {
        // Rows of one time come in any order, another one each time: all that were met there count.
        if self.edge != Some(edge) {
            self.previous.clear();
        }
        self.previous.extend(heads.iter().map(|head| head.id.clone()));
        self.edge = Some(edge);
        self.retried = false;
    }
}

/// Oldest first, from a row.
#[derive(Clone, Debug)]
pub(super) struct Forward {
    pub(super) from: ActivityId,
    /// Rows of this instant may have been skipped: they did not fit on one page.
    pub(super) cut: Option<Timestamp>,
    /// An answer looked as if the platform had ignored the row: it is asked once more before that is believed.
    pub(super) doubted: bool,
    progress: Progress,
}

impl Forward {
    pub(super) fn new(from: ActivityId) -> Self {
        Self {
            from,
            cut: None,
            doubted: false,
            progress: Progress::default(),
        }
    }

    /// Whether an answer shows that the platform ignored the row that was asked from (level A). Only rows that say their own
    /// time tell in which order they came.
    pub(super) fn was_ignored(&self, heads: &[Head]) -> bool {
        let mut timed = heads.iter().filter(|head| head.timed);
        let descends = match (timed.next(), timed.next_back()) {
            (Some(first), Some(last)) => first.at > last.at,
            _ => false,
        };
        descends || heads.iter().any(|head| head.id == self.from)
    }

    /// Decides what follows a page, given in the order of the log. The next page starts at the newest row strictly older than
    /// the last instant of this one, because the platform may have cut among equal times.
    pub(super) fn turn(&mut self, heads: &[Head], full: bool) -> Turn {
        self.cut = None;
        let (Some(last), true) = (heads.last(), full) else {
            return Turn::Done;
        };
        // With sequence numbers the platform tells equal times apart.
        let skipped = Some(last.at).filter(|_| last.seq.is_none());
        let askable = |head: &&Head| head.id.is_uuid();
        let certain = |head: &&Head| head.id.is_uuid() && head.timed;
        let newest = heads.iter().rev().find(askable);
        if !self.progress.has_new(heads, |edge| last.at >= edge) {
            let Some(newest) = newest.filter(|_| !self.progress.retried) else {
                return Turn::Stuck;
            };
            self.progress.retried = true;
            self.from = newest.id.clone();
            self.cut = skipped;
            return Turn::Next;
        }
        let older = heads.iter().rev().filter(|head| head.at < last.at).find(certain);
        let Some(next) = older.or(newest) else {
            return Turn::Stuck;
        };
        self.cut = skipped.filter(|_| next.at == last.at);
        self.from = next.id.clone();
        self.progress.remember(heads, last.at);
        Turn::Next
    }
}

/// Newest first, back in time.
#[derive(Clone, Debug, Default)]
pub(super) struct Backward {
    pub(super) before: Option<Timestamp>,
    /// Rows of this instant may have been skipped: they did not fit on one page.
    pub(super) cut: Option<Timestamp>,
    progress: Progress,
}

impl Backward {
    /// Begins with the rows strictly older than `before`.
    pub(super) fn from(before: Timestamp) -> Self {
        Self {
            before: Some(before),
            ..Self::default()
        }
    }

    /// Decides what follows a page, given in the order of the log. The comparison of `before_ts` is strict, so the next page is
    /// asked for from one microsecond after the oldest instant of this one.
    pub(super) fn turn(&mut self, heads: &[Head], full: bool) -> Turn {
        self.cut = None;
        let (Some(oldest), true) = (heads.first(), full) else {
            return Turn::Done;
        };
        if !self.progress.has_new(heads, |edge| oldest.at <= edge) {
            if self.progress.retried {
                return Turn::Stuck;
            }
            self.progress.retried = true;
            self.before = Some(oldest.at);
            self.cut = Some(oldest.at);
            return Turn::Next;
        }
        self.before = Some(oldest.at.plus_micros(1));
        self.progress.remember(heads, oldest.at);
        Turn::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(rows: &[(u32, i64)]) -> Vec<Head> {
        rows.iter()
            .map(|&(n, at)| Head {
                id: id(n),
                at: Timestamp(at),
                seq: None,
                timed: true,
            })
            .collect()
    }

    fn id(n: u32) -> ActivityId {
        ActivityId::parse(&format!("00000000-0000-4000-8000-{n:012}")).unwrap()
    }

    #[test]
    fn a_short_page_ends_the_paging() {
        for (rows, limit, full) in [
            (0, 500, false),
            (99, 500, false),
            (100, 500, true),
            (500, 500, true),
            (49, 50, false),
            (50, 50, true),
            (1, 1, true),
            (0, 1, false),
        ] {
            assert_eq!(is_full(rows, limit), full, "{rows} of {limit}");
        }
        assert_eq!(Forward::new(id(0)).turn(&heads(&[(1, 1)]), false), Turn::Done);
        assert_eq!(Forward::new(id(0)).turn(&[], true), Turn::Done);
    }

    #[test]
    fn forward_pages_overlap_in_the_rows_of_the_last_instant() {
        let mut forward = Forward::new(id(0));
        assert_eq!(
            forward.turn(&heads(&[(1, 10), (2, 20), (3, 30), (4, 30)]), true),
            Turn::Next
        );
        assert_eq!(forward.from, id(2));
        assert_eq!(
            forward.turn(&heads(&[(3, 30), (4, 30), (5, 30), (6, 40)]), true),
            Turn::Next
        );
        assert_eq!(forward.from, id(5));
    }

    #[test]
    fn a_page_of_one_instant_is_left_from_its_last_row() {
        let mut forward = Forward::new(id(0));
        assert_eq!(forward.turn(&heads(&[(1, 10), (2, 10)]), true), Turn::Next);
        assert_eq!(forward.from, id(2));
        assert_eq!(
            forward.cut,
            Some(Timestamp(10)),
            "more rows of that instant may have been skipped"
        );

        let numbered = heads(&[(1, 10), (2, 10)])
            .into_iter()
            .map(|head| Head { seq: Some(4), ..head });
        let mut forward = Forward::new(id(0));
        assert_eq!(forward.turn(&numbered.collect::<Vec<_>>(), true), Turn::Next);
        assert_eq!(forward.cut, None);
    }

    #[test]
    fn a_platform_that_repeats_itself_is_asked_once_more_and_then_left() {
        let page = heads(&[(1, 10), (2, 20)]);
        let mut forward = Forward::new(id(0));
        assert_eq!(forward.turn(&page, true), Turn::Next);
        assert_eq!(forward.turn(&page, true), Turn::Next);
        assert_eq!(forward.from, id(2));
        assert_eq!(forward.turn(&page, true), Turn::Stuck);

        let mut backward = Backward::default();
        assert_eq!(backward.turn(&page, true), Turn::Next);
        assert_eq!(backward.before, Some(Timestamp(11)));
        assert_eq!(backward.turn(&page, true), Turn::Next);
        assert_eq!(backward.before, Some(Timestamp(10)));
        assert_eq!(backward.turn(&page, true), Turn::Stuck);
    }

    #[test]
    fn a_platform_that_jumps_back_and_forth_does_not_hold_us() {
        let (early, late) = (heads(&[(1, 10), (2, 20)]), heads(&[(3, 30), (4, 40)]));
        let mut forward = Forward::new(id(0));
        let turns: Vec<_> = [&early, &late, &early, &early]
            .iter()
            .map(|page| forward.turn(page, true))
            .collect();
        assert_eq!(turns, [Turn::Next, Turn::Next, Turn::Next, Turn::Stuck]);
    }

    #[test]
    fn an_ignored_cursor_is_recognised() {
        let forward = Forward::new(id(7));
        for (page, ignored) in [
            (heads(&[(2, 20), (1, 10)]), true),
            (heads(&[(7, 10)]), true),
            (heads(&[(1, 10), (2, 10), (3, 30)]), false),
            (heads(&[(1, 10)]), false),
            (heads(&[]), false),
        ] {
            assert_eq!(forward.was_ignored(&page), ignored, "{page:?}");
        }
        let mut untimed_first = heads(&[(1, 90), (2, 10), (3, 20)]);
        untimed_first[0].timed = false;
        assert!(!forward.was_ignored(&untimed_first));
    }
}
