//! Behaviour of the journal as its callers see it.

mod conversation;
mod damage;
mod history;
mod leasing;
mod outbox;
mod processes;
mod receiving;
