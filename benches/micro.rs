//! What single steps cost: `cargo bench --bench micro`. Counts that grow tenfold show how a cost grows with its load.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use molecule_mcp::agent::envelope::{Row, read_row};
use molecule_mcp::state::history::Ask;
use molecule_mcp::state::journal::{Batch, Journal};
use molecule_mcp::state::message::{Kind, Message};
use molecule_mcp::types::{ActivityId, Timestamp, WorkspaceId};
use serde_json::json;
use serde_json::value::RawValue;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

const ORIGIN: &str = "http://127.0.0.1:1";
const LEASE: Duration = Duration::from_secs(600);
const WORDS: [&str; 8] = [
    "pressure",
    "valve",
    "report",
    "deploy",
    "yesterday",
    "merge",
    "window",
    "please",
];

fn main() {
    divan::main();
}

fn own() -> WorkspaceId {
    WorkspaceId::parse("5f0c1d2e-0000-4000-8000-000000000001").unwrap()
}

/// A message row as the platform sends it, with a text of so many bytes.
#[divan::bench(args = [100, 10_000, 1_000_000])]
fn envelope(bencher: Bencher, text: usize) {
    let message = json!({
        "role": "user", "messageId": Uuid::new_v4(),
        "parts": [{ "kind": "text", "text": "word ".repeat(text / 5) }],
    });
    let row = json!({
        "id": Uuid::new_v4(), "activity_type": "a2a_receive", "method": "message/send", "source_id": null,
        "summary": "message/send", "status": "ok", "created_at": "2026-11-21T09:00:00.123456Z",
        "request_body": { "jsonrpc": "2.0", "id": "1", "method": "message/send", "params": { "message": message } },
    });
    let raw = RawValue::from_string(row.to_string()).unwrap();
    let own = own();
    bencher.counter(BytesCount::new(raw.get().len())).bench(|| {
        let row = read_row(&raw, &own, Timestamp(0));
        assert!(matches!(row, Row::Message { .. }));
        row
    });
}

/// The `n`-th message: a dozen words, one of them rare.
fn message(n: usize) -> Message {
    let id = ActivityId::parse(&Uuid::new_v4().to_string()).unwrap();
    let text: Vec<&str> = (0..12).map(|k| WORDS[(n * 7 + k * 3 + n / 8) % WORDS.len()]).collect();
    Message {
        text: format!("{} rare{}", text.join(" "), n % 5_000),
        ..Message::bare(
            id,
            Kind::CanvasUser,
            Timestamp(1_700_000_000_000_000 + i64::try_from(n).unwrap() * 1_000),
        )
    }
}

/// A journal on the disk of the temporary folder, and what it runs on.
struct Bench {
    runtime: Runtime,
    journal: Journal,
    made: AtomicUsize,
    _folder: TempDir,
}

impl Bench {
    fn with(messages: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let journal = runtime.block_on(open(folder.path()));
        let bench = Self {
            runtime,
            journal,
            made: AtomicUsize::new(0),
            _folder: folder,
        };
        for begin in (0..messages).step_by(1_000) {
            bench.commit((messages - begin).min(1_000));
        }
        bench
    }

    /// Commits so many new messages at once.
    fn commit(&self, count: usize) {
        let first = self.made.fetch_add(count, Ordering::Relaxed);
        let batch = Batch {
            messages: (first..first + count).map(message).collect(),
            ..Batch::default()
        };
        let done = self.runtime.block_on(self.journal.commit(batch)).unwrap();
        assert_eq!(done.added, count);
    }
}

async fn open(folder: &Path) -> Journal {
    Journal::open(folder, ORIGIN, &own(), LEASE).await.unwrap()
}

/// Durably, so this is the disk's time too.
#[divan::bench(args = [1, 10, 100, 500], sample_count = 30, sample_size = 1)]
fn commit(bencher: Bencher, count: usize) {
    let bench = Bench::with(1_000);
    bencher.counter(ItemsCount::new(count)).bench(|| bench.commit(count));
}

/// One message leased and acknowledged, beside so many that wait.
#[divan::bench(args = [100, 1_000, 10_000, 100_000], sample_count = 30, sample_size = 1)]
fn lease_and_acknowledge(bencher: Bencher, waiting: usize) {
    let bench = Bench::with(waiting);
    bencher.bench(|| {
        bench.runtime.block_on(async {
            let entry = bench.journal.lease_next().await.unwrap().unwrap();
            bench.journal.pop(&entry.message.activity_id).await.unwrap()
        })
    });
}

/// What each process asks after each change, beside so many messages that were acknowledged.
#[divan::bench(args = [100, 1_000, 10_000], sample_count = 30, sample_size = 10)]
fn look_for_changes(bencher: Bencher, acknowledged: usize) {
    let bench = Bench::with(acknowledged);
    bench.runtime.block_on(async {
        while let Some(entry) = bench.journal.lease_next().await.unwrap() {
            bench.journal.pop(&entry.message.activity_id).await.unwrap();
        }
    });
    bencher.bench(|| bench.runtime.block_on(bench.journal.inbox_mark()).unwrap());
}

/// The twenty newest messages with two words from their beginning on: about a fifth of all has both.
#[divan::bench(args = [1_000, 10_000, 100_000], sample_count = 30, sample_size = 1)]
fn search(bencher: Bencher, messages: usize) {
    let bench = Bench::with(messages);
    let ask = |words: &str| Ask {
        words: Some(words.to_owned()),
        limit: 20,
        ..Ask::default()
    };
    // The first search makes the index.
    bench.runtime.block_on(bench.journal.history(ask("rare7"))).unwrap();
    bencher.bench(|| {
        let found = bench
            .runtime
            .block_on(bench.journal.history(ask("rare7 valve")))
            .unwrap();
        assert!(!found.is_empty());
        found
    });
}

/// Opening it, the whole file read and checked.
#[divan::bench(args = [1_000, 10_000, 100_000], sample_count = 5, sample_size = 1)]
fn open_journal(bencher: Bencher, messages: usize) {
    let Bench {
        runtime,
        journal,
        _folder: folder,
        ..
    } = Bench::with(messages);
    drop(journal);
    bencher.bench(|| runtime.block_on(open(folder.path())));
}
