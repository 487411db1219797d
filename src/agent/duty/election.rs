//! Winning a duty: at the start, after another process, or after having given it up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::elsewhere::Elsewhere;
use super::holding::{GaveUp, folder_gone};
use super::{Office, TRY_AGAIN, until};
use crate::config::Switch;
use crate::state::health::{Duty, Role, Trouble};
use crate::state::lock::{Candidacy, DutyLock, Grade, LockFile, Taken};
use crate::state::obstacle::Obstacle;

/// A refusal at register ends the process only when it won its duty this soon after its start.
const AT_START: Duration = Duration::from_secs(10);
/// How often a process whose token was refused looks whether nobody holds the duty.
pub(super) const AFTER_REFUSAL: Duration = Duration::from_secs(60);

/// A duty, just won.
pub(super) struct Won {
    pub(super) lock: DutyLock,
    /// Another process held it before.
    pub(super) handed_over: bool,
    /// It was won well after this process's start: beats come first, and nothing ends the process any more.
    pub(super) late: bool,
    /// It was given up before, and nobody took it.
    pub(super) unclaimed: bool,
}

/// The efforts of one process for one duty.
pub(super) struct Election<'a> {
    office: &'a Office,
    pub(super) duty: Duty,
    file: Option<Arc<LockFile>>,
    elsewhere: Elsewhere<'a>,
    trouble: Option<Trouble>,
}

impl<'a> Election<'a> {
    /// Opens the lock file, if this process is to compete at all.
    pub(super) async fn open(office: &'a Office, duty: Duty) -> Self {
        let mut election = Self {
            office,
            duty,
            file: None,
            elsewhere: Elsewhere::new(office, duty),
            trouble: None,
        };
        if office.switch(duty) == Switch::On {
            election.lock_file().await;
        }
        election
    }

    /// Never competes; sees what becomes of the duty.
    pub(super) async fn look_on(&mut self) {
        loop {
            let (files, duty) = (self.office.files.clone(), self.duty);
            let held = self.office.look(move || Ok(files.is_held(duty))).await.unwrap_or(false);
            if self.duty == Duty::Reading {
                // Somebody must see what becomes of our delegations.
                let holder = &self.office.duties.holder;
                holder.send_if_modified(|holder| std::mem::replace(holder, !held) == held);
            }
            if held {
                self.elsewhere.look().await;
            } else {
                self.elsewhere.is_over();
            }
            let pause = self.office.until_next_look();
            self.office.turns(self.duty, pause);
            sleep(pause).await;
        }
    }

    /// Waits until the duty is ours.
    pub(super) async fn win(&mut self, gave_up: Option<GaveUp>) -> Won {
        let won = match gave_up {
            Some(GaveUp::Refused) => self.win_after_refusal().await,
            Some(GaveUp::Lesser) => {
                // Time for the candidate to see that the lock is free.
                sleep(TRY_AGAIN * 2).await;
                let won = self.compete().await;
                Won {
                    unclaimed: !won.handed_over,
                    ..won
                }
            }
            Some(GaveUp::Gone) | None => self.compete().await,
        };
        self.elsewhere.is_over();
        won
    }

    async fn compete(&mut self) -> Won {
        let mut handed_over = false;
        let mut was_free = false;
        let mut candidacy = None;
        loop {
            let presence = self.office.duties.health.now().presence;
            let mut is_free = false;
            match self.try_take().await {
                Some(Taken::Ours(lock)) if self.has_first_claim(presence) || (was_free && self.may_read(presence)) => {
                    return Won {
                        lock,
                        handed_over,
                        late: self.office.duties.started.elapsed() > AT_START,
                        unclaimed: false,
                    };
                }
                // Let go again: whoever keeps the workspace present has the first claim.
                Some(Taken::Ours(_)) => is_free = true,
                Some(Taken::Theirs) => {
                    handed_over = true;
                    self.follow(&mut candidacy).await;
                }
                Some(Taken::Gone) | None => {}
            }
            let pause = self.pause(is_free);
            self.office.turns(self.duty, pause);
            was_free = self.rest(pause, presence).await && is_free;
        }
    }

    /// Whether this process need not leave the duty to another one first: one that would do both duties begins with
    /// presence, so that no two of them end up with one each.
    fn has_first_claim(&self, presence: Role) -> bool {
        self.duty == Duty::Presence || presence == Role::Holder || !self.office.is_whole()
    }

