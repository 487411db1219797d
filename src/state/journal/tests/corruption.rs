//! The journal's files damaged in every way a disk knows: cut, flipped, never written, written elsewhere, torn. Whatever is left
//! of them: no panic, no altered text, and nothing is lost, shown again or sent again without being told.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use proptest::prelude::*;

use crate::state::journal::fixture::{Folder, batch, delegate, end, id, lease_name, message};
use crate::state::journal::{Batch, Cursor, Journal, JournalError, Popped};
use crate::state::message::Message;
use crate::state::outbox::{Change, Progress, Work};

const PAGE: usize = 4096;
const MESSAGES: i64 = 12;
/// The first of them are acknowledged.
const ACKNOWLEDGED: i64 = 3;
const NAMES: [&str; 3] = ["molecule.db", "molecule.db-wal", "molecule.db-shm"];

/// The files of a journal: database, write-ahead log, its index.
#[derive(Clone)]
struct Image([Vec<u8>; 3]);

impl Image {
    /// What a kill at this moment leaves.
    fn of(folder: &Folder) -> Self {
        Self(NAMES.map(|name| fs::read(folder.path().join(name)).unwrap_or_default()))
    }

    /// A folder with these files, in which the journal was in use.
    fn restore(&self) -> Folder {
        let folder = Folder::in_memory();
        fs::write(folder.path().join("molecule.db.lock"), "made").unwrap();
        for (name, bytes) in NAMES.iter().zip(&self.0) {
            if !bytes.is_empty() || *name == NAMES[0] {
                fs::write(folder.path().join(name), bytes).unwrap();
            }
        }
        folder
    }

    fn with(&self, file: usize, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut changed = self.clone();
        change(&mut changed.0[file]);
        changed
    }
}

/// Files of a journal that has seen messages in several states, outgoing work and a cursor.
struct Lived {
    /// Before the last changes.
    earlier: Image,
    /// With everything in the write-ahead log.
    killed: Image,
    /// Closed: everything is in the database.
    closed: Image,
}

fn all_messages() -> Batch {
    batch((0..MESSAGES).map(|n| message(&name(n), n)))
}

