//! Asks the platform who the peers are that write and whom nobody knows yet. Messages never wait for it.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::config::Timing;
use crate::platform::client::Purpose;
use crate::platform::error::CallError;
use crate::platform::retry::Backoff;
use crate::platform::wire::Existence;
use crate::platform::workspace::WorkspaceApi;
use crate::state::journal::{Introduction, Journal, JournalError};
use crate::types::PeerId;

/// How many are asked about at once.
const ABREAST: u32 = 2;
/// With fewer requests left than this, those that bring messages come first.
const SCARCE: u64 = 120;
/// How long names wait then.
const PATIENCE: Duration = Duration::from_secs(60);

/// The duty of one workspace; only the one who reads does it.
#[derive(Debug)]
pub struct Introductions {
    /// The platform, as this workspace.
    pub api: WorkspaceApi,
    /// Who is known, and who is not.
    pub journal: Journal,
    /// The intervals.
    pub timing: Timing,
}

impl Introductions {
    /// Asks until `stop`. What is under way then is asked again by the next process.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.go_on()).await;
    }

    async fn go_on(self) {
        let second = Duration::from_secs(1);
        let mut trouble = Backoff::new(self.timing.of(second), self.timing.of(second * 60));
        let mut changes: watch::Receiver<u64> = self.journal.changes();
        loop {
            changes.borrow_and_update();
            match self.ask().await {
                Ok(0) => {
                    trouble.reset();
                    if changes.changed().await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    debug!(%error, "the list of unknown peers could not be read or kept");
                    sleep(trouble.next_delay()).await;
                }
            }
        }
    }

    /// Asks about a few strangers and answers how many.
    async fn ask(&self) -> Result<usize, JournalError> {
        let strangers = self.journal.strangers(ABREAST).await?;
        if strangers.is_empty() {
            return Ok(0);
        }
        if self
            .api
            .client()
            .rate_limit()
            .remaining
            .is_some_and(|left| left < SCARCE)
        {
            sleep(self.timing.of(PATIENCE)).await;
        }
        // Where many share the limit, all of them would find it ample at once.
        self.api.client().wait_for(Purpose::Looking, self.timing).await;
        let learned = join_all(strangers.into_iter().map(|peer| self.look_up(peer))).await;
        let asked = learned.len();
        self.journal.introduce(learned).await?;
        Ok(asked)
    }

    async fn look_up(&self, peer: PeerId) -> (PeerId, Option<Introduction>) {
        let told = introduction(self.api.existence_of(&peer).await);
        if told.is_none() {
            debug!(%peer, "the platform did not say who this peer is");
        }
        (peer, told)
    }
}

fn introduction(looked: Result<Existence, CallError>) -> Option<Introduction> {
    match looked {
        // A workspace that was removed meanwhile is still who it was.
        Ok(Existence::Known(row) | Existence::Removed(row)) => {
            let told = Introduction::new(row["name"].as_str(), row["role"].as_str());
            row["name"].is_string().then_some(told)
        }
        Ok(Existence::Unknown) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_row_of_the_workspace_says_who_it_is() {
        let named = Some(Introduction::new(Some("Ada"), Some("ops")));
        let row = json!({ "name": "Ada", "role": "ops", "status": "online" });
        for (looked, expected) in [
            (Ok(Existence::Known(row.clone())), named.clone()),
            (Ok(Existence::Removed(row)), named),
            (
                Ok(Existence::Known(json!({ "name": "Ada", "role": null }))),
                Some(Introduction::new(Some("Ada"), None)),
            ),
            (Ok(Existence::Known(json!({ "name": 7, "role": "ops" }))), None),
            (Ok(Existence::Removed(json!({ "error": "workspace removed" }))), None),
            (Ok(Existence::Unknown), None),
            (Err(CallError::TooLarge { limit: 1 }), None),
        ] {
            assert_eq!(introduction(looked), expected);
        }
    }
}
