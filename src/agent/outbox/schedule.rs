//! When to read the platform's list of delegations: soon after a reason to, rarely otherwise, never without a delegation.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Timing;
use crate::state::outbox::Item;
use crate::types::Timestamp;

const APART: Duration = Duration::from_millis(100);
const OFTEN: Duration = Duration::from_secs(2);
const RARELY: Duration = Duration::from_secs(30);
/// How long a delegation is young.
const YOUNG: Duration = Duration::from_secs(600);
/// A poll-mode delegation is complete within milliseconds, perhaps before its event could be matched.
const AFTER_ACCEPTANCE: [Duration; 3] = [APART, Duration::from_secs(1), Duration::from_secs(3)];
/// An event may come before the record shows what it tells.
const AFTER_EVENT: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
];
/// How much a text that cannot be fetched is waited for, before the preview must do.
const PATIENCE: u32 = 30;

/// What hints can be counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// A live stream tells when something happens.
    Live,
    /// Nothing tells.
    Blind,
    /// The platform's rate limiter is nearly used up.
    Scarce,
}

/// Why a text could not be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// The platform answered that there is none.
    Nowhere,
    /// The call failed in a way that passes.
    Passing,
}

/// One delegation whose outcome is awaited.
#[derive(Debug)]
struct Follow {
    /// Until then it is asked after often when no stream tells about it.
    young_until: Instant,
    reads: Vec<Instant>,
    closed: bool,
    missed: u32,
    beyond: Option<Instant>,
}

/// The reads to come.
#[derive(Debug)]
pub(super) struct Schedule {
    timing: Timing,
    follows: HashMap<String, Follow>,
    last_read: Option<Instant>,
    not_before: Option<Instant>,
}

impl Schedule {
    pub(super) fn new(timing: Timing) -> Self {
        Self {
            timing,
            follows: HashMap::new(),
            last_read: None,
            not_before: None,
        }
    }

    /// Follows exactly these; one seen for the first time is asked after soon.
    pub(super) fn follow(&mut self, waiting: &[Item], now: Instant, wall: Timestamp) {
        let mut before = std::mem::take(&mut self.follows);
        for item in waiting {
            let Some(id) = &item.delegation_id else { continue };
            let follow = before.remove(id).unwrap_or_else(|| Follow {
                young_until: now + self.timing.of(YOUNG).saturating_sub(item.created.until(wall)),
                reads: self.instants(&AFTER_ACCEPTANCE, now),
                closed: false,
                missed: 0,
                beyond: None,
            });
            self.follows.insert(id.clone(), follow);
        }
    }

    /// Whether no read could bring anything.
    pub(super) fn is_idle(&self) -> bool {
        self.follows.values().all(|follow| follow.closed)
    }

    /// An event told that something happened to this delegation; `None`: it may have been any.
    pub(super) fn hint(&mut self, delegation_id: Option<&str>, now: Instant) {
        let reads = self.instants(&AFTER_EVENT, now);
        for (id, follow) in &mut self.follows {
            if !follow.closed && delegation_id.is_none_or(|named| named == id) {
                follow.reads.clone_from(&reads);
            }
        }
    }

    /// The platform's record of this delegation will not change any more; its answer comes another way.
    pub(super) fn close(&mut self, delegation_id: &str) {
        if let Some(follow) = self.follows.get_mut(delegation_id) {
            follow.closed = true;
        }
    }

    /// Reads again in a second, because what was found could not be used yet.
    pub(super) fn soon(&mut self, delegation_id: &str, now: Instant) {
        let at = now + self.timing.of(Duration::from_secs(1));
        if let Some(follow) = self.follows.get_mut(delegation_id) {
            follow.reads.push(at);
        }
    }

    /// A text could not be fetched. Whether to go on trying: an absent text is waited for a few times, an outage longer.
    pub(super) fn missed(&mut self, delegation_id: &str, miss: Miss) -> bool {
        let Some(follow) = self.follows.get_mut(delegation_id) else {
            return false;
        };
        follow.missed += match miss {
            Miss::Nowhere => PATIENCE / 5,
            Miss::Passing => 1,
        };
        follow.missed < PATIENCE
    }

    /// Whether a delegation that the full list no longer shows may be looked for in the activity log now.
    pub(super) fn may_look_beyond(&mut self, delegation_id: &str, now: Instant) -> bool {
        let pause = self.timing.of(RARELY);
        match self.follows.get_mut(delegation_id) {
            Some(follow) if follow.beyond.is_none_or(|at| now >= at + pause) => {
                follow.beyond = Some(now);
                true
            }
            _ => false,
        }
    }

    /// The list was read.
    pub(super) fn was_read(&mut self, now: Instant) {
        self.last_read = Some(now);
        for follow in self.follows.values_mut() {
            follow.reads.retain(|at| *at > now);
        }
    }

    /// The list could not be read; not again before `pause` is over.
    pub(super) fn put_off(&mut self, now: Instant, pause: Duration) {
        self.not_before = Some(now + pause);
    }

