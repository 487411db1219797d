//! The rows above the saved cursor and when each was first seen: what a lagging cursor may safely move to.
//!
//! The platform stamps a row when its insert begins and shows it when that is committed, so an older row can appear
//! behind a newer one. A row is *settled* once every row that was stamped before it must have become visible.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::agent::envelope::Head;
use crate::types::{ActivityId, Timestamp};

/// More rows than this are not remembered; the oldest are then met again by the next sweep and dropped by the journal.
const CAPACITY: usize = 50_000;

/// The saved cursor as the reader knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) id: ActivityId,
    /// `None` for a cursor that another program left: only its id is known.
    pub(super) at: Option<Timestamp>,
    pub(super) seq: Option<i64>,
}

/// How far a sweep has read without a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    /// To the newest visible row.
    All,
    /// Every row strictly older than this; a page may have ended among rows of this very instant.
    Below(Timestamp),
}

/// Which rows count as settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    /// First seen at this monotonic instant or earlier.
    pub(super) seen_by: Option<Duration>,
    /// Stamped at this instant of the platform's clock or earlier.
    pub(super) stamped_by: Option<Timestamp>,
}

/// A row to ask from, and its time where that is known.
pub(super) type Place = (ActivityId, Option<Timestamp>);

/// Order of the log: time, then sequence number, then id.
type Key = (Timestamp, i64, ActivityId);

#[derive(Clone, Copy, Debug)]
struct Sighting {
    first_seen: Duration,
    settled: bool,
    timed: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    cursor: Option<Mark>,
    rows: BTreeMap<Key, Sighting>,
    places: HashMap<ActivityId, (Timestamp, i64)>,
    oldest_unsettled: Option<Duration>,
}

impl Ledger {
    pub(super) fn new(cursor: Option<Mark>) -> Self {
        Self {
            cursor,
            ..Self::default()
        }
    }

    pub(super) fn cursor(&self) -> Option<&Mark> {
        self.cursor.as_ref()
    }

    /// Forgets the saved cursor and the row that the platform no longer knows.
    pub(super) fn forget(&mut self, gone: &ActivityId) {
        self.cursor = None;
        if let Some((at, seq)) = self.places.remove(gone) {
            self.rows.remove(&(at, seq, gone.clone()));
            self.recount();
        }
    }

    pub(super) fn knows(&self, id: &ActivityId) -> bool {
        self.places.contains_key(id) || self.cursor.as_ref().is_some_and(|cursor| cursor.id == *id)
    }

    /// Whether a row was first seen at `limit` or earlier.
    pub(super) fn was_seen_by(&self, id: &ActivityId, limit: Duration) -> bool {
        let place = self.places.get(id).map(|(at, seq)| (*at, *seq, id.clone()));
        let sighting = place.and_then(|key| self.rows.get(&key));
        sighting.is_some_and(|sighting| sighting.first_seen <= limit)
    }

    /// The time of the oldest row that was first seen at `limit` or later.
    pub(super) fn oldest_since(&self, limit: Duration) -> Option<Timestamp> {
        let mut since = self.rows.iter().filter(|(_, sighting)| sighting.first_seen >= limit);
        since.next().map(|((at, _, _), _)| *at)
    }

    /// Whether a row comes after the saved cursor in the order of the log.
    pub(super) fn is_above(&self, head: &Head) -> bool {
        let Some(cursor) = &self.cursor else { return true };
        cursor.at.is_none_or(|floor| {
            (head.at, head.seq.unwrap_or(0), &head.id) > (floor, cursor.seq.unwrap_or(0), &cursor.id)
        })
    }

    /// Whether the saved cursor has left an instant behind.
    pub(super) fn is_passed(&self, at: Timestamp) -> bool {
        let cursor = self.cursor.as_ref().and_then(|cursor| cursor.at);
        cursor.is_some_and(|cursor| cursor > at)
    }

    /// Remembers rows first seen `now`.
    pub(super) fn sight(&mut self, heads: Vec<Head>, now: Duration) {
        for head in heads {
            let place = (head.at, head.seq.unwrap_or(0));
            if self.places.insert(head.id.clone(), place).is_none() {
                let sighting = Sighting {
                    first_seen: now,
                    settled: false,
                    timed: head.timed,
                };
                self.rows.insert((place.0, place.1, head.id), sighting);
                self.oldest_unsettled = Some(self.oldest_unsettled.map_or(now, |oldest| oldest.min(now)));
            }
        }
        while self.rows.len() > CAPACITY {
            if let Some(((_, _, id), _)) = self.rows.pop_first() {
                self.places.remove(&id);
            }
        }
    }

    /// The newest known row that can be asked from, else the saved cursor.
    pub(super) fn newest(&self) -> Option<Place> {
        self.newest_where(|_| true)
    }

