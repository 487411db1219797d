//! What this process knows about its own ability to receive: one record that every duty updates and every tool reads.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::turns::Turns;
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

impl Trouble {
    /// From its parts.
    #[must_use]
    pub fn new(code: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    fn is_refusal(&self) -> bool {
        self.code == "AUTH_ERROR"
    }
}

/// What exactly one process of a state folder does for its workspace. Usually one process does both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Registering and beating: it is seen.
    Presence,
    /// Reading the inbox into the journal: it hears.
    Reading,
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Presence => "presence",
            Self::Reading => "reading",
        })
    }
}

/// This process's part in a duty of its workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Not decided yet.
    #[default]
    Starting,
    /// This process does it.
    Holder,
    /// Another process of this computer does it.
    Follower,
    /// Nothing can be locked in the state folder, or it is gone.
    Unable,
    /// The user switched it off for this process.
    Off,
}

/// The record. Times are wall clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Who registers and beats.
    pub presence: Role,
    /// Who reads the inbox.
    pub reading: Role,
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
    /// What is wrong with reading requests and broadcasts, although messages are received.
    #[serde(default)]
    pub beside_trouble: Option<Trouble>,
    /// Another program polls or beats for the same workspace.
    pub rival: Option<Trouble>,
    /// Since when [`Self::can_receive`] has been as it is.
    pub since: Option<Timestamp>,
    /// The trouble that was over last.
    pub past: Option<Past>,
}

/// A trouble that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// What was wrong.
    pub trouble: Trouble,
    /// When it was over.
    pub over: Timestamp,
}

impl Health {
    /// Whether this process can receive right now: said only after an authenticated read.
    #[must_use]
    pub fn can_receive(&self) -> bool {
        self.read.is_some() && !self.removed && self.read_trouble.is_none() && self.journal_trouble.is_none()
    }

    /// Whether the platform refuses the token at reads: the first sign of a workspace that was deleted.
    #[must_use]
    pub fn is_read_refused(&self) -> bool {
        self.read_trouble.as_ref().is_some_and(Trouble::is_refusal)
    }

    /// Whether the platform refuses the token at reads or beats.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.is_read_refused() || self.beat_trouble.as_ref().is_some_and(Trouble::is_refusal)
    }

    /// This process's part in a duty.
    #[must_use]
    pub fn role(&self, duty: Duty) -> Role {
        match duty {
            Duty::Presence => self.presence,
            Duty::Reading => self.reading,
        }
    }

    /// Whether this process holds any duty.
    #[must_use]
    pub fn holds_any(&self) -> bool {
        [self.presence, self.reading].contains(&Role::Holder)
    }

    /// What is known of a workspace that one process keeps present and another reads for.
    #[must_use]
    pub fn of_two(presence: Self, reading: Self) -> Self {
        Self {
            presence: presence.presence,
            registered: presence.registered,
            beaten: presence.beaten,
            register_trouble: presence.register_trouble,
            beat_trouble: presence.beat_trouble,
            // Each of them can find these out.
            removed: presence.removed || reading.removed,
            rival: presence.rival.or(reading.rival),
            past: [presence.past, reading.past]
                .into_iter()
                .flatten()
                .max_by_key(|past| past.over),
            ..reading
        }
    }

    /// What the holder of a duty knows through it.
    #[must_use]
    pub fn part(&self, duty: Duty) -> Self {
        match duty {
            // Whether it would read, too, is for those to know who wait for the reading.
            Duty::Presence => Self {
                reading: self.reading,
                ..Self::of_two(self.clone(), Self::default())
            },
            Duty::Reading => Self::of_two(Self::default(), self.clone()),
        }
    }

    /// Writes down what a change means for a reader of the record who was not there.
    fn remember(&mut self, before: &Self, now: Timestamp) {
        if self.since.is_none() || self.can_receive() != before.can_receive() {
            self.since = Some(now);
        }
        let is_over = |was: &&Trouble| !self.troubles().any(|is| is.code == was.code);
        if let Some(trouble) = before.troubles().find(is_over).cloned() {
            self.past = Some(Past { trouble, over: now });
        }
    }

    /// Everything that is wrong, most important first.
    pub fn troubles(&self) -> impl Iterator<Item = &Trouble> {
        [
            &self.journal_trouble,
            &self.read_trouble,
            &self.register_trouble,
            &self.beat_trouble,
            &self.disk_trouble,
            &self.beside_trouble,
            &self.rival,
        ]
        .into_iter()
        .flatten()
    }
}

/// The one place where the record of this process lives. Clones share it.
#[derive(Clone, Debug)]
pub struct HealthBoard {
    record: Arc<watch::Sender<Health>>,
    turns: Turns,
}

impl Default for HealthBoard {
    fn default() -> Self {
        Self {
            record: Arc::new(watch::Sender::new(Health::default())),
            turns: Turns::default(),
        }
    }
}

impl HealthBoard {
    /// Changes the record; watchers wake only when it really changed.
    pub fn update(&self, change: impl FnOnce(&mut Health)) {
        self.record.send_if_modified(|health| {
            let before = health.clone();
            change(health);
            if *health == before {
                return false;
            }
            health.remember(&before, Timestamp::now());
            true
        });
    }

    /// The record now.
    #[must_use]
    pub fn now(&self) -> Health {
        self.record.borrow().clone()
    }

    /// Watches the record.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Health> {
        self.record.subscribe()
    }

    /// Whether the loops behind it turn.
    #[must_use]
    pub fn turns(&self) -> &Turns {
        &self.turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_processes_know_is_put_together_from_their_parts() {
        let trouble = |code: &str| {
            Some(Trouble {
                code: code.to_owned(),
                what: String::new(),
                remedy: String::new(),
            })
        };
        let one = Health {
            presence: Role::Holder,
            reading: Role::Off,
            registered: Some(Timestamp(1)),
            beaten: Some(Timestamp(2)),
            beat_trouble: trouble("B"),
            ..Health::default()
        };
        let other = Health {
            presence: Role::Follower,
            reading: Role::Holder,
            read: Some(Timestamp(3)),
            read_trouble: trouble("R"),
            stream_live: true,
            ..Health::default()
        };
        let both = Health {
            presence: Role::Holder,
            reading: Role::Holder,
            registered: Some(Timestamp(1)),
            beaten: Some(Timestamp(2)),
            beat_trouble: trouble("B"),
            read: Some(Timestamp(3)),
            read_trouble: trouble("R"),
            stream_live: true,
            ..Health::default()
        };
        assert_eq!(Health::of_two(one.clone(), other.clone()), both);
        let present = one.part(Duty::Presence);
        assert_eq!((present.beaten, present.reading), (one.beaten, Role::Off));
        assert_eq!(both.part(Duty::Presence).reading, Role::Holder);
        assert_eq!(both.part(Duty::Reading), other.part(Duty::Reading));
        assert!(!both.part(Duty::Presence).can_receive());
    }

    #[test]
    fn a_removal_is_believed_whoever_found_it() {
        let (found, fine) = (
            Health {
                removed: true,
                ..Health::default()
            },
            Health::default(),
        );
        assert!(Health::of_two(found.clone(), fine.clone()).removed);
        assert!(Health::of_two(fine, found).removed);
    }
}
