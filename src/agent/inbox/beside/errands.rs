//! Following an errand: asking the platform, judging what it says, and committing that.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tracing::warn;

use super::broadcasts::Kept;
use super::hearing::{Heard, Hearing};
use super::plan::Errand;
use super::requests::{Judge, Judged};
use super::{Beside, Work};
use crate::platform::error::CallError;
use crate::platform::requests::RequestRow;
use crate::platform::wire::ActivityQuery;
use crate::state::crash_point;
use crate::state::journal::{JournalError, News};
use crate::state::request::Side;
use crate::types::{ActivityId, RequestId, Timestamp};

/// The most rows in the platform's lists of requests.
pub(super) const FULL: usize = 50;
/// Rows of one page of broadcasts, the most that the platform gives.
const PAGE: u32 = 500;
/// Pages of one read: nobody is told 20,000 things at once.
const PAGES: usize = 40;

/// Why an errand failed.
#[derive(Debug)]
pub(super) enum Trouble {
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

impl Work {
    pub(super) async fn follow(&mut self, errand: &Errand) -> Result<(), Trouble> {
        match errand {
            Errand::Theirs { open_only } => self.theirs(*open_only).await,
            Errand::Ours => self.ours().await,
            Errand::Thread(id) => self.thread(id).await,
            Errand::Broadcasts => self.broadcasts().await,
        }
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

impl Beside {
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
            let sent = page.rows();
            let read = sent.iter().filter_map(|row| Kept::of(row, &self.own, at));
            rows.extend(read.map(|row| (row.message.activity_id.clone(), row)));
            if sent.len() < PAGE as usize || rows.len() == before {
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

/// Two lists, each newest first; one that stands in both is as the second has it.
pub(super) fn merged(first: Vec<RequestRow>, second: Vec<RequestRow>) -> Vec<RequestRow> {
    let mut rows: Vec<_> = first
        .into_iter()
        .filter(|row| second.iter().all(|other| other.id != row.id))
        .collect();
    rows.extend(second);
    rows
}
