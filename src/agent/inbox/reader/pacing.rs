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
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// A pacing that has made its first full sweep at zero.
    fn swept() -> Pacing {
        let mut pacing = Pacing::new(Timing::REAL, Duration::ZERO);
        assert_eq!(pacing.due(Duration::ZERO, None), Ok(Errand::Full));
        pacing.begun(Duration::ZERO, Errand::Full);
        pacing.finished(Errand::Full, Duration::ZERO, ms(5));
        pacing
    }

    /// Runs until `end`, giving every errand 5 ms; returns what was done when.
    fn run(
        pacing: &mut Pacing,
        mut now: Duration,
        end: Duration,
        unsettled: &mut Option<Duration>,
    ) -> Vec<(u64, Errand)> {
        let mut done = Vec::new();
        while now < end {
            match pacing.due(now, *unsettled) {
                Err(wait) => now += wait,
                Ok(errand) => {
                    done.push((u64::try_from(now.as_millis()).unwrap(), errand));
                    pacing.begun(now, errand);
                    pacing.finished(errand, now, now + ms(5));
                    if errand == Errand::Full && unsettled.is_some_and(|seen| seen + SETTLING <= now) {
                        *unsettled = None;
                    }
                    now += ms(5);
                }
            }
        }
        done
    }

    #[test]
    fn one_message_costs_three_near_sweeps_and_one_full_sweep_and_then_all_is_still() {
        let mut pacing = swept();
        pacing.live(true);
        pacing.sighted(ms(10));
        let done = run(&mut pacing, ms(10), Duration::from_secs(200), &mut Some(ms(10)));
        let sweeps: Vec<_> = done
            .iter()
            .filter(|(_, errand)| !matches!(errand, Errand::Fast { .. }))
            .collect();
        assert_eq!(
            sweeps,
            [
                &(210, Errand::Near),
                &(1010, Errand::Near),
                &(5010, Errand::Near),
                &(45_010, Errand::Full)
            ]
        );
        assert_eq!(done.len() - sweeps.len(), 6, "{done:?}");
    }

    #[test]
    fn the_timer_is_30_s_with_a_live_stream_and_5_s_without() {
        for (live, expected) in [(true, 30), (false, 5)] {
            let mut pacing = swept();
            pacing.live(live);
            assert_eq!(pacing.due(ms(0), None), Err(Duration::from_secs(expected)));
            pacing.timer_at_least(Duration::from_secs(80));
            assert_eq!(pacing.due(ms(0), None), Err(Duration::from_secs(80)));
        }
    }

    #[test]
    fn a_row_without_a_hint_shortens_the_timer_for_ten_minutes_unless_the_hint_was_only_late() {
        for (late_hint, expected) in [(false, 5), (true, 30)] {
            let mut pacing = swept();
            pacing.live(true);
            pacing.unhinted(ms(100));
            if late_hint {
                pacing.hint();
                pacing.begun(ms(200), Errand::Fast { hinted: true });
                pacing.finished(Errand::Fast { hinted: true }, ms(200), ms(205));
            }
            let _ = pacing.due(ms(2100), None);
            pacing.finished(Errand::Fast { hinted: false }, ms(3000), ms(3000));
            assert_eq!(pacing.due(ms(3000), None), Err(Duration::from_secs(expected)));
            let later = Duration::from_secs(605);
            pacing.compare_soon(later + later);
            pacing.finished(Errand::Fast { hinted: false }, later, later);
            assert_eq!(pacing.due(later, None), Err(Duration::from_secs(30)));
        }
    }

    /// Hints all the time; the gaps between the reads, of which each brings a new row or none does.
    fn gaps(pacing: &mut Pacing, mut now: Duration, count: usize, in_vain: bool) -> (Vec<Duration>, Duration) {
        let mut starts = Vec::new();
        while starts.len() <= count {
            pacing.hint();
            match pacing.due(now, None) {
                Err(wait) => now += wait,
                Ok(errand @ Errand::Fast { hinted: true }) => {
                    pacing.begun(now, errand);
                    starts.push(now);
                    if !in_vain {
                        pacing.sighted(now);
                    }
                    pacing.finished(errand, now, now);
                }
                Ok(sweep) => {
                    pacing.begun(now, sweep);
                    pacing.finished(sweep, now, now);
                }
            }
        }
        (starts.windows(2).map(|pair| pair[1] - pair[0]).collect(), now)
    }

    #[test]
    fn hints_in_vain_are_followed_at_once_and_in_the_long_run_once_a_second() {
        let mut pacing = swept();
        let (quick, now) = gaps(&mut pacing, Duration::from_secs(1), 20, true);
        assert!(quick.iter().all(|gap| *gap == ms(100)), "{quick:?}");
        let (slow, now) = gaps(&mut pacing, now, 40, true);
        assert!(slow[10..].iter().all(|gap| *gap >= ms(1000)), "{slow:?}");
        // After a while of silence the credit is back.
        let (quick, _) = gaps(&mut pacing, now + Duration::from_secs(21), 20, true);
        assert!(quick.iter().all(|gap| *gap == ms(100)), "{quick:?}");
    }

    #[test]
    fn a_conversation_is_never_slowed_down_and_a_burst_to_two_reads_a_second() {
        let mut pacing = swept();
        let mut now = Duration::from_secs(1);
        for _ in 0..500 {
            pacing.hint();
            while let Ok(errand) = pacing.due(now, None) {
                pacing.begun(now, errand);
                if errand == (Errand::Fast { hinted: true }) {
                    pacing.sighted(now);
                }
                pacing.finished(errand, now, now);
                now += ms(1);
            }
            assert!(!pacing.hinted || pacing.hint_due() <= now + ms(100), "at {now:?}");
            now += ms(600);
        }
        let (burst, _) = gaps(&mut pacing, now, 200, false);
        let tail: Duration = burst[100..].iter().sum();
        assert!(
            tail >= Duration::from_secs(48) && tail <= Duration::from_secs(60),
            "{tail:?}"
        );
    }

    #[test]
    fn a_flood_of_hints_does_not_starve_the_sweeps() {
        let mut pacing = swept();
        let mut now = ms(1000);
        let mut sweeps = 0;
        for _ in 0..2000 {
            pacing.hint();
            pacing.sighted(now);
            match pacing.due(now, Some(Duration::ZERO)) {
                Err(wait) => now += wait.min(ms(20)),
                Ok(errand) => {
                    sweeps += u64::from(!matches!(errand, Errand::Fast { .. }));
                    pacing.begun(now, errand);
                    now += ms(150);
                    pacing.finished(errand, now, now);
                }
            }
        }
        assert!(sweeps + 2 > now.as_secs() / 5, "{sweeps} in {now:?}");
    }

    #[test]
    fn a_hint_and_a_sweep_that_are_both_due_take_turns_and_a_comparison_answers_no_hint() {
        let mut pacing = swept();
        let now = Duration::from_secs(1000);
        let turns: Vec<_> = (0..4)
            .map(|_| {
                pacing.hint();
                pacing.compare_soon(now);
                let errand = pacing.due(now, None).unwrap();
                pacing.begun(now - ms(200), errand);
                errand
            })
            .collect();
        let hinted = Errand::Fast { hinted: true };
        assert_eq!(turns, [hinted, Errand::Compare, hinted, Errand::Compare]);
        pacing.finished(Errand::Compare, now, now);
        assert_eq!(pacing.due(now, None), Ok(hinted));
    }

    /// After a sweep in between, whatever it was for, the next one waits for the last sighting and not for the sweep.
    #[test]
    fn the_sweep_that_settles_all_comes_45_s_after_the_last_sighting_and_once() {
        let secs = Duration::from_secs;
        let mut pacing = swept();
        pacing.sighted(secs(10));
        pacing.begun(secs(40), Errand::Full);
        pacing.finished(Errand::Full, secs(40), secs(40));
        let done = run(&mut pacing, secs(40), secs(55) + ms(1), &mut Some(secs(10)));
        assert_eq!(done.last(), Some(&(55_000, Errand::Full)), "{done:?}");
        let early = run(&mut pacing, secs(56), secs(99), &mut Some(secs(54)));
        assert!(early.iter().all(|(_, errand)| *errand != Errand::Full), "{early:?}");
    }

    #[test]
    fn scarce_requests_are_5_s_apart_until_the_window_is_refilled() {
        let mut pacing = swept();
        pacing.requested(ms(0));
        pacing.budget(ms(0), Some(119), Some(Duration::from_secs(20)));
        assert_eq!(pacing.blocked(ms(1000)), Some(ms(4000)));
        assert_eq!(pacing.blocked(ms(5000)), None);
        pacing.requested(ms(19_000));
        assert_eq!(pacing.blocked(ms(20_000)), None);
        pacing.budget(ms(20_000), Some(120), None);
        pacing.pause(ms(20_000), ms(700));
        assert_eq!(pacing.blocked(ms(20_100)), Some(ms(600)));
    }

    #[test]
    fn every_ten_minutes_and_on_demand_one_page_is_compared() {
        let mut pacing = swept();
        let done = run(&mut pacing, ms(10), Duration::from_secs(1300), &mut None);
        let compares: Vec<_> = done.iter().filter(|(_, errand)| *errand == Errand::Compare).collect();
        assert_eq!(compares.len(), 2, "{compares:?}");
        pacing.compare_soon(Duration::from_secs(1301));
        assert_eq!(pacing.due(Duration::from_secs(1301), None), Ok(Errand::Compare));
    }
}
