//! Why messages may be missed or late right now: the one answer that the tools, `status` and the health endpoints give.

use std::io;

use super::health::{Health, JOURNAL_ERROR, Trouble};
use super::obstacle::Obstacle;

/// What the process that reads knows. Empty: it can receive, and nothing is late.
#[must_use]
pub fn of(health: &Health) -> Vec<Trouble> {
    if health.can_receive() {
        let partly = [&health.disk_trouble, &health.beside_trouble];
        return partly.into_iter().flatten().cloned().collect();
    }
    let mut troubles: Vec<_> = health.troubles().cloned().collect();
    if troubles.is_empty() {
        troubles.push(if health.removed { removed() } else { not_yet() });
    }
    troubles
}

/// Receiving is off by the user's own wish.
#[must_use]
pub fn switched_off() -> Trouble {
    Trouble::new(
        "INBOX_OFF",
        "receiving is switched off for this daemon, so messages and answers of polling peers do not arrive",
        "remove MOLECULE_MCP_DISABLE_INBOX from its environment and start it again",
    )
}

/// Why a holder says nothing of how it goes: one that makes progress does so again and again. `refused`: why nobody could
/// say anything in this folder.
#[must_use]
pub fn silence(refused: Option<&io::Error>) -> Trouble {
    let Some(error) = refused else {
        return Trouble::new(
            "HOLDER_SILENT",
            "another molecule-mcp of this computer receives for this workspace and makes no progress",
            "look at the log of the other process, continue it if it was stopped, or end it: this one then takes over",
        );
    };
    let what = format!(
        "the state folder takes nothing ({error}), so the molecule-mcp that receives for this workspace can store no messages \
         and cannot say how it goes"
    );
    let remedy = Obstacle::of(error).remedy();
    Trouble::new(
        JOURNAL_ERROR,
        what,
        format!("{remedy}. The platform keeps the messages meanwhile"),
    )
}

fn removed() -> Trouble {
    Trouble::new(
        "WORKSPACE_REMOVED",
        "this workspace was deleted on the platform",
        "create a new workspace and configure its id and token",
    )
}

fn not_yet() -> Trouble {
    Trouble::new(
        "NOT_YET_RECEIVING",
        "the inbox has not been read successfully yet",
        "wait a moment; if it stays so, check PLATFORM_URL, the token and the log on stderr",
    )
}

#[cfg(test)]
mod tests {
    use super::super::health::Role;
    use super::*;
    use crate::types::Timestamp;

    fn codes(troubles: Vec<Trouble>) -> Vec<String> {
        troubles.into_iter().map(|trouble| trouble.code).collect()
    }

    #[test]
    fn deafness_is_told_with_its_reason_and_only_when_it_is_there() {
        let trouble = |code| Some(Trouble::new(code, "", ""));
        let holder = Health {
            reading: Role::Holder,
            read: Some(Timestamp(1)),
            ..Health::default()
        };
        let beatless = Health {
            beat_trouble: trouble("B"),
            ..holder.clone()
        };
        let unreadable = Health {
            read_trouble: trouble("R"),
            ..beatless.clone()
        };
        let removed = Health {
            removed: true,
            ..holder.clone()
        };
        let fresh = Health {
            read: None,
            ..holder.clone()
        };
        let slow = Health {
            disk_trouble: trouble("D"),
            ..holder.clone()
        };
        let unasked = Health {
            beside_trouble: trouble("Q"),
            ..slow.clone()
        };
        let unkept = Health {
            journal_trouble: trouble("J"),
            ..slow.clone()
        };
        let none: [&str; 0] = [];
        for (health, expected) in [
            (&holder, &none[..]),
            (&beatless, &none[..]),
            (&slow, &["D"][..]),
            (&unasked, &["D", "Q"][..]),
            (&unkept, &["J", "D"][..]),
            (&unreadable, &["R", "B"][..]),
            (&removed, &["WORKSPACE_REMOVED"][..]),
            (&fresh, &["NOT_YET_RECEIVING"][..]),
        ] {
            assert_eq!(codes(of(health)), expected);
        }
    }

    #[test]
    fn a_holder_is_called_silent_only_where_it_could_have_spoken() {
        assert_eq!(silence(None).code, "HOLDER_SILENT");
        let told = silence(Some(&io::ErrorKind::StorageFull.into()));
        assert_eq!(told.code, "JOURNAL_ERROR");
        assert!(told.remedy.contains("free space"), "{}", told.remedy);
    }
}
