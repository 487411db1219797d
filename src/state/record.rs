//! The holder's health record as a file, so that every process of the folder tells the same truth about receiving.
//!
//! The holder writes it whenever the record changes and every [`RENEW_EVERY`]; how old it is tells whether the holder
//! makes progress. Its age is measured by a clock that neither jumps nor counts the computer's sleep, so that a holder that
//! slept with the computer is not called silent. It holds no credential and no message text.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::BootInstant;
use super::health::Health;
use super::lock::scope_key;
use crate::types::WorkspaceId;

/// How often a holder that makes progress writes its record.
pub const RENEW_EVERY: Duration = Duration::from_secs(15);

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Record<H> {
    written: BootInstant,
    #[serde(flatten)]
    health: H,
}

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
        let mut draft = tempfile::Builder::new()
            .prefix(&self.name)
            .suffix(".tmp")
            .tempfile_in(&self.folder)?;
        let written = BootInstant::awake();
        draft.write_all(&serde_json::to_vec(&Record { written, health })?)?;
        draft
            .persist(self.folder.join(&self.name))
            .map_err(|refused| refused.error)?;
        Ok(())
    }

    /// The record and how long ago it was written, the computer's sleep not counted; `None` when there is none of this boot
    /// that can be read.
    #[must_use]
    pub fn read(&self) -> Option<(Health, Duration)> {
        let path = self.folder.join(&self.name);
        fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let Record { written, health } = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let now = BootInstant::awake();
        let age = now.since.saturating_sub(written.since);
        now.is_of_boot(&written.boot).then_some((health, age))
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
    fn a_record_of_another_boot_is_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        let written = BootInstant {
            boot: "another".to_owned(),
            ..BootInstant::awake()
        };
        let health = Health::default();
        let text = serde_json::to_vec(&Record { written, health }).unwrap();
        fs::write(folder.path().join(&file.name), text).unwrap();
        assert!(file.read().is_none());
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
