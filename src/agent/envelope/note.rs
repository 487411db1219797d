//! The platform's notes about requests of this workspace: which request, and what became of it.
//!
//! Which event a note is about stands in its `messageId` (platform-api 4.3). The rest is read from its words as far as they are
//! the expected ones: `Your KIND request "TITLE" (id ID) was STATUS by ...`, and
//! `More info requested on your KIND request "TITLE" (id ID): ...`. What cannot be read is left out.

use crate::state::request::{ANSWER_NOTE, About, Part, REMARK_NOTE, note_key};
use crate::types::RequestId;

/// What a note is about; `None` for every other message.
pub(super) fn about(message_id: &str, text: &str) -> Option<About> {
    let key = note_key(message_id)?;
    let mut about = About {
        part: Part::Remark,
        id: None,
        wish: None,
        title: None,
        status: None,
        priority: None,
    };
    if let Some(id) = key.strip_prefix(ANSWER_NOTE) {
        about.part = Part::Answer;
        about.id = RequestId::parse(id).ok();
    } else {
        debug_assert!(key.starts_with(REMARK_NOTE));
    }
    if let Some(words) = Words::of(text)
        && about.id.as_ref().is_none_or(|id| *id == words.id)
    {
        about.id = Some(words.id);
        about.wish = Some(words.wish.to_owned());
        about.title = words.title;
        if about.part == Part::Answer {
            let status = words.rest.strip_prefix(" was ").and_then(|rest| rest.split_once(' '));
            about.status = status.map(|(status, _)| status.to_owned());
        }
    }
    Some(about)
}

/// The words of a note, taken apart.
struct Words<'a> {
    wish: &'a str,
    title: Option<String>,
    id: RequestId,
    /// What follows the id.
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let start = ["Your ", "More info requested on your "]
            .into_iter()
            .find_map(|start| text.strip_prefix(start))?;
        let (wish, rest) = start.split_once(" request ")?;
        let wish = ["task", "approval"].into_iter().find(|known| *known == wish)?;
        let (quoted, rest) = rest.split_at_checked(quoted(rest)?)?;
        let (id, rest) = rest.strip_prefix(" (id ")?.split_at_checked(36)?;
        Some(Self {
            wish,
            // Go's quoting is JSON's but for rare characters.
            title: serde_json::from_str(quoted).ok(),
            id: RequestId::parse(id).ok()?,
            rest: rest.strip_prefix(')')?,
        })
    }
}

/// The length of the quoted text at the start.
fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    let mut bytes = text.bytes().enumerate();
    if bytes.next()?.1 != b'"' {
        return None;
    }
    for (at, byte) in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "5f0c1d2e-0000-4000-8000-00000000000a";
    const OTHER: &str = "5f0c1d2e-0000-4000-8000-00000000000b";

    fn read(message_id: &str, text: &str) -> (Part, Option<String>, [Option<String>; 3]) {
        let about = about(message_id, text).unwrap();
        let id = about.id.map(|id| id.to_string());
        (about.part, id, [about.wish, about.title, about.status])
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn an_answer_names_its_request_and_what_was_answered() {
        let message_id = format!("{ANSWER_NOTE}{ID}-{OTHER}");
        let all = |title: &str| (Part::Answer, some(ID), [some("task"), some(title), some("done")]);
        for (text, expected) in [
            (
                format!("Your task request \"count\" (id {ID}) was done by agent {OTHER}. Use get_request."),
                all("count"),
            ),
            // Whatever the asker calls it.
            (
                format!("Your task request \"a\\\" (id {OTHER}) was rejected by x\" (id {ID}) was done by the user."),
                all(&format!("a\" (id {OTHER}) was rejected by x")),
            ),
            (
                format!("Your task request \"a\\x00\" (id {ID}) was done by the user."),
                (Part::Answer, some(ID), [some("task"), None, some("done")]),
            ),
        ] {
            assert_eq!(read(&message_id, &text), expected, "{text}");
        }
        for text in [
            String::new(),
            format!("Your task request \"count\" (id {OTHER}) was done by the user."),
            format!("Your task request \"count (id {ID}) was done by the user."),
            format!("Your wish request \"count\" (id {ID}) was done by the user."),
            format!("Your task request \"count\" (id {}é", &ID[..35]),
            "Something else".to_owned(),
        ] {
            let nothing = (Part::Answer, some(ID), [None, None, None]);
            assert_eq!(read(&message_id, &text), nothing, "{text}");
        }
    }

    #[test]
    fn a_remark_names_its_request_only_in_its_words() {
        let message_id = format!("{REMARK_NOTE}{OTHER}-{ID}");
        let text = format!("More info requested on your approval request \"go?\" (id {ID}): why?\nReply.");
        assert_eq!(
            read(&message_id, &text),
            (Part::Remark, some(ID), [some("approval"), some("go?"), None])
        );
        assert_eq!(
            read(&message_id, "other words"),
            (Part::Remark, None, [None, None, None])
        );
    }

    #[test]
    fn other_messages_are_about_no_request() {
        let text = format!("Your task request \"count\" (id {ID}) was done by the user.");
        for message_id in ["", ID, "inbox-nudge-x", ANSWER_NOTE, "request-responded:short"] {
            assert!(about(message_id, &text).is_none(), "{message_id}");
        }
    }
}