    /// Whether a whole process may read although another one keeps the workspace present: that one does not read, or makes
    /// no progress.
    fn may_read(&self, presence: Role) -> bool {
        match presence {
            Role::Follower => !*self.office.reads_if_it_can.borrow(),
            Role::Unable => true,
            Role::Starting | Role::Holder | Role::Off => false,
        }
    }

    /// How long until the next look.
    fn pause(&self, is_free: bool) -> Duration {
        if is_free {
            TRY_AGAIN / 2
        } else if self.duty == Duty::Reading && self.office.holds(Duty::Presence) {
            // A process that dies lets its locks go one after the other.
            TRY_AGAIN / 4
        } else {
            self.office.until_next_look()
        }
    }

    /// Until it is time to look again. `false`: earlier, because reading may be ours now that presence is.
    async fn rest(&self, pause: Duration, presence: Role) -> bool {
        let mut record = self.office.duties.health.watch();
        tokio::select! {
            () = sleep(pause) => true,
            () = until(&mut record, |health| health.presence != presence), if self.duty == Duty::Reading => false,
        }
    }

    /// Another process holds the duty: this one stands by.
    async fn follow(&mut self, candidacy: &mut Option<Candidacy>) {
        let grade = match self.duty {
            Duty::Presence if self.office.is_whole() => Grade::Better,
            Duty::Reading if self.office.holds(Duty::Presence) => Grade::Better,
            _ => Grade::Able,
        };
        if candidacy.as_ref().is_none_or(|candidacy| candidacy.grade != grade) {
            let (files, duty) = (self.office.files.clone(), self.duty);
            *candidacy = self.office.look(move || files.announce(duty, grade)).await.ok();
        }
        if self.elsewhere.begin() {
            info!(
                "another process holds the {} of this workspace; this one serves its client from the journal",
                self.duty
            );
        }
        self.office.set_role(self.duty, Role::Follower);
        if self.duty == Duty::Presence {
            self.office.attempted.send_replace(true);
        }
        self.elsewhere.look().await;
    }

    /// After it gave the duty up because its token was refused, a process competes again when its token has changed; every
    /// minute it looks whether nobody took the duty at all.
    async fn win_after_refusal(&mut self) -> Won {
        let token = self.office.duties.api.token().clone();
        let refused = token.current();
        let again = self.office.duties.config.timing.of(AFTER_REFUSAL);
        let mut given_up = Instant::now();
        loop {
            let pause = self.office.until_next_look();
            self.office.turns(self.duty, pause);
            sleep(pause).await;
            token.reread();
            if token.current() != refused {
                info!(
                    "the token source holds a new token; competing for the {} again",
                    self.duty
                );
                return self.compete().await;
            }
            if given_up.elapsed() >= again {
                given_up = Instant::now();
                if let Some(Taken::Ours(lock)) = self.try_take().await {
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

    /// `None`: nothing can be locked here.
    async fn try_take(&mut self) -> Option<Taken> {
        let file = self.lock_file().await?;
        match self.office.look(move || file.try_take()).await {
            Ok(taken) => {
                self.tell(matches!(taken, Taken::Gone).then(folder_gone));
                Some(taken)
            }
            Err(error) => {
                self.tell(Some(self.unusable(&error)));
                None
            }
        }
    }

    /// The file that was there at the start: never one of a folder that replaced ours.
    async fn lock_file(&mut self) -> Option<Arc<LockFile>> {
        if self.file.is_none() {
            let (files, duty) = (self.office.files.clone(), self.duty);
            match self.office.look(move || files.open(duty)).await {
                Ok(file) => self.file = Some(Arc::new(file)),
                Err(error) => self.tell(Some(self.unusable(&error))),
            }
        }
        self.file.clone()
    }

    fn unusable(&self, error: &io::Error) -> Trouble {
        let folder = self.office.duties.config.state_dir.display();
        Trouble {
            code: "STATE_DIR_UNUSABLE".to_owned(),
            what: format!("the lock of the {} in {folder} cannot be taken: {error}", self.duty),
            remedy: Obstacle::of(error).remedy().to_owned(),
        }
    }

    /// Tells what is wrong with the folder, and withdraws only what was told here.
    fn tell(&mut self, trouble: Option<Trouble>) {
        if self.trouble == trouble {
            return;
        }
        if let Some(trouble) = &trouble {
            warn!("{}", trouble.what);
            self.office.set_role(self.duty, Role::Unable);
        }
        let before = std::mem::replace(&mut self.trouble, trouble.clone());
        self.office.duties.health.update(|health| {
            if trouble.is_some() || health.journal_trouble == before {
                health.journal_trouble = trouble;
            }
        });
    }
}
