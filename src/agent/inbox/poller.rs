//! The inbox loop: asks the platform what the reader wants to know and keeps what comes in the journal.
//!
//! Nothing is acknowledged, exported or forgotten before it is committed, and a stop never falls between the two.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::reader::{Next, Page, Plan, Reader, Step};
use super::trouble;
use crate::agent::stream::{Stream, is_hint};
use crate::config::Timing;
use crate::platform::client::{Client, Purpose};
use crate::platform::events::Event;
use crate::platform::retry::{Backoff, LONGEST_PAUSE};
use crate::platform::workspace::WorkspaceApi;
use crate::state::crash_point;
use crate::state::cursor::CursorFile;
use crate::state::health::HealthBoard;
use crate::state::journal::{Cursor, Journal, JournalError};
use crate::state::lock::DutyLock;
use crate::types::{Timestamp, WorkspaceId};
use acknowledgements::Acknowledgements;
use files::Files;
use import::Saved;
use telling::tell_unwritten;

mod acknowledgements;
mod announce;
mod files;
mod import;
mod page;
mod telling;

/// The longest pause before the journal is tried again that took nothing.
const DISK_AGAIN: Duration = Duration::from_secs(5);
/// How often a removed workspace is asked about.
const REMOVED_EVERY: Duration = Duration::from_secs(300);

/// Everything the loop works with.
#[derive(Debug)]
pub struct Inbox {
    /// The platform.
    pub api: WorkspaceApi,
    /// Where messages and the cursor live.
    pub journal: Journal,
    /// The compatible cursor file.
    pub cursor_file: CursorFile,
    /// The duty: checked before every commit.
    pub lock: Arc<DutyLock>,
    /// Where success and trouble are told.
    pub health: HealthBoard,
    /// Hints.
    pub stream: Stream,
    /// All intervals.
    pub timing: Timing,
    /// The workspace.
    pub own: WorkspaceId,
    /// Whether the duty was taken over from another process.
    pub takeover: bool,
}

impl Inbox {
    /// Reads until `stop`. When the state folder is gone, reading ends, health says so, and the loop waits for `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let signals = Signals::of(&self.stream, self.api.client());
        if let Some(mut poller) = Poller::begin(self, &stop).await {
            poller.work(signals, &stop).await;
        }
    }
}

/// What may wake the loop before its time.
struct Signals {
    events: broadcast::Receiver<Arc<Event>>,
    live: watch::Receiver<bool>,
    gaps: watch::Receiver<u64>,
    fresh_starts: watch::Receiver<u64>,
}

impl Signals {
    fn of(stream: &Stream, client: &Client) -> Self {
        Self {
            events: stream.subscribe(),
            live: stream.live(),
            gaps: stream.gaps(),
            fresh_starts: client.fresh_starts(),
        }
    }
}

/// Whether the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Over,
}

struct Poller {
    api: WorkspaceApi,
    journal: Journal,
    health: HealthBoard,
    timing: Timing,
    own: WorkspaceId,
    files: Files,
    reader: Reader,
    acknowledgements: Acknowledgements,
    epoch: Instant,
    errors: Backoff,
    refusals: Backoff,
    disk: Backoff,
    /// The saved cursor, while the cursor file does not hold it. `Some(None)`: there is none any more.
    unexported: Option<Option<Cursor>>,
    failures: u32,
    rival_told: bool,
    last_read: Option<Instant>,
}

impl Poller {
    /// Finds out where to read on; waits while the journal cannot be read.
    async fn begin(inbox: Inbox, stop: &CancellationToken) -> Option<Self> {
        let timing = inbox.timing;
        let once = Duration::from_secs(1);
        let mut disk = Backoff::new(timing.of(once), timing.of(DISK_AGAIN));
        let saved = loop {
            match Saved::load(&inbox.journal).await {
                Ok(saved) => break saved,
                Err(error) => {
                    tell_unwritten(&inbox.health, &error);
                    stop.run_until_cancelled(sleep(disk.next_delay())).await?;
                }
            }
        };
        disk.reset();
        let files = Files::new(inbox.lock, inbox.cursor_file);
        let start = saved.start(&files, inbox.takeover).await;
        Some(Self {
            reader: Reader::new(start, timing, Duration::ZERO),
            acknowledgements: Acknowledgements::new(inbox.api.clone(), timing),
            files,
            epoch: Instant::now(),
            errors: Backoff::new(timing.of(once), timing.of(LONGEST_PAUSE)),
            refusals: Backoff::new(timing.of(once * 5), timing.of(LONGEST_PAUSE)),
            disk,
            unexported: None,
            failures: 0,
            rival_told: false,
            last_read: None,
            api: inbox.api,
            journal: inbox.journal,
            health: inbox.health,
            timing,
            own: inbox.own,
        })
    }

