//! A platform that ignores where it is asked from (level A): how it is recognised, and what its newest rows show.

use std::collections::HashSet;
use std::time::Duration;

use super::pacing::{Errand, SETTLING};
use super::paging::Sheet;
use super::reach::Reach;
use super::run::{Range, Run};
use super::staging::Staged;
use super::{Moment, Reader};
use crate::agent::envelope::Head;
use crate::types::{ActivityId, Timestamp};

/// How long, and how often, to try for larger newest-first pages while the newest rows are not linked to those that are known.
const LINK_PATIENCE: Duration = Duration::from_secs(180);
const LINK_TRIES: u32 = 3;

/// What a page of the newest rows must be like.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Newest {
    /// Older rows are not ours.
    pub(super) lower: Option<Timestamp>,
    /// How far back it must go.
    pub(super) depth: Option<Timestamp>,
}

/// The newest rows could not be linked to those that are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unlinked {
    /// Rows first seen later show nothing: they were not linked themselves.
    since: Duration,
    /// When the largest page that could be had was too small for the first time, and how often it was since.
    short: Option<Duration>,
    tries: u32,
}

impl Unlinked {
    const fn since(began: Duration) -> Self {
        Self {
            since: began,
            short: None,
            tries: 0,
        }
    }
}

impl Reader {
    /// Whether the platform heeds the row that was asked from. A page of rows of one time alone does not show that: it may be
    /// the newest ones.
    pub(super) fn is_honoured(&mut self, run: &Run, sheet: &Sheet) -> bool {
        let Range::Forward(forward) = &run.range else {
            return true;
        };
        let ignored = forward.was_ignored(sheet);
        self.honours_rows |= !ignored && (!sheet.full || sheet.newest() > sheet.oldest());
        ignored || self.honours_rows
    }

    /// The platform seems to have ignored where it was asked from. Twice in a row, and it is taken for one that does (level A).
    pub(super) fn doubt(&mut self, moment: Moment, mut run: Run) {
        let believed = run.doubted;
        run.doubted = true;
        if believed && run.errand == Errand::List {
            self.leave(&run, moment.now);
            return;
        }
        if believed {
            self.honours_rows = false;
            if run.held {
                self.unlinked.get_or_insert(Unlinked::since(run.began));
            }
            run.range = Range::Newest(Newest {
                lower: run.window().and_then(|window| window.lower),
                depth: None,
            });
            run.errand = Errand::Full;
            run.reach = Reach::default();
            run.met.clear();
        }
        self.staged = Some(Staged {
            run: Some(run),
            level_a: believed,
            ..Staged::nothing(moment)
        });
    }

    /// Whether a page of which a larger one is asked for next counts already. Not where it shows the newest rows only: then it
    /// would look as if it were linked to what is known the next time.
    pub(super) fn may_be_taken(&self, run: &Run) -> bool {
        match run.range {
            Range::Newest(_) => false,
            Range::Forward(_) => self.honours_rows,
            Range::Window(_) => true,
        }
    }

    /// Whether a newest-first page leaves no rows out between those that are known and itself. Rows that were not linked
    /// themselves show nothing.
    pub(super) fn is_linked(&self, newest: Newest, sheet: &Sheet, known: &HashSet<ActivityId>) -> bool {
        let links = |head: &Head| match self.unlinked {
            _ if known.contains(&head.id) => true,
            Some(unlinked) => self.ledger.was_seen_by(&head.id, unlinked.since),
            None => self.ledger.knows(&head.id),
        };
        !sheet.full || self.reaches_back(newest, sheet) || sheet.heads.iter().any(links)
    }

    /// Rows may be left out below the largest page that can be had. Whether to try again first: what failed may pass.
    pub(super) fn waits_for_link(&mut self, moment: Moment, began: Duration) -> bool {
        let unlinked = self.unlinked.get_or_insert(Unlinked::since(began));
        unlinked.tries += 1;
        let short = *unlinked.short.get_or_insert(moment.now);
        unlinked.tries < LINK_TRIES || moment.now < short + self.timing.of(LINK_PATIENCE)
    }

    /// Whether it also goes as far back as it must.
    pub(super) fn is_deep(&self, newest: Newest, sheet: &Sheet, known: &HashSet<ActivityId>) -> bool {
        let reaches = newest.depth.is_none_or(|depth| sheet.oldest() <= Some(depth));
        self.is_linked(newest, sheet, known) && (reaches || !sheet.full || self.reaches_back(newest, sheet))
    }

    /// How far back older rows may have become visible beside those seen lately: from their stamps on, by what an insert may last.
    /// Lately is since the last read that went so far, which may be long ago where many fail.
    pub(super) fn depth(&self, now: Duration) -> Option<Timestamp> {
        let settling = self.timing.of(SETTLING);
        let lately = now
            .saturating_sub(settling * 2)
            .min(self.swept.saturating_sub(settling));
        let oldest = self.ledger.oldest_since(lately)?;
        let micros = i64::try_from(settling.as_micros()).unwrap_or(i64::MAX);
        Some(oldest.plus_micros(-micros))
    }

    /// The oldest row of a page that is known already.
    pub(super) fn oldest_known(&self, sheet: &Sheet, known: &HashSet<ActivityId>) -> Option<Timestamp> {
        let ours = |head: &&Head| head.timed && (known.contains(&head.id) || self.ledger.knows(&head.id));
        sheet.heads.iter().find(ours).map(|head| head.at)
    }

    /// Whether a page reaches beyond the saved cursor or the beginning of our history: nothing older is of interest.
    pub(super) fn reaches_back(&self, newest: Newest, sheet: &Sheet) -> bool {
        let cursor = self.ledger.cursor().and_then(|mark| mark.at);
        let bound = cursor.max(self.history.or(newest.lower));
        sheet.oldest().zip(bound).is_some_and(|(oldest, bound)| oldest < bound)
    }

    /// Below this instant a row of a newest-first page is not ours: our history begins at the oldest row we know.
    pub(super) fn lower_bound(
        &self,
        sheet: &Sheet,
        known: &HashSet<ActivityId>,
        window: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let history = self.history.or(window);
        match (self.oldest_known(sheet, known), history) {
            (Some(known), Some(history)) => Some(known.min(history)),
            (known, history) => known.or(history),
        }
    }
}
