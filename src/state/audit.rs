//! The record of what was changed on a platform: one JSON line per request, in a file of mode 0600. Values are never in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::types::Timestamp;

/// The file's name in the state folder.
pub const AUDIT: &str = "audit.jsonl";
/// Where the file goes when it is full; the one before is given up.
const EARLIER: &str = "audit.jsonl.1";
/// A file of this size is full.
const FULL: u64 = 4 * 1024 * 1024;

/// One request that may have changed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was about to be sent, RFC 3339.
    pub time: String,
    /// The tool.
    pub tool: String,
    /// Method and path: ids and names.
    pub target: String,
    /// `ok`, or the code of the failure; `UNKNOWN` when nobody waited for the answer; `REMOVED` when a deletion had failed, and
    /// looking showed that it had taken effect.
    pub outcome: String,
}

/// Where requests are recorded.
#[derive(Clone, Debug)]
pub struct Audit {
    dir: PathBuf,
}

/// A request that is about to be sent. Dropping it records that its outcome is not known.
#[derive(Debug)]
pub struct Pending {
    file: File,
    record: Option<Record>,
}

impl Audit {
    /// The record in this folder.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Makes sure that a request can be recorded. Blocks for as long as the disk does.
    ///
    /// # Errors
    /// When the file cannot be opened; then the request should not be sent.
    pub fn begin(&self, tool: &str, target: &str) -> io::Result<Pending> {
        let path = self.dir.join(AUDIT);
        if fs::symlink_metadata(&path).is_ok_and(|entry| entry.len() >= FULL) {
            fs::rename(&path, self.dir.join(EARLIER))?;
        }
        Ok(Pending {
            file: open(&path)?,
            record: Some(Record {
                time: Timestamp::now().to_rfc3339(),
                tool: tool.to_owned(),
                target: target.to_owned(),
                outcome: String::new(),
            }),
        })
    }

    /// The newest records, oldest first, at most `limit`. A line that cannot be read is left out.
    ///
    /// # Errors
    /// When a file exists and cannot be read.
    pub fn newest(&self, limit: usize) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for name in [EARLIER, AUDIT] {
            match File::open(self.dir.join(name)) {
                Ok(file) => {
                    let lines = BufReader::new(file).lines().map_while(Result::ok);
                    records.extend(lines.filter_map(|line| serde_json::from_str::<Record>(&line).ok()));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let surplus = records.len().saturating_sub(limit);
        Ok(records.split_off(surplus))
    }
}

impl Pending {
    /// Records how it ended.
    pub fn end(mut self, outcome: &str) {
        self.write(outcome);
    }

    fn write(&mut self, outcome: &str) {
        let Some(record) = self.record.take() else { return };
        let record = Record {
            outcome: outcome.to_owned(),
            ..record
        };
        let Ok(mut line) = serde_json::to_vec(&record) else {
            return;
        };
        line.push(b'\n');
        // One write to a file opened for appending: lines of several processes do not mix.
        if let Err(error) = self.file.write_all(&line) {
            tracing::error!(%error, tool = record.tool, target = record.target, "a change could not be recorded");
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.write("UNKNOWN");
    }
}

fn open(path: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|entry| !entry.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_recorded_with_its_outcome_even_when_nobody_waited() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::new(dir.path().to_owned());
        assert!(audit.newest(10).unwrap().is_empty());
        audit.begin("a", "PUT /x").unwrap().end("ok");
        drop(audit.begin("b", "DELETE /y").unwrap());
        let records = audit.newest(10).unwrap();
        let told: Vec<_> = records
            .iter()
            .map(|record| (record.tool.as_str(), record.target.as_str(), record.outcome.as_str()))
            .collect();
        assert_eq!(told, [("a", "PUT /x", "ok"), ("b", "DELETE /y", "UNKNOWN")]);
        assert_eq!(audit.newest(1).unwrap()[0].tool, "b");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(dir.path().join(AUDIT)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_full_file_makes_room_and_is_still_read() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::new(dir.path().to_owned());
        audit.begin("old", "POST /x").unwrap().end("ok");
        let file = OpenOptions::new().append(true).open(dir.path().join(AUDIT)).unwrap();
        file.set_len(FULL).unwrap();
        audit.begin("new", "POST /x").unwrap().end("ok");
        assert!(fs::metadata(dir.path().join(AUDIT)).unwrap().len() < 1000);
        let tools: Vec<_> = audit
            .newest(10)
            .unwrap()
            .into_iter()
            .map(|record| record.tool)
            .collect();
        assert_eq!(tools, ["old", "new"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("elsewhere");
        fs::write(&target, "").unwrap();
        std::os::unix::fs::symlink(&target, dir.path().join(AUDIT)).unwrap();
        assert!(Audit::new(dir.path().to_owned()).begin("a", "PUT /x").is_err());
    }
}
