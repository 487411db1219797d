//! The whole texts of broadcasts, until their rows are read: the platform tells them on the stream only, and keeps their start.

use std::collections::VecDeque;

use crate::platform::events::Event;

/// Bytes of texts that are kept: a few of the longest events, or very many of the usual ones.
const ROOM: usize = 4 * 1024 * 1024;

/// One broadcast, as the stream told it (platform-api 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// The workspace that sent it.
    pub sender_id: String,
    /// Its name.
    pub sender: String,
    /// The text.
    pub message: String,
}

impl Broadcast {
    fn size(&self) -> usize {
        size_of::<Self>() + self.sender_id.len() + self.sender.len() + self.message.len()
    }
}

/// Broadcasts whose rows are still to be read, oldest first.
#[derive(Debug, Default)]
pub(super) struct Broadcasts {
    heard: VecDeque<Broadcast>,
    size: usize,
}

impl Broadcasts {
    /// Keeps what an event tells, when it tells a broadcast.
    pub(super) fn hear(&mut self, event: &Event) {
        let text = |key: &str| event.payload[key].as_str().map(str::to_owned);
        let told = match (text("sender_id"), text("sender"), text("message")) {
            (Some(sender_id), Some(sender), Some(message)) if event.kind == super::BROADCAST => Broadcast {
                sender_id,
                sender,
                message,
            },
            _ => return,
        };
        self.size += told.size();
        self.heard.push_back(told);
        while self.size > ROOM
            && let Some(oldest) = self.heard.pop_front()
        {
            self.size -= oldest.size();
        }
    }

    /// Takes the oldest one that is it.
    pub(super) fn take(&mut self, is_it: impl FnMut(&Broadcast) -> bool) -> Option<Broadcast> {
        let at = self.heard.iter().position(is_it)?;
        let taken = self.heard.remove(at)?;
        self.size -= taken.size();
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(kind: &str, payload: Value) -> Event {
        Event {
            kind: kind.to_owned(),
            payload,
        }
    }

    #[test]
    fn what_was_told_is_taken_once_and_in_order() {
        let mut broadcasts = Broadcasts::default();
        for (sender, message) in [("a", "1"), ("b", "2"), ("a", "3")] {
            let payload = json!({ "sender_id": sender, "sender": sender, "message": message });
            broadcasts.hear(&event("BROADCAST_MESSAGE", payload.clone()));
            broadcasts.hear(&event("AGENT_MESSAGE", payload));
        }
        broadcasts.hear(&event("BROADCAST_MESSAGE", json!({ "sender_id": "a", "message": 7 })));
        broadcasts.hear(&event("BROADCAST_MESSAGE", Value::Null));
        let mut of_a = || broadcasts.take(|told| told.sender_id == "a").map(|told| told.message);
        assert_eq!(
            [of_a(), of_a(), of_a()],
            [Some("1".to_owned()), Some("3".to_owned()), None]
        );
        assert_eq!(broadcasts.heard.len(), 1);
    }

    #[test]
    fn the_oldest_make_room() {
        let mut broadcasts = Broadcasts::default();
        for n in 0..12 {
            let text = format!("{n} {}", "x".repeat(1_000_000));
            let payload = json!({ "sender_id": "a", "sender": "a", "message": text });
            broadcasts.hear(&event("BROADCAST_MESSAGE", payload));
        }
        assert!(broadcasts.size <= ROOM && broadcasts.heard.len() == 4);
        assert!(broadcasts.heard[3].message.starts_with("11 "));
        while broadcasts.take(|_| true).is_some() {}
        assert_eq!(broadcasts.size, 0);
    }
}