fn name(n: i64) -> String {
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
    async fn new() -> Self {
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

fn no_panic(what: &str, error: &JournalError) {
    assert!(!error.to_string().contains("internal error"), "{what}: a panic");
}

/// Opens the files as a new process does, reads on as the platform is read on, and compares with what is known of them.
async fn inspect(what: &str, image: &Image) -> bool {
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
            if items.len() < 2 {
                // Damaged work is told when the outbox next looks.
                match journal.claim_pending(true).await {
                    Ok(_) => session.take_all().await,
                    Err(error) => session.hear(&error),
                }
                assert!(session.told, "{what}: work is lost, and nothing is said");
            }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_files_are_no_alarm() {
    let lived = Lived::new().await;
    for (what, image) in [("killed", &lived.killed), ("closed", &lived.closed)] {
        assert!(!inspect(what, image).await, "{what}: a false alarm");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_of_the_database_may_be_lost_in_any_way() {
    let Lived { earlier, closed, .. } = Lived::new().await;
    let pages = closed.0[0].len() / PAGE;
    assert!(pages > 20, "{pages}");
    let page = |n: usize| n * PAGE..(n + 1) * PAGE;
    for n in 0..pages {
        let told = inspect(
            &format!("cut after {n} pages"),
            &closed.with(0, |db| db.truncate(n * PAGE)),
        )
        .await;
        assert!(told, "cut after {n} pages");
        let cut = closed.with(0, |db| db.truncate(n * PAGE + 100));
        assert!(
            inspect(&format!("cut within page {n}"), &cut).await,
            "cut within page {n}"
        );
        let zero = closed.with(0, |db| db[page(n)].fill(0));
        inspect(&format!("page {n} of zeroes"), &zero).await;
        let elsewhere = closed.with(0, |db| db.copy_within(page((n + 1) % pages), n * PAGE));
        inspect(&format!("page {n} written over"), &elsewhere).await;
        if earlier.0[0].len() >= (n + 1) * PAGE {
            let stale = closed.with(0, |db| db[page(n)].copy_from_slice(&earlier.0[0][page(n)]));
            inspect(&format!("page {n} never written"), &stale).await;
            let half = n * PAGE..n * PAGE + PAGE / 2;
            let torn = closed.with(0, |db| db[half.clone()].copy_from_slice(&earlier.0[0][half]));
            inspect(&format!("page {n} torn"), &torn).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_anywhere_alters_no_text_and_hides_nothing_silently() {
    let Lived { closed, killed, .. } = Lived::new().await;
    // Prime steps and changing bits reach every page, header and column over time.
    for (file, step, image) in [(0, 997, &closed), (1, 9973, &killed)] {
        for (round, at) in (0..image.0[file].len()).step_by(step).enumerate() {
            let bit = round % 8;
            let flipped = image.with(file, |bytes| bytes[at] ^= 1 << bit);
            inspect(&format!("bit {bit} of byte {at} of {}", NAMES[file]), &flipped).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_a_message_alters_nothing() {
    let closed = Lived::new().await.closed;
    let needle = b"text of m-7";
    let start = closed.0[0]
        .windows(needle.len())
        .position(|part| part == needle)
        .unwrap();
    for at in (start - 400..start + 60).step_by(7) {
        let flipped = closed.with(0, |db| db[at] ^= 1 << (at % 8));
        inspect(&format!("byte {at}; its text begins at {start}"), &flipped).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_cut_at_any_frame_is_told_of() {
    let killed = Lived::new().await.killed;
    let frames = (killed.0[1].len() - 32) / (PAGE + 24);
    assert!(frames > 10, "{frames}");
    for n in 0..frames {
        for (end, what) in [
            (32 + n * (PAGE + 24), "before"),
            (32 + n * (PAGE + 24) + 1000, "within"),
        ] {
            let cut = killed.with(1, |log| log.truncate(end));
            let told = inspect(&format!("cut {what} frame {n} of the log"), &cut).await;
            assert!(told, "cut {what} frame {n} of {frames}");
        }
    }
    assert!(inspect("without its log", &killed.with(1, Vec::clear)).await);
}

#[tokio::test]
async fn a_file_that_goes_bad_while_it_is_open_is_told_and_replaced_at_the_next_start() {
    let folder = Lived::new().await.closed.restore();
    let journal = folder.open().await;
    let path = folder.path().join("molecule.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[PAGE..].fill(0x55);
    fs::write(&path, &bytes).unwrap();
    // Pages that were read before are in memory; a new session has none, but may not take the file away.
    let second = folder.try_open("w", Duration::from_secs(3600)).await;
    assert!(matches!(second, Err(JournalError::Damaged(_))), "{second:?}");
    for n in 0..MESSAGES {
        let name = name(n);
        match journal.find(&id(&name)).await {
            Ok(Some(entry)) => assert_eq!(entry.message, message(&name, n)),
            Ok(None) => panic!("{name} is hidden, and nothing is said"),
            Err(error) => no_panic("while it is open", &error),
        }
    }
    end(journal).await;
    assert!(folder.open().await.replaced().is_some());
}

/// One misfortune; positions are shares of the file.
#[derive(Clone, Debug)]
enum Misfortune {
    Flip { at: u32, bit: u8 },
    Fill { at: u32, length: usize, byte: u8 },
    Cut { at: u32 },
    Misplace { from: u32, to: u32, length: usize },
    Stale { page: u32 },
}

fn misfortune() -> impl Strategy<Value = (usize, Misfortune)> {
    let at = || 0..10_000_u32;
    let length = || prop_oneof![1..40_usize, Just(512), Just(PAGE)];
    let what = prop_oneof![
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Misfortune::Flip { at, bit }),
        2 => (at(), length(), any::<u8>()).prop_map(|(at, length, byte)| Misfortune::Fill { at, length, byte }),
        1 => at().prop_map(|at| Misfortune::Cut { at }),
        2 => (at(), at(), length()).prop_map(|(from, to, length)| Misfortune::Misplace { from, to, length }),
        1 => at().prop_map(|page| Misfortune::Stale { page }),
    ];
    (0..2_usize, what)
}

impl Misfortune {
    fn befall(&self, bytes: &mut Vec<u8>, earlier: &[u8]) {
        let size = bytes.len();
        if size == 0 {
            return;
        }
        let place = |share: u32| share as usize * size / 10_000;
        match *self {
            Self::Flip { at, bit } => bytes[place(at)] ^= 1 << bit,
            Self::Fill { at, length, byte } => {
                let at = place(at);
                bytes[at..size.min(at + length)].fill(byte);
            }
            Self::Cut { at } => bytes.truncate(place(at)),
            Self::Misplace { from, to, length } => {
                let (mut from, mut to) = (place(from), place(to));
                if length == PAGE {
                    (from, to) = (from / PAGE * PAGE, to / PAGE * PAGE);
                }
                let length = length.min(size - from).min(size - to);
                bytes.copy_within(from..from + length, to);
            }
            Self::Stale { page } => {
                let begin = place(page) / PAGE * PAGE;
                let end = (begin + PAGE).min(size).min(earlier.len());
                if begin < end {
                    bytes[begin..end].copy_from_slice(&earlier[begin..end]);
                }
            }
        }
    }
}

/// Few enough for every run of all tests; `PROPTEST_CASES` asks for more.
fn wanted_cases() -> u32 {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(60)
}

#[test]
fn several_misfortunes_at_once_are_no_worse() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lived = runtime.block_on(Lived::new());
    let config = ProptestConfig {
        cases: wanted_cases(),
        max_shrink_iters: 200,
        ..ProptestConfig::with_source_file(file!())
    };
    let cases = (any::<bool>(), prop::collection::vec(misfortune(), 1..4));
    proptest!(config, |((was_killed, misfortunes) in cases)| {
        let mut image = if was_killed { lived.killed.clone() } else { lived.closed.clone() };
        for (file, misfortune) in &misfortunes {
            misfortune.befall(&mut image.0[*file], &lived.earlier.0[0]);
        }
        runtime.block_on(inspect(&format!("{was_killed} {misfortunes:?}"), &image));
    });
}
