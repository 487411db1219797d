//! The tools, one file per group; a tool is one struct.

pub mod delegation;
pub mod inbox;
pub mod peers;
pub mod user;
