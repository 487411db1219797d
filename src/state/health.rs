//! What this process knows about its own ability to receive: one record that every duty updates and every tool reads.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::types::Timestamp;

/// The code of a journal that cannot be written.
pub const JOURNAL_ERROR: &str = "JOURNAL_ERROR";

/// Something that is wrong right now, told the same way by every tool and command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trouble {
    /// Stable, machine-readable.
    pub code: String,
    /// What is wrong, one sentence.
    pub what: String,
    /// What a person can do about it.
    pub remedy: String,
}

/// This process's part in the duties of its workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Not decided yet.
    #[default]
    Starting,
    /// This process registers, beats and polls.
    Holder,
    /// Another process of this computer does.
    Follower,
    /// Heartbeat and inbox are switched off.
    Off,
}

/// The record. Times are wall clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Who does the duties.
    pub duty: Duty,
    /// Last successful register.
    pub registered: Option<Timestamp>,
    /// Last beat that was answered 2xx.
    pub beaten: Option<Timestamp>,
    /// Last authenticated read of the inbox that succeeded and was committed.
    pub read: Option<Timestamp>,
    /// The event stream proved itself alive.
    pub stream_live: bool,
    /// The platform says that the workspace was deleted.
    pub removed: bool,
    /// What is wrong with registering.
    pub register_trouble: Option<Trouble>,
    /// What is wrong with beats.
    pub beat_trouble: Option<Trouble>,
    /// What is wrong with reading.
    pub read_trouble: Option<Trouble>,
    /// What is wrong with the state folder.
    pub journal_trouble: Option<Trouble>,
    /// What is wrong with the state folder although messages are received and kept.
    pub disk_trouble: Option<Trouble>,
    /// Another program polls or beats for the same workspace.
    pub rival: Option<Trouble>,
}

impl Health {
    /// Whether this process can receive right now: said only after an authenticated read.
    #[must_use]
    pub fn can_receive(&self) -> bool {
        self.read.is_some() && !self.removed && self.read_trouble.is_none() && self.journal_trouble.is_none()
    }

    /// Everything that is wrong, most important first.
    pub fn troubles(&self) -> impl Iterator<Item = &Trouble> {
        [
            &self.journal_trouble,
            &self.read_trouble,
            &self.register_trouble,
            &self.beat_trouble,
            &self.disk_trouble,
            &self.rival,
        ]
        .into_iter()
        .flatten()
    }
}

/// The one place where the record of this process lives. Clones share it.
#[derive(Clone, Debug)]
pub struct HealthBoard(Arc<watch::Sender<Health>>);

impl Default for HealthBoard {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Health::default())))
    }
}

impl HealthBoard {
    /// Changes the record; watchers wake only when it really changed.
    pub fn update(&self, change: impl FnOnce(&mut Health)) {
        self.0.send_if_modified(|health| {
            let before = health.clone();
            change(health);
            *health != before
        });
    }

    /// The record now.
    #[must_use]
    pub fn now(&self) -> Health {
        self.0.borrow().clone()
    }

    /// Watches the record.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Health> {
        self.0.subscribe()
    }
}
