//! Telling the platform how far the inbox was received (level C): beside reading, never before it.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::debug;

use crate::config::Timing;
use crate::platform::error::CallError;
use crate::platform::workspace::WorkspaceApi;

/// How long a platform that says it has no such route is left alone: something in front of it may have said so.
const ABSENT: Duration = Duration::from_secs(600);

/// The acknowledgement that is due, and the one on its way.
#[derive(Debug)]
pub(super) struct Acknowledgements {
    api: WorkspaceApi,
    absent_for: Duration,
    due: Option<i64>,
    /// At most one request; it ends with this struct.
    under_way: JoinSet<(i64, Result<bool, CallError>)>,
    not_before: Option<Instant>,
}

impl Acknowledgements {
    pub(super) fn new(api: WorkspaceApi, timing: Timing) -> Self {
        Self {
            api,
            absent_for: timing.of(ABSENT),
            due: None,
            under_way: JoinSet::new(),
            not_before: None,
        }
    }

    /// The saved cursor, committed, stands at a row with this sequence number.
    pub(super) fn cursor_at(&mut self, seq: i64) {
        self.due = Some(seq);
    }

    /// Sends what is due, unless a request is still under way. To be called after every good read: one that failed is so
    /// sent again.
    pub(super) fn go_on(&mut self) {
        while let Some(ended) = self.under_way.try_join_next() {
            match ended {
                Ok((seq, Ok(true))) => {
                    self.due.take_if(|due| *due == seq);
                }
                Ok((_, Ok(false))) => self.not_before = Some(Instant::now() + self.absent_for),
                Ok((_, Err(error))) => debug!(%error, "the platform did not take an acknowledgement; it is sent again"),
                Err(error) => debug!(%error, "an acknowledgement ended early; it is sent again"),
            }
        }
        let may_send = self.under_way.is_empty() && self.not_before.is_none_or(|then| Instant::now() >= then);
        if let Some(seq) = self.due.filter(|_| may_send) {
            let api = self.api.clone();
            self.under_way.spawn(async move { (seq, api.acknowledge(seq).await) });
        }
    }
}
