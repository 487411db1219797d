//! A platform and a journal in memory, for the tests of the loops.

use std::time::Duration;

use crate::platform::error::CallError;
use crate::state::journal::JournalError;
use crate::state::obstacle::Obstacle;
use crate::state::outbox::{Item, Progress, Work};
use crate::state::spool::Spool;
use crate::types::{PeerId, Timestamp};

pub(super) use desk::Desk;
pub(super) use post::Post;

mod desk;
mod post;

fn peer() -> PeerId {
    PeerId::parse("22222222-0000-4000-8000-000000000002").unwrap()
}

pub(super) fn delegate(task: &str) -> Work {
    Work::Delegate {
        target: peer(),
        task: task.to_owned(),
    }
}

pub(super) fn reply(text: &str) -> Work {
    Work::ReplyToPeer {
        target: peer(),
        text: text.to_owned(),
        in_reply_to: "m-1".to_owned(),
        delegation_id: Some("d-9".to_owned()),
        context_id: None,
    }
}

pub(super) fn notify(text: &str) -> Work {
    Work::NotifyUser {
        text: text.to_owned(),
        parcel: None,
    }
}

/// A spool for work that has no files.
pub(super) fn nowhere() -> Spool {
    Spool::new(std::path::Path::new("/nowhere"))
}

/// A message to the person with so many files, their copies, and where these are.
pub(super) fn with_files(files: usize) -> (tempfile::TempDir, Spool, Item) {
    let home = tempfile::tempdir().unwrap();
    let spool = Spool::new(home.path());
    let mut packing = spool.begin().unwrap();
    for n in 0..files {
        let path = home.path().join(format!("{n}.txt"));
        std::fs::write(&path, "content").unwrap();
        let mut source = std::fs::File::open(&path).unwrap();
        packing.add(&mut source, &format!("{n}.txt"), 100).unwrap();
    }
    let work = Work::NotifyUser {
        text: "t".to_owned(),
        parcel: Some(packing.keep()),
    };
    (home, spool, item("1", work))
}

/// A row as it was just written down.
pub(super) fn item(id: &str, work: Work) -> Item {
    Item {
        id: id.to_owned(),
        work,
        progress: Progress::Pending,
        created: Timestamp::now(),
        attempts: 0,
        delegation_id: None,
        answer: None,
        answer_activity: None,
        detail: None,
        replies_to: None,
        request_id: None,
    }
}

/// A delegation that the platform took.
pub(super) fn accepted(id: &str, delegation_id: &str) -> Item {
    Item {
        progress: Progress::Accepted,
        attempts: 1,
        delegation_id: Some(delegation_id.to_owned()),
        ..item(id, delegate("t"))
    }
}

pub(super) fn accepted_call(id: &str) -> String {
    format!("delegate {id} t")
}

pub(super) fn unreachable() -> CallError {
    CallError::Unreachable {
        detail: "connection refused".to_owned(),
    }
}

pub(super) fn interrupted() -> CallError {
    CallError::Interrupted {
        detail: "connection reset".to_owned(),
    }
}

pub(super) fn refused() -> CallError {
    CallError::Refused {
        status: 403,
        detail: "access denied".to_owned(),
    }
}

pub(super) fn rejected(status: u16) -> CallError {
    CallError::Rejected {
        status,
        detail: "no".to_owned(),
        body: None,
    }
}

pub(super) fn throttled(secs: u64) -> CallError {
    CallError::Throttled {
        status: 429,
        retry_after: Some(Duration::from_secs(secs)),
    }
}

pub(super) fn journal_error() -> JournalError {
    JournalError::Disk {
        obstacle: Obstacle::Full,
        what: "no space left".to_owned(),
    }
}
