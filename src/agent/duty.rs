//! The election: exactly one process of a state folder holds the duty of its workspace, and does what comes with it.
//!
//! The duty is an OS file lock, so it is free the moment its holder dies, however it dies. Every process tries for it;
//! followers keep serving their clients from the shared journal meanwhile.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use election::Won;

use super::heartbeat::{Heartbeat, Pulse};
use super::inbox::poller::Inbox;
use super::register::{FirstRegister, RefusedAtStart, Registrar, keep_registered};
use super::removal;
use super::stream::{self, Stream};
use super::supervisor::Ended;
use crate::config::{Config, Switch, Timing};
use crate::platform::workspace::WorkspaceApi;
use crate::state::cursor::CursorFile;
use crate::state::health::{Duty, HealthBoard};
use crate::state::journal::Journal;
use crate::state::lock::{Candidacy, DutyLock};
use crate::state::record::{HealthFile, RENEW_EVERY};

mod election;

/// How often a follower tries for the duty.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// A refusal at register ends the process only when it won the duty this soon after its start.
const AT_START: Duration = Duration::from_secs(10);
/// Refused beats in a row after which a holder makes room for another process.
const REFUSALS: u32 = 3;
/// How often a process whose token was refused looks whether nobody holds the duty.
const AFTER_REFUSAL: Duration = Duration::from_secs(60);
/// How long a holder that gives up waits for its own duties to end.
const HANDOVER: Duration = Duration::from_secs(2);
/// How often handled messages are pruned.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// Changes of the health record this close together are told as one.
const COALESCE: Duration = Duration::from_millis(500);
/// How long beats and reads wait for the first register attempt before they go ahead without it.
const WAIT_FOR_REGISTER: Duration = Duration::from_secs(5);

