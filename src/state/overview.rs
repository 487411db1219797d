//! How a workspace stands, told by its state folder to whoever looks: the locks say who does what, the records how it goes,
//! the journal what waits. True also when no process runs. Looking changes nothing.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::deafness;
use super::health::{Duty, Health, Role, Trouble};
use super::journal::glimpse::{self, Glimpse};
use super::journal::{Counts, JournalError};
use super::lock::DutyFiles;
use super::obstacle;
use super::record::{HealthFile, Told};
use crate::types::{Timestamp, WorkspaceId};

/// A state folder.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Its workspaces: those that were asked for, or all that the journal knows.
    pub workspaces: Vec<Standing>,
    /// Why the journal cannot be read.
    pub journal_trouble: Option<Trouble>,
}

/// One workspace.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The platform's origin.
    pub origin: String,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Processes that serve it.
    pub processes: usize,
    /// Who registers and beats.
    pub presence: Post,
    /// Who reads the inbox.
    pub reading: Post,
    /// What the journal holds; `None` where it knows nothing of this workspace.
    pub journal: Option<Glimpse>,
    /// What the folder says to somebody who writes, asked only when a holder is silent.
    folder_refuses: Option<Trouble>,
    patience: Duration,
}

/// One duty.
#[derive(Clone, Debug, Default)]
pub struct Post {
    /// A living process holds it.
    pub held: bool,
    /// What its holder wrote last. Without a holder it is what the last one wrote before it ended.
    pub told: Option<Told>,
}

/// How a workspace stands, in one word. The words are part of what `status --json` promises; add, never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Messages arrive, and the platform shows it as online.
    Online,
    /// Messages arrive, and nobody keeps it online.
    Receiving,
    /// A process was just started or has just taken over.
    Starting,
    /// A process runs, and no messages arrive.
    Deaf,
    /// The process that should receive makes no progress.
    Stuck,
    /// No process runs.
    Offline,
}

impl Overview {
    /// Looks at a folder. `wanted`: these workspaces, whether or not they ever ran; empty: all that the journal knows.
    /// `patience`: how old the record of a holder may be that makes progress.
    #[must_use]
    pub fn of(folder: &Path, wanted: &[(String, WorkspaceId)], patience: Duration) -> Self {
        let (glimpses, journal_trouble) = match glimpse::look(folder) {
            Ok(glimpses) => (glimpses, None),
            Err(error) => (Vec::new(), Some(unreadable(&error))),
        };
        let known = glimpses
            .iter()
            .map(|seen| (seen.origin.clone(), seen.workspace.clone()));
        let names = if wanted.is_empty() {
            known.collect()
        } else {
            wanted.to_vec()
        };
        let standing = |(origin, workspace): (String, WorkspaceId)| {
            let is_it = |seen: &&Glimpse| seen.origin == origin && seen.workspace == workspace;
            let journal = glimpses.iter().find(is_it).cloned();
            Standing::of(folder, origin, workspace, journal, patience)
        };
        Self {
            workspaces: names.into_iter().map(standing).collect(),
            journal_trouble,
        }
    }
}

impl Standing {
    fn of(folder: &Path, origin: String, workspace: WorkspaceId, journal: Option<Glimpse>, patience: Duration) -> Self {
        let locks = DutyFiles::new(folder, &origin, &workspace);
        let records = HealthFile::new(folder, &origin, &workspace);
        let post = |duty| Post {
            held: locks.is_held(duty),
            told: records.told(duty),
        };
        let mut standing = Self {
            processes: glimpse::processes(folder, &origin, &workspace),
            presence: post(Duty::Presence),
            reading: post(Duty::Reading),
            origin,
            workspace,
            journal,
            folder_refuses: None,
            patience,
        };
        if standing.is_silent(&standing.presence) || standing.is_silent(&standing.reading) {
            let refused = obstacle::try_out(folder).err();
            standing.folder_refuses = refused.map(|error| deafness::silence(Some(&error)));
        }
        standing
    }

