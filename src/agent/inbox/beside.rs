//! What reaches a workspace beside its messages: requests and broadcasts, which level C puts where a reader of messages never
//! looks (platform-api 4.3). They are brought into the same inbox.
//!
//! What is read is committed together with what it settles: a request that was answered elsewhere leaves the inbox, and
//! broadcasts are heard up to an instant. Nothing depends on this process's memory but the whole text of a long broadcast,
//! which the platform tells once and keeps nowhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::trouble;
use crate::agent::stream::{BROADCAST, Stream};
use crate::config::Timing;
use crate::platform::error::CallError;
use crate::platform::events::Event;
use crate::platform::requests::RequestRow;
use crate::platform::retry::Backoff;
use crate::platform::wire::ActivityQuery;
use crate::platform::workspace::WorkspaceApi;
use crate::state::crash_point;
use crate::state::health::HealthBoard;
use crate::state::journal::{Journal, JournalError, News};
use crate::state::lock::DutyLock;
use crate::state::request::Side;
use crate::types::{ActivityId, RequestId, Timestamp, WorkspaceId};
use broadcasts::Kept;
use hearing::{Heard, Hearing};
use plan::{Errand, Next, Plan};
use requests::{Judge, Judged};

mod broadcasts;
mod hearing;
#[cfg(test)]
mod model;
mod plan;
mod requests;

/// The most rows in the platform's lists of requests.
const FULL: usize = 50;
/// Rows of one page of broadcasts, the most that the platform gives.
const PAGE: u32 = 500;
/// Pages of one read: nobody is told 20,000 things at once.
const PAGES: usize = 40;
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Failures in a row before they are told of.
const FAILURES_TOLD: u32 = 3;

/// Everything the loop works with; only the holder of the duty runs it.
#[derive(Debug)]
pub struct Beside {
    /// The platform.
    pub api: WorkspaceApi,
    /// Where everything is kept.
    pub journal: Journal,
    /// The duty: checked before every commit.
    pub lock: Arc<DutyLock>,
    /// Whether the workspace was deleted.
    pub health: HealthBoard,
    /// What tells of something new.
    pub stream: Stream,
    /// All intervals.
    pub timing: Timing,
    /// The workspace.
    pub own: WorkspaceId,
}

impl Beside {
    /// Reads until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let signals = Signals {
            events: self.stream.subscribe(),
            gaps: self.stream.gaps(),
            fresh_starts: self.api.client().fresh_starts(),
        };
        let once = Duration::from_secs(1);
        let work = Work {
            plan: Plan::new(self.timing, Duration::ZERO),
            hearing: None,
            epoch: Instant::now(),
            trials: [(); 4].map(|()| Trial {
                errors: Backoff::new(self.timing.of(once), self.timing.of(LONGEST_PAUSE)),
                failures: 0,
                is_told: false,
            }),
            with: self,
        };
        // Nothing is lost by an end between an answer and its commit: both lists are read again.
        stop.run_until_cancelled(work.go_on(signals)).await;
    }

    /// Reads the broadcasts that may not be in the journal yet.
    async fn read_broadcasts(&self, hearing: &Hearing) -> Result<Heard, CallError> {
        let now = || self.api.client().platform_time().unwrap_or_else(Timestamp::now);
        let mut query = ActivityQuery {
            kind: Some("broadcast_receive"),
            since_secs: Some(hearing.window(now())),
            limit: PAGE,
            peer_info: true,
            ..ActivityQuery::default()
        };
        let mut rows: HashMap<ActivityId, Kept> = HashMap::new();
        let mut at = None;
        for _ in 0..PAGES {
            let page = self.api.activity(&query).await?;
            let at = *at.get_or_insert_with(|| page.date.unwrap_or_else(now));
            let before = rows.len();
            let read = page.rows.iter().filter_map(|row| Kept::of(row, &self.own, at));
            rows.extend(read.map(|row| (row.message.activity_id.clone(), row)));
            if page.rows.len() < PAGE as usize || rows.len() == before {
                return Ok(Heard {
                    rows: rows.into_values().collect(),
                    at,
                });
            }
            // The comparison is strict, and others may have been sent at the same instant.
            query.before_ts = rows.values().map(|row| row.message.at.plus_micros(1)).min();
        }
        warn!("more broadcasts were sent than can be read; the oldest are left out");
        Ok(Heard {
            rows: rows.into_values().collect(),
            at: at.unwrap_or_else(now),
        })
    }
}

/// What may wake the loop before its time.
struct Signals {
    events: broadcast::Receiver<Arc<Event>>,
    gaps: watch::Receiver<u64>,
    fresh_starts: watch::Receiver<u64>,
}

