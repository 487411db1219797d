//! After a journal was replaced: what lies before its beginning is read once, to be listed and not offered.

use std::time::Duration;

use super::exchange::Step;
use super::pacing::Errand;
use super::paging::Turn;
use super::recovery::{Ceiling, Window};
use super::run::{Item, Run};
use super::staging::Staged;
use super::{Moment, Reader};
use crate::state::journal::Batch;

/// How often it is read when rows of it could not be fetched, for what may have been an accident.
const LISTINGS: u32 = 3;
/// How long to leave a listing alone that could not be read.
pub(super) const LIST_AGAIN: Duration = Duration::from_secs(60);

impl Reader {
    /// The run that lists, once everything from the beginning on was read and offered.
    pub(super) fn begin_listing(&self, now: Duration) -> Option<Run> {
        self.list_from.filter(|from| self.released && now >= *from)?;
        let ceiling = match (&self.beginning, self.history) {
            (Some(row), _) => Ceiling::Row(row.clone()),
            (None, Some(history)) => Ceiling::Below(history),
            (None, None) => return None,
        };
        Some(Run::new(Errand::List, Window::replaced(now, ceiling).into(), now))
    }

    /// Takes one page of it; what the journal holds already it drops itself.
    pub(super) fn list(&mut self, moment: Moment, mut run: Run, mut items: Vec<Item>, turn: Turn) -> Step {
        let mut step = Step::default();
        if let Some(window) = run.window() {
            let listed = |item: &Item| {
                window.holds(item.head.at)
                    && window
                        .ceiling
                        .as_ref()
                        .is_some_and(|ceiling| ceiling.covers(&item.head))
            };
            items.retain(listed);
        }
        let messages: Vec<_> = items
            .into_iter()
            .filter_map(|item| item.message.map(|message| *message))
            .collect();
        step.batch = (!messages.is_empty()).then(|| Batch {
            messages,
            recovered: true,
            ..Batch::default()
        });
        let ends = matches!(turn, Turn::Done | Turn::Stuck);
        let passed = run.met.iter().any(|gap| !gap.certain);
        step.listed = ends && (!passed || self.listings + 1 >= LISTINGS);
        run.first_page = false;
        self.staged = Some(Staged {
            run: (!ends).then_some(run),
            listed: step.listed,
            list_again: ends && !step.listed,
            ..Staged::nothing(moment)
        });
        step
    }
}
