//! Logs go to stderr, because stdout belongs to the protocol.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt};

/// Starts logging: warnings and errors, with `verbose` also what happens. `MOLECULE_LOG` takes a filter of its own, as
/// `molecule_mcp=debug` or just `debug`.
///
/// Libraries are never logged below warnings: the MCP library would print tool arguments, which may hold secrets.
pub fn to_stderr(verbose: bool) {
    let usual = if verbose { LevelFilter::INFO } else { LevelFilter::WARN };
    let wanted = std::env::var("MOLECULE_LOG").ok().and_then(|text| filter(&text));
    let targets = wanted.unwrap_or_else(|| Targets::new().with_target(OURS, usual));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        .with_filter(targets);
    // Fails only when a subscriber is already set, as in tests.
    let _ = tracing::subscriber::set_global_default(Registry::default().with(lines));
}

/// The target of everything this program logs itself.
const OURS: &str = "molecule_mcp";

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
            assert_eq!(
                made.as_ref().map(|targets| targets.would_enable(OURS, &Level::DEBUG)),
                ours,
                "{text}"
            );
            assert!(
                made.is_none_or(|targets| targets.would_enable("rmcp", &Level::INFO) == library),
                "{text}"
            );
        }
    }
}
