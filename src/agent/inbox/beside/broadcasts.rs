//! What a row of a broadcast says. Pure.
//!
//! The row holds `Broadcast from NAME: TEXT` with at most 120 characters of the text and then an ellipsis (platform-api 4.3).
//! The whole text is told on the stream only, by an event that does not name the row.

use serde_json::value::RawValue;

use crate::agent::envelope::{Row, read_row};
use crate::agent::stream::Broadcast;
use crate::state::message::{Kind, Message};
use crate::types::{Timestamp, WorkspaceId};

/// How much of a text a row keeps, in characters.
const KEPT: usize = 120;
const CUT: char = '…';

/// A broadcast as its row has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    /// With as much of its text as there is.
    pub(super) message: Message,
    /// The line that the platform made of it.
    line: String,
}

impl Kept {
    /// `None` for a row without an id, and for one of our own.
    pub(super) fn of(raw: &RawValue, own: &WorkspaceId, now: Timestamp) -> Option<Self> {
        let Row::Message { message, .. } = read_row(raw, own, now) else {
            return None;
        };
        let mut message = *message;
        message.kind = Kind::Broadcast;
        let line = std::mem::take(&mut message.text);
        text_in(&line, message.peer_name.as_deref()).clone_into(&mut message.text);
        message.shortened = message.text.ends_with(CUT) && message.text.chars().count() == KEPT + 1;
        Some(Self { message, line })
    }

    /// Whether the stream told this one.
    pub(super) fn is(&self, told: &Broadcast) -> bool {
        let text = &told.message;
        let end = text.char_indices().nth(KEPT).map(|(end, _)| end);
        let line = match end {
            Some(end) => format!("Broadcast from {}: {}{CUT}", told.sender, &text[..end]),
            None => format!("Broadcast from {}: {text}", told.sender),
        };
        line == self.line && self.message.peer_id.eq_ignore_ascii_case(&told.sender_id)
    }
}

/// What follows the sender's name.
fn text_in<'a>(line: &'a str, name: Option<&str>) -> &'a str {
    let Some(rest) = line.strip_prefix("Broadcast from ") else {
        return line;
    };
    let named = name.and_then(|name| rest.strip_prefix(name)?.strip_prefix(": "));
    named
        .or_else(|| rest.split_once(": ").map(|(_, text)| text))
        .unwrap_or(rest)
}

#[cfg(test)]
pub(super) mod testing {
    use serde_json::json;

    use super::*;

    pub(in super::super) const OWN: &str = "00000000-0000-4000-8000-00000000000a";
    pub(in super::super) const PEER: &str = "00000000-0000-4000-8000-00000000000b";

    /// A row as the platform makes it of a broadcast of `PEER`, which is called `ops`.
    pub(in super::super) fn row(id: &str, at: &str, text: &str) -> Kept {
        let mut start: String = text.chars().take(KEPT).collect();
        if start.len() < text.len() {
            start.push(CUT);
        }
        from_line(id, at, &format!("Broadcast from ops: {start}"), Some("ops"))
    }

    pub(super) fn from_line(id: &str, at: &str, line: &str, name: Option<&str>) -> Kept {
        let row = json!({ "id": id, "activity_type": "broadcast_receive", "method": "broadcast", "source_id": PEER,
            "summary": line, "status": "ok", "created_at": at, "peer_name": name });
        let raw = RawValue::from_string(row.to_string()).unwrap();
        Kept::of(&raw, &WorkspaceId::parse(OWN).unwrap(), Timestamp(7)).unwrap()
    }

    pub(in super::super) fn told(text: &str) -> Broadcast {
        Broadcast {
            sender_id: PEER.to_owned(),
            sender: "ops".to_owned(),
            message: text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;

    const AT: &str = "2026-05-01T10:00:00.5Z";

    #[test]
    fn a_row_is_read_as_far_as_it_goes() {
        let cut = format!("{}…", "é".repeat(120));
        for (line, name, text, shortened) in [
            ("Broadcast from ops: hello: all", Some("ops"), "hello: all", false),
            ("Broadcast from ops: hello", None, "hello", false),
            ("Broadcast from a: b: hello", Some("a: b"), "hello", false),
            ("Broadcast from before: hello", Some("renamed"), "hello", false),
            ("something else", Some("ops"), "something else", false),
            ("Broadcast from ops: wait…", Some("ops"), "wait…", false),
            (&format!("Broadcast from ops: {cut}"), Some("ops"), &cut, true),
        ] {
            let message = from_line("r-1", AT, line, name).message;
            assert_eq!((message.text.as_str(), message.shortened), (text, shortened), "{line}");
            assert_eq!(
                (message.kind, message.peer_id.as_str(), message.method.as_str()),
                (Kind::Broadcast, PEER, "broadcast")
            );
        }
        let raw = RawValue::from_string("{}".to_owned()).unwrap();
        assert!(Kept::of(&raw, &WorkspaceId::parse(OWN).unwrap(), Timestamp(7)).is_none());
    }

    #[test]
    fn what_the_stream_told_is_found_by_its_sender_and_the_start_of_its_text() {
        let start = "é: ".repeat(40);
        let whole = format!("{start}and the rest");
        for (text, telling, expected) in [
            (&whole, whole.clone(), true),
            (&whole, format!("{start}another rest"), true),
            (&whole, format!("x{whole}"), false),
            (&whole, start.clone(), false),
            (&start, start.clone(), true),
            (&start, format!("{start}…"), false),
            (&"hello".to_owned(), "hello".to_owned(), true),
            (&"say hello".to_owned(), "hello".to_owned(), false),
        ] {
            assert_eq!(row("r-1", AT, text).is(&told(&telling)), expected, "{text} {telling}");
        }
        let mut other = told("hello");
        other.sender_id = OWN.to_owned();
        assert!(!row("r-1", AT, "hello").is(&other));
        other.sender_id = PEER.to_uppercase();
        assert!(row("r-1", AT, "hello").is(&other));
    }
}
