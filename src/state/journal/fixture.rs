//! What the tests of the journal share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Batch, Journal, Settings};
use crate::state::clock::ManualTime;
use crate::state::message::{Kind, Message};
use crate::state::outbox::{Enqueued, Item, Work};
use crate::types::{ActivityId, PeerId, Timestamp, WorkspaceId};

pub(super) const ORIGIN: &str = "http://127.0.0.1:8080";
pub(super) const PEER: &str = "5f0c1d2e-0000-4000-8000-000000000001";
pub(super) const LEASE: Duration = Duration::from_secs(600);
/// When the manual clock starts.
pub(super) const START: Timestamp = Timestamp(1_780_000_000_000_000);

pub(super) fn id(text: &str) -> ActivityId {
    ActivityId::parse(text).unwrap()
}

pub(super) fn peer() -> PeerId {
    PeerId::parse(PEER).unwrap()
}

/// A plain message from the peer, `after_secs` after the start.
pub(super) fn message(name: &str, after_secs: i64) -> Message {
    let at = START.plus_micros(after_secs * 1_000_000);
    Message {
        peer_id: PEER.to_owned(),
        text: format!("text of {name}"),
        method: "message/send".to_owned(),
        ..Message::bare(id(name), Kind::PeerAgent, at)
    }
}

pub(super) fn batch(messages: impl IntoIterator<Item = Message>) -> Batch {
    Batch {
        messages: messages.into_iter().collect(),
        ..Batch::default()
    }
}

/// A state folder with a clock of its own.
pub(super) struct Folder {
    pub(super) dir: tempfile::TempDir,
    pub(super) time: Arc<ManualTime>,
}

impl Folder {
    pub(super) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            time: ManualTime::starting_at(START),
        }
    }

    /// The same where syncing costs nothing, if there is such a place: for tests that open very many journals.
    pub(super) fn in_memory() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self {
            dir: dir.unwrap(),
            time: ManualTime::starting_at(START),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Another session, as another process would be.
    pub(super) async fn open(&self) -> Journal {
        self.open_for("w").await
    }

    pub(super) async fn open_for(&self, workspace: &str) -> Journal {
        self.try_open(workspace, Duration::from_millis(20)).await.unwrap()
    }

    pub(super) async fn try_open(&self, workspace: &str, look_every: Duration) -> Result<Journal, super::JournalError> {
        let settings = Settings {
            look_every,
            clock: self.time.clock(),
            ..Settings::with_lease(LEASE)
        };
        Journal::open_with(self.path(), ORIGIN, &WorkspaceId::parse(workspace).unwrap(), settings).await
    }
}

/// Ends a session and waits until it has: a look in the background may hold it for a moment.
pub(super) async fn end(journal: Journal) {
    let lock = session_lock(&journal);
    drop(journal);
    eventually(async || !lock.exists()).await;
}

/// Waits until something holds, at most ten seconds.
pub(super) async fn eventually(holds: impl AsyncFn() -> bool) {
    for _ in 0..1000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came true");
}

fn session_lock(journal: &Journal) -> std::path::PathBuf {
    journal.inner.store().sessions().lock_file()
}

pub(super) async fn lease_name(journal: &Journal) -> Option<String> {
    let entry = journal.lease_next().await.unwrap()?;
    Some(entry.message.activity_id.as_str().to_owned())
}

pub(super) async fn delegate(journal: &Journal, task: &str) -> Item {
    let work = Work::Delegate {
        target: peer(),
        task: task.to_owned(),
    };
    match journal.enqueue(work, None, None).await.unwrap() {
        Enqueued::New(item) => item,
        Enqueued::Existing(item) => panic!("{} exists", item.id),
    }
}
