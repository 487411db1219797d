//! When to read, and what kind of read it is: hints, timers, sweeps, and everything that asks for patience.

use std::time::Duration;

use crate::config::Timing;

/// Seconds after the newest sighting at which a near sweep looks for rows that were late by a moment.
const NEAR_OFFSETS: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
];
const NEAR_EVERY: Duration = Duration::from_secs(5);
/// How long after its first sighting a row is settled: the platform's time limit for an insert is 30 s.
pub(super) const SETTLING: Duration = Duration::from_secs(45);
const COMPARE_EVERY: Duration = Duration::from_secs(600);
const TIMER_LIVE: Duration = Duration::from_secs(30);
const TIMER_DEAF: Duration = Duration::from_secs(5);
const DISTRUST: Duration = Duration::from_secs(600);
/// A hint comes some milliseconds after its row; one that takes longer than this counts as lost.
const HINT_GRACE: Duration = Duration::from_secs(2);
const HINT_GAP: Duration = Duration::from_millis(100);
/// What a hinted read costs of the time that goes by, and what of it comes back when the read brings a new row: hints in vain
/// lead to one read a second in the long run, conversations to two.
const HINT_COST: Duration = Duration::from_secs(1);
const HINT_REFUND: Duration = Duration::from_millis(500);
/// How far hinted reads may run ahead of what they cost.
const HINT_CREDIT: Duration = Duration::from_secs(20);
const SCARCE: u64 = 120;
const SCARCE_GAP: Duration = Duration::from_secs(5);

/// The kind of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// From the newest known row.
    Fast {
        /// Because of a hint, not the timer.
        hinted: bool,
    },
    /// From a row seen at least 10 s ago.
    Near,
    /// From the saved cursor.
    Full,
    /// One newest-first page, by id.
    Compare,
    /// What lies before the beginning of a replaced journal. Asked for once, whatever the timers say.
    List,
}

impl Errand {
    /// Whether it reads on from what is known, so that it counts as a poll.
    pub(super) fn is_poll(self) -> bool {
        !matches!(self, Self::Compare | Self::List)
    }
}

/// All times are monotonic, since the reader's epoch.
#[derive(Debug)]
pub(super) struct Pacing {
    timing: Timing,
    live: bool,
    hinted: bool,
    /// Until when the hinted reads so far are paid for; up to [`HINT_CREDIT`] ahead of now.
    paid_until: Duration,
    /// A hinted read is under way that has brought nothing yet.
    in_vain: bool,
    last_start: Option<Duration>,
    last_request: Option<Duration>,
    last_poll: Duration,
    last_near: Duration,
    last_full: Option<Duration>,
    sighted: Option<Duration>,
    near_done: usize,
    next_compare: Duration,
    not_before: Duration,
    scarce_until: Option<Duration>,
    unhinted: Option<Duration>,
    distrust_until: Duration,
    last_was_fast: bool,
    timer_at_least: Duration,
}

impl Pacing {
    pub(super) fn new(timing: Timing, now: Duration) -> Self {
        Self {
            timing,
            live: false,
            hinted: false,
            paid_until: now,
            in_vain: false,
            last_start: None,
            last_request: None,
            last_poll: now,
            last_near: now,
            last_full: None,
            sighted: None,
            near_done: NEAR_OFFSETS.len(),
            next_compare: now + timing.of(COMPARE_EVERY),
            not_before: now,
            scarce_until: None,
            unhinted: None,
            distrust_until: now,
            last_was_fast: false,
            timer_at_least: Duration::ZERO,
        }
    }

    pub(super) fn live(&mut self, live: bool) {
        self.live = live;
    }

    pub(super) fn hint(&mut self) {
        self.hinted = true;
        self.unhinted = None;
    }

    pub(super) fn compare_soon(&mut self, now: Duration) {
        self.next_compare = now;
    }

    /// The rate limiter as last seen: requests left, and when the window is refilled.
    pub(super) fn budget(&mut self, now: Duration, remaining: Option<u64>, reset: Option<Duration>) {
        let scarce = remaining.is_some_and(|left| left < SCARCE);
        self.scarce_until = scarce.then(|| now + reset.unwrap_or(Duration::from_secs(60)));
    }

    pub(super) fn timer_at_least(&mut self, least: Duration) {
        self.timer_at_least = least;
    }

    pub(super) fn pause(&mut self, now: Duration, pause: Duration) {
        self.not_before = now + pause;
    }

    /// A row that a timer read found although the stream should have told of it.
    pub(super) fn unhinted(&mut self, now: Duration) {
        if self.live {
            self.unhinted.get_or_insert(now);
        }
    }

