//! The real binary, real pipes, and the embedded platform with faults: what a user would see.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod conversation;
mod cursor;
mod disk;
mod faults;
mod history;
mod inbox;
mod presence;
mod protocol;
mod start_up;
mod support;
mod surface;
