//! What the endpoints, the watchdog and systemd's status line are told from.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::Config;
use crate::state::health::{Health, HealthBoard, Role};
use crate::state::overview::Overview;
use crate::state::record::SILENT_AFTER;
use crate::types::WorkspaceId;

/// A state folder that tells nothing within this time hangs.
const PATIENCE_WITH_FOLDER: Duration = Duration::from_secs(3);

/// How this process is. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Vitals(Arc<watch::Sender<Round>>);

/// What runs with the present configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// One for each workspace.
    healths: Vec<HealthBoard>,
    folder: PathBuf,
    workspaces: Vec<(String, WorkspaceId)>,
    patience: Duration,
}

impl Default for Vitals {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Round::default())))
    }
}

impl Vitals {
    /// From now on this configuration is in force.
    pub(super) fn begin(&self, config: &Config, healths: Vec<HealthBoard>) {
        self.0.send_replace(Round {
            healths,
            folder: config.state_dir.clone(),
            workspaces: config.names(),
            patience: config.timing.of(SILENT_AFTER),
        });
    }

    /// Which configuration is in force.
    pub(super) fn rounds(&self) -> watch::Receiver<Round> {
        self.0.subscribe()
    }

    /// The loops of this process that stand still. Asks nobody, so that nothing can hold it up.
    pub(super) fn overdue(&self) -> Vec<&'static str> {
        let round = self.0.borrow();
        round
            .healths
            .iter()
            .flat_map(|health| health.turns().overdue())
            .collect()
    }

    /// How the workspaces stand: the same truth that `status` tells. `None`: the state folder does not answer.
    pub(super) async fn overview(&self) -> Option<Overview> {
        let round = self.0.borrow().clone();
        let look = spawn_blocking(move || Overview::of(&round.folder, &round.workspaces, round.patience));
        timeout(PATIENCE_WITH_FOLDER, look).await.ok()?.ok()
    }
}

impl Round {
    /// Whether it is settled who does which duty: the journal is open, and the loops have begun.
    pub(super) async fn is_under_way(&self) {
        for health in &self.healths {
            let mut health = health.watch();
            let settled = health.wait_for(|health| ![health.presence, health.reading].contains(&Role::Starting));
            if settled.await.is_err() {
                return std::future::pending().await;
            }
        }
        if self.healths.is_empty() {
            // Nothing has begun yet.
            std::future::pending().await
        }
    }

    /// What changes with the health of any workspace.
    pub(super) fn watch(&self) -> Watched {
        Watched(self.healths.iter().map(HealthBoard::watch).collect())
    }
}

/// The health records of all workspaces.
pub(super) struct Watched(Vec<watch::Receiver<Health>>);

impl Watched {
    /// Waits for a change since this was asked last. Never ends where there is nothing to watch.
    pub(super) async fn changed(&mut self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let any = select_all(self.0.iter_mut().map(|health| Box::pin(health.changed())));
        if any.await.0.is_err() {
            std::future::pending().await
        }
    }
}
