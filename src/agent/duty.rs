//! The duties of a workspace: each is done by exactly one process of its state folder.
//!
//! There are two, [`Duty::Presence`] and [`Duty::Reading`], and an OS file lock for each, so a duty is free the moment its
//! holder dies, however it dies. Every process tries for those that are not switched off for it; followers keep serving
//! their clients from the shared journal meanwhile.
//!
//! Usually one process holds both: whoever keeps the workspace present has the first claim to reading, and processes that
//! do a part make room for one that does both.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::heartbeat::Pulse;
use super::removal;
use super::stream::{self, Stream};
use super::supervisor::Ended;
use crate::config::{Config, Membership, Switch};
use crate::platform::workspace::WorkspaceApi;
use crate::state::health::{Duty, Health, HealthBoard, Role};
use crate::state::journal::Journal;
use crate::state::lock::DutyFiles;
use crate::state::naming::Naming;
use crate::state::record::HealthFile;
use crate::state::spool::Spool;
use crate::state::turns::Turn;
use election::Election;
pub use looks::Looks;

mod election;
mod elsewhere;
mod holding;
mod looks;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
mod work;

/// How often a process that does not hold a duty looks at it, and one that holds it for a better one.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How often handled messages are pruned.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// How long beats and reads wait for the first register attempt before they go ahead without it.
const WAIT_FOR_REGISTER: Duration = Duration::from_secs(5);

/// What the duties are done with: one bundle for each workspace.
#[derive(Clone, Debug)]
pub struct Duties {
    /// The whole configuration, of all workspaces.
    pub config: Arc<Config>,
    /// The workspace that this is about.
    pub own: Membership,
    /// How its files are named that other programs read.
    pub naming: Naming,
    /// The platform, as this workspace.
    pub api: WorkspaceApi,
    /// The shared journal.
    pub journal: Journal,
    /// This process's health record.
    pub health: HealthBoard,
    /// Where this process tells the others how it goes, while it holds a duty.
    pub record: HealthFile,
    /// The event stream, fed while a duty is held.
    pub stream: Stream,
    /// Whether this process looks after what is everybody's: the outgoing work of dead processes, the outcomes of
    /// delegations, the pruning of the journal. Whoever reads does; where nobody does, every process with its inbox off.
    pub holder: watch::Sender<bool>,
    /// When this process started.
    pub started: Instant,
    /// The looks at files, which all workspaces of this process take together.
    pub looks: Looks,
}

impl Duties {
    /// Tries for the duties until `stop`, and does those it holds.
    pub async fn run(self, stop: CancellationToken) -> Ended {
        let office = Office::new(self);
        let (presence, reading) = tokio::join!(
            Election::open(&office, Duty::Presence),
            Election::open(&office, Duty::Reading)
        );
        let all = async {
            tokio::try_join!(
                office.serve(presence, &stop),
                office.serve(reading, &stop),
                office.serve_both(&stop),
                office.keep_tidy(&stop),
            )
        };
        match all.await {
            Ok(_) => Ended::Fine,
            Err(ended) => ended,
        }
    }
}

/// What the duties of one process share.
struct Office {
    duties: Duties,
    files: DutyFiles,
    /// Whether the efforts for each duty go on.
    turns: [Turn; 2],
    /// The last beats, as long as they are ours.
    pulse: watch::Sender<Pulse>,
    /// Beats and reads may begin: the first register attempt was made, or is not ours to make.
    attempted: watch::Sender<bool>,
    /// The process that keeps the workspace present instead of this one takes the reading, too, when that is free.
    reads_if_it_can: watch::Sender<bool>,
    /// The process that reads instead of this one was refused, or was told that the workspace is gone.
    refused_elsewhere: watch::Sender<bool>,
}

impl Office {
    fn new(duties: Duties) -> Self {
        let config = &duties.config;
        Self {
            files: DutyFiles::new(
                &config.state_dir,
                &duties.own.platform.to_string(),
                &duties.own.workspace,
            ),
            turns: ["presence", "reading"].map(|duty| duties.health.turns().begin(duty)),
            pulse: watch::Sender::default(),
            attempted: watch::Sender::new(config.heartbeat == Switch::Off),
            reads_if_it_can: watch::Sender::new(true),
            refused_elsewhere: watch::Sender::default(),
            duties,
        }
    }

