//! What to read, when, and what an answer means: one state machine without I/O and without a clock.
//!
//! Answers go in, requests and batches for the journal come out. Time is handed in: monotonic time since any fixed moment,
//! and the wall clock. Nothing the reader knows advances before [`Reader::committed`] says that the journal has the batch.
//!
//! A *fast* read asks from the newest known row and delivers at once. Rows can become visible behind newer ones, so *near*
//! sweeps look again a little further back, and *full* sweeps from the saved cursor, which alone they move, and only to a row
//! that nothing older can follow any more. Known ids are dropped.

use std::collections::HashSet;
use std::time::Duration;

use crate::agent::envelope::{Head, Row};
use crate::config::Timing;
use crate::state::journal::{Batch, Cursor};
use crate::state::message::Message;
use crate::types::{ActivityId, Timestamp};
use ledger::{Cover, Ledger, Mark, Settled};
use pacing::{Errand, Pacing, SETTLING};
use paging::{Forward, Turn, is_full};
use recovery::{LastGood, Window};
use run::{PageSize, Range, Run, items};

pub use exchange::{Failure, Next, Note, Page, Plan, ReadFailure, Recovered, Start, Step};
pub use recovery::Reason;

mod exchange;
mod ledger;
mod pacing;
mod paging;
mod recovery;
mod run;

/// How far back a near sweep goes.
const NEAR_BACK: Duration = Duration::from_secs(10);
/// How old a row must be on the platform's clock to be settled at first sight.
const STAMPED_BACK: Duration = Duration::from_secs(60);
/// How often the last good poll is recorded while nothing else is committed.
const RECORD_EVERY: Duration = Duration::from_secs(60);
/// How long a platform is taken for one that ignores cursors (level A) before it is tried again.
const LEVEL_A_FOR: Duration = Duration::from_secs(600);

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
}

/// One moment by both clocks.
#[derive(Clone, Copy, Debug)]
struct Moment {
    now: Duration,
    wall: Timestamp,
}

/// What one page came to.
struct Reading {
    finished: bool,
    cover: Option<Cover>,
    oldest: Option<Timestamp>,
    /// New rows above the saved cursor.
    fresh: Vec<Head>,
    unhinted: bool,
}

/// What happens once the journal has the batch.
#[derive(Debug)]
struct Staged {
    run: Option<Run>,
    finished: Option<(Errand, Duration)>,
    swept: bool,
    fresh: Vec<Head>,
    mark: Option<Mark>,
    history: Option<Timestamp>,
    released: bool,
    recorded: bool,
    unhinted: bool,
    level_a: bool,
    moment: Moment,
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

    /// What to do now.
    pub fn next(&mut self, now: Duration, wall: Timestamp) -> Next {
        if let Some(wait) = self.pacing.blocked(now) {
            return Next::Wait(wait);
        }
        let run = match self.run.take() {
            Some(run) => run,
            None => match self.pacing.due(now, self.ledger.oldest_unsettled()) {
                Ok(errand) => self.begin(errand, now, wall),
                Err(wait) => return Next::Wait(wait),
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
            Errand::Compare => None,
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
                self.failed(now, wall, &run, failure);
                Step::default()
            }
        }
    }

    fn failed(&mut self, now: Duration, wall: Timestamp, run: &Run, failure: ReadFailure) {
        let mut pause = failure.pause;
        match (failure.failure, &run.range) {
            (Failure::Gone, Range::Forward(forward)) => {
                self.cursor_is_gone |= self.ledger.cursor().is_some();
                let window = self.window(Reason::Gone, now, wall);
                self.ledger.forget(&forward.from);
                self.run = Some(Run::new(Errand::Full, Range::Window(window), now));
                pause = Duration::ZERO;
            }
            (Failure::TooLarge, _) if self.size.shrink() => pause = Duration::ZERO,
            (Failure::Interrupted, _) => self.size.broke_off(),
            _ => {}
        }
        self.pacing.pause(now, pause);
    }

