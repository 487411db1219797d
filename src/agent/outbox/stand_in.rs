//! A platform and a journal in memory, for the tests of the loops.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use super::ports::{Book, Platform};
use crate::platform::error::CallError;
use crate::platform::files::FilePart;
use crate::platform::lookups::Echo;
use crate::platform::wire::{A2aAnswer, Attached, Delegated, DelegationRow};
use crate::state::journal::JournalError;
use crate::state::obstacle::Obstacle;
use crate::state::outbox::{Change, Item, Progress, Work};
use crate::state::spool::Spool;
use crate::types::{PeerId, Timestamp};

fn peer() -> PeerId {
    PeerId::parse("22222222-0000-4000-8000-000000000002").unwrap()
}

pub(super) fn delegate(task: &str) -> Work {
    Work::Delegate {
        target: peer(),
        task: task.to_owned(),
    }
}

pub(super) fn reply(text: &str) -> Work {
    Work::ReplyToPeer {
        target: peer(),
        text: text.to_owned(),
        in_reply_to: "m-1".to_owned(),
        delegation_id: Some("d-9".to_owned()),
        context_id: None,
    }
}

pub(super) fn notify(text: &str) -> Work {
    Work::NotifyUser {
        text: text.to_owned(),
        parcel: None,
    }
}

/// A spool for work that has no files.
pub(super) fn nowhere() -> Spool {
    Spool::new(std::path::Path::new("/nowhere"))
}

/// A message to the person with so many files, their copies, and where these are.
pub(super) fn with_files(files: usize) -> (tempfile::TempDir, Spool, Item) {
    let home = tempfile::tempdir().unwrap();
    let spool = Spool::new(home.path());
    let mut packing = spool.begin().unwrap();
    for n in 0..files {
        let path = home.path().join(format!("{n}.txt"));
        std::fs::write(&path, "content").unwrap();
        let mut source = std::fs::File::open(&path).unwrap();
        packing.add(&mut source, &format!("{n}.txt"), 100).unwrap();
    }
    let work = Work::NotifyUser {
        text: "t".to_owned(),
        parcel: Some(packing.keep()),
    };
    (home, spool, item("1", work))
}

/// A row as it was just written down.
pub(super) fn item(id: &str, work: Work) -> Item {
    Item {
        id: id.to_owned(),
        work,
        progress: Progress::Pending,
        created: Timestamp::now(),
        attempts: 0,
        delegation_id: None,
        answer: None,
        answer_activity: None,
        detail: None,
        replies_to: None,
        request_id: None,
    }
}

/// A delegation that the platform took.
pub(super) fn accepted(id: &str, delegation_id: &str) -> Item {
    Item {
        progress: Progress::Accepted,
        attempts: 1,
        delegation_id: Some(delegation_id.to_owned()),
        ..item(id, delegate("t"))
    }
}

pub(super) fn accepted_call(id: &str) -> String {
    format!("delegate {id} t")
}

pub(super) fn unreachable() -> CallError {
    CallError::Unreachable {
        detail: "connection refused".to_owned(),
    }
}

pub(super) fn interrupted() -> CallError {
    CallError::Interrupted {
        detail: "connection reset".to_owned(),
    }
}

pub(super) fn refused() -> CallError {
    CallError::Refused {
        status: 403,
        detail: "access denied".to_owned(),
    }
}

pub(super) fn rejected(status: u16) -> CallError {
    CallError::Rejected {
        status,
        detail: "no".to_owned(),
        body: None,
    }
}

pub(super) fn throttled(secs: u64) -> CallError {
    CallError::Throttled {
        status: 429,
        retry_after: Some(Duration::from_secs(secs)),
    }
}

pub(super) fn journal_error() -> JournalError {
    JournalError::Disk {
        obstacle: Obstacle::Full,
        what: "no space left".to_owned(),
    }
}

