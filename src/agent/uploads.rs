//! The duty of files: fetches what the platform keeps for this workspace, and tells it when a file is safely here.
//!
//! Messages never wait for it for long, and none is lost by it: which files there are stands in the journal, is committed
//! with the cursor, and is worked on until each is here or cannot be had. A file is acknowledged only once it is on the disk
//! and the journal says so, because the platform may forget it then.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::Timing;
use crate::platform::retry::Backoff;
use crate::platform::workspace::WorkspaceApi;
use crate::state::file::OpenFile;
use crate::state::file_folder::FileFolder;
use crate::state::journal::{Journal, JournalError};
use fetching::Trouble;

mod fetching;

/// Files under way at once.
const ABREAST: usize = 4;
/// Between two looks for files that are old, and for what dead processes left.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// Between two looks whether the message of an announced file has come.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The duty of one workspace; only the holder does it.
#[derive(Debug)]
pub struct Uploads {
    /// The platform, as this workspace.
    pub api: WorkspaceApi,
    /// Which files there are, and where.
    pub journal: Journal,
    /// Where they are kept.
    pub folder: FileFolder,
    /// How many bytes of them are kept at most.
    pub quota: u64,
    /// The intervals.
    pub timing: Timing,
}

impl Uploads {
    /// Works until `stop`. A file that is under way then is begun anew by the next process.
    ///
    /// # Panics
    /// When a fetch panicked, so that the supervisor sees it.
    pub async fn run(self, stop: CancellationToken) {
        let work = Work {
            shared: Arc::new(Shared {
                uploads: self,
                reserved: AtomicU64::new(0),
            }),
            under_way: JoinSet::new(),
            in_hand: HashSet::new(),
            resting: HashMap::new(),
        };
        stop.run_until_cancelled(work.go_on()).await;
    }
}

/// What the fetches share.
#[derive(Debug)]
struct Shared {
    uploads: Uploads,
    /// Bytes of files that are under way: they count as if they were here.
    reserved: AtomicU64,
}

/// A file that could not be had at the last attempt.
struct Rest {
    backoff: Backoff,
    until: Instant,
}

struct Work {
    shared: Arc<Shared>,
    under_way: JoinSet<(String, Result<(), Trouble>)>,
    in_hand: HashSet<String>,
    resting: HashMap<String, Rest>,
}

impl Work {
    async fn go_on(mut self) {
        let uploads = &self.shared.uploads;
        let timing = uploads.timing;
        let mut changes = uploads.journal.changes();
        let mut trouble = Backoff::new(
            timing.of(Duration::from_millis(200)),
            timing.of(Duration::from_secs(10)),
        );
        let mut tidy_at = Instant::now();
        if let Err(error) = uploads.journal.adopt_files().await {
            debug!(%error, "files of earlier messages could not be noted");
        }
        loop {
            changes.borrow_and_update();
            if Instant::now() >= tidy_at {
                self.shared.tidy().await;
                tidy_at = Instant::now() + TIDY_EVERY;
            }
            let wake = match self.look().await {
                Ok(wake) => {
                    trouble.reset();
                    wake.map_or(tidy_at, |wake| wake.min(tidy_at))
                }
                Err(error) => {
                    debug!(%error, "the list of files could not be read");
                    Instant::now() + trouble.next_delay()
                }
            };
            tokio::select! {
                Some(ended) = self.under_way.join_next() => self.ended(ended),
                _ = changes.changed() => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Begins what can be begun and tells what is due; answers when to look again although nothing happens.
    async fn look(&mut self) -> Result<Option<Instant>, JournalError> {
        let journal = &self.shared.uploads.journal;
        let open = journal.open_files().await?;
        let news = journal.tell_files().await?;
        let waiting = (news.waiting > 0).then(|| Instant::now() + self.shared.uploads.timing.of(LOOK_EVERY));
        let ids: HashSet<&str> = open.iter().map(|file| file.id.as_str()).collect();
        self.resting.retain(|id, _| ids.contains(id.as_str()));
        for file in open {
            let rests = self
                .resting
                .get(&file.id)
                .is_some_and(|rest| rest.until > Instant::now());
            if self.in_hand.len() < ABREAST && !rests && self.in_hand.insert(file.id.clone()) {
                self.begin(file);
            }
        }
        // What has rested long enough and was not begun waits for one of those under way.
        let rested = self.resting.values().map(|rest| rest.until);
        Ok(rested.filter(|until| *until > Instant::now()).chain(waiting).min())
    }

    fn begin(&mut self, file: OpenFile) {
        let shared = Arc::clone(&self.shared);
        self.under_way.spawn(async move {
            let outcome = shared.settle(&file).await;
            (file.id, outcome)
        });
    }

    /// A panic is passed on.
    fn ended(&mut self, ended: Result<(String, Result<(), Trouble>), tokio::task::JoinError>) {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return,
        };
        self.in_hand.remove(&id);
        let Err(trouble) = outcome else {
            info!(file = id, "a file is settled");
            self.resting.remove(&id);
            return;
        };
        let timing = self.shared.uploads.timing;
        let rest = self.resting.entry(id.clone()).or_insert_with(|| {
            warn!(file = id, %trouble, "a file could not be had yet; it is tried again until the platform forgets it");
            Rest {
                backoff: Backoff::new(timing.of(Duration::from_secs(1)), timing.of(Duration::from_secs(300))),
                until: Instant::now(),
            }
        });
        let pause = match &trouble {
            Trouble::Call(error) => rest.backoff.after(error),
            _ => rest.backoff.next_delay(),
        };
        debug!(file = id, %trouble, ?pause, "a file rests");
        rest.until = Instant::now() + pause;
    }
}

impl Shared {
    /// Removes what is older than a month, and what processes that died left unfinished.
    async fn tidy(&self) {
        let folder = self.uploads.folder.clone();
        let _ = tokio::task::spawn_blocking(move || folder.sweep()).await;
        if let Err(trouble) = self.make_room(0).await {
            debug!(%trouble, "old files could not be removed");
        }
    }
}
