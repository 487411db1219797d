//! When to try again: full jitter, capped, `Retry-After` wins.

use std::time::Duration;

use super::error::CallError;

/// Delays of a loop that never gives up: full jitter between zero and a ceiling that doubles from `first` to `cap`.
#[derive(Debug)]
pub struct Backoff {}

impl Backoff {
    /// Starts at `first`, doubling up to `cap`.
    #[must_use]
    pub fn new(_first: Duration, _cap: Duration) -> Self {
        todo!()
    }

    /// The next delay; what the platform asked for wins when it is longer.
    pub fn after(&mut self, _error: &CallError) -> Duration {
        todo!()
    }

    /// The next delay after a failure that is not a platform answer.
    pub fn next_delay(&mut self) -> Duration {
        todo!()
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        todo!()
    }
}

/// Retries an idempotent call while its failure is transient, within `budget` in all.
///
/// # Errors
/// The last failure.
pub async fn idempotent<T, F, Fut>(_budget: Duration, _call: F) -> Result<T, CallError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, CallError>>,
{
    todo!()
}
