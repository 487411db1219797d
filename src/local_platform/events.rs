//! The event stream: every client has a buffer of 64 events, and what does not fit is dropped without a word.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc;

use super::call::{Answer, Payload};
use super::clock;

const CLIENT_BUFFER: usize = 64;

/// The open streams, by workspace.
#[derive(Default)]
pub(crate) struct Hub {
    clients: Mutex<HashMap<String, Vec<mpsc::Sender<Bytes>>>>,
}

#[derive(Serialize)]
struct Event<'a, D> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: i64,
    data: D,
}

impl Hub {
    /// Sends one event to every stream of `workspace` that has room.
    pub(crate) fn send(&self, workspace: &str, kind: &str, data: impl Serialize) {
        let mut clients = self.lock();
        let Some(streams) = clients.get_mut(workspace) else {
            return;
        };
        streams.retain(|stream| !stream.is_closed());
        if streams.is_empty() {
            clients.remove(workspace);
            return;
        }
        let event = Event {
            kind,
            timestamp: clock::now() / 1000,
            data,
        };
        let text = serde_json::to_string(&event).expect("events have text keys");
        let line = Bytes::from(format!("data: {text}\n\n"));
        for stream in streams {
            let _ = stream.try_send(line.clone());
        }
    }

    /// Opens a stream: one ping comment, then events; no keep-alives ever.
    pub(crate) fn open(&self, workspace: &str) -> Answer {
        let (sender, receiver) = mpsc::channel(CLIENT_BUFFER);
        let _ = sender.try_send(Bytes::from_static(b": ping\n\n"));
        self.lock().entry(workspace.to_owned()).or_default().push(sender);
        let lines = stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|line| (Ok::<_, Infallible>(line), receiver))
        });
        let answer = Answer {
            status: 200,
            headers: Vec::new(),
            payload: Payload::Stream(Body::from_stream(lines)),
        };
        answer
            .with("content-type", "text/event-stream")
            .with("cache-control", "no-cache")
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<mpsc::Sender<Bytes>>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn a_stream_pings_once_and_drops_what_exceeds_its_buffer() {
        let hub = Hub::default();
        let Payload::Stream(body) = hub.open("w").payload else {
            panic!("not a stream")
        };
        for number in 0..200 {
            hub.send("w", "ACTIVITY_LOGGED", json!({ "number": number }));
            hub.send("other", "ACTIVITY_LOGGED", json!({}));
        }
        drop(hub);
        let lines: Vec<_> = body.into_data_stream().map(Result::unwrap).collect().await;
        assert_eq!(lines.len(), CLIENT_BUFFER);
        assert_eq!(&lines[0][..], b": ping\n\n");
        let text = std::str::from_utf8(&lines[1]).unwrap().strip_prefix("data: ").unwrap();
        let event: Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            (&event["type"], &event["data"]["number"]),
            (&json!("ACTIVITY_LOGGED"), &json!(0))
        );
        assert!(event["timestamp"].as_i64().unwrap() > 1_600_000_000_000);
    }
}
