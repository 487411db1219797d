//! Reads that fail: smaller pages first, and a way around what cannot be had at all, so that it holds nothing else up.

use std::time::Duration;

use super::exchange::{Failure, ReadFailure};
use super::hole::{Hole, PATIENCE, Search};
use super::pacing::Errand;
use super::recovery::{Reason, Window};
use super::run::{Range, Run};
use super::{Moment, Reader};

/// Beyond any row there is when a search begins: clocks may differ by so much.
const AHEAD_MICROS: i64 = 3_600_000_000;
/// How long to leave a listing alone that could not be read.
const LIST_AGAIN: Duration = Duration::from_secs(60);

impl Reader {
    pub(super) fn failed(&mut self, moment: Moment, mut run: Run, failure: ReadFailure) {
        let certain = failure.failure == Failure::TooLarge;
        let mut pause = failure.pause;
        match (failure.failure, &mut run.range) {
            (Failure::Other, _) => {}
            (Failure::Gone, Range::Forward(forward)) => {
                self.cursor_is_gone |= self.ledger.cursor().is_some();
                self.beginning = None;
                let window = self.window(Reason::Gone, moment.now, moment.wall);
                self.ledger.forget(&forward.from);
                self.run = Some(Run::new(Errand::Full, Range::Window(window), moment.now));
                pause = Duration::ZERO;
            }
            (Failure::Gone, _) => {}
            (_, Range::Window(window)) if window.search.is_some() => {
                let settled = window.search.as_mut().is_some_and(|search| search.failed(certain));
                if window.search.as_ref().is_some_and(Search::is_in_vain) {
                    self.leave(&run, moment.now);
                } else {
                    if settled && certain {
                        pause = Duration::ZERO;
                    }
                    self.end_search(&mut run, moment.now);
                    self.run = Some(run);
                }
            }
            (Failure::TooLarge, _) if self.size.shrink() => pause = Duration::ZERO,
            (Failure::Unreadable, _) if self.size.broke_off() => {}
            _ => {
                self.size.start_over();
                if self.give_up(moment, run, certain) && certain {
                    pause = Duration::ZERO;
                }
            }
        }
        self.pacing.pause(moment.now, pause);
    }

    /// Not even one row can be had: leaves the run for another way. `false`: there is none.
    fn give_up(&mut self, moment: Moment, mut run: Run, certain: bool) -> bool {
        let Moment { now, wall } = moment;
        match &mut run.range {
            Range::Forward(_) => {
                let window = Window::detour(now, wall, self.ledger.cursor(), self.history);
                self.run = Some(Run::new(Errand::Full, Range::Window(window), now));
                return true;
            }
            Range::Window(window) => {
                let before = window.paging.before;
                // What was found while the platform might have been ill is found again once it is certainly the row.
                let known = self
                    .hole
                    .filter(|hole| hole.fails == before && (hole.certain || !certain));
                match known {
                    Some(hole) if before.is_some() || window.passed.is_some() => {
                        self.pass(&mut run, hole, now);
                        self.run = Some(run);
                        return true;
                    }
                    // The newest row of all, met again: what is older was read, and nothing newer has come.
                    Some(hole) if self.released && hole.is_final(now, self.timing.of(PATIENCE)) => {
                        self.pacing.finished(run.errand, run.began, now);
                        self.run = None;
                        return false;
                    }
                    // While no page at all comes, the platform may be ill: nothing is learned about rows by asking it more.
                    _ if certain || before.is_some() || self.dark_for(now) >= self.timing.of(PATIENCE) => {
                        let latest = wall.plus_micros(AHEAD_MICROS);
                        window.search = Some(Search::new(before, latest, certain));
                        self.run = Some(run);
                        return true;
                    }
                    _ => {}
                }
            }
            Range::Newest => {}
        }
        self.leave(&run, now);
        false
    }

    /// How long no page has come.
    fn dark_for(&mut self, now: Duration) -> Duration {
        now.saturating_sub(*self.dark_since.get_or_insert(now))
    }

    /// Ends a run without a result; its errand comes again.
    fn leave(&mut self, run: &Run, now: Duration) {
        match run.errand {
            Errand::Compare => self.pacing.finished(Errand::Compare, run.began, now),
            Errand::List => self.list_from = self.list_from.map(|_| now + self.timing.of(LIST_AGAIN)),
            _ => {}
        }
        // Pages that are held wait for the next read that comes to its end.
        self.released &= run.window().is_none_or(|window| !window.held);
        self.run = None;
    }

    /// Goes on below the row that was searched for, once it is found.
    pub(super) fn end_search(&mut self, run: &mut Run, now: Duration) {
        let found = run.window().and_then(|window| window.search.as_ref()?.found(now));
        if let Some(found) = found {
            let hole = self
                .hole
                .filter(|hole| hole.at == found.at && hole.fails == found.fails && !found.certain);
            self.pass(run, hole.unwrap_or(found), now);
        }
    }

    fn pass(&mut self, run: &mut Run, hole: Hole, now: Duration) {
        if !hole.is_final(now, self.timing.of(PATIENCE)) {
            run.barred = run.barred.into_iter().chain([hole.at]).min();
        }
        if let Range::Window(window) = &mut run.range {
            window.search = None;
            window.paging = hole.below();
            window.passed = window.passed.or(Some(hole.at));
        }
        self.hole = Some(hole);
    }
}
