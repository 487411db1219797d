//! The only place that knows the MCP library.
//!
//! Bytes come in through [`transport`] or [`http`], requests are dispatched by [`server`], tools are found, decoded and run by
//! [`toolset`], and [`answer`] gives every outcome its shape. No tool is known here but the
//! one behind the resources, and of a workspace only its journal, whose news are pushed.

pub mod answer;
pub mod call;
mod channel;
pub mod http;
pub mod instructions;
mod push;
mod resources;
pub mod server;
pub mod toolset;
pub mod transport;