    async fn work(&mut self, mut signals: Signals, stop: &CancellationToken) {
        let turn = self.health.turns().begin("inbox");
        while !stop.is_cancelled() {
            turn.again_after(Duration::ZERO);
            self.take_signals(&mut signals);
            let pause = || self.api.client().pause(Purpose::Looking, self.timing);
            let wait = match self.removed_for().or_else(pause) {
                Some(wait) => wait,
                None => match self.reader.next(self.epoch.elapsed(), self.time()) {
                    Next::Wait(wait) => wait,
                    Next::Ask(plan) => match self.poll(&plan, stop).await {
                        Flow::On => continue,
                        Flow::Over => break,
                    },
                },
            };
            turn.again_after(wait);
            self.idle(wait, &mut signals, stop).await;
        }
    }

    /// The time of the rows: the platform's, as far as it is known.
    fn time(&self) -> Timestamp {
        self.api.client().platform_time().unwrap_or_else(Timestamp::now)
    }

    /// How long not to read because the platform says that the workspace was deleted.
    fn removed_for(&self) -> Option<Duration> {
        let read = self.last_read.filter(|_| self.health.now().removed)?;
        let every = self.timing.of(REMOVED_EVERY);
        every.checked_sub(read.elapsed()).filter(|wait| !wait.is_zero())
    }

