//! What to read, when, and what an answer means: one state machine without I/O and without a clock.
//!
//! Answers go in, requests and batches for the journal come out. Time is handed in: monotonic time since any fixed moment,
//! and, as the wall clock, that of the platform as far as it is known. Nothing the reader knows advances before
//! [`Reader::committed`] says that the journal has the batch.
//!
//! A *fast* read asks from the newest known row and delivers at once. Rows can become visible behind newer ones, so *near*
//! sweeps look again a little further back, and *full* sweeps from the saved cursor, which alone they move, and only to a row
//! that nothing older can follow any more. Known ids are dropped. A row that cannot be fetched is gone around.

use std::time::Duration;

use crate::agent::envelope::Row;
use crate::config::Timing;
use crate::types::{ActivityId, Timestamp};
use hole::Holes;
use ledger::{Ledger, Mark, Place};
use newest::{Newest, Unlinked};
use pacing::{Errand, Pacing};
use paging::Forward;
use reach::{PageSize, Usual};
use recovery::{LastGood, Window};
use run::{Range, Run};
use staging::Staged;

pub use exchange::{Failure, Next, Note, Page, Plan, ReadFailure, Recovered, Start, Step};
pub use recovery::Reason;

mod aside;
mod detour;
mod exchange;
mod hole;
mod ledger;
mod listing;
mod newest;
mod pacing;
mod paging;
mod reach;
mod recovery;
mod rise;
mod run;
mod search;
mod staging;
mod taking;

/// How far back a near sweep goes.
const NEAR_BACK: Duration = Duration::from_secs(10);

/// See the module's documentation.
#[derive(Debug)]
pub struct Reader {
    timing: Timing,
    ledger: Ledger,
    pacing: Pacing,
    size: PageSize,
    run: Option<Run>,
    staged: Option<Staged>,
    /// From here on every row is known; older ones were never ours to deliver.
    history: Option<Timestamp>,
    last_good: Option<LastGood>,
    recorded: Option<Duration>,
    /// The journal still holds a cursor that the platform has forgotten.
    cursor_is_gone: bool,
    /// A full sweep has come to its end, and what was held until then is offered.
    released: bool,
    level_a_until: Option<Duration>,
    /// The platform has been seen to heed the row that it is asked from.
    honours_rows: bool,
    /// Whether rows may be missing below the newest (level A).
    unlinked: Option<Unlinked>,
    /// When the last read began, of those that came to their end, that looked below the newest rows for late ones (level A).
    swept: Duration,
    /// Rows that cannot be fetched and stand above the saved cursor.
    holes: Holes,
    /// The platform's clock as last seen, and when.
    clock: Option<(Timestamp, Duration)>,
    /// The row that reading began from, as long as the platform knows it.
    beginning: Option<ActivityId>,
    /// From when on to list what lies before the beginning of a replaced journal.
    list_from: Option<Duration>,
    /// How often it was listed, and rows may be missing.
    listings: u32,
}

/// One moment by both clocks.
#[derive(Clone, Copy, Debug)]
struct Moment {
    now: Duration,
    wall: Timestamp,
}

impl Reader {
    /// Prepares to read on from `start`; the first request goes out at once.
    #[must_use]
    pub fn new(start: Start, timing: Timing, now: Duration) -> Self {
        let saved = start.cursor.map(|cursor| Mark {
            id: cursor.id,
            at: Some(cursor.at),
            seq: cursor.seq,
        });
        let imported = start.imported.map(|id| Mark {
            id,
            at: None,
            seq: None,
        });
        let cursor = imported.or(saved).filter(|mark| mark.id.is_uuid());
        let mut pacing = Pacing::new(timing, now);
        if start.takeover {
            pacing.compare_soon(now);
        }
        Self {
            timing,
            history: cursor.as_ref().and_then(|mark| mark.at),
            beginning: cursor.as_ref().map(|mark| mark.id.clone()),
            list_from: start.replaced.then_some(now),
            listings: 0,
            holes: Holes::default(),
            clock: None,
            ledger: Ledger::new(cursor),
            pacing,
            size: PageSize::default(),
            run: None,
            staged: None,
            last_good: start.last_poll.map(|wall| LastGood { wall, monotonic: None }),
            recorded: None,
            cursor_is_gone: false,
            released: false,
            level_a_until: None,
            honours_rows: false,
            unlinked: None,
            swept: now,
        }
    }

    /// The event stream told of a new row.
    pub fn hint(&mut self) {
        self.pacing.hint();
    }

    /// Whether the event stream works: it decides how often to read without a hint.
    pub fn stream_live(&mut self, live: bool) {
        self.pacing.live(live);
    }

    /// The event stream was interrupted: compare the newest page soon.
    pub fn compare_soon(&mut self, now: Duration) {
        self.pacing.compare_soon(now);
    }

    /// The platform's rate limiter as last seen.
    pub fn budget(&mut self, now: Duration, remaining: Option<u64>, reset: Option<Duration>) {
        self.pacing.budget(now, remaining, reset);
    }

    /// How long to wait at least before a read that nothing hinted at.
    pub fn timer_at_least(&mut self, least: Duration) {
        self.pacing.timer_at_least(least);
    }

