//! The platform's event stream (server-sent events): hints that something happened, never the thing itself.

use std::fmt;

use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use super::error::CallError;
use super::verdict;
use parser::Parser;

mod parser;

/// One event: `{"type","timestamp":ms,"data"}`; level B also calls the payload `payload`.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `ACTIVITY_LOGGED`, `WORKSPACE_HEARTBEAT`, `DELEGATION_COMPLETE`, ...
    pub kind: String,
    /// The payload as sent; null when there is none.
    pub payload: Value,
}

/// An open stream.
pub struct EventStream {
    response: Response,
    parser: Parser,
}

impl EventStream {
    /// Takes over a 2xx answer whose body is still to come.
    ///
    /// # Errors
    /// [`CallError::Malformed`] when it says of itself that it is something else than an event stream.
    pub(super) fn over(response: Response) -> Result<Self, CallError> {
        match response.headers().get(CONTENT_TYPE) {
            Some(kind) if !kind.as_bytes().starts_with(b"text/event-stream") => {
                let page = if kind.as_bytes().starts_with(b"text/html") {
                    "<"
                } else {
                    "other"
                };
                Err(verdict::malformed("an event stream", page.as_bytes()))
            }
            _ => Ok(Self {
                response,
                parser: Parser::default(),
            }),
        }
    }

    /// The next event. `Ok(None)`: the platform closed the stream. Cancel-safe. There is no deadline: the platform
    /// sends no keep-alives, so whether silence means death is the caller's to judge.
    ///
    /// # Errors
    /// When the connection broke. An event over 1 MiB or one that is not JSON is skipped, not an error.
    pub async fn next(&mut self) -> Result<Option<Event>, CallError> {
        loop {
            if let Some(event) = self.parser.next_event() {
                return Ok(Some(event));
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.parser.push(&bytes),
                Ok(None) => return Ok(None),
                Err(error) => return Err(CallError::transport(&error)),
            }
        }
    }
}

/// The events in these parts of a stream.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn parsed<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut parser = Parser::default();
    let mut events = Vec::new();
    for part in parts {
        parser.push(part);
        events.extend(std::iter::from_fn(|| parser.next_event()));
    }
    events
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{Reply, Responder};
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

    #[tokio::test]
    async fn events_arrive_as_they_are_sent_and_waiting_for_one_can_be_given_up() {
        let responder = Responder::start(vec![
            Reply::raw(HEAD)
                .then(&chunk(": ping\n\ndata: {\"type\":\"A\",\"da"))
                .pause(Duration::from_millis(150))
                .then(&chunk("ta\":1}\n\ndata: {\"type\":\"B\",\"payload\":{\"x\":2}}\n\n"))
                .then("0\r\n\r\n"),
        ])
        .await;
        let mut stream = responder.api().events().await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(20), stream.next()).await;
        assert!(early.is_err(), "half an event is none");
        let first = stream.next().await.unwrap().unwrap();
        assert_eq!((first.kind.as_str(), first.payload), ("A", 1.into()));
        assert_eq!(stream.next().await.unwrap().unwrap().payload["x"], 2);
        assert!(stream.next().await.unwrap().is_none(), "the platform closed it");
        let sent = responder.seen();
        assert!(sent[0].head.starts_with("GET /workspaces/"));
        assert!(sent[0].head.contains("/events/stream HTTP/1.1"));
        assert_eq!(sent[0].header("accept"), Some("text/event-stream"));
        assert_eq!(sent[0].header("authorization"), Some("Bearer tok-0123456789"));
    }

    #[tokio::test]
    async fn a_broken_connection_is_an_error_and_a_refusal_is_told() {
        let responder = Responder::start(vec![
            Reply::raw(HEAD).then(&chunk("data: {\"type\":\"A\"}\n\n")),
            Reply::json(401, r#"{"error":"invalid workspace auth token"}"#),
            Reply::new(200, &[("content-type", "text/html")], "<html>"),
        ])
        .await;
        let mut stream = responder.api().events().await.unwrap();
        assert!(stream.next().await.unwrap().is_some());
        assert!(matches!(stream.next().await, Err(CallError::Interrupted { .. })));
        assert!(matches!(
            responder.api().events().await,
            Err(CallError::Refused { status: 401, .. })
        ));
        assert!(matches!(
            responder.api().events().await,
            Err(CallError::Malformed { .. })
        ));
    }

    fn chunk(text: &str) -> String {
        format!("{:x}\r\n{text}\r\n", text.len())
    }
}
