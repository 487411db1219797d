//! The commands, one file each.

pub mod audit;
mod bench;
#[cfg(feature = "local-platform")]
pub mod demo;
pub mod init;
mod limits;
pub mod logging;
pub mod manage;
pub mod options;
#[cfg(feature = "local-platform")]
pub mod platform;
pub mod run;
pub mod signals;
pub mod tools;