    async fn idle(&mut self, wait: Duration, signals: &mut Signals, stop: &CancellationToken) {
        let mut health = self.health.watch();
        let removed = health.borrow_and_update().removed;
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(wait) => {}
            event = signals.events.recv() => self.take_event(event),
            _ = signals.live.changed() => {}
            _ = signals.gaps.changed() => self.reader.compare_soon(self.epoch.elapsed()),
            _ = signals.fresh_starts.changed() => self.read_anew(),
            _ = health.changed(), if removed => {}
        }
    }

    /// Takes what happened while nobody was waiting.
    fn take_signals(&mut self, signals: &mut Signals) {
        loop {
            match signals.events.try_recv() {
                Ok(event) => self.take_event(Ok(event)),
                Err(broadcast::error::TryRecvError::Lagged(_)) => self.reader.hint(),
                Err(_) => break,
            }
        }
        if signals.gaps.has_changed().unwrap_or(false) {
            signals.gaps.mark_unchanged();
            self.reader.compare_soon(self.epoch.elapsed());
        }
        if signals.fresh_starts.has_changed().unwrap_or(false) {
            signals.fresh_starts.mark_unchanged();
            self.read_anew();
        }
        self.reader.stream_live(*signals.live.borrow_and_update());
    }

    /// After a sleep: no timer has counted it, and hints were lost.
    fn read_anew(&mut self) {
        self.reader.hint();
        self.reader.compare_soon(self.epoch.elapsed());
    }

    fn take_event(&mut self, event: Result<Arc<Event>, broadcast::error::RecvError>) {
        match event {
            Ok(event) if !is_hint(&event) => {}
            // Missed events may have been hints.
            Ok(_) | Err(_) => self.reader.hint(),
        }
    }

    /// One request and everything that follows from it.
    async fn poll(&mut self, plan: &Plan, stop: &CancellationToken) -> Flow {
        let query = page::query(plan);
        let asked = Instant::now();
        let Some(answer) = stop.run_until_cancelled(self.api.activity(&query)).await else {
            return Flow::Over;
        };
        let spent = self.last_read.insert(Instant::now()).duration_since(asked);
        let now = self.epoch.elapsed();
        let limit = self.api.client().rate_limit();
        self.reader.budget(now, limit.remaining, limit.reset);
        let least = self.api.client().every(Duration::ZERO, Purpose::Looking, self.timing);
        self.reader.timer_at_least(least);
        let page = match answer {
            Ok(page) => {
                let read = page::read(page, plan, self.time(), self.own.clone()).await;
                read.map(|page| page::with_addresses(page, &self.api))
            }
            Err(error) => Err(error),
        };
        match page {
            Err(error) => {
                let failure = self.read_failed(&error, plan, spent);
                self.reader.answer(now, self.time(), Err(failure));
                Flow::On
            }
            Ok(page) => self.take(plan, page, now, stop).await,
        }
    }

    async fn take(&mut self, plan: &Plan, mut page: Page, now: Duration, stop: &CancellationToken) -> Flow {
        if plan.compare {
            match self.journal.known(self.reader.unknown(&page.rows)).await {
                Ok(known) => page.known = known,
                Err(error) => return self.not_written(&error, stop).await,
            }
        }
        let step = self.reader.answer(now, self.time(), Ok(page));
        match self.files.standing().await {
            Ok(standing) if !standing.current => self.folder_gone(stop).await,
            Ok(standing) => {
                if standing.other_poller {
                    self.tell_of_rival();
                }
                match self.keep(step).await {
                    Ok(()) => Flow::On,
                    Err(error) => self.not_written(&error, stop).await,
                }
            }
            Err(error) => self.not_written(&error.into(), stop).await,
        }
    }

    async fn folder_gone(&self, stop: &CancellationToken) -> Flow {
        error!("the state folder is gone; the inbox is no longer read");
        let gone = trouble::folder_gone();
        self.health.update(|health| health.journal_trouble = Some(gone));
        stop.cancelled().await;
        Flow::Over
    }

    /// Commits what a page brought, and only then lets it count.
    async fn keep(&mut self, step: Step) -> Result<(), JournalError> {
        if let Some(recovered) = step.recovered {
            announce::recovery(&self.journal, recovered, step.batch.as_ref()).await?;
        }
        crash_point::pass("read", "answered");
        let begun = Instant::now();
        if let Some(batch) = step.batch {
            let moved = match (&batch.cursor, batch.forget_cursor) {
                (None, false) => None,
                (cursor, _) => Some(cursor.clone()),
            };
            self.journal.commit(batch).await?;
            self.unexported = moved.or(self.unexported.take());
        }
        let commit = begun.elapsed();
        if step.listed {
            announce::listing(&self.journal).await?;
            self.journal.recovery_done().await?;
        }
        crash_point::pass("read", "committed");
        self.reader.committed();
        self.read_well();
        let exported = self.export().await;
        self.tell_of_disk(exported, commit);
        self.acknowledgements.go_on();
        self.tell(&step.notes).await;
        Ok(())
    }

    async fn not_written(&mut self, error: &JournalError, stop: &CancellationToken) -> Flow {
        tell_unwritten(&self.health, error);
        // What cannot be kept is not fetched either.
        let mended = async {
            loop {
                sleep(self.disk.next_delay()).await;
                match self.journal.try_out().await {
                    Ok(()) => break,
                    Err(error) => tell_unwritten(&self.health, &error),
                }
            }
        };
        match stop.run_until_cancelled(mended).await {
            Some(()) => Flow::On,
            None => Flow::Over,
        }
    }

    /// Brings the cursor file up to the saved cursor, and only then lets the platform know of it. What fails is tried again
    /// after the next good read.
    async fn export(&mut self) -> io::Result<()> {
        let Some(cursor) = &self.unexported else { return Ok(()) };
        self.files
            .export(cursor.as_ref().map(|cursor| cursor.id.clone()))
            .await?;
        crash_point::pass("read", "exported");
        if let Some(seq) = cursor.as_ref().and_then(|cursor| cursor.seq) {
            self.acknowledgements.cursor_at(seq);
        }
        self.unexported = None;
        Ok(())
    }
}
