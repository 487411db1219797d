//! Holding a duty, and giving it up in favour of a process that does better.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::election::{AFTER_REFUSAL, Won};
use super::{Ended, Office};
use crate::state::crash_point;
use crate::state::health::{Duty, Trouble};
use crate::state::lock::{DutyLock, Grade};

/// Refused beats in a row, or looks at refused reads, after which a holder makes room for another process.
const REFUSALS: u32 = 3;
/// How long a holder that gives up waits for its own work to end.
const HANDOVER: Duration = Duration::from_secs(2);

/// The code of a state folder that was deleted or replaced.
const GONE: &str = "STATE_DIR_GONE";

/// Why a duty was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GaveUp {
    /// The platform refuses our token.
    Refused,
    /// Another process does both duties.
    Lesser,
    /// The state folder was deleted or replaced: nothing can be kept any more, or others do the duty in a new one.
    Gone,
}

impl Office {
    /// Does a duty until `stop` (`Ok(None)`) or until another process can do it better.
    pub(super) async fn hold(&self, duty: Duty, won: Won, stop: &CancellationToken) -> Result<Option<GaveUp>, Ended> {
        if won.handed_over {
            info!("took over the {duty} of workspace {}", self.duties.own.workspace);
        }
        crash_point::pass("duty", "won");
        let over = stop.child_token();
        // Nobody took the duty that was given up, although a candidate had announced itself: it may be stopped.
        let settle = if won.unclaimed {
            self.duties.config.timing.of(AFTER_REFUSAL)
        } else {
            Duration::ZERO
        };
        let (takeover, late) = (won.handed_over || won.late, won.late);
        let lock = Arc::new(won.lock);
        let mut working = pin!(self.work(duty, &lock, takeover, late, &over));
        tokio::select! {
            ended = &mut working => ended.map(|()| None),
            why = self.wanted_elsewhere(duty, &lock, settle) => {
                match why {
                    GaveUp::Gone => warn!("giving the duty up ({duty}): the state folder is no longer ours"),
                    GaveUp::Refused | GaveUp::Lesser => {
                        warn!("giving the duty up ({duty}): another process of this computer can do it better");
                    }
                }
                over.cancel();
                let _ = timeout(HANDOVER, working).await;
                Ok(Some(why))
            }
        }
    }

    /// Waits until this holder is worse than another process, or has nothing to hold any more.
    pub(super) async fn wanted_elsewhere(&self, duty: Duty, lock: &Arc<DutyLock>, settle: Duration) -> GaveUp {
        let mut refused_reads = 0;
        self.turns(duty, settle);
        sleep(settle).await;
        loop {
            let pause = self.until_next_look();
            self.turns(duty, pause);
            sleep(pause).await;
            let health = self.duties.health.now();
            // The inbox found the folder gone and reads no more, even if it is back by now.
            if duty == Duty::Reading && health.journal_trouble.as_ref().is_some_and(is_gone) {
                return GaveUp::Gone;
            }
            // Level C goes on accepting the beats of a revoked token; then only reads tell.
            refused_reads = if health.is_read_refused() { refused_reads + 1 } else { 0 };
            let refused = refused_reads >= REFUSALS || self.pulse.borrow().refusals >= REFUSALS;
            let (why, wanted) = if refused {
                (GaveUp::Refused, Some(Grade::Able))
            } else {
                (GaveUp::Lesser, self.is_lesser(duty).then_some(Grade::Better))
            };
            let (files, lock) = (self.files.clone(), Arc::clone(lock));
            let look = move || {
                // Beats need no folder; they go on until somebody beats in the one that replaced it.
                let gone = !lock.is_current() && (duty == Duty::Reading || files.is_held(duty));
                let wanted = wanted.is_some_and(|grade| files.has_candidate(duty, grade));
                Ok((gone, wanted))
            };
            match self.look(look).await {
                Ok((true, _)) => return GaveUp::Gone,
                Ok((_, true)) => return why,
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Whether another process could do both duties where this one does only `duty`.
    fn is_lesser(&self, duty: Duty) -> bool {
        match duty {
            Duty::Presence => !self.is_whole(),
            Duty::Reading => !self.holds(Duty::Presence),
        }
    }
}

/// Whether that is told, whoever found it out.
pub(super) fn is_gone(trouble: &Trouble) -> bool {
    trouble.code == GONE
}

/// The state folder was deleted or replaced under the running process.
pub(super) fn folder_gone() -> Trouble {
    Trouble {
        code: GONE.to_owned(),
        what: "the state folder was deleted or replaced while molecule-mcp ran, so this process no longer receives"
            .to_owned(),
        remedy: "put the folder back, or restart molecule-mcp: it makes a new one (CONFIGS_DIR, or the default)"
            .to_owned(),
    }
}
