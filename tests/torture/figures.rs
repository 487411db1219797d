//! The figures of a run, as docs/reliability.md reports them.

use std::fmt;
use std::time::Duration;

use super::ledger::{Book, End, Life};
use super::polls::{Duty, Poll};

/// Milliseconds, sorted.
#[derive(Debug, Default)]
pub struct Times(Vec<i64>);

impl Times {
    pub fn of(mut times: Vec<i64>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn all(&self) -> &[i64] {
        &self.0
    }

    pub fn most(&self) -> i64 {
        self.0.last().copied().unwrap_or(0)
    }

    fn percentile(&self, percent: usize) -> i64 {
        let at = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(at).copied().unwrap_or(0)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99, most) = (self.percentile(50), self.percentile(99), self.most());
        write!(f, "p50 {p50} ms, p99 {p99} ms, max {most} ms ({} seen)", self.len())
    }
}

/// How the lives of the daemons ended.
pub fn ends(book: &Book, end: End) -> usize {
    book.lives
        .iter()
        .filter(|life| life.ended.is_some_and(|(how, _)| how == end))
        .count()
}

/// The life that a request came from.
pub fn life_of(lives: &[Life], poll: &Poll) -> Option<usize> {
    life_at(lives, poll.slot, poll.turn, poll.at)
}

/// The last life that a slot's credentials had begun by then.
pub fn life_at(lives: &[Life], slot: usize, turn: usize, at: i64) -> Option<usize> {
    lives
        .iter()
        .rposition(|life| life.slot == slot && life.turn == turn && life.begun <= at)
}

/// From the kill of the one who did a duty to the first time another process does it that was there to take over.
/// Takeovers during which yet another process died are left out: they are several at once.
pub fn takeovers(lives: &[Life], polls: &[Poll], workspace: usize) -> Times {
    let each = [Duty::Beat, Duty::Read].map(|duty| takeovers_of(lives, polls, workspace, duty));
    Times::of(each.concat())
}

fn takeovers_of(lives: &[Life], polls: &[Poll], workspace: usize, duty: Duty) -> Vec<i64> {
    let mut times = Vec::new();
    let mut holder: Option<usize> = None;
    for poll in polls
        .iter()
        .filter(|poll| poll.workspace == workspace && poll.duty == duty)
    {
        let Some(life) = life_of(lives, poll) else { continue };
        let before = holder.replace(life);
        let Some(dead) = before.filter(|before| *before != life) else {
            continue;
        };
        let Some((End::Killed, killed)) = lives[dead].ended else {
            continue;
        };
        let siblings = || {
            lives
                .iter()
                .enumerate()
                .filter(|(n, sibling)| *n != dead && sibling.workspace == workspace)
        };
        let stood_by = siblings().any(|(_, sibling)| sibling.stands_by(killed, poll.at));
        // One that was stopped before cannot have won meanwhile; one that is stopped now may have.
        let disturbed = siblings().any(|(_, sibling)| {
            sibling
                .ended
                .is_some_and(|(_, ended)| (killed..=poll.at).contains(&ended))
                || sibling
                    .stops
                    .iter()
                    .any(|(begun, _)| (killed..=poll.at).contains(begun))
        });
        if stood_by && !disturbed {
            times.push(poll.at - killed);
        }
    }
    times
}

/// The time between two beats, less the interval: while their process lived and ran, or another was there all the time to
/// take over.
pub fn beat_gaps(lives: &[Life], polls: &[Poll], workspace: usize, interval: Duration) -> Times {
    let interval = i64::try_from(interval.as_millis()).unwrap();
    let beats: Vec<&Poll> = polls
        .iter()
        .filter(|poll| poll.workspace == workspace && poll.duty == Duty::Beat)
        .collect();
    let gaps = beats.windows(2).filter_map(|pair| {
        let (from, to) = (pair[0].at, pair[1].at);
        let holder = life_of(lives, pair[0])?;
        let ours = || lives.iter().filter(|life| life.workspace == workspace);
        let disturbed = ours().any(|life| life.stops.iter().any(|(begun, _)| (from..=to).contains(begun)))
            || lives[holder].was_stopped_between(from, to);
        let there = lives[holder].lives_at(to) || ours().any(|life| life.stands_by(from, to));
        (there && !disturbed).then_some((to - from - interval).max(0))
    });
    Times::of(gaps.collect())
}
