//! What the holders of the duties know, as files, so that every process of the folder tells the same truth about receiving.
//!
//! Each duty has its own file. Its holder writes it whenever its part of the health record changes and every
//! [`RENEW_EVERY`]; how old it is tells whether the holder makes progress. It holds no credential and no message text.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::draft;
use super::health::{Duty, Health};
use super::lock::scope_key;
use super::obstacle;
use crate::types::WorkspaceId;

/// How often a holder that makes progress writes its part.
pub const RENEW_EVERY: Duration = Duration::from_secs(15);
/// A holder whose record is older than this makes no progress.
pub const SILENT_AFTER: Duration = Duration::from_secs(3 * RENEW_EVERY.as_secs());

/// The record files of one platform origin and workspace. Only the holder of a duty writes that duty's.
#[derive(Clone, Debug)]
pub struct HealthFile {
    folder: PathBuf,
    key: String,
}

impl HealthFile {
    /// The files in this state folder; nothing is touched yet.
    #[must_use]
    pub fn new(folder: &Path, origin: &str, workspace: &WorkspaceId) -> Self {
        Self {
            folder: folder.to_owned(),
            key: scope_key(origin, workspace),
        }
    }

    /// Replaces the part of one duty, mode 0600. Not synced to the disk: after a power cut there is no holder to tell of.
    ///
    /// # Errors
    /// When the folder or disk refuses; the old record stays.
    pub fn write(&self, duty: Duty, part: &Health) -> io::Result<()> {
        let name = self.name(duty);
        let draft = draft::begin(&self.folder, &name, ".tmp")?;
        draft::write(&draft, &serde_json::to_vec(part)?)?;
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

    /// What the holder of one duty wrote and how long ago; `None` when there is nothing that can be read.
    #[must_use]
    pub fn part(&self, duty: Duty) -> Option<(Health, Duration)> {
        let path = self.folder.join(self.name(duty));
        let written = fs::symlink_metadata(&path)
            .ok()
            .filter(fs::Metadata::is_file)?
            .modified()
            .ok()?;
        let health = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        // A clock that was set back makes the file younger than now; it is rewritten soon.
        let age = SystemTime::now().duration_since(written).unwrap_or_default();
        Some((health, age))
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
    use crate::types::Timestamp;

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
    fn the_age_is_that_of_the_one_that_reads() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        for duty in [Duty::Presence, Duty::Reading] {
            file.write(duty, &Health::default()).unwrap();
        }
        let minute = Duration::from_secs(60);
        let old = fs::File::options()
            .write(true)
            .open(folder.path().join(file.name(Duty::Reading)));
        old.unwrap().set_modified(SystemTime::now() - minute).unwrap();
        assert!(file.read().unwrap().1 >= minute);
        assert!(file.part(Duty::Presence).unwrap().1 < minute);
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
