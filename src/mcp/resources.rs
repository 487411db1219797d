//! The inbox as MCP resources: `molecule://inbox` and `molecule://inbox/{activity_id}`, and who wants to hear of changes.
//!
//! A resource is read by calling the tool `inbox_peek`, so it shows what the agent would be shown, and takes nothing.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{
    ErrorData, ReadResourceResult, Resource, ResourceContents, ResourceTemplate, ResourceUpdatedNotificationParam,
};
use rmcp::service::{Peer, SubscriptionContext};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use super::call::Call;
use super::toolset::Toolset;
use crate::config::Timing;
use crate::state::journal::Inboxes;
use crate::types::ActivityId;

const INBOX: &str = "molecule://inbox";
const JSON: &str = "application/json";
/// The tool behind the resources.
pub(super) const TOOL: &str = "inbox_peek";
/// Changes this close together are told as one.
const COALESCE: Duration = Duration::from_millis(200);

/// Which changes were asked for, and the newest look of the inbox.
#[derive(Debug)]
pub(super) struct Subscriptions {
    uris: watch::Sender<BTreeSet<String>>,
    mark: watch::Sender<u64>,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self {
            uris: watch::Sender::new(BTreeSet::new()),
            mark: watch::Sender::new(0),
        }
    }
}

impl Subscriptions {
    /// More than any client needs; each is at most as long as an id allows.
    const AT_MOST: usize = 1000;

    pub(super) fn add(&self, uri: &str) -> Result<(), ErrorData> {
        arguments(uri)?;
        if self.uris.borrow().len() >= Self::AT_MOST {
            return Err(ErrorData::invalid_params("too many subscriptions", None));
        }
        self.uris.send_if_modified(|uris| uris.insert(uri.to_owned()));
        Ok(())
    }

    pub(super) fn remove(&self, uri: &str) {
        self.uris.send_if_modified(|uris| uris.remove(uri));
    }

    /// Keeps the mark of the inboxes current, for as long as it is polled.
    pub(super) async fn follow(&self, inboxes: &Inboxes, timing: Timing) {
        let mut changes = inboxes.changes();
        loop {
            changes.borrow_and_update();
            if let Ok(mark) = inboxes.inbox_mark().await {
                self.mark.send_if_modified(|now| std::mem::replace(now, mark) != mark);
            }
            sleep(timing.of(COALESCE)).await;
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Tells a client with `resources/subscribe` of every change, for as long as it is polled.
    pub(super) async fn tell(&self, mut ready: watch::Receiver<Option<Peer<RoleServer>>>) {
        let peer = match ready.wait_for(Option::is_some).await {
            Ok(peer) => peer.clone(),
            Err(_) => None,
        };
        let Some(peer) = peer else { return };
        let mut marks = self.mark.subscribe();
        while marks.changed().await.is_ok() {
            let uris = self.uris.borrow().clone();
            for uri in uris {
                let note = ResourceUpdatedNotificationParam::new(uri);
                if peer.notify_resource_updated(note).await.is_err() {
                    return;
                }
            }
        }
    }

    /// The same for a `subscriptions/listen` request, until it ends.
    pub(super) async fn serve(&self, context: &SubscriptionContext) {
        let sink = context.sink();
        let uris = sink.accepted().resource_subscriptions.clone().unwrap_or_default();
        let mut marks = self.mark.subscribe();
        let told = async {
            while marks.changed().await.is_ok() {
                for uri in &uris {
                    if sink.notify_resource_updated(uri).await.is_err() {
                        return;
                    }
                }
            }
        };
        let mut told = pin!(told);
        tokio::select! {
            () = &mut told => context.cancelled().await,
            () = context.cancelled() => {}
        }
    }
}

pub(super) fn list() -> Vec<Resource> {
    vec![
        Resource::new(INBOX, "inbox")
            .with_title("Inbox")
            .with_description("Messages that are not acknowledged yet, oldest first. Reading takes none.")
            .with_mime_type(JSON),
    ]
}

pub(super) fn templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new("molecule://inbox/{activity_id}", "message")
            .with_title("Message")
            .with_description("One message of the inbox, in whatever state it is.")
            .with_mime_type(JSON),
    ]
}

/// Reads a resource through the tool.
pub(super) async fn read(toolset: &Toolset, uri: &str, call: Call) -> Result<ReadResourceResult, ErrorData> {
    let given = arguments(uri)?;
    let told = toolset.call(TOOL, given, call).await;
    let result = told.ok_or_else(|| unknown(uri))?;
    let content = result.structured_content.unwrap_or_default();
    if result.is_error == Some(true) {
        return Err(match content["error"].as_str() {
            Some("NOT_FOUND") => unknown(uri),
            _ => ErrorData::internal_error("the inbox could not be read", Some(content)),
        });
    }
    let text = ResourceContents::text(content.to_string(), uri).with_mime_type(JSON);
    Ok(ReadResourceResult::new(vec![text]))
}

/// The arguments of the tool for a resource.
fn arguments(uri: &str) -> Result<Map<String, Value>, ErrorData> {
    if uri == INBOX {
        return Ok(Map::from_iter([("limit".to_owned(), json!(200))]));
    }
    let id = uri.strip_prefix(INBOX).and_then(|rest| rest.strip_prefix('/'));
    match id.map(ActivityId::parse) {
        Some(Ok(id)) => Ok(Map::from_iter([("activity_id".to_owned(), json!(id))])),
        _ => Err(unknown(uri)),
    }
}

fn unknown(uri: &str) -> ErrorData {
    ErrorData::resource_not_found("there is no such resource", Some(json!({ "uri": uri })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_inbox_and_its_messages_are_resources() {
        assert_eq!(Value::from(arguments(INBOX).unwrap()), json!({ "limit": 200 }));
        let one = arguments("molecule://inbox/5f0c1d2e-0000-4000-8000-00000000000a").unwrap();
        assert_eq!(one["activity_id"], "5f0c1d2e-0000-4000-8000-00000000000a");
        for uri in [
            "molecule://inbox/",
            "molecule://inboxes",
            "molecule://inbox/a b",
            "file:///etc/passwd",
            "",
        ] {
            assert!(arguments(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn subscriptions_are_bounded_and_name_resources_that_there_are() {
        let subscriptions = Subscriptions::default();
        assert!(subscriptions.add("file:///etc/passwd").is_err());
        for n in 0..Subscriptions::AT_MOST {
            subscriptions.add(&format!("{INBOX}/{n}")).unwrap();
        }
        assert!(subscriptions.add(INBOX).is_err());
        subscriptions.remove(&format!("{INBOX}/0"));
        subscriptions.add(INBOX).unwrap();
    }
}
