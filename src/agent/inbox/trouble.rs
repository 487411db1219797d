//! What is said about the inbox when it cannot be read or kept.

use std::io;
use std::time::Duration;

use crate::platform::error::CallError;
use crate::state::health::{JOURNAL_ERROR, Trouble};
use crate::state::journal::JournalError;
use crate::state::obstacle::Obstacle;
use crate::types::Timestamp;

/// The inbox cannot be read. `token`: where the token comes from; `can_change`: whether a new one can appear there.
pub(super) fn unread(error: &CallError, token: &str, can_change: bool) -> Trouble {
    let remedy = match error {
        CallError::Refused { .. } if can_change => {
            format!("put a valid token into {token}: it is read again at every attempt (canvas, Tokens tab)")
        }
        CallError::Refused { .. } => {
            format!("set a valid token in {token} (canvas, Tokens tab) and restart molecule-mcp")
        }
        CallError::Unreachable { .. } | CallError::Interrupted { .. } => {
            "check PLATFORM_URL and the network; reading goes on by itself".to_owned()
        }
        _ => "reading goes on by itself; if this stays, the platform needs attention".to_owned(),
    };
    Trouble {
        code: error.code().to_owned(),
        what: format!("new messages cannot be read: {error}"),
        remedy,
    }
}

/// One message fails over and over, and the saved cursor waits for it.
pub(super) fn waits_for(at: Timestamp) -> Trouble {
    Trouble {
        code: "MESSAGE_UNREADABLE".to_owned(),
        what: format!(
            "a message of {} cannot be fetched; all others are received",
            at.to_rfc3339()
        ),
        remedy: "it is tried again for ten minutes and then passed, and said so in the inbox; the canvas has it"
            .to_owned(),
    }
}

/// Requests or broadcasts cannot be read.
pub(super) fn unread_beside(what: &str, error: &CallError) -> Trouble {
    Trouble {
        code: "PARTLY_DEAF".to_owned(),
        what: format!("messages are received, but {what} cannot be read: {error}"),
        remedy: "reading them goes on by itself; list_inbox and check_requests ask the platform for requests directly"
            .to_owned(),
    }
}

/// The journal did not take a batch.
pub(super) fn unwritten(error: &JournalError) -> Trouble {
    Trouble {
        code: JOURNAL_ERROR.to_owned(),
        what: format!("received messages cannot be stored, so none are fetched: {error}"),
        remedy: format!("{}. The platform keeps the messages meanwhile", error.remedy()),
    }
}

/// Messages are kept, but the cursor file does not take the cursor.
pub(super) fn unexported(error: &io::Error) -> Trouble {
    Trouble {
        code: "CURSOR_FILE_UNWRITTEN".to_owned(),
        what: format!(
            "messages are received and kept, but .mcp_inbox_cursor cannot be written ({error}), and the platform is not told \
             either how far they were received"
        ),
        remedy: Obstacle::of(error).remedy().to_owned(),
    }
}

/// A commit took long.
pub(super) fn slow(commit: Duration) -> Trouble {
    Trouble {
        code: "DISK_SLOW".to_owned(),
        what: format!("the disk of the state folder is slow: storing what was received took {:.1} s", commit.as_secs_f64()),
        remedy: "nothing is lost, but messages and answers of the inbox tools are late; find what keeps the disk busy, or put \
                 CONFIGS_DIR on a faster one"
            .to_owned(),
    }
}

/// The state folder was deleted or replaced under the running process.
pub(super) fn folder_gone() -> Trouble {
    Trouble {
        code: "STATE_DIR_GONE".to_owned(),
        what: "the state folder was deleted or replaced while molecule-mcp ran, so it no longer polls".to_owned(),
        remedy:
            "restart molecule-mcp; its state folder is CONFIGS_DIR, or the default that `molecule-mcp status` names"
                .to_owned(),
    }
}

/// Another program moved the cursor file while this one held the duty.
pub(super) fn other_poller() -> Trouble {
    Trouble {
        code: "OTHER_POLLER".to_owned(),
        what: "another program polls for the same workspace: it changed .mcp_inbox_cursor while molecule-mcp ran".to_owned(),
        remedy: "stop the other program (an older molecule-mcp, for example), or each of them gets only some of the messages"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_names_its_code_and_a_remedy_that_fits() {
        let refused = CallError::Refused {
            status: 401,
            detail: "invalid workspace auth token".to_owned(),
        };
        let cases = [
            (
                unread(&refused, "MOLECULE_WORKSPACE_TOKEN", false),
                "AUTH_ERROR",
                "restart",
            ),
            (unread(&refused, "/s/.auth_token", true), "AUTH_ERROR", "/s/.auth_token"),
            (
                unread(&CallError::Unreachable { detail: String::new() }, "", false),
                "PLATFORM_UNREACHABLE",
                "PLATFORM_URL",
            ),
            (
                unwritten(&JournalError::Disk {
                    obstacle: Obstacle::Full,
                    what: "disk full".to_owned(),
                }),
                "JOURNAL_ERROR",
                "free space",
            ),
            (
                unwritten(&JournalError::Busy("locked".to_owned())),
                "JOURNAL_ERROR",
                "keeps molecule.db",
            ),
            (
                unwritten(&JournalError::Newer { found: 9, known: 1 }),
                "JOURNAL_ERROR",
                "update",
            ),
            (
                unwritten(&JournalError::Damaged("malformed".to_owned())),
                "JOURNAL_ERROR",
                "start it again",
            ),
            (waits_for(Timestamp(0)), "MESSAGE_UNREADABLE", "canvas"),
            (
                unexported(&io::ErrorKind::StorageFull.into()),
                "CURSOR_FILE_UNWRITTEN",
                "free space",
            ),
            (slow(Duration::from_millis(2345)), "DISK_SLOW", "faster"),
            (folder_gone(), "STATE_DIR_GONE", "restart"),
            (other_poller(), "OTHER_POLLER", "stop"),
        ];
        for (trouble, code, remedy) in cases {
            assert_eq!(trouble.code, code);
            assert!(trouble.remedy.contains(remedy), "{}", trouble.remedy);
        }
    }
}
