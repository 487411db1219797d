//! Messages kept for a push target that was busy.

use rusqlite::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Store;

const KIND: &str = "queued";

/// One message waiting for its target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Queued {
    pub(crate) id: String,
    pub(crate) target: String,
    pub(crate) caller: Option<String>,
    pub(crate) message_id: Option<String>,
    pub(crate) envelope: Value,
    pub(crate) attempts: u32,
}

impl Store {
    /// Keeps a message; the same message id for the same target collapses into the first. Returns the item's id and
    /// how many wait for that target.
    pub(crate) fn enqueue(&self, target: &str, caller: Option<&str>, envelope: &Value) -> Result<(String, usize)> {
        let message_id = envelope["params"]["message"]["messageId"].as_str().map(str::to_owned);
        let waiting = self.queued_for(target)?;
        let same = waiting
            .iter()
            .find(|item| message_id.is_some() && item.message_id == message_id);
        if let Some(same) = same {
            return Ok((same.id.clone(), waiting.len()));
        }
        let item = Queued {
            id: Uuid::new_v4().to_string(),
            target: target.to_owned(),
            caller: caller.map(str::to_owned),
            message_id,
            envelope: envelope.clone(),
            attempts: 0,
        };
        self.put(KIND, &item.id, &item)?;
        Ok((item.id, waiting.len() + 1))
    }

    /// Takes out the oldest message waiting for `target`.
    pub(crate) fn dequeue(&self, target: &str) -> Result<Option<Queued>> {
        let Some(item) = self.queued_for(target)?.into_iter().next() else {
            return Ok(None);
        };
        self.delete(KIND, &item.id)?;
        Ok(Some(item))
    }

    /// Puts a message back after a failed attempt.
    pub(crate) fn requeue(&self, item: &Queued) -> Result<()> {
        self.put(KIND, &item.id, item)
    }

    fn queued_for(&self, target: &str) -> Result<Vec<Queued>> {
        let mut items: Vec<Queued> = self.list(KIND)?;
        items.retain(|item| item.target == target);
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_repeated_message_collapses_and_items_leave_in_order() {
        let store = Store::open(None).unwrap();
        let message = |id: &str| json!({ "params": { "message": { "messageId": id } } });
        let (first, depth) = store.enqueue("t", None, &message("m1")).unwrap();
        assert_eq!(depth, 1);
        assert_eq!(store.enqueue("t", None, &message("m2")).unwrap().1, 2);
        assert_eq!(store.enqueue("t", None, &message("m1")).unwrap(), (first.clone(), 2));
        assert_eq!(store.dequeue("t").unwrap().unwrap().id, first);
        assert_eq!(store.dequeue("t").unwrap().unwrap().message_id.as_deref(), Some("m2"));
        assert!(store.dequeue("t").unwrap().is_none());
    }
}
