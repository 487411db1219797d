//! What the clones of one journal share: the store, its wake-up calls, and claims that end when their holder does.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task;

use super::error::JournalError;
use super::ledger::{Awaited, Begun, Ledger, Store, Whose};
use super::scope;
use super::sessions::Sessions;
use super::shape::Settings;
use super::wake::{Calls, Wake};
use crate::state::lock::scope_key;
use crate::state::message::Entry;
use crate::state::obstacle::Obstacle;
use crate::types::WorkspaceId;

/// The open folder. A process opens it once, however many workspaces it serves: one connection, one session, one watch.
pub(super) struct Folder {
    store: Mutex<Store>,
    /// Whose turn it is: there is one connection, and whoever waits for it should not hold a thread meanwhile.
    turn: Arc<Semaphore>,
    pub(super) session: String,
    /// Its workspaces, as long as anybody uses them.
    members: OnceLock<Vec<Weak<Inner>>>,
    /// Changes with every workspace's.
    pub(super) changes: watch::Sender<u64>,
    /// Dropped after the store: it calls the others when the session has ended.
    wake: Wake,
    pub(super) calls: Arc<Calls>,
    pub(super) replaced: Option<PathBuf>,
}

/// What the clones of one workspace's journal share.
pub(super) struct Inner {
    /// Another session than the process's own. Dropped before the folder.
    pub(super) seat: Option<Arc<Seat>>,
    pub(super) folder: Arc<Folder>,
    scope: i64,
    /// Names its platform and workspace in file names.
    pub(super) key: String,
    pub(super) workspace: WorkspaceId,
    pub(super) awaited: Awaited,
    pub(super) changes: watch::Sender<u64>,
}

impl Inner {
    /// Opens the store for these workspaces, watches for others, and tells of a damaged predecessor.
    pub(super) fn open_all(
        dir: &Path,
        whose: &[(String, WorkspaceId)],
        settings: &Settings,
    ) -> Result<Vec<Arc<Self>>, JournalError> {
        let Begun {
            store,
            scopes,
            replaced,
            cut,
        } = Store::open(dir, whose, settings)?;
        let calls = Arc::new(Calls::default());
        let folder = Arc::new(Folder {
            session: store.sessions().id().to_owned(),
            store: Mutex::new(store),
            turn: Arc::new(Semaphore::new(1)),
            members: OnceLock::new(),
            changes: watch::Sender::new(0),
            wake: Wake::new(dir, &calls),
            calls,
            replaced,
        });
        let members: Vec<_> = whose
            .iter()
            .zip(scopes)
            .map(|((origin, workspace), scope)| {
                Arc::new(Self {
                    seat: None,
                    folder: Arc::clone(&folder),
                    scope,
                    key: scope_key(origin, workspace),
                    workspace: workspace.clone(),
                    awaited: Awaited::default(),
                    changes: watch::Sender::new(0),
                })
            })
            .collect();
        let _ = folder.members.set(members.iter().map(Arc::downgrade).collect());
        for (index, member) in members.iter().enumerate() {
            // A full disk must not cost the journal as well: the next process tells it then.
            if let Err(error) = member.announce_damage(cut && index == 0) {
                tracing::warn!(%error, "the inbox could not be told that the journal was damaged");
            }
        }
        Ok(members)
    }

    /// The same rows, for somebody who has taken a seat.
    pub(super) fn at(&self, seat: &Arc<Seat>) -> Self {
        Self {
            seat: Some(Arc::clone(seat)),
            folder: Arc::clone(&self.folder),
            scope: self.scope,
            key: self.key.clone(),
            workspace: self.workspace.clone(),
            awaited: Awaited::default(),
            changes: self.changes.clone(),
        }
    }

    /// The session that asks.
    pub(super) fn session(&self) -> &str {
        self.seat.as_ref().map_or(&self.folder.session, |seat| &seat.id)
    }

    fn announce_damage(&self, cut: bool) -> Result<(), JournalError> {
        if cut {
            tracing::error!(
                "the end of the journal's write-ahead file is damaged; the last commits before the crash may be lost"
            );
            self.write(announce_cut)?;
        }
        if let Some(kept) = self.read(|ledger| scope::lost(ledger.conn, ledger.scope))? {
            self.write(|ledger| announce_replacement(ledger, &kept))?;
        }
        let damage = self.read(|ledger| ledger.damage())?;
        if !damage.is_none() {
            self.write(|ledger| ledger.give_up(&damage))?;
        }
        Ok(())
    }

