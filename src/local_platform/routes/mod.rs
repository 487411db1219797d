//! The routes: one table, and one file of handlers per concern.

pub(crate) mod a2a;
pub(crate) mod activity;
pub(crate) mod approvals;
pub(crate) mod broadcast;
pub(crate) mod connect;
pub(crate) mod create;
pub(crate) mod delegation;
pub(crate) mod heartbeat;
pub(crate) mod lifecycle;
pub(crate) mod local;
pub(crate) mod memories;
pub(crate) mod notify;
pub(crate) mod org;
pub(crate) mod peer_info;
pub(crate) mod push;
pub(crate) mod registry;
pub(crate) mod requests;
pub(crate) mod secrets;
pub(crate) mod table;
pub(crate) mod tokens;
pub(crate) mod uploads;
pub(crate) mod workspaces;