    async fn look<T: Send + 'static>(&self, look: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        self.duties.looks.take(look).await
    }

    /// How long until the next look; those of all workspaces of this process are at the same moments.
    fn until_next_look(&self) -> Duration {
        looks::until_next_round(self.duties.started.elapsed(), TRY_AGAIN)
    }

    /// What is done about a duty goes on, and will again after `pause`.
    fn turns(&self, duty: Duty, pause: Duration) {
        let [presence, reading] = &self.turns;
        let turn = if duty == Duty::Presence { presence } else { reading };
        turn.again_after(pause);
    }

    fn switch(&self, duty: Duty) -> Switch {
        match duty {
            Duty::Presence => self.duties.config.heartbeat,
            Duty::Reading => self.duties.config.inbox,
        }
    }

    /// Whether this process would do both duties.
    fn is_whole(&self) -> bool {
        [Duty::Presence, Duty::Reading].map(|duty| self.switch(duty)) == [Switch::On; 2]
    }

    fn holds(&self, duty: Duty) -> bool {
        self.duties.health.now().role(duty) == Role::Holder
    }

    fn set_role(&self, duty: Duty, role: Role) {
        self.duties.health.update(|health| match duty {
            Duty::Presence => health.presence = role,
            Duty::Reading => health.reading = role,
        });
    }

    /// Tries for one duty until `stop`, and does it while it is held.
    async fn serve(&self, mut election: Election<'_>, stop: &CancellationToken) -> Result<(), Ended> {
        let duty = election.duty;
        if self.switch(duty) == Switch::Off {
            self.set_role(duty, Role::Off);
            stop.run_until_cancelled(election.look_on()).await;
            return Ok(());
        }
        let mut gave_up = None;
        while let Some(won) = stop.run_until_cancelled(election.win(gave_up)).await {
            self.begin(duty);
            let held = self.hold(duty, won, stop).await;
            self.end(duty);
            gave_up = held?;
        }
        Ok(())
    }

    fn begin(&self, duty: Duty) {
        self.set_role(duty, Role::Holder);
        if duty == Duty::Reading {
            self.duties.holder.send_replace(true);
            self.duties.health.update(|health| {
                health.journal_trouble.take_if(|trouble| holding::is_gone(trouble));
            });
        }
    }

    fn end(&self, duty: Duty) {
        match duty {
            Duty::Presence => {
                self.pulse.send_replace(Pulse::default());
                self.duties.stream.beats_end();
            }
            Duty::Reading => {
                self.duties.holder.send_replace(false);
            }
        }
        self.set_role(duty, Role::Follower);
    }

    /// Does what serves both duties while at least one is held.
    async fn serve_both(&self, stop: &CancellationToken) -> Result<(), Ended> {
        let mut record = self.duties.health.watch();
        while stop
            .run_until_cancelled(until(&mut record, Health::holds_any))
            .await
            .is_some()
        {
            let over = stop.child_token();
            if self.first_attempt(&over).await.is_none() {
                break;
            }
            let mut tasks = JoinSet::new();
            let Duties {
                api,
                journal,
                health,
                stream,
                config,
                ..
            } = self.duties.clone();
            let (timing, elsewhere) = (config.timing, self.refused_elsewhere.subscribe());
            let removed = removal::watch(api.clone(), journal, health.clone(), elsewhere, timing, over.clone());
            tasks.spawn(removed);
            tasks.spawn(stream::run(api, stream, health, timing, over.clone()));
            let mut attended = pin!(attend(tasks, &over));
            tokio::select! {
                ended = &mut attended => ended?,
                () = until(&mut record, |health| !health.holds_any()) => {
                    over.cancel();
                    attended.await?;
                }
            }
        }
        Ok(())
    }

    /// Prunes the journal while it is this process's to do.
    async fn keep_tidy(&self, stop: &CancellationToken) -> Result<(), Ended> {
        let mut holder = self.duties.holder.subscribe();
        let work = async {
            while holder.wait_for(|holder| *holder).await.is_ok() {
                tokio::select! {
                    () = self.duties.journal.clone().keep_tidy(TIDY_EVERY) => {}
                    () = self.sweep_spool() => {}
                    _ = holder.wait_for(|holder| !holder) => {}
                }
            }
        };
        stop.run_until_cancelled(work).await;
        Ok(())
    }

    /// Removes copies of attached files that no message waits for any more, now and then. Never ends.
    async fn sweep_spool(&self) {
        let Duties { journal, config, .. } = &self.duties;
        let spool = Spool::new(&config.state_dir);
        loop {
            if let Ok(wanted) = journal.parcels().await {
                let spool = spool.clone();
                let _ = tokio::task::spawn_blocking(move || spool.sweep(&wanted)).await;
            }
            sleep(TIDY_EVERY).await;
        }
    }

    /// Waits a moment for the first register attempt, if it is ours to make. `None`: it is over before.
    async fn first_attempt(&self, over: &CancellationToken) -> Option<()> {
        let mut attempted = self.attempted.subscribe();
        let attempt = timeout(WAIT_FOR_REGISTER, attempted.wait_for(|attempted| *attempted));
        over.run_until_cancelled(attempt).await.map(drop)
    }
}

/// Waits for a state of the health record, and keeps no hold on it.
async fn until(record: &mut watch::Receiver<Health>, is_it_so: impl FnMut(&Health) -> bool) {
    if record.wait_for(is_it_so).await.is_err() {
        // Nobody is left who could change it.
        std::future::pending().await
    }
}

/// Waits until tasks that end with `over` have ended.
async fn attend(mut tasks: JoinSet<()>, over: &CancellationToken) -> Result<(), Ended> {
    while let Some(ended) = tasks.join_next().await {
        // A duty ends when it is over and not before; anything else is a panic.
        if ended.is_err() || !over.is_cancelled() {
            return Err(Ended::Failed(
                "a duty of the workspace ended unexpectedly; this is a bug".to_owned(),
            ));
        }
    }
    Ok(())
}
