//! What reaches a workspace beside its messages: requests and broadcasts, which level C puts where a reader of messages never
//! looks (platform-api 4.3). They are brought into the same inbox.
//!
//! What is read is committed together with what it settles: a request that was answered elsewhere leaves the inbox, and
//! broadcasts are heard up to an instant. Nothing depends on this process's memory but the whole text of a long broadcast,
//! which the platform tells once and keeps nowhere.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::trouble;
use crate::agent::stream::{BROADCAST, Stream};
use crate::config::Timing;
use crate::platform::client::Purpose;
use crate::platform::events::Event;
use crate::platform::retry::Backoff;
use crate::platform::workspace::WorkspaceApi;
use crate::state::health::HealthBoard;
use crate::state::journal::Journal;
use crate::state::lock::DutyLock;
use crate::state::request::Side;
use crate::types::{RequestId, WorkspaceId};
use errands::Trouble;
use hearing::Hearing;
use plan::{Errand, Next, Plan};

mod broadcasts;
mod errands;
mod hearing;
#[cfg(test)]
mod model;
mod plan;
mod requests;

/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Failures in a row before they are told of.
const FAILURES_TOLD: u32 = 3;

/// Everything the loop works with; only the holder of the duty runs it.
#[derive(Debug)]
pub struct Beside {
    /// The platform.
    pub api: WorkspaceApi,
    /// Where everything is kept.
    pub journal: Journal,
    /// The duty: checked before every commit.
    pub lock: Arc<DutyLock>,
    /// Whether the workspace was deleted.
    pub health: HealthBoard,
    /// What tells of something new.
    pub stream: Stream,
    /// All intervals.
    pub timing: Timing,
    /// The workspace.
    pub own: WorkspaceId,
}

impl Beside {
    /// Reads until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let signals = Signals {
            events: self.stream.subscribe(),
            gaps: self.stream.gaps(),
            fresh_starts: self.api.client().fresh_starts(),
        };
        let once = Duration::from_secs(1);
        let work = Work {
            plan: Plan::new(self.timing, Duration::ZERO),
            hearing: None,
            epoch: Instant::now(),
            trials: [(); 4].map(|()| Trial {
                errors: Backoff::new(self.timing.of(once), self.timing.of(LONGEST_PAUSE)),
                failures: 0,
                is_told: false,
            }),
            with: self,
        };
        // Nothing is lost by an end between an answer and its commit: both lists are read again.
        stop.run_until_cancelled(work.go_on(signals)).await;
    }
}

/// What may wake the loop before its time.
struct Signals {
    events: broadcast::Receiver<Arc<Event>>,
    gaps: watch::Receiver<u64>,
    fresh_starts: watch::Receiver<u64>,
}

struct Work {
    with: Beside,
    plan: Plan,
    /// Once the journal said up to when broadcasts were heard.
    hearing: Option<Hearing>,
    epoch: Instant,
    /// Of each kind of errand.
    trials: [Trial; 4],
}

/// How one kind of errand goes.
struct Trial {
    errors: Backoff,
    /// In a row.
    failures: u32,
    is_told: bool,
}

impl Work {
    async fn go_on(mut self, mut signals: Signals) {
        loop {
            self.take_signals(&mut signals);
            let wait = if self.with.health.now().removed {
                LONGEST_PAUSE
            } else if let Some(pause) = self.with.api.client().pause(Purpose::Looking, self.with.timing) {
                pause
            } else {
                match self.plan.next(self.epoch.elapsed()) {
                    Next::Wait(wait) => wait,
                    Next::Ask(errand) => {
                        self.perform(errand).await;
                        continue;
                    }
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                event = signals.events.recv() => self.take_event(event.ok().as_deref()),
                _ = signals.gaps.changed() => self.plan.anew(),
                _ = signals.fresh_starts.changed() => self.plan.anew(),
            }
        }
    }

    /// Takes what happened while nobody was waiting.
    fn take_signals(&mut self, signals: &mut Signals) {
        loop {
            match signals.events.try_recv() {
                Ok(event) => self.take_event(Some(&event)),
                Err(broadcast::error::TryRecvError::Lagged(_)) => self.take_event(None),
                Err(_) => break,
            }
        }
        for counter in [&mut signals.gaps, &mut signals.fresh_starts] {
            if counter.has_changed().unwrap_or(false) {
                counter.mark_unchanged();
                self.plan.anew();
            }
        }
    }

    /// `None`: some were missed.
    fn take_event(&mut self, event: Option<&Event>) {
        let Some(event) = event else { return self.plan.anew() };
        let about = event.payload["request_id"].as_str();
        let about = about.and_then(|id| RequestId::parse(id).ok());
        match (event.kind.as_str(), about) {
            (BROADCAST, _) => self.plan.broadcast_told(),
            // Told to the workspace that is asked or, when that is the person, to the one that asks.
            ("REQUEST_CREATED", _) if event.payload["recipient_type"] == "user" => self.plan.hint(Side::Ours),
            ("REQUEST_CREATED", _) => self.plan.hint(Side::Theirs),
            ("REQUEST_RESPONDED" | "REQUEST_MESSAGE", Some(id)) => self.plan.look_into(id),
            _ => {}
        }
    }

    async fn perform(&mut self, errand: Errand) {
        let outcome = self.follow(&errand).await;
        self.plan
            .budget(self.epoch.elapsed(), self.with.api.client().rate_limit());
        match outcome {
            Ok(()) => {
                if errand != Errand::Broadcasts {
                    self.plan.answered();
                }
                self.over(&errand);
            }
            Err(Trouble::Call(error)) if error.lacks_route() => {
                debug!(?errand, "the platform has no such route and is not asked again");
                self.plan.absent(&errand);
                self.over(&errand);
            }
            Err(Trouble::Over) => std::future::pending().await,
            Err(trouble) => self.failed(errand, &trouble),
        }
    }

    /// An errand does not fail, or not any more.
    fn over(&mut self, errand: &Errand) {
        let trial = &mut self.trials[errand.kind()];
        trial.errors.reset();
        trial.failures = 0;
        if std::mem::take(&mut trial.is_told) {
            info!("{} can be read again", errand.what());
            self.with.health.update(|health| health.beside_trouble = None);
        }
    }

    fn failed(&mut self, errand: Errand, trouble: &Trouble) {
        let trial = &mut self.trials[errand.kind()];
        trial.failures += 1;
        let pause = match trouble {
            Trouble::Call(error) => {
                debug!(%error, ?errand, "an errand failed");
                trial.errors.after(error)
            }
            Trouble::Journal(error) => {
                debug!(%error, ?errand, "what was read could not be kept");
                trial.errors.next_delay()
            }
            // There is no later.
            Trouble::Over => return,
        };
        // What keeps messages away as well is told by their reader.
        let alone = self.with.health.now().can_receive();
        if let Trouble::Call(error) = trouble
            && trial.failures >= FAILURES_TOLD
            && alone
        {
            let told = trouble::unread_beside(errand.what(), error);
            if !std::mem::replace(&mut trial.is_told, true) {
                warn!("{}", told.what);
            }
            self.with.health.update(|health| health.beside_trouble = Some(told));
        }
        let least = self.with.timing.of(Duration::from_secs(1));
        self.plan.failed(errand, self.epoch.elapsed(), pause.max(least));
    }
}
