//! The only place that knows the MCP library.
//!
//! Bytes come in through [`transport`], requests are dispatched by [`server`], tools are found, decoded and run by
//! [`toolset`], and [`answer`] gives every outcome its shape. No tool and no workspace is known here.

pub mod answer;
pub mod call;
pub mod instructions;
pub mod server;
pub mod toolset;
pub mod transport;
