//! What the system grants a process, where the usual is too little.

use tracing::{debug, warn};

/// Files that a process has open whatever it does.
const ALWAYS: u64 = 128;
/// Files of each workspace: its stream and requests under way, and the locks of its duties.
const EACH: u64 = 12;

/// Asks the system for as many open files as so many workspaces need, and so many connections of clients. One workspace alone
/// needs nothing.
pub(super) fn allow_open_files(workspaces: usize, connections: usize) {
    let many = |count: usize| u64::try_from(count).unwrap_or(u64::MAX / EACH / 4);
    let needed = ALWAYS + EACH * many(workspaces) + many(connections);
    if workspaces > 1 || connections > 0 {
        raise_to(needed);
    }
}

#[cfg(unix)]
fn raise_to(needed: u64) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    if limit.maximum.is_some_and(|most| most < needed) {
        warn!(
            "so many workspaces and clients need {needed} open files, and the system grants fewer: raise the limit (ulimit -n), or start \
             several processes with fewer workspaces each"
        );
    }
    limit.current = Some(limit.maximum.map_or(needed, |most| most.min(needed)));
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        debug!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(not(unix))]
fn raise_to(_: u64) {}