    /// Does work on a thread for blocking work, one at a time and in the order of asking. A disk that hangs so holds up one
    /// thread and not, one call after the other, all that there are: looking up the platform's address needs them, too.
    ///
    /// Work that has begun is done to its end even if nobody waits for it any more.
    pub(super) async fn in_turn<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let folder = Arc::clone(&self.folder);
        folder.in_turn(move || work(&self)).await
    }

    /// See [`Folder::store`].
    pub(super) fn store(&self) -> std::sync::MutexGuard<'_, Store> {
        self.folder.store()
    }

    /// Whose rows are its own.
    pub(super) fn whose(&self) -> Whose<'_> {
        let is_alone = self.folder.members.get().is_none_or(|members| members.len() == 1);
        Whose {
            scope: self.scope,
            arrival: (!is_alone).then_some(&self.workspace),
            awaited: &self.awaited,
            session: self.seat.as_ref().and_then(|seat| seat.session.as_ref()),
        }
    }

    pub(super) fn read<T>(&self, work: impl FnOnce(&Ledger<'_>) -> Result<T, JournalError>) -> Result<T, JournalError> {
        self.store().read(self.whose(), work)
    }

    /// Tells everyone when a row was changed.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Ledger<'_>) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let (outcome, changed) = self.store().write(self.whose(), work)?;
        if changed {
            self.tell_change();
            self.folder.wake.touch();
        }
        Ok(outcome)
    }

    /// Tells those of this process.
    fn tell_change(&self) {
        self.changes.send_modify(|count| *count += 1);
        self.folder.changes.send_modify(|count| *count += 1);
    }

    /// For destructors: in the background where there is one, here where not.
    fn write_detached(self: &Arc<Self>, work: impl FnOnce(&Ledger<'_>) -> Result<(), JournalError> + Send + 'static) {
        let inner = self.clone();
        let write = move || {
            if let Err(error) = inner.write(work) {
                tracing::warn!(%error, "a claim could not be given back; it ends with its time");
            }
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(write)),
            Err(_) => write(),
        }
    }
}

impl Folder {
    /// See [`Inner::in_turn`].
    pub(super) async fn in_turn<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let turn = self.turn.clone().acquire_owned().await;
        blocking(move || {
            let outcome = work();
            drop(turn);
            outcome
        })
        .await
    }

    /// A panic inside a transaction rolled it back: the store is as sound as before.
    pub(super) fn store(&self) -> std::sync::MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads rows of one workspace after the other in one snapshot, until `work` has enough. Each comes with what it is called.
    pub(super) fn read_each<'a, T>(
        &self,
        members: impl IntoIterator<Item = (T, &'a Arc<Inner>)>,
        work: impl FnMut(T, &Ledger<'_>) -> Result<ControlFlow<()>, JournalError>,
    ) -> Result<(), JournalError> {
        let whose = members.into_iter().map(|(name, member)| (name, member.whose()));
        self.store().read_each(whose, work)
    }

    /// Notices commits of others, sessions that ended and leases that ran out.
    fn look(&self) -> Result<(), JournalError> {
        let members = self.members.get().map(Vec::as_slice).unwrap_or_default();
        let members: Vec<_> = members.iter().filter_map(Weak::upgrade).collect();
        if self.store().others_committed()? {
            for member in &members {
                member.tell_change();
            }
        }
        for overdue in with_overdue(self, &members)? {
            overdue.write(|ledger| ledger.free_overdue())?;
        }
        Ok(())
    }
}

/// One client of several that a process serves at once: a session of its own on the open folder.
pub(super) struct Seat {
    id: String,
    /// There until this is dropped.
    session: Option<Sessions>,
    folder: Arc<Folder>,
}

impl Seat {
    /// Begins a session beside those that there are.
    pub(super) fn take(folder: &Arc<Folder>) -> Result<Arc<Self>, JournalError> {
        let session = folder.store().sessions().another()?;
        Ok(Arc::new(Self {
            id: session.id().to_owned(),
            session: Some(session),
            folder: Arc::clone(folder),
        }))
    }
}

