//! The only place that knows the MCP library.

pub mod answer;
pub mod instructions;
pub mod server;
pub mod toolset;
pub mod transport;
