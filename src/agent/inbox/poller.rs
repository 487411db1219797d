//! The inbox loop: asks the platform what the reader wants to know and keeps what comes in the journal.
//!
//! Nothing is acknowledged, exported or forgotten before it is committed, and a stop never falls between the two.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::reader::{Failure, Next, Note, Page, Plan, ReadFailure, Reader, Reason, Recovered, Start, Step};
use super::trouble;
use crate::agent::envelope::{Row, read_row};
use crate::agent::stream::{Stream, is_hint};
use crate::config::Timing;
use crate::platform::error::CallError;
use crate::platform::events::Event;
use crate::platform::retry::Backoff;
use crate::platform::wire::{ActivityPage, ActivityQuery};
use crate::platform::workspace::WorkspaceApi;
use crate::state::crash_point;
use crate::state::cursor::CursorFile;
use crate::state::health::HealthBoard;
use crate::state::journal::{Cursor, Journal, JournalError};
use crate::state::lock::DutyLock;
use crate::types::{ActivityId, Timestamp, WorkspaceId};

/// How often a removed workspace is asked about.
const REMOVED_EVERY: Duration = Duration::from_secs(300);
/// A pause between reads that is worth telling of when messages had to be recovered after it.
const LONG_GAP: Duration = Duration::from_secs(600);
/// Failed reads in a row before they are told of.
const FAILURES_TOLD: u32 = 2;

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
        let signals = Signals::of(&self.stream);
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
}

