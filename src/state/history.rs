//! Conversations as the journal has kept them: what came in and what went out, in one order.

use super::message::Entry;
use super::outbox::Item;
use crate::types::{Partner, Timestamp};

/// Which part of the history to read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ask {
    /// With whom; `None`: with everyone.
    pub with: Option<Partner>,
    /// Only what is older than this.
    pub before: Option<Timestamp>,
    /// Only what holds all of these words, each from its start on. Words between double quotes must follow one another.
    pub words: Option<String>,
    /// At most so many, the newest of them.
    pub limit: u32,
}

/// One thing that was said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// To this workspace.
    Received(Box<Entry>),
    /// By this workspace.
    Sent(Box<Item>),
}

impl Said {
    /// When: by the platform's clock for what came in, by ours for what went out.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Received(entry) => entry.message.at,
            Self::Sent(item) => item.created,
        }
    }
}
