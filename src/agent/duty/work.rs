//! What the holder of each duty does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::looks::{Looks, until_next_round};
use super::{Ended, Office, attend};
use crate::agent::heartbeat::Heartbeat;
use crate::agent::inbox::beside::Beside;
use crate::agent::inbox::poller::Inbox;
use crate::agent::introductions::Introductions;
use crate::agent::on_message::Telling;
use crate::agent::register::{FirstRegister, RefusedAtStart, Registrar, keep_registered};
use crate::agent::uploads::Uploads;
use crate::config::Timing;
use crate::state::cursor::CursorFile;
use crate::state::file_folder::FileFolder;
use crate::state::health::{Duty, HealthBoard};
use crate::state::lock::DutyLock;
use crate::state::record::{HealthFile, RENEW_EVERY};

/// Changes of the health record this close together are told as one.
const COALESCE: Duration = Duration::from_millis(500);

impl Office {
    /// Does a duty until `over`.
    pub(super) async fn work(
        &self,
        duty: Duty,
        lock: &Arc<DutyLock>,
        takeover: bool,
        late: bool,
        over: &CancellationToken,
    ) -> Result<(), Ended> {
        match duty {
            Duty::Presence => self.keep_present(lock, late, over).await,
            Duty::Reading => self.read(lock, takeover, over).await,
        }
    }

    /// Registers and beats. Ends early only with a refusal that ends the process.
    async fn keep_present(&self, lock: &Arc<DutyLock>, late: bool, over: &CancellationToken) -> Result<(), Ended> {
        if late {
            self.attempted.send_replace(true);
        }
        let first = (!late).then(|| FirstRegister {
            refusal_is_fatal: true,
            attempted: self.attempted.clone(),
        });
        let registering = keep_registered(
            self.registrar(lock),
            first,
            self.pulse.subscribe(),
            self.duties.stream.subscribe(),
        );
        tokio::select! {
            RefusedAtStart(why) = registering => Err(Ended::Refused(why)),
            ended = self.beat(lock, over) => ended,
        }
    }

    async fn beat(&self, lock: &Arc<DutyLock>, over: &CancellationToken) -> Result<(), Ended> {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.record(Duty::Presence, lock).keep(over.clone()));
        if self.first_attempt(over).await.is_some() {
            let heartbeat = Heartbeat {
                api: self.duties.api.separate(),
                journal: self.duties.journal.clone(),
                lock: Arc::clone(lock),
                health: self.duties.health.clone(),
                stream: self.duties.stream.clone(),
                pulse: self.pulse.clone(),
                naming: self.duties.naming,
                timing: self.duties.config.timing,
                started: self.duties.started,
            };
            tasks.spawn(heartbeat.run(over.clone()));
        }
        attend(tasks, over).await
    }

    async fn read(&self, lock: &Arc<DutyLock>, takeover: bool, over: &CancellationToken) -> Result<(), Ended> {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.record(Duty::Reading, lock).keep(over.clone()));
        if self.first_attempt(over).await.is_some() {
            let (config, own) = (&self.duties.config, &self.duties.own);
            let inbox = Inbox {
                api: self.duties.api.clone(),
                journal: self.duties.journal.clone(),
                cursor_file: CursorFile::new(
                    &config.state_dir,
                    &own.platform.to_string(),
                    &own.workspace,
                    self.duties.naming,
                ),
                lock: Arc::clone(lock),
                health: self.duties.health.clone(),
                stream: self.duties.stream.clone(),
                timing: config.timing,
                own: own.workspace.clone(),
                takeover,
            };
            tasks.spawn(inbox.run(over.clone()));
            let beside = Beside {
                api: self.duties.api.clone(),
                journal: self.duties.journal.clone(),
                lock: Arc::clone(lock),
                health: self.duties.health.clone(),
                stream: self.duties.stream.clone(),
                timing: config.timing,
                own: own.workspace.clone(),
            };
            tasks.spawn(beside.run(over.clone()));
            let uploads = Uploads {
                api: self.duties.api.clone(),
                journal: self.duties.journal.clone(),
                folder: FileFolder::new(config.files.uploads.clone()),
                quota: config.files.quota,
                timing: config.timing,
            };
            tasks.spawn(uploads.run(over.clone()));
            let introductions = Introductions {
                api: self.duties.api.clone(),
                journal: self.duties.journal.clone(),
                timing: config.timing,
            };
            tasks.spawn(introductions.run(over.clone()));
            if let Some(command) = config.on_message.clone() {
                let telling = Telling {
                    journal: self.duties.journal.clone(),
                    command,
                    senders: config.senders.clone(),
                    own: own.workspace.clone(),
                    timing: config.timing,
                };
                tasks.spawn(telling.run(over.clone()));
            }
        }
        attend(tasks, over).await
    }

    fn registrar(&self, lock: &Arc<DutyLock>) -> Registrar {
        Registrar {
            api: self.duties.api.clone(),
            card: self.duties.own.card.clone(),
            journal: self.duties.journal.clone(),
            lock: Arc::clone(lock),
            bootstrap: self.duties.config.bootstrap,
            health: self.duties.health.clone(),
            naming: self.duties.naming,
            timing: self.duties.config.timing,
        }
    }

    fn record(&self, duty: Duty, lock: &Arc<DutyLock>) -> Record {
        Record {
            duty,
            file: self.duties.record.clone(),
            lock: Arc::clone(lock),
            board: self.duties.health.clone(),
            timing: self.duties.config.timing,
            started: self.duties.started,
            looks: self.duties.looks.clone(),
        }
    }
}

/// The record file of one duty.
struct Record {
    duty: Duty,
    file: HealthFile,
    lock: Arc<DutyLock>,
    board: HealthBoard,
    timing: Timing,
    /// The process.
    started: Instant,
    looks: Looks,
}

impl Record {
    /// Keeps the file as fresh as the record: followers take its age for the holder's progress.
    async fn keep(self, over: CancellationToken) {
        let mut changes: watch::Receiver<_> = self.board.watch();
        let mut told = true;
        while !over.is_cancelled() {
            let part = changes.borrow_and_update().part(self.duty);
            let (duty, file, lock, written) = (self.duty, self.file.clone(), Arc::clone(&self.lock), part.clone());
            let write = move || {
                let told = lock.folder().map_or(Ok(()), |_| file.write(duty, &written));
                told.inspect_err(|_| file.withdraw(duty))
            };
            let written = self.looks.take(write).await;
            if let Err(error) = &written
                && told
            {
                warn!("the health record cannot be written ({error}); other processes will call this one silent");
            }
            told = written.is_ok();
            let next = async {
                let changed = changes.wait_for(|health| health.part(duty) != part);
                let again = until_next_round(self.started.elapsed(), self.timing.of(RENEW_EVERY));
                let _ = timeout(again, changed).await;
                sleep(self.timing.of(COALESCE)).await;
            };
            over.run_until_cancelled(next).await;
        }
    }
}