impl Signals {
    fn of(stream: &Stream) -> Self {
        Self {
            events: stream.subscribe(),
            live: stream.live(),
            gaps: stream.gaps(),
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
    inbox: Inbox,
    reader: Reader,
    epoch: Instant,
    errors: Backoff,
    refusals: Backoff,
    disk: Backoff,
    failures: u32,
    takes_acks: bool,
    unsent_ack: Option<i64>,
    rival_told: bool,
    /// Messages of the recovery under way.
    recovered: usize,
    last_read: Option<Instant>,
}

impl Poller {
    /// Finds out where to read on; waits while the journal cannot be read.
    async fn begin(mut inbox: Inbox, stop: &CancellationToken) -> Option<Self> {
        let timing = inbox.timing;
        let mut disk = Backoff::new(timing.of(Duration::from_secs(1)), timing.of(Duration::from_secs(60)));
        let (cursor, last_poll) = loop {
            match saved(&inbox.journal).await {
                Ok(saved) => break saved,
                Err(error) => {
                    tell_unwritten(&inbox.health, &error);
                    stop.run_until_cancelled(sleep(disk.next_delay())).await?;
                }
            }
        };
        disk.reset();
        let imported = imported(inbox.cursor_file.read(), cursor.as_ref());
        if imported.is_some() {
            info!("reading goes on from the cursor that another program left");
        }
        let from = imported
            .clone()
            .or_else(|| cursor.as_ref().map(|cursor| cursor.id.clone()));
        if let Some(from) = &from
            && let Err(error) = inbox.cursor_file.export(Some(from))
        {
            warn!(%error, "the cursor file could not be written");
        }
        let start = Start {
            cursor,
            imported,
            last_poll,
            takeover: inbox.takeover,
        };
        let once = Duration::from_secs(1);
        let most = Duration::from_secs(60);
        Some(Self {
            reader: Reader::new(start, timing, Duration::ZERO),
            epoch: Instant::now(),
            errors: Backoff::new(timing.of(once), timing.of(most)),
            refusals: Backoff::new(timing.of(once * 5), timing.of(most)),
            disk,
            failures: 0,
            takes_acks: true,
            unsent_ack: None,
            rival_told: false,
            recovered: 0,
            last_read: None,
            inbox,
        })
    }

    async fn work(&mut self, mut signals: Signals, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.take_signals(&mut signals);
            let wait = match self.removed_for() {
                Some(wait) => wait,
                None => match self.reader.next(self.epoch.elapsed(), Timestamp::now()) {
                    Next::Wait(wait) => wait,
                    Next::Ask(plan) => match self.poll(&plan, stop).await {
                        Flow::On => continue,
                        Flow::Over => break,
                    },
                },
            };
            self.idle(wait, &mut signals, stop).await;
        }
    }

    /// How long not to read because the platform says that the workspace was deleted.
    fn removed_for(&self) -> Option<Duration> {
        let read = self.last_read.filter(|_| self.inbox.health.now().removed)?;
        let every = self.inbox.timing.of(REMOVED_EVERY);
        every.checked_sub(read.elapsed()).filter(|wait| !wait.is_zero())
    }

    async fn idle(&mut self, wait: Duration, signals: &mut Signals, stop: &CancellationToken) {
        let mut health = self.inbox.health.watch();
        let removed = health.borrow_and_update().removed;
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(wait) => {}
            event = signals.events.recv() => self.take_event(event),
            _ = signals.live.changed() => {}
            _ = signals.gaps.changed() => self.reader.compare_soon(self.epoch.elapsed()),
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
        self.reader.stream_live(*signals.live.borrow_and_update());
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
        let query = query(plan);
        let Some(answer) = stop.run_until_cancelled(self.inbox.api.activity(&query)).await else {
            return Flow::Over;
        };
        self.last_read = Some(Instant::now());
        let now = self.epoch.elapsed();
        let limit = self.inbox.api.client().rate_limit();
        self.reader.budget(now, limit.remaining, limit.reset);
        match answer {
            Err(error) => {
                let failure = self.read_failed(&error, plan);
                self.reader.answer(now, Timestamp::now(), Err(failure));
                Flow::On
            }
            Ok(page) => {
                let mut page = page_of(&page, &self.inbox.own);
                if plan.compare {
                    match self.inbox.journal.known(self.reader.unknown(&page.rows)).await {
                        Ok(known) => page.known = known,
                        Err(error) => return self.not_written(&error, stop).await,
                    }
                }
                let step = self.reader.answer(now, Timestamp::now(), Ok(page));
                self.keep(step, stop).await
            }
        }
    }

    /// Commits what a page brought, and only then lets it count.
    async fn keep(&mut self, step: Step, stop: &CancellationToken) -> Flow {
        if !self.inbox.lock.is_current() {
            error!("the state folder is gone; the inbox is no longer read");
            let gone = trouble::folder_gone();
            self.inbox.health.update(|health| health.journal_trouble = Some(gone));
            stop.cancelled().await;
            return Flow::Over;
        }
        let mut moved = None;
        let mut added = 0;
        crash_point::pass("read", "answered");
        if let Some(batch) = step.batch {
            moved = match (&batch.cursor, batch.forget_cursor) {
                (None, false) => None,
                (cursor, _) => Some(cursor.clone()),
            };
            match self.inbox.journal.commit(batch).await {
                Ok(committed) => added = committed.added,
                Err(error) => return self.not_written(&error, stop).await,
            }
        }
        crash_point::pass("read", "committed");
        self.reader.committed();
        self.read_well();
        self.watch_cursor_file();
        if let Some(cursor) = moved {
            self.export(cursor.as_ref());
            crash_point::pass("read", "exported");
            if let Some(seq) = cursor.and_then(|cursor| cursor.seq) {
                self.unsent_ack = Some(seq);
            }
            self.acknowledge(stop).await;
        }
        self.tell(&step.notes).await;
        if step.recovering {
            self.recovered += added;
        }
        if let Some(recovered) = step.recovered {
            self.announce(recovered).await;
        }
        Flow::On
    }

    fn read_well(&mut self) {
        if self.failures > 0 {
            info!("the inbox can be read again");
        }
        self.failures = 0;
        self.errors.reset();
        self.refusals.reset();
        self.disk.reset();
        self.inbox.health.update(|health| {
            health.read = Some(Timestamp::now());
            health.read_trouble = None;
            health.journal_trouble.take_if(|told| told.code == trouble::JOURNAL);
        });
    }

    async fn not_written(&mut self, error: &JournalError, stop: &CancellationToken) -> Flow {
        self.reader.not_committed();
        tell_unwritten(&self.inbox.health, error);
        match stop.run_until_cancelled(sleep(self.disk.next_delay())).await {
            Some(()) => Flow::On,
            None => Flow::Over,
        }
    }

    fn watch_cursor_file(&mut self) {
        if !self.rival_told && self.inbox.cursor_file.changed_by_another() {
            self.rival_told = true;
            warn!("another program changed the cursor file: it polls for the same workspace");
            let rival = trouble::other_poller();
            self.inbox.health.update(|health| health.rival = Some(rival));
        }
    }

    fn export(&mut self, cursor: Option<&Cursor>) {
        if let Err(error) = self.inbox.cursor_file.export(cursor.map(|cursor| &cursor.id)) {
            warn!(%error, "the cursor file could not be written");
        }
    }

    async fn acknowledge(&mut self, stop: &CancellationToken) {
        let Some(seq) = self.unsent_ack.filter(|_| self.takes_acks) else {
            return;
        };
        match stop.run_until_cancelled(self.inbox.api.acknowledge(seq)).await {
            Some(Ok(true)) => self.unsent_ack = None,
            Some(Ok(false)) => self.takes_acks = false,
            Some(Err(error)) => debug!(%error, "the platform did not take an acknowledgement; the next one covers it"),
            None => {}
        }
    }

    async fn tell(&self, notes: &[Note]) {
        for note in notes {
            match note {
                Note::Garbage(rows) => warn!(rows, "rows without an id were passed over"),
                Note::Stuck => warn!("the platform repeats a page; paging ended early"),
                Note::Late(messages) => warn!(messages, "messages appeared behind the saved cursor"),
                Note::Gap => {
                    warn!("more rows arrived between two reads than the platform shows");
                    let text = "More messages arrived between two reads than this platform shows at once (500). \
                                Some of them may be missing here; the canvas has them all.";
                    self.announce_text(text.to_owned(), &format!("gap:{}", Timestamp::now().to_rfc3339()))
                        .await;
                }
            }
        }
    }

    async fn announce(&mut self, recovered: Recovered) {
        let messages = std::mem::take(&mut self.recovered);
        if let Some((text, key)) = announcement(messages, recovered, Timestamp::now()) {
            info!(messages, "messages recovered");
            self.announce_text(text, &key).await;
        }
    }

    async fn announce_text(&self, text: String, key: &str) {
        if let Err(error) = self.inbox.journal.announce(&text, key).await {
            warn!(%error, "an announcement could not be stored");
        }
    }

    /// Judges a failed read, tells of it when it lasts, and says how long to wait.
    fn read_failed(&mut self, error: &CallError, plan: &Plan) -> ReadFailure {
        let failure = failure_of(error, plan);
        let asked_smaller = failure == Failure::TooLarge && plan.limit > 1;
        if failure == Failure::Gone || asked_smaller {
            info!(%error, "reading in another way");
            let pause = Duration::ZERO;
            return ReadFailure { failure, pause };
        }
        self.failures += 1;
        let refused = matches!(error, CallError::Refused { .. });
        let token = self.inbox.api.token();
        if refused && token.reread() {
            info!("the token has changed; trying the new one");
            let pause = Duration::ZERO;
            return ReadFailure { failure, pause };
        }
        if self.failures == 1 {
            warn!(%error, "the inbox could not be read");
        }
        if refused || self.failures >= FAILURES_TOLD {
            let told = trouble::unread(error, &token.describe(), token.can_change());
            self.inbox.health.update(|health| health.read_trouble = Some(told));
        }
        let pause = if refused {
            let least = self.inbox.timing.of(Duration::from_secs(5));
            self.refusals.next_delay().max(least)
        } else {
            self.errors.after(error)
        };
        ReadFailure { failure, pause }
    }
}

async fn saved(journal: &Journal) -> Result<(Option<Cursor>, Option<Timestamp>), JournalError> {
    Ok((journal.cursor().await?, journal.last_poll().await?))
}

fn tell_unwritten(health: &HealthBoard, error: &JournalError) {
    let told = trouble::unwritten(error);
    if health.now().journal_trouble.is_none() {
        error!(%error, "received messages cannot be stored; none are fetched");
    }
    health.update(|health| health.journal_trouble = Some(told));
}

/// The cursor in the file, when another program moved it since the journal's was exported.
fn imported(file: Option<ActivityId>, saved: Option<&Cursor>) -> Option<ActivityId> {
    file.filter(|id| id.is_uuid() && saved.is_none_or(|saved| saved.id != *id))
}

/// The request for a plan.
fn query(plan: &Plan) -> ActivityQuery {
    ActivityQuery {
        kind: Some("a2a_receive"),
        since_id: plan.since.clone(),
        since_secs: plan.since_secs,
        before_ts: plan.before,
        limit: plan.limit,
        peer_info: true,
    }
}

/// Reads every row of an answer. A row without a readable time is given that of the row before it.
fn page_of(page: &ActivityPage, own: &WorkspaceId) -> Page {
    let mut instant = page.date.unwrap_or_else(Timestamp::now);
    let rows = page.rows.iter().map(|raw| {
        let row = read_row(raw, own, instant);
        instant = row.head().map_or(instant, |head| head.at);
        row
    });
    let rows: Vec<Row> = rows.collect();
    Page {
        rows,
        date: page.date,
        known: std::collections::HashSet::new(),
    }
}

fn failure_of(error: &CallError, plan: &Plan) -> Failure {
    match error {
        CallError::Rejected { status: 410, .. } if plan.since.is_some() => Failure::Gone,
        CallError::TooLarge { .. } => Failure::TooLarge,
        CallError::Interrupted { .. } => Failure::Interrupted,
        _ => Failure::Other,
    }
}

/// What the agent is told after a recovery, and the key that keeps it from being told twice. A restart soon after the last
/// read, before there was a row to read on from, is nothing to tell of.
fn announcement(messages: usize, recovered: Recovered, now: Timestamp) -> Option<(String, String)> {
    let since = recovered.since?;
    let why = match recovered.reason {
        Reason::Gone => "The platform no longer knew up to where this inbox had been read",
        Reason::Restart if since.until(now) > LONG_GAP => "This inbox had not been read for a while",
        Reason::Restart | Reason::FirstStart | Reason::Still => return None,
    };
    let since = since.to_rfc3339();
    let count = match messages {
        0 => return None,
        1 => "1 message was".to_owned(),
        more => format!("{more} messages were"),
    };
    let text =
        format!("{why}, so {count} recovered after the last good read at {since}. Some may have been seen before.");
    Some((text, format!("recovered:{since}")))
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn id(n: u32) -> ActivityId {
        ActivityId::parse(&format!("00000000-0000-4000-8000-{n:012}")).unwrap()
    }

    fn plan(since: Option<ActivityId>, limit: u32) -> Plan {
        Plan {
            since,
            since_secs: None,
            before: None,
            limit,
            compare: false,
        }
    }

    #[test]
    fn a_cursor_file_counts_only_when_another_program_moved_it() {
        let saved = Cursor {
            id: id(1),
            at: Timestamp(1),
            seq: None,
        };
        let odd = ActivityId::parse("odd").unwrap();
        for (file, journal, expected) in [
            (None, None, None),
            (None, Some(&saved), None),
            (Some(id(1)), Some(&saved), None),
            (Some(id(2)), Some(&saved), Some(id(2))),
            (Some(id(2)), None, Some(id(2))),
            (Some(odd), None, None),
        ] {
            assert_eq!(imported(file.clone(), journal), expected, "{file:?}");
        }
    }

    #[test]
    fn only_a_read_from_a_row_can_find_it_gone() {
        let gone = CallError::Rejected {
            status: 410,
            detail: String::new(),
            body: None,
        };
        let large = CallError::TooLarge { limit: 1 };
        let cut = CallError::Interrupted { detail: String::new() };
        let refused = CallError::Refused {
            status: 401,
            detail: String::new(),
        };
        for (error, since, expected) in [
            (&gone, Some(id(1)), Failure::Gone),
            (&gone, None, Failure::Other),
            (&large, None, Failure::TooLarge),
            (&cut, None, Failure::Interrupted),
            (&refused, Some(id(1)), Failure::Other),
        ] {
            assert_eq!(failure_of(error, &plan(since, 500)), expected, "{error}");
        }
    }

    #[test]
    fn a_plan_becomes_a_query_for_inbound_rows() {
        let asked = query(&Plan {
            since: Some(id(1)),
            since_secs: Some(600),
            before: Some(Timestamp(5)),
            limit: 50,
            compare: false,
        });
        let expected = ActivityQuery {
            kind: Some("a2a_receive"),
            since_id: Some(id(1)),
            since_secs: Some(600),
            before_ts: Some(Timestamp(5)),
            limit: 50,
            peer_info: true,
        };
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_row_without_a_time_takes_that_of_the_row_before_it() {
        let own = WorkspaceId::parse("w").unwrap();
        let rows = [
            r#"{"id":"a"}"#,
            r#"{"id":"b","created_at":"2026-05-01T10:00:00Z"}"#,
            "7",
            r#"{"id":"c","created_at":"soon"}"#,
        ];
        let page = ActivityPage {
            rows: rows
                .iter()
                .map(|row| RawValue::from_string((*row).to_owned()).unwrap())
                .collect(),
            date: Some(Timestamp(9)),
        };
        let times: Vec<_> = page_of(&page, &own)
            .rows
            .iter()
            .map(|row| row.head().map(|head| head.at))
            .collect();
        let ten = Timestamp::parse("2026-05-01T10:00:00Z");
        assert_eq!(times, [Some(Timestamp(9)), ten, None, ten]);
    }

    #[test]
    fn a_recovery_is_announced_with_its_count_and_never_for_nothing() {
        let now = Timestamp(2_000_000_000);
        let of = |messages, reason, since| announcement(messages, Recovered { reason, since }, now);
        let since = Some(Timestamp(0));
        let (text, key) = of(3, Reason::Gone, since).unwrap();
        assert!(
            text.contains("3 messages were recovered after the last good read at 1970-01-01"),
            "{text}"
        );
        assert_eq!(key, "recovered:1970-01-01T00:00:00.000000Z");
        assert!(
            of(1, Reason::Restart, since)
                .unwrap()
                .0
                .contains("1 message was recovered")
        );
        for (messages, reason, since) in [
            (0, Reason::Gone, since),
            (5, Reason::FirstStart, None),
            (5, Reason::Still, since),
            (5, Reason::Gone, None),
            (5, Reason::Restart, Some(Timestamp(1_500_000_000))),
        ] {
            assert_eq!(of(messages, reason, since), None);
        }
    }
}
