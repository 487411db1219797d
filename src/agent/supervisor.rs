//! Starts the long-lived tasks of the process, waits for all of them, and turns the first failure into the exit.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// How a task ended.
#[derive(Debug)]
pub enum Ended {
    /// It was asked to, or its work is over (the client went away).
    Fine,
    /// The platform refused the workspace at the start; exit 3.
    Refused(String),
    /// What it needs on this computer cannot be used; exit 2.
    Unusable(String),
    /// It panicked or gave up; exit 70. A daemon whose heartbeat died silently is worse than one that died.
    Failed(String),
}

/// The tasks of one process.
#[derive(Debug)]
pub struct Supervisor {
    tasks: JoinSet<(&'static str, Ended)>,
    stop: CancellationToken,
}

impl Supervisor {
    /// Tasks started here end when `stop` is cancelled, and the first one to end cancels it.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            tasks: JoinSet::new(),
            stop,
        }
    }

    /// Starts a named task. A panic inside is caught and ends the process like any failure.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = Ended> + Send + 'static) {
        self.tasks.spawn(async move {
            let ended = AssertUnwindSafe(task).catch_unwind().await;
            (
                name,
                ended.unwrap_or_else(|_| Ended::Failed(format!("the {name} task panicked; this is a bug"))),
            )
        });
    }

    /// Waits for the first task to end, stops the others, and gives them `grace` to finish.
    pub async fn run(mut self, grace: Duration) -> Ended {
        let mut outcome = Ended::Fine;
        if let Some(first) = self.tasks.join_next().await {
            outcome = Self::ended(first);
        }
        self.stop.cancel();
        let rest = async {
            while let Some(next) = self.tasks.join_next().await {
                let ended = Self::ended(next);
                if matches!(outcome, Ended::Fine) {
                    outcome = ended;
                }
            }
        };
        if timeout(grace, rest).await.is_err() {
            warn!(
                "some tasks did not end within {} ms and are left behind",
                grace.as_millis()
            );
        }
        outcome
    }

    fn ended(joined: Result<(&'static str, Ended), tokio::task::JoinError>) -> Ended {
        match joined {
            Ok((name, ended)) => {
                debug!("task {name} ended: {ended:?}");
                ended
            }
            Err(failure) => {
                error!("a task could not be joined: {failure}");
                Ended::Failed("a task was cancelled from outside; this is a bug".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_end_stops_the_others() {
        let stop = CancellationToken::new();
        let mut tasks = Supervisor::new(stop.clone());
        let waiting = stop.clone();
        tasks.spawn("waits", async move {
            waiting.cancelled().await;
            Ended::Fine
        });
        tasks.spawn("ends", async { Ended::Refused("no".to_owned()) });
        assert!(matches!(tasks.run(Duration::from_secs(5)).await, Ended::Refused(_)));
        assert!(stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_that_names_the_task() {
        let mut tasks = Supervisor::new(CancellationToken::new());
        tasks.spawn("heartbeat", async { panic!("broken") });
        let Ended::Failed(text) = tasks.run(Duration::from_secs(5)).await else {
            panic!("not a failure")
        };
        assert!(text.contains("heartbeat"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_will_not_end_is_left_behind_after_the_grace() {
        let mut tasks = Supervisor::new(CancellationToken::new());
        tasks.spawn("stuck", std::future::pending());
        tasks.spawn("ends", async { Ended::Fine });
        let (grace, begun) = (Duration::from_millis(1500), tokio::time::Instant::now());
        assert!(matches!(tasks.run(grace).await, Ended::Fine));
        assert!(begun.elapsed() < grace * 2, "{:?}", begun.elapsed());
    }
}
