//! `molecule-mcp`: the external-runtime agent daemon of a Molecule AI platform.
//!
//! One process registers a workspace, keeps it online, receives what people and peer agents send, and serves the tools
//! of the local agent over MCP. What it promises: a message that reached it is shown to an agent until it is
//! acknowledged, whatever dies in between; exactly one of several processes does the duties; a failure never looks like
//! a success.
//!
//! # How data flows
//!
//! ```text
//! environment, file, arguments -> config -> platform client
//!   presence: register -> heartbeat -> health record
//!   reading:  event stream (a hint) -+
//!             timer -----------------+-> inbox reader -> journal (commit) -> cursor file -> server acknowledgement
//!                                    +-> requests and broadcasts -> journal
//!             journal -> platform -> folder of files -> journal -> acknowledgement of a file
//!   (each of the two duties in one process of the state folder, usually the same)
//!   every process: journal -> wake -> waiting tools
//!                  outbox duty: journal -> platform -> journal (delegations and replies, their outcomes)
//!                  an attached file: opened, judged, copied into the spool -> uploaded -> named by the message
//! locks, records of the holders, journal -> overview -> status, healthcheck, doctor, /readyz (they only look)
//! stdin -> mcp -> toolset -> tool -> platform or journal -> answer -> stdout
//! HTTP on loopback -> token, Host, Origin -> the session of one client -> the same way -> answer or stream
//! stop (signal, end of input, a duty that failed) -> one token -> everyone ends
//! ```
//!
//! # Where things are
//!
//! Dependencies point one way: `cli -> agent, mcp, tools, local_platform -> platform, state -> config, types`.
//! [`tools`] and [`agent`] never import each other: they meet in [`cli::run`] and share the platform client, the
//! journal and the health record.
//!
//! | module | what it is |
//! |---|---|
//! | [`types`] | values parsed once at the edge: ids, credentials, addresses, instants |
//! | [`config`] | environment, file and defaults become one checked configuration |
//! | [`platform`] | the only HTTP client |
//! | [`state`] | the only file-system state: journal, locks, secret files, health record |
//! | [`agent`] | the background duties |
//! | [`mcp`] | the only place that knows the MCP library |
//! | [`tools`] | one struct per tool |
//! | [`cli`] | one file per command |
//! | [`local_platform`] | the embedded platform, for trying things out and for tests |

pub mod agent;
pub mod cli;
pub mod config;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "local-platform")]
pub mod local_platform;
pub mod mcp;
pub mod platform;
pub mod state;
pub mod tools;
pub mod types;
