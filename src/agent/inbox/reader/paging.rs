//! From one page to the next, in both directions, without skipping equal times and without being held in a loop.

use std::collections::HashSet;

use crate::agent::envelope::Head;
use crate::types::{ActivityId, Timestamp};

/// A page with fewer rows than asked for, and fewer than the platform's own default, is the last one.
const DEFAULT_LIMIT: u32 = 100;

/// What follows a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Another page, from another place.
    Next,
    /// A larger page from the same place: this one did not lead beyond the rows of one instant.
    More,
    /// It was the last.
    Done,
    /// The platform ignored where it was asked from, as one does that knows no cursors (level A).
    Ignored,
    /// There is nothing more to be had this way.
    Stuck,
}

/// One page: the places of its rows.
#[derive(Clone, Debug)]
pub(super) struct Sheet {
    /// In the order of the log.
    pub(super) heads: Vec<Head>,
    /// Whether it may be followed by another.
    pub(super) full: bool,
    /// Whether it was sent newest first.
    pub(super) descends: bool,
}

impl Sheet {
    /// `heads` as they were sent; `rows`: how many came, with those that have no place.
    pub(super) fn new(mut heads: Vec<Head>, rows: usize, limit: u32) -> Self {
        let mut timed = heads.iter().filter(|head| head.timed);
        let descends = match (timed.next(), timed.next_back()) {
            (Some(first), Some(last)) => first.at > last.at,
            _ => false,
        };
        heads.sort_by_key(|head| (head.at, head.seq));
        Self {
            heads,
            full: rows >= usize::try_from(limit.clamp(1, DEFAULT_LIMIT)).unwrap_or(usize::MAX),
            descends,
        }
    }

    /// The time of its oldest row that says it itself.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.timed().next().map(|head| head.at)
    }

    /// The time of its newest row that says it itself.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.timed().next_back().map(|head| head.at)
    }

    /// The newest row that can be asked from.
    pub(super) fn askable(&self) -> Option<ActivityId> {
        let newest = self.heads.iter().rev().find(|head| head.id.is_uuid());
        newest.map(|head| head.id.clone())
    }

    fn timed(&self) -> impl DoubleEndedIterator<Item = &Head> {
        self.heads.iter().filter(|head| head.timed)
    }
}

/// Oldest first, from a row.
#[derive(Clone, Debug)]
pub(super) struct Forward {
    pub(super) from: ActivityId,
    /// Everything older than this was read; `None` while only the id of the row is known.
    pub(super) at: Option<Timestamp>,
    edge: Option<Timestamp>,
}

impl Forward {
    pub(super) fn new(from: ActivityId, at: Option<Timestamp>) -> Self {
        Self { from, at, edge: None }
    }

    /// Decides what follows a page. The next one starts at the newest row strictly older than the last instant of this one,
    /// because the platform may have cut among equal times; where it numbers its rows, it tells them apart.
    pub(super) fn turn(&mut self, sheet: &Sheet) -> Turn {
        if self.was_ignored(sheet) {
            return Turn::Ignored;
        }
        let (Some(last), true) = (sheet.heads.last(), sheet.full) else {
            return Turn::Done;
        };
        let leads_on = |head: &&Head| head.id.is_uuid() && (last.seq.is_some() || (head.timed && head.at < last.at));
        match sheet.heads.iter().rev().find(leads_on) {
            Some(next) => self.go_to(next, last.at),
            None => Turn::More,
        }
    }

    /// Whether a page shows that the platform ignored the row that was asked from.
    pub(super) fn was_ignored(&self, sheet: &Sheet) -> bool {
        sheet.descends || sheet.heads.iter().any(|head| head.id == self.from)
    }

    /// Leaves an instant of which no more rows can be had.
    pub(super) fn skip(&mut self, sheet: &Sheet) -> Turn {
        match sheet.heads.iter().rev().find(|head| head.id.is_uuid()) {
            Some(newest) => self.go_to(newest, newest.at),
            None => Turn::Stuck,
        }
    }

