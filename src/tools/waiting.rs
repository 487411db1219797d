//! Waiting for the journal: woken by its changes, ended by the clock, the client or the session.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until};

use super::context::Context;
use crate::config::Timing;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;

/// How a wait ended.
#[derive(Debug, PartialEq)]
pub(super) enum Waited<T> {
    /// What was waited for.
    Ready(T),
    /// The time is over.
    TimedOut,
    /// The client cancelled the call, or the session ends.
    Ended,
}

/// A wait that is about to begin.
pub(super) struct Wait<'a> {
    call: &'a Call,
    changes: watch::Receiver<u64>,
    timing: Timing,
    limit: Duration,
    note: &'static str,
}

impl<'a> Wait<'a> {
    /// How long to trust that a change would have been told: leases run out without one.
    const LOOK: Duration = Duration::from_secs(5);
    /// Between two progress notes.
    const PROGRESS: Duration = Duration::from_secs(10);

    /// Waits at most `limit`, which is the caller's and so never shortened. `note` is the text of the progress notes.
    pub(super) fn new(context: &Context, call: &'a Call, limit: Duration, note: &'static str) -> Self {
        Self::on(context.journal.changes(), context.timing, call, limit, note)
    }

    /// The same for changes of more than one journal.
    pub(super) fn on(
        changes: watch::Receiver<u64>,
        timing: Timing,
        call: &'a Call,
        limit: Duration,
        note: &'static str,
    ) -> Self {
        Self {
            call,
            changes,
            timing,
            limit,
            note,
        }
    }

    /// Looks, and looks again after every change, until there is something. A look that has begun is never given up.
    ///
    /// # Errors
    /// The first one of a look.
    pub(super) async fn until<T, F, Fut>(mut self, mut look: F) -> Result<Waited<T>, ToolError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<Option<T>, ToolError>>,
    {
        let start = Instant::now();
        let period = self.timing.of(Self::PROGRESS);
        let mut progress = interval_at(start + period, period);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.call.has_ended() {
                return Ok(Waited::Ended);
            }
            self.changes.borrow_and_update();
            if let Some(found) = look().await? {
                return Ok(Waited::Ready(found));
            }
            let again = sleep(self.timing.of(Self::LOOK));
            tokio::pin!(again);
            loop {
                tokio::select! {
                    biased;
                    () = self.call.ended() => return Ok(Waited::Ended),
                    // Before the changes: a journal that never rests must not outlast the limit.
                    () = sleep_until(start + self.limit) => return Ok(Waited::TimedOut),
                    Ok(()) = self.changes.changed() => break,
                    () = &mut again => break,
                    _ = progress.tick(), if self.call.shows_progress() => {
                        let spent = start.elapsed().as_secs_f64();
                        self.call.progress(spent, self.limit.as_secs_f64(), self.note).await;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio_util::sync::CancellationToken;

    struct Fixture {
        changes: watch::Sender<u64>,
        stop: CancellationToken,
        call: Call,
    }

    impl Fixture {
        fn new() -> Self {
            let stop = CancellationToken::new();
            let call = Call::without_client(stop.clone());
            let changes = watch::Sender::new(0);
            Self { changes, stop, call }
        }
        fn wait(&self, secs: u64) -> Wait<'_> {
            Wait {
                call: &self.call,
                changes: self.changes.subscribe(),
                timing: Timing::REAL,
                limit: Duration::from_secs(secs),
                note: "",
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_ends_the_wait_when_it_brings_what_is_waited_for() {
        let fixture = Fixture::new();
        let looks = Cell::new(0);
        let start = Instant::now();
        let wait = fixture.wait(45).until(async || {
            looks.set(looks.get() + 1);
            Ok((looks.get() == 3).then_some("message"))
        });
        let change = async {
            for _ in 0..2 {
                sleep(Duration::from_secs(1)).await;
                fixture.changes.send_modify(|count| *count += 1);
            }
        };
        let (waited, ()) = tokio::join!(wait, change);
        assert_eq!(waited.unwrap(), Waited::Ready("message"));
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_change_it_looks_now_and_then_until_the_time_is_over() {
        let fixture = Fixture::new();
        for (secs, looks) in [(0, 1), (4, 1), (12, 3)] {
            let seen = Cell::new(0);
            let start = Instant::now();
            let waited = fixture.wait(secs).until(async || {
                seen.set(seen.get() + 1);
                Ok(None::<()>)
            });
            assert_eq!(waited.await.unwrap(), Waited::TimedOut);
            assert_eq!((seen.get(), start.elapsed().as_secs()), (looks, secs));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_call_ends_the_wait_and_an_ended_call_does_not_look() {
        let fixture = Fixture::new();
        let looks = Cell::new(0);
        let look = async || {
            looks.set(looks.get() + 1);
            Ok(None::<()>)
        };
        let (waited, ()) = tokio::join!(fixture.wait(300).until(look), async { fixture.stop.cancel() });
        assert_eq!(waited.unwrap(), Waited::Ended);
        assert_eq!(fixture.wait(300).until(look).await.unwrap(), Waited::Ended);
        assert_eq!(looks.get(), 1);
    }
}
