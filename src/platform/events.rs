//! The platform's event stream (server-sent events): hints that something happened, never the thing itself.

use serde_json::Value;

use super::error::CallError;

/// One event: `{"type","timestamp":ms,"data"}`; level B also calls the payload `payload`.
#[derive(Clone, Debug)]
pub struct Event {
    /// `ACTIVITY_LOGGED`, `WORKSPACE_HEARTBEAT`, `DELEGATION_COMPLETE`, ...
    pub kind: String,
    /// The payload as sent.
    pub payload: Value,
}

/// An open stream.
#[derive(Debug)]
pub struct EventStream {}

impl EventStream {
    /// The next event. `Ok(None)`: the platform closed the stream. Cancel-safe.
    ///
    /// # Errors
    /// When the connection broke. An event over 1 MiB or one that is not JSON is skipped, not an error.
    pub async fn next(&mut self) -> Result<Option<Event>, CallError> {
        todo!()
    }
}
