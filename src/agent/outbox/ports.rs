//! What the outbox needs of the platform and of the journal, so that its loops run in tests without either.

use tokio::sync::watch;

use serde_json::Value;

use crate::platform::error::CallError;
use crate::platform::files::FilePart;
use crate::platform::lookups::Echo;
use crate::platform::wire::{A2aAnswer, Attached, Delegated, DelegationRow, Existence};
use crate::platform::workspace::WorkspaceApi;
use crate::state::journal::{Journal, JournalError};
use crate::state::outbox::{Change, Item};
use crate::types::{PeerId, Timestamp};

/// With fewer requests left than this in the rate limiter's window, reads are made rarely.
const FEW_REQUESTS: u64 = 120;

pub(super) trait Platform: Clone + Send + Sync + 'static {
    fn delegate(
        &self,
        target: &PeerId,
        task: &str,
        key: &str,
    ) -> impl Future<Output = Result<Delegated, CallError>> + Send;
    fn a2a(&self, target: &PeerId, envelope: &Value) -> impl Future<Output = Result<A2aAnswer, CallError>> + Send;
    fn notify(&self, message: &str, files: &[Attached]) -> impl Future<Output = Result<(), CallError>> + Send;
    /// Brings a file to the platform and answers its address there.
    fn upload(&self, file: FilePart<'_>) -> impl Future<Output = Result<String, CallError>> + Send;
    /// How many such messages to the person the platform shows since then.
    fn echoes(&self, echo: Echo<'_>, since: Timestamp) -> impl Future<Output = Result<usize, CallError>> + Send;
    /// The platform's ids of the delegations of this task to this target since then.
    fn sent_delegations(
        &self,
        target: &PeerId,
        task: &str,
        since: Timestamp,
    ) -> impl Future<Output = Result<Vec<String>, CallError>> + Send;
    /// Whether the platform knows no such workspace, or no longer.
    fn is_gone(&self, target: &PeerId) -> impl Future<Output = Result<bool, CallError>> + Send;
    /// Whether the platform calls this peer, so that the peer's own silence can hold up an answer.
    fn is_pushed_to(&self, target: &PeerId) -> impl Future<Output = Result<bool, CallError>> + Send;
    fn delegations(&self) -> impl Future<Output = Result<Vec<DelegationRow>, CallError>> + Send;
    fn delegation_text(&self, delegation_id: &str) -> impl Future<Output = Result<Option<String>, CallError>> + Send;
    fn is_scarce(&self) -> bool;
    /// The time by the platform's clock; `None`: not known now.
    fn time(&self) -> Option<Timestamp>;
}

pub(super) trait Book: Clone + Send + Sync + 'static {
    fn changes(&self) -> watch::Receiver<u64>;
    fn claim_pending(&self, orphans: bool) -> impl Future<Output = Result<Vec<Item>, JournalError>> + Send;
    fn begin_attempt(&self, id: &str) -> impl Future<Output = Result<(), JournalError>> + Send;
    fn record(&self, id: &str, change: Change) -> impl Future<Output = Result<(), JournalError>> + Send;
    fn outstanding(&self) -> impl Future<Output = Result<Vec<Item>, JournalError>> + Send;
    /// From when on to count the echoes of this message, and how many of them belong to others with the same text.
    fn echoes_of_others(&self, id: &str) -> impl Future<Output = Result<(Timestamp, usize), JournalError>> + Send;
    /// Writes an upload down before it is made, and answers the name to make it under.
    fn begin_upload(
        &self,
        id: &str,
        place: usize,
        file: &str,
    ) -> impl Future<Output = Result<String, JournalError>> + Send;
    /// The platform has the file of that name. Answers the address that the message is to name.
    fn uploaded(&self, name: &str, uri: &str) -> impl Future<Output = Result<String, JournalError>> + Send;
    /// Where the platform has a file of this message.
    fn upload_of(&self, id: &str, place: usize) -> impl Future<Output = Result<Option<String>, JournalError>> + Send;
    /// Whether a row has this delegation already.
    fn has_delegation(&self, delegation_id: &str) -> impl Future<Output = Result<bool, JournalError>> + Send;
}

