//! The heartbeat: keeps the workspace online, notices a refused token, and collects the inbound secret.
//!
//! It has a task and connections of its own, and waits for nothing else in the process: not the journal, not the disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::management_presence::Presence;
use super::register::keep_inbound_secret;
use super::standing::{Advice, BeatOutcome, Standing};
use super::stream::Stream;
use crate::config::Timing;
use crate::platform::client::{Client, Purpose, RateLimit};
use crate::platform::error::CallError;
use crate::platform::retry::LONGEST_PAUSE;
use crate::platform::wire::Beat;
use crate::platform::workspace::WorkspaceApi;
use crate::state::clock::{BootInstant, Clock};
use crate::state::crash_point;
use crate::state::health::{HealthBoard, Trouble};
use crate::state::journal::Journal;
use crate::state::lock::DutyLock;
use crate::state::naming::Naming;
use crate::state::secret;
use crate::types::{Secret, Timestamp, WorkspaceId};

/// From the start of one beat to the start of the next.
pub const INTERVAL: Duration = Duration::from_secs(20);
/// The longest interval under a tight rate limit; the platform calls a workspace gone after 90 s (level B).
const LONGEST: Duration = Duration::from_secs(60);
/// After a sleep a beat goes out at once, unless one was begun this recently.
const JUST_NOW: Duration = Duration::from_secs(5);
/// How long a beat waits for the journal's count of leased messages.
const PATIENCE_WITH_JOURNAL: Duration = Duration::from_millis(200);

/// The last sign of life that the platform accepted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pulse {
    /// When the last good beat was answered, since boot; a computer that slept notices the gap.
    pub last_good: Option<Duration>,
    /// Refusals in a row.
    pub refusals: u32,
}

/// Everything a heartbeat needs.
#[derive(Debug)]
pub struct Heartbeat {
    /// The platform, over connections that nothing else uses.
    pub api: WorkspaceApi,
    /// Asked for the number of leased messages.
    pub journal: Journal,
    /// In its folder the inbound secret is kept.
    pub lock: Arc<DutyLock>,
    /// Where to say how it goes.
    pub health: HealthBoard,
    /// Told of every good beat, because its echo proves the stream alive.
    pub stream: Stream,
    /// Told of every beat.
    pub pulse: watch::Sender<Pulse>,
    /// How the file of that secret is named.
    pub naming: Naming,
    /// The intervals.
    pub timing: Timing,
    /// When this process started.
    pub started: Instant,
}

impl Heartbeat {
    /// Beats until `stop`. While the workspace is known to be removed it only waits.
    pub async fn run(self, stop: CancellationToken) {
        let (secrets, to_keep) = watch::channel(None);
        let name = self.naming.of(secret::INBOUND_SECRET, self.api.workspace());
        let keeper = tokio::spawn(keep_secrets(Arc::clone(&self.lock), name, to_keep));
        let _ = stop.run_until_cancelled(self.beat_forever(secrets)).await;
        // The sender is gone, so the keeper ends by itself; a disk that hangs must not hold up the exit.
        keeper.abort();
    }

    async fn beat_forever(&self, secrets: watch::Sender<Option<Secret>>) {
        let mut standing = Standing::Fine;
        let mut last_load = (0, None);
        let mut management = Presence::default();
        let turn = self.health.turns().begin("heartbeat");
        let mut pace = Pace::begin(Clock::system(), self.api.client().fresh_starts());
        // Many workspaces that began together do not go on beating together.
        let mut phase = Some(self.api.client().phase());
        loop {
            let mut failed = false;
            if !self.health.now().removed {
                if let Ok(load) = timeout(PATIENCE_WITH_JOURNAL, load(&self.journal)).await {
                    last_load = load;
                }
                while let Some(pause) = self.api.client().pause(Purpose::Beating, self.timing) {
                    turn.again_after(pause);
                    sleep(pause).await;
                }
                let beat = self.beat(&last_load, management.now().await);
                let result = self.api.heartbeat(&beat).await;
                crash_point::pass("beat", "sent");
                standing = self.judge(standing, &result);
                match &result {
                    Ok(reply) => {
                        self.stream.note_beat(beat.uptime_seconds);
                        if let Some(secret) = &reply.inbound_secret {
                            // Sent with every beat, so that a deleted file returns with the next one.
                            secrets.send_replace(Some(secret.clone()));
                        }
                    }
                    Err(error) => {
                        self.tell(error);
                        failed = !matches!(error, CallError::Throttled { .. });
                        if error.status().is_none() {
                            self.stream.doubt(&self.health);
                        }
                    }
                }
            }
            let every = if failed {
                self.timing.of(LONGEST_PAUSE)
            } else {
                interval(self.api.client(), self.timing)
            };
            let every = every.mul_f64(phase.take().unwrap_or(1.0));
            turn.again_after(every);
            pace.turn(every).await;
        }
    }

