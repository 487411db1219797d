//! The background duties: one file per duty, each a loop that the supervisor starts and stops.

pub mod away;
pub mod duty;
pub mod envelope;
pub mod heartbeat;
pub mod inbox;
pub mod introductions;
pub mod management_presence;
pub mod on_message;
pub mod outbox;
pub mod register;
pub mod removal;
pub mod standing;
pub mod stream;
pub mod supervisor;
pub mod uploads;
