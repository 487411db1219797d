//! What to read, when, and what an answer means: one state machine without I/O and without a clock.
//!
//! Answers go in, requests and batches for the journal come out. Time is handed in: monotonic time since any fixed moment,
//! and, as the wall clock, that of the platform as far as it is known. Nothing the reader knows advances before [`Reader::committed`] says that the journal has the batch.
//!
//! A *fast* read asks from the newest known row and delivers at once. Rows can become visible behind newer ones, so *near*
//! sweeps look again a little further back, and *full* sweeps from the saved cursor, which alone they move, and only to a row
//! that nothing older can follow any more. Known ids are dropped.

use std::collections::HashSet;
use std::time::Duration;

use crate::agent::envelope::{Head, Row};
use crate::config::Timing;
use crate::state::message::Message;
use crate::types::{ActivityId, Timestamp};
use hole::Hole;
use ledger::{Cover, Ledger, Mark};
use pacing::{Errand, Pacing};
use paging::{Forward, Turn, is_full};
use recovery::{LastGood, Window};
use run::{PageSize, Range, Run, items};
use staging::{Reading, Staged};

pub use exchange::{Failure, Next, Note, Page, Plan, ReadFailure, Recovered, Start, Step};
pub use recovery::Reason;

mod detour;
mod exchange;
mod hole;
mod ledger;
mod listing;
mod pacing;
mod paging;
mod recovery;
mod run;
mod staging;

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
    released: bool,
    level_a_until: Option<Duration>,
    /// A row that cannot be fetched and stands above the saved cursor.
    hole: Option<Hole>,
    /// Since when a window could not be read at all; a page ends it.
    dark_since: Option<Duration>,
    /// The row that reading began from, as long as the platform knows it.
    beginning: Option<ActivityId>,
    /// From when on to list what lies before the beginning of a replaced journal.
    list_from: Option<Duration>,
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
            hole: None,
            dark_since: None,
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
        let run = match self.run.take() {
            Some(run) => run,
            None => match self.begin_listing(now) {
                Some(run) => run,
                None => match self.pacing.due(now, self.ledger.oldest_unsettled()) {
                    Ok(errand) => self.begin(errand, now, wall),
                    Err(wait) => return Next::Wait(wait),
                },
            },
        };
        let plan = run.plan(now, self.size.limit());
        self.run = Some(run);
        self.pacing.requested(now);
        Next::Ask(plan)
    }

    fn begin(&mut self, errand: Errand, now: Duration, wall: Timestamp) -> Run {
        let level_a = self.level_a_until.is_some_and(|until| now < until);
        let from = match errand {
            Errand::Compare | Errand::List => None,
            Errand::Fast { .. } => self.ledger.newest(),
            Errand::Near => self.ledger.seen_by(now.checked_sub(self.timing.of(NEAR_BACK))),
            Errand::Full => self.ledger.cursor().map(|mark| mark.id.clone()),
        };
        // A window, and at level A the newest page, reads all there is: it serves as every kind of read at once.
        let (errand, range) = match from {
            _ if errand == Errand::Compare => (errand, Range::Newest),
            Some(_) if level_a => (Errand::Full, Range::Newest),
            Some(from) => (errand, Range::Forward(Forward::new(from))),
            None => {
                let reason = match (self.released, self.last_good.is_some()) {
                    (true, _) => Reason::Still,
                    (false, true) => Reason::Restart,
                    (false, false) => Reason::FirstStart,
                };
                (Errand::Full, Range::Window(self.window(reason, now, wall)))
            }
        };
        self.pacing.begun(now, errand);
        Run::new(errand, range, now)
    }

    fn window(&self, reason: Reason, now: Duration, wall: Timestamp) -> Window {
        let backlog = self.ledger.oldest_unsettled().map(|seen| now.saturating_sub(seen));
        Window::new(reason, now, wall, self.last_good, backlog)
    }

    /// The time of a row that cannot be fetched now, but perhaps later: the saved cursor waits for it.
    #[must_use]
    pub fn waits_for(&self) -> Option<Timestamp> {
        self.hole.filter(|hole| !hole.certain).map(|hole| hole.at)
    }

    /// The ids of a page that the reader cannot judge itself; asked only where [`Plan::compare`] is set.
    #[must_use]
    pub fn unknown(&self, rows: &[Row]) -> Vec<ActivityId> {
        let heads = rows.iter().filter_map(Row::head);
        heads.map(|head| head.id).filter(|id| !self.ledger.knows(id)).collect()
    }

    /// Takes the answer to the last plan. Call [`Reader::committed`] or [`Reader::not_committed`] next.
    pub fn answer(&mut self, now: Duration, wall: Timestamp, result: Result<Page, ReadFailure>) -> Step {
        self.staged = None;
        let Some(run) = self.run.clone() else {
            return Step::default();
        };
        match result {
            Ok(page) => self.take(Moment { now, wall }, run, page),
            Err(failure) => {
                self.failed(Moment { now, wall }, run, failure);
                Step::default()
            }
        }
    }

    fn take(&mut self, moment: Moment, mut run: Run, page: Page) -> Step {
        let mut step = Step::default();
        self.dark_since = None;
        run.date = run.date.or(page.date);
        if let Range::Window(window) = &mut run.range
            && let Some(search) = &mut window.search
        {
            // Whatever it holds is met again below the row that is searched for.
            search.worked();
            self.end_search(&mut run, moment.now);
            self.staged = Some(Staged {
                run: Some(run),
                ..Staged::nothing(moment)
            });
            return step;
        }
        let limit = self.size.limit();
        let largest = self.size.is_largest();
        let full = is_full(page.rows.len(), limit);
        self.size.worked();
        let (mut items, garbage) = items(page.rows);
        if garbage > 0 {
            step.notes.push(Note::Garbage(garbage));
        }
        let mut heads: Vec<Head> = items.iter().map(|item| item.head.clone()).collect();
        if let Range::Forward(forward) = &mut run.range
            && forward.was_ignored(&heads)
        {
            let believed = forward.doubted;
            forward.doubted = true;
            if believed {
                (run.range, run.errand) = (Range::Newest, Errand::Full);
            }
            self.staged = Some(Staged {
                run: Some(run),
                level_a: believed,
                ..Staged::nothing(moment)
            });
            return step;
        }
        items.sort_by_key(|item| (item.head.at, item.head.seq));
        heads.sort_by_key(|head| (head.at, head.seq));

        let turn = run.turn(&heads, full, limit);
        if turn == Turn::Stuck {
            step.notes.push(Note::Stuck);
        }
        if run.errand == Errand::List {
            let listing = self.list(moment, run, items, turn);
            return Step {
                notes: step.notes,
                ..listing
            };
        }
        let finished = turn != Turn::Next;
        if let Some(passed) = run.window().and_then(|window| window.passed)
            && finished
            && run.barred.is_none()
        {
            step.notes.push(Note::Unfetchable(passed));
        }
        let lower = match &run.range {
            Range::Window(window) => window.lower,
            Range::Newest => self.lower_bound(&heads, &page.known, full, &mut step),
            Range::Forward(_) => None,
        };
        let is_new = |head: &Head| !self.ledger.knows(&head.id) && lower.is_none_or(|lower| head.at >= lower);
        let unread = |id: &ActivityId| !page.known.contains(id);
        items.retain(|item| is_new(&item.head));

        let fresh: Vec<Head> = items
            .iter()
            .map(|item| item.head.clone())
            .filter(|head| self.ledger.is_above(head))
            .collect();
        let messages: Vec<Message> = items
            .into_iter()
            .filter(|item| unread(&item.head.id))
            .filter_map(|item| item.message.map(|message| *message))
            .collect();
        if matches!(run.range, Range::Newest) {
            let below = |message: &&Message| {
                let cursor = self.ledger.cursor().and_then(|mark| mark.at);
                cursor.is_some_and(|cursor| message.at < cursor)
            };
            let late = messages.iter().filter(below).count();
            if late > 0 {
                step.notes.push(Note::Late(late));
            }
        }
        let unhinted = run.errand == (Errand::Fast { hinted: false }) && run.first_page && !messages.is_empty();
        let reading = Reading {
            finished,
            cover: self.cover(&run, turn, &heads, largest || !full),
            oldest: heads.first().map(|head| head.at),
            fresh,
            unhinted,
        };
        self.stage(moment, run, reading);
        self.fill(&mut step, messages, finished, moment);
        step
    }

    /// Below this instant a row of a newest-first page is not ours: our history begins at the oldest row we know.
    fn lower_bound(
        &self,
        heads: &[Head],
        known: &HashSet<ActivityId>,
        full: bool,
        step: &mut Step,
    ) -> Option<Timestamp> {
        let ours = |head: &&Head| head.timed && (known.contains(&head.id) || self.ledger.knows(&head.id));
        let oldest_known = heads.iter().find(ours).map(|head| head.at);
        let cursor = self.ledger.cursor().and_then(|mark| mark.at);
        let reached = heads
            .first()
            .is_some_and(|head| cursor.is_some_and(|cursor| head.at <= cursor));
        if oldest_known.is_none() && full && !reached {
            step.notes.push(Note::Gap);
        }
        match (oldest_known, self.history) {
            (Some(known), Some(history)) => Some(known.min(history)),
            (known, history) => known.or(history),
        }
    }

    /// How far a full sweep has read without a hole, this page included; `None` when it proves nothing.
    fn cover(&self, run: &Run, turn: Turn, heads: &[Head], whole: bool) -> Option<Cover> {
        let newest = heads.last().map(|head| head.at);
        let cover = match (&run.range, turn) {
            _ if run.errand != Errand::Full => None,
            (Range::Window(_), Turn::Next) => None,
            (Range::Window(_), _) => Some(Cover::All),
            (Range::Forward(_), Turn::Done) => Some(Cover::All),
            (Range::Forward(_), _) => newest.map(Cover::Below),
            // A newest-first page reaches back to the cursor, or it is the most that can be had, or it may hide rows.
            (Range::Newest, _) => {
                let cursor = self.ledger.cursor().and_then(|mark| mark.at);
                let reached = heads
                    .first()
                    .zip(cursor)
                    .is_some_and(|(oldest, cursor)| oldest.at < cursor);
                (whole || reached).then_some(Cover::All)
            }
        };
        // Beside a row that cannot be fetched only single rows can be had: equal times there are never read as one page.
        let passed = run.window().is_some_and(|window| window.passed.is_some());
        let cut = run.cut.filter(|_| !passed).into_iter().chain(run.barred).min();
        match (cover, cut) {
            (Some(Cover::Below(edge)), Some(cut)) => Some(Cover::Below(edge.min(cut))),
            (Some(Cover::All), Some(cut)) => Some(Cover::Below(cut)),
            (cover, _) => cover,
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
