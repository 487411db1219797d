//! Which received files make room for others.

use std::collections::HashSet;

use super::error::JournalError;
use super::file_row::FileRow;
use super::ledger::Ledger;
use super::shape::FileRoom;
use crate::state::file::FileState;

impl Ledger<'_> {
    /// Which files go, so that those on this computer and `needed` more bytes stay within `quota`. Old ones go in any case,
    /// those of messages that are not handled yet never.
    pub(super) fn files_to_drop(&self, needed: u64, quota: u64) -> Result<FileRoom, JournalError> {
        let (here, _) = self.files(
            "path IS NOT NULL AND state IN ('staged', 'kept') ORDER BY seen, n",
            [self.scope],
        )?;
        let length = |file: &FileRow| file.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        let mut total = here.iter().map(length).sum::<u64>().saturating_add(needed);
        let old = self.kept_since()?;
        let is_old = |file: &FileRow| old.is_some_and(|old| file.seen < old);
        let wanted = if total > quota || here.iter().any(is_old) {
            self.files_of_unhandled()?
        } else {
            HashSet::new()
        };
        let mut drop = Vec::new();
        for file in here {
            if (is_old(&file) || total > quota) && file.state == FileState::Kept && !wanted.contains(&file.id) {
                total = total.saturating_sub(length(&file));
                drop.push((file.id, file.path.unwrap_or_default().into()));
            }
        }
        Ok(FileRoom {
            drop,
            fits: total <= quota,
        })
    }

    /// The files that messages show which are not acknowledged, or not told yet.
    fn files_of_unhandled(&self) -> Result<HashSet<String>, JournalError> {
        let (untold, _) = self.files("message IS NOT NULL", [self.scope])?;
        let mut wanted: HashSet<String> = untold.into_iter().map(|file| file.id).collect();
        for message in self.unhandled_with_files()? {
            wanted.extend(self.mentions(&message)?.into_iter().map(|mention| mention.id));
        }
        Ok(wanted)
    }
}
