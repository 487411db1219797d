//! The commands, one file each.

#[cfg(feature = "local-platform")]
pub mod demo;
pub mod init;
#[cfg(feature = "local-platform")]
pub mod platform;
pub mod run;
