//! What is asked beside the paging of a window, to go around a row that cannot be fetched: where it stands, and what else there
//! is of its instant.

use std::time::Duration;

use super::detour::Way;
use super::exchange::Plan;
use super::hole::Gap;
use super::pacing::Errand;
use super::paging::{Backward, Sheet};
use super::reach::Usual;
use super::rise::Rise;
use super::run::Run;
use super::search::{Age, Search};
use super::{Moment, Reader};
use crate::types::Timestamp;

/// So far beyond both clocks a search begins: that of the platform's rows may differ by so much.
const AHEAD_MICROS: i64 = 60_000_000;
/// How often a row is looked for in one window when it is not where it was found.
const SEARCHES: u32 = 4;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) enum Aside {
    /// Where it stands.
    Search(Search),
    /// What else there is of its instant.
    Rise(Rise),
}

impl Aside {
    /// Whether a page shows that the platform ignored where it was asked from.
    pub(super) fn was_ignored(&self, now: Duration, sheet: &Sheet) -> bool {
        let before = match self {
            Self::Search(search) => search.ask(now).1,
            Self::Rise(rise) if rise.from.is_none() => Some(rise.gap.at),
            Self::Rise(rise) => {
                return sheet.descends || sheet.heads.iter().any(|head| Some(&head.id) == rise.from.as_ref());
            }
        };
        before.is_some_and(|before| sheet.newest() >= Some(before))
    }

    /// Makes its request of one for a page of the window.
    pub(super) fn ask(&self, now: Duration, plan: &mut Plan) {
        plan.probe = true;
        match self {
            Self::Search(search) => {
                let (newer, before) = search.ask(now);
                plan.since_secs = newer.or(plan.since_secs);
                (plan.before, plan.limit) = (before, 1);
            }
            Self::Rise(rise) => {
                plan.since = rise.from.clone();
                plan.since_secs = None;
                plan.before = Some(rise.gap.at).filter(|_| rise.from.is_none());
                plan.limit = rise.reach.limit(Usual {
                    limit: 1,
                    at_hole: true,
                });
            }
        }
    }
}

impl Reader {
    /// A search for the row that fails when one older than `before` is asked for, in a window down to `lower`.
    pub(super) fn search(
        &self,
        moment: Moment,
        before: Option<Timestamp>,
        lower: Option<Timestamp>,
        certain: bool,
    ) -> Search {
        let date = self.clock.map_or(moment.wall, |(date, _)| date.max(moment.wall));
        let search = Search::new(before, date.plus_micros(AHEAD_MICROS), certain).down_to(lower);
        match (self.holes.known(before), before) {
            (Some(known), Some(_)) => search.again(known, None),
            (Some(known), None) => match self.age_of(known).filter(|age| age.window_above(moment.now).is_some()) {
                Some(age) => search.again(known, Some(age)),
                None => search,
            },
            (None, _) => search,
        }
    }

    /// How old a row is by the platform's clock.
    pub(super) fn age_of(&self, at: Timestamp) -> Option<Age> {
        self.clock.map(|(date, now)| Age {
            secs: at.until(date).as_secs(),
            at: now,
        })
    }

    /// A page came that was asked for beside the paging and is of use only there. `false`: it is a page like any other.
    pub(super) fn take_aside(&mut self, moment: Moment, run: &mut Run, sheet: &Sheet) -> bool {
        let aside = run.window_mut().and_then(|window| window.aside.take());
        match aside {
            None => return false,
            Some(Aside::Search(mut search)) => {
                search.worked(sheet);
                self.search_on(moment, run, search);
            }
            Some(Aside::Rise(mut rise)) if rise.from.is_none() => {
                if !run.met.contains(&rise.gap) {
                    self.meet(moment, run, rise.gap);
                }
                rise.from = sheet.askable();
                match rise.from {
                    Some(_) => run.set_aside(Aside::Rise(rise)),
                    None => run.go_below(rise.gap.at),
                }
            }
            Some(aside) => {
                run.set_aside(aside);
                return false;
            }
        }
        true
    }

    fn search_on(&mut self, moment: Moment, run: &mut Run, search: Search) {
        match search.found() {
            Some((gap, below)) => {
                self.meet(moment, run, gap);
                run.set_aside(Aside::Rise(Rise::proved(gap, below)));
            }
            None => run.set_aside(Aside::Search(search)),
        }
    }

    fn meet(&mut self, moment: Moment, run: &mut Run, gap: Gap) {
        if run.errand == Errand::List {
            // Nothing waits for it; a listing that met one is only made again.
            run.met.push(gap);
            return;
        }
        if self.ledger.is_passed(gap.at) {
            return;
        }
        run.met.push(gap);
        if self.holes.meet(gap, moment.now) {
            // Older rows may become visible after it, as after any row.
            self.pacing.sighted(moment.now);
        }
    }

