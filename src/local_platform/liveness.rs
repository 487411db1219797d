//! The health sweep: workspaces that stopped beating lose their `online`, and old rows are forgotten.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Result;
use serde_json::json;

use super::clock::{self, Micros};
use super::server::Level;
use super::site::Site;
use super::store::workspaces::Workspace;

/// How long the liveness key lives after a register or a beat.
pub(crate) const KEY_LIFE: Duration = Duration::from_secs(180);
const SWEEP_EVERY: Duration = Duration::from_secs(15);
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
const PRUNE_EVERY: Duration = Duration::from_secs(6 * 3600);

/// Sweeps until the platform stops.
pub(crate) async fn watch(site: Arc<Site>) {
    let mut pruned: Option<Instant> = None;
    loop {
        let outcome = sweep(&site, clock::now()).and_then(|()| {
            if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
                pruned = Some(Instant::now());
                site.store.prune_activity(clock::now() - micros(RETENTION))?;
            }
            Ok(())
        });
        if let Err(error) = outcome {
            tracing::error!(%error, "the embedded platform's health sweep failed");
        }
        tokio::time::sleep(site.pace(SWEEP_EVERY)).await;
    }
}

/// When a workspace that beats at `now` is taken for dead.
pub(crate) fn key_expiry(site: &Site, now: Micros) -> Micros {
    now + micros(site.pace(KEY_LIFE))
}

fn sweep(site: &Site, now: Micros) -> Result<()> {
    let stale = Duration::from_secs(if site.level == Level::C { 180 } else { 90 });
    let oldest_beat = now - micros(site.pace(stale));
    for workspace in site.store.workspaces()? {
        let Some(status) = verdict(site.level, &workspace, now, oldest_beat) else {
            continue;
        };
        // Looked at again under the lock: a beat may have come between.
        let changed = site.store.change_workspace(&workspace.id, |current| {
            if verdict(site.level, current, now, oldest_beat).is_none() {
                return false;
            }
            current.status = status.to_owned();
            current.alive_until = None;
            true
        })?;
        if changed == Some(true) {
            site.hub.send(
                &workspace.id,
                "WORKSPACE_OFFLINE",
                json!({ "workspace_id": workspace.id, "status": status }),
            );
        }
    }
    Ok(())
}

/// The status a workspace falls to, if it falls.
fn verdict(level: Level, workspace: &Workspace, now: Micros, oldest_beat: Micros) -> Option<&'static str> {
    if !matches!(workspace.status.as_str(), "online" | "degraded") {
        return None;
    }
    let key_expired = workspace.alive_until.is_some_and(|until| until <= now);
    let beat_is_stale = workspace.is_external() && workspace.last_beat.is_some_and(|beat| beat < oldest_beat);
    if !key_expired && !beat_is_stale {
        return None;
    }
    Some(if workspace.is_external() && level >= Level::B {
        "awaiting_agent"
    } else {
        "offline"
    })
}

fn micros(duration: Duration) -> Micros {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_ends_online_by_kind_and_level_and_leaves_other_states_alone() {
        let (now, oldest) = (1000, 500);
        for (level, runtime, status, beat, alive_until, falls_to) in [
            (Level::B, "external", "online", 499, 2000, Some("awaiting_agent")),
            (Level::B, "external", "degraded", 499, 2000, Some("awaiting_agent")),
            (Level::A, "external", "online", 499, 2000, Some("offline")),
            (Level::B, "external", "online", 500, 2000, None),
            (Level::B, "langgraph", "online", 499, 2000, None),
            (Level::B, "langgraph", "online", 499, 1000, Some("offline")),
            (Level::B, "external", "removed", 0, 0, None),
            (Level::B, "external", "paused", 0, 0, None),
            (Level::B, "external", "hibernated", 0, 0, None),
        ] {
            let mut workspace = Workspace::new("w".into(), "w".into());
            workspace.runtime = runtime.into();
            workspace.status = status.into();
            workspace.last_beat = Some(beat);
            workspace.alive_until = Some(alive_until);
            assert_eq!(
                verdict(level, &workspace, now, oldest),
                falls_to,
                "{level:?} {runtime} {status} {beat}"
            );
        }
    }
}