/// The platform: answers everything well unless told otherwise, and remembers what it was asked.
#[derive(Clone, Default)]
pub(super) struct Post(Arc<Mutex<Manner>>);

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
    pub(super) fn answering_after(delay: Duration) -> Self {
        let post = Self::default();
        post.manner().delay = delay;
        post
    }

    /// The outcomes of the next sends.
    pub(super) fn next(&self, outcomes: impl IntoIterator<Item = Result<(), CallError>>) {
        self.manner().outcomes.extend(outcomes);
    }

    /// The next so many replies to peers get no answer.
    pub(super) fn stay_silent(&self, times: usize) {
        self.manner().silences = times;
    }

    pub(super) fn store_echo(&self, stored: bool) {
        self.manner().echo = stored;
    }

    /// The same at a time by the platform's clock, which it is now.
    pub(super) fn store_echo_at(&self, now: Timestamp) {
        let mut manner = self.manner();
        (manner.echo, manner.echo_at) = (true, Some(now));
    }

    pub(super) fn show_sent<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        self.manner().sent = ids.into_iter().map(str::to_owned).collect();
    }

    pub(super) fn lose_target(&self) {
        self.manner().target_is_gone = true;
    }

    pub(super) fn call_peers(&self, yes: bool) {
        self.manner().calls_peers = yes;
    }

    pub(super) fn list(&self, rows: Value) {
        self.manner().rows = serde_json::from_value(rows).unwrap();
    }

    pub(super) fn fail_list(&self, error: Option<CallError>) {
        self.manner().list_error = error;
    }

    pub(super) fn keep_text(&self, delegation_id: &str, text: &str) {
        self.manner().texts.insert(delegation_id.to_owned(), text.to_owned());
    }

    pub(super) fn calls(&self) -> Vec<String> {
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

/// The journal.
#[derive(Clone)]
pub(super) struct Desk(Arc<Mutex<Drawer>>, Arc<watch::Sender<u64>>);

#[derive(Default)]
struct Drawer {
    items: Vec<Item>,
    owners: HashMap<String, Owner>,
    settled: Vec<String>,
    claims: usize,
    bad_records: usize,
    bad_attempts: usize,
    echoes_of_others: usize,
    /// Item, place, name and address.
    uploads: Vec<(String, usize, String, Option<String>)>,
    other_address: Option<String>,
}

/// Whose a row is, when it is not this session's.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    Another,
    Nobody,
}

impl Desk {
    pub(super) fn holding(items: impl IntoIterator<Item = Item>) -> Self {
        let drawer = Drawer {
            items: items.into_iter().collect(),
            ..Drawer::default()
        };
        Self(Arc::new(Mutex::new(drawer)), Arc::new(watch::Sender::new(0)))
    }

    pub(super) fn add(&self, item: Item) {
        self.change(|drawer| drawer.items.push(item));
    }

    /// The row's session ends; nothing in the journal tells.
    pub(super) fn orphan(&self, id: &str) {
        self.drawer().owners.insert(id.to_owned(), Owner::Nobody);
    }

    pub(super) fn belongs_elsewhere(&self, id: &str) {
        self.drawer().owners.insert(id.to_owned(), Owner::Another);
    }

    pub(super) fn refuse_records(&self, times: usize) {
        self.drawer().bad_records = times;
    }

    pub(super) fn others_have_echoes(&self, count: usize) {
        self.drawer().echoes_of_others = count;
    }

    /// An earlier attempt of the next uploads turns out to have brought the file under this address.
    pub(super) fn know_it_at(&self, uri: &str) {
        self.drawer().other_address = Some(uri.to_owned());
    }

    pub(super) fn refuse_attempts(&self, times: usize) {
        self.drawer().bad_attempts = times;
    }

    pub(super) fn items(&self) -> Vec<Item> {
        self.drawer().items.clone()
    }

    pub(super) fn item(&self, id: &str) -> Item {
        self.items().into_iter().find(|item| item.id == id).unwrap()
    }

    pub(super) fn has_pending(&self) -> bool {
        self.drawer()
            .items
            .iter()
            .any(|item| item.progress == Progress::Pending)
    }

