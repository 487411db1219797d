//! The only place that speaks HTTP to a platform.
//!
//! [`client::Client`] is the one door; [`workspace::WorkspaceApi`] is the door with a workspace's credential, and its
//! methods read like the platform's API. Stronger credentials have types of their own, [`tenant::KeyApi`],
//! [`org::OrgApi`] and [`control::ControlApi`], which carry requests as data ([`order::Order`]). Nothing here keeps state beyond connections and the last seen rate limit.

pub mod a2a;
pub mod bridge;
pub mod client;
pub mod control;
pub mod error;
pub mod events;
pub mod files;
pub mod lookups;
pub mod memories;
pub mod order;
pub mod org;
pub mod raw;
pub mod requests;
pub mod retry;
pub mod tenant;
pub mod wire;
pub mod workspace;

pub(crate) mod address;
mod broadcast;
mod conversation;
#[cfg(test)]
pub(crate) mod testing;
mod verdict;