    /// The newest row first seen at `limit` or earlier that can be asked from, else the saved cursor.
    pub(super) fn seen_by(&self, limit: Option<Duration>) -> Option<Place> {
        self.newest_where(|sighting| limit.is_some_and(|limit| sighting.first_seen <= limit))
    }

    fn newest_where(&self, fits: impl Fn(&Sighting) -> bool) -> Option<Place> {
        let mut rows = self.rows.iter().rev();
        rows.find(|((_, _, id), sighting)| id.is_uuid() && sighting.timed && fits(sighting))
            .map(|((at, _, id), _)| (id.clone(), Some(*at)))
            .or_else(|| self.saved())
    }

    /// The saved cursor.
    pub(super) fn saved(&self) -> Option<Place> {
        self.cursor.as_ref().map(|cursor| (cursor.id.clone(), cursor.at))
    }

    /// How many rows are known from one instant on and before another.
    pub(super) fn between(&self, from: Timestamp, before: Option<Timestamp>) -> usize {
        let rows = self
            .rows
            .keys()
            .rev()
            .skip_while(|(at, _, _)| before.is_some_and(|before| *at >= before));
        rows.take_while(|(at, _, _)| *at >= from).count()
    }

    /// When the oldest row that is not settled yet was first seen.
    pub(super) fn oldest_unsettled(&self) -> Option<Duration> {
        self.oldest_unsettled
    }

    /// Where the saved cursor may move: the newest settled row in the covered part of the log, of those known and those
    /// just read. A row that did not say its time has no certain place, so it is none. `None` when that is no step forward.
    pub(super) fn candidate(&self, cover: Cover, rule: Settled, fresh: &[Head]) -> Option<Mark> {
        let covered = |at: Timestamp| match cover {
            Cover::All => true,
            Cover::Below(edge) => at < edge,
        };
        let old_enough = |at: Timestamp| rule.stamped_by.is_some_and(|limit| at <= limit);
        let known = self.rows.iter().rev().find(|((at, _, id), sighting)| {
            let settled = rule.seen_by.is_some_and(|limit| sighting.first_seen <= limit) || old_enough(*at);
            covered(*at) && settled && sighting.timed && id.is_uuid()
        });
        let known = known.map(|(key, _)| key.clone());
        let read = fresh
            .iter()
            .filter(|head| covered(head.at) && old_enough(head.at) && head.timed && head.id.is_uuid())
            .map(|head| (head.at, head.seq.unwrap_or(0), head.id.clone()))
            .max();
        let (at, seq, id) = known.max(read)?;
        let forward = self.cursor.as_ref().is_none_or(|cursor| {
            cursor
                .at
                .is_none_or(|floor| (at, seq) >= (floor, cursor.seq.unwrap_or(0)))
        });
        // Zero stands for none.
        let seq = (seq != 0).then_some(seq);
        forward.then_some(Mark { id, at: Some(at), seq })
    }

    /// Moves the saved cursor; rows at or below it need no memory.
    pub(super) fn advance(&mut self, mark: Mark) {
        if let Some(at) = mark.at {
            let key = (at, mark.seq.unwrap_or(0), mark.id.clone());
            let mut above = self.rows.split_off(&key);
            above.remove(&key);
            for (_, _, id) in self.rows.keys() {
                self.places.remove(id);
            }
            self.places.remove(&mark.id);
            self.rows = above;
        }
        self.cursor = Some(mark);
        self.recount();
    }

    /// After a sweep of the whole log: rows seen by `limit` need no further sweep, even those that cannot be a cursor.
    pub(super) fn retire(&mut self, limit: Duration) {
        for sighting in self.rows.values_mut() {
            sighting.settled |= sighting.first_seen <= limit;
        }
        self.recount();
    }

