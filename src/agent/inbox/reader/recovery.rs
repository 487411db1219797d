//! The window that is read backwards: when there is no row to read on from, around a row that cannot be fetched, and to list
//! what lies before the row that a replaced journal begins with.

use std::time::Duration;

use super::aside::Aside;
use super::ledger::Place;
use super::paging::{Backward, Sheet, Turn};
use crate::agent::envelope::Head;
use crate::types::{ActivityId, Timestamp};

/// What every window reaches back beyond the last good poll, and the whole of it on a first start.
const MARGIN_SECS: u64 = 600;
/// The platform refuses nothing beyond, but caps here.
const MOST_SECS: u64 = 2_592_000;
/// How far back messages are listed after a journal was replaced.
const LISTED_SECS: u64 = 604_800;
/// A poll this fresh needs no more than the margin.
const FRESH: Duration = Duration::from_secs(60);
/// How far the platform's clocks (of its rows and of its answers) may differ before an old row is taken for one in the window.
const SLACK_MICROS: i64 = 60_000_000;

/// Why a window is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing was ever read here.
    FirstStart,
    /// There is a last good poll, but no cursor.
    Restart,
    /// The platform no longer knows the row that was asked from.
    Gone,
    /// There was never a row that could become the cursor: the ordinary read of an empty inbox.
    Still,
    /// A row that cannot be fetched bars the way forward from the saved cursor.
    Detour,
    /// The journal was replaced: rows from before its beginning, to be listed and not offered.
    Replaced,
}

/// Up to where a replaced journal's window takes rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ceiling {
    /// Up to this row, whose place is not known yet.
    Row(ActivityId),
    /// Up to the place of that row.
    Through(Timestamp, Option<i64>),
    /// Everything older than this.
    Below(Timestamp),
}

impl Ceiling {
    /// Learns the row's place from a page that holds it. Whether this one does.
    fn look(&mut self, heads: &[Head]) -> bool {
        let Self::Row(id) = self else { return false };
        let Some(head) = heads.iter().find(|head| head.id == *id) else {
            return false;
        };
        *self = Self::Through(head.at, head.seq);
        true
    }

    /// Exactly the rows that reading forward from the row does not bring.
    pub(super) fn covers(&self, head: &Head) -> bool {
        match self {
            Self::Row(_) => false,
            Self::Through(at, seq) => match (head.seq, seq) {
                (Some(own), Some(seq)) => (head.at, own) <= (*at, *seq),
                _ => head.at <= *at,
            },
            Self::Below(at) => head.at < *at,
        }
    }
}

/// The last good poll, by both clocks: the monotonic one does not count the time a computer sleeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastGood {
    pub(super) wall: Timestamp,
    pub(super) monotonic: Option<Duration>,
}

impl LastGood {
    fn age(self, now: Duration, wall: Timestamp) -> Duration {
        let monotonic = self.monotonic.map_or(Duration::ZERO, |then| now.saturating_sub(then));
        monotonic.max(self.wall.until(wall))
    }
}

/// One recovery. Its pages are held back until the oldest is in.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) reason: Reason,
    pub(super) paging: Backward,
    /// Where the window begins on the platform's clock; known from the first answer with a date.
    pub(super) lower: Option<Timestamp>,
    /// The last good poll before it, by the wall clock.
    pub(super) since: Option<Timestamp>,
    /// A row to stop at, where only its id is known.
    floor: Option<ActivityId>,
    /// With [`Reason::Replaced`].
    pub(super) ceiling: Option<Ceiling>,
    /// What is asked beside the paging.
    pub(super) aside: Option<Aside>,
    /// How often a row was looked for and then not where it was found.
    pub(super) searches: u32,
    secs: u64,
    began: Duration,
}

