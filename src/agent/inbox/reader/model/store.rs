//! The journal as far as receiving needs it: keyed by id, durable across restarts.

use std::collections::{HashMap, HashSet};

use crate::state::journal::{Batch, Cursor};
use crate::types::{ActivityId, Timestamp};

#[derive(Default)]
pub(super) struct Store {
    /// What an agent was offered, and when.
    pub(super) offered: HashMap<ActivityId, i64>,
    pub(super) held: HashSet<ActivityId>,
    pub(super) recovered: HashSet<ActivityId>,
    /// It began anew and has not listed yet what lies before.
    pub(super) replaced: bool,
    pub(super) cursor: Option<Cursor>,
    pub(super) polled: Option<Timestamp>,
}

impl Store {
    pub(super) fn holds(&self, id: &ActivityId) -> bool {
        self.shows(id) || self.held.contains(id)
    }

    /// Whether an agent can see it.
    pub(super) fn shows(&self, id: &ActivityId) -> bool {
        self.offered.contains_key(id) || self.recovered.contains(id)
    }

    pub(super) fn commit(&mut self, batch: Batch, now: i64) {
        for message in batch.messages {
            let id = message.activity_id;
            if self.holds(&id) {
                continue;
            }
            match (batch.recovered, batch.hold) {
                (true, _) => drop(self.recovered.insert(id)),
                (false, true) => drop(self.held.insert(id)),
                (false, false) => drop(self.offered.insert(id, now)),
            }
        }
        if batch.release {
            self.offered.extend(self.held.drain().map(|id| (id, now)));
        }
        if batch.forget_cursor {
            self.cursor = None;
        }
        self.cursor = batch.cursor.or(self.cursor.take());
        self.polled = batch.polled.or(self.polled);
    }
}