impl Platform for WorkspaceApi {
    async fn delegate(&self, target: &PeerId, task: &str, key: &str) -> Result<Delegated, CallError> {
        Self::delegate(self, target, task, key).await
    }

    async fn a2a(&self, target: &PeerId, envelope: &Value) -> Result<A2aAnswer, CallError> {
        Self::a2a(self, target, envelope).await
    }

    async fn notify(&self, message: &str, files: &[Attached]) -> Result<(), CallError> {
        Self::notify(self, message, files).await
    }

    async fn upload(&self, file: FilePart<'_>) -> Result<String, CallError> {
        Self::upload(self, file).await
    }

    async fn echoes(&self, echo: Echo<'_>, since: Timestamp) -> Result<usize, CallError> {
        Self::echoes(self, echo, since).await
    }

    async fn sent_delegations(&self, target: &PeerId, task: &str, since: Timestamp) -> Result<Vec<String>, CallError> {
        Self::sent_delegations(self, target, task, since).await
    }

    async fn is_gone(&self, target: &PeerId) -> Result<bool, CallError> {
        Ok(!matches!(self.existence_of(target).await?, Existence::Known(_)))
    }

    async fn is_pushed_to(&self, target: &PeerId) -> Result<bool, CallError> {
        Ok(match self.existence_of(target).await? {
            Existence::Known(row) => has_address(&row),
            Existence::Unknown | Existence::Removed(_) => false,
        })
    }

    async fn delegations(&self) -> Result<Vec<DelegationRow>, CallError> {
        Self::delegations(self).await
    }

    async fn delegation_text(&self, delegation_id: &str) -> Result<Option<String>, CallError> {
        Self::delegation_text(self, delegation_id).await
    }

    fn is_scarce(&self) -> bool {
        self.client()
            .rate_limit()
            .remaining
            .is_some_and(|left| left < FEW_REQUESTS)
    }

    fn time(&self) -> Option<Timestamp> {
        self.client().platform_time()
    }
}

/// The row of a workspace does not tell its delivery mode, but one without an address cannot be pushed to.
fn has_address(row: &Value) -> bool {
    row.get("url").and_then(Value::as_str) != Some("")
}

impl Book for Journal {
    fn changes(&self) -> watch::Receiver<u64> {
        Self::changes(self)
    }

    async fn claim_pending(&self, orphans: bool) -> Result<Vec<Item>, JournalError> {
        Self::claim_pending(self, orphans).await
    }

    async fn begin_attempt(&self, id: &str) -> Result<(), JournalError> {
        Self::begin_attempt(self, id).await
    }

    async fn record(&self, id: &str, change: Change) -> Result<(), JournalError> {
        Self::record(self, id, change).await
    }

    async fn outstanding(&self) -> Result<Vec<Item>, JournalError> {
        Self::outstanding(self).await
    }

    async fn echoes_of_others(&self, id: &str) -> Result<(Timestamp, usize), JournalError> {
        Self::echoes_of_others(self, id).await
    }

    async fn begin_upload(&self, id: &str, place: usize, file: &str) -> Result<String, JournalError> {
        Self::begin_upload(self, id, place, file).await
    }

    async fn uploaded(&self, name: &str, uri: &str) -> Result<String, JournalError> {
        Self::uploaded(self, name, uri).await
    }

    async fn upload_of(&self, id: &str, place: usize) -> Result<Option<String>, JournalError> {
        Self::upload_of(self, id, place).await
    }

    async fn has_delegation(&self, delegation_id: &str) -> Result<bool, JournalError> {
        Ok(self.outbox_item(delegation_id).await?.is_some())
    }
}

/// Waits for the next value; forever when there will be none.
pub(super) async fn moved<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_empty_address_says_that_a_peer_is_never_called() {
        assert!(!has_address(&json!({"url": ""})));
        assert!(has_address(&json!({"url": "https://peer.example.com"})));
        assert!(has_address(&json!({})));
    }
}
