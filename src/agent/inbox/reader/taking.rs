//! Taking a page: which of its rows are new and ours, what follows it, and what it proves.

use std::collections::HashSet;

use super::exchange::{Note, Page, Step};
use super::hole::{Gap, PATIENCE};
use super::ledger::Cover;
use super::pacing::{Errand, SETTLING};
use super::paging::{Sheet, Turn};
use super::run::{Item, Range, Run, items};
use super::staging::Reading;
use super::{Moment, Reader};
use crate::agent::envelope::Head;
use crate::state::message::Message;
use crate::types::{ActivityId, Timestamp};

impl Reader {
    pub(super) fn take(&mut self, moment: Moment, mut run: Run, page: Page) -> Step {
        let mut step = Step::default();
        self.clock = page.date.map(|date| (date, moment.now)).or(self.clock);
        run.date = run.date.or(page.date);
        if run.control {
            self.control_worked(moment, run);
            return step;
        }
        run.judged();
        let rows = page.rows.len();
        let (mut items, garbage) = items(page.rows);
        if garbage > 0 {
            step.notes.push(Note::Garbage(garbage));
        }
        let sheet = Sheet::new(items.iter().map(|item| item.head.clone()).collect(), rows, run.asked);
        let aside = run.window().and_then(|window| window.aside.as_ref());
        if aside.is_some_and(|aside| aside.was_ignored(moment.now, &sheet)) {
            self.doubt(moment, run);
            return Step::default();
        }
        if self.take_aside(moment, &mut run, &sheet) {
            self.run = Some(run);
            return Step::default();
        }
        items.sort_by_key(|item| (item.head.at, item.head.seq));

        let turn = self.turn(moment, &mut run, &sheet, &page.known);
        match turn {
            Turn::Ignored => {
                self.doubt(moment, run);
                return Step::default();
            }
            Turn::More if !self.may_be_taken(&run) => {
                self.run = Some(run);
                return Step::default();
            }
            Turn::Stuck if matches!(run.range, Range::Newest(_)) => {
                self.leave(&run, moment.now);
                return Step::default();
            }
            Turn::Stuck => step.notes.push(Note::Stuck),
            Turn::Next | Turn::More | Turn::Done => {}
        }
        if run.errand == Errand::List {
            let listing = self.list(moment, run, items, turn);
            return Step {
                notes: step.notes,
                ..listing
            };
        }
        let finished = matches!(turn, Turn::Done | Turn::Stuck);
        if turn == Turn::Done && run.errand == Errand::Full {
            self.tell_of_holes(moment, &run, &mut step);
        }
        let lower = match &run.range {
            Range::Window(window) => window.lower,
            Range::Newest(newest) => {
                if run.errand == Errand::Full && !self.is_linked(*newest, &sheet, &page.known) {
                    step.notes.push(Note::Gap);
                }
                self.unlinked = None;
                self.lower_bound(&sheet, &page.known, newest.lower)
            }
            Range::Forward(_) => None,
        };
        let messages = self.sift(items, &page.known, lower, &run, &mut step);
        let cover = self.cover(moment, &run, turn, &sheet);
        run.oldest = run.oldest.into_iter().chain(sheet.oldest()).min();
        let reading = Reading {
            finished,
            cover,
            lower: lower.or(run.oldest).filter(|_| cover.is_some()),
            fresh: self.fresh(&sheet, lower),
            unhinted: run.errand == (Errand::Fast { hinted: false }) && run.first_page && !messages.is_empty(),
        };
        self.stage(moment, run, reading);
        self.fill(&mut step, messages, finished, moment);
        step
    }

    /// Decides what follows a page.
    fn turn(&mut self, moment: Moment, run: &mut Run, sheet: &Sheet, known: &HashSet<ActivityId>) -> Turn {
        if run.window().is_some_and(|window| window.aside.is_some()) {
            self.risen(run, sheet);
            return Turn::Next;
        }
        self.size.worked();
        run.reach.worked(run.asked);
        let exhausted = run.reach.is_exhausted();
        let turn = match &run.range {
            Range::Forward(_) if !self.is_honoured(run, sheet) => Turn::More,
            Range::Newest(newest) if run.errand == Errand::Full && !self.is_deep(*newest, sheet, known) => Turn::More,
            // Taken by a comparison, rows that are not linked would seem to be so from then on. The next read sees to them.
            Range::Newest(newest) if !self.honours_rows && !self.is_linked(*newest, sheet, known) => {
                self.pacing.hint();
                Turn::Stuck
            }
            _ => run.turn(sheet),
        };
        match turn {
            // What was listed cannot be told from what was offered without the window.
            Turn::Ignored if run.errand == Errand::List && run.doubted => Turn::Stuck,
            Turn::More if exhausted => self.go_further(moment, run, sheet, known),
            turn => turn,
        }
    }

