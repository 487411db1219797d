//! The outbox duty: sends what the tools wrote down, and finds out what became of it.
//!
//! Tools only write rows. Every process attempts its own; the duty holder also takes over those of processes that died, and
//! watches the platform's list for the outcomes of accepted delegations, so that every process reads them in the journal.
//! What an attempt's outcome means is decided by pure functions; nothing here knows MCP.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::agent::stream::Stream;
use crate::config::Timing;
use crate::platform::workspace::WorkspaceApi;
use crate::state::journal::Journal;
use crate::state::spool::Spool;

mod body;
mod carrier;
mod decide;
mod entries;
mod finding;
mod gate;
mod hints;
#[cfg(test)]
mod model;
mod ports;
mod schedule;
mod sending;
#[cfg(test)]
mod stand_in;
mod uploading;
mod watching;

use hints::Hints;
use sending::Sending;
use watching::Watching;

/// The duty of one process for one workspace.
pub struct Outbox {
    /// The platform, as this workspace.
    pub api: WorkspaceApi,
    /// Where the work is written down.
    pub journal: Journal,
    /// Where the files are that go with it.
    pub spool: Spool,
    /// Whether this process holds the duty.
    pub holder: watch::Receiver<bool>,
    /// Hints of outcomes; without it the list is read more often.
    pub stream: Option<Stream>,
    /// The intervals.
    pub timing: Timing,
}

impl Outbox {
    /// Works until `stop`, then gives an answer that is in flight 0.9 s to arrive and be recorded.
    ///
    /// Work that is not settled by then stays pending: the duty holder, or the next process, goes on with it.
    ///
    /// # Panics
    /// When an attempt panicked, so that the supervisor sees it.
    pub async fn run(self, stop: CancellationToken) {
        let sending = Sending {
            platform: self.api.clone(),
            book: self.journal.clone(),
            spool: self.spool,
            holder: self.holder.clone(),
            timing: self.timing,
        };
        let watching = Watching {
            platform: self.api,
            book: self.journal,
            holder: self.holder,
            hints: Hints::of(self.stream.as_ref()),
            timing: self.timing,
        };
        tokio::join!(sending.run(stop.clone()), watching.run(stop));
    }
}