    fn take(&mut self, moment: Moment, mut run: Run, page: Page) -> Step {
        let limit = self.size.limit();
        let largest = self.size.is_largest();
        let full = is_full(page.rows.len(), limit);
        self.size.worked();
        let mut step = Step::default();
        run.date = run.date.or(page.date);
        let (mut items, garbage) = items(page.rows);
        if garbage > 0 {
            step.notes.push(Note::Garbage(garbage));
        }
        let mut heads: Vec<Head> = items.iter().map(|item| item.head.clone()).collect();
        if let Range::Forward(forward) = &run.range
            && forward.was_ignored(&heads)
        {
            self.staged = Some(Staged {
                run: Some(Run {
                    range: Range::Newest,
                    errand: Errand::Full,
                    ..run
                }),
                level_a: true,
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
        let finished = turn != Turn::Next;
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
        let ours = |head: &&Head| known.contains(&head.id) || self.ledger.knows(&head.id);
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
        match (cover, run.cut) {
            (Some(Cover::Below(edge)), Some(cut)) => Some(Cover::Below(edge.min(cut))),
            (Some(Cover::All), Some(cut)) => Some(Cover::Below(cut)),
            (cover, _) => cover,
        }
    }

    /// Works out what the page changes once it is committed.
    fn stage(&mut self, moment: Moment, mut run: Run, reading: Reading) {
        let Reading {
            finished,
            cover,
            oldest,
            fresh,
            unhinted,
        } = reading;
        let rule = Settled {
            seen_by: run.began.checked_sub(self.timing.of(SETTLING)),
            stamped_by: run.date.map(|date| {
                let back = i64::try_from(self.timing.of(STAMPED_BACK).as_micros()).unwrap_or(i64::MAX);
                date.plus_micros(-back)
            }),
        };
        let mark = cover
            .and_then(|cover| self.ledger.candidate(cover, rule, &fresh))
            .filter(|mark| self.ledger.cursor() != Some(mark));
        let lower = run.window().and_then(|window| window.lower);
        let history = (run.errand == Errand::Full && finished)
            .then(|| lower.or(oldest).or(run.date))
            .flatten();
        run.first_page = false;
        if let Range::Window(window) = &mut run.range {
            window.held |= !finished;
        }
        self.staged = Some(Staged {
            finished: finished.then_some((run.errand, run.began)),
            swept: finished && cover == Some(Cover::All),
            run: Some(run),
            fresh,
            mark,
            history,
            released: finished && self.run.as_ref().is_some_and(|run| run.errand == Errand::Full),
            unhinted,
            ..Staged::nothing(moment)
        });
    }

    /// Makes the batch that belongs to what is staged.
    fn fill(&mut self, step: &mut Step, messages: Vec<Message>, finished: bool, moment: Moment) {
        let Some(staged) = &mut self.staged else { return };
        let window = staged.run.as_ref().and_then(Run::window);
        let hold = window.is_some() && !finished;
        let recorded_lately = self
            .recorded
            .is_some_and(|then| moment.now < then + self.timing.of(RECORD_EVERY));
        let cursor = staged.mark.as_ref().and_then(|mark| {
            mark.at.map(|at| Cursor {
                id: mark.id.clone(),
                at,
                seq: mark.seq,
            })
        });
        let mut batch = Batch {
            forget_cursor: self.cursor_is_gone && window.is_some() && finished && cursor.is_none(),
            release: finished && staged.released && (!self.released || window.is_some_and(|window| window.held)),
            hold,
            messages,
            cursor,
            polled: None,
            recovered: false,
        };
        step.recovering = window.is_some_and(|window| window.reason != Reason::Still);
        step.recovered = window.filter(|_| finished).map(|window| Recovered {
            reason: window.reason,
            since: window.since,
        });
        let writes = !batch.messages.is_empty() || batch.cursor.is_some() || batch.forget_cursor || batch.release;
        let polls = staged.finished.is_some_and(|(errand, _)| errand != Errand::Compare);
        if polls && (writes || !recorded_lately) {
            batch.polled = Some(moment.wall);
            staged.recorded = true;
        }
        if finished {
            staged.run = None;
        }
        step.batch = (writes || batch.polled.is_some()).then_some(batch);
    }

    /// The journal has the batch (or there was none): what was read counts from now on.
    pub fn committed(&mut self) {
        let Some(staged) = self.staged.take() else { return };
        let now = staged.moment.now;
        self.run = staged.run;
        if !staged.fresh.is_empty() {
            self.pacing.sighted(now);
            self.ledger.sight(staged.fresh, now);
        }
        if let Some(mark) = staged.mark {
            self.ledger.advance(mark);
            self.cursor_is_gone = false;
        }
        if let Some((errand, began)) = staged.finished {
            self.pacing.finished(errand, began, now);
            if errand != Errand::Compare {
                self.last_good = Some(LastGood {
                    wall: staged.moment.wall,
                    monotonic: Some(now),
                });
            }
            if staged.swept {
                self.cursor_is_gone = false;
                if let Some(limit) = began.checked_sub(self.timing.of(SETTLING)) {
                    self.ledger.retire(limit);
                }
            }
        }
        self.history = self.history.or(staged.history);
        self.released |= staged.released;
        if staged.recorded {
            self.recorded = Some(now);
        }
        if staged.unhinted {
            self.pacing.unhinted(now);
        }
        if staged.level_a {
            self.level_a_until = Some(now + self.timing.of(LEVEL_A_FOR));
        }
    }

    /// The journal could not take the batch: everything stays as it was, and the same page is asked for again.
    pub fn not_committed(&mut self) {
        self.staged = None;
    }
}

impl Staged {
    fn nothing(moment: Moment) -> Self {
        Self {
            run: None,
            finished: None,
            swept: false,
            fresh: Vec::new(),
            mark: None,
            history: None,
            released: false,
            recorded: false,
            unhinted: false,
            level_a: false,
            moment,
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