    fn recount(&mut self) {
        let unsettled = self.rows.values().filter(|sighting| !sighting.settled);
        self.oldest_unsettled = unsettled.map(|sighting| sighting.first_seen).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> ActivityId {
        ActivityId::parse(&format!("00000000-0000-4000-8000-{n:012}")).unwrap()
    }

    fn head(n: u32, at: i64) -> Head {
        Head {
            id: id(n),
            at: Timestamp(at),
            seq: None,
            timed: true,
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn seen_by(limit: Duration) -> Settled {
        Settled {
            seen_by: Some(limit),
            stamped_by: None,
        }
    }

    #[test]
    fn the_cursor_moves_to_the_newest_row_seen_long_enough_ago() {
        let mut ledger = Ledger::new(None);
        ledger.sight(vec![head(1, 10), head(3, 30)], SECOND);
        ledger.sight(vec![head(2, 20), head(4, 40)], SECOND * 9);
        assert_eq!(ledger.candidate(Cover::All, seen_by(Duration::ZERO), &[]), None);
        let mark = ledger.candidate(Cover::All, seen_by(SECOND), &[]).unwrap();
        assert_eq!(mark.id, id(3));
        ledger.advance(mark);
        assert!(ledger.knows(&id(3)) && ledger.knows(&id(4)) && !ledger.knows(&id(2)));
        assert_eq!(ledger.oldest_unsettled(), Some(SECOND * 9));
        assert_eq!(ledger.newest(), Some((id(4), Some(Timestamp(40)))));
        assert_eq!(ledger.seen_by(Some(SECOND * 2)), ledger.saved());
    }

    #[test]
    fn it_is_known_when_a_row_was_seen_and_how_far_back_those_of_late_go() {
        let mut ledger = Ledger::new(None);
        ledger.sight(vec![head(1, 10), head(4, 40)], SECOND);
        ledger.sight(vec![head(2, 20), head(3, 30)], SECOND * 9);
        for (n, secs, seen) in [(1, 0, false), (1, 1, true), (2, 8, false), (2, 9, true), (7, 99, false)] {
            assert_eq!(ledger.was_seen_by(&id(n), SECOND * secs), seen, "{n} by {secs} s");
        }
        for (secs, oldest) in [(1, Some(10)), (2, Some(20)), (9, Some(20)), (10, None)] {
            assert_eq!(
                ledger.oldest_since(SECOND * secs),
                oldest.map(Timestamp),
                "since {secs} s"
            );
        }
        for (from, before, count) in [
            (10, None, 4),
            (20, None, 3),
            (21, None, 2),
            (20, Some(40), 2),
            (20, Some(41), 3),
            (41, None, 0),
        ] {
            let rows = ledger.between(Timestamp(from), before.map(Timestamp));
            assert_eq!(rows, count, "from {from} before {before:?}");
        }
    }

    #[test]
    fn rows_of_the_cursors_instant_are_told_apart_by_number_and_else_by_id() {
        let cursor = |seq| {
            Ledger::new(Some(Mark {
                id: id(5),
                at: Some(Timestamp(50)),
                seq,
            }))
        };
        for (seq, row, above) in [
            (None, head(9, 49), false),
            (None, head(5, 50), false),
            (None, head(4, 50), false),
            (None, head(6, 50), true),
            (None, head(1, 51), true),
            (
                Some(7),
                Head {
                    seq: Some(6),
                    ..head(9, 50)
                },
                false,
            ),
            (
                Some(7),
                Head {
                    seq: Some(8),
                    ..head(1, 50)
                },
                true,
            ),
        ] {
            assert_eq!(cursor(seq).is_above(&row), above, "{seq:?} {row:?}");
        }
        let passed = [49, 50, 51].map(|at| cursor(None).is_passed(Timestamp(at)));
        assert_eq!(passed, [true, false, false]);
        assert!(!Ledger::new(None).is_passed(Timestamp(0)));
    }

    #[test]
    fn a_page_that_ended_among_equal_times_settles_nothing_at_that_time() {
        let mut ledger = Ledger::new(None);
        ledger.sight(vec![head(1, 10), head(2, 20), head(3, 20)], SECOND);
        let mark = ledger
            .candidate(Cover::Below(Timestamp(20)), seen_by(SECOND), &[])
            .unwrap();
        assert_eq!(mark.id, id(1));
    }

    #[test]
    fn a_backlog_settles_by_the_platforms_clock_at_once() {
        let ledger = Ledger::new(None);
        let rule = Settled {
            seen_by: None,
            stamped_by: Some(Timestamp(25)),
        };
        let fresh = [head(1, 10), head(2, 20), head(3, 30)];
        assert_eq!(ledger.candidate(Cover::All, rule, &fresh).unwrap().id, id(2));
    }

    #[test]
    fn a_row_that_cannot_be_a_cursor_is_passed_and_causes_no_endless_sweeps() {
        let mut ledger = Ledger::new(None);
        let odd = Head {
            id: ActivityId::parse("odd").unwrap(),
            at: Timestamp(50),
            seq: None,
            timed: true,
        };
        ledger.sight(vec![head(1, 10), odd], SECOND);
        let mark = ledger.candidate(Cover::All, seen_by(SECOND), &[]).unwrap();
        assert_eq!(mark.id, id(1));
        ledger.advance(mark);
        ledger.retire(SECOND);
        assert_eq!(ledger.oldest_unsettled(), None);
        assert!(ledger.knows(&ActivityId::parse("odd").unwrap()));
        assert_eq!(ledger.newest(), ledger.saved());
    }

    #[test]
    fn memory_is_bounded() {
        let mut ledger = Ledger::new(None);
        let many = u32::try_from(CAPACITY).unwrap() + 10;
        ledger.sight((0..many).map(|n| head(n, i64::from(n))).collect(), SECOND);
        assert_eq!(ledger.rows.len(), CAPACITY);
        assert_eq!(ledger.places.len(), CAPACITY);
        assert!(ledger.knows(&id(many - 1)) && !ledger.knows(&id(0)));
    }
}