    fn beat(&self, (active_tasks, current_task): &(u32, Option<String>), mcp_server_present: bool) -> Beat {
        Beat {
            workspace_id: self.api.workspace().to_string(),
            error_rate: 0.0,
            sample_error: String::new(),
            active_tasks: *active_tasks,
            current_task: current_task.clone(),
            uptime_seconds: self.started.elapsed().as_secs(),
            mcp_server_present,
        }
    }

    /// Takes the outcome into the standing, the pulse, the health record and the log.
    fn judge<T>(&self, standing: Standing, result: &Result<T, CallError>) -> Standing {
        let outcome = BeatOutcome::of(result);
        let (next, advice) = standing.after(outcome);
        self.pulse.send_modify(|pulse| {
            pulse.refusals = next.streak();
            if outcome == BeatOutcome::Accepted {
                pulse.last_good = Some(BootInstant::now().since);
            }
        });
        if outcome == BeatOutcome::Accepted {
            let told = self.health.now().beat_trouble;
            if told.is_some_and(|told| told.code != "AUTH_ERROR") {
                info!("heartbeats are accepted again");
            }
            self.health.update(|health| {
                health.beaten = Some(Timestamp::now());
                health.beat_trouble = None;
            });
        }
        let status = result.as_ref().err().and_then(CallError::status).unwrap_or(0);
        match advice {
            Advice::Carry => {}
            Advice::Warn { nth } => warn!("heartbeat refused with {status}: the token may be revoked ({nth}/3)"),
            Advice::Loud { streak } => error!("{}", revoked(self.api.workspace(), streak, status)),
            Advice::Recovered { streak } => warn!("heartbeat accepted again after {streak} refusals"),
        }
        next
    }

    fn tell(&self, error: &CallError) {
        let refused = matches!(error, CallError::Refused { .. });
        let told = self.health.now().beat_trouble;
        if !refused && told.is_none_or(|told| told.code != error.code()) {
            warn!("heartbeat failed: {error}; beats go on");
        } else {
            debug!(%error, "heartbeat failed");
        }
        let remedy = if refused {
            "make a new token in the canvas, Tokens tab, update the MCP configuration, restart"
        } else {
            "none needed: beats go on; check PLATFORM_URL and the network if it lasts"
        };
        self.health.update(|health| {
            health.beat_trouble = Some(Trouble {
                code: error.code().to_owned(),
                what: format!("heartbeat failed: {error}"),
                remedy: remedy.to_owned(),
            });
        });
    }
}

/// Beats begin one interval after the last one began ([`LONGEST_PAUSE`] after one that was not accepted), or at once after
/// one that took longer, or after a sleep of the computer, which no timer counts. Missed ones are not made up for.
struct Pace {
    begun: Instant,
    /// The same moment by a clock that counts sleep.
    begun_since_boot: Duration,
    clock: Clock,
    fresh_starts: watch::Receiver<u64>,
}

impl Pace {
    fn begin(clock: Clock, fresh_starts: watch::Receiver<u64>) -> Self {
        Self {
            begun: Instant::now(),
            begun_since_boot: clock.boot().since,
            clock,
            fresh_starts,
        }
    }

    /// Waits until the next beat is due.
    async fn turn(&mut self, interval: Duration) {
        tokio::select! {
            () = sleep_until(self.begun + interval) => {}
            () = self.woken() => {}
        }
        self.fresh_starts.mark_unchanged();
        self.begun = Instant::now();
        self.begun_since_boot = self.clock.boot().since;
    }

    /// A fresh start that finds the last beat old. One that came while a beat was under way counts, too.
    async fn woken(&mut self) {
        while self.fresh_starts.changed().await.is_ok() {
            if self.clock.boot().since.saturating_sub(self.begun_since_boot) >= JUST_NOW {
                return;
            }
        }
        std::future::pending().await
    }
}

/// Number of leased messages, and what kinds of sender they are from; never their text.
async fn load(journal: &Journal) -> (u32, Option<String>) {
    let kinds = journal.leased_kinds().await.unwrap_or_default();
    let leased: u64 = kinds.iter().map(|(_, count)| count).sum();
    if leased == 0 {
        return (0, None);
    }
    let kinds: Vec<_> = kinds.iter().map(|(kind, _)| kind.as_str()).collect();
    (
        u32::try_from(leased).unwrap_or(u32::MAX),
        Some(format!("{leased} message(s) from {}", kinds.join(", "))),
    )
}