/// How holding the duty came to its end.
enum Held {
    /// With the process.
    Ended(Ended),
    /// In favour of another process.
    Yielded,
}

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
    /// Where this process tells the others how it goes, while it holds the duty.
    pub record: HealthFile,
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
            // Nobody competes for the duty here, and somebody must see what becomes of our delegations.
            self.holder.send_replace(true);
            stop.cancelled().await;
            return Ended::Fine;
        }
        let mut refused = false;
        loop {
            let winning = async {
                if refused {
                    self.win_after_refusal().await
                } else {
                    self.win().await
                }
            };
            let Some(won) = stop.run_until_cancelled(winning).await else {
                return Ended::Fine;
            };
            match self.hold(won, &stop).await {
                Held::Ended(ended) => return ended,
                Held::Yielded => {
                    self.health.update(|health| health.duty = Duty::Follower);
                    refused = !self.is_partial();
                    // Time for the candidate to see that the lock is free.
                    stop.run_until_cancelled(sleep(TRY_AGAIN * 2)).await;
                }
            }
        }
    }

    fn origin(&self) -> String {
        self.config.platform.to_string()
    }

    /// Whether the user switched one of the duties off, so that a whole process does better.
    fn is_partial(&self) -> bool {
        self.config.heartbeat == Switch::Off || self.config.inbox == Switch::Off
    }

    async fn hold(&self, won: Won, stop: &CancellationToken) -> Held {
        if won.handed_over {
            info!("took over the duty of workspace {}", self.config.workspace);
        }
        self.health.update(|health| health.duty = Duty::Holder);
        self.holder.send_replace(true);
        let stop = stop.child_token();
        let (attempted, first_attempt) = watch::channel(won.late || self.config.heartbeat == Switch::Off);
        let (pulse, pulses) = watch::channel(Pulse::default());
        // Nobody took the duty that was given up, although a candidate had announced itself: it may be stopped.
        let settle = if won.unclaimed {
            self.config.timing.of(AFTER_REFUSAL)
        } else {
            Duration::ZERO
        };

        let refused = self.register(won.late, attempted, pulses.clone());
        let mut working = pin!(self.work(won, first_attempt, pulse, &stop));
        let held = tokio::select! {
            refused = refused => Held::Ended(Ended::Refused(refused.0)),
            ended = &mut working => Held::Ended(ended),
            () = self.wanted_elsewhere(pulses, settle) => {
                warn!("giving the duty up: another process of this computer can do it better");
                stop.cancel();
                let _ = timeout(HANDOVER, working).await;
                Held::Yielded
            }
        };
        self.holder.send_replace(false);
        held
    }

    /// Keeps the workspace registered; ends only with a refusal that ends the process.
    async fn register(
        &self,
        late: bool,
        attempted: watch::Sender<bool>,
        pulses: watch::Receiver<Pulse>,
    ) -> RefusedAtStart {
        if self.config.heartbeat == Switch::Off {
            return std::future::pending().await;
        }
        let first = (!late).then_some(FirstRegister {
            refusal_is_fatal: true,
            attempted,
        });
        keep_registered(self.registrar(), first, pulses).await
    }

    /// Does everything but registering until `stop`.
    async fn work(
        &self,
        won: Won,
        mut first_attempt: watch::Receiver<bool>,
        pulse: watch::Sender<Pulse>,
        stop: &CancellationToken,
    ) -> Ended {
        let first_attempt = timeout(WAIT_FOR_REGISTER, first_attempt.wait_for(|attempted| *attempted));
        if stop.run_until_cancelled(first_attempt).await.is_none() {
            return Ended::Fine;
        }
        let mut tasks = JoinSet::new();
        let takeover = won.handed_over || won.late;
        let lock = Arc::new(won.lock);
        self.start(&mut tasks, &lock, takeover, pulse, stop);
        while let Some(ended) = tasks.join_next().await {
            // A duty ends on a stop and not before; anything else is a panic.
            if ended.is_err() || !stop.is_cancelled() {
                return Ended::Failed("a duty of the workspace ended unexpectedly; this is a bug".to_owned());
            }
        }
        Ended::Fine
    }

    /// Waits until this holder is worse than another process that waits: its token is refused, or it does only a part.
    async fn wanted_elsewhere(&self, pulses: watch::Receiver<Pulse>, settle: Duration) {
        let mut refused_reads = 0;
        sleep(settle).await;
        loop {
            sleep(TRY_AGAIN).await;
            // Level C goes on accepting the beats of a revoked token; then only reads tell.
            let read_is_refused = self
                .health
                .now()
                .read_trouble
                .is_some_and(|trouble| trouble.code == "AUTH_ERROR");
            refused_reads = if read_is_refused { refused_reads + 1 } else { 0 };
            let refused = pulses.borrow().refusals >= REFUSALS || refused_reads >= REFUSALS;
            if (refused || self.is_partial())
                && Candidacy::exists(&self.config.state_dir, &self.origin(), &self.config.workspace)
            {
                return;
            }
        }
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
                cursor_file: CursorFile::new(&self.config.state_dir, &self.origin(), &self.config.workspace),
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
        tasks.spawn(tidy(self.journal.clone(), stop.clone()));
        tasks.spawn(tell_followers(
            self.record.clone(),
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
            journal: self.journal.clone(),
            state_dir: self.config.state_dir.clone(),
            bootstrap: self.config.bootstrap,
            health: self.health.clone(),
            timing: self.config.timing,
        }
    }
}

/// Keeps the record file as fresh as the record: followers take its age for the holder's progress.
async fn tell_followers(file: HealthFile, board: HealthBoard, timing: Timing, stop: CancellationToken) {
    let mut changes = board.watch();
    let mut told = true;
    while !stop.is_cancelled() {
        let (file, health) = (file.clone(), changes.borrow_and_update().clone());
        let written = tokio::task::spawn_blocking(move || file.write(&health)).await;
        if let Ok(Err(error)) = &written
            && told
        {
            warn!("the health record cannot be written ({error}); other processes will call this one silent");
        }
        told = matches!(written, Ok(Ok(())));
        let next = async {
            let _ = timeout(timing.of(RENEW_EVERY), changes.changed()).await;
            sleep(timing.of(COALESCE)).await;
        };
        stop.run_until_cancelled(next).await;
    }
}

/// Drops what has been handled for long, in small steps.
async fn tidy(journal: Journal, stop: CancellationToken) {
    stop.run_until_cancelled(journal.keep_tidy(TIDY_EVERY)).await;
}
