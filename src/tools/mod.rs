//! The tools, one file per group; a tool is one struct.
//!
//! A tool sees its arguments, the [`workspaces::Workspaces`] of this process and the call it serves; it acts in the
//! [`context::Context`] of one of them. What goes out is
//! written into the journal's outbox, which the background duty empties; what came in is read from the journal.
//!
//! The tools for operating workspaces and managing a tenant are in `groups`. They need no workspace: a [`desk`] holds the
//! credentials of their set. [`catalogue`] knows all tools and which of them a client is shown.

pub mod agent;
pub mod attachments;
pub mod broadcast;
pub mod catalogue;
pub mod context;
pub mod delegation;
pub mod desk;
pub mod history;
pub mod identity;
pub mod inbox;
pub mod memory;
pub mod peers;
pub mod reply;
pub mod requests;
pub mod user;
pub mod workspace_info;
pub mod workspaces;

mod groups;
pub(crate) mod message;
mod outgoing;
mod paging;
pub(crate) mod redaction;
mod sources;
mod supported;
#[cfg(test)]
mod testing;
mod waiting;
