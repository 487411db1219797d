//! The background duties: one file per duty, each a loop that a supervisor starts and stops.

pub mod envelope;
pub mod heartbeat;
pub mod inbox;
pub mod outbox;
pub mod register;
pub mod standing;
pub mod stream;
pub mod supervisor;
