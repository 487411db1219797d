//! What goes into the journal and what comes out, beside messages and outbox rows.

use std::path::PathBuf;
use std::time::Duration;

use crate::state::clock::Clock;
use crate::state::message::Message;
use crate::types::{ActivityId, Timestamp};

/// Where reading goes on after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The row.
    pub id: ActivityId,
    /// Its time.
    pub at: Timestamp,
    /// Its sequence number at level C.
    pub seq: Option<i64>,
}

/// What one read brought, committed as a whole.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// New messages in order of delivery. Rows already in the journal are dropped by id, repeats by digest.
    pub messages: Vec<Message>,
    /// Whether the messages are kept back until a later batch releases them (pages of an unfinished recovery).
    pub hold: bool,
    /// Offer everything held so far.
    pub release: bool,
    /// Store the messages only to be listed (older ones after a damaged journal was replaced): not offered, settling nothing.
    pub recovered: bool,
    /// Move the saved cursor.
    pub cursor: Option<Cursor>,
    /// Forget the saved cursor (the platform no longer knows it). A new one in the same batch wins.
    pub forget_cursor: bool,
    /// Record this instant as that of the last good poll: the platform's time, as far as it is known.
    pub polled: Option<Timestamp>,
}

/// What a commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Messages that were new.
    pub added: usize,
    /// Messages dropped as repeats of one with another row id.
    pub repeats: usize,
}

/// What a pop did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Popped {
    /// Acknowledged now, durably.
    Removed,
    /// It had been acknowledged before.
    AlreadyDone,
    /// It is leased to another session.
    LeasedElsewhere,
    /// No such message, or one that is not offered yet.
    Unknown,
}

/// What became of announcements of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileNews {
    /// Messages that were put into the inbox.
    pub told: usize,
    /// Announcements that wait for their message, or for an unfinished recovery.
    pub waiting: usize,
}

/// What has to go to make room for a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileRoom {
    /// Ids and paths of files to remove.
    pub drop: Vec<(String, PathBuf)>,
    /// Whether there is room once they are gone.
    pub fits: bool,
}

/// How many messages are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting.
    pub new: u64,
    /// Shown and not acknowledged.
    pub leased: u64,
    /// Set aside.
    pub aside: u64,
    /// Kept back by an unfinished recovery.
    pub held: u64,
    /// Listed after a damaged journal was replaced.
    pub recovered: u64,
    /// Their stored text does not match its checksum; never shown.
    pub damaged: u64,
    /// Time of the oldest message that is new or leased.
    pub oldest: Option<Timestamp>,
}

impl Counts {
    /// Those of both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            new: self.new + other.new,
            leased: self.leased + other.leased,
            aside: self.aside + other.aside,
            held: self.held + other.held,
            recovered: self.recovered + other.recovered,
            damaged: self.damaged + other.damaged,
            oldest: match (self.oldest, other.oldest) {
                (Some(one), Some(two)) => Some(one.min(two)),
                (one, two) => one.or(two),
            },
        }
    }
}

/// How a journal measures time.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a message belongs to the session it was shown to.
    pub lease: Duration,
    /// How often other processes' changes, ended sessions and leases that ran out are looked for when nothing wakes us.
    pub look_every: Duration,
    /// How long a message is kept back for its files, from when the first was heard of. What its sender wrote after it
    /// waits with it.
    pub wait_for_files: Duration,
    /// How long the announcement of a file waits for the message that the file belongs to. A bound on the network between the
    /// two, so tests that run faster than real life leave it.
    pub wait_for_message: Duration,
    /// The clocks.
    pub clock: Clock,
}

impl Settings {
    /// Real clocks and a look every second.
    #[must_use]
    pub fn with_lease(lease: Duration) -> Self {
        Self {
            lease,
            look_every: Duration::from_secs(1),
            wait_for_files: Duration::from_secs(10),
            wait_for_message: Duration::from_secs(3),
            clock: Clock::system(),
        }
    }
}
