//! Requests as the inbox knows them: tasks and approvals that workspaces and the person ask of each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::RequestId;

/// How the `messageId` of the platform's note begins that a request of ours was answered; the request's id follows.
pub const ANSWER_NOTE: &str = "request-responded:";
/// The same of its note that something was written below a request of ours; the id of what was written follows.
pub const REMARK_NOTE: &str = "request-message:";

/// What a message has to do with a request. Of kind `request` it is one to this workspace, of kind `system` one of this
/// workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its part in the request.
    pub part: Part,
    /// Names the request; absent when the platform's note does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
    /// What is asked for: `task` or `approval`; absent when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<String>,
    /// What is asked, in one line; its asker's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How it stood when the message was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Higher is more urgent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
}

/// The part of a message in a request. The wire form is snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What is asked.
    Question,
    /// What the other side wrote below it.
    Remark,
    /// How it was answered.
    Answer,
}

/// Who asks. The words are those of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Others ask this workspace.
    Theirs,
    /// This workspace asks.
    Ours,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Theirs, Self::Ours];

    /// The word in the journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Theirs => "theirs",
            Self::Ours => "ours",
        }
    }
}

/// What every message about one event of a request of ours has in common: the platform tells of it with a note whose
/// `messageId` begins so, and this daemon may have found it out before. `None` for every other `messageId`.
#[must_use]
pub fn note_key(message_id: &str) -> Option<&str> {
    const UUID: usize = 36;
    [ANSWER_NOTE, REMARK_NOTE].into_iter().find_map(|prefix| {
        let rest = message_id.strip_prefix(prefix)?;
        RequestId::parse(rest.get(..UUID)?).ok()?;
        message_id.get(..prefix.len() + UUID)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_notes_about_requests_have_a_key_and_what_follows_it_does_not_matter() {
        const ID: &str = "5f0c1d2e-0000-4000-8000-00000000000a";
        for (message_id, expected) in [
            (format!("{ANSWER_NOTE}{ID}"), true),
            (format!("{ANSWER_NOTE}{ID}-5f0c1d2e-0000-4000-8000-00000000000b"), true),
            (format!("{REMARK_NOTE}{ID}-x"), true),
            (format!("{REMARK_NOTE}{}é", &ID[..35]), false),
            (format!("{ANSWER_NOTE}{}", &ID[..35]), false),
            (format!("x{ANSWER_NOTE}{ID}"), false),
            (format!("inbox-nudge-{ID}"), false),
            (ID.to_owned(), false),
        ] {
            let key = note_key(&message_id);
            assert_eq!(key.is_some(), expected, "{message_id}");
            assert!(key.is_none_or(|key| key.ends_with(ID) && message_id.starts_with(key)));
        }
    }
}
