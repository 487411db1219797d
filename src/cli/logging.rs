//! Logs go to stderr, because stdout belongs to the protocol.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging: warnings and errors, with `verbose` also what happens. `MOLECULE_LOG` takes a filter of its own.
///
/// The MCP library is never logged below warnings: it would print tool arguments, which may hold secrets.
pub fn to_stderr(verbose: bool) {
    let default = if verbose {
        "molecule_mcp=info"
    } else {
        "molecule_mcp=warn"
    };
    let wanted = std::env::var("MOLECULE_LOG")
        .ok()
        .filter(|text| !text.trim().is_empty());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(default)).unwrap_or_else(|_| EnvFilter::new(default));
    let guarded = ["rmcp=warn", "reqwest=warn", "hyper=warn", "hyper_util=warn"]
        .into_iter()
        .filter_map(|directive| directive.parse().ok())
        .fold(filter, EnvFilter::add_directive);
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        .with_env_filter(guarded)
        .finish();
    // Fails only when a subscriber is already set, as in tests.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
