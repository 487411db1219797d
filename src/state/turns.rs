//! Whether the loops of this process turn: each says by when it comes round again, and one that does not is stuck.
//!
//! A pause that is meant, such as the one a platform asks for, is announced and so is no stuckness; a platform that does not
//! answer ends in a deadline and the next round. What remains is a bug, a disk that hangs, or a process that stands still:
//! what a watchdog is for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How much longer than announced a round may take: the longest deadline of a request, a commit on a slow disk, a busy computer.
const SLACK: Duration = Duration::from_secs(150);

/// The loops. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<Loops>>);

#[derive(Debug, Default)]
struct Loops {
    next: u64,
    due: Vec<(u64, &'static str, Instant)>,
}

impl Turns {
    /// A loop begins. It counts until the answer is dropped.
    #[must_use = "the loop counts until this is dropped"]
    pub fn begin(&self, name: &'static str) -> Turn {
        let mut loops = self.lock();
        loops.next += 1;
        let id = loops.next;
        loops.due.push((id, name, Instant::now()));
        Turn {
            turns: self.clone(),
            id,
        }
    }

    /// The names of loops that should have come round.
    #[must_use]
    pub fn overdue(&self) -> Vec<&'static str> {
        let now = Instant::now();
        let loops = self.lock();
        let late = loops.due.iter().filter(|(_, _, due)| now.duration_since(*due) > SLACK);
        late.map(|(_, name, _)| *name).collect()
    }

    // A holder only ever changes whole entries.
    fn lock(&self) -> MutexGuard<'_, Loops> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One loop.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    id: u64,
}

impl Turn {
    /// The loop turns, and does so again after at most `pause` and a round's work.
    pub fn again_after(&self, pause: Duration) {
        let due = Instant::now() + pause;
        let mut loops = self.turns.lock();
        if let Some(entry) = loops.due.iter_mut().find(|(id, ..)| *id == self.id) {
            entry.2 = due;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.lock().due.retain(|(id, ..)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_overdue_when_it_does_not_come_round_as_it_said() {
        let turns = Turns::default();
        let (beats, reads) = (turns.begin("beats"), turns.begin("reads"));
        beats.again_after(Duration::from_secs(20));
        reads.again_after(Duration::from_secs(600));
        advance(SLACK + Duration::from_secs(21)).await;
        assert_eq!(turns.overdue(), ["beats"], "the other one rests as it said");
        beats.again_after(Duration::ZERO);
        assert!(turns.overdue().is_empty());
        advance(Duration::from_secs(700)).await;
        assert_eq!(turns.overdue(), ["beats", "reads"]);
        drop(beats);
        assert_eq!(turns.clone().overdue(), ["reads"]);
    }
}
