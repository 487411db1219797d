//! One read of one or more pages: what it asks for, and how its pages are taken apart.

use std::collections::HashSet;
use std::time::Duration;

use super::exchange::Plan;
use super::hole::TRIES;
use super::pacing::Errand;
use super::paging::{Backward, Forward, Turn};
use super::recovery::Window;
use crate::agent::envelope::{Head, Row};
use crate::state::message::Message;
use crate::types::Timestamp;

/// Rows asked for, and the smaller pages tried when an answer is too big or too slow.
const LIMITS: [u32; 4] = [500, 50, 5, 1];
/// Good pages after which a larger page is tried again.
const GOOD_PAGES: u32 = 4;
/// Answers in a row that broke off before a smaller page is tried: one may be an accident.
const BROKEN_PAGES: u32 = 2;
/// How often a window is read again because small pages cut among equal times.
const PASSES: u32 = 3;

/// A read of one or more pages.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) errand: Errand,
    pub(super) range: Range,
    pub(super) began: Duration,
    /// The platform's clock of its first answer.
    pub(super) date: Option<Timestamp>,
    pub(super) first_page: bool,
    /// Where pages smaller than the largest may have skipped rows of equal time; the oldest such instant.
    pub(super) cut: Option<Timestamp>,
    /// From here on something is still missing that may yet be had.
    pub(super) barred: Option<Timestamp>,
    pub(super) passes: u32,
}

#[derive(Clone, Debug)]
pub(super) enum Range {
    Forward(Forward),
    Window(Window),
    Newest,
}

impl Run {
    pub(super) fn new(errand: Errand, range: Range, began: Duration) -> Self {
        Self {
            errand,
            range,
            began,
            date: None,
            first_page: true,
            cut: None,
            barred: None,
            passes: 1,
        }
    }

    pub(super) fn plan(&self, now: Duration, limit: u32) -> Plan {
        let (since, since_secs, before) = match &self.range {
            Range::Forward(forward) => (Some(forward.from.clone()), None, None),
            Range::Window(window) => {
                let before = match &window.search {
                    Some(search) => Some(search.before()),
                    None => window.paging.before,
                };
                (None, Some(window.since_secs(now)), before)
            }
            Range::Newest => (None, None, None),
        };
        let searching = self.window().is_some_and(|window| window.search.is_some());
        let limit = if searching { 1 } else { limit };
        Plan {
            since,
            since_secs,
            before,
            limit,
            compare: matches!(self.range, Range::Newest),
        }
    }

    pub(super) fn window(&self) -> Option<&Window> {
        match &self.range {
            Range::Window(window) => Some(window),
            _ => None,
        }
    }

    /// Decides what follows a page of at most `limit` rows, given in the order of the log.
    pub(super) fn turn(&mut self, heads: &[Head], full: bool, limit: u32) -> Turn {
        let (turn, cut) = match &mut self.range {
            Range::Forward(forward) => (forward.turn(heads, full), forward.cut),
            Range::Newest => (Turn::Done, None),
            Range::Window(window) => {
                window.dated(self.date);
                window.look(heads);
                match heads.first() {
                    Some(oldest) if !window.holds(oldest.at) => (Turn::Done, None),
                    _ => (window.paging.turn(heads, full), window.paging.cut),
                }
            }
        };
        // What does not fit on the largest page cannot be had at all; what a small one cut is had by a larger one later.
        if limit < LIMITS[0] {
            self.cut = self.cut.into_iter().chain(cut).min();
        }
        match &mut self.range {
            Range::Window(window) if turn != Turn::Next && self.cut.is_some() && self.passes < PASSES => {
                self.passes += 1;
                self.cut = None;
                window.paging = Backward::default();
                Turn::Next
            }
            _ => turn,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct PageSize {
    rung: usize,
    good: u32,
    /// Answers in a row that could not be had at this size.
    broken: u32,
}

impl PageSize {
    pub(super) fn limit(&self) -> u32 {
        LIMITS[self.rung]
    }

    /// `false` when it cannot become smaller.
    pub(super) fn shrink(&mut self) -> bool {
        (self.good, self.broken) = (0, 0);
        let smaller = self.rung + 1 < LIMITS.len();
        self.rung = (self.rung + 1).min(LIMITS.len() - 1);
        smaller
    }

    /// An answer broke off or could not be read. `false`: nothing smaller is left, and it was tried often enough.
    pub(super) fn broke_off(&mut self) -> bool {
        self.broken += 1;
        if self.rung + 1 < LIMITS.len() {
            if self.broken >= BROKEN_PAGES {
                self.shrink();
            }
            return true;
        }
        self.broken < TRIES
    }

    /// What was tried so far counts no more.
    pub(super) fn start_over(&mut self) {
        self.broken = 0;
    }

    /// Whether it is the largest.
    pub(super) fn is_largest(&self) -> bool {
        self.rung == 0
    }

    pub(super) fn worked(&mut self) {
        self.broken = 0;
        self.good += 1;
        if self.good >= GOOD_PAGES {
            self.good = 0;
            self.rung = self.rung.saturating_sub(1);
        }
    }
}

/// One row of a page with its message, if it is one.
pub(super) struct Item {
    pub(super) head: Head,
    pub(super) message: Option<Box<Message>>,
}

/// Splits a page into rows with an id, each once, and the number of those without.
pub(super) fn items(rows: Vec<Row>) -> (Vec<Item>, usize) {
    let mut seen = HashSet::new();
    let mut items = Vec::with_capacity(rows.len());
    let mut garbage = 0;
    for row in rows {
        let Some(head) = row.head() else {
            garbage += 1;
            continue;
        };
        if seen.insert(head.id.clone()) {
            let message = match row {
                Row::Message { message, .. } => Some(message),
                Row::Skip(_) | Row::Garbage => None,
            };
            items.push(Item { head, message });
        }
    }
    (items, garbage)
}
