//! What `molecule.db.lock` remembers of the database file, so that what became of it is known even when it is gone.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};

/// What the lock file remembers of the database file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing: a first start.
    Fresh,
    /// It has its tables. If it has none it was cut to nothing, which is no first start.
    Made,
    /// A damaged one was put under this name, and its successor does not know yet.
    Lost(String),
}

impl Mark {
    /// What the file says now.
    pub(super) fn read(lock: &mut File) -> io::Result<Self> {
        let mut text = String::new();
        lock.rewind()?;
        // Anything unreadable was written by somebody, so there was a file.
        if lock.read_to_string(&mut text).is_err() {
            return Ok(Self::Made);
        }
        Ok(match text.strip_prefix("lost ") {
            Some(name) => Self::Lost(name.to_owned()),
            None if text.is_empty() => Self::Fresh,
            None => Self::Made,
        })
    }

    /// Written over the old mark before that is cut: a full disk stops neither.
    pub(super) fn write(&self, lock: &mut File) -> io::Result<()> {
        let text = match self {
            Self::Fresh => String::new(),
            Self::Made => "made".to_owned(),
            Self::Lost(name) => format!("lost {name}"),
        };
        lock.rewind()?;
        lock.write_all(text.as_bytes())?;
        lock.set_len(text.len() as u64)
    }

    /// The name of the damaged file.
    pub(super) fn lost(&self) -> Option<&str> {
        match self {
            Self::Lost(name) => Some(name),
            Self::Fresh | Self::Made => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_what_was_written_last() {
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(Mark::read(&mut file).unwrap(), Mark::Fresh);
        let lost = Mark::Lost("molecule.db.damaged-20260501T100000Z".to_owned());
        for mark in [Mark::Made, lost, Mark::Made, Mark::Fresh] {
            mark.write(&mut file).unwrap();
            assert_eq!(Mark::read(&mut file).unwrap(), mark);
        }
        file.write_all(b"\xff\x00").unwrap();
        assert_eq!(Mark::read(&mut file).unwrap(), Mark::Made, "somebody's");
    }
}
