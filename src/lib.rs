//! `molecule-mcp`: the external-runtime agent daemon of a Molecule AI platform.
#![allow(clippy::todo)]

pub mod agent;
pub mod cli;
pub mod config;
#[cfg(feature = "local-platform")]
pub mod local_platform;
pub mod mcp;
pub mod platform;
pub mod state;
pub mod tools;
pub mod types;