    /// What is known of receiving and of being seen, from the holders that there are. One that gave a duty up, because the
    /// platform refused it, and still runs is believed about its troubles.
    #[must_use]
    pub fn health(&self) -> Health {
        let part = |post: &Post| {
            let told = post.told.as_ref().filter(|_| post.held || self.gave_up(post));
            told.map(|told| told.health.clone()).unwrap_or_default()
        };
        Health::of_two(part(&self.presence), part(&self.reading))
    }

    /// Whether messages arrive.
    #[must_use]
    pub fn can_receive(&self) -> bool {
        self.reading.held && !self.is_silent(&self.reading) && self.health().can_receive()
    }

    /// Whether the platform shows it as online: heartbeats are sent and accepted.
    #[must_use]
    pub fn is_visible(&self) -> bool {
        let health = self.health();
        let beats = self.presence.held && !self.is_silent(&self.presence);
        beats && health.beaten.is_some() && health.beat_trouble.is_none()
    }

    /// Whether a process does its work, whether or not the platform answers. A folder that takes nothing leaves no way to
    /// tell; a holder that lives is then believed.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let posts = [&self.presence, &self.reading];
        let mut held = posts.into_iter().filter(|post| post.held).peekable();
        match held.peek() {
            Some(_) => self.folder_refuses.is_some() || held.all(|post| !self.is_silent(post)),
            // Those whose duties are all switched off have none to hold.
            None => self.processes > 0,
        }
    }

    /// In one word.
    #[must_use]
    pub fn state(&self) -> State {
        if self.can_receive() {
            return if self.is_visible() {
                State::Online
            } else {
                State::Receiving
            };
        }
        let health = self.health();
        match self.is_alive() {
            false if self.processes == 0 && !self.reading.held && !self.presence.held => State::Offline,
            false => State::Stuck,
            true if health.read.is_none() && !health.removed && health.troubles().next().is_none() => State::Starting,
            true => State::Deaf,
        }
    }

    /// When the inbox was last read successfully, by whomever.
    #[must_use]
    pub fn last_read(&self) -> Option<Timestamp> {
        let told = self.reading.told.as_ref().and_then(|told| told.health.read);
        told.max(self.journal.as_ref().and_then(|journal| journal.last_poll))
    }

    /// When a heartbeat was last accepted.
    #[must_use]
    pub fn last_beat(&self) -> Option<Timestamp> {
        self.presence.told.as_ref().and_then(|told| told.health.beaten)
    }

    /// How many messages wait; all zero where the journal knows nothing.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.journal.as_ref().map(|journal| journal.counts).unwrap_or_default()
    }

    /// Everything that is wrong, most important first. Not empty when nothing can be received.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        let health = self.health();
        let mut troubles = match (&self.reading, &self.folder_refuses) {
            // Its own words follow.
            (reading, _) if self.gave_up(reading) => Vec::new(),
            (reading, _) if !reading.held => vec![self.nobody_reads()],
            (reading, Some(refused)) if self.is_silent(reading) => vec![refused.clone()],
            (reading, None) if self.is_silent(reading) => vec![deafness::silence(None)],
            _ => deafness::of(&health),
        };
        let nobody_beats = self.reading.held && !self.presence.held;
        troubles.extend(nobody_beats.then(not_present));
        for trouble in health.troubles() {
            if !troubles
                .iter()
                .any(|told| told.code == trouble.code && told.what == trouble.what)
            {
                troubles.push(trouble.clone());
            }
        }
        troubles
    }

    fn nobody_reads(&self) -> Trouble {
        let presence = self.presence.told.as_ref().filter(|_| self.presence.held);
        if presence.is_some_and(|told| told.health.reading == Role::Off) {
            return deafness::switched_off();
        }
        if self.processes > 0 || self.presence.held {
            return Trouble::new(
                "NOT_YET_RECEIVING",
                "molecule-mcp runs for this workspace, and none of its processes receives",
                "wait a moment if it has just been started; otherwise look at its log, and whether \
                 MOLECULE_MCP_DISABLE_INBOX is set in its environment",
            );
        }
        Trouble::new(
            "NOT_RUNNING",
            "no molecule-mcp runs for this workspace on this computer, so nothing is received; the platform keeps what arrives",
            "start the MCP client that is set up for it, or `molecule-mcp serve`",
        )
    }

    /// Whether its holder let it go because of a trouble, and still runs.
    fn gave_up(&self, post: &Post) -> bool {
        let has_trouble = |told: &Told| told.health.troubles().next().is_some();
        !post.held && self.processes > 0 && post.told.as_ref().is_some_and(has_trouble)
    }

    fn is_silent(&self, post: &Post) -> bool {
        post.held && post.told.as_ref().is_none_or(|told| told.age > self.patience)
    }
}

