//! Logs go to stderr, because stdout belongs to the protocol, and never hold anything up: a client that does not read
//! stderr would otherwise stop the heartbeat at the first full pipe.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt};

/// The target of everything this program logs itself.
const OURS: &str = "molecule_mcp";
/// Lines that may wait for a reader of stderr; further ones are dropped and counted.
const WAITING: usize = 256;
/// How long the exit waits for what is still to be written.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// The same when there is a reason for the exit: on a busy computer the line must not get lost that says what to mend.
const LAST_REASON: Duration = Duration::from_secs(1);

static OUTLET: OnceLock<SyncSender<Piece>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Starts logging: warnings and errors, with `verbose` also what happens. `MOLECULE_LOG` takes a filter of its own, as
/// `molecule_mcp=debug` or just `debug`.
///
/// Libraries are never logged below warnings: the MCP library would print tool arguments, which may hold secrets.
pub fn to_stderr(verbose: bool) {
    let usual = if verbose { LevelFilter::INFO } else { LevelFilter::WARN };
    let wanted = std::env::var("MOLECULE_LOG").ok().and_then(|text| filter(&text));
    let targets = wanted.unwrap_or_else(|| Targets::new().with_target(OURS, usual));
    let lines = fmt::layer()
        .with_writer(Lines)
        .with_ansi(false)
        .with_target(false)
        .with_filter(targets);
    // Fails only when a subscriber is already set, as in tests.
    let _ = tracing::subscriber::set_global_default(Registry::default().with(lines));
}

/// Writes a text to stderr behind everything logged so far, and waits a moment for it. A reader that is stuck does not hold
/// up the exit.
pub fn last_words(text: &str) {
    let (written, is_written) = mpsc::sync_channel(1);
    if outlet().try_send(Piece::Last(text.to_owned(), written)).is_ok() {
        let _ = is_written.recv_timeout(if text.is_empty() { LAST_WORDS } else { LAST_REASON });
    }
}

/// What waits to be written.
enum Piece {
    Line(Vec<u8>),
    Last(String, SyncSender<()>),
}

fn outlet() -> &'static SyncSender<Piece> {
    OUTLET.get_or_init(|| {
        let (outlet, pieces) = mpsc::sync_channel(WAITING);
        // A plain thread: it may block for ever in a write, and the process ends without it.
        let _ = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_out(&pieces));
        outlet
    })
}

fn write_out(pieces: &Receiver<Piece>) {
    let mut stderr = io::stderr();
    for piece in pieces {
        let missed = DROPPED.swap(0, Ordering::Relaxed);
        if missed > 0 {
            let _ = writeln!(
                stderr,
                "[molecule-mcp] {missed} log lines were dropped, because nobody read stderr"
            );
        }
        match piece {
            Piece::Line(line) => {
                let _ = stderr.write_all(&line);
            }
            Piece::Last(text, written) => {
                let _ = stderr.write_all(text.as_bytes());
                let _ = written.send(());
            }
        }
    }
}

/// Makes one buffer per event, handed on as a whole.
struct Lines;

impl MakeWriter<'_> for Lines {
    type Writer = Line;
    fn make_writer(&self) -> Line {
        Line(b"[molecule-mcp] ".to_vec())
    }
}

/// One event on its way out.
struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if outlet().try_send(Piece::Line(std::mem::take(&mut self.0))).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A person's filter, applied to what this program logs; everything else stays at warnings.
fn filter(text: &str) -> Option<Targets> {
    let wanted: Targets = text.trim().parse().ok()?;
    let ours = wanted
        .iter()
        .filter(|(target, _)| target.starts_with(OURS))
        .map(|(target, level)| (target.to_owned(), level));
    let everything = wanted.default_level().map(|level| (OURS.to_owned(), level));
    let ours: Vec<_> = everything.into_iter().chain(ours).collect();
    (!ours.is_empty()).then(|| Targets::new().with_default(LevelFilter::WARN).with_targets(ours))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_filter_reaches_this_program_only() {
        for (text, ours, library) in [
            ("debug", Some(true), false),
            ("trace,rmcp=trace", Some(true), false),
            ("molecule_mcp=debug", Some(true), false),
            ("molecule_mcp::agent=debug,rmcp=trace", Some(false), false),
            ("error", Some(false), false),
            ("rmcp=trace", None, false),
            ("no=such=filter", None, false),
        ] {
            let made = filter(text);
            let is_enabled = |targets: &Targets| targets.would_enable(OURS, &Level::DEBUG);
            assert_eq!(made.as_ref().map(is_enabled), ours, "{text}");
            assert!(
                made.is_none_or(|targets| targets.would_enable("rmcp", &Level::INFO) == library),
                "{text}"
            );
        }
    }
}
