//! Word of what was just written, for whoever watches the store: the page in a browser. Nobody else depends on it.

use tokio::sync::broadcast;

use super::{Store, workspaces};

/// A watcher that falls further behind than this is told so and has to look at everything again.
const KEPT: usize = 1024;

/// The kind of documents that are approvals of old.
pub(crate) const APPROVAL: &str = "approval";
/// The kind of documents that are requests.
pub(crate) const REQUEST: &str = "request";

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    /// This workspace was made, changed or purged.
    Workspace(String),
    /// A question, to the person or another, was asked, talked about or answered.
    Question,
    /// The activity row of this number was written, moved, or fetched by its workspace.
    Row(i64),
}

/// Where changes are told.
pub(super) struct Changes(broadcast::Sender<Change>);

impl Default for Changes {
    fn default() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }
}

impl Changes {
    pub(super) fn document(&self, kind: &str, id: &str) {
        let change = match kind {
            workspaces::KIND => Change::Workspace(id.to_owned()),
            APPROVAL | REQUEST => Change::Question,
            _ => return,
        };
        // Fails only when nobody watches.
        let _ = self.0.send(change);
    }

    pub(super) fn row(&self, seq: i64) {
        let _ = self.0.send(Change::Row(seq));
    }
}

impl Store {
    /// Everything that is written from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Change> {
        self.changes.0.subscribe()
    }
}
