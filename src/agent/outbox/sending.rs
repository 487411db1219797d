//! Which rows this process attempts, and when it looks for them: each gets a carrier of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::carrier::{Carrier, journal_backoff};
use super::ports::{Book, Platform, moved};
use crate::config::Timing;
use crate::state::spool::Spool;

/// What an attempt in flight is given at the end. Not shortened by the test speed: it is a bound on real work.
const GRACE: Duration = Duration::from_millis(900);

/// Starts a carrier for every row this process may attempt.
pub(super) struct Sending<P, B> {
    pub(super) platform: P,
    pub(super) book: B,
    pub(super) spool: Spool,
    pub(super) holder: watch::Receiver<bool>,
    pub(super) timing: Timing,
}

impl<P: Platform, B: Book> Sending<P, B> {
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let carrier = Arc::new(Carrier::new(self.platform, self.book.clone(), self.spool, self.timing));
        let mut changes = self.book.changes();
        let mut tasks = JoinSet::new();
        let mut in_hand: HashMap<Id, String> = HashMap::new();
        let mut trouble = journal_backoff(self.timing);
        let mut last_change = Instant::now();
        while !stop.is_cancelled() {
            changes.borrow_and_update();
            let orphans = *self.holder.borrow_and_update();
            let claimed = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                claimed = self.book.claim_pending(orphans) => claimed,
            };
            let look_again = match claimed {
                Ok(items) => {
                    trouble.reset();
                    for item in items {
                        if !in_hand.values().any(|id| *id == item.id) {
                            let id = item.id.clone();
                            let task = tasks.spawn(Arc::clone(&carrier).carry(item, stop.clone()));
                            in_hand.insert(task.id(), id);
                        }
                    }
                    orphans.then(|| orphan_check(self.timing, last_change.elapsed()))
                }
                Err(error) => {
                    tracing::warn!(%error, "the outbox could not be read");
                    Some(trouble.next_delay())
                }
            };
            let wake = Instant::now() + look_again.unwrap_or_default();
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    Some(ended) = tasks.join_next_with_id() => {
                        in_hand.remove(&ended_id(ended));
                    }
                    () = moved(&mut changes) => {
                        last_change = Instant::now();
                        break;
                    }
                    () = moved(&mut self.holder) => break,
                    () = tokio::time::sleep_until(wake), if look_again.is_some() => break,
                }
            }
        }
        let unfinished = async { while tasks.join_next().await.is_some() {} };
        if timeout(GRACE, unfinished).await.is_err() {
            tracing::debug!("an attempt is left unfinished; its row stays pending");
        }
    }
}

/// The death of another process is no change to the journal, so the holder looks: often after activity, rarely when all is still.
fn orphan_check(timing: Timing, since_change: Duration) -> Duration {
    let still = since_change > timing.of(Duration::from_secs(60));
    timing.of(Duration::from_secs(if still { 60 } else { 2 }))
}

