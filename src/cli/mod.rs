//! The commands, one file each.

pub mod audit;
mod bench;
pub mod call;
pub mod clients;
pub mod completions;
pub mod config;
#[cfg(feature = "local-platform")]
pub mod demo;
pub mod doctor;
pub mod healthcheck;
pub mod inbox;
pub mod init;
pub mod install;
mod launch;
mod limits;
pub mod logging;
pub mod man;
pub mod manage;
pub mod options;
#[cfg(feature = "local-platform")]
pub mod platform;
mod printable;
pub mod run;
pub mod serve;
pub mod service;
pub mod signals;
pub mod status;
pub mod tools;
