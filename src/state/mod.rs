//! The only place that knows file names in the state folder.
//!
//! [`journal::Journal`] is the heart: messages, cursor and outbox in one SQLite database that several processes share.
//! The other files are small, and each has one writer.

pub mod agent_card;
pub mod audit;
pub mod clock;
pub mod crash_point;
pub mod cursor;
pub mod deafness;
mod draft;
pub mod file;
pub mod file_folder;
pub mod file_name;
pub mod health;
pub mod history;
pub mod journal;
pub mod lock;
pub mod message;
pub mod naming;
pub mod obstacle;
pub mod opened;
pub mod outbox;
pub mod overview;
pub mod record;
pub mod request;
pub mod secret;
pub mod spool;
pub mod turns;
