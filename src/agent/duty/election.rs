//! Winning the duty: at the start, after another process, or after having given it up.

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{AFTER_REFUSAL, AT_START, Duties, TRY_AGAIN};
use crate::state::health::{Duty, Trouble};
use crate::state::lock::{Candidacy, DutyLock};
use crate::state::obstacle::Obstacle;

/// The code of a state folder in which nothing can be locked.
const UNUSABLE: &str = "STATE_DIR_UNUSABLE";

/// The duty, just won.
pub(super) struct Won {
    pub(super) lock: DutyLock,
    /// Another process held it before.
    pub(super) handed_over: bool,
    /// It was won well after this process's start: beats come first, and nothing ends the process any more.
    pub(super) late: bool,
    /// It was given up before, and nobody took it.
    pub(super) unclaimed: bool,
}

impl Duties {
    /// Waits until the lock is ours.
    pub(super) async fn win(&self) -> Won {
        let mut handed_over = false;
        let mut candidacy = None;
        loop {
            if let Some(lock) = self.try_take() {
                return Won {
                    lock,
                    handed_over,
                    late: self.started.elapsed() > AT_START,
                    unclaimed: false,
                };
            }
            if !handed_over {
                info!("another process holds the duty of this workspace; this one serves its client from the journal");
                handed_over = true;
            }
            if candidacy.is_none() && !self.is_partial() {
                candidacy = Candidacy::announce(&self.config.state_dir, &self.origin(), &self.config.workspace).ok();
            }
            sleep(TRY_AGAIN).await;
        }
    }

    /// After it gave the duty up because its token was refused, a process competes again when its token changes; every
    /// minute it looks whether nobody took the duty at all.
    pub(super) async fn win_after_refusal(&self) -> Won {
        let again = self.config.timing.of(AFTER_REFUSAL);
        let mut given_up = Instant::now();
        loop {
            sleep(TRY_AGAIN).await;
            if self.api.token().reread() {
                info!("the token source holds a new token; competing for the duty again");
                return self.win().await;
            }
            if given_up.elapsed() >= again {
                given_up = Instant::now();
                if let Some(lock) = self.try_take() {
                    return Won {
                        lock,
                        handed_over: false,
                        late: true,
                        unclaimed: true,
                    };
                }
            }
        }
    }

    fn try_take(&self) -> Option<DutyLock> {
        match DutyLock::try_take(&self.config.state_dir, &self.origin(), &self.config.workspace) {
            Ok(Some(lock)) => {
                self.health.update(|health| {
                    if health
                        .journal_trouble
                        .as_ref()
                        .is_some_and(|trouble| trouble.code == UNUSABLE)
                    {
                        health.journal_trouble = None;
                    }
                });
                Some(lock)
            }
            Ok(None) => {
                self.health.update(|health| health.duty = Duty::Follower);
                None
            }
            Err(error) => {
                let folder = self.config.state_dir.display();
                let what = format!("the duty lock in {folder} cannot be taken: {error}");
                let remedy = Obstacle::of(&error).remedy().to_owned();
                let trouble = Trouble {
                    code: UNUSABLE.to_owned(),
                    what,
                    remedy,
                };
                if self.health.now().journal_trouble.as_ref() != Some(&trouble) {
                    warn!("{}", trouble.what);
                }
                self.health.update(|health| health.journal_trouble = Some(trouble));
                None
            }
        }
    }
}
