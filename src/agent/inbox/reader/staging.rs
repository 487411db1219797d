//! What a page changes, kept until the journal has it.

use std::time::Duration;

use super::exchange::{Recovered, Step};
use super::ledger::{Cover, Mark, Settled};
use super::listing::LIST_AGAIN;
use super::pacing::{Errand, SETTLING};
use super::recovery::LastGood;
use super::run::{Range, Run};
use super::{Moment, Reader};
use crate::agent::envelope::Head;
use crate::state::journal::{Batch, Cursor};
use crate::state::message::Message;
use crate::types::Timestamp;

/// How old a row must be on the platform's clock to be settled at first sight.
const STAMPED_BACK: Duration = Duration::from_secs(60);
/// How often the last good poll is recorded while nothing else is committed.
const RECORD_EVERY: Duration = Duration::from_secs(60);
/// How long a platform is taken for one that ignores cursors (level A) before it is tried again.
const LEVEL_A_FOR: Duration = Duration::from_secs(600);

/// What one page came to.
pub(super) struct Reading {
    pub(super) finished: bool,
    pub(super) cover: Option<Cover>,
    /// From here on everything was read, with all pages of the run.
    pub(super) lower: Option<Timestamp>,
    /// New rows above the saved cursor.
    pub(super) fresh: Vec<Head>,
    pub(super) unhinted: bool,
}

/// What happens once the journal has the batch.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) run: Option<Run>,
    pub(super) finished: Option<(Errand, Duration)>,
    pub(super) swept: bool,
    /// It looked below the newest rows for late ones.
    pub(super) deep: bool,
    pub(super) fresh: Vec<Head>,
    pub(super) mark: Option<Mark>,
    pub(super) history: Option<Timestamp>,
    pub(super) released: bool,
    pub(super) recorded: bool,
    pub(super) unhinted: bool,
    pub(super) level_a: bool,
    pub(super) listed: bool,
    /// It passed rows that may be there the next time.
    pub(super) list_again: bool,
    pub(super) moment: Moment,
}

impl Reader {
    /// Works out what the page changes once it is committed.
    pub(super) fn stage(&mut self, moment: Moment, mut run: Run, reading: Reading) {
        let Reading {
            finished,
            cover,
            lower,
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
        let history = cover.filter(|_| finished).and(lower.or(run.date));
        run.first_page = false;
        run.held |= run.window().is_some() && !finished;
        self.staged = Some(Staged {
            finished: finished.then_some((run.errand, run.began)),
            swept: finished && cover == Some(Cover::All),
            deep: matches!(run.range, Range::Newest(newest) if newest.depth.is_some()),
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
    pub(super) fn fill(&mut self, step: &mut Step, messages: Vec<Message>, finished: bool, moment: Moment) {
        let Some(staged) = &mut self.staged else { return };
        let held = staged.run.as_ref().is_some_and(|run| run.held);
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
        // What an earlier process or run left held waits for a read to its end, but the cursor never passes it.
        let left = !self.released && (staged.released || cursor.is_some());
        let mut batch = Batch {
            forget_cursor: self.cursor_is_gone && window.is_some() && finished && cursor.is_none(),
            release: left || (finished && held),
            hold,
            messages,
            cursor,
            polled: None,
            recovered: false,
        };
        step.recovered = window.filter(|_| finished).map(|window| Recovered {
            reason: window.reason,
            since: window.since,
        });
        let writes = !batch.messages.is_empty() || batch.cursor.is_some() || batch.forget_cursor || batch.release;
        let polls = staged.finished.is_some_and(|(errand, _)| errand.is_poll());
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
            if staged.deep {
                self.swept = began;
            }
            self.pacing.finished(errand, began, now);
            if errand.is_poll() {
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
        if let Some(cursor) = self.ledger.cursor().and_then(|cursor| cursor.at) {
            self.holes.passed(cursor);
        }
        if staged.listed {
            self.list_from = None;
        } else if staged.list_again {
            self.listings += 1;
            self.list_from = Some(now + self.timing.of(LIST_AGAIN));
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
}

impl Staged {
    pub(super) fn nothing(moment: Moment) -> Self {
        Self {
            run: None,
            finished: None,
            swept: false,
            deep: false,
            fresh: Vec::new(),
            mark: None,
            history: None,
            released: false,
            recorded: false,
            unhinted: false,
            level_a: false,
            listed: false,
            list_again: false,
            moment,
        }
    }
}
