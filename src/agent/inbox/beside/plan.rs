//! What to ask the platform for next, and when. Pure: times are handed in, monotonic, since the loop's epoch.
//!
//! Each list is read at the start, after a gap in the stream, on an event and every minute. A platform without requests is
//! asked once and then left alone until an event proves it newer, also about broadcasts: no known level has these without
//! requests. Nothing is asked while the rate limiter leaves little for beats and messages.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::Timing;
use crate::platform::client::RateLimit;
use crate::state::request::Side;
use crate::types::RequestId;

/// Between two reads of the same list when nothing happens.
const EVERY: Duration = Duration::from_secs(60);
/// Between two reads because of events; after some in a row the longer gap: these lists are no conversation.
const HINT_GAP: Duration = Duration::from_millis(100);
const HINT_GAP_LONG: Duration = Duration::from_secs(1);
const HINTS_IN_A_ROW: u32 = 20;
/// With fewer requests left than this, beats and messages have them all.
const SCARCE: u64 = 120;
/// How many times longer the timers may become where many workspaces share one limit.
const STRETCH: u32 = 10;
/// Requests to be looked into one by one that wait for their turn; more are found again with the next list.
const QUEUE: usize = 64;

/// One thing to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// What is asked of this workspace.
    Theirs {
        /// Open ones only, because the list of all is longer than the platform shows.
        open_only: bool,
    },
    /// What this workspace asks.
    Ours,
    /// One request, with what was written below it.
    Thread(RequestId),
    /// What was told to everyone.
    Broadcasts,
}

impl Errand {
    /// Numbers its kind, 0 to 3.
    pub(super) fn kind(&self) -> usize {
        match self {
            Self::Theirs { .. } => 0,
            Self::Ours => 1,
            Self::Thread(_) => 2,
            Self::Broadcasts => 3,
        }
    }

    /// What it is about, in words.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Theirs { .. } => "requests to this workspace",
            Self::Ours => "answers to this workspace's requests",
            Self::Thread(_) => "what is written below requests",
            Self::Broadcasts => "broadcasts",
        }
    }
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Ask(Errand),
    Wait(Duration),
}

/// When one list is read.
#[derive(Clone, Debug)]
struct Pace {
    /// By the timer.
    due: Duration,
    /// An event said that there is something.
    hinted: bool,
    begun: Option<Duration>,
    /// Reads close together because of events.
    in_a_row: u32,
    /// After a failure.
    not_before: Duration,
}

impl Pace {
    fn new(now: Duration) -> Self {
        Self {
            due: now,
            hinted: false,
            begun: None,
            in_a_row: 0,
            not_before: now,
        }
    }

    fn next(&self, timing: Timing) -> Duration {
        let due = if self.hinted {
            self.soon(timing).min(self.due)
        } else {
            self.due
        };
        due.max(self.not_before)
    }

    /// When it may be read because of an event.
    fn soon(&self, timing: Timing) -> Duration {
        let gap = if self.in_a_row < HINTS_IN_A_ROW {
            HINT_GAP
        } else {
            HINT_GAP_LONG
        };
        let soon = self.begun.map_or(Duration::ZERO, |begun| begun + timing.of(gap));
        soon.max(self.not_before)
    }

    fn begin(&mut self, now: Duration, timing: Timing, stretch: u32) {
        let follows = self
            .begun
            .is_some_and(|begun| now < begun + timing.of(2 * HINT_GAP_LONG));
        self.in_a_row = if follows { self.in_a_row + 1 } else { 0 };
        self.hinted = false;
        self.begun = Some(now);
        self.due = now + timing.of(EVERY * stretch);
    }

    fn failed(&mut self, until: Duration) {
        self.due = until;
        self.not_before = until;
    }
}

/// The plan.
#[derive(Debug)]
pub(super) struct Plan {
    timing: Timing,
    theirs: Pace,
    ours: Pace,
    broadcasts: Pace,
    threads: Pace,
    /// Requests to be looked into, in order.
    queue: VecDeque<RequestId>,
    /// The one of each [`Side`] that was looked into last because more was asked back.
    turns: [Option<RequestId>; 2],
    open_only: bool,
    /// Whether an answer to one of ours is still to come.
    any_ours: bool,
    /// Whether the platform has requests; `None`: not known yet.
    has_requests: Option<bool>,
    /// Whether it has broadcasts although it has no requests.
    has_broadcasts: bool,
    scarce_until: Duration,
    /// How many times longer than usual the timers are.
    stretch: u32,
}

impl Plan {
    pub(super) fn new(timing: Timing, now: Duration) -> Self {
        let mut ours = Pace::new(now);
        ours.hinted = true;
        Self {
            timing,
            theirs: Pace::new(now),
            ours,
            broadcasts: Pace::new(now),
            threads: Pace::new(now),
            queue: VecDeque::new(),
            turns: [None, None],
            open_only: false,
            any_ours: false,
            has_requests: None,
            has_broadcasts: false,
            scarce_until: now,
            stretch: 1,
        }
    }

