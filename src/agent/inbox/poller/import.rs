//! Where reading begins: the journal's cursor, or that of another program that polled meanwhile.

use tracing::{info, warn};

use super::files::Files;
use crate::agent::inbox::reader::Start;
use crate::state::cursor::Found;
use crate::state::journal::{Cursor, Journal, JournalError};
use crate::types::{ActivityId, Timestamp};

/// What the journal remembers.
#[derive(Debug)]
pub(super) struct Saved {
    cursor: Option<Cursor>,
    last_poll: Option<Timestamp>,
    replaced: bool,
}

impl Saved {
    pub(super) async fn load(journal: &Journal) -> Result<Self, JournalError> {
        Ok(Self {
            cursor: journal.cursor().await?,
            last_poll: journal.last_poll().await?,
            replaced: journal.recovery_wanted().await?,
        })
    }

    /// Weighs it against the cursor file, and writes the winner there.
    pub(super) async fn start(self, files: &Files, takeover: bool) -> Start {
        let found = files.found().await.unwrap_or_else(|error| {
            warn!(%error, "the cursor file could not be read");
            Found::default()
        });
        let last_poll = self.last_poll.or(found.written);
        let imported = match verdict(&found, &self) {
            Verdict::Journal => None,
            Verdict::Imported(id) => {
                info!("reading goes on from the cursor in the cursor file");
                Some(id)
            }
            Verdict::WentBack => {
                warn!(
                    "the journal is older than the cursor file that this program wrote; reading goes on from the journal"
                );
                None
            }
        };
        let journals = self.cursor.as_ref().map(|cursor| cursor.id.clone());
        if let Some(from) = imported.clone().or(journals)
            && let Err(error) = files.export(Some(from)).await
        {
            warn!(%error, "the cursor file could not be written");
        }
        Start {
            cursor: self.cursor,
            imported,
            last_poll,
            takeover,
            replaced: self.replaced,
        }
    }
}

/// Whose cursor wins.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Journal,
    Imported(ActivityId),
    /// The file is our own and does not fit the journal: the journal was put back, or the file could not be written any more.
    WentBack,
}

fn verdict(found: &Found, saved: &Saved) -> Verdict {
    let Some(id) = found.id.clone().filter(ActivityId::is_uuid) else {
        return Verdict::Journal;
    };
    // A journal that never read anything is a new one: the file is all that is left of the old.
    let is_new = saved.cursor.is_none() && saved.last_poll.is_none();
    match &saved.cursor {
        Some(cursor) if cursor.id == id => Verdict::Journal,
        _ if found.ours && !is_new => Verdict::WentBack,
        _ => Verdict::Imported(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> ActivityId {
        ActivityId::parse(&format!("00000000-0000-4000-8000-{n:012}")).unwrap()
    }

    #[test]
    fn only_another_programs_cursor_wins_over_the_journals() {
        let odd = ActivityId::parse("odd").unwrap();
        for (file, ours, journal, polled, expected) in [
            (None, false, None, false, Verdict::Journal),
            (None, false, Some(1), true, Verdict::Journal),
            (Some(id(1)), false, Some(1), true, Verdict::Journal),
            (Some(id(1)), true, Some(1), true, Verdict::Journal),
            (Some(id(2)), false, Some(1), true, Verdict::Imported(id(2))),
            (Some(id(2)), true, Some(1), true, Verdict::WentBack),
            (Some(id(2)), false, None, false, Verdict::Imported(id(2))),
            (Some(id(2)), true, None, false, Verdict::Imported(id(2))),
            (Some(id(2)), false, None, true, Verdict::Imported(id(2))),
            (Some(id(2)), true, None, true, Verdict::WentBack),
            (Some(odd), false, None, false, Verdict::Journal),
        ] {
            let found = Found {
                id: file.clone(),
                ours,
                written: None,
            };
            let saved = Saved {
                cursor: journal.map(|n| Cursor {
                    id: id(n),
                    at: Timestamp(1),
                    seq: None,
                }),
                last_poll: polled.then_some(Timestamp(1)),
                replaced: false,
            };
            assert_eq!(
                verdict(&found, &saved),
                expected,
                "{file:?} {ours} {journal:?} {polled}"
            );
        }
    }
}
