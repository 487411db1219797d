//! The way of one row: attempts, look-ups and pauses until its outcome is in the journal.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::decide::{self, Answer, Arrival, Moment, Unready, Verdict};
use super::gate::Gate;
use super::ports::{Book, Platform};
use crate::config::Timing;
use crate::platform::error::CallError;
use crate::platform::retry::{Backoff, LONGEST_PAUSE};
use crate::state::crash_point;
use crate::state::outbox::{Change, Item, Work};
use crate::state::spool::Spool;
use crate::types::Timestamp;

mod calls;

/// How many calls of a kind are under way at once.
const ABREAST: usize = 16;
/// Nothing is repeated once it is this old.
const WINDOW: Duration = Duration::from_secs(600);
/// The echo row of a message to the person may become visible this late.
const SETTLING: Duration = Duration::from_secs(2);
/// A request without an answer may take effect this late: for so long the kernel tries to bring one that was given up, or whose
/// process died, to the platform, and for so long the platform tries to store something.
const AT_WORK: Duration = Duration::from_secs(30);

/// Carries one row at a time from its first attempt to its recorded outcome.
pub(super) struct Carrier<P, B> {
    platform: P,
    book: B,
    spool: Spool,
    timing: Timing,
    gate: Gate,
    quick: Semaphore,
    /// Replies and messages with files have their own: each may hold its place for as long as a peer is silent, or a line slow.
    slow: Semaphore,
}

impl<P: Platform, B: Book> Carrier<P, B> {
    pub(super) fn new(platform: P, book: B, spool: Spool, timing: Timing) -> Self {
        let (quick, slow) = (Semaphore::new(ABREAST), Semaphore::new(ABREAST));
        Self {
            platform,
            book,
            spool,
            timing,
            gate: Gate::new(timing),
            quick,
            slow,
        }
    }

    /// Ends early, with the row still pending, when stopped between calls.
    pub(super) async fn carry(self: Arc<Self>, item: Item, stop: CancellationToken) {
        let clock = Age::of(&item);
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(self.timing.of(second), self.timing.of(LONGEST_PAUSE));
        let mut arrival = if item.attempts == 0 {
            Arrival::Never
        } else {
            Arrival::Maybe
        };
        let longest = self.timing.of(AT_WORK);
        let mut at_work_until = Instant::now();
        if arrival == Arrival::Maybe {
            // The process that made the attempt may have died just now.
            at_work_until += longest;
        }
        let moment = |pause| Moment {
            age: clock.now(),
            pause,
            window: self.timing.of(WINDOW),
            settling: self.timing.of(SETTLING),
            at_work: Duration::ZERO,
        };
        let mut verdict = decide::first(&item, &moment(Duration::ZERO));
        loop {
            verdict = match verdict {
                Verdict::Record(change) => {
                    self.record(&item, change).await;
                    return crash_point::pass(name(&item.work), "recorded");
                }
                Verdict::Attempt { after } => {
                    if !rest(after, &stop).await {
                        return;
                    }
                    let _turn = tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        turn = self.gate.enter() => turn,
                    };
                    let is_slow = matches!(item.work, Work::ReplyToPeer { .. }) || item.work.parcel().is_some();
                    let permits = if is_slow { &self.slow } else { &self.quick };
                    let permit = tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        permit = permits.acquire() => permit,
                    };
                    match self.ready(&item, arrival).await {
                        Ok(files) => {
                            crash_point::pass(name(&item.work), "begun");
                            let outcome = self.attempt(&item, &files).await;
                            crash_point::pass(name(&item.work), "sent");
                            drop(permit);
                            if let Err(CallError::Interrupted { .. }) = &outcome {
                                at_work_until = Instant::now() + longest;
                            }
                            let pause = pause_after(&outcome, &mut backoff);
                            let verdict = decide::after_attempt(&item.work, &outcome, arrival, &moment(pause));
                            arrival = arrival.max(left_by(&item.work, &outcome));
                            verdict
                        }
                        Err(unready) => {
                            drop(permit);
                            let pause = match &unready {
                                Unready::Passing { error: Some(error), .. } => backoff.after(error),
                                _ => backoff.next_delay(),
                            };
                            decide::unready(&item.work, &unready, arrival, &moment(pause))
                        }
                    }
                }
                Verdict::LookUp { after } => {
                    if !rest(after, &stop).await {
                        return;
                    }
                    let _turn = tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        turn = self.gate.enter() => turn,
                    };
                    let at_work = at_work_until.saturating_duration_since(Instant::now());
                    let found = self.look_up(&item, &clock).await;
                    self.gate.learn(found.as_ref().err());
                    let pause = pause_after(&found, &mut backoff);
                    let moment = Moment {
                        at_work,
                        ..moment(pause)
                    };
                    decide::after_look_up(&item.work, &found, &moment)
                }
            };
        }
    }

    /// An answer that arrived is kept in hand until the journal takes it.
    async fn record(&self, item: &Item, change: Change) {
        let mut trouble = journal_backoff(self.timing);
        while let Err(error) = self.book.record(&item.id, change.clone()).await {
            tracing::warn!(id = item.id, %error, "an outcome could not be written down yet");
            sleep(trouble.next_delay()).await;
        }
        if let Some(parcel) = item.work.parcel() {
            self.spool.discard(parcel);
        }
        tracing::info!(id = item.id, work = name(&item.work), progress = ?change.progress, "settled");
    }
}

/// Delays after the journal refused.
pub(super) fn journal_backoff(timing: Timing) -> Backoff {
    Backoff::new(
        timing.of(Duration::from_millis(200)),
        timing.of(Duration::from_secs(10)),
    )
}

fn pause_after<T>(outcome: &Result<T, CallError>, backoff: &mut Backoff) -> Duration {
    match outcome {
        Ok(_) => backoff.next_delay(),
        Err(error) => backoff.after(error),
    }
}

/// What an attempt leaves behind for the decisions after it.
fn left_by(work: &Work, outcome: &Result<Answer, CallError>) -> Arrival {
    match outcome {
        Ok(_) => Arrival::Maybe,
        Err(error) => decide::arrival(work, error),
    }
}

/// For the log, which never shows a text.
fn name(work: &Work) -> &'static str {
    match work {
        Work::Delegate { .. } => "delegate",
        Work::ReplyToPeer { .. } => "reply",
        Work::NotifyUser { .. } => "notify",
    }
}

/// `false` when stopped.
async fn rest(pause: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = sleep(pause) => true,
    }
}

/// How old a row is. A wall clock that is set back must not lengthen the time in which a message is repeated.
struct Age {
    created: Timestamp,
    when_claimed: Duration,
    claimed: Instant,
}

impl Age {
    fn of(item: &Item) -> Self {
        Self {
            created: item.created,
            when_claimed: item.created.until(Timestamp::now()),
            claimed: Instant::now(),
        }
    }

    fn now(&self) -> Duration {
        self.created
            .until(Timestamp::now())
            .max(self.when_claimed + self.claimed.elapsed())
    }
}

#[cfg(test)]
mod tests;
