//! What the holders of the duties know, as files, so that every process of the folder tells the same truth about receiving.
//!
//! Each duty has its own file. Its holder writes it whenever its part of the health record changes and every
//! [`RENEW_EVERY`]; how old it is tells whether the holder makes progress. Its age is measured by a clock that neither jumps
//! nor counts the computer's sleep, so that a holder that slept with the computer is not called silent. It holds no
//! credential and no message text.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::BootInstant;
use super::draft;
use super::health::{Duty, Health};
use super::lock::scope_key;
use super::obstacle;
use crate::types::{Timestamp, WorkspaceId};

/// How often a holder that makes progress writes its part.
pub const RENEW_EVERY: Duration = Duration::from_secs(15);
/// A holder whose record is older than this makes no progress.
pub const SILENT_AFTER: Duration = Duration::from_secs(3 * RENEW_EVERY.as_secs());

/// What a file holds.
#[derive(Serialize, Deserialize)]
struct Record<H> {
    written: BootInstant,
    /// Absent in what an earlier version wrote.
    #[serde(default)]
    holder: Holder,
    #[serde(flatten)]
    health: H,
}

/// Which process holds a duty, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holder {
    /// Its process id, as itself sees it: in a container it is one of the container's.
    pub pid: u32,
    /// The version of the program that runs, which may have been replaced on disk since.
    pub version: String,
    /// When it opened the state folder.
    pub started: Option<Timestamp>,
    /// Where its token comes from: a variable's name or a path.
    pub token_source: String,
    /// The sets of tools that it shows.
    pub tool_sets: Vec<String>,
}

impl Holder {
    /// This process.
    #[must_use]
    pub fn this_process(token_source: String, tool_sets: Vec<String>) -> Self {
        Self {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: Some(Timestamp::now()),
            token_source,
            tool_sets,
        }
    }
}

/// What a record file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The part of the health record.
    pub health: Health,
    /// How long ago it was written, the computer's sleep not counted.
    pub age: Duration,
    /// By whom.
    pub holder: Holder,
}

/// The record files of one platform origin and workspace. Only the holder of a duty writes that duty's.
#[derive(Clone, Debug)]
pub struct HealthFile {
    folder: PathBuf,
    key: String,
    holder: Holder,
}

impl HealthFile {
    /// The files in this state folder; nothing is touched yet.
    #[must_use]
    pub fn new(folder: &Path, origin: &str, workspace: &WorkspaceId) -> Self {
        Self {
            folder: folder.to_owned(),
            key: scope_key(origin, workspace),
            holder: Holder::default(),
        }
    }

    /// The same, for a process that may hold a duty and says who it is.
    #[must_use]
    pub fn signed(self, holder: Holder) -> Self {
        Self { holder, ..self }
    }

    /// Replaces the part of one duty, mode 0600. Not synced to the disk: after a power cut there is no holder to tell of.
    ///
    /// # Errors
    /// When the folder or disk refuses; the old record stays.
    pub fn write(&self, duty: Duty, part: &Health) -> io::Result<()> {
        let name = self.name(duty);
        let draft = draft::begin(&self.folder, &name, ".tmp")?;
        let written = BootInstant::awake();
        let record = Record {
            written,
            holder: self.holder.clone(),
            health: part,
        };
        draft::write(&draft, &serde_json::to_vec(&record)?)?;
        draft.persist(self.folder.join(name)).map_err(|refused| refused.error)?;
        Ok(())
    }

    /// Takes the part of one duty away, because it is no longer true and a new one cannot be written: removing needs no space.
    pub fn withdraw(&self, duty: Duty) {
        let _ = fs::remove_file(self.folder.join(self.name(duty)));
    }

    /// Whether the folder takes files at all. To be asked when the record is missing or old: then it tells a holder that
    /// makes no progress from a disk that lets nobody make any.
    ///
    /// # Errors
    /// What the system says.
    pub fn try_out_folder(&self) -> io::Result<()> {
        obstacle::try_out(&self.folder)
    }

    /// What the holder of one duty wrote and how long ago, the computer's sleep not counted; `None` when there is nothing
    /// of this boot that can be read.
    #[must_use]
    pub fn part(&self, duty: Duty) -> Option<(Health, Duration)> {
        self.told(duty).map(|told| (told.health, told.age))
    }

    /// The same with who wrote it.
    #[must_use]
    pub fn told(&self, duty: Duty) -> Option<Told> {
        let path = self.folder.join(self.name(duty));
        fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let Record {
            written,
            holder,
            health,
        } = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let now = BootInstant::awake();
        let age = now.since.saturating_sub(written.since);
        now.is_of_boot(&written.boot).then_some(Told { health, age, holder })
    }

    /// What is known of receiving, from both holders, and how long ago the one that reads wrote; `None` when nobody did.
    #[must_use]
    pub fn read(&self) -> Option<(Health, Duration)> {
        let (reading, age) = self.part(Duty::Reading)?;
        let presence = self.part(Duty::Presence).unwrap_or_default().0;
        Some((Health::of_two(presence, reading), age))
    }

    fn name(&self, duty: Duty) -> String {
        let what = match duty {
            Duty::Presence => "presence",
            Duty::Reading => "reading",
        };
        format!("{what}-{}.json", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path) -> HealthFile {
        HealthFile::new(folder, "http://127.0.0.1:1", &WorkspaceId::parse("a").unwrap())
    }

    #[test]
    fn what_was_written_is_read_back_part_by_part_and_put_together() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        assert!(file.read().is_none());
        let presence = Health {
            beaten: Some(Timestamp(5)),
            ..Health::default()
        };
        file.write(Duty::Presence, &presence).unwrap();
        assert!(file.read().is_none(), "nobody reads");
        let reading = Health {
            read: Some(Timestamp(7)),
            removed: true,
            ..Health::default()
        };
        file.write(Duty::Reading, &reading).unwrap();
        assert_eq!(file.part(Duty::Presence).unwrap().0, presence);
        assert_eq!(file.part(Duty::Reading).unwrap().0, reading);
        let (both, age) = file.read().unwrap();
        assert_eq!(both, Health::of_two(presence, reading));
        assert!(age < Duration::from_secs(60));
    }

    #[test]
    fn the_age_is_that_of_the_one_that_reads_and_a_record_of_another_boot_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        let minute = Duration::from_secs(60);
        let write = |duty, written: BootInstant| {
            let health = Health::default();
            let holder = Holder::default();
            let record = Record {
                written,
                holder,
                health,
            };
            let text = serde_json::to_vec(&record).unwrap();
            fs::write(folder.path().join(file.name(duty)), text).unwrap();
        };
        let now = BootInstant::awake();
        let Some(since) = now.since.checked_sub(minute) else {
            return; // A computer that has just started.
        };
        write(Duty::Presence, now.clone());
        write(Duty::Reading, BootInstant { since, ..now.clone() });
        assert!(file.read().unwrap().1 >= minute);
        assert!(file.part(Duty::Presence).unwrap().1 < minute);
        let boot = "another".to_owned();
        write(Duty::Reading, BootInstant { boot, ..now });
        assert!(file.read().is_none());
    }

    #[test]
    fn a_record_that_makes_no_sense_is_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        let path = folder.path().join(file.name(Duty::Reading));
        fs::write(&path, "{").unwrap();
        assert!(file.read().is_none());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(file.read().is_none());
        assert!(file.write(Duty::Reading, &Health::default()).is_err());
    }
}