fn not_present() -> Trouble {
    Trouble::new(
        "NOT_PRESENT",
        "no process sends heartbeats for this workspace, so the platform shows it as offline although messages are received",
        "remove MOLECULE_MCP_DISABLE_HEARTBEAT from the environment of one process, or see to it that the agent's own loop runs",
    )
}

fn unreadable(error: &JournalError) -> Trouble {
    Trouble::new(super::health::JOURNAL_ERROR, error.to_string(), error.remedy())
}

#[cfg(test)]
mod tests {
    use super::super::journal::Journal;
    use super::super::lock::{DutyLock, Taken};
    use super::super::record::Holder;
    use super::*;

    const ORIGIN: &str = "http://127.0.0.1:1";
    const PATIENCE: Duration = Duration::from_secs(45);

    struct Folder {
        dir: tempfile::TempDir,
        own: WorkspaceId,
    }

    impl Folder {
        fn new() -> Self {
            Self {
                dir: tempfile::tempdir().unwrap(),
                own: WorkspaceId::parse("a").unwrap(),
            }
        }

        fn hold(&self, duty: Duty) -> DutyLock {
            let files = DutyFiles::new(self.dir.path(), ORIGIN, &self.own);
            match files.open(duty).unwrap().try_take().unwrap() {
                Taken::Ours(lock) => lock,
                taken => panic!("{taken:?}"),
            }
        }

        fn tell(&self, duty: Duty, health: Health) {
            let holder = Holder::this_process("TOKEN".to_owned(), Vec::new());
            let file = HealthFile::new(self.dir.path(), ORIGIN, &self.own).signed(holder);
            file.write(duty, &health.part(duty)).unwrap();
        }

        fn look(&self, patience: Duration) -> Standing {
            let wanted = [(ORIGIN.to_owned(), self.own.clone())];
            Overview::of(self.dir.path(), &wanted, patience).workspaces.remove(0)
        }

        fn codes(&self, patience: Duration) -> Vec<String> {
            self.look(patience)
                .troubles()
                .into_iter()
                .map(|trouble| trouble.code)
                .collect()
        }
    }

    fn receiving() -> Health {
        Health {
            presence: Role::Holder,
            reading: Role::Holder,
            read: Some(Timestamp(7)),
            beaten: Some(Timestamp(8)),
            ..Health::default()
        }
    }

