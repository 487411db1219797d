//! When to try again: full jitter, capped, `Retry-After` wins.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::error::CallError;

/// The longest pause of what must work again within 10 s of the way's return: beats, reads of the inbox, the outbox. An attempt
/// that hangs is given up after as long, and the time that it took counts as a pause.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Delays of a loop that never gives up: full jitter between zero and a ceiling that doubles from `first` to `cap`.
#[derive(Debug)]
pub struct Backoff {
    shape: ExponentialBuilder,
    ceilings: ExponentialBackoff,
    /// The same ceilings, each with a random part of itself on top: that part is the full jitter.
    jittered: ExponentialBackoff,
    cap: Duration,
}

impl Backoff {
    /// Starts at `first`, doubling up to `cap`.
    #[must_use]
    pub fn new(first: Duration, cap: Duration) -> Self {
        let shape = ExponentialBuilder::new()
            .with_min_delay(first.min(cap))
            .with_max_delay(cap)
            .with_factor(2.0)
            .without_max_times();
        Self {
            ceilings: shape.build(),
            jittered: shape.with_jitter().build(),
            shape,
            cap,
        }
    }

    /// The next delay; what the platform asked for wins when it is longer.
    pub fn after(&mut self, error: &CallError) -> Duration {
        let delay = self.next_delay();
        error.retry_after().map_or(delay, |asked| asked.max(delay))
    }

    /// The next delay after a failure that is not a platform answer.
    pub fn next_delay(&mut self) -> Duration {
        match (self.ceilings.next(), self.jittered.next()) {
            (Some(ceiling), Some(above)) => above.saturating_sub(ceiling),
            _ => self.cap,
        }
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.ceilings = self.shape.build();
        self.jittered = self.shape.with_jitter().build();
    }
}

/// Retries an idempotent call while its failure is transient; no attempt is begun once `budget` has passed.
///
/// An attempt that is under way is left to its own deadline, so a slow platform is not taken for a failing one.
///
/// # Errors
/// The last failure.
pub async fn idempotent<T, F, Fut>(budget: Duration, mut call: F) -> Result<T, CallError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, CallError>>,
{
    let end = Instant::now() + budget;
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(8));
    loop {
        let error = match call().await {
            Err(error) if error.is_transient() => error,
            settled => return settled,
        };
        let wake = Instant::now() + backoff.after(&error);
        if wake >= end {
            return Err(error);
        }
        tokio::time::sleep_until(wake).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn throttled(seconds: u64) -> CallError {
        CallError::Throttled {
            status: 429,
            retry_after: Some(S * u32::try_from(seconds).unwrap()),
        }
    }

    fn unreachable() -> CallError {
        CallError::Unreachable { detail: String::new() }
    }

    #[test]
    fn delays_spread_from_zero_to_a_ceiling_that_doubles_up_to_the_cap() {
        let mut longest = [Duration::ZERO; 8];
        let mut shortest = [Duration::MAX; 8];
        for _ in 0..300 {
            let mut backoff = Backoff::new(S, 60 * S);
            for at in 0..8 {
                let delay = backoff.next_delay();
                longest[at] = longest[at].max(delay);
                shortest[at] = shortest[at].min(delay);
            }
        }
        for (at, ceiling) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            let ceiling = S * ceiling;
            assert!(longest[at] <= ceiling, "{at}: {:?}", longest[at]);
            assert!(longest[at] > ceiling.mul_f32(0.9), "{at}: {:?}", longest[at]);
            assert!(shortest[at] < ceiling.mul_f32(0.1), "{at}: {:?}", shortest[at]);
        }
    }

    #[test]
    fn it_never_gives_up_and_starts_over_after_a_success() {
        let mut backoff = Backoff::new(S, 60 * S);
        for _ in 0..10_000 {
            assert!(backoff.next_delay() <= 60 * S);
        }
        backoff.reset();
        assert!(backoff.next_delay() <= S);
    }

    #[test]
    fn the_first_delay_respects_a_cap_below_it() {
        for _ in 0..100 {
            assert!(Backoff::new(60 * S, S).next_delay() <= S);
        }
    }

    #[test]
    fn what_the_platform_asked_for_wins_when_it_is_longer() {
        let mut backoff = Backoff::new(S, 60 * S);
        assert_eq!(backoff.after(&throttled(100)), 100 * S);
        assert!(backoff.after(&unreachable()) <= 2 * S);
    }

    /// Runs a call that fails `failures` times with `error`; says how it ended, how often it ran and how long it took.
    async fn run(budget: Duration, failures: usize, error: CallError) -> (Result<(), CallError>, usize, Duration) {
        let runs = AtomicUsize::new(0);
        let start = Instant::now();
        let outcome = idempotent(budget, || {
            let run = runs.fetch_add(1, Ordering::Relaxed);
            let error = error.clone();
            async move { if run < failures { Err(error) } else { Ok(()) } }
        })
        .await;
        (outcome, runs.load(Ordering::Relaxed), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn transient_failures_are_retried_until_success() {
        let (outcome, runs, _) = run(600 * S, 5, unreachable()).await;
        assert!(outcome.is_ok());
        assert_eq!(runs, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn other_failures_are_returned_at_once() {
        let refused = CallError::Refused {
            status: 401,
            detail: String::new(),
        };
        let (outcome, runs, took) = run(600 * S, 5, refused).await;
        assert!(matches!(outcome, Err(CallError::Refused { .. })));
        assert_eq!((runs, took), (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_failure_is_returned_when_the_budget_is_spent() {
        let (outcome, runs, took) = run(20 * S, usize::MAX, unreachable()).await;
        assert!(matches!(outcome, Err(CallError::Unreachable { .. })));
        assert!(runs > 1);
        assert!(took <= 20 * S, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_requested_wait_is_kept_or_not_begun() {
        let (outcome, runs, took) = run(60 * S, 1, throttled(30)).await;
        assert!(outcome.is_ok());
        assert_eq!((runs, took), (2, 30 * S));
        let (outcome, runs, took) = run(20 * S, 1, throttled(30)).await;
        assert!(matches!(outcome, Err(CallError::Throttled { .. })));
        assert_eq!((runs, took), (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_outlasts_the_budget_is_the_last_one() {
        let runs = AtomicUsize::new(0);
        let outcome: Result<(), _> = idempotent(2 * S, || async {
            runs.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(5 * S).await;
            Err(unreachable())
        })
        .await;
        assert!(outcome.is_err());
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }
}
