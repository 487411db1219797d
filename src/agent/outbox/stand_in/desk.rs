//! The journal in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::journal_error;
use crate::agent::outbox::ports::Book;
use crate::state::journal::JournalError;
use crate::state::outbox::{Change, Item, Progress};
use crate::types::Timestamp;

/// The journal.
#[derive(Clone)]
pub(in crate::agent::outbox) struct Desk(Arc<Mutex<Drawer>>, Arc<watch::Sender<u64>>);

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
    pub(in crate::agent::outbox) fn holding(items: impl IntoIterator<Item = Item>) -> Self {
        let drawer = Drawer {
            items: items.into_iter().collect(),
            ..Drawer::default()
        };
        Self(Arc::new(Mutex::new(drawer)), Arc::new(watch::Sender::new(0)))
    }

    pub(in crate::agent::outbox) fn add(&self, item: Item) {
        self.change(|drawer| drawer.items.push(item));
    }

    /// The row's session ends; nothing in the journal tells.
    pub(in crate::agent::outbox) fn orphan(&self, id: &str) {
        self.drawer().owners.insert(id.to_owned(), Owner::Nobody);
    }

    pub(in crate::agent::outbox) fn belongs_elsewhere(&self, id: &str) {
        self.drawer().owners.insert(id.to_owned(), Owner::Another);
    }

    pub(in crate::agent::outbox) fn refuse_records(&self, times: usize) {
        self.drawer().bad_records = times;
    }

    pub(in crate::agent::outbox) fn others_have_echoes(&self, count: usize) {
        self.drawer().echoes_of_others = count;
    }

    /// An earlier attempt of the next uploads turns out to have brought the file under this address.
    pub(in crate::agent::outbox) fn know_it_at(&self, uri: &str) {
        self.drawer().other_address = Some(uri.to_owned());
    }

    pub(in crate::agent::outbox) fn refuse_attempts(&self, times: usize) {
        self.drawer().bad_attempts = times;
    }

    pub(in crate::agent::outbox) fn items(&self) -> Vec<Item> {
        self.drawer().items.clone()
    }

    pub(in crate::agent::outbox) fn item(&self, id: &str) -> Item {
        self.items().into_iter().find(|item| item.id == id).unwrap()
    }

    pub(in crate::agent::outbox) fn has_pending(&self) -> bool {
        self.drawer()
            .items
            .iter()
            .any(|item| item.progress == Progress::Pending)
    }

    pub(in crate::agent::outbox) fn was_settled(&self, id: &str) -> bool {
        self.drawer().settled.iter().any(|settled| settled == id)
    }

    pub(in crate::agent::outbox) fn claims(&self) -> usize {
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
