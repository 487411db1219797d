//! The election: exactly one process of a state folder holds the duty of its workspace, and does what comes with it.
//!
//! The duty is an OS file lock, so it is free the moment its holder dies, however it dies. Every process tries for it;
//! followers keep serving their clients from the shared journal meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::heartbeat::{Heartbeat, Pulse};
use super::inbox::poller::Inbox;
use super::register::{FirstRegister, Registrar, keep_registered};
use super::removal;
use super::stream::{self, Stream};
use super::supervisor::Ended;
use crate::config::{Config, Switch};
use crate::platform::workspace::WorkspaceApi;
use crate::state::cursor::CursorFile;
use crate::state::health::{Duty, HealthBoard, Trouble};
use crate::state::journal::Journal;
use crate::state::lock::DutyLock;

/// How often a follower tries for the duty.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// A refusal at register ends the process only when it won the duty this soon after its start.
const AT_START: Duration = Duration::from_secs(10);
/// How long beats and reads wait for the first register attempt before they go ahead without it.
const WAIT_FOR_REGISTER: Duration = Duration::from_secs(5);

/// What the duties are done with.
#[derive(Clone, Debug)]
pub struct Duties {
    /// The whole configuration.
    pub config: Config,
    /// The platform, as this workspace.
    pub api: WorkspaceApi,
    /// The shared journal.
    pub journal: Journal,
    /// This process's health record.
    pub health: HealthBoard,
    /// The event stream, fed while the duty is held.
    pub stream: Stream,
    /// Whether this process holds the duty.
    pub holder: watch::Sender<bool>,
    /// When this process started.
    pub started: Instant,
}

impl Duties {
    /// Tries for the duty until `stop`, and does the duties while it is held.
    pub async fn run(self, stop: CancellationToken) -> Ended {
        if self.config.heartbeat == Switch::Off && self.config.inbox == Switch::Off {
            self.health.update(|health| health.duty = Duty::Off);
            stop.cancelled().await;
            return Ended::Fine;
        }
        let Some((lock, takeover)) = stop.run_until_cancelled(self.win()).await else {
            return Ended::Fine;
        };
        self.hold(lock, takeover, stop).await
    }

    /// Waits until the lock is ours. `true`: another process held it before.
    async fn win(&self) -> (DutyLock, bool) {
        let origin = self.config.platform.to_string();
        let mut waited = false;
        loop {
            let taken = DutyLock::try_take(&self.config.state_dir, &origin, &self.config.workspace);
            match taken {
                Ok(Some(lock)) => return (lock, waited || self.started.elapsed() > AT_START),
                Ok(None) => {
                    if !waited {
                        info!(
                            "another process holds the duty of this workspace; this one serves its client from the journal"
                        );
                    }
                    self.health.update(|health| health.duty = Duty::Follower);
                }
                Err(error) => {
                    let what = format!(
                        "the duty lock in {} cannot be taken: {error}",
                        self.config.state_dir.display()
                    );
                    warn!("{what}");
                    let remedy = "use a CONFIGS_DIR on a local file system that this user may write".to_owned();
                    let trouble = Trouble {
                        code: "STATE_DIR_UNUSABLE".to_owned(),
                        what,
                        remedy,
                    };
                    self.health.update(|health| health.journal_trouble = Some(trouble));
                }
            }
            waited = true;
            sleep(TRY_AGAIN).await;
        }
    }

    async fn hold(self, lock: DutyLock, takeover: bool, stop: CancellationToken) -> Ended {
        if takeover {
            info!("took over the duty of workspace {}", self.config.workspace);
        }
        self.health.update(|health| health.duty = Duty::Holder);
        self.holder.send_replace(true);
        let lock = Arc::new(lock);
        let (attempted, mut first_attempt) = watch::channel(takeover || self.config.heartbeat == Switch::Off);
        let (pulse, pulses) = watch::channel(Pulse::default());

        let registering = async {
            if self.config.heartbeat == Switch::Off {
                return std::future::pending().await;
            }
            let first = (!takeover).then(|| FirstRegister {
                refusal_is_fatal: !takeover,
                attempted,
            });
            keep_registered(self.registrar(), first, pulses).await
        };
        let mut tasks = JoinSet::new();
        let working = async {
            let first_attempt = timeout(WAIT_FOR_REGISTER, first_attempt.wait_for(|attempted| *attempted));
            if stop.run_until_cancelled(first_attempt).await.is_none() {
                return Ended::Fine;
            }
            self.start(&mut tasks, &lock, takeover, pulse, &stop);
            // The first end is either the stop or a panic.
            let first = tasks.join_next().await;
            let crashed = matches!(first, Some(Err(_)));
            if crashed || !stop.is_cancelled() {
                return Ended::Failed("a duty of the workspace ended unexpectedly; this is a bug".to_owned());
            }
            while tasks.join_next().await.is_some() {}
            Ended::Fine
        };
        let ended = tokio::select! {
            refused = registering => Ended::Refused(refused.0),
            ended = working => ended,
        };
        self.holder.send_replace(false);
        ended
    }

    fn start(
        &self,
        tasks: &mut JoinSet<()>,
        lock: &Arc<DutyLock>,
        takeover: bool,
        pulse: watch::Sender<Pulse>,
        stop: &CancellationToken,
    ) {
        if self.config.heartbeat == Switch::On {
            let heartbeat = Heartbeat {
                api: self.api.separate(),
                journal: self.journal.clone(),
                state_dir: self.config.state_dir.clone(),
                health: self.health.clone(),
                stream: self.stream.clone(),
                pulse,
                timing: self.config.timing,
                started: self.started,
            };
            tasks.spawn(heartbeat.run(stop.clone()));
        }
        if self.config.inbox == Switch::On {
            let inbox = Inbox {
                api: self.api.clone(),
                journal: self.journal.clone(),
                cursor_file: CursorFile::new(&self.config.state_dir),
                lock: Arc::clone(lock),
                health: self.health.clone(),
                stream: self.stream.clone(),
                timing: self.config.timing,
                own: self.config.workspace.clone(),
                takeover,
            };
            tasks.spawn(inbox.run(stop.clone()));
        }
        let (api, health, timing) = (self.api.clone(), self.health.clone(), self.config.timing);
        tasks.spawn(stream::run(
            api.clone(),
            self.stream.clone(),
            health.clone(),
            timing,
            stop.clone(),
        ));
        tasks.spawn(removal::watch(api, self.journal.clone(), health, timing, stop.clone()));
    }

    fn registrar(&self) -> Registrar {
        Registrar {
            api: self.api.clone(),
            card: self.config.card.clone(),
            state_dir: self.config.state_dir.clone(),
            bootstrap: self.config.bootstrap,
            health: self.health.clone(),
            timing: self.config.timing,
        }
    }
}
