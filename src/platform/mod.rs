//! The only place that speaks HTTP to a platform.
//!
//! [`client::Client`] is the one door; [`workspace::WorkspaceApi`] is the door with a workspace's credential, and its
//! methods read like the platform's API. Nothing here keeps state beyond connections and the last seen rate limit.

pub mod bridge;
pub mod client;
pub mod error;
pub mod events;
pub mod files;
pub mod lookups;
pub mod memories;
pub mod requests;
pub mod retry;
pub mod wire;
pub mod workspace;

mod a2a;
mod address;
mod broadcast;
mod conversation;
#[cfg(test)]
pub(crate) mod testing;
mod verdict;