    pub(super) fn was_settled(&self, id: &str) -> bool {
        self.drawer().settled.iter().any(|settled| settled == id)
    }

    pub(super) fn claims(&self) -> usize {
        self.drawer().claims
    }

    fn drawer(&self) -> MutexGuard<'_, Drawer> {
        self.0.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Drawer) -> T) -> T {
        let changed = change(&mut self.drawer());
        self.1.send_modify(|count| *count += 1);
        changed
    }
}

impl Book for Desk {
    fn changes(&self) -> watch::Receiver<u64> {
        self.1.subscribe()
    }

    async fn claim_pending(&self, orphans: bool) -> Result<Vec<Item>, JournalError> {
        let mut drawer = self.drawer();
        drawer.claims += 1;
        let may_take = |item: &Item| match drawer.owners.get(&item.id) {
            None => true,
            Some(Owner::Nobody) => orphans,
            Some(Owner::Another) => false,
        };
        Ok(drawer
            .items
            .iter()
            .filter(|item| item.progress == Progress::Pending && may_take(item))
            .cloned()
            .collect())
    }

    async fn begin_attempt(&self, id: &str) -> Result<(), JournalError> {
        if self.drawer().bad_attempts > 0 {
            self.drawer().bad_attempts -= 1;
            return Err(journal_error());
        }
        self.change(|drawer| {
            drawer
                .items
                .iter_mut()
                .filter(|item| item.id == id)
                .for_each(|item| item.attempts += 1)
        });
        Ok(())
    }

    async fn record(&self, id: &str, change: Change) -> Result<(), JournalError> {
        if self.drawer().bad_records > 0 {
            self.drawer().bad_records -= 1;
            return Err(journal_error());
        }
        self.change(|drawer| {
            if change.settle_reply {
                drawer.settled.push(id.to_owned());
            }
            let item = drawer.items.iter_mut().find(|item| item.id == id).unwrap();
            item.progress = change.progress.unwrap_or(item.progress);
            item.delegation_id = change.delegation_id.or(item.delegation_id.take());
            item.answer = change.answer.or(item.answer.take());
            item.detail = change.detail.or(item.detail.take());
        });
        Ok(())
    }

    async fn outstanding(&self) -> Result<Vec<Item>, JournalError> {
        let open = |item: &&Item| matches!(item.progress, Progress::Accepted | Progress::Delivered);
        Ok(self.items().iter().filter(open).cloned().collect())
    }

    async fn echoes_of_others(&self, id: &str) -> Result<(Timestamp, usize), JournalError> {
        Ok((self.item(id).created, self.drawer().echoes_of_others))
    }

    async fn begin_upload(&self, id: &str, place: usize, file: &str) -> Result<String, JournalError> {
        let mut drawer = self.drawer();
        if drawer.bad_attempts > 0 {
            drawer.bad_attempts -= 1;
            return Err(journal_error());
        }
        let name = format!("{}-{file}", drawer.uploads.len());
        drawer.uploads.push((id.to_owned(), place, name.clone(), None));
        Ok(name)
    }

    async fn uploaded(&self, name: &str, uri: &str) -> Result<String, JournalError> {
        let mut drawer = self.drawer();
        let named = drawer.other_address.clone().unwrap_or_else(|| uri.to_owned());
        let upload = drawer.uploads.iter_mut().find(|upload| upload.2 == name).unwrap();
        upload.3 = Some(named.clone());
        Ok(named)
    }

    async fn upload_of(&self, id: &str, place: usize) -> Result<Option<String>, JournalError> {
        let drawer = self.drawer();
        let mut found = drawer
            .uploads
            .iter()
            .filter(|upload| upload.0 == id && upload.1 == place);
        Ok(found.find_map(|upload| upload.3.clone()))
    }

    async fn has_delegation(&self, delegation_id: &str) -> Result<bool, JournalError> {
        Ok(self
            .items()
            .iter()
            .any(|item| item.delegation_id.as_deref() == Some(delegation_id)))
    }
}
