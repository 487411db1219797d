//! What goes into the reader and what comes out of it, as plain data.

use std::collections::HashSet;
use std::time::Duration;

use super::recovery::Reason;
use crate::agent::envelope::Row;
use crate::state::journal::{Batch, Cursor};
use crate::types::{ActivityId, Timestamp};

/// Where reading goes on.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The journal's cursor.
    pub cursor: Option<Cursor>,
    /// A cursor that another program left; it wins, and only its id is known.
    pub imported: Option<ActivityId>,
    /// The last good poll of an earlier process.
    pub last_poll: Option<Timestamp>,
    /// Whether the duty was taken over from another process: then the newest page is compared, too.
    pub takeover: bool,
    /// Whether the journal was replaced and what lies before its beginning is still to be listed.
    pub replaced: bool,
}

/// One request for a page of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rows after this one, oldest first. Without it: newest first.
    pub since: Option<ActivityId>,
    /// Rows of the last so many seconds.
    pub since_secs: Option<u64>,
    /// Rows strictly older than this.
    pub before: Option<Timestamp>,
    /// 1 to 500.
    pub limit: u32,
    /// Whether [`Page::known`] is needed: the answer is compared by id.
    pub compare: bool,
    /// Whether it goes around a row that could not be fetched: that it fails, too, is nothing to tell of.
    pub probe: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this request and call [`super::Reader::answer`].
    Ask(Plan),
    /// Nothing for so long, unless a hint comes.
    Wait(Duration),
}

/// One answer.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The rows in the order they were sent.
    pub rows: Vec<Row>,
    /// The platform's clock.
    pub date: Option<Timestamp>,
    /// Those of [`super::Reader::unknown`] that the journal holds.
    pub known: HashSet<ActivityId>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 410: the platform does not know the row that was asked from.
    Gone,
    /// The answer was larger than the bound.
    TooLarge,
    /// The answer broke off, came too late, could not be read, or could not be made: less of it might work.
    Unreadable,
    /// Anything else.
    Other,
}

/// A failure and how long to send nothing after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadFailure {
    /// What happened.
    pub failure: Failure,
    /// From the backoff, or what the platform asked for.
    pub pause: Duration,
}

/// Something worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// So many rows had no id and were passed over.
    Garbage(usize),
    /// The platform answered the same page again; paging ended early.
    Stuck,
    /// Rows between two reads may be out of reach: a page brought no known row (level A).
    Gap,
    /// So many messages appeared behind the saved cursor.
    Late(usize),
    /// A row cannot be fetched, and reading has gone on without it.
    Unfetchable {
        /// Its time.
        at: Timestamp,
        /// From here on all rows were read. A second such row in between may hide others that stand between the two.
        until: Timestamp,
    },
}

/// A window that was read in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Why it was read.
    pub reason: Reason,
    /// The last good poll before it.
    pub since: Option<Timestamp>,
}

/// What an answer leads to.
#[derive(Debug, Default)]
pub struct Step {
    /// To be committed; `None` when there is nothing to write.
    pub batch: Option<Batch>,
    /// Things to tell once the batch is committed.
    pub notes: Vec<Note>,
    /// Set with the last page of a window.
    pub recovered: Option<Recovered>,
    /// With the last page of what was listed after the journal was replaced.
    pub listed: bool,
}