impl Window {
    /// `backlog`: how long ago the oldest unsettled row was seen; sweeps that failed for long make the window longer.
    pub(super) fn new(
        reason: Reason,
        now: Duration,
        wall: Timestamp,
        last: Option<LastGood>,
        backlog: Option<Duration>,
    ) -> Self {
        let stuck = backlog
            .filter(|age| age.as_secs() > MARGIN_SECS / 2)
            .unwrap_or_default();
        let age = last.map_or(Duration::ZERO, |last| last.age(now, wall)).max(stuck);
        let missed = if age < FRESH { 0 } else { age.as_secs() + 1 };
        Self {
            since: last.map(|last| last.wall),
            ..Self::of(reason, missed + MARGIN_SECS, now)
        }
    }

    /// From the newest row back to `from`, a row, and its time if that is known.
    pub(super) fn detour(now: Duration, wall: Timestamp, (from, at): Place) -> Self {
        let secs = at.map_or(MOST_SECS, |at| at.until(wall).as_secs() + MARGIN_SECS);
        Self {
            lower: at,
            floor: Some(from).filter(|_| at.is_none()),
            ..Self::of(Reason::Detour, secs, now)
        }
    }

    /// What has come since the row at `at` was the newest, except in the first seconds after it.
    pub(super) fn above(now: Duration, at: Timestamp, secs: u64) -> Self {
        Self {
            lower: Some(at),
            ..Self::of(Reason::Detour, secs, now)
        }
    }

    /// The rows of the last seven days up to `ceiling`.
    pub(super) fn replaced(now: Duration, ceiling: Ceiling) -> Self {
        Self {
            ceiling: Some(ceiling),
            ..Self::of(Reason::Replaced, LISTED_SECS, now)
        }
    }

    fn of(reason: Reason, secs: u64, began: Duration) -> Self {
        Self {
            reason,
            paging: Backward::default(),
            lower: None,
            since: None,
            floor: None,
            ceiling: None,
            aside: None,
            searches: 0,
            secs: secs.min(MOST_SECS),
            began,
        }
    }

    /// Decides what follows a page.
    pub(super) fn turn(&mut self, sheet: &Sheet) -> Turn {
        self.look(&sheet.heads);
        match sheet.oldest() {
            Some(oldest) if !self.holds(oldest) => Turn::Done,
            _ => self.paging.turn(sheet),
        }
    }

    /// Looks on a page for the rows that bound it. Whether the upper one was found on it.
    pub(super) fn look(&mut self, heads: &[Head]) -> bool {
        let found = self.ceiling.as_mut().is_some_and(|ceiling| ceiling.look(heads));
        let is_floor = |head: &&Head| self.floor.as_ref().is_some_and(|floor| *floor == head.id);
        if let Some(floor) = heads.iter().find(is_floor) {
            self.lower = Some(floor.at);
        }
        found
    }

    /// The `since_secs` to ask with now: it grows while pages are read, so that the window's beginning stays where it was.
    pub(super) fn since_secs(&self, now: Duration) -> u64 {
        (self.secs + now.saturating_sub(self.began).as_secs()).min(MOST_SECS)
    }

    /// Notes the platform's clock of the first answer.
    pub(super) fn dated(&mut self, date: Option<Timestamp>) {
        if let (None, Some(date)) = (self.lower, date) {
            let back = i64::try_from(self.secs).unwrap_or(i64::MAX).saturating_mul(1_000_000);
            self.lower = Some(date.plus_micros(-back).plus_micros(-SLACK_MICROS));
        }
    }

