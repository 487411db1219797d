//! What systemd is told (`sd_notify(3)`): ready, how it goes, still alive, reading the configuration again, stopping. Without
//! its socket in the environment nothing is said.

use std::collections::BTreeMap;
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

/// So many workspaces are told of one by one; of more only how many are how, and of the one that is worst off.
const EACH: usize = 4;

fn line(overview: &Overview) -> String {
    let all = &overview.workspaces;
    if all.len() <= EACH {
        let lines: Vec<_> = all.iter().map(of_one).collect();
        return lines.join("; ");
    }
    let mut kinds = BTreeMap::<_, usize>::new();
    for standing in all {
        *kinds.entry(by_need(standing.state())).or_default() += 1;
    }
    let counts: Vec<_> = kinds
        .iter()
        .rev()
        .map(|((_, word), count)| format!("{count} {word}"))
        .collect();
    let (new, leased) = all.iter().map(Standing::counts).fold((0, 0), |(new, leased), counts| {
        (new + counts.new, leased + counts.leased)
    });
    let mut line = format!(
        "{} workspaces: {} ({new} new, {leased} being worked on)",
        all.len(),
        counts.join(", ")
    );
    let worst = all.iter().min_by_key(|standing| by_need(standing.state()));
    if let Some(worst) = worst.filter(|worst| ![State::Online, State::Starting].contains(&worst.state())) {
        line.push_str("; ");
        line.push_str(&of_one(worst));
    }
    line
}

/// The words for states, those that need somebody first.
fn by_need(state: State) -> (u8, &'static str) {
    match state {
        State::Stuck => (0, "stuck"),
        State::Deaf => (1, "deaf"),
        State::Offline => (2, "offline"),
        State::Receiving => (3, "receiving"),
        State::Starting => (4, "starting"),
        State::Online => (5, "online"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::WorkspaceId;

    fn told_of(count: usize) -> String {
        let folder = tempfile::tempdir().unwrap();
        let id = |n| WorkspaceId::parse(&format!("5f0c1d2e-0000-4000-8000-{n:012}")).unwrap();
        let wanted: Vec<_> = (0..count).map(|n| ("https://x.example".to_owned(), id(n))).collect();
        line(&Overview::of(folder.path(), &wanted, Duration::from_secs(45)))
    }

    #[test]
    fn few_workspaces_are_told_of_one_by_one_and_many_in_one_sentence() {
        let few = told_of(EACH);
        assert_eq!(few.matches("receiving nothing").count(), EACH, "{few}");
        let many = told_of(200);
        assert!(
            many.starts_with("200 workspaces: 200 offline (0 new, 0 being worked on); 5f0c1d2e receiving nothing"),
            "{many}"
        );
        assert!(many.len() < 300 && !many.contains('\n'), "{many}");
    }

    #[test]
    fn those_that_need_somebody_come_first_and_the_sound_ones_first_in_the_sum() {
        let mut words = [State::Online, State::Receiving, State::Deaf, State::Stuck].map(by_need);
        words.sort_unstable();
        assert_eq!(words.map(|(_, word)| word), ["stuck", "deaf", "receiving", "online"]);
    }
}
