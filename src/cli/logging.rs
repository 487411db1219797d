//! The log: on stderr, because stdout belongs to the protocol, and in a file for people whose client hides stderr. It never
//! holds anything up: a client that does not read stderr would otherwise stop the heartbeat at the first full pipe. Whatever
//! goes out passes `hidden::clean` last.

use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tracing::{error, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::settings::{Log, LogFormat};
use file::LogFile;
use outlet::Outlet;
use record::{Lines, Shape};

pub(super) use hidden::clean;

mod file;
mod hidden;
mod outlet;
mod record;

/// The target of everything this program logs itself.
const OURS: &str = "molecule_mcp";
/// How long the exit waits for what is still to be written.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// The same when there is a reason for the exit: on a busy computer the line must not get lost that says what to mend.
const LAST_REASON: Duration = Duration::from_secs(1);

/// Of the lines on stderr, once it is known.
static SHAPE: OnceLock<Shape> = OnceLock::new();
static STDERR: OnceLock<Outlet> = OnceLock::new();
static FILE: OnceLock<Outlet> = OnceLock::new();

/// Who reads stderr when it is no terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// An MCP client, which shows it to a person.
    Client,
    /// Whatever collects the log of a service.
    Service,
}

/// Starts logging: warnings and errors; of a service and with `verbose` also what happens. The filter replaces that, as
/// `molecule_mcp=debug` or just `debug`. Only the first call counts.
///
/// Libraries are never logged below warnings: the MCP library would print tool arguments, which may hold secrets.
pub fn start(log: &Log, audience: Audience) {
    let shape = shape(log.format, audience, io::stderr().is_terminal(), is_journal());
    let _ = SHAPE.set(shape);
    let wanted = log.filter.as_deref().map(filter);
    let targets = |usual| {
        let wanted = wanted.clone().flatten();
        wanted.unwrap_or_else(|| Targets::new().with_target(OURS, usual))
    };
    let usual = if log.verbose || audience == Audience::Service {
        LevelFilter::INFO
    } else {
        LevelFilter::WARN
    };
    let lines = Lines::new(shape, stderr()).with_filter(targets(usual));
    let mut trouble = None;
    let filed = log.file.as_ref().and_then(|path| match LogFile::open(path) {
        Ok(file) => {
            let shape = match log.format {
                LogFormat::Json => Shape::Json,
                _ => Shape::File,
            };
            let outlet =
                FILE.get_or_init(|| Outlet::start("log file", file, move |count| record::dropped(shape, count)));
            Some(Lines::new(shape, outlet).with_filter(targets(LevelFilter::INFO)))
        }
        Err(error) => {
            trouble = Some(format!("the log file {} cannot be used: {error}", path.display()));
            None
        }
    });
    // Fails only when a subscriber is already set.
    if tracing::subscriber::set_global_default(Registry::default().with(lines).with(filed)).is_err() {
        return;
    }
    if let Some(trouble) = trouble {
        warn!("{trouble}");
    }
    if wanted == Some(None) {
        warn!("MOLECULE_LOG is no log filter and is ignored; write it as debug or molecule_mcp::agent=debug");
    }
}

/// Panics with these words in a thread that nobody waits for, when a test asks for it.
#[cfg(debug_assertions)]
pub(super) fn panic_on_demand() {
    if let Some(words) = std::env::var_os("MOLECULE_TEST_PANIC") {
        std::thread::spawn(move || panic!("{}", words.to_string_lossy()));
    }
}

/// From now on a panic is a line of the log like any other: the system's own words would not pass the filter.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let words = payload.downcast_ref::<&str>().copied();
        let words = words.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = format!("a bug: panicked at {place}: {}", words.unwrap_or("(no words)"));
        if tracing::dispatcher::has_been_set() {
            error!("{text}");
        } else {
            stderr().line(format!("{}\n", hidden::clean(&text)).into_bytes());
        }
    }));
}

/// Writes a text to stderr behind everything logged so far, and into the log file, and waits a moment for it. A reader that is
/// stuck does not hold up the exit.
pub fn last_words(text: &str) {
    let text = hidden::clean(text);
    let patience = if text.is_empty() { LAST_WORDS } else { LAST_REASON };
    let deadline = Instant::now() + patience;
    let written = [
        stderr().last(text.clone().into_bytes()),
        FILE.get().and_then(|file| file.last(record::last(&text))),
    ];
    for written in written.into_iter().flatten() {
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

fn stderr() -> &'static Outlet {
    STDERR.get_or_init(|| {
        Outlet::start("log", io::stderr(), |count| {
            record::dropped(SHAPE.get().copied().unwrap_or(Shape::Text), count)
        })
    })
}

/// How lines look on stderr.
fn shape(format: LogFormat, audience: Audience, is_terminal: bool, is_journal: bool) -> Shape {
    match (format, audience) {
        (LogFormat::Json, _) => Shape::Json,
        (LogFormat::Text, _) => Shape::Text,
        (LogFormat::Auto, _) if is_terminal => Shape::Text,
        (LogFormat::Auto, _) if is_journal => Shape::Journal,
        (LogFormat::Auto, Audience::Client) => Shape::Text,
        (LogFormat::Auto, Audience::Service) => Shape::Json,
    }
}

/// Whether stderr leads into the journal of systemd, by the variable that it sets for this.
#[cfg(unix)]
fn is_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else {
        return false;
    };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else {
        return false;
    };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

#[cfg(not(unix))]
fn is_journal() -> bool {
    false
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

    #[test]
    fn lines_look_as_their_reader_wants_them() {
        use Audience::{Client, Service};
        for (format, audience, is_terminal, is_journal, expected) in [
            (LogFormat::Auto, Client, true, false, Shape::Text),
            (LogFormat::Auto, Client, false, false, Shape::Text),
            (LogFormat::Auto, Client, false, true, Shape::Journal),
            (LogFormat::Auto, Service, true, false, Shape::Text),
            (LogFormat::Auto, Service, false, true, Shape::Journal),
            (LogFormat::Auto, Service, false, false, Shape::Json),
            (LogFormat::Json, Client, true, true, Shape::Json),
            (LogFormat::Text, Service, false, true, Shape::Text),
        ] {
            assert_eq!(shape(format, audience, is_terminal, is_journal), expected);
        }
    }
}
