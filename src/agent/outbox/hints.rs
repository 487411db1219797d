//! What the event stream tells about delegations: when to look, never what happened.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{broadcast, watch};

use super::ports::moved;
use crate::agent::stream::Stream;
use crate::platform::events::Event;

/// What the event stream offers; both are absent without a stream.
#[derive(Default)]
pub(super) struct Hints {
    pub(super) events: Option<broadcast::Receiver<Arc<Event>>>,
    pub(super) live: Option<watch::Receiver<bool>>,
}

impl Hints {
    pub(super) fn of(stream: Option<&Stream>) -> Self {
        Self {
            events: stream.map(Stream::subscribe),
            live: stream.map(Stream::live),
        }
    }

    /// What was told while nothing was awaited is of no interest.
    pub(super) fn skip(&mut self) {
        self.events = self.events.take().map(|events| events.resubscribe());
    }

    /// Whether the stream has proved itself alive.
    pub(super) fn are_live(&self) -> bool {
        self.live.as_ref().is_some_and(|live| *live.borrow())
    }

    /// Waits for the next event or, as [`Told::Other`], for a change of liveness; forever without a stream. Cancel-safe.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            told = next_event(&mut self.events) => told,
            () = liveness_moved(&mut self.live) => Told::Other,
        }
    }
}

/// What an event means for the schedule.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Something happened to this delegation.
    Of(String),
    /// Events were dropped, or one does not say which delegation it is about.
    OfAny,
    /// Not about delegations.
    Other,
}

async fn next_event(events: &mut Option<broadcast::Receiver<Arc<Event>>>) -> Told {
    let Some(receiver) = events else {
        return std::future::pending().await;
    };
    match receiver.recv().await {
        Ok(event) => told(&event),
        Err(broadcast::error::RecvError::Lagged(_)) => Told::OfAny,
        Err(broadcast::error::RecvError::Closed) => {
            *events = None;
            Told::OfAny
        }
    }
}

fn told(event: &Event) -> Told {
    if !matches!(
        event.kind.as_str(),
        "DELEGATION_COMPLETE" | "DELEGATION_FAILED" | "DELEGATION_STATUS"
    ) {
        return Told::Other;
    }
    match event.payload.get("delegation_id").and_then(Value::as_str) {
        Some(id) => Told::Of(id.to_owned()),
        None => Told::OfAny,
    }
}

async fn liveness_moved(live: &mut Option<watch::Receiver<bool>>) {
    match live {
        Some(live) => moved(live).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, payload: Value) -> Event {
        Event {
            kind: kind.to_owned(),
            payload,
        }
    }

    #[tokio::test]
    async fn what_was_told_while_nothing_was_awaited_is_skipped() {
        let (stream, events) = broadcast::channel(4);
        let mut hints = Hints {
            events: Some(events),
            live: None,
        };
        let about = |id: &str| Arc::new(event("DELEGATION_COMPLETE", json!({"delegation_id": id})));
        stream.send(about("old")).unwrap();
        hints.skip();
        stream.send(about("new")).unwrap();
        assert_eq!(hints.next().await, Told::Of("new".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_ended_may_have_told_of_any_delegation() {
        let mut hints = Hints::of(Some(&Stream::new()));
        assert!(!hints.are_live());
        let told = tokio::time::timeout(std::time::Duration::from_secs(1), hints.next());
        assert_eq!(told.await.unwrap(), Told::OfAny);
    }

    #[test]
    fn only_events_about_delegations_are_hints() {
        for (event, expected) in [
            (
                event("DELEGATION_COMPLETE", json!({"delegation_id": "d"})),
                Told::Of("d".to_owned()),
            ),
            (
                event("DELEGATION_FAILED", json!({"delegation_id": "d"})),
                Told::Of("d".to_owned()),
            ),
            (event("DELEGATION_STATUS", json!({"delegation_id": 7})), Told::OfAny),
            (event("DELEGATION_COMPLETE", json!(null)), Told::OfAny),
            (event("ACTIVITY_LOGGED", json!({"delegation_id": "d"})), Told::Other),
        ] {
            assert_eq!(told(&event), expected, "{event:?}");
        }
    }
}
