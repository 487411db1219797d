//! What systemd is told (`sd_notify(3)`): ready, how it goes, still alive, reading the configuration again, stopping. Without
//! its socket in the environment nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::vitals::Vitals;
use crate::agent::supervisor::Ended;
use crate::state::overview::{Overview, Standing, State};

/// How often the status line is looked at when nothing seems to have changed: the inbox is no part of the health record.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// Changes this close together are told as one.
const COALESCE: Duration = Duration::from_millis(500);

/// Tells until `stop`.
pub(super) async fn keep_told(vitals: Vitals, stop: CancellationToken) -> Ended {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        stop.cancelled().await;
        return Ended::Fine;
    }
    let telling = async { tokio::join!(tell_progress(&vitals), feed_watchdog(&vitals)) };
    stop.run_until_cancelled(telling).await;
    notify(&[NotifyState::Stopping]);
    Ended::Fine
}

/// The configuration is being read again.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "no monotonic time for the service manager"),
    }
}

/// It was read, and nothing came of it.
pub(super) fn reloaded() {
    notify(&[NotifyState::Ready]);
}

async fn tell_progress(vitals: &Vitals) {
    let mut rounds = vitals.rounds();
    loop {
        let round = rounds.borrow_and_update().clone();
        tokio::select! {
            () = round.is_under_way() => notify(&[NotifyState::Ready]),
            Ok(()) = rounds.changed() => continue,
        }
        let mut health = round.watch();
        let mut told = String::new();
        loop {
            let line = vitals.overview().await.map_or_else(hangs, |overview| line(&overview));
            if line != told {
                notify(&[NotifyState::Status(&line)]);
                told = line;
            }
            tokio::select! {
                Ok(()) = rounds.changed() => break,
                () = health.changed() => sleep(COALESCE).await,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }
}

/// Feeds it twice as often as need be, as long as all loops turn.
async fn feed_watchdog(vitals: &Vitals) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        match vitals.overdue()[..] {
            [] => notify(&[NotifyState::Watchdog]),
            ref stuck => error!(
                "the watchdog is not fed, because this stands still: {}",
                stuck.join(", ")
            ),
        }
        sleep(limit / 2).await;
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "the service manager could not be told");
    }
}

fn hangs() -> String {
    "the state folder does not answer; its disk may hang".to_owned()
}

fn line(overview: &Overview) -> String {
    let lines: Vec<_> = overview.workspaces.iter().map(of_one).collect();
    lines.join("; ")
}

fn of_one(standing: &Standing) -> String {
    let counts = standing.counts();
    let what = match standing.state() {
        State::Online => "online".to_owned(),
        State::Starting => "starting".to_owned(),
        State::Receiving | State::Deaf | State::Stuck | State::Offline => {
            let troubles = standing.troubles();
            let trouble = troubles.first().map_or("", |trouble| trouble.what.as_str());
            let hears = if standing.can_receive() {
                "receiving, but"
            } else {
                "receiving nothing:"
            };
            format!("{hears} {}", trouble.split('\n').next().unwrap_or_default())
        }
    };
    format!(
        "{} {what} ({} new, {} being worked on)",
        standing.workspace.short(),
        counts.new,
        counts.leased
    )
}