    #[test]
    fn a_folder_that_knows_nothing_says_that_nothing_runs_and_stays_empty() {
        let folder = Folder::new();
        assert!(Overview::of(folder.dir.path(), &[], PATIENCE).workspaces.is_empty());
        let standing = folder.look(PATIENCE);
        assert!(!standing.can_receive() && !standing.is_alive());
        assert_eq!(folder.codes(PATIENCE), ["NOT_RUNNING"]);
        assert_eq!(std::fs::read_dir(folder.dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_holder_says_counts_only_while_it_holds_and_makes_progress() {
        let folder = Folder::new();
        let (presence, reading) = (folder.hold(Duty::Presence), folder.hold(Duty::Reading));
        assert_eq!(folder.codes(PATIENCE), ["HOLDER_SILENT"], "it has said nothing yet");
        assert!(!folder.look(PATIENCE).is_alive());
        for duty in [Duty::Presence, Duty::Reading] {
            folder.tell(duty, receiving());
        }
        let standing = folder.look(PATIENCE);
        assert!(standing.can_receive() && standing.is_alive());
        assert_eq!(standing.state(), State::Online);
        assert_eq!(standing.presence.told.unwrap().holder.pid, std::process::id());
        assert_eq!(folder.codes(PATIENCE), Vec::<String>::new());
        assert_eq!(folder.codes(Duration::ZERO), ["HOLDER_SILENT"]);
        assert_eq!(folder.look(Duration::ZERO).state(), State::Stuck);
        drop((presence, reading));
        let standing = folder.look(PATIENCE);
        assert_eq!(folder.codes(PATIENCE), ["NOT_RUNNING"]);
        assert_eq!(standing.state(), State::Offline);
        assert_eq!(
            (standing.last_read(), standing.last_beat()),
            (Some(Timestamp(7)), Some(Timestamp(8)))
        );
    }

    #[test]
    fn everything_wrong_is_told_also_what_does_not_keep_messages_away() {
        let folder = Folder::new();
        let _reading = folder.hold(Duty::Reading);
        let rival = Some(Trouble::new("RIVAL", "", ""));
        folder.tell(Duty::Reading, Health { rival, ..receiving() });
        assert_eq!(folder.look(PATIENCE).state(), State::Receiving);
        assert_eq!(folder.codes(PATIENCE), ["NOT_PRESENT", "RIVAL"]);
        let read_trouble = Some(Trouble::new("R", "", ""));
        folder.tell(
            Duty::Reading,
            Health {
                read_trouble,
                ..receiving()
            },
        );
        assert_eq!(folder.look(PATIENCE).state(), State::Deaf);
        assert_eq!(folder.codes(PATIENCE), ["R", "NOT_PRESENT"]);
    }

    #[test]
    fn an_inbox_that_is_switched_off_is_told_from_one_that_has_not_begun() {
        let folder = Folder::new();
        let _presence = folder.hold(Duty::Presence);
        folder.tell(
            Duty::Presence,
            Health {
                reading: Role::Off,
                ..receiving()
            },
        );
        assert_eq!(folder.codes(PATIENCE), ["INBOX_OFF"]);
        assert!(folder.look(PATIENCE).is_alive() && !folder.look(PATIENCE).can_receive());
        folder.tell(
            Duty::Presence,
            Health {
                reading: Role::Starting,
                ..receiving()
            },
        );
        assert_eq!(folder.codes(PATIENCE), ["NOT_YET_RECEIVING"]);
    }

    #[tokio::test]
    async fn one_that_gave_a_duty_up_and_still_runs_says_why() {
        let folder = Folder::new();
        let lease = Duration::from_secs(600);
        let refused = Some(Trouble::new("AUTH_ERROR", "", ""));
        folder.tell(
            Duty::Presence,
            Health {
                register_trouble: refused,
                ..Health::default()
            },
        );
        folder.tell(Duty::Reading, Health::default());
        assert_eq!(folder.codes(PATIENCE), ["NOT_RUNNING"], "it does not run");
        let running = Journal::open(folder.dir.path(), ORIGIN, &folder.own, lease).await;
        let running = running.unwrap();
        assert_eq!(folder.codes(PATIENCE), ["NOT_YET_RECEIVING", "AUTH_ERROR"]);
        assert_eq!(folder.look(PATIENCE).state(), State::Deaf);
        let read_trouble = Some(Trouble::new("R", "", ""));
        folder.tell(
            Duty::Reading,
            Health {
                read_trouble,
                ..receiving()
            },
        );
        assert_eq!(folder.codes(PATIENCE), ["R", "AUTH_ERROR"]);
        drop(running);
    }
}
