//! What goes over the wire for a piece of work: the same bytes at every attempt, and text that the platform does not lose.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::platform::workspace::MAX_BODY;
use crate::state::outbox::{Item, Work};

/// `text` without U+0000: the platform answers success to a text that holds one, and stores nothing.
pub(super) fn safe(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', "\u{FFFD}").into()
    } else {
        text.into()
    }
}

/// A reply to a peer. Built from the row alone, so that a repeat is byte for byte the same message.
///
/// Receivers drop a repeat when source, `messageId` and message are equal.
pub(super) struct Reply<'a> {
    pub(super) id: &'a str,
    pub(super) text: &'a str,
    pub(super) in_reply_to: &'a str,
    pub(super) delegation_id: Option<&'a str>,
    pub(super) context_id: Option<&'a str>,
}

impl Reply<'_> {
    pub(super) fn envelope(&self) -> Value {
        let mut metadata = json!({ "in_reply_to": safe(self.in_reply_to), "reply_expected": false });
        let mut message = json!({
            "role": "user",
            "messageId": self.id,
            "kind": "message",
            "parts": [{ "kind": "text", "text": safe(self.text) }],
        });
        if let Some(delegation) = self.delegation_id {
            metadata["delegation_id"] = json!(safe(delegation));
            message["referenceTaskIds"] = json!([safe(delegation)]);
        }
        if let Some(context) = self.context_id {
            message["contextId"] = json!(safe(context));
        }
        message["metadata"] = metadata;
        json!({ "jsonrpc": "2.0", "id": self.id, "method": "message/send", "params": { "message": message } })
    }
}

/// Why this can never be sent, with the limit and the remedy; `None` when it fits.
pub(super) fn oversize(item: &Item) -> Option<String> {
    let request = match &item.work {
        Work::Delegate { target, task } => {
            json!({ "target_id": target, "task": safe(task), "idempotency_key": item.id })
        }
        Work::ReplyToPeer { .. } => reply(item)?.envelope(),
        // What stands here of the files is as long as what the message will say of them.
        Work::NotifyUser { text, parcel } => {
            json!({ "message": safe(text), "attachments": parcel.as_ref().map(|parcel| &parcel.files) })
        }
    };
    let bytes = request.to_string().len();
    (bytes > MAX_BODY).then(|| {
        format!(
            "the request would be {bytes} bytes, and the platform takes {MAX_BODY} whole: \
             nothing was sent; shorten the text or send it in several parts"
        )
    })
}

/// The reply that a row asks for; `None` for other work.
pub(super) fn reply(item: &Item) -> Option<Reply<'_>> {
    match &item.work {
        Work::ReplyToPeer {
            text,
            in_reply_to,
            delegation_id,
            context_id,
            ..
        } => Some(Reply {
            id: &item.id,
            text,
            in_reply_to,
            delegation_id: delegation_id.as_deref(),
            context_id: context_id.as_deref(),
        }),
        Work::Delegate { .. } | Work::NotifyUser { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::stand_in;
    use super::*;

    #[test]
    fn a_reply_says_what_it_answers_and_hands_back_the_context() {
        let reply = Reply {
            id: "11111111-0000-4000-8000-000000000001",
            text: "a\0b",
            in_reply_to: "m-1",
            delegation_id: Some("d-1"),
            context_id: Some("c-1"),
        };
        let expected = json!({
            "jsonrpc": "2.0",
            "id": "11111111-0000-4000-8000-000000000001",
            "method": "message/send",
            "params": { "message": {
                "role": "user",
                "messageId": "11111111-0000-4000-8000-000000000001",
                "kind": "message",
                "parts": [{ "kind": "text", "text": "a\u{FFFD}b" }],
                "metadata": { "in_reply_to": "m-1", "delegation_id": "d-1", "reply_expected": false },
                "contextId": "c-1",
                "referenceTaskIds": ["d-1"],
            }},
        });
        assert_eq!(reply.envelope(), expected);
        assert_eq!(reply.envelope().to_string(), reply.envelope().to_string());
    }

    #[test]
    fn a_plain_reply_has_neither_delegation_nor_context() {
        let reply = Reply {
            id: "r",
            text: "t",
            in_reply_to: "m",
            delegation_id: None,
            context_id: None,
        };
        let message = &reply.envelope()["params"]["message"];
        assert_eq!(
            message["metadata"],
            json!({ "in_reply_to": "m", "reply_expected": false })
        );
        assert!(message.get("contextId").is_none() && message.get("referenceTaskIds").is_none());
    }

    #[test]
    fn a_text_is_measured_as_it_is_sent() {
        let quotes = "\"".repeat(MAX_BODY / 2);
        for work in [
            stand_in::delegate(&quotes),
            stand_in::reply(&quotes),
            stand_in::notify(&quotes),
        ] {
            let why = oversize(&stand_in::item("1", work.clone())).expect("escaped quotes are two bytes each");
            assert!(why.contains("1000000") && why.contains("several parts"), "{why}");
        }
        let fits = "x".repeat(MAX_BODY - 1000);
        for work in [
            stand_in::delegate(&fits),
            stand_in::reply(&fits),
            stand_in::notify(&fits),
        ] {
            assert_eq!(oversize(&stand_in::item("1", work)), None);
        }
    }

    #[test]
    fn a_request_of_exactly_the_limit_is_sent_and_one_of_a_byte_more_is_not() {
        let lengths: Vec<usize> = (MAX_BODY - 1000..MAX_BODY).collect();
        let verdict = |length: &usize| oversize(&stand_in::item("1", stand_in::notify(&"x".repeat(*length))));
        let fitting = lengths.partition_point(|length| verdict(length).is_none());
        let why = verdict(&lengths[fitting]).expect("the first that does not fit");
        assert!(why.contains(&format!("would be {} bytes", MAX_BODY + 1)), "{why}");
    }
}
