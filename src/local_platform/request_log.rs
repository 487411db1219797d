//! What was asked and by whom, so that tests can assert what a client sent. Tokens appear only as a short hash.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::Value;

/// Older requests are forgotten beyond this many.
const KEPT: usize = 50_000;

/// The requests in the order their answers began.
#[derive(Default)]
pub(crate) struct RequestLog {
    state: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    last: u64,
    entries: VecDeque<Entry>,
}

/// One request.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    /// Arrival, milliseconds since 1970.
    pub(crate) time_ms: i64,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) route: Option<&'static str>,
    /// `None`: the connection ended before an answer.
    pub(crate) status: Option<u16>,
    pub(crate) workspace: Option<String>,
    /// The first 8 hex digits of the bearer's SHA-256.
    pub(crate) bearer: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) x_workspace_id: Option<String>,
    pub(crate) origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<Value>,
}

/// An entry that is written when it is dropped, so that a request whose client went away is logged too.
pub(crate) struct Pending {
    pub(crate) entry: Entry,
    log: Option<Arc<RequestLog>>,
}

impl RequestLog {
    /// Starts an entry; `log` is `None` when nothing is to be kept.
    pub(crate) fn begin(log: Option<Arc<Self>>, entry: Entry) -> Pending {
        Pending { entry, log }
    }

    /// The entries with a number above `after`.
    pub(crate) fn after(&self, after: u64) -> Vec<Entry> {
        self.lock()
            .entries
            .iter()
            .filter(|entry| entry.seq > after)
            .cloned()
            .collect()
    }

    fn push(&self, mut entry: Entry) {
        let mut kept = self.lock();
        kept.last += 1;
        entry.seq = kept.last;
        kept.entries.push_back(entry);
        if kept.entries.len() > KEPT {
            kept.entries.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(log) = self.log.take() {
            log.push(std::mem::take(&mut self.entry));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_logged_even_when_its_answer_never_began() {
        let log = Arc::new(RequestLog::default());
        let entry = |path: &str| Entry {
            path: path.to_owned(),
            ..Entry::default()
        };
        drop(RequestLog::begin(Some(log.clone()), entry("/gone")));
        let mut answered = RequestLog::begin(Some(log.clone()), entry("/fine"));
        answered.entry.status = Some(200);
        drop(answered);
        drop(RequestLog::begin(None, entry("/unkept")));
        let seen: Vec<_> = log
            .after(0)
            .into_iter()
            .map(|entry| (entry.seq, entry.path, entry.status))
            .collect();
        assert_eq!(
            seen,
            [(1, "/gone".to_owned(), None), (2, "/fine".to_owned(), Some(200))]
        );
        assert_eq!(log.after(1).len(), 1);
    }
}
