//! Receiving: what to read from the platform and when, and the loop that reads it into the journal.

pub mod beside;
pub mod poller;
pub mod reader;
mod trouble;
