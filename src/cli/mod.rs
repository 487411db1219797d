//! The commands, one file each.

#[cfg(feature = "local-platform")]
pub mod demo;
pub mod init;
pub mod logging;
pub mod options;
#[cfg(feature = "local-platform")]
pub mod platform;
pub mod run;
pub mod signals;