    /// What to do now.
    pub fn next(&mut self, now: Duration, wall: Timestamp) -> Next {
        if let Some(wait) = self.pacing.blocked(now) {
            return Next::Wait(wait);
        }
        let mut run = match self.run.take() {
            Some(run) => run,
            None => match self.begin_listing(now) {
                Some(run) => run,
                None => match self.pacing.due(now, self.unsettled()) {
                    Ok(errand) => self.begin(errand, Moment { now, wall }),
                    Err(wait) => return Next::Wait(wait),
                },
            },
        };
        let plan = run.plan(now, self.usual(&run));
        if !run.control {
            run.asked = plan.limit;
        }
        self.run = Some(run);
        self.pacing.requested(now);
        Next::Ask(plan)
    }

    /// Since when a full sweep has something to do.
    fn unsettled(&self) -> Option<Duration> {
        let rows = self.ledger.oldest_unsettled().into_iter();
        rows.chain(self.holes.open_since()).min()
    }

    fn begin(&mut self, errand: Errand, moment: Moment) -> Run {
        let now = moment.now;
        let level_a = self.level_a_until.is_some_and(|until| now < until);
        let from = match errand {
            Errand::Compare | Errand::List => None,
            Errand::Fast { .. } => self.ledger.newest(),
            Errand::Near => self.ledger.seen_by(now.checked_sub(self.timing.of(NEAR_BACK))),
            Errand::Full => self.ledger.saved(),
        };
        // A window, and at level A the newest page, reads all there is: it serves as every kind of read at once.
        let (errand, range) = match from {
            _ if errand == Errand::Compare => (errand, Range::Newest(Newest::default())),
            from if level_a && (from.is_some() || self.history.is_some()) => {
                let sweeps = matches!(errand, Errand::Near | Errand::Full);
                let depth = sweeps.then(|| self.depth(now)).flatten();
                (Errand::Full, Range::Newest(Newest { depth, lower: None }))
            }
            Some(from) => (errand, self.onwards(errand, from, moment)),
            None => match self.above_hole(errand, None, now).filter(|_| self.released) {
                Some(window) => (errand, window.into()),
                None => (Errand::Full, self.window(self.reason(), moment).into()),
            },
        };
        self.pacing.begun(now, errand);
        Run::new(errand, range, now)
    }

    /// Why a window is read when there is no row to read on from.
    fn reason(&self) -> Reason {
        match (self.released, self.last_good.is_some()) {
            (true, _) => Reason::Still,
            (false, true) => Reason::Restart,
            (false, false) => Reason::FirstStart,
        }
    }

    /// From a row onwards; around what is known to bar the way.
    fn onwards(&self, errand: Errand, (from, at): Place, moment: Moment) -> Range {
        if !at.is_some_and(|at| self.holes.bar(at)) {
            return Range::Forward(Forward::new(from, at));
        }
        let above = self.above_hole(errand, at, moment.now);
        let detour = || Window::detour(moment.now, moment.wall, (from, at));
        above.unwrap_or_else(detour).into()
    }

    /// A fast read needs only what has come since a row that cannot be fetched and stands above all that are known.
    fn above_hole(&self, errand: Errand, from: Option<Timestamp>, now: Duration) -> Option<Window> {
        let fast = matches!(errand, Errand::Fast { .. });
        let hole = self.holes.below(None).filter(|hole| fast && Some(*hole) >= from)?;
        let secs = self.age_of(hole)?.window_above(now)?;
        Some(Window::above(now, hole, secs))
    }

    /// A window since the last good poll, and as far as something is still missing.
    fn window(&self, reason: Reason, Moment { now, wall }: Moment) -> Window {
        let backlog = self.unsettled().map(|since| now.saturating_sub(since));
        let hole = self.holes.oldest().map(|hole| hole.until(wall));
        Window::new(reason, now, wall, self.last_good, backlog.max(hole))
    }

    /// How many rows to ask for where nothing else is known: no more than stand above a row that is known to fail.
    fn usual(&self, run: &Run) -> Usual {
        let limit = self.size.limit();
        let before = run.window().map(|window| window.paging.before);
        let hole = before.and_then(|before| self.holes.below(before));
        let above = hole.map(|hole| self.ledger.between(hole, before.flatten()));
        Usual {
            limit: above.map_or(limit, |above| limit.min(u32::try_from(above).unwrap_or(limit)).max(1)),
            at_hole: above.is_some(),
        }
    }

    /// The time of a row that cannot be fetched now, but perhaps later: the saved cursor waits for it.
    #[must_use]
    pub fn waits_for(&self) -> Option<Timestamp> {
        self.holes.waiting()
    }

    /// The ids of a page that the reader cannot judge itself; asked only where [`Plan::compare`] is set.
    #[must_use]
    pub fn unknown(&self, rows: &[Row]) -> Vec<ActivityId> {
        let heads = rows.iter().filter_map(Row::head);
        heads.map(|head| head.id).filter(|id| !self.ledger.knows(id)).collect()
    }

    /// Takes the answer to the last plan. It counts from [`Reader::committed`] on; without that call, the same page is asked
    /// for again.
    pub fn answer(&mut self, now: Duration, wall: Timestamp, result: Result<Page, ReadFailure>) -> Step {
        self.staged = None;
        let Some(run) = self.run.clone() else {
            return Step::default();
        };
        let moment = Moment { now, wall };
        match result {
            Ok(page) => self.take(moment, run, page),
            Err(failure) => {
                self.failed(moment, run, failure);
                Step::default()
            }
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
