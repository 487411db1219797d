//! While the platform does not do its work, one row asks for all: however many wait, it is asked no more often, and the others
//! go on as soon as it took one of them.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::sleep;

use crate::config::Timing;
use crate::platform::error::CallError;
use crate::platform::retry::{Backoff, LONGEST_PAUSE};

/// Shared by all rows of a process.
pub(super) struct Gate {
    shut: watch::Sender<bool>,
    turn: Mutex<Backoff>,
}

impl Gate {
    pub(super) fn new(timing: Timing) -> Self {
        let pauses = Backoff::new(timing.of(Duration::from_secs(1)), timing.of(LONGEST_PAUSE));
        Self {
            shut: watch::Sender::new(false),
            turn: Mutex::new(pauses),
        }
    }

    /// Waits until the caller may ask the platform, which it does before it drops what this returns. Cancel-safe.
    pub(super) async fn enter(&self) -> Option<MutexGuard<'_, Backoff>> {
        let mut shut = self.shut.subscribe();
        if !*shut.borrow_and_update() {
            // What fails next is a trouble of its own.
            if let Ok(mut turn) = self.turn.try_lock() {
                turn.reset();
            }
            return None;
        }
        let mut turn = self.turn.lock().await;
        tokio::select! {
            // The sender lives in `self`, so this ends with an open gate only.
            _ = shut.wait_for(|shut| !shut) => {
                turn.reset();
                None
            }
            () = sleep(turn.next_delay()) => Some(turn),
        }
    }

    /// What a call came to says whether to ask on.
    pub(super) fn learn(&self, failure: Option<&CallError>) {
        let shuts = failure.is_some_and(shuts);
        self.shut
            .send_if_modified(|shut| std::mem::replace(shut, shuts) != shuts);
    }
}

/// A failure that passes, or an answer that nobody can read, as of a network that wants a person to sign in; not one of a
/// single peer.
fn shuts(failure: &CallError) -> bool {
    let of_a_peer = ["busy", "waking", "restarting"].iter().any(|flag| failure.says(flag));
    (failure.is_transient() || failure.outcome_is_unknown()) && !of_a_peer
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;
    use tokio::task::JoinSet;
    use tokio::time::Instant;

    use super::*;

    fn unreachable() -> CallError {
        CallError::Unreachable { detail: String::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_rows_ask_like_one_and_all_go_on_at_the_first_answer() {
        let (gate, asked) = (Arc::new(Gate::new(Timing::REAL)), Arc::new(AtomicUsize::new(0)));
        let begun = Instant::now();
        let returns = Duration::from_secs(600);
        gate.learn(Some(&unreachable()));
        let mut rows = JoinSet::new();
        for _ in 0..100 {
            let (gate, asked) = (gate.clone(), asked.clone());
            rows.spawn(async move {
                loop {
                    let turn = gate.enter().await;
                    if begun.elapsed() >= returns {
                        gate.learn(None);
                        return begun.elapsed();
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                    gate.learn(Some(&unreachable()));
                    drop(turn);
                }
            });
        }
        let went_on = rows.join_all().await;
        assert!(went_on.iter().all(|at| *at < returns + LONGEST_PAUSE), "{went_on:?}");
        // Full jitter: every four seconds on average.
        let asked = asked.load(Ordering::Relaxed);
        assert!((75..=300).contains(&asked), "{asked}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_gate_holds_nobody_up_and_one_that_opens_lets_a_waiting_row_in() {
        let gate = Gate::new(Timing::REAL);
        let begun = Instant::now();
        assert!(gate.enter().await.is_none());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            gate.learn(Some(&unreachable()));
            drop(gate.enter().await);
        }
        let opened = Instant::now();
        let (turn, ()) = tokio::join!(gate.enter(), async { gate.learn(None) });
        assert!(turn.is_none());
        assert_eq!(opened.elapsed(), Duration::ZERO);
    }

    #[test]
    fn only_a_failure_that_passes_and_is_not_a_peers_shuts_the_gate() {
        let rejected = |status, body| CallError::Rejected {
            status,
            detail: String::new(),
            body,
        };
        let throttled = CallError::Throttled {
            status: 429,
            retry_after: None,
        };
        let malformed = CallError::Malformed { detail: String::new() };
        let interrupted = CallError::Interrupted { detail: String::new() };
        let refused = CallError::Refused {
            status: 401,
            detail: String::new(),
        };
        for (failure, expected) in [
            (unreachable(), true),
            (interrupted, true),
            (throttled, true),
            (malformed, true),
            (rejected(500, None), true),
            (rejected(503, None), true),
            (rejected(503, Some(json!({ "busy": true }))), false),
            (rejected(404, None), false),
            (refused, false),
        ] {
            assert_eq!(shuts(&failure), expected, "{failure:?}");
        }
    }
}
