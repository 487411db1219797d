//! Tells a deleted workspace from a revoked token. Beats of a deleted workspace keep being answered 200, so a refused
//! read is the first sign; the public route `GET /workspaces/:id` then says which of the two it is.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::heartbeat::INTERVAL;
use super::register::removed;
use crate::config::Timing;
use crate::platform::wire::Existence;
use crate::platform::workspace::WorkspaceApi;
use crate::state::health::{HealthBoard, Trouble};
use crate::state::journal::Journal;

/// How often a removed workspace is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// How often a refused but existing workspace is asked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The loud message returns every so many beat intervals, like that of a revoked token.
const LOUD_EVERY: u32 = 20;

/// Watches for refusals, here or at the process that reads instead of this one (`elsewhere`), and asks the platform whether
/// the workspace still exists.
pub async fn watch(
    api: WorkspaceApi,
    journal: Journal,
    health: HealthBoard,
    elsewhere: watch::Receiver<bool>,
    timing: Timing,
    stop: CancellationToken,
) {
    let _ = stop
        .run_until_cancelled(watch_forever(api, journal, health, elsewhere, timing))
        .await;
}

async fn watch_forever(
    api: WorkspaceApi,
    journal: Journal,
    health: HealthBoard,
    mut elsewhere: watch::Receiver<bool>,
    timing: Timing,
) {
    let mut record = health.watch();
    loop {
        tokio::select! {
            _ = record.wait_for(|health| health.removed || health.is_refused()) => {}
            Ok(_) = elsewhere.wait_for(|refused| *refused) => {}
        }
        match api.existence().await {
            Ok(Existence::Removed(_)) => {
                say_removed(&api, &journal, &health).await;
                wait_out(&api, &health, timing).await;
            }
            Ok(Existence::Unknown) => {
                // Purged, or a platform that lost its data: believed when it says so twice.
                sleep(timing.of(LOOK_AGAIN)).await;
                if let Ok(Existence::Unknown | Existence::Removed(_)) = api.existence().await {
                    say_removed(&api, &journal, &health).await;
                    wait_out(&api, &health, timing).await;
                }
            }
            Ok(Existence::Known(_)) => {
                health.update(|health| health.removed = false);
                sleep(timing.of(LOOK_AGAIN)).await;
            }
            Err(_) => sleep(timing.of(LOOK_AGAIN)).await,
        }
    }
}

/// Says it everywhere at once: health record, log and inbox.
async fn say_removed(api: &WorkspaceApi, journal: &Journal, health: &HealthBoard) {
    let text = removed(api.workspace());
    health.update(|health| {
        health.removed = true;
        health.read_trouble = Some(Trouble {
            code: "WORKSPACE_REMOVED".to_owned(),
            what: text.clone(),
            remedy: "create a new workspace and token in the canvas, Tokens tab".to_owned(),
        });
    });
    error!("{text}");
    if let Err(failure) = journal.announce(&text, "workspace-removed").await {
        warn!("the deletion of the workspace could not be announced in the inbox: {failure}");
    }
}

/// Repeats the message every 20 beat intervals and asks every five minutes, until the workspace exists again.
async fn wait_out(api: &WorkspaceApi, health: &HealthBoard, timing: Timing) {
    let loud_every = timing.of(INTERVAL * LOUD_EVERY);
    let mut next_loud = Instant::now() + loud_every;
    let mut next_ask = Instant::now() + timing.of(ASK_AGAIN);
    loop {
        sleep(next_loud.min(next_ask).saturating_duration_since(Instant::now())).await;
        let now = Instant::now();
        if now >= next_loud {
            error!("{}", removed(api.workspace()));
            next_loud = now + loud_every;
        }
        if now >= next_ask {
            next_ask = now + timing.of(ASK_AGAIN);
            if matches!(api.existence().await, Ok(Existence::Known(_))) {
                warn!("workspace {} exists again", api.workspace());
                health.update(|health| {
                    health.removed = false;
                    health.read_trouble = None;
                });
                return;
            }
        }
    }
}
