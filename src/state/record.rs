//! The holder's health record as a file, so that every process of the folder tells the same truth about receiving.
//!
//! The holder writes it whenever the record changes and every [`RENEW_EVERY`]; how old it is tells whether the holder
//! makes progress. It holds no credential and no message text.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::draft;
use super::health::Health;
use super::lock::scope_key;
use super::obstacle;
use crate::types::WorkspaceId;

/// How often a holder that makes progress writes its record.
pub const RENEW_EVERY: Duration = Duration::from_secs(15);

/// The record file of one platform origin and workspace. Only the holder writes it.
#[derive(Clone, Debug)]
pub struct HealthFile {
    folder: PathBuf,
    name: String,
}

impl HealthFile {
    /// The file in this state folder; nothing is touched yet.
    #[must_use]
    pub fn new(folder: &Path, origin: &str, workspace: &WorkspaceId) -> Self {
        Self {
            folder: folder.to_owned(),
            name: format!("health-{}.json", scope_key(origin, workspace)),
        }
    }

    /// Replaces the record, mode 0600. Not synced to the disk: after a power cut there is no holder to tell of.
    ///
    /// # Errors
    /// When the folder or disk refuses; the old record stays.
    pub fn write(&self, health: &Health) -> io::Result<()> {
        let draft = draft::begin(&self.folder, &self.name, ".tmp")?;
        draft::write(&draft, &serde_json::to_vec(health)?)?;
        draft
            .persist(self.folder.join(&self.name))
            .map_err(|refused| refused.error)?;
        Ok(())
    }

    /// Takes the record away, because it is no longer true and a new one cannot be written: removing needs no space.
    pub fn withdraw(&self) {
        let _ = fs::remove_file(self.folder.join(&self.name));
    }

    /// Whether the folder takes files at all. To be asked when the record is missing or old: then it tells a holder that
    /// makes no progress from a disk that lets nobody make any.
    ///
    /// # Errors
    /// What the system says.
    pub fn try_out_folder(&self) -> io::Result<()> {
        obstacle::try_out(&self.folder)
    }

    /// The record and how long ago it was written; `None` when there is none that can be read.
    #[must_use]
    pub fn read(&self) -> Option<(Health, Duration)> {
        let path = self.folder.join(&self.name);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    fn file(folder: &Path) -> HealthFile {
        HealthFile::new(folder, "http://127.0.0.1:1", &WorkspaceId::parse("a").unwrap())
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        assert!(file.read().is_none());
        let health = Health {
            read: Some(Timestamp(7)),
            removed: true,
            ..Health::default()
        };
        file.write(&health).unwrap();
        let (read, age) = file.read().unwrap();
        assert_eq!(read, health);
        assert!(age < Duration::from_secs(60));
    }

    #[test]
    fn a_record_that_makes_no_sense_is_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        fs::write(folder.path().join(&file.name), "{").unwrap();
        assert!(file.read().is_none());
        fs::remove_file(folder.path().join(&file.name)).unwrap();
        fs::create_dir(folder.path().join(&file.name)).unwrap();
        assert!(file.read().is_none());
        assert!(file.write(&Health::default()).is_err());
    }
}