    /// After the largest page that can be had, when it does not lead beyond the rows of one instant.
    fn go_further(&mut self, moment: Moment, run: &mut Run, sheet: &Sheet, known: &HashSet<ActivityId>) -> Turn {
        let is_lost = sheet.oldest().is_none() && !run.reach.has_failed();
        let linked = match run.range {
            Range::Newest(newest) => self.is_linked(newest, sheet, known),
            _ => false,
        };
        match &mut run.range {
            Range::Newest(_) if linked || run.reach.is_certain() || !self.waits_for_link(moment, run.began) => {
                Turn::Done
            }
            Range::Newest(_) => Turn::Stuck,
            // No row of it says its time.
            Range::Forward(forward) if is_lost && self.honours_rows => forward.skip(sheet),
            Range::Window(_) if is_lost => Turn::Stuck,
            Range::Forward(_) | Range::Window(_) => {
                self.at_wall(moment, run);
                Turn::Next
            }
        }
    }

    /// At the end of a full sweep: rows that could not be fetched are passed for good, or can be fetched again.
    fn tell_of_holes(&mut self, moment: Moment, run: &Run, step: &mut Step) {
        for gap in &run.met {
            if self.is_final(*gap, moment) {
                self.holes.close(gap.at, run.began, self.timing.of(SETTLING));
                step.notes.push(Note::Unfetchable {
                    at: gap.at,
                    until: gap.until.unwrap_or(moment.wall),
                });
            }
        }
        let lower = run.window().and_then(|window| window.lower);
        self.holes.keep(&run.met, lower);
    }

    /// The new messages of a page in the order of the log.
    fn sift(
        &self,
        items: Vec<Item>,
        known: &HashSet<ActivityId>,
        lower: Option<Timestamp>,
        run: &Run,
        step: &mut Step,
    ) -> Vec<Message> {
        let new = items.into_iter().filter(|item| self.is_new(&item.head, lower));
        let messages: Vec<Message> = new
            .filter(|item| !known.contains(&item.head.id))
            .filter_map(|item| item.message.map(|message| *message))
            .collect();
        if matches!(run.range, Range::Newest(_)) {
            let cursor = self.ledger.cursor().and_then(|mark| mark.at);
            let below = |message: &&Message| cursor.is_some_and(|cursor| message.at < cursor);
            let late = messages.iter().filter(below).count();
            if late > 0 {
                step.notes.push(Note::Late(late));
            }
        }
        messages
    }

    /// The new rows of a page above the saved cursor.
    fn fresh(&self, sheet: &Sheet, lower: Option<Timestamp>) -> Vec<Head> {
        let rows = sheet.heads.iter().cloned();
        rows.filter(|head| self.is_new(head, lower) && self.ledger.is_above(head))
            .collect()
    }

    fn is_new(&self, head: &Head, lower: Option<Timestamp>) -> bool {
        !self.ledger.knows(&head.id) && lower.is_none_or(|lower| head.at >= lower)
    }

    /// How far a full sweep has read without a hole, this page included; `None` when it proves nothing.
    fn cover(&self, moment: Moment, run: &Run, turn: Turn, sheet: &Sheet) -> Option<Cover> {
        let cover = match (&run.range, turn) {
            _ if run.errand != Errand::Full => None,
            (Range::Window(_) | Range::Forward(_), Turn::Done) => Some(Cover::All),
            (Range::Window(_), _) => None,
            (Range::Forward(_), _) => sheet.heads.last().map(|newest| Cover::Below(newest.at)),
            // A newest-first page reaches back to the cursor, or it is the most that can be had, or it may hide rows.
            (Range::Newest(newest), _) => {
                let whole = !sheet.full || !run.reach.has_failed() && run.reach.is_exhausted();
                (whole || self.reaches_back(*newest, sheet)).then_some(Cover::All)
            }
        };
        let barred = run.met.iter().filter(|gap| !self.is_final(**gap, moment));
        match (cover, barred.map(|gap| gap.at).min()) {
            (Some(Cover::Below(edge)), Some(barred)) => Some(Cover::Below(edge.min(barred))),
            (Some(Cover::All), Some(barred)) => Some(Cover::Below(barred)),
            (cover, _) => cover,
        }
    }

    fn is_final(&self, gap: Gap, moment: Moment) -> bool {
        self.holes.is_final(gap, moment.now, self.timing.of(PATIENCE))
    }
}
