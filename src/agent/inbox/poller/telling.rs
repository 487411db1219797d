//! Judging what reads come to, and telling of it: in the log, in the health record and in the inbox.

use std::io;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::{Poller, announce, page};
use crate::agent::inbox::reader::{Failure, Note, Plan, ReadFailure};
use crate::agent::inbox::trouble;
use crate::platform::error::CallError;
use crate::state::health::{HealthBoard, JOURNAL_ERROR, Trouble};
use crate::state::journal::JournalError;
use crate::types::Timestamp;

/// Failed reads in a row before they are told of.
const FAILURES_TOLD: u32 = 2;
/// A commit that takes this long is told of.
const SLOW: Duration = Duration::from_secs(1);

impl Poller {
    pub(super) fn read_well(&mut self) {
        if self.failures > 0 {
            info!("the inbox can be read again");
        }
        self.failures = 0;
        self.errors.reset();
        self.refusals.reset();
        self.disk.reset();
        let waiting = self.reader.waits_for().map(trouble::waits_for);
        self.health.update(|health| {
            health.read = Some(Timestamp::now());
            // Whether a workspace was deleted is not for the reader to judge.
            if !health.removed {
                health.read_trouble = waiting;
            }
            health.journal_trouble.take_if(|told| told.code == JOURNAL_ERROR);
        });
    }

    /// Tells of a disk that keeps messages, but not as it should; logged once.
    pub(super) fn tell_of_disk(&self, exported: io::Result<()>, commit: Duration) {
        let told = match exported {
            Err(error) => Some(trouble::unexported(&error)),
            Ok(()) if commit >= SLOW => Some(trouble::slow(commit)),
            Ok(()) => None,
        };
        let code = |trouble: &Option<Trouble>| trouble.as_ref().map(|trouble| trouble.code.clone());
        let known = code(&self.health.now().disk_trouble);
        if let Some(trouble) = told.as_ref().filter(|_| code(&told) != known) {
            warn!("{}", trouble.what);
        }
        self.health.update(|health| health.disk_trouble = told);
    }

    pub(super) fn tell_of_rival(&mut self) {
        if !self.rival_told {
            self.rival_told = true;
            warn!("another program changed the cursor file: it polls for the same workspace");
            let rival = trouble::other_poller();
            self.health.update(|health| health.rival = Some(rival));
        }
    }

    pub(super) async fn tell(&self, notes: &[Note]) {
        for note in notes {
            match note {
                Note::Garbage(rows) => warn!(rows, "rows without an id were passed over"),
                Note::Stuck => warn!("the platform repeats a page; paging ended early"),
                Note::Late(messages) => warn!(messages, "messages appeared behind the saved cursor"),
                Note::Gap => {
                    warn!("more rows arrived between two reads than the platform shows");
                    self.announce(announce::gap()).await;
                }
                Note::Unfetchable { at, until } => {
                    debug!(
                        at = at.to_rfc3339(),
                        until = until.to_rfc3339(),
                        "a row cannot be fetched"
                    );
                    self.announce(announce::unfetchable(*at, *until)).await;
                }
            }
        }
    }

    async fn announce(&self, (text, name): (String, String)) {
        match self.journal.announce(&text, &name).await {
            Ok(true) => warn!("{text}"),
            Ok(false) => {}
            Err(error) => warn!(%error, "an announcement could not be stored"),
        }
    }

    /// Judges a failed read that took so long, tells of it when it lasts, and says how long to wait.
    pub(super) fn read_failed(&mut self, error: &CallError, plan: &Plan, spent: Duration) -> ReadFailure {
        let failure = page::failure_of(error, plan);
        if matches!(failure, Failure::Gone | Failure::TooLarge) {
            debug!(%error, limit = plan.limit, "reading in another way");
            // The reader waits for it only when there is no other way.
            let pause = self.errors.after(error);
            return ReadFailure { failure, pause };
        }
        if plan.probe && failure == Failure::Unreadable {
            debug!(%error, "going around a row that cannot be fetched");
            let pause = self.errors.next_delay().saturating_sub(spent);
            return ReadFailure { failure, pause };
        }
        self.failures += 1;
        let refused = matches!(error, CallError::Refused { .. });
        let token = self.api.token();
        if refused && token.reread() {
            info!("the token has changed; trying the new one");
            let pause = Duration::ZERO;
            return ReadFailure { failure, pause };
        }
        if self.failures == 1 {
            warn!(%error, "the inbox could not be read");
        }
        if refused || self.failures >= FAILURES_TOLD {
            let told = trouble::unread(error, &token.describe(), token.can_change());
            self.health.update(|health| {
                if !health.removed {
                    health.read_trouble = Some(told);
                }
            });
        }
        let pause = if refused {
            let least = self.timing.of(Duration::from_secs(5));
            self.refusals.next_delay().max(least)
        } else {
            // What was waited for the answer was waited. What the platform asks for counts from its answer.
            let rest = self.errors.next_delay().saturating_sub(spent);
            error.retry_after().map_or(rest, |asked| asked.max(rest))
        };
        ReadFailure { failure, pause }
    }
}

/// The journal did not take a batch; logged once.
pub(super) fn tell_unwritten(health: &HealthBoard, error: &JournalError) {
    let told = trouble::unwritten(error);
    if health.now().journal_trouble.is_none() {
        error!(%error, "received messages cannot be stored; none are fetched");
    }
    health.update(|health| health.journal_trouble = Some(told));
}