/// Why an errand failed.
#[derive(Debug)]
enum Trouble {
    Call(CallError),
    Journal(JournalError),
    /// The duty is no longer ours.
    Over,
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<JournalError> for Trouble {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

struct Work {
    with: Beside,
    plan: Plan,
    /// Once the journal said up to when broadcasts were heard.
    hearing: Option<Hearing>,
    epoch: Instant,
    /// Of each kind of errand.
    trials: [Trial; 4],
}

/// How one kind of errand goes.
struct Trial {
    errors: Backoff,
    /// In a row.
    failures: u32,
    is_told: bool,
}

impl Work {
    async fn go_on(mut self, mut signals: Signals) {
        loop {
            self.take_signals(&mut signals);
            let wait = if self.with.health.now().removed {
                LONGEST_PAUSE
            } else {
                match self.plan.next(self.epoch.elapsed()) {
                    Next::Wait(wait) => wait,
                    Next::Ask(errand) => {
                        self.perform(errand).await;
                        continue;
                    }
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                event = signals.events.recv() => self.take_event(event.ok().as_deref()),
                _ = signals.gaps.changed() => self.plan.anew(),
                _ = signals.fresh_starts.changed() => self.plan.anew(),
            }
        }
    }

    /// Takes what happened while nobody was waiting.
    fn take_signals(&mut self, signals: &mut Signals) {
        loop {
            match signals.events.try_recv() {
                Ok(event) => self.take_event(Some(&event)),
                Err(broadcast::error::TryRecvError::Lagged(_)) => self.take_event(None),
                Err(_) => break,
            }
        }
        for counter in [&mut signals.gaps, &mut signals.fresh_starts] {
            if counter.has_changed().unwrap_or(false) {
                counter.mark_unchanged();
                self.plan.anew();
            }
        }
    }

    /// `None`: some were missed.
    fn take_event(&mut self, event: Option<&Event>) {
        let Some(event) = event else { return self.plan.anew() };
        let about = event.payload["request_id"].as_str();
        let about = about.and_then(|id| RequestId::parse(id).ok());
        match (event.kind.as_str(), about) {
            (BROADCAST, _) => self.plan.broadcast_told(),
            // Told to the workspace that is asked or, when that is the person, to the one that asks.
            ("REQUEST_CREATED", _) if event.payload["recipient_type"] == "user" => self.plan.hint(Side::Ours),
            ("REQUEST_CREATED", _) => self.plan.hint(Side::Theirs),
            ("REQUEST_RESPONDED" | "REQUEST_MESSAGE", Some(id)) => self.plan.look_into(id),
            _ => {}
        }
    }

    async fn perform(&mut self, errand: Errand) {
        let outcome = match &errand {
            Errand::Theirs { open_only } => self.theirs(*open_only).await,
            Errand::Ours => self.ours().await,
            Errand::Thread(id) => self.thread(id).await,
            Errand::Broadcasts => self.broadcasts().await,
        };
        self.plan
            .budget(self.epoch.elapsed(), self.with.api.client().rate_limit());
        match outcome {
            Ok(()) => {
                if errand != Errand::Broadcasts {
                    self.plan.answered();
                }
                self.over(&errand);
            }
            Err(Trouble::Call(error)) if error.lacks_route() => {
                debug!(?errand, "the platform has no such route and is not asked again");
                self.plan.absent(&errand);
                self.over(&errand);
            }
            Err(Trouble::Over) => std::future::pending().await,
            Err(trouble) => self.failed(errand, &trouble),
        }
    }

    /// An errand does not fail, or not any more.
    fn over(&mut self, errand: &Errand) {
        let trial = &mut self.trials[errand.kind()];
        trial.errors.reset();
        trial.failures = 0;
        if std::mem::take(&mut trial.is_told) {
            info!("{} can be read again", errand.what());
            self.with.health.update(|health| health.beside_trouble = None);
        }
    }

    fn failed(&mut self, errand: Errand, trouble: &Trouble) {
        let trial = &mut self.trials[errand.kind()];
        trial.failures += 1;
        let pause = match trouble {
            Trouble::Call(error) => {
                debug!(%error, ?errand, "an errand failed");
                trial.errors.after(error)
            }
            Trouble::Journal(error) => {
                debug!(%error, ?errand, "what was read could not be kept");
                trial.errors.next_delay()
            }
            // There is no later.
            Trouble::Over => return,
        };
        // What keeps messages away as well is told by their reader.
        let alone = self.with.health.now().can_receive();
        if let Trouble::Call(error) = trouble
            && trial.failures >= FAILURES_TOLD
            && alone
        {
            let told = trouble::unread_beside(errand.what(), error);
            if !std::mem::replace(&mut trial.is_told, true) {
                warn!("{}", told.what);
            }
            self.with.health.update(|health| health.beside_trouble = Some(told));
        }
        let least = self.with.timing.of(Duration::from_secs(1));
        self.plan.failed(errand, self.epoch.elapsed(), pause.max(least));
    }

    async fn theirs(&mut self, open_only: bool) -> Result<(), Trouble> {
        let api = &self.with.api;
        let mut rows = Vec::new();
        let mut is_full = open_only;
        if !open_only {
            rows = api.request_inbox(None).await?;
            is_full = rows.len() >= FULL;
        }
        if is_full {
            // In this order: what is asked back in between is in the second list.
            let pending = api.request_inbox(Some("pending")).await?;
            let asked_back = api.request_inbox(Some("info_requested")).await?;
            rows.splice(..0, merged(pending, asked_back));
            self.plan.list_is_full();
        }
        self.judge_list(Side::Theirs, &rows).await
    }

    async fn ours(&mut self) -> Result<(), Trouble> {
        let rows = self.with.api.own_requests(None).await?;
        self.judge_list(Side::Ours, &rows).await
    }

    async fn judge_list(&mut self, side: Side, rows: &[RequestRow]) -> Result<(), Trouble> {
        let open = self.open().await?;
        let Judged { news, missing, talking } = self.judge(&open).list(side, rows);
        self.keep(news).await?;
        for id in missing {
            self.plan.look_into(id);
        }
        self.plan.take_turn(side, talking);
        Ok(())
    }

    async fn thread(&mut self, id: &RequestId) -> Result<(), Trouble> {
        let news = match self.with.api.request_thread(id).await {
            Ok(thread) => {
                let open = self.open().await?;
                self.judge(&open).thread(&thread)
            }
            // It is gone, or not ours to see.
            Err(error) if matches!(error.status(), Some(403 | 404)) && !error.lacks_route() => News {
                closed: vec![id.clone()],
                ..News::default()
            },
            Err(error) => return Err(error.into()),
        };
        self.keep(news).await
    }

    async fn broadcasts(&mut self) -> Result<(), Trouble> {
        let with = &self.with;
        let hearing = match &mut self.hearing {
            Some(hearing) => hearing,
            none => none.insert(Hearing::from(with.journal.heard().await?)),
        };
        let heard = with.read_broadcasts(hearing).await?;
        let ids = heard.rows.iter().map(|row| row.message.activity_id.clone());
        let known = with.journal.known(ids.collect()).await?;
        let live = *with.stream.live().borrow();
        let news = hearing.judge(self.epoch.elapsed(), heard, &known, live, |row| {
            with.stream.take_broadcast(|told| row.is(told))
        });
        self.keep(news).await?;
        if let Some(then) = self.hearing.as_mut().and_then(Hearing::committed) {
            self.plan.broadcasts_by(then);
        }
        Ok(())
    }

    /// Commits what is new.
    async fn keep(&mut self, mut news: News) -> Result<(), Trouble> {
        let ids = news.messages.iter().map(|message| message.activity_id.clone());
        let known = self.with.journal.known(ids.collect()).await?;
        news.messages.retain(|message| !known.contains(&message.activity_id));
        if !news.is_empty() {
            let lock = Arc::clone(&self.with.lock);
            if !spawn_blocking(move || lock.is_current()).await.unwrap_or(false) {
                return Err(Trouble::Over);
            }
            crash_point::pass("beside", "answered");
            self.with.journal.take_news(news).await?;
            crash_point::pass("beside", "committed");
        }
        let open = self.with.journal.open_requests().await?;
        self.plan.ours_open(open.iter().any(|(_, side)| *side == Side::Ours));
        Ok(())
    }

    async fn open(&self) -> Result<HashMap<RequestId, Side>, JournalError> {
        Ok(self.with.journal.open_requests().await?.into_iter().collect())
    }

    fn judge<'a>(&'a self, open: &'a HashMap<RequestId, Side>) -> Judge<'a> {
        let now = self.with.api.client().platform_time();
        Judge {
            own: &self.with.own,
            open,
            now: now.unwrap_or_else(Timestamp::now),
        }
    }
}

/// Two lists, each newest first; one that stands in both is as the second has it.
fn merged(first: Vec<RequestRow>, second: Vec<RequestRow>) -> Vec<RequestRow> {
    let mut rows: Vec<_> = first
        .into_iter()
        .filter(|row| second.iter().all(|other| other.id != row.id))
        .collect();
    rows.extend(second);
    rows
}
