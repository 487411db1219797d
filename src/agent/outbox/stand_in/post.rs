//! The platform in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::agent::outbox::ports::Platform;
use crate::platform::error::CallError;
use crate::platform::files::FilePart;
use crate::platform::lookups::Echo;
use crate::platform::wire::{A2aAnswer, Attached, Delegated, DelegationRow};
use crate::types::{PeerId, Timestamp};

/// The platform: answers everything well unless told otherwise, and remembers what it was asked.
#[derive(Clone, Default)]
pub(in crate::agent::outbox) struct Post(Arc<Mutex<Manner>>);

#[derive(Default)]
struct Manner {
    delay: Duration,
    outcomes: VecDeque<Result<(), CallError>>,
    silences: usize,
    echo: bool,
    /// When, by the platform's clock.
    echo_at: Option<Timestamp>,
    sent: Vec<String>,
    target_is_gone: bool,
    calls_peers: bool,
    rows: Vec<DelegationRow>,
    list_error: Option<CallError>,
    texts: HashMap<String, String>,
    calls: Vec<String>,
}

impl Post {
    pub(in crate::agent::outbox) fn answering_after(delay: Duration) -> Self {
        let post = Self::default();
        post.manner().delay = delay;
        post
    }

    /// The outcomes of the next sends.
    pub(in crate::agent::outbox) fn next(&self, outcomes: impl IntoIterator<Item = Result<(), CallError>>) {
        self.manner().outcomes.extend(outcomes);
    }

    /// The next so many replies to peers get no answer.
    pub(in crate::agent::outbox) fn stay_silent(&self, times: usize) {
        self.manner().silences = times;
    }

    pub(in crate::agent::outbox) fn store_echo(&self, stored: bool) {
        self.manner().echo = stored;
    }

    /// The same at a time by the platform's clock, which it is now.
    pub(in crate::agent::outbox) fn store_echo_at(&self, now: Timestamp) {
        let mut manner = self.manner();
        (manner.echo, manner.echo_at) = (true, Some(now));
    }

    pub(in crate::agent::outbox) fn show_sent<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        self.manner().sent = ids.into_iter().map(str::to_owned).collect();
    }

    pub(in crate::agent::outbox) fn lose_target(&self) {
        self.manner().target_is_gone = true;
    }

    pub(in crate::agent::outbox) fn call_peers(&self, yes: bool) {
        self.manner().calls_peers = yes;
    }

    pub(in crate::agent::outbox) fn list(&self, rows: Value) {
        self.manner().rows = serde_json::from_value(rows).unwrap();
    }

    pub(in crate::agent::outbox) fn fail_list(&self, error: Option<CallError>) {
        self.manner().list_error = error;
    }

    pub(in crate::agent::outbox) fn keep_text(&self, delegation_id: &str, text: &str) {
        self.manner().texts.insert(delegation_id.to_owned(), text.to_owned());
    }

    pub(in crate::agent::outbox) fn calls(&self) -> Vec<String> {
        self.manner().calls.clone()
    }

    fn manner(&self) -> MutexGuard<'_, Manner> {
        self.0.lock().unwrap()
    }

    async fn send(&self, call: String) -> Result<(), CallError> {
        let (delay, outcome) = {
            let mut manner = self.manner();
            manner.calls.push(call);
            (manner.delay, manner.outcomes.pop_front().unwrap_or(Ok(())))
        };
        sleep(delay).await;
        outcome
    }
}

impl Platform for Post {
    async fn delegate(&self, _target: &PeerId, task: &str, key: &str) -> Result<Delegated, CallError> {
        self.send(format!("delegate {key} {task}")).await?;
        Ok(Delegated {
            delegation_id: format!("d-{key}"),
            idempotent_hit: false,
        })
    }

    async fn a2a(&self, _target: &PeerId, envelope: &Value) -> Result<A2aAnswer, CallError> {
        self.send(format!("a2a {envelope}")).await?;
        let silent = {
            let mut manner = self.manner();
            let silent = manner.silences > 0;
            manner.silences = manner.silences.saturating_sub(1);
            silent
        };
        if silent {
            std::future::pending::<()>().await;
        }
        Ok(A2aAnswer::QueuedForPoll)
    }

    async fn notify(&self, message: &str, files: &[Attached]) -> Result<(), CallError> {
        let files: String = files.iter().map(|file| format!(" with {}", file.uri)).collect();
        self.send(format!("notify {message}{files}")).await
    }

    async fn upload(&self, file: FilePart<'_>) -> Result<String, CallError> {
        self.send(format!("upload {}", file.name)).await?;
        Ok(format!("at:{}", file.name))
    }

    async fn echoes(&self, echo: Echo<'_>, since: Timestamp) -> Result<usize, CallError> {
        let (Echo::Text(wanted) | Echo::File(wanted)) = echo;
        let mut manner = self.manner();
        manner.calls.push(format!("echo {wanted}"));
        let shows = manner.echo && manner.echo_at.is_none_or(|at| at >= since);
        Ok(shows.into())
    }

    fn time(&self) -> Option<Timestamp> {
        self.manner().echo_at
    }

    async fn sent_delegations(
        &self,
        _target: &PeerId,
        task: &str,
        _since: Timestamp,
    ) -> Result<Vec<String>, CallError> {
        let mut manner = self.manner();
        manner.calls.push(format!("sent {task}"));
        Ok(manner.sent.clone())
    }

    async fn is_gone(&self, _target: &PeerId) -> Result<bool, CallError> {
        Ok(self.manner().target_is_gone)
    }

    async fn is_pushed_to(&self, _target: &PeerId) -> Result<bool, CallError> {
        Ok(self.manner().calls_peers)
    }

    async fn delegations(&self) -> Result<Vec<DelegationRow>, CallError> {
        let mut manner = self.manner();
        manner.calls.push("list".to_owned());
        manner.list_error.clone().map_or_else(|| Ok(manner.rows.clone()), Err)
    }

    async fn delegation_text(&self, delegation_id: &str) -> Result<Option<String>, CallError> {
        let mut manner = self.manner();
        manner.calls.push(format!("text {delegation_id}"));
        Ok(manner.texts.get(delegation_id).cloned())
    }

    fn is_scarce(&self) -> bool {
        false
    }
}