/// A panic is passed on: the supervisor must see it, and the row it left is claimed again after the restart.
fn ended_id(ended: Result<(Id, ()), JoinError>) -> Id {
    match ended {
        Ok((id, ())) => id,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => error.id(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::super::stand_in::{self, Desk, Post, accepted_call, nowhere};
    use super::*;
    use crate::state::outbox::{Item, Progress};

    /// Runs the duty over a journal that holds `items`, until all are settled or `limit` has passed; then stops it.
    async fn run(post: &Post, desk: &Desk, holder: bool, limit: Duration) -> Duration {
        let (_keep, holder) = watch::channel(holder);
        let stop = CancellationToken::new();
        let sending = Sending {
            platform: post.clone(),
            book: desk.clone(),
            spool: nowhere(),
            holder,
            timing: Timing::REAL,
        };
        let duty = tokio::spawn(sending.run(stop.clone()));
        let begun = Instant::now();
        while begun.elapsed() < limit && desk.has_pending() {
            sleep(Duration::from_millis(5)).await;
        }
        let took = begun.elapsed();
        stop.cancel();
        duty.await.unwrap();
        took
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn sixteen_slow_delegations_take_as_long_as_one() {
        let post = Post::answering_after(Duration::from_millis(500));
        let desk = Desk::holding((0..16).map(|n| stand_in::item(&n.to_string(), stand_in::delegate("t"))));
        let took = run(&post, &desk, true, MINUTE).await;
        assert!(took < Duration::from_millis(600), "{took:?}");
        assert!(
            desk.items()
                .iter()
                .all(|item| item.progress == Progress::Accepted && item.attempts == 1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silent_peers_hold_up_neither_delegations_nor_the_person() {
        let post = Post::default();
        post.stay_silent(99);
        let replies = (0..20).map(|n| stand_in::item(&format!("r{n}"), stand_in::reply("t")));
        let others = [
            stand_in::item("d", stand_in::delegate("t")),
            stand_in::item("n", stand_in::notify("t")),
        ];
        let desk = Desk::holding(replies.chain(others));
        run(&post, &desk, true, Duration::from_secs(1)).await;
        assert_eq!(desk.item("d").progress, Progress::Accepted);
        assert_eq!(desk.item("n").progress, Progress::Accepted);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_holder_goes_on_with_the_work_of_the_dead() {
        let orphan = || {
            let desk = Desk::holding([Item {
                attempts: 1,
                ..stand_in::item("1", stand_in::delegate("t"))
            }]);
            desk.orphan("1");
            desk
        };
        let (post, desk) = (Post::default(), orphan());
        run(&post, &desk, false, MINUTE).await;
        assert_eq!((desk.item("1").progress, post.calls().len()), (Progress::Pending, 0));
        let (post, desk) = (Post::default(), orphan());
        run(&post, &desk, true, MINUTE).await;
        assert_eq!(desk.item("1").progress, Progress::Accepted);
        // What the dead process sent may have arrived.
        assert_eq!(post.calls(), ["sent t", "delegate 1 t"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_dies_unseen_leaves_its_work_to_the_holder_within_seconds() {
        let (post, desk) = (
            Post::default(),
            Desk::holding([stand_in::item("1", stand_in::delegate("t"))]),
        );
        desk.belongs_elsewhere("1");
        let (kept, later) = (desk.clone(), Duration::from_secs(20));
        tokio::spawn(async move {
            sleep(later).await;
            kept.orphan("1");
        });
        let took = run(&post, &desk, true, MINUTE).await;
        assert_eq!(desk.item("1").progress, Progress::Accepted);
        assert!(took >= later && took <= later + Duration::from_secs(3), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_flight_at_the_stop_is_recorded_and_a_late_one_is_left_pending() {
        for (delay_ms, expected) in [(800, Progress::Accepted), (5_000, Progress::Pending)] {
            let post = Post::answering_after(Duration::from_millis(delay_ms));
            let desk = Desk::holding([stand_in::item("1", stand_in::delegate("t"))]);
            let (_keep, holder) = watch::channel(true);
            let stop = CancellationToken::new();
            let sending = Sending {
                platform: post,
                book: desk.clone(),
                spool: nowhere(),
                holder,
                timing: Timing::REAL,
            };
            let duty = tokio::spawn(sending.run(stop.clone()));
            sleep(Duration::from_millis(1)).await;
            stop.cancel();
            let stopped = Instant::now();
            duty.await.unwrap();
            assert!(stopped.elapsed() <= GRACE);
            assert_eq!((desk.item("1").progress, desk.item("1").attempts), (expected, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_outbox_sends_nothing_and_looks_at_the_journal_once_a_minute() {
        let (post, desk) = (Post::default(), Desk::holding([]));
        let (_keep, holder) = watch::channel(true);
        let stop = CancellationToken::new();
        let sending = Sending {
            platform: post.clone(),
            book: desk.clone(),
            spool: nowhere(),
            holder,
            timing: Timing::REAL,
        };
        let duty = tokio::spawn(sending.run(stop.clone()));
        sleep(60 * MINUTE).await;
        stop.cancel();
        duty.await.unwrap();
        assert!(post.calls().is_empty());
        assert!(desk.claims() < 100, "{}", desk.claims());
    }

    #[tokio::test(start_paused = true)]
    async fn work_written_down_later_wakes_the_duty() {
        let (post, desk) = (Post::default(), Desk::holding([]));
        let (_keep, holder) = watch::channel(false);
        let stop = CancellationToken::new();
        let sending = Sending {
            platform: post.clone(),
            book: desk.clone(),
            spool: nowhere(),
            holder,
            timing: Timing::REAL,
        };
        let duty = tokio::spawn(sending.run(stop.clone()));
        sleep(5 * MINUTE).await;
        let written = Instant::now();
        desk.add(stand_in::item("1", stand_in::delegate("t")));
        while desk.has_pending() {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(written.elapsed() < Duration::from_millis(10));
        assert_eq!(post.calls(), [accepted_call("1")]);
        stop.cancel();
        duty.await.unwrap();
    }
}