impl Drop for Seat {
    /// Its leases are void from now on, and everybody looks at once.
    fn drop(&mut self) {
        self.session = None;
        self.folder.calls.wake();
        self.folder.wake.touch();
    }
}

/// The workspaces with leases that have ended.
fn with_overdue(folder: &Folder, members: &[Arc<Inner>]) -> Result<Vec<Arc<Inner>>, JournalError> {
    let mut overdue = Vec::new();
    let named = members.iter().map(|member| (member, member));
    folder.read_each(named, |member, ledger| {
        if ledger.has_overdue()? {
            overdue.push(Arc::clone(member));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(overdue)
}

impl Drop for Folder {
    /// Ends the background look at once.
    fn drop(&mut self) {
        self.calls.wake();
    }
}

/// A lease on its way to the caller. Dropped on the way, it is given back.
pub(super) struct Unclaimed {
    entry: Option<Entry>,
    inner: Arc<Inner>,
}

impl Unclaimed {
    pub(super) fn new(entry: Entry, inner: Arc<Inner>) -> Self {
        Self {
            entry: Some(entry),
            inner,
        }
    }

    pub(super) fn claim(mut self) -> Option<Entry> {
        self.entry.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.inner
                .write_detached(move |ledger| ledger.give_back(&entry.message.activity_id));
        }
    }
}

/// While it lives, the answer of one outbox item is its holder's alone.
#[must_use = "the claim ends when this is dropped"]
pub struct AnswerGuard {
    inner: Arc<Inner>,
    item: String,
}

impl AnswerGuard {
    /// Begins the claim within this process; others learn of it from the journal.
    pub(super) fn begin(inner: Arc<Inner>, item: &str) -> Self {
        inner.awaited.begin(item);
        Self {
            inner,
            item: item.to_owned(),
        }
    }
}

impl fmt::Debug for AnswerGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerGuard")
            .field("item", &self.item)
            .finish_non_exhaustive()
    }
}

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        self.inner.awaited.end(&self.item);
        let item = std::mem::take(&mut self.item);
        self.inner
            .write_detached(move |ledger| ledger.answer_not_awaited(&item));
    }
}

/// Runs on a thread for blocking work; for the fuzzer here and now, so that what happens depends on its bytes alone.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    if cfg!(feature = "fuzzing") {
        return work();
    }
    match task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(ended) if ended.is_cancelled() => Err(JournalError::Busy("the program is ending".to_owned())),
        Err(_) => Err(JournalError::disk(
            Obstacle::Failing,
            "an internal error; nothing was changed",
        )),
    }
}

/// Looks when called and every `look_every`, until the journal is gone. It does not keep the journal alive.
pub(super) async fn look_after(folder: Weak<Folder>, calls: Arc<Calls>, look_every: Duration) {
    // Commits that come thick and fast are looked at together: a wake-up call in between is kept.
    const BREATH: Duration = Duration::from_millis(5);
    let (mut told, mut wait) = (false, look_every);
    loop {
        wait = calls.next(wait, look_every).await;
        let Some(folder) = folder.upgrade() else { return };
        let looking = Arc::clone(&folder);
        match folder.in_turn(move || looking.look()).await {
            Ok(()) => told = false,
            Err(error) if !told => {
                tracing::warn!(%error, "the journal cannot be looked at");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(BREATH).await;
    }
}

fn announce_cut(ledger: &Ledger<'_>) -> Result<(), JournalError> {
    let text = "The journal of this daemon was damaged at its end when it was not closed properly. The last commits before \
                that may be lost: messages may be shown again although they were handled, and delegations or replies sent \
                just before may no longer be known here. Check the disk.";
    ledger.announce(text, &format!("cut:{}", ledger.wall.0))?;
    Ok(())
}

fn announce_replacement(ledger: &Ledger<'_>, name: &str) -> Result<(), JournalError> {
    let text = format!(
        "The journal of this daemon was damaged and was replaced by a new one. The damaged file is kept as {name}. \
         Messages from the last saved position on are offered again, so some may have been answered already; earlier ones \
         of the last 7 days are not, and inbox_peek(state=\"recovered\") lists them once they have been read again. \
         Delegations and replies that were under way are no longer known here. Check the disk."
    );
    ledger.announce(&text, &format!("replaced:{name}"))?;
    Ok(())
}