    /// What was asked for beside the paging cannot be had; `certain`: asking again cannot help.
    pub(super) fn refused_aside(&mut self, moment: Moment, run: &mut Run, aside: Aside, certain: bool) -> Way {
        match aside {
            Aside::Search(mut search) => {
                search.failed(certain);
                if search.is_in_vain() {
                    return Way::None;
                }
                self.search_on(moment, run, search);
            }
            // The row that fails stands below the instant, not in it.
            Aside::Rise(rise) if rise.from.is_none() && !rise.proved => {
                let lower = run.window().and_then(|window| window.lower);
                let search = self.search(moment, Some(rise.gap.at), lower, certain);
                run.set_aside(Aside::Search(search.until(rise.gap.until)));
            }
            Aside::Rise(mut rise) => {
                rise.reach.failed(run.asked, certain);
                if rise.from.is_none() || rise.reach.is_exhausted() {
                    run.end_rise(&rise);
                } else {
                    run.set_aside(Aside::Rise(rise));
                }
            }
        }
        Way::Other
    }

    /// Takes a page of rows from a gap upwards.
    pub(super) fn risen(&mut self, run: &mut Run, sheet: &Sheet) {
        let Some(Aside::Rise(mut rise)) = run.window_mut().and_then(|window| window.aside.take()) else {
            return;
        };
        rise.reach.worked(run.asked);
        rise.again |= run.window_mut().is_some_and(|window| window.look(&sheet.heads));
        if rise.is_whole(sheet) && rise.proved {
            Self::look_again(run, &rise);
        } else if rise.is_whole(sheet) {
            run.met.retain(|gap| gap.at != rise.gap.at);
            self.holes.forget(rise.gap.at);
            run.end_rise(&rise);
        } else if rise.reach.is_exhausted() {
            run.end_rise(&rise);
        } else {
            run.set_aside(Aside::Rise(rise));
        }
    }

    /// The row does not fail where it was found: it was looked for while reads failed by accident, or has been mended. What
    /// failed is asked for once more. The gap is forgotten only at the end of a sweep that does not meet it: else one that comes
    /// and goes would be new each time, and never be waited for long enough.
    fn look_again(run: &mut Run, rise: &Rise) {
        let Some(window) = run.window_mut() else { return };
        window.searches += 1;
        if window.searches < SEARCHES {
            window.paging = Backward::of(rise.gap.until);
            run.met.retain(|gap| gap.at != rise.gap.at);
        } else {
            run.doubt(rise.gap.at);
            run.go_below(rise.gap.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::envelope::Head;
    use crate::types::ActivityId;

    fn id(n: u32) -> ActivityId {
        ActivityId::parse(&format!("00000000-0000-4000-8000-{n:012}")).unwrap()
    }

    fn ignored(aside: &Aside, rows: &[(u32, i64)]) -> bool {
        let heads = rows.iter().map(|&(n, at)| Head {
            id: id(n),
            at: Timestamp(at),
            seq: None,
            timed: true,
        });
        aside.was_ignored(Duration::ZERO, &Sheet::new(heads.collect(), rows.len(), 1))
    }

    #[test]
    fn a_platform_that_ignores_what_is_asked_beside_the_paging_is_recognised() {
        let at = Timestamp(10);
        let gap = Gap {
            at,
            before: Some(Timestamp(11)),
            until: Some(Timestamp(11)),
            certain: true,
        };
        let search = Aside::Search(Search::new(None, Timestamp(0), true).again(Timestamp(9), None));
        let below = Aside::Rise(Rise::supposed(gap, std::collections::HashSet::new()));
        for older_than_ten in [search, below] {
            for (rows, expected) in [
                (&[][..], false),
                (&[(1, 9)], false),
                (&[(1, 10)], true),
                (&[(1, 9), (2, 11)], true),
            ] {
                assert_eq!(ignored(&older_than_ten, rows), expected, "{older_than_ten:?} {rows:?}");
            }
        }
        let up_from_three = Aside::Rise(Rise::proved(gap, Some(id(3))));
        for (rows, expected) in [
            (&[][..], false),
            (&[(4, 10), (5, 11)], false),
            (&[(3, 9), (4, 10)], true),
            (&[(5, 11), (4, 10)], true),
            (&[(3, 10)], true),
        ] {
            assert_eq!(ignored(&up_from_three, rows), expected, "{rows:?}");
        }
    }
}
