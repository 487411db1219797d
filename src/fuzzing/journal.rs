//! Files of a journal, damaged.

use std::collections::HashSet;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::{OWN, folder, own};
use crate::state::journal::{Batch, Journal, JournalError};
use crate::state::message::{Kind, Message};
use crate::types::{ActivityId, Timestamp};

const MESSAGES: i64 = 8;
/// The first of them are acknowledged.
const ACKNOWLEDGED: i64 = 2;
/// The database, its write-ahead log, and the log's index.
const NAMES: [&str; 3] = ["molecule.db", "molecule.db-wal", "molecule.db-shm"];
/// So many changes are made at most.
const MOST: usize = 16;

/// What a process leaves in its folder.
type Image = [Vec<u8>; 3];

/// `bytes` are changes to the files of a journal: the first byte says whether its process was killed (odd) or has closed it, and
/// six bytes are one change each. Opening them ends in an error or in a journal that alters no text, says so when something is
/// missing or comes again, and works.
///
/// # Panics
/// When it does not.
pub fn journal(bytes: &[u8]) {
    static IMAGES: LazyLock<[Image; 2]> = LazyLock::new(images);
    let Some((state, changes)) = bytes.split_first() else {
        return;
    };
    let was_killed = state % 2 == 1;
    let mut image = IMAGES[usize::from(was_killed)].clone();
    let mut touched = HashSet::new();
    for change in changes.as_chunks().0.iter().take(MOST) {
        touched.extend(damage(&mut image, change));
    }
    // Of a log whose index is wrong as well nobody can say where it ended.
    let may_be_silent = touched.contains(&1) && touched.contains(&2);
    let folder = folder();
    std::fs::write(folder.path().join("molecule.db.lock"), "made").expect("a file in a folder");
    for (name, bytes) in NAMES.iter().zip(&image) {
        if !bytes.is_empty() || *name == NAMES[0] {
            std::fs::write(folder.path().join(name), bytes).expect("a file in a folder");
        }
    }
    runtime().block_on(look_through(folder.path(), may_be_silent));
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn open(folder: &Path) -> Result<Journal, JournalError> {
    Journal::open(folder, "http://127.0.0.1:1", &own(), Duration::from_secs(600)).await
}

fn message(n: i64) -> Message {
    let id = ActivityId::parse(&format!("m-{n}")).expect("an id");
    Message {
        peer_id: OWN.to_owned(),
        text: format!("text of m-{n}"),
        ..Message::bare(id, Kind::PeerAgent, Timestamp(1_780_000_000_000_000 + n))
    }
}

/// Of a journal that was closed, and of one that was killed with half of its messages still in the log.
fn images() -> [Image; 2] {
    let folder = folder();
    let image = || NAMES.map(|name| std::fs::read(folder.path().join(name)).unwrap_or_default());
    let mut killed = Image::default();
    for part in [0..MESSAGES / 2, MESSAGES / 2..MESSAGES] {
        // Closed for good when the runtime is gone, and its tasks with it.
        runtime().block_on(async {
            let journal = open(folder.path()).await.expect("a journal");
            for n in part {
                let batch = Batch {
                    messages: vec![message(n)],
                    ..Batch::default()
                };
                journal.commit(batch).await.expect("a commit");
                if n < ACKNOWLEDGED {
                    journal.pop(&message(n).activity_id).await.expect("a commit");
                }
            }
            killed = image();
        });
    }
    [image(), killed]
}

async fn look_through(folder: &Path, may_be_silent: bool) {
    let no_panic = |error: &JournalError| assert!(!error.to_string().contains("internal error"), "{error}");
    let journal = match open(folder).await {
        Ok(journal) => journal,
        Err(error) => return no_panic(&error),
    };
    let mut told = may_be_silent || journal.replaced().is_some();
    let mut shown = HashSet::new();
    loop {
        match journal.lease_next().await {
            Ok(None) => break,
            Ok(Some(entry)) => {
                let id = entry.message.activity_id.as_str();
                match id.strip_prefix("m-").and_then(|n| n.parse().ok()) {
                    Some(n) => {
                        assert_eq!(entry.message, message(n), "altered");
                        assert!(shown.insert(n), "shown twice: {n}");
                    }
                    None => told |= id.starts_with("local:"),
                }
            }
            Err(error) => {
                no_panic(&error);
                told = true;
                break;
            }
        }
    }
    let expected: HashSet<i64> = (ACKNOWLEDGED..MESSAGES).collect();
    assert!(told || shown == expected, "{shown:?}, and nothing is said");
}

/// Of which file, where in it (three bytes), what, and with which byte. Says which file was changed.
fn damage(image: &mut Image, &[file, high, middle, low, what, byte]: &[u8; 6]) -> Option<usize> {
    let file = usize::from(file) % NAMES.len();
    let bytes = &mut image[file];
    if bytes.is_empty() {
        return None;
    }
    let place = u32::from_be_bytes([0, high, middle, low]) as usize % bytes.len();
    match what % 4 {
        0 => bytes[place] ^= byte.max(1),
        1 => bytes.truncate(place),
        2 => {
            let end = bytes.len().min(place + 16 * (1 + usize::from(byte)));
            bytes[place..end].fill(byte);
        }
        _ => {
            let length = (bytes.len() - place).min(4096);
            bytes.copy_within(place..place + length, 0);
        }
    }
    Some(file)
}