    /// Events may have been missed.
    pub(super) fn anew(&mut self) {
        for pace in [&mut self.theirs, &mut self.ours, &mut self.broadcasts] {
            pace.hinted = true;
        }
    }

    /// There is something on this side.
    pub(super) fn hint(&mut self, side: Side) {
        self.has_requests = self.has_requests.filter(|has| *has);
        self.pace(side).hinted = true;
    }

    /// There is something about this request.
    pub(super) fn look_into(&mut self, id: RequestId) {
        self.has_requests = self.has_requests.filter(|has| *has);
        if self.queue.len() < QUEUE && !self.queue.contains(&id) {
            self.queue.push_back(id);
        }
    }

    /// There is a broadcast.
    pub(super) fn broadcast_told(&mut self) {
        self.has_broadcasts = true;
        self.broadcasts.hinted = true;
    }

    /// Broadcasts are to be read again then at the latest: one of them was not complete yet.
    pub(super) fn broadcasts_by(&mut self, then: Duration) {
        self.broadcasts.due = self.broadcasts.due.min(then);
    }

    /// Whether some request of ours is open.
    pub(super) fn ours_open(&mut self, any: bool) {
        self.any_ours = any;
    }

    /// The rate limiter as last seen. Where less than half is left, others need it more: the timers become longer, and come
    /// back slowly. Events are followed all the same.
    pub(super) fn budget(&mut self, now: Duration, limit: RateLimit) {
        self.scarce_until = match limit.remaining {
            Some(left) if left < SCARCE => now + limit.reset.unwrap_or(EVERY),
            _ => now,
        };
        self.stretch = match (limit.remaining, limit.limit) {
            (Some(left), Some(all)) if left < all / 2 => (self.stretch * 2).min(STRETCH),
            _ => (self.stretch - 1).max(1),
        };
    }

    /// What to ask for now, or how long to wait for it. To be asked again when anything was told.
    pub(super) fn next(&mut self, now: Duration) -> Next {
        let known_absent = self.has_requests == Some(false);
        let mut choices = Vec::new();
        if !known_absent {
            let open_only = self.open_only;
            choices.push((self.theirs.next(self.timing), Errand::Theirs { open_only }));
            if self.any_ours || self.ours.hinted {
                choices.push((self.ours.next(self.timing), Errand::Ours));
            }
            if let Some(id) = self.queue.front() {
                choices.push((self.threads.soon(self.timing), Errand::Thread(id.clone())));
            }
        }
        if self.has_broadcasts || self.has_requests == Some(true) {
            choices.push((self.broadcasts.next(self.timing), Errand::Broadcasts));
        }
        let next = choices.iter().map(|(due, _)| *due).min().unwrap_or(now + EVERY);
        let next = next.max(self.scarce_until);
        if next > now {
            return Next::Wait(next - now);
        }
        let Some((_, errand)) = choices.into_iter().find(|(due, _)| *due <= now) else {
            return Next::Wait(EVERY);
        };
        let pace = match &errand {
            Errand::Theirs { .. } => &mut self.theirs,
            Errand::Ours => &mut self.ours,
            Errand::Broadcasts => &mut self.broadcasts,
            Errand::Thread(_) => {
                self.queue.pop_front();
                &mut self.threads
            }
        };
        pace.begin(now, self.timing, self.stretch);
        Next::Ask(errand)
    }

    /// The platform answered about requests: it has them.
    pub(super) fn answered(&mut self) {
        self.has_requests = Some(true);
    }

    /// The list of all requests to this workspace is longer than the platform shows.
    pub(super) fn list_is_full(&mut self) {
        self.open_only = true;
    }

    /// The platform has no such route.
    pub(super) fn absent(&mut self, errand: &Errand) {
        if *errand == Errand::Broadcasts {
            self.has_broadcasts = false;
        } else {
            self.has_requests = Some(false);
            self.queue.clear();
        }
    }

    /// An errand failed: not again before this pause.
    pub(super) fn failed(&mut self, errand: Errand, now: Duration, pause: Duration) {
        let until = now + pause;
        match errand {
            Errand::Theirs { .. } => self.theirs.failed(until),
            Errand::Ours => {
                self.ours.failed(until);
                self.ours.hinted = true;
            }
            Errand::Broadcasts => self.broadcasts.failed(until),
            Errand::Thread(id) => {
                self.threads.not_before = until;
                // Behind the others: it may fail for ever.
                self.look_into(id);
            }
        }
    }

    /// Of the requests of one side below which more may be written any time, without an event: the next one in turn is
    /// looked into.
    pub(super) fn take_turn(&mut self, side: Side, mut waiting: Vec<RequestId>) {
        waiting.sort();
        let turn = &mut self.turns[side as usize];
        let after = waiting.iter().find(|id| turn.as_ref().is_none_or(|last| *id > last));
        if let Some(id) = after.or(waiting.first()) {
            *turn = Some(id.clone());
            self.look_into(id.clone());
        }
    }

    fn pace(&mut self, side: Side) -> &mut Pace {
        match side {
            Side::Theirs => &mut self.theirs,
            Side::Ours => &mut self.ours,
        }
    }
}

#[cfg(test)]
mod tests;