    /// How long no request at all may be sent.
    pub(super) fn blocked(&self, now: Duration) -> Option<Duration> {
        let mut until = self.not_before;
        if self.scarce_until.is_some_and(|end| now < end) {
            until = until.max(self.last_request.map_or(now, |last| last + self.timing.of(SCARCE_GAP)));
        }
        (until > now).then(|| until - now)
    }

    pub(super) fn requested(&mut self, now: Duration) {
        self.last_request = Some(now);
    }

    /// The errand that is due, or how long to wait for one. `unsettled`: when the oldest unsettled row was first seen.
    pub(super) fn due(&mut self, now: Duration, unsettled: Option<Duration>) -> Result<Errand, Duration> {
        if self
            .unhinted
            .is_some_and(|since| now >= since + self.timing.of(HINT_GRACE))
        {
            self.unhinted = None;
            self.distrust_until = now + self.timing.of(DISTRUST);
        }
        let Some(last_full) = self.last_full else {
            return Ok(Errand::Full);
        };
        let full = unsettled.and_then(|oldest| self.full_due(last_full, oldest));
        let sweeps = [
            (full, Errand::Full),
            (self.near_due(), Errand::Near),
            (Some(self.next_compare), Errand::Compare),
        ];
        let hint = self.hinted.then(|| self.hint_due());
        let ready = |due: Option<Duration>| due.is_some_and(|due| due <= now);
        let sweep = sweeps.iter().find(|(due, _)| ready(*due)).map(|(_, errand)| *errand);
        if ready(hint) && (sweep.is_none() || !self.last_was_fast) {
            return Ok(Errand::Fast { hinted: true });
        }
        if let Some(sweep) = sweep {
            return Ok(sweep);
        }
        let timer = self.last_poll + self.timer(now);
        if timer <= now {
            return Ok(Errand::Fast { hinted: false });
        }
        let others = sweeps.into_iter().map(|(due, _)| due).chain([hint]).flatten();
        Err(others.fold(timer, Duration::min) - now)
    }

    fn timer(&self, now: Duration) -> Duration {
        let trusted = self.live && now >= self.distrust_until;
        let timer = self.timing.of(if trusted { TIMER_LIVE } else { TIMER_DEAF });
        timer.max(self.timer_at_least)
    }

    fn hint_due(&self) -> Duration {
        let apart = self
            .last_start
            .map_or(Duration::ZERO, |start| start + self.timing.of(HINT_GAP));
        apart.max(self.paid_until.saturating_sub(self.timing.of(HINT_CREDIT)))
    }

    fn near_due(&self) -> Option<Duration> {
        let sighted = self.sighted?;
        let offset = NEAR_OFFSETS.get(self.near_done)?;
        Some((sighted + self.timing.of(*offset)).min(self.last_near + self.timing.of(NEAR_EVERY)))
    }

    /// A sweep that cannot settle anything yet is not worth its requests; one after the last sighting settles all.
    fn full_due(&self, last_full: Duration, oldest: Duration) -> Option<Duration> {
        let settling = self.timing.of(SETTLING);
        let flowing = last_full.max(oldest) + settling;
        let still = self.sighted.map(|sighted| sighted + settling);
        still
            .filter(|still| *still > last_full)
            .into_iter()
            .chain([flowing])
            .min()
    }

    pub(super) fn begun(&mut self, now: Duration, errand: Errand) {
        self.last_start = Some(now);
        self.last_was_fast = matches!(errand, Errand::Fast { .. });
        if errand.is_poll() {
            self.hinted = false;
        }
        self.in_vain = errand == Errand::Fast { hinted: true };
        if self.in_vain {
            self.paid_until = self.paid_until.max(now) + self.timing.of(HINT_COST);
        }
    }

    /// New rows were seen.
    pub(super) fn sighted(&mut self, now: Duration) {
        self.sighted = Some(now);
        self.near_done = 0;
        if std::mem::take(&mut self.in_vain) {
            self.paid_until = self.paid_until.saturating_sub(self.timing.of(HINT_REFUND));
        }
    }

    /// A run that began at `began` has read to the end.
    pub(super) fn finished(&mut self, errand: Errand, began: Duration, now: Duration) {
        match errand {
            Errand::Compare => {
                self.next_compare = now + self.timing.of(COMPARE_EVERY);
                return;
            }
            Errand::List => return,
            Errand::Full => {
                self.last_full = Some(began);
                self.near_swept(began);
            }
            Errand::Near => self.near_swept(began),
            Errand::Fast { .. } => {}
        }
        self.last_poll = began;
    }

    fn near_swept(&mut self, began: Duration) {
        self.last_near = began;
        if let Some(sighted) = self.sighted {
            let passed = NEAR_OFFSETS
                .iter()
                .filter(|offset| sighted + self.timing.of(**offset) <= began);
            self.near_done = self.near_done.max(passed.count());
        }
    }
}

#[cfg(test)]
mod tests;