    fn go_to(&mut self, next: &Head, edge: Timestamp) -> Turn {
        if self.edge.is_some_and(|before| edge < before) {
            return Turn::Stuck;
        }
        self.edge = Some(edge);
        self.from = next.id.clone();
        self.at = Some(next.at).filter(|_| next.timed).or(self.at);
        Turn::Next
    }
}

/// Newest first, back in time.
#[derive(Clone, Debug, Default)]
pub(super) struct Backward {
    /// What to ask with: rows strictly older than this.
    pub(super) before: Option<Timestamp>,
    /// The oldest instant that was met: more rows of it may follow.
    pub(super) edge: Option<Timestamp>,
    /// What was met of it.
    pub(super) met: HashSet<ActivityId>,
}

impl Backward {
    /// Begins with the rows strictly older than `before`.
    pub(super) fn from(before: Timestamp) -> Self {
        Self::of(Some(before))
    }

    /// Begins with the rows strictly older than `before`, or with the newest.
    pub(super) fn of(before: Option<Timestamp>) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }

    /// Decides what follows a page. The comparison of `before_ts` is strict, so the next page is asked for from one microsecond
    /// after the oldest instant of this one.
    pub(super) fn turn(&mut self, sheet: &Sheet) -> Turn {
        if self.before.is_some_and(|before| sheet.newest() >= Some(before)) {
            return Turn::Ignored;
        }
        if !sheet.full {
            return Turn::Done;
        }
        let Some(oldest) = sheet.oldest() else {
            return Turn::More;
        };
        let leads_on = self.edge.is_none_or(|edge| oldest < edge);
        if leads_on {
            self.edge = Some(oldest);
            self.before = Some(oldest.plus_micros(1));
            self.met.clear();
        }
        let met = sheet.heads.iter().filter(|head| head.at == oldest);
        self.met.extend(met.map(|head| head.id.clone()));
        if leads_on { Turn::Next } else { Turn::More }
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

    /// A full page of rows at these instants.
    fn sheet(rows: &[(u32, i64)]) -> Sheet {
        Sheet::new(heads(rows), rows.len(), 1)
    }

    fn id(n: u32) -> ActivityId {
        ActivityId::parse(&format!("00000000-0000-4000-8000-{n:012}")).unwrap()
    }

    fn forward() -> Forward {
        Forward::new(id(0), Some(Timestamp(0)))
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
            let sheet = Sheet::new(Vec::new(), rows, limit);
            assert_eq!(sheet.full, full, "{rows} of {limit}");
            if !full {
                assert_eq!(forward().turn(&sheet), Turn::Done);
                assert_eq!(Backward::default().turn(&sheet), Turn::Done);
            }
        }
    }

    #[test]
    fn forward_pages_overlap_in_the_rows_of_the_last_instant() {
        let mut forward = forward();
        assert_eq!(forward.turn(&sheet(&[(1, 10), (2, 20), (3, 30), (4, 30)])), Turn::Next);
        assert_eq!((&forward.from, forward.at), (&id(2), Some(Timestamp(20))));
        assert_eq!(forward.turn(&sheet(&[(3, 30), (4, 30), (5, 30), (6, 40)])), Turn::Next);
        assert_eq!(forward.from, id(5));
    }

    #[test]
    fn a_page_of_one_instant_is_asked_for_again_in_full_before_it_is_left() {
        let page = sheet(&[(1, 10), (2, 10)]);
        let mut forward = forward();
        assert_eq!(forward.turn(&page), Turn::More);
        assert_eq!(forward.from, id(0));
        assert_eq!(forward.skip(&page), Turn::Next);
        assert_eq!(forward.from, id(2));

        let mut backward = Backward::default();
        assert_eq!(backward.turn(&page), Turn::Next);
        assert_eq!(backward.before, Some(Timestamp(11)));
        assert_eq!(backward.turn(&page), Turn::More);
        assert_eq!(backward.turn(&sheet(&[(1, 10), (2, 10), (3, 9)])), Turn::Next);
        assert_eq!(backward.before, Some(Timestamp(10)));
    }

    #[test]
    fn a_page_that_ends_at_the_same_instant_as_the_one_before_leads_on() {
        let mut forward = forward();
        assert_eq!(forward.turn(&sheet(&[(1, 10), (3, 20)])), Turn::Next);
        assert_eq!(forward.turn(&sheet(&[(2, 15), (3, 20)])), Turn::Next);
        assert_eq!(forward.from, id(2));
    }

    #[test]
    fn what_was_met_of_the_oldest_instant_is_remembered_and_no_other() {
        let mut backward = Backward::default();
        backward.turn(&sheet(&[(5, 20), (4, 10), (3, 10)]));
        assert_eq!(backward.met, HashSet::from([id(3), id(4)]));
        backward.turn(&sheet(&[(4, 10), (2, 10)]));
        assert_eq!(backward.met, HashSet::from([id(2), id(3), id(4)]));
        backward.turn(&sheet(&[(2, 10), (1, 9)]));
        assert_eq!(backward.met, HashSet::from([id(1)]));
    }

    #[test]
    fn only_a_row_with_an_id_of_the_platform_can_be_asked_from() {
        let mut page = sheet(&[(1, 10), (2, 20), (3, 30)]);
        assert_eq!(page.askable(), Some(id(3)));
        page.heads[2].id = ActivityId::parse("odd").unwrap();
        assert_eq!(page.askable(), Some(id(2)));
        page.heads.drain(..2);
        assert_eq!(page.askable(), None);
    }

    #[test]
    fn numbered_rows_of_one_instant_need_no_overlap() {
        let mut page = sheet(&[(1, 10), (2, 10)]);
        page.heads.iter_mut().for_each(|head| head.seq = Some(4));
        let mut forward = forward();
        assert_eq!(forward.turn(&page), Turn::Next);
        assert_eq!(forward.from, id(2));
    }

    #[test]
    fn a_row_that_does_not_say_its_time_is_nothing_to_lead_on() {
        let mut page = sheet(&[(1, 10), (2, 20), (3, 20), (4, 30)]);
        page.heads[1].timed = false;
        let mut forward = forward();
        forward.turn(&page);
        assert_eq!(forward.from, id(3));
        page.heads.iter_mut().for_each(|head| head.timed = false);
        assert_eq!(
            forward.turn(&page),
            Turn::Ignored,
            "it holds the row that was asked from"
        );
        assert_eq!(Forward::new(id(9), None).turn(&page), Turn::More);
        assert_eq!(Backward::default().turn(&page), Turn::More);
    }

    #[test]
    fn a_platform_that_jumps_back_and_forth_does_not_hold_us() {
        let (early, late) = (sheet(&[(1, 10), (2, 20)]), sheet(&[(3, 30), (4, 40)]));
        let mut forward = forward();
        let turns: Vec<_> = [&early, &late, &early].iter().map(|page| forward.turn(page)).collect();
        assert_eq!(turns, [Turn::Next, Turn::Next, Turn::Stuck]);
    }

    #[test]
    fn a_platform_that_ignores_where_it_is_asked_from_is_recognised() {
        for (rows, ignored) in [
            (&[(2, 20), (1, 10)][..], true),
            (&[(7, 10)], true),
            (&[(1, 10), (2, 10), (3, 30)], false),
            (&[(1, 10)], false),
            (&[], false),
        ] {
            let turn = Forward::new(id(7), None).turn(&sheet(rows));
            assert_eq!(turn == Turn::Ignored, ignored, "{rows:?}");
        }
        for (rows, ignored) in [
            (&[(3, 20), (2, 19)][..], false),
            (&[(3, 21), (2, 20)], true),
            (&[(3, 30)], true),
            (&[], false),
        ] {
            let turn = Backward::from(Timestamp(21)).turn(&sheet(rows));
            assert_eq!(turn == Turn::Ignored, ignored, "{rows:?}");
        }
        let mut untimed_first = heads(&[(1, 90), (2, 10), (3, 20)]);
        untimed_first[0].timed = false;
        assert!(!Sheet::new(untimed_first, 3, 1).descends);
    }
}
