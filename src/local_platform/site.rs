//! What all parts of one running platform share.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::events::Hub;
use super::faults::Faults;
use super::page::{Outfit, Session};
use super::rate_limit::RateLimiter;
use super::recording::Late;
use super::request_log::RequestLog;
use super::server::Level;
use super::store::Store;

/// One running platform.
pub(crate) struct Site {
    pub(crate) level: Level,
    /// How much faster than real time liveness windows and retry pauses run.
    pub(crate) speed: u32,
    pub(crate) admin_token: String,
    /// The organization that requests have to name.
    pub(crate) org_id: Option<String>,
    /// Some changes wait for an approval.
    pub(crate) approval_gate: bool,
    /// Of the page in the browser.
    pub(crate) session: Session,
    pub(crate) outfit: Option<Arc<dyn Outfit>>,
    pub(crate) store: Store,
    pub(crate) hub: Hub,
    pub(crate) limiter: RateLimiter,
    /// Where fault rules and the request log live; `None` when faults are off.
    pub(crate) testing: Option<Testing>,
    /// Held from looking an idempotency key up until its delegation is written.
    pub(crate) delegating: Mutex<()>,
    /// For push targets.
    pub(crate) http: reqwest::Client,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// The test-facing parts.
pub(crate) struct Testing {
    pub(crate) faults: Faults,
    pub(crate) log: Arc<RequestLog>,
    pub(crate) late: Mutex<Option<Late>>,
}

impl Site {
    /// `normal`, shortened by the speed.
    pub(crate) fn pace(&self, normal: Duration) -> Duration {
        normal / self.speed
    }

    /// Runs `work` in the background until it is done or the platform stops.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks
            .spawn(async move { stop.run_until_cancelled_owned(work).await });
    }
}
