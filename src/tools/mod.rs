//! The tools, one file per group; a tool is one struct.
//!
//! A tool sees its arguments, the [`context::Context`] of its workspace and the call it serves. What goes out is
//! written into the journal's outbox, which the background duty empties; what came in is read from the journal.

pub mod agent;
pub mod attachments;
pub mod broadcast;
pub mod context;
pub mod delegation;
pub mod history;
pub mod identity;
pub mod inbox;
pub mod memory;
pub mod peers;
pub mod reply;
pub mod requests;
pub mod user;

mod message;
mod outgoing;
mod paging;
mod redaction;
mod supported;
#[cfg(test)]
mod testing;
mod waiting;
