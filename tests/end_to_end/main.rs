//! The real binary, real pipes, and the embedded platform with faults: what a user would see.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod beside;
mod commands;
mod conversation;
mod cursor;
mod demo;
mod disk;
mod doctor;
mod duties;
mod faults;
mod files;
mod history;
mod hostile;
mod http;
mod inbox;
mod install;
mod leases;
mod management;
mod many;
mod network;
mod on_message;
mod operating;
mod presence;
mod protocol;
mod push;
mod readme;
mod roles;
mod runtime;
mod serve;
mod settings;
mod speakers;
mod start_up;
mod status;
mod support;
mod surface;
mod time;