    /// When to read next; `None` when nothing is awaited from the list.
    pub(super) fn due(&self, pace: Pace, now: Instant) -> Option<Instant> {
        let wanted = self.follows.values().filter(|follow| !follow.closed).map(|follow| {
            let young = now < follow.young_until;
            let interval = if pace == Pace::Blind && young { OFTEN } else { RARELY };
            let regular = self.last_read.map_or(now, |last| last + self.timing.of(interval));
            let prompted = follow
                .reads
                .iter()
                .min()
                .filter(|_| pace != Pace::Scarce || self.last_read.is_none());
            prompted.map_or(regular, |at| (*at).min(regular))
        });
        let at = wanted.min()?;
        let apart = self.last_read.map_or(at, |last| last + self.timing.of(APART));
        Some(at.max(apart).max(self.not_before.unwrap_or(at)))
    }

    fn instants(&self, delays: &[Duration], now: Instant) -> Vec<Instant> {
        delays.iter().map(|delay| now + self.timing.of(*delay)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::stand_in;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A schedule that follows `d-1`, so old at its first sight, and has made all its early reads, the last one at the
    /// returned instant.
    fn settled(age: Duration) -> (Schedule, Instant) {
        let mut schedule = Schedule::new(Timing::REAL);
        let start = Instant::now();
        schedule.follow(&[stand_in::accepted("1", "d-1")], start, wall(age));
        let later = start + 10 * SECOND;
        schedule.was_read(later);
        (schedule, later)
    }

    fn wall(age: Duration) -> Timestamp {
        Timestamp::now().plus_micros(i64::try_from(age.as_micros()).unwrap())
    }

    fn due_in(schedule: &Schedule, pace: Pace, last: Instant) -> Duration {
        schedule.due(pace, last).unwrap() - last
    }

    #[test]
    fn a_new_delegation_is_asked_after_soon_and_then_by_pace_and_age() {
        let mut schedule = Schedule::new(Timing::REAL);
        let now = Instant::now();
        assert_eq!(schedule.due(Pace::Blind, now), None);
        schedule.was_read(now);
        schedule.follow(&[stand_in::accepted("1", "d-1")], now, wall(SECOND));
        assert_eq!(due_in(&schedule, Pace::Live, now), APART);

        for (pace, age, expected) in [
            (Pace::Blind, 20, OFTEN),
            (Pace::Blind, 700, RARELY),
            (Pace::Live, 20, RARELY),
            (Pace::Scarce, 20, RARELY),
        ] {
            let (schedule, last) = settled(age * SECOND);
            assert_eq!(due_in(&schedule, pace, last), expected, "{pace:?} {age}");
        }
    }

    #[test]
    fn an_event_causes_reads_a_tenth_of_a_second_apart_at_least() {
        let (mut schedule, last) = settled(SECOND);
        schedule.hint(Some("another"), last);
        assert_eq!(due_in(&schedule, Pace::Live, last), RARELY);
        schedule.hint(Some("d-1"), last);
        assert_eq!(due_in(&schedule, Pace::Live, last), APART);
        schedule.was_read(last + APART);
        assert_eq!(due_in(&schedule, Pace::Live, last), Duration::from_millis(300));
        assert_eq!(due_in(&schedule, Pace::Scarce, last), RARELY + APART);
        schedule.was_read(last + Duration::from_millis(300));
        assert_eq!(
            due_in(&schedule, Pace::Live, last),
            SECOND,
            "the one that was due is done"
        );
    }

    #[test]
    fn what_could_not_be_used_yet_is_read_again_in_a_second() {
        let (mut schedule, last) = settled(SECOND);
        schedule.soon("another", last);
        assert_eq!(due_in(&schedule, Pace::Live, last), RARELY);
        schedule.soon("d-1", last);
        assert_eq!(due_in(&schedule, Pace::Live, last), SECOND);
    }

    #[test]
    fn what_the_list_no_longer_shows_is_looked_for_beyond_it_every_half_minute() {
        let (mut schedule, now) = settled(SECOND);
        assert!(!schedule.may_look_beyond("another", now));
        for (secs, may) in [(0, true), (29, false), (30, true), (31, false), (60, true)] {
            assert_eq!(
                schedule.may_look_beyond("d-1", now + secs * SECOND),
                may,
                "after {secs} s"
            );
        }
    }

    #[test]
    fn a_closed_delegation_causes_no_read_even_when_followed_again() {
        let (mut schedule, now) = settled(SECOND);
        assert!(!schedule.is_idle());
        schedule.close("d-1");
        schedule.follow(&[stand_in::accepted("1", "d-1")], now, wall(SECOND));
        schedule.hint(None, now);
        assert!(schedule.is_idle());
        assert_eq!(schedule.due(Pace::Blind, now), None);
    }

    #[test]
    fn a_failed_read_puts_everything_off() {
        let (mut schedule, now) = settled(SECOND);
        schedule.hint(None, now);
        schedule.put_off(now, 40 * SECOND);
        assert_eq!(due_in(&schedule, Pace::Blind, now), 40 * SECOND);
    }

    #[test]
    fn a_text_that_is_nowhere_is_given_up_sooner_than_an_outage() {
        let tries = |miss| {
            let (mut schedule, _) = settled(SECOND);
            (1..).find(|_| !schedule.missed("d-1", miss)).unwrap()
        };
        assert_eq!((tries(Miss::Nowhere), tries(Miss::Passing)), (5, 30));
    }
}