    /// Whether a row belongs to the window; a platform that ignores the question sends older ones too.
    pub(super) fn holds(&self, at: Timestamp) -> bool {
        self.lower.is_none_or(|lower| at >= lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn window(last: Option<(i64, Option<u64>)>, backlog: Option<u64>) -> u64 {
        let last = last.map(|(wall, monotonic)| LastGood {
            wall: Timestamp(wall * 1_000_000),
            monotonic: monotonic.map(secs),
        });
        let (now, wall) = (secs(10_000), Timestamp(5_000_000 * 1_000_000));
        Window::new(Reason::Gone, now, wall, last, backlog.map(secs)).since_secs(now)
    }

    #[test]
    fn the_window_reaches_ten_minutes_beyond_the_last_good_poll() {
        for (last, backlog, expected) in [
            (None, None, 600),
            (Some((4_999_990, Some(9_990))), None, 600),
            (Some((4_999_941, Some(9_941))), None, 600),
            (Some((4_999_900, Some(9_900))), None, 701),
            (Some((4_999_000, None)), None, 1601),
            (Some((5_100_000, Some(9_000))), None, 1601),
            (Some((4_900_000, Some(9_999))), None, 100_601),
            (Some((1, None)), None, 2_592_000),
            (Some((4_999_999, Some(9_999))), Some(90), 600),
            (Some((4_999_999, Some(9_999))), Some(1000), 1601),
        ] {
            assert_eq!(window(last, backlog), expected, "{last:?} {backlog:?}");
        }
    }

    fn head(n: u32, at: i64, seq: Option<i64>) -> Head {
        Head {
            id: ActivityId::parse(&format!("00000000-0000-4000-8000-{n:012}")).unwrap(),
            at: Timestamp(at),
            seq,
            timed: true,
        }
    }

    #[test]
    fn what_is_listed_is_what_reading_forward_from_the_row_does_not_bring() {
        let place = |seq| Ceiling::Through(Timestamp(10), seq);
        for (ceiling, at, seq, listed) in [
            (Ceiling::Row(head(1, 10, None).id), 9, None, false),
            (place(None), 9, None, true),
            (place(None), 10, None, true),
            (place(None), 11, None, false),
            (place(Some(5)), 10, Some(4), true),
            (place(Some(5)), 10, Some(5), true),
            (place(Some(5)), 10, Some(6), false),
            (place(Some(5)), 9, Some(6), true),
            (place(Some(5)), 11, Some(4), false),
            (place(Some(5)), 10, None, true),
            (Ceiling::Below(Timestamp(10)), 9, None, true),
            (Ceiling::Below(Timestamp(10)), 10, None, false),
            (Ceiling::Below(Timestamp(10)), 11, None, false),
        ] {
            assert_eq!(ceiling.covers(&head(2, at, seq)), listed, "{ceiling:?} {at} {seq:?}");
        }
    }

    #[test]
    fn a_way_around_leads_back_to_the_row_that_was_asked_from_and_no_further() {
        const SECOND: i64 = 1_000_000;
        let (now, wall) = (secs(0), Timestamp(1_000 * SECOND));
        let from = head(1, 900 * SECOND, None);
        let full = |rows: &[(u32, i64)]| {
            let heads = rows.iter().map(|(n, at)| head(*n, at * SECOND, None)).collect();
            Sheet::new(heads, rows.len(), 1)
        };
        let mut known = Window::detour(now, wall, (from.id.clone(), Some(from.at)));
        assert_eq!(known.since_secs(now), 700);
        assert_eq!(known.turn(&full(&[(3, 950), (2, 900)])), Turn::Next);
        assert_eq!(known.turn(&full(&[(2, 900), (9, 899)])), Turn::Done);

        let mut unknown = Window::detour(now, wall, (from.id, None));
        assert_eq!(unknown.since_secs(now), 2_592_000);
        assert_eq!(unknown.turn(&full(&[(3, 950), (2, 800)])), Turn::Next);
        assert_eq!(unknown.turn(&full(&[(2, 800), (1, 700)])), Turn::Next);
        assert_eq!(
            unknown.turn(&full(&[(1, 700), (9, 600)])),
            Turn::Done,
            "the row itself was met"
        );

        let mut above = Window::above(now, from.at, 99);
        assert_eq!(above.since_secs(now), 99);
        assert_eq!(above.turn(&full(&[(3, 950), (9, 899)])), Turn::Done);
    }

    #[test]
    fn its_beginning_stays_while_pages_are_read() {
        let mut window = Window::new(Reason::FirstStart, secs(50), Timestamp(0), None, None);
        assert_eq!((window.since_secs(secs(50)), window.since_secs(secs(63))), (600, 613));
        window.dated(Some(Timestamp(1_000_000_000)));
        window.dated(Some(Timestamp(9_000_000_000)));
        assert!(window.holds(Timestamp(340_000_000)) && !window.holds(Timestamp(339_999_999)));
    }
}