/// Writes each secret that arrives; a disk that hangs holds up only this task.
async fn keep_secrets(lock: Arc<DutyLock>, name: String, mut secrets: watch::Receiver<Option<Secret>>) {
    while secrets.changed().await.is_ok() {
        let Some(secret) = secrets.borrow_and_update().clone() else {
            continue;
        };
        let (lock, name) = (Arc::clone(&lock), name.clone());
        let _ = tokio::task::spawn_blocking(move || keep_inbound_secret(&lock, &name, &secret)).await;
    }
}

/// From one good beat to the next: 20 s, unless so many share a limit that they cannot beat as often, or it has nothing left
/// for so long that a beat would only be refused; 60 s at most.
pub(super) fn interval(client: &Client, timing: Timing) -> Duration {
    let shared = client.every(timing.of(INTERVAL), Purpose::Beating, timing);
    unless_empty(shared.min(timing.of(LONGEST)), client.rate_limit(), timing)
}

fn unless_empty(normal: Duration, rate: RateLimit, timing: Timing) -> Duration {
    match (rate.remaining, rate.reset) {
        (Some(0), Some(reset)) => normal.max(timing.of(reset.clamp(INTERVAL, LONGEST))),
        _ => normal,
    }
}

/// The text of the loud advice: everything a person needs to mend it.
fn revoked(workspace: &WorkspaceId, streak: u32, status: u16) -> String {
    format!(
        "heartbeat refused {streak} times in a row with {status}: the token of workspace {workspace} is revoked, probably \
         because the workspace was deleted. This server keeps running, but every platform call fails. Create a new workspace \
         and token in the canvas (Tokens tab), update WORKSPACE_ID and MOLECULE_WORKSPACE_TOKEN in the MCP configuration, and \
         restart the client"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::clock::ManualTime;

    #[test]
    fn the_interval_grows_only_when_the_limiter_is_empty_and_never_past_60_s() {
        let rate = |remaining, reset| RateLimit {
            limit: Some(600),
            remaining,
            reset: Some(Duration::from_secs(reset)),
        };
        for (given, seconds) in [
            (RateLimit::default(), 20),
            (rate(Some(600), 60), 20),
            (rate(Some(1), 60), 20),
            (rate(Some(0), 5), 20),
            (rate(Some(0), 45), 45),
            (rate(Some(0), 500), 60),
        ] {
            assert_eq!(
                unless_empty(INTERVAL, given, Timing::REAL),
                Duration::from_secs(seconds),
                "{given:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn beats_begin_20_s_apart_whatever_they_take_and_are_never_made_up_for() {
        let begun = Instant::now();
        let fresh_starts = watch::Sender::new(0);
        let mut pace = Pace::begin(Clock::system(), fresh_starts.subscribe());
        let mut starts = Vec::new();
        for secs in [0, 5, 19, 45, 1, 1, 0] {
            starts.push(begun.elapsed().as_secs());
            tokio::time::sleep(Duration::from_secs(secs)).await;
            pace.turn(INTERVAL).await;
        }
        assert_eq!(starts, [0, 20, 40, 60, 105, 125, 145]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_sleep_one_beat_goes_out_at_once_and_the_next_in_its_time() {
        let time = ManualTime::starting_at(Timestamp(0));
        let fresh_starts = watch::Sender::new(0);
        let mut pace = Pace::begin(time.clock(), fresh_starts.subscribe());
        let begun = Instant::now();
        let pass = async |secs| {
            tokio::time::sleep(Duration::from_secs(secs)).await;
            time.advance(Duration::from_secs(secs));
        };
        let sleep = || {
            time.advance(Duration::from_secs(8 * 3600));
            fresh_starts.send_modify(|count| *count += 1);
        };
        pass(3).await;
        tokio::join!(pace.turn(INTERVAL), async { sleep() });
        assert_eq!(begun.elapsed().as_secs(), 3, "at once");
        // One that comes while the beat is under way is a beat to be made again, but not by itself a second one.
        fresh_starts.send_modify(|count| *count += 1);
        pass(1).await;
        pace.turn(INTERVAL).await;
        assert_eq!(begun.elapsed().as_secs(), 23, "in its time");
        pass(6).await;
        sleep();
        pace.turn(INTERVAL).await;
        assert_eq!(begun.elapsed().as_secs(), 29, "noticed while the beat was under way");
    }

    #[test]
    fn the_loud_text_says_count_status_workspace_and_remedy() {
        let id = WorkspaceId::parse("5f0c1d2e-0000-4000-8000-000000000001").unwrap();
        let text = revoked(&id, 23, 401);
        for part in [
            "23",
            "401",
            id.as_str(),
            "revoked",
            "deleted",
            "keeps running",
            "Tokens tab",
            "restart",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
