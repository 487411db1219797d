//! One read of one or more pages: what it asks for, and how its pages are taken apart.

use std::collections::HashSet;
use std::time::Duration;

use super::aside::Aside;
use super::exchange::Plan;
use super::hole::Gap;
use super::newest::Newest;
use super::pacing::Errand;
use super::paging::{Backward, Forward, Sheet, Turn};
use super::reach::{Reach, Usual};
use super::recovery::Window;
use super::rise::Rise;
use super::search::BEFORE_ALL;
use crate::agent::envelope::{Head, Row};
use crate::state::message::Message;
use crate::types::Timestamp;

/// Answers in a row that broke off or could not be read before that is held against the rows: one may be an accident.
const BROKEN: u32 = 2;

/// A read of one or more pages.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) errand: Errand,
    pub(super) range: Range,
    pub(super) began: Duration,
    /// The platform's clock of its first answer.
    pub(super) date: Option<Timestamp>,
    /// The oldest instant that was met.
    pub(super) oldest: Option<Timestamp>,
    pub(super) first_page: bool,
    /// Whether pages were committed that are not offered yet.
    pub(super) held: bool,
    /// How much can be had where it stands now.
    pub(super) reach: Reach,
    /// An answer looked as if the platform had ignored where it was asked from: it is asked once more before that is believed.
    pub(super) doubted: bool,
    /// Whether it asks for something that any platform can answer, to learn whose fault a failure is.
    pub(super) control: bool,
    /// What was gone around.
    pub(super) met: Vec<Gap>,
    /// How many rows were asked for last.
    pub(super) asked: u32,
    /// Failures in a row that may be the platform's or the network's fault.
    broken: u32,
}

#[derive(Clone, Debug)]
pub(super) enum Range {
    Forward(Forward),
    Window(Box<Window>),
    /// One page of the newest rows.
    Newest(Newest),
}

impl From<Window> for Range {
    fn from(window: Window) -> Self {
        Self::Window(Box::new(window))
    }
}

impl Run {
    pub(super) fn new(errand: Errand, range: Range, began: Duration) -> Self {
        Self {
            errand,
            range,
            began,
            date: None,
            oldest: None,
            first_page: true,
            held: false,
            reach: Reach::default(),
            doubted: false,
            control: false,
            met: Vec::new(),
            asked: 1,
            broken: 0,
        }
    }

    /// The next request.
    pub(super) fn plan(&self, now: Duration, usual: Usual) -> Plan {
        let mut plan = Plan {
            since: None,
            since_secs: None,
            before: None,
            limit: self.reach.limit(usual),
            compare: false,
            probe: false,
        };
        if self.control {
            plan.before = Some(BEFORE_ALL);
            plan.limit = 1;
            return plan;
        }
        match &self.range {
            Range::Forward(forward) => plan.since = Some(forward.from.clone()),
            Range::Newest(_) => plan.compare = true,
            Range::Window(window) => {
                plan.since_secs = Some(window.since_secs(now));
                plan.before = window.paging.before;
                match &window.aside {
                    None => {}
                    Some(aside) => aside.ask(now, &mut plan),
                }
            }
        }
        plan
    }

    pub(super) fn window(&self) -> Option<&Window> {
        match &self.range {
            Range::Window(window) => Some(window),
            _ => None,
        }
    }

    pub(super) fn window_mut(&mut self) -> Option<&mut Window> {
        match &mut self.range {
            Range::Window(window) => Some(window),
            _ => None,
        }
    }

    /// Whether it looks for a row that cannot be fetched.
    pub(super) fn is_searching(&self) -> bool {
        let aside = self.window().and_then(|window| window.aside.as_ref());
        matches!(aside, Some(Aside::Search(_)))
    }

    pub(super) fn set_aside(&mut self, aside: Aside) {
        if let Range::Window(window) = &mut self.range {
            window.aside = Some(aside);
        }
    }

    /// Goes on with what is older than `at`.
    pub(super) fn go_below(&mut self, at: Timestamp) {
        if let Range::Window(window) = &mut self.range {
            window.paging = Backward::from(at);
        }
        self.reach = Reach::default();
    }

    /// A gap was not looked into as it should be: it may be another one the next time.
    pub(super) fn doubt(&mut self, at: Timestamp) {
        for gap in self.met.iter_mut().filter(|gap| gap.at == at) {
            gap.certain = false;
        }
    }

    /// After going up from below a gap.
    pub(super) fn end_rise(&mut self, rise: &Rise) {
        if !rise.reach.is_certain() {
            self.doubt(rise.gap.at);
        }
        self.go_below(rise.gap.at);
        if let Some(window) = self.window_mut().filter(|_| rise.again) {
            window.paging = Backward::of(rise.gap.until);
        }
    }

    /// Decides what follows a page.
    pub(super) fn turn(&mut self, sheet: &Sheet) -> Turn {
        let turn = match &mut self.range {
            Range::Forward(forward) => forward.turn(sheet),
            Range::Newest(_) => Turn::Done,
            Range::Window(window) => {
                window.dated(self.date);
                window.turn(sheet)
            }
        };
        if turn == Turn::Next {
            self.reach = Reach::default();
        }
        turn
    }

    /// An answer broke off or could not be read. Whether that was so often enough to be no accident.
    pub(super) fn broke_off(&mut self) -> bool {
        self.broken += 1;
        self.broken >= BROKEN
    }

    /// What failed so far counts no more: it is judged, or a page came.
    pub(super) fn judged(&mut self) {
        self.broken = 0;
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
