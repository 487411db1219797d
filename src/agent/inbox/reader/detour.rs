//! Reads that fail: smaller pages first, and a way around what cannot be had at all, so that it holds nothing else up.
//!
//! A failure that may be the platform's or the network's fault counts against a row only when it came twice in a row and the
//! platform then answered something else.

use std::time::Duration;

use super::aside::Aside;
use super::exchange::{Failure, ReadFailure};
use super::hole::Gap;
use super::listing::LIST_AGAIN;
use super::pacing::Errand;
use super::reach::Reach;
use super::recovery::{Reason, Window};
use super::rise::Rise;
use super::run::{Range, Run};
use super::{Moment, Reader};

/// The longest pause after a failure that goes with a row that cannot be fetched.
const PROBE_PAUSE: Duration = Duration::from_secs(1);

/// How a run goes on after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As before, after the pause.
    Same,
    /// Otherwise, at once.
    Other,
    /// Not at all: its errand comes again.
    None,
}

impl Reader {
    pub(super) fn failed(&mut self, moment: Moment, mut run: Run, failure: ReadFailure) {
        let was_control = std::mem::take(&mut run.control);
        let was_aside = !was_control && run.window().is_some_and(|window| window.aside.is_some());
        let way = match failure.failure {
            Failure::Gone => self.gone(moment, &mut run),
            // Not even that can be had: nothing is learned about rows.
            Failure::TooLarge | Failure::Unreadable if was_control => Way::Same,
            Failure::TooLarge => self.refused(moment, &mut run, true),
            // What an accident does to a search is put right when the row is not where it was found.
            Failure::Unreadable if run.is_searching() => self.refused(moment, &mut run, false),
            Failure::Unreadable if run.broke_off() => match run.range {
                Range::Newest(_) => self.refused(moment, &mut run, false),
                Range::Forward(_) | Range::Window(_) => {
                    run.control = true;
                    Way::Same
                }
            },
            Failure::Unreadable | Failure::Other => Way::Same,
        };
        let pause = match (way, failure.failure) {
            (Way::Other, Failure::TooLarge | Failure::Gone) => Duration::ZERO,
            // A row is known to fail, and the platform to be well but for that.
            (Way::Other | Way::Same, Failure::Unreadable) if was_aside => {
                failure.pause.min(self.timing.of(PROBE_PAUSE))
            }
            _ => failure.pause,
        };
        self.go_on(moment, run, way);
        self.pacing.pause(moment.now, pause);
    }

    /// The platform is well, so it is the rows: what was asked for before cannot be had.
    pub(super) fn control_worked(&mut self, moment: Moment, mut run: Run) {
        run.control = false;
        let way = self.refused(moment, &mut run, false);
        self.go_on(moment, run, way);
    }

    fn go_on(&mut self, moment: Moment, run: Run, way: Way) {
        match way {
            Way::Same | Way::Other => self.run = Some(run),
            Way::None => self.leave(&run, moment.now),
        }
    }

    /// Ends a run without a result; its errand comes again.
    pub(super) fn leave(&mut self, run: &Run, now: Duration) {
        match run.errand {
            Errand::Compare => self.pacing.finished(Errand::Compare, run.began, now),
            Errand::List => self.list_from = self.list_from.map(|_| now + self.timing.of(LIST_AGAIN)),
            _ => {}
        }
        // Pages that are held wait for the next read that comes to its end.
        self.released &= !run.held;
        self.run = None;
    }

    /// The platform does not know the row that was asked from.
    fn gone(&mut self, moment: Moment, run: &mut Run) -> Way {
        match &mut run.range {
            Range::Forward(forward) => {
                self.cursor_is_gone |= self.ledger.cursor().is_some();
                self.beginning = None;
                self.ledger.forget(&forward.from);
                let window = self.window(Reason::Gone, moment);
                *run = Run::new(Errand::Full, window.into(), moment.now);
                Way::Other
            }
            Range::Window(window) => match window.aside.take() {
                Some(Aside::Rise(mut rise)) => {
                    if rise.start_over() {
                        window.aside = Some(Aside::Rise(rise));
                    } else {
                        run.doubt(rise.gap.at);
                        run.end_rise(&rise);
                    }
                    Way::Other
                }
                aside => {
                    window.aside = aside;
                    Way::Same
                }
            },
            Range::Newest(_) => Way::Same,
        }
    }

    /// What was asked for cannot be had; `certain`: asking again cannot help.
    fn refused(&mut self, moment: Moment, run: &mut Run, certain: bool) -> Way {
        run.judged();
        if let Some(aside) = run.window_mut().and_then(|window| window.aside.take()) {
            return self.refused_aside(moment, run, aside, certain);
        }
        run.reach.failed(run.asked, certain);
        if run.asked <= self.size.limit() {
            self.size.failed(run.asked);
        }
        if run.reach.is_exhausted() {
            self.at_wall(moment, run)
        } else {
            Way::Other
        }
    }

    /// No larger page can be had where a run stands.
    pub(super) fn at_wall(&mut self, moment: Moment, run: &mut Run) -> Way {
        let reach = run.reach;
        match &mut run.range {
            // What could be had is asked for once more, as the last page.
            Range::Newest(_) if !reach.is_nothing() => Way::Other,
            Range::Newest(_) => Way::None,
            Range::Forward(forward) => {
                let from = (forward.from.clone(), forward.at);
                run.range = Window::detour(moment.now, moment.wall, from).into();
                run.reach = Reach::default();
                Way::Other
            }
            Range::Window(window) => {
                let before = window.paging.before;
                let certain = reach.is_certain();
                run.reach = Reach::default();
                window.aside = Some(match window.paging.edge {
                    Some(at) => {
                        let gap = Gap {
                            at,
                            before,
                            until: before,
                            certain,
                        };
                        Aside::Rise(Rise::supposed(gap, std::mem::take(&mut window.paging.met)))
                    }
                    None => Aside::Search(self.search(moment, before, window.lower, certain)),
                });
                Way::Other
            }
        }
    }
}
