//! The outcomes of accepted delegations, read from the platform's list by the duty holder and written down for everyone.
//!
//! Events only say when to look. An answer of a polling peer does not come this way: it is a message in the inbox.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::finding::{self, Finding, Wait};
use super::hints::{Hints, Told};
use super::ports::{Book, Platform, moved};
use super::schedule::{Miss, Pace, Schedule};
use crate::config::Timing;
use crate::platform::error::CallError;
use crate::platform::retry::Backoff;
use crate::state::outbox::{Change, Item, Progress};
use crate::types::Timestamp;

/// The platform's list holds no more rows than this.
const FULL_LIST: usize = 50;
/// How many texts are fetched at once.
const ABREAST: usize = 8;

/// Watches while this process holds the duty.
pub(super) struct Watching<P, B> {
    pub(super) platform: P,
    pub(super) book: B,
    pub(super) holder: watch::Receiver<bool>,
    pub(super) hints: Hints,
    pub(super) timing: Timing,
}

/// What came of one delegation in one read.
enum Step {
    /// Nothing new.
    Nothing,
    /// Nothing more will come from the platform's record.
    Closed,
    /// Finished, but its text cannot be had yet.
    Missed(Miss, Option<String>),
    /// The journal did not take it.
    Unwritten,
}

impl<P: Platform, B: Book> Watching<P, B> {
    pub(super) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.watch() => {}
        }
    }

    /// Never ends. Dropped at any point it loses nothing: what was read can be read again.
    async fn watch(&mut self) {
        let second = Duration::from_secs(1);
        let mut changes = self.book.changes();
        let mut schedule = Schedule::new(self.timing);
        let mut backoff = Backoff::new(self.timing.of(second), self.timing.of(60 * second));
        let mut trouble = Backoff::new(self.timing.of(second), self.timing.of(30 * second));
        loop {
            changes.borrow_and_update();
            if !*self.holder.borrow_and_update() {
                schedule = Schedule::new(self.timing);
                moved(&mut self.holder).await;
                continue;
            }
            let waiting = match self.book.outstanding().await {
                Ok(waiting) => waiting,
                Err(error) => {
                    tracing::warn!(%error, "the outstanding delegations could not be read");
                    sleep(trouble.next_delay()).await;
                    continue;
                }
            };
            trouble.reset();
            if schedule.is_idle() {
                self.hints.skip();
            }
            schedule.follow(&waiting, Instant::now(), Timestamp::now());
            self.read_when_due(&waiting, &mut changes, &mut schedule, &mut backoff)
                .await;
        }
    }

    /// Returns after one read, or when the journal or the duty has changed.
    async fn read_when_due(
        &mut self,
        waiting: &[Item],
        changes: &mut watch::Receiver<u64>,
        schedule: &mut Schedule,
        backoff: &mut Backoff,
    ) {
        loop {
            let due = schedule.due(self.pace(), Instant::now());
            tokio::select! {
                () = moved(&mut self.holder) => return,
                () = moved(changes) => return,
                told = self.hints.next(), if !schedule.is_idle() => match told {
                    Told::Of(id) => schedule.hint(Some(&id), Instant::now()),
                    Told::OfAny => schedule.hint(None, Instant::now()),
                    Told::Other => {}
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    return self.read(waiting, schedule, backoff).await;
                }
            }
        }
    }

    fn pace(&self) -> Pace {
        if self.platform.is_scarce() {
            Pace::Scarce
        } else if self.hints.are_live() {
            Pace::Live
        } else {
            Pace::Blind
        }
    }

    async fn read(&self, waiting: &[Item], schedule: &mut Schedule, backoff: &mut Backoff) {
        let asked = Instant::now();
        let rows = match self.platform.delegations().await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(code = error.code(), "the list of delegations could not be read");
                return schedule.put_off(Instant::now(), backoff.after(&error));
            }
        };
        backoff.reset();
        schedule.was_read(asked);
        let mut steps = Vec::new();
        for item in waiting {
            let Some(id) = item.delegation_id.as_deref() else {
                continue;
            };
            let finding = match finding::judge(id, &rows) {
                Finding::Absent if rows.len() < FULL_LIST || !schedule.may_look_beyond(id, asked) => Finding::Open,
                finding => finding,
            };
            steps.push(self.take(item, id, finding));
        }
        let mut steps = futures_util::stream::iter(steps).buffer_unordered(ABREAST);
        while let Some((item, id, step)) = steps.next().await {
            match step {
                Step::Nothing => {}
                Step::Closed => schedule.close(id),
                Step::Unwritten => schedule.soon(id, Instant::now()),
                Step::Missed(miss, _) if schedule.missed(id, miss) => schedule.soon(id, Instant::now()),
                Step::Missed(_, preview) => {
                    if let Step::Unwritten = self.write(item, without_text(preview)).await {
                        schedule.soon(id, Instant::now());
                    }
                }
            }
        }
    }

    async fn take<'a>(&self, item: &'a Item, id: &'a str, finding: Finding) -> (&'a Item, &'a str, Step) {
        let step = match finding {
            Finding::Open => Step::Nothing,
            Finding::Delivered(wait) => self.delivered(item, wait).await,
            Finding::Failed(reason) => self.write(item, outcome(Progress::Failed, None, Some(reason))).await,
            Finding::Finished(preview) => match self.platform.delegation_text(id).await {
                Ok(Some(text)) => self.finished(item, text).await,
                Ok(None) => Step::Missed(Miss::Nowhere, preview),
                Err(error) => Step::Missed(miss(&error), preview),
            },
            Finding::Absent => match self.platform.delegation_text(id).await {
                Ok(Some(text)) => self.finished(item, text).await,
                Ok(None) | Err(_) => Step::Nothing,
            },
        };
        (item, id, step)
    }

    async fn finished(&self, item: &Item, text: String) -> Step {
        match finding::queued_envelope(&text) {
            Some(wait) => self.delivered(item, wait).await,
            None => self.write(item, outcome(Progress::Answered, Some(text), None)).await,
        }
    }

    async fn delivered(&self, item: &Item, wait: Wait) -> Step {
        if item.progress == Progress::Accepted
            && let Step::Unwritten = self.write(item, outcome(Progress::Delivered, None, None)).await
        {
            return Step::Unwritten;
        }
        match wait {
            Wait::Peer => Step::Closed,
            Wait::Platform => Step::Nothing,
        }
    }

    /// A final outcome takes the row out of the outstanding ones by itself.
    async fn write(&self, item: &Item, change: Change) -> Step {
        let progress = change.progress;
        match self.book.record(&item.id, change).await {
            Ok(()) => {
                tracing::info!(id = item.id, ?progress, "a delegation moved on");
                Step::Nothing
            }
            Err(error) => {
                tracing::warn!(id = item.id, %error, "an outcome could not be written down yet");
                Step::Unwritten
            }
        }
    }
}

fn outcome(progress: Progress, answer: Option<String>, detail: Option<String>) -> Change {
    Change {
        progress: Some(progress),
        answer,
        detail,
        ..Change::default()
    }
}

/// The answer when its full text cannot be had.
fn without_text(preview: Option<String>) -> Change {
    let detail = match &preview {
        Some(preview) if finding::may_be_cut(preview) => Some(
            "truncated: the platform's preview of at most 300 bytes, because the full text could not be read"
                .to_owned(),
        ),
        Some(_) => None,
        None => Some("the platform says it is completed and keeps no text of the answer".to_owned()),
    };
    outcome(Progress::Answered, Some(preview.unwrap_or_default()), detail)
}

fn miss(error: &CallError) -> Miss {
    if error.is_transient() {
        Miss::Passing
    } else {
        Miss::Nowhere
    }
}

#[cfg(test)]
mod tests;
