//! Files of a journal that has lived, and the account that a session over damaged ones has to give.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use crate::state::journal::fixture::{Folder, batch, delegate, end, id, lease_name, message};
use crate::state::journal::{Batch, Cursor, Journal, JournalError, Popped};
use crate::state::message::Message;
use crate::state::outbox::{Change, Progress, Work};

pub(super) const PAGE: usize = 4096;
pub(super) const MESSAGES: i64 = 12;
/// The first of them are acknowledged.
const ACKNOWLEDGED: i64 = 3;
pub(super) const NAMES: [&str; 3] = ["molecule.db", "molecule.db-wal", "molecule.db-shm"];

/// The files of a journal: database, write-ahead log, its index.
#[derive(Clone)]
pub(super) struct Image(pub(super) [Vec<u8>; 3]);

impl Image {
    /// What a kill at this moment leaves.
    fn of(folder: &Folder) -> Self {
        Self(NAMES.map(|name| fs::read(folder.path().join(name)).unwrap_or_default()))
    }

    /// A folder with these files, in which the journal was in use.
    pub(super) fn restore(&self) -> Folder {
        let folder = Folder::in_memory();
        fs::write(folder.path().join("molecule.db.lock"), "made").unwrap();
        for (name, bytes) in NAMES.iter().zip(&self.0) {
            if !bytes.is_empty() || *name == NAMES[0] {
                fs::write(folder.path().join(name), bytes).unwrap();
            }
        }
        folder
    }

    pub(super) fn with(&self, file: usize, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut changed = self.clone();
        change(&mut changed.0[file]);
        changed
    }
}

/// Files of a journal that has seen messages in several states, outgoing work and a cursor.
pub(super) struct Lived {
    /// Before the last changes.
    pub(super) earlier: Image,
    /// With everything in the write-ahead log.
    pub(super) killed: Image,
    /// Closed: everything is in the database.
    pub(super) closed: Image,
}

fn all_messages() -> Batch {
    batch((0..MESSAGES).map(|n| message(&name(n), n)))
}

pub(super) fn name(n: i64) -> String {
    format!("m-{n}")
}

fn cursor(n: i64) -> Cursor {
    let message = message(&name(n), n);
    Cursor {
        id: message.activity_id,
        at: message.at,
        seq: None,
    }
}

impl Lived {
    pub(super) async fn new() -> Self {
        let folder = Folder::new();
        let journal = folder.open().await;
        for n in 0..MESSAGES {
            let cursor = Some(cursor(n));
            let row = batch([message(&name(n), n)]);
            journal.commit(Batch { cursor, ..row }).await.unwrap();
        }
        let answered = delegate(&journal, "a task that was answered").await;
        end(journal).await;
        let earlier = Image::of(&folder);

        let journal = folder.open().await;
        let change = Change {
            progress: Some(Progress::Answered),
            delegation_id: Some("d-1".to_owned()),
            answer: Some("done".to_owned()),
            ..Change::default()
        };
        journal.record(&answered.id, change).await.unwrap();
        delegate(&journal, "a task").await;
        for n in 0..ACKNOWLEDGED {
            assert_eq!(journal.pop(&id(&name(n))).await.unwrap(), Popped::Removed);
        }
        lease_name(&journal).await.unwrap();
        let killed = Image::of(&folder);
        end(journal).await;
        let closed = Image::of(&folder);
        Self {
            earlier,
            killed,
            closed,
        }
    }
}

/// What a session learns from files that may be damaged.
struct Session {
    journal: Journal,
    what: String,
    told: bool,
    shown: HashMap<String, bool>,
}

impl Session {
    /// Takes what is offered. No text is altered, whatever else is wrong.
    async fn take_all(&mut self) {
        loop {
            match self.journal.lease_next().await {
                Ok(Some(entry)) => self.take(&entry.message),
                Ok(None) => return,
                Err(error) => return self.hear(&error),
            }
        }
    }

    fn take(&mut self, shown: &Message) {
        let name = shown.activity_id.as_str().to_owned();
        if name.starts_with("local:") {
            self.told |= shown.text.contains("damaged");
            return;
        }
        let n: i64 = name.strip_prefix("m-").unwrap().parse().unwrap();
        assert_eq!(*shown, message(&name, n), "{}", self.what);
        self.shown.insert(name, n < ACKNOWLEDGED);
    }

    /// An error tells. A panic would come as one, too.
    fn hear(&mut self, error: &JournalError) {
        no_panic(&self.what, error);
        self.told = true;
    }

    fn check(&self, also_lost: bool) {
        let again = self.shown.values().filter(|acknowledged| **acknowledged).count();
        assert!(
            self.told || again == 0,
            "{}: {again} acknowledged messages are shown, and nothing is said",
            self.what
        );
        let left = usize::try_from(MESSAGES - ACKNOWLEDGED).unwrap();
        let shown = self.shown.len() - again;
        assert!(
            self.told || !also_lost || shown == left,
            "{}: only {shown} of {left} messages, and nothing is said",
            self.what
        );
    }
}

pub(super) fn no_panic(what: &str, error: &JournalError) {
    assert!(!error.to_string().contains("internal error"), "{what}: a panic");
}

/// Opens the files as a new process does, reads on as the platform is read on, and compares with what is known of them.
pub(super) async fn inspect(what: &str, image: &Image) -> bool {
    let folder = image.restore();
    let journal = match folder.try_open("w", Duration::from_secs(3600)).await {
        Ok(journal) => journal,
        // Refused, and so said.
        Err(error) => {
            no_panic(what, &error);
            return true;
        }
    };
    let mut session = Session {
        told: journal.replaced().is_some(),
        journal: journal.clone(),
        what: what.to_owned(),
        shown: HashMap::new(),
    };
    session.take_all().await;
    session.check(true);
    // Rows come again: after a start, or because the cursor went back.
    if let Err(error) = journal.commit(all_messages()).await {
        session.hear(&error);
    }
    session.take_all().await;
    session.check(true);
    match journal.recent_delegations(10).await {
        Err(error) => session.hear(&error),
        Ok(items) => {
            for item in &items {
                let Work::Delegate { task, .. } = &item.work else {
                    panic!("{what}: {item:?}")
                };
                match (task.as_str(), item.progress) {
                    ("a task", Progress::Pending) | ("a task that was answered", Progress::Answered) => {}
                    ("a task that was answered", _) => assert!(session.told, "{what}: would be sent again"),
                    _ => panic!("{what}: {item:?}"),
                }
            }
            let all = items.len() == 2;
            assert!(all || session.told, "{what}: work is lost, and nothing is said");
        }
    }
    match journal.cursor().await {
        // An older one costs a read of rows that are known.
        Ok(Some(found)) => assert!((0..MESSAGES).any(|n| found == cursor(n)), "{what}: {found:?}"),
        Ok(None) => assert!(session.told, "{what}: the cursor is lost, and nothing is said"),
        Err(error) => session.hear(&error),
    }
    session.told
}
