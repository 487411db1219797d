//! The page's event stream: one for all workspaces, since browsers open few connections to one place.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Weak};

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::{api, rows};
use crate::local_platform::call::{Answer, Payload};
use crate::local_platform::site::Site;
use crate::local_platform::store::changes::Change;

/// Opens the stream. Events are `{"workspace": {...}}`, `{"purged": id}`, `{"row": {...}}`,
/// `{"waiting": n}` when something was asked of the person or answered, and `{"again": true}` when
/// some were lost and everything has to be read again.
pub(super) fn open(site: &Arc<Site>) -> Answer {
    let watching = Watching {
        // Not a strong one: an open page must not keep the platform's store alive.
        site: Arc::downgrade(site),
        changes: site.store.watch(),
    };
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b": open\n\n"))]);
    let rest = stream::unfold(watching, |mut watching| async {
        let text = watching.next().await?;
        Some((Ok(Bytes::from(text)), watching))
    });
    let answer = Answer {
        status: 200,
        headers: Vec::new(),
        payload: Payload::Stream(Body::from_stream(futures_util::StreamExt::chain(first, rest))),
    };
    answer.with("content-type", "text/event-stream")
}

struct Watching {
    site: Weak<Site>,
    changes: Receiver<Change>,
}

impl Watching {
    /// What changed since the last time, each workspace and row once; `None` when the platform is gone.
    async fn next(&mut self) -> Option<String> {
        let mut events = Vec::new();
        while events.is_empty() {
            let mut changed = HashSet::new();
            let mut lost = false;
            match self.changes.recv().await {
                Ok(change) => drop(changed.insert(change)),
                Err(RecvError::Lagged(_)) => lost = true,
                Err(RecvError::Closed) => return None,
            }
            loop {
                match self.changes.try_recv() {
                    Ok(change) => drop(changed.insert(change)),
                    Err(TryRecvError::Lagged(_)) => lost = true,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            let site = self.site.upgrade()?;
            if lost {
                events.push(json!({ "again": true }));
            } else {
                events.extend(told(&site, changed));
            }
        }
        Some(events.iter().map(|event| format!("data: {event}\n\n")).collect())
    }
}

fn told(site: &Site, changed: HashSet<Change>) -> Vec<Value> {
    let mut events = Vec::new();
    let mut seqs = HashSet::new();
    for change in changed {
        match change {
            Change::Workspace(id) => match site.store.workspace(&id) {
                Ok(Some(workspace)) => events.push(json!({ "workspace": api::card(&workspace) })),
                Ok(None) => events.push(json!({ "purged": id })),
                Err(error) => tracing::error!(%error, "the embedded platform could not read a workspace"),
            },
            Change::Row(seq) => drop(seqs.insert(seq)),
            Change::Question => match api::waiting(site) {
                Ok(waiting) => events.push(json!({ "waiting": waiting })),
                Err(refusal) => tracing::error!(
                    status = refusal.status,
                    "the embedded platform could not count requests"
                ),
            },
        }
    }
    match rows::changed(site, seqs) {
        Ok(rows) => events.extend(rows.into_iter().map(|row| json!({ "row": row }))),
        Err(error) => tracing::error!(%error, "the embedded platform could not read a row"),
    }
    events
}
